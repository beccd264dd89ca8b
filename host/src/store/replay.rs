//! Putting the end state of a chain of hits in place, in one go. What is to be done was decided by
//! `survey` and gathered in the [`VirtualTree`]; by the time anything is touched, every file to come is
//! unpacked and verified.

use super::archive::ArchiveError;
use super::format::{Output, OutputKind};
use super::put::Hands;
use super::scratch::Scratch;
use super::survey::{Survey, compare};
use super::virtual_tree::{Planned, VirtualTree};
use super::{Entry, Point, Store, StoreError, io_error, names};
use crate::digest::Digest;
use crate::fingerprint::{Digests, Value};
use crate::path::{Places, PortablePath};
use crate::stamp::{Found, Stamp};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};

/// A hit whose outputs are to be put in place.
pub struct ToReplay<'a> {
    /// How the tree names the hit.
    pub index: usize,
    /// The step, by task and position.
    pub step: Digest,
    /// What it hit.
    pub entry: &'a Entry,
    /// What that takes.
    pub survey: &'a Survey,
}

/// Why the outputs of hits could not be put in place. Nothing was touched, or what was touched is what
/// the hits would have done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The archive of one of the hits, by its position among them.
    #[error("{1}")]
    Archive(usize, ArchiveError),
    /// Somebody changed what lies there after it was looked at.
    #[error("`{0}` was changed by somebody else while the outputs were put in place")]
    Changed(PortablePath),
    /// The disk or the database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What must be done on the disk.
struct Work<'a> {
    put: Vec<(&'a PortablePath, &'a OutputKind, usize, &'a Found)>,
    remove: Vec<(&'a PortablePath, &'a Found)>,
}

impl Store {
    /// The hits for which anything must be done to have their outputs in place.
    pub fn work(&self, tree: &VirtualTree, places: &Places, digests: &Digests) -> BTreeSet<usize> {
        let undone = tree.planned().filter(|(path, planned)| !is_done(places, path, planned, digests));
        undone.map(|(_, planned)| planned.hit).collect()
    }

    /// Puts the end state of the hits in place. `tree` holds what their surveys came to, in order.
    /// Gives the hits for which anything had to be done.
    pub fn replay(
        &self,
        tree: &VirtualTree,
        hits: &[ToReplay],
        places: &Places,
        digests: &Digests,
    ) -> Result<BTreeSet<usize>, ReplayError> {
        let mut work = Work { put: Vec::new(), remove: Vec::new() };
        let mut with_work = BTreeSet::new();
        for (path, planned) in tree.planned() {
            if is_done(places, path, planned, digests) {
                continue;
            }
            with_work.insert(planned.hit);
            let absolute = places.absolute(path);
            if Found::at(&absolute).map_err(io_error("look at", &absolute))? != planned.over {
                return Err(ReplayError::Changed(path.clone()));
            }
            let is_in_the_way = match &planned.what {
                None => true,
                // A folder does not go over anything else, nor anything else over a folder.
                Some(kind) => (*kind == OutputKind::Folder) != matches!(planned.over, Found::Folder(_)),
            };
            if is_in_the_way && planned.over != Found::Absent {
                work.remove.push((path, &planned.over));
            }
            if let Some(kind) = &planned.what {
                work.put.push((path, kind, planned.hit, &planned.over));
            }
        }
        let mut made = BTreeMap::new();
        if !with_work.is_empty() {
            let _stir = digests.seen.stir();
            made = self.put(&work, hits, places)?;
        }
        self.note(tree, hits, places, &made);
        Ok(with_work)
    }

    /// Touches the disk; gives the folders that were made, by hit. State files go first and come last,
    /// so that a restore cut short never looks finished.
    fn put(
        &self,
        work: &Work,
        hits: &[ToReplay],
        places: &Places,
    ) -> Result<BTreeMap<usize, Vec<PortablePath>>, ReplayError> {
        let scratch = Scratch::new(&self.folder().join("tmp"))?;
        self.unpack_all(work, hits, &scratch)?;
        Point::Unpacked.reached();
        let is_state = |path: &PortablePath, by: usize| {
            let hit = hits.iter().find(|hit| hit.index == by);
            hit.is_some_and(|hit| hit.entry.manifest.state_files.binary_search(path).is_ok())
        };
        let mut hands = Hands::open(places, &scratch)?;
        let mut gone: FxHashSet<&PortablePath> = FxHashSet::default();
        for (path, _, _, over) in work.put.iter().filter(|(path, _, by, _)| is_state(path, *by)) {
            hands.remove(path, over)?;
            gone.insert(path);
        }
        // What lies in a folder comes after it, and goes before it.
        for (path, found) in work.remove.iter().rev() {
            hands.remove(path, found)?;
            gone.insert(path);
        }
        Point::StaleRemoved.reached();
        hands.look_anew();
        let (state, others): (Vec<_>, Vec<_>) =
            work.put.iter().enumerate().partition(|(_, (path, _, by, _))| is_state(path, *by));
        let mut made = BTreeMap::new();
        for (count, (index, (path, kind, by, over))) in others.into_iter().chain(state).enumerate() {
            let over = if gone.contains(path) { &Found::Absent } else { *over };
            let made: &mut Vec<PortablePath> = made.entry(*by).or_default();
            hands.put(path, kind, &scratch.file(index), over, made)?;
            if count == 0 {
                Point::FirstPlaced.reached();
            }
        }
        Point::AllPlaced.reached();
        Ok(made)
    }

    /// Unpacks every file to come, and checks it.
    fn unpack_all(&self, work: &Work, hits: &[ToReplay], scratch: &Scratch) -> Result<(), ReplayError> {
        for hit in hits {
            let outputs = &hit.entry.manifest.outputs;
            // A fault of the disk says nothing of the entry.
            let failed = |fault: ArchiveError| match fault {
                ArchiveError::Store(fault) if !matches!(fault, StoreError::Damaged(_)) => fault.into(),
                damage => ReplayError::Archive(hit.index, damage),
            };
            let files = work.put.iter().enumerate();
            let wanted: FxHashMap<_, _> = files
                .filter(|(_, (_, kind, by, _))| *by == hit.index && matches!(kind, OutputKind::File { .. }))
                .map(|(index, (path, ..))| (*path, scratch.file(index)))
                .collect();
            names::check_nesting(outputs).map_err(|damage| failed(damage.into()))?;
            if wanted.is_empty() {
                continue;
            }
            let missing =
                || ArchiveError::Damaged { archive: Digest([0; 32]), why: "the entry names none".to_owned() };
            let archive = hit.entry.archive.ok_or_else(|| failed(missing()))?;
            self.unpack(archive, outputs, &wanted).map_err(failed)?;
        }
        Ok(())
    }

    /// Remembers what the hits left, each in its turn, as running them would have left it. Without the notes
    /// a later hit is blocked, and costs a run; these hits are complete.
    fn note(
        &self,
        tree: &VirtualTree,
        hits: &[ToReplay],
        places: &Places,
        made: &BTreeMap<usize, Vec<PortablePath>>,
    ) {
        for hit in hits {
            if hit.survey.is_in_place() && !hit.survey.is_news {
                if hit.survey.has_other_folders {
                    let stamps = [hit.survey.stamps.as_slice(), &hit.survey.folders].concat();
                    let _ = self.remember_placed(hit.entry.fingerprint, &stamps);
                }
                continue;
            }
            let outputs = &hit.entry.manifest.outputs;
            let stamp_of = |index: usize| -> Option<Stamp> {
                let stamp = hit.survey.stamps.get(index).copied().flatten();
                stamp.filter(|_| !tree.is_planned(&outputs[index].path))
            };
            let stamps: Vec<Option<Stamp>> = (0..outputs.len()).map(stamp_of).collect();
            let is_folder = |output: &&Output| output.kind == OutputKind::Folder;
            let among = outputs.iter().filter(is_folder).map(|output| &output.path);
            let folders = made.get(&hit.index).into_iter().flatten().chain(among);
            let folders =
                folders.map(|path| (path.clone(), Value::FOLDER, Stamp::of_folder(&places.absolute(path))));
            let files = outputs.iter().zip(&stamps).filter(|(output, _)| !is_folder(output));
            let files = files.map(|(output, stamp)| (output.path.clone(), output.kind.value(), *stamp));
            let left: Vec<_> = folders.chain(files).collect();
            // Of the folders only where nothing was put in them.
            let folders = if hit.survey.is_in_place() { hit.survey.folders.as_slice() } else { &[] };
            let _ = self.remember_placed(hit.entry.fingerprint, &[&stamps, folders].concat());
            let _ = self.leave(hit.step, &left, &hit.survey.remove);
            if !hit.entry.manifest.state_files.is_empty() {
                let _ = self.note_state(hit.step, hit.entry.fingerprint);
            }
        }
        Point::LeftRemembered.reached();
    }
}

/// Whether the disk is already as planned.
fn is_done(places: &Places, path: &PortablePath, planned: &Planned, digests: &Digests) -> bool {
    let absolute = places.absolute(path);
    // What cannot be looked at is work, and fails there with the reason.
    let Ok(found) = Found::at(&absolute) else { return false };
    match &planned.what {
        Some(kind) => compare(&absolute, &found, kind, None, digests).0,
        None => found == Found::Absent,
    }
}

//! Putting the end state of a chain of hits in place, in one go. What is to be done was decided by
//! `survey` and gathered in the [`VirtualTree`]; by the time anything is touched, every file to come is
//! unpacked and verified.

use super::archive::{ArchiveError, Scratch};
use super::format::OutputKind;
use super::survey::{Survey, compare};
use super::virtual_tree::{Planned, VirtualTree};
use super::{Entry, Point, Store, StoreError};
use crate::digest::Digest;
use crate::fingerprint::{Digests, Value};
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
    put: Vec<(&'a PortablePath, &'a OutputKind, usize)>,
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
                work.put.push((path, kind, planned.hit));
            }
        }
        let mut made = BTreeMap::new();
        if !with_work.is_empty() {
            made = self.put(&work, hits, places)?;
        }
        self.note(tree, hits, &made)?;
        Ok(with_work)
    }

    /// Touches the disk; gives the folders that were made, by hit. State files go first and come last, so that a restore cut short never looks
    /// finished.
    fn put(
        &self,
        work: &Work,
        hits: &[ToReplay],
        places: &Places,
    ) -> Result<BTreeMap<usize, Vec<PortablePath>>, ReplayError> {
        let scratch = Scratch::new(&self.folder().join("tmp")).map_err(ReplayError::Store)?;
        for hit in hits {
            let files = work.put.iter().enumerate();
            let wanted: FxHashMap<_, _> = files
                .filter(|(_, (_, kind, by))| *by == hit.index && matches!(kind, OutputKind::File { .. }))
                .map(|(index, (path, kind, _))| (*path, (*kind, scratch.file(index))))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let damaged =
                || ArchiveError::Damaged { archive: Digest([0; 32]), why: "the entry names none".to_owned() };
            let archive = hit.entry.archive.ok_or_else(|| ReplayError::Archive(hit.index, damaged()))?;
            self.unpack(archive, &wanted).map_err(|fault| ReplayError::Archive(hit.index, fault))?;
        }
        Point::Unpacked.reached();
        let is_state = |path: &PortablePath, by: usize| {
            let hit = hits.iter().find(|hit| hit.index == by);
            hit.is_some_and(|hit| hit.entry.manifest.state_files.binary_search(path).is_ok())
        };
        for (path, ..) in work.put.iter().filter(|(path, _, by)| is_state(path, *by)) {
            let path = places.absolute(path);
            tolerate_absence(fs::remove_file(&path)).map_err(io_error("remove", &path))?;
        }
        // What lies in a folder comes after it, and goes before it.
        for (path, found) in work.remove.iter().rev() {
            let path = places.absolute(path);
            let removed = match found {
                Found::Folder(_) => fs::remove_dir(&path),
                _ => fs::remove_file(&path),
            };
            tolerate_absence(removed).map_err(io_error("remove", &path))?;
        }
        Point::StaleRemoved.reached();
        let (state, others): (Vec<_>, Vec<_>) =
            work.put.iter().enumerate().partition(|(_, (path, _, by))| is_state(path, *by));
        let mut made = BTreeMap::new();
        for (count, (index, (path, kind, by))) in others.into_iter().chain(state).enumerate() {
            let path = places.absolute(path);
            let missing = path.ancestors().skip(1).take_while(|above| above.symlink_metadata().is_err());
            let made = made.entry(*by).or_insert_with(Vec::new);
            made.extend(missing.map(|folder| places.portable(folder)));
            if **kind == OutputKind::Folder {
                made.push(places.portable(&path));
            }
            put_one(kind, &scratch.file(index), &path)?;
            if count == 0 {
                Point::FirstPlaced.reached();
            }
        }
        Point::AllPlaced.reached();
        Ok(made)
    }

    /// Remembers what the hits left, each in its turn, as running them would have left it.
    fn note(
        &self,
        tree: &VirtualTree,
        hits: &[ToReplay],
        made: &BTreeMap<usize, Vec<PortablePath>>,
    ) -> Result<(), StoreError> {
        for hit in hits {
            if hit.survey.is_in_place() && !hit.survey.is_news {
                continue;
            }
            let outputs = &hit.entry.manifest.outputs;
            let stamp_of = |index: usize| -> Option<Stamp> {
                let stamp = hit.survey.stamps.get(index).copied().flatten();
                stamp.filter(|_| !tree.is_planned(&outputs[index].path))
            };
            let stamps: Vec<Option<Stamp>> = (0..outputs.len()).map(stamp_of).collect();
            let folders =
                made.get(&hit.index).into_iter().flatten().map(|path| (path.clone(), Value::FOLDER, None));
            let files = outputs.iter().zip(&stamps);
            let files = files.map(|(output, stamp)| (output.path.clone(), output.kind.value(), *stamp));
            let left: Vec<_> = folders.chain(files).collect();
            self.remember_placed(hit.entry.fingerprint, &stamps)?;
            self.leave(hit.step, &left, &hit.survey.remove)?;
            if !hit.entry.manifest.state_files.is_empty() {
                self.note_state(hit.step, hit.entry.fingerprint)?;
            }
        }
        Point::LeftRemembered.reached();
        Ok(())
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

fn put_one(kind: &OutputKind, unpacked: &Path, target: &Path) -> Result<(), StoreError> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    match kind {
        OutputKind::File { .. } => rename_or_copy(unpacked, target).map_err(io_error("put in place", target)),
        OutputKind::Folder => fs::create_dir_all(target).map_err(io_error("create", target)),
        OutputKind::Link(text) => {
            std::os::unix::fs::symlink(OsStr::from_bytes(text), unpacked)
                .map_err(io_error("create", unpacked))?;
            rename_or_copy(unpacked, target).map_err(io_error("put in place", target))
        }
    }
}

/// Renames; where the target is on another file system, through a copy beside it, so that a reader
/// still sees the old file or the new one.
fn rename_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut beside = to.as_os_str().to_owned();
            beside.push(format!(".overhear-{}", std::process::id()));
            let beside = PathBuf::from(beside);
            if from.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(from)?, &beside)?;
            } else {
                fs::copy(from, &beside)?;
            }
            fs::rename(&beside, to)
        }
        other => other,
    }
}

fn tolerate_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if stamp::is_absence(&error) => Ok(()),
        other => other,
    }
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { what, path, source }
}

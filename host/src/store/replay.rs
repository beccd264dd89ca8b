//! Putting the outputs of an entry in place: what lies there is compared first, and nobody's file is
//! overwritten or removed on a guess (`docs/design/what-was-there-before.md`).
//!
//! Deciding ([`survey`]) is apart from doing ([`Store::put`]): by the time anything is touched, every
//! file to come is unpacked and verified.

use super::archive::{ArchiveError, Scratch};
use super::format::{FolderHabit, Habits, Output, OutputKind};
use super::{Entry, Point, Store, StoreError};
use crate::digest::Digest;
use crate::fingerprint::{Digests, Pathset, Query, Value};
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use crate::tool_state::ToolState;
use crate::zone::{Zone, Zones};
use rustc_hash::{FxHashMap, FxHashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Whose outputs are to be put where.
pub struct Place<'a> {
    /// What counts where.
    pub zones: &'a Zones,
    /// The step, by task and position.
    pub step: Digest,
    /// Later steps of the same task: what they left is no extra.
    pub later: &'a [Digest],
    /// What the entry depended on: what was read there is as it was when the command ran.
    pub pathset: &'a Pathset,
    /// Knowledge of habits, most particular first: of the CacheKey, then of the step.
    pub habits: &'a [Habits],
    /// What the tool keeps for itself or for others.
    pub tool: &'a ToolState,
    /// Digests that this session has computed.
    pub digests: &'a Digests,
    /// The lock of the step is held by the caller.
    pub is_locked: bool,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Everything was in place.
    Fresh,
    /// Something was put in place, or stale files were removed.
    Restored,
    /// Something lies there that no run is known to have left. Nothing was touched.
    Blocked(PortablePath),
}

/// What must be done, before anything is.
#[derive(Debug, Default)]
struct Survey {
    /// Positions in the manifest of what must be put in place.
    put: Vec<usize>,
    /// Files and links to be removed; then folders, deepest first.
    remove: Vec<PathBuf>,
    remove_folders: Vec<PathBuf>,
    /// Stamps of the outputs that are in place.
    stamps: Vec<Option<Stamp>>,
}

enum Verdict {
    Go(Survey),
    Blocked(PortablePath),
}

impl Store {
    /// Puts the outputs of an entry in place, if what lies there allows it.
    pub fn replay(&self, entry: &Entry, place: &Place) -> Result<Replayed, ArchiveError> {
        let placed = self.placed(entry.fingerprint)?;
        let mut lock = None;
        loop {
            let survey = match self.survey(entry, place, &placed)? {
                Verdict::Blocked(path) => return Ok(Replayed::Blocked(path)),
                Verdict::Go(survey) => survey,
            };
            if survey.put.is_empty() && survey.remove.is_empty() && survey.remove_folders.is_empty() {
                if survey.stamps != placed {
                    self.remember_placed(entry.fingerprint, &survey.stamps)?;
                    self.note_left(entry, place, &survey.stamps, &[])?;
                }
                return Ok(Replayed::Fresh);
            }
            if lock.is_none() && !place.is_locked {
                // Looking needs no lock. Where another process had it, what was seen may have changed.
                let taken = self.lock(place.step)?;
                let look_again = taken.had_to_wait;
                lock = Some(taken);
                if look_again {
                    continue;
                }
            }
            self.put(entry, place, survey)?;
            return Ok(Replayed::Restored);
        }
    }

    /// What [`Store::replay`] would come to. Touches nothing.
    pub fn foresee(&self, entry: &Entry, place: &Place) -> Result<Replayed, StoreError> {
        let placed = self.placed(entry.fingerprint)?;
        Ok(match self.survey(entry, place, &placed)? {
            Verdict::Blocked(path) => Replayed::Blocked(path),
            Verdict::Go(survey)
                if survey.put.is_empty() && survey.remove.is_empty() && survey.remove_folders.is_empty() =>
            {
                Replayed::Fresh
            }
            Verdict::Go(_) => Replayed::Restored,
        })
    }

    fn survey(&self, entry: &Entry, place: &Place, placed: &[Option<Stamp>]) -> Result<Verdict, StoreError> {
        let places = &place.zones.places;
        let mut survey = Survey::default();
        for (index, output) in entry.manifest.outputs.iter().enumerate() {
            let path = places.absolute(&output.path);
            let found = look(&path)?;
            let known = placed.get(index).copied().flatten();
            let (is_right, stamp) = compare(&path, &found, &output.kind, known, place.digests);
            survey.stamps.push(stamp);
            if is_right {
                continue;
            }
            if place.tool.is_generated(&path) && found != Found::Absent {
                // Somebody else's version stays: another command of the tool keeps this file as well.
                if self.was_made_by(place.step, &output.path)
                    && self.is_left(&path, &found, place.zones, place.digests)?
                {
                    survey.put.push(index);
                }
                continue;
            }
            let may_replace = found == Found::Absent
                || may_replace(entry, place, output, &found)
                || self.is_rewritten_later(&path, &found, place)?;
            if !may_replace {
                return Ok(Verdict::Blocked(output.path.clone()));
            }
            survey.put.push(index);
        }
        for path in &entry.manifest.removed {
            let absolute = places.absolute(path);
            if look(&absolute)? == Found::Absent {
                continue;
            }
            // Where nothing was before the run, it has not shown what it does with what another step
            // left there: it may move it elsewhere.
            let is_foreign =
                entry.manifest.temporary.contains(path) && self.is_left_by_another(path, place.step)?;
            if !is_foreign && self.goes(&absolute, place, &mut survey)? {
                continue;
            }
            if !place.tool.is_generated(&absolute) {
                return Ok(Verdict::Blocked(path.clone()));
            }
        }
        match self.survey_extras(entry, place, &mut survey)? {
            Some(blocked) => Ok(Verdict::Blocked(blocked)),
            None => Ok(Verdict::Go(survey)),
        }
    }

    /// Names in the output folders that the entry lacks. Gives the first that must not be there and
    /// may not go.
    fn survey_extras(
        &self,
        entry: &Entry,
        place: &Place,
        survey: &mut Survey,
    ) -> Result<Option<PortablePath>, StoreError> {
        let places = &place.zones.places;
        let mut expected: FxHashMap<PathBuf, FxHashSet<&OsStr>> = FxHashMap::default();
        for output in &entry.manifest.outputs {
            if output.kind == OutputKind::Folder {
                // It is to be empty.
                expected
                    .entry(Path::new(OsStr::from_bytes(output.path.as_bytes())).to_path_buf())
                    .or_default();
            }
            let mut child = Path::new(OsStr::from_bytes(output.path.as_bytes()));
            while let (Some(folder), Some(name)) = (child.parent(), child.file_name()) {
                if !expected.entry(folder.to_path_buf()).or_default().insert(name) {
                    break;
                }
                child = folder;
            }
        }
        for (folder, names) in &expected {
            let portable = places.portable(&places.root.join(folder));
            let habit = folder_habit(entry, place, &portable);
            if habit == Some(FolderHabit::Kept) {
                continue;
            }
            let absolute = places.root.join(folder);
            let Some(there) = list(&absolute)? else { continue };
            for name in there {
                let extra = absolute.join(&name);
                let is_other = place.zones.of(&extra) != Zone::Workspace || place.tool.is_own(&extra);
                if names.contains(name.as_os_str()) || is_other || self.is_of_later(&extra, place)? {
                    continue;
                }
                if survey.remove.contains(&extra) {
                    continue;
                }
                let goes = habit == Some(FolderHabit::Emptied) && self.goes(&extra, place, survey)?;
                if !goes && !place.tool.is_generated(&extra) {
                    return Ok(Some(places.portable(&extra)));
                }
            }
        }
        Ok(None)
    }

    /// Whether all that lies at a path is known to have been left by runs; if so, it is marked for
    /// removal, and otherwise nothing of it is.
    fn goes(&self, path: &Path, place: &Place, survey: &mut Survey) -> Result<bool, StoreError> {
        let (files, folders) = (survey.remove.len(), survey.remove_folders.len());
        let goes = self.may_go(path, place, survey)?;
        if !goes {
            survey.remove.truncate(files);
            survey.remove_folders.truncate(folders);
        }
        Ok(goes)
    }

    fn may_go(&self, path: &Path, place: &Place, survey: &mut Survey) -> Result<bool, StoreError> {
        let found = look(path)?;
        if let Found::Folder(_) = found {
            let names = list(path)?.unwrap_or_default();
            if names.is_empty()
                && !self
                    .left(&place.zones.places.portable(path))?
                    .is_some_and(|left| left.value == Value::FOLDER)
            {
                return Ok(false);
            }
            for name in names {
                if !self.may_go(&path.join(name), place, survey)? {
                    return Ok(false);
                }
            }
            survey.remove_folders.push(path.to_path_buf());
            return Ok(true);
        }
        let is_left = self.is_left(path, &found, place.zones, place.digests)?;
        if is_left {
            survey.remove.push(path.to_path_buf());
        }
        Ok(is_left)
    }

    /// Whether what lies at a path is what some run left there.
    pub fn is_left(
        &self,
        path: &Path,
        found: &Found,
        zones: &Zones,
        digests: &Digests,
    ) -> Result<bool, StoreError> {
        let Some(left) = self.left(&zones.places.portable(path))? else { return Ok(false) };
        Ok(match found {
            Found::File(stamp) if left.stamp.as_ref() == Some(stamp) => true,
            Found::File(stamp) => content(path, stamp, digests) == Some(left.value),
            Found::Link(text) => Value::link(text) == left.value,
            Found::Absent | Found::Folder(_) | Found::Other => false,
        })
    }

    /// Whether a later step of the same task left what lies there: it rewrites what this one makes.
    fn is_rewritten_later(&self, path: &Path, found: &Found, place: &Place) -> Result<bool, StoreError> {
        if place.later.is_empty() {
            return Ok(false);
        }
        let left = self.left(&place.zones.places.portable(path))?;
        let is_theirs = left.is_some_and(|left| place.later.contains(&left.step));
        Ok(is_theirs && self.is_left(path, found, place.zones, place.digests)?)
    }

    /// Whether a run of this step is known to have left what lies, or lay, at a path.
    pub fn was_made_by(&self, step: Digest, path: &PortablePath) -> bool {
        self.left(path).ok().flatten().is_some_and(|left| left.step == step)
    }

    fn is_of_later(&self, path: &Path, place: &Place) -> Result<bool, StoreError> {
        if place.later.is_empty() {
            return Ok(false);
        }
        if self.left(&place.zones.places.portable(path))?.is_some_and(|left| place.later.contains(&left.step))
        {
            return Ok(true);
        }
        // A folder of which nothing is known is theirs if all in it is.
        let Found::Folder(_) = look(path)? else { return Ok(false) };
        let names = list(path)?.unwrap_or_default();
        let theirs = names.iter().map(|name| self.is_of_later(&path.join(name), place));
        Ok(!names.is_empty() && theirs.collect::<Result<Vec<_>, _>>()?.into_iter().all(|theirs| theirs))
    }

    fn put(&self, entry: &Entry, place: &Place, survey: Survey) -> Result<(), ArchiveError> {
        let places = &place.zones.places;
        let scratch = Scratch::new(&self.folder().join("tmp"))?;
        let outputs = &entry.manifest.outputs;
        let mut wanted = FxHashMap::default();
        for index in &survey.put {
            if let OutputKind::File { .. } = outputs[*index].kind {
                wanted.insert(&outputs[*index].path, (&outputs[*index].kind, scratch.file(*index)));
            }
        }
        if !wanted.is_empty() {
            let missing =
                || ArchiveError::Damaged { archive: Digest([0; 32]), why: "the entry names none".to_owned() };
            self.unpack(entry.archive.ok_or_else(missing)?, &wanted)?;
        }
        Point::Unpacked.reached();
        for path in &survey.remove {
            tolerate_absence(fs::remove_file(path)).map_err(io_error("remove", path))?;
        }
        for path in &survey.remove_folders {
            tolerate_absence(fs::remove_dir(path)).map_err(io_error("remove", path))?;
        }
        Point::StaleRemoved.reached();
        let mut stamps = survey.stamps;
        let mut made = Vec::new();
        for (count, index) in survey.put.iter().enumerate() {
            let path = places.absolute(&outputs[*index].path);
            let missing = path.ancestors().skip(1).take_while(|above| above.symlink_metadata().is_err());
            made.extend(missing.map(|folder| (places.portable(folder), Value::FOLDER, None)));
            put_one(&outputs[*index].kind, &scratch.file(*index), &path)?;
            stamps[*index] = None;
            if count == 0 {
                Point::FirstPlaced.reached();
            }
        }
        Point::AllPlaced.reached();
        let gone: Vec<PortablePath> = survey.remove.iter().map(|path| places.portable(path)).collect();
        self.note_left(entry, place, &stamps, &gone)?;
        self.leave(place.step, &made, &[])?;
        Point::LeftRemembered.reached();
        Ok(())
    }

    fn note_left(
        &self,
        entry: &Entry,
        place: &Place,
        stamps: &[Option<Stamp>],
        gone: &[PortablePath],
    ) -> Result<(), StoreError> {
        let outputs = entry.manifest.outputs.iter().zip(stamps);
        let left: Vec<_> =
            outputs.map(|(output, stamp)| (output.path.clone(), output.kind.value(), *stamp)).collect();
        self.leave(place.step, &left, gone)
    }
}

/// Whether what lies there is the output, and its stamp where that can be trusted from now on.
fn compare(
    path: &Path,
    found: &Found,
    kind: &OutputKind,
    known: Option<Stamp>,
    digests: &Digests,
) -> (bool, Option<Stamp>) {
    match (kind, found) {
        (OutputKind::File { .. }, Found::File(stamp)) if known == Some(*stamp) => (true, Some(*stamp)),
        (OutputKind::File { bytes, .. }, Found::File(stamp)) => {
            let is_right = *bytes == stamp.size && content(path, stamp, digests) == Some(kind.value());
            (is_right, stamp.is_settled(stamp::now_ns()).then_some(*stamp).filter(|_| is_right))
        }
        (OutputKind::Link(text), Found::Link(there)) => (text.as_slice() == there.as_bytes(), None),
        (OutputKind::Folder, Found::Folder(_)) => (true, None),
        _ => (false, None),
    }
}

fn content(path: &Path, stamp: &Stamp, digests: &Digests) -> Option<Value> {
    digests.of_file(path, *stamp).ok().map(|(stamp, digest)| Value::content(digest, stamp.is_executable()))
}

/// Whether the run overwrites what lies at its output without reading it, or empties the folder. What
/// is overwritten may keep its permissions, and a link may be written through: so only a file like the
/// one to come may be replaced, unless the folder is emptied before.
fn may_replace(entry: &Entry, place: &Place, output: &Output, found: &Found) -> bool {
    let places = &place.zones.places;
    let absolute = places.absolute(&output.path);
    // What the run read and rewrote lies there as it lay there then.
    if place
        .pathset
        .paths
        .binary_search_by(|(path, query)| (path, query).cmp(&(&output.path, &Query::Content)))
        .is_ok()
    {
        return true;
    }
    let is_emptied = || {
        absolute.parent().is_some_and(|folder| {
            folder_habit(entry, place, &places.portable(folder)) == Some(FolderHabit::Emptied)
        })
    };
    match (found, &output.kind) {
        (Found::File(stamp), OutputKind::File { executable, .. }) if stamp.is_executable() == *executable => {
            let mut all = std::iter::once(&entry.manifest.habits).chain(place.habits);
            all.any(|habits| habits.replaced.binary_search(&output.path).is_ok()) || is_emptied()
        }
        (Found::File(_) | Found::Link(_), _) => is_emptied(),
        _ => false,
    }
}

fn folder_habit(entry: &Entry, place: &Place, folder: &PortablePath) -> Option<FolderHabit> {
    let known =
        |habits: &Habits| habits.folders.iter().find(|(path, _)| path == folder).map(|(_, habit)| *habit);
    // Newer runs of the same key, then of the same step, know more than the run that made the entry.
    place.habits.iter().find_map(known).or_else(|| known(&entry.manifest.habits))
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

fn look(path: &Path) -> Result<Found, StoreError> {
    Found::at(path).map_err(io_error("look at", path))
}

fn list(path: &Path) -> Result<Option<Vec<std::ffi::OsString>>, StoreError> {
    match fs::read_dir(path) {
        Ok(entries) => {
            let names: io::Result<Vec<_>> =
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
            names.map(Some).map_err(io_error("list", path))
        }
        Err(error) if stamp::is_absence(&error) => Ok(None),
        Err(error) => Err(io_error("list", path)(error)),
    }
}

fn tolerate_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if stamp::is_absence(&error) => Ok(()),
        other => other,
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { what, path, source }
}

impl Place<'_> {
    /// The folders that stored paths are relative to.
    pub fn places(&self) -> &Places {
        &self.zones.places
    }
}

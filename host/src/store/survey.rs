//! Whether the outputs of an entry may be put in place, and what that takes: what lies there is
//! compared first, and nobody's file is overwritten or removed on a guess
//! (`docs/design/what-was-there-before.md`). Decides only; `replay` does.

use super::format::{FolderHabit, Habits, Output, OutputKind};
use super::virtual_tree::{Lies, VirtualTree};
use super::{Entry, Left, Store, StoreError, io_error, names};
use crate::digest::Digest;
use crate::fingerprint::{Digests, Pathset, Query, Turn, Value};
use crate::globs::Globs;
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use crate::tool_state::ToolState;
use crate::zone::{Zone, Zones};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whose outputs are to be put where.
pub struct Place<'a> {
    /// What counts where.
    pub zones: &'a Zones,
    /// The disk as the hits before this one would leave it.
    pub tree: &'a VirtualTree,
    /// The step, by task and position.
    pub step: Digest,
    /// Later steps of the same chain that hit too: what they left is no extra.
    pub later: &'a [Digest],
    /// What the entry depended on: what was read there is as it was when the command ran.
    pub pathset: &'a Pathset,
    /// Knowledge of habits, most particular first: of the CacheKey, then of the step.
    pub habits: &'a [Habits],
    /// What the tool keeps for itself or for others.
    pub tool: &'a ToolState,
    /// Digests that this session has computed.
    pub digests: &'a Digests,
    /// From before the survey.
    pub turn: Turn,
}

/// What must be done, before anything is.
#[derive(Debug, Default)]
pub struct Survey {
    /// Positions in the manifest of what must be put in place.
    pub put: Vec<usize>,
    /// What must go: files, links and folders.
    pub remove: Vec<PortablePath>,
    /// Stamps of the outputs that are in place, in the manifest's order.
    pub stamps: Vec<Option<Stamp>>,
    /// Whether the stamps are others than remembered.
    pub is_news: bool,
    /// Stamps of the folders with outputs in which nothing else lies, in the order of their paths.
    pub folders: Vec<Option<Stamp>>,
    /// Whether these are others than remembered.
    pub has_other_folders: bool,
}

/// What a survey found.
#[derive(Debug)]
pub enum Surveyed {
    /// The outputs may be put in place.
    Fits(Survey),
    /// Something lies there that no run is known to have left.
    Blocked(PortablePath),
}

impl Survey {
    /// Whether there is nothing to do.
    pub fn is_in_place(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }
}

impl Store {
    /// Finds out what it takes to put the outputs of an entry in place, if what lies there allows it.
    pub fn survey(&self, entry: &Entry, place: &Place) -> Result<Surveyed, StoreError> {
        let mut placed = self.placed(entry.fingerprint)?;
        let placed_folders = placed.split_off(placed.len().min(entry.manifest.outputs.len()));
        let mut survey = Survey::default();
        let mut expected = expected_names(&entry.manifest.outputs);
        for folder in &entry.manifest.emptied {
            expected.entry(folder.clone()).or_default();
        }
        for folder in expected.keys() {
            // A link or a file on the way leads elsewhere, or nowhere.
            let lies = place.at(folder)?;
            if !lies.is_folder() && !lies.is_absent() {
                return Ok(Surveyed::Blocked(folder.clone()));
            }
            place.note(folder, &lies);
            // Where the run found no folder, one that others made may lead it elsewhere (`cp -r a b`).
            // What the step itself left, or a later one of its chain, counts as absent.
            let is_news = lies.is_folder() && entry.manifest.was_bare(folder);
            if is_news && !self.is_folder_of_chain(place, folder)? {
                return Ok(Surveyed::Blocked(folder.clone()));
            }
        }
        for (index, output) in entry.manifest.outputs.iter().enumerate() {
            let known = placed.get(index).copied().flatten();
            if let Some(blocked) = self.survey_output(entry, place, index, output, known, &mut survey)? {
                return Ok(Surveyed::Blocked(blocked));
            }
        }
        for path in &entry.manifest.removed {
            if place.is_cut_off(path)? {
                return Ok(Surveyed::Blocked(path.clone()));
            }
            if place.at(path)?.is_absent() {
                continue;
            }
            // Where nothing was before the run, it has not shown what it does with what another step
            // left there: it may move it elsewhere.
            let is_foreign =
                entry.manifest.temporary.contains(path) && self.is_left_by_another(path, place.step)?;
            if !is_foreign && self.goes(path, place, &mut survey)? {
                continue;
            }
            if !place.tool.is_generated(&place.places().absolute(path)) {
                return Ok(Surveyed::Blocked(path.clone()));
            }
        }
        if let Some(blocked) = self.survey_extras(entry, place, &expected, &placed_folders, &mut survey)? {
            return Ok(Surveyed::Blocked(blocked));
        }
        survey.is_news = survey.stamps != placed;
        survey.has_other_folders = survey.folders != placed_folders;
        Ok(Surveyed::Fits(survey))
    }

    /// One output. Gives its path where it is blocked.
    fn survey_output(
        &self,
        entry: &Entry,
        place: &Place,
        index: usize,
        output: &Output,
        known: Option<Stamp>,
        survey: &mut Survey,
    ) -> Result<Option<PortablePath>, StoreError> {
        let lies = place.at(&output.path)?;
        place.note(&output.path, &lies);
        let path = place.places().absolute(&output.path);
        let (is_right, stamp) = match &lies {
            Lies::Disk(found) => compare(&path, found, &output.kind, known, place.digests),
            Lies::Planned(kind, _) => (*kind == output.kind, None),
        };
        survey.stamps.push(stamp);
        if is_right {
            // The same in the place of what the run had looked for and not found: it would not have made it.
            let is_met = matches!(lies, Lies::Disk(Found::File(_) | Found::Link(_)))
                && entry.manifest.was_bare(&output.path)
                && !place.tool.is_generated(&path)
                && self.left_by_chain(place, &output.path)?.is_none();
            return Ok(is_met.then(|| output.path.clone()));
        }
        if place.zones.of(&path) != Zone::Workspace {
            return Err(names::no_output(&output.path));
        }
        if place.tool.is_generated(&path) && !lies.is_absent() {
            // Somebody else's version stays: another command of the tool keeps this file as well.
            if self.was_made_by(place.step, &output.path) && self.is_left(&output.path, &lies, place)? {
                survey.put.push(index);
            }
            return Ok(None);
        }
        let is_own = || self.was_made_by(place.step, &output.path);
        let is_news = entry.manifest.was_bare(&output.path);
        let is_own_as_left =
            || -> Result<bool, StoreError> { Ok(is_own() && self.is_left(&output.path, &lies, place)?) };
        let is_remade = || is_known(entry, place, output, |habits| &habits.remade);
        let is_replaced = || may_replace(entry, place, output, &lies);
        let may_replace = lies.is_absent()
            || (!is_news && is_replaced())
            || ((is_remade() || is_replaced()) && is_own_as_left()?)
            // What a later step of the task left counts as absent, whether or not this one looked.
            || self.is_rewritten_later(&output.path, &lies, place)?;
        if !may_replace {
            return Ok(Some(output.path.clone()));
        }
        survey.put.push(index);
        Ok(None)
    }

    /// Names in the output folders that the entry lacks. Gives the first that must not be there and
    /// may not go.
    fn survey_extras(
        &self,
        entry: &Entry,
        place: &Place,
        expected: &BTreeMap<PortablePath, FxHashSet<&OsStr>>,
        placed: &[Option<Stamp>],
        survey: &mut Survey,
    ) -> Result<Option<PortablePath>, StoreError> {
        for (nth, (folder, names)) in expected.iter().enumerate() {
            survey.folders.push(None);
            let habit = folder_habit(entry, place, folder);
            let is_shown = own_habit(entry, folder).is_some();
            let is_news = entry.manifest.was_bare(folder) || entry.manifest.was_emptied(folder);
            if habit == Some(FolderHabit::Kept) && !is_news {
                continue;
            }
            let stamp = place.stamp_of_folder(folder)?;
            if stamp.is_some() && placed.get(nth) == Some(&stamp) {
                survey.folders[nth] = stamp;
                continue;
            }
            // From before the listing: what comes later must show in the stamp.
            let began = stamp::now_ns();
            let Some(there) = place.names(folder)? else { continue };
            if there.iter().all(|name| names.contains(name.as_os_str())) {
                survey.folders[nth] = stamp.filter(|stamp| stamp.is_settled(began));
            }
            for name in there.iter().filter(|name| !names.contains(name.as_os_str())) {
                let extra = folder.join(name);
                let absolute = place.places().absolute(&extra);
                let is_other = place.zones.of(&absolute) != Zone::Workspace || place.tool.is_own(&absolute);
                if is_other || survey.remove.contains(&extra) || self.is_of_later(&extra, place)? {
                    continue;
                }
                // Where that run has not shown what becomes of others' names, another one that has, or an
                // adapter's word that the command empties the tree, counts for what the step itself left.
                let is_emptied = match habit {
                    Some(habit) if is_shown => habit == FolderHabit::Emptied,
                    Some(FolderHabit::Emptied) => self.is_made_by(&extra, &[place.step], place)?,
                    Some(_) => false,
                    None => {
                        place.tool.is_owned(&absolute) && self.is_made_by(&extra, &[place.step], place)?
                    }
                };
                let goes = is_emptied && self.goes(&extra, place, survey)?;
                if !goes && !place.tool.is_generated(&absolute) {
                    return Ok(Some(extra));
                }
            }
        }
        Ok(None)
    }

    /// Whether all that lies at a path is known to have been left by runs; if so, it is marked for
    /// removal, and otherwise nothing of it is.
    fn goes(&self, path: &PortablePath, place: &Place, survey: &mut Survey) -> Result<bool, StoreError> {
        let before = survey.remove.len();
        let goes = self.may_go(path, place, survey)?;
        if !goes {
            survey.remove.truncate(before);
        }
        Ok(goes)
    }

    fn may_go(&self, path: &PortablePath, place: &Place, survey: &mut Survey) -> Result<bool, StoreError> {
        let lies = place.at(path)?;
        let goes = if lies.is_folder() {
            let names = place.names(path)?.unwrap_or_default();
            let is_made = |left: Left| left.value == Value::FOLDER;
            let is_planned = matches!(lies, Lies::Planned(..));
            if names.is_empty() && !is_planned && !self.left(path)?.is_some_and(is_made) {
                return Ok(false);
            }
            for name in names {
                if !self.may_go(&path.join(&name), place, survey)? {
                    return Ok(false);
                }
            }
            true
        } else {
            self.is_left(path, &lies, place)?
        };
        if goes {
            survey.remove.push(path.clone());
        }
        Ok(goes)
    }

    fn is_left(&self, path: &PortablePath, lies: &Lies, place: &Place) -> Result<bool, StoreError> {
        match lies {
            Lies::Planned(..) => Ok(true),
            Lies::Disk(found) => self.is_left_on_disk(path, found, place.places(), place.digests),
        }
    }

    /// Whether what lies at a path of the disk is what some run left there.
    pub fn is_left_on_disk(
        &self,
        path: &PortablePath,
        found: &Found,
        places: &Places,
        digests: &Digests,
    ) -> Result<bool, StoreError> {
        let Some(left) = self.left(path)? else { return Ok(false) };
        Ok(match found {
            Found::File(stamp) if left.stamp.as_ref() == Some(stamp) => true,
            Found::File(stamp) => content(&places.absolute(path), stamp, digests) == Some(left.value),
            Found::Link(text) => Value::link(text) == left.value,
            Found::Absent | Found::Folder(_) | Found::Other => false,
        })
    }

    /// Whether every output of an entry lies on the disk as it is to be.
    pub fn is_in_place(&self, entry: &Entry, places: &Places, digests: &Digests) -> Result<bool, StoreError> {
        let placed = self.placed(entry.fingerprint)?;
        for (index, output) in entry.manifest.outputs.iter().enumerate() {
            let path = places.absolute(&output.path);
            let found = Found::at(&path).map_err(io_error("look at", &path))?;
            let known = placed.get(index).copied().flatten();
            if !compare(&path, &found, &output.kind, known, digests).0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a later step of the same chain left what lies there: it rewrites what this one makes.
    fn is_rewritten_later(
        &self,
        path: &PortablePath,
        lies: &Lies,
        place: &Place,
    ) -> Result<bool, StoreError> {
        if place.later.is_empty() {
            return Ok(false);
        }
        let is_theirs = self.left(path)?.is_some_and(|left| place.later.contains(&left.step));
        Ok(is_theirs && self.is_left(path, lies, place)?)
    }

    /// What a run of the step, or of a later one of its chain, left at a path, whatever lies there now.
    fn left_by_chain(&self, place: &Place, path: &PortablePath) -> Result<Option<Left>, StoreError> {
        let is_of_chain = |left: &Left| left.step == place.step || place.later.contains(&left.step);
        Ok(self.left(path)?.filter(is_of_chain))
    }

    /// Whether the folder that lies at a path is one that the step left, or a later one of its chain, and not
    /// another that somebody made in its place. One that was copied or moved there with all that they left
    /// in it is taken for theirs.
    fn is_folder_of_chain(&self, place: &Place, path: &PortablePath) -> Result<bool, StoreError> {
        let Some(Left { stamp: known, .. }) = self.left_by_chain(place, path)? else { return Ok(false) };
        let is_planned = matches!(place.at(path)?, Lies::Planned(..));
        if is_planned || known.is_none() || Stamp::of_folder(&place.places().absolute(path)) == known {
            return Ok(true);
        }
        let steps = [&[place.step], place.later].concat();
        let is_empty = place.names(path)?.is_none_or(|names| names.is_empty());
        Ok(!is_empty && self.is_made_by(path, &steps, place)?)
    }

    /// Whether a run of this step is known to have left what lies, or lay, at a path.
    pub fn was_made_by(&self, step: Digest, path: &PortablePath) -> bool {
        self.left(path).ok().flatten().is_some_and(|left| left.step == step)
    }

    /// Whether later steps of the chain made all that lies at a path.
    fn is_of_later(&self, path: &PortablePath, place: &Place) -> Result<bool, StoreError> {
        if place.later.is_empty() {
            return Ok(false);
        }
        self.is_made_by(path, place.later, place)
    }

    fn is_made_by(&self, path: &PortablePath, steps: &[Digest], place: &Place) -> Result<bool, StoreError> {
        match place.at(path)? {
            Lies::Planned(..) => Ok(false),
            Lies::Disk(found) => self.is_all_made_by(path, &found, steps, place.places(), place.digests),
        }
    }

    /// Whether these steps made all that lies at a path of the disk, and it is as they left it.
    pub fn is_all_made_by(
        &self,
        path: &PortablePath,
        found: &Found,
        steps: &[Digest],
        places: &Places,
        digests: &Digests,
    ) -> Result<bool, StoreError> {
        let is_theirs = || Ok(self.left(path)?.is_some_and(|left| steps.contains(&left.step)));
        let Found::Folder(_) = found else {
            return Ok(is_theirs()? && self.is_left_on_disk(path, found, places, digests)?);
        };
        let names = VirtualTree::default().names(places, path);
        let names = names.map_err(io_error("list", &places.absolute(path)))?.unwrap_or_default();
        for name in &names {
            let child = path.join(name);
            let absolute = places.absolute(&child);
            let found = Found::at(&absolute).map_err(io_error("look at", &absolute))?;
            if !self.is_all_made_by(&child, &found, steps, places, digests)? {
                return Ok(false);
            }
        }
        if names.is_empty() { is_theirs() } else { Ok(true) }
    }
}

impl Place<'_> {
    /// The folders that stored paths are relative to.
    fn places(&self) -> &Places {
        &self.zones.places
    }

    fn at(&self, path: &PortablePath) -> Result<Lies, StoreError> {
        let look = || match self.digests.seen.at(path) {
            Some(seen) => Ok(seen),
            None => Found::at(&self.places().absolute(path)),
        };
        let failed = |source| io_error("look at", &self.places().absolute(path))(source);
        self.tree.at(path, look).map_err(failed)
    }

    /// Notes what lies at a path of the disk; what lies on the way to it was seen to be folders. Where hits before
    /// this one plan something, what they would leave is not what lies there.
    fn note(&self, path: &PortablePath, lies: &Lies) {
        if let Lies::Disk(found) = lies
            && self.tree.is_empty()
        {
            self.digests.seen.note(path, found, self.turn);
        }
    }

    /// The stamp of a folder of which the disk alone says what is in it.
    fn stamp_of_folder(&self, folder: &PortablePath) -> Result<Option<Stamp>, StoreError> {
        Ok(match self.at(folder)? {
            Lies::Disk(Found::Folder(stamp)) if !self.tree.plans_within(folder) => Some(stamp),
            _ => None,
        })
    }

    /// Whether a link or a file is on the way to a path: then what lies there lies elsewhere.
    fn is_cut_off(&self, path: &PortablePath) -> Result<bool, StoreError> {
        for (end, _) in path.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let lies = self.at(&PortablePath::from_bytes(&path.as_bytes()[..end]))?;
            if lies.is_absent() {
                return Ok(false);
            }
            if !lies.is_folder() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn names(&self, folder: &PortablePath) -> Result<Option<Vec<OsString>>, StoreError> {
        let failed = |source| io_error("list", &self.places().absolute(folder))(source);
        self.tree.names(self.places(), folder).map_err(failed)
    }
}

/// For each folder with outputs, up to the root, the names that the outputs need in it.
fn expected_names(outputs: &[Output]) -> BTreeMap<PortablePath, FxHashSet<&OsStr>> {
    let mut expected: BTreeMap<PortablePath, FxHashSet<&OsStr>> = BTreeMap::new();
    for output in outputs {
        if output.kind == OutputKind::Folder {
            // It is to be empty.
            expected.entry(output.path.clone()).or_default();
        }
        let mut child = Path::new(OsStr::from_bytes(output.path.as_bytes()));
        while let (Some(folder), Some(name)) = (child.parent(), child.file_name()) {
            let portable = match folder.as_os_str().as_bytes() {
                b"" => PortablePath::from_bytes(b"."),
                bytes => PortablePath::from_bytes(bytes),
            };
            if !expected.entry(portable).or_default().insert(name) {
                break;
            }
            child = folder;
        }
    }
    expected
}

/// Whether what lies on the disk is the output, and its stamp where that can be trusted from now on.
pub(super) fn compare(
    path: &Path,
    found: &Found,
    kind: &OutputKind,
    known: Option<Stamp>,
    digests: &Digests,
) -> (bool, Option<Stamp>) {
    match (kind, found) {
        (OutputKind::File { .. }, Found::File(stamp)) if known == Some(*stamp) => (true, Some(*stamp)),
        (OutputKind::File { bytes, .. }, Found::File(stamp)) => {
            // From before the reading, as in `Digests::of_file`.
            let began = stamp::now_ns();
            let is_right = *bytes == stamp.size && content(path, stamp, digests) == Some(kind.value());
            (is_right, stamp.is_settled(began).then_some(*stamp).filter(|_| is_right))
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
fn may_replace(entry: &Entry, place: &Place, output: &Output, lies: &Lies) -> bool {
    // What the run read and rewrote lies there as it lay there then.
    let member = (&output.path, &Query::Content);
    let is_read = place.pathset.paths.binary_search_by(|(path, query)| (path, query).cmp(&member)).is_ok();
    if is_read || is_named_input(place.pathset, &output.path) {
        return true;
    }
    let is_emptied = || {
        let path = place.places().absolute(&output.path);
        path.parent().is_some_and(|folder| {
            own_habit(entry, &place.places().portable(folder)) == Some(FolderHabit::Emptied)
        })
    };
    let is_executable = match lies {
        Lies::Disk(Found::File(stamp)) => stamp.is_executable(),
        // An earlier step that writes over what lies there leaves it its permissions.
        Lies::Planned(OutputKind::File { executable, .. }, _) => {
            match Found::at(&place.places().absolute(&output.path)) {
                Ok(Found::File(stamp)) => stamp.is_executable(),
                _ => *executable,
            }
        }
        Lies::Disk(Found::Link(_)) | Lies::Planned(OutputKind::Link(_), _) => return is_emptied(),
        _ => return false,
    };
    match output.kind {
        OutputKind::File { executable, .. } if executable == is_executable => {
            entry.manifest.state_files.binary_search(&output.path).is_ok()
                || is_known(entry, place, output, |habits| &habits.replaced)
                || is_emptied()
        }
        _ => is_emptied(),
    }
}

/// Whether a pattern of inputs matches a path that is not the step's own.
fn is_named_input(pathset: &Pathset, path: &PortablePath) -> bool {
    !pathset.globs.is_empty()
        && pathset.globs_except.binary_search(path).is_err()
        && Globs::new(&pathset.globs).name(path)
}

/// Whether some knowledge of habits lists an output.
fn is_known(
    entry: &Entry,
    place: &Place,
    output: &Output,
    list: impl Fn(&Habits) -> &Vec<PortablePath>,
) -> bool {
    let mut all = std::iter::once(&entry.manifest.habits).chain(place.habits);
    all.any(|habits| list(habits).binary_search(&output.path).is_ok())
}

/// What the run that made the entry did in a folder with names that it did not write; where nothing shows it,
/// what newer runs of the same key, then of the same step, did.
fn folder_habit(entry: &Entry, place: &Place, folder: &PortablePath) -> Option<FolderHabit> {
    own_habit(entry, folder).or_else(|| place.habits.iter().find_map(|habits| habit_in(habits, folder)))
}

fn own_habit(entry: &Entry, folder: &PortablePath) -> Option<FolderHabit> {
    habit_in(&entry.manifest.habits, folder)
}

fn habit_in(habits: &Habits, folder: &PortablePath) -> Option<FolderHabit> {
    habits.folders.iter().find(|(path, _)| path == folder).map(|(_, habit)| *habit)
}

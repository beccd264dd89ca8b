//! What a run teaches beside its entry, also one that failed or is refused: what it does with what it
//! finds, what it left, which files are its tool's own, and how it ended. A note that cannot be written
//! costs a later run more, and is no reason to fail this one.

use super::{Cached, Shared, facts};
use crate::access::{Observed, Seen};
use crate::digest::{Digest, Fields};
use crate::fingerprint::Value;
use crate::habit;
use crate::outcome::Refusal;
use crate::path::PortablePath;
use crate::stamp::{self, Found, Stamp};
use crate::store::{FolderHabit, Habits, LastRun, Store};
use crate::tool_state::is_in_hidden_folder;
use crate::zone::Zone;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// After a run that failed: nothing is kept, but what it left and did is known. What is told of the run
/// before stays, with the word that a later one failed.
pub fn learn_from_failure(shared: &Shared, cached: &Cached, observed: &Observed) {
    let last = cached.store.last_run(cached.scope).ok().flatten();
    let key = last.as_ref().map_or_else(|| Some(cached.key.clone()), |last| last.key.clone());
    let fingerprint = last.as_ref().and_then(|last| last.fingerprint);
    let report = facts::failed(cached, last.as_ref().map(|last| &*last.report));
    note(cached, LastRun { key, fingerprint, report: facts::packed(&report) });
    let ends = ends(observed);
    learn(shared, cached, observed, &ends, false);
    note_left(shared, cached, observed, &ends);
    note_tool_files(shared, cached, observed, &ends);
}

/// Notes how the step ended, with arguments also as the last run of the task. Without the note less can be told
/// of it.
pub(super) fn note(cached: &Cached, last: LastRun) {
    let of_task = super::scope_of(cached.step, false);
    for scope in [cached.scope, of_task].into_iter().take(1 + usize::from(cached.step.has_args)) {
        let _ = cached.store.note_run(scope, &cached.step.id.task, cached.step.id.position, &last);
    }
}

/// What was kept of a run turned out not to be its own: it is forgotten, and told as not stored from now on.
pub(super) fn unlearn(store: &Store, entry: Digest, why: Refusal) {
    let _ = store.remove_entry(entry);
    // Without the note less can be told of it.
    let _ = store.retell(entry, |report| facts::refused(report, &why));
}

/// Notes which files of its own state the tool made, so that its reading them again is no news. A file
/// that was there before is believed to be state only in a hidden folder.
pub(super) fn note_tool_files(
    shared: &Shared,
    cached: &Cached,
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
) {
    let Some(keeper) = cached.keeper() else { return };
    let places = &shared.zones.places;
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (path, found) in ends.iter().filter(|(path, _)| cached.tool.is_kept(path)) {
        let change = observed.paths.get(path).and_then(|seen| seen.change.as_ref());
        let is_new = change.is_some_and(|change| change.found == Found::Absent);
        match found {
            Found::Absent => gone.push(places.portable(path)),
            Found::File(_) | Found::Link(_) if is_new || is_in_hidden_folder(&places.root, path) => {
                kept.push(places.portable(path));
            }
            _ => {}
        }
    }
    // Without the note those reads count, and cost a miss.
    let _ = cached.store.keep_tool_files(keeper, &kept, &gone);
    // What is neither stored nor put back is no news to anybody: its names are noted for all.
    let own = |paths: Vec<PortablePath>| -> Vec<PortablePath> {
        let mut own = BTreeSet::new();
        for path in paths.iter().map(|path| places.absolute(path)) {
            own.extend(
                path.ancestors()
                    .take_while(|path| cached.tool.is_own(path))
                    .map(|path| places.portable(path)),
            );
        }
        own.into_iter().collect()
    };
    gone.retain(|path| cached.tool.is_own(&places.absolute(path)));
    let _ = cached.store.keep_tool_files(anyone(), &own(kept), &gone);
}

/// Under whom the state of all tools is noted.
pub(super) fn anyone() -> Digest {
    Fields::new("tool state of anyone").digest()
}

/// The files and links that the step changed, and what it removed. That two make the same folder is no
/// conflict.
pub fn changed(observed: &Observed) -> FxHashSet<PathBuf> {
    let is_changed = |path: &Path, seen: &Seen| {
        let Some(change) = &seen.change else { return false };
        match (Found::at(path), &change.found) {
            (Ok(Found::Folder(_)), _) => seen.removed,
            (Ok(Found::File(after)), Found::File(before)) => after != *before,
            _ => true,
        }
    };
    let changed = observed.paths.iter().filter(|(path, seen)| is_changed(path, seen));
    changed.map(|(path, _)| path.clone()).collect()
}

/// What lies now at each path that the step asked to change.
pub(super) fn ends(observed: &Observed) -> FxHashMap<PathBuf, Found> {
    let changed = observed.paths.iter().filter(|(_, seen)| seen.change.is_some());
    changed.map(|(path, _)| (path.clone(), Found::at(path).unwrap_or(Found::Other))).collect()
}

/// `is_whole`: the run came to its end. One that stopped before would perhaps have removed what it left.
pub(super) fn learn(
    shared: &Shared,
    cached: &Cached,
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
    is_whole: bool,
) -> Habits {
    let others = |folder: &Path, is_changed: &dyn Fn(&Path) -> bool| {
        let Ok(names) = std::fs::read_dir(folder) else { return false };
        names.flatten().any(|name| {
            let path = name.path();
            shared.zones.of(&path) == Zone::Workspace && !cached.tool.is_own(&path) && !is_changed(&path)
        })
    };
    let places = &shared.zones.places;
    let is_own = |folder: &Path| {
        shared.zones.of(folder) == Zone::Workspace
            && made_folder(cached, observed, folder, &places.portable(folder))
    };
    let mut habits = habit::learn(observed, ends, places, &is_own, &others);
    habits.folders.retain(|(_, habit)| is_whole || *habit != FolderHabit::Kept);
    // Without it a later hit is blocked and costs a run; that is no reason to fail this one.
    let _ = cached.store.learn([cached.key_digest, cached.scope], &habits);
    habits
}

/// Whether a run of the tool is known to have made a file of its own state there.
pub(super) fn is_tool_file(cached: &Cached, path: &Path, portable: &PortablePath) -> bool {
    cached.tool.is_kept(path)
        && cached.keeper().is_some_and(|keeper| cached.store.is_tool_file(keeper, portable))
}

/// Whether a run of this step is known to have made the folder that this one found there: not another one
/// that somebody has made since in its place.
pub(super) fn made_folder(
    cached: &Cached,
    observed: &Observed,
    path: &Path,
    portable: &PortablePath,
) -> bool {
    let left = cached.store.left(portable).ok().flatten();
    let Some(left) = left.filter(|left| left.step == cached.scope && left.value == Value::FOLDER) else {
        return false;
    };
    let Some(known) = left.stamp else { return true };
    let seen = observed.seen(path);
    let is_changed = seen.is_some_and(|seen| seen.change.is_some());
    match seen.and_then(|seen| seen.first()).map(|first| &first.found) {
        Some(Found::Folder(then)) if (then.dev, then.ino) != (known.dev, known.ino) => false,
        Some(Found::Folder(_)) | None if !is_changed => Stamp::of_folder(path) == Some(known),
        _ => true,
    }
}

/// Notes what a run that is not kept left behind, so that a later hit may replace it.
pub(super) fn note_left(
    shared: &Shared,
    cached: &Cached,
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
) {
    let places = &shared.zones.places;
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    for (path, found) in ends.iter().filter(|(path, _)| shared.zones.of(path) == Zone::Workspace) {
        match found {
            Found::Absent => gone.push(places.portable(path)),
            Found::File(stamp) => {
                // From before the reading: what changes meanwhile may show in no stamp.
                let began = stamp::now_ns();
                if let Ok((stamp, digest)) = shared.digests.of_file(path, *stamp) {
                    let value = Value::content(digest, stamp.is_executable());
                    left.push((places.portable(path), value, stamp.is_settled(began).then_some(stamp)));
                }
            }
            Found::Link(text) => left.push((places.portable(path), Value::link(text), None)),
            Found::Folder(_) if was_absent(observed, path) => {
                left.push((places.portable(path), Value::FOLDER, Stamp::of_folder(path)))
            }
            Found::Folder(_) | Found::Other => {}
        }
    }
    // As above: not knowing costs a run, later.
    let _ = cached.store.leave(cached.scope, &left, &gone);
}

pub(super) fn was_absent(observed: &Observed, path: &Path) -> bool {
    observed
        .seen(path)
        .and_then(|seen| seen.change.as_ref())
        .is_some_and(|change| change.found == Found::Absent)
}

//! What a run did with what it found where its outputs go. Pure. Every traced run teaches, also one
//! that failed or was refused.

use crate::access::{Observed, Seen};
use crate::path::Places;
use crate::stamp::Found;
use crate::store::{FolderHabit, Habits};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a run is seen to have done: which paths it overwrote without reading them, and for each
/// folder in which it made something, whether it removed or left names that it did not write.
///
/// `ends` is what lies at each changed path after the run; `others` tells whether a folder holds,
/// after the run, a name that is neither in this list of changed names nor noise.
pub fn learn(
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
    places: &Places,
    others: &dyn Fn(&Path, &dyn Fn(&Path) -> bool) -> bool,
) -> Habits {
    let mut replaced = Vec::new();
    let mut removed_in: BTreeMap<&Path, bool> = BTreeMap::new();
    for (path, seen) in &observed.paths {
        let Some(change) = &seen.change else { continue };
        if !path.starts_with(&places.root) {
            continue;
        }
        let is_there = ends.get(path).is_some_and(|end| *end != Found::Absent);
        let was_there = change.found != Found::Absent;
        if was_there && is_there && is_blind(seen) && matches!(change.found, Found::File(_) | Found::Link(_)) {
            replaced.push(places.portable(path));
        }
        let stale = was_there && !is_there && seen.removed;
        if let Some(folder) = path.parent() {
            *removed_in.entry(folder).or_default() |= stale;
        }
        if is_there {
            // A folder above an output is looked at too, as far up as the root.
            path.ancestors().skip(1).take_while(|above| above.starts_with(&places.root)).for_each(|above| {
                removed_in.entry(above).or_default();
            });
        }
    }
    let is_changed = |path: &Path| is_touched(observed, ends, path);
    let folders = removed_in.into_iter().filter_map(|(folder, removed)| {
        let habit = match (removed, others(folder, &is_changed)) {
            (true, false) => FolderHabit::Emptied,
            (false, true) => FolderHabit::Kept,
            (true, true) => FolderHabit::Mixed,
            (false, false) => return None,
        };
        Some((places.portable(folder), habit))
    });
    let mut habits = Habits { replaced, folders: folders.collect() };
    habits.replaced.sort();
    habits.folders.sort_by(|a, b| a.0.cmp(&b.0));
    habits
}

/// Whether the first thing that the step did with a file was to replace or remove it.
fn is_blind(seen: &Seen) -> bool {
    let change = seen.change.as_ref().map_or(0, |change| change.order);
    let reads = [&seen.read, &seen.exec];
    seen.change_is_blind && !reads.into_iter().flatten().any(|read| read.order < change)
}

/// Whether the step changed what lies at a path, or anything below it.
fn is_touched(observed: &Observed, ends: &FxHashMap<PathBuf, Found>, path: &Path) -> bool {
    let below = observed.paths.range::<Path, _>((std::ops::Bound::Included(path), std::ops::Bound::Unbounded));
    below.take_while(|(other, _)| other.starts_with(path)).any(|(other, seen)| {
        seen.change.is_some() && ends.get(other).is_some_and(|end| *end != Found::Absent)
    })
}

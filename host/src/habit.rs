//! What a run did with what it found where its outputs go. Pure. Every traced run teaches, also one
//! that failed or was refused.

use crate::access::{Observed, Seen};
use crate::path::Places;
use crate::stamp::Found;
use crate::store::{FolderHabit, Habits};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What became of names that lay in a folder before.
#[derive(Default)]
struct Removed {
    /// Some are gone.
    any: bool,
    /// Some of those were renamed to elsewhere.
    elsewhere: bool,
}

/// What a run is seen to have done: which paths it overwrote without reading them, and for each
/// folder in which it made something, whether it removed or left names that it did not write.
///
/// `is_own` tells whether a run of the step had made a folder: then it counts even if this run made
/// nothing in it. `ends` is what lies at each changed path after the run; `others` tells whether a folder holds,
/// after the run, a name that is neither in this list of changed names nor noise.
pub fn learn(
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
    places: &Places,
    is_own: &dyn Fn(&Path) -> bool,
    others: &dyn Fn(&Path, &dyn Fn(&Path) -> bool) -> bool,
) -> Habits {
    let (mut replaced, mut remade) = (Vec::new(), Vec::new());
    let mut removed_in: BTreeMap<&Path, Removed> = BTreeMap::new();
    for (path, seen) in &observed.paths {
        if !path.starts_with(&places.root) {
            continue;
        }
        let Some(change) = &seen.change else {
            let listed = seen.list.as_deref().map(|(first, _)| first);
            let asked = seen.kind.as_deref().or(seen.stat.as_deref()).or(listed);
            if asked.is_some_and(|first| matches!(first.found, Found::Folder(_))) && is_own(path) {
                path.ancestors().take_while(|above| above.starts_with(&places.root)).for_each(|above| {
                    removed_in.entry(above).or_default();
                });
            }
            continue;
        };
        let is_there = ends.get(path).is_some_and(|end| *end != Found::Absent);
        let was_there = change.found != Found::Absent;
        if was_there && is_there && is_blind(seen) && matches!(change.found, Found::File(_) | Found::Link(_))
        {
            // Who removes a file learns that it was there, and who asks for its time may spare it.
            let asked = seen.stat.as_deref().is_some_and(|stat| stat.order < change.order);
            let list = if seen.removed || asked { &mut remade } else { &mut replaced };
            list.push(places.portable(path));
        }
        let stale = was_there && !is_there && seen.removed;
        if let Some(folder) = path.parent() {
            let removed = removed_in.entry(folder).or_default();
            removed.any |= stale;
            removed.elsewhere |= stale && seen.renamed;
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
        let habit = match (removed.any, others(folder, &is_changed)) {
            // Where it goes depends on what is there; a hit could only remove it.
            _ if removed.elsewhere => FolderHabit::Mixed,
            // Who did not look what was there would have left other names.
            (true, false) if !was_looked_into(observed, folder) => FolderHabit::Mixed,
            (true, false) => FolderHabit::Emptied,
            (false, true) => FolderHabit::Kept,
            (true, true) => FolderHabit::Mixed,
            (false, false) => return None,
        };
        Some((places.portable(folder), habit))
    });
    let mut habits = Habits { replaced, remade, folders: folders.collect() };
    habits.replaced.sort();
    habits.remade.sort();
    habits.folders.sort_by(|a, b| a.0.cmp(&b.0));
    habits
}

fn was_looked_into(observed: &Observed, folder: &Path) -> bool {
    observed.seen(folder).is_some_and(|seen| seen.list.is_some() || seen.removed)
}

/// Whether the first thing that the step did with a file was to replace or remove it.
fn is_blind(seen: &Seen) -> bool {
    let change = seen.change.as_ref().map_or(0, |change| change.order);
    let reads = [&seen.read, &seen.exec];
    seen.change_is_blind && !reads.into_iter().flatten().any(|read| read.order < change)
}

/// Whether the step changed what lies at a path, or anything below it.
fn is_touched(observed: &Observed, ends: &FxHashMap<PathBuf, Found>, path: &Path) -> bool {
    let below =
        observed.paths.range::<Path, _>((std::ops::Bound::Included(path), std::ops::Bound::Unbounded));
    below.take_while(|(other, _)| other.starts_with(path)).any(|(other, seen)| {
        seen.change.is_some() && ends.get(other).is_some_and(|end| *end != Found::Absent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, AccessKind};
    use crate::path::PortablePath;
    use crate::stamp::Stamp;

    const WRITE: AccessKind = AccessKind::Write { truncates: true };

    fn file() -> Found {
        Found::File(Stamp { dev: 1, ino: 1, size: 1, mtime_ns: 1, ctime_ns: 1, mode: 0o100_644 })
    }

    /// What a run teaches that made these accesses, each with what lay there and what lies there now,
    /// where `others` are names that it did not touch.
    fn learned(accesses: &[(AccessKind, &str, Found, Found)], others: &[&str]) -> Habits {
        let (mut observed, mut ends) = (Observed::default(), FxHashMap::default());
        for (kind, path, found, end) in accesses {
            let path = Path::new("/w").join(path);
            observed.add(Access { path: path.clone(), kind: kind.clone(), found: found.clone(), pid: 1 });
            ends.insert(path, end.clone());
        }
        let places = Places { root: "/w".into(), home: None };
        let holds = |folder: &Path, is_changed: &dyn Fn(&Path) -> bool| {
            let others = others.iter().map(|other| Path::new("/w").join(other));
            others.filter(|other| other.parent() == Some(folder)).any(|other| !is_changed(&other))
        };
        learn(&observed, &ends, &places, &|_| false, &holds)
    }

    fn of(habits: &Habits, folder: &str) -> Option<FolderHabit> {
        let folder = PortablePath::from_bytes(folder.as_bytes());
        habits.folders.iter().find(|(path, _)| *path == folder).map(|(_, habit)| *habit)
    }

    #[test]
    fn what_is_overwritten_without_being_read_is_replaced() {
        let habits = learned(&[(WRITE, "dist/x", file(), file())], &[]);
        assert_eq!(habits.replaced, [PortablePath::from_bytes(b"dist/x")]);
    }

    #[test]
    fn what_is_removed_and_made_again_is_not_replaced_blindly() {
        let remove = (AccessKind::Remove, "dist/x", file(), file());
        let habits = learned(&[remove, (WRITE, "dist/x", Found::Absent, file())], &[]);
        assert_eq!(habits.replaced, []);
        assert_eq!(habits.remade, [PortablePath::from_bytes(b"dist/x")]);
    }

    #[test]
    fn what_is_read_before_or_was_not_there_is_not_replaced() {
        let read =
            learned(&[(AccessKind::Read, "dist/x", file(), file()), (WRITE, "dist/x", file(), file())], &[]);
        assert_eq!(read.replaced, []);
        assert_eq!(learned(&[(WRITE, "dist/x", Found::Absent, file())], &[]).replaced, []);
    }

    #[test]
    fn a_folder_from_which_all_else_was_removed_is_emptied() {
        let folder =
            || Found::Folder(Stamp { dev: 1, ino: 2, size: 1, mtime_ns: 1, ctime_ns: 1, mode: 0o040_755 });
        let listed = (AccessKind::List(Vec::new()), "dist", folder(), folder());
        let removed = || (AccessKind::Remove, "dist/old", file(), Found::Absent);
        let made = || (WRITE, "dist/x", Found::Absent, file());
        assert_eq!(of(&learned(&[listed, removed(), made()], &[]), "dist"), Some(FolderHabit::Emptied));
        // It went by its name; another one would have stayed.
        assert_eq!(of(&learned(&[removed(), made()], &[]), "dist"), Some(FolderHabit::Mixed));
    }

    #[test]
    fn a_folder_in_which_other_names_stay_is_kept() {
        let habits = learned(&[(WRITE, "dist/x", Found::Absent, file())], &["dist/stray"]);
        assert_eq!(of(&habits, "dist"), Some(FolderHabit::Kept));
    }

    #[test]
    fn a_folder_in_which_some_names_go_and_others_stay_is_mixed() {
        let removed = (AccessKind::Remove, "dist/old", file(), Found::Absent);
        let habits = learned(&[removed, (WRITE, "dist/x", Found::Absent, file())], &["dist/stray"]);
        assert_eq!(of(&habits, "dist"), Some(FolderHabit::Mixed));
    }

    #[test]
    fn a_folder_from_which_names_were_renamed_away_is_not_emptied() {
        let renamed = (AccessKind::Rename, "dist/old", file(), Found::Absent);
        let habits = learned(&[renamed, (WRITE, "gen/old", Found::Absent, file())], &[]);
        assert_eq!(of(&habits, "dist"), Some(FolderHabit::Mixed));
    }

    #[test]
    fn of_a_folder_without_other_names_nothing_is_known() {
        assert_eq!(of(&learned(&[(WRITE, "dist/x", Found::Absent, file())], &[]), "dist"), None);
    }
}

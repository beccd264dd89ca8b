//! What a step did to a path: output, removal, or a reason to refuse; and what it needed to do it.

use super::{
    Evidence, Fate, InputValue, Settled, first_content_read, holds_left_alone, input, is_left_whole,
};
use crate::access::{First, Seen};
use crate::fingerprint::{Query, Value};
use crate::outcome::Refusal;
use crate::rules::Rules;
use crate::stamp::Found;
use crate::zone::{Zone, Zones};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

/// What the step did to a path: output, removal, or a reason to refuse.
#[allow(clippy::too_many_arguments, reason = "one path with all that is known of it")]
pub(super) fn settle_change(
    evidence: &Evidence,
    rules: &Rules,
    path: &Path,
    zone: Zone,
    seen: &Seen,
    fate: &Fate,
    change: &First,
    settled: &mut Settled,
) -> Result<(), Refusal> {
    let is_gone = *fate.end == Found::Absent;
    let is_temporary = is_gone && change.found == Found::Absent;
    if zone == Zone::Scratch || (is_temporary && zone != Zone::Workspace) {
        return Ok(());
    }
    let overlap = || Refusal::ReadWriteOverlap {
        path: evidence.zones.places.portable(path).to_string(),
        process: evidence.observed.process(change.pid).to_owned(),
    };
    let read = first_content_read(seen).filter(|read| fate.is_before_change(read));
    let counts = rules.input_counts(path) && (zone != Zone::Git || Zones::is_git_stamp(path));
    let overlaps = read.filter(|_| counts).is_some_and(|read| {
        let known = is_left_whole(evidence, path)
            || matches!(&read.found, Found::File(stamp) if (evidence.digest_before)(path, stamp).is_some());
        // An adapter's word counts as far as it may hide the read.
        let hidden =
            || rules.ignores_read(path).is_some_and(|rule| rule.may_hide(evidence, path, &read.found, true));
        matches!(read.found, Found::File(_)) && !known && !hidden()
    });
    if zone == Zone::Git {
        let changes = rules.output_counts(path) && changes_version(evidence, path, change, fate);
        return match (overlaps, changes) {
            (true, _) => Err(overlap()),
            (false, true) => Err(Refusal::WroteOutside(evidence.zones.places.portable(path).to_string())),
            (false, false) => Ok(()),
        };
    }
    if let Some(rule) = rules.ignores_write(path) {
        // What was read counts all the same, and nobody knows what it was.
        if overlaps {
            return Err(overlap());
        }
        if rule.may_hide_write(evidence, path, &change.found) {
            settled.ignored.push(rule.ignored(path, false));
            return Ok(());
        }
        settled.narrowing_refused.push(rule.ignored(path, false));
    }
    if is_temporary {
        // Neither input nor output; but what lies there at a hit would not have outlived a run. Below a
        // folder that is gone nothing lies.
        let above_is_gone = path.parent().and_then(|above| evidence.ends.get(above)) == Some(&Found::Absent);
        if seen.removed && !above_is_gone {
            settled.removed.push(path.to_path_buf());
            settled.temporary.push(path.to_path_buf());
        }
        return Ok(());
    }
    if zone == Zone::Outside {
        // A folder only counts as written through what is in it.
        return match (&change.found, fate.end) {
            (Found::Folder(_), Found::Folder(_)) => Ok(()),
            _ => Err(Refusal::WroteOutside(evidence.zones.places.portable(path).to_string())),
        };
    }
    if overlaps {
        return Err(overlap());
    }
    if is_gone {
        settled.removed.push(path.to_path_buf());
        if !was_made_before(evidence, path, change) && rules.ignores_read(path).is_none() {
            let query = if matches!(change.found, Found::Absent) { Query::Absent } else { Query::Kind };
            let value = InputValue::Known(Value::kind(&change.found));
            settled.inputs.push(input(evidence, path, query, value, change));
        }
    } else if *fate.end == Found::Other && rules.output_counts(path) {
        let path = evidence.zones.places.portable(path);
        return Err(Refusal::StoreFailed(format!(
            "{path} is a pipe, a socket or a device, which no archive holds"
        )));
    } else if rules.output_counts(path) {
        settled.outputs.push(path.to_path_buf());
        let is_own = || was_made_before(evidence, path, change);
        let hidden = || {
            let rule = rules.ignores_read(path);
            rule.is_some_and(|rule| rule.may_hide(evidence, path, &change.found, read.is_some()))
        };
        if is_program_as_before(seen, change, fate)
            || (seen.removed && change.found != Found::Absent && !is_own() && !hidden())
        {
            let value = InputValue::Known(Value::kind(&change.found));
            settled.inputs.push(input(evidence, path, Query::Kind, value, change));
        }
    }
    Ok(())
}

/// Whether a file that was overwritten is executable, as it was, and nobody set its permissions: it may be
/// so only because it was. (Who removes it first makes another file, with an inode of its own.)
fn is_program_as_before(seen: &Seen, change: &First, fate: &Fate) -> bool {
    match (&change.found, fate.end) {
        _ if seen.meta_is_set => false,
        (Found::File(before), Found::File(after)) => {
            before.is_executable()
                && after.is_executable()
                && (before.dev, before.ino) == (after.dev, after.ino)
        }
        _ => false,
    }
}

/// Whether the step made git say something else than before: a commit, a branch, a file staged. A hit
/// could not do that. A file that was written anew with the same content says the same.
fn changes_version(evidence: &Evidence, path: &Path, change: &First, fate: &Fate) -> bool {
    if !Zones::is_git_stamp(path) {
        return false;
    }
    match (&change.found, fate.end) {
        (Found::File(stamp), Found::File(_)) => {
            let before = (evidence.digest_before)(path, stamp);
            before.is_none() || before != (evidence.digest_now)(path)
        }
        (_, Found::Folder(_)) => false,
        _ => true,
    }
}

/// Whether a run of this step is known to have made what it now removed. Folders are known by what
/// was in them.
fn was_made_before(evidence: &Evidence, path: &Path, change: &First) -> bool {
    let is_file = |seen: &Seen| {
        seen.change.as_ref().is_some_and(|change| matches!(change.found, Found::File(_) | Found::Link(_)))
    };
    let below = || {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let inside =
            evidence.observed.paths.range::<Path, _>(after).take_while(|(other, _)| other.starts_with(path));
        inside.filter(|(_, seen)| is_file(seen)).any(|(other, _)| (evidence.made_before)(other))
    };
    (evidence.made_before)(path) || (matches!(change.found, Found::Folder(_)) && below())
}

/// Something could be written because there was a folder to write it in. If a run of this step had made that
/// folder it counts as made by this run too; otherwise it is an input. Each folder is looked at once.
pub(super) fn settle_folders_around(evidence: &Evidence, rules: &Rules, settled: &mut Settled) {
    let root = &evidence.zones.places.root;
    let mut first_writes: BTreeMap<&Path, &First> = BTreeMap::new();
    for (path, seen) in &evidence.observed.paths {
        let Some(write) = seen.change.as_deref() else { continue };
        let is_there = evidence.ends.get(path).is_some_and(|end| *end != Found::Absent);
        let folder = path.parent().filter(|folder| folder.starts_with(root) && folder != root);
        if let Some(folder) = folder.filter(|_| is_there || write.found == Found::Absent) {
            let first = first_writes.entry(folder).or_insert(write);
            if write.order < first.order {
                *first = write;
            }
        }
    }
    for (folder, write) in first_writes {
        settle_folder_around(evidence, rules, folder, write, settled);
    }
}

fn settle_folder_around(
    evidence: &Evidence,
    rules: &Rules,
    folder: &Path,
    write: &First,
    settled: &mut Settled,
) {
    let is_new = evidence.observed.seen(folder).is_some_and(|seen| {
        let change = seen.change.as_deref().filter(|change| change.order < write.order);
        change.is_some_and(|change| change.found == Found::Absent || seen.removed)
    });
    if is_new || evidence.zones.of(folder) != Zone::Workspace || rules.ignores_write(folder).is_some() {
        return;
    }
    if (evidence.folder_made_before)(folder) && !holds_left_alone(evidence, rules, folder) {
        if rules.output_counts(folder) {
            settled.outputs.push(folder.to_path_buf());
        }
    } else if rules.input_counts(folder) && rules.ignores_read(folder).is_none() {
        let value = InputValue::Known(Value::FOLDER);
        settled.inputs.push(input(evidence, folder, Query::Kind, value, write));
    }
}

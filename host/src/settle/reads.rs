//! What a step learned from a path: content, absence, kind, link. Names in folders are `listings`'.

use super::{Evidence, Fate, InputValue, Settled, first_content_read, input};
use crate::access::{First, Seen};
use crate::fingerprint::{Query, Value};
use crate::rules::Rules;
use crate::stamp::{Found, Stamp};
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the step learned from a path: content, absence, kind, link. Listings come later, when all
/// outputs are known.
pub(super) fn settle_reads(
    evidence: &Evidence,
    rules: &Rules,
    path: &Path,
    seen: &Seen,
    fate: &Fate,
    settled: &mut Settled,
) {
    let firsts = [first_content_read(seen), seen.stat.as_deref(), seen.kind.as_deref(), seen.link.as_deref()];
    let list = seen.list.as_deref().map(|(first, _)| first);
    let earliest = firsts.into_iter().chain([list]).flatten().min_by_key(|first| first.order);
    let Some(earliest) = earliest.filter(|first| fate.is_before_change(first)) else {
        // Making a folder shows that there was none: where one is, the program is told so.
        let is_made = fate.change.is_some_and(|change| change.found == Found::Absent);
        if is_made && matches!(fate.end, Found::Folder(_)) && rules.input_counts(path) {
            settled.found_bare.push(path.to_path_buf());
        }
        return;
    };
    if let Some(rule) = rules.ignores_read(path) {
        let is_content = first_content_read(seen).is_some_and(|first| fate.is_before_change(first));
        if rule.may_hide(evidence, path, &earliest.found, is_content) {
            settled.ignored.push(rule.ignored(path, true));
            return;
        }
        settled.narrowing_refused.push(rule.ignored(path, true));
    }
    let holds_root = evidence.zones.places.root.starts_with(path) && evidence.zones.places.root != path;
    if !rules.input_counts(path) || is_searched_program(evidence, path) || holds_root {
        return;
    }
    if earliest.found == Found::Absent && fate.change.is_some() && *fate.end != Found::Absent {
        settled.found_bare.push(path.to_path_buf());
    }
    let read = first_content_read(seen).filter(|first| fate.is_before_change(first));
    // What the step itself replaces, creates or removes was merely probed, unless its content was read.
    let stat = seen.stat.as_deref().filter(|_| fate.change.is_none());
    let kind = seen.kind.as_deref().filter(|_| fate.change.is_none());
    let listed = list.filter(|first| fate.change.is_none() && !matches!(first.found, Found::Folder(_)));
    let link = seen.link.as_deref().filter(|first| fate.is_before_change(first));
    for first in [read, stat, listed].into_iter().flatten() {
        let (query, value) = match &first.found {
            Found::File(stamp) => (Query::Content, file_value(evidence, path, stamp, fate)),
            Found::Absent if fate.change.is_some() => continue,
            Found::Absent => (Query::Absent, InputValue::Known(Value::ABSENT)),
            Found::Link(text) => (Query::Link, InputValue::Known(Value::link(text))),
            Found::Folder(_) | Found::Other => (Query::Kind, InputValue::Known(Value::kind(&first.found))),
        };
        settled.inputs.push(input(evidence, path, query, value, first));
    }
    let found_input = |first: &First| {
        let (query, value) = match &first.found {
            Found::Absent => (Query::Absent, Value::ABSENT),
            Found::Link(text) => (Query::Link, Value::link(text)),
            found => (Query::Kind, Value::kind(found)),
        };
        input(evidence, path, query, InputValue::Known(value), first)
    };
    if let Some(first) = link.filter(|first| first.found != Found::Absent || fate.change.is_none()) {
        settled.inputs.push(found_input(first));
    }
    for first in [probed_before_replaced(evidence, path, seen, fate), kind].into_iter().flatten() {
        let query = if first.found == Found::Absent { Query::Absent } else { Query::Kind };
        let value = InputValue::Known(Value::kind(&first.found));
        settled.inputs.push(input(evidence, path, query, value, first));
    }
}

/// That something of others was there to be replaced may have mattered to who looked first.
fn probed_before_replaced<'a>(
    evidence: &Evidence,
    path: &Path,
    seen: &'a Seen,
    fate: &Fate,
) -> Option<&'a First> {
    let first =
        [seen.stat.as_deref(), seen.kind.as_deref()].into_iter().flatten().min_by_key(|first| first.order)?;
    let is_replaced = fate.change.is_some_and(|change| first.order < change.order)
        && matches!(first.found, Found::File(_) | Found::Link(_))
        && *fate.end != Found::Absent;
    (is_replaced && !(evidence.made_before)(path)).then_some(first)
}

/// The value of a file that was read: still to be digested, unless the step changed it afterwards.
fn file_value(evidence: &Evidence, path: &Path, stamp: &Stamp, fate: &Fate) -> InputValue {
    match fate.change {
        None => InputValue::File(*stamp),
        Some(_) => match (evidence.digest_before)(path, stamp) {
            Some(digest) => InputValue::Known(Value::content(digest, stamp.is_executable())),
            // That it is not as it was read makes a Refusal of it.
            None => InputValue::File(*stamp),
        },
    }
}

/// A program found by searching PATH counts by its name, and the search is made again at a look-up: so
/// neither what was found counts by its path, nor the candidates that were probed before it.
fn is_searched_program(evidence: &Evidence, path: &Path) -> bool {
    let searched = &evidence.observed.searched;
    let is_there = |path: &Path| {
        let mut firsts = evidence.observed.seen(path).into_iter().flat_map(Seen::firsts);
        firsts.any(|first| first.found != Found::Absent)
    };
    // One behind what was found is no candidate: whoever looks at it means it.
    let is_candidate = || {
        let Some(name) =
            path.file_name().filter(|name| name.to_str().is_some_and(|name| searched.contains_key(name)))
        else {
            return false;
        };
        let place = evidence.search.iter().position(|folder| Some(folder.as_path()) == path.parent());
        place.is_some_and(|place| !evidence.search[..place].iter().any(|folder| is_there(&folder.join(name))))
    };
    searched.values().any(|found| found == path) || is_candidate()
}

/// Programs that were searched, also in vain: one that is installed later is news.
pub(super) fn searched_programs(evidence: &Evidence) -> Vec<String> {
    let mut names: BTreeSet<&str> = evidence.observed.searched.keys().map(String::as_str).collect();
    let folders: FxHashSet<&Path> = evidence.search.iter().map(PathBuf::as_path).collect();
    for (path, seen) in &evidence.observed.paths {
        let is_vain = seen.change.is_none()
            && path.parent().is_some_and(|folder| folders.contains(folder))
            && seen.firsts().any(|first| first.found == Found::Absent);
        names.extend(path.file_name().and_then(|name| name.to_str()).filter(|_| is_vain));
    }
    names.into_iter().map(str::to_owned).collect()
}

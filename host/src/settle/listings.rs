//! What a step learned from the names in a folder. It comes last, when all outputs are known.

use super::{Evidence, Fate, InputValue, Settled, input, is_own_folder};
use crate::access::{Listing, Seen};
use crate::fingerprint::{Query, Value};
use crate::rules::Rules;
use crate::stamp::Found;
use crate::zone::{Zone, Zones};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::Bound;
use std::path::Path;

/// A listing counts without the names that the step made or may ignore; and not at all where the step
/// removed the folder or everything that was in it.
pub(super) fn settle_listings(
    evidence: &Evidence,
    rules: &Rules,
    touched: &BTreeSet<&Path>,
    settled: &mut Settled,
) {
    for (path, seen) in &evidence.observed.paths {
        let Some((first, names)) = seen.list.as_deref() else {
            settle_emptiness(evidence, rules, path, seen, settled);
            continue;
        };
        let fate = Fate::of(seen, evidence.ends.get(path));
        let zone = evidence.zones.of(path);
        let counts = matches!(zone, Zone::Workspace | Zone::Outside)
            || (zone == Zone::Git && Zones::is_git_stamp(path));
        // Where things went depends on what there was, if they were not just removed.
        let was_emptied = !names.is_empty() || fate.change.is_none_or(|change| change.found == Found::Absent);
        let is_gone = seen.removed && !seen.renamed && was_emptied;
        if !matches!(first.found, Found::Folder(_)) || is_gone || !counts || !rules.input_counts(path) {
            continue;
        }
        let hidden = |rule: &crate::rules::Rule| rule.may_hide_listing(evidence, path, names);
        if rules.ignores_read(path).is_some_and(hidden) {
            continue;
        }
        let is_own = |name: &OsString| {
            let child = path.join(name);
            let mut below =
                touched.range::<&Path, _>(child.as_path()..).take_while(|next| next.starts_with(&child));
            let change = evidence.observed.seen(&child).and_then(|seen| seen.change.as_ref());
            let is_new = change.is_some_and(|change| change.found == Found::Absent);
            // A name that was there before counts, unless a run of this step had left it: a person's file
            // that the step replaces was seen in the listing, and may be missing next time.
            let is_left = below.any(|next| (evidence.made_before)(next));
            let is_kept = || rules.keeps(&child) && (evidence.made_before)(&child);
            let is_ignored = || {
                let may_hide = |rule: &crate::rules::Rule| rule.may_hide_name(evidence, &child);
                evidence.zones.of(&child) == Zone::Noise || rules.ignores_write(&child).is_some_and(may_hide)
            };
            is_new || is_left || is_ignored() || is_kept() || (evidence.is_tool_state)(&child)
        };
        let own_now: BTreeSet<OsString> = touched
            .range::<&Path, _>(path.as_path()..)
            .skip_while(|next| *next == path)
            .take_while(|next| next.starts_with(path))
            .filter_map(|next| next.strip_prefix(path).ok()?.components().next())
            .map(|name| name.as_os_str().to_owned())
            .collect();
        let mut except: BTreeSet<OsString> =
            names.iter().map(|(name, _)| name).filter(|name| is_own(name)).cloned().collect();
        let is_removed = |name: &OsString| {
            let seen = evidence.observed.seen(&path.join(name));
            seen.is_some_and(|seen| seen.removed && !seen.renamed)
        };
        if !names.is_empty() && names.iter().all(|(name, _)| is_removed(name)) {
            if zone == Zone::Workspace {
                settled.emptied.push(path.clone());
            }
            continue;
        }
        let was_missing = |name: &OsString| names.binary_search_by(|(other, _)| other.cmp(name)).is_err();
        let made: Vec<OsString> = own_now.into_iter().filter(was_missing).collect();
        // What the step has seen missing and then made was looked for as by a probe.
        settled.found_bare.extend(made.iter().map(|name| path.join(name)));
        except.extend(made);
        let except: Vec<OsString> = except.into_iter().collect();
        let value = Value::listing(&(evidence.without_later)(path, names), &except);
        // That the folder is there counts by itself, unless a run of this step made it.
        let is_nothing = value == Value::listing(&Vec::new(), &[]);
        if is_nothing && fate.change.is_none() && !is_own_folder(evidence, rules, path, seen, &fate) {
            settled.inputs.push(input(evidence, path, Query::Kind, InputValue::Known(Value::FOLDER), first));
        }
        settled.inputs.push(input(evidence, path, Query::Listing(except), InputValue::Known(value), first));
    }
}

/// A folder that was removed without a look at the names in it: the kernel removes it only where nothing lies
/// in it but what the step had taken away.
fn settle_emptiness(evidence: &Evidence, rules: &Rules, path: &Path, seen: &Seen, settled: &mut Settled) {
    let fate = Fate::of(seen, evidence.ends.get(path));
    let Some(change) = fate.change.filter(|change| matches!(change.found, Found::Folder(_))) else { return };
    let counts = matches!(evidence.zones.of(path), Zone::Workspace | Zone::Outside);
    if !seen.removed || seen.renamed || !counts || !rules.input_counts(path) {
        return;
    }
    let (mut names, mut except) = (Listing::new(), Vec::new());
    let below = (Bound::Excluded(path), Bound::Unbounded);
    let inside =
        evidence.observed.paths.range::<Path, _>(below).take_while(|(other, _)| other.starts_with(path));
    for (child, seen) in inside.filter(|(child, _)| child.parent() == Some(path)) {
        let (Some(name), Some(change)) = (child.file_name(), &seen.change) else { continue };
        if change.found == Found::Absent || (evidence.made_before)(child) {
            except.push(name.to_owned());
        } else {
            names.push((name.to_owned(), change.found.letter()));
        }
    }
    names.sort();
    except.sort();
    if rules.ignores_read(path).is_some_and(|rule| rule.may_hide_listing(evidence, path, &names)) {
        return;
    }
    let value = InputValue::Known(Value::listing(&names, &except));
    settled.inputs.push(input(evidence, path, Query::Listing(except), value, change));
}

//! Looking a step up: CacheKey, then its pathsets newest first, then the fingerprint of the workspace
//! as it is now. The reason for a miss comes from the same walk as the decision. Writes nothing but
//! what it found when it looked.

use super::{Cached, Shared, facts, listing, names};
use crate::digest::Digest;
use crate::fingerprint::{self, Difference, Pathset, Query, Value, Values};
use crate::key::env_reason;
use crate::outcome::{Before, Miss, MissReason};
use crate::path::PortablePath;
use crate::stamp::Found;
use crate::store::{Entry, Habits, Place, StoreError, Survey, Surveyed, VirtualTree};

/// What a look-up found.
pub enum Lookup {
    /// An entry for the workspace as it is, and what it takes to have its outputs in place.
    Hit(Box<Entry>, Survey),
    /// None, and why.
    Miss(Miss),
}

/// Against what a step is looked up.
pub struct Against<'a> {
    /// The disk as the hits before this step would leave it.
    pub tree: &'a VirtualTree,
    /// Later steps of the chain that hit too, by task and position.
    pub later: &'a [Digest],
    /// Whether what was found is kept for the next time.
    pub remembers: bool,
}

/// Looks a step up.
pub fn look_up(shared: &Shared, cached: &Cached, against: &Against) -> Result<Lookup, StoreError> {
    let mut closest: Option<Vec<Difference>> = None;
    let mut blocked = None;
    for found in cached.store.pathsets(cached.key_digest)? {
        let (digest, pathset) = match found {
            Ok(found) => found,
            // The run that follows stores it anew.
            Err(fault) => {
                blocked = Some(MissReason::EntryDamaged(fault.to_string()));
                continue;
            }
        };
        let values = values_now(shared, cached, against, digest, &pathset)?;
        let fingerprint = values.fingerprint(cached.key_digest, digest);
        if let Some(mut entry) = cached.store.entry(fingerprint)? {
            entry.inputs = inputs(&pathset, &values);
            match survey(shared, cached, against, &pathset, &entry)? {
                Surveyed::Fits(survey) => return Ok(Lookup::Hit(Box::new(entry), survey)),
                // Another entry may hold where what lies there now lay before.
                Surveyed::Blocked(path) => {
                    blocked.get_or_insert_with(|| blocked_by(shared, cached, &path));
                }
            }
            continue;
        }
        for then in cached.store.values(cached.key_digest, digest)? {
            let differences = fingerprint::differences(&pathset, &then, &values);
            if closest.as_ref().is_none_or(|closest| differences.len() < closest.len()) {
                closest = Some(differences);
            }
        }
    }
    if let Some(blocked) = blocked {
        return Ok(Lookup::Miss(blocked.into()));
    }
    let reasons = closest.map(|differences| reasons(shared, cached, differences));
    Ok(Lookup::Miss(match reasons.and_then(Miss::of) {
        Some(miss) => miss,
        None => key_miss(shared, cached, against)?,
    }))
}

/// What lies where nothing that a run left may be replaced: another task's, or nobody knows whose.
fn blocked_by(shared: &Shared, cached: &Cached, path: &PortablePath) -> MissReason {
    let places = &shared.zones.places;
    let is_as_left = || match Found::at(&places.absolute(path)) {
        Ok(Found::Folder(_)) => true,
        Ok(found) => cached.store.is_left_on_disk(path, &found, places, shared.digests).unwrap_or(false),
        Err(_) => false,
    };
    let task = cached.store.task_that_left(path).filter(|task| *task != *cached.step.id.task);
    match task.filter(|_| is_as_left()) {
        Some(task) => MissReason::OutputOfAnother { path: path.to_string(), task },
        None => MissReason::OutputChanged(path.to_string()),
    }
}

fn inputs(pathset: &Pathset, values: &Values) -> usize {
    pathset.paths.len() + pathset.programs.len() + values.globs.len() + pathset.envs.len()
}

/// The present values of a Pathset, as the step would find them.
pub(super) fn values_now(
    shared: &Shared,
    cached: &Cached,
    against: &Against,
    digest: Digest,
    pathset: &Pathset,
) -> Result<Values, StoreError> {
    let known = cached.store.remembered(digest)?;
    let mut looked = cached.disk(shared).look(pathset, &known);
    if looked.is_news && against.remembers {
        cached.store.remember(digest, &looked.remembered)?;
    }
    if !pathset.globs.is_empty() {
        let known = cached.store.matched(digest)?;
        let matched = cached.disk(shared).matched(&pathset.globs, &known);
        if matched != known && against.remembers {
            cached.store.remember_matched(digest, &matched)?;
        }
        looked.values.globs = fingerprint::without(matched, &pathset.globs_except);
    }
    against.tree.apply(&shared.zones.places, pathset, &mut looked.values);
    listing::without_later(shared, cached, against.tree, pathset, &mut looked.values)?;
    Ok(looked.values)
}

/// No run with this key is known: what of the key differs from the last run of the same step, and what
/// of the disk from its entry?
fn key_miss(shared: &Shared, cached: &Cached, against: &Against) -> Result<Miss, StoreError> {
    let last = match cached.store.last_run(cached.scope)? {
        // With these arguments it has never run: what differs from a run without.
        None if cached.step.has_args => cached.store.last_run(super::scope_of(cached.step, false))?,
        last => last,
    };
    let Some(last) = last else {
        return Ok(MissReason::NotFound(Before::NeverRan).into());
    };
    let not_found = || MissReason::NotFound(facts::became(&last.report)).into();
    let Some(then) = last.key.as_ref() else { return Ok(not_found()) };
    if cached.key.is_of_another_cache(then) {
        return Ok(MissReason::NotFound(Before::Elsewhere).into());
    }
    let mut reasons = cached.key.differences(then);
    if reasons.is_empty() {
        return Ok(not_found());
    }
    if let Some(closest) = closest(shared, cached, against.tree, then.digest())? {
        for reason in self::reasons(shared, cached, closest.differences) {
            // A variable is in the key and, asked for, an input too.
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    Ok(Miss::of(reasons).unwrap_or_else(not_found))
}

/// An entry, and what differs from it.
pub(super) struct Closest {
    /// What the entry is found by.
    pub fingerprint: Digest,
    /// The members of its Pathset that have another value now.
    pub differences: Vec<Difference>,
}

/// The entry with a key from which the fewest members differ, the newest of several. Nothing of the look
/// is kept.
pub(super) fn closest(
    shared: &Shared,
    cached: &Cached,
    tree: &VirtualTree,
    key: Digest,
) -> Result<Option<Closest>, StoreError> {
    let against = Against { tree, later: &[], remembers: false };
    let mut closest: Option<Closest> = None;
    // What cannot be read back tells nothing.
    for (digest, pathset) in cached.store.pathsets(key)?.filter_map(Result::ok) {
        let now = values_now(shared, cached, &against, digest, &pathset)?;
        for then in cached.store.values(key, digest)? {
            let differences = fingerprint::differences(&pathset, &then, &now);
            if closest.as_ref().is_none_or(|known| differences.len() < known.differences.len()) {
                closest = Some(Closest { fingerprint: then.fingerprint(key, digest), differences });
            }
        }
    }
    Ok(closest)
}

/// Everything that differs, most telling first: what a person edits, then what follows from it.
fn reasons(shared: &Shared, cached: &Cached, differences: Vec<Difference>) -> Vec<MissReason> {
    let mut reasons = names::explain(cached, &shared.zones.places, differences);
    reasons.sort_by_key(|reason| match reason {
        MissReason::EnvChanged(_) | MissReason::EnvAdded(_) | MissReason::EnvRemoved(_) => 0,
        MissReason::ProgramChanged(_) => 1,
        MissReason::InputModified(path) => {
            if is_dependency(path) {
                5
            } else {
                2
            }
        }
        MissReason::InputAdded(path)
        | MissReason::InputRemoved(path)
        | MissReason::NameAdded(path)
        | MissReason::NameRemoved(path)
        | MissReason::NamesChanged(path) => {
            if is_dependency(path) {
                5
            } else {
                3
            }
        }
        _ => 4,
    });
    reasons
}

fn is_dependency(path: &str) -> bool {
    path.split('/').any(|part| part == "node_modules")
}

pub(super) fn reason(difference: Difference) -> MissReason {
    match difference {
        Difference::Path(path, Query::Listing(_), ..) => MissReason::NamesChanged(path.to_string()),
        Difference::Path(path, _, Value::ABSENT, _) => MissReason::InputAdded(path.to_string()),
        Difference::Path(path, _, _, Value::ABSENT) => MissReason::InputRemoved(path.to_string()),
        Difference::Path(path, _, _, _) => MissReason::InputModified(path.to_string()),
        Difference::Program(name) => MissReason::ProgramChanged(name),
        Difference::Env(name, then, now) => env_reason(&name, then, now),
        Difference::Place => {
            MissReason::InputModified("the path of the checkout or of HOME (an output names it)".to_owned())
        }
    }
}

/// What it takes to have the outputs of an entry in place.
fn survey(
    shared: &Shared,
    cached: &Cached,
    against: &Against,
    pathset: &Pathset,
    entry: &Entry,
) -> Result<Surveyed, StoreError> {
    let habits = cached.store.habits([cached.key_digest, cached.scope])?;
    let habits: Vec<Habits> = habits.into_iter().flatten().collect();
    let place = Place {
        zones: shared.zones,
        tree: against.tree,
        step: cached.scope,
        later: against.later,
        pathset,
        habits: &habits,
        tool: &cached.tool,
        digests: shared.digests,
        turn: shared.digests.seen.turn(),
    };
    cached.store.survey(entry, &place)
}

//! Looking a step up: CacheKey, then its pathsets newest first, then the fingerprint of the workspace
//! as it is now. The reason for a miss comes from the same walk as the decision.

use super::{Cached, Shared};
use crate::fingerprint::{self, Difference, Pathset, Value, Values};
use crate::key::env_reason;
use crate::outcome::MissReason;
use crate::store::{ArchiveError, Entry, Replayed, StoreError};

/// What a look-up found.
pub enum Lookup {
    /// An entry for the workspace as it is; whether its outputs were in place already.
    Hit(Entry, bool),
    /// None, and why.
    Miss(MissReason),
}

/// Looks a step up, and puts the outputs of the entry in place. `faulty` is called for an entry whose
/// outputs cannot be put in place.
pub fn look_up(shared: &Shared, cached: &Cached, is_locked: bool, faulty: &dyn Fn(&Entry, &ArchiveError)) -> Result<Lookup, StoreError> {
    let disk = cached.disk(shared);
    let mut closest: Option<Vec<MissReason>> = None;
    let mut blocked = None;
    for (digest, pathset) in cached.store.pathsets(cached.key_digest)? {
        let known = cached.store.remembered(digest)?;
        let looked = disk.look(&pathset, &known);
        if looked.is_news {
            cached.store.remember(digest, &looked.remembered)?;
        }
        let fingerprint = looked.values.fingerprint(cached.key_digest, digest);
        if let Some(mut entry) = cached.store.entry(fingerprint)? {
            entry.inputs = pathset.paths.len() + pathset.programs.len() + pathset.envs.len();
            match replay(shared, cached, &pathset, &entry, is_locked) {
                Ok(Replayed::Fresh) => return Ok(Lookup::Hit(entry, true)),
                Ok(Replayed::Restored) => return Ok(Lookup::Hit(entry, false)),
                // Another entry may hold where what lies there now lay before.
                Ok(Replayed::Blocked(path)) => drop(blocked.get_or_insert(MissReason::OutputChanged(path.to_string()))),
                Err(fault) => {
                    faulty(&entry, &fault);
                    blocked = Some(MissReason::EntryDamaged(fault.to_string()));
                }
            }
            continue;
        }
        for then in cached.store.values(cached.key_digest, digest)? {
            let reasons = reasons(&pathset, &then, &looked.values);
            if closest.as_ref().is_none_or(|closest| reasons.len() < closest.len()) {
                closest = Some(reasons);
            }
        }
    }
    let reason = blocked.or_else(|| closest.and_then(|reasons| reasons.into_iter().next()));
    Ok(Lookup::Miss(match reason {
        Some(reason) => reason,
        None => key_reason(cached)?,
    }))
}

/// No run with this key is known: what of the key differs from the last run of the same step?
fn key_reason(cached: &Cached) -> Result<MissReason, StoreError> {
    let last = cached.store.last_run(cached.scope)?.and_then(|last| last.key);
    let reason = last.and_then(|then| cached.key.differences(&then).into_iter().next());
    Ok(reason.unwrap_or(MissReason::NotFound))
}

/// Everything that differs, most telling first: what a person edits, then what follows from it.
fn reasons(pathset: &Pathset, then: &Values, now: &Values) -> Vec<MissReason> {
    let mut reasons: Vec<MissReason> =
        fingerprint::differences(pathset, then, now).into_iter().map(|difference| reason(difference)).collect();
    reasons.sort_by_key(|reason| match reason {
        MissReason::EnvChanged(_) | MissReason::EnvAdded(_) | MissReason::EnvRemoved(_) => 0,
        MissReason::ProgramChanged(_) => 1,
        MissReason::InputModified(path) => if is_dependency(path) { 5 } else { 2 },
        MissReason::InputAdded(path) | MissReason::InputRemoved(path) => if is_dependency(path) { 5 } else { 3 },
        _ => 4,
    });
    reasons
}

fn is_dependency(path: &str) -> bool {
    path.split('/').any(|part| part == "node_modules")
}

fn reason(difference: Difference) -> MissReason {
    match difference {
        Difference::Path(path, Value::ABSENT, _) => MissReason::InputAdded(path.to_string()),
        Difference::Path(path, _, Value::ABSENT) => MissReason::InputRemoved(path.to_string()),
        Difference::Path(path, _, _) => MissReason::InputModified(path.to_string()),
        Difference::Program(name) => MissReason::ProgramChanged(name),
        Difference::Env(name, then, now) => env_reason(&name, then, now),
        Difference::Place => MissReason::InputModified("the place of the checkout, which an output names".to_owned()),
    }
}

fn replay(shared: &Shared, cached: &Cached, pathset: &Pathset, entry: &Entry, is_locked: bool) -> Result<Replayed, ArchiveError> {
    let mut habits = Vec::new();
    for scope in [cached.key_digest, cached.scope] {
        habits.extend(cached.store.habits(scope)?);
    }
    cached.store.replay(entry, &cached.place(shared, pathset, &habits, is_locked))
}

//! Looking a step up: CacheKey, then its pathsets newest first, then the fingerprint of the workspace
//! as it is now. The reason for a miss comes from the same walk as the decision.

use super::foresee::Ahead;
use super::{Cached, Shared};
use crate::fingerprint::{self, Difference, Pathset, Value, Values};
use crate::key::env_reason;
use crate::outcome::{Miss, MissReason};
use crate::store::{ArchiveError, Entry, Habits, Replayed, StoreError};

/// What a look-up found.
pub enum Lookup {
    /// An entry for the workspace as it is; whether its outputs were in place already.
    Hit(Entry, bool),
    /// None, and why.
    Miss(Miss),
}

/// What is done with an entry that is found.
pub enum Way<'a> {
    /// Its outputs are put in place. `faulty` is called for one whose outputs cannot be.
    Replay {
        /// The lock of the step is held by the caller.
        is_locked: bool,
        /// Told of each entry that turned out damaged.
        faulty: &'a dyn Fn(&Entry, &ArchiveError),
    },
    /// Nothing is written, and the disk is taken as the hits before this step would leave it.
    Foresee(&'a Ahead),
}

impl Way<'_> {
    fn ahead(&self) -> Option<&Ahead> {
        match self {
            Way::Foresee(ahead) => Some(ahead),
            Way::Replay { .. } => None,
        }
    }
}

/// Looks a step up, and puts the outputs of the entry in place, or finds what that would come to.
pub fn look_up(shared: &Shared, cached: &Cached, way: &Way) -> Result<Lookup, StoreError> {
    let ahead = way.ahead();
    let disk = cached.disk(shared);
    let mut closest: Option<Vec<MissReason>> = None;
    let mut blocked = None;
    for (digest, pathset) in cached.store.pathsets(cached.key_digest)? {
        let known = cached.store.remembered(digest)?;
        let mut looked = disk.look(&pathset, &known);
        match ahead {
            Some(ahead) => ahead.apply(&shared.zones.places, &pathset, &mut looked.values),
            None if looked.is_news => cached.store.remember(digest, &looked.remembered)?,
            None => {}
        }
        let fingerprint = looked.values.fingerprint(cached.key_digest, digest);
        if let Some(mut entry) = cached.store.entry(fingerprint)? {
            entry.inputs = pathset.paths.len() + pathset.programs.len() + pathset.envs.len();
            match replay(shared, cached, &pathset, &entry, way) {
                Ok(Replayed::Fresh) => return Ok(Lookup::Hit(entry, true)),
                Ok(Replayed::Restored) => return Ok(Lookup::Hit(entry, false)),
                // Another entry may hold where what lies there now lay before.
                Ok(Replayed::Blocked(path)) => {
                    let _ = blocked.get_or_insert(MissReason::OutputChanged(path.to_string()));
                }
                Err(fault) => {
                    if let Way::Replay { faulty, .. } = way {
                        faulty(&entry, &fault);
                    }
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
    if let Some(blocked) = blocked {
        return Ok(Lookup::Miss(blocked.into()));
    }
    Ok(Lookup::Miss(match closest.and_then(Miss::of) {
        Some(miss) => miss,
        None => key_miss(shared, cached, ahead)?,
    }))
}

/// No run with this key is known: what of the key differs from the last run of the same step, and what
/// of the disk from its entry?
fn key_miss(shared: &Shared, cached: &Cached, ahead: Option<&Ahead>) -> Result<Miss, StoreError> {
    let Some(then) = cached.store.last_run(cached.scope)?.and_then(|last| last.key) else {
        return Ok(MissReason::NotFound.into());
    };
    let mut reasons = cached.key.differences(&then);
    if reasons.is_empty() {
        return Ok(MissReason::NotFound.into());
    }
    let disk = cached.disk(shared);
    if let Some((digest, pathset)) = cached.store.pathsets(then.digest())?.into_iter().next() {
        let mut now = disk.look(&pathset, &cached.store.remembered(digest)?).values;
        if let Some(ahead) = ahead {
            ahead.apply(&shared.zones.places, &pathset, &mut now);
        }
        let entries = cached.store.values(then.digest(), digest)?;
        let closest = entries.iter().map(|then| self::reasons(&pathset, then, &now)).min_by_key(Vec::len);
        reasons.extend(closest.unwrap_or_default());
    }
    Ok(Miss::of(reasons).unwrap_or_else(|| MissReason::NotFound.into()))
}

/// Everything that differs, most telling first: what a person edits, then what follows from it.
fn reasons(pathset: &Pathset, then: &Values, now: &Values) -> Vec<MissReason> {
    let mut reasons: Vec<MissReason> = fingerprint::differences(pathset, then, now)
        .into_iter()
        .map(|difference| reason(difference))
        .collect();
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
        MissReason::InputAdded(path) | MissReason::InputRemoved(path) => {
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

fn reason(difference: Difference) -> MissReason {
    match difference {
        Difference::Path(path, Value::ABSENT, _) => MissReason::InputAdded(path.to_string()),
        Difference::Path(path, _, Value::ABSENT) => MissReason::InputRemoved(path.to_string()),
        Difference::Path(path, _, _) => MissReason::InputModified(path.to_string()),
        Difference::Program(name) => MissReason::ProgramChanged(name),
        Difference::Env(name, then, now) => env_reason(&name, then, now),
        Difference::Place => {
            MissReason::InputModified("the place of the checkout, which an output names".to_owned())
        }
    }
}

/// Puts the outputs of a hit in place, or finds what that would come to.
fn replay(
    shared: &Shared,
    cached: &Cached,
    pathset: &Pathset,
    entry: &Entry,
    way: &Way,
) -> Result<Replayed, ArchiveError> {
    let mut habits: Vec<Habits> = Vec::new();
    for scope in [cached.key_digest, cached.scope] {
        habits.extend(cached.store.habits(scope)?);
    }
    match way {
        Way::Replay { is_locked, .. } => {
            cached.store.replay(entry, &cached.place(shared, pathset, &habits, *is_locked))
        }
        Way::Foresee(_) => Ok(cached.store.foresee(entry, &cached.place(shared, pathset, &habits, false))?),
    }
}

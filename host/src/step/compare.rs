//! What differs between the closest entry of a step and the workspace as it is, path by path: for
//! `diff`. Looks as a look-up does, and writes nothing.

use super::chain::{ChainHit, Chains, End};
use super::lookup::{self, Closest};
use super::{Cached, Shared, foresee};
use crate::fingerprint::{Difference, Query, Value};
use crate::outcome::MissReason;
use crate::path::PortablePath;
use crate::plan::Plan;
use crate::stamp::Found;
use crate::store::{Entry, Output, OutputKind, StoreError, VirtualTree};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

/// What differs from the closest entry of a step.
pub struct Compared {
    /// The entry.
    pub entry: Entry,
    /// Paths that it depends on and that are another thing now.
    pub inputs: Vec<Differing>,
    /// Its outputs that are another thing now, each with whether something lies there.
    pub outputs: Vec<(Output, bool)>,
    /// Whatever else differs: variables, programs, command and config.
    pub others: Vec<MissReason>,
}

/// One path that a step depends on and that is another thing now.
pub struct Differing {
    /// Which.
    pub path: PortablePath,
    /// What of it counts.
    pub query: Query,
    /// Its value when the entry was made.
    pub then: Value,
    /// Its value now.
    pub now: Value,
}

/// Why nothing can be compared.
pub enum Incomparable {
    /// The step is not cached.
    Uncached(MissReason),
    /// There is no entry of it.
    NoEntry,
}

/// Compares each step of a plan with its closest entry, in the order of the plan. Each is looked at with
/// the outputs of the hits before it in place, as for `why`; and what later steps of the same task make
/// does not count among the names in a folder.
///
/// # Errors
/// The store fails.
pub fn compare(shared: &Shared, plan: &Plan) -> Result<Vec<Result<Compared, Incomparable>>, StoreError> {
    let chains = Chains::of(plan);
    let mut compared = BTreeMap::new();
    foresee::walk(shared, &chains, &mut |index, chain, tree| {
        for ChainHit { index, entry, .. } in &chain.hits {
            let (inputs, others) = Default::default();
            let outputs = changed_outputs(shared, entry);
            compared.insert(*index, Ok(Ok(Compared { entry: entry.clone(), inputs, outputs, others })));
        }
        if chain.hits.is_empty() {
            let with_closest = match &chain.end {
                End::Uncached(why) => Ok(Err(Incomparable::Uncached(why.clone()))),
                End::Miss(cached, _) => with_closest(shared, cached, tree),
                End::Done => Ok(Err(Incomparable::NoEntry)),
            };
            compared.insert(index, with_closest);
        }
    });
    compared.into_values().collect()
}

/// Compares a step that must run.
fn with_closest(
    shared: &Shared,
    cached: &Cached,
    tree: &VirtualTree,
) -> Result<Result<Compared, Incomparable>, StoreError> {
    let mut closest = lookup::closest(shared, cached, tree, cached.key_digest)?;
    let mut others = Vec::new();
    if closest.is_none() {
        // No run with this key is known: the last one of the same step.
        let last = cached.store.last_run(cached.scope)?.and_then(|last| last.key);
        if let Some(then) = last.filter(|key| key.digest() != cached.key_digest) {
            closest = lookup::closest(shared, cached, tree, then.digest())?;
            others = cached.key.differences(&then);
        }
    }
    let Some(Closest { fingerprint, differences }) = closest else {
        return Ok(Err(Incomparable::NoEntry));
    };
    let Some(entry) = cached.store.entry(fingerprint)? else { return Ok(Err(Incomparable::NoEntry)) };
    let mut inputs = Vec::new();
    for difference in differences {
        match difference {
            Difference::Path(path, query, then, now) => inputs.push(Differing { path, query, then, now }),
            other => others.push(lookup::reason(other)),
        }
    }
    inputs.sort_by(|one, other| one.path.cmp(&other.path));
    let outputs = changed_outputs(shared, &entry);
    Ok(Ok(Compared { entry, inputs, outputs, others }))
}

fn changed_outputs(shared: &Shared, entry: &Entry) -> Vec<(Output, bool)> {
    let mut changed = Vec::new();
    for output in &entry.manifest.outputs {
        let path = shared.zones.places.absolute(&output.path);
        let found = Found::at(&path).unwrap_or(Found::Other);
        let is_same = match (&output.kind, &found) {
            (OutputKind::Folder, Found::Folder(_)) => true,
            (OutputKind::Link(text), Found::Link(now)) => now.as_bytes() == text,
            (OutputKind::File { digest, bytes, executable }, Found::File(stamp)) => {
                stamp.size == *bytes
                    && stamp.is_executable() == *executable
                    && shared.digests.of_file(&path, *stamp).is_ok_and(|(_, now)| now == *digest)
            }
            _ => false,
        };
        if !is_same {
            changed.push((output.clone(), found != Found::Absent));
        }
    }
    changed
}

//! What differs between the closest entry of a step and the workspace as it is, path by path: for
//! `diff`. Looks as a look-up does, and writes nothing.

use super::lookup::{self, Against};
use super::{Cached, Chains, Decision, Shared};
use crate::digest::Digest;
use crate::fingerprint::{self, Difference, Pathset, Query, Value, Values};
use crate::outcome::MissReason;
use crate::path::PortablePath;
use crate::stamp::Found;
use crate::store::{Entry, Output, OutputKind, StoreError, VirtualTree};
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

/// Compares one step of a plan with its closest entry. What later steps of the same task make does not
/// count among the names in a folder, as when it is looked up.
///
/// # Errors
/// The store fails.
pub fn compare(
    shared: &Shared,
    chains: &Chains,
    index: usize,
) -> Result<Result<Compared, Incomparable>, StoreError> {
    let cached = match chains.decide(shared, index, &|_| {}) {
        Decision::Cached(cached) => cached,
        Decision::Uncached(why) => return Ok(Err(Incomparable::Uncached(why))),
    };
    // Where no run with this key is known: the last one of the same step.
    let last = cached.store.last_run(cached.scope)?.and_then(|last| last.key);
    let other = last.filter(|key| key.digest() != cached.key_digest);
    let mut closest = closest(shared, &cached, cached.key_digest)?;
    let mut others = Vec::new();
    if closest.is_none()
        && let Some(then) = other
    {
        closest = self::closest(shared, &cached, then.digest())?;
        others = cached.key.differences(&then);
    }
    let Some(Closest { pathset, then, now, fingerprint }) = closest else {
        return Ok(Err(Incomparable::NoEntry));
    };
    let Some(entry) = cached.store.entry(fingerprint)? else { return Ok(Err(Incomparable::NoEntry)) };
    let mut inputs = Vec::new();
    for difference in fingerprint::differences(&pathset, &then, &now) {
        match difference {
            Difference::Path(path, then, now) => {
                let asked = pathset.paths.binary_search_by(|(member, _)| member.cmp(&path));
                // A path with several questions has one line: that of the first.
                let query = asked.map_or(Query::Content, |at| pathset.paths[at].1.clone());
                inputs.push(Differing { path, query, then, now });
            }
            other => others.push(lookup::reason(other)),
        }
    }
    inputs.dedup_by(|one, other| one.path == other.path);
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

struct Closest {
    pathset: Pathset,
    then: Values,
    now: Values,
    fingerprint: Digest,
}

/// The entry with a key from which the fewest members differ.
fn closest(shared: &Shared, cached: &Cached, key: Digest) -> Result<Option<Closest>, StoreError> {
    let tree = VirtualTree::default();
    let against = Against { tree: &tree, later: &[], remembers: false };
    let mut closest: Option<(usize, Closest)> = None;
    // What cannot be read back tells nothing.
    for (digest, pathset) in cached.store.pathsets(key)?.filter_map(Result::ok) {
        let now = lookup::values_now(shared, cached, &against, digest, &pathset)?;
        for then in cached.store.values(key, digest)? {
            let count = fingerprint::differences(&pathset, &then, &now).len();
            if closest.as_ref().is_none_or(|(least, _)| count < *least) {
                let fingerprint = then.fingerprint(key, digest);
                let found = Closest { pathset: pathset.clone(), then, now: now.clone(), fingerprint };
                closest = Some((count, found));
            }
        }
    }
    Ok(closest.map(|(_, closest)| closest))
}

//! The inputs of a run as values: each must still be as it was when the run read it, listed it, probed it
//! or matched it, unless the step itself or another step changed it since.

use super::keep::{self, Run};
use super::{Cached, Shared, listing};
use crate::fingerprint::{Matched, Pathset, Query, Remembered, Value, Values};
use crate::outcome::Refusal;
use crate::path::PortablePath;
use crate::settle::{Input, InputValue, Settled};
use crate::stamp::{self, Found, Stamp};
use crate::store::VirtualTree;
use rustc_hash::{FxHashMap, FxHashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Digests of what settled as input. An input that is not as it was when it was read is a Refusal.
pub(super) fn fingerprint(
    shared: &Shared,
    cached: &Cached,
    run: &Run,
    settled: &Settled,
) -> Result<(Pathset, Values, Remembered), Refusal> {
    let places = &shared.zones.places;
    let now = stamp::now_ns();
    let seen_before = seen_before(cached);
    let mut members: Vec<(PortablePath, Query, (Option<Stamp>, Value))> =
        Vec::with_capacity(settled.inputs.len());
    for input in &settled.inputs {
        let path = places.portable(&input.path);
        let (stamp, value) = input_value(shared, input, seen_before.get(&path))?;
        let stamp = stamp.filter(|stamp| stamp.is_settled(now));
        let by_home = places.by_home(&input.path);
        let names = std::iter::once(path).chain(by_home);
        members.extend(names.map(|path| (path, input.query.clone(), (stamp, value))));
    }
    members.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    members.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
    let mut pathset = Pathset {
        paths: Vec::with_capacity(members.len()),
        programs: settled.programs.clone(),
        globs: settled.globs.clone(),
        globs_except: keep::portable(places, &settled.globs_except),
        envs: settled.envs.iter().map(|(select, _)| select.clone()).collect(),
        bound_to_place: false,
    };
    pathset.envs.dedup();
    let mut remembered = Vec::with_capacity(members.len());
    for (path, query, member) in members {
        pathset.paths.push((path, query));
        remembered.push(member);
    }
    still_so(shared, cached, settled, &pathset, &remembered)?;
    let rest = Pathset { paths: Vec::new(), ..pathset.clone() };
    let looked = cached.disk(shared).look(&rest, &Vec::new());
    matched_still_so(shared, cached, run, settled)?;
    let globs = crate::fingerprint::without(run.matched.clone(), &pathset.globs_except);
    let paths = remembered.iter().map(|(_, value)| *value).collect();
    let values = Values { paths, globs, ..looked.values };
    remembered.extend(looked.remembered);
    Ok((pathset, values, remembered))
}

/// What was listed, probed or followed must be as it was, unless the step itself or another step of a
/// run changed it: then the earlier value stands.
fn still_so(
    shared: &Shared,
    cached: &Cached,
    settled: &Settled,
    pathset: &Pathset,
    then: &Remembered,
) -> Result<(), Refusal> {
    let places = &shared.zones.places;
    let own: FxHashSet<&Path> =
        settled.outputs.iter().chain(&settled.removed).map(PathBuf::as_path).collect();
    let is_known = |query: &Query| *query != Query::Content;
    let members = pathset.paths.iter().zip(then).filter(|((_, query), _)| is_known(query));
    let (members, then): (Vec<_>, Vec<_>) =
        members.map(|(member, (_, value))| (member.clone(), *value)).unzip();
    let probed = Pathset { paths: members, ..Pathset::default() };
    let mut looked = cached.disk(shared).look(&probed, &Vec::new());
    // Where it is not known who made a name, the name counts.
    let _ = listing::without_later(shared, cached, &VirtualTree::default(), &probed, &mut looked.values);
    for ((path, query), (then, now)) in probed.paths.iter().zip(then.iter().zip(&looked.values.paths)) {
        let absolute = places.absolute(path);
        if then == now || own.contains(absolute.as_path()) || is_of_another_step(cached, path) {
            continue;
        }
        let explained = match query {
            Query::Listing(except) => listing_of_others(shared, cached, &absolute, except) == Some(*then),
            _ => false,
        };
        if !explained {
            return Err(Refusal::InputChangedDuringRun(path.to_string()));
        }
    }
    Ok(())
}

/// What patterns of inputs match must be what they matched before the run, but for what the step itself
/// or another step changed.
fn matched_still_so(shared: &Shared, cached: &Cached, run: &Run, settled: &Settled) -> Result<(), Refusal> {
    if settled.globs.is_empty() {
        return Ok(());
    }
    let places = &shared.zones.places;
    let now = cached.disk(shared).matched(&settled.globs, &run.matched);
    let value = |matched: &Matched, path: &PortablePath| matched.get(path).map(|(_, value)| *value);
    let differs = |path: &&PortablePath| value(&run.matched, path) != value(&now, path);
    let own: FxHashSet<PortablePath> =
        settled.outputs.iter().chain(&settled.removed).map(|path| places.portable(path)).collect();
    let mut changed = run.matched.keys().chain(now.keys()).filter(differs);
    match changed.find(|path| !own.contains(*path) && !is_of_another_step(cached, path)) {
        Some(path) => Err(Refusal::InputChangedDuringRun(path.to_string())),
        None => Ok(()),
    }
}

fn is_of_another_step(cached: &Cached, path: &PortablePath) -> bool {
    cached.store.is_left_by_another(path, cached.scope).unwrap_or(false)
}

/// A listing as it is now, without what other steps are known to have left.
fn listing_of_others(shared: &Shared, cached: &Cached, folder: &Path, except: &[OsString]) -> Option<Value> {
    let mut names = crate::fingerprint::list(folder).ok()?;
    names.retain(|(name, _)| !is_of_another_step(cached, &shared.zones.places.portable(&folder.join(name))));
    Some(Value::listing(&names, except))
}

/// Contents that the newest entries of the step were looked up with: what is as it was then is not read
/// again.
fn seen_before(cached: &Cached) -> FxHashMap<PortablePath, (Stamp, Value)> {
    let mut seen = FxHashMap::default();
    // Without knowing, files are read.
    let pathsets = cached.store.pathsets(cached.key_digest).into_iter().flatten();
    for (digest, pathset) in pathsets.filter_map(Result::ok).take(PATHSETS_SEEN) {
        let remembered = cached.store.remembered(digest).unwrap_or_default();
        if remembered.len() != pathset.paths.len() + pathset.programs.len() {
            continue;
        }
        for ((path, query), (stamp, value)) in pathset.paths.into_iter().zip(remembered) {
            if let (Query::Content, Some(stamp)) = (query, stamp) {
                seen.entry(path).or_insert((stamp, value));
            }
        }
    }
    seen
}

/// So many pathsets are asked for what was seen before: most steps have one, and alternate between two.
const PATHSETS_SEEN: usize = 2;

fn input_value(
    shared: &Shared,
    input: &Input,
    before: Option<&(Stamp, Value)>,
) -> Result<(Option<Stamp>, Value), Refusal> {
    let changed = || Refusal::InputChangedDuringRun(shared.zones.places.portable(&input.path).to_string());
    match input.value {
        InputValue::Known(value) => Ok((None, value)),
        InputValue::File(then) => match (Found::at(&input.path), before) {
            (Ok(Found::File(now)), Some((stamp, value))) if now == then && now == *stamp => {
                Ok((Some(now), *value))
            }
            (Ok(Found::File(now)), _) if now == then => {
                let (read, digest) = shared.digests.of_file(&input.path, now).map_err(|_| changed())?;
                if read == then {
                    Ok((Some(read), Value::content(digest, read.is_executable())))
                } else {
                    Err(changed())
                }
            }
            _ => Err(changed()),
        },
    }
}

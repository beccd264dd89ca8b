//! After a run that succeeded: settle, fingerprint, store. Each is one function here; what they decide
//! is decided in `settle`, and how it is kept is `store`'s.
//!
//! What a run did with what it found is learned here too, also from a run that failed or is refused.

use super::together::Companion;
use super::{Cached, Shared, facts, hidden, listing};
use crate::access::{Observed, Seen};
use crate::digest::{Digest, Fields};
use crate::fingerprint::{Matched, Pathset, Query, Remembered, Value, Values};
use crate::globs::{self, Globs};
use crate::habit;
use crate::hint::Hint;
use crate::outcome::{Kept, Refusal};
use crate::path::{Places, PortablePath};
use crate::settle::{self, Evidence, Input, InputValue, Settled};
use crate::stamp::{self, Found, Stamp};
use crate::store::{
    ArchiveError, FolderHabit, Habits, LastRun, Manifest, NewEntry, Packed, Recording, StoreError,
    VirtualTree,
};
use crate::tool_state::is_in_hidden_folder;
use crate::zone::Zone;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything that is known of a run that succeeded.
pub struct Run {
    /// What was traced.
    pub observed: Observed,
    /// What the tool told; or why that may be incomplete.
    pub hints: Result<Vec<Hint>, String>,
    /// What it printed; `None` if that was too much to keep.
    pub logs: Option<Recording>,
    /// How long it took.
    pub took: Duration,
    /// It was interrupted, though it ended well.
    pub interrupted: bool,
    /// Digests of paths that earlier runs rewrote, taken before it started.
    pub before: FxHashMap<PathBuf, (Stamp, Digest)>,
    /// What the step left last, state files among it, where all of that was there unchanged.
    pub left_whole: Option<FxHashSet<PathBuf>>,
    /// The files that patterns of inputs matched before it started.
    pub matched: Matched,
    /// Links on the way to where it started, with what they said before.
    pub cwd_links: Vec<(PathBuf, Value)>,
    /// Who ran meanwhile.
    pub companion: Companion,
}

/// Keeps a run, or says why not. Whatever the answer, the run has taught what it did.
pub fn keep(shared: &Shared, cached: &Cached, run: Run) -> Result<Kept, Refusal> {
    let ends = ends(&run.observed);
    let habits = learn(shared, cached, &run.observed, &ends, !run.interrupted);
    let kept = settle_and_store(shared, cached, &run, &ends, habits);
    let (fingerprint, report) = match &kept {
        Ok((fingerprint, _, report)) => (Some(*fingerprint), report.clone()),
        Err(refusal) => {
            note_left(shared, cached, &run.observed, &ends);
            (None, facts::document(cached, &shared.zones.places, &run.observed, Err(refusal)))
        }
    };
    note_tool_files(shared, cached, &run.observed, &ends);
    note(cached, LastRun { key: Some(cached.key.clone()), fingerprint, report: facts::packed(&report) });
    kept.map(|(_, kept, _)| kept)
}

/// Notes how the step ended. Without the note less can be told of it.
fn note(cached: &Cached, last: LastRun) {
    let _ = cached.store.note_run(cached.scope, &cached.step.id.task, cached.step.id.position, &last);
}

/// After a run that failed: nothing is kept, but what it left and did is known. What is told of the run
/// before stays, with the word that a later one failed.
pub fn learn_from_failure(shared: &Shared, cached: &Cached, observed: &Observed) {
    let last = cached.store.last_run(cached.scope).ok().flatten();
    let key = last.as_ref().map_or_else(|| Some(cached.key.clone()), |last| last.key.clone());
    let fingerprint = last.as_ref().and_then(|last| last.fingerprint);
    let report = facts::failed(cached, last.as_ref().map(|last| &*last.report));
    note(cached, LastRun { key, fingerprint, report: facts::packed(&report) });
    let ends = ends(observed);
    learn(shared, cached, observed, &ends, false);
    note_left(shared, cached, observed, &ends);
    note_tool_files(shared, cached, observed, &ends);
}

/// Notes which files of its own state the tool made, so that its reading them again is no news. A file
/// that was there before is believed to be state only in a hidden folder.
fn note_tool_files(shared: &Shared, cached: &Cached, observed: &Observed, ends: &FxHashMap<PathBuf, Found>) {
    let Some(keeper) = cached.keeper() else { return };
    let places = &shared.zones.places;
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (path, found) in ends.iter().filter(|(path, _)| cached.tool.is_kept(path)) {
        let change = observed.paths.get(path).and_then(|seen| seen.change.as_ref());
        let is_new = change.is_some_and(|change| change.found == Found::Absent);
        match found {
            Found::Absent => gone.push(places.portable(path)),
            Found::File(_) | Found::Link(_) if is_new || is_in_hidden_folder(&places.root, path) => {
                kept.push(places.portable(path));
            }
            _ => {}
        }
    }
    // Without the note those reads count, and cost a miss.
    let _ = cached.store.keep_tool_files(keeper, &kept, &gone);
    // What is neither stored nor put back is no news to anybody: its names are noted for all.
    let own = |paths: Vec<PortablePath>| -> Vec<PortablePath> {
        let mut own = BTreeSet::new();
        for path in paths.iter().map(|path| places.absolute(path)) {
            own.extend(
                path.ancestors()
                    .take_while(|path| cached.tool.is_own(path))
                    .map(|path| places.portable(path)),
            );
        }
        own.into_iter().collect()
    };
    gone.retain(|path| cached.tool.is_own(&places.absolute(path)));
    let _ = cached.store.keep_tool_files(anyone(), &own(kept), &gone);
}

/// Under whom the state of all tools is noted.
fn anyone() -> Digest {
    Fields::new("tool state of anyone").digest()
}

/// The files and links that the step changed, and what it removed. That two make the same folder is no
/// conflict.
pub fn changed(observed: &Observed) -> FxHashSet<PathBuf> {
    let is_changed = |path: &Path, seen: &Seen| {
        let Some(change) = &seen.change else { return false };
        match (Found::at(path), &change.found) {
            (Ok(Found::Folder(_)), _) => seen.removed,
            (Ok(Found::File(after)), Found::File(before)) => after != *before,
            _ => true,
        }
    };
    let changed = observed.paths.iter().filter(|(path, seen)| is_changed(path, seen));
    changed.map(|(path, _)| path.clone()).collect()
}

/// What lies now at each path that the step asked to change.
fn ends(observed: &Observed) -> FxHashMap<PathBuf, Found> {
    let changed = observed.paths.iter().filter(|(_, seen)| seen.change.is_some());
    changed.map(|(path, _)| (path.clone(), Found::at(path).unwrap_or(Found::Other))).collect()
}

/// `is_whole`: the run came to its end. One that stopped before would perhaps have removed what it left.
fn learn(
    shared: &Shared,
    cached: &Cached,
    observed: &Observed,
    ends: &FxHashMap<PathBuf, Found>,
    is_whole: bool,
) -> Habits {
    let others = |folder: &Path, is_changed: &dyn Fn(&Path) -> bool| {
        let Ok(names) = std::fs::read_dir(folder) else { return false };
        names.flatten().any(|name| {
            let path = name.path();
            shared.zones.of(&path) == Zone::Workspace && !cached.tool.is_own(&path) && !is_changed(&path)
        })
    };
    let places = &shared.zones.places;
    let is_own = |folder: &Path| {
        shared.zones.of(folder) == Zone::Workspace
            && made_folder(cached, observed, folder, &places.portable(folder))
    };
    let mut habits = habit::learn(observed, ends, places, &is_own, &others);
    habits.folders.retain(|(_, habit)| is_whole || *habit != FolderHabit::Kept);
    // Without it a later hit is blocked and costs a run; that is no reason to fail this one.
    let _ = cached.store.learn(&[cached.key_digest, cached.scope], &habits);
    habits
}

/// Whether a run of the tool is known to have made a file of its own state there.
fn is_tool_file(cached: &Cached, path: &Path, portable: &PortablePath) -> bool {
    cached.tool.is_kept(path)
        && cached.keeper().is_some_and(|keeper| cached.store.is_tool_file(keeper, portable))
}

/// Whether a run of this step is known to have made the folder that this one found there: not another one
/// that somebody has made since in its place.
fn made_folder(cached: &Cached, observed: &Observed, path: &Path, portable: &PortablePath) -> bool {
    let left = cached.store.left(portable).ok().flatten();
    let Some(left) = left.filter(|left| left.step == cached.scope && left.value == Value::FOLDER) else {
        return false;
    };
    let Some(known) = left.stamp else { return true };
    let seen = observed.seen(path);
    let is_changed = seen.is_some_and(|seen| seen.change.is_some());
    match seen.and_then(|seen| seen.first()).map(|first| &first.found) {
        Some(Found::Folder(then)) if (then.dev, then.ino) != (known.dev, known.ino) => false,
        Some(Found::Folder(_)) | None if !is_changed => Stamp::of_folder(path) == Some(known),
        _ => true,
    }
}

/// Notes what a run that is not kept left behind, so that a later hit may replace it.
fn note_left(shared: &Shared, cached: &Cached, observed: &Observed, ends: &FxHashMap<PathBuf, Found>) {
    let places = &shared.zones.places;
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    for (path, found) in ends.iter().filter(|(path, _)| shared.zones.of(path) == Zone::Workspace) {
        match found {
            Found::Absent => gone.push(places.portable(path)),
            Found::File(stamp) => {
                // From before the reading: what changes meanwhile may show in no stamp.
                let began = stamp::now_ns();
                if let Ok((stamp, digest)) = shared.digests.of_file(path, *stamp) {
                    let value = Value::content(digest, stamp.is_executable());
                    left.push((places.portable(path), value, stamp.is_settled(began).then_some(stamp)));
                }
            }
            Found::Link(text) => left.push((places.portable(path), Value::link(text), None)),
            Found::Folder(_) if was_absent(observed, path) => {
                left.push((places.portable(path), Value::FOLDER, Stamp::of_folder(path)))
            }
            Found::Folder(_) | Found::Other => {}
        }
    }
    // As above: not knowing costs a run, later.
    let _ = cached.store.leave(cached.scope, &left, &gone);
}

fn was_absent(observed: &Observed, path: &Path) -> bool {
    observed
        .seen(path)
        .and_then(|seen| seen.change.as_ref())
        .is_some_and(|change| change.found == Found::Absent)
}

fn settle_and_store(
    shared: &Shared,
    cached: &Cached,
    run: &Run,
    ends: &FxHashMap<PathBuf, Found>,
    habits: Habits,
) -> Result<(Digest, Kept, serde_json::Value), Refusal> {
    if run.interrupted {
        return Err(Refusal::Interrupted);
    }
    let hints = run.hints.as_ref().map_err(|cause| Refusal::IpcFailed(cause.clone()))?;
    let places = &shared.zones.places;
    let named_outputs = named_outputs(shared, cached, &run.observed);
    let tool_state: OnceCell<FxHashSet<PathBuf>> = OnceCell::new();
    let evidence = Evidence {
        named_outputs: &named_outputs,
        config: &cached.step.config,
        declaration: cached.declaration.as_ref(),
        hints,
        observed: &run.observed,
        ends,
        zones: shared.zones,
        package_dir: &cached.step.package.dir,
        cwd: &cached.step.cwd,
        cwd_links: &run.cwd_links,
        search: &cached.env.search,
        made_before: &|path| {
            let portable = places.portable(path);
            cached.store.was_made_by(cached.scope, &portable) || is_tool_file(cached, path, &portable)
        },
        tool_made_before: &|path| is_tool_file(cached, path, &places.portable(path)),
        is_tool_state: &|path| {
            let state = tool_state.get_or_init(|| {
                let known = cached.store.tool_files(anyone()).unwrap_or_default();
                known.iter().map(|path| places.absolute(path)).collect()
            });
            state.contains(path)
        },
        folder_made_before: &|path| made_folder(cached, &run.observed, path, &places.portable(path)),
        digest_before: &|path, stamp| match run.before.get(path) {
            Some((before, digest)) if before == stamp => Some(*digest),
            _ => shared.digests.known(path, stamp),
        },
        digest_now: &|path| match Found::at(path) {
            Ok(Found::File(stamp)) => shared.digests.of_file(path, stamp).ok().map(|(_, digest)| digest),
            _ => None,
        },
        left_whole: run.left_whole.as_ref(),
        // What cannot be listed holds nothing that could be judged.
        names_now: &|folder| crate::fingerprint::list(folder).unwrap_or_default(),
        without_later: &|folder, names| {
            // Where it is not known who made a name, the name counts.
            let without = listing::without(shared, cached, &places.portable(folder), names.clone());
            without.unwrap_or_else(|_| names.clone())
        },
    };
    let mut settled = settle::settle(&evidence).inspect_err(|refusal| {
        if let Refusal::ReadWriteOverlap { .. } = refusal {
            for path in settle::overlaps(&evidence) {
                // Without the note the next run is refused like this one.
                let _ = cached.store.note_overlap(cached.scope, &places.portable(path));
            }
        }
    })?;
    hidden::search(shared, cached, &run.observed, hints, &settled)?;
    add_generated(shared, cached, &mut settled);
    let (mut pathset, mut values, mut remembered) = fingerprint(shared, cached, run, &settled)?;
    let outputs = outputs(shared, &settled);
    let met =
        |(path, _): (PathBuf, Arc<str>)| Refusal::InputChangedDuringRun(places.portable(&path).to_string());
    // Also what is not there any more: another may have removed it.
    let vanished = ends.iter().filter(|(_, found)| **found == Found::Absent).map(|(path, _)| path);
    let counts: FxHashSet<PathBuf> =
        settled.outputs.iter().chain(&settled.removed).chain(vanished).cloned().collect();
    if let Some(of_another) = run.companion.meets(&counts) {
        return Err(met(of_another));
    }
    let packed = cached.store.pack(&outputs, places).map_err(|error| match error {
        ArchiveError::Unsteady(path) => Refusal::InputChangedDuringRun(path.to_string()),
        other => Refusal::StoreFailed(other.to_string()),
    })?;
    let logs = run.logs.as_ref().ok_or_else(|| Refusal::TooLarge("what it printed".to_owned()))?;
    let names_place = packed.names_place || logs.names_place;
    if names_place && !cached.step.config.portable {
        pathset.bound_to_place = true;
        values.place = Some(crate::fingerprint::place(places));
    }
    remembered.truncate(pathset.paths.len() + pathset.programs.len());
    let stored = store(
        shared,
        cached,
        run,
        ends,
        &pathset,
        &values,
        &remembered,
        &settled,
        packed,
        habits,
        &logs.bytes,
    )
    .map_err(|error| Refusal::StoreFailed(error.to_string()))?;
    match run.companion.kept(stored.0, counts) {
        Some(of_another) => {
            let _ = cached.store.remove_entry(stored.0);
            Err(met(of_another))
        }
        None => Ok(stored),
    }
}

/// What the patterns of outputs match after a run that no trace can vouch for, where config says both
/// what goes in and what comes out.
fn named_outputs(shared: &Shared, cached: &Cached, observed: &Observed) -> Vec<PathBuf> {
    let (config, places) = (&cached.step.config, &shared.zones.places);
    if observed.incomplete.is_none() || config.input.auto || config.output.auto {
        return Vec::new();
    }
    let patterns = globs::of_selection(&config.output, &places.root, &cached.step.package.dir);
    Globs::new(&patterns).walk(places).keys().map(|path| places.absolute(path)).collect()
}

/// Files that the tool keeps for others to read, and that earlier runs of this step left as they still
/// are, although this run had no need to write them: whoever gets its outputs needs those too.
fn add_generated(shared: &Shared, cached: &Cached, settled: &mut Settled) {
    if !cached.tool.has_generated() {
        return;
    }
    let settled_before: FxHashSet<PathBuf> =
        settled.outputs.iter().chain(&settled.removed).cloned().collect();
    // Without knowing, the entry has less to put back; what it has is right.
    for portable in cached.store.left_by(cached.scope).unwrap_or_default() {
        let path = shared.zones.places.absolute(&portable);
        if !cached.tool.is_generated(&path) || settled_before.contains(&path) {
            continue;
        }
        let Ok(found) = Found::at(&path) else { continue };
        let places = &shared.zones.places;
        if cached.store.is_left_on_disk(&portable, &found, places, shared.digests).unwrap_or(false) {
            settled.outputs.push(path);
        }
    }
    settled.outputs.sort();
}

/// Digests of what settled as input. An input that is not as it was when it was read is a Refusal.
fn fingerprint(
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
        members.push((path, input.query.clone(), (stamp, value)));
    }
    members.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    members.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
    let mut pathset = Pathset {
        paths: Vec::with_capacity(members.len()),
        programs: settled.programs.clone(),
        globs: settled.globs.clone(),
        globs_except: portable(places, &settled.globs_except),
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

/// Outputs as they are stored: of folders only those without an output in them, the others are made for
/// what is in them.
fn outputs(shared: &Shared, settled: &Settled) -> Vec<PortablePath> {
    let holds_next = |(index, path): &(usize, &PathBuf)| {
        settled.outputs.get(index + 1).is_some_and(|next| next.starts_with(path))
    };
    let kept = settled.outputs.iter().enumerate().filter(|output| !holds_next(output)).map(|(_, path)| path);
    let mut outputs: Vec<_> = kept.map(|path| shared.zones.places.portable(path)).collect();
    outputs.sort();
    outputs
}

/// The same paths as they are stored, in the order of what is stored: by bytes, where `a.b` comes before
/// `a/b`.
fn portable(places: &Places, paths: &[PathBuf]) -> Vec<PortablePath> {
    let mut portable: Vec<PortablePath> = paths.iter().map(|path| places.portable(path)).collect();
    portable.sort();
    portable
}

fn is_folder(path: &&PathBuf) -> bool {
    matches!(Found::at(path), Ok(Found::Folder(_)))
}

/// Folders of the workspace that the step made, also where config leaves them out of its outputs.
fn folders_made<'a>(
    shared: &'a Shared,
    run: &'a Run,
    ends: &'a FxHashMap<PathBuf, Found>,
) -> impl Iterator<Item = &'a PathBuf> {
    let made = ends.iter().filter(|(path, end)| {
        matches!(end, Found::Folder(_))
            && shared.zones.of(path) == Zone::Workspace
            && was_absent(&run.observed, path)
    });
    made.map(|(path, _)| path)
}

/// Archive before entry: the archive is on the disk already, and the entry is one transaction.
#[allow(clippy::too_many_arguments, reason = "all that a run came to, stored in one place")]
fn store(
    shared: &Shared,
    cached: &Cached,
    run: &Run,
    ends: &FxHashMap<PathBuf, Found>,
    pathset: &Pathset,
    values: &Values,
    remembered: &Remembered,
    settled: &Settled,
    packed: Packed,
    habits: Habits,
    logs: &[u8],
) -> Result<(Digest, Kept, serde_json::Value), StoreError> {
    let places = &shared.zones.places;
    let manifest = Manifest {
        outputs: packed.outputs,
        removed: portable(places, &settled.removed),
        temporary: portable(places, &settled.temporary),
        state_files: portable(places, &settled.state_files),
        found_bare: portable(places, &settled.found_bare),
        emptied: portable(places, &settled.emptied),
        habits,
    };
    let entry = NewEntry {
        key: cached.key_digest,
        pathset,
        values,
        manifest: &manifest,
        archive: packed.archive,
        logs,
        took: run.took,
        task: &cached.step.id.task,
    };
    let fingerprint = cached.store.put_entry(&entry)?;
    cached.store.remember(pathset.digest(), remembered)?;
    let now = stamp::now_ns();
    let stamps: Vec<Option<Stamp>> =
        packed.stamps.iter().map(|stamp| stamp.filter(|stamp| stamp.is_settled(now))).collect();
    cached.store.remember_placed(fingerprint, &stamps)?;
    let left = manifest.outputs.iter().zip(&stamps);
    let left = left.map(|(output, stamp)| (output.path.clone(), output.kind.value(), *stamp));
    let folders = folders_made(shared, run, ends).chain(settled.outputs.iter().filter(is_folder));
    let folders = folders.map(|path| (places.portable(path), Value::FOLDER, Stamp::of_folder(path)));
    // Folders last: as outputs they have no stamp.
    let left: Vec<_> = left.chain(folders).collect();
    cached.store.leave(cached.scope, &left, &manifest.removed)?;
    if !manifest.state_files.is_empty() {
        cached.store.note_state(cached.scope, fingerprint)?;
    }
    let inputs = pathset.paths.len() + pathset.programs.len() + values.globs.len() + pathset.envs.len();
    let archive = packed.archive.map(|(digest, _)| digest);
    let kept = cached.kept(inputs, manifest.outputs.len(), archive);
    let archive_bytes = packed.archive.map_or(0, |(_, bytes)| bytes);
    let written = globs::of_inputs(&cached.step.config.input, None, cached.bases(shared));
    let settling =
        facts::Settling { settled, written, values, outputs: &manifest.outputs, kept: &kept, archive_bytes };
    let report = facts::document(cached, places, &run.observed, Ok(&settling));
    Ok((fingerprint, kept, report))
}

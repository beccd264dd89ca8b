//! After a run that succeeded: settle, fingerprint, store. What settles is decided in `settle`, the values
//! of what it read are taken in `inputs`, what else it teaches is noted in `learn`, and how all of it is
//! kept is `store`'s.

use super::learn::{self, anyone, is_tool_file, made_folder, was_absent};
use super::together::Companion;
use super::{Cached, Shared, facts, hidden, inputs, listing};
use crate::access::Observed;
use crate::digest::Digest;
use crate::fingerprint::{Matched, Pathset, Remembered, Value, Values};
use crate::globs::{self, Globs};
use crate::hint::Hint;
use crate::outcome::{Kept, Refusal};
use crate::path::{Places, PortablePath};
use crate::settle::{self, Evidence, Settled};
use crate::stamp::{self, Found, Stamp};
use crate::store::{ArchiveError, Habits, LastRun, Manifest, NewEntry, Packed, Recording, StoreError};
use crate::zone::Zone;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;
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
    let ends = learn::ends(&run.observed);
    let habits = learn::learn(shared, cached, &run.observed, &ends, !run.interrupted);
    let kept = settle_and_store(shared, cached, &run, &ends, habits);
    let (fingerprint, report) = match &kept {
        Ok((fingerprint, _, report)) => (Some(*fingerprint), report.clone()),
        Err(refusal) => {
            learn::note_left(shared, cached, &run.observed, &ends);
            (None, facts::document(cached, &shared.zones.places, &run.observed, Err(refusal)))
        }
    };
    learn::note_tool_files(shared, cached, &run.observed, &ends);
    learn::note(
        cached,
        LastRun { key: Some(cached.key.clone()), fingerprint, report: facts::packed(&report) },
    );
    kept.map(|(_, kept, _)| kept)
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
    let search: Vec<PathBuf> = cached.env.search.folders().map(Path::to_path_buf).collect();
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
        search: &search,
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
            _ => shared.digests.known(path, stamp).or_else(|| left_before(shared, cached, path, stamp)),
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
    let (mut pathset, mut values, mut remembered) = inputs::fingerprint(shared, cached, run, &settled)?;
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

/// The digest of the file with this stamp, where a run of this step is known to have left it.
fn left_before(shared: &Shared, cached: &Cached, path: &Path, stamp: &Stamp) -> Option<Digest> {
    let left = cached.store.left(&shared.zones.places.portable(path)).ok().flatten()?;
    let is_that = left.step == cached.scope && left.stamp.as_ref() == Some(stamp);
    // The value of a program is not the digest of its content.
    (is_that && !stamp.is_executable()).then_some(Digest(left.value.0))
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
pub(super) fn portable(places: &Places, paths: &[PathBuf]) -> Vec<PortablePath> {
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
    // What would not be believed when it is read is not kept.
    manifest.check()?;
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

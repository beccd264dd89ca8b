//! Starting the command of a step: overheard (traced, with an IPC server, its output recorded), or
//! left alone when it will not be stored anyway.

use super::environment::{self, Command};
use super::keep::Run;
use super::{Cached, Emit, Shared, learn};
use crate::digest::Digest;
use crate::event::{Event, Stream};
use crate::fingerprint::{Matched, Value, digest_file};
use crate::globs;
use crate::ipc::{Server, ServerSpec};
use crate::outcome::{DisabledBy, MissReason, Outcome, Refusal, Skip};
use crate::plan::Step;
use crate::process::{self, Mode, SpawnError};
use crate::stamp::{self, Found, Stamp};
use crate::store::LogRecorder;
use crate::trace::Spec;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How an overheard command ended.
pub enum Ended {
    /// With code 0.
    Succeeded(Box<Run>),
    /// Otherwise.
    Failed {
        /// What running it directly would have exited with.
        exit_code: i32,
        /// Why it could not be started, if so.
        error: Option<String>,
        /// How long it took.
        took: Duration,
    },
    /// A signal came first.
    NotBegun,
}

/// Runs the command and overhears it.
pub fn overheard(shared: &Shared, cached: &Cached, emit: Emit) -> Ended {
    let passed = environment::sees(shared, cached).passed(shared.runner);
    let launch = match environment::cached_command(cached).launch(&passed) {
        Ok(launch) => launch,
        Err((exit_code, error)) => {
            return Ended::Failed { exit_code, error: Some(error), took: Duration::ZERO };
        }
    };
    let before = digests_before(shared, cached);
    let left_whole = left_whole(shared, cached);
    let matched = matched_before(shared, cached);
    let cwd_links = cwd_links(shared, cached);
    let env = Arc::new(cached.env.served.vars());
    let spec = ServerSpec { env, all: passed_where_all_is_asked(cached, &passed) };
    let server = Server::start_in(shared.take_unused(), spec);
    let mut launch = launch;
    let mut own = Vec::new();
    if let Ok(server) = &server {
        launch.env.extend(server.child_env());
        own = server.own_paths();
    }
    let mut recorder = LogRecorder::new(&shared.zones.places);
    let mut output = |stream: Stream, bytes: &[u8]| {
        recorder.add(stream, bytes);
        emit(Event::Printed {
            step: Arc::clone(&cached.step.id),
            stream,
            bytes: bytes.to_vec(),
            replayed: false,
        });
    };
    let spec = Spec::new(cached.env.path.clone(), own).overhearing(environment::left_out(shared, cached));
    let companion = shared.together.begin();
    let stir = shared.digests.seen.stir();
    let ended = match shared.commands.run(&launch, Mode::Traced(spec), shared.running, &mut output) {
        Ok(ended) => ended,
        Err(SpawnError::Interrupted) => return Ended::NotBegun,
        Err(error) => {
            let exit_code = spawn_exit_code(&error);
            return Ended::Failed { exit_code, error: Some(error.to_string()), took: Duration::ZERO };
        }
    };
    drop(stir);
    let is_over = !ended.interrupted
        && ended.observed.as_ref().is_some_and(|seen| seen.incomplete.is_none() && seen.detached.is_none());
    let mut observed = ended.observed.unwrap_or_default();
    let is_changed = |path: &Path| observed.seen(path).is_some_and(|seen| seen.change.is_some());
    let hints = server.map_err(|error| error.to_string()).and_then(|server| {
        let (hints, unused) = server.finish_unused(&is_changed);
        // Whoever is left of this step would be heard as of the next one.
        shared.keep_unused(unused.filter(|_| is_over));
        hints
    });
    // A client that may not even say so in its server's folder can be seen.
    let hints = match observed.paths.remove(Path::new(overhear_client::PROBE_LOST)) {
        Some(_) => hints.and(Err("a client could not deliver what it was told".to_owned())),
        None => hints,
    };
    for spoiled in companion.ended(&cached.step.id.task, learn::changed(&observed)) {
        let path = shared.zones.places.portable(&spoiled.path).to_string();
        let by = &cached.step.id.task;
        let text = format!(
            "{}  not stored: {by} changed {path} while it ran; let one wait for the other",
            spoiled.task
        );
        learn::unlearn(cached.store, spoiled.entry, Refusal::InputChangedDuringRun(path));
        emit(Event::Notice { step: None, text });
    }
    environment::keep_what_counts(cached, &mut observed);
    for name in &observed.hidden {
        let text = format!("{} asked for {name}, which is hidden; add it to \"env\"", cached.step.id.task);
        super::notice(shared, cached.step, text, emit);
    }
    if ended.exit_code != 0 {
        learn::learn_from_failure(shared, cached, &observed);
        return Ended::Failed { exit_code: ended.exit_code, error: None, took: ended.took };
    }
    let logs = recorder.finish();
    Ended::Succeeded(Box::new(Run {
        observed,
        hints,
        logs,
        took: ended.took,
        interrupted: ended.interrupted,
        before,
        left_whole,
        matched,
        cwd_links,
        companion,
    }))
}

/// A tool that asks for every variable, and means those that its adapter declares, gets what is passed:
/// what it would find in its own environment, all of it tracked or of no effect.
fn passed_where_all_is_asked(
    cached: &Cached,
    passed: &[(OsString, OsString)],
) -> Option<Arc<BTreeMap<String, String>>> {
    let is_declared = cached.declaration.as_ref()?.empty_prefix_is_declared;
    let text =
        |(name, value): &(OsString, OsString)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()));
    is_declared.then(|| Arc::new(passed.iter().filter_map(text).collect()))
}

/// Digests of what earlier runs read and then changed, so that this run can be kept although it does
/// so again. Without one the run is refused like those before.
fn digests_before(shared: &Shared, cached: &Cached) -> FxHashMap<PathBuf, (Stamp, Digest)> {
    let paths = cached.store.overlaps(cached.scope).unwrap_or_default();
    let paths = paths.iter().map(|path| shared.zones.places.absolute(path));
    let digests = paths.filter_map(|path| {
        wait_until_settled(&path);
        let began = stamp::now_ns();
        let (stamp, digest) = digest_file(&path).ok()?;
        stamp.is_settled(began).then_some((path, (stamp, digest)))
    });
    digests.collect()
}

/// A file that was written a moment ago, by the run before this one, is waited for until a later change
/// would show in its stamp: else steps that rewrite their own inputs would be refused as often as they
/// are run in a row. A clock that ticks in seconds is not waited for.
fn wait_until_settled(path: &Path) {
    let Ok(Found::File(stamp)) = Found::at(path) else { return };
    let age = stamp::now_ns().saturating_sub(stamp.ctime_ns);
    if (0..=stamp::CLOCK_GRAIN_NS).contains(&age) {
        let rest = u64::try_from(stamp::CLOCK_GRAIN_NS - age).unwrap_or(0);
        std::thread::sleep(Duration::from_nanos(rest) + Duration::from_millis(1));
    }
}

/// What the step left last, if it goes with state files and all of it is still there as it was left.
/// Where that cannot be told, state files count by content.
fn left_whole(shared: &Shared, cached: &Cached) -> Option<FxHashSet<PathBuf>> {
    let store = cached.store;
    let entry = store.entry(store.state(cached.scope).ok()??).ok()??;
    let places = &shared.zones.places;
    let is_whole = store.is_in_place(&entry, places, shared.digests).ok()?;
    is_whole.then(|| entry.manifest.outputs.iter().map(|output| places.absolute(&output.path)).collect())
}

/// The files that patterns of inputs match, as the command is about to find them.
fn matched_before(shared: &Shared, cached: &Cached) -> Matched {
    let patterns =
        globs::of_inputs(&cached.step.config.input, cached.declaration.as_ref(), cached.bases(shared));
    if patterns.is_empty() { Matched::new() } else { cached.disk(shared).matched(&patterns, &Matched::new()) }
}

/// The links of the workspace on the way to where the command is about to start.
fn cwd_links(shared: &Shared, cached: &Cached) -> Vec<(PathBuf, Value)> {
    let root = &shared.zones.places.root;
    let above = cached.step.cwd.ancestors().take_while(|path| path.starts_with(root) && path != root);
    let links = above.filter_map(|path| match Found::at(path) {
        Ok(Found::Link(text)) => Some((path.to_path_buf(), Value::link(&text))),
        _ => None,
    });
    links.collect()
}

/// Runs the command as it would run without overhear: no tracer, no server, the whole environment,
/// and perhaps the terminal.
pub fn left_alone(shared: &Shared, step: &Step, why: MissReason, has_terminal: bool, emit: Emit) -> Outcome {
    emit(Event::Started { step: Arc::clone(&step.id), why: why.clone(), others: Vec::new(), has_terminal });
    let failed = |exit_code, error: Option<String>, took| {
        let why = why.clone();
        Outcome::Failed { why, exit_code, error, took, adapter: None }
    };
    if !matches!(why, MissReason::CacheDisabled(DisabledBy::Default | DisabledBy::Fault(_))) {
        tell_outer();
    }
    let (command, mut env) = super::environment::whole(shared, step);
    // Inside a task that another overhear overhears, tools speak to that one.
    env.extend(crate::ipc::outer(shared.runner.variables()));
    let mode = if has_terminal { Mode::Attached } else { Mode::Captured };
    let says_colors = |(name, _): &(OsString, OsString)| name == "FORCE_COLOR" || name == "NO_COLOR";
    // On a terminal of its own it finds out by itself.
    let sees_terminal = has_terminal && std::io::stdout().is_terminal();
    if shared.shows_colors
        && !sees_terminal
        && !crate::plan::env::writes_elsewhere(step)
        && !env.iter().any(says_colors)
    {
        // It writes into a pipe, and what it writes is shown with its colours.
        env.push(("FORCE_COLOR".into(), "1".into()));
    }
    let launch = match command.launch(&env) {
        Ok(launch) => launch,
        Err((exit_code, error)) => return failed(exit_code, Some(error), Duration::ZERO),
    };
    let mut output = |stream: Stream, bytes: &[u8]| {
        emit(Event::Printed { step: Arc::clone(&step.id), stream, bytes: bytes.to_vec(), replayed: false });
    };
    let _stir = shared.digests.seen.stir();
    match shared.commands.run(&launch, mode, shared.running, &mut output) {
        Ok(ended) if ended.exit_code == 0 => {
            Outcome::Ran { why, refusal: None, took: ended.took, kept: None, adapter: None }
        }
        Ok(ended) => failed(ended.exit_code, None, ended.took),
        Err(SpawnError::Interrupted) => Outcome::Skipped(Skip::Interrupted),
        Err(error) => failed(spawn_exit_code(&error), Some(error.to_string()), Duration::ZERO),
    }
}

/// What somebody said is not to be cached is not to be cached either as a part of a step of an overhear that
/// overhears this one.
pub fn tell_outer() {
    if crate::ipc::is_overheard() {
        overhear_client::disable_cache();
    }
}

/// As shells have it: 127 for what is not there, 126 for what cannot be executed.
fn spawn_exit_code(error: &SpawnError) -> i32 {
    match error {
        SpawnError::NotFound { .. } | SpawnError::BadInterpreter { .. } => 127,
        SpawnError::NotExecutable { .. } | SpawnError::Other { .. } => 126,
        SpawnError::NoCwd { .. } | SpawnError::Interrupted => 1,
    }
}

impl Command {
    /// As a shell ends when it finds no program of that name.
    fn not_found(&self) -> (i32, String) {
        let name = &self.name;
        if !name.contains('/') {
            return (
                127,
                format!("program `{name}` was not found in PATH; is it installed, and spelled right?"),
            );
        }
        match std::fs::metadata(self.cwd.join(name)) {
            Ok(there) if there.is_dir() => (126, format!("`{name}` is a folder, not a program")),
            Ok(_) => (
                126,
                format!(
                    "`{name}` may not be executed; chmod +x it, or start it with the program that reads it"
                ),
            ),
            Err(error) => (127, format!("cannot start `{name}`: {error}")),
        }
    }

    /// What is started, with this environment; or the exit code and message of a shell that finds
    /// no such program.
    fn launch(
        &self,
        env: &[(std::ffi::OsString, std::ffi::OsString)],
    ) -> Result<process::Launch, (i32, String)> {
        let Some(program) = process::find_program(OsStr::new(&self.name), &self.path, &self.cwd) else {
            return Err(self.not_found());
        };
        Ok(process::Launch { program, args: self.args.clone(), cwd: self.cwd.clone(), env: env.to_vec() })
    }
}

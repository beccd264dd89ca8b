//! The way of one step. [`run`] is its outline: a hit, or a run that is kept. The parts are elsewhere:
//! whether it is cached, with its declaration and CacheKey, in [`decide`] and `environment`; looking it
//! up, with the steps that follow it, in `chain` and `lookup`; starting it in `spawn`; settling,
//! fingerprinting and storing in `keep`.
//!
//! Nothing here prints; what a user may be shown goes out as events.

mod chain;
mod compare;
mod environment;
mod facts;
mod foresee;
mod hidden;
mod inputs;
mod keep;
mod learn;
mod listing;
mod lookup;
mod named;
mod names;
mod spawn;
mod together;

use crate::adapter::Adapters;
use crate::config::{CacheDefaults, ScriptCaching};
use crate::declaration::{Base, Declaration, PathRule, Verdict};
use crate::digest::{Digest, Fields};
use crate::event::{Event, StepId};
use crate::fingerprint::{Digests, Disk};
use crate::ipc::Unused;
use crate::outcome::{DisabledBy, Kept, Miss, MissReason, Outcome, Skip};
use crate::plan::env::Runner;
use crate::plan::{Origin, Step, nested};
use crate::process::{Commands, Running};
use crate::store::{Entry, Frames, StepLock, Store};
use crate::tool_state::ToolState;
use crate::tree::Bases;
use crate::zone::Zones;
use chain::Begun;
pub use chain::Chains;
pub use compare::{Compared, Differing, Incomparable, compare};
pub use environment::with_call;
pub use foresee::{caching, foresee};
pub use named::NamedFiles;
use spawn::Ended;
pub use spawn::tell_outer;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
pub use together::Together;

/// What all steps of a session share.
pub struct Shared<'a> {
    /// What is kept between runs; or why it cannot be used.
    pub store: Result<&'a Store, String>,
    /// What adapters know.
    pub adapters: &'a Adapters,
    /// What counts where.
    pub zones: &'a Zones,
    /// The environment that overhear itself was given.
    pub runner: &'a Runner,
    /// Where the user is.
    pub from_dir: &'a Path,
    /// Which steps are cached where nobody says so.
    pub defaults: &'a CacheDefaults,
    /// What the command line said about caching.
    pub mode: Mode,
    /// Digests that this session has computed.
    pub digests: &'a Digests,
    /// What files say that command lines name.
    pub named: NamedFiles,
    /// How commands are run.
    pub commands: &'a dyn Commands,
    /// Processes that are running, for signals.
    pub running: &'a Running,
    /// Whether a step beside which no other runs may have the terminal.
    pub gives_terminal: bool,
    /// Whether what commands print is shown with its colours.
    pub shows_colors: bool,
    /// Faults of the cache that were told, each once.
    pub told: Mutex<Vec<String>>,
    /// Where the tools of steps that ended had nothing to say.
    pub unused: Mutex<Vec<Unused>>,
    /// What commands change that run at the same time.
    pub together: Arc<Together>,
}

impl Shared<'_> {
    fn take_unused(&self) -> Option<Unused> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep_unused(&self, unused: Option<Unused>) {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).extend(unused);
    }
}

/// What the command line said about caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// As config and adapters say.
    #[default]
    Normal,
    /// `--cache`: scripts too.
    All,
    /// `--no-cache`: neither looked up nor stored.
    Off,
    /// `--force`: not looked up, but stored.
    Force,
    /// `--force --cache`: the same, scripts too.
    ForceAll,
}

impl Mode {
    /// Whether nothing is looked up.
    pub fn is_forced(self) -> bool {
        matches!(self, Mode::Force | Mode::ForceAll)
    }

    /// Whether scripts are cached that nothing is known of.
    fn is_for_all(self) -> bool {
        matches!(self, Mode::All | Mode::ForceAll)
    }
}

/// Where events go.
pub type Emit<'a> = &'a (dyn Fn(Event) + Sync);

/// A step that may be cached, with all that is known before it runs.
struct Cached<'a> {
    store: &'a Store,
    step: &'a Step,
    /// The later steps of the same task, by task and position.
    later: &'a [Digest],
    /// Its identity in this workspace: task and position.
    scope: Digest,
    declaration: Option<Declaration>,
    /// What its tool keeps, by the declaration.
    tool: ToolState,
    env: environment::StepEnvironment,
    key: crate::key::CacheKey,
    key_digest: Digest,
}

enum Decision<'a> {
    Uncached(MissReason),
    Cached(Box<Cached<'a>>),
}

/// Runs one step, or finds that it need not run.
pub fn run(shared: &Shared, chains: &Chains, index: usize, emit: Emit) -> Outcome {
    let step = &chains.plan.steps[index];
    if let Some((outcome, entry)) = chains.take(index) {
        return hit(step, outcome, &entry, emit);
    }
    let (cached, miss) = match chain::begin(shared, chains, index, emit) {
        Begun::Hits(hits) => {
            hits.into_iter().for_each(|(index, outcome, entry)| chains.keep(index, outcome, entry));
            let (outcome, entry) = chains.take(index).expect("the first of the hits is this step");
            return hit(step, outcome, &entry, emit);
        }
        Begun::Uncached(why) => {
            let has_terminal =
                step.config.interactive || (shared.gives_terminal && chains.plan.runs_alone(index));
            let outcome = spawn::left_alone(shared, step, why, has_terminal, emit);
            shared.digests.forget_programs();
            return outcome;
        }
        Begun::Miss(cached, miss) => (cached, miss),
    };
    // Another overhear may be running this very step: what it stores is then a hit for this one.
    // Without a lock both run it, which is what running the command twice would do.
    let lock = cached.store.lock(cached.scope).ok();
    let miss = match lock.as_ref().is_some_and(|lock| lock.had_to_wait) {
        true => match chain::look_again(shared, &cached, emit) {
            Ok((outcome, entry)) => return hit(step, outcome, &entry, emit),
            Err(miss) => miss,
        },
        false => miss,
    };
    let _exclusive = cached.lock_exclusive_dirs(&shared.zones.places.root);
    let Miss { why, others } = miss;
    emit(Event::Started { step: Arc::clone(&step.id), why: why.clone(), others, has_terminal: false });
    let adapter = cached.adapter();
    let outcome = match spawn::overheard(shared, &cached, emit) {
        Ended::Failed { exit_code, error, took } => Outcome::Failed { why, exit_code, error, took, adapter },
        Ended::NotBegun => Outcome::Skipped(Skip::Interrupted),
        Ended::Succeeded(run) => {
            let took = run.took;
            match keep::keep(shared, &cached, *run) {
                Ok(kept) => Outcome::Ran { why, refusal: None, took, kept: Some(kept), adapter },
                Err(refusal) => Outcome::Ran { why, refusal: Some(refusal), took, kept: None, adapter },
            }
        }
    };
    shared.digests.forget_programs();
    outcome
}

/// Identity of a step in its workspace: what one left is another's to a different one. A task stays the same
/// when its command changes; with other arguments it is another, and of `overhear exec` each command in each
/// folder is one.
pub fn scope(step: &Step) -> Digest {
    scope_of(step, step.has_args)
}

fn scope_of(step: &Step, has_args: bool) -> Digest {
    let StepId { task, position, command, cwd, .. } = &*step.id;
    let mut fields = Fields::new("step");
    fields.bytes(task.as_bytes()).number(*position as u64);
    if step.origin == Origin::Exec || has_args {
        fields.bytes(command.as_bytes()).bytes(cwd.as_bytes());
    }
    fields.digest()
}

/// What is known of a run, from what the store kept of it: one step of `inspect --json`.
pub fn read_facts(report: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(&zstd::decode_all(report).ok()?).ok()
}

/// Whether the step is cached, by what a person, an adapter and the defaults say, in that order.
fn decide<'a>(shared: &Shared<'a>, step: &'a Step, later: &'a [Digest], emit: Emit) -> Decision<'a> {
    let disabled = |by| Decision::Uncached(MissReason::CacheDisabled(by));
    if shared.mode == Mode::Off {
        return disabled(DisabledBy::Flag);
    }
    if step.config.persistent {
        return disabled(DisabledBy::Persistent);
    }
    if step.config.interactive {
        return disabled(DisabledBy::Interactive);
    }
    if step.config.cache == Some(false) {
        return disabled(DisabledBy::Config);
    }
    let whole = environment::Whole::of(shared, step);
    let declaration = match environment::declare(shared, step, &whole) {
        Ok(declaration) => declaration,
        // An adapter's fault costs only the caching of its own step.
        Err(fault) => return disabled(DisabledBy::Fault(fault)),
    };
    let declaration = match declaration {
        Some(Declaration { verdict: Verdict::Uncacheable(why), adapter, .. }) => {
            return disabled(DisabledBy::Adapter(adapter.id, why));
        }
        Some(Declaration { verdict: Verdict::Unsure(why), adapter, .. }) => {
            notice(shared, step, format!("adapter {} is unsure: {why}", adapter.id), emit);
            None
        }
        other => other,
    };
    let store = match &shared.store {
        Ok(store) => *store,
        Err(why) => return disabled(DisabledBy::Fault(why.clone())),
    };
    let by_default = match step.origin {
        Origin::Exec => true,
        Origin::Task => shared.defaults.tasks,
        Origin::Script => match shared.defaults.scripts {
            ScriptCaching::All => true,
            ScriptCaching::None => false,
            ScriptCaching::Known => declaration.is_some(),
        },
    };
    if !by_default && step.config.cache != Some(true) && !shared.mode.is_for_all() {
        return disabled(match step.origin {
            Origin::Task => DisabledBy::Config,
            _ if nested::runs_many_packages(&step.invocation) => DisabledBy::RunsMany,
            _ => DisabledBy::Default,
        });
    }
    let env = environment::of_step(shared, step, whole, declaration.as_ref(), store);
    let key = environment::key(shared, step, declaration.as_ref(), &env);
    let key_digest = key.digest();
    let scope = scope(step);
    let tool = declaration
        .as_ref()
        .map(|declaration| ToolState::of(declaration, bases(shared, step)))
        .unwrap_or_default();
    Decision::Cached(Box::new(Cached { store, step, later, scope, declaration, tool, env, key, key_digest }))
}

fn hit(step: &Step, outcome: Outcome, entry: &Entry, emit: Emit) -> Outcome {
    replay_log(step, &entry.logs, emit);
    outcome
}

fn replay_log(step: &Step, recording: &[u8], emit: Emit) {
    use crate::config::LogMode;
    if step.config.log != LogMode::Full {
        return;
    }
    // The recording was checked when the entry was found; what cannot be read now was printed before.
    for (stream, bytes) in Frames::new(recording).flatten() {
        emit(Event::Printed { step: Arc::clone(&step.id), stream, bytes, replayed: true });
    }
}

/// Tells a fault or a remark once per session.
fn notice(shared: &Shared, step: &Step, text: String, emit: Emit) {
    let mut told = shared.told.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.contains(&text) {
        told.push(text.clone());
        emit(Event::Notice { step: Some(Arc::clone(&step.id)), text });
    }
}

fn bases<'a>(shared: &'a Shared, step: &'a Step) -> Bases<'a> {
    Bases { root: &shared.zones.places.root, package_dir: &step.package.dir, cwd: &step.cwd }
}

impl<'a> Cached<'a> {
    /// The disk as this step sees it.
    fn disk(&'a self, shared: &'a Shared) -> Disk<'a> {
        Disk {
            places: &shared.zones.places,
            env: &self.env.served,
            search: &self.env.search,
            digests: shared.digests,
        }
    }

    /// The folders that patterns are relative to.
    fn bases(&'a self, shared: &'a Shared) -> Bases<'a> {
        bases(shared, self.step)
    }

    /// Locks the folders of the tool that two tasks may not use at the same time. Everybody takes them in
    /// one order, so nobody waits for ever.
    fn lock_exclusive_dirs(&self, root: &Path) -> Vec<StepLock> {
        let Some(declaration) = &self.declaration else { return Vec::new() };
        let folder = |rule: &PathRule| {
            let base = match rule.base {
                Base::Workspace => root,
                Base::Package => &self.step.package.dir,
                Base::Cwd => &self.step.cwd,
            };
            base.join(&rule.pattern)
        };
        let folders: BTreeSet<PathBuf> = declaration.exclusive_dirs.iter().map(folder).collect();
        let name = |folder: &PathBuf| {
            Fields::new("exclusive folder").bytes(folder.as_os_str().as_encoded_bytes()).digest()
        };
        // Without a lock they run side by side, as they would directly.
        folders.iter().filter_map(|folder| self.store.lock(name(folder)).ok()).collect()
    }

    /// The facts on an entry of it.
    fn kept(&self, inputs: usize, outputs: usize, archive: Option<Digest>) -> Kept {
        Kept {
            key: self.key_digest.to_string(),
            adapter: self.adapter(),
            inputs,
            outputs,
            archive: archive.map(|digest| digest.to_string()),
        }
    }

    /// The adapter that knows the command, as `id@version`.
    fn adapter(&self) -> Option<String> {
        let adapter = self.declaration.as_ref().map(|declaration| &declaration.adapter);
        adapter.map(|adapter| format!("{}@{}", adapter.id, adapter.version))
    }

    /// Whose state its tool keeps, the same for each step that this adapter knows.
    fn keeper(&self) -> Option<Digest> {
        let declaration = self.declaration.as_ref()?;
        Some(Fields::new("keeper").bytes(declaration.adapter.id.as_bytes()).digest())
    }
}

//! What a step is given before it runs: its program, its environment, what an adapter says of it, and
//! so its CacheKey.

use super::{Cached, Shared};
use crate::access::Observed;
use crate::adapter::Call;
use crate::config::{Selection, TaskConfig};
use crate::declaration::{Declaration, EnvMode};
use crate::digest::{Digest, Fields};
use crate::environment::Environment;
use crate::fingerprint::SearchPath;
use crate::key::CacheKey;
use crate::plan::env::{self, Set, StepEnv, Surroundings, Words, text_of};
use crate::plan::{Run, Step, nested};
use crate::process::find_program;
use crate::store::Store;
use crate::trace::LeftOut;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// What is started.
pub struct Command {
    /// As written; searched when it is started.
    pub name: String,
    /// Where it is searched.
    pub path: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it starts.
    pub cwd: PathBuf,
}

/// What a cached step is given.
pub struct StepEnvironment {
    /// Of what it sees, what its CacheKey counts.
    tracked: BTreeMap<String, Option<OsString>>,
    /// The words of files that its command line names.
    words: Vec<Arc<Words>>,
    /// All that it sees, worked out where it is run: a hit needs nothing of it.
    sees: OnceLock<StepEnv>,
    /// What it may be served when it asks by name, and what tracked names are looked up in.
    pub served: Environment,
    /// Its PATH.
    pub path: OsString,
    /// The folders of its PATH.
    pub search: SearchPath,
}

fn surroundings<'a>(shared: &'a Shared) -> Surroundings<'a> {
    Surroundings { runner: shared.runner, root: &shared.zones.places.root, from_dir: shared.from_dir }
}

/// The environment that a step would have uncached, and where its programs are searched.
pub struct Whole {
    set: Set,
    path: OsString,
    search: SearchPath,
}

impl Whole {
    /// Of a step.
    pub fn of(shared: &Shared, step: &Step) -> Whole {
        let set = env::set_uncached(surroundings(shared), step);
        let path = path_of(&set);
        let root = &shared.zones.places.root;
        let search = shared.digests.search_path(&path, shared.runner.rest_of_path(), &step.cwd, root);
        Whole { set, path, search }
    }
}

/// PATH is always set for a step.
fn path_of(set: &Set) -> OsString {
    set.get("PATH").unwrap_or_default().to_owned()
}

/// What the adapters say of a step; a fault as one line.
pub fn declare(shared: &Shared, step: &Step, whole: &Whole) -> Result<Option<Declaration>, String> {
    let declared = call(shared, step, whole, |call| shared.adapters.declare(call));
    declared.unwrap_or(Ok(None)).map_err(|fault| fault.to_string())
}

/// Does something with the command of a step as adapters see it; `None` where it starts no program that
/// can be found.
pub fn with_call<T>(shared: &Shared, step: &Step, ask: impl FnOnce(Call) -> T) -> Option<T> {
    call(shared, step, &Whole::of(shared, step), ask)
}

fn call<T>(shared: &Shared, step: &Step, whole: &Whole, ask: impl FnOnce(Call) -> T) -> Option<T> {
    let seen = nested::look_through(&step.invocation);
    let Run::Program { program, args } = &seen.run else { return None };
    let found = if program.contains('/') {
        let found = find_program(OsStr::new(program), &whole.path, &step.cwd);
        found.map(|found| step.cwd.join(found))
    } else {
        shared.digests.search(&whole.search).find(program).map(|found| found.path.clone())
    };
    let found = found?;
    let name = program.rsplit('/').next().unwrap_or(program);
    let value = |name: &str| match whole.set.get(name) {
        Some(value) => value.to_str().map(str::to_owned),
        None => shared.runner.value(name)?.to_str().map(str::to_owned),
    };
    Some(ask(Call {
        program: &found,
        name,
        args,
        cwd: &step.cwd,
        package_dir: &step.package.dir,
        root: &shared.zones.places.root,
        env: &value,
    }))
}

/// The environment of a step that is cached.
pub fn of_step(
    shared: &Shared,
    step: &Step,
    whole: Whole,
    declaration: Option<&Declaration>,
    store: &Store,
) -> StepEnvironment {
    let rules = declaration.map_or(&[][..], |declaration| &declaration.env);
    let named =
        env::named_files(step).into_iter().filter_map(|file| shared.named.words(&file, &shared.digests.seen));
    let mut words: Vec<Arc<Words>> = named.collect();
    // What earlier runs were found to have missed is passed as if the command named it.
    let learned = store.learned_env(super::scope(step)).unwrap_or_default();
    words.push(Arc::new(learned.into_iter().collect()));
    let tracked = env::tracked(surroundings(shared), step, rules, &words);
    let Whole { set, path, search } = whole;
    let served = Environment::new(shared.runner.texts().clone(), set.into_texts(), store.salt());
    StepEnvironment { tracked, words, sees: OnceLock::new(), served, path, search }
}

/// All that a step sees, and what of that counts.
pub fn sees<'a>(shared: &Shared, cached: &'a Cached) -> &'a StepEnv {
    let rules = cached.declaration.as_ref().map_or(&[][..], |declaration| &declaration.env);
    let sees = || env::of_step(surroundings(shared), cached.step, rules, &cached.env.words);
    cached.env.sees.get_or_init(sees)
}

/// What is started for a step that is cached.
pub fn cached_command(cached: &Cached) -> Command {
    command(cached.step, &cached.env.path)
}

/// What is left out of the environment of a step, to be served when it is asked for by name.
pub fn left_out(shared: &Shared, cached: &Cached) -> LeftOut {
    let left_out = &sees(shared, cached).left_out;
    let is_left_out = |name: &OsStr| name.to_str().is_some_and(|name| left_out.iter().any(|own| own == name));
    let variables = shared.runner.variables().iter().filter(|(name, _)| is_left_out(name)).cloned().collect();
    LeftOut { variables, is_strict: cached.step.config.strict_env }
}

/// Of all that a run asked for by name, what it depends on: neither what is passed untracked, nor what
/// is overhear's own.
pub fn keep_what_counts(cached: &Cached, observed: &mut Observed) {
    let rules = cached.declaration.as_ref().map_or(&[][..], |declaration| &declaration.env);
    observed.env.retain(|name, _| env::counts_when_asked(name, &cached.step.config, rules));
}

/// What is started for a step that is not cached, and its whole environment.
pub fn whole(shared: &Shared, step: &Step) -> (Command, Vec<(OsString, OsString)>) {
    let set = env::set_uncached(surroundings(shared), step);
    (command(step, &path_of(&set)), env::whole(shared.runner, &set))
}

fn command(step: &Step, path: &OsStr) -> Command {
    let (name, args) = match &step.invocation.run {
        Run::Program { program, args } => (program.clone(), args.iter().map(OsString::from).collect()),
        Run::Shell(text) => ("sh".to_owned(), vec![OsString::from("-c"), OsString::from(text)]),
    };
    Command { name, path: path.to_owned(), args, cwd: step.cwd.clone() }
}

/// What is known of a step before it runs.
pub fn key(
    shared: &Shared,
    step: &Step,
    declaration: Option<&Declaration>,
    env: &StepEnvironment,
) -> CacheKey {
    let value = |value: &Option<OsString>| match value {
        Some(value) => env.served.salted(&text_of(value)).0,
        None => crate::fingerprint::Value::ABSENT.0,
    };
    let untracked = declaration.into_iter().flat_map(|declaration| &declaration.env);
    let untracked =
        untracked.filter(|rule| rule.mode == EnvMode::Untracked).map(|rule| format!("{:?}", rule.select));
    CacheKey {
        command: command_text(step),
        cwd: shared.zones.places.portable(&step.cwd).to_string(),
        env: env.tracked.iter().map(|(name, tracked)| (name.clone(), value(tracked))).collect(),
        untracked_env: step.config.untracked_env.iter().cloned().chain(untracked).collect(),
        input_config: selection(&step.config.input),
        output_config: selection(&step.config.output),
        other_config: other(&step.config),
        declaration: declaration.map(|declaration| (declaration.adapter.id.clone(), declaration.digest())),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

/// The command with its variables, unambiguous whatever its words hold.
fn command_text(step: &Step) -> String {
    let env = &step.invocation.env;
    let text = match &step.invocation.run {
        Run::Program { program, args } => serde_json::to_string(&(env, (program, args))),
        Run::Shell(text) => serde_json::to_string(&(env, text)),
    };
    text.expect("plain data always encodes")
}

fn selection(selection: &Selection) -> Digest {
    let text = serde_json::to_vec(selection).expect("plain data always encodes");
    Fields::new("selection").bytes(&text).digest()
}

fn other(config: &TaskConfig) -> Digest {
    Fields::new("config").number(u64::from(config.strict_env)).number(u64::from(config.portable)).digest()
}

//! The variables that a step sees, and which of them its CacheKey counts. Pure: the environment of
//! the runner and the text of files named on the command line are given.
//!
//! Config comes before a Declaration, and that before the tables below. A step that is cached sees
//! only what is passed here; one that is not cached sees everything ([`whole`]).

mod names;

use super::{Run, Step};
use crate::config::TaskConfig;
use crate::declaration::{EnvMode, EnvRule, EnvSelectRule};
use crate::wildcard;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

pub use names::{CI_MARKERS, DROPPED, TRACKED, UNTRACKED};

/// What a step sees of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepEnv {
    /// All variables of its environment block, sorted by name.
    pub passed: Vec<(OsString, OsString)>,
    /// Those that are part of the CacheKey; `None` for one that Config names and that is not set.
    pub tracked: BTreeMap<String, Option<OsString>>,
    /// Names passed and not part of the CacheKey, sorted; without overhear's own.
    pub untracked: Vec<String>,
    /// Names that the runner has and the step does not see, sorted; without the dropped ones.
    pub left_out: Vec<String>,
}

/// Where the runner is and what it knows.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The environment of overhear itself.
    pub runner: &'a [(OsString, OsString)],
    /// The workspace root.
    pub root: &'a Path,
    /// Where the user is.
    pub from_dir: &'a Path,
    /// Whether reads of left-out variables are overheard.
    pub is_overheard: bool,
}

/// The words of a text that could be names of variables.
pub type Words = FxHashSet<String>;

/// The environment of a step that is cached. `named` are the words of the files that its command line
/// names ([`named_files`]).
pub fn of_step(around: Surroundings<'_>, step: &Step, declared: &[EnvRule], named: &[Arc<Words>]) -> StepEnv {
    let own_words = words(step.id.command.as_bytes());
    let is_named = |name: &str| own_words.contains(name) || named.iter().any(|words| words.contains(name));
    let mut env = StepEnv::default();
    for (name, value) in around.runner {
        let Some(text) = name.to_str() else { continue };
        match decide(text, &step.config, declared, &is_named, around.is_overheard) {
            Decision::Dropped => {}
            Decision::LeftOut => env.left_out.push(text.to_string()),
            Decision::Untracked => {
                env.untracked.push(text.to_string());
                env.passed.push((name.clone(), value.clone()));
            }
            Decision::Tracked => {
                env.tracked.insert(text.to_string(), Some(value.clone()));
                env.passed.push((name.clone(), value.clone()));
            }
        }
    }
    track_absent(&step.config, declared, &mut env);
    // As if started in the package: where the user happens to be must not change a stored result.
    let own = own(around, step, &step.package.dir);
    for (name, value) in own {
        if OWN_TRACKED.contains(&name) {
            env.tracked.insert(name.to_string(), Some(value.clone()));
        }
        set(&mut env.passed, OsStr::new(name), value);
    }
    for (name, value) in &step.invocation.env {
        // The command says it, and the command is in the CacheKey.
        env.tracked.remove(name);
        set(&mut env.passed, OsStr::new(name), value.into());
    }
    env.passed.sort();
    env.untracked.sort();
    env.left_out.sort();
    env
}

/// The environment of overhear without what was set for overhear alone: pnpm's starters of programs put the
/// folders of its virtual store in NODE_PATH, and whoever runs the commands directly has none of them.
pub fn without_own_starter(mut env: Vec<(OsString, OsString)>, root: &Path) -> Vec<(OsString, OsString)> {
    let store = root.join("node_modules/.pnpm");
    env.retain_mut(|(name, value)| {
        if name != "NODE_PATH" || value.is_empty() {
            return true;
        }
        let others = std::env::split_paths(&*value).filter(|folder| !folder.starts_with(&store));
        let others = others.map(PathBuf::into_os_string).collect::<Vec<_>>().join(OsStr::new(":"));
        let is_of_others = !others.is_empty();
        *value = others;
        is_of_others
    });
    env
}

/// The environment of a step that is not cached: everything but what is dropped, and overhear's own.
pub fn whole(around: Surroundings<'_>, step: &Step) -> Vec<(OsString, OsString)> {
    let dropped = |name: &OsStr| name.to_str().is_some_and(|name| !is_kept(name) && LISTS.dropped.hold(name));
    let mut passed: Vec<_> = around.runner.iter().filter(|(name, _)| !dropped(name)).cloned().collect();
    // What is shown as it comes has colours where it would have them directly.
    for (name, value) in
        own(around, step, around.from_dir).into_iter().filter(|(name, _)| *name != "FORCE_COLOR")
    {
        set(&mut passed, OsStr::new(name), value);
    }
    for (name, value) in &step.invocation.env {
        set(&mut passed, OsStr::new(name), value.into());
    }
    passed.sort();
    passed
}

/// The arguments that may name a file whose text is the command: a script given to an interpreter.
/// Absolute; whether they are there is for the caller to see.
pub fn named_files(step: &Step) -> Vec<PathBuf> {
    let Run::Program { program, args } = &step.invocation.run else { return Vec::new() };
    let words = std::iter::once(program).chain(args);
    let is_file = |word: &&String| !word.starts_with('-') && (word.contains('/') || word.contains('.'));
    words.filter(is_file).map(|word| crate::path::join_lexically(&step.cwd, Path::new(word))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Dropped,
    LeftOut,
    Untracked,
    Tracked,
}

/// Whether a name that a program asked for counts: what was left out does, or would have been left out
/// if it were set. What is passed, is overhear's own or is hidden counts elsewhere or not at all.
pub fn counts_when_asked(name: &str, config: &TaskConfig, declared: &[EnvRule]) -> bool {
    decide(name, config, declared, &|_| false, true) == Decision::LeftOut
}

fn decide(
    name: &str,
    config: &TaskConfig,
    declared: &[EnvRule],
    is_named: &dyn Fn(&str) -> bool,
    is_overheard: bool,
) -> Decision {
    if let Some(decision) = by_config(name, config) {
        return decision;
    }
    if LISTS.dropped.hold(name) && !is_kept(name) {
        return Decision::Dropped;
    }
    if let Some(rule) = declared.iter().rev().find(|rule| means(&rule.select, name)) {
        return match rule.mode {
            EnvMode::Tracked => Decision::Tracked,
            EnvMode::Untracked if may_be_untracked(name) => Decision::Untracked,
            // As if the adapter had said nothing of it.
            EnvMode::Untracked => by_lists(name, is_named, is_overheard),
            // Nor is it served: the tool must not see it.
            EnvMode::Removed => Decision::Dropped,
        };
    }
    by_lists(name, is_named, is_overheard)
}

/// Whether an adapter may have a variable passed that then does not count: what says where a run takes
/// place, and no more. That another one does not matter is for a person to say.
pub fn may_be_untracked(name: &str) -> bool {
    LISTS.untracked.hold(name) || LISTS.ci_markers.hold(name)
}

fn by_lists(name: &str, is_named: &dyn Fn(&str) -> bool, is_overheard: bool) -> Decision {
    if LISTS.tracked.hold(name) || (!is_overheard && LISTS.ci_markers.hold(name)) {
        return Decision::Tracked;
    }
    if LISTS.untracked.hold(name) {
        return Decision::Untracked;
    }
    if is_named(name) { Decision::Tracked } else { Decision::LeftOut }
}

/// Tracked comes before untracked: to count one variable too many is safe.
fn by_config(name: &str, config: &TaskConfig) -> Option<Decision> {
    match (selects(&config.env, name), selects(&config.untracked_env, name)) {
        (Some(true), _) => Some(Decision::Tracked),
        (_, Some(true)) => Some(Decision::Untracked),
        (Some(false), _) | (_, Some(false)) => Some(Decision::LeftOut),
        (None, None) => None,
    }
}

/// Whether a list of patterns takes a name in (`true`), takes it out again (`false`), or does not
/// speak of it. One with `!` wins, wherever it stands.
fn selects(patterns: &[String], name: &str) -> Option<bool> {
    let mut taken = None;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(out) if wildcard::matches(out, name) => return Some(false),
            None if wildcard::matches(pattern, name) => taken = Some(true),
            _ => {}
        }
    }
    taken
}

fn means(select: &EnvSelectRule, name: &str) -> bool {
    match select {
        EnvSelectRule::Name(own) => own == name,
        EnvSelectRule::Prefix(prefix) => name.starts_with(prefix.as_str()),
    }
}

/// Who says that a variable is part of the CacheKey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackedBy {
    /// A person.
    Config,
    /// An adapter.
    Adapter,
    /// The lists of `names`, or a command or a file that it names spells it out.
    Overhear,
}

/// Who says that a variable of the CacheKey is part of it.
pub fn tracked_by(name: &str, config: &TaskConfig, declared: &[EnvRule]) -> TrackedBy {
    if by_config(name, config).is_some() {
        return TrackedBy::Config;
    }
    match declared.iter().rev().find(|rule| means(&rule.select, name)) {
        Some(rule) if rule.mode == EnvMode::Tracked => TrackedBy::Adapter,
        _ => TrackedBy::Overhear,
    }
}

/// A list of names for asking often: of a hundred names few hold a wildcard.
struct Names {
    exact: FxHashSet<&'static str>,
    patterns: Vec<&'static str>,
}

impl Names {
    fn of(list: &[&'static str]) -> Names {
        let (patterns, exact): (Vec<_>, Vec<_>) = list.iter().partition(|name| wildcard::is_pattern(name));
        Names { exact: exact.into_iter().collect(), patterns }
    }

    fn hold(&self, name: &str) -> bool {
        self.exact.contains(name) || self.patterns.iter().any(|pattern| wildcard::matches(pattern, name))
    }
}

/// The lists of `names`.
struct Lists {
    dropped: Names,
    tracked: Names,
    untracked: Names,
    ci_markers: Names,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists {
    dropped: Names::of(DROPPED),
    tracked: Names::of(TRACKED),
    untracked: Names::of(UNTRACKED),
    ci_markers: Names::of(CI_MARKERS),
});

/// Exceptions from [`DROPPED`].
fn is_kept(name: &str) -> bool {
    matches!(name, "npm_config_user_agent" | "PNPM_HOME")
}

/// A name that somebody asked to be tracked and that is not set is a fact of the CacheKey too.
fn track_absent(config: &TaskConfig, declared: &[EnvRule], env: &mut StepEnv) {
    let from_config = config.env.iter().filter(|name| !name.starts_with('!') && !wildcard::is_pattern(name));
    let from_config = from_config.filter(|name| selects(&config.env, name) == Some(true));
    let from_adapter =
        declared.iter().filter(|rule| rule.mode == EnvMode::Tracked).filter_map(|rule| match &rule.select {
            EnvSelectRule::Name(name) if by_config(name, config).is_none() => Some(name),
            _ => None,
        });
    for name in from_config.chain(from_adapter) {
        if !env.untracked.contains(name) {
            env.tracked.entry(name.clone()).or_insert(None);
        }
    }
}

/// Overhear's own variables that a command may build into its output.
const OWN_TRACKED: &[&str] = &["npm_package_name", "npm_package_version", "npm_lifecycle_event"];

/// What package managers set for a script, and overhear's marks.
fn own(around: Surroundings<'_>, step: &Step, init_cwd: &Path) -> Vec<(&'static str, OsString)> {
    let package = &step.package;
    let mut own: Vec<(&'static str, OsString)> = vec![
        ("OVERHEAR", "1".into()),
        ("OVERHEAR_TASK", (*step.id.task).into()),
        ("VP_RUN", "1".into()),
        ("INIT_CWD", init_cwd.into()),
        ("PWD", step.cwd.clone().into()),
        ("npm_lifecycle_event", (*step.task_name).into()),
        ("npm_package_json", package.dir.join("package.json").into()),
        ("PATH", path(around, &package.dir)),
    ];
    own.extend(package.name.as_ref().map(|name| ("npm_package_name", name.into())));
    own.extend(package.version.as_ref().map(|version| ("npm_package_version", version.into())));
    let set = |name: &str| around.runner.iter().any(|(own, _)| own == name);
    if !set("FORCE_COLOR") && !set("NO_COLOR") && !writes_elsewhere(step) {
        own.push(("FORCE_COLOR", "1".into()));
    }
    own
}

/// Whether a shell takes what a command prints to somewhere else than to who watches: colours would lie in
/// files and in variables.
fn writes_elsewhere(step: &Step) -> bool {
    let takes = |text: &str| text.contains(['>', '|', '`']) || text.contains("$(");
    match &step.invocation.run {
        Run::Shell(text) => takes(text),
        Run::Program { program, args } => match program.rsplit('/').next().unwrap_or(program) {
            "sh" | "bash" | "dash" | "zsh" => args.iter().any(|arg| takes(arg)),
            // It runs a script, whose text says that.
            "npm" | "pnpm" | "yarn" | "bun" => true,
            _ => false,
        },
    }
}

/// PATH with `node_modules/.bin` of the package and of each folder above it up to the root, and
/// without those that whoever launched overhear had put there.
fn path(around: Surroundings<'_>, package_dir: &Path) -> OsString {
    let inherited = around
        .runner
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    let up_to_root = package_dir.ancestors().take_while(|dir| dir.starts_with(around.root));
    let bins: Vec<PathBuf> = up_to_root.map(|dir| dir.join("node_modules/.bin")).collect();
    let launcher = |dir: &PathBuf| {
        let of_package = dir.ends_with("node_modules/.bin") && dir.starts_with(around.root);
        of_package || dir.ends_with("node-gyp-bin")
    };
    let rest: Vec<PathBuf> = std::env::split_paths(&inherited).filter(|dir| !launcher(dir)).collect();
    // A folder with a colon in its name cannot be in PATH; then PATH stays as it is.
    std::env::join_paths(bins.iter().chain(&rest)).unwrap_or(inherited)
}

fn set(passed: &mut Vec<(OsString, OsString)>, name: &OsStr, value: OsString) {
    match passed.iter_mut().find(|(own, _)| own == name) {
        Some(pair) => pair.1 = value,
        None => passed.push((name.to_os_string(), value)),
    }
}

/// Each run of letters, digits and `_` that could be the name of a variable.
pub fn words(text: &[u8]) -> Words {
    let mut words = Words::default();
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    for word in text
        .split(|byte| !in_name(byte))
        .filter(|word| word.first().is_some_and(|first| !first.is_ascii_digit()))
    {
        if let Ok(word) = std::str::from_utf8(word)
            && !words.contains(word)
        {
            words.insert(word.to_string());
        }
    }
    words
}

#[cfg(test)]
mod tests;

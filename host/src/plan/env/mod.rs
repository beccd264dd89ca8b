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
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

pub use names::{CI_MARKERS, DROPPED, TRACKED, UNTRACKED};

/// The environment of overhear itself, with what is said of each name whichever step asks: worked out once
/// in a session.
#[derive(Debug)]
pub struct Runner {
    variables: Vec<(OsString, OsString)>,
    /// For each of them.
    listed: Vec<Listed>,
    /// Those that are not dropped, as text.
    texts: Arc<BTreeMap<String, String>>,
    /// PATH as it is.
    path: OsString,
    /// PATH without the folders that whoever launched overhear had put there, each after a colon.
    rest_of_path: OsString,
    /// Whether somebody said what is to be done with colours.
    says_colors: bool,
}

/// What the lists of `names` say of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Dropped,
    Tracked,
    Untracked,
    /// Nothing: it counts where a command names it.
    Unlisted,
    /// Its name is no text.
    NoText,
}

/// What a step sees of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepEnv {
    /// Those that are part of the CacheKey; `None` for one that Config names and that is not set.
    pub tracked: BTreeMap<String, Option<OsString>>,
    /// Names passed and not part of the CacheKey, sorted; without overhear's own.
    pub untracked: Vec<String>,
    /// Names that the runner has and the step does not see, sorted; without the dropped ones.
    pub left_out: Vec<String>,
    /// What is set in place of the runner's.
    pub set: Set,
}

/// What is set for a step in place of what the runner has: overhear's own variables, and those of the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(Vec<(Cow<'static, str>, OsString)>);

/// Where the runner is and what it knows.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The environment of overhear itself.
    pub runner: &'a Runner,
    /// The workspace root.
    pub root: &'a Path,
    /// Where the user is.
    pub from_dir: &'a Path,
}

impl Runner {
    /// Of these variables, in a workspace. `is_overheard`: reads of left-out variables are.
    pub fn new(variables: Vec<(OsString, OsString)>, root: &Path, is_overheard: bool) -> Runner {
        let listed =
            |name: &OsStr| name.to_str().map_or(Listed::NoText, |name| Listed::of(name, is_overheard));
        let listed: Vec<Listed> = variables.iter().map(|(name, _)| listed(name)).collect();
        let kept = variables.iter().zip(&listed).filter(|(_, listed)| **listed != Listed::Dropped);
        let text = |((name, value), _): (&(OsString, OsString), _)| {
            Some((name.to_str()?.to_owned(), text_of(value)))
        };
        let texts = Arc::new(kept.filter_map(text).collect());
        let value =
            |name: &str| variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let path = value("PATH").unwrap_or_default();
        let is_launcher = |dir: &Path| {
            let of_package = dir.ends_with("node_modules/.bin") && dir.starts_with(root);
            of_package || dir.ends_with("node-gyp-bin")
        };
        let mut rest_of_path = OsString::new();
        for dir in std::env::split_paths(&path).filter(|dir| !is_launcher(dir)) {
            rest_of_path.push(":");
            rest_of_path.push(dir);
        }
        let says_colors = value("FORCE_COLOR").or_else(|| value("NO_COLOR")).is_some();
        Runner { listed, texts, path, rest_of_path, says_colors, variables }
    }

    /// All its variables.
    pub fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// What a step that is not cached sees of it.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let mut found = self.listed().filter(|((own, _), listed)| *listed != Listed::Dropped && own == name);
        found.next().map(|((_, value), _)| value.as_os_str())
    }

    /// What the PATH of each step ends with that sets none of its own: folders, each after a colon.
    pub fn rest_of_path(&self) -> &OsStr {
        &self.rest_of_path
    }

    /// Those that no step is refused, as text.
    pub fn texts(&self) -> &Arc<BTreeMap<String, String>> {
        &self.texts
    }

    /// Those with what is said of them.
    fn listed(&self) -> impl Iterator<Item = (&(OsString, OsString), Listed)> {
        self.variables.iter().zip(self.listed.iter().copied())
    }
}

impl Set {
    /// The value that is set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_os_str())
    }

    /// Each as text, as [`Runner::texts`].
    pub fn into_texts(self) -> Vec<(Cow<'static, str>, String)> {
        let text = |value: OsString| value.into_string().unwrap_or_else(|value| text_of(&value));
        self.0.into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// With the variables that the command sets itself.
    fn with_command(mut self, step: &Step) -> Set {
        for (name, value) in &step.invocation.env {
            match self.0.iter_mut().find(|(own, _)| own == name) {
                Some(pair) => pair.1 = value.into(),
                None => self.0.push((name.clone().into(), value.into())),
            }
        }
        self
    }

    /// These in place of those of the same name, sorted by name.
    fn over(&self, others: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
        let is_set = |name: &OsStr| name.to_str().is_some_and(|name| self.get(name).is_some());
        let mut all: Vec<_> = others.filter(|(name, _)| !is_set(name)).collect();
        all.extend(self.0.iter().map(|(name, value)| (OsString::from(&**name), value.clone())));
        all.sort();
        all
    }
}

impl StepEnv {
    /// The environment block of a step that is cached, sorted by name.
    pub fn passed(&self, runner: &Runner) -> Vec<(OsString, OsString)> {
        let is_passed = |name: &str| {
            self.tracked.contains_key(name)
                || self.untracked.binary_search_by(|own| (**own).cmp(name)).is_ok()
        };
        let passed = runner.variables.iter().filter(|(name, _)| name.to_str().is_some_and(is_passed));
        self.set.over(passed.cloned())
    }
}

/// A value as text; of one that is none each byte still tells it from others.
pub fn text_of(value: &OsStr) -> String {
    let bytes = value.as_encoded_bytes();
    value
        .to_str()
        .map_or_else(|| format!("{}{}", char::REPLACEMENT_CHARACTER, bytes.escape_ascii()), str::to_owned)
}

/// The words of a text that could be names of variables.
pub type Words = FxHashSet<String>;

/// Of the environment of a step that is cached what its CacheKey counts. `named` are the words of the files that
/// its command line names ([`named_files`]).
pub fn tracked(
    around: Surroundings<'_>,
    step: &Step,
    declared: &[EnvRule],
    named: &[Arc<Words>],
) -> BTreeMap<String, Option<OsString>> {
    let mut tracked = BTreeMap::new();
    let mut untracked = Vec::new();
    for (name, value, decision) in decisions(around, step, declared, named) {
        match decision {
            Decision::Tracked => drop(tracked.insert(name.to_owned(), Some(value.to_owned()))),
            Decision::Untracked => untracked.push(name),
            Decision::Dropped | Decision::LeftOut => {}
        }
    }
    track_absent(&step.config, declared, &untracked, &mut tracked);
    for (name, value) in of_package(step) {
        tracked.insert(name.to_owned(), Some(value.into()));
    }
    for (name, _) in &step.invocation.env {
        // The command says it, and the command is in the CacheKey.
        tracked.remove(name);
    }
    tracked
}

/// The environment of a step that is cached; `named` as for [`tracked`].
pub fn of_step(around: Surroundings<'_>, step: &Step, declared: &[EnvRule], named: &[Arc<Words>]) -> StepEnv {
    let mut env = StepEnv { tracked: tracked(around, step, declared, named), ..StepEnv::default() };
    for (name, _, decision) in decisions(around, step, declared, named) {
        match decision {
            Decision::Dropped | Decision::Tracked => {}
            Decision::LeftOut => env.left_out.push(name.to_owned()),
            Decision::Untracked => env.untracked.push(name.to_owned()),
        }
    }
    env.untracked.sort();
    env.left_out.sort();
    // As if started in the package: where the user happens to be must not change a stored result.
    env.set = own(around, step, &step.package.dir).with_command(step);
    env
}

/// What becomes of each variable of the runner for a step that is cached.
fn decisions<'a>(
    around: Surroundings<'a>,
    step: &'a Step,
    declared: &'a [EnvRule],
    named: &'a [Arc<Words>],
) -> impl Iterator<Item = (&'a str, &'a OsStr, Decision)> {
    let own_words: Vec<&str> = names_in(step.id.command.as_bytes()).collect();
    let is_named =
        move |name: &str| own_words.contains(&name) || named.iter().any(|words| words.contains(name));
    around.runner.listed().filter_map(move |((name, value), listed)| {
        let name = name.to_str()?;
        let decision = match decide(name, listed, &step.config, declared, &is_named) {
            // What it prints then is kept without colours, and is no hit for who wants them.
            Decision::Untracked if wants_none(name, value) && by_config(name, &step.config).is_none() => {
                Decision::Tracked
            }
            decision => decision,
        };
        Some((name, value.as_os_str(), decision))
    })
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

/// What is set for a step that is not cached, which has everything else but what is dropped ([`whole`]).
pub fn set_uncached(around: Surroundings<'_>, step: &Step) -> Set {
    let mut own = own(around, step, around.from_dir);
    // What is shown as it comes has colours where it would have them directly.
    own.0.retain(|(name, _)| name != "FORCE_COLOR");
    own.with_command(step)
}

/// The environment of a step that is not cached: everything but what is dropped, and what is set for it.
pub fn whole(runner: &Runner, set: &Set) -> Vec<(OsString, OsString)> {
    let kept = runner.listed().filter(|(_, listed)| *listed != Listed::Dropped);
    set.over(kept.map(|(pair, _)| pair.clone()))
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
    decide(name, Listed::of(name, true), config, declared, &|_| false) == Decision::LeftOut
}

fn decide(
    name: &str,
    listed: Listed,
    config: &TaskConfig,
    declared: &[EnvRule],
    is_named: &dyn Fn(&str) -> bool,
) -> Decision {
    if let Some(decision) = by_config(name, config) {
        return decision;
    }
    let by_list = || match listed {
        Listed::Dropped | Listed::NoText => Decision::Dropped,
        Listed::Tracked => Decision::Tracked,
        Listed::Untracked => Decision::Untracked,
        Listed::Unlisted if is_named(name) => Decision::Tracked,
        Listed::Unlisted => Decision::LeftOut,
    };
    if listed == Listed::Dropped {
        return Decision::Dropped;
    }
    match declared.iter().rev().find(|rule| means(&rule.select, name)).map(|rule| rule.mode) {
        Some(EnvMode::Tracked) => Decision::Tracked,
        Some(EnvMode::Untracked) if may_be_untracked(name) => Decision::Untracked,
        // Nor is it served: the tool must not see it.
        Some(EnvMode::Removed) => Decision::Dropped,
        // As if the adapter had said nothing of it.
        Some(EnvMode::Untracked) | None => by_list(),
    }
}

/// Whether an adapter may have a variable passed that then does not count: what says where a run takes
/// place, and no more. That another one does not matter is for a person to say.
pub fn may_be_untracked(name: &str) -> bool {
    LISTS.untracked.hold(name) || LISTS.ci_markers.hold(name)
}

impl Listed {
    fn of(name: &str, is_overheard: bool) -> Listed {
        if LISTS.dropped.hold(name) && !is_kept(name) {
            Listed::Dropped
        } else if LISTS.tracked.hold(name) || (!is_overheard && LISTS.ci_markers.hold(name)) {
            Listed::Tracked
        } else if LISTS.untracked.hold(name) {
            Listed::Untracked
        } else {
            Listed::Unlisted
        }
    }
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
fn track_absent(
    config: &TaskConfig,
    declared: &[EnvRule],
    untracked: &[&str],
    tracked: &mut BTreeMap<String, Option<OsString>>,
) {
    let from_config = config.env.iter().filter(|name| !name.starts_with('!') && !wildcard::is_pattern(name));
    let from_config = from_config.filter(|name| selects(&config.env, name) == Some(true));
    let from_adapter =
        declared.iter().filter(|rule| rule.mode == EnvMode::Tracked).filter_map(|rule| match &rule.select {
            EnvSelectRule::Name(name) if by_config(name, config).is_none() => Some(name),
            _ => None,
        });
    for name in from_config.chain(from_adapter).filter(|name| !untracked.contains(&name.as_str())) {
        tracked.entry(name.clone()).or_insert(None);
    }
}

/// Overhear's own variables that a command may build into its output.
fn of_package(step: &Step) -> impl Iterator<Item = (&'static str, &str)> {
    let package = &step.package;
    let pairs = [
        ("npm_lifecycle_event", Some(&*step.task_name)),
        ("npm_package_name", package.name.as_deref()),
        ("npm_package_version", package.version.as_deref()),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// What package managers set for a script, and overhear's marks.
fn own(around: Surroundings<'_>, step: &Step, init_cwd: &Path) -> Set {
    let package = &step.package;
    let mut own: Vec<(&'static str, OsString)> = vec![
        ("OVERHEAR", "1".into()),
        ("OVERHEAR_TASK", (*step.id.task).into()),
        ("VP_RUN", "1".into()),
        ("INIT_CWD", init_cwd.into()),
        ("PWD", step.cwd.clone().into()),
        ("npm_package_json", package.dir.join("package.json").into()),
        ("PATH", path(around, &package.dir)),
    ];
    own.extend(of_package(step).map(|(name, value)| (name, value.into())));
    if !around.runner.says_colors && !writes_elsewhere(step) {
        own.push(("FORCE_COLOR", "1".into()));
    }
    Set(own.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// Whether a variable asks a command for no colours: <https://no-color.org>, and `FORCE_COLOR` as node reads it.
fn wants_none(name: &str, value: &OsStr) -> bool {
    match name {
        "NO_COLOR" => !value.is_empty(),
        "FORCE_COLOR" => !["", "1", "true", "2", "3"].iter().any(|colored| value == *colored),
        _ => false,
    }
}

/// Whether a shell takes what a command prints to somewhere else than to who watches: colours would lie in
/// files and in variables.
pub fn writes_elsewhere(step: &Step) -> bool {
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
    let mut path = OsString::new();
    for dir in package_dir.ancestors().take_while(|dir| dir.starts_with(around.root)) {
        if dir.as_os_str().as_encoded_bytes().contains(&b':') {
            // Such a folder cannot be in PATH; then PATH stays as it is.
            return around.runner.path.clone();
        }
        if !path.is_empty() {
            path.push(":");
        }
        path.push(dir);
        path.push("/node_modules/.bin");
    }
    path.push(&around.runner.rest_of_path);
    path
}

/// Each run of letters, digits and `_` that could be the name of a variable.
pub fn words(text: &[u8]) -> Words {
    let mut words = Words::default();
    for word in names_in(text) {
        if !words.contains(word) {
            words.insert(word.to_string());
        }
    }
    words
}

fn names_in(text: &[u8]) -> impl Iterator<Item = &str> {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let words = text.split(move |byte| !in_name(byte));
    let may_be_name = |word: &&[u8]| word.first().is_some_and(|first| !first.is_ascii_digit());
    words.filter(may_be_name).filter_map(|word| std::str::from_utf8(word).ok())
}

#[cfg(test)]
mod tests;

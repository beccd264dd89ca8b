//! What a person wrote in `overhear.json`, as plain types. `workspace` reads them from files; `plan`
//! puts them on steps; `settle` weighs them before every other source.

use crate::problem::Source;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// What a person wrote about one task: the keys that every one of its steps obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskConfig {
    /// Whether its steps are cached: `None` where nobody said so.
    pub cache: Option<bool>,
    /// Variables passed and tracked: names, globs, and `!` before what is left out again.
    pub env: Vec<String>,
    /// Variables passed and not tracked.
    pub untracked_env: Vec<String>,
    /// What counts as input.
    pub input: Selection,
    /// What counts as output.
    pub output: Selection,
    /// Left-out variables are not served when asked for.
    pub strict_env: bool,
    /// An entry holds in other checkouts although an output names the folder it was made in.
    pub portable: bool,
    /// Never ends by itself; others may wait until it is ready.
    pub persistent: bool,
    /// Needs the terminal.
    pub interactive: bool,
    /// When others may start that wait for a persistent task.
    pub ready_when: Option<ReadyWhen>,
    /// What a hit replays of the output on the terminal.
    pub log: LogMode,
}

impl Default for TaskConfig {
    fn default() -> TaskConfig {
        TaskConfig {
            cache: None,
            env: Vec::new(),
            untracked_env: Vec::new(),
            input: Selection::default(),
            output: Selection::default(),
            strict_env: false,
            portable: false,
            persistent: false,
            interactive: false,
            ready_when: None,
            log: LogMode::Full,
        }
    }
}

/// Which paths count: `input` and `output` have the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// What was traced counts.
    pub auto: bool,
    /// Patterns, in the order written.
    pub patterns: Vec<Pattern>,
}

impl Default for Selection {
    /// An omitted key: what was traced, and nothing else.
    fn default() -> Selection {
        Selection { auto: true, patterns: Vec::new() }
    }
}

/// One glob of a [`Selection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Written with `!`: matching paths do not count.
    pub exclude: bool,
    /// What the glob is relative to.
    pub base: PatternBase,
    /// `/`-separated glob without leading `./` and without `..`; `dist/` is written `dist/**`.
    pub glob: String,
}

/// What a glob of the config is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatternBase {
    /// The package of the task.
    Package,
    /// The workspace root.
    Workspace,
}

/// What a hit replays of the output on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogMode {
    /// All of it.
    Full,
    /// Only when the command runs.
    NewOnly,
    /// Only when it fails.
    ErrorsOnly,
    /// Nothing, ever.
    None,
}

/// Which steps are cached where a task does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDefaults {
    /// Steps of package.json scripts.
    pub scripts: ScriptCaching,
    /// Steps of tasks in overhear.json.
    pub tasks: bool,
    /// Size that the cache is kept below, in bytes.
    pub max_size: u64,
    /// Pathsets and entries kept for each CacheKey.
    pub bounds: Bounds,
    /// Folder for the entries, if not `.overhear` at the root.
    pub dir: Option<String>,
}

/// How much is kept of one CacheKey. The least recently used go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pathsets per CacheKey.
    pub pathsets: u32,
    /// Entries per CacheKey.
    pub entries: u32,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { pathsets: 64, entries: 256 }
    }
}

impl Default for CacheDefaults {
    fn default() -> CacheDefaults {
        CacheDefaults {
            scripts: ScriptCaching::Known,
            tasks: true,
            max_size: 10_000_000_000,
            bounds: Bounds::default(),
            dir: None,
        }
    }
}

/// Which steps of package.json scripts are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptCaching {
    /// All.
    All,
    /// None.
    None,
    /// Those that an adapter knows to be a pure build, check or test.
    Known,
}

/// When a persistent task counts as ready: as soon as one of these is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyWhen {
    /// A regular expression that a line of its output matches.
    pub output: Option<String>,
    /// A port of this machine that it listens on.
    pub port: Option<u16>,
    /// It ended with code 0.
    pub exit: bool,
}

/// One configuration file, as it was written.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its text, for places of mistakes.
    pub source: Arc<Source>,
    /// `tasks`, in order.
    pub tasks: Vec<TaskEntry>,
    /// `scripts`, in order: what holds for scripts of package.json.
    pub scripts: Vec<TaskEntry>,
    /// `env` of every task here.
    pub env: Vec<String>,
    /// `untrackedEnv` of every task here.
    pub untracked_env: Vec<String>,
    /// What only the file at the root may say; the default elsewhere.
    pub root: RootSettings,
}

/// What only the file at the root may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSettings {
    /// Which steps are cached where a task does not say, and where to.
    pub cache: CacheDefaults,
    /// Adapters, by name or path, in order.
    pub adapters: Vec<AdapterUse>,
    /// Left-out variables are not served when asked for.
    pub strict_env: bool,
    /// `prebuild` and `postbuild` belong to `build`.
    pub enable_pre_post_scripts: bool,
}

impl Default for RootSettings {
    fn default() -> RootSettings {
        RootSettings {
            cache: CacheDefaults::default(),
            adapters: Vec::new(),
            strict_env: false,
            enable_pre_post_scripts: true,
        }
    }
}

/// One entry of `adapters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterUse {
    /// A name (`next`, `acme/rollup`), or a path that starts with `./`, relative to the root.
    pub name: String,
    /// `false`: it is not asked.
    pub enabled: bool,
    /// Its settings, if there are any.
    pub settings: Option<serde_json::Value>,
}

/// One entry of `tasks` or `scripts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its name.
    pub name: String,
    /// Where the name stands in the file, in bytes.
    pub at: Range<usize>,
    /// Its commands, run one after the other; `None` for a group and in `scripts`.
    pub command: Option<Vec<String>>,
    /// Working directory relative to the package.
    pub cwd: Option<String>,
    /// What must have ended before.
    pub depends_on: Option<Vec<DependsOn>>,
    /// What it is for.
    pub description: Option<String>,
    /// The other keys.
    pub keys: TaskKeys,
}

/// One member of `dependsOn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsOn {
    /// Name of the task, perhaps with wildcards.
    pub task: String,
    /// Of which package.
    pub of: DependsOnPackage,
    /// Where it stands in the file, in bytes.
    pub at: Range<usize>,
}

/// Whose task a member of `dependsOn` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependsOnPackage {
    /// The same package.
    Own,
    /// The package of this name, perhaps with wildcards.
    Named(String),
    /// The packages that this one depends on, in one of these ways.
    Dependencies(Vec<DependencyKind>),
}

/// A way in which one package depends on another: the key in package.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyKind {
    /// `dependencies`
    Normal,
    /// `devDependencies`
    Dev,
    /// `peerDependencies`
    Peer,
    /// `optionalDependencies`
    Optional,
}

impl DependencyKind {
    /// Every kind.
    pub const ALL: [DependencyKind; 4] =
        [DependencyKind::Normal, DependencyKind::Dev, DependencyKind::Peer, DependencyKind::Optional];

    /// The key in package.json.
    pub fn key(self) -> &'static str {
        match self {
            DependencyKind::Normal => "dependencies",
            DependencyKind::Dev => "devDependencies",
            DependencyKind::Peer => "peerDependencies",
            DependencyKind::Optional => "optionalDependencies",
        }
    }
}

/// The keys of a task that may be left out, so that one file can stand above another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the key of the same name in TaskConfig")]
pub struct TaskKeys {
    pub cache: Option<bool>,
    pub env: Option<Vec<String>>,
    pub untracked_env: Option<Vec<String>>,
    pub input: Option<Selection>,
    pub output: Option<Selection>,
    pub strict_env: Option<bool>,
    pub portable: Option<bool>,
    pub persistent: Option<bool>,
    pub interactive: Option<bool>,
    pub ready_when: Option<ReadyWhen>,
    pub log: Option<LogMode>,
}

impl TaskKeys {
    /// These keys, and where one is left out the one below.
    pub fn over(&self, below: &TaskKeys) -> TaskKeys {
        let keys = self.clone();
        TaskKeys {
            cache: keys.cache.or(below.cache),
            env: keys.env.or_else(|| below.env.clone()),
            untracked_env: keys.untracked_env.or_else(|| below.untracked_env.clone()),
            input: keys.input.or_else(|| below.input.clone()),
            output: keys.output.or_else(|| below.output.clone()),
            strict_env: keys.strict_env.or(below.strict_env),
            portable: keys.portable.or(below.portable),
            persistent: keys.persistent.or(below.persistent),
            interactive: keys.interactive.or(below.interactive),
            ready_when: keys.ready_when.or_else(|| below.ready_when.clone()),
            log: keys.log.or(below.log),
        }
    }

    /// What the steps of the task obey: left-out keys get their defaults, and the variables that
    /// files name for every task come before the task's own.
    pub fn settle(self, shared: &[&ConfigFile], strict_env: bool) -> TaskConfig {
        let gather = |of: fn(&ConfigFile) -> &Vec<String>, own: Option<Vec<String>>| -> Vec<String> {
            shared.iter().flat_map(|file| of(file).iter().cloned()).chain(own.unwrap_or_default()).collect()
        };
        TaskConfig {
            cache: self.cache,
            env: gather(|file| &file.env, self.env),
            untracked_env: gather(|file| &file.untracked_env, self.untracked_env),
            input: self.input.unwrap_or_default(),
            output: self.output.unwrap_or_default(),
            strict_env: self.strict_env.unwrap_or(strict_env),
            portable: self.portable.unwrap_or(false),
            persistent: self.persistent.unwrap_or(false),
            interactive: self.interactive.unwrap_or(false),
            ready_when: self.ready_when,
            log: self.log.unwrap_or(LogMode::Full),
        }
    }
}

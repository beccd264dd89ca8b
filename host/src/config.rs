//! What a person wrote about a task, as plain types. `workspace` reads them from files; `plan`
//! puts them on steps; `settle` weighs them before every other source.

use serde::{Deserialize, Serialize};

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
    /// Folder for the entries, if not `.overhear` at the root.
    pub dir: Option<String>,
}

impl Default for CacheDefaults {
    fn default() -> CacheDefaults {
        CacheDefaults { scripts: ScriptCaching::Known, tasks: true, max_size: 10_000_000_000, dir: None }
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

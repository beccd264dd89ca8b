//! What a tool said over IPC while it ran. Plain data; `ipc` fills it, `settle` weighs it.

use std::path::PathBuf;

/// One thing that a tool said. Paths are absolute, as resolved against the client's working
/// directory; they stand for themselves and everything below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// What is read there is no input.
    IgnoreInput(PathBuf),
    /// What is written there is no output.
    IgnoreOutput(PathBuf),
    /// The result must not be kept.
    DisableCache,
    /// Asked for the value of a variable.
    GetEnv {
        /// The variable.
        name: String,
        /// Whether the result depends on it.
        tracked: bool,
    },
    /// Asked for all variables that match.
    GetEnvs {
        /// Which.
        select: EnvSelect,
        /// Whether the result depends on them.
        tracked: bool,
    },
}

/// Which variables are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvSelect {
    /// Exactly this one.
    Name(String),
    /// Each whose name matches: `*` stands for any run of characters, `?` for one.
    Glob(String),
    /// Each whose name starts so; the empty prefix means all.
    Prefix(String),
}

//! How a step ended, as data: [`Outcome`], with [`MissReason`] (why nothing could be replayed) and
//! [`Refusal`] (why a run that succeeded was not kept). Wording is the reporters' (`report`).

use std::time::Duration;

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A hit; outputs were in place.
    Fresh(Hit),
    /// A hit; outputs were put back.
    Restored(Hit),
    /// The command ran and succeeded.
    Ran {
        /// Why it ran.
        why: MissReason,
        /// Why it was not stored, if it was not.
        refusal: Option<Refusal>,
        /// How long it took.
        took: Duration,
        /// Facts on what was stored, for reports.
        kept: Option<Kept>,
        /// The adapter that knew the command, as `id@version`.
        adapter: Option<String>,
    },
    /// The command ran and failed, or could not be started.
    Failed {
        /// Why it ran.
        why: MissReason,
        /// The exit code that direct running would have given: 128 + n for a signal.
        exit_code: i32,
        /// Why it could not be started, if so.
        error: Option<String>,
        /// How long it took.
        took: Duration,
        /// The adapter that knew the command, as `id@version`.
        adapter: Option<String>,
    },
    /// Not started.
    Skipped(Skip),
}

/// Why a step was not started. Tasks are named as `package#name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// This task failed, which it waits for.
    Needs(String),
    /// This task failed, and after a failure nothing new begins.
    After(String),
    /// The run was interrupted.
    Interrupted,
}

/// Facts on a hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// How long looking up and restoring took.
    pub took: Duration,
    /// How long the command took when it ran.
    pub saved: Duration,
    /// The entry.
    pub kept: Kept,
}

/// Facts on an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Digest of its CacheKey in hexadecimal.
    pub key: String,
    /// The adapter that knew the command, as `id@version`.
    pub adapter: Option<String>,
    /// Number of members of its Pathset.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Digest of its archive in hexadecimal, if there are outputs.
    pub archive: Option<String>,
}

/// Why there is no entry for the workspace as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The most telling reason.
    pub why: MissReason,
    /// Whatever else differs from the closest entry, most telling first.
    pub others: Vec<MissReason>,
}

impl From<MissReason> for Miss {
    fn from(why: MissReason) -> Miss {
        Miss { why, others: Vec::new() }
    }
}

impl Miss {
    /// The first of these, with the others; `None` where there is none.
    pub fn of(reasons: Vec<MissReason>) -> Option<Miss> {
        let mut reasons = reasons.into_iter();
        reasons.next().map(|why| Miss { why, others: reasons.collect() })
    }
}

/// What would become of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// A hit; outputs are in place.
    Fresh(Hit),
    /// A hit; outputs would be put back.
    Restored(Hit),
    /// It would run.
    Run(Miss),
    /// It waits for a step that must run, and what that one will leave is not known.
    Unknown {
        /// The task of that step.
        after: std::sync::Arc<str>,
        /// What would become of it if that step changed nothing.
        as_it_stands: Box<Foreseen>,
    },
}

/// Why nothing could be replayed: the first thing that differs. Paths are as stored: relative to
/// the root, or `~/…`, or absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// No entry of this step is known; and what became of its last run.
    NotFound(Before),
    /// Another content than in the closest entry.
    InputModified(String),
    /// Was not there, and is.
    InputAdded(String),
    /// Was there, and is not.
    InputRemoved(String),
    /// Lies in a folder whose names counted, and did not.
    NameAdded(String),
    /// Lay in a folder whose names counted, and does not.
    NameRemoved(String),
    /// Other names lie in a folder whose names counted; it is not known which.
    NamesChanged(String),
    /// A variable has another value.
    EnvChanged(String),
    /// A variable was not set, and is.
    EnvAdded(String),
    /// A variable was set, and is not.
    EnvRemoved(String),
    /// Another set of variables is passed untracked.
    UntrackedEnvChanged,
    /// Another command or arguments.
    ArgsChanged,
    /// The program is another one, or has another content.
    ProgramChanged(String),
    /// Another working directory.
    CwdChanged,
    /// Another `input` in the config.
    InputConfigChanged,
    /// Another `output` in the config.
    OutputConfigChanged,
    /// Another config in some other respect.
    ConfigChanged,
    /// The adapter says something else than before.
    DeclarationChanged(String),
    /// An output lies there in a state that no run is known to have left.
    OutputChanged(String),
    /// Where an output belongs, or in a folder that was not there, lies what another task left.
    OutputOfAnother {
        /// Where.
        path: String,
        /// The other task, `package#name`.
        task: String,
    },
    /// What was stored cannot be read back whole, or not be put in place.
    EntryDamaged(String),
    /// `--force`.
    Forced,
    /// This step is not cached.
    CacheDisabled(DisabledBy),
}

/// What became of the last run of a step for which there is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// None is known.
    NeverRan,
    /// It failed.
    Failed,
    /// It was not stored.
    NotStored(Box<Refusal>),
    /// It was stored, and what it stored has been removed from the cache since.
    Removed,
    /// It was stored in another cache than the one that is used now.
    Elsewhere,
}

/// Who decided that a step is not cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisabledBy {
    /// `"cache": false`.
    Config,
    /// `--no-cache`.
    Flag,
    /// A script that nothing is known of.
    Default,
    /// A script that nothing is known of, but that it starts a runner of tasks in many packages.
    RunsMany,
    /// An adapter: its id, and its reason.
    Adapter(String, String),
    /// `"persistent": true`.
    Persistent,
    /// `"interactive": true`.
    Interactive,
    /// Something overhear needs is not there or does not work: which, in words.
    Fault(String),
}

/// Why a run that succeeded was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The content of a path was read, then changed.
    ReadWriteOverlap {
        /// The path.
        path: String,
        /// The process that changed it.
        process: String,
    },
    /// The tool asked for it over IPC.
    ToolAsked,
    /// The tracer cannot vouch for every process.
    TraceIncomplete(String),
    /// Something the tool said may be lost.
    IpcFailed(String),
    /// An input changed while the command ran.
    InputChangedDuringRun(String),
    /// A write outside the root.
    WroteOutside(String),
    /// A connection to a program of this machine that is not part of the step.
    OutsideService {
        /// Its address.
        address: String,
        /// The process that connected.
        process: String,
    },
    /// A variable that was not passed is named in an input.
    HiddenEnv {
        /// The variable.
        name: String,
        /// The input.
        file: String,
    },
    /// A process outlived its command.
    Detached(String),
    /// It asked for the terminal.
    ReadTerminal,
    /// It was interrupted.
    Interrupted,
    /// The store failed.
    StoreFailed(String),
    /// More than the store takes.
    TooLarge(String),
}

impl MissReason {
    /// The name in JSON (`reason.kind`).
    pub fn kind(&self) -> &'static str {
        match self {
            MissReason::NotFound(_) => "not_found",
            MissReason::InputModified(_) | MissReason::NamesChanged(_) => "input_modified",
            MissReason::InputAdded(_) | MissReason::NameAdded(_) => "input_added",
            MissReason::InputRemoved(_) | MissReason::NameRemoved(_) => "input_removed",
            MissReason::EnvChanged(_) => "env_changed",
            MissReason::EnvAdded(_) => "env_added",
            MissReason::EnvRemoved(_) => "env_removed",
            MissReason::UntrackedEnvChanged => "untracked_env_changed",
            MissReason::ArgsChanged => "args_changed",
            MissReason::ProgramChanged(_) => "program_changed",
            MissReason::CwdChanged => "cwd_changed",
            MissReason::InputConfigChanged => "input_config_changed",
            MissReason::OutputConfigChanged => "output_config_changed",
            MissReason::ConfigChanged => "config_changed",
            MissReason::DeclarationChanged(_) => "declaration_changed",
            MissReason::OutputChanged(_) => "output_changed",
            MissReason::OutputOfAnother { .. } => "output_of_another",
            MissReason::EntryDamaged(_) => "entry_damaged",
            MissReason::Forced => "forced",
            MissReason::CacheDisabled(_) => "cache_disabled",
        }
    }
}

impl Refusal {
    /// The name in JSON (`not_stored.kind`).
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::ReadWriteOverlap { .. } => "read_write_overlap",
            Refusal::ToolAsked => "tool_asked",
            Refusal::TraceIncomplete(_) => "trace_incomplete",
            Refusal::IpcFailed(_) => "ipc_failed",
            Refusal::InputChangedDuringRun(_) => "input_changed_during_run",
            Refusal::WroteOutside(_) => "wrote_outside",
            Refusal::OutsideService { .. } => "outside_service",
            Refusal::HiddenEnv { .. } => "hidden_env",
            Refusal::Detached(_) => "detached",
            Refusal::ReadTerminal => "read_terminal",
            Refusal::Interrupted => "interrupted",
            Refusal::StoreFailed(_) => "store_failed",
            Refusal::TooLarge(_) => "too_large",
        }
    }
}

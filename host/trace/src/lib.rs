//! What overhear wants of a tracer, and what one says of a step. Knows no system: a backend for another
//! one implements [`Backend`], and this crate builds for every system that Rust knows.
//!
//! Read next: `access` (what a trace says), `none` (the backend where none works). The backends for
//! Linux are in `host/src/trace`; `docs/tracing.md` says what those for other systems would do.

pub mod access;
mod none;
pub mod stamp;

pub use none::None;

use access::Observed;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Chooses a [`Way`]: `off`, `seccomp` or `ptrace`; otherwise the best that works is taken. When tracing
/// is off, steps run and their traces are incomplete.
pub const SWITCH: &str = "OVERHEAR_TRACE";
/// Chooses a [`Level`]: `0`, `1` or `2`.
pub const LEVEL_SWITCH: &str = "OVERHEAR_ACCEL";

/// What a tracer must know of a step beforehand. `N` is what its programs note by themselves, as the
/// system has it.
#[derive(Clone, Debug)]
pub struct Spec<N> {
    /// The value of PATH in the step's environment.
    pub path: OsString,
    /// Absolute, resolved paths of our own: accesses to and below them, and connections to sockets
    /// there, are no facts about the step.
    pub ignore: Vec<PathBuf>,
    /// Variables that are left out of the step's environment block, to be overheard.
    pub left_out: LeftOut,
    /// How much is done inside its programs.
    pub level: Level,
    /// How it is traced.
    pub way: Way,
    /// What its programs note by themselves, where they do.
    pub notes: Option<N>,
    /// Whether the step runs without the means to gain rights (set by the backend).
    pub no_new_privileges: bool,
}

impl<N> Spec<N> {
    /// A spec for a step with this PATH that ignores these paths. Links in `ignore` are resolved.
    pub fn new(path: impl Into<OsString>, ignore: Vec<PathBuf>) -> Spec<N> {
        let ignore = ignore.into_iter().map(|path| path.canonicalize().unwrap_or(path)).collect();
        Spec {
            path: path.into(),
            ignore,
            left_out: LeftOut::default(),
            level: Level::chosen(),
            way: Way::chosen(),
            notes: Option::None,
            no_new_privileges: false,
        }
    }

    /// The same, with another level than the one that was chosen for all.
    #[must_use]
    pub fn at_level(self, level: Level) -> Spec<N> {
        Spec { level, ..self }
    }

    /// The same, traced in another way than the one that was chosen for all.
    #[must_use]
    pub fn by(self, way: Way) -> Spec<N> {
        Spec { way, ..self }
    }

    /// The same, with programs that note by themselves what they ask.
    #[must_use]
    pub fn noting(self, notes: Option<N>) -> Spec<N> {
        Spec { notes, ..self }
    }

    /// The same, with variables to be overheard.
    #[must_use]
    pub fn overhearing(self, left_out: LeftOut) -> Spec<N> {
        Spec { left_out, ..self }
    }
}

/// The variables that a step may ask for and does not see.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// With their values.
    pub variables: Vec<(OsString, OsString)>,
    /// Whether they are only noted, and not served (`strictEnv`).
    pub is_strict: bool,
}

impl fmt::Debug for LeftOut {
    /// Names no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsStr> = self.variables.iter().map(|(name, _)| name.as_os_str()).collect();
        f.debug_struct("LeftOut").field("variables", &names).field("is_strict", &self.is_strict).finish()
    }
}

/// How much is done inside the programs of a step. Each level sees the same accesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: the kernel tells of every call, and the environment is not overheard.
    Nothing,
    /// What goes through the C library is noted by the programs themselves.
    Functions,
    /// So are system calls that other libraries make by themselves.
    #[default]
    Everything,
}

impl Level {
    /// What [`LEVEL_SWITCH`] says.
    pub fn chosen() -> Level {
        match std::env::var_os(LEVEL_SWITCH) {
            Some(level) if level == "0" => Level::Nothing,
            Some(level) if level == "1" => Level::Functions,
            _ => Level::Everything,
        }
    }
}

/// How steps are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// In the best way that works here.
    #[default]
    Best,
    /// With a filter in the kernel, whether it works or not.
    Seccomp,
    /// As debuggers do, whether it works or not.
    Ptrace,
    /// Not at all.
    Off,
}

impl Way {
    /// What [`SWITCH`] says.
    pub fn chosen() -> Way {
        match std::env::var_os(SWITCH) {
            Some(way) if way == "off" => Way::Off,
            Some(way) if way == "seccomp" => Way::Seccomp,
            Some(way) if way == "ptrace" => Way::Ptrace,
            _ => Way::Best,
        }
    }
}

/// A way of tracing.
pub trait Backend<N>: Sync {
    /// For `doctor` and messages.
    fn name(&self) -> &'static str;

    /// Why it does not work here, found out by trial; for `doctor`.
    fn trouble(&self) -> Option<String>;

    /// Gets ready for one step, before its process is made.
    fn begin(&self, spec: Spec<N>) -> io::Result<Begun>;
}

/// The two sides of one trace.
pub struct Begun {
    /// Goes into the child.
    pub child: Box<dyn ChildSide>,
    /// Stays here.
    pub parent: Box<dyn ParentSide>,
}

/// What the child does between fork and exec. Nothing on a system that makes processes in one go.
pub trait ChildSide: Send + Sync {
    /// Only what is safe after a fork in a program with threads: no allocation, no locks. The
    /// step runs whatever happens here, so there is nothing to return.
    fn enter(&self);
}

/// What can be waited for together with the output of a step.
#[cfg(unix)]
pub type Awaited<'a> = std::os::fd::BorrowedFd<'a>;
/// What can be waited for together with the output of a step.
#[cfg(windows)]
pub type Awaited<'a> = std::os::windows::io::BorrowedHandle<'a>;

/// What overhear does meanwhile.
pub trait ParentSide: Send {
    /// The child exists (or could not be made): what only it needs may go.
    fn spawned(&mut self);

    /// Becomes readable, or signalled, when no process of the step is left. `None`: not known by this
    /// backend.
    fn all_gone(&self) -> Option<Awaited<'_>>;

    /// The leader has ended and was waited for.
    fn leader_ended(&self);

    /// Ends the trace. Where processes are left, `detached` names one.
    fn finish(self: Box<Self>, rest: Rest) -> Observed;
}

/// What becomes of processes that outlive their command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They go on, undisturbed.
    GoesOn,
    /// They are ended.
    Ends,
}

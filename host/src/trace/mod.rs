//! Sees what the whole process tree of a step asks of the file system, and turns it into an
//! [`Observed`]. Backends lie behind [`Backend`]; another system or mechanism is a new file.
//!
//! It observes and never decides: what an access means is `settle`'s, and whatever goes wrong here
//! leaves the step undisturbed and the trace marked incomplete.
//!
//! Read next: `calls` (which system calls), `record` (what each counts as), `seccomp` (where they
//! come from on Linux), `notes` (what programs log by themselves), `preload` (the
//! library that does it, and the environment), `guard` (what happens when overhear is killed).

mod calls;
mod event;
mod exec;
pub mod guard;
mod none;
mod notes;
pub mod preload;
mod record;
mod resolve;
mod seccomp;
mod sites;
mod sockets;
mod tracee;
mod tree;

pub use exec::{missing_interpreter, search};
pub use preload::{LeftOut, Level};
pub use tree::may_execute;

use crate::access::Observed;
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Turns tracing off when set to `off`: steps run, and their traces are incomplete.
pub const SWITCH: &str = "OVERHEAR_TRACE";

/// What a tracer must know of a step beforehand.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The value of PATH in the step's environment.
    pub path: OsString,
    /// Absolute, resolved paths of our own: accesses to and below them, and connections to sockets
    /// there, are no facts about the step.
    pub ignore: Vec<PathBuf>,
    /// Variables that are left out of the step's environment block, to be overheard.
    pub left_out: LeftOut,
    /// How much is done inside its programs.
    pub level: Level,
    /// What its programs note by themselves, where they do.
    notes: Option<Arc<notes::Notes>>,
    /// Whether the step runs without the means to gain rights (set by the backend).
    no_new_privileges: bool,
}

impl Spec {
    /// A spec for a step with this PATH that ignores these paths. Links in `ignore` are resolved.
    pub fn new(path: impl Into<OsString>, ignore: Vec<PathBuf>) -> Spec {
        let ignore = ignore.into_iter().map(|path| path.canonicalize().unwrap_or(path));
        let ignore = ignore.chain(preload::library().map(PathBuf::from)).collect();
        Spec { path: path.into(), ignore, level: Level::chosen(), ..Spec::default() }
    }

    /// The same, with another level than the one that was chosen for all.
    #[must_use]
    pub fn at_level(self, level: Level) -> Spec {
        Spec { level, ..self }
    }

    /// The same, with programs that note by themselves what they ask.
    pub(crate) fn noting(self, notes: Option<Arc<notes::Notes>>) -> Spec {
        Spec { notes, ..self }
    }

    /// The same, with variables to be overheard.
    #[must_use]
    pub fn overhearing(self, left_out: LeftOut) -> Spec {
        Spec { left_out, ..self }
    }
}

/// A way of tracing.
pub trait Backend: Sync {
    /// For `doctor` and messages.
    fn name(&self) -> &'static str;

    /// Why it does not work here, found out by trial; for `doctor`.
    fn trouble(&self) -> Option<String>;

    /// Gets ready for one step, before its process is made.
    fn begin(&self, spec: Spec) -> io::Result<Begun>;
}

/// The two sides of one trace.
pub struct Begun {
    /// Goes into the child.
    pub child: Box<dyn ChildSide>,
    /// Stays here.
    pub parent: Box<dyn ParentSide>,
}

/// What the child does between fork and exec.
pub trait ChildSide: Send + Sync {
    /// Only what is safe after a fork in a program with threads: no allocation, no locks. The
    /// step runs whatever happens here, so there is nothing to return.
    fn enter(&self);
}

/// What overhear does meanwhile.
pub trait ParentSide: Send {
    /// The child exists (or could not be made): what only it needs may go.
    fn spawned(&mut self);

    /// Becomes readable when no process of the step is left. `None`: not known by this backend.
    fn all_gone(&self) -> Option<BorrowedFd<'_>>;

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

/// The backend for this machine and environment.
pub fn backend() -> &'static dyn Backend {
    if std::env::var_os(SWITCH).is_some_and(|value| value == "off") {
        return &none::None { why: "tracing is turned off by OVERHEAR_TRACE" };
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return &seccomp::Seccomp;
    }
    &none::None { why: "there is no tracer for this system yet" }
}

/// What works here, for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// The backend that would be used.
    pub backend: &'static str,
    /// Why it does not work, if it does not.
    pub trouble: Option<String>,
    /// How much is done inside the programs of a step.
    pub level: Level,
    /// Why the environment is not overheard, if it is not.
    pub unheard: Option<&'static str>,
}

/// Finds out by trial.
pub fn probe() -> Availability {
    let backend = backend();
    let unheard = preload::trouble();
    let level = if unheard.is_none() { Level::chosen() } else { Level::Nothing };
    Availability { backend: backend.name(), trouble: backend.trouble(), level, unheard }
}

//! Sees what the whole process tree of a step asks of the file system, and turns it into an
//! [`Observed`]. Backends lie behind [`Backend`]; another system or mechanism is a new file.
//!
//! It observes and never decides: what an access means is `settle`'s, and whatever goes wrong here
//! leaves the step undisturbed and the trace marked incomplete.
//!
//! Read next: `calls` (which system calls), `record` (what each counts as), `seccomp` (where they
//! come from on Linux), `ptrace` (where they come from if that cannot be had), `notes` (what programs log by themselves), `preload` (the
//! library that does it, and the environment), `guard` (what happens when overhear is killed).

mod calls;
mod decode;
mod event;
mod exec;
pub mod guard;
mod none;
mod notes;
pub mod preload;
mod ptrace;
mod record;
mod resolve;
mod seccomp;
mod shared;
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
use std::sync::{Arc, OnceLock};

/// Chooses a [`Way`]: `off`, `seccomp` or `ptrace`; otherwise the best that works is taken. When tracing is off,
/// steps run and their traces are incomplete.
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
    /// How it is traced.
    pub way: Way,
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
        Spec { path: path.into(), ignore, level: Level::chosen(), way: Way::chosen(), ..Spec::default() }
    }

    /// The same, with another level than the one that was chosen for all.
    #[must_use]
    pub fn at_level(self, level: Level) -> Spec {
        Spec { level, ..self }
    }

    /// The same, traced in another way than the one that was chosen for all.
    #[must_use]
    pub fn by(self, way: Way) -> Spec {
        Spec { way, ..self }
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

    /// Its backend.
    pub fn backend(self) -> &'static dyn Backend {
        if self == Way::Off {
            return &none::None { why: "tracing is turned off by OVERHEAR_TRACE" };
        }
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return &none::None { why: "there is no tracer for this system yet" };
        }
        match self {
            Way::Seccomp => &seccomp::Seccomp,
            Way::Ptrace => &ptrace::Ptrace,
            Way::Best | Way::Off => best().0,
        }
    }
}

/// The backend to take if none was asked for, and why not the one before it. Found out once, by trial.
///
/// Inside a step of another overhear, that one has the filter's listener. What the inner one starts is then
/// not traced a second time: it would be traced by both, and is kept by the outer one.
fn best() -> &'static (&'static dyn Backend, Option<String>) {
    static BEST: OnceLock<(&'static dyn Backend, Option<String>)> = OnceLock::new();
    BEST.get_or_init(|| {
        let Some(why) = seccomp::Seccomp.trouble() else { return (&seccomp::Seccomp, None) };
        if std::env::var_os(preload::MARK).is_some() || ptrace::Ptrace.trouble().is_some() {
            return (&seccomp::Seccomp, None);
        }
        (&ptrace::Ptrace, Some(why))
    })
}

/// What works here, for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// The backend that would be used.
    pub backend: &'static str,
    /// Why it does not work, if it does not.
    pub trouble: Option<String>,
    /// The other backends, and why each is not used.
    pub others: Vec<(&'static str, String)>,
    /// How much is done inside the programs of a step.
    pub level: Level,
    /// Why the environment is not overheard, if it is not.
    pub unheard: Option<&'static str>,
}

/// Finds out by trial.
pub fn probe() -> Availability {
    let way = Way::chosen();
    let backend = way.backend();
    let trouble = backend.trouble();
    let unheard = preload::trouble();
    let level = if unheard.is_none() { Level::chosen() } else { Level::Nothing };
    let mut others = Vec::new();
    if way == Way::Best {
        match (backend.name(), &best().1) {
            ("ptrace", Some(why)) => others.push(("seccomp", why.clone())),
            ("seccomp", _) if trouble.is_some() => {
                let why = ptrace::Ptrace.trouble().unwrap_or_else(|| {
                    "not tried inside a step of another overhear, which sees what this one starts".into()
                });
                others.push(("ptrace", why));
            }
            _ => {}
        }
    }
    Availability { backend: backend.name(), trouble, others, level, unheard }
}

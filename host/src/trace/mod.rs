//! Sees what the whole process tree of a step asks of the file system, and turns it into an
//! [`Observed`](crate::access::Observed). Backends lie behind [`Backend`], of the crate `overhear-trace`; another system or mechanism is a new file.
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
mod notes;
mod orphans;
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
pub use overhear_trace::{Backend, Begun, ChildSide, LeftOut, Level, ParentSide, Rest, SWITCH, Way};
pub use tree::may_execute;

use overhear_trace::None;
use std::sync::{Arc, OnceLock};

/// What programs note by themselves, on this system.
type Noted = Arc<notes::Notes>;
/// What the tracers of this system must know of a step beforehand.
pub type Spec = overhear_trace::Spec<Noted>;
/// A tracer of this system.
pub type Tracer = dyn Backend<Noted>;

/// The backend of a way.
pub fn backend(way: Way) -> &'static Tracer {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return &None { why: "there is no tracer for this system yet" };
    }
    match way {
        Way::Off => &None { why: "tracing is turned off by OVERHEAR_TRACE" },
        Way::Seccomp => &seccomp::Seccomp,
        Way::Ptrace => &ptrace::Ptrace,
        Way::Best => best().0,
    }
}

/// The backend to take if none was asked for, and why not the one before it. Found out once, by trial.
///
/// Inside a step of another overhear, that one has the filter's listener. What the inner one starts is then
/// not traced a second time: it would be traced by both, and is kept by the outer one.
fn best() -> &'static (&'static Tracer, Option<String>) {
    static BEST: OnceLock<(&'static Tracer, Option<String>)> = OnceLock::new();
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
    let backend = backend(way);
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

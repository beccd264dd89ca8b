//! Tracing where the kernel's filter cannot be had, because another program listens to the calls of this one
//! already (WSL2, sandboxes) or filters are forbidden: as a debugger does, with `ptrace`. Every thread of
//! the tree stops at the begin and at the end of every call. That costs several times more than the filter
//! does, and leaves nothing behind: whoever is let go runs as if it had never been traced.
//!
//! A filter that stops only at calls with paths (`SECCOMP_RET_TRACE`) would be cheaper and is not used: where
//! another filter tells its listener of a call, that is the stronger answer and nobody else hears of the
//! call. Stops of `ptrace` come before all filters.
//!
//! `requests`: what is asked of the kernel. `stops`: what a stop means. `tracer`: the thread that does it.

#![allow(unsafe_code, reason = "makes a process to try it with, and signals a thread")]

mod requests;
mod stops;
mod tracer;

use super::guard;
use super::shared::{Shared, signal, socket_pair};
use super::{Backend, Begun, ChildSide, Noted, ParentSide, Rest, Spec};
use crate::access::Observed;
use requests::{At, Told};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// How often the tracer is called out of its waiting until it has noticed.
const CALL_EVERY: Duration = Duration::from_millis(5);
/// How long a step's end waits until whoever is left was let go. A thread that is deep in the kernel stops
/// only when it comes out; letting it go is then tried for as long as overhear lives.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);

/// This backend.
pub struct Ptrace;

impl Backend<Noted> for Ptrace {
    fn name(&self) -> &'static str {
        "ptrace"
    }

    fn trouble(&self) -> Option<String> {
        trial().err()
    }

    fn begin(&self, spec: Spec) -> io::Result<Begun> {
        let (ours, theirs) = socket_pair()?;
        let theirs = Arc::new(theirs);
        let shared = Arc::new(Shared::new()?);
        let tid = Arc::new(AtomicI32::new(0));
        let (said, observed) = channel();
        listen_to_calls();
        let tracers = ours.as_raw_fd();
        {
            let (shared, tid) = (Arc::clone(&shared), Arc::clone(&tid));
            std::thread::Builder::new().name("overhear-trace".into()).spawn(move || {
                // SAFETY: asks for a number.
                tid.store(unsafe { libc::gettid() }, Ordering::Release);
                tracer::run(&ours, &shared, spec, &said);
                tid.store(0, Ordering::Release);
            })?;
        }
        Ok(Begun {
            child: Box::new(Child { socket: theirs.as_raw_fd(), tracers }),
            parent: Box::new(Parent { theirs: Some(theirs), shared, tid, observed }),
        })
    }
}

struct Child {
    socket: RawFd,
    /// The other end.
    tracers: RawFd,
}

impl ChildSide for Child {
    fn enter(&self) {
        // SAFETY: asks for a number; and closes a copy, with which the child would never learn that overhear
        // is gone.
        let pid = unsafe {
            libc::close(self.tracers);
            libc::getpid()
        };
        if guard::send(self.socket, &pid.to_ne_bytes(), &[]) {
            // Whatever the answer, and if overhear is gone: the command runs.
            let _ = guard::receive(self.socket, &mut [0u8; 1]);
        }
    }
}

struct Parent {
    /// Kept open until the child has its copy.
    theirs: Option<Arc<OwnedFd>>,
    shared: Arc<Shared>,
    /// The tracer's thread, or 0 when it has ended.
    tid: Arc<AtomicI32>,
    observed: Receiver<Observed>,
}

impl ParentSide for Parent {
    fn spawned(&mut self) {
        self.theirs = None;
    }

    fn all_gone(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.gone.as_fd())
    }

    fn leader_ended(&self) {
        self.shared.ended.store(true, Ordering::Release);
        signal(&self.shared.wake);
    }

    fn finish(mut self: Box<Self>, rest: Rest) -> Observed {
        self.theirs = None;
        self.shared.end.store(rest == Rest::Ends, Ordering::Release);
        self.shared.release.store(true, Ordering::Release);
        let observed = self.hear(None);
        let until = Instant::now() + LET_GO_WITHIN;
        // Nothing more is said: this waits for the thread's end.
        drop(self.hear(Some(until)));
        observed.unwrap_or_else(|| {
            let mut observed = Observed::default();
            observed.poison("the tracer failed");
            observed
        })
    }
}

impl Parent {
    /// What the tracer says next. It may wait for the step, and is called out of that again and again, since it
    /// may be about to wait as well.
    fn hear(&self, until: Option<Instant>) -> Option<Observed> {
        while until.is_none_or(|until| Instant::now() < until) {
            signal(&self.shared.wake);
            let tid = self.tid.load(Ordering::Acquire);
            if tid != 0 {
                // SAFETY: numbers only; a thread of ours, whose handler does nothing.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, CALL) };
            }
            match self.observed.recv_timeout(CALL_EVERY) {
                Ok(observed) => return Some(observed),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        None
    }
}

/// Calls a thread out of `waitid`. Who does not handle it ignores it.
const CALL: i32 = libc::SIGURG;

extern "C" fn hear_call(_: i32) {}

/// Makes [`CALL`] interrupt what it comes to.
fn listen_to_calls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: an all-zero `sigaction` is valid: no flags, so that nothing is taken up again; the handler does
        // nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = hear_call as extern "C" fn(i32) as usize;
            libc::sigaction(CALL, &raw const action, std::ptr::null_mut());
        }
    });
}

/// In words, why a process cannot be traced.
fn trouble(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            "this system or container does not allow ptrace (Yama, seccomp)".into()
        }
        _ => format!("ptrace does not work: {error}"),
    }
}

/// Traces a short-lived child up to one call, to see whether it can be done.
fn trial() -> Result<(), String> {
    // SAFETY: a number in, a new descriptor or an error out. Without it the end of a command would have to be
    // asked for again and again, and that would take stops for ends.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as RawFd;
        if fd < 0 {
            return Err("this kernel is too old for it (Linux 5.3 is needed)".into());
        }
        drop(OwnedFd::from_raw_fd(fd));
    }
    // SAFETY: the child makes one call again and again until it is killed.
    let pid = match unsafe { libc::fork() } {
        0 => {
            // SAFETY: numbers only. Without overhear nobody would end it.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            loop {
                // SAFETY: asks for a number.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
        }
        pid => u32::try_from(pid).map_err(|_| io::Error::last_os_error().to_string())?,
    };
    let found = try_with(pid);
    // SAFETY: ends the child made above, and waits for it.
    unsafe {
        libc::kill(pid as i32, libc::SIGKILL);
        libc::waitpid(pid as i32, std::ptr::null_mut(), libc::__WALL);
    }
    found
}

fn try_with(pid: u32) -> Result<(), String> {
    requests::seize(pid).and_then(|()| requests::interrupt(pid)).map_err(|error| trouble(&error))?;
    // The stop that was asked for, then begins and ends of what the child calls before it comes to its loop.
    for _ in 0..16 {
        match requests::next() {
            Told::Stopped { tid, status } if tid == pid => {
                if stops::Stop::of(status) == stops::Stop::Call {
                    match requests::call(pid) {
                        Ok(At::Begin(call)) if i64::from(call.nr) == libc::SYS_getppid => return Ok(()),
                        Ok(_) => {}
                        Err(_) => return Err("this kernel is too old for it (Linux 5.3 is needed)".into()),
                    }
                }
                requests::go_on(pid, 0).map_err(|error| trouble(&error))?;
            }
            _ => break,
        }
    }
    Err("the calls of a process that is traced are not told".into())
}

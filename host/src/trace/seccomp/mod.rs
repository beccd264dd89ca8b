//! Tracing with one inherited seccomp filter: the kernel stops every thread of the tree at every
//! call that names a path, tells us, and goes on when we say so. Nothing escapes it: static
//! programs, cleared environments, inline system calls.

#![allow(unsafe_code, reason = "installs a filter in the child and passes descriptors")]

pub(super) mod filter;
mod supervisor;

use super::guard;
use super::shared::{Shared, signal, socket_pair};
use super::{Backend, Begun, ChildSide, Noted, ParentSide, Rest, Spec};
use crate::access::Observed;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// This backend.
pub struct Seccomp;

impl Backend<Noted> for Seccomp {
    fn name(&self) -> &'static str {
        "seccomp"
    }

    fn trouble(&self) -> Option<String> {
        trial().err()
    }

    fn begin(&self, spec: Spec) -> io::Result<Begun> {
        guard::start();
        let (ours, theirs) = socket_pair()?;
        let theirs = Arc::new(theirs);
        let shared = Arc::new(Shared::new()?);
        let gate = spec.notes.as_ref().map(|notes| notes.gate());
        let supervisors = ours.as_raw_fd();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("overhear-trace".into())
                .spawn(move || supervisor::run(&ours, &shared, spec))?
        };
        Ok(Begun {
            child: Box::new(Child { socket: theirs.as_raw_fd(), supervisors, filter: filter::program(gate) }),
            parent: Box::new(Parent { theirs: Some(theirs), shared, thread }),
        })
    }
}

struct Child {
    socket: RawFd,
    /// The other end.
    supervisors: RawFd,
    filter: Vec<libc::sock_filter>,
}

/// What the child says once; the listener travels with it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Hello {
    pid: i32,
    /// Why there is no listener, or 0.
    errno: i32,
    no_new_privileges: i32,
}

impl ChildSide for Child {
    fn enter(&self) {
        // SAFETY: plain calls into the kernel; every pointer leads to memory that was laid out
        // before the fork.
        unsafe {
            // With a copy of that end the child would keep its own listener, and wait for it for ever, if
            // overhear were killed before it has taken it.
            libc::close(self.supervisors);
            let mut hello = Hello { pid: libc::getpid(), ..Hello::default() };
            let mut listener = install(&self.filter);
            if listener == -libc::EACCES {
                // An ordinary user may filter only what can gain no rights.
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                hello.no_new_privileges = 1;
                listener = install(&self.filter);
            }
            if listener < 0 {
                hello.errno = -listener;
                guard::send(self.socket, as_bytes(&hello), &[]);
            } else {
                guard::send(self.socket, as_bytes(&hello), &[listener]);
                libc::close(listener);
            }
        }
    }
}

/// Installs the filter; the listener, or a negated error number.
///
/// # Safety
/// Only makes system calls, but changes what the calling thread may do from then on.
unsafe fn install(filter: &[libc::sock_filter]) -> i32 {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let wanted = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Without the second flag (before Linux 5.19) a signal may interrupt a call once more.
    for flags in [wanted | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, wanted] {
        // SAFETY: the kernel copies the program, which lives until the call returns.
        let listener =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program) };
        if listener >= 0 {
            return listener as i32;
        }
        // SAFETY: reads this thread's error number.
        let errno = unsafe { *libc::__errno_location() };
        if errno != libc::EINVAL {
            return -errno;
        }
    }
    -libc::EINVAL
}

fn as_bytes(hello: &Hello) -> &[u8] {
    // SAFETY: three `i32` in C layout have no padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(hello).cast(), size_of::<Hello>()) }
}

struct Parent {
    /// Kept open until the child has its copy.
    theirs: Option<Arc<OwnedFd>>,
    shared: Arc<Shared>,
    thread: JoinHandle<Observed>,
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
        signal(&self.shared.wake);
        self.thread.join().unwrap_or_else(|_| {
            let mut observed = Observed::default();
            observed.poison("the tracer failed");
            observed
        })
    }
}

/// In words, why there is no listener.
fn trouble(errno: i32) -> String {
    match errno {
        libc::EBUSY => {
            "another program already listens to the system calls of this process (an outer overhear, a sandbox, WSL2)"
                .into()
        }
        libc::ENOSYS | libc::EINVAL => "this kernel or container has no seccomp notifications".into(),
        libc::EPERM | libc::EACCES => "this container does not allow seccomp filters".into(),
        errno => format!("cannot install a seccomp filter: {}", io::Error::from_raw_os_error(errno)),
    }
}

/// How long the one call of a trial may take, in milliseconds.
const TRIAL_MS: i32 = 2000;

/// Installs the filter in a short-lived child and lets one call of it go on, to see whether both can be done.
fn trial() -> Result<(), String> {
    let (ours, theirs) = socket_pair().map_err(|error| error.to_string())?;
    let (socket, supervisors) = (theirs.as_raw_fd(), ours.as_raw_fd());
    let child = Child { socket, supervisors, filter: filter::program(None) };
    // SAFETY: the child only makes system calls and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: numbers only. Without overhear nobody would answer, and it would wait for ever.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        child.enter();
        // SAFETY: asks a question, and ends this process without running anything of ours.
        unsafe {
            libc::access(c"/".as_ptr(), libc::F_OK);
            libc::_exit(0)
        };
    }
    if pid < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    drop(theirs);
    let found = match supervisor::hello(&ours) {
        Some((_, Some(listener))) if supervisor::pass_one(&listener, TRIAL_MS) => Ok(()),
        Some((_, Some(_))) => Err("this kernel is too old for it (Linux 5.5 is needed)".into()),
        Some((hello, None)) => Err(trouble(hello.errno)),
        None => Err("the trial process ended without an answer".into()),
    };
    // SAFETY: ends the child made above, which may wait for an answer, and waits for it.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    found
}

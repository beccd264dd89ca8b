//! Makes a captured child: descriptors, session, signals, and the tracer's part before the program begins.
//!
//! Not by a fork: that copies the tables of all memory of overhear, and then each page that either writes, which is
//! a tenth of what a small step costs. The child borrows the memory instead, and the thread that makes it waits
//! until it executes or ends, as with `vfork(2)`. Until then it only makes system calls, on memory that was laid
//! out before.

#![allow(unsafe_code, reason = "a child that shares memory until it executes")]

use super::Launch;
use super::spawn::{self, Called};
use crate::trace::ChildSide;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, PipeReader};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// For what the child does until it executes: a few frames of a few hundred bytes.
const STACK_BYTES: usize = 64 * 1024;
/// Signals are numbered from 1 up to this.
const SIGNAL_MAX: c_int = 64;
/// Exit code of a child that could not execute; nobody sees it.
const NOT_EXECUTED: c_int = 127;

/// A child and the ends of its pipes.
pub(super) struct Child {
    pid: u32,
    pub(super) out: Option<PipeReader>,
    pub(super) err: Option<PipeReader>,
}

impl Child {
    /// Starts a command in a session of its own, with no standard input and pipes for its output. Returns when
    /// it executes.
    pub(super) fn start(
        launch: &Launch,
        called: &Called,
        tracing: Option<&dyn ChildSide>,
    ) -> io::Result<Child> {
        let input = File::open("/dev/null")?;
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let texts = Texts::of(launch, called)?;
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        let errand = Errand {
            program: &texts.program,
            args: &pointers(&texts.args),
            // A file that says nothing of who runs it is the shell's, as `execvp(3)` has it.
            shell_args: &[c"/bin/sh".as_ptr(), texts.program.as_ptr()]
                .into_iter()
                .chain(texts.args[1..].iter().map(|text| text.as_ptr()))
                .chain([ptr::null()])
                .collect::<Vec<_>>(),
            env: &pointers(&texts.env),
            cwd: &texts.cwd,
            streams: [input.as_raw_fd(), out_end.as_raw_fd(), err_end.as_raw_fd()],
            parent: std::process::id(),
            tracing,
            errno: AtomicI32::new(0),
        };
        let pid = errand.send()?;
        match errand.errno.into_inner() {
            0 => Ok(Child { pid, out: Some(out), err: Some(err) }),
            errno => {
                // SAFETY: our own child, which has ended.
                unsafe { libc::waitpid(pid as i32, ptr::null_mut(), 0) };
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has. Not to be asked again after that.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut status = 0;
        // SAFETY: the kernel writes one number.
        match unsafe { libc::waitpid(self.pid as i32, &raw mut status, libc::WNOHANG) } {
            0 => Ok(None),
            pid if pid > 0 => Ok(Some(ExitStatus::from_raw(status))),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// What the kernel is given, as it wants it.
struct Texts {
    program: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl Texts {
    fn of(launch: &Launch, called: &Called) -> io::Result<Texts> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        // Sorted, each name once.
        let env: BTreeMap<_, _> = launch.env.iter().map(|(name, value)| (name, value)).collect();
        let pair = |(name, value): (_, _)| {
            CString::new([OsStr::as_bytes(name), b"=", OsStr::as_bytes(value)].concat())
        };
        Ok(Texts {
            program: text(called.program.as_os_str())?,
            args: [called.own_name.as_os_str()]
                .into_iter()
                .chain(launch.args.iter().map(AsRef::as_ref))
                .map(text)
                .collect::<io::Result<_>>()?,
            env: env.into_iter().map(|(name, value)| pair((name, value))).collect::<Result<_, _>>()?,
            cwd: text(launch.cwd.as_os_str())?,
        })
    }
}

/// What the child does, and the one thing that it says.
struct Errand<'a> {
    program: &'a CString,
    /// These three end with null.
    args: &'a [*const c_char],
    shell_args: &'a [*const c_char],
    env: &'a [*const c_char],
    cwd: &'a CString,
    /// What becomes 0, 1 and 2.
    streams: [RawFd; 3],
    parent: u32,
    tracing: Option<&'a dyn ChildSide>,
    /// Why it could not execute, or 0.
    errno: AtomicI32,
}

impl Errand<'_> {
    /// Makes the child, which does it; its number.
    fn send(&self) -> io::Result<u32> {
        let mut stack = vec![MaybeUninit::<u128>::uninit(); STACK_BYTES / size_of::<u128>()];
        // Handlers of overhear would see its memory, and count a signal twice. The child opens them again.
        let before = block_signals();
        // SAFETY: the stack and what is handed over live until this returns, which is after the child has
        // executed or ended; it grows down from the end.
        let pid = unsafe {
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            let errand = ptr::from_ref(self).cast_mut().cast();
            libc::clone(begin, stack.as_mut_ptr_range().end.cast(), flags, errand)
        };
        let error = io::Error::last_os_error();
        // SAFETY: the set was filled when they were blocked.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
        if pid < 0 { Err(error) } else { Ok(pid as u32) }
    }

    /// In the child: until it executes; why it could not.
    ///
    /// # Safety
    /// Only in a process that is to execute: it changes what the process is.
    unsafe fn run(&self) -> c_int {
        // SAFETY: system calls on memory that was laid out before; `ChildSide` promises the same.
        unsafe {
            for (number, stream) in (0..).zip(self.streams) {
                if libc::dup2(stream, number) < 0 {
                    return errno();
                }
            }
            if libc::chdir(self.cwd.as_ptr()) < 0 {
                return errno();
            }
            default_signals();
            spawn::open_signals();
            libc::setsid();
            spawn::die_with(self.parent);
            // Whatever else overhear has open is none of the command's business.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if let Some(tracing) = self.tracing {
                tracing.enter();
            }
            libc::execve(self.program.as_ptr(), self.args.as_ptr(), self.env.as_ptr());
            if errno() == libc::ENOEXEC {
                libc::execve(c"/bin/sh".as_ptr(), self.shell_args.as_ptr(), self.env.as_ptr());
            }
            errno()
        }
    }
}

extern "C" fn begin(errand: *mut c_void) -> c_int {
    // SAFETY: as `send` handed it over; this is the child.
    unsafe {
        let errand = &*errand.cast::<Errand<'_>>();
        let errno = errand.run();
        errand.errno.store(errno, Ordering::Release);
        // Without what overhear would do at its own end.
        libc::_exit(NOT_EXECUTED)
    }
}

/// Blocks all signals for this thread; which were blocked before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are filled by the calls.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

/// Takes overhear's handlers away, and its wish not to be ended by a pipe that nobody reads. What whoever started
/// overhear lets be ignored stays so.
unsafe fn default_signals() {
    // SAFETY: structures of the kernel, all zeros at first; numbers that are no signals are refused.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        for signal in 1..=SIGNAL_MAX {
            let mut now: libc::sigaction = mem::zeroed();
            let is_known = libc::sigaction(signal, ptr::null(), &raw mut now) == 0;
            let is_handled = now.sa_sigaction != libc::SIG_DFL && now.sa_sigaction != libc::SIG_IGN;
            if is_known && (is_handled || signal == libc::SIGPIPE) {
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
    }
}

fn errno() -> c_int {
    // SAFETY: reads the error number of the thread whose memory this is, which waits.
    unsafe { *libc::__errno_location() }
}

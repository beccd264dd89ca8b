//! The commands that run now, so that a signal to overhear reaches all of them.

#![allow(unsafe_code, reason = "signal handlers and kill")]

use crate::trace::guard::kill_session;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Signals that end overhear, and are passed on.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// A signal that comes so soon after another is the same wish: `timeout` tells a command and its process group,
/// `concurrently` tells it what the terminal has told it already.
const ECHO: Duration = Duration::from_millis(200);

/// Where the handler writes; -1 before there is one.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// How signals reach a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The leader of a session and process group of its own.
    Own(u32),
    /// A process in overhear's own group: a terminal tells it by itself.
    Shared(u32),
}

/// The commands that run now. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Running {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with the thread that sees it through.
    groups: Mutex<Vec<(ThreadId, Group)>>,
    /// Threads whose commands are to end.
    ending: Mutex<Vec<ThreadId>>,
    /// The first signal that came, or 0.
    signal: AtomicI32,
    /// How many came.
    count: AtomicUsize,
}

impl Running {
    /// Nothing runs yet.
    pub fn new() -> Running {
        Running::default()
    }

    /// Takes over SIGINT, SIGTERM and SIGHUP: the first is passed on to all commands, the second
    /// kills them. `told` is called after each, on a thread of its own, with the signal and how many there
    /// were by then. SIGTSTP suspends the commands with overhear. To be called once in a process.
    pub fn watch_signals(&self, told: impl Fn(i32, usize) + Send + 'static) -> io::Result<()> {
        let (mut reader, writer) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        // The handler's end stays open for as long as the process lives.
        let writer: OwnedFd = writer.into();
        PIPE.store(writer.as_raw_fd(), Ordering::Release);
        std::mem::forget(writer);
        for signal in ENDING.into_iter().chain([libc::SIGTSTP]) {
            install(signal)?;
        }
        let running = self.clone();
        thread::Builder::new().name("overhear-signals".into()).spawn(move || {
            let mut word = [0u8; 2];
            let mut last: Option<Instant> = None;
            while reader.read_exact(&mut word).is_ok() {
                let [signal, from_terminal] = word;
                if i32::from(signal) == libc::SIGTSTP {
                    running.suspend();
                    continue;
                }
                if last.is_some_and(|last| last.elapsed() < ECHO) {
                    continue;
                }
                last = Some(Instant::now());
                let count = running.stop(i32::from(signal), from_terminal != 0);
                told(i32::from(signal), count);
            }
        })?;
        Ok(())
    }

    /// The first signal that asked overhear to end, if one came.
    pub fn interrupted(&self) -> Option<i32> {
        Some(self.inner.signal.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// Passes a signal on to every command, or kills them if one was passed on before. Returns how
    /// many signals came.
    pub fn stop(&self, signal: i32, from_terminal: bool) -> usize {
        let _ = self.inner.signal.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
        let count = self.inner.count.fetch_add(1, Ordering::AcqRel) + 1;
        for (_, group) in self.groups().iter() {
            send(*group, if count > 1 { libc::SIGKILL } else { passed_on(signal) }, from_terminal);
        }
        count
    }

    /// Nobody reads what the commands print: they end, as they would have by writing it.
    pub fn stop_unheard(&self) {
        if self.interrupted().is_none() {
            self.stop(libc::SIGPIPE, false);
        }
    }

    /// Suspends the commands that the terminal does not reach, then this process; goes on with them after it.
    fn suspend(&self) {
        let to_own = |signal| {
            for (_, group) in self.groups().iter().filter(|(_, group)| matches!(group, Group::Own(_))) {
                send(*group, signal, true);
            }
        };
        to_own(libc::SIGSTOP);
        // By the signal itself, not by SIGSTOP: where no shell is there to let it go on, the kernel
        // suspends nobody. To this very thread: another one may stop the process only after the next line.
        // SAFETY: signals of this process itself; `raise` returns when somebody lets it go on.
        unsafe {
            libc::signal(libc::SIGTSTP, libc::SIG_DFL);
            libc::raise(libc::SIGTSTP);
        }
        // It could be installed before, so it can be again.
        let _ = install(libc::SIGTSTP);
        to_own(libc::SIGCONT);
    }

    /// Asks the command that a thread sees through to end, or kills it; also one that it begins later.
    pub fn end(&self, thread: ThreadId, at_once: bool) {
        self.ending().push(thread);
        for (_, group) in self.groups().iter().filter(|(of, _)| *of == thread) {
            send(*group, if at_once { libc::SIGKILL } else { libc::SIGTERM }, false);
        }
    }

    /// The command of a thread has ended; the next one of a thread with the same number need not.
    pub fn has_ended(&self, thread: ThreadId) {
        self.ending().retain(|ending| *ending != thread);
    }

    /// Whether the command that this thread sees through is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.interrupted().is_some() || self.ending().contains(&thread::current().id())
    }

    /// A command has begun, on this thread. It is told at once if it was to end meanwhile.
    pub(super) fn enter(&self, group: Group) -> Entered {
        self.groups().push((thread::current().id(), group));
        if let Some(signal) = self.interrupted() {
            send(group, passed_on(signal), false);
        } else if self.is_ending() {
            send(group, libc::SIGTERM, false);
        }
        Entered { running: self.clone(), group }
    }

    fn ending(&self) -> std::sync::MutexGuard<'_, Vec<ThreadId>> {
        self.inner.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, Vec<(ThreadId, Group)>> {
        self.inner.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that runs; dropped when it has ended.
pub(super) struct Entered {
    running: Running,
    group: Group,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut groups = self.running.groups();
        if let Some(at) = groups.iter().position(|(_, group)| *group == self.group) {
            groups.swap_remove(at);
        }
    }
}

/// What a command is sent for a signal that came. That it writes for nobody many have asked not to be told.
fn passed_on(signal: i32) -> i32 {
    if signal == libc::SIGPIPE { libc::SIGTERM } else { signal }
}

fn send(group: Group, signal: i32, from_terminal: bool) {
    // SAFETY: numbers only; the process was not waited for yet, so its number is still its own.
    unsafe {
        match group {
            Group::Own(leader) if signal == libc::SIGKILL => kill_session(leader as i32),
            Group::Own(leader) => drop(libc::kill(-(leader as i32), signal)),
            Group::Shared(_) if from_terminal && signal == libc::SIGINT => {}
            Group::Shared(pid) => drop(libc::kill(pid as i32, signal)),
        }
    }
}

fn install(signal: i32) -> io::Result<()> {
    // SAFETY: the handler only makes a system call; an all-zero `sigaction` is valid, and its
    // fields are set before it is used.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        match libc::sigaction(signal, &raw const action, std::ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Tells the thread; everything else happens there.
extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid `info`; the error number is put back for the code that was
    // interrupted.
    unsafe {
        let errno = *libc::__errno_location();
        let word = [signal as u8, u8::from((*info).si_code == libc::SI_KERNEL)];
        libc::write(PIPE.load(Ordering::Acquire), word.as_ptr().cast(), word.len());
        *libc::__errno_location() = errno;
    }
}

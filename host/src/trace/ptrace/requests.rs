//! The requests of `ptrace(2)` and `waitid(2)` that the tracer makes, with types of ours. They may all fail
//! because a thread was killed meanwhile: its end is reported then, so callers need not care.

#![allow(unsafe_code, reason = "ptrace, waitid")]

use std::io;

/// Children of whatever kind are traced from their first instruction, calls are told apart from signals, and
/// all of them end with the thread that traces them.
const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;
/// Where `struct user` has the number of the call that a thread is stopped at: its 16th register.
const CALL_NUMBER: usize = 15 * size_of::<u64>();
/// `PTRACE_GET_SYSCALL_INFO` of the kernel, and what it says at the begin of a call.
const GET_CALL: libc::c_long = 0x420e;
const ENTRY: u8 = 1;
/// Asks `waitid` for whatever a thread of any kind has to tell to this thread, and to no other of ours.
const ANY_KIND: i32 = libc::WEXITED | libc::WSTOPPED | libc::__WALL | libc::__WNOTHREAD;

/// What the kernel tells of a stop at a call (`struct ptrace_syscall_info`, as far as its entry).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Info {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    arguments: [u64; 6],
}

/// What one thread has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is stopped.
    Stopped {
        /// Which thread.
        tid: u32,
        /// The signal that stands for the stop, and what happened above it.
        status: i32,
    },
    /// It has ended, and waits for somebody to take note.
    Ended {
        /// Which thread.
        tid: u32,
    },
    /// None is left.
    Nobody,
    /// A signal came to this thread first.
    Interrupted,
}

fn request(what: libc::c_long, tid: u32, address: usize, data: usize) -> io::Result<usize> {
    // SAFETY: the requests below hand over numbers, or the address and size of memory of their own.
    match unsafe { libc::syscall(libc::SYS_ptrace, what, tid as libc::c_long, address, data) } {
        done if done >= 0 => Ok(done as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Begins to trace a process, which goes on meanwhile.
pub fn seize(pid: u32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE as libc::c_long, pid, 0, OPTIONS as usize).map(drop)
}

/// Asks a thread to stop where it is.
pub fn interrupt(tid: u32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT as libc::c_long, tid, 0, 0).map(drop)
}

/// Lets a stopped thread go on to the begin or end of its next call, with a signal if not 0.
pub fn go_on(tid: u32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL as libc::c_long, tid, 0, signal as usize).map(drop)
}

/// Leaves a thread stopped that its group's stop has stopped, and hears of what comes next.
pub fn listen(tid: u32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN as libc::c_long, tid, 0, 0).map(drop)
}

/// Lets a stopped thread go for good, with a signal if not 0.
pub fn let_go(tid: u32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH as libc::c_long, tid, 0, signal as usize).map(drop)
}

/// Makes the call that a thread is about to begin one that no kernel has: it is answered `ENOSYS`.
pub fn make_absent(tid: u32) -> io::Result<()> {
    request(libc::PTRACE_POKEUSER as libc::c_long, tid, CALL_NUMBER, usize::MAX).map(drop)
}

/// Where a thread is stopped at a call.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// It is about to begin this one.
    Begin(libc::seccomp_data),
    /// It has ended one, with this error number or 0.
    End(i32),
}

/// The call that a thread is stopped at.
pub fn call(tid: u32) -> io::Result<At> {
    let mut info = Info::default();
    let address = (&raw mut info) as usize;
    request(GET_CALL, tid, size_of::<Info>(), address)?;
    Ok(match info.op {
        ENTRY => At::Begin(libc::seccomp_data {
            nr: info.number as i32,
            arch: info.arch,
            instruction_pointer: info.instruction,
            args: info.arguments,
        }),
        // At the end there are the result and, in the byte behind it, whether it is a negated error number.
        _ if info.arguments[0] & 0xff != 0 => At::End((info.number as i64).wrapping_neg() as i32),
        _ => At::End(0),
    })
}

/// Waits for the next thing that any thread has to tell, and leaves it to be told again.
pub fn next() -> Told {
    match wait(libc::P_ALL, 0, ANY_KIND | libc::WNOWAIT) {
        Ok(Some(told)) => told,
        Ok(None) => Told::Interrupted,
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => Told::Interrupted,
        Err(_) => Told::Nobody,
    }
}

/// Takes note of what one thread has told, so that it is told no more.
pub fn take(tid: u32) {
    // Nothing is there where another thread of ours has taken it.
    let _ = wait(libc::P_PID, tid, ANY_KIND | libc::WNOHANG);
}

fn wait(which: libc::idtype_t, id: u32, how: i32) -> io::Result<Option<Told>> {
    // SAFETY: all-zero is a valid `siginfo_t`, which the kernel fills; its fields are those of a child.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(which, id, &raw mut info, how) != 0 {
            return Err(io::Error::last_os_error());
        }
        let tid = info.si_pid() as u32;
        Ok(match info.si_code {
            _ if tid == 0 => None,
            libc::CLD_TRAPPED | libc::CLD_STOPPED => Some(Told::Stopped { tid, status: info.si_status() }),
            _ => Some(Told::Ended { tid }),
        })
    }
}

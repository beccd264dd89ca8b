//! What the thread that traces a step and the one that sees it through tell each other: an event
//! descriptor for each direction, and three flags. What they mean to each backend is its own.

#![allow(unsafe_code, reason = "makes descriptors")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicBool;

/// What the two threads of one trace share.
pub struct Shared {
    /// Written by the parent when one of the flags below changed.
    pub wake: OwnedFd,
    /// Written by the tracer when nobody of the step is left.
    pub gone: OwnedFd,
    /// The leader has ended and was waited for.
    pub ended: AtomicBool,
    /// Whoever is left is to be let go.
    pub release: AtomicBool,
    /// Not to go on, but to be ended.
    pub end: AtomicBool,
}

impl Shared {
    /// Nothing has happened yet.
    pub fn new() -> io::Result<Shared> {
        Ok(Shared {
            wake: event_fd()?,
            gone: event_fd()?,
            ended: AtomicBool::new(false),
            release: AtomicBool::new(false),
            end: AtomicBool::new(false),
        })
    }

    /// Waits until the parent says something.
    pub fn wait_for_word(&self) {
        let mut polled = libc::pollfd { fd: self.wake.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, as said.
        unsafe { libc::poll(&raw mut polled, 1, -1) };
        self.take_word();
    }

    /// Takes what the parent said, so that the next word is noticed.
    pub fn take_word(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes, as an event descriptor gives them.
        unsafe { libc::read(self.wake.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked before it becomes an owner.
    match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } {
        fd if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes an event descriptor readable.
pub fn signal(event: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes, as an event descriptor wants them. It can only fail by being signalled
    // already very often.
    unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Two ends for whole messages, closed at exec.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors, owned once the call has succeeded.
    unsafe {
        match libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
        {
            0 => Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

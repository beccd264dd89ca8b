//! The thread that answers one step's notifications, from the listener's arrival until nobody has
//! the filter any more or whoever is left is let go.

use super::{Hello, trouble};
use crate::access::Observed;
use crate::trace::decode::Decoder;
use crate::trace::guard::{self, Ward};
use crate::trace::orphans::{reap, reap_all};
use crate::trace::record::Recorder;
use crate::trace::shared::{Shared, signal};
use crate::trace::{Spec, tracee};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// How often zombies are looked for after the leader ended, in milliseconds. Before Linux 6.11 an
/// orphan that nobody waited for still has its filter, and the end never comes.
const REAP_EVERY_MS: i32 = 5;
/// How often notes are taken in while there are any, in milliseconds: on a processor that is free meanwhile,
/// and not when the ring is full and a program waits for it.
const TAKE_EVERY_MS: i32 = 3;

/// Waits for the child's word and its listener; `None` if it died before.
pub(super) fn hello(socket: &OwnedFd) -> Option<(Hello, Option<OwnedFd>)> {
    let mut words = [0u8; size_of::<Hello>()];
    let (length, fds) = guard::receive(socket.as_raw_fd(), &mut words)?;
    if length != words.len() {
        return None;
    }
    let word = |at: usize| i32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    let hello = Hello { pid: word(0), errno: word(4), no_new_privileges: word(8) };
    // SAFETY: the kernel has just made this descriptor for us.
    let listener = (fds[0] >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fds[0]) });
    Some((hello, listener))
}

/// The whole life of the thread.
pub(super) fn run(socket: &OwnedFd, shared: &Shared, mut spec: Spec) -> Observed {
    let mut observed = Observed::default();
    match hello(socket) {
        None => observed.poison("the command could not be started"),
        Some((hello, None)) => observed.poison(trouble(hello.errno)),
        Some((hello, Some(listener))) => {
            spec.no_new_privileges = hello.no_new_privileges != 0;
            observed = serve(&listener, &hello, shared, spec);
        }
    }
    signal(&shared.gone);
    observed
}

fn serve(listener: &OwnedFd, hello: &Hello, shared: &Shared, spec: Spec) -> Observed {
    let notes = spec.notes.clone();
    let ward = Ward::arm(hello.pid, Some(listener.as_fd()), notes.as_ref().map(|notes| notes.memory()));
    set_fast_wake_up(listener);
    ask_for_short_slices();
    let mut decoder = Decoder::new(Recorder::new(spec));
    let mut failed = false;
    let ending = answer(listener, hello, shared, &ward, &mut decoder, &mut failed);
    let survivor = match ending {
        Ending::Gone => None,
        Ending::Released => Some(survivor(&decoder, hello.pid)),
    };
    match survivor {
        None => {
            // Orphans come to us when the leader is waited for, which the parent does meanwhile.
            signal(&shared.gone);
            while !shared.release.load(Ordering::Acquire) {
                shared.wait_for_word();
            }
            reap_all(&decoder, hello.pid);
        }
        Some(_) => drop(reap(&decoder, hello.pid)),
    }
    let mut observed = decoder.finish();
    if failed {
        observed.poison("the tracer failed on one of the accesses");
    }
    if survivor.is_some() {
        observed.detached = survivor;
        if shared.end.load(Ordering::Acquire) {
            ward.end();
        } else if !ward.keep(&[]) {
            // Without a guard, calls go through for as long as overhear itself lives.
            if let Ok(listener) = listener.try_clone() {
                std::thread::spawn(move || pass_all(&listener));
            }
        }
    }
    observed
}

/// Answers until nobody has the filter, or whoever has it is to be let go. A fault of ours must not stop the
/// step: it is remembered, and from then on calls only pass.
fn answer(
    listener: &OwnedFd,
    hello: &Hello,
    shared: &Shared,
    ward: &Ward,
    decoder: &mut Decoder,
    failed: &mut bool,
) -> Ending {
    let mut is_noting = false;
    loop {
        match wait(listener, shared, is_noting) {
            Wake::Notice => {
                let Some(notice) = receive(listener.as_raw_fd()) else { continue };
                ward.taking(notice.id);
                is_noting = unless_failed(failed, || {
                    let was_noting = decoder.take_notes();
                    decoder.notice(notice.pid, &notice.data, || is_valid(listener.as_raw_fd(), notice.id));
                    was_noting
                });
                guard::go_on(listener.as_raw_fd(), notice.id);
            }
            Wake::Gone => return Ending::Gone,
            Wake::Told if shared.release.load(Ordering::Acquire) => return Ending::Released,
            Wake::Told => {}
            Wake::Time => {
                is_noting = is_noting && unless_failed(failed, || decoder.take_notes());
                if shared.ended.load(Ordering::Acquire) {
                    reap(decoder, hello.pid);
                }
            }
        }
    }
}

fn unless_failed(failed: &mut bool, what: impl FnOnce() -> bool) -> bool {
    if *failed {
        return false;
    }
    let done = catch_unwind(AssertUnwindSafe(what));
    *failed = done.is_err();
    done.unwrap_or(false)
}

enum Ending {
    Gone,
    Released,
}

enum Wake {
    Notice,
    Gone,
    Told,
    Time,
}

fn wait(listener: &OwnedFd, shared: &Shared, is_noting: bool) -> Wake {
    let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled = [entry(listener.as_raw_fd()), entry(shared.wake.as_raw_fd())];
    let timeout = match () {
        () if is_noting => TAKE_EVERY_MS,
        () if shared.ended.load(Ordering::Acquire) => REAP_EVERY_MS,
        () => -1,
    };
    // SAFETY: two entries, as said.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
    if polled[0].revents & libc::POLLIN != 0 {
        return Wake::Notice;
    }
    if polled[0].revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0 {
        return Wake::Gone;
    }
    if polled[1].revents != 0 {
        shared.take_word();
        return Wake::Told;
    }
    if ready == 0 { Wake::Time } else { Wake::Told }
}

/// Lets every call go on until nobody has the filter.
fn pass_all(listener: &OwnedFd) {
    loop {
        let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, as said.
        unsafe { libc::poll(&raw mut polled, 1, -1) };
        if polled.revents & libc::POLLIN != 0 {
            if let Some(notice) = receive(listener.as_raw_fd()) {
                guard::go_on(listener.as_raw_fd(), notice.id);
            }
        } else if polled.revents != 0 {
            return;
        }
    }
}

/// Lets the next call go on; whether one came in time and could be let on.
pub(super) fn pass_one(listener: &OwnedFd, within_ms: i32) -> bool {
    let mut polled = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, as said.
    let ready = unsafe { libc::poll(&raw mut polled, 1, within_ms) };
    let notice = if ready == 1 { receive(listener.as_raw_fd()) } else { None };
    notice.is_some_and(|notice| guard::go_on(listener.as_raw_fd(), notice.id))
}

fn receive(listener: RawFd) -> Option<libc::seccomp_notif> {
    // SAFETY: all-zero is what the kernel asks for, and it fills the structure.
    unsafe {
        let mut notice: libc::seccomp_notif = std::mem::zeroed();
        match libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) {
            0 => Some(notice),
            // The thread died, or a signal took it out of its call: it did not happen.
            _ => None,
        }
    }
}

/// Whether the thread still waits for an answer, so that what was read was really its own.
fn is_valid(listener: RawFd, id: u64) -> bool {
    // SAFETY: the kernel reads eight bytes.
    unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Lets the waiting thread run at once on this processor (Linux 6.6); elsewhere it is refused.
fn set_fast_wake_up(listener: &OwnedFd) {
    const SYNC_WAKE_UP: u64 = 1;
    // SAFETY: a flag by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
}

/// A step that computes on every processor waits for an answer as long as this thread waits for its turn.
/// Who asks for short turns gets them sooner, and no more time in all (Linux 6.12, `sched(7)`); elsewhere it
/// is ignored.
fn ask_for_short_slices() {
    const SLICE_NS: u64 = 100_000;
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: the structure is plain numbers, and its size is said; the calls change this thread alone.
    unsafe {
        let mut now: libc::sched_attr = std::mem::zeroed();
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, size, 0) == 0 {
            now.size = size;
            now.sched_runtime = SLICE_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const now, 0);
        }
    }
}

/// A process that is still there, by name.
fn survivor(decoder: &Decoder, leader: i32) -> String {
    decoder
        .processes()
        .filter(|pid| *pid as i32 != leader && tracee::is_alive(*pid))
        .map(|pid| decoder.name(pid).to_owned())
        .next()
        .unwrap_or_else(|| "a process".into())
}

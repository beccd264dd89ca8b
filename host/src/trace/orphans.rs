//! Processes of a step whose parent has ended: they come to overhear as the nearest subreaper, which waits for
//! them, so that none is left as a zombie.

#![allow(unsafe_code, reason = "waitpid")]

use super::decode::Decoder;
use std::time::Duration;

/// How often, and with what pause, processes are waited for that are about to end.
const REAP_TRIES: usize = 100;
const REAP_PAUSE: Duration = Duration::from_micros(200);

/// Waits for orphans of this step that have ended and came to us as their nearest subreaper. Only
/// processes known to be of this step: others of ours wait for theirs themselves.
/// Says whether one was there to be waited for, and whether one is still about to end.
pub(super) fn reap(decoder: &Decoder, leader: i32) -> Reaped {
    let mut reaped = Reaped::default();
    for pid in decoder.processes().map(|pid| pid as i32).filter(|pid| *pid != leader) {
        // SAFETY: no pointer; a process that is not our child is an error that changes nothing.
        match unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => reaped.is_one_left = true,
            waited => reaped.was_one_there |= waited == pid,
        }
    }
    reaped
}

#[derive(Default)]
pub(super) struct Reaped {
    was_one_there: bool,
    is_one_left: bool,
}

/// The same when the whole tree has ended. A process is done a moment before it can be waited for, and its
/// children come to us only when it was.
pub(super) fn reap_all(decoder: &Decoder, leader: i32) {
    for _ in 0..REAP_TRIES {
        let mut reaped = reap(decoder, leader);
        // Those that had not asked for anything yet are still of the leader's group.
        match ended_of_group(leader) {
            // Whoever started it waits for it.
            Some(pid) if pid == 0 || pid == leader => reaped.is_one_left = true,
            // SAFETY: no pointer.
            Some(pid) => {
                let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
                reaped.was_one_there |= waited == pid;
            }
            None => {}
        }
        if !reaped.was_one_there && !reaped.is_one_left {
            return;
        }
        if reaped.is_one_left {
            std::thread::sleep(REAP_PAUSE);
        }
    }
}

/// A process of a group that has ended and was not waited for; 0 where there is none yet, and `None` where none of
/// them is ours. Nothing is waited for.
fn ended_of_group(leader: i32) -> Option<i32> {
    // SAFETY: an all-zero `siginfo_t` is valid, and it is ours to write; the kernel leaves its process 0
    // where nobody has ended.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let done = libc::waitid(libc::P_PGID, leader as libc::id_t, &raw mut info, how);
        (done == 0).then(|| info.si_pid())
    }
}

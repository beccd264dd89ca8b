//! The thread that traces one step, from the word of its first process until nobody of the tree is left or
//! all of it was let go. Every request of `ptrace` about a step is made here: the kernel takes them from
//! the thread alone that began to trace.

use super::requests::{self, At, Told};
use super::stops::{Act, Flags, Stop, act};
use super::trouble;
use crate::access::Observed;
use crate::trace::calls::Table;
use crate::trace::decode::Decoder;
use crate::trace::guard;
use crate::trace::orphans::reap_all;
use crate::trace::record::Recorder;
use crate::trace::shared::{Shared, signal};
use crate::trace::{Spec, tracee};
use rustc_hash::FxHashSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

/// The answers to the first process's word: it is traced, or goes on without.
const ANSWER: [u8; 1] = [1];

/// The whole life of the thread. What was observed is said as soon as nothing more can be, which may be before
/// all of the tree was let go.
pub(super) fn run(socket: &OwnedFd, shared: &Shared, spec: Spec, said: &Sender<Observed>) {
    match attach(socket) {
        Ok(leader) => Tracer::new(leader, shared, spec).trace(said),
        Err(why) => {
            let mut observed = Observed::default();
            observed.poison(why);
            // Nobody listens any more where the command could not be started.
            let _ = said.send(observed);
        }
    }
    signal(&shared.gone);
}

/// Waits for the child's word and begins to trace it. It goes on in any case.
fn attach(socket: &OwnedFd) -> Result<u32, String> {
    let mut word = [0u8; size_of::<u32>()];
    match guard::receive(socket.as_raw_fd(), &mut word) {
        Some((length, _)) if length == word.len() => {}
        _ => return Err("the command could not be started".into()),
    }
    let pid = u32::from_ne_bytes(word);
    // Asked to stop before it is told to go on: its first call after that is seen.
    let seized = requests::seize(pid).and_then(|()| requests::interrupt(pid));
    guard::send(socket.as_raw_fd(), &ANSWER, &[]);
    seized.map(|()| pid).map_err(|error| trouble(&error))
}

/// What is done with the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It is traced.
    Traces,
    /// Whoever stops is let go.
    LetsGo,
    /// It is to end.
    Ends,
}

/// Whether this is what filters, and other rules than permissions, refuse a call with. They come after us, and
/// what they refuse was taken in before.
fn is_refusal(error: i32) -> bool {
    matches!(error, libc::EPERM | libc::EACCES | libc::ENOSYS)
}

struct Tracer<'a> {
    leader: u32,
    shared: &'a Shared,
    table: Table,
    gate: Option<u64>,
    /// Taken when what was observed is said.
    decoder: Option<Decoder>,
    failed: bool,
    mode: Mode,
    /// The threads of the tree that stopped at least once, and were not let go.
    threads: FxHashSet<u32>,
    /// Threads in a call that was taken to change something.
    changing: FxHashSet<u32>,
    /// A thread that waits to trace another, which is to be let go first.
    held: Option<(u32, u32)>,
}

impl<'a> Tracer<'a> {
    fn new(leader: u32, shared: &'a Shared, mut spec: Spec) -> Tracer<'a> {
        spec.no_new_privileges = !tracee::may_trace_all();
        Tracer {
            leader,
            shared,
            table: Table::new(),
            gate: spec.notes.as_ref().map(|notes| notes.gate()),
            decoder: Some(Decoder::new(Recorder::new(spec))),
            failed: false,
            mode: Mode::Traces,
            threads: FxHashSet::default(),
            changing: FxHashSet::default(),
            held: None,
        }
    }

    /// Hears of one thread after the other until none is left.
    fn trace(mut self, said: &Sender<Observed>) {
        loop {
            match requests::next() {
                Told::Stopped { tid, status } => self.stopped(tid, Stop::of(status)),
                Told::Ended { tid } => self.ended(tid),
                Told::Nobody => break,
                Told::Interrupted => {}
            }
            self.let_held_go();
            if self.mode == Mode::Traces && self.shared.release.load(Ordering::Acquire) {
                self.say(said, true);
                let mode = if self.shared.end.load(Ordering::Acquire) { Mode::Ends } else { Mode::LetsGo };
                self.leave(mode);
            }
        }
        self.say(said, false);
    }

    /// Says what was observed, once. Where processes are left, one of them is named.
    fn say(&mut self, said: &Sender<Observed>, is_detached: bool) {
        let Some(decoder) = self.decoder.take() else { return };
        let survivor = is_detached.then(|| self.survivor(&decoder));
        if !is_detached {
            // Who ended before its parent did is still to be waited for as an orphan.
            reap_all(&decoder, self.leader as i32);
        }
        let mut observed = decoder.finish();
        if self.failed {
            observed.poison("the tracer failed on one of the accesses");
        }
        observed.detached = survivor;
        // Nobody listens any more where the command could not be started.
        let _ = said.send(observed);
    }

    fn survivor(&self, decoder: &Decoder) -> String {
        decoder
            .processes()
            .find(|pid| *pid != self.leader && tracee::is_alive(*pid))
            .map_or_else(|| "a process".into(), |pid| decoder.name(pid).to_owned())
    }

    /// A thread has ended. The leader is waited for by who started it.
    fn ended(&mut self, tid: u32) {
        self.threads.remove(&tid);
        while tid == self.leader
            && !self.shared.ended.load(Ordering::Acquire)
            && !self.shared.release.load(Ordering::Acquire)
        {
            self.shared.wait_for_word();
        }
        requests::take(tid);
    }

    fn stopped(&mut self, tid: u32, stop: Stop) {
        self.threads.insert(tid);
        if stop == Stop::Other {
            // After an execution by a thread that was not the first of its process, the kernel takes no request
            // until its stop was taken note of: the number stood for another thread before.
            requests::take(tid);
        }
        // What fails below fails because the thread was killed meanwhile, and its end is told next.
        let _ = match (self.mode, stop) {
            (Mode::Ends, _) => return tracee::kill(tid),
            (Mode::LetsGo, Stop::Signal(signal)) => self.let_go(tid, signal),
            (Mode::LetsGo, _) => self.let_go(tid, 0),
            (Mode::Traces, Stop::Call) => return self.at_call(tid),
            (Mode::Traces, Stop::Signal(signal)) => requests::go_on(tid, signal),
            (Mode::Traces, Stop::Group) => requests::listen(tid),
            (Mode::Traces, Stop::Other) => requests::go_on(tid, 0),
        };
    }

    fn at_call(&mut self, tid: u32) {
        match requests::call(tid) {
            Ok(At::Begin(call)) => match act(&self.table, &call, self.gate) {
                Act::Pass => {}
                Act::Decode => self.decode(tid, &call),
                Act::Absent => drop(requests::make_absent(tid)),
                Act::Makes(flags) => self.makes(tid, flags),
                Act::Traces(target) => return self.make_way(tid, target),
            },
            Ok(At::End(error)) if self.changing.remove(&tid) && is_refusal(error) => {
                self.unless_failed(|decoder| {
                    decoder.distrust(
                        tid,
                        "was refused a change that looked possible (a filter or rules of its own)",
                    );
                })
            }
            // It was killed meanwhile.
            Ok(At::End(_)) | Err(_) => {}
        }
        let _ = requests::go_on(tid, 0);
    }

    fn decode(&mut self, tid: u32, call: &libc::seccomp_data) {
        let mut changes = false;
        self.unless_failed(|decoder| {
            decoder.take_notes();
            let before = decoder.changes();
            // A stopped thread keeps its number.
            decoder.notice(tid, call, || true);
            changes = decoder.changes() != before;
        });
        if changes {
            self.changing.insert(tid);
        }
    }

    /// A process that nobody may trace is one that we see nothing of.
    fn makes(&mut self, tid: u32, flags: Flags) {
        let flags = match flags {
            Flags::Are(flags) => flags,
            Flags::At(address) => {
                let mut word = [0u8; 8];
                // Where it cannot be read, the kernel makes no process either.
                let _ = tracee::read_memory(tid, address, &mut word);
                u64::from_ne_bytes(word)
            }
        };
        if Flags::are_untraced(flags) {
            self.unless_failed(|decoder| decoder.distrust(tid, "made a process that may not be traced"));
        }
    }

    /// A debugger in the step: a process can have one tracer only. It shall work, and the trace is over.
    fn make_way(&mut self, tid: u32, target: u32) {
        self.unless_failed(|decoder| {
            decoder.distrust(tid, "traces programs by itself (ptrace), and only one can do so");
        });
        if target == 0 || target == tid || !self.threads.contains(&target) {
            let _ = self.let_go(tid, 0);
        } else {
            requests::take(tid);
            self.held = Some((tid, target));
        }
        self.leave(Mode::LetsGo);
    }

    fn let_held_go(&mut self) {
        if let Some((tid, target)) = self.held
            && !self.threads.contains(&target)
        {
            self.held = None;
            let _ = self.let_go(tid, 0);
        }
    }

    /// Asks all to stop, so that they can be let go; or ends them.
    fn leave(&mut self, mode: Mode) {
        self.mode = mode;
        let held = self.held.map(|(tid, _)| tid);
        for tid in self.threads.iter().copied().filter(|tid| Some(*tid) != held) {
            match mode {
                Mode::Ends => tracee::kill(tid),
                // One that is stopped, or has ended, is told of by itself.
                _ => drop(requests::interrupt(tid)),
            }
        }
    }

    fn let_go(&mut self, tid: u32, signal: i32) -> std::io::Result<()> {
        self.threads.remove(&tid);
        requests::let_go(tid, signal)
    }

    /// A fault of ours must not stop the step: it is remembered, and from then on calls only pass.
    fn unless_failed(&mut self, what: impl FnOnce(&mut Decoder)) {
        let Some(decoder) = self.decoder.as_mut().filter(|_| !self.failed) else { return };
        self.failed = catch_unwind(AssertUnwindSafe(|| what(decoder))).is_err();
    }
}

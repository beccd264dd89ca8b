//! One invocation of overhear: the only loop. It wakes on one closed enum of things, starts what may
//! start, and hands every event to the reporter.
//!
//! Read next: `progress` (which steps may start; pure), `queue` (which of them first), `serving`
//! (persistent tasks), `watch` (what changes while the run goes on).

mod doings;
mod progress;
mod queue;
mod ready;
mod serving;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::event::Event;
use crate::outcome::{DisabledBy, MissReason, Outcome, Skip};
use crate::plan::Plan;
use crate::report::Reporter;
use crate::step::{self, Chains, Shared};
use progress::Progress;
use queue::{Queue, Taken};
use serving::Served;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};
use watch::Touch;

/// How the steps of a plan are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// At most so many steps at once; at least 1. Persistent ones do not count.
    pub concurrency: usize,
    /// Go on with what does not depend on a failed step.
    pub keep_going: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code: 0, the code of the one task that failed, 1 where several did, 128 + n after
    /// signal n.
    Code(i32),
    /// A file changed that the plan is made of.
    Replan,
}

/// So many events may wait to be shown, each of at most one read of a pipe.
const WAITING_MAX: usize = 64;

/// So many pieces of a log that is shown again, of at most so many bytes, wait for the end of their step.
const LAST_MAX: usize = 16;
const LAST_BYTES_MAX: usize = 1024;

/// How often a display is brought up to date, and a signal looked for while nothing runs.
const TICK: Duration = Duration::from_millis(200);

/// As long as the workers have enough to do, the ends of so long a time are dealt with together: a hit takes a fifth of
/// that, and to be woken for each would take a processor from them.
const GATHERING: Duration = Duration::from_millis(1);
/// So many steps for each worker are enough.
const ENOUGH: usize = 8;

/// What can wake the loop.
enum Wake {
    /// Something to be shown.
    Event(Event),
    /// A step ended, after these events.
    Ended(usize, Outcome, Vec<Event>),
    /// Files changed.
    Changed,
}

/// Runs all steps of a plan. `weights` says how long each is thought to take, in any unit; where it says
/// nothing, 1. With a watch it goes on until it is interrupted, and runs again what a change touches.
pub fn run(
    plan: &Plan,
    shared: &Shared,
    options: Options,
    weights: &[u64],
    watch: Option<&mut watch::Watch>,
    reporter: &mut dyn Reporter,
) -> End {
    // A command that prints faster than the terminal takes it waits, as it would for the terminal.
    let (wake, woken) = mpsc::sync_channel(WAITING_MAX);
    let queue = Queue::default();
    shared.digests.seen.forget();
    shared.digests.forget_programs();
    let chains = Chains::of(plan);
    let is_watching = watch.is_some();
    if let Some(watch) = &watch {
        let wake = wake.clone();
        // Where the loop has much to do already it looks for changes anyway.
        watch.tell(move || drop(wake.try_send(Wake::Changed)));
    }
    std::thread::scope(|scope| {
        let persistent = plan.steps.iter().filter(|step| step.config.persistent).count();
        let workers = options.concurrency.clamp(1, (plan.steps.len() - persistent).max(1));
        for _ in 0..workers {
            let (wake, queue, chains) = (wake.clone(), &queue, &chains);
            scope.spawn(move || place(scope, shared, chains, queue, &wake));
        }
        let mut session = Session {
            scope,
            plan,
            shared,
            chains: &chains,
            wake,
            queue: &queue,
            progress: Progress::new(plan, options.keep_going || is_watching),
            critical: progress::critical(plan, weights),
            workers,
            working: 0,
            interactive: None,
            held: Vec::new(),
            served: Vec::new(),
            touch: watch.map(|watch| Touch::new(watch, plan, shared)),
        };
        reporter.event(&Event::Begun { steps: plan.steps.len() });
        let end = session.go(&woken, reporter);
        queue.close();
        end
    })
}

/// One of the places of those that may run at once: takes step after step. What goes on until it is stopped leaves
/// its place to another worker.
fn place<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    chains: &'scope Chains<'scope>,
    queue: &'scope Queue,
    wake: &SyncSender<Wake>,
) {
    while let Some(Taken { index, group, beside }) = queue.pop() {
        for (index, group) in beside.into_iter().filter_map(|index| Some((index, group?))) {
            let wake = wake.clone();
            scope.spawn(move || work_beside(shared, chains, queue, index, group, &wake));
        }
        let left = AtomicBool::new(false);
        let leave = || {
            if group.is_none() && !left.swap(true, Ordering::Relaxed) {
                let wake = wake.clone();
                scope.spawn(move || place(scope, shared, chains, queue, &wake));
            }
        };
        work(shared, chains, index, wake, || queue.hold(), leave);
        if left.into_inner() {
            return;
        }
        if let Some(group) = group {
            queue.ended(group);
            queue.keep_place(group);
        }
    }
}

/// A step of a group that has a place already.
fn work_beside(
    shared: &Shared,
    chains: &Chains,
    queue: &Queue,
    index: usize,
    group: usize,
    wake: &SyncSender<Wake>,
) {
    work(shared, chains, index, wake, || queue.hold(), || ());
    queue.ended(group);
}

/// Whether a command is begun of which an adapter knows that it serves or watches until it is stopped.
fn goes_on(event: &Event) -> bool {
    matches!(event, Event::Started { why: MissReason::CacheDisabled(DisabledBy::Adapter(..)), .. })
}

/// `hold` is called before the loop hears of a failure, `leave` where the command is one that goes on until it is
/// stopped.
fn work(
    shared: &Shared,
    chains: &Chains,
    index: usize,
    wake: &SyncSender<Wake>,
    hold: impl FnOnce(),
    leave: impl Fn() + Sync,
) {
    let last: Mutex<Vec<Event>> = Mutex::default();
    let take_last = || std::mem::take(&mut *last.lock().unwrap_or_else(PoisonError::into_inner));
    // A reporter that is gone has nobody to tell; the step still runs to its end.
    let emit = |event| {
        if goes_on(&event) {
            leave();
        }
        if is_short_replay(&event) {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() < LAST_MAX {
                return last.push(event);
            }
        }
        take_last().into_iter().chain([event]).for_each(|event| drop(wake.send(Wake::Event(event))));
    };
    let outcome = match shared.running.interrupted() {
        // It was handed out before the loop heard of the signal.
        Some(_) => Outcome::Skipped(Skip::Interrupted),
        None => step::run(shared, chains, index, &emit),
    };
    if matches!(outcome, Outcome::Failed { .. }) {
        hold();
    }
    let _ = wake.send(Wake::Ended(index, outcome, take_last()));
}

/// Of a log that is shown again, which comes at once: the loop need not wake for each piece of it.
fn is_short_replay(event: &Event) -> bool {
    matches!(event, Event::Printed { replayed: true, bytes, .. } if bytes.len() <= LAST_BYTES_MAX)
}

/// The loop and what it keeps.
struct Session<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    plan: &'env Plan,
    shared: &'env Shared<'env>,
    chains: &'env Chains<'env>,
    wake: SyncSender<Wake>,
    queue: &'env Queue,
    progress: Progress<'env>,
    critical: Vec<u64>,
    /// So many steps may run at once.
    workers: usize,
    /// Steps that were handed to workers and have not ended.
    working: usize,
    /// The step that has the terminal.
    interactive: Option<usize>,
    /// Steps that may start and must wait until nothing else runs.
    held: Vec<usize>,
    /// Persistent tasks that run.
    served: Vec<Served>,
    touch: Option<Touch<'env>>,
}

impl Session<'_, '_> {
    fn go(&mut self, woken: &Receiver<Wake>, reporter: &mut dyn Reporter) -> End {
        loop {
            if self.shared.running.interrupted().is_some() && !self.progress.is_stopped() {
                self.progress.stop(Skip::Interrupted);
            }
            self.take_back();
            self.start(reporter);
            self.end_served();
            self.show_skipped(reporter);
            self.touch.iter_mut().for_each(Touch::collect);
            if let Some(end) = self.is_over(reporter) {
                return end;
            }
            match self.wait(woken, reporter) {
                Ok(Wake::Event(event)) => self.heard(&event, reporter),
                Ok(Wake::Ended(index, outcome, last)) => {
                    last.iter().for_each(|event| self.heard(event, reporter));
                    self.ended(index, outcome, reporter);
                }
                Ok(Wake::Changed) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.try_ports();
                    if self.interactive.is_none() {
                        reporter.tick();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return End::Code(1),
            }
        }
    }

    fn wait(&self, woken: &Receiver<Wake>, reporter: &dyn Reporter) -> Result<Wake, RecvTimeoutError> {
        if let Ok(wake) = woken.try_recv() {
            return Ok(wake);
        }
        if self.queue.len() >= ENOUGH * self.workers {
            std::thread::sleep(GATHERING);
        }
        let patience = serving::patience(&self.served);
        let debounce = self.touch.as_ref().map(|touch| touch.patience(TICK));
        let live = reporter.is_live().then_some(TICK);
        match [patience, debounce, live].into_iter().flatten().min() {
            Some(timeout) => woken.recv_timeout(timeout),
            None => woken.recv().map_err(RecvTimeoutError::from),
        }
    }

    fn heard(&mut self, event: &Event, reporter: &mut dyn Reporter) {
        self.touch.iter_mut().for_each(|touch| touch.saw(event));
        self.look_for_signs(event);
        reporter.event(event);
        if !reporter.is_heard() {
            self.shared.running.stop_unheard();
        }
    }

    /// What no worker has begun does not begin once nothing new is to start.
    fn take_back(&mut self) {
        if self.progress.is_stopped() {
            for index in self.queue.drain() {
                self.working -= 1;
                self.progress.give_back(index);
            }
            for index in std::mem::take(&mut self.held) {
                self.progress.give_back(index);
            }
        }
    }

    fn start(&mut self, reporter: &mut dyn Reporter) {
        for index in self.progress.take_startable() {
            let config = &self.plan.steps[index].config;
            match (config.interactive, config.persistent) {
                (true, _) => self.held.push(index),
                (false, true) => self.serve(index, reporter),
                (false, false) => {
                    self.working += 1;
                    self.touch.iter_mut().for_each(|touch| touch.starts(index));
                    let group = self.plan.steps[index].beside;
                    if self.queue.push(index, self.critical[index], group) {
                        self.start_beside(index);
                    }
                }
            }
        }
        if self.working == 0 && self.interactive.is_none() && !self.held.is_empty() {
            let index = self.held.remove(0);
            self.interactive = Some(index);
            self.working += 1;
            // What has the terminal has it alone.
            reporter.pause(true);
            let has_begun = self.queue.push(index, self.critical[index], None);
            debug_assert!(!has_begun, "it has no group");
        }
    }

    /// Starts a step whose group has a place.
    fn start_beside(&self, index: usize) {
        let (shared, chains, queue, wake) = (self.shared, self.chains, self.queue, self.wake.clone());
        if let Some(group) = self.plan.steps[index].beside {
            self.scope.spawn(move || work_beside(shared, chains, queue, index, group, &wake));
        }
    }

    fn ended(&mut self, index: usize, outcome: Outcome, reporter: &mut dyn Reporter) {
        let is_served = self.served.iter().any(|served| served.is(index));
        let (outcome, restarts) = if is_served {
            self.no_longer_served(index, outcome)
        } else {
            self.working -= 1;
            (outcome, false)
        };
        if self.interactive == Some(index) {
            self.interactive = None;
            reporter.pause(false);
        }
        // Before this command counts as failed: after a signal the steps that have not started are told as
        // stopped by the signal, not by the failure of a command that the signal ended.
        if self.shared.running.interrupted().is_some() && !self.progress.is_stopped() {
            self.progress.stop(Skip::Interrupted);
            self.take_back();
        }
        // After a failure a server goes on as it was: to start it again would wait in vain.
        let is_news = matches!(outcome, Outcome::Ran { .. } | Outcome::Restored(_));
        if is_news && !is_served {
            // Before others may start that wait for a server which this concerns.
            self.restart_served_after(index);
        }
        self.progress.ended(index, &outcome);
        if matches!(outcome, Outcome::Failed { .. }) && !is_served {
            self.take_back();
            self.queue.go_on().into_iter().for_each(|index| self.start_beside(index));
        }
        if let Some(touch) = &mut self.touch {
            touch.ended(index, &outcome);
        }
        reporter.event(&Event::Ended { step: self.plan.steps[index].id.clone(), outcome });
        if restarts && !self.progress.is_stopped() {
            self.progress.again(&[index]);
        }
    }

    fn show_skipped(&mut self, reporter: &mut dyn Reporter) {
        for (index, why) in self.progress.take_skipped() {
            let outcome = Outcome::Skipped(why);
            reporter.event(&Event::Ended { step: self.plan.steps[index].id.clone(), outcome });
        }
    }

    /// Whether the session is over; with a watch, whether a round is, and what the next one runs.
    fn is_over(&mut self, reporter: &mut dyn Reporter) -> Option<End> {
        let interrupted = self.shared.running.interrupted();
        let finish = |session: &Self, reporter: &mut dyn Reporter| {
            let code = interrupted.map_or_else(|| session.progress.exit_code(), |signal| 128 + signal);
            reporter.event(&Event::Finished { exit_code: code });
            code
        };
        let served = self.served.len();
        let Some(touch) = &mut self.touch else {
            return self.progress.is_done().then(|| End::Code(finish(self, reporter)));
        };
        if interrupted.is_some() || touch.must_replan() {
            if self.progress.is_done() {
                let was_in_round = touch.round_ends();
                let code = if was_in_round { finish(self, reporter) } else { 0 };
                let code = interrupted.map_or(code, |signal| 128 + signal);
                return Some(if interrupted.is_some() { End::Code(code) } else { End::Replan });
            }
            self.progress.stop(Skip::Interrupted);
            return None;
        }
        if self.progress.open() > served || self.served.iter().any(Served::is_ending) {
            return None;
        }
        let round_ends = touch.round_ends();
        let again = touch.due(Instant::now());
        if round_ends {
            finish(self, reporter);
        }
        if !again.is_empty() {
            let steps = self.progress.again(&again);
            match &mut self.touch {
                // They wait for what failed.
                Some(touch) if steps == 0 => drop(touch.round_ends()),
                _ => reporter.event(&Event::Begun { steps }),
            }
        }
        None
    }
}

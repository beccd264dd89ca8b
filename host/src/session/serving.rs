//! Persistent tasks: each runs on a thread of its own beside the workers, is ready at some time, and is
//! ended when nobody needs it any more.

use super::ready::{Readiness, listens};
use super::{Session, work};
use crate::event::Event;
use crate::outcome::{DisabledBy, MissReason, Outcome};
use crate::report::Reporter;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// How long a task that was asked to end may take before it is killed.
const END_MAX: Duration = Duration::from_secs(5);
/// How often a port is tried.
const PORT_TRY: Duration = Duration::from_millis(50);

/// A persistent task that runs.
pub struct Served {
    index: usize,
    thread: ThreadId,
    /// What is looked out for; `None` once it is ready.
    readiness: Option<Readiness>,
    /// When it was asked to end.
    asked_to_end: Option<Instant>,
    is_killed: bool,
    /// It is to be started again.
    restarts: bool,
}

impl Served {
    /// Whether it is this step.
    pub fn is(&self, index: usize) -> bool {
        self.index == index
    }

    /// Whether it was asked to end, and has not.
    pub fn is_ending(&self) -> bool {
        self.asked_to_end.is_some()
    }
}

/// How long nothing needs to be done for these, unless something happens.
pub fn patience(served: &[Served]) -> Option<Duration> {
    let of = |one: &Served| match (one.asked_to_end, &one.readiness) {
        (Some(asked), _) if !one.is_killed => {
            Some(END_MAX.saturating_sub(asked.elapsed()) + Duration::from_millis(1))
        }
        (None, Some(readiness)) => readiness.port().map(|_| PORT_TRY),
        _ => None,
    };
    served.iter().filter_map(of).min()
}

impl Session<'_, '_> {
    /// Starts a persistent task.
    pub(super) fn serve(&mut self, index: usize, reporter: &mut dyn Reporter) {
        let step = &self.plan.steps[index];
        let readiness = Readiness::new(step.config.ready_when.as_ref());
        if let Some(port) = readiness.port().filter(|port| listens(*port)) {
            let error = format!("port {port}, by which it would be ready, is in use by another program");
            let why = MissReason::CacheDisabled(DisabledBy::Persistent);
            let (error, took) = (Some(error), Duration::ZERO);
            let outcome = Outcome::Failed { why, exit_code: 1, error, took, adapter: None };
            self.progress.ended(index, &outcome);
            reporter.event(&Event::Ended { step: step.id.clone(), outcome });
            return;
        }
        let (shared, chains, wake) = (self.shared, self.chains, self.wake.clone());
        let thread = self.scope.spawn(move || work(shared, chains, index, &wake, || (), || ())).thread().id();
        let at_once = readiness.at_once();
        self.served.push(Served {
            index,
            thread,
            readiness: (!at_once).then_some(readiness),
            asked_to_end: None,
            is_killed: false,
            restarts: false,
        });
        if at_once {
            self.progress.is_ready(index);
        }
    }

    /// Whether what a task printed says that it is ready.
    pub(super) fn look_for_signs(&mut self, event: &Event) {
        let Event::Printed { step, bytes, .. } = event else { return };
        let Some(served) = self.served.iter_mut().find(|served| served.index == step.index) else { return };
        if served.readiness.as_mut().is_some_and(|readiness| readiness.sees(bytes)) {
            served.readiness = None;
            self.progress.is_ready(step.index);
        }
    }

    /// Whether a task listens by now.
    pub(super) fn try_ports(&mut self) {
        for served in &mut self.served {
            let port = served.readiness.as_ref().and_then(Readiness::port);
            if served.asked_to_end.is_none() && port.is_some_and(listens) {
                served.readiness = None;
                self.progress.is_ready(served.index);
            }
        }
    }

    /// Asks tasks to end that nobody needs any more, and kills those that do not.
    pub(super) fn end_served(&mut self) {
        let stops =
            self.progress.is_stopped() || self.touch.as_ref().is_some_and(|touch| touch.must_replan());
        let works = self.working > 0;
        for at in 0..self.served.len() {
            let index = self.served[at].index;
            let needed = if stops { works } else { self.is_wanted(index) };
            let served = &mut self.served[at];
            match served.asked_to_end {
                None if !needed => {
                    served.asked_to_end = Some(Instant::now());
                    self.shared.running.end(served.thread, false);
                }
                Some(asked) if !served.is_killed && asked.elapsed() >= END_MAX => {
                    served.is_killed = true;
                    self.shared.running.end(served.thread, true);
                }
                _ => {}
            }
        }
    }

    /// A task that was asked for goes on, and so does one that no other task waits for; any other until
    /// those that wait for it have ended.
    fn is_wanted(&self, index: usize) -> bool {
        let ends = |other: usize| !self.plan.steps[other].config.persistent;
        self.touch.is_some()
            || self.plan.steps[index].requested
            || self.progress.is_needed(index, ends)
            || !self.progress.downstream(index).into_iter().any(ends)
    }

    /// A persistent task ended: well, if it was asked to. Also whether it is to be started again.
    pub(super) fn no_longer_served(&mut self, index: usize, outcome: Outcome) -> (Outcome, bool) {
        let Some(at) = self.served.iter().position(|served| served.index == index) else {
            return (outcome, false);
        };
        let served = self.served.swap_remove(at);
        self.shared.running.has_ended(served.thread);
        let waits_for_exit = self.plan.steps[index].config.ready_when.as_ref().is_none_or(|when| when.exit);
        let outcome = match outcome {
            Outcome::Failed { why, took, .. } if served.asked_to_end.is_some() => {
                Outcome::Ran { why, refusal: None, took, kept: None, adapter: None }
            }
            Outcome::Ran { why, took, .. } if served.readiness.is_some() && !waits_for_exit => {
                let error = Some("it ended before it was ready".to_owned());
                Outcome::Failed { why, exit_code: 1, error, took, adapter: None }
            }
            outcome => outcome,
        };
        (outcome, served.restarts)
    }

    /// What a persistent task was started on is another thing now.
    pub(super) fn restart_served_after(&mut self, index: usize) {
        if self.touch.is_none() || self.served.is_empty() {
            return;
        }
        let downstream = self.progress.downstream(index);
        for served in self.served.iter_mut().filter(|served| downstream.contains(&served.index)) {
            served.restarts = true;
            self.progress.restarts(served.index);
            if served.asked_to_end.is_none() {
                served.asked_to_end = Some(Instant::now());
                self.shared.running.end(served.thread, false);
            }
        }
    }
}

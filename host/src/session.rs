//! One invocation of overhear: the only loop. It wakes on one closed enum of things, starts what may
//! start, and hands every event to the reporter. Pure bookkeeping ([`Progress`]) is apart from threads.

use crate::event::Event;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::step::{self, Chains, Shared};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the steps of a plan are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// At most so many steps at once; at least 1.
    pub concurrency: usize,
    /// Go on with what does not depend on a failed step.
    pub keep_going: bool,
}

/// So many events may wait to be shown, each of at most one read of a pipe.
const WAITING_MAX: usize = 64;

/// How often a display is brought up to date.
const TICK: Duration = Duration::from_millis(200);

/// What can wake the loop.
enum Wake {
    /// Something to be shown.
    Event(Event),
    /// A step ended.
    Ended(usize, Outcome),
}

/// Runs all steps of a plan and gives the exit code: 0, the code of the one task that failed, 1 where
/// several did, 128 + n after signal n.
pub fn run(plan: &Plan, shared: &Shared, options: Options, reporter: &mut dyn Reporter) -> i32 {
    reporter.event(&Event::Begun { steps: plan.steps.len() });
    let mut progress = Progress::new(plan, options.keep_going);
    // A command that prints faster than the terminal takes it waits, as it would for the terminal.
    let (wake, woken) = mpsc::sync_channel(WAITING_MAX);
    let (work, jobs) = mpsc::channel();
    let jobs = Mutex::new(jobs);
    let chains = Chains::of(plan);
    std::thread::scope(|scope| {
        for _ in 0..options.concurrency.clamp(1, plan.steps.len().max(1)) {
            let (wake, jobs, chains) = (wake.clone(), &jobs, &chains);
            scope.spawn(move || work_off(shared, chains, jobs, &wake));
        }
        drop(wake);
        loop {
            let interrupted = shared.running.interrupted().is_some();
            let (ready, skipped) = progress.next(interrupted);
            for index in ready {
                // The workers live as long as `work` does.
                let _ = work.send(index);
            }
            for (index, because) in skipped {
                let outcome = Outcome::Skipped { because };
                reporter.event(&Event::Ended { step: plan.steps[index].id.clone(), outcome });
            }
            if progress.is_done() {
                break;
            }
            let wake = match reporter.is_live() {
                true => woken.recv_timeout(TICK),
                false => woken.recv().map_err(RecvTimeoutError::from),
            };
            match wake {
                Ok(Wake::Event(event)) => reporter.event(&event),
                Ok(Wake::Ended(index, outcome)) => {
                    progress.ended(index, &outcome);
                    reporter.event(&Event::Ended { step: plan.steps[index].id.clone(), outcome });
                }
                Err(RecvTimeoutError::Timeout) => reporter.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Workers end when there can be no more work.
        drop(work);
    });
    let exit_code = shared.running.interrupted().map_or_else(|| progress.exit_code(), |signal| 128 + signal);
    reporter.event(&Event::Finished { exit_code });
    exit_code
}

fn work_off(shared: &Shared, chains: &Chains, jobs: &Mutex<Receiver<usize>>, wake: &SyncSender<Wake>) {
    // A reporter that is gone has nobody to tell; the step still runs to its end.
    let emit = |event| drop(wake.send(Wake::Event(event)));
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(index) = job else { return };
        let outcome = step::run(shared, chains, index, &emit);
        let _ = wake.send(Wake::Ended(index, outcome));
    }
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It waits for others, or for its turn.
    Waiting,
    /// A worker has it.
    Started,
    /// It ended well.
    Succeeded,
    /// It failed, or was skipped because of the step of that task.
    Lost(String),
}

/// Which steps may start, and which never will. Pure.
struct Progress<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    keep_going: bool,
    failures: Vec<i32>,
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan, keep_going: bool) -> Progress<'a> {
        Progress { plan, states: vec![State::Waiting; plan.steps.len()], keep_going, failures: Vec::new() }
    }

    /// Marks as started what may start now, and as lost what never will; gives both.
    fn next(&mut self, interrupted: bool) -> (Vec<usize>, Vec<(usize, Option<String>)>) {
        let (mut ready, mut skipped) = (Vec::new(), Vec::new());
        let stop = interrupted || (!self.keep_going && !self.failures.is_empty());
        for index in 0..self.states.len() {
            if self.states[index] != State::Waiting {
                continue;
            }
            let needs = &self.plan.steps[index].waits_for;
            let lost = needs.iter().find_map(|need| match &self.states[*need] {
                State::Lost(task) => Some(task.clone()),
                _ => None,
            });
            if stop || lost.is_some() {
                let because = lost.clone().or_else(|| (!interrupted).then(|| self.first_failed()).flatten());
                self.states[index] = State::Lost(because.clone().unwrap_or_default());
                skipped.push((index, because));
            } else if needs.iter().all(|need| self.states[*need] == State::Succeeded) {
                self.states[index] = State::Started;
                ready.push(index);
            }
        }
        (ready, skipped)
    }

    fn ended(&mut self, index: usize, outcome: &Outcome) {
        self.states[index] = match outcome {
            Outcome::Fresh(_) | Outcome::Restored(_) | Outcome::Ran { .. } => State::Succeeded,
            Outcome::Failed { exit_code, .. } => {
                self.failures.push(*exit_code);
                State::Lost(self.plan.steps[index].id.task.to_string())
            }
            Outcome::Skipped { because } => State::Lost(because.clone().unwrap_or_default()),
        };
    }

    fn first_failed(&self) -> Option<String> {
        self.states.iter().find_map(|state| match state {
            State::Lost(task) if !task.is_empty() => Some(task.clone()),
            _ => None,
        })
    }

    fn is_done(&self) -> bool {
        !self.states.iter().any(|state| matches!(state, State::Waiting | State::Started))
    }

    fn exit_code(&self) -> i32 {
        match self.failures.as_slice() {
            [] => 0,
            [one] => *one,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TaskConfig;
    use crate::event::StepId;
    use crate::plan::{Invocation, Origin, PackageRef, Run, Step};
    use std::sync::Arc;

    fn plan(needs: &[&[usize]]) -> Plan {
        let step = |(index, waits_for): (usize, &&[usize])| Step {
            id: Arc::new(StepId {
                index,
                task: format!("t{index}").into(),
                position: 0,
                command: "true".into(),
                cwd: ".".into(),
            }),
            package: Arc::new(PackageRef::default()),
            task_name: "t".into(),
            invocation: Invocation { env: Vec::new(), run: Run::Shell("true".into()) },
            cwd: "/".into(),
            config: Arc::new(TaskConfig::default()),
            origin: Origin::Script,
            waits_for: waits_for.to_vec(),
        };
        Plan { steps: needs.iter().enumerate().map(step).collect(), warnings: Vec::new() }
    }

    fn failed() -> Outcome {
        let why = crate::outcome::MissReason::Forced;
        Outcome::Failed { why, exit_code: 7, error: None, took: Duration::ZERO }
    }

    #[test]
    fn a_step_starts_when_all_it_waits_for_has_succeeded() {
        let plan = plan(&[&[], &[], &[0, 1]]);
        let mut progress = Progress::new(&plan, false);
        assert_eq!(progress.next(false).0, [0, 1]);
        progress.ended(0, &Outcome::Fresh(Default::default()));
        assert_eq!(progress.next(false), (vec![], vec![]));
        progress.ended(1, &Outcome::Fresh(Default::default()));
        assert_eq!(progress.next(false).0, [2]);
        progress.ended(2, &Outcome::Fresh(Default::default()));
        assert!(progress.is_done());
        assert_eq!(progress.exit_code(), 0);
    }

    #[test]
    fn after_a_failure_nothing_new_starts() {
        let plan = plan(&[&[], &[], &[1]]);
        let mut progress = Progress::new(&plan, false);
        progress.next(false);
        progress.ended(0, &failed());
        assert_eq!(progress.next(false), (vec![], vec![(2, Some("t0".to_owned()))]));
        progress.ended(1, &Outcome::Fresh(Default::default()));
        assert!(progress.is_done());
        assert_eq!(progress.exit_code(), 7);
    }

    #[test]
    fn keeping_on_skips_only_what_depends_on_the_failure() {
        let plan = plan(&[&[], &[0], &[1], &[]]);
        let mut progress = Progress::new(&plan, true);
        assert_eq!(progress.next(false).0, [0, 3]);
        progress.ended(0, &failed());
        let skipped = progress.next(false).1;
        assert_eq!(skipped, [(1, Some("t0".to_owned())), (2, Some("t0".to_owned()))]);
        progress.ended(3, &failed());
        assert_eq!(progress.exit_code(), 1);
    }

    #[test]
    fn an_interruption_skips_the_rest() {
        let plan = plan(&[&[], &[0]]);
        let mut progress = Progress::new(&plan, true);
        progress.next(false);
        assert_eq!(progress.next(true).1, [(1, None)]);
    }
}

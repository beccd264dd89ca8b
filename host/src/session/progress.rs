//! Which steps may start, and which never will: bookkeeping of one run. Pure, and linear in the size of
//! the plan however often it is asked.

use crate::outcome::{Outcome, Skip};
use crate::plan::Plan;
use std::collections::BTreeSet;

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It waits for others, or for its turn.
    Waiting,
    /// It was handed out.
    Started,
    /// It runs on, and others may start that wait for it.
    Ready,
    /// The same, but something that it waits for runs again: it may have to start again too.
    Doubtful,
    /// It is about to end, and starts again then.
    Restarting,
    /// It ended well.
    Succeeded,
    /// It failed or was skipped.
    Lost,
}

/// A step that is not started: its position, and why.
pub type Skipped = (usize, Skip);

/// The steps of a plan on their way.
pub struct Progress<'a> {
    plan: &'a Plan,
    states: Vec<State>,
    /// How many of those that a step waits for are not there yet.
    missing: Vec<usize>,
    /// Who waits for a step.
    dependents: Vec<Vec<usize>>,
    startable: Vec<usize>,
    skipped: Vec<Skipped>,
    /// Steps that have neither ended nor been skipped.
    open: usize,
    keep_going: bool,
    /// Why nothing new starts any more.
    stopped: Option<Skip>,
    failures: Vec<(usize, i32)>,
}

impl<'a> Progress<'a> {
    /// Nothing has started. `keep_going`: a failure stops only what waits for it.
    pub fn new(plan: &'a Plan, keep_going: bool) -> Progress<'a> {
        let count = plan.steps.len();
        let mut dependents = vec![Vec::new(); count];
        for (index, step) in plan.steps.iter().enumerate() {
            step.waits_for.iter().for_each(|need| dependents[*need].push(index));
        }
        let missing: Vec<usize> = plan.steps.iter().map(|step| step.waits_for.len()).collect();
        Progress {
            plan,
            states: vec![State::Waiting; count],
            startable: (0..count).filter(|index| missing[*index] == 0).collect(),
            missing,
            dependents,
            skipped: Vec::new(),
            open: count,
            keep_going,
            stopped: None,
            failures: Vec::new(),
        }
    }

    /// What may start now and has not been given out before, in the order of the plan.
    pub fn take_startable(&mut self) -> Vec<usize> {
        let mut startable = std::mem::take(&mut self.startable);
        startable.retain(|index| self.states[*index] == State::Waiting && self.missing[*index] == 0);
        startable.sort_unstable();
        for index in &startable {
            self.states[*index] = State::Started;
        }
        startable
    }

    /// What was given out, but has not begun.
    pub fn give_back(&mut self, index: usize) {
        self.states[index] = State::Waiting;
        match self.stopped.clone() {
            Some(why) => self.skip(index, why),
            None => self.startable.push(index),
        }
    }

    /// What will not start, told once, in the order of the plan.
    pub fn take_skipped(&mut self) -> Vec<Skipped> {
        let mut skipped = std::mem::take(&mut self.skipped);
        skipped.sort_unstable();
        skipped
    }

    /// Others may start that wait for this step, which goes on.
    pub fn is_ready(&mut self, index: usize) {
        if self.states[index] == State::Started {
            self.states[index] = State::Ready;
            self.release(index);
        }
    }

    /// A step that runs on is about to end, and is to start again then ([`Progress::again`]).
    pub fn restarts(&mut self, index: usize) {
        if self.states[index] == State::Ready {
            self.withdraw(index);
        }
        if matches!(self.states[index], State::Started | State::Ready | State::Doubtful) {
            self.states[index] = State::Restarting;
        }
    }

    /// A step ended.
    pub fn ended(&mut self, index: usize, outcome: &Outcome) {
        self.open -= 1;
        let was_ready = matches!(self.states[index], State::Ready | State::Doubtful | State::Restarting);
        match outcome {
            Outcome::Fresh(_) | Outcome::Restored(_) | Outcome::Ran { .. } => {
                self.states[index] = State::Succeeded;
                if !was_ready {
                    self.release(index);
                }
            }
            Outcome::Failed { exit_code, .. } => {
                self.failures.push((index, *exit_code));
                let task = self.plan.steps[index].id.task.to_string();
                self.lose(index, &Skip::Needs(task.clone()));
                if !self.keep_going {
                    self.stop(Skip::After(task));
                }
            }
            Outcome::Skipped(why) => self.lose(index, why),
        }
    }

    /// Nothing new starts from now on.
    pub fn stop(&mut self, why: Skip) {
        for index in 0..self.states.len() {
            if self.states[index] == State::Waiting {
                self.skip(index, why.clone());
            }
        }
        self.stopped.get_or_insert(why);
    }

    /// Whether nothing new starts any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// How many steps have neither ended nor been skipped.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Lets these run again, with all that wait for them, as far as they have ended; gives how many. What
    /// waits for a step that is lost and does not run again stays lost.
    pub fn again(&mut self, steps: &[usize]) -> usize {
        let mut again: Vec<usize> = steps.to_vec();
        again.extend(steps.iter().flat_map(|index| self.downstream(*index)));
        again.sort_unstable();
        again.dedup();
        again.retain(|index| matches!(self.states[*index], State::Succeeded | State::Lost));
        loop {
            let is_lost =
                |need: &usize| self.states[*need] == State::Lost && again.binary_search(need).is_err();
            let waits_in_vain = |index: &usize| self.plan.steps[*index].waits_for.iter().any(is_lost);
            let rest: Vec<usize> = again.iter().copied().filter(|index| !waits_in_vain(index)).collect();
            if rest.len() == again.len() {
                break;
            }
            again = rest;
        }
        again.iter().for_each(|index| self.states[*index] = State::Waiting);
        self.failures.retain(|(index, _)| again.binary_search(index).is_err());
        self.doubt_what_runs_on_after(&again);
        for index in &again {
            self.missing[*index] = self.count_missing(*index);
            if self.missing[*index] == 0 {
                self.startable.push(*index);
            }
        }
        self.open += again.len();
        again.len()
    }

    /// What runs on and waits for one of these is not there before they have ended.
    fn doubt_what_runs_on_after(&mut self, again: &[usize]) {
        let after: BTreeSet<usize> = again.iter().flat_map(|index| self.downstream(*index)).collect();
        let goes_on = |index: &usize| matches!(self.states[*index], State::Ready | State::Doubtful);
        let after: Vec<usize> = after.into_iter().filter(goes_on).collect();
        for index in &after {
            if self.states[*index] == State::Ready {
                self.withdraw(*index);
            }
            self.states[*index] = State::Doubtful;
        }
        for index in after {
            self.missing[index] = self.count_missing(index);
        }
    }

    fn count_missing(&self, index: usize) -> usize {
        let is_there = |need: &&usize| matches!(self.states[**need], State::Succeeded | State::Ready);
        let needs = &self.plan.steps[index].waits_for;
        needs.len() - needs.iter().filter(is_there).count()
    }

    /// A step that was there is no longer, for those that have not started.
    fn withdraw(&mut self, index: usize) {
        for other in &self.dependents[index] {
            if matches!(self.states[*other], State::Waiting | State::Doubtful) {
                self.missing[*other] += 1;
            }
        }
    }

    /// Whether every step has ended or been skipped.
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Whether a step that waits for this one, directly or through others, and for which `counts`
    /// holds, is still to come or running.
    pub fn is_needed(&self, index: usize, counts: impl Fn(usize) -> bool) -> bool {
        self.downstream(index)
            .into_iter()
            .any(|other| counts(other) && !matches!(self.states[other], State::Succeeded | State::Lost))
    }

    /// Every step that waits for this one, directly or through others.
    pub fn downstream(&self, index: usize) -> Vec<usize> {
        let mut seen = vec![false; self.states.len()];
        let (mut open, mut reached) = (vec![index], Vec::new());
        while let Some(at) = open.pop() {
            for other in &self.dependents[at] {
                if !std::mem::replace(&mut seen[*other], true) {
                    reached.push(*other);
                    open.push(*other);
                }
            }
        }
        reached
    }

    /// 0, the code of the one task that failed, or 1 where several did.
    pub fn exit_code(&self) -> i32 {
        match self.failures.as_slice() {
            [] => 0,
            [(_, code)] => *code,
            _ => 1,
        }
    }

    fn release(&mut self, index: usize) {
        for at in 0..self.dependents[index].len() {
            let other = self.dependents[index][at];
            // What stays lost is counted anew when it runs again.
            if !matches!(self.states[other], State::Waiting | State::Doubtful) {
                continue;
            }
            self.missing[other] -= 1;
            match self.states[other] {
                _ if self.missing[other] > 0 => {}
                State::Doubtful => {
                    self.states[other] = State::Ready;
                    self.release(other);
                }
                _ => self.startable.push(other),
            }
        }
    }

    /// A step will never be there: neither will those that wait for it.
    fn lose(&mut self, index: usize, why: &Skip) {
        self.states[index] = State::Lost;
        for other in self.downstream(index) {
            match self.states[other] {
                State::Waiting => self.skip(other, why.clone()),
                // It goes on as it was, whatever failed above it.
                State::Doubtful => self.states[other] = State::Ready,
                _ => {}
            }
        }
    }

    fn skip(&mut self, index: usize, why: Skip) {
        self.states[index] = State::Lost;
        self.open -= 1;
        self.skipped.push((index, why));
    }
}

/// For each step how much is still to be done from its begin on the longest way to an end, by the
/// weights of the steps: the greater, the earlier it should start.
pub fn critical(plan: &Plan, weights: &[u64]) -> Vec<u64> {
    let mut longest = vec![0; plan.steps.len()];
    // Every step comes after all that it waits for.
    for (index, step) in plan.steps.iter().enumerate().rev() {
        longest[index] += weights.get(index).copied().unwrap_or(1);
        for need in &step.waits_for {
            longest[*need] = longest[*need].max(longest[index]);
        }
    }
    longest
}

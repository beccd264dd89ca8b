//! The steps that may start and wait for a worker. The one with most behind it comes first: the
//! critical path decides how long a run takes.
//!
//! Steps of one call that starts all its tasks at once (`run-p`) share a place: who takes one of them takes all
//! that may start, and keeps the place until none of them runs. Waiting for a place, a server would never start.

use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Handed to workers in the order of their weight.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
    group_ended: Condvar,
}

#[derive(Default)]
struct Inner {
    steps: BinaryHeap<Waiting>,
    /// Of each group that has a place, how many of its steps run.
    groups: FxHashMap<usize, usize>,
    /// Failures that the loop has not seen yet: what comes of the other steps is for it to decide.
    held: usize,
    /// Workers that wait.
    idle: usize,
    is_closed: bool,
}

/// Of equal weight the first of the plan comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    weight: u64,
    index: Reverse<usize>,
    group: Option<usize>,
}

/// What a worker takes.
pub struct Taken {
    /// The step.
    pub index: usize,
    /// Its group, which has a place now.
    pub group: Option<usize>,
    /// Others of its group, to be started with it.
    pub beside: Vec<usize>,
}

impl Queue {
    /// Adds a step. `true`: it is not added, since its group has a place; it is to be started now.
    #[must_use]
    pub fn push(&self, index: usize, weight: u64, group: Option<usize>) -> bool {
        let mut inner = self.inner();
        if inner.held == 0
            && let Some(running) = group.and_then(|group| inner.groups.get_mut(&group))
        {
            *running += 1;
            return true;
        }
        inner.steps.push(Waiting { weight, index: Reverse(index), group });
        // To tell nobody would cost a system call.
        if inner.idle > 0 {
            self.changed.notify_one();
        }
        false
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inner().steps.len()
    }

    /// Waits for a step; `None` once there will be no more.
    pub fn pop(&self) -> Option<Taken> {
        let mut inner = self.inner();
        loop {
            if inner.held == 0
                && let Some(Waiting { index: Reverse(index), group, .. }) = inner.steps.pop()
            {
                let beside = group.map(|group| inner.take(group, 1)).unwrap_or_default();
                return Some(Taken { index, group, beside });
            }
            if inner.is_closed {
                return None;
            }
            inner.idle += 1;
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.idle -= 1;
        }
    }

    /// A step of a group has ended. Not before its end was told.
    pub fn ended(&self, group: usize) {
        let mut inner = self.inner();
        let running = inner.groups.get_mut(&group).expect("a step of the group ran");
        *running -= 1;
        if *running == 0 {
            inner.groups.remove(&group);
            self.group_ended.notify_all();
        }
    }

    /// Waits until no step of a group runs.
    pub fn keep_place(&self, group: usize) {
        let mut inner = self.inner();
        while inner.groups.contains_key(&group) {
            inner = self.group_ended.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A step has failed: nothing is handed out until its end was dealt with.
    pub fn hold(&self) {
        self.inner().held += 1;
    }

    /// A failure was dealt with. What is to be started now, since its group has a place.
    #[must_use]
    pub fn go_on(&self) -> Vec<usize> {
        let mut inner = self.inner();
        inner.held -= 1;
        self.changed.notify_all();
        if inner.held > 0 {
            return Vec::new();
        }
        let groups: Vec<usize> = inner.groups.keys().copied().collect();
        groups.into_iter().flat_map(|group| inner.take(group, 0)).collect()
    }

    /// Takes back all that no worker has taken yet.
    pub fn drain(&self) -> Vec<usize> {
        std::mem::take(&mut self.inner().steps).into_iter().map(|waiting| waiting.index.0).collect()
    }

    /// There will be no more.
    pub fn close(&self) {
        self.inner().is_closed = true;
        self.changed.notify_all();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes all that wait of a group; with them and so many `more`, it runs.
    fn take(&mut self, group: usize, more: usize) -> Vec<usize> {
        let is_of_group = |waiting: &Waiting| waiting.group == Some(group);
        let taken: Vec<usize> =
            self.steps.iter().filter(|waiting| is_of_group(waiting)).map(|waiting| waiting.index.0).collect();
        self.steps.retain(|waiting| !is_of_group(waiting));
        *self.groups.entry(group).or_default() += taken.len() + more;
        taken
    }
}

//! The steps that may start and wait for a worker. The one with most behind it comes first: the
//! critical path decides how long a run takes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Handed to workers in the order of their weight.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Weight, and position in the plan: of equal weight the first comes first.
    steps: BinaryHeap<(u64, Reverse<usize>)>,
    /// Failures that the loop has not seen yet: what comes of the other steps is for it to decide.
    held: usize,
    /// Workers that wait.
    idle: usize,
    is_closed: bool,
}

impl Queue {
    /// Adds a step.
    pub fn push(&self, index: usize, weight: u64) {
        let mut inner = self.inner();
        inner.steps.push((weight, Reverse(index)));
        // To tell nobody would cost a system call.
        if inner.idle > 0 {
            self.changed.notify_one();
        }
    }

    /// Waits for a step; `None` once there will be no more.
    pub fn pop(&self) -> Option<usize> {
        let mut inner = self.inner();
        loop {
            if inner.held == 0
                && let Some((_, Reverse(index))) = inner.steps.pop()
            {
                return Some(index);
            }
            if inner.is_closed {
                return None;
            }
            inner.idle += 1;
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.idle -= 1;
        }
    }

    /// A step has failed: nothing is handed out until its end was dealt with.
    pub fn hold(&self) {
        self.inner().held += 1;
    }

    /// A failure was dealt with.
    pub fn go_on(&self) {
        self.inner().held -= 1;
        self.changed.notify_all();
    }

    /// Takes back all that no worker has taken yet.
    pub fn drain(&self) -> Vec<usize> {
        std::mem::take(&mut self.inner().steps).into_iter().map(|(_, Reverse(index))| index).collect()
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

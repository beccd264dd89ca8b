//! Commands that run at the same time and change the same: the trace of each shows that it changed a file,
//! and not whose content lies there in the end. Neither is kept.

use crate::digest::Digest;
use rustc_hash::FxHashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the commands of a session change, for as long as another one that runs meanwhile may be told.
#[derive(Default)]
pub struct Together(Mutex<State>);

#[derive(Default)]
struct State {
    /// Counts the beginnings and ends.
    clock: u64,
    /// When each began that is not dealt with yet.
    open: Vec<u64>,
    past: Vec<Past>,
}

/// A command that has ended.
struct Past {
    began: u64,
    ended: u64,
    task: Arc<str>,
    changed: FxHashSet<PathBuf>,
    kept: Option<Kept>,
}

/// What was made of a command.
struct Kept {
    entry: Digest,
    /// What the entry puts in place and takes away.
    counts: FxHashSet<PathBuf>,
}

/// One command, from its beginning until it is dealt with.
pub struct Companion {
    all: Arc<Together>,
    began: u64,
}

/// An entry that is not to be used any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// Which.
    pub entry: Digest,
    /// The task that it was made of.
    pub task: Arc<str>,
    /// What another command changed as well.
    pub path: PathBuf,
}

impl Together {
    /// A command begins.
    pub fn begin(self: &Arc<Together>) -> Companion {
        let mut state = self.state();
        state.clock += 1;
        let began = state.clock;
        state.open.push(began);
        drop(state);
        Companion { all: Arc::clone(self), began }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Companion {
    /// The command has ended and has changed these. Gives the entries that were made of others meanwhile and
    /// have one of them.
    pub fn ended(&self, task: &Arc<str>, changed: FxHashSet<PathBuf>) -> Vec<Spoiled> {
        let mut state = self.all.state();
        state.clock += 1;
        let own = Past { began: self.began, ended: state.clock, task: Arc::clone(task), changed, kept: None };
        let spoiled = |other: &Past| {
            let kept = other.kept.as_ref().filter(|_| own.ran_beside(other))?;
            let path = common(&kept.counts, &own.changed)?;
            Some(Spoiled { entry: kept.entry, task: Arc::clone(&other.task), path })
        };
        let spoiled = state.past.iter().filter_map(spoiled).collect();
        state.past.push(own);
        spoiled
    }

    /// What another command has changed, of these that the entry of this one is to have; and whose it is.
    pub fn meets(&self, counts: &FxHashSet<PathBuf>) -> Option<(PathBuf, Arc<str>)> {
        self.all.state().met(self.began, counts)
    }

    /// An entry was made of the command, that has these. Gives what another has changed since, of them: seen
    /// and noted in one, so that whichever of two ends later sees what the other did.
    pub fn kept(&self, entry: Digest, counts: FxHashSet<PathBuf>) -> Option<(PathBuf, Arc<str>)> {
        let mut state = self.all.state();
        let met = state.met(self.began, &counts);
        if let Some(past) = state.past.iter_mut().find(|past| past.began == self.began) {
            past.kept = Some(Kept { entry, counts });
        }
        met
    }
}

impl State {
    /// What another command has changed of these, and whose it is, for the command that began then.
    fn met(&self, began: u64, counts: &FxHashSet<PathBuf>) -> Option<(PathBuf, Arc<str>)> {
        let own = self.past.iter().find(|past| past.began == began)?;
        let mut others = self.past.iter().filter(|other| other.began != began && own.ran_beside(other));
        others.find_map(|other| Some((common(counts, &other.changed)?, Arc::clone(&other.task))))
    }
}

impl Past {
    fn ran_beside(&self, other: &Past) -> bool {
        self.began < other.ended && other.began < self.ended
    }
}

/// The first that is in both, so that the same is told each time.
fn common(one: &FxHashSet<PathBuf>, other: &FxHashSet<PathBuf>) -> Option<PathBuf> {
    let (few, many) = if one.len() < other.len() { (one, other) } else { (other, one) };
    few.iter().filter(|path| many.contains(*path)).min().cloned()
}

impl Drop for Companion {
    /// It is dealt with: what no open command has run beside is forgotten.
    fn drop(&mut self) {
        let mut state = self.all.state();
        state.open.retain(|began| *began != self.began);
        let first = state.open.iter().min().copied().unwrap_or(u64::MAX);
        state.past.retain(|past| past.ended > first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Digest = Digest([1; 32]);

    fn paths(names: &[&str]) -> FxHashSet<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn who_ran_meanwhile_and_changed_the_same_is_met() {
        let all = Arc::new(Together::default());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let (first, second) = (all.begin(), all.begin());
        assert_eq!(first.ended(&a, paths(&["x", "y"])), []);
        assert_eq!(first.kept(ENTRY, paths(&["y"])), None);
        drop(first);
        let spoiled = Spoiled { entry: ENTRY, task: a.clone(), path: "y".into() };
        assert_eq!(second.ended(&b, paths(&["x", "y", "z"])), [spoiled]);
        assert_eq!(second.meets(&paths(&["x"])), Some(("x".into(), a.clone())));
        assert_eq!(second.meets(&paths(&["z"])), None);
        drop(second);
        // What began afterwards met nobody.
        let third = all.begin();
        assert_eq!(third.ended(&a, paths(&["y"])), []);
        assert_eq!(third.meets(&paths(&["y"])), None);
        drop(third);
        assert!(all.state().past.is_empty());
    }

    #[test]
    fn an_entry_that_is_made_after_another_has_changed_the_same_is_not_to_be_used() {
        let all = Arc::new(Together::default());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let (first, second) = (all.begin(), all.begin());
        first.ended(&a, paths(&["x"]));
        assert_eq!(first.meets(&paths(&["x"])), None);
        second.ended(&b, paths(&["x"]));
        assert_eq!(first.kept(ENTRY, paths(&["x"])), Some(("x".into(), b)));
    }
}

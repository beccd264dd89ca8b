//! What this session saw at paths of the workspace since it last changed anything there: what one step
//! leaves and several read is looked at once. It holds for as long as no command of the session runs and
//! nothing is put in place; a hit is then as if all of its looks had been made together.

use crate::path::PortablePath;
use crate::stamp::Found;
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// For so long what was seen counts: a run may stand still at any place, suspended or before a reader of its
/// output that takes its time, and meanwhile anybody may change anything.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// What was seen, and whether it still counts.
#[derive(Debug, Default)]
pub struct Seen {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// How many change the disk now.
    stirring: usize,
    /// Counts what makes everything seen before worthless.
    turn: u64,
    /// Since when there is this turn: no look of it is older.
    began: Instant,
    found: FxHashMap<PortablePath, Found>,
    folders: FxHashMap<PathBuf, bool>,
}

/// When a look began; `None` where somebody may be changing things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(Option<u64>);

/// Somebody changes the disk; dropped when that is over.
#[derive(Debug)]
pub struct Stir<'a>(&'a Seen);

impl Turn {
    /// Whether what was found in a turn before is found in this one.
    pub fn is_still(self, before: Turn) -> bool {
        self.0.is_some() && self == before
    }
}

impl Seen {
    /// What lies at a path, with no link on the way to it.
    pub fn at(&self, path: &PortablePath) -> Option<Found> {
        let inner = self.read();
        inner.found.get(path).filter(|_| !inner.is_old()).cloned()
    }

    /// To be asked before a look that is to be noted.
    pub fn turn(&self) -> Turn {
        if self.read().is_old() {
            self.forget();
        }
        let inner = self.read();
        Turn((inner.stirring == 0).then_some(inner.turn))
    }

    /// Notes what was found at a path to which no link is on the way.
    pub fn note(&self, path: &PortablePath, found: &Found, turn: Turn) {
        let mut inner = self.write();
        if inner.is_now(turn) {
            inner.found.insert(path.clone(), found.clone());
        }
    }

    /// Whether a folder is at a path, links followed.
    pub fn is_folder(&self, path: &Path) -> bool {
        let turn = self.turn();
        if let Some(known) = self.read().folders.get(path) {
            return *known;
        }
        let is_folder = path.is_dir();
        let mut inner = self.write();
        if inner.is_now(turn) {
            inner.folders.insert(path.to_path_buf(), is_folder);
        }
        is_folder
    }

    /// Until the guard is dropped nothing is noted, and nothing of before counts.
    pub fn stir(&self) -> Stir<'_> {
        self.write().stirring += 1;
        self.forget();
        Stir(self)
    }

    /// Time has passed in which others may have changed anything.
    pub fn forget(&self) {
        let mut inner = self.write();
        inner.turn += 1;
        inner.began = Instant::now();
        inner.found.clear();
        inner.folders.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A panic elsewhere cannot leave a half-made note behind.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Inner {
    fn default() -> Inner {
        let (found, folders) = Default::default();
        Inner { stirring: 0, turn: 0, began: Instant::now(), found, folders }
    }
}

impl Inner {
    fn is_now(&self, turn: Turn) -> bool {
        self.stirring == 0 && turn == Turn(Some(self.turn)) && !self.is_old()
    }

    fn is_old(&self) -> bool {
        self.began.elapsed() > COUNTS_FOR
    }
}

impl Drop for Stir<'_> {
    fn drop(&mut self) {
        self.0.write().stirring -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_counts_until_somebody_changes_something() {
        let seen = Seen::default();
        let path = PortablePath::from_bytes(b"dist/a");
        let note = |turn| {
            seen.note(&path, &Found::Absent, turn);
            seen.at(&path)
        };
        let before = seen.turn();
        assert_eq!(note(before), Some(Found::Absent));
        let (one, other) = (seen.stir(), seen.stir());
        assert_eq!((seen.at(&path), note(before), note(seen.turn())), (None, None, None));
        drop(one);
        assert_eq!(note(seen.turn()), None, "another command still runs");
        drop(other);
        assert_eq!(note(before), None, "the look began before the change");
        assert_eq!(note(seen.turn()), Some(Found::Absent));
        seen.forget();
        assert_eq!(seen.at(&path), None);
    }

    #[test]
    fn what_was_seen_does_not_outlast_a_run_that_stands_still() {
        let seen = Seen::default();
        let path = PortablePath::from_bytes(b"dist/a");
        let before = seen.turn();
        seen.note(&path, &Found::Absent, before);
        assert_eq!(seen.at(&path), Some(Found::Absent));
        let long_ago = Instant::now().checked_sub(2 * COUNTS_FOR).expect("the machine runs for longer");
        seen.write().began = long_ago;
        assert_eq!(seen.at(&path), None);
        seen.note(&path, &Found::Absent, before);
        assert_eq!(seen.at(&path), None, "the look may be as old");
        seen.note(&path, &Found::Absent, seen.turn());
        assert_eq!(seen.at(&path), Some(Found::Absent));
    }

    #[test]
    fn a_folder_is_looked_for_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let bin = dir.path().join("bin");
        let seen = Seen::default();
        assert!(!seen.is_folder(&bin));
        std::fs::create_dir(&bin).expect("a folder");
        assert!(!seen.is_folder(&bin), "nobody of this session made it");
        drop(seen.stir());
        assert!(seen.is_folder(&bin));
    }
}

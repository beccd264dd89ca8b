//! Every path of a step, with what was asked of it and what was seen. Hashed while the step runs, since most
//! events find a path that is there already; sorted once, at the end. What an event counts as is `record`'s.

use crate::access::{Access, AccessKind, First, Order, Seen};
use crate::stamp::Found;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// As many are kept: about 400 MB of memory, many times what a large build asks for.
const PATHS_MAX: usize = 1_000_000;

/// All paths so far.
pub struct Paths {
    nodes: IndexMap<Box<[u8]>, Node, FxBuildHasher>,
    /// Counts changes of names: what was asked before one may lead elsewhere after it.
    generation: u32,
    /// Accesses so far.
    count: Order,
    /// Those of them that change something.
    changes: u64,
    paths_max: usize,
}

/// One text: as asked for, as resolved, and mostly both.
#[derive(Default)]
struct Node {
    /// What was asked of it as it stands, one bit each, since names changed last.
    asked: u16,
    generation: u32,
    is_seen: bool,
    seen: Seen,
}

fn only_looks(kind: &AccessKind) -> bool {
    use AccessKind::{Exec, Kind, Link, List, Read, Stat};
    matches!(kind, Read | Stat | Kind | List(_) | Link | Exec)
}

impl Default for Paths {
    fn default() -> Paths {
        Paths { nodes: IndexMap::default(), generation: 0, count: 0, changes: 0, paths_max: PATHS_MAX }
    }
}

impl Paths {
    /// Whether no more are to be taken in.
    pub fn are_full(&self) -> bool {
        self.nodes.len() >= self.paths_max
    }

    /// Notes that this was asked of a path as it stands. Where the path is kept, and whether it had been
    /// asked before.
    pub fn ask(&mut self, path: &[u8], bit: u16) -> (usize, bool) {
        let at = self.place(path);
        let generation = self.generation;
        let Some((_, node)) = self.nodes.get_index_mut(at) else { return (at, false) };
        if node.generation != generation {
            node.asked = 0;
            node.generation = generation;
        }
        let is_known = node.asked & bit != 0;
        node.asked |= bit;
        (at, is_known)
    }

    /// Whether this bit is set for the path that is kept here.
    pub fn is_asked(&self, at: usize, bit: u16) -> bool {
        let current = self.nodes.get_index(at).filter(|(_, node)| node.generation == self.generation);
        current.is_some_and(|(_, node)| node.asked & bit != 0)
    }

    /// Sets a bit for the path that is kept here, which was just asked for.
    pub fn mark(&mut self, at: usize, bit: u16) {
        if let Some((_, node)) = self.nodes.get_index_mut(at) {
            node.asked |= bit;
        }
    }

    /// Names change: what is asked from now on may have another answer.
    pub fn forget_asked(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn place(&mut self, path: &[u8]) -> usize {
        match self.nodes.get_index_of(path) {
            Some(at) => at,
            None => self.nodes.insert_full(path.into(), Node::default()).0,
        }
    }

    /// Takes in one access to the path that is kept here.
    pub fn add_at(&mut self, at: usize, kind: AccessKind, found: Found, pid: u32) {
        let first = First { order: self.count, pid, found };
        self.count += 1;
        self.changes += u64::from(!only_looks(&kind));
        if let Some((_, node)) = self.nodes.get_index_mut(at) {
            node.is_seen = true;
            node.seen.add(kind, first);
        }
    }

    /// How many accesses changed something.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes in one access.
    pub fn add(&mut self, access: Access) {
        let Access { path, kind, found, pid } = access;
        let at = self.place(path.as_os_str().as_bytes());
        self.add_at(at, kind, found, pid);
    }

    /// What was seen of one path.
    pub fn seen(&self, path: &Path) -> Option<&Seen> {
        self.nodes.get(path.as_os_str().as_bytes()).filter(|node| node.is_seen).map(|node| &node.seen)
    }

    /// The same, to be corrected.
    pub fn seen_mut(&mut self, path: &Path) -> Option<&mut Seen> {
        let node = self.nodes.get_mut(path.as_os_str().as_bytes());
        node.filter(|node| node.is_seen).map(|node| &mut node.seen)
    }

    /// All that was seen, in the order of paths, and how many accesses it was.
    pub fn finish(self) -> (BTreeMap<PathBuf, Seen>, Order) {
        let as_path = |path: Box<[u8]>| PathBuf::from(OsString::from_vec(path.into_vec()));
        let mut seen: Vec<(PathBuf, Seen)> = self
            .nodes
            .into_iter()
            .filter(|(_, node)| node.is_seen)
            .map(|(path, node)| (as_path(path), node.seen))
            .collect();
        // A map is made of what is sorted without searching; comparing bytes is many times faster than
        // comparing paths.
        seen.sort_by(|(one, _), (other, _)| {
            compare(one.as_os_str().as_bytes(), other.as_os_str().as_bytes())
        });
        (BTreeMap::from_iter(seen), self.count)
    }
}

/// The order of absolute paths that have nothing to collapse, as `Path` has it: by components.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    const STRIDE: usize = 8;
    let same_words =
        one.chunks_exact(STRIDE).zip(other.chunks_exact(STRIDE)).take_while(|(one, other)| one == other);
    let from = same_words.count() * STRIDE;
    let (one, other) = (&one[from..], &other[from..]);
    let differs = one.iter().zip(other).find(|(one, other)| one != other);
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match differs {
        Some((one, other)) => rank(*one).cmp(&rank(*other)),
        None => one.len().cmp(&other.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn paths_are_ordered_as_the_standard_library_orders_them(
            one in "(/[-a. ]{0,2}[ab-]{1,9}){1,4}",
            other in "(/[-a. ]{0,2}[ab-]{1,9}){1,4}",
        ) {
            prop_assert_eq!(compare(one.as_bytes(), other.as_bytes()), Path::new(&one).cmp(Path::new(&other)));
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut paths = Paths { paths_max: 2, ..Paths::default() };
        paths.ask(b"/a", 1);
        assert!(!paths.are_full());
        paths.ask(b"/b", 1);
        assert!(paths.are_full());
    }

    #[test]
    fn what_was_asked_is_forgotten_when_names_change_and_what_was_seen_is_not() {
        let mut paths = Paths::default();
        let (at, is_known) = paths.ask(b"/a", 1);
        assert!(!is_known && paths.ask(b"/a", 1).1 && !paths.ask(b"/a", 2).1);
        assert_eq!(paths.seen(Path::new("/a")), None);
        paths.add_at(at, AccessKind::Stat, Found::Absent, 7);
        paths.forget_asked();
        assert!(!paths.ask(b"/a", 1).1);
        paths.ask(b"/only-asked", 1);
        let (map, count) = paths.finish();
        assert_eq!((map.len(), count), (1, 1));
        assert!(map[Path::new("/a")].stat.is_some());
    }
}

//! The virtual tree: the disk as the hits so far would leave it, kept in memory. The steps of a chain
//! are looked up against it, and its end state is put in place once (`docs/design/virtual-tree.md`).
//! Nothing here writes.

use super::format::OutputKind;
use crate::access::Listing;
use crate::digest::Digest;
use crate::fingerprint::{self, Pathset, Query, Value, Values};
use crate::globs::Globs;
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;

/// What the hits so far would put in place and remove, on top of the disk.
#[derive(Clone, Debug, Default)]
pub struct VirtualTree {
    planned: BTreeMap<PortablePath, Planned>,
}

/// What a path is to become.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What will lie there; `None` if nothing.
    pub what: Option<OutputKind>,
    /// The hit that says so, by the position of its step in the plan.
    pub hit: usize,
    /// Its step, by task and position.
    pub step: Digest,
    /// What lay there on the disk when this was planned.
    pub over: Found,
}

/// What lies at a path of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lies {
    /// This, on the disk.
    Disk(Found),
    /// This will, by a hit of that step.
    Planned(OutputKind, Digest),
}

impl Lies {
    /// Whether nothing does.
    pub fn is_absent(&self) -> bool {
        *self == Lies::Disk(Found::Absent)
    }

    /// Whether a folder does.
    pub fn is_folder(&self) -> bool {
        matches!(self, Lies::Disk(Found::Folder(_)) | Lies::Planned(OutputKind::Folder, _))
    }
}

impl VirtualTree {
    /// Plans what a hit puts at a path.
    pub fn put(&mut self, path: &PortablePath, kind: &OutputKind, hit: usize, step: Digest, over: Found) {
        self.plan(path.clone(), Some(kind.clone()), hit, step, over);
    }

    /// Plans a removal.
    pub fn remove(&mut self, path: PortablePath, hit: usize, step: Digest, over: Found) {
        self.plan(path, None, hit, step, over);
    }

    /// What an earlier plan found on the disk is still what lies there.
    fn plan(&mut self, path: PortablePath, what: Option<OutputKind>, hit: usize, step: Digest, over: Found) {
        let over = self.planned.get(&path).map_or(over, |earlier| earlier.over.clone());
        if what.is_some() {
            self.keep_folders_above(&path);
        }
        self.planned.insert(path, Planned { what, hit, step, over });
    }

    /// A folder that was to go stays when something is put in it again.
    fn keep_folders_above(&mut self, path: &PortablePath) {
        let mut above = path.as_bytes();
        while let Some(slash) = above.iter().rposition(|byte| *byte == b'/') {
            above = &above[..slash];
            let folder = PortablePath::from_bytes(above);
            let goes = |planned: &Planned| planned.what.is_none() && matches!(planned.over, Found::Folder(_));
            if self.planned.get(&folder).is_some_and(goes) {
                self.planned.remove(&folder);
            }
        }
    }

    /// Every path that a hit says something of, sorted, with the last word on it.
    pub fn planned(&self) -> impl DoubleEndedIterator<Item = (&PortablePath, &Planned)> {
        self.planned.iter()
    }

    /// Whether no hit says anything: all is as it is on the disk.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Whether a hit says something of this very path.
    pub fn is_planned(&self, path: &PortablePath) -> bool {
        self.planned.contains_key(path)
    }

    /// What lies at a path. `look` says what does on the disk, and is asked where that counts.
    pub fn at(&self, path: &PortablePath, look: impl FnOnce() -> io::Result<Found>) -> io::Result<Lies> {
        if self.planned.is_empty() {
            return look().map(Lies::Disk);
        }
        match self.planned.get(path) {
            Some(Planned { what: Some(kind), step, .. }) => return Ok(Lies::Planned(kind.clone(), *step)),
            Some(Planned { what: None, .. }) => {
                if self.below(path).all(|(_, _, planned)| planned.what.is_none()) {
                    return Ok(Lies::Disk(Found::Absent));
                }
            }
            None => {}
        }
        // What will lie below it needs a folder here.
        if let Some((_, _, planned)) = self.below(path).find(|(_, _, planned)| planned.what.is_some()) {
            return Ok(Lies::Planned(OutputKind::Folder, planned.step));
        }
        look().map(Lies::Disk)
    }

    /// Whether a hit says something of what is below a folder.
    pub fn plans_within(&self, folder: &PortablePath) -> bool {
        !self.planned.is_empty() && self.below(folder).next().is_some()
    }

    /// The names in a folder, sorted; `None` where there is none.
    pub fn names(&self, places: &Places, folder: &PortablePath) -> io::Result<Option<Vec<OsString>>> {
        let absolute = places.absolute(folder);
        let is_planned = self.plans_within(folder);
        let mut names = match std::fs::read_dir(&absolute) {
            Ok(entries) => {
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?
            }
            Err(error) if stamp::is_absence(&error) && !is_planned => return Ok(None),
            Err(error) if stamp::is_absence(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        if is_planned {
            let mut listing: BTreeMap<OsString, u8> = names.into_iter().map(|name| (name, b'f')).collect();
            self.overlay(folder, &mut listing);
            names = listing.into_keys().collect();
        }
        names.sort();
        Ok(Some(names))
    }

    /// Replaces the values of members that a hit says something of.
    pub fn apply(&self, places: &Places, pathset: &Pathset, values: &mut Values) {
        if self.planned.is_empty() {
            return;
        }
        if !pathset.globs.is_empty() {
            self.apply_to_globs(pathset, values);
        }
        for ((path, query), value) in pathset.paths.iter().zip(&mut values.paths) {
            match self.planned.get(path) {
                Some(Planned { what: Some(kind), .. }) => *value = value_of(kind, query),
                Some(Planned { what: None, .. }) => *value = fingerprint::absent(query),
                None => {}
            }
            self.apply_below(places, path, query, value);
        }
    }

    /// Files that the patterns of a Pathset match.
    fn apply_to_globs(&self, pathset: &Pathset, values: &mut Values) {
        let globs = Globs::new(&pathset.globs);
        let is_except = |path: &PortablePath| pathset.globs_except.binary_search(path).is_ok();
        let mut matched: BTreeMap<PortablePath, Value> =
            std::mem::take(&mut values.globs).into_iter().collect();
        for (path, planned) in self.planned.iter().filter(|(path, _)| globs.name(path) && !is_except(path)) {
            match &planned.what {
                Some(OutputKind::Folder) => {}
                Some(kind) => drop(matched.insert(path.clone(), kind.value())),
                None => drop(matched.remove(path)),
            }
        }
        values.globs = matched.into_iter().collect();
    }

    /// A folder in which something would be put or removed.
    fn apply_below(&self, places: &Places, path: &PortablePath, query: &Query, value: &mut Value) {
        let mut below = self.below(path).peekable();
        if below.peek().is_none() {
            return;
        }
        if let Query::Listing(except) = query {
            let mut names: BTreeMap<OsString, u8> =
                fingerprint::list(&places.absolute(path)).unwrap_or_default().into_iter().collect();
            self.overlay(path, &mut names);
            *value = Value::listing(&Listing::from_iter(names), except);
        } else if *value == Value::ABSENT && below.any(|(_, _, planned)| planned.what.is_some()) {
            *value = Value::FOLDER;
        }
    }

    /// Puts what is planned directly in a folder into its names, and takes out what is to go.
    fn overlay(&self, folder: &PortablePath, names: &mut BTreeMap<OsString, u8>) {
        for (name, is_direct, planned) in self.below(folder) {
            let name = OsStr::from_bytes(name);
            match &planned.what {
                None if is_direct => drop(names.remove(name)),
                None => {}
                Some(_) if !is_direct => drop(names.insert(name.to_owned(), b'd')),
                Some(kind) => drop(names.insert(name.to_owned(), letter(kind))),
            }
        }
    }

    /// What is planned below a folder: the name in the folder, whether that is all, and the plan.
    fn below<'a>(&'a self, folder: &PortablePath) -> impl Iterator<Item = (&'a [u8], bool, &'a Planned)> {
        let mut prefix = folder.as_bytes().to_vec();
        match prefix.as_slice() {
            b"." => prefix.clear(),
            _ => prefix.push(b'/'),
        }
        let start = PortablePath::from_bytes(&prefix);
        let from = self.planned.range((Bound::Included(start), Bound::Unbounded));
        let length = prefix.len();
        let below = from.take_while(move |(path, _)| path.as_bytes().starts_with(&prefix));
        below.map(move |(path, planned)| {
            let rest = &path.as_bytes()[length..];
            match rest.iter().position(|byte| *byte == b'/') {
                Some(slash) => (&rest[..slash], false, planned),
                None => (rest, true, planned),
            }
        })
    }
}

fn letter(kind: &OutputKind) -> u8 {
    match kind {
        OutputKind::File { .. } => b'f',
        OutputKind::Link(_) => b'l',
        OutputKind::Folder => b'd',
    }
}

fn value_of(kind: &OutputKind, query: &Query) -> Value {
    match (query, kind) {
        (Query::Content, OutputKind::File { .. }) | (Query::Link, OutputKind::Link(_)) => kind.value(),
        (Query::Listing(except), OutputKind::Folder) => Value::listing(&Listing::new(), except),
        (_, OutputKind::File { executable: true, .. }) => Value::PROGRAM,
        (_, OutputKind::File { .. }) => Value::FILE,
        (_, OutputKind::Link(_)) => Value::LINK,
        (_, OutputKind::Folder) => Value::FOLDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PortablePath {
        PortablePath::from_bytes(text.as_bytes())
    }

    fn absent() -> io::Result<Found> {
        Ok(Found::Absent)
    }

    fn nowhere() -> Places {
        Places { root: "/nowhere".into(), home: None }
    }

    fn file() -> OutputKind {
        OutputKind::File { digest: Digest::of(b"x"), bytes: 1, executable: false }
    }

    fn tree() -> VirtualTree {
        let mut tree = VirtualTree::default();
        let step = Digest::of(b"step");
        tree.put(&path("ui/dist/index.js"), &file(), 0, step, Found::Absent);
        tree.remove(path("ui/old"), 0, step, Found::Absent);
        tree
    }

    #[test]
    fn what_a_hit_would_put_back_counts_as_there() {
        let members = [
            ("ui/dist/index.js", Query::Content),
            ("ui/dist/index.js", Query::Kind),
            ("ui/dist", Query::Listing(Vec::new())),
            ("ui/dist", Query::Kind),
            ("ui/old", Query::Kind),
            ("ui/distant", Query::Kind),
        ];
        let pathset = Pathset {
            paths: members.into_iter().map(|(name, query)| (path(name), query)).collect(),
            ..Pathset::default()
        };
        let mut values = Values { paths: vec![Value::ABSENT; 6], ..Values::default() };
        values.paths[4] = Value::FILE;
        tree().apply(&nowhere(), &pathset, &mut values);
        let listing = Value::listing(&vec![("index.js".into(), b'f')], &[]);
        let expected = [file().value(), Value::FILE, listing, Value::FOLDER, Value::ABSENT, Value::ABSENT];
        assert_eq!(values.paths, expected);
    }

    #[test]
    fn a_folder_is_there_when_something_is_planned_in_it() {
        let tree = tree();
        assert!(tree.at(&path("ui/dist"), absent).expect("looks").is_folder());
        assert!(tree.at(&path("ui/old"), absent).expect("looks").is_absent());
        let names = tree.names(&nowhere(), &path("ui")).expect("lists");
        assert_eq!(names, Some(vec![OsString::from("dist")]));
        assert_eq!(tree.names(&nowhere(), &path("other")).expect("lists"), None);
    }

    #[test]
    fn a_folder_that_was_to_go_stays_when_something_is_put_in_it_again() {
        let mut tree = VirtualTree::default();
        let step = Digest::of(b"step");
        let stamp =
            crate::stamp::Stamp { dev: 1, ino: 1, size: 0, mtime_ns: 1, ctime_ns: 1, mode: 0o040_755 };
        tree.remove(path("dist"), 0, step, Found::Folder(stamp));
        tree.put(&path("dist/x"), &file(), 1, step, Found::Absent);
        assert!(!tree.is_planned(&path("dist")));
        assert!(tree.at(&path("dist"), absent).expect("looks").is_folder());
    }

    #[test]
    fn the_last_word_on_a_path_counts() {
        let mut tree = tree();
        let step = Digest::of(b"later");
        tree.remove(path("ui/dist/index.js"), 1, step, Found::Absent);
        assert!(tree.at(&path("ui/dist/index.js"), absent).expect("looks").is_absent());
        assert_eq!(tree.names(&nowhere(), &path("ui/dist")).expect("lists"), Some(vec![]));
    }
}

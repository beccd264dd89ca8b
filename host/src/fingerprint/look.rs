//! The present value of each member of a Pathset. What has an unchanged stamp is not read again.

use super::search::{FoundProgram, Search};
use super::{Digests, Matched, Member, Pathset, Query, Remembered, SearchPath, Value, Values, absent, place};
use crate::access::Listing;
use crate::beneath::{self, Beneath, Stop};
use crate::digest::{Digest, Fields};
use crate::environment::Environment;
use crate::globs::{GlobPattern, Globs};
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// From so many paths on, several threads look.
const THREADED_ABOVE: usize = 2048;
const THREADS_MAX: usize = 8;

/// The disk and the environment as they are now, with what the session already knows of them.
pub struct Disk<'a> {
    /// Where root and home lie.
    pub places: &'a Places,
    /// The variables that the step may be served, for `envs`.
    pub env: &'a Environment,
    /// Where programs are searched.
    pub search: &'a SearchPath,
    /// Digests that this session has computed.
    pub digests: &'a Digests,
}

/// The present values of a Pathset.
pub struct Looked {
    /// The values.
    pub values: Values,
    /// What to remember of the paths.
    pub remembered: Remembered,
    /// Whether `remembered` differs from what was given.
    pub is_news: bool,
}

impl Disk<'_> {
    /// Finds the present value of every member. What cannot be looked at has [`Value::OTHER`]; what
    /// has an unchanged stamp is not read again.
    pub fn look(&self, pathset: &Pathset, known: &Remembered) -> Looked {
        let members = pathset.paths.len() + pathset.programs.len();
        // What is remembered of another set of members says nothing of these.
        let known: &[_] = if known.len() == members { known } else { &[] };
        let now = stamp::now_ns();
        let mut remembered = self.look_at_all(&pathset.paths, known, now);
        let search = self.digests.search(self.search);
        let mut programs = Vec::with_capacity(pathset.programs.len());
        for (index, name) in pathset.programs.iter().enumerate() {
            let (member, place) = self.program(&search, name, known.get(pathset.paths.len() + index), now);
            programs.push(Value::program(member.1, place.as_deref()));
            remembered.push(member);
        }
        debug_assert_eq!(remembered.len(), members);
        let paths = remembered[..pathset.paths.len()].iter().map(|(_, value)| *value);
        let values = Values {
            paths: paths.collect(),
            programs,
            globs: Vec::new(),
            envs: pathset.envs.iter().map(|select| self.env.values(select)).collect(),
            place: pathset.bound_to_place.then(|| place(self.places)),
        };
        let is_news = known != remembered;
        Looked { values, remembered, is_news }
    }

    /// Looks at all paths, many of them on several threads: a look is a wait for the kernel.
    fn look_at_all(&self, paths: &[(PortablePath, Query)], known: &[Member], now: i64) -> Remembered {
        let threads = match paths.len() {
            0..THREADED_ABOVE => 1,
            _ => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX)),
        };
        let part = paths.len().div_ceil(threads).max(1);
        if threads == 1 {
            return self.look_at_some(paths, known, now);
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = paths
                .chunks(part)
                .enumerate()
                .map(|(nth, paths)| {
                    let known = known.get(nth * part..nth * part + paths.len()).unwrap_or_default();
                    scope.spawn(move || self.look_at_some(paths, known, now))
                })
                .collect();
            let mut remembered = Vec::with_capacity(paths.len());
            for found in parts {
                remembered.extend(found.join().expect("looking at files does not panic"));
            }
            remembered
        })
    }

    fn look_at_some(&self, paths: &[(PortablePath, Query)], known: &[Member], now: i64) -> Remembered {
        let mut beneath = Beneath::open(&self.places.root).ok();
        let look = |(index, (path, query)): (usize, &(PortablePath, Query))| {
            self.look_at(path, query, known.get(index), now, beneath.as_mut())
        };
        paths.iter().enumerate().map(look).collect()
    }

    /// Stored paths have no symlink on the way. A folder that has become one leads elsewhere, even if
    /// the same files are there; and what lies in a missing folder needs no look.
    fn look_at(
        &self,
        path: &PortablePath,
        query: &Query,
        known: Option<&Member>,
        now: i64,
        beneath: Option<&mut Beneath>,
    ) -> Member {
        let found = match (self.digests.seen.at(path), beneath.filter(|_| path.is_inside())) {
            (Some(seen), _) => Ok(seen),
            (None, None) => Found::at(&self.places.absolute(path)),
            (None, Some(beneath)) => {
                let (folder, name) = beneath::split(path.as_bytes());
                match beneath.enter(folder) {
                    Ok(folder) => beneath::found_in(folder, name),
                    Err(Stop::Missing | Stop::File) => return (None, absent(query)),
                    Err(Stop::Other) => return (None, Value::OTHER),
                }
            }
        };
        let Ok(found) = found else { return (None, Value::OTHER) };
        let unchanged =
            |stamp: &Stamp| known.filter(|(old, _)| old.as_ref() == Some(stamp)).map(|(_, value)| *value);
        // A stamp that may still hide a change is not handed on, so it is looked at again next time.
        let settled = |stamp: Stamp| stamp.is_settled(now).then_some(stamp);
        match (query, found) {
            (Query::Content, Found::File(stamp)) => match unchanged(&stamp) {
                Some(value) => (Some(stamp), value),
                None => match self.digests.of_file(&self.places.absolute(path), stamp) {
                    Ok((stamp, digest)) => (settled(stamp), Value::content(digest, stamp.is_executable())),
                    Err(_) => (None, Value::OTHER),
                },
            },
            (Query::Listing(except), Found::Folder(stamp)) => match unchanged(&stamp) {
                Some(value) => (Some(stamp), value),
                None => match list(&self.places.absolute(path)) {
                    Ok(names) => (settled(stamp), Value::listing(&names, except)),
                    Err(_) => (None, Value::OTHER),
                },
            },
            (Query::Link, Found::Link(text)) => (None, Value::link(&text)),
            (_, Found::Absent) => (None, absent(query)),
            (_, found) => (None, Value::kind(&found)),
        }
    }

    /// The files that patterns match, with their values. What has the stamp of `known` is not read.
    pub fn matched(&self, patterns: &[GlobPattern], known: &Matched) -> Matched {
        let now = stamp::now_ns();
        let files = Globs::new(patterns).walk(self.places).into_iter();
        let with_value = files.map(|(path, found)| {
            let member = match (found, known.get(&path)) {
                (Found::File(stamp), Some((Some(old), value))) if *old == stamp => (Some(stamp), *value),
                (Found::File(stamp), _) => self.content(&self.places.absolute(&path), stamp, now),
                (Found::Link(text), _) => (None, self.through(&self.places.absolute(&path), &text)),
                (found, _) => (None, Value::kind(&found)),
            };
            (path, member)
        });
        with_value.collect()
    }

    fn content(&self, path: &Path, stamp: Stamp, now: i64) -> (Option<Stamp>, Value) {
        match self.digests.of_file(path, stamp) {
            Ok((stamp, digest)) => {
                (stamp.is_settled(now).then_some(stamp), Value::content(digest, stamp.is_executable()))
            }
            Err(_) => (None, Value::OTHER),
        }
    }

    /// A link counts by its text and by the content that it leads to.
    fn through(&self, path: &Path, text: &OsStr) -> Value {
        let target = path.metadata().ok().filter(std::fs::Metadata::is_file);
        let content = target.and_then(|meta| self.digests.of_file(path, Stamp::of(&meta)).ok());
        match content {
            None => Value::link(text),
            Some((_, digest)) => {
                Value(Fields::new("link to").bytes(text.as_bytes()).bytes(digest.as_bytes()).digest().0)
            }
        }
    }

    /// A program found by searching: its content, and what it may find the rest of itself by.
    fn program(
        &self,
        search: &Search,
        name: &str,
        known: Option<&Member>,
        now: i64,
    ) -> (Member, Option<Vec<u8>>) {
        let Some(found) = search.find(name) else { return ((None, Value::ABSENT), None) };
        let place = found.counts_by_place.then(|| self.place_of(&found.path));
        let member = match known {
            Some((Some(old), value)) if *old == found.stamp => (Some(found.stamp), *value),
            _ => match self.digest_of_program(&found) {
                Ok((stamp, digest, holds_anywhere)) => {
                    let holds = holds_anywhere && stamp.is_settled(now);
                    (holds.then_some(stamp), Value::content(digest, true))
                }
                Err(_) => (None, Value::OTHER),
            },
        };
        (member, place)
    }

    /// The shims of pnpm spell the whole path of the workspace: without it they are the same in each checkout. With
    /// whether the digest holds for as long as the stamp does, also when the checkout is moved.
    fn digest_of_program(&self, found: &FoundProgram) -> io::Result<(Stamp, Digest, bool)> {
        let (stamp, digest) = self.digests.of_file(&found.path, found.stamp)?;
        let is_in_bin = found.path.parent().is_some_and(|folder| folder.ends_with(".bin"));
        if !is_in_bin || !found.path.starts_with(&self.places.root) || stamp.size > SHIM_BYTES_MAX {
            return Ok((stamp, digest, true));
        }
        let text = std::fs::read(&found.path)?;
        if Digest::of(&text) != digest {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "it changed while it was read"));
        }
        let without = Digest::of(&without_root(&text, &self.places.root));
        Ok((stamp, without, without == digest))
    }

    /// Where a program was found, and the text of a link that lies there: a script that loads what lies beside
    /// it is another program elsewhere, although it is the same text.
    fn place_of(&self, path: &Path) -> Vec<u8> {
        let mut place = self.places.portable(path).as_bytes().to_vec();
        if let Ok(text) = std::fs::read_link(path) {
            place.push(0);
            place.extend_from_slice(text.as_os_str().as_bytes());
        }
        place
    }
}

/// A shim is a few lines.
const SHIM_BYTES_MAX: u64 = 64 << 10;

/// A text in which no path of the workspace begins with where the workspace lies.
fn without_root(text: &[u8], root: &Path) -> Vec<u8> {
    let root = [root.as_os_str().as_bytes(), b"/"].concat();
    let mut without = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, &root) {
        without.extend_from_slice(&rest[..at]);
        without.extend_from_slice(b"\0/");
        rest = &rest[at + root.len()..];
    }
    without.extend_from_slice(rest);
    without
}

/// The names in a folder with their kinds, sorted.
pub fn list(path: &Path) -> io::Result<Listing> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let letter = match () {
            () if kind.is_file() => b'f',
            () if kind.is_dir() => b'd',
            () if kind.is_symlink() => b'l',
            () => b'o',
        };
        names.push((entry.file_name(), letter));
    }
    names.sort();
    Ok(names)
}

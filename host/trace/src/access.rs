//! What a trace says: [`Access`], one thing that the kernel was asked for, and [`Observed`], all
//! accesses of one step, reduced to the first of each kind on each path.
//!
//! Plain types that know nothing of how tracing works (`trace`) or what the facts mean (`settle`).

use crate::stamp::Found;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The order of accesses within one step: a later access has a greater number.
pub type Order = u64;

/// One thing that a process asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Absolute, without `.`, `..` and symlinks on the way; the last component is itself a link
    /// only where the access was about the link.
    pub path: PathBuf,
    /// What was asked.
    pub kind: AccessKind,
    /// What lay there just before.
    pub found: Found,
    /// The process that asked.
    pub pid: u32,
}

/// What can be asked of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// The content of a file, or its metadata beyond kind and permission.
    Read,
    /// Metadata: size, times. On a file it counts as a read of its content.
    Stat,
    /// Only kind and permission (`access`).
    Kind,
    /// A folder's names and kinds, as they were at that moment.
    List(Listing),
    /// The text of a symlink, read or followed on the way.
    Link,
    /// Executed as a program, or as the interpreter of one.
    Exec,
    /// Opened for writing. Old content survives unless `truncates`.
    Write {
        /// Whether nothing of the old content could be seen through the same call.
        truncates: bool,
    },
    /// Made a folder, link or special file, or a new name for a file.
    Create,
    /// Taken away.
    Remove,
    /// Taken away by a rename: what lay there lies elsewhere now.
    Rename,
    /// Permissions, times or attributes set.
    SetMeta,
}

/// The names in a folder, sorted, each with the letter of its kind (see [`Found::letter`]).
pub type Listing = Vec<(OsString, u8)>;

/// The first access of one kind on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// When, among the accesses of the step.
    pub order: Order,
    /// Which process.
    pub pid: u32,
    /// What lay there just before.
    pub found: Found,
}

/// Everything that happened on one path, first time only. A probe that failed is any of these
/// with `found` absent. Boxed, because most paths are asked for in one way only, and there may be a
/// hundred thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Content read.
    pub read: Option<Box<First>>,
    /// Metadata asked for.
    pub stat: Option<Box<First>>,
    /// Kind or permission asked for.
    pub kind: Option<Box<First>>,
    /// Names listed, with the names.
    pub list: Option<Box<(First, Listing)>>,
    /// Link text read or followed; `found` is the link with its text.
    pub link: Option<Box<First>>,
    /// Executed.
    pub exec: Option<Box<First>>,
    /// The first change of any kind: written, created, removed, permissions set.
    pub change: Option<Box<First>>,
    /// Whether the first change could not show the old content (a truncating open, a creation,
    /// a rename over it).
    pub change_is_blind: bool,
    /// Whether it was removed, or renamed away, at least once.
    pub removed: bool,
    /// Whether permissions, times or attributes were set at least once.
    pub meta_is_set: bool,
    /// Whether it was renamed away at least once.
    pub renamed: bool,
}

impl Seen {
    /// The first of each kind of question that was asked of the path; changes are none.
    pub fn firsts(&self) -> impl Iterator<Item = &First> {
        let list = self.list.as_deref().map(|(first, _)| first);
        [&self.read, &self.stat, &self.kind, &self.link, &self.exec]
            .into_iter()
            .filter_map(Option::as_deref)
            .chain(list)
    }
}

/// A connection that a process of the step opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// `host:port`, a socket's path, or `@name` of an abstract socket.
    pub to: String,
    /// Name of the process.
    pub by: String,
    /// What answers it.
    pub reach: Reach,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A listener of the same step.
    Inside,
    /// Another process on this machine: it may have read files for the step.
    Machine,
    /// A network.
    Network,
}

/// All that was seen of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// By absolute, resolved path.
    pub paths: BTreeMap<PathBuf, Seen>,
    /// Programs asked for by a bare name and searched in PATH, with the name.
    pub searched: BTreeMap<String, PathBuf>,
    /// Environment variables that a program asked for by name: found or not.
    pub env: BTreeMap<String, bool>,
    /// Environment variables that a program asked for and did not get, because of `strictEnv`.
    pub hidden: BTreeSet<String>,
    /// Connections opened.
    pub connections: Vec<Connection>,
    /// Names of processes by pid.
    pub processes: BTreeMap<u32, String>,
    /// Why the trace cannot vouch for every process, if it cannot: the first such thing.
    pub incomplete: Option<String>,
    /// A process that went on after the command had ended.
    pub detached: Option<String>,
    /// A process that asked for the terminal.
    pub read_terminal: Option<String>,
    /// Accesses so far.
    pub count: Order,
    /// Calls that were stopped to be looked at: those that no program noted by itself.
    pub told: u64,
}

impl Observed {
    /// Takes in one access. Accesses come in the order in which they were made.
    pub fn add(&mut self, access: Access) {
        let Access { path, kind, found, pid } = access;
        let first = First { order: self.count, pid, found };
        self.count += 1;
        self.paths.entry(path).or_default().add(kind, first);
    }

    /// Notes that the trace cannot vouch for everything; the first reason is kept.
    pub fn poison(&mut self, why: impl Into<String>) {
        self.incomplete.get_or_insert_with(|| why.into());
    }

    /// What a process is called, for messages.
    pub fn process(&self, pid: u32) -> &str {
        self.processes.get(&pid).map_or("a process", String::as_str)
    }

    /// What was seen of one path.
    pub fn seen(&self, path: &Path) -> Option<&Seen> {
        self.paths.get(path)
    }
}

fn note(place: &mut Option<Box<First>>, first: First) {
    place.get_or_insert_with(|| Box::new(first));
}

impl Seen {
    /// The first access of any kind.
    pub fn first(&self) -> Option<&First> {
        let list = self.list.as_deref().map(|(first, _)| first);
        let others = [&self.read, &self.stat, &self.kind, &self.link, &self.exec, &self.change];
        others.into_iter().filter_map(|first| first.as_deref()).chain(list).min_by_key(|first| first.order)
    }

    /// Takes in one access to this path. Accesses come in order: of each kind the first is kept.
    pub fn add(&mut self, kind: AccessKind, first: First) {
        match kind {
            AccessKind::Read => note(&mut self.read, first),
            AccessKind::Stat => note(&mut self.stat, first),
            AccessKind::Kind => note(&mut self.kind, first),
            AccessKind::List(names) => {
                self.list.get_or_insert_with(|| Box::new((first, names)));
            }
            AccessKind::Link => note(&mut self.link, first),
            AccessKind::Exec => note(&mut self.exec, first),
            AccessKind::Write { truncates } => self.change(first, truncates),
            AccessKind::Create => self.change(first, true),
            AccessKind::SetMeta => {
                self.meta_is_set = true;
                self.change(first, false);
            }
            AccessKind::Remove | AccessKind::Rename => {
                self.removed |= first.found != Found::Absent;
                self.renamed |= kind == AccessKind::Rename;
                self.change(first, true);
            }
        }
    }

    fn change(&mut self, first: First, blind: bool) {
        if self.change.is_none() {
            // Making a file where nothing was cannot show old content either.
            self.change_is_blind = blind || first.found == Found::Absent;
            self.change = Some(Box::new(first));
        }
    }
}

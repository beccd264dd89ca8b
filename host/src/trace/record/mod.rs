//! Turns events into accesses: resolves paths, looks at what lies there *before* the call goes on,
//! and decides what each call counts as. One [`Recorder`] per step; calls come in order.
//!
//! `paths`: where accesses are kept. `listing`: names in folders. `moves`, `programs`: what renames, removals
//! and executions count as.

mod listing;
mod moves;
mod paths;
mod programs;

use self::listing::listing;
use self::paths::Paths;
use super::calls::Op;
use super::event::{Event, Place};
use super::resolve::{Given, Resolved, Resolver, is_deleted, look, to_path};
use super::{Spec, preload, tree};
use crate::access::{Access, AccessKind, Connection, Observed, Seen};
use crate::stamp::Found;
use rustc_hash::{FxHashMap, FxHashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The bit of `O_TMPFILE` that `O_DIRECTORY` does not have.
const TMPFILE: u64 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;

/// What a repeated event is recognised by, one bit each, beside its path.
mod asked {
    pub const READ: u16 = 1;
    pub const STAT: u16 = 1 << 1;
    pub const LSTAT: u16 = 1 << 2;
    pub const ACCESS: u16 = 1 << 3;
    pub const LINK: u16 = 1 << 4;
    pub const TRUNCATE: u16 = 1 << 5;
    pub const MODIFY: u16 = 1 << 6;
    pub const EXEC: u16 = 1 << 7;
    /// Not asked but known: its last name is no symlink.
    pub const NO_LINK: u16 = 1 << 8;
    /// To open it if it is a folder.
    pub const FOLDER: u16 = 1 << 9;

    /// Of an opening with these flags; `None` where each counts.
    pub fn opened(flags: u64) -> Option<u16> {
        let set = |bits: i32| flags as i32 & bits != 0;
        if set(libc::O_PATH | libc::O_NOFOLLOW | libc::O_EXCL) || flags & super::TMPFILE != 0 {
            return None;
        }
        Some(match () {
            () if set(libc::O_TRUNC) => TRUNCATE,
            () if set(libc::O_ACCMODE | libc::O_CREAT) => MODIFY,
            () if set(libc::O_DIRECTORY) => FOLDER,
            () => READ,
        })
    }
}

/// What is known of one step so far.
pub struct Recorder {
    /// Everything but the paths.
    pub(super) observed: Observed,
    pub(super) spec: Spec,
    /// Those of the spec, as bytes.
    ignore: Vec<Box<[u8]>>,
    paths: Paths,
    resolver: Resolver,
    /// What the step's PATH gives for a name.
    searches: FxHashMap<Vec<u8>, Option<PathBuf>>,
    /// Buffers that are used again.
    absolute: Vec<u8>,
    passed: Vec<super::resolve::Passed>,
    /// What the last event was about, where somebody wants to know.
    last: Option<Target>,
    wants_last: bool,
    /// Connections, so that each is told once.
    connections: FxHashSet<(String, String)>,
    /// What was to be made in a folder that was not there, with who asked.
    unlikely: Vec<(PathBuf, u32)>,
    /// Executions begun.
    pub(super) execs: u64,
}

/// A resolved path and what lies there.
pub(super) type Target = (PathBuf, Found);

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

fn is_folder(found: &Found) -> bool {
    matches!(found, Found::Folder(_))
}

impl Recorder {
    /// Nothing seen yet.
    pub fn new(spec: Spec) -> Recorder {
        let ignored = spec.ignore.iter().map(PathBuf::as_path).chain(preload::library());
        let ignore = ignored.map(|path| path.as_os_str().as_bytes().into()).collect();
        Recorder {
            observed: Observed::default(),
            ignore,
            spec,
            paths: Paths::default(),
            resolver: Resolver::default(),
            searches: FxHashMap::default(),
            absolute: Vec::new(),
            passed: Vec::new(),
            last: None,
            wants_last: false,
            connections: FxHashSet::default(),
            unlikely: Vec::new(),
            execs: 0,
        }
    }

    /// Takes in one call, before it goes on.
    pub fn event(&mut self, event: &Event<'_>) {
        self.execs += u64::from(event.op == Op::Exec);
        if self.paths.are_full() {
            return self.observed.poison("it asked for more paths than are kept (a million)");
        }
        if let Some(bit) = self.repeatable(event) {
            let (at, is_known) = self.paths.ask(&self.absolute, bit);
            if is_known && event.op == Op::Exec {
                // Who runs what is told each time.
                self.name_process(event.who.pid, &self.absolute.clone());
            }
            if is_known || self.ask_plainly(event, at) {
                return;
            }
        }
        match event.op {
            Op::Open | Op::OpenHow => self.open(event),
            Op::Access => self.simple(event, AccessKind::Kind),
            Op::Stat | Op::Chdir => self.simple(event, AccessKind::Stat),
            Op::ReadLink => self.read_link(event),
            Op::Exec => self.exec(event),
            Op::Unlink if event.flags & libc::AT_REMOVEDIR as u64 != 0 => self.remove_folder(event),
            Op::Unlink => self.remove_file(event),
            Op::Rmdir => self.remove_folder(event),
            Op::Rename => self.rename(event),
            Op::Link => self.link(event),
            Op::Symlink | Op::Mknod | Op::Bind | Op::Mkdir => self.make(event),
            Op::Truncate => self.truncate(event),
            Op::SetMeta | Op::SetMetaFd => self.set_meta(event),
            Op::Chroot => self.change_root(event),
            Op::Connect | Op::Listen | Op::SendTo | Op::SocketCall | Op::Poison | Op::Refuse => {}
        }
    }

    /// How many accesses so far were taken to change something.
    pub fn changes(&self) -> u64 {
        self.paths.changes()
    }

    /// The whole, at the end.
    pub fn finish(mut self) -> Observed {
        if self.execs == 0 {
            self.observed.poison("the tracer saw nothing, not even the start of the command");
        }
        self.add_what_was_made_after_all();
        (self.observed.paths, self.observed.count) = self.paths.finish();
        self.observed
    }

    /// Two threads make a folder and something in it: the second call can be seen before the kernel has
    /// carried out the first, and succeed all the same. What is there at the end was made.
    fn add_what_was_made_after_all(&mut self) {
        for (path, pid) in std::mem::take(&mut self.unlikely) {
            if look(path.as_os_str().as_bytes()) == Found::Absent {
                continue;
            }
            match self.paths.seen_mut(&path) {
                // Changed later, by then it was there: still the step's own.
                Some(Seen { change: Some(change), removed: false, .. }) => change.found = Found::Absent,
                Some(Seen { change: Some(_), .. }) => {}
                _ => self.paths.add(Access { path, kind: AccessKind::Create, found: Found::Absent, pid }),
            }
        }
    }

    /// The same for a call that has no answer yet. What it is about, if that is a path, and what lies there.
    pub fn unanswered(&mut self, event: &Event<'_>) -> Option<Target> {
        (self.wants_last, self.last) = (true, None);
        self.event(event);
        self.wants_last = false;
        self.last.take()
    }

    /// The kernel has answered a question that we could only look at from outside, and what lay there was
    /// not what we saw. Unless the step itself changed it, somebody else did.
    pub fn correct(&mut self, path: &Path, before: &Found, now: &Found) {
        let Some(seen) = self.paths.seen_mut(path).filter(|_| before != now) else { return };
        if seen.change.is_some() {
            return;
        }
        let firsts = [&mut seen.read, &mut seen.stat, &mut seen.kind, &mut seen.link, &mut seen.exec];
        for first in firsts.into_iter().flatten().filter(|first| first.found == *before) {
            first.found = now.clone();
        }
    }

    /// The bit by which a repetition of this event is recognised, if it is of a kind whose repetition teaches
    /// nothing. Leaves the path, joined, in `absolute`.
    fn repeatable(&mut self, event: &Event<'_>) -> Option<u16> {
        let bit = match event.op {
            Op::Open | Op::OpenHow => asked::opened(event.flags)?,
            Op::Stat if event.follow => asked::STAT,
            Op::Stat => asked::LSTAT,
            Op::Access if event.follow => asked::ACCESS,
            Op::ReadLink => asked::LINK,
            Op::Exec => asked::EXEC,
            _ => return None,
        };
        event.place.absolute(&mut self.absolute);
        let is_special = self.absolute.starts_with(b"/proc/") || self.absolute.starts_with(b"/dev/");
        (!is_special).then_some(bit)
    }

    /// The frequent case: a question about a path that is resolved as it stands (it is in `absolute`), so
    /// that what was seen belongs where the question is kept. `false` where there may be more to it.
    fn ask_plainly(&mut self, event: &Event<'_>, at: usize) -> bool {
        let kind = match event.op {
            Op::Stat => AccessKind::Stat,
            Op::Access => AccessKind::Kind,
            Op::Open if asked::opened(event.flags) == Some(asked::READ) => AccessKind::Read,
            _ => return false,
        };
        let follow = event.follow || event.op == Op::Open;
        let given = event.given.map(|given| Given {
            is_no_link: given.is_no_link || self.paths.is_asked(at, asked::NO_LINK),
            ..given
        });
        let Some(found) = self.resolver.plain(&self.absolute, follow, given) else { return false };
        if given.is_some_and(|given| given.is_no_link && *given.found != Found::Absent) {
            self.paths.mark(at, asked::NO_LINK);
        }
        if kind == AccessKind::Read && !matches!(found, Found::File(_) | Found::Absent) {
            return false;
        }
        if self.is_ignored(&self.absolute) {
            return true;
        }
        if self.wants_last && event.given.is_none() {
            self.last = Some((to_path(&self.absolute), found.clone()));
        }
        self.paths.add_at(at, kind, found, event.who.pid);
        true
    }

    /// Names on which resolving may rest are about to change.
    fn names_change(&mut self, path: &Path) {
        self.resolver.forget(path.as_os_str().as_bytes());
        self.paths.forget_asked();
        if let Some(notes) = &self.spec.notes {
            notes.names_change();
        }
    }

    /// Resolves, records the links on the way, and drops what is none of a step's business.
    fn target(&mut self, place: &Place<'_>, event: &Event<'_>, follow: bool) -> Option<Target> {
        // A descriptor of a file without a name (`memfd_create`, `O_TMPFILE`, removed since).
        if place.path.is_empty() && (place.base.starts_with(b"/memfd:") || is_deleted(place.base)) {
            return None;
        }
        let mut absolute = std::mem::take(&mut self.absolute);
        place.absolute(&mut absolute);
        self.passed.clear();
        let resolved = self.resolver.resolve(&absolute, follow, event.given, event.who, &mut self.passed);
        self.absolute = absolute;
        for (path, found) in std::mem::take(&mut self.passed) {
            let bytes = path.as_os_str().as_bytes();
            // The folder that one is in, and those above it, are there whatever the path says.
            if self.is_ignored(bytes) || (is_folder(&found) && is_at_or_below(place.base, bytes)) {
                continue;
            }
            let kind = if matches!(found, Found::Link(_)) { AccessKind::Link } else { AccessKind::Kind };
            self.paths.add(Access { path, kind, found, pid: event.who.pid });
        }
        let target = match resolved {
            Resolved::Path { path, found } if !self.is_ignored(path.as_os_str().as_bytes()) => {
                Some((path, event.given.map_or(found, |given| given.found.clone())))
            }
            Resolved::Path { .. } | Resolved::Elsewhere => None,
            Resolved::Lost => {
                self.observed.poison("it followed a link by which each process sees something else");
                None
            }
            Resolved::Loop => Some((to_path(&self.absolute), look(&self.absolute))),
        };
        if self.wants_last && event.given.is_none() {
            self.last.clone_from(&target);
        }
        target
    }

    fn is_ignored(&self, path: &[u8]) -> bool {
        if let Some(inside) = path.strip_prefix(b"/proc/")
            && inside.first().is_some_and(u8::is_ascii_digit)
        {
            return true;
        }
        self.ignore.iter().any(|ignored| is_at_or_below(path, ignored))
    }

    fn add(&mut self, event: &Event<'_>, path: &Path, kind: AccessKind, found: Found) {
        self.paths.add(Access { path: path.to_path_buf(), kind, found, pid: event.who.pid });
    }

    fn simple(&mut self, event: &Event<'_>, kind: AccessKind) {
        if let Some((path, found)) = self.target(&event.place, event, event.follow) {
            self.paths.add(Access { path, kind, found, pid: event.who.pid });
        }
    }

    fn read_link(&mut self, event: &Event<'_>) {
        if let Some((path, found)) = self.target(&event.place, event, false) {
            let kind = if matches!(found, Found::Link(_)) { AccessKind::Link } else { AccessKind::Kind };
            self.paths.add(Access { path, kind, found, pid: event.who.pid });
        }
    }

    fn open(&mut self, event: &Event<'_>) {
        let flags = event.flags as i32;
        let exclusive = flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0;
        let follow = flags & libc::O_NOFOLLOW == 0 && !exclusive;
        let Some((path, found)) = self.target(&event.place, event, follow) else { return };
        if event.flags & TMPFILE == TMPFILE {
            return;
        }
        self.note_terminal(event, &path, flags);
        if flags & libc::O_PATH != 0 || (matches!(found, Found::Link(_)) && !exclusive) {
            return self.add(event, &path, AccessKind::Stat, found);
        }
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
        match &found {
            Found::Absent if flags & libc::O_CREAT != 0 && tree::may_create(&path) => {
                if exclusive {
                    self.add(event, &path, AccessKind::Kind, Found::Absent);
                }
                self.add(event, &path, AccessKind::Write { truncates: true }, found);
            }
            Found::Absent => {
                if flags & libc::O_CREAT != 0 {
                    self.unlikely.push((path.clone(), event.who.pid));
                    self.look_above(event, &path);
                }
                self.add(event, &path, AccessKind::Read, found);
            }
            _ if exclusive => self.add(event, &path, AccessKind::Kind, found),
            // Refused: it is no folder, which is all that is learned.
            Found::File(_) | Found::Other if flags & libc::O_DIRECTORY != 0 => {
                self.add(event, &path, AccessKind::Kind, found);
            }
            Found::Folder(_) if writes => self.add(event, &path, AccessKind::Kind, found),
            Found::Folder(_) => self.list(event, &path, found),
            Found::File(_) if writes && !tree::may_write(&path) => {
                self.add(event, &path, AccessKind::Kind, found);
            }
            _ if writes => {
                let truncates = flags & libc::O_TRUNC != 0;
                if !truncates {
                    self.add(event, &path, AccessKind::Read, found.clone());
                }
                self.add(event, &path, AccessKind::Write { truncates }, found);
            }
            _ => self.add(event, &path, AccessKind::Read, found),
        }
    }

    /// Shells open the terminal without waiting only to learn whether there is one; who wants to
    /// talk to a person waits for an answer.
    fn note_terminal(&mut self, event: &Event<'_>, path: &Path, flags: i32) {
        let bytes = path.as_os_str().as_bytes();
        let is_terminal =
            bytes == b"/dev/tty" || bytes.starts_with(b"/dev/pts/") && bytes != b"/dev/pts/ptmx";
        let reads =
            flags & libc::O_ACCMODE != libc::O_WRONLY && flags & (libc::O_NONBLOCK | libc::O_PATH) == 0;
        if is_terminal && reads && self.observed.read_terminal.is_none() {
            self.observed.read_terminal = Some(self.observed.process(event.who.pid).to_owned());
        }
    }

    /// Takes a listing, once per folder: only the first says what the step knew.
    fn list(&mut self, event: &Event<'_>, path: &Path, found: Found) {
        if self.paths.seen(path).is_some_and(|seen| seen.list.is_some()) {
            return;
        }
        match listing(path) {
            Some(names) => self.add(event, path, AccessKind::List(names), found),
            None => self.add(event, path, AccessKind::Stat, found),
        }
    }

    /// Nothing was made because of what lies, or does not lie, above.
    fn look_above(&mut self, event: &Event<'_>, path: &Path) {
        if let Some(above) = path.parent() {
            let found = look(above.as_os_str().as_bytes());
            self.add(event, above, AccessKind::Kind, found);
        }
    }

    /// New folder, link or special file.
    fn make(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Absent => {
                self.names_change(&path);
                if tree::may_create(&path) {
                    self.add(event, &path, AccessKind::Create, found);
                } else {
                    self.unlikely.push((path.clone(), event.who.pid));
                    self.look_above(event, &path);
                    self.add(event, &path, AccessKind::Kind, found);
                }
            }
            found => self.add(event, &path, AccessKind::Kind, found),
        }
    }

    fn truncate(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, true) else { return };
        if !matches!(found, Found::File(_)) {
            return self.add(event, &path, AccessKind::Kind, found);
        }
        let truncates = event.flags == 0;
        if !truncates {
            self.add(event, &path, AccessKind::Read, found.clone());
        }
        self.add(event, &path, AccessKind::Write { truncates }, found);
    }

    fn set_meta(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, event.follow) else { return };
        let kind = if found == Found::Absent { AccessKind::Kind } else { AccessKind::SetMeta };
        self.add(event, &path, kind, found);
    }

    fn change_root(&mut self, event: &Event<'_>) {
        if let Some((path, _)) = self.target(&event.place, event, true)
            && path != Path::new("/")
        {
            self.observed.poison(format!("{} changed its root folder", self.observed.process(event.who.pid)));
        }
    }

    /// Notes a connection, once.
    pub fn connection(&mut self, connection: Connection) {
        if self.connections.insert((connection.to.clone(), connection.by.clone())) {
            self.observed.connections.push(connection);
        }
    }

    /// Resolves the path of a socket; `None` where it is none of a step's business.
    pub fn socket_path(&mut self, event: &Event<'_>) -> Option<Target> {
        self.target(&event.place, event, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_saw_nothing_is_incomplete() {
        let why = Recorder::new(Spec::new("", Vec::new())).finish().incomplete;
        assert!(why.is_some_and(|why| why.contains("saw nothing")));
    }
}

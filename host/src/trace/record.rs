//! Turns events into accesses: resolves paths, looks at what lies there *before* the call goes on,
//! and decides what each call counts as. One [`Recorder`] per step; calls come in order.

use super::calls::Op;
use super::event::{Event, Place};
use super::exec;
use super::resolve::{Resolved, Resolver, is_deleted, look, to_path};
use super::{Spec, tree};
use crate::access::{Access, AccessKind, Connection, Listing, Observed};
use crate::stamp::Found;
use rustc_hash::{FxHashMap, FxHashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `renameat2` flags.
const RENAME_NOREPLACE: u64 = 1;
const RENAME_EXCHANGE: u64 = 2;
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
}

/// What is known of one step so far.
pub struct Recorder {
    pub(super) observed: Observed,
    pub(super) spec: Spec,
    resolver: Resolver,
    /// Paths as asked for, with what was asked: a repetition teaches nothing.
    known: FxHashMap<Box<[u8]>, u16>,
    /// What the step's PATH gives for a name.
    searches: FxHashMap<Vec<u8>, Option<PathBuf>>,
    /// Buffers that are used again.
    absolute: Vec<u8>,
    followed: Vec<super::resolve::Followed>,
    /// What the last event was about.
    last: Option<Target>,
    /// Connections, so that each is told once.
    connections: FxHashSet<(String, String)>,
    /// What was to be made in a folder that was not there, with who asked.
    unlikely: Vec<(PathBuf, u32)>,
    /// Executions begun.
    pub(super) execs: u64,
}

/// A resolved path and what lies there.
pub(super) type Target = (PathBuf, Found);

impl Recorder {
    /// Nothing seen yet.
    pub fn new(spec: Spec) -> Recorder {
        Recorder {
            observed: Observed::default(),
            spec,
            resolver: Resolver::default(),
            known: FxHashMap::default(),
            searches: FxHashMap::default(),
            absolute: Vec::new(),
            followed: Vec::new(),
            last: None,
            connections: FxHashSet::default(),
            unlikely: Vec::new(),
            execs: 0,
        }
    }

    /// Takes in one call, before it goes on.
    pub fn event(&mut self, event: &Event<'_>) {
        self.last = None;
        if self.is_repetition(event) {
            return;
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
            Op::Symlink | Op::Mknod | Op::Bind => self.make(event, false),
            Op::Mkdir => self.make(event, true),
            Op::Truncate => self.truncate(event),
            Op::SetMeta | Op::SetMetaFd => self.set_meta(event),
            Op::Chroot => self.change_root(event),
            Op::Connect | Op::Listen | Op::SendTo | Op::SocketCall | Op::Poison | Op::Refuse => {}
        }
    }

    /// The whole, at the end.
    pub fn finish(mut self) -> Observed {
        if self.execs == 0 {
            self.observed.poison("the tracer saw nothing, not even the start of the command");
        }
        self.add_what_was_made_after_all();
        self.observed
    }

    /// Two threads make a folder and something in it: the second call can be seen before the kernel has
    /// carried out the first, and succeed all the same. What is there at the end was made.
    fn add_what_was_made_after_all(&mut self) {
        for (path, pid) in std::mem::take(&mut self.unlikely) {
            if look(path.as_os_str().as_bytes()) == Found::Absent {
                continue;
            }
            let seen = self.observed.paths.entry(path.clone()).or_default();
            match &mut seen.change {
                // Changed later, by then it was there: still the step's own.
                Some(change) if !seen.removed => change.found = Found::Absent,
                Some(_) => {}
                None => {
                    self.observed.add(Access { path, kind: AccessKind::Create, found: Found::Absent, pid })
                }
            }
        }
    }

    /// What the last event was about, if anything.
    pub fn take_last_target(&mut self) -> Option<Target> {
        self.last.take()
    }

    /// The kernel has answered a question that we could only look at from outside, and what lay there was
    /// not what we saw. Unless the step itself changed it, somebody else did.
    pub fn correct(&mut self, path: &Path, before: &Found, now: &Found) {
        let Some(seen) = self.observed.paths.get_mut(path).filter(|_| before != now) else { return };
        if seen.change.is_some() {
            return;
        }
        let firsts = [&mut seen.read, &mut seen.stat, &mut seen.kind, &mut seen.link, &mut seen.exec];
        for first in firsts.into_iter().flatten().filter(|first| first.found == *before) {
            first.found = now.clone();
        }
    }

    fn is_repetition(&mut self, event: &Event<'_>) -> bool {
        let bit = match event.op {
            Op::Open | Op::OpenHow => match event.flags as i32 {
                flags if flags & libc::O_PATH != 0 => return false,
                flags if event.flags & TMPFILE != 0 || flags & libc::O_NOFOLLOW != 0 => return false,
                flags if flags & libc::O_EXCL != 0 => return false,
                flags if flags & libc::O_TRUNC != 0 => asked::TRUNCATE,
                flags if flags & libc::O_ACCMODE != libc::O_RDONLY => asked::MODIFY,
                flags if flags & libc::O_CREAT != 0 => asked::MODIFY,
                _ => asked::READ,
            },
            Op::Stat if event.follow => asked::STAT,
            Op::Stat => asked::LSTAT,
            Op::Access if event.follow => asked::ACCESS,
            Op::ReadLink => asked::LINK,
            Op::Exec => {
                // Before anything else: who runs what is told each time.
                self.execs += 1;
                asked::EXEC
            }
            _ => return false,
        };
        event.place.absolute(&mut self.absolute);
        if self.absolute.starts_with(b"/proc/") || self.absolute.starts_with(b"/dev/") {
            return false;
        }
        match self.known.get_mut(self.absolute.as_slice()) {
            Some(bits) if *bits & bit != 0 => {
                if event.op == Op::Exec {
                    self.name_process(event.who.pid, &self.absolute.clone());
                }
                true
            }
            Some(bits) => {
                *bits |= bit;
                false
            }
            None => {
                self.known.insert(self.absolute.as_slice().into(), bit);
                false
            }
        }
    }

    /// Names on which resolving may rest are about to change.
    fn names_change(&mut self, path: &Path) {
        self.resolver.forget(path.as_os_str().as_bytes());
        self.known.clear();
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
        self.followed.clear();
        let is_given = event.given.is_some();
        let resolved = self.resolver.resolve(&absolute, follow, is_given, event.who, &mut self.followed);
        self.absolute = absolute;
        for (path, text) in std::mem::take(&mut self.followed) {
            if !self.is_ignored(&path) {
                let found = Found::Link(text);
                self.observed.add(Access { path, kind: AccessKind::Link, found, pid: event.who.pid });
            }
        }
        let target = match resolved {
            Resolved::Path { path, found } if !self.is_ignored(&path) => {
                Some((path, event.given.cloned().unwrap_or(found)))
            }
            Resolved::Path { .. } | Resolved::Elsewhere => None,
            Resolved::Lost => {
                self.observed.poison("it followed a link by which each process sees something else");
                None
            }
            Resolved::Loop => Some((to_path(&self.absolute), look(&self.absolute))),
        };
        if event.given.is_none() {
            self.last.clone_from(&target);
        }
        target
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        if let Some(inside) = bytes.strip_prefix(b"/proc/")
            && inside.first().is_some_and(u8::is_ascii_digit)
        {
            return true;
        }
        self.spec.ignore.iter().any(|ignored| path.starts_with(ignored))
    }

    fn add(&mut self, event: &Event<'_>, path: &Path, kind: AccessKind, found: Found) {
        self.observed.add(Access { path: path.to_path_buf(), kind, found, pid: event.who.pid });
    }

    fn simple(&mut self, event: &Event<'_>, kind: AccessKind) {
        if let Some((path, found)) = self.target(&event.place, event, event.follow) {
            self.observed.add(Access { path, kind, found, pid: event.who.pid });
        }
    }

    fn read_link(&mut self, event: &Event<'_>) {
        if let Some((path, found)) = self.target(&event.place, event, false) {
            let kind = if matches!(found, Found::Link(_)) { AccessKind::Link } else { AccessKind::Kind };
            self.observed.add(Access { path, kind, found, pid: event.who.pid });
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
                self.add(event, &path, AccessKind::Write { truncates: true }, found);
            }
            Found::Absent => {
                if flags & libc::O_CREAT != 0 {
                    self.unlikely.push((path.clone(), event.who.pid));
                }
                self.add(event, &path, AccessKind::Read, found);
            }
            _ if exclusive => self.add(event, &path, AccessKind::Kind, found),
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
        if self.observed.seen(path).is_some_and(|seen| seen.list.is_some()) {
            return;
        }
        match listing(path) {
            Some(names) => self.add(event, path, AccessKind::List(names), found),
            None => self.add(event, path, AccessKind::Stat, found),
        }
    }

    fn remove_file(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Absent | Found::Folder(_) => self.add(event, &path, AccessKind::Kind, found),
            _ if !tree::may_create(&path) => self.add(event, &path, AccessKind::Kind, found),
            _ => {
                if matches!(found, Found::Link(_)) {
                    self.names_change(&path);
                }
                self.add(event, &path, AccessKind::Remove, found);
            }
        }
    }

    fn remove_folder(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Folder(_) if tree::is_empty_folder(&path) => {
                self.names_change(&path);
                self.add(event, &path, AccessKind::Remove, found);
            }
            // Refused by the kernel because of the names in it, which the caller now knows.
            Found::Folder(_) => self.list(event, &path, found),
            found => self.add(event, &path, AccessKind::Kind, found),
        }
    }

    /// New folder, link or special file. `mkdir -p` of a folder that is there asks nothing.
    fn make(&mut self, event: &Event<'_>, folder: bool) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Absent => {
                self.names_change(&path);
                if tree::may_create(&path) {
                    self.add(event, &path, AccessKind::Create, found);
                } else {
                    self.unlikely.push((path.clone(), event.who.pid));
                    self.add(event, &path, AccessKind::Kind, found);
                }
            }
            Found::Folder(_) if folder => {}
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

    fn link(&mut self, event: &Event<'_>) {
        let from = self.target(&event.place, event, event.follow);
        if let Some((path, found)) = &from {
            let kind = match found {
                Found::File(_) => AccessKind::Read,
                _ => AccessKind::Kind,
            };
            self.add(event, path, kind, found.clone());
        }
        let Some((path, found)) = self.target(&event.second, event, false) else { return };
        let gone = from.is_some_and(|(_, found)| found == Found::Absent);
        if found != Found::Absent || gone || !tree::may_create(&path) {
            return self.add(event, &path, AccessKind::Kind, found);
        }
        self.names_change(&path);
        self.add(event, &path, AccessKind::Create, found);
    }

    fn rename(&mut self, event: &Event<'_>) {
        let Some((from, what)) = self.target(&event.place, event, false) else { return };
        let Some((to, target)) = self.target(&event.second, event, false) else {
            return self.removed_tree(event, &from, &what);
        };
        let exchange = event.flags & RENAME_EXCHANGE != 0;
        if what == Found::Absent || (exchange && target == Found::Absent) {
            return self.add(event, &from, AccessKind::Kind, what);
        }
        let refused = match (&what, &target) {
            _ if exchange => false,
            (_, Found::Absent) => false,
            _ if event.flags & RENAME_NOREPLACE != 0 => true,
            (Found::Folder(_), Found::Folder(_)) => !tree::is_empty_folder(&to),
            (Found::Folder(_), _) | (_, Found::Folder(_)) => true,
            // Two names of one file: the kernel does nothing.
            (Found::File(one), Found::File(other)) => (one.dev, one.ino) == (other.dev, other.ino),
            _ => false,
        };
        if refused && matches!((&what, &target), (Found::Folder(_), Found::Folder(_))) {
            // Refused because of the names in it, which the caller now knows.
            self.add(event, &from, AccessKind::Kind, what);
            return self.list(event, &to, target);
        }
        if refused || !tree::may_create(&from) || !tree::may_create(&to) {
            return self.add(event, &to, AccessKind::Kind, target);
        }
        if !matches!((&what, &target), (Found::File(_), Found::File(_) | Found::Absent)) {
            self.names_change(&from);
            self.names_change(&to);
        }
        if exchange {
            self.read_tree(event, &from, &what);
            self.read_tree(event, &to, &target);
            self.moved_tree(event, &to, &from, &target);
        }
        self.moved_tree(event, &from, &to, &what);
    }

    /// Records each file below `from` as read, gone there and made below `to`.
    fn moved_tree(&mut self, event: &Event<'_>, from: &Path, to: &Path, what: &Found) {
        let target = look(to.as_os_str().as_bytes());
        if let Found::Folder(_) = what {
            let names = self.listed(event, from, what);
            self.add(event, from, AccessKind::Rename, what.clone());
            self.add(event, to, AccessKind::Create, target);
            for (name, _) in names {
                let (from, to) = (from.join(&name), to.join(&name));
                let what = look(from.as_os_str().as_bytes());
                self.moved_tree(event, &from, &to, &what);
            }
            return;
        }
        self.read_before_move(event, from, what);
        self.add(event, from, AccessKind::Rename, what.clone());
        let kind = match what {
            Found::File(_) => AccessKind::Write { truncates: true },
            _ => AccessKind::Create,
        };
        self.add(event, to, kind, target);
    }

    /// The same for a move to where nothing counts.
    fn removed_tree(&mut self, event: &Event<'_>, from: &Path, what: &Found) {
        if *what == Found::Absent {
            return self.add(event, from, AccessKind::Kind, Found::Absent);
        }
        self.names_change(from);
        if let Found::Folder(_) = what {
            for (name, _) in self.listed(event, from, what) {
                let from = from.join(&name);
                let what = look(from.as_os_str().as_bytes());
                self.removed_tree(event, &from, &what);
            }
        } else {
            self.read_before_move(event, from, what);
        }
        self.add(event, from, AccessKind::Remove, what.clone());
    }

    /// Records everything at and below a path that is about to be moved.
    fn read_tree(&mut self, event: &Event<'_>, path: &Path, what: &Found) {
        if let Found::Folder(_) = what {
            for (name, _) in self.listed(event, path, what) {
                let path = path.join(&name);
                let what = look(path.as_os_str().as_bytes());
                self.read_tree(event, &path, &what);
            }
        } else {
            self.read_before_move(event, path, what);
        }
    }

    fn listed(&mut self, event: &Event<'_>, path: &Path, found: &Found) -> Listing {
        let names = listing(path).unwrap_or_default();
        if self.observed.seen(path).is_none_or(|seen| seen.change.is_none()) {
            self.add(event, path, AccessKind::List(names.clone()), found.clone());
        }
        names
    }

    /// Content that is moved counts as read, unless the step had made it.
    fn read_before_move(&mut self, event: &Event<'_>, path: &Path, found: &Found) {
        if self.observed.seen(path).is_some_and(|seen| seen.change.is_some()) {
            return;
        }
        let kind = match found {
            Found::File(_) => AccessKind::Read,
            Found::Link(_) => AccessKind::Link,
            _ => AccessKind::Kind,
        };
        self.add(event, path, kind, found.clone());
    }

    fn exec(&mut self, event: &Event<'_>) {
        event.place.absolute(&mut self.absolute);
        let asked = self.absolute.clone();
        let Some((path, found)) = self.target(&event.place, event, event.follow) else {
            return self.name_process(event.who.pid, &asked);
        };
        if found != Found::Absent {
            self.name_process(event.who.pid, &asked);
            self.note_search(&asked, &path);
        }
        let is_file = matches!(found, Found::File(_));
        self.add(event, &path, AccessKind::Exec, found);
        if is_file {
            self.interpreters(event, &path, exec::DEPTH_MAX);
        }
    }

    /// What the kernel opens by itself to execute a file: no call shows it.
    fn interpreters(&mut self, event: &Event<'_>, path: &Path, depth: usize) {
        let program = match exec::inspect(path, self.spec.no_new_privileges) {
            Ok(program) => program,
            Err(why) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                return self.observed.poison(format!("{name} {why}"));
            }
        };
        let (Some(interpreter), true) = (program.interpreter, depth > 0) else { return };
        let place = Place { base: event.place.base, path: interpreter.as_os_str().as_bytes() };
        let Some((path, found)) = self.target(&place, event, true) else { return };
        let is_file = matches!(found, Found::File(_));
        self.note_search(place.path, &path);
        self.add(event, &path, AccessKind::Exec, found);
        if is_file && program.is_script {
            self.interpreters(event, &path, depth - 1);
        }
    }

    fn name_process(&mut self, pid: u32, path: &[u8]) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        self.observed.processes.insert(pid, String::from_utf8_lossy(name).into_owned());
    }

    /// Notes a program whose path is what a search of PATH gives for its name.
    fn note_search(&mut self, asked: &[u8], resolved: &Path) {
        let Some(slash) = asked.iter().rposition(|byte| *byte == b'/') else { return };
        let name = &asked[slash + 1..];
        if !self.searches.contains_key(name) {
            let found = exec::search(OsStr::from_bytes(name), &self.spec.path);
            self.searches.insert(name.to_vec(), found);
        }
        if let Some(Some(found)) = self.searches.get(name)
            && found.as_os_str().as_bytes() == asked
        {
            let name = String::from_utf8_lossy(name).into_owned();
            self.observed.searched.insert(name, resolved.to_path_buf());
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

/// The names in a folder, sorted, with their kinds; `None` if it cannot be listed.
fn listing(path: &Path) -> Option<Listing> {
    let mut names: Listing = std::fs::read_dir(path)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| {
            let letter = match entry.file_type() {
                Ok(kind) if kind.is_file() => b'f',
                Ok(kind) if kind.is_dir() => b'd',
                Ok(kind) if kind.is_symlink() => b'l',
                _ => b'o',
            };
            (OsString::from(entry.file_name()), letter)
        })
        .collect();
    names.sort_unstable();
    Some(names)
}

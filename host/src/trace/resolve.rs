//! Following a path component by component as the kernel does, noting each symlink on the way.
//!
//! What folders and links were found is remembered for the time of one step; whoever sees the step
//! change names must call [`Resolver::forget`].

use crate::stamp::{Found, Stamp};
use rustc_hash::FxHashMap;
use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Resolved {
    /// To a place in the file system; nothing need lie there.
    Path {
        /// Absolute, without links on the way.
        path: PathBuf,
        /// What lies there.
        found: Found,
    },
    /// To a pipe, a socket, a memory file, or to `/proc` of some process: no lasting place.
    Elsewhere,
    /// Nobody knows any more: it went by a link of `/proc`, and who asked has gone on since.
    Lost,
    /// Nowhere: links in a circle.
    Loop,
}

/// What the way led through and the end of it does not show: a symlink that was followed, a folder that
/// `..` left again, a file with a slash after it.
pub type Passed = (PathBuf, Found);

/// What lies at the end of a path, as the kernel has answered already.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// This; links were followed as the call follows them.
    pub found: &'a Found,
    /// Whether it is certain that the last name is no symlink: then this lies there itself.
    pub is_no_link: bool,
}

/// What is known of a path on the way.
enum Node {
    Folder,
    Link(Box<[u8]>),
}

/// The memory of one step.
#[derive(Default)]
pub struct Resolver {
    nodes: FxHashMap<Box<[u8]>, Node>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// Its process, for messages: a number that was used again may name the former owner.
    pub pid: u32,
    /// The thread, which waits for our answer; what is looked up in `/proc` is looked up for it. 0 where it
    /// has gone on.
    pub tid: u32,
}

impl Resolver {
    /// Resolves an absolute path. What it leads through is handed to `passed`. What is given is not
    /// looked at again, but to find the place.
    pub fn resolve(
        &mut self,
        path: &[u8],
        follow_last: bool,
        given: Option<Given<'_>>,
        who: Who,
        passed: &mut Vec<Passed>,
    ) -> Resolved {
        debug_assert!(passed.is_empty());
        match self.plain(path, follow_last, given) {
            Some(found) => Resolved::Path { path: to_path(path), found },
            None => self.walk(path.to_vec(), follow_last, who, passed),
        }
    }

    /// The frequent case: the path leads where it says, since its parent is known as a folder, the text has
    /// nothing to collapse, and its last name is no link that is followed. What lies there.
    pub fn plain(&self, path: &[u8], follow_last: bool, given: Option<Given<'_>>) -> Option<Found> {
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        let (parent, name) = (&path[..slash], &path[slash + 1..]);
        if name.is_empty() || name == b"." || name == b".." || path.starts_with(b"/proc/") {
            return None;
        }
        if !parent.is_empty() && !matches!(self.nodes.get(parent), Some(Node::Folder)) {
            return None;
        }
        if let Some(given) = given.filter(|given| !follow_last || given.is_no_link) {
            return Some(given.found.clone());
        }
        match look(path) {
            Found::Link(_) if follow_last => None,
            found => Some(given.map_or(found, |given| given.found.clone())),
        }
    }

    fn walk(&mut self, path: Vec<u8>, follow_last: bool, who: Who, passed: &mut Vec<Passed>) -> Resolved {
        // What is to walk, how far we are in it, and where that is: never with a slash at the end.
        let mut rest = path;
        let mut end = 0;
        let mut here: Vec<u8> = Vec::with_capacity(rest.len());
        let mut hops = 0;
        loop {
            let start = rest[end..].iter().position(|byte| *byte != b'/').map_or(rest.len(), |at| end + at);
            end = rest[start..].iter().position(|byte| *byte == b'/').map_or(rest.len(), |at| start + at);
            let name = &rest[start..end];
            if name.is_empty() {
                return finish(&here);
            }
            let after = &rest[end..];
            let is_last = after.iter().all(|byte| *byte == b'/');
            if name == b"." || name == b".." {
                if name == b".." && !here.is_empty() {
                    passed.push((to_path(&here), look(&here)));
                    here.truncate(here.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                }
                continue;
            }
            let parent = here.len();
            here.push(b'/');
            here.extend_from_slice(name);
            if let Some(step) = magic(&here, after, who, is_last && !follow_last && after.is_empty()) {
                match step {
                    Magic::Elsewhere => return Resolved::Elsewhere,
                    Magic::Lost => return Resolved::Lost,
                    Magic::Jump(to) => {
                        hops += 1;
                        if hops > LINKS_MAX {
                            return Resolved::Loop;
                        }
                        (rest, end) = ([&to, after].concat(), 0);
                        here.clear();
                        continue;
                    }
                }
            }
            // A slash after the last name asks for what a link leads to.
            if is_last && !follow_last && after.is_empty() {
                return finish(&here);
            }
            let link = match self.node(&here) {
                Ok(Node::Folder) => None,
                Ok(Node::Link(text)) => Some(text.to_vec()),
                // A slash after what is no folder: the kernel says so, and goes no further.
                Err(found) if is_last && found != Found::Absent && !after.is_empty() => {
                    passed.push((to_path(&here), found));
                    return Resolved::Elsewhere;
                }
                Err(found) if is_last => return Resolved::Path { path: to_path(&here), found },
                // `..` of what is not there is not there either, whatever its text collapses to.
                Err(found) if after.split(|byte| *byte == b'/').any(|name| name == b"..") => {
                    return Resolved::Path { path: to_path(&here), found };
                }
                // A missing or non-folder parent: the whole path is what is not there.
                Err(_) => return Resolved::Path { path: lexical(here, after), found: Found::Absent },
            };
            let Some(text) = link else { continue };
            passed.push((to_path(&here), Found::Link(OsString::from_vec(text.clone()))));
            hops += 1;
            if hops > LINKS_MAX {
                return Resolved::Loop;
            }
            here.truncate(if text.starts_with(b"/") { 0 } else { parent });
            (rest, end) = ([&text, after].concat(), 0);
        }
    }

    /// What lies on the way, if it is a folder or link.
    fn node(&mut self, path: &[u8]) -> Result<&Node, Found> {
        if !self.nodes.contains_key(path) {
            let node = match look(path) {
                Found::Folder(_) => Node::Folder,
                Found::Link(text) => Node::Link(text.into_vec().into()),
                found => return Err(found),
            };
            self.nodes.insert(path.into(), node);
        }
        Ok(&self.nodes[path])
    }

    /// The name at `path` is about to change: nothing remembered of it, or below it, holds.
    pub fn forget(&mut self, path: &[u8]) {
        match self.nodes.remove(path) {
            None | Some(Node::Link(_)) => {}
            Some(Node::Folder) => {
                self.nodes
                    .retain(|known, _| !(known.starts_with(path) && known.get(path.len()) == Some(&b'/')));
            }
        }
    }
}

fn finish(here: &[u8]) -> Resolved {
    let path: &[u8] = if here.is_empty() { b"/" } else { here };
    let found = look(path);
    Resolved::Path { path: to_path(path), found }
}

/// Joins the rest by text: nothing of it exists, so there is nothing to follow.
fn lexical(mut here: Vec<u8>, rest: &[u8]) -> PathBuf {
    for name in rest.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => here.truncate(here.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            name => {
                here.push(b'/');
                here.extend_from_slice(name);
            }
        }
    }
    if here.is_empty() {
        here.push(b'/');
    }
    PathBuf::from(OsString::from_vec(here))
}

enum Magic {
    /// Go on from this absolute path.
    Jump(Vec<u8>),
    Elsewhere,
    Lost,
}

/// Links of `/proc` whose meaning depends on who asks, or which lead to what has no name.
fn magic(here: &[u8], after: &[u8], who: Who, link_itself: bool) -> Option<Magic> {
    let inside = here.strip_prefix(b"/proc/")?;
    // A thread has an entry of its own, with the same descriptors as its process.
    if inside == b"self" || inside == b"thread-self" {
        let has_links = |name: &[u8]| matches!(name, b"fd" | b"cwd" | b"root" | b"exe" | b"task");
        return Some(match who.tid {
            0 if after.split(|byte| *byte == b'/').any(has_links) => Magic::Lost,
            0 => Magic::Elsewhere,
            tid => Magic::Jump(format!("/proc/{tid}").into_bytes()),
        });
    }
    if !inside.first()?.is_ascii_digit() {
        return None;
    }
    if who.tid == 0 && !link_itself {
        return Some(Magic::Lost);
    }
    let mut parts = inside.split(|byte| *byte == b'/').skip(1);
    let mut part = parts.next();
    if part == Some(b"task") {
        parts.next();
        part = parts.next();
    }
    match part {
        // Still on the way.
        None => None,
        Some(b"fd") => {
            let _number = parts.next()?;
            if link_itself {
                return Some(Magic::Elsewhere);
            }
            Some(jump(here))
        }
        Some(b"cwd" | b"root" | b"exe") if !link_itself => Some(jump(here)),
        Some(_) => Some(Magic::Elsewhere),
    }
}

fn jump(link: &[u8]) -> Magic {
    match std::fs::read_link(OsStr::from_bytes(link)).map(|text| text.into_os_string().into_vec()) {
        Ok(text) if text.starts_with(b"/") && !is_deleted(&text) && !text.starts_with(b"/memfd:") => {
            Magic::Jump(text)
        }
        _ => Magic::Elsewhere,
    }
}

/// Whether the kernel says that a path's name is gone. A file may really be called so.
pub fn is_deleted(path: &[u8]) -> bool {
    path.ends_with(b" (deleted)") && look(path) == Found::Absent
}

/// What lies at an absolute path, links not followed. What may not be looked at counts as
/// something that is neither file, folder nor link.
pub fn look(path: &[u8]) -> Found {
    if path.len() >= 4096 {
        return Found::Absent;
    }
    let mut buffer = [0u8; 4097];
    buffer[..path.len()].copy_from_slice(path);
    let Ok(name) = CStr::from_bytes_until_nul(&buffer) else {
        return Found::Absent;
    };
    match lstat(name) {
        Ok(meta) => found(&meta, path),
        Err(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => Found::Absent,
        Err(_) => Found::Other,
    }
}

#[allow(unsafe_code, reason = "one lstat without the allocations of std")]
fn lstat(name: &CStr) -> Result<libc::stat64, i32> {
    // SAFETY: all-zero is a valid `stat64`, which is plain numbers.
    let mut meta: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with zero, and `meta` is ours to write.
    match unsafe { libc::lstat64(name.as_ptr(), &mut meta) } {
        0 => Ok(meta),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
    }
}

fn found(meta: &libc::stat64, path: &[u8]) -> Found {
    let stamp = || Stamp {
        dev: meta.st_dev,
        ino: meta.st_ino,
        size: u64::try_from(meta.st_size).unwrap_or(0),
        mtime_ns: meta.st_mtime.saturating_mul(1_000_000_000).saturating_add(meta.st_mtime_nsec),
        ctime_ns: meta.st_ctime.saturating_mul(1_000_000_000).saturating_add(meta.st_ctime_nsec),
        mode: meta.st_mode,
    };
    match meta.st_mode & libc::S_IFMT {
        libc::S_IFREG => Found::File(stamp()),
        libc::S_IFDIR => Found::Folder(stamp()),
        libc::S_IFLNK => match std::fs::read_link(OsStr::from_bytes(path)) {
            Ok(text) => Found::Link(text.into_os_string()),
            Err(_) => Found::Absent,
        },
        _ => Found::Other,
    }
}

/// Bytes as a path.
pub fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const WHO: Who = Who { pid: 1, tid: 1 };

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn resolve(resolver: &mut Resolver, path: &std::path::Path, follow: bool) -> (PathBuf, u8, usize) {
        let mut passed = Vec::new();
        match resolver.resolve(path.as_os_str().as_bytes(), follow, None, WHO, &mut passed) {
            Resolved::Path { path, found } => (path, found.letter(), passed.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn links_are_followed_physically_and_noted() {
        let tmp = folder();
        let root = tmp.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::fs::write(root.join("real/f"), "x").unwrap();
        symlink("real/deep", root.join("link")).unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("real/f", root.join("b")).unwrap();
        let mut resolver = Resolver::default();
        assert_eq!(resolve(&mut resolver, &root.join("link/../f"), true), (root.join("real/f"), b'f', 2));
        assert_eq!(resolve(&mut resolver, &root.join("a"), true), (root.join("real/f"), b'f', 2));
        assert_eq!(resolve(&mut resolver, &root.join("a"), false), (root.join("a"), b'l', 0));
        assert_eq!(resolve(&mut resolver, &root.join("no/../x"), true), (root.join("no"), b'-', 0));
        assert_eq!(resolve(&mut resolver, &root.join("real/f/g"), true), (root.join("real/f/g"), b'-', 0));
    }

    #[test]
    fn what_the_end_of_a_way_does_not_show_is_noted() {
        let tmp = folder();
        let root = tmp.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("f"), "x").unwrap();
        let passed = |path: &str| {
            let mut passed = Vec::new();
            let path = format!("{}/{path}", root.display());
            let resolved = Resolver::default().resolve(path.as_bytes(), true, None, WHO, &mut passed);
            let name = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            let passed: Vec<String> = passed
                .into_iter()
                .map(|(path, found)| format!("{} {}", found.letter() as char, name(path)))
                .collect();
            (resolved == Resolved::Elsewhere, passed.join(", "))
        };
        assert_eq!(passed("a/b/../../f"), (false, "d a/b, d a".to_owned()));
        assert_eq!(passed("a/./b"), (false, String::new()));
        assert_eq!(passed("f/"), (true, "f f".to_owned()));
        assert_eq!(passed("a/"), (false, String::new()));
        assert_eq!(passed("new/"), (false, String::new()));
    }

    #[test]
    fn a_circle_of_links_is_a_loop() {
        let tmp = folder();
        symlink("y", tmp.path().join("x")).unwrap();
        symlink("x", tmp.path().join("y")).unwrap();
        let path = tmp.path().canonicalize().unwrap().join("x");
        let resolved =
            Resolver::default().resolve(path.as_os_str().as_bytes(), true, None, WHO, &mut Vec::new());
        assert_eq!(resolved, Resolved::Loop);
    }

    #[test]
    fn what_is_forgotten_is_looked_at_again() {
        let tmp = folder();
        let root = tmp.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::create_dir(root.join("e")).unwrap();
        let mut resolver = Resolver::default();
        assert_eq!(resolve(&mut resolver, &root.join("d/x"), true).0, root.join("d/x"));
        std::fs::remove_dir(root.join("d")).unwrap();
        symlink("e", root.join("d")).unwrap();
        resolver.forget(root.join("d").as_os_str().as_bytes());
        assert_eq!(resolve(&mut resolver, &root.join("d/x"), true).0, root.join("e/x"));
    }

    #[test]
    fn descriptors_without_a_place_lead_elsewhere() {
        let who = Who { pid: std::process::id(), tid: std::process::id() };
        let resolved = Resolver::default().resolve(b"/proc/self/status", true, None, who, &mut Vec::new());
        assert_eq!(resolved, Resolved::Elsewhere);
    }
}

//! Looking at, and changing, what lies below a folder without following a link on the way: a stored
//! path means the same folders as when it was stored, or nothing. Folders are held open one within the
//! other, so that paths in the order of their names cost one call each.
//!
//! What a path may be, and what may be done with what lies there, is decided elsewhere.

use crate::stamp::{self, Found, Stamp};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A folder, and the way to the last path below it that was asked for.
pub struct Beneath {
    root: OwnedFd,
    /// The folders entered, outermost first: where the name of each ends in `way`, and the folder.
    open: Vec<(usize, OwnedFd)>,
    way: Vec<u8>,
    /// The last folder that could not be entered, and what is there instead.
    stop: Option<(Vec<u8>, Stop)>,
}

/// Why a folder cannot be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing is there.
    Missing,
    /// A file.
    File,
    /// A link, which may lead elsewhere; or what may not be looked into.
    Other,
}

/// The folder of a path and its name in it. The root itself has the name `.`.
pub fn split(path: &[u8]) -> (&[u8], &OsStr) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], OsStr::from_bytes(&path[slash + 1..])),
        None => (b"", OsStr::from_bytes(path)),
    }
}

impl Beneath {
    /// Opens the folder. Links on the way to it are followed.
    pub fn open(root: &Path) -> io::Result<Beneath> {
        let root = rustix::fs::open(root, FOLDER, Mode::empty())?;
        Ok(Beneath { root, open: Vec::new(), way: Vec::new(), stop: None })
    }

    /// What lies at a path below it. [`Found::Other`] where a link or a file is on the way.
    pub fn look(&mut self, path: &[u8]) -> io::Result<Found> {
        let (folder, name) = split(path);
        match self.enter(folder) {
            Ok(folder) => found_in(folder, name),
            Err(Stop::Missing) => Ok(Found::Absent),
            Err(Stop::File | Stop::Other) => Ok(Found::Other),
        }
    }

    /// Enters the folder at a path; empty is the root.
    pub fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Stop> {
        if let Some((there, stop)) = &self.stop {
            if path
                .strip_prefix(there.as_slice())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            {
                return Err(*stop);
            }
        }
        let shared = self.go_back_to(path);
        let mut at = shared;
        while at < path.len() {
            let start = if at == 0 { 0 } else { at + 1 };
            let end =
                path[start..].iter().position(|byte| *byte == b'/').map_or(path.len(), |next| start + next);
            let name = OsStr::from_bytes(&path[start..end]);
            match rustix::fs::openat(self.here(), name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(folder) => {
                    self.open.push((end, folder));
                    self.way.clear();
                    self.way.extend_from_slice(&path[..end]);
                }
                Err(error) => {
                    let stop = stop(error, self.here(), name);
                    self.stop = Some((path[..end].to_vec(), stop));
                    return Err(stop);
                }
            }
            at = end;
        }
        Ok(self.here())
    }

    /// Enters the folder at a path, making it and those above it where they are missing. `made` is
    /// told of each.
    pub fn make(&mut self, path: &[u8], made: &mut dyn FnMut(&[u8])) -> io::Result<BorrowedFd<'_>> {
        self.stop = None;
        if self.enter(path).is_ok() {
            return self.enter(path).map_err(|_| Errno::NOTDIR.into());
        }
        self.stop = None;
        let mut ends: Vec<usize> =
            path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
        ends.push(path.len());
        for end in ends.into_iter().filter(|end| *end > 0) {
            match self.enter(&path[..end]) {
                Ok(_) => continue,
                Err(Stop::Missing) => self.stop = None,
                Err(_) => return Err(Errno::NOTDIR.into()),
            }
            let (above, name) = split(&path[..end]);
            let above = self.enter(above).map_err(|_| io::Error::from(Errno::NOTDIR))?;
            match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => made(&path[..end]),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.enter(path).map_err(|_| Errno::NOTDIR.into())
    }

    /// Forgets what was seen, as it may have changed.
    pub fn look_anew(&mut self) {
        self.open.clear();
        self.way.clear();
        self.stop = None;
    }

    fn here(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.open.last().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd())
    }

    /// Leaves folders that are not on the way to a path. Gives how much of it is entered.
    fn go_back_to(&mut self, path: &[u8]) -> usize {
        let is_on_way = |end: usize, way: &[u8]| {
            path.get(..end) == way.get(..end) && matches!(path.get(end), None | Some(b'/'))
        };
        // Most often the last path was in the same folder.
        let keep = (0..self.open.len()).rev().find(|index| is_on_way(self.open[*index].0, &self.way));
        self.open.truncate(keep.map_or(0, |index| index + 1));
        let entered = self.open.last().map_or(0, |(end, _)| *end);
        self.way.truncate(entered);
        entered
    }
}

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn stop(error: Errno, folder: BorrowedFd, name: &OsStr) -> Stop {
    match error {
        Errno::NOENT | Errno::NAMETOOLONG => Stop::Missing,
        Errno::NOTDIR => match found_in(folder, name) {
            Ok(Found::Absent) => Stop::Missing,
            Ok(Found::File(_)) => Stop::File,
            _ => Stop::Other,
        },
        _ => Stop::Other,
    }
}

/// What has this name in a folder, links not followed.
pub fn found_in(folder: BorrowedFd, name: &OsStr) -> io::Result<Found> {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(error) => return absent_or(error),
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Found::File(Stamp::of_stat(&stat)),
        FileType::Directory => Found::Folder(Stamp::of_stat(&stat)),
        FileType::Symlink => match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(text) => Found::Link(OsString::from_vec(text.into_bytes())),
            Err(error) => return absent_or(error),
        },
        _ => Found::Other,
    })
}

fn absent_or(error: Errno) -> io::Result<Found> {
    let error = io::Error::from(error);
    if stamp::is_absence(&error) { Ok(Found::Absent) } else { Err(error) }
}

/// Moves a file or link to a name in a folder where nothing may be; an error of kind `AlreadyExists`
/// where something is.
pub fn move_to_free(from: &Path, folder: BorrowedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, folder, name, RenameFlags::NOREPLACE) {
        // Some file systems do not know how: then looking just before is what there is.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match found_in(folder, name)? {
            Found::Absent => Ok(rustix::fs::renameat(CWD, from, folder, name)?),
            _ => Err(Errno::EXIST.into()),
        },
        other => Ok(other?),
    }
}

/// Moves a file or link over what has a name in a folder, if that is still what was found there.
pub fn move_over(from: &Path, folder: BorrowedFd, name: &OsStr, found: &Found) -> io::Result<()> {
    if found_in(folder, name)? != *found {
        return Err(Errno::EXIST.into());
    }
    Ok(rustix::fs::renameat(CWD, from, folder, name)?)
}

/// Removes a file, link or empty folder, if it is still what was found there.
pub fn remove(folder: BorrowedFd, name: &OsStr, found: &Found) -> io::Result<()> {
    let now = found_in(folder, name)?;
    let flags = match (&now, found) {
        (Found::Absent, _) => return Ok(()),
        // Its times changed when what was in it went.
        (Found::Folder(_), Found::Folder(_)) => AtFlags::REMOVEDIR,
        (now, then) if now == then => AtFlags::empty(),
        _ => return Err(Errno::EXIST.into()),
    };
    match rustix::fs::unlinkat(folder, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_and_no_file_on_the_way_is_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).expect("folders");
        fs::create_dir_all(dir.path().join("outside")).expect("a folder");
        fs::write(dir.path().join("outside/f"), "x").expect("a file");
        fs::write(root.join("a/b/f"), "x").expect("a file");
        symlink(dir.path().join("outside"), root.join("a/link")).expect("a link");
        let mut beneath = Beneath::open(&root).expect("opens");
        let letters: Vec<u8> = ["a/b/f", "a/link", "a/link/f", "a/b/f/x", "a/c/d", "a/b", "a", "a/b/g", "x"]
            .into_iter()
            .map(|path| beneath.look(path.as_bytes()).expect("looks").letter())
            .collect();
        assert_eq!(String::from_utf8(letters).expect("letters"), "flo".to_owned() + "o-dd--");
        let mut made = Vec::new();
        assert!(beneath.make(b"a/link/new", &mut |_| {}).is_err());
        beneath.make(b"a/c/d", &mut |path| made.push(path.to_vec())).expect("makes");
        assert_eq!(made, [b"a/c".to_vec(), b"a/c/d".to_vec()]);
        assert!(root.join("a/c/d").is_dir() && !dir.path().join("outside/new").exists());
    }

    #[test]
    fn what_has_changed_is_neither_replaced_nor_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
        file("new", "new");
        file("old", "old");
        let mut beneath = Beneath::open(dir.path()).expect("opens");
        let then = beneath.look(b"old").expect("looks");
        file("old", "edited");
        let here = beneath.enter(b"").expect("is a folder");
        let (new, old) = (dir.path().join("new"), OsStr::new("old"));
        assert!(move_over(&new, here, old, &then).is_err());
        assert!(move_to_free(&new, here, old).is_err());
        assert!(remove(here, old, &then).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("old")).expect("is there"), "edited");
        let now = found_in(here, old).expect("looks");
        move_over(&new, here, old, &now).expect("is as it was found");
        assert_eq!(fs::read_to_string(dir.path().join("old")).expect("is there"), "new");
    }
}

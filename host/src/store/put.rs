//! The hands of a restore: what changes the disk below the root. Files land by rename, so a reader sees
//! the old one or the new one; no link on the way is followed; and what is no longer as it was found
//! stays as it is. What is to be done is decided elsewhere (`survey.rs`, `replay.rs`).

use super::format::OutputKind;
use super::replay::ReplayError;
use super::scratch::{BESIDE, Scratch};
use super::{StoreError, io_error};
use crate::beneath::{self, Beneath};
use crate::path::{Places, PortablePath};
use crate::stamp::Found;
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What changes things below the root.
pub(super) struct Hands<'a> {
    root: Beneath,
    places: &'a Places,
    scratch: &'a Scratch,
}

impl<'a> Hands<'a> {
    pub(super) fn open(places: &'a Places, scratch: &'a Scratch) -> Result<Hands<'a>, StoreError> {
        let root = Beneath::open(&places.root).map_err(io_error("open", &places.root))?;
        Ok(Hands { root, places, scratch })
    }

    /// Forgets what was seen, as it has changed.
    pub(super) fn look_anew(&mut self) {
        self.root.look_anew();
    }

    fn failed(
        &self,
        what: &'static str,
        path: &PortablePath,
    ) -> impl FnOnce(io::Error) -> ReplayError + use<> {
        let (absolute, path) = (self.places.absolute(path), path.clone());
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => ReplayError::Changed(path),
            _ => StoreError::Io { what, path: absolute, source }.into(),
        }
    }

    /// Removes a file, a link or an empty folder, if it is still what was found.
    pub(super) fn remove(&mut self, path: &PortablePath, found: &Found) -> Result<(), ReplayError> {
        let failed = self.failed("remove", path);
        let (folder, name) = beneath::split(path.as_bytes());
        match self.root.enter(folder) {
            Ok(folder) => beneath::remove(folder, name, found).map_err(failed),
            // Whoever removed the folder has done it.
            Err(_) => Ok(()),
        }
    }

    /// Puts an output where this was found. `unpacked` is its content, where it is a file, and otherwise a
    /// free name. `made` takes the folders that had to be made.
    pub(super) fn put(
        &mut self,
        path: &PortablePath,
        kind: &OutputKind,
        unpacked: &Path,
        found: &Found,
        made: &mut Vec<PortablePath>,
    ) -> Result<(), ReplayError> {
        let mut note = |folder: &[u8]| made.push(PortablePath::from_bytes(folder));
        if *kind == OutputKind::Folder {
            let entered = self.root.make(path.as_bytes(), &mut note).map(drop);
            return entered.map_err(self.failed("create", path));
        }
        let (folder, name) = beneath::split(path.as_bytes());
        let placed = self.root.make(folder, &mut note).and_then(|folder| {
            if let OutputKind::Link(text) = kind {
                std::os::unix::fs::symlink(OsStr::from_bytes(text), unpacked)?;
            }
            match move_to(unpacked, folder, name, found) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    let beside = copy_beside(self.scratch, unpacked, &self.places.absolute(path), folder)?;
                    move_to(&beside, folder, name, found).inspect_err(|_| drop(fs::remove_file(&beside)))
                }
                other => other,
            }
        });
        placed.map_err(self.failed("put in place", path))
    }
}

fn move_to(from: &Path, folder: BorrowedFd, name: &OsStr, found: &Found) -> io::Result<()> {
    match found {
        Found::Absent => beneath::move_to_free(from, folder, name),
        found => beneath::move_over(from, folder, name, found),
    }
}

/// Where the target is on another file system: a copy beside it, so that a reader still sees the old
/// file or the new one.
fn copy_beside(scratch: &Scratch, from: &Path, target: &Path, folder: BorrowedFd) -> io::Result<PathBuf> {
    let own = scratch.path().file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{BESIDE}{own}");
    let beside = target.with_file_name(&name);
    scratch.note_elsewhere(&beside)?;
    if from.is_symlink() {
        rustix::fs::symlinkat(fs::read_link(from)?, folder, &name)?;
        return Ok(beside);
    }
    let mut from = fs::File::open(from)?;
    let mode = {
        use std::os::unix::fs::MetadataExt;
        Mode::from_raw_mode(from.metadata()?.mode() & 0o777)
    };
    let flags = rustix::fs::OFlags::WRONLY
        | rustix::fs::OFlags::CREATE
        | rustix::fs::OFlags::EXCL
        | rustix::fs::OFlags::CLOEXEC;
    let mut to = fs::File::from(rustix::fs::openat(folder, &name, flags, mode)?);
    io::copy(&mut from, &mut to)?;
    Ok(beside)
}

//! Folders for what is being written: one per use, locked while its process lives. What a process left
//! behind when it died is removed by the next that looks, together with the files that it had beside
//! their targets on other file systems.
//!
//! A folder is known to be left behind by its lock, not by a process number: those are used again, and
//! mean something else in another container that shares the cache.

use super::StoreError;
use super::private::{lock_briefly, make_private_folder, new_private};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The file in which a folder lists what it has elsewhere, each path ended by a NUL.
const ELSEWHERE: &str = "elsewhere";

/// So often the folder that all of them are in is made, if others remove it at the same time.
const TRIES_MAX: usize = 1000;

/// A folder for temporary files. It goes when this is dropped.
pub(super) struct Scratch {
    parent: PathBuf,
    folder: tempfile::TempDir,
    /// Held while the folder is used.
    _lock: File,
}

impl Scratch {
    /// Makes a new one in `parent`, on the same file system as what it is for.
    pub(super) fn new(parent: &Path) -> Result<Scratch, StoreError> {
        let failed = |source| StoreError::Io {
            what: "create a temporary folder in",
            path: parent.to_path_buf(),
            source,
        };
        let mut tried = 0;
        loop {
            tried += 1;
            match make_private_folder(parent) {
                Ok(()) => {}
                // Whoever had the last one has removed it just when it was there.
                Err(StoreError::Io { source, .. }) if tried < TRIES_MAX && is_gone(&source, parent) => {
                    continue;
                }
                Err(StoreError::Io { source, .. }) => return Err(failed(source)),
                Err(other) => return Err(other),
            }
            // The lock of the parent: nobody takes the new folder for left behind before it is locked.
            let guard = match File::open(parent) {
                Ok(guard) => guard,
                // Whoever had the last one has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            lock_briefly(&guard, false).map_err(failed)?;
            let made = tempfile::Builder::new().prefix("").rand_bytes(12).tempdir_in(parent);
            let folder = match made {
                Ok(folder) => folder,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let lock = File::open(folder.path()).map_err(failed)?;
            lock_briefly(&lock, false).map_err(failed)?;
            return Ok(Scratch { parent: parent.to_path_buf(), folder, _lock: lock });
        }
    }

    pub(super) fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Notes a file that is about to be made elsewhere, so that it is not forgotten.
    pub(super) fn note_elsewhere(&self, path: &Path) -> io::Result<()> {
        let list = self.folder.path().join(ELSEWHERE);
        let mut list = match new_private(&list) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::OpenOptions::new().append(true).open(&list)?
            }
            other => other?,
        };
        list.write_all(&[path.as_os_str().as_bytes(), b"\0"].concat())
    }
}

/// Whether a folder could not be made because it was there for a moment.
fn is_gone(error: &io::Error, folder: &Path) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => folder.parent().is_some_and(Path::is_dir),
        io::ErrorKind::AlreadyExists => folder.symlink_metadata().is_err(),
        _ => false,
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next process that looks.
        let _ = fs::remove_dir_all(self.folder.path());
        // Without this folder a run needs no look into it. It fails where another process has one.
        let _ = fs::remove_dir(&self.parent);
    }
}

/// Removes what dead processes left in the folder of temporary folders. Costs one look where there is none.
pub(super) fn remove_leftovers(parent: &Path) {
    let Ok(guard) = File::open(parent) else { return };
    // Somebody is making or removing one: what is left behind now stays for the next.
    if guard.try_lock().is_err() {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        match File::open(&path).map(|folder| folder.try_lock().map(|()| folder)) {
            Ok(Ok(_locked)) => {
                remove_elsewhere(&path);
                let _ = fs::remove_dir_all(&path);
                let _ = fs::remove_file(&path);
            }
            // It is in use; or nobody can say whether it is.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    let _ = fs::remove_dir(parent);
}

fn remove_elsewhere(folder: &Path) {
    let Ok(list) = fs::read(folder.join(ELSEWHERE)) else { return };
    for path in list.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
        // Only names that are made here; the list is only as good as the disk.
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(BESIDE.as_bytes())) {
            let _ = fs::remove_file(path);
        }
    }
}

/// How the name of a file beside its target begins.
pub(super) const BESIDE: &str = ".overhear-new-";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is the last takes away the folder that the next one is about to use.
    #[test]
    fn many_at_once_each_get_a_folder() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let parent = folder.path().join("tmp");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let scratch = Scratch::new(&parent).expect("there is one");
                        assert!(scratch.path().is_dir());
                    }
                });
            }
        });
        assert!(!parent.exists());
    }
}

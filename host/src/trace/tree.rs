//! Small questions to the file system on behalf of a step: would the kernel let this happen?
//! Answers are those for overhear's own user, which is the step's.

#![allow(unsafe_code, reason = "faccessat with effective ids")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether a file may be opened for writing.
pub fn may_write(path: &Path) -> bool {
    access(path, libc::W_OK)
}

/// Whether a name may be made in, or taken from, the folder that `path` lies in.
pub fn may_create(path: &Path) -> bool {
    path.parent().is_some_and(|parent| access(parent, libc::W_OK | libc::X_OK))
}

/// Whether a file may be executed.
pub fn may_execute(path: &Path) -> bool {
    access(path, libc::X_OK)
}

/// Whether two names, links not followed, stand for one thing.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    one == other || id(one).is_some_and(|one| id(other) == Some(one))
}

/// Whether it is a folder with nothing in it.
pub fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut names| names.next().is_none())
}

fn access(path: &Path, mode: i32) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path ends with zero.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) == 0 }
}

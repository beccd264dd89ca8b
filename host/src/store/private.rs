//! Files and folders of the cache are for their owner only, whatever the umask.

use super::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const FILE: u32 = 0o600;
const FOLDER: u32 = 0o700;

/// How long somebody may hold a lock that is meant to be held for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Locks a file or folder, alone or with others, waiting no longer than for work that is being done: who
/// holds it may have been suspended. Where the file system knows no locks there is none.
pub(super) fn lock_briefly(file: &File, is_shared: bool) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let tried = if is_shared { file.try_lock_shared() } else { file.try_lock() };
        match tried {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another overhear has it locked"));
            }
            Err(TryLockError::Error(error)) if knows_no_locks(&error) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn knows_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(libc::ENOLCK)
}

/// Makes a folder with those above it, where it is missing.
pub(super) fn make_private_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let failed =
        |source| StoreError::Io { what: "create the cache folder", path: path.to_path_buf(), source };
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_private_folder(above)?;
    }
    match DirBuilder::new().mode(FOLDER).create(path) {
        // The umask may have taken away more than others' rights.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(FOLDER)).map_err(failed),
        Err(_) if path.is_dir() => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            Err(failed(io::Error::new(source.kind(), "something that is no folder lies there; move it away")))
        }
        Err(source) => Err(failed(source)),
    }
}

/// Makes a file where there is none.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(FILE).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(FILE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a new file, to be written.
pub(super) fn new_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(file)
}

/// Replaces a file of the cache as one: a reader sees the old or the new, and of several that write at the
/// same time one is the last.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed)));
    let beside = Path::new(&beside);
    let _ = fs::remove_file(beside);
    let written = new_private(beside).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| fs::rename(beside, path)).inspect_err(|_| drop(fs::remove_file(beside)))
}

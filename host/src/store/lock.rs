//! Two overhears in one workspace wait for each other per step, not per run: one file per step, locked
//! while its command runs or its outputs are put in place. The kernel lets go when the process ends.

use super::private::make_private_folder;
use super::{Store, StoreError, io_error};
use crate::digest::Digest;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

/// Held while a step is run or restored.
#[derive(Debug)]
pub struct StepLock {
    _file: File,
    /// Whether another process had it: what was looked up before may have changed.
    pub had_to_wait: bool,
}

impl Store {
    /// Waits until no other process runs this step.
    pub fn lock(&self, step: Digest) -> Result<StepLock, StoreError> {
        let folder = self.folder.join("locks");
        make_private_folder(&folder)?;
        let path = folder.join(&step.to_string()[..32]);
        let failed = |source| io_error("lock", &path)(source);
        let mut had_to_wait = false;
        loop {
            let mut open = OpenOptions::new();
            let open = open.create(true).truncate(false).write(true).mode(0o600);
            let file = open.open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    self.end_reads();
                    file.lock().map_err(failed)?;
                    had_to_wait = true;
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            let meta = file.metadata().map_err(failed)?;
            // `cache clean` removes the files that nobody has locked, and may have been first.
            if meta.nlink() == 0 {
                continue;
            }
            if meta.mode() & 0o777 != 0o600 {
                file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            }
            if had_to_wait {
                self.see_news();
            }
            return Ok(StepLock { _file: file, had_to_wait });
        }
    }

    /// Removes the files of locks that nobody holds.
    pub(super) fn remove_locks(&self) {
        for lock in fs::read_dir(self.folder.join("locks")).into_iter().flatten().flatten() {
            // One that cannot be opened or removed is in nobody's way.
            let Ok(file) = File::open(lock.path()) else { continue };
            if file.try_lock().is_ok() {
                let _ = fs::remove_file(lock.path());
            }
        }
    }
}

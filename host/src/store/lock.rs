//! Two overhears in one workspace wait for each other per step, not per run: one file per step, locked
//! while its command runs or its outputs are put in place. The kernel lets go when the process ends.

use super::{Store, StoreError, make_private_folder};
use crate::digest::Digest;
use std::fs::{File, OpenOptions, TryLockError};

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
        let failed = |source| StoreError::Io { what: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let had_to_wait = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => {
                file.lock().map_err(failed)?;
                self.see_news();
                true
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        };
        Ok(StepLock { _file: file, had_to_wait })
    }
}

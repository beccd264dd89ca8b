//! What was worked out once and holds as long as what it was worked out from: answers of adapters, digests
//! of large files. True of one checkout only, and lost without harm.

use crate::digest::Digest;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Where such things are kept, each under a digest of what was asked.
pub trait Memo: Send + Sync {
    /// What was kept under a key.
    fn get(&self, key: Digest) -> Option<Vec<u8>>;
    /// Keeps a value; one that cannot be kept is lost without a word, and only costs time.
    fn put(&self, key: Digest, value: &[u8]);
}

/// A memo that lasts as long as the process.
#[derive(Default)]
pub struct MapMemo(Mutex<HashMap<Digest, Vec<u8>>>);

impl Memo for MapMemo {
    fn get(&self, key: Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn put(&self, key: Digest, value: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.to_owned());
    }
}

//! The seam below which entries are kept: pathsets by key, entry by fingerprint, blob by digest. All
//! that is above it (what bytes mean, whether they are whole, what is done with them) is in the rest of
//! `store`; a tier only keeps bytes, and is not trusted with them.
//!
//! There is one tier, the folder of the cache (`index.rs`). Another one, on another machine, would be a
//! second implementation, and one that asks the near one first.

use super::StoreError;
use crate::digest::{Digest, Fields};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Where entries are kept.
pub(super) trait Tier: Send + Sync {
    /// The pathsets of runs with a key, most recently used first; the first, which most often is the one, with
    /// its members.
    fn pathsets(&self, key: Digest) -> Result<Vec<(Digest, Option<Sealed>)>, StoreError>;

    /// The members of one of them.
    fn pathset(&self, key: Digest, pathset: Digest) -> Result<Option<Sealed>, StoreError>;

    /// The entry with a fingerprint.
    fn entry(&self, fingerprint: Digest) -> Result<Option<EntryRow>, StoreError>;

    /// Keeps an entry with its pathset, whole or not at all. Its blob has been kept before.
    fn put(&self, pathset: &Sealed, entry: &EntryRow) -> Result<(), StoreError>;

    /// Notes that an entry was of use.
    fn touch(&self, fingerprint: Digest);

    /// Forgets an entry.
    fn forget(&self, fingerprint: Digest) -> Result<(), StoreError>;

    /// The bytes of a blob.
    fn blob(&self, digest: Digest) -> io::Result<Box<dyn Read + Send>>;

    /// Keeps a blob: takes over a file, which is synced and has that digest. Nothing collects it while
    /// what is given back is held: until its entry is kept.
    fn put_blob(&self, digest: Digest, file: &Path) -> Result<Pin, StoreError>;
}

/// Keeps a blob that no entry names yet.
#[derive(Debug, Default)]
pub struct Pin {
    /// A shared lock, for which whoever collects waits.
    pub(super) _lock: Option<File>,
}

/// Bytes with a digest by which damage is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their digest when they were kept.
    pub seal: Digest,
}

impl Sealed {
    /// Seals bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Sealed {
        Sealed { seal: Digest::of(&bytes), bytes }
    }

    /// The bytes, if they are still those.
    pub(super) fn open(self, what: &str) -> Result<Vec<u8>, StoreError> {
        if Digest::of(&self.bytes) == self.seal { Ok(self.bytes) } else { Err(damaged(what)) }
    }
}

/// An entry as it is kept: bytes, and what is needed to find, list and evict it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryRow {
    /// What it is found by.
    pub fingerprint: Digest,
    /// Digest of its CacheKey.
    pub key: Digest,
    /// Digest of its Pathset.
    pub pathset: Digest,
    /// The values of the Pathset, for telling what differs. Not read when an entry is looked up.
    pub values: Vec<u8>,
    /// What it puts in place.
    pub manifest: Vec<u8>,
    /// The archive and its size in bytes.
    pub archive: Option<(Digest, u64)>,
    /// What was printed.
    pub logs: Vec<u8>,
    /// How long the command took, in milliseconds.
    pub took_ms: u64,
    /// `package#name`.
    pub task: String,
    /// Digest of the rest, when it was kept.
    pub seal: Digest,
    /// Whether a use of it is to be noted: the last note is old, or another of its key was used since.
    pub is_stale: bool,
}

impl EntryRow {
    /// The digest of what a hit acts on.
    pub(super) fn digest(&self) -> Digest {
        let mut fields = Fields::new("entry 1");
        fields.bytes(self.fingerprint.as_bytes()).bytes(&self.manifest).bytes(&self.logs);
        fields.bytes(self.archive.as_ref().map_or(&[], |(digest, _)| digest.as_bytes()));
        fields.digest()
    }

    /// The same with its seal.
    pub(super) fn sealed(mut self) -> EntryRow {
        self.seal = self.digest();
        self
    }

    /// The entry, if it is still what was kept.
    pub(super) fn open(self) -> Result<EntryRow, StoreError> {
        if self.digest() == self.seal { Ok(self) } else { Err(damaged("an entry")) }
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} is not what was stored: its digest differs"))
}

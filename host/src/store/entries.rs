//! Entries, pathsets and habits as the rest of overhear knows them: bytes of the tier below, opened and
//! found whole. What cannot be read back is an error or unknown, never something else.

use super::format::{self, Habits, Manifest};
use super::tier::{EntryRow, Sealed};
use super::{Store, StoreError, names};
use crate::digest::Digest;
use crate::fingerprint::{Pathset, Values};
use crate::path::PortablePath;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A stored result, as far as a hit needs it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is found by.
    pub fingerprint: Digest,
    /// What to put in place.
    pub manifest: Manifest,
    /// The archive with the content of its files.
    pub archive: Option<Digest>,
    /// The recording of what was printed.
    pub logs: Vec<u8>,
    /// How long the command took.
    pub took: Duration,
    /// Number of members of its Pathset.
    pub inputs: usize,
}

/// A result to be stored.
pub struct NewEntry<'a> {
    /// Digest of its CacheKey.
    pub key: Digest,
    /// What it depended on.
    pub pathset: &'a Pathset,
    /// With which values.
    pub values: &'a Values,
    /// What it made.
    pub manifest: &'a Manifest,
    /// The archive and its size in bytes, if any file was made.
    pub archive: Option<(Digest, u64)>,
    /// The recording of what was printed.
    pub logs: &'a [u8],
    /// How long the command took.
    pub took: Duration,
    /// `package#name`, for `cache list` and `cache clean --task`.
    pub task: &'a str,
}

/// The pathsets of a key, each read when it is its turn: most often the first is the one.
pub struct Pathsets<'a> {
    store: &'a Store,
    key: Digest,
    rest: std::vec::IntoIter<(Digest, Option<Sealed>)>,
}

impl Pathsets<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rest.as_slice().is_empty()
    }
}

impl Iterator for Pathsets<'_> {
    type Item = Result<(Digest, Pathset), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (digest, members) = self.rest.next()?;
            match self.store.pathset(self.key, digest, members) {
                // Another process has just evicted it.
                Ok(None) => {}
                Ok(Some(pathset)) => return Some(Ok((digest, pathset))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Store {
    /// The pathsets of runs with this key, most recently used first.
    pub fn pathsets(&self, key: Digest) -> Result<Pathsets<'_>, StoreError> {
        Ok(Pathsets { store: self, key, rest: self.tier().pathsets(key)?.into_iter() })
    }

    fn pathset(
        &self,
        key: Digest,
        digest: Digest,
        members: Option<Sealed>,
    ) -> Result<Option<Pathset>, StoreError> {
        let members = match members {
            Some(members) => Some(members),
            None => self.tier().pathset(key, digest)?,
        };
        let Some(sealed) = members else { return Ok(None) };
        Ok(Some(format::decode_pathset(&sealed.open("a pathset")?)?))
    }

    /// The entry with this fingerprint.
    pub fn entry(&self, fingerprint: Digest) -> Result<Option<Entry>, StoreError> {
        let Some(row) = self.tier().entry(fingerprint)? else { return Ok(None) };
        let row = row.open()?;
        let manifest = format::decode_manifest(&row.manifest)?;
        names::check(&manifest)?;
        if row.is_stale {
            self.tier().touch(fingerprint);
        }
        Ok(Some(Entry {
            fingerprint,
            manifest,
            archive: row.archive.map(|(digest, _)| digest),
            logs: row.logs,
            took: Duration::from_millis(row.took_ms),
            inputs: 0,
        }))
    }

    /// The values of the entries of one pathset, most recently used first: for telling what differs.
    /// What cannot be read back tells nothing.
    pub fn values(&self, key: Digest, pathset: Digest) -> Result<Vec<Values>, StoreError> {
        let rows = self.local.values(key, pathset)?;
        Ok(rows.iter().filter_map(|bytes| format::decode_values(bytes).ok()).collect())
    }

    /// Stores an entry in one transaction. Its archive has been named before.
    pub fn put_entry(&self, entry: &NewEntry) -> Result<Digest, StoreError> {
        let pathset = entry.pathset.digest();
        let fingerprint = entry.values.fingerprint(entry.key, pathset);
        let row = EntryRow {
            fingerprint,
            key: entry.key,
            pathset,
            values: format::encode_values(entry.values),
            manifest: format::encode_manifest(entry.manifest),
            archive: entry.archive,
            logs: entry.logs.to_vec(),
            took_ms: u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX),
            task: entry.task.to_owned(),
            seal: Digest([0; 32]),
            is_stale: false,
        };
        self.tier().put(&Sealed::new(format::encode_pathset(entry.pathset)), &row.sealed())?;
        self.has_stored.store(true, Ordering::Relaxed);
        Ok(fingerprint)
    }

    /// Forgets an entry that turned out damaged.
    pub fn remove_entry(&self, fingerprint: Digest) -> Result<(), StoreError> {
        self.tier().forget(fingerprint)
    }

    /// What runs of two scopes (a CacheKey, and a step by task and position) did with what they found.
    /// What cannot be read back is not known.
    pub fn habits(&self, scopes: [Digest; 2]) -> Result<[Option<Habits>; 2], StoreError> {
        let decode = |bytes: Vec<u8>| format::decode_habits(&bytes).ok();
        Ok(self.local.habits(scopes)?.map(|bytes| bytes.and_then(decode)))
    }

    /// Takes in what a run of these scopes did; the newest knowledge counts.
    pub fn learn(&self, scopes: [Digest; 2], learned: &Habits) -> Result<(), StoreError> {
        let mut news = Vec::new();
        for (scope, habits) in scopes.into_iter().zip(self.habits(scopes)?) {
            let mut habits = habits.unwrap_or_default();
            let before = habits.clone();
            // The newest knowledge counts.
            habits.replaced.retain(|path| learned.remade.binary_search(path).is_err());
            habits.remade.retain(|path| learned.replaced.binary_search(path).is_err());
            add_missing(&mut habits.replaced, &learned.replaced);
            add_missing(&mut habits.remade, &learned.remade);
            for (folder, habit) in &learned.folders {
                habits.folders.retain(|(other, _)| other != folder);
                habits.folders.push((folder.clone(), *habit));
            }
            habits.folders.sort_by(|a, b| a.0.cmp(&b.0));
            if habits != before {
                news.push((scope, format::encode_habits(&habits)));
            }
        }
        if news.is_empty() { Ok(()) } else { self.local.put_habits(&news) }
    }
}

fn add_missing(to: &mut Vec<PortablePath>, from: &[PortablePath]) {
    to.extend_from_slice(from);
    to.sort();
    to.dedup();
}

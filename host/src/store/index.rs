//! Entries, pathsets and habits: `index.db`. Valid in any checkout.

use super::format::{self, Habits, Manifest};
use super::{Point, Store, StoreError};
use crate::digest::Digest;
use crate::fingerprint::{Pathset, Values};
use crate::path::PortablePath;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pathsets (
        key BLOB NOT NULL, digest BLOB NOT NULL, members BLOB NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (key, digest));
    CREATE TABLE IF NOT EXISTS entries (
        fingerprint BLOB PRIMARY KEY, key BLOB NOT NULL, pathset BLOB NOT NULL, vals BLOB NOT NULL,
        manifest BLOB NOT NULL, archive BLOB, archive_bytes INTEGER NOT NULL, logs BLOB NOT NULL,
        took_ms INTEGER NOT NULL, task TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (key, pathset, used);
    CREATE INDEX IF NOT EXISTS entries_by_archive ON entries (archive);
    CREATE TABLE IF NOT EXISTS habits (scope BLOB PRIMARY KEY, habits BLOB NOT NULL) WITHOUT ROWID";

/// Pathsets kept per CacheKey; the least recently used go.
const PATHSETS_PER_KEY_MAX: i64 = 64;
/// Entries kept per CacheKey; the least recently used go.
const ENTRIES_PER_KEY_MAX: i64 = 256;
/// How stale the time of last use may be before a hit writes it: a warm run should write nothing.
const USED_GRAIN_S: i64 = 3600;

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

pub(super) fn salt(index: &Connection) -> rusqlite::Result<[u8; 32]> {
    let read = || -> rusqlite::Result<Option<[u8; 32]>> {
        index.query_row("SELECT value FROM meta WHERE name = 'salt'", [], |row| row.get(0)).optional()
    };
    if let Some(salt) = read()? {
        return Ok(salt);
    }
    index.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('salt', randomblob(32))", [])?;
    read()?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Store {
    /// The pathsets of runs with this key, newest first.
    pub fn pathsets(&self, key: Digest) -> Result<Vec<(Digest, Pathset)>, StoreError> {
        let index = self.index();
        let mut rows = Vec::new();
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = index.prepare_cached(
                "SELECT digest, members FROM pathsets WHERE key = ?1 ORDER BY used DESC, rowid DESC",
            )?;
            let mut found = statement.query([key.as_bytes()])?;
            while let Some(row) = found.next()? {
                let (digest, members): ([u8; 32], Vec<u8>) = (row.get(0)?, row.get(1)?);
                rows.push((Digest(digest), members));
            }
            Ok(())
        };
        read().map_err(|source| self.index_failed(source))?;
        rows.into_iter().map(|(digest, members)| Ok((digest, format::decode_pathset(&members)?))).collect()
    }

    /// The entry with this fingerprint.
    pub fn entry(&self, fingerprint: Digest) -> Result<Option<Entry>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement = index.prepare_cached(
                "SELECT manifest, archive, logs, took_ms, used FROM entries WHERE fingerprint = ?1",
            )?;
            let row = statement.query_row([fingerprint.as_bytes()], |row| {
                let (manifest, archive): (Vec<u8>, Option<[u8; 32]>) = (row.get(0)?, row.get(1)?);
                Ok((
                    manifest,
                    archive,
                    row.get::<_, Vec<u8>>(2)?,
                    row.get::<_, i64>(3)?,
                    row.get::<_, i64>(4)?,
                ))
            });
            row.optional()
        };
        let Some((manifest, archive, logs, took_ms, used)) =
            read().map_err(|source| self.index_failed(source))?
        else {
            return Ok(None);
        };
        if used < now_s() - USED_GRAIN_S {
            // Only the order of eviction depends on it: a failure here is no reason for a miss.
            drop(index);
            let _ = self.index_to_write().execute(
                "UPDATE entries SET used = ?2 WHERE fingerprint = ?1",
                params![fingerprint.as_bytes(), now_s()],
            );
        }
        Ok(Some(Entry {
            fingerprint,
            manifest: format::decode_manifest(&manifest)?,
            archive: archive.map(Digest),
            logs,
            took: Duration::from_millis(u64::try_from(took_ms).unwrap_or(0)),
            inputs: 0,
        }))
    }

    /// The values of the entries of one pathset, newest first: for telling what differs.
    pub fn values(&self, key: Digest, pathset: Digest) -> Result<Vec<Values>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement = index.prepare_cached(
                "SELECT vals FROM entries WHERE key = ?1 AND pathset = ?2 ORDER BY created DESC, rowid DESC LIMIT 16")?;
            let rows = statement.query_map(params![key.as_bytes(), pathset.as_bytes()], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()
        };
        let rows = read().map_err(|source| self.index_failed(source))?;
        rows.iter().map(|bytes| Ok(format::decode_values(bytes)?)).collect()
    }

    /// Stores an entry in one transaction. Its archive has been named before.
    pub fn put_entry(&self, entry: &NewEntry) -> Result<Digest, StoreError> {
        let pathset_digest = entry.pathset.digest();
        let fingerprint = entry.values.fingerprint(entry.key, pathset_digest);
        let mut index = self.index_to_write();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = index.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let now = now_s();
            transaction.execute(
                "INSERT INTO pathsets (key, digest, members, used) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key, digest) DO UPDATE SET used = excluded.used",
                params![
                    entry.key.as_bytes(),
                    pathset_digest.as_bytes(),
                    format::encode_pathset(entry.pathset),
                    now
                ],
            )?;
            transaction.execute(
                "INSERT OR REPLACE INTO entries (fingerprint, key, pathset, vals, manifest, archive, archive_bytes, logs,
                    took_ms, task, created, used) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
                params![
                    fingerprint.as_bytes(),
                    entry.key.as_bytes(),
                    pathset_digest.as_bytes(),
                    format::encode_values(entry.values),
                    format::encode_manifest(entry.manifest),
                    entry.archive.map(|(digest, _)| digest.0),
                    entry.archive.map_or(0, |(_, bytes)| bytes as i64),
                    entry.logs,
                    entry.took.as_millis() as i64,
                    entry.task,
                    now
                ],
            )?;
            evict(&transaction, entry.key)?;
            transaction.commit()
        };
        write().map_err(|source| self.index_failed(source))?;
        self.has_stored.store(true, Ordering::Relaxed);
        Point::EntryStored.reached();
        Ok(fingerprint)
    }

    /// Forgets an entry that turned out damaged.
    pub fn remove_entry(&self, fingerprint: Digest) -> Result<(), StoreError> {
        let removed = self
            .index_to_write()
            .execute("DELETE FROM entries WHERE fingerprint = ?1", [fingerprint.as_bytes()]);
        removed.map(drop).map_err(|source| self.index_failed(source))
    }

    /// What runs of a scope (a CacheKey, or a step by task and position) did with what they found.
    pub fn habits(&self, scope: Digest) -> Result<Option<Habits>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement = index.prepare_cached("SELECT habits FROM habits WHERE scope = ?1")?;
            statement.query_row([scope.as_bytes()], |row| row.get::<_, Vec<u8>>(0)).optional()
        };
        let row = read().map_err(|source| self.index_failed(source))?;
        row.map(|bytes: Vec<u8>| Ok(format::decode_habits(&bytes)?)).transpose()
    }

    /// Takes in what a run of these scopes did; the newest knowledge counts.
    pub fn learn(&self, scopes: &[Digest], learned: &Habits) -> Result<(), StoreError> {
        for scope in scopes {
            let mut habits = self.habits(*scope)?.unwrap_or_default();
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
                let bytes = format::encode_habits(&habits);
                let written = self.index_to_write().execute(
                    "INSERT OR REPLACE INTO habits (scope, habits) VALUES (?1, ?2)",
                    params![scope.as_bytes(), bytes],
                );
                written.map_err(|source| self.index_failed(source))?;
            }
        }
        Ok(())
    }
}

fn add_missing(to: &mut Vec<PortablePath>, from: &[PortablePath]) {
    to.extend_from_slice(from);
    to.sort();
    to.dedup();
}

fn evict(index: &Connection, key: Digest) -> rusqlite::Result<()> {
    index.execute(
        "DELETE FROM entries WHERE key = ?1 AND rowid NOT IN
            (SELECT rowid FROM entries WHERE key = ?1 ORDER BY used DESC, rowid DESC LIMIT ?2)",
        params![key.as_bytes(), ENTRIES_PER_KEY_MAX],
    )?;
    index.execute(
        "DELETE FROM pathsets WHERE key = ?1 AND rowid NOT IN
            (SELECT rowid FROM pathsets WHERE key = ?1 ORDER BY used DESC, rowid DESC LIMIT ?2)",
        params![key.as_bytes(), PATHSETS_PER_KEY_MAX],
    )?;
    index.execute(
        "DELETE FROM entries WHERE key = ?1 AND pathset NOT IN (SELECT digest FROM pathsets WHERE key = ?1)",
        [key.as_bytes()],
    )?;
    Ok(())
}

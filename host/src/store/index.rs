//! The tier of this machine: `index.db` and `archives/`. Entries and habits, valid in any checkout.
//!
//! It keeps bytes and bounds their number; what they mean is `entries.rs`.

use super::database::{Database, Reading, readable};
use super::private::{lock_briefly, make_private_folder};
use super::tier::{EntryRow, Pin, Sealed, Tier};
use super::{Point, StoreError};
use crate::config::Bounds;
use crate::digest::Digest;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pathsets (
        key BLOB NOT NULL, digest BLOB NOT NULL, members BLOB NOT NULL, seal BLOB NOT NULL,
        used INTEGER NOT NULL, PRIMARY KEY (key, digest));
    CREATE TABLE IF NOT EXISTS entries (
        fingerprint BLOB PRIMARY KEY, key BLOB NOT NULL, pathset BLOB NOT NULL, vals BLOB NOT NULL,
        manifest BLOB NOT NULL, archive BLOB, archive_bytes INTEGER NOT NULL, logs BLOB NOT NULL,
        took_ms INTEGER NOT NULL, task TEXT NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
        row_bytes INTEGER NOT NULL, seal BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (key, used, pathset);
    CREATE INDEX IF NOT EXISTS entries_by_archive ON entries (archive, archive_bytes, row_bytes);
    CREATE TABLE IF NOT EXISTS habits (
        scope BLOB PRIMARY KEY, habits BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID";

/// How stale the time of last use may be before a hit writes it, although no other entry of its key was
/// used since: a warm run should write nothing.
const USED_GRAIN_US: i64 = 3600 * 1_000_000;
/// Scopes of which habits are kept; those that learned longest ago go.
const HABITS_MAX: i64 = 20_000;

/// The folder of the cache.
pub(super) struct Local {
    pub(super) database: Database,
    /// Where archives are.
    pub(super) archives: PathBuf,
    pub(super) bounds: Mutex<Bounds>,
    /// Archives of entries that this session evicted or replaced: most are now without an entry.
    pub(super) superseded: Mutex<Vec<Digest>>,
}

pub(super) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

impl Local {
    fn read(&self) -> Reading<'_> {
        self.database.read()
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        self.database.failed(source)
    }

    /// Runs something as one transaction.
    pub(super) fn transact<T>(
        &self,
        what: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut held = self.database.write();
        let run = || {
            let transaction = held.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = what(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let done = run();
        drop(held);
        done.map_err(|source| self.failed(source))
    }

    /// The salt of this cache, made once.
    pub(super) fn salt(&self) -> Result<[u8; 32], StoreError> {
        let sql =
            "SELECT value FROM meta WHERE name = 'salt' AND typeof(value) = 'blob' AND length(value) = 32";
        let read = |held: &Connection| held.query_row(sql, [], |row| row.get(0)).optional();
        // The guard must be gone before the database is used again.
        let known = read(&self.read());
        if let Some(salt) = known.map_err(|source| self.failed(source))? {
            return Ok(salt);
        }
        self.transact(|index| {
            // Another session may have been first; what is no salt is replaced.
            if let Some(salt) = index.query_row(sql, [], |row| row.get(0)).optional()? {
                return Ok(salt);
            }
            index.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('salt', randomblob(32))", [])?;
            index.query_row(sql, [], |row| row.get(0))
        })
    }

    /// Where an archive lies.
    pub(super) fn archive_path(&self, archive: Digest) -> PathBuf {
        let hex = archive.to_string();
        self.archives.join(&hex[..2]).join(format!("{hex}.tar.zst"))
    }

    /// The values of the entries of one pathset, most recently used first.
    pub(super) fn values(&self, key: Digest, pathset: Digest) -> Result<Vec<Vec<u8>>, StoreError> {
        let index = self.read();
        let read = || {
            let mut statement = index.prepare_cached(
                "SELECT vals FROM entries WHERE key = ?1 AND pathset = ?2 ORDER BY used DESC LIMIT 16",
            )?;
            let rows = statement.query_map(params![key.as_bytes(), pathset.as_bytes()], |row| row.get(0))?;
            readable(rows)
        };
        let rows = read();
        drop(index);
        rows.map_err(|source| self.failed(source))
    }

    /// The habits of two scopes, as bytes.
    pub(super) fn habits(&self, scopes: [Digest; 2]) -> Result<[Option<Vec<u8>>; 2], StoreError> {
        let index = self.read();
        let read = || {
            // With `IN` SQLite makes a table of the two first.
            let mut statement = index.prepare_cached(
                "SELECT scope, habits FROM habits WHERE scope = ?1
                 UNION ALL SELECT scope, habits FROM habits WHERE scope = ?2",
            )?;
            let [one, other] = &scopes;
            let rows = statement.query_map([one.as_bytes(), other.as_bytes()], |row| {
                Ok((Digest(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
            })?;
            readable(rows)
        };
        let rows = read();
        drop(index);
        let mut rows = rows.map_err(|source| self.failed(source))?;
        let of = |scope| {
            let found = rows.iter_mut().find(|(of, _)| *of == scope);
            found.map(|(_, habits)| std::mem::take(habits))
        };
        Ok(scopes.map(of))
    }

    /// Replaces the habits of scopes, in one transaction.
    pub(super) fn put_habits(&self, habits: &[(Digest, Vec<u8>)]) -> Result<(), StoreError> {
        self.transact(|index| {
            for (scope, bytes) in habits {
                index.execute(
                    "INSERT OR REPLACE INTO habits (scope, habits, used) VALUES (?1, ?2, ?3)",
                    params![scope.as_bytes(), bytes, now_us()],
                )?;
            }
            Ok(())
        })
    }
}

impl Tier for Local {
    fn pathsets(&self, key: Digest) -> Result<Vec<(Digest, Option<Sealed>)>, StoreError> {
        let index = self.read();
        let mut newest: Option<((i64, i64), Sealed)> = None;
        let mut read = || {
            // Sorted below: with an order SQLite compiles the statement anew for each key.
            let mut statement = index
                .prepare_cached("SELECT digest, used, rowid, seal, members FROM pathsets WHERE key = ?1")?;
            let rows = statement.query_map([key.as_bytes()], |row| {
                let used = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                // What is not asked for is not read.
                if newest.as_ref().is_none_or(|(known, _)| *known < used) {
                    newest = Some((used, Sealed { seal: Digest(row.get(3)?), bytes: row.get(4)? }));
                }
                Ok((used, Digest(row.get(0)?)))
            })?;
            readable(rows)
        };
        let rows = read();
        drop(index);
        let mut rows = rows.map_err(|source| self.failed(source))?;
        rows.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut members = |used| newest.take_if(|(of, _)| *of == used).map(|(_, members)| members);
        Ok(rows.into_iter().map(|(used, digest)| (digest, members(used))).collect())
    }

    fn pathset(&self, key: Digest, pathset: Digest) -> Result<Option<Sealed>, StoreError> {
        let index = self.read();
        let read = || {
            let mut statement =
                index.prepare_cached("SELECT members, seal FROM pathsets WHERE key = ?1 AND digest = ?2")?;
            let row = statement.query_row(params![key.as_bytes(), pathset.as_bytes()], |row| {
                Ok(Sealed { bytes: row.get(0)?, seal: Digest(row.get(1)?) })
            });
            row.optional()
        };
        let row = read();
        drop(index);
        row.map_err(|source| self.failed(source))
    }

    fn entry(&self, fingerprint: Digest) -> Result<Option<EntryRow>, StoreError> {
        let index = self.read();
        let read = || {
            let mut statement = index.prepare_cached(
                "SELECT key, pathset, manifest, archive, archive_bytes, logs, took_ms, task, seal,
                    used, EXISTS (SELECT 1 FROM entries AS other WHERE other.key = entries.key
                        AND other.used > entries.used)
                 FROM entries WHERE fingerprint = ?1",
            )?;
            let row = statement.query_row([fingerprint.as_bytes()], |row| {
                let (archive, bytes): (Option<[u8; 32]>, i64) = (row.get(3)?, row.get(4)?);
                Ok(EntryRow {
                    fingerprint,
                    key: Digest(row.get(0)?),
                    pathset: Digest(row.get(1)?),
                    values: Vec::new(),
                    manifest: row.get(2)?,
                    archive: archive.map(|digest| (Digest(digest), bytes.max(0) as u64)),
                    logs: row.get(5)?,
                    took_ms: row.get::<_, i64>(6)?.max(0) as u64,
                    task: row.get(7)?,
                    seal: Digest(row.get(8)?),
                    is_stale: row.get::<_, i64>(9)? <= now_us() - USED_GRAIN_US || row.get(10)?,
                })
            });
            row.optional()
        };
        let row = read();
        drop(index);
        row.map_err(|source| self.failed(source))
    }

    fn put(&self, pathset: &Sealed, entry: &EntryRow) -> Result<(), StoreError> {
        let bounds = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let superseded = self.transact(|index| {
            let now = now_us();
            let mut superseded = archives(
                index,
                "SELECT archive FROM entries WHERE fingerprint = ?1 AND archive IS NOT NULL",
                params![entry.fingerprint.as_bytes()],
            )?;
            let parts = [&pathset.bytes, &entry.values, &entry.manifest, &entry.logs];
            let row_bytes: usize = parts.iter().map(|part| part.len()).sum();
            // What is there already may be damaged.
            index.execute(
                "INSERT OR REPLACE INTO pathsets (key, digest, members, seal, used) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    entry.key.as_bytes(),
                    entry.pathset.as_bytes(),
                    pathset.bytes,
                    pathset.seal.as_bytes(),
                    now
                ],
            )?;
            index.execute(
                "INSERT OR REPLACE INTO entries (fingerprint, key, pathset, vals, manifest, archive, archive_bytes,
                    logs, took_ms, task, created, used, row_bytes, seal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13)",
                params![
                    entry.fingerprint.as_bytes(),
                    entry.key.as_bytes(),
                    entry.pathset.as_bytes(),
                    entry.values,
                    entry.manifest,
                    entry.archive.map(|(digest, _)| digest.0),
                    entry.archive.map_or(0, |(_, bytes)| bytes as i64),
                    entry.logs,
                    entry.took_ms as i64,
                    entry.task,
                    now,
                    row_bytes as i64,
                    entry.seal.as_bytes(),
                ],
            )?;
            superseded.extend(evict(index, entry.key, bounds)?);
            Point::EntryWritten.reached();
            Ok(superseded)
        })?;
        Point::EntryStored.reached();
        self.superseded.lock().unwrap_or_else(PoisonError::into_inner).extend(superseded);
        Ok(())
    }

    fn touch(&self, fingerprint: Digest) {
        if self.database.is_read_only() {
            return;
        }
        // Only the order of eviction depends on it: a failure here is no reason for a miss.
        let _ = self.transact(|index| {
            let now = now_us();
            index.execute(
                "UPDATE entries SET used = ?2 WHERE fingerprint = ?1",
                params![fingerprint.as_bytes(), now],
            )?;
            index.execute(
                "UPDATE pathsets SET used = ?2 WHERE (key, digest) IN
                    (SELECT key, pathset FROM entries WHERE fingerprint = ?1)",
                params![fingerprint.as_bytes(), now],
            )
        });
    }

    fn forget(&self, fingerprint: Digest) -> Result<(), StoreError> {
        self.transact(|index| {
            index.execute("DELETE FROM entries WHERE fingerprint = ?1", [fingerprint.as_bytes()])?;
            remove_bare_pathsets(index)
        })
    }

    fn blob(&self, digest: Digest) -> io::Result<Box<dyn Read + Send>> {
        // What is no file, a pipe perhaps, would be waited for.
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(self.archive_path(digest))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
        }
        Ok(Box::new(file))
    }

    fn put_blob(&self, digest: Digest, file: &Path) -> Result<Pin, StoreError> {
        let path = self.archive_path(digest);
        let failed = |source| StoreError::Io { what: "write", path: path.clone(), source };
        let folder = path.parent().expect("an archive lies in a folder");
        let is_new = !folder.is_dir();
        make_private_folder(folder)?;
        let all = File::open(&self.archives).map_err(failed)?;
        lock_briefly(&all, true).map_err(failed)?;
        match fs::rename(file, &path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                // Somebody's tool made a folder of that name. It is of no use here, and in the way.
                fs::remove_dir_all(&path).map_err(failed)?;
                fs::rename(file, &path).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        // The entry that names this archive is committed next, and must not outlive it.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        if is_new {
            all.sync_all().map_err(failed)?;
        }
        Ok(Pin { _lock: Some(all) })
    }
}

fn archives(index: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<Digest>> {
    let mut statement = index.prepare_cached(sql)?;
    readable(statement.query_map(params, |row| row.get(0).map(Digest))?)
}

/// Forgets what is too much of a key, and gives the archives of what was forgotten.
fn evict(index: &Connection, key: Digest, bounds: Bounds) -> rusqlite::Result<Vec<Digest>> {
    let of_key = |table: &str| -> rusqlite::Result<u32> {
        let sql = format!("SELECT count(*) FROM {table} WHERE key = ?1");
        index.prepare_cached(&sql)?.query_row([key.as_bytes()], |row| row.get(0))
    };
    if of_key("entries")? <= bounds.entries && of_key("pathsets")? <= bounds.pathsets {
        return Ok(Vec::new());
    }
    let sql = "SELECT archive FROM entries WHERE key = ?1 AND archive IS NOT NULL";
    let before = archives(index, sql, params![key.as_bytes()])?;
    index.execute(
        "DELETE FROM entries WHERE key = ?1 AND rowid NOT IN
            (SELECT rowid FROM entries WHERE key = ?1 ORDER BY used DESC, rowid DESC LIMIT ?2)",
        params![key.as_bytes(), bounds.entries.max(1)],
    )?;
    index.execute(
        "DELETE FROM pathsets WHERE key = ?1 AND rowid NOT IN
            (SELECT rowid FROM pathsets WHERE key = ?1 ORDER BY used DESC, rowid DESC LIMIT ?2)",
        params![key.as_bytes(), bounds.pathsets.max(1)],
    )?;
    index.execute(
        "DELETE FROM entries WHERE key = ?1 AND pathset NOT IN (SELECT digest FROM pathsets WHERE key = ?1)",
        [key.as_bytes()],
    )?;
    // A pathset without an entry only costs looking.
    index.execute(
        "DELETE FROM pathsets WHERE key = ?1 AND digest NOT IN (SELECT pathset FROM entries WHERE key = ?1)",
        [key.as_bytes()],
    )?;
    Ok(before)
}

/// Pathsets of which no entry is left.
pub(super) fn remove_bare_pathsets(index: &Connection) -> rusqlite::Result<()> {
    index.execute(
        "DELETE FROM pathsets WHERE NOT EXISTS
            (SELECT 1 FROM entries WHERE entries.key = pathsets.key AND entries.pathset = pathsets.digest)",
        [],
    )?;
    Ok(())
}

/// Removes rows of which some value has another form than was stored.
pub(super) fn remove_malformed(index: &Connection) -> rusqlite::Result<usize> {
    let is_digest = |column: &str| format!("typeof({column}) = 'blob' AND length({column}) = 32");
    let is = |kind: &str, columns: &[&str]| {
        columns.iter().map(|column| format!("typeof({column}) = '{kind}'")).collect::<Vec<_>>().join(" AND ")
    };
    let entries = [
        is_digest("fingerprint"),
        is_digest("key"),
        is_digest("pathset"),
        is_digest("seal"),
        format!("(archive IS NULL OR {})", is_digest("archive")),
        is("blob", &["vals", "manifest", "logs"]),
        is("integer", &["archive_bytes", "took_ms", "created", "used", "row_bytes"]),
        is("text", &["task"]),
    ];
    let pathsets = [
        is_digest("key"),
        is_digest("digest"),
        is_digest("seal"),
        is("blob", &["members"]),
        is("integer", &["used"]),
    ];
    let mut removed = 0;
    for (table, is_well_formed) in [("entries", entries.join(" AND ")), ("pathsets", pathsets.join(" AND "))]
    {
        removed += index.execute(&format!("DELETE FROM {table} WHERE NOT ({is_well_formed})"), [])?;
    }
    Ok(removed)
}

/// Habits of the scopes that learned longest ago.
pub(super) fn prune_habits(index: &Connection) -> rusqlite::Result<()> {
    index.execute(
        "DELETE FROM habits WHERE scope NOT IN (SELECT scope FROM habits ORDER BY used DESC LIMIT ?1)",
        [HABITS_MAX],
    )?;
    Ok(())
}

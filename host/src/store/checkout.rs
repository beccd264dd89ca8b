//! What is true of this checkout only: `checkout.db`. What was found when inputs and outputs were
//! last looked at, what runs left, which paths a step rewrites, how steps last ended, and what
//! adapters answered. All of it can be lost without harm: it saves work, or costs a run.

use super::database::{is_malformed, readable};
use super::format;
use super::{Store, StoreError};
use crate::digest::Digest;
use crate::fingerprint::{Matched, Remembered, Value};
use crate::key::CacheKey;
use crate::path::PortablePath;
use crate::stamp::Stamp;
use rusqlite::{OptionalExtension, Params, Row, Transaction, TransactionBehavior, params};
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS remembered (pathset BLOB PRIMARY KEY, rows BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS matched (pathset BLOB PRIMARY KEY, rows BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS placed (fingerprint BLOB PRIMARY KEY, stamps BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS left_files (
        path BLOB PRIMARY KEY, value BLOB NOT NULL, stamp BLOB NOT NULL, step BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tool_files (keeper BLOB NOT NULL, path BLOB NOT NULL, PRIMARY KEY (keeper, path)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS overlaps (step BLOB NOT NULL, path BLOB NOT NULL, PRIMARY KEY (step, path)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS states (step BLOB PRIMARY KEY, fingerprint BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS learned_env (step BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (step, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS steps (
        step BLOB PRIMARY KEY, task TEXT NOT NULL, position INTEGER NOT NULL, key BLOB, fingerprint BLOB,
        report BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS memos (key BLOB PRIMARY KEY, value BLOB NOT NULL)";

/// What a run is known to have left at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its value.
    pub value: Value,
    /// Its stamp, where it was a file and the stamp can be trusted.
    pub stamp: Option<Stamp>,
    /// The step that left it.
    pub step: Digest,
}

/// How a step last ended, for telling why it now misses, and for `inspect`.
#[derive(Clone, Debug)]
pub struct LastRun {
    /// The key that it had.
    pub key: Option<CacheKey>,
    /// The entry that it made or used.
    pub fingerprint: Option<Digest>,
    /// A report in JSON.
    pub report: Vec<u8>,
}

impl Store {
    fn checkout_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let checkout = self.checkout.read();
        let row = checkout
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, read).optional());
        drop(checkout);
        match row {
            // What has another form than was stored is not known; it is overwritten in time.
            Err(error) if is_malformed(&error) => Ok(None),
            other => other.map_err(|source| self.checkout.failed(source)),
        }
    }

    fn checkout_write(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        let checkout = self.checkout.write();
        let written = checkout.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        written.map(drop).map_err(|source| self.checkout.failed(source))
    }

    /// What was found when the members of a pathset were last looked at.
    pub fn remembered(&self, pathset: Digest) -> Result<Remembered, StoreError> {
        let sql = "SELECT rows FROM remembered WHERE pathset = ?1";
        let rows: Option<Vec<u8>> = self.checkout_row(sql, [pathset.as_bytes()], |row| row.get(0))?;
        Ok(rows.map_or_else(Vec::new, |bytes| format::decode_remembered(&bytes)))
    }

    /// Keeps what was found when the members of a pathset were looked at. Where that fails (a full disk, a
    /// folder that may not be written), they are looked at again: that is no reason to give up a hit.
    pub fn remember(&self, pathset: Digest, remembered: &Remembered) -> Result<(), StoreError> {
        let rows = format::encode_remembered(remembered);
        let _ = self.checkout_write(
            "INSERT OR REPLACE INTO remembered VALUES (?1, ?2)",
            params![pathset.as_bytes(), rows],
        );
        Ok(())
    }

    /// The files that the patterns of a pathset matched when they were last looked at.
    pub fn matched(&self, pathset: Digest) -> Result<Matched, StoreError> {
        let sql = "SELECT rows FROM matched WHERE pathset = ?1";
        let rows: Option<Vec<u8>> = self.checkout_row(sql, [pathset.as_bytes()], |row| row.get(0))?;
        Ok(rows.map_or_else(Matched::new, |bytes| format::decode_matched(&bytes)))
    }

    /// Keeps the files that the patterns of a pathset matched. A failure costs as little as one of
    /// [`Store::remember`].
    pub fn remember_matched(&self, pathset: Digest, matched: &Matched) -> Result<(), StoreError> {
        let rows = format::encode_matched(matched);
        let _ = self.checkout_write(
            "INSERT OR REPLACE INTO matched VALUES (?1, ?2)",
            params![pathset.as_bytes(), rows],
        );
        Ok(())
    }

    /// Stamps of the outputs of an entry when they were last seen in place, in the manifest's order.
    pub fn placed(&self, fingerprint: Digest) -> Result<Vec<Option<Stamp>>, StoreError> {
        let sql = "SELECT stamps FROM placed WHERE fingerprint = ?1";
        let stamps: Option<Vec<u8>> = self.checkout_row(sql, [fingerprint.as_bytes()], |row| row.get(0))?;
        Ok(stamps.map_or_else(Vec::new, |bytes| format::decode_stamps(&bytes)))
    }

    /// Keeps stamps of the outputs of an entry that are in place. A failure costs as little as one of
    /// [`Store::remember`].
    pub fn remember_placed(&self, fingerprint: Digest, stamps: &[Option<Stamp>]) -> Result<(), StoreError> {
        let stamps = format::encode_stamps(stamps);
        let _ = self.checkout_write(
            "INSERT OR REPLACE INTO placed VALUES (?1, ?2)",
            params![fingerprint.as_bytes(), stamps],
        );
        Ok(())
    }

    /// What a run is known to have left at a path.
    pub fn left(&self, path: &PortablePath) -> Result<Option<Left>, StoreError> {
        let sql = "SELECT value, stamp, step FROM left_files WHERE path = ?1";
        self.checkout_row(sql, [path.as_bytes()], |row| {
            let stamp: Vec<u8> = row.get(1)?;
            let stamp = format::decode_stamps(&stamp).into_iter().next().flatten();
            Ok(Left { value: Value(row.get(0)?), stamp, step: Digest(row.get(2)?) })
        })
    }

    /// The task that is known to have left something at a path, for telling.
    pub fn task_that_left(&self, path: &PortablePath) -> Option<String> {
        let sql = "SELECT task FROM left_files JOIN steps USING (step) WHERE path = ?1";
        self.checkout_row(sql, [path.as_bytes()], |row| row.get(0)).ok().flatten()
    }

    /// Whether another step is known to have left something at a path or below it.
    pub fn is_left_by_another(&self, path: &PortablePath, step: Digest) -> Result<bool, StoreError> {
        let below = [path.as_bytes(), b"/"].concat();
        // `0` is the character after `/`.
        let after = [path.as_bytes(), b"0"].concat();
        let sql = "SELECT EXISTS (SELECT 1 FROM left_files WHERE path = ?1 AND step <> ?4)
            OR EXISTS (SELECT 1 FROM left_files WHERE path > ?2 AND path < ?3 AND step <> ?4)";
        let found =
            self.checkout_row(sql, params![path.as_bytes(), below, after, step.as_bytes()], |row| {
                row.get(0)
            })?;
        Ok(found.unwrap_or(false))
    }

    /// Whether one of these steps is known to have left something at a path or below it.
    pub fn is_left_within(&self, path: &PortablePath, steps: &[Digest]) -> Result<bool, StoreError> {
        // `0` is the character after `/`; every stored path inside the root lies in `.`.
        let (below, after) = match path.as_bytes() {
            b"." => (Vec::new(), vec![0xff]),
            bytes => ([bytes, b"/"].concat(), [bytes, b"0"].concat()),
        };
        let sql = "SELECT EXISTS (SELECT 1 FROM left_files WHERE path = ?1 AND step = ?4)
            OR EXISTS (SELECT 1 FROM left_files WHERE path > ?2 AND path < ?3 AND step = ?4)";
        for step in steps {
            let asked = params![path.as_bytes(), below, after, step.as_bytes()];
            if self.checkout_row(sql, asked, |row| row.get(0))?.unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes what a step left, and that what it removed is gone, in one transaction.
    pub fn leave(
        &self,
        step: Digest,
        left: &[(PortablePath, Value, Option<Stamp>)],
        gone: &[PortablePath],
    ) -> Result<(), StoreError> {
        if left.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.checkout_transact(|checkout| {
            let mut put =
                checkout.prepare_cached("INSERT OR REPLACE INTO left_files VALUES (?1, ?2, ?3, ?4)")?;
            for (path, value, stamp) in left {
                let stamp = format::encode_stamps(&[*stamp]);
                put.execute(params![path.as_bytes(), value.0, stamp, step.as_bytes()])?;
            }
            let mut forget = checkout.prepare_cached("DELETE FROM left_files WHERE path = ?1")?;
            gone.iter().try_for_each(|path| forget.execute([path.as_bytes()]).map(drop))
        })
    }

    /// Paths at which a step is known to have left something.
    pub fn left_by(&self, step: Digest) -> Result<Vec<PortablePath>, StoreError> {
        self.paths_of("SELECT path FROM left_files WHERE step = ?1", step)
    }

    /// Notes which files of a tool's own state its runs made, and which are gone.
    pub fn keep_tool_files(
        &self,
        keeper: Digest,
        kept: &[PortablePath],
        gone: &[PortablePath],
    ) -> Result<(), StoreError> {
        if kept.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.checkout_transact(|checkout| {
            let mut put = checkout.prepare_cached("INSERT OR IGNORE INTO tool_files VALUES (?1, ?2)")?;
            for path in kept {
                put.execute(params![keeper.as_bytes(), path.as_bytes()])?;
            }
            let mut forget =
                checkout.prepare_cached("DELETE FROM tool_files WHERE keeper = ?1 AND path = ?2")?;
            gone.iter()
                .try_for_each(|path| forget.execute(params![keeper.as_bytes(), path.as_bytes()]).map(drop))
        })
    }

    /// What is noted of a keeper.
    pub fn tool_files(&self, keeper: Digest) -> Result<Vec<PortablePath>, StoreError> {
        self.paths_of("SELECT path FROM tool_files WHERE keeper = ?1", keeper)
    }

    /// Whether a file is of a tool's own state, made by a run of it. A fault counts as no.
    pub fn is_tool_file(&self, keeper: Digest, path: &PortablePath) -> bool {
        let sql = "SELECT 1 FROM tool_files WHERE keeper = ?1 AND path = ?2";
        self.checkout_row(sql, params![keeper.as_bytes(), path.as_bytes()], |_| Ok(()))
            .ok()
            .flatten()
            .is_some()
    }

    fn paths_of(&self, sql: &str, step: Digest) -> Result<Vec<PortablePath>, StoreError> {
        let checkout = self.checkout.read();
        let read = || {
            let mut statement = checkout.prepare_cached(sql)?;
            let rows = statement.query_map([step.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
            readable(rows)
        };
        let rows = read().map_err(|source| self.checkout.failed(source))?;
        Ok(rows.iter().map(|path| PortablePath::from_bytes(path)).collect())
    }

    /// Paths that earlier runs of a step read and then changed.
    pub fn overlaps(&self, step: Digest) -> Result<Vec<PortablePath>, StoreError> {
        self.paths_of("SELECT path FROM overlaps WHERE step = ?1", step)
    }

    /// Whether an earlier run of a step read a path and then changed it.
    pub fn is_overlap(&self, step: Digest, path: &PortablePath) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM overlaps WHERE step = ?1 AND path = ?2";
        let row = self.checkout_row(sql, params![step.as_bytes(), path.as_bytes()], |_| Ok(()))?;
        Ok(row.is_some())
    }

    /// Notes that a step reads and then changes a path.
    pub fn note_overlap(&self, step: Digest, path: &PortablePath) -> Result<(), StoreError> {
        self.checkout_write(
            "INSERT OR IGNORE INTO overlaps VALUES (?1, ?2)",
            params![step.as_bytes(), path.as_bytes()],
        )
    }

    /// The entry whose outputs, state files among them, a step left last.
    pub fn state(&self, step: Digest) -> Result<Option<Digest>, StoreError> {
        let sql = "SELECT fingerprint FROM states WHERE step = ?1";
        self.checkout_row(sql, [step.as_bytes()], |row| row.get(0).map(Digest))
    }

    /// Notes that what a step left is what this entry holds, state files and all.
    pub fn note_state(&self, step: Digest, fingerprint: Digest) -> Result<(), StoreError> {
        self.checkout_write(
            "INSERT OR REPLACE INTO states VALUES (?1, ?2)",
            params![step.as_bytes(), fingerprint.as_bytes()],
        )
    }

    /// Variables that earlier runs of a step were found to have missed, sorted.
    pub fn learned_env(&self, step: Digest) -> Result<Vec<String>, StoreError> {
        let checkout = self.checkout.read();
        let read = || {
            let mut statement = checkout.prepare_cached("SELECT name FROM learned_env WHERE step = ?1")?;
            let rows = statement.query_map([step.as_bytes()], |row| row.get(0))?;
            readable(rows)
        };
        read().map_err(|source| self.checkout.failed(source))
    }

    /// Notes variables that a run of a step was found to have missed, or would miss if they were set.
    pub fn learn_env(&self, step: Digest, names: &[String]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        self.checkout_transact(|checkout| {
            let mut put = checkout.prepare_cached("INSERT OR IGNORE INTO learned_env VALUES (?1, ?2)")?;
            names.iter().try_for_each(|name| put.execute(params![step.as_bytes(), name]).map(drop))
        })
    }

    /// How a step last ended.
    pub fn last_run(&self, step: Digest) -> Result<Option<LastRun>, StoreError> {
        let sql = "SELECT key, fingerprint, report FROM steps WHERE step = ?1";
        self.checkout_row(sql, [step.as_bytes()], |row| {
            let key: Option<Vec<u8>> = row.get(0)?;
            let fingerprint: Option<[u8; 32]> = row.get(1)?;
            Ok(LastRun {
                key: key.and_then(|bytes| postcard::from_bytes(&bytes).ok()),
                fingerprint: fingerprint.map(Digest),
                report: row.get(2)?,
            })
        })
    }

    /// The steps that this checkout has run, by their keys: where each stands in its task, and its key.
    pub fn steps_by_key(&self) -> FxHashMap<Digest, (usize, CacheKey)> {
        let checkout = self.checkout.read();
        let read = || {
            let mut statement =
                checkout.prepare_cached("SELECT position, key FROM steps WHERE key NOT NULL")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            readable(rows)
        };
        // Without it entries have no more than the names of their tasks.
        let rows = read().unwrap_or_default().into_iter();
        let known = rows.filter_map(|(position, key)| {
            let key: CacheKey = postcard::from_bytes(&key).ok()?;
            Some((key.digest(), (usize::try_from(position).ok()?, key)))
        });
        known.collect()
    }

    /// Notes how a step ended.
    pub fn note_run(
        &self,
        step: Digest,
        task: &str,
        position: usize,
        run: &LastRun,
    ) -> Result<(), StoreError> {
        let key = run.key.as_ref().and_then(|key| postcard::to_stdvec(key).ok());
        let fingerprint = run.fingerprint.map(|digest| digest.0);
        self.checkout_write(
            "INSERT OR REPLACE INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![step.as_bytes(), task, position as i64, key, fingerprint, run.report],
        )
    }

    /// Tells something else of the run that made, or last used, an entry.
    pub fn retell(&self, entry: Digest, tell: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(), StoreError> {
        let sql = "SELECT report FROM steps WHERE fingerprint = ?1";
        let Some(report) = self.checkout_row(sql, [entry.as_bytes()], |row| row.get::<_, Vec<u8>>(0))? else {
            return Ok(());
        };
        self.checkout_write(
            "UPDATE steps SET report = ?2 WHERE fingerprint = ?1",
            params![entry.as_bytes(), tell(&report)],
        )
    }

    /// What an adapter answered, under a digest of what it was asked.
    pub fn memo(&self, key: Digest) -> Option<Vec<u8>> {
        self.checkout_row("SELECT value FROM memos WHERE key = ?1", [key.as_bytes()], |row| row.get(0))
            .ok()
            .flatten()
    }

    /// Keeps what an adapter answered. A failure costs asking again.
    pub fn put_memo(&self, key: Digest, value: &[u8]) {
        let _ = self
            .checkout_write("INSERT OR REPLACE INTO memos VALUES (?1, ?2)", params![key.as_bytes(), value]);
    }

    /// The one number that a query gives.
    pub(super) fn checkout_count(&self, sql: &str) -> Result<i64, StoreError> {
        Ok(self.checkout_row(sql, [], |row| row.get(0))?.unwrap_or(0))
    }

    /// Forgets all rows of a table but those of these keys.
    pub(super) fn forget_rows(
        &self,
        table: &str,
        column: &str,
        kept: &FxHashSet<Vec<u8>>,
    ) -> Result<(), StoreError> {
        self.checkout_transact(|checkout| {
            let mut statement = checkout.prepare(&format!("SELECT {column} FROM {table}"))?;
            let there = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            for key in readable(there)? {
                if !kept.contains(&key) {
                    checkout.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [key])?;
                }
            }
            Ok(())
        })
    }

    /// Forgets what adapters answered, but for the newest.
    pub(super) fn forget_memos(&self, newest: i64) -> Result<(), StoreError> {
        if self.checkout_count("SELECT count(*) FROM memos")? <= newest {
            return Ok(());
        }
        self.checkout_write(
            "DELETE FROM memos WHERE rowid NOT IN (SELECT rowid FROM memos ORDER BY rowid DESC LIMIT ?1)",
            [newest],
        )
    }

    /// Paths at which any step is known to have left something, sorted.
    pub(super) fn left_paths(&self) -> Result<Vec<PortablePath>, StoreError> {
        let checkout = self.checkout.read();
        let read = || {
            let mut statement = checkout.prepare_cached("SELECT path FROM left_files ORDER BY path")?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            readable(rows)
        };
        let rows = read();
        drop(checkout);
        let rows = rows.map_err(|source| self.checkout.failed(source))?;
        Ok(rows.iter().map(|path| PortablePath::from_bytes(path)).collect())
    }

    /// Forgets what was left at these paths.
    pub(super) fn forget_left(&self, paths: &[PortablePath]) -> Result<(), StoreError> {
        self.checkout_transact(|checkout| {
            let mut forget = checkout.prepare_cached("DELETE FROM left_files WHERE path = ?1")?;
            paths.iter().try_for_each(|path| forget.execute([path.as_bytes()]).map(drop))
        })
    }

    /// Forgets everything.
    pub(super) fn forget_checkout(&self) -> Result<(), StoreError> {
        self.checkout_transact(|checkout| {
            let tables = [
                "remembered",
                "matched",
                "states",
                "placed",
                "left_files",
                "tool_files",
                "overlaps",
                "learned_env",
                "steps",
                "memos",
            ];
            tables
                .iter()
                .try_for_each(|table| checkout.execute(&format!("DELETE FROM {table}"), []).map(drop))
        })
    }

    fn checkout_transact(
        &self,
        what: impl FnOnce(&Transaction) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut checkout = self.checkout.write();
        let run = || {
            let transaction = checkout.transaction_with_behavior(TransactionBehavior::Immediate)?;
            what(&transaction)?;
            transaction.commit()
        };
        let done = run();
        drop(checkout);
        done.map_err(|source| self.checkout.failed(source))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_tool_are_known_until_they_are_gone_also_after_something_was_read() {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(root.path(), None).unwrap();
        let (keeper, path) = (Digest([1; 32]), PortablePath::from_bytes(b".tool/cache"));
        assert!(!store.is_tool_file(keeper, &path));
        store.keep_tool_files(keeper, std::slice::from_ref(&path), &[]).unwrap();
        assert!(store.is_tool_file(keeper, &path));
        assert!(!store.is_tool_file(Digest([2; 32]), &path), "of another tool");
        store.keep_tool_files(keeper, &[], std::slice::from_ref(&path)).unwrap();
        assert!(!store.is_tool_file(keeper, &path));
    }
}

//! Looking after the store: how much there is, and making it smaller, the least recently used first.

use super::database::readable;
use super::index::{self, now_us};
use super::private::lock_briefly;
use super::{Point, Store, StoreError, io_error};
use crate::digest::Digest;
use crate::stamp::Found;
use rusqlite::params;
use rustc_hash::FxHashSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

/// What adapters answered that is kept; what was asked longest ago goes.
const MEMOS_MAX: i64 = 4096;
/// So many rows of a checkout may be of entries that are gone before they are removed.
const STALE_ROWS_MAX: i64 = 256;

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Entries.
    pub entries: u64,
    /// Archives.
    pub archives: u64,
    /// Bytes of archives.
    pub archive_bytes: u64,
}

/// One entry, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `package#name` of the task that made it.
    pub task: String,
    /// When, in seconds since 1970.
    pub created_s: i64,
    /// Bytes of its archive.
    pub bytes: u64,
    /// How long its command took, in milliseconds.
    pub took_ms: u64,
    /// What it is found by.
    pub fingerprint: String,
    /// What is known beforehand of the step that made it.
    pub key: Digest,
}

impl Store {
    /// How much there is.
    pub fn stat(&self) -> Result<Stat, StoreError> {
        let entries = {
            let index = self.index();
            index.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0))
        };
        let entries = entries.map_err(|source| self.index_failed(source))?;
        let mut stat = Stat { entries: entries as u64, ..Stat::default() };
        for (_, bytes, _) in self.archive_files()? {
            stat.archives += 1;
            stat.archive_bytes += bytes;
        }
        Ok(stat)
    }

    /// All entries, newest first.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement = index.prepare_cached(
                "SELECT task, created, archive_bytes, took_ms, fingerprint, key FROM entries ORDER BY created DESC, rowid DESC")?;
            let rows = statement.query_map([], |row| {
                Ok(Listed {
                    task: row.get(0)?,
                    created_s: row.get::<_, i64>(1)? / 1_000_000,
                    bytes: row.get::<_, i64>(2)?.max(0) as u64,
                    took_ms: row.get::<_, i64>(3)?.max(0) as u64,
                    fingerprint: Digest(row.get(4)?).to_string(),
                    key: Digest(row.get(5)?),
                })
            })?;
            readable(rows)
        };
        let rows = read();
        drop(index);
        rows.map_err(|source| self.index_failed(source))
    }

    /// Forgets the entries of the tasks that are meant, and the archives that no entry names then.
    pub fn clean(&self, is_meant: &dyn Fn(&str) -> bool) -> Result<Stat, StoreError> {
        self.remove_malformed()?;
        let tasks: FxHashSet<String> =
            self.list()?.into_iter().map(|listed| listed.task).filter(|task| is_meant(task)).collect();
        let entries = self.local.transact(|index| {
            let mut entries = 0;
            for task in tasks {
                entries += index.execute("DELETE FROM entries WHERE task = ?1", [task])?;
            }
            index::remove_bare_pathsets(index)?;
            Ok(entries)
        })?;
        let removed = self.after_forgetting()?;
        Ok(Stat { entries: entries as u64, ..removed })
    }

    /// Forgets everything, also what is known of this checkout: what is left are two empty databases.
    pub fn clean_all(&self) -> Result<Stat, StoreError> {
        let entries = self.local.transact(|index| {
            let entries = index.execute("DELETE FROM entries", [])?;
            index.execute("DELETE FROM pathsets", [])?;
            index.execute("DELETE FROM habits", [])?;
            Ok(entries)
        })?;
        self.forget_checkout()?;
        let removed = self.after_forgetting()?;
        self.remove_set_aside()?;
        self.remove_locks();
        for file in ["last-run.json", "took.json"] {
            let path = self.folder().join(file);
            tolerate_absence(fs::remove_file(&path)).map_err(io_error("remove", &path))?;
        }
        for folder in fs::read_dir(&self.local.archives).into_iter().flatten().flatten() {
            // One in which another process has just put an archive stays.
            let _ = fs::remove_dir(folder.path());
        }
        self.local.database.compact();
        self.checkout.compact();
        Ok(Stat { entries: entries as u64, ..removed })
    }

    /// Removes entries that were not used for longer than `age_max`, the least recently used ones until
    /// the rest takes no more than `bytes_max`, and everything that nothing needs. Gives what was removed.
    pub fn shrink(&self, bytes_max: u64, age_max: Option<Duration>) -> Result<Stat, StoreError> {
        let entries = self.local.transact(|index| {
            let oldest = age_max.map_or(i64::MIN, |age| {
                now_us().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
            });
            let mut gone = index::remove_malformed(index)?;
            gone += index.execute("DELETE FROM entries WHERE used < ?1", [oldest])?;
            for rowid in beyond(index, bytes_max)? {
                gone += index.execute("DELETE FROM entries WHERE rowid = ?1", [rowid])?;
            }
            index::remove_bare_pathsets(index)?;
            index::prune_habits(index)?;
            Ok(gone)
        })?;
        let removed = self.after_forgetting()?;
        Ok(Stat { entries: entries as u64, ..removed })
    }

    /// What `overhear cache gc` does beyond [`Store::shrink`]: also frees the room in the databases.
    pub fn collect(&self, bytes_max: u64, age_max: Option<Duration>) -> Result<Stat, StoreError> {
        let removed = self.shrink(bytes_max, age_max)?;
        self.remove_set_aside()?;
        self.forget_missing_files()?;
        self.local.database.compact();
        self.checkout.compact();
        Ok(removed)
    }

    /// To be called after something was stored: keeps the cache below a size, and removes archives that
    /// this session superseded. Cheap where there is nothing to do.
    pub fn keep_below(&self, bytes_max: u64) -> Result<(), StoreError> {
        let sql = "SELECT (SELECT coalesce(sum(archive_bytes), 0) FROM
                (SELECT DISTINCT archive, archive_bytes FROM entries WHERE archive IS NOT NULL))
            + (SELECT coalesce(sum(row_bytes), 0) FROM entries)";
        let bytes = self.index().query_row(sql, [], |row| row.get::<_, i64>(0));
        let bytes = bytes.map_err(|source| self.index_failed(source))?;
        if bytes.max(0) as u64 > bytes_max || self.has_strays {
            return self.shrink(bytes_max, None).map(drop);
        }
        let superseded =
            std::mem::take(&mut *self.local.superseded.lock().unwrap_or_else(PoisonError::into_inner));
        if !superseded.is_empty() {
            let files: FxHashSet<Digest> = superseded.into_iter().collect();
            let files = files.into_iter().filter_map(|digest| {
                let path = self.local.archive_path(digest);
                let bytes = fs::metadata(&path).ok()?.len();
                Some((path, bytes, Some(digest)))
            });
            self.remove_unnamed(files.collect())?;
        }
        self.prune_checkout(STALE_ROWS_MAX)
    }

    /// Removes rows that have another form than was stored. Gives how many.
    pub(super) fn remove_malformed(&self) -> Result<usize, StoreError> {
        self.local.transact(|index| index::remove_malformed(index))
    }

    /// After entries were forgotten: what they alone needed goes.
    fn after_forgetting(&self) -> Result<Stat, StoreError> {
        Point::EntriesForgotten.reached();
        let removed = self.remove_unnamed(self.archive_files()?)?;
        self.prune_checkout(0)?;
        Ok(removed)
    }

    /// Removes the databases that were set aside.
    fn remove_set_aside(&self) -> Result<(), StoreError> {
        for folder in [self.folder().to_path_buf(), self.local.archives.with_file_name("")] {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| name.contains(".db.aside")) {
                    let path = entry.path();
                    tolerate_absence(fs::remove_file(&path)).map_err(io_error("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Archives on disk: path, bytes, digest; `None` for what is no archive.
    fn archive_files(&self) -> Result<Vec<(PathBuf, u64, Option<Digest>)>, StoreError> {
        let mut files = Vec::new();
        let folders = match fs::read_dir(&self.local.archives) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            other => other.map_err(io_error("list", &self.local.archives))?,
        };
        for folder in folders {
            let folder = folder.map_err(io_error("list", &self.local.archives))?.path();
            let Ok(names) = fs::read_dir(&folder) else {
                files.push((folder, 0, None));
                continue;
            };
            for file in names.flatten() {
                let name = file.file_name();
                let digest = name.to_str().and_then(|name| Digest::from_hex(name.strip_suffix(".tar.zst")?));
                let digest = digest.filter(|digest| self.local.archive_path(*digest) == file.path());
                files.push((file.path(), file.metadata().map_or(0, |meta| meta.len()), digest));
            }
        }
        Ok(files)
    }

    /// Removes those archives that no entry names. Who has named one and not yet stored its entry holds a
    /// lock, and is waited for.
    fn remove_unnamed(&self, files: Vec<(PathBuf, u64, Option<Digest>)>) -> Result<Stat, StoreError> {
        let mut removed = Stat::default();
        let Ok(all) = File::open(&self.local.archives) else { return Ok(removed) };
        lock_briefly(&all, false).map_err(io_error("lock", &self.local.archives))?;
        self.local.database.see_news();
        for (path, bytes, digest) in files {
            let is_named = match digest {
                None => false,
                Some(digest) => {
                    let sql = "SELECT EXISTS (SELECT 1 FROM entries WHERE archive = ?1)";
                    let found = self.index().query_row(sql, params![digest.as_bytes()], |row| row.get(0));
                    found.map_err(|source| self.index_failed(source))?
                }
            };
            if is_named {
                continue;
            }
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            tolerate_absence(gone).map_err(io_error("remove", &path))?;
            removed.archives += 1;
            removed.archive_bytes += bytes;
            Point::ArchiveRemoved.reached();
        }
        Ok(removed)
    }

    /// Forgets what is remembered of this checkout for entries and pathsets that are gone, if there are
    /// more than so many.
    fn prune_checkout(&self, stale_max: i64) -> Result<(), StoreError> {
        let known = |sql: &str| -> Result<FxHashSet<Vec<u8>>, StoreError> {
            let index = self.index();
            let read = || {
                let mut statement = index.prepare_cached(sql)?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok(readable(rows)?.into_iter().collect::<FxHashSet<Vec<u8>>>())
            };
            let rows = read();
            drop(index);
            rows.map_err(|source| self.index_failed(source))
        };
        for (table, column, of) in [
            ("remembered", "pathset", "pathsets"),
            ("matched", "pathset", "pathsets"),
            ("placed", "fingerprint", "entries"),
        ] {
            let count = |table: &str| format!("SELECT count(*) FROM {table}");
            let rows = self.checkout_count(&count(table))?;
            let needed = self.index().query_row(&count(of), [], |row| row.get::<_, i64>(0));
            if rows <= needed.map_err(|source| self.index_failed(source))? + stale_max {
                continue;
            }
            let kept = known(match of {
                "pathsets" => "SELECT digest FROM pathsets",
                _ => "SELECT fingerprint FROM entries",
            })?;
            self.forget_rows(table, column, &kept)?;
        }
        self.forget_memos(MEMOS_MAX)
    }

    /// Forgets what was left at paths where nothing lies any more.
    fn forget_missing_files(&self) -> Result<(), StoreError> {
        let Some(root) = self.folder().parent() else { return Ok(()) };
        let Ok(mut beneath) = crate::beneath::Beneath::open(root) else { return Ok(()) };
        let missing = self
            .left_paths()?
            .into_iter()
            .filter(|path| path.is_inside() && matches!(beneath.look(path.as_bytes()), Ok(Found::Absent)));
        self.forget_left(&missing.collect::<Vec<_>>())
    }
}

/// The entries, by row, that are too much: the least recently used, where all that were used since take
/// so many bytes.
fn beyond(index: &rusqlite::Connection, bytes_max: u64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = index.prepare(
        "SELECT rowid, archive, archive_bytes, row_bytes FROM entries ORDER BY used DESC, rowid DESC",
    )?;
    let mut rows = statement.query([])?;
    let (mut seen, mut bytes, mut beyond) = (FxHashSet::default(), 0u64, Vec::new());
    while let Some(row) = rows.next()? {
        let archive: Option<[u8; 32]> = row.get(1)?;
        if archive.is_some_and(|archive| seen.insert(archive)) {
            bytes = bytes.saturating_add(row.get::<_, i64>(2)?.max(0) as u64);
        }
        bytes = bytes.saturating_add(row.get::<_, i64>(3)?.max(0) as u64);
        if bytes > bytes_max {
            beyond.push(row.get(0)?);
        }
    }
    Ok(beyond)
}

fn tolerate_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

//! Looking after the store: how much there is, whether it is sound, and making it smaller.

use super::archive::ArchiveError;
use super::{Store, StoreError, format};
use crate::digest::Digest;
use rusqlite::params;
use rustc_hash::FxHashSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

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
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entries that are whole.
    pub sound: u64,
    /// What is wrong, one line each; such entries are removed.
    pub damaged: Vec<String>,
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
                "SELECT task, created, archive_bytes, took_ms, fingerprint FROM entries ORDER BY created DESC, rowid DESC")?;
            let rows = statement.query_map([], |row| {
                Ok(Listed {
                    task: row.get(0)?,
                    created_s: row.get(1)?,
                    bytes: row.get::<_, i64>(2)?.max(0) as u64,
                    took_ms: row.get::<_, i64>(3)?.max(0) as u64,
                    fingerprint: Digest(row.get(4)?).to_string(),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.index_failed(source))
    }

    /// Forgets the entries of tasks that are meant, then the archives that no entry names.
    pub fn clean(&self, is_meant: &dyn Fn(&str) -> bool) -> Result<Stat, StoreError> {
        let tasks: FxHashSet<String> =
            self.list()?.into_iter().map(|listed| listed.task).filter(|task| is_meant(task)).collect();
        for task in tasks {
            let removed = self.index_to_write().execute("DELETE FROM entries WHERE task = ?1", [task]);
            removed.map_err(|source| self.index_failed(source))?;
        }
        self.remove_orphans()
    }

    /// Removes least recently used entries until the archives take no more than `bytes_max`, and
    /// archives that no entry names. Gives what was removed.
    pub fn shrink(&self, bytes_max: u64) -> Result<Stat, StoreError> {
        let mut removed = self.remove_orphans()?;
        loop {
            let stat = self.stat()?;
            if stat.archive_bytes <= bytes_max {
                return Ok(removed);
            }
            let sql =
                "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries WHERE archive IS NOT NULL
                ORDER BY used, rowid LIMIT max(1, (SELECT count(*) FROM entries) / 16))";
            let gone = self.index_to_write().execute(sql, []).map_err(|source| self.index_failed(source))?;
            let orphans = self.remove_orphans()?;
            removed.entries += gone as u64;
            removed.archives += orphans.archives;
            removed.archive_bytes += orphans.archive_bytes;
            if gone == 0 {
                return Ok(removed);
            }
        }
    }

    /// To be called after something was stored: keeps archives below a size. Cheap while they are.
    pub fn keep_below(&self, bytes_max: u64) -> Result<(), StoreError> {
        let sql = "SELECT coalesce(sum(archive_bytes), 0) FROM (SELECT DISTINCT archive, archive_bytes FROM entries)";
        let bytes = self.index().query_row(sql, [], |row| row.get::<_, i64>(0));
        let bytes = bytes.map_err(|source| self.index_failed(source))?;
        if bytes.max(0) as u64 > bytes_max { self.shrink(bytes_max).map(drop) } else { Ok(()) }
    }

    /// Checks each entry and its archive; damaged ones are removed.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        let mut seen: FxHashSet<Digest> = FxHashSet::default();
        for (fingerprint, task, manifest, archive) in self.entry_rows()? {
            let wrong = match format::decode_manifest(&manifest) {
                Err(damaged) => Some(damaged.to_string()),
                Ok(_) => archive
                    .filter(|archive| seen.insert(*archive))
                    .and_then(|archive| self.check_archive(archive).err())
                    .map(|error| error.to_string()),
            };
            match wrong {
                None => verified.sound += 1,
                Some(wrong) => {
                    verified.damaged.push(format!("{task}: {wrong}"));
                    self.remove_entry(fingerprint)?;
                }
            }
        }
        Ok(verified)
    }

    fn entry_rows(&self) -> Result<Vec<(Digest, String, Vec<u8>, Option<Digest>)>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement =
                index.prepare_cached("SELECT fingerprint, task, manifest, archive FROM entries")?;
            let rows = statement.query_map([], |row| {
                let archive: Option<[u8; 32]> = row.get(3)?;
                Ok((Digest(row.get(0)?), row.get(1)?, row.get(2)?, archive.map(Digest)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.index_failed(source))
    }

    fn check_archive(&self, archive: Digest) -> Result<(), ArchiveError> {
        let damaged = |why: String| ArchiveError::Damaged { archive, why };
        let mut file = File::open(self.archive_path(archive)).map_err(|error| damaged(error.to_string()))?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut file, &mut hasher).map_err(|error| damaged(error.to_string()))?;
        if hasher.finalize().as_bytes() == archive.as_bytes() {
            Ok(())
        } else {
            Err(damaged("its bytes are not those that were stored".to_owned()))
        }
    }

    /// Archives on disk: path, bytes, digest.
    fn archive_files(&self) -> Result<Vec<(PathBuf, u64, Option<Digest>)>, StoreError> {
        let failed = |source| StoreError::Io { what: "list", path: self.archives.clone(), source };
        let mut files = Vec::new();
        for folder in fs::read_dir(&self.archives).map_err(failed)? {
            let Ok(names) = fs::read_dir(folder.map_err(failed)?.path()) else { continue };
            for file in names.flatten() {
                let name = file.file_name();
                let digest = name.to_str().and_then(|name| Digest::from_hex(name.strip_suffix(".tar.zst")?));
                files.push((file.path(), file.metadata().map_or(0, |meta| meta.len()), digest));
            }
        }
        Ok(files)
    }

    /// Removes archives that no entry names. The index is locked meanwhile: an archive that another
    /// process has just named, and is about to put into an entry, is younger than a minute and kept.
    fn remove_orphans(&self) -> Result<Stat, StoreError> {
        let mut removed = Stat::default();
        for (path, bytes, digest) in self.archive_files()? {
            let named = match digest {
                None => false,
                Some(digest) => {
                    let index = self.index();
                    let sql = "SELECT EXISTS (SELECT 1 FROM entries WHERE archive = ?1)";
                    let named = index.query_row(sql, params![digest.as_bytes()], |row| row.get(0));
                    named.map_err(|source| self.index_failed(source))?
                }
            };
            let is_young = || {
                let age = fs::metadata(&path).and_then(|meta| meta.modified()).map(|time| time.elapsed());
                matches!(age, Ok(Ok(age)) if age.as_secs() < 60) && self.someone_else_is_here()
            };
            if !named && !is_young() {
                let failed = |source| StoreError::Io { what: "remove", path: path.clone(), source };
                fs::remove_file(&path).map_err(failed)?;
                removed.archives += 1;
                removed.archive_bytes += bytes;
            }
        }
        Ok(removed)
    }

    /// Whether another process holds a step: it may have named an archive and not yet its entry.
    fn someone_else_is_here(&self) -> bool {
        let Ok(locks) = fs::read_dir(self.folder.join("locks")) else { return false };
        locks.flatten().any(|lock| File::open(lock.path()).is_ok_and(|file| file.try_lock_shared().is_err()))
    }
}

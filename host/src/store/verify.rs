//! Whether what is kept is whole: each row against its seal, each archive against its name, and the
//! databases as SQLite sees them.

use super::archive::ArchiveError;
use super::tier::{EntryRow, Sealed};
use super::{Frames, Store, StoreError, format, names};
use crate::digest::Digest;
use rustc_hash::FxHashMap;
use std::io;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entries that are whole.
    pub sound: u64,
    /// What is wrong, one line each; such entries are removed.
    pub damaged: Vec<String>,
}

impl Store {
    /// Checks each entry with its pathset and its archive; damaged ones are removed.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        for database in [&self.local.database, &self.checkout] {
            verified.damaged.extend(database.check()?);
        }
        match self.remove_malformed()? {
            0 => {}
            rows => {
                verified.damaged.push(format!("{rows} rows of the index have another form than was stored"))
            }
        }
        let mut archives: FxHashMap<Digest, Option<String>> = FxHashMap::default();
        for (fingerprint, task) in self.fingerprints()? {
            let wrong = match self.check_entry(fingerprint) {
                Err(error) => Some(error.to_string()),
                Ok(None) => continue,
                Ok(Some(row)) => row.archive.and_then(|(archive, _)| {
                    let checked = archives
                        .entry(archive)
                        .or_insert_with(|| self.check_archive(archive).err().map(|error| error.to_string()));
                    checked.clone()
                }),
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

    fn fingerprints(&self) -> Result<Vec<(Digest, String)>, StoreError> {
        let index = self.index();
        let read = || {
            let mut statement =
                index.prepare_cached("SELECT fingerprint, task FROM entries ORDER BY rowid")?;
            let rows = statement.query_map([], |row| Ok((Digest(row.get(0)?), row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read();
        drop(index);
        rows.map_err(|source| self.index_failed(source))
    }

    /// The row of an entry, found whole with all that belongs to it in the index.
    fn check_entry(&self, fingerprint: Digest) -> Result<Option<EntryRow>, StoreError> {
        // Another process may just have evicted it.
        let Some(row) = self.tier().entry(fingerprint)? else { return Ok(None) };
        let row = row.open()?;
        names::check(&format::decode_manifest(&row.manifest)?)?;
        let unreadable = |error: io::Error| StoreError::Damaged(format!("what was printed: {error}"));
        for frame in Frames::new(&row.logs) {
            frame.map_err(unreadable)?;
        }
        let missing = || StoreError::Damaged("its pathset is missing".to_owned());
        let members: Sealed = self.tier().pathset(row.key, row.pathset)?.ok_or_else(missing)?;
        let pathset = format::decode_pathset(&members.open("its pathset")?)?;
        if pathset.digest() != row.pathset {
            return Err(StoreError::Damaged("its pathset is another one".to_owned()));
        }
        for values in self.local.values(row.key, row.pathset)? {
            format::decode_values(&values)?;
        }
        Ok(Some(row))
    }

    fn check_archive(&self, archive: Digest) -> Result<(), ArchiveError> {
        let damaged = |error: io::Error| ArchiveError::Damaged { archive, why: error.to_string() };
        let mut blob = self.tier().blob(archive).map_err(damaged)?;
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut blob, &mut hasher).map_err(damaged)?;
        if hasher.finalize().as_bytes() == archive.as_bytes() {
            return Ok(());
        }
        Err(ArchiveError::Damaged { archive, why: "its bytes are not those that were stored".to_owned() })
    }
}

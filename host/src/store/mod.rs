//! What is kept between runs. `index.db` and `archives/` hold entries, valid in any checkout and on
//! any machine; `checkout.db` holds what is true of this checkout only.
//!
//! Everything here may fail without harm: a caller that gets an error runs the command. Order of
//! writing: archive, then entry, each whole or absent (`docs/cache-format.md`).

mod archive;
mod checkout;
mod fault;
mod format;
mod index;
mod lock;
mod logs;
mod replay;
mod survey;
mod upkeep;
mod virtual_tree;

pub use archive::{ArchiveError, Packed};
pub use checkout::{LastRun, Left};
pub use fault::Point;
pub use format::{FolderHabit, Habits, Manifest, Output, OutputKind, VERSION};
pub use index::{Entry, NewEntry};
pub use lock::StepLock;
pub use logs::{Frames, LogRecorder, Recording};
pub use replay::{ReplayError, ToReplay};
pub use survey::{Place, Survey, Surveyed};
pub use upkeep::{Listed, Stat, Verified};
pub use virtual_tree::VirtualTree;

use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The name of overhear's folder at the workspace root.
pub const FOLDER: &str = ".overhear";

/// Why the store cannot be used, or something in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The database.
    #[error("the cache index `{}` failed: {source}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row or archive that cannot be read back.
    #[error("{0}")]
    Damaged(String),
}

impl From<format::Damaged> for StoreError {
    fn from(damaged: format::Damaged) -> StoreError {
        StoreError::Damaged(damaged.to_string())
    }
}

/// What is kept between runs.
pub struct Store {
    /// `.overhear` at the root.
    folder: PathBuf,
    /// Where archives are.
    archives: PathBuf,
    index: Mutex<Connection>,
    checkout: Mutex<Connection>,
    salt: [u8; 32],
    /// Whether this session has stored an entry.
    has_stored: AtomicBool,
}

impl Store {
    /// Opens or creates the store of a workspace. `entries` is where index and archives go, if not
    /// into `.overhear`. Gives the store and one line for each thing that had to be set aside.
    pub fn open(root: &Path, entries: Option<&Path>) -> Result<(Store, Vec<String>), StoreError> {
        let folder = root.join(FOLDER);
        let entries = entries.map_or_else(|| folder.clone(), Path::to_path_buf);
        let archives = entries.join("archives");
        make_private_folder(&folder)?;
        make_private_folder(&entries)?;
        make_private_folder(&archives)?;
        ignore_in_git(&folder)?;
        let mut notices = Vec::new();
        let index = open_database(&entries.join("index.db"), index::SCHEMA, &mut notices)?;
        let checkout = open_database(&folder.join("checkout.db"), checkout::SCHEMA, &mut notices)?;
        let salt = index::salt(&index)
            .map_err(|source| StoreError::Database { path: entries.join("index.db"), source })?;
        let store = Store {
            folder,
            archives,
            index: Mutex::new(index),
            checkout: Mutex::new(checkout),
            salt,
            has_stored: AtomicBool::new(false),
        };
        Ok((store, notices))
    }

    /// Opens the store of a workspace for looking only: nothing is written. Where there is none yet, or
    /// one of another version, it is as if nothing had been kept.
    pub fn look(root: &Path, entries: Option<&Path>) -> Result<Store, StoreError> {
        let folder = root.join(FOLDER);
        let entries = entries.map_or_else(|| folder.clone(), Path::to_path_buf);
        let index_file = entries.join("index.db");
        let index = open_to_look(&index_file, index::SCHEMA)?;
        let checkout = open_to_look(&folder.join("checkout.db"), checkout::SCHEMA)?;
        let failed = |source| StoreError::Database { path: index_file, source };
        let salt = index::salt(&index).map_err(failed)?;
        let store = Store {
            folder,
            archives: entries.join("archives"),
            index: Mutex::new(index),
            checkout: Mutex::new(checkout),
            salt,
            has_stored: AtomicBool::new(false),
        };
        for database in [&store.index, &store.checkout] {
            let connection = database.lock().unwrap_or_else(PoisonError::into_inner);
            let made = connection.execute_batch("PRAGMA query_only = ON");
            made.map_err(|source| StoreError::Database { path: entries.clone(), source })?;
        }
        Ok(store)
    }

    /// The salt under which values of variables are digested, one per cache.
    pub fn salt(&self) -> [u8; 32] {
        self.salt
    }

    /// Whether this session has stored an entry.
    pub fn has_stored(&self) -> bool {
        self.has_stored.load(Ordering::Relaxed)
    }

    /// The folder at the root.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// For reading. All reads up to the next write see one state of the database, which also saves a
    /// lock and an unlock for each; what other processes add meanwhile is found after the next write.
    fn index(&self) -> MutexGuard<'_, Connection> {
        reading(&self.index)
    }

    fn checkout(&self) -> MutexGuard<'_, Connection> {
        reading(&self.checkout)
    }

    fn index_to_write(&self) -> MutexGuard<'_, Connection> {
        writing(&self.index)
    }

    fn checkout_to_write(&self) -> MutexGuard<'_, Connection> {
        writing(&self.checkout)
    }

    /// From here on reads see what other processes have stored.
    fn see_news(&self) {
        drop((self.index_to_write(), self.checkout_to_write()));
    }

    fn index_failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.archives.with_file_name("index.db"), source }
    }

    fn checkout_failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.folder.join("checkout.db"), source }
    }
}

fn reading(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic between statements cannot leave a transaction half done: it is rolled back on drop.
    let guard = connection.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_autocommit() {
        // Where it fails, the read that follows says why.
        let _ = guard.execute_batch("BEGIN");
    }
    guard
}

fn writing(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    let guard = connection.lock().unwrap_or_else(PoisonError::into_inner);
    if !guard.is_autocommit() {
        // It has only read.
        let _ = guard.execute_batch("COMMIT");
    }
    guard
}

fn make_private_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Io {
        what: "create the cache folder",
        path: path.to_path_buf(),
        source,
    })
}

/// The folder ignores itself, so that nobody has to edit a `.gitignore`.
fn ignore_in_git(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    fs::write(&path, "*\n").map_err(|source| StoreError::Io { what: "write", path, source })
}

/// Opens a database, making it where it is missing. One of another version, or one that is damaged,
/// is moved aside and told; nothing in it is lost.
fn open_database(path: &Path, schema: &str, notices: &mut Vec<String>) -> Result<Connection, StoreError> {
    match try_open(path, schema) {
        Ok(connection) => Ok(connection),
        Err(Trouble::SetAside(why)) => {
            let aside = set_aside(path)?;
            notices.push(format!(
                "the cache index {why}; it was set aside as `{}` and a new one begun",
                aside.display()
            ));
            match try_open(path, schema) {
                Ok(connection) => Ok(connection),
                Err(Trouble::SetAside(why)) => Err(StoreError::Damaged(format!("a new cache index {why}"))),
                Err(Trouble::Failed(source)) => {
                    Err(StoreError::Database { path: path.to_path_buf(), source })
                }
            }
        }
        Err(Trouble::Failed(source)) => Err(StoreError::Database { path: path.to_path_buf(), source }),
    }
}

/// Opens a database as it is; where there is none that can be read, an empty one in memory.
fn open_to_look(path: &Path, schema: &str) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Database { path: path.to_path_buf(), source };
    if path.is_file() {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(30)).map_err(failed)?;
        let version: rusqlite::Result<i32> =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        if version.is_ok_and(|version| version == VERSION) {
            return Ok(connection);
        }
    }
    let connection = Connection::open_in_memory().map_err(failed)?;
    connection.execute_batch(schema).map_err(failed)?;
    Ok(connection)
}

enum Trouble {
    SetAside(String),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Trouble::SetAside(format!("is damaged ({error})"))
            }
            _ => Trouble::Failed(error),
        }
    }
}

fn try_open(path: &Path, schema: &str) -> Result<Connection, Trouble> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION {
        connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        return Ok(connection);
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version != 0 || tables != 0 {
        return Err(Trouble::SetAside(format!("has version {version}, not {VERSION}")));
    }
    // Secrets are only there as salted digests, but logs and paths are nobody else's business.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
    // Two sessions may meet here; the second finds the tables made.
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {VERSION}; COMMIT"))?;
    Ok(connection)
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut aside = path.with_extension("db.aside");
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = path.with_extension(format!("db.aside-{number}"));
    }
    let failed = |source| StoreError::Io { what: "set aside", path: path.to_path_buf(), source };
    fs::rename(path, &aside).map_err(failed)?;
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match fs::remove_file(PathBuf::from(&beside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}

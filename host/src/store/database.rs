//! Opening the two SQLite files, and who may read and write them when.
//!
//! A run that only looks opens a *snapshot*: the file alone, read without the write-ahead log, its
//! shared memory and its locks, which would cost more system calls than all the reading. That is
//! sound while the log is empty and nobody moves a log into the file: moving takes an exclusive
//! `flock` of the log (`checkpoint`), and a snapshot holds a shared one. The first write opens the
//! database in full. Several threads read a snapshot with up to two connections.

use super::private::{lock_briefly, make_private, make_private_folder};
use super::{StoreError, VERSION};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, File};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long another process may hold a lock of the database before a run goes on without its cache.
const BUSY: Duration = Duration::from_secs(5);
/// After so many writes the log is moved into the file, where nobody reads a snapshot.
const WRITES_PER_CHECKPOINT: u32 = 256;

/// One SQLite file.
pub(super) struct Database {
    path: PathBuf,
    purpose: Purpose,
    held: Mutex<Held>,
    /// A second connection to the same snapshot, for who finds the first one taken. Made when that first happens.
    spare: Mutex<Option<Spare>>,
    /// Whether `held` is a snapshot of the file. Changes only while `held` and `spare` are both locked.
    is_snapshot: AtomicBool,
    /// Somebody kept it locked for too long: what is still to be written does not wait again.
    is_blocked: AtomicBool,
}

/// A connection, held by one thread.
pub(super) struct Held {
    connection: Connection,
    /// Present for a snapshot: keeps the file as it is. (`None` inside: nobody can change it.)
    snapshot: Option<Option<File>>,
    /// Why it cannot be opened in full: it stays a snapshot.
    is_read_only: bool,
    writes: u32,
}

/// A second connection to a snapshot.
pub(super) struct Spare {
    connection: Connection,
    /// Keeps the file as it is, like that of the first.
    _log: Option<File>,
}

/// A connection to read with.
pub(super) enum Reading<'a> {
    First(MutexGuard<'a, Held>),
    /// `Some`, as long as it is a snapshot.
    Spare(MutexGuard<'a, Option<Spare>>),
}

/// What is to be done with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Make it where it is missing.
    Use,
    /// Nothing is written; where there is none that can be read, it is as if it were empty.
    Look,
}

impl Database {
    /// Opens a database. For use, it is made where it is missing, and one of another version, or one
    /// that is damaged, is moved aside with a line in `notices`; nothing in it is lost.
    pub(super) fn open(
        path: &Path,
        schema: &str,
        purpose: Purpose,
        notices: &mut Vec<String>,
    ) -> Result<Database, StoreError> {
        let (held, is_snapshot) = match snapshot(path, schema) {
            Some(held) => (held, true),
            None if purpose == Purpose::Look => (open_to_look(path, schema)?, false),
            None => (open_to_use(path, schema, notices)?, false),
        };
        Ok(Database {
            path: path.to_path_buf(),
            purpose,
            is_snapshot: AtomicBool::new(is_snapshot),
            held: Mutex::new(held),
            spare: Mutex::default(),
            is_blocked: AtomicBool::new(false),
        })
    }

    /// For reading. All reads up to the next write see one state of the database, which also saves a
    /// lock and an unlock for each; what other processes add meanwhile is found after the next write.
    pub(super) fn read(&self) -> Reading<'_> {
        let held = match self.held.try_lock() {
            Ok(held) => held,
            Err(_) => match self.spare() {
                Some(spare) => return Reading::Spare(spare),
                None => self.lock(),
            },
        };
        if held.snapshot.is_none() && held.connection.is_autocommit() {
            // Where it fails, the read that follows says why.
            let _ = held.connection.execute_batch("BEGIN");
        }
        Reading::First(held)
    }

    /// The second connection, if the database is a snapshot that can be opened twice.
    fn spare(&self) -> Option<MutexGuard<'_, Option<Spare>>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() && self.is_snapshot.load(Ordering::Relaxed) {
            *spare = open_spare(&self.path);
        }
        spare.is_some().then_some(spare)
    }

    /// For writing; the guard gives the connection. Where the database cannot be written, the write
    /// says so.
    pub(super) fn write(&self) -> MutexGuard<'_, Held> {
        let mut held = self.lock();
        if held.snapshot.is_some() && !held.is_read_only {
            self.open_in_full(&mut held);
        }
        if held.snapshot.is_none() && !held.connection.is_autocommit() {
            // It has only read.
            let _ = held.connection.execute_batch("COMMIT");
        }
        if self.is_blocked.load(Ordering::Relaxed) {
            let _ = held.connection.busy_timeout(Duration::ZERO);
        }
        held.writes += 1;
        if held.writes.is_multiple_of(WRITES_PER_CHECKPOINT) {
            checkpoint(&self.path, &held.connection);
        }
        held
    }

    /// From here on reads see what other processes have written.
    pub(super) fn see_news(&self) {
        drop(self.write());
    }

    /// Ends the common read: whoever is about to wait keeps nobody from emptying the log.
    pub(super) fn end_read(&self) {
        let held = self.lock();
        if held.snapshot.is_none() && !held.connection.is_autocommit() {
            let _ = held.connection.execute_batch("COMMIT");
        }
    }

    /// Whether nothing can be written, whatever the reason.
    pub(super) fn is_read_only(&self) -> bool {
        self.lock().is_read_only
    }

    /// An error of SQLite with the path of the database. A database that is found damaged is moved
    /// aside, so that the next run begins a new one.
    pub(super) fn failed(&self, source: rusqlite::Error) -> StoreError {
        if matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
            self.is_blocked.store(true, Ordering::Relaxed);
        }
        let is_damage =
            matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        if is_damage && self.purpose == Purpose::Use && is_damaged(&self.path) {
            if let Ok(aside) = set_aside(&self.path) {
                let (path, aside) = (self.path.display(), aside.display());
                return StoreError::Damaged(format!(
                    "the cache index `{path}` is damaged ({source}); it was set aside as `{aside}`, and the run after this begins a new one"
                ));
            }
        }
        match self.path.parent() {
            Some(folder) if !self.path.exists() => StoreError::Removed { folder: folder.to_path_buf() },
            _ => StoreError::Database { path: self.path.clone(), source },
        }
    }

    /// What SQLite finds wrong with it, one line each.
    pub(super) fn check(&self) -> Result<Vec<String>, StoreError> {
        let held = self.read();
        let read = || {
            let mut statement = held.prepare("PRAGMA integrity_check(10)")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let lines = read();
        drop(held);
        let lines = lines.map_err(|source| self.failed(source))?;
        let path = self.path.display();
        Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("{path}: {line}")).collect())
    }

    /// Frees the room of what was removed, unless somebody else is busy here: then it is used again later.
    pub(super) fn compact(&self) {
        let _ = self.write().execute_batch("VACUUM");
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic between statements cannot leave a transaction half done: it is rolled back on drop.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_in_full(&self, held: &mut Held) {
        match connect(&self.path).and_then(|connection| {
            set_up(&connection)?;
            Ok(connection)
        }) {
            Ok(connection) => {
                // Whoever reads the snapshot ends first; nobody else begins.
                let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
                self.is_snapshot.store(false, Ordering::Relaxed);
                *spare = None;
                held.connection = connection;
                held.snapshot = None;
            }
            // The write that follows is refused by the snapshot.
            Err(_) => held.is_read_only = true,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if held.snapshot.is_none() {
            if !held.connection.is_autocommit() {
                let _ = held.connection.execute_batch("COMMIT");
            }
            checkpoint(&self.path, &held.connection);
        }
    }
}

impl Deref for Held {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Deref for Reading<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Reading::First(held) => &held.connection,
            Reading::Spare(spare) => &spare.as_ref().expect("it is a snapshot").connection,
        }
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Whether all of the file, looked at anew, does not hold together.
fn is_damaged(path: &Path) -> bool {
    let checked = connect(path).and_then(|connection| {
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match checked {
        Ok(found) => found != "ok",
        Err(error) => {
            matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        }
    }
}

/// Moves the log into the file, unless somebody reads a snapshot of that: then a later one does.
fn checkpoint(path: &Path, connection: &Connection) {
    let Ok(log) = File::open(log_of(path)) else { return };
    if log.try_lock().is_ok() {
        // Where another process reads or writes, some of the log stays. It is not waited for: meanwhile
        // nobody could write.
        let _ = connection.busy_timeout(Duration::ZERO);
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = connection.busy_timeout(BUSY);
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

/// Opens the file alone, if its log is empty and it has our version.
fn snapshot(path: &Path, schema: &str) -> Option<Held> {
    let log = match File::open(log_of(path)) {
        Ok(log) => {
            log.try_lock_shared().ok()?;
            if log.metadata().ok()?.len() > 0 {
                return None;
            }
            Some(log)
        }
        // Nobody has it open, and where we cannot make a log nobody who is like us can.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_writable(path.parent()?) => None,
        Err(_) => return None,
    };
    let connection = open_immutable(path).ok()?;
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
    let is_read_only = log.is_none();
    let is_ours = version == VERSION && is_whole(&connection, schema).is_ok();
    is_ours.then_some(Held { connection, snapshot: Some(log), is_read_only, writes: 0 })
}

/// A snapshot is open already, so that its log stays empty until this one holds it as well.
fn open_spare(path: &Path) -> Option<Spare> {
    let log = match File::open(log_of(path)) {
        Ok(log) => {
            log.try_lock_shared().ok()?;
            Some(log)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return None,
    };
    let connection = open_immutable(path).ok()?;
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
    (version == VERSION).then_some(Spare { connection, _log: log })
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(*byte as char),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens a database as it is; where there is none that can be read, an empty one in memory.
fn open_to_look(path: &Path, schema: &str) -> Result<Held, StoreError> {
    let failed = |source| StoreError::Database { path: path.to_path_buf(), source };
    let held = |connection| Held { connection, snapshot: Some(None), is_read_only: true, writes: 0 };
    if path.is_file() {
        let connection = connect(path).map_err(failed)?;
        let version: rusqlite::Result<i32> =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        let is_ours = version.is_ok_and(|version| version == VERSION);
        if is_ours && is_whole(&connection, schema).is_ok() {
            connection.execute_batch("PRAGMA query_only = ON").map_err(failed)?;
            return Ok(held(connection));
        }
    }
    let connection = Connection::open_in_memory().map_err(failed)?;
    connection.execute_batch(schema).map_err(failed)?;
    Ok(held(connection))
}

fn open_to_use(path: &Path, schema: &str, notices: &mut Vec<String>) -> Result<Held, StoreError> {
    let failed = |source| StoreError::Database { path: path.to_path_buf(), source };
    let held = |connection| Held { connection, snapshot: None, is_read_only: false, writes: 0 };
    let _turn = turn(path)?;
    match try_open(path, schema) {
        Ok(connection) => Ok(held(connection)),
        Err(Trouble::SetAside(why)) => {
            let aside = set_aside(path)?;
            notices.push(format!(
                "the cache index {why}; it was set aside as `{}` and a new one begun",
                aside.display()
            ));
            match try_open(path, schema) {
                Ok(connection) => Ok(held(connection)),
                Err(Trouble::SetAside(why)) => Err(StoreError::Damaged(format!("a new cache index {why}"))),
                Err(Trouble::Failed(source)) => Err(failed(source)),
            }
        }
        Err(Trouble::Failed(source)) => Err(failed(source)),
    }
}

/// Waits until no other session makes a database in the folder, or sets one aside: SQLite does not wait
/// for a change of the journal, and two could set aside what the other has begun. Where folders cannot be
/// locked there is no wait.
fn turn(path: &Path) -> Result<Option<File>, StoreError> {
    let Some(folder) = path.parent() else { return Ok(None) };
    make_private_folder(folder)?;
    Ok(File::open(folder).ok().filter(|folder| lock_briefly(folder, false).is_ok()))
}

enum Trouble {
    SetAside(String),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Trouble::SetAside(format!("is damaged ({error})"))
            }
            // A table or column that is not there, or has another form: it is no database of ours.
            Some(ErrorCode::Unknown) => Trouble::SetAside(format!("has another form ({error})")),
            _ => Trouble::Failed(error),
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The log is moved into the file by [`checkpoint`] only.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0")
}

fn try_open(path: &Path, schema: &str) -> Result<Connection, Trouble> {
    // SQLite gives its other files the mode of this one.
    make_private(path).map_err(|_| Trouble::Failed(rusqlite::Error::InvalidPath(path.into())))?;
    let connection = connect(path)?;
    // Both of one state: where folders cannot be locked, another session may be making the tables just now.
    connection.execute_batch("BEGIN")?;
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    connection.execute_batch("COMMIT")?;
    if version == VERSION {
        set_up(&connection)?;
        is_whole(&connection, schema)?;
        return Ok(connection);
    }
    if version != 0 || tables != 0 {
        return Err(Trouble::SetAside(format!("has version {version}, not {VERSION}")));
    }
    connection.execute_batch("PRAGMA journal_mode = WAL")?;
    set_up(&connection)?;
    // Two sessions may meet here; the second finds the tables made.
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {VERSION}; COMMIT"))?;
    Ok(connection)
}

/// Whether the tables are those of the schema: its text is what SQLite keeps of it.
fn is_whole(connection: &Connection, schema: &str) -> Result<(), Trouble> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let there = statement.query_map([], |row| row.get::<_, String>(0))?;
    let there = there.collect::<rusqlite::Result<Vec<String>>>()?;
    let plain =
        |text: &str| text.replace("IF NOT EXISTS ", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let there: Vec<String> = there.iter().map(|sql| plain(sql)).collect();
    let wanted = schema.split(';').map(plain).filter(|sql| !sql.is_empty());
    match wanted.into_iter().find(|sql| !there.contains(sql)) {
        None => Ok(()),
        Some(sql) => {
            let name = sql.split(' ').nth(2).unwrap_or_default();
            Err(Trouble::SetAside(format!("has no `{name}` as this version knows it")))
        }
    }
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
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match fs::remove_file(PathBuf::from(&beside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}

/// Whether a value has another form than was stored: damage, which is told from a fault of the disk.
pub(super) fn is_malformed(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))
}

/// The rows that can be read.
pub(super) fn readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    rows.filter(|row| !row.as_ref().is_err_and(is_malformed)).collect()
}

//! What is kept between runs. `index.db` and `archives/` hold entries, valid in any checkout and on
//! any machine; `checkout.db` holds what is true of this checkout only.
//!
//! Everything here may fail without harm: a caller that gets an error runs the command. Order of
//! writing: archive, then entry, each whole or absent (`docs/cache-format.md`).

mod archive;
mod checkout;
mod database;
mod entries;
mod fault;
mod format;
mod index;
mod lock;
mod logs;
mod names;
mod place_finder;
mod private;
mod put;
mod recall;
mod replay;
mod scratch;
mod survey;
#[cfg(test)]
mod tests;
mod tier;
mod unpack;
mod upkeep;
mod verify;
mod virtual_tree;

pub use archive::{ArchiveError, Packed};
pub use checkout::{LastRun, Left};
pub use entries::{Entry, NewEntry, Pathsets};
pub use fault::Point;
pub use format::{FolderHabit, Habits, Manifest, Output, OutputKind, VERSION};
pub use lock::StepLock;
pub use logs::{Frames, LogRecorder, Recording};
pub use private::write_private;
pub use recall::Recalled;
pub use replay::{ReplayError, ToReplay};
pub use survey::{Place, Survey, Surveyed};
pub use upkeep::{Listed, Stat};
pub use verify::Verified;
pub use virtual_tree::VirtualTree;

use crate::config::Bounds;
use database::{Database, Purpose, Reading};
use index::Local;
use private::make_private_folder;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tier::Tier;

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
    /// Its files are gone since they were opened: a command may have emptied the folder.
    #[error("the cache `{}` was removed while it was in use", folder.display())]
    Removed {
        /// Where it was.
        folder: PathBuf,
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
    /// Where entries are on this machine.
    local: Arc<Local>,
    /// Where entries are asked for and kept.
    tier: Arc<dyn Tier>,
    checkout: Database,
    salt: [u8; 32],
    /// Whether this session has stored an entry.
    has_stored: AtomicBool,
    /// An index was set aside: archives lie there that no entry names.
    has_strays: bool,
}

impl Store {
    /// Opens or creates the store of a workspace. `entries` is where index and archives go, if not
    /// into `.overhear`. Gives the store and one line for each thing that had to be set aside.
    pub fn open(root: &Path, entries: Option<&Path>) -> Result<(Store, Vec<String>), StoreError> {
        let folder = root.join(FOLDER);
        make_private_folder(&folder)?;
        ignore_in_git(&folder)?;
        if let Some(entries) = entries {
            make_private_folder(entries)?;
        }
        let mut notices = Vec::new();
        let store = Store::with(&folder, entries, Purpose::Use, &mut notices)?;
        for parent in store.scratches() {
            scratch::remove_leftovers(&parent);
        }
        Ok((store, notices))
    }

    /// Opens the store of a workspace for looking only: nothing is written. Where there is none yet, or
    /// one of another version, it is as if nothing had been kept.
    pub fn look(root: &Path, entries: Option<&Path>) -> Result<Store, StoreError> {
        Store::with(&root.join(FOLDER), entries, Purpose::Look, &mut Vec::new())
    }

    /// The same with other bounds.
    pub fn bounded(self, bounds: Bounds) -> Store {
        *self.local.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        self
    }

    fn with(
        folder: &Path,
        entries: Option<&Path>,
        purpose: Purpose,
        notices: &mut Vec<String>,
    ) -> Result<Store, StoreError> {
        let entries = entries.unwrap_or(folder);
        let database = Database::open(&entries.join("index.db"), index::SCHEMA, purpose, notices)?;
        let has_strays = !notices.is_empty();
        let checkout = Database::open(&folder.join("checkout.db"), checkout::SCHEMA, purpose, notices)?;
        let local = Local {
            database,
            archives: entries.join("archives"),
            bounds: Mutex::default(),
            superseded: Mutex::default(),
        };
        if purpose == Purpose::Use && !local.database.is_read_only() {
            make_private_folder(&local.archives)?;
        }
        let salt = match purpose {
            Purpose::Use => local.salt()?,
            // Where nothing is kept, no value is compared with any.
            Purpose::Look => local.salt().unwrap_or_default(),
        };
        let folder = folder.to_path_buf();
        let local = Arc::new(local);
        let tier: Arc<dyn Tier> = Arc::clone(&local) as _;
        Ok(Store { folder, local, tier, checkout, salt, has_stored: AtomicBool::new(false), has_strays })
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

    /// Where entries are kept.
    fn tier(&self) -> &dyn Tier {
        &*self.tier
    }

    /// Where temporary folders are: for archives, and for outputs.
    fn scratches(&self) -> Vec<PathBuf> {
        let mut parents = vec![self.folder.join("tmp"), self.local.archives.with_file_name("tmp")];
        parents.dedup();
        parents
    }

    fn index(&self) -> Reading<'_> {
        self.local.database.read()
    }

    fn index_failed(&self, source: rusqlite::Error) -> StoreError {
        self.local.database.failed(source)
    }

    /// See [`Database::end_read`].
    fn end_reads(&self) {
        self.local.database.end_read();
        self.checkout.end_read();
    }

    /// From here on reads see what other processes have stored.
    fn see_news(&self) {
        self.local.database.see_news();
        self.checkout.see_news();
    }
}

/// The folder ignores itself, so that nobody has to edit a `.gitignore`.
fn ignore_in_git(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    write_private(&path, b"*\n").map_err(|source| StoreError::Io { what: "write", path, source })
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { what, path, source }
}

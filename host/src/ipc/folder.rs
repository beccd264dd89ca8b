//! The private folder of one server, and the file that node tools load. Owns every name in them and
//! removes them; knows nothing of messages.
//!
//! ```text
//! socket            clients in any language connect here
//! free/<n>/up       a pair of FIFOs that no client has: client to server,
//! free/<n>/down     and server to client
//! used/<n>          a client takes a pair by renaming it to here
//! door              a FIFO; a byte in it asks the server to make more pairs
//! sound             a client that could not deliver what it had accepted removes it
//! alive             locked while the server lives, so that leftovers of a killed one are known
//! ```

use crate::shipped::{self, Shipped};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use tempfile::TempDir;

/// What node tools load: plain JavaScript without a native part, the same file as the npm package.
const NODE_CLIENT: &str = include_str!("../../client/node-client.cjs");
const PREFIX: &str = "overhear-";
/// What an address of a local socket has room for, on the meanest system.
const MAX_SOCKET_PATH: usize = 103;

/// A private folder; it goes when this is dropped.
pub(super) struct Folder {
    temp: TempDir,
    _alive: File,
}

impl Folder {
    /// Makes the folder, readable by nobody else, in the first place that will have it.
    pub(super) fn create() -> io::Result<Folder> {
        static SWEEP: Once = Once::new();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = [runtime, Some(std::env::temp_dir()), Some(PathBuf::from("/tmp"))];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places.into_iter().flatten().filter(|place| place.is_absolute()) {
            SWEEP.call_once(|| sweep(&place));
            match Folder::create_in(&place) {
                Ok(folder) => return Ok(folder),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn create_in(place: &Path) -> io::Result<Folder> {
        // Resolved, so that it compares with what a tracer sees.
        let place = fs::canonicalize(place)?;
        let owner_only = Permissions::from_mode(0o700);
        let temp = tempfile::Builder::new().prefix(PREFIX).permissions(owner_only).tempdir_in(place)?;
        let path = temp.path();
        if path.join("socket").as_os_str().len() > MAX_SOCKET_PATH {
            return Err(io::Error::new(
                io::ErrorKind::InvalidFilename,
                "no room for the address of a socket",
            ));
        }
        // Locked before it has its name: without the name, nobody takes the folder for a leftover.
        let alive = File::create_new(path.join("alive.new"))?;
        alive.try_lock().map_err(io::Error::from)?;
        fs::rename(path.join("alive.new"), path.join("alive"))?;
        fs::create_dir(path.join("free"))?;
        fs::create_dir(path.join("used"))?;
        fs::write(path.join("sound"), b"")?;
        make_fifo(&path.join("door"))?;
        Ok(Folder { temp, _alive: alive })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Whether each client delivered what it had accepted.
    pub(super) fn is_sound(&self) -> bool {
        self.path().join("sound").exists()
    }
}

/// Makes a FIFO that only its owner may use.
pub(super) fn make_fifo(path: &Path) -> io::Result<()> {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
}

/// Removes what a killed overhear left in this place. What cannot be removed stays.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(alive) = File::open(entry.path().join("alive")) else { continue };
        if alive.try_lock().is_ok() {
            // What is left over is a leftover of ours at most.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Puts the file that node tools load where they can load it, and says where.
pub(super) fn materialise(private: &Path) -> io::Result<PathBuf> {
    let file = Shipped { name: "node-client", extension: "cjs", bytes: NODE_CLIENT.as_bytes() };
    file.place(shipped::user_cache().as_deref(), private)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_goes() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_overhear_left_is_swept_and_what_is_in_use_is_not() {
        let place = tempfile::tempdir().unwrap();
        let left = Folder::create_in(place.path()).unwrap();
        let used = Folder::create_in(place.path()).unwrap();
        let Folder { mut temp, _alive: lock } = left;
        temp.disable_cleanup(true);
        drop(lock);
        let foreign = place.path().join("overhear-notes");
        fs::create_dir(&foreign).unwrap();
        sweep(place.path());
        assert!(!temp.path().exists());
        assert!(used.path().exists() && foreign.exists());
    }
}

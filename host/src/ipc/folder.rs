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
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use tempfile::TempDir;

/// What node tools load: plain JavaScript without a native part, the same file as the npm package.
const NODE_CLIENT: &str = include_str!("../../client/node-client.cjs");
const PREFIX: &str = "overhear-";
/// At least so many pairs of FIFOs wait for a client: most steps have one or two.
pub(super) const MIN_POOL: usize = 2;
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

    /// Whether all is as it is when a server starts: no client has taken a pair, asked for more, or left
    /// anything.
    pub(super) fn is_unused(&self) -> bool {
        let holds = |folder: &str, expected: &[&str]| -> io::Result<bool> {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.path().join(folder))? {
                names.push(entry?.file_name());
            }
            names.sort();
            Ok(names.iter().map(|name| name.as_os_str()).eq(expected.iter().map(OsStr::new)))
        };
        let first: Vec<String> = (1..=MIN_POOL).map(|number| number.to_string()).collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let is_unused = || -> io::Result<bool> {
            Ok(holds("", &["alive", "door", "free", "sound", "used"])?
                && holds("free", &first)?
                && holds("used", &[])?)
        };
        is_unused().unwrap_or(false)
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

/// The channel of an overhear that overhears this very process, as variables to be handed on; nothing
/// where there is none, or where what the environment names has ended. `env` is what this process was
/// given.
pub fn outer(env: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let Some((_, folder)) = env.iter().find(|(name, _)| name == super::ENV_FOLDER) else { return Vec::new() };
    let alive = File::open(Path::new(folder).join("alive"));
    if !alive.is_ok_and(|alive| matches!(alive.try_lock(), Err(TryLockError::WouldBlock))) {
        return Vec::new();
    }
    let of_channel = |name: &OsString| name == super::ENV_FOLDER || name == super::ENV_NODE_CLIENT;
    env.iter().filter(|(name, _)| of_channel(name)).cloned().collect()
}

/// Whether another overhear overhears this process.
pub fn is_overheard() -> bool {
    let folder = std::env::var_os(super::ENV_FOLDER).map(|folder| (super::ENV_FOLDER.into(), folder));
    !outer(folder.as_slice()).is_empty()
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
    use std::time::{Duration, Instant};

    #[test]
    fn the_folder_is_private_and_goes() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_channel_is_handed_on_while_somebody_listens() {
        let folder = Folder::create().unwrap();
        let pair = |name: &str, value: &Path| (OsString::from(name), OsString::from(value));
        let channel = [
            pair(super::super::ENV_FOLDER, folder.path()),
            pair(super::super::ENV_NODE_CLIENT, Path::new("/c")),
        ];
        let env = [&channel[..], &[pair("OVERHEAR_TASK", Path::new("a#b"))]].concat();
        assert_eq!(outer(&env), channel);
        drop(folder);
        assert_eq!(outer(&env), []);
        assert_eq!(outer(&[]), []);
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
        // A process that another test is just starting may still hold the lock.
        let began = Instant::now();
        while temp.path().exists() {
            assert!(began.elapsed() < Duration::from_secs(10), "what was left is not swept");
            sweep(place.path());
        }
        assert!(used.path().exists() && foreign.exists());
    }
}

//! Files of ours that other programs load. Each is put into the cache folder of the user, once, under a
//! name with its digest; nothing here knows what they are for.

use crate::digest::Digest;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file that is part of this program.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name, up to the digest.
    pub name: &'static str,
    /// What comes after the digest, without the dot.
    pub extension: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

impl Shipped {
    /// Puts it where it can be loaded, and says where: in the cache folder, or in the private one if that
    /// cannot be written.
    pub fn place(&self, cache: Option<&Path>, private: &Path) -> io::Result<PathBuf> {
        if let Some(cache) = cache
            && let Ok(path) = self.place_in(cache)
        {
            return Ok(path);
        }
        self.place_in(private)
    }

    /// Puts it into this folder, unless it is there.
    pub fn place_in(&self, folder: &Path) -> io::Result<PathBuf> {
        let digest = Digest::of(self.bytes).to_string();
        let name = format!("{}-{}.{}", self.name, &digest[..16], self.extension);
        let path = folder.join(&name);
        // A file of that name with other bytes was damaged.
        if !fs::read(&path).is_ok_and(|bytes| bytes == self.bytes) {
            write_whole(folder, OsStr::new(&name), self.bytes)?;
        }
        Ok(path)
    }
}

/// Writes beside and renames, so that nobody ever loads a half of it.
fn write_whole(folder: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(bytes)?;
    // A step may go on as another user.
    beside.as_file().set_permissions(Permissions::from_mode(0o644))?;
    beside.persist(folder.join(name))?;
    Ok(())
}

/// The folder for files of ours that every run of this user may share.
pub fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("overhear"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILE: Shipped = Shipped { name: "it", extension: "txt", bytes: b"content" };

    #[test]
    fn a_file_is_written_once_and_again_when_damaged() {
        let (cache, private) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = cache.path().join("made/when/needed");
        let path = FILE.place(Some(&cache), private.path()).unwrap();
        assert_eq!(path.parent(), Some(cache.as_path()));
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        FILE.place(Some(&cache), private.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        fs::write(&path, "half").unwrap();
        FILE.place(Some(&cache), private.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), FILE.bytes);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_write_one_whole_file() {
        let (cache, private) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let path = FILE.place(Some(cache.path()), private.path()).unwrap();
                    assert_eq!(fs::read(path).unwrap(), FILE.bytes);
                });
            }
        });
    }

    #[test]
    fn a_cache_folder_that_cannot_be_written_is_passed_over() {
        let private = tempfile::tempdir().unwrap();
        // Not a folder: even a superuser cannot write below it.
        let path = FILE.place(Some(Path::new("/dev/null/cache")), private.path()).unwrap();
        assert_eq!(path.parent(), Some(private.path()));
    }
}

//! What a stat says of a path, as plain data: the evidence by which unchanged files are
//! recognised without reading them.

use std::ffi::OsString;
#[cfg(unix)]
use std::fs::Metadata;
#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{FileTypeExt, MetadataExt};
#[cfg(unix)]
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Files whose change time is younger than this when they are digested may change again without
/// any stamp showing it: the clock of common file systems ticks every 1 to 10 ms.
pub const CLOCK_GRAIN_NS: i64 = 20_000_000;

/// Stands in for [`CLOCK_GRAIN_NS`] where change times are whole seconds.
pub const COARSE_GRAIN_NS: i64 = 2_000_000_000;

/// What identifies one state of one file. Equal stamps mean equal content, if the stamp was
/// [`Stamp::is_settled`] when the content was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Stamp {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// File type and permission bits, as in `st_mode`.
    pub mode: u32,
}

impl Stamp {
    /// Whether a later change would be certain to show in the stamp, given that the file was
    /// looked at, at `now_ns`.
    pub fn is_settled(&self, now_ns: i64) -> bool {
        let grain = if self.ctime_ns % 1_000_000_000 == 0 { COARSE_GRAIN_NS } else { CLOCK_GRAIN_NS };
        self.ctime_ns < now_ns.saturating_sub(grain)
    }

    /// Whether any executable bit is set: that much of the mode is part of content.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

/// The time now as stamps count it.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What lies at a path, links not followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing (also where a parent is no folder).
    Absent,
    /// A regular file.
    File(Stamp),
    /// A folder.
    Folder(Stamp),
    /// A symbolic link, with its text.
    Link(OsString),
    /// A socket, device or pipe.
    Other,
}

impl Found {
    /// One letter for the kind, as listings and fingerprints use it.
    pub fn letter(&self) -> u8 {
        match self {
            Found::Absent => b'-',
            Found::File(_) => b'f',
            Found::Folder(_) => b'd',
            Found::Link(_) => b'l',
            Found::Other => b'o',
        }
    }
}

#[cfg(unix)]
impl Stamp {
    /// The stamp of metadata.
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            ctime_ns: meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec()),
            mode: meta.mode(),
        }
    }

    /// The stamp of a `stat` that was made relative to a folder.
    pub fn of_stat(stat: &rustix::fs::Stat) -> Stamp {
        let ns = |seconds: i64, rest: u64| seconds.saturating_mul(1_000_000_000).saturating_add(rest as i64);
        // The types of the fields differ from one architecture to the next.
        #[allow(clippy::unnecessary_cast, trivial_numeric_casts, reason = "a cast on some architectures")]
        Stamp {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            size: stat.st_size as u64,
            mtime_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            ctime_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
            mode: stat.st_mode as u32,
        }
    }
}

#[cfg(unix)]
impl Stamp {
    /// What tells a folder from another one that was made in its place: device, inode and, as modification
    /// time, when it was made (0 where the file system does not say). Stays the same whatever happens in it.
    /// `None` where no folder is.
    pub fn of_folder(path: &Path) -> Option<Stamp> {
        let meta = path.symlink_metadata().ok().filter(Metadata::is_dir)?;
        let made = meta.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let mtime_ns = made.and_then(|made| i64::try_from(made.as_nanos()).ok()).unwrap_or(0);
        Some(Stamp { dev: meta.dev(), ino: meta.ino(), size: 0, mtime_ns, ctime_ns: 0, mode: 0 })
    }
}

#[cfg(unix)]
impl Found {
    /// Looks at a path. What cannot be looked at for another reason than absence is an error.
    pub fn at(path: &Path) -> io::Result<Found> {
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if is_absence(&error) => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        let kind = meta.file_type();
        Ok(if kind.is_file() {
            Found::File(Stamp::of(&meta))
        } else if kind.is_dir() {
            Found::Folder(Stamp::of(&meta))
        } else if kind.is_symlink() {
            match std::fs::read_link(path) {
                Ok(text) => Found::Link(text.into_os_string()),
                Err(error) if is_absence(&error) => Found::Absent,
                Err(error) => return Err(error),
            }
        } else {
            debug_assert!(
                kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device()
            );
            Found::Other
        })
    }
}

/// Whether an error says that nothing is there: no such entry, or a parent that is no folder.
#[cfg(unix)]
pub fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_looking_give_the_same_stamp() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        std::fs::write(&path, "text").expect("a file");
        let stat = rustix::fs::stat(&path).expect("is there");
        assert_eq!(Found::at(&path).expect("looks"), Found::File(Stamp::of_stat(&stat)));
    }
}

//! Digests of files, each computed once in a session, those of large ones once for all.

use super::search::{Search, SearchPath, Searches};
use super::seen::Seen;
use crate::digest::{Digest, Fields};
use crate::git_index;
use crate::memo::Memo;
use crate::stamp::{self, Stamp};
use rustc_hash::FxHashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// From so many bytes on, reading a file costs more than keeping its digest: programs, native libraries,
/// bundled tools.
const LARGE_BYTES: u64 = 256 << 10;

/// What this session has found out, for steps that ask the same.
#[derive(Default)]
pub struct Digests {
    /// Digests of files, by path and stamp.
    files: Mutex<FxHashMap<PathBuf, (Stamp, Digest)>>,
    /// Programs outside the workspace.
    searches: Searches,
    /// What lies where, as long as nobody of this session changes it.
    pub seen: Seen,
    /// Where digests of large files outlive the session.
    memo: Option<Arc<dyn Memo>>,
}

impl Digests {
    /// Of a session that keeps the digests of large files for those after it.
    pub fn new(memo: Arc<dyn Memo>) -> Digests {
        Digests { memo: Some(memo), ..Digests::default() }
    }

    /// The digest of a file whose stamp was just looked up, read again only where needed. Gives the
    /// stamp that the content had while it was read.
    pub fn of_file(&self, path: &Path, stamp: Stamp) -> io::Result<(Stamp, Digest)> {
        if let Some(known) = self.known(path, &stamp).or_else(|| self.recall(path, &stamp)) {
            return Ok((stamp, known));
        }
        // From before the reading: a change while it is read, in the same tick as the one before, shows
        // in no stamp.
        let began = stamp::now_ns();
        let (stamp, digest) = digest_file(path)?;
        if stamp.is_settled(began) {
            self.lock().insert(path.to_path_buf(), (stamp, digest));
            if let Some(memo) = self.memo_of(&stamp) {
                memo.put(key(path, &stamp), digest.as_bytes());
            }
        }
        Ok((stamp, digest))
    }

    /// The memo, if it knows of files like this.
    fn memo_of(&self, stamp: &Stamp) -> Option<&dyn Memo> {
        self.memo.as_deref().filter(|_| stamp.size >= LARGE_BYTES)
    }

    /// The digest of that state of a large file, if a session has computed it.
    fn recall(&self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        let known = self.memo_of(stamp)?.get(key(path, stamp))?;
        let digest = Digest::from_slice(&known)?;
        self.lock().insert(path.to_path_buf(), (*stamp, digest));
        Some(digest)
    }

    /// The digest of that state of the file, if it was computed in this session.
    pub fn known(&self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        self.lock().get(path).filter(|(known, _)| known == stamp).map(|(_, digest)| *digest)
    }

    /// See [`Searches::path`].
    pub fn search_path(&self, path: &OsStr, end: &OsStr, cwd: &Path, root: &Path) -> SearchPath {
        self.searches.path(path, end, cwd, root)
    }

    /// Programs outside the workspace may be others now: a command ran, or time has passed.
    pub fn forget_programs(&self) {
        self.searches.forget();
    }

    /// Begins a search.
    pub fn search<'a>(&self, path: &'a SearchPath) -> Search<'a> {
        path.search(&self.seen)
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<PathBuf, (Stamp, Digest)>> {
        // A panic elsewhere cannot leave a half-made pair behind.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the digest of one state of a file is kept under.
fn key(path: &Path, stamp: &Stamp) -> Digest {
    let mut fields = Fields::new("digest of a file");
    fields.bytes(path.as_os_str().as_bytes());
    let Stamp { dev, ino, size, mtime_ns, ctime_ns, mode } = *stamp;
    fields.number(dev).number(ino).number(size).number(mtime_ns.cast_unsigned());
    fields.number(ctime_ns.cast_unsigned()).number(mode.into()).digest()
}

/// Reads a file and gives its digest with the stamp that it had before and after. A file that
/// changes again and again while it is read is an error of kind `Interrupted`.
pub fn digest_file(path: &Path) -> io::Result<(Stamp, Digest)> {
    for _ in 0..8 {
        let mut file = File::open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let digest = match git_index::is_index(path) {
            true => digest_index(&mut file)?,
            false => digest_reader(&mut file, before.size)?,
        };
        if Stamp::of(&file.metadata()?) == before {
            return Ok((before, digest));
        }
    }
    Err(io::Error::new(io::ErrorKind::Interrupted, "it keeps changing while it is read"))
}

/// Of git's index only what is in it counts, not what is cached there.
fn digest_index(file: &mut File) -> io::Result<Digest> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(git_index::digest(&bytes).unwrap_or_else(|| Digest::of(&bytes)))
}

fn digest_reader(file: &mut File, size: u64) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 1 << 20) + 1];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest(*hasher.finalize().as_bytes())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
    }
}

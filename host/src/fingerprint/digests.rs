//! Digests of files, each computed once in a session, those of large ones once for all; and programs found
//! once.

use super::seen::Seen;
use crate::digest::{Digest, Fields};
use crate::git_index;
use crate::memo::Memo;
use crate::stamp::{self, Stamp};
use rustc_hash::FxHashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// From so many bytes on, reading a file costs more than keeping its digest: programs, native libraries,
/// bundled tools.
const LARGE_BYTES: u64 = 256 << 10;

fn executable_at(path: &Path) -> Option<Stamp> {
    let meta = path.metadata().ok()?;
    let stamp = Stamp::of(&meta);
    (meta.is_file() && stamp.is_executable()).then_some(stamp)
}

/// Whether it is no native program. What cannot be read is taken for one that is none.
fn is_script(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_err() || head != *b"\x7fELF"
}

/// What this session has found out, for steps that ask the same.
#[derive(Default)]
pub struct Digests {
    /// Digests of files, by path and stamp.
    files: Mutex<FxHashMap<PathBuf, (Stamp, Digest)>>,
    /// Candidates for programs outside the workspace. No step of a session changes them unnoticed: a
    /// write there is a Refusal. By folder, then by name.
    programs: Mutex<FxHashMap<OsString, FxHashMap<String, Option<Program>>>>,
    /// What lies where, as long as nobody of this session changes it.
    pub seen: Seen,
    /// Where digests of large files outlive the session.
    memo: Option<Arc<dyn Memo>>,
}

/// A program that is there.
#[derive(Clone, Copy)]
struct Program {
    stamp: Stamp,
    /// See [`FoundProgram`].
    counts_by_place: bool,
}

/// A program that a search found.
pub struct FoundProgram {
    /// Where, links not resolved.
    pub path: PathBuf,
    /// Of what executing it reads.
    pub stamp: Stamp,
    /// It counts by where it lies as well. Of native programs outside the workspace the content says all.
    pub counts_by_place: bool,
}

/// The folders of a PATH, for as long as one look takes: one below the workspace that is not there is not
/// asked for each program again.
pub struct Search<'a> {
    digests: &'a Digests,
    /// Each with whether it lies in the workspace.
    folders: Vec<(&'a Path, bool)>,
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

    /// Begins a search of these folders, in order, in a workspace. It holds for now only: a step that runs may
    /// make a folder that is missing.
    pub fn search<'a>(&'a self, folders: &'a [PathBuf], root: &Path) -> Search<'a> {
        let with_place = folders.iter().map(|folder| (folder.as_path(), folder.starts_with(root)));
        let there = with_place.filter(|(folder, is_inside)| !is_inside || self.seen.is_folder(folder));
        Search { digests: self, folders: there.collect() }
    }

    fn executable_outside(&self, folder: &Path, name: &str) -> Option<Program> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs.get(folder.as_os_str()).and_then(|names| names.get(name)) {
            return *known;
        }
        let path = folder.join(name);
        let found = executable_at(&path).map(|stamp| Program { stamp, counts_by_place: is_script(&path) });
        programs.entry(folder.into()).or_default().insert(name.to_owned(), found);
        found
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

impl Search<'_> {
    /// The first executable file of that name, symlinks followed.
    pub fn find(&self, name: &str) -> Option<FoundProgram> {
        self.folders.iter().find_map(|(folder, is_inside)| {
            let path = folder.join(name);
            let Program { stamp, counts_by_place } = match is_inside {
                true => Program { stamp: executable_at(&path)?, counts_by_place: true },
                false => self.digests.executable_outside(folder, name)?,
            };
            Some(FoundProgram { path, stamp, counts_by_place })
        })
    }
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

//! Reading archives. They may be damaged, or made by somebody who means harm: only files that the
//! manifest names are unpacked, to names of our own, as long as they say, and each must have its digest.
//! Nothing that an archive says of itself decides where anything goes.

use super::archive::{ArchiveError, DigestWriter};
use super::format::{Output, OutputKind};
use super::{Store, StoreError};
use crate::digest::Digest;
use crate::path::PortablePath;
use rustc_hash::FxHashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use tar::EntryType;

/// Archives are written with windows of 2 to 8 MB: one that wants more memory is not ours.
const WINDOW_LOG_MAX: u32 = 24;
/// Above this many bytes of content, a second thread unfolds what the first one writes.
const THREADED_ABOVE_BYTES: u64 = 4 << 20;
/// How much is handled at once.
const PIECE_BYTES: usize = 1 << 18;
/// So many pieces may wait to be written.
const PIECES_WAITING: usize = 8;

/// What tar adds to each file at most, besides its name twice: headers, and filling up blocks.
const TAR_ROOM_BYTES: u64 = 4096;

impl Store {
    /// Unpacks the wanted files of an archive: each to its temporary path, with its mode, after its
    /// digest was seen to be right. `outputs` is all that the archive may hold.
    pub(super) fn unpack(
        &self,
        archive: Digest,
        outputs: &[Output],
        wanted: &FxHashMap<&PortablePath, PathBuf>,
    ) -> Result<(), ArchiveError> {
        let damaged = |why: String| ArchiveError::Damaged { archive, why };
        let blob = self.tier().blob(archive).map_err(|error| damaged(error.to_string()))?;
        let mut decoder = zstd::Decoder::new(blob).map_err(|error| damaged(error.to_string()))?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| damaged(error.to_string()))?;
        let room = outputs.iter().map(room).fold(0, u64::saturating_add);
        let bounded = Bounded { inner: decoder, left: room.saturating_add(1 << 16) };
        if room > THREADED_ABOVE_BYTES {
            return std::thread::scope(|scope| {
                let ahead = Ahead::start(scope, bounded);
                read_files(ahead, outputs, wanted, &damaged)
            });
        }
        read_files(bounded, outputs, wanted, &damaged)
    }
}

/// Reads a tar file and writes the wanted files of it.
fn read_files(
    tar: impl Read,
    outputs: &[Output],
    wanted: &FxHashMap<&PortablePath, PathBuf>,
    damaged: &impl Fn(String) -> ArchiveError,
) -> Result<(), ArchiveError> {
    let kinds: FxHashMap<&PortablePath, &OutputKind> =
        outputs.iter().map(|output| (&output.path, &output.kind)).collect();
    let mut missing = wanted.clone();
    let mut tar = tar::Archive::new(tar);
    let mut buffer = vec![0; PIECE_BYTES];
    for entry in tar.entries().map_err(|error| damaged(error.to_string()))? {
        if missing.is_empty() {
            return Ok(());
        }
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let name = entry.path_bytes();
        let path = PortablePath::from_bytes(name.strip_suffix(b"/").unwrap_or(&name));
        let Some(kind) = kinds.get(&path) else {
            return Err(damaged(format!("it holds `{path}`, which is no output of this entry")));
        };
        let OutputKind::File { digest, bytes, executable } = kind else { continue };
        if entry.header().entry_type() != EntryType::Regular || entry.size() != *bytes {
            return Err(damaged(format!("`{path}` in it is not the file that was stored")));
        }
        let Some(target) = missing.remove(&path) else {
            if wanted.contains_key(&path) {
                return Err(damaged(format!("`{path}` comes twice in it")));
            }
            continue;
        };
        let mode = entry.header().mode().map_err(|error| damaged(error.to_string()))?;
        let file = create(&target, *executable, mode & 0o077 == 0)?;
        let mut sink = DigestWriter { inner: file, hasher: blake3::Hasher::new(), bytes: 0 };
        copy(&mut entry, &mut sink, &mut buffer, &target, damaged)?;
        if sink.hasher.finalize().as_bytes() != digest.as_bytes() {
            return Err(damaged(format!("`{path}` has another content than when it was stored")));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(damaged(format!("{} files are missing in it", missing.len())))
    }
}

/// How many bytes an output takes in an archive at most.
fn room(output: &Output) -> u64 {
    let content = match &output.kind {
        OutputKind::File { bytes, .. } => *bytes,
        OutputKind::Link(text) => text.len() as u64,
        OutputKind::Folder => 0,
    };
    content.saturating_add(2 * output.path.as_bytes().len() as u64 + TAR_ROOM_BYTES)
}

fn create(target: &Path, executable: bool, is_private: bool) -> Result<File, StoreError> {
    // What the umask leaves of it is what the command would have left; what nobody else could read stays so.
    let mode = match (executable, is_private) {
        (true, false) => 0o777,
        (false, false) => 0o666,
        (true, true) => 0o700,
        (false, true) => 0o600,
    };
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(target);
    created.map_err(|source| StoreError::Io { what: "create", path: target.to_path_buf(), source })
}

/// Copies, telling a fault of the archive from a fault of the disk.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    buffer: &mut [u8],
    target: &Path,
    damaged: &impl Fn(String) -> ArchiveError,
) -> Result<(), ArchiveError> {
    loop {
        let count = from.read(buffer).map_err(|error| damaged(error.to_string()))?;
        if count == 0 {
            return Ok(());
        }
        let written = to.write_all(&buffer[..count]);
        written.map_err(|source| StoreError::Io { what: "write", path: target.to_path_buf(), source })?;
    }
}

/// Passes on so many bytes and no more: a small archive may unfold to a very large one.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !into.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it unfolds to more than was stored"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.inner.read(&mut into[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// What another thread reads ahead.
struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
}

impl Ahead {
    /// Begins to read. The thread ends with what it reads, or when nobody wants more.
    fn start<'scope>(
        scope: &'scope std::thread::Scope<'scope, '_>,
        mut from: impl Read + Send + 'scope,
    ) -> Ahead {
        let (send, pieces) = sync_channel(PIECES_WAITING);
        scope.spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let read = from.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
                let is_last = !matches!(read, Ok(count) if count > 0);
                if send.send(read.map(|_| piece)).is_err() || is_last {
                    return;
                }
            }
        });
        Ahead { pieces, piece: Vec::new(), at: 0 }
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            // The last piece is empty, and after it there is none.
            self.piece = self.pieces.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            self.at = 0;
        }
        let count = into.len().min(self.piece.len() - self.at);
        into[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

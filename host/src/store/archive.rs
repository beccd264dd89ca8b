//! Archives of outputs: deterministic `tar.zst` files, named by the digest of their bytes.
//!
//! Names in an archive are paths relative to the workspace root. `unpack.rs` reads them.

use super::format::{Output, OutputKind};
use super::place_finder::PlaceFinder;
use super::private::new_private;
use super::scratch::Scratch;
use super::tier::Pin;
use super::{Point, Store, StoreError};
use crate::digest::Digest;
use crate::path::{Places, PortablePath};
use crate::stamp::{self, Found, Stamp};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use zstd::zstd_safe::CParameter;

/// Above this many bytes of content, compression uses a second thread.
const THREADED_ABOVE_BYTES: u64 = 8 << 20;

/// How much of a file is read at once.
const PIECE_BYTES: usize = 1 << 18;

/// Why outputs could not be archived or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An output changed or vanished while it was read.
    #[error("output `{0}` changed while it was archived")]
    Unsteady(PortablePath),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was stored is missing or cannot be read back.
    #[error("archive {archive:?}: {why}")]
    Damaged {
        /// Digest of the archive.
        archive: Digest,
        /// In what way.
        why: String,
    },
}

/// Outputs, archived.
#[derive(Debug)]
pub struct Packed {
    /// The outputs with the digests of their content.
    pub outputs: Vec<Output>,
    /// Digest and size of the archive; `None` where no output is a file.
    pub archive: Option<(Digest, u64)>,
    /// The stamp of each output while it was read, where a later change is certain to show in it.
    pub stamps: Vec<Option<Stamp>>,
    /// Whether some output names the folder of the checkout, or the home folder.
    pub names_place: bool,
    /// The archive is not collected before this is dropped: its entry is stored by then.
    pub(super) _pin: Pin,
}

/// Passes bytes on to a file, and takes their digest and number.
pub(super) struct DigestWriter<W> {
    pub(super) inner: W,
    pub(super) hasher: blake3::Hasher,
    pub(super) bytes: u64,
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Store {
    /// Reads outputs (sorted, inside the workspace) and archives those that are files. The archive
    /// has its name, and is on the disk, when this returns.
    pub fn pack(&self, paths: &[PortablePath], places: &Places) -> Result<Packed, ArchiveError> {
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            let absolute = places.absolute(path);
            let there = Found::at(&absolute).map_err(|source| StoreError::Io {
                what: "look at",
                path: absolute,
                source,
            })?;
            found.push((path, there));
        }
        let total: u64 =
            found.iter().map(|(_, there)| if let Found::File(stamp) = there { stamp.size } else { 0 }).sum();
        if !found.iter().any(|(_, there)| matches!(there, Found::File(_))) {
            return pack_without_files(&found, places);
        }
        let scratch = Scratch::new(&self.local.archives.with_file_name("tmp"))?;
        let temporary = scratch.file(0);
        let failed = |what| {
            let path = temporary.clone();
            move |source| StoreError::Io { what, path, source }
        };
        let file = new_private(&temporary).map_err(failed("create"))?;
        let sink = DigestWriter {
            inner: BufWriter::with_capacity(1 << 17, file),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        };
        let mut encoder = zstd::Encoder::new(sink, 3).map_err(failed("compress into"))?;
        if total > THREADED_ABOVE_BYTES {
            encoder.multithread(2).map_err(failed("compress into"))?;
        }
        if let Some(window) = small_window(total, found.len()) {
            for parameter in small_tables(window) {
                encoder.set_parameter(parameter).map_err(failed("compress into"))?;
            }
        }
        let mut packing = Packing::new(encoder, places);
        for (path, there) in &found {
            packing.add(path, there, places)?;
            Point::ArchiveBegun.reached();
        }
        let Packing { tar, outputs, stamps, places } = packing;
        let encoder = tar.into_inner().map_err(failed("write"))?;
        let mut sink = encoder.finish().map_err(failed("write"))?;
        sink.flush().map_err(failed("write"))?;
        sink.inner.get_ref().sync_all().map_err(failed("write to disk"))?;
        Point::ArchiveWritten.reached();
        let digest = Digest(*sink.hasher.finalize().as_bytes());
        let pin = self.tier().put_blob(digest, &temporary)?;
        Point::ArchiveNamed.reached();
        Ok(Packed {
            outputs,
            archive: Some((digest, sink.bytes)),
            stamps,
            names_place: places.found,
            _pin: pin,
        })
    }
}

/// Most steps leave little, and tables made for much would cost more to clear than all of it to compress. As the
/// exponent of two; `None` where the usual ones are not too large.
fn small_window(bytes: u64, entries: usize) -> Option<u32> {
    const USUAL: u32 = 21;
    const LEAST: u32 = 12;
    /// A header and what fills up its last block.
    const PER_ENTRY: u64 = 1024;
    let room = bytes.saturating_add(PER_ENTRY * (entries as u64 + 1)).checked_next_power_of_two()?;
    (room.ilog2() < USUAL).then_some(room.ilog2().max(LEAST))
}

/// As zstd itself takes them for this level, where it knows that a text is so short.
fn small_tables(window: u32) -> [CParameter; 3] {
    let (hash, chain) = ((window - 1).min(17), (window - 2).min(16));
    [CParameter::WindowLog(window), CParameter::HashLog(hash), CParameter::ChainLog(chain)]
}

fn pack_without_files(found: &[(&PortablePath, Found)], places: &Places) -> Result<Packed, ArchiveError> {
    let mut outputs = Vec::new();
    let mut names = PlaceFinder::new(places);
    for (path, there) in found {
        let kind = match there {
            Found::Link(text) => {
                names.feed(text.as_bytes());
                names.cut();
                OutputKind::Link(text.as_bytes().to_vec())
            }
            Found::Folder(_) => OutputKind::Folder,
            _ => return Err(ArchiveError::Unsteady((*path).clone())),
        };
        outputs.push(Output { path: (*path).clone(), kind });
    }
    let stamps = vec![None; outputs.len()];
    Ok(Packed { outputs, archive: None, stamps, names_place: names.found, _pin: Pin::default() })
}

/// Outputs being archived.
struct Packing<W: Write> {
    tar: tar::Builder<W>,
    outputs: Vec<Output>,
    stamps: Vec<Option<Stamp>>,
    places: PlaceFinder,
}

impl<W: Write> Packing<W> {
    fn new(sink: W, places: &Places) -> Packing<W> {
        let mut tar = tar::Builder::new(sink);
        tar.mode(tar::HeaderMode::Deterministic);
        Packing { tar, outputs: Vec::new(), stamps: Vec::new(), places: PlaceFinder::new(places) }
    }

    fn add(&mut self, path: &PortablePath, there: &Found, places: &Places) -> Result<(), ArchiveError> {
        let absolute = places.absolute(path);
        let (kind, stamp) = match there {
            Found::File(stamp) => self.add_file(path, &absolute, stamp)?,
            Found::Link(text) => {
                self.places.feed(text.as_bytes());
                self.places.cut();
                self.header(path, tar::EntryType::Symlink, 0, 0o777, Some(text), &absolute)?;
                (OutputKind::Link(text.as_bytes().to_vec()), None)
            }
            Found::Folder(_) => {
                self.header(path, tar::EntryType::Directory, 0, 0o755, None, &absolute)?;
                (OutputKind::Folder, None)
            }
            Found::Absent | Found::Other => return Err(ArchiveError::Unsteady(path.clone())),
        };
        self.outputs.push(Output { path: path.clone(), kind });
        self.stamps.push(stamp);
        Ok(())
    }

    fn add_file(
        &mut self,
        path: &PortablePath,
        absolute: &Path,
        stamp: &Stamp,
    ) -> Result<(OutputKind, Option<Stamp>), ArchiveError> {
        let failed = |source| StoreError::Io { what: "read", path: absolute.to_path_buf(), source };
        // A change within the clock's grain of the last one shows in no stamp.
        let is_settled = stamp.is_settled(stamp::now_ns());
        let mut file = File::open(absolute).map_err(failed)?;
        // What others may not read is not given to them by a restore.
        let mode = match (stamp.is_executable(), stamp.mode & 0o077 == 0) {
            (true, false) => 0o755,
            (false, false) => 0o644,
            (true, true) => 0o700,
            (false, true) => 0o600,
        };
        let mut header = header(tar::EntryType::Regular, stamp.size, mode);
        let content =
            Watched { file: &mut file, hasher: blake3::Hasher::new(), places: &mut self.places, bytes: 0 };
        let name = Path::new(OsStr::from_bytes(path.as_bytes()));
        // tar reads in small pieces, and what watches works best on large ones.
        let piece = usize::try_from(stamp.size).unwrap_or(usize::MAX).clamp(1, PIECE_BYTES);
        let mut content = BufReader::with_capacity(piece, content.take(stamp.size));
        let appended = self.tar.append_data(&mut header, name, &mut content);
        let Watched { hasher, bytes, .. } = content.into_inner().into_inner();
        self.places.cut();
        appended.map_err(|source| StoreError::Io {
            what: "archive",
            path: absolute.to_path_buf(),
            source,
        })?;
        let after = file.metadata().map(|meta| Stamp::of(&meta)).map_err(failed)?;
        if after != *stamp || bytes != stamp.size {
            return Err(ArchiveError::Unsteady(path.clone()));
        }
        let digest = Digest(*hasher.finalize().as_bytes());
        let executable = stamp.is_executable();
        Ok((OutputKind::File { digest, bytes: stamp.size, executable }, is_settled.then_some(*stamp)))
    }

    fn header(
        &mut self,
        path: &PortablePath,
        kind: tar::EntryType,
        size: u64,
        mode: u32,
        link: Option<&OsStr>,
        absolute: &Path,
    ) -> Result<(), StoreError> {
        let mut header = header(kind, size, mode);
        let name = Path::new(OsStr::from_bytes(path.as_bytes()));
        let appended = match link {
            Some(text) => self.tar.append_link(&mut header, name, text),
            None => self.tar.append_data(&mut header, name, io::empty()),
        };
        appended.map_err(|source| StoreError::Io { what: "archive", path: absolute.to_path_buf(), source })
    }
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Content on its way into an archive: digested, and searched for names of places.
struct Watched<'a> {
    file: &'a mut File,
    hasher: blake3::Hasher,
    places: &'a mut PlaceFinder,
    bytes: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.hasher.update(&into[..count]);
        self.places.feed(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

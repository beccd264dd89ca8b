//! The files of all packages, read: thousands of small ones, so each costs as few system calls and
//! allocations as it can. What they say is for `manifest` and `config_file`.

use super::{CONFIG_FILES, find};
use crate::problem::{Problem, Problems, Source};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// From this many packages on, files are read by several threads.
const PACKAGES_PER_THREAD_MIN: usize = 128;

/// The files of one package that matter here.
pub(super) struct Files {
    /// Its folder relative to the root.
    pub relative_dir: PathBuf,
    /// Its package.json: in which of the texts, and where.
    manifest: Option<(usize, Range<usize>)>,
    /// Its configuration, as few packages have one.
    pub config: Option<Source>,
}

/// The texts of all package.json, many in one string: what is not allocated need not be freed.
pub(super) struct Texts(Vec<String>);

impl Texts {
    /// The text of the package.json of a package, without a byte order mark.
    pub fn manifest(&self, files: &Files) -> Option<&str> {
        let (text, range) = files.manifest.as_ref()?;
        let text = &self.0[*text][range.clone()];
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }
}

/// The files of all packages, those of the root first. Folders that globs stand for and that have
/// no package.json are no packages.
pub(super) fn read_files(found: &find::Found, problems: &mut Problems) -> (Vec<Files>, Texts) {
    let mut texts = vec![String::new()];
    let root_manifest = found.root_manifest.as_ref().map(|source| {
        texts[0].clone_from(&source.text);
        (0, 0..source.text.len())
    });
    let mut root = Files { relative_dir: PathBuf::new(), manifest: root_manifest, config: None };
    match read_config(&found.root) {
        Ok(config) => root.config = config,
        Err(problem) => problems.0.push(problem),
    }
    let mut files = vec![root];
    let Some(globs) = &found.globs else { return (files, Texts(texts)) };
    let root = match Root::open(&found.root) {
        Ok(root) => root,
        Err(error) => {
            problems.0.push(unreadable(&found.root, &error));
            return (files, Texts(texts));
        }
    };
    let folders: Vec<(PathBuf, bool)> = globs.expand(&found.root, problems);
    let mut resolved = rustc_hash::FxHashSet::default();
    for read in in_threads(&folders, |folders| root.read(folders)) {
        let at = texts.len();
        for package in read.packages {
            if resolved.insert(package.relative_dir.clone()) {
                let manifest = package.manifest.map(|(_, range)| (at, range));
                files.push(Files { manifest, ..package });
            }
        }
        texts.push(read.text);
        problems.0.extend(read.problems.0);
    }
    (files, Texts(texts))
}

/// What was read of some folders.
#[derive(Default)]
struct Part {
    packages: Vec<Files>,
    text: String,
    problems: Problems,
}

/// The workspace root, opened: the way to it is walked once, and not for each file.
struct Root<'a> {
    path: &'a Path,
    folder: OwnedFd,
}

impl Root<'_> {
    fn open(path: &Path) -> io::Result<Root<'_>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { path, folder: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// The packages in these folders, each with whether a link is on the way to it.
    fn read(&self, folders: &[(PathBuf, bool)]) -> Part {
        let mut part = Part::default();
        let mut bytes = Vec::with_capacity(folders.len() * 1024);
        let mut file = PathBuf::new();
        for (relative, linked) in folders.iter().filter(|(relative, _)| !relative.as_os_str().is_empty()) {
            match self.read_package(relative, *linked, &mut file, &mut bytes) {
                Ok(package) => part.packages.extend(package),
                Err(problem) => part.problems.0.push(problem),
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => part.text = text,
            Err(error) => self.drop_what_is_no_text(&mut part, error.as_bytes()),
        }
        part
    }

    /// The files of a package in a folder; `None` if there is none, or it is the root. `file` is a place to
    /// write names in; the text is added to `bytes`.
    fn read_package(
        &self,
        relative: &Path,
        linked: bool,
        file: &mut PathBuf,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Files>, Problem> {
        file.clear();
        file.push(relative);
        file.push("package.json");
        let absolute = || self.path.join(relative).join("package.json");
        let start = bytes.len();
        match self.read_text(file, bytes) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                bytes.truncate(start);
                return Err(unreadable(&absolute(), &error));
            }
        }
        let dir = || self.path.join(relative);
        let mut relative_dir = relative.to_path_buf();
        if linked {
            let resolved = dir().canonicalize().map_err(|error| unreadable(&dir(), &error))?;
            let Ok(inside) = resolved.strip_prefix(self.path) else {
                let message =
                    format!("package {} leads out of the workspace through a symlink", relative.display());
                return Err(Problem::new(message)
                    .help("exclude it with a glob that starts with !, or move it into the workspace"));
            };
            if inside.as_os_str().is_empty() {
                return Ok(None);
            }
            relative_dir = inside.to_path_buf();
        }
        let has_config = CONFIG_FILES.iter().any(|name| {
            file.set_file_name(name);
            // Whatever else keeps it from being seen is told by reading it; so is a link that leads nowhere.
            !matches!(rustix::fs::statat(&self.folder, &*file, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
        });
        let config = if has_config { read_config(&dir())? } else { None };
        Ok(Some(Files { relative_dir, manifest: Some((0, start..bytes.len())), config }))
    }

    /// Adds the bytes of a file below the root; false where there is none.
    fn read_text(&self, file: &Path, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, file, flags, Mode::empty()) {
            Ok(opened) => read_regular(File::from(opened), bytes).map(|()| true),
            Err(Errno::NOENT | Errno::NOTDIR) => absent(&self.path.join(file)).map(|()| false),
            Err(error) => Err(error.into()),
        }
    }

    /// Some file is not UTF-8: the others are kept, and it is told.
    fn drop_what_is_no_text(&self, part: &mut Part, bytes: &[u8]) {
        let packages = std::mem::take(&mut part.packages);
        for mut package in packages {
            let Some((_, range)) = &package.manifest else { continue };
            match text(&bytes[range.clone()]) {
                Ok(text) => {
                    let start = part.text.len();
                    part.text.push_str(text);
                    package.manifest = Some((0, start..part.text.len()));
                    part.packages.push(package);
                }
                Err(error) => {
                    let file = self.path.join(&package.relative_dir).join("package.json");
                    part.problems.0.push(unreadable(&file, &error));
                }
            }
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {} is not UTF-8", line + 1))
    })
}

/// Reads a file as text; `None` where there is none.
///
/// # Errors
/// What the system says, or that it is not UTF-8.
pub(super) fn read_source(file: &Path) -> io::Result<Option<Source>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(file, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR) => return absent(file).map(|()| None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    read_regular(File::from(opened), &mut bytes)?;
    Ok(Some(Source::new(file.to_path_buf(), text(&bytes)?.to_owned())))
}

/// That there is no file; a link that leads nowhere is somebody's mistake.
fn absent(file: &Path) -> io::Result<()> {
    match std::fs::read_link(file) {
        Ok(target) => {
            let text = format!("it is a link to {}, and nothing is there", target.display());
            Err(io::Error::new(io::ErrorKind::NotFound, text))
        }
        Err(_) => Ok(()),
    }
}

/// Adds the bytes of a regular file, opened so that a pipe does not wait. A device may have no end.
fn read_regular(mut opened: File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let meta = opened.metadata()?;
    if !meta.is_file() && !meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    // There may be thousands: of a file that is as long as was said the end is not looked for.
    let (start, length) = (bytes.len(), usize::try_from(meta.len()).unwrap_or(0));
    bytes.resize(start + length + 1, 0);
    let filled = opened.read(&mut bytes[start..]);
    bytes.truncate(start + *filled.as_ref().unwrap_or(&0));
    if filled? != length {
        opened.read_to_end(bytes)?;
    }
    Ok(())
}

/// What keeps a file from being read, and what to do about it.
pub(super) fn unreadable(file: &Path, error: &io::Error) -> Problem {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "allow reading it; or, if its folder is no package, exclude that with a glob that starts with !"
        }
        _ if error.raw_os_error() == Some(libc::ELOOP) => "links there lead in a circle: remove one of them",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        io::ErrorKind::NotFound => "let the link lead to a file, or remove it",
        _ => "put a text file there, or remove what is there",
    };
    Problem::new(format!("cannot read {}: {error}", file.display())).help(help)
}

fn read_config(dir: &Path) -> Result<Option<Source>, Problem> {
    for name in CONFIG_FILES {
        let file = dir.join(name);
        if let Some(source) = read_source(&file).map_err(|error| unreadable(&file, &error))? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// Maps pieces of a list, in order; by several threads where there is much to do.
fn in_threads<'a, T: Sync, R: Send>(items: &'a [T], map: impl Fn(&'a [T]) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(8).min(items.len() / PACKAGES_PER_THREAD_MIN);
    if threads < 2 {
        return vec![map(items)];
    }
    let map = &map;
    std::thread::scope(|scope| {
        let pieces = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> = pieces.map(|piece| scope.spawn(move || map(piece))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, R>| match thread.join() {
            Ok(mapped) => mapped,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        running.into_iter().map(join).collect()
    })
}

//! The file system as the tool asks for it. Played in this process, each request is noted first, as the
//! tracer would note it; in a process of its own nothing is.

use overhear::access::{Access, AccessKind, Listing, Observed};
use overhear::stamp::Found;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

const WRITE: AccessKind = AccessKind::Write { truncates: true };

/// Where the tool works, and what is noted of it.
pub struct Io {
    cwd: PathBuf,
    /// Its variables, where it is played; else the process has its own.
    env: Option<BTreeMap<String, String>>,
    noted: RefCell<Observed>,
    pub out: RefCell<Vec<u8>>,
    pub err: RefCell<Vec<u8>>,
}

impl Io {
    /// Of a process of its own.
    pub fn real() -> Io {
        Io {
            cwd: PathBuf::new(),
            env: None,
            noted: RefCell::default(),
            out: RefCell::default(),
            err: RefCell::default(),
        }
    }

    /// Played, in a resolved folder.
    pub fn played(cwd: &Path, env: BTreeMap<String, String>) -> Io {
        Io { cwd: cwd.to_path_buf(), env: Some(env), ..Io::real() }
    }

    /// Whether it is no process of its own.
    pub fn is_played(&self) -> bool {
        self.env.is_some()
    }

    /// What was noted.
    pub fn observed(&self) -> Observed {
        let mut observed = self.noted.take();
        observed.processes.insert(1, "tool".to_owned());
        observed
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }

    fn note(&self, path: &Path, kind: AccessKind, found: Found) {
        self.noted.borrow_mut().add(Access { path: path.to_path_buf(), kind, found, pid: 1 });
    }

    /// Where a path leads, and what lies there. Links on the way are noted. `None` where nothing is noted,
    /// or where it leads around in a circle.
    fn target(&self, path: &Path, follow: bool) -> Option<(PathBuf, Found)> {
        self.env.as_ref()?;
        let mut rest: Vec<PathBuf> =
            self.at(path).components().rev().map(|part| PathBuf::from(part.as_os_str())).collect();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.components().next()? {
                Component::ParentDir => drop(at.pop()),
                Component::CurDir => {}
                _ => at.push(&part),
            }
            let found = Found::at(&at).unwrap_or(Found::Absent);
            if let Found::Link(text) = &found
                && (follow || !rest.is_empty())
            {
                links += 1;
                if links > 40 {
                    return None;
                }
                self.note(&at, AccessKind::Link, found.clone());
                let text = Path::new(OsStr::new(text)).to_path_buf();
                at.pop();
                rest.extend(text.components().rev().map(|part| PathBuf::from(part.as_os_str())));
            } else if rest.is_empty() {
                return Some((at, found));
            } else if !matches!(found, Found::Folder(_)) {
                at.extend(rest.into_iter().rev());
                return Some((at, Found::Absent));
            }
        }
        let found = Found::at(&at).unwrap_or(Found::Absent);
        Some((at, found))
    }

    fn simple(&self, path: &Path, follow: bool, kind: AccessKind) {
        if let Some((path, found)) = self.target(path, follow) {
            self.note(&path, kind, found);
        }
    }

    fn list(&self, path: &Path, found: Found) {
        let names = |path: &Path| -> Listing {
            let names = fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Listing = names
                .map(|name| (name.file_name(), Found::at(&name.path()).unwrap_or(Found::Absent).letter()))
                .collect();
            names.sort();
            names
        };
        let is_news = self.noted.borrow().seen(path).is_none_or(|seen| seen.list.is_none());
        if is_news {
            self.note(path, AccessKind::List(names(path)), found);
        }
    }

    pub fn variable(&self, name: &str) -> String {
        let Some(env) = &self.env else { return std::env::var(name).unwrap_or_default() };
        self.noted.borrow_mut().env.insert(name.to_owned(), env.contains_key(name));
        env.get(name).cloned().unwrap_or_default()
    }

    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.target(path, true) {
            Some((path, found @ Found::Folder(_))) => self.list(&path, found),
            Some((path, found)) => self.note(&path, AccessKind::Read, found),
            None => {}
        }
        fs::read(self.at(path))
    }

    pub fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.simple(path, true, AccessKind::Stat);
        self.at(path).metadata()
    }

    pub fn symlink_metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.simple(path, false, AccessKind::Stat);
        self.at(path).symlink_metadata()
    }

    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        if let Some((path, found)) = self.target(path, false) {
            let kind = if matches!(found, Found::Link(_)) { AccessKind::Link } else { AccessKind::Kind };
            self.note(&path, kind, found);
        }
        fs::read_link(self.at(path))
    }

    pub fn read_dir(&self, path: &Path) -> io::Result<fs::ReadDir> {
        match self.target(path, true) {
            Some((path, found @ Found::Folder(_))) => self.list(&path, found),
            Some((path, found)) => self.note(&path, AccessKind::Read, found),
            None => {}
        }
        fs::read_dir(self.at(path))
    }

    fn note_open(&self, path: &Path, options: Options) {
        let Some((path, found)) = self.target(path, !options.exclusive) else { return };
        match &found {
            Found::Absent if options.create && path.parent().is_some_and(Path::is_dir) => {
                self.note(&path, WRITE, found)
            }
            Found::Absent => self.note(&path, AccessKind::Read, found),
            Found::Folder(_) => self.note(&path, AccessKind::Kind, found),
            _ if options.exclusive => self.note(&path, AccessKind::Kind, found),
            _ => {
                if !options.truncate {
                    self.note(&path, AccessKind::Read, found.clone());
                }
                self.note(&path, AccessKind::Write { truncates: options.truncate }, found);
            }
        }
    }

    pub fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.note_open(path, Options { create: true, truncate: true, exclusive: false });
        fs::write(self.at(path), text)
    }

    pub fn append(&self, path: &Path, text: &str) -> io::Result<()> {
        self.note_open(path, Options { create: true, truncate: false, exclusive: false });
        OpenOptions::new().append(true).create(true).open(self.at(path))?.write_all(text.as_bytes())
    }

    pub fn write_new(&self, path: &Path, text: &str) -> io::Result<()> {
        self.note_open(path, Options { create: true, truncate: false, exclusive: true });
        OpenOptions::new().write(true).create_new(true).open(self.at(path))?.write_all(text.as_bytes())
    }

    /// Writes at the end of what is read, if that is short.
    pub fn patch(&self, path: &Path, text: &str) -> io::Result<()> {
        self.note_open(path, Options { create: true, truncate: false, exclusive: false });
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.at(path))?;
        let mut old = Vec::new();
        file.read_to_end(&mut old)?;
        if old.len() < 60 { file.write_all(text.as_bytes()) } else { Ok(()) }
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let what = self.target(from, false);
        let target = self.target(to, false);
        if let (Some((from, what)), Some((to, target))) = (what, target) {
            self.note_rename(&from, &what, &to, &target);
        }
        fs::rename(self.at(from), self.at(to))
    }

    fn note_rename(&self, from: &Path, what: &Found, to: &Path, target: &Found) {
        let works = match (what, target) {
            (Found::Absent, _) => false,
            (Found::Folder(_), Found::Absent) => {
                !to.starts_with(from) && to.parent().is_some_and(Path::is_dir)
            }
            (Found::Folder(_), Found::Folder(_)) => {
                self.list(to, target.clone());
                !to.starts_with(from) && fs::read_dir(to).is_ok_and(|mut names| names.next().is_none())
            }
            (Found::Folder(_), _) => false,
            (_, Found::Folder(_)) => false,
            _ => to.parent().is_some_and(Path::is_dir),
        };
        if !works || from == to {
            self.note(from, AccessKind::Kind, what.clone());
            return self.note(to, AccessKind::Kind, target.clone());
        }
        let mut below = vec![PathBuf::new()];
        let mut at = 0;
        while at < below.len() {
            let folder = from.join(&below[at]);
            if folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                self.list(&folder, Found::at(&folder).unwrap_or(Found::Absent));
                let names = fs::read_dir(&folder).into_iter().flatten().flatten();
                let names: Vec<PathBuf> = names.map(|name| below[at].join(name.file_name())).collect();
                below.extend(names);
            }
            at += 1;
        }
        for path in below {
            let (old, new) = if path.as_os_str().is_empty() {
                (from.to_path_buf(), to.to_path_buf())
            } else {
                (from.join(&path), to.join(&path))
            };
            let what = Found::at(&old).unwrap_or(Found::Absent);
            if matches!(what, Found::File(_)) {
                // Its content goes with it.
                self.note(&old, AccessKind::Read, what.clone());
            }
            if matches!(what, Found::Link(_)) {
                self.note(&old, AccessKind::Link, what.clone());
            }
            self.note(&old, AccessKind::Rename, what);
            self.note(&new, AccessKind::Create, Found::at(&new).unwrap_or(Found::Absent));
        }
    }

    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        if let Some((path, found)) = self.target(path, false) {
            let kind = if matches!(found, Found::Absent | Found::Folder(_)) {
                AccessKind::Kind
            } else {
                AccessKind::Remove
            };
            self.note(&path, kind, found);
        }
        fs::remove_file(self.at(path))
    }

    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for entry in self.read_dir(path)? {
            let child = path.join(entry?.file_name());
            if self.symlink_metadata(&child)?.is_dir() {
                self.remove_dir_all(&child)?
            } else {
                self.remove_file(&child)?
            }
        }
        self.simple(path, false, AccessKind::Remove);
        fs::remove_dir(self.at(path))
    }

    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        match self.target(path, false) {
            Some((path, found @ Found::Absent)) if path.parent().is_some_and(Path::is_dir) => {
                self.note(&path, AccessKind::Create, found);
            }
            None | Some((_, Found::Folder(_))) => {}
            Some((path, found)) => self.note(&path, AccessKind::Kind, found),
        }
        fs::create_dir(self.at(path))
    }

    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        match self.create_dir(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir_all(path.parent().ok_or(error)?)?;
                self.create_dir(path)
            }
            Err(_) if self.metadata(path).is_ok_and(|meta| meta.is_dir()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn symlink(&self, text: &str, path: &Path) -> io::Result<()> {
        if let Some((path, found)) = self.target(path, false) {
            let kind = if found == Found::Absent && path.parent().is_some_and(Path::is_dir) {
                AccessKind::Create
            } else {
                AccessKind::Kind
            };
            self.note(&path, kind, found);
        }
        std::os::unix::fs::symlink(text, self.at(path))
    }

    pub fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let content = self.read(from)?;
        let mode = self.metadata(from)?.permissions().mode();
        self.write(to, content)?;
        self.set_mode(to, mode)
    }

    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some((path, found)) = self.target(path, true) {
            let kind = if found == Found::Absent { AccessKind::Kind } else { AccessKind::SetMeta };
            self.note(&path, kind, found);
        }
        fs::set_permissions(self.at(path), Permissions::from_mode(mode))
    }
}

/// How a file is opened for writing.
#[derive(Clone, Copy)]
struct Options {
    create: bool,
    truncate: bool,
    exclusive: bool,
}

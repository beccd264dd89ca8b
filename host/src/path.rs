//! Names of paths that do not depend on where the checkout or the home folder lies, and the rules
//! for what counts as outside. Pure: nothing here looks at the disk.

use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// A path as it is stored: relative to the workspace root (`apps/web/x`, `../package.json` for what
/// lies directly in a folder above it), in the home folder (`~/.npmrc`), or absolute. Bytes, not text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortablePath(#[serde(with = "serde_bytes")] Box<[u8]>);

impl PortablePath {
    /// Wraps bytes that came from [`PortablePath::as_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> PortablePath {
        PortablePath(bytes.into())
    }

    /// The same, of bytes that are given away.
    pub fn from_vec(bytes: Vec<u8>) -> PortablePath {
        PortablePath(bytes.into_boxed_slice())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What has a name in the folder at this path of the workspace.
    pub fn join(&self, name: &OsStr) -> PortablePath {
        match &*self.0 {
            b"." => PortablePath::from_bytes(name.as_bytes()),
            folder => PortablePath([folder, b"/", name.as_bytes()].concat().into()),
        }
    }

    /// Whether it lies in the workspace (the root itself is `.`).
    pub fn is_inside(&self) -> bool {
        !matches!(self.0.first(), Some(b'/' | b'~')) && !self.0.starts_with(b"../") && &*self.0 != b".."
    }
}

impl fmt::Display for PortablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for PortablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The folders that stored paths are relative to. Both are absolute and resolved.
#[derive(Clone, Debug)]
pub struct Places {
    /// The workspace root.
    pub root: PathBuf,
    /// The home folder, if there is one.
    pub home: Option<PathBuf>,
}

impl Places {
    /// How an absolute path is stored.
    pub fn portable(&self, path: &Path) -> PortablePath {
        if let Ok(inside) = path.strip_prefix(&self.root) {
            let bytes = inside.as_os_str().as_bytes();
            return PortablePath(if bytes.is_empty() { b".".as_slice().into() } else { bytes.into() });
        }
        if self.home.as_deref() == Some(path) {
            return PortablePath(b"~".as_slice().into());
        }
        if let Some(above) = self.above(path) {
            return above;
        }
        match self.home.as_deref().and_then(|home| path.strip_prefix(home).ok()) {
            Some(below) => PortablePath([b"~/", below.as_os_str().as_bytes()].concat().into()),
            None => PortablePath(path.as_os_str().as_bytes().into()),
        }
    }

    /// The other name of what lies directly in the home folder, where that is above the workspace: `../x` is what a
    /// checkout elsewhere has above it, `~/x` what another home folder has. Whoever asked for it may have meant either.
    pub fn by_home(&self, path: &Path) -> Option<PortablePath> {
        let home = self.home.as_deref().filter(|home| self.root != *home && self.root.starts_with(home))?;
        let name =
            path.file_name().filter(|_| path.parent() == Some(home) && !self.root.starts_with(path))?;
        Some(PortablePath([b"~/", name.as_bytes()].concat().into()))
    }

    /// Tools probe every folder above their own for `package.json` and the like; such a path, or
    /// such a folder itself, is named by how far up it lies.
    fn above(&self, path: &Path) -> Option<PortablePath> {
        let mut ups = Vec::new();
        for ancestor in self.root.ancestors().skip(1) {
            ups.extend_from_slice(b"../");
            if path == ancestor {
                ups.pop();
                return Some(PortablePath(ups.into()));
            }
            if path.parent() == Some(ancestor) {
                ups.extend_from_slice(path.file_name()?.as_bytes());
                return Some(PortablePath(ups.into()));
            }
        }
        None
    }

    /// Where a stored path lies on this machine.
    pub fn absolute(&self, path: &PortablePath) -> PathBuf {
        let bytes = path.as_bytes();
        if bytes == b"." {
            return self.root.clone();
        }
        if let (b"~", Some(home)) = (bytes, &self.home) {
            return home.clone();
        }
        if let (Some(below), Some(home)) = (bytes.strip_prefix(b"~/"), &self.home) {
            return home.join(OsStr::from_bytes(below));
        }
        let mut base: &Path = &self.root;
        let mut rest = bytes;
        while let Some(after) = rest.strip_prefix(b"../").or(if rest == b".." { Some(b"") } else { None }) {
            base = base.parent().unwrap_or(base);
            rest = after;
        }
        if rest.is_empty() { base.to_path_buf() } else { base.join(OsStr::from_bytes(rest)) }
    }
}

/// Joins and collapses `.` and `..` by text alone. Only for paths on whose way there are no
/// symlinks, or where what is meant is what a person wrote.
pub fn join_lexically(base: &Path, path: &Path) -> PathBuf {
    let mut joined = if path.is_absolute() { PathBuf::from("/") } else { base.to_path_buf() };
    for component in path.components() {
        match component {
            Component::ParentDir => drop(joined.pop()),
            Component::Normal(name) => joined.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    joined
}

/// A path from bytes.
pub fn from_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places { root: "/home/u/w/proj".into(), home: Some("/home/u".into()) }
    }

    #[test]
    fn every_path_reads_back() {
        let places = places();
        let cases = [
            ("/home/u/w/proj", "."),
            ("/home/u/w/proj/apps/web", "apps/web"),
            ("/home/u/w/package.json", "../package.json"),
            ("/home/u/package.json", "../../package.json"),
            ("/home/u/w", ".."),
            ("/home/u", "~"),
            ("/home", "../../.."),
            ("/package.json", "../../../../package.json"),
            ("/home/u/w/other/deep", "~/w/other/deep"),
            ("/home/u/.cache/x", "~/.cache/x"),
            ("/opt/x/y", "/opt/x/y"),
        ];
        for (path, stored) in cases {
            let portable = places.portable(Path::new(path));
            assert_eq!(portable.to_string(), stored);
            assert_eq!(places.absolute(&portable), Path::new(path));
            assert_eq!(portable.is_inside(), path.starts_with("/home/u/w/proj"), "{path}");
        }
    }

    #[test]
    fn what_lies_in_a_home_folder_above_the_workspace_has_two_names() {
        let places = places();
        let by_home = |path: &str| places.by_home(Path::new(path)).map(|name| name.to_string());
        assert_eq!(by_home("/home/u/.npmrc").as_deref(), Some("~/.npmrc"));
        for other in ["/home/u", "/home/u/w", "/home/u/w/package.json", "/home/u/.cache/x", "/home/v"] {
            assert_eq!(by_home(other), None, "{other}");
        }
        let elsewhere = Places { root: "/srv/proj".into(), ..places };
        assert_eq!(elsewhere.by_home(Path::new("/home/u/.npmrc")), None);
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_outside() {
        let portable = places().portable(Path::new("/home/u/w/proj2"));
        assert_eq!(portable.to_string(), "../proj2");
    }

    #[test]
    fn joining_collapses_by_text() {
        let joined = join_lexically(Path::new("/a/b"), Path::new("../c/./d"));
        assert_eq!(joined, Path::new("/a/c/d"));
        assert_eq!(join_lexically(Path::new("/a"), Path::new("/x/../../y")), Path::new("/y"));
    }
}

//! Programs found by searching the folders of a PATH.

use super::seen::Seen;
use crate::stamp::Stamp;
use rustc_hash::FxHashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folders of a PATH, absolute, in order.
#[derive(Clone, Debug)]
pub struct SearchPath {
    /// Each with whether it lies in the workspace.
    own: Vec<(PathBuf, bool)>,
    /// What comes after them.
    rest: Arc<Rest>,
}

/// Folders outside the workspace with which the PATH of most steps ends. Each program is searched there once, until
/// a command has run ([`Searches::forget`]).
#[derive(Debug, Default)]
struct Rest {
    folders: Vec<PathBuf>,
    found: Mutex<FxHashMap<String, Option<Arc<FoundProgram>>>>,
}

/// What a PATH ends with, taken apart.
#[derive(Debug)]
struct End {
    /// As written: those that are not absolute depend on where the step starts, those in the workspace change.
    changing: Vec<PathBuf>,
    rest: Arc<Rest>,
}

/// What the searches of a session have in common.
#[derive(Debug, Default)]
pub struct Searches {
    ends: Mutex<FxHashMap<OsString, Arc<End>>>,
}

/// A program that a search found.
#[derive(Debug)]
pub struct FoundProgram {
    /// Where, links not resolved.
    pub path: PathBuf,
    /// Of what executing it reads.
    pub stamp: Stamp,
    /// It counts by where it lies as well. Of native programs outside the workspace the content says all.
    pub counts_by_place: bool,
}

/// A search in the folders of a PATH that are there now: a step that runs may make one that is missing.
pub struct Search<'a> {
    own: Vec<&'a (PathBuf, bool)>,
    rest: &'a Rest,
}

impl Searches {
    /// The folders of a PATH, for a step that starts in `cwd`. `end`: what most of them end with, each folder
    /// after a colon.
    pub fn path(&self, path: &OsStr, end: &OsStr, cwd: &Path, root: &Path) -> SearchPath {
        let (own, end) = match path.as_bytes().strip_suffix(end.as_bytes()) {
            Some(own) if !end.is_empty() => (OsStr::from_bytes(own), end),
            _ => (path, OsStr::new("")),
        };
        let end = self.end(end, root);
        let mut folders: Vec<(PathBuf, bool)> = Vec::new();
        for folder in std::env::split_paths(own).chain(end.changing.iter().cloned()) {
            let folder = cwd.join(folder);
            // As bytes: comparing paths takes each apart every time.
            if !folders.iter().any(|(known, _)| known.as_os_str() == folder.as_os_str()) {
                let is_inside = folder.starts_with(root);
                folders.push((folder, is_inside));
            }
        }
        SearchPath { own: folders, rest: Arc::clone(&end.rest) }
    }

    /// Something may have been installed.
    pub fn forget(&self) {
        for end in self.ends.lock().unwrap_or_else(PoisonError::into_inner).values() {
            end.rest.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn end(&self, text: &OsStr, root: &Path) -> Arc<End> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ends.get(text) {
            return Arc::clone(known);
        }
        let folders = text.as_bytes().strip_prefix(b":").map(OsStr::from_bytes);
        let mut folders: Vec<PathBuf> = folders.into_iter().flat_map(std::env::split_paths).collect();
        let is_changing = |folder: &PathBuf| !folder.is_absolute() || folder.starts_with(root);
        let changing = folders.iter().rposition(is_changing).map_or(0, |last| last + 1);
        let rest = folders.split_off(changing);
        let rest = Arc::new(Rest { folders: rest, found: Mutex::default() });
        let end = Arc::new(End { changing: folders, rest });
        ends.insert(text.to_owned(), Arc::clone(&end));
        end
    }
}

impl SearchPath {
    /// The folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.own.iter().map(|(folder, _)| folder).chain(&self.rest.folders).map(PathBuf::as_path)
    }

    /// Begins a search.
    pub fn search(&self, seen: &Seen) -> Search<'_> {
        let is_there = |(folder, is_inside): &&(PathBuf, bool)| !is_inside || seen.is_folder(folder);
        Search { own: self.own.iter().filter(is_there).collect(), rest: &self.rest }
    }
}

impl Search<'_> {
    /// The first executable file of that name, symlinks followed.
    pub fn find(&self, name: &str) -> Option<Arc<FoundProgram>> {
        let own = self.own.iter().find_map(|(folder, is_inside)| executable_in(folder, name, *is_inside));
        own.map(Arc::new).or_else(|| self.rest.find(name))
    }
}

impl Rest {
    fn find(&self, name: &str) -> Option<Arc<FoundProgram>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(name) {
            return known.clone();
        }
        let program = self.folders.iter().find_map(|folder| executable_in(folder, name, false));
        let program = program.map(Arc::new);
        found.insert(name.to_owned(), program.clone());
        program
    }
}

fn executable_in(folder: &Path, name: &str, is_inside: bool) -> Option<FoundProgram> {
    let path = folder.join(name);
    let meta = path.metadata().ok()?;
    let stamp = Stamp::of(&meta);
    if !meta.is_file() || !stamp.is_executable() {
        return None;
    }
    let counts_by_place = is_inside || is_script(&path);
    Some(FoundProgram { path, stamp, counts_by_place })
}

/// Whether it is no native program. What cannot be read is taken for one that is none.
fn is_script(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_err() || head != *b"\x7fELF"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it_however_the_path_is_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("w");
        let put = |folder: &str, name: &str| {
            let folder = dir.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        };
        put("one", "tool");
        put("two", "tool");
        put("two", "other");
        put("w/bin", "other");
        let at = |name: &str| dir.path().join(name).into_os_string();
        let join = |folders: &[&str]| std::env::join_paths(folders.iter().map(|name| at(name))).unwrap();
        let (searches, seen) = (Searches::default(), Seen::default());
        let found = |path: &OsStr, end: &str, name: &str| {
            let path = searches.path(path, OsStr::new(end), &root, &root);
            let there: Vec<PathBuf> = path.folders().map(Path::to_path_buf).collect();
            assert!(there.iter().all(|folder| folder.is_absolute()), "{there:?}");
            path.search(&seen).find(name).map(|found| (found.path.clone(), found.counts_by_place))
        };
        let place = |name: &str| Some((dir.path().join(name), true));
        let of = |folders: &[&str]| format!(":{}", join(folders).to_str().unwrap());
        let both = join(&["w/node_modules/.bin", "one", "two"]);
        for end in [of(&["one", "two"]), of(&["two"]), String::new(), of(&["three"])] {
            assert_eq!(found(&both, &end, "tool"), place("one/tool"), "{end}");
            assert_eq!(found(&both, &end, "other"), place("two/other"), "{end}");
            assert_eq!(found(&both, &end, "none"), None, "{end}");
        }
        // One in the workspace, and one that depends on where the step starts, come before what lies behind.
        let mixed = [join(&["one", "w/bin", "two"]), join(&["one"])].join(OsStr::new(":"));
        assert_eq!(found(&mixed, &of(&["one", "w/bin", "two"]), "other"), place("w/bin/other"));
        let relative = format!("{}:bin:{}", at("one").to_str().unwrap(), at("two").to_str().unwrap());
        assert_eq!(found(OsStr::new(&relative), &format!(":{relative}"), "other"), place("w/bin/other"));
        let end = format!(":bin:{}", at("two").to_str().unwrap());
        assert_eq!(found(OsStr::new(&relative), &end, "other"), place("w/bin/other"));
        assert_eq!(found(OsStr::new(&relative), &end, "tool"), place("one/tool"));
    }

    #[test]
    fn a_program_of_the_workspace_is_searched_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let (searches, seen) = (Searches::default(), Seen::default());
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let path = searches.path(bin.as_os_str(), OsStr::new(""), dir.path(), dir.path());
        assert!(path.search(&seen).find("tool").is_none());
        std::fs::write(bin.join("tool"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(bin.join("tool"), PermissionsExt::from_mode(0o755)).unwrap();
        assert!(path.search(&seen).find("tool").is_some());
    }
}

//! A folder as data, to be compared: paths, kinds, the executable bits and contents.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// One thing in a [`Tree`].
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    Folder,
    File {
        is_executable: bool,
        bytes: Vec<u8>,
    },
    Link(PathBuf),
    /// A pipe, a socket, a device.
    Other,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Node::Folder => f.write_str("folder"),
            Node::Other => f.write_str("no file"),
            Node::Link(target) => write!(f, "link to {}", target.display()),
            Node::File { is_executable, bytes } => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                write!(f, "file of {} bytes (executable: {is_executable}) {start:?}", bytes.len())
            }
        }
    }
}

/// Paths relative to the folder, with what is there.
pub type Tree = BTreeMap<String, Node>;

/// A folder with all below it; empty where there is none.
pub fn tree(folder: &Path) -> Tree {
    tree_without(folder, &[])
}

/// A folder without the names given, wherever they are.
pub fn tree_without(folder: &Path, left_out: &[&str]) -> Tree {
    let mut tree = Tree::new();
    add(folder, "", left_out, &mut tree);
    tree
}

fn add(folder: &Path, prefix: &str, left_out: &[&str], tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if left_out.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        let node = if kind.is_dir() {
            add(&entry.path(), &format!("{path}/"), left_out, tree);
            Node::Folder
        } else if kind.is_symlink() {
            Node::Link(fs::read_link(entry.path()).unwrap())
        } else if !kind.is_file() {
            Node::Other
        } else {
            let is_executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
            Node::File { is_executable, bytes: fs::read(entry.path()).unwrap_or_default() }
        };
        tree.insert(path, node);
    }
}

/// Fails with the paths that differ.
#[track_caller]
pub fn assert_same(left: &Tree, right: &Tree) {
    let paths: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differing: Vec<String> = paths
        .into_iter()
        .filter(|path| left.get(*path) != right.get(*path))
        .map(|path| format!("{path}: {:?} against {:?}", left.get(path), right.get(path)))
        .collect();
    assert!(differing.is_empty(), "the trees differ:\n{}", differing.join("\n"));
}

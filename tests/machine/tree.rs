//! Trees as plain values: read from the disk, written to it, shown.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What lies at one path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    File { executable: bool, content: Vec<u8> },
    Link(PathBuf),
    Folder,
}

/// A tree, by relative path.
pub type Tree = BTreeMap<PathBuf, Node>;

/// What lies there, if anything.
pub fn read_node(path: &Path) -> Option<Node> {
    let meta = path.symlink_metadata().ok()?;
    Some(if meta.is_symlink() {
        Node::Link(fs::read_link(path).ok()?)
    } else if meta.is_dir() {
        Node::Folder
    } else {
        Node::File { executable: meta.permissions().mode() & 0o111 != 0, content: fs::read(path).ok()? }
    })
}

/// All that lies below, but overhear's own folder.
pub fn read_tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_name() == ".overhear" {
                continue;
            }
            let path = entry.path();
            let Some(node) = read_node(&path) else { continue };
            if node == Node::Folder {
                folders.push(path.clone());
            }
            tree.insert(path.strip_prefix(root).expect("it lies below").to_path_buf(), node);
        }
    }
    tree
}

/// Makes a folder and all of a tree in it.
pub fn write_tree(root: &Path, tree: &Tree) {
    fs::create_dir(root).expect("the place is free");
    for (path, node) in tree {
        put(&root.join(path), node).expect("a copy can be made");
    }
}

/// For a message.
pub fn show(node: Option<&Node>) -> String {
    match node {
        None => "nothing".to_owned(),
        Some(Node::File { executable, content }) => {
            let mark = if *executable { " (executable)" } else { "" };
            format!("{:?}{mark}", String::from_utf8_lossy(content))
        }
        Some(other) => format!("{other:?}"),
    }
}

/// Puts one thing there, with the folders above it.
pub fn put(path: &Path, node: &Node) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match node {
        Node::Folder => fs::create_dir_all(path),
        Node::Link(text) => std::os::unix::fs::symlink(text, path),
        Node::File { executable, content } => {
            fs::write(path, content)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
    }
}

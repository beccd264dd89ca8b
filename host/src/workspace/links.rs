//! Which packages of a workspace depend on which, as package managers link them: by `workspace:`,
//! by a path, or by a range that the version of the workspace's package satisfies.

use super::manifest::Manifest;
use super::{Edge, Workspace};
use crate::path::join_lexically;
use nodejs_semver::{Range, Version};
use std::path::Path;

/// The packages that the one at this position depends on, without itself.
pub(super) fn edges(workspace: &Workspace, from: usize, manifest: &Manifest<'_>) -> Vec<Edge> {
    let mut edges: Vec<Edge> = manifest
        .dependencies()
        .filter_map(|(kind, name, range)| Some(Edge { to: target(workspace, from, name, range)?, kind }))
        .filter(|edge| edge.to != from)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn target(workspace: &Workspace, from: usize, name: &str, range: &str) -> Option<usize> {
    let range = range.trim();
    if let Some(asked) = range.strip_prefix("workspace:") {
        return at_path(workspace, from, asked).or_else(|| named(workspace, alias(asked).unwrap_or(name)));
    }
    for protocol in ["file:", "link:", "portal:"] {
        if let Some(path) = range.strip_prefix(protocol) {
            return folder(workspace, from, path);
        }
    }
    if let Some(found) = at_path(workspace, from, range) {
        return Some(found);
    }
    let (name, range) = match range.strip_prefix("npm:") {
        Some(aliased) => match alias(aliased) {
            Some(real) => (real, aliased[real.len()..].trim_start_matches('@')),
            None => (name, aliased),
        },
        None => (name, range),
    };
    let found = named(workspace, name)?;
    // Which version a catalog stands for is the package manager's to know; an edge too many costs
    // only order.
    let linked = range.is_empty()
        || range == "*"
        || range.starts_with("catalog:")
        || satisfies(workspace, found, range);
    linked.then_some(found)
}

fn named(workspace: &Workspace, name: &str) -> Option<usize> {
    workspace.by_name.get(name).copied()
}

/// `name` of `name@range`; `None` for a range alone.
fn alias(text: &str) -> Option<&str> {
    let scoped = usize::from(text.starts_with('@'));
    let name = &text[..text[scoped..].find('@').map_or(text.len(), |at| at + scoped)];
    let starts_a_name = text.starts_with('@') || name.len() < text.len();
    (starts_a_name && !name.is_empty()).then_some(name)
}

fn at_path(workspace: &Workspace, from: usize, path: &str) -> Option<usize> {
    let is_path = path.starts_with("./") || path.starts_with("../") || path.starts_with('/');
    is_path.then(|| folder(workspace, from, path)).flatten()
}

fn folder(workspace: &Workspace, from: usize, path: &str) -> Option<usize> {
    workspace.package_at(&join_lexically(&workspace.packages[from].dir, Path::new(path)))
}

fn satisfies(workspace: &Workspace, package: usize, range: &str) -> bool {
    // Tags, addresses and paths of archives are no ranges; a quick look spares parsing them.
    if range.contains([':', '/']) {
        return false;
    }
    let version = workspace.packages[package].version.as_deref();
    match (version.and_then(|version| Version::parse(version).ok()), Range::parse(range)) {
        (Some(version), Ok(range)) => version.satisfies(&range),
        _ => false,
    }
}

//! Which packages changed since a commit, as git tells: files that differ, files that git does not
//! track yet, and of a lock file only the packages whose own dependencies it resolves to other ones.
//!
//! It starts `git` and nothing else, and writes nothing. Read next: `lockfile`.

mod git;
mod lockfile;
mod objects;
mod past;

use super::{CONFIG_FILES, Workspace};
use crate::problem::Problem;
use git::Git;
pub use past::Past;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// With what the files of now are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// With where this branch left the main one.
    MainBranch,
    /// With where it left this branch, tag or commit; `a...b` compares two commits.
    Named(String),
}

/// The packages in which something changed, by their position in the workspace.
///
/// # Errors
/// There is no git, the workspace lies in no repository, or the reference names no commit.
pub fn changed_packages(workspace: &Workspace, since: &Since) -> Result<BTreeSet<usize>, Problem> {
    let git = Git::at(&workspace.root)?;
    let (base, end) = git.compared(since)?;
    let mut changed = BTreeSet::new();
    for path in git.changed(&base, end.as_deref())? {
        if is_config_for_all(&path) {
            return Ok((0..workspace.packages.len()).collect());
        }
        if path.parent() == Some(Path::new("")) && path.file_name().is_some_and(lockfile::is_lockfile) {
            match changed_by_lockfile(workspace, &git, &base, end.as_deref(), &path)? {
                Some(packages) => changed.extend(packages),
                None => return Ok((0..workspace.packages.len()).collect()),
            }
            continue;
        }
        let dir = path.parent().unwrap_or(Path::new(""));
        changed.insert(workspace.package_around(&workspace.root.join(dir)));
    }
    Ok(changed)
}

/// A file at the root by which every package is run.
fn is_config_for_all(path: &Path) -> bool {
    CONFIG_FILES.iter().any(|name| path == Path::new(name))
}

/// The packages for which a lock file says something else than before; `None` where that cannot be
/// told, and so holds for all.
fn changed_by_lockfile(
    workspace: &Workspace,
    git: &Git,
    base: &str,
    end: Option<&str>,
    path: &Path,
) -> Result<Option<BTreeSet<usize>>, Problem> {
    let (Some(before), Some(now)) = (git.file_at(base, path)?, git.file_now(end, path)?) else {
        return Ok(None);
    };
    let name = path.file_name().unwrap_or(OsStr::new(""));
    let dirs: Vec<PathBuf> = workspace.packages.iter().map(|package| package.relative_dir.clone()).collect();
    let asked = |dir: &Path| asked_for(&workspace.root.join(dir));
    let (Some(before), Some(now)) =
        (lockfile::resolved(name, &before, &dirs, &asked), lockfile::resolved(name, &now, &dirs, &asked))
    else {
        return Ok(None);
    };
    if before.for_all != now.for_all {
        return Ok(None);
    }
    let differs = |at: &usize| before.by_package[*at] != now.by_package[*at];
    Ok(Some((0..workspace.packages.len()).filter(differs).collect()))
}

/// What the package.json in a folder asks for, by name and range.
fn asked_for(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read(dir.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let kinds = crate::config::DependencyKind::ALL.map(|kind| manifest[kind.key()].as_object().cloned());
    let pairs = kinds.into_iter().flatten().flatten();
    pairs.filter_map(|(name, range)| Some((name, range.as_str()?.to_owned()))).collect()
}

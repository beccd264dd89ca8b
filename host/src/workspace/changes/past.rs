//! What a file was at an earlier time, where git has kept it: in its index, or in the last commits that
//! touched it. Whether a version is the one that is meant is for the caller to say.

use super::git::Git;
use std::path::Path;

/// So many commits that touched a file are looked at.
const COMMITS_MAX: usize = 20;

/// The repository that a workspace lies in, asked for earlier versions.
pub struct Past<'a>(Git<'a>);

impl<'a> Past<'a> {
    /// `None` where there is no git or no repository.
    pub fn of(root: &'a Path) -> Option<Past<'a>> {
        Git::at(root).ok().map(Past)
    }

    /// The newest version of a file (relative to the root) that `is_it` knows.
    pub fn version(&self, path: &Path, is_it: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let staged = self.0.bytes_at("", path).filter(|content| is_it(content));
        staged.or_else(|| {
            let commits = self.0.commits_of(path, COMMITS_MAX).into_iter();
            commits.filter_map(|commit| self.0.bytes_at(&commit, path)).find(|content| is_it(content))
        })
    }
}

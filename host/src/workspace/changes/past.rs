//! What a file was at an earlier time, where git has kept it: in its index, or in the last commits that
//! touched it. Whether a version is the one that is meant is for the caller to say.

use super::git::Git;
use super::objects::Objects;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

/// So many commits that touched a file are looked at.
const COMMITS_MAX: usize = 20;

/// The repository that a workspace lies in, asked for earlier versions.
pub struct Past<'a> {
    git: Git<'a>,
    /// Whoever answers; started at the first question.
    objects: RefCell<Option<Objects>>,
}

impl<'a> Past<'a> {
    /// `None` where there is no git or no repository.
    pub fn of(root: &'a Path) -> Option<Past<'a>> {
        Git::at(root).ok().map(|git| Past { git, objects: RefCell::default() })
    }

    /// The newest version of a file (relative to the root) that `is_it` knows, among those of at most
    /// `bytes_max`.
    pub fn version(&self, path: &Path, bytes_max: u64, is_it: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut objects = self.objects.borrow_mut();
        if objects.is_none() {
            *objects = Some(self.git.objects().ok()?);
        }
        let objects = objects.as_mut()?;
        let mut seen = BTreeSet::new();
        let mut at = |commit: &str| {
            let (id, size) = objects.file(commit, path)?;
            let is_news = size <= bytes_max && seen.insert(id.clone());
            if is_news { objects.content(&id).filter(|content| is_it(content)) } else { None }
        };
        // Without a commit: in the index.
        let staged = at("");
        staged.or_else(|| self.git.commits_of(path, COMMITS_MAX).iter().find_map(|commit| at(commit)))
    }
}

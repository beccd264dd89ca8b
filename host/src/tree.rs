//! Paths as rules name them: a folder with all below it, or all that a pattern matches. Pure: paths
//! are compared, never looked at.

use crate::declaration::{Base, PathRule};
use globset::{GlobBuilder, GlobMatcher};
use std::path::{Path, PathBuf};

/// Paths: a folder with all below, or all that match a glob with all below.
#[derive(Clone, Debug)]
pub enum Tree {
    /// A folder with all below it, or one file.
    Below(PathBuf),
    /// What matches.
    Glob {
        /// The pattern is relative to it.
        base: PathBuf,
        /// What the pattern matches.
        own: GlobMatcher,
        /// What lies below that.
        below: GlobMatcher,
    },
}

/// The folders that patterns of a declaration are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Bases<'a> {
    /// The workspace root.
    pub root: &'a Path,
    /// Folder of the package.
    pub package_dir: &'a Path,
    /// Working directory of the command.
    pub cwd: &'a Path,
}

impl Tree {
    /// What a rule of a declaration names.
    pub fn declared(rule: &PathRule, bases: Bases) -> Tree {
        let base = match rule.base {
            Base::Workspace => bases.root,
            Base::Package => bases.package_dir,
            Base::Cwd => bases.cwd,
        };
        if rule.pattern.contains(['*', '?', '{']) || rule.pattern == "." {
            return Tree::new(base, &rule.glob());
        }
        Tree::Below(crate::path::join_lexically(base, Path::new(&rule.pattern)))
    }

    /// A pattern together with all below what it matches.
    pub fn new(base: &Path, pattern: &str) -> Tree {
        let stem = pattern.strip_suffix("/**").unwrap_or(pattern);
        if stem == "." {
            return Tree::Below(base.to_path_buf());
        }
        if !stem.contains(['*', '?', '{', '[', '\\']) {
            return Tree::Below(crate::path::join_lexically(base, Path::new(stem)));
        }
        Tree::Glob { base: base.to_path_buf(), own: glob(stem), below: glob(&format!("{stem}/**")) }
    }

    /// Only what the pattern matches, as a config means it.
    pub fn exact(base: &Path, pattern: &str) -> Tree {
        match pattern.strip_suffix("/**") {
            Some(stem) if !stem.contains(['*', '?', '{', '[', '\\']) => Tree::Below(base.join(stem)),
            _ => Tree::Glob { base: base.to_path_buf(), own: glob(pattern), below: glob(pattern) },
        }
    }

    /// Whether a path is one of them.
    pub fn holds(&self, path: &Path) -> bool {
        match self {
            Tree::Below(folder) => path.starts_with(folder),
            Tree::Glob { base, own, below } => {
                path.strip_prefix(base).is_ok_and(|inside| own.is_match(inside) || below.is_match(inside))
            }
        }
    }
}

/// A pattern that does not parse matches only itself, literally; the config has been checked before.
fn glob(pattern: &str) -> GlobMatcher {
    let build =
        |pattern: &str| GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    let glob = build(pattern).or_else(|_| build(&globset::escape(pattern)));
    glob.expect("an escaped pattern is a valid pattern").compile_matcher()
}

//! What a tool keeps for itself or for others to read, by an adapter's declaration
//! (`docs/design/what-counts.md`, Tool state). Pure: it names paths and looks at nothing.

use crate::declaration::{Declaration, PathRule};
use crate::tree::{Bases, Tree};
use std::path::Path;

/// The tool state of one step. Without a declaration there is none.
#[derive(Clone, Debug, Default)]
pub struct ToolState {
    own: Vec<Tree>,
    generated: Vec<Tree>,
    outputs: Vec<Tree>,
}

impl ToolState {
    /// What a declaration says of it.
    pub fn of(declaration: &Declaration, bases: Bases) -> ToolState {
        let tree = |rule: &PathRule| Tree::declared(rule, bases);
        ToolState {
            own: declaration.cache_dirs.iter().chain(&declaration.ignored_writes).map(tree).collect(),
            generated: declaration.generated.iter().map(tree).collect(),
            outputs: declaration.outputs.iter().map(tree).collect(),
        }
    }

    /// Whether a path is the tool's own business: neither stored nor put back, and left as it is.
    pub fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|tree| tree.holds(path))
    }

    /// Whether a path is kept for others to read: stored, and put back only where it is missing or as
    /// the step left it. What lies in a declared output is an output like any other.
    pub fn is_generated(&self, path: &Path) -> bool {
        self.generated.iter().any(|tree| tree.holds(path)) && !self.is_own(path) && !self.is_owned(path)
    }

    /// Whether a path lies in a tree that the command owns, and empties before it fills it.
    pub fn is_owned(&self, path: &Path) -> bool {
        self.outputs.iter().any(|tree| tree.holds(path))
    }

    /// Whether anything is kept for others to read.
    pub fn has_generated(&self) -> bool {
        !self.generated.is_empty()
    }

    /// Whether a path may have been written by the tool for its own use, so that reading it again is
    /// no news.
    pub fn is_kept(&self, path: &Path) -> bool {
        self.is_own(path) || self.generated.iter().any(|tree| tree.holds(path))
    }
}

/// Whether a path lies in a folder with a hidden name below the root. Tools keep their state there;
/// what people write lies there rarely enough that a file which the tool itself rewrote, and which its
/// adapter declares as state, is believed to be state.
pub fn is_in_hidden_folder(root: &Path, path: &Path) -> bool {
    let inside = path.strip_prefix(root).ok().and_then(Path::parent);
    inside.is_some_and(|folders| {
        folders.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declaration::Base;

    fn rules(patterns: &[&str]) -> Vec<PathRule> {
        let rule = |pattern: &&str| PathRule {
            base: Base::Workspace,
            pattern: (*pattern).into(),
            why: "test".into(),
        };
        patterns.iter().map(rule).collect()
    }

    #[test]
    fn a_declared_output_within_a_generated_tree_is_an_output() {
        let declaration = Declaration {
            generated: rules(&["web/.kit"]),
            outputs: rules(&["web/.kit/output"]),
            cache_dirs: rules(&["web/.kit/cache"]),
            ..Declaration::default()
        };
        let root = Path::new("/w");
        let state = ToolState::of(&declaration, Bases { root, package_dir: root, cwd: root });
        for (path, own, generated, kept) in [
            ("/w/web/.kit/tsconfig.json", false, true, true),
            ("/w/web/.kit/output/a.js", false, false, true),
            ("/w/web/.kit/cache/a", true, false, true),
            ("/w/web/src/a.ts", false, false, false),
        ] {
            let path = Path::new(path);
            assert_eq!(
                (state.is_own(path), state.is_generated(path), state.is_kept(path)),
                (own, generated, kept),
                "{path:?}"
            );
        }
    }

    #[test]
    fn only_folders_below_the_root_make_a_path_hidden() {
        let root = Path::new("/home/.u/ws");
        assert!(is_in_hidden_folder(root, Path::new("/home/.u/ws/web/.kit/a.ts")));
        assert!(!is_in_hidden_folder(root, Path::new("/home/.u/ws/web/.env")));
        assert!(!is_in_hidden_folder(root, Path::new("/home/.u/ws/src/a.ts")));
    }
}

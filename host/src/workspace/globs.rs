//! The globs by which a workspace names its packages: whether one stands for a folder, and the
//! folders that they stand for on disk. `*` and `**` never stand for a name that starts with a dot,
//! nor for `node_modules`; a folder that is reached by `**` is never entered through a symlink, so
//! that loops end.

use crate::wildcard;
use globset::GlobMatcher;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// One glob, split at its slashes.
#[derive(Debug)]
struct Glob(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    Literal(String),
    Wildcard(String),
    /// With braces or classes.
    Rich(GlobMatcher),
    Any,
}

/// The globs of one workspace. One written with `!` takes away, wherever it stands.
#[derive(Debug, Default)]
pub(super) struct Globs {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

/// Why a glob cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadGlob {
    /// It leads out of the workspace.
    Outside,
    /// Its syntax is wrong, in which way.
    Syntax(String),
}

impl Globs {
    /// Adds one glob as written.
    pub fn add(&mut self, written: &str) -> Result<(), BadGlob> {
        let (list, glob) = match written.strip_prefix('!') {
            Some(rest) => (&mut self.exclude, rest),
            None => (&mut self.include, written),
        };
        if glob.starts_with('/') {
            return Err(BadGlob::Outside);
        }
        let mut segments: Vec<Segment> = Vec::new();
        for text in glob.split('/') {
            match text {
                "" | "." => {}
                ".." if matches!(segments.last(), Some(Segment::Any) | None) => return Err(BadGlob::Outside),
                ".." => drop(segments.pop()),
                "**" => segments.push(Segment::Any),
                text if text.contains(['[', '{', '\\']) => {
                    let glob = globset::Glob::new(text)
                        .map_err(|error| BadGlob::Syntax(error.kind().to_string()))?;
                    segments.push(Segment::Rich(glob.compile_matcher()));
                }
                text if wildcard::is_pattern(text) => segments.push(Segment::Wildcard(text.to_string())),
                text => segments.push(Segment::Literal(text.to_string())),
            }
        }
        list.push(Glob(segments));
        Ok(())
    }

    /// Whether they stand for the folder of this path, relative to the root.
    pub fn include(&self, relative: &Path) -> bool {
        let names: Vec<&OsStr> = relative.iter().collect();
        let matched =
            |globs: &[Glob], hidden: bool| globs.iter().any(|glob| matches(&glob.0, &names, hidden));
        matched(&self.include, false) && !matched(&self.exclude, true)
    }

    /// The folders that they stand for, relative to the root, sorted, each with whether a symlink
    /// is on the way to it. Folders that cannot be read hold no packages. The root itself is among
    /// them only if a glob stands for it.
    pub fn expand(&self, root: &Path) -> Vec<(PathBuf, bool)> {
        let mut found = Vec::new();
        for glob in &self.include {
            walk(root, PathBuf::new(), false, &glob.0, &mut found);
        }
        if !self.exclude.is_empty() {
            found.retain(|(relative, _)| {
                let names: Vec<&OsStr> = relative.iter().collect();
                !self.exclude.iter().any(|glob| matches(&glob.0, &names, true))
            });
        }
        // Several globs may stand for one folder. Split once: comparing paths takes each apart every time.
        found
            .sort_by_cached_key(|(relative, _)| relative.iter().map(OsStr::to_os_string).collect::<Vec<_>>());
        found.dedup_by(|later, earlier| later.0 == earlier.0);
        found
    }
}

impl Segment {
    /// Whether it stands for this name; wildcards stand for hidden names only if `hidden`.
    fn stands_for(&self, name: &OsStr, hidden: bool) -> bool {
        let Some(name) = name.to_str() else { return false };
        let open = hidden || is_open(name);
        match self {
            Segment::Literal(literal) => literal == name,
            Segment::Wildcard(pattern) => {
                (open || pattern.starts_with('.')) && wildcard::matches(pattern, name)
            }
            Segment::Rich(matcher) => open && matcher.is_match(name),
            Segment::Any => open,
        }
    }
}

/// Whether wildcards stand for this name.
fn is_open(name: &str) -> bool {
    !name.starts_with('.') && name != "node_modules"
}

fn matches(segments: &[Segment], names: &[&OsStr], hidden: bool) -> bool {
    match (segments.split_first(), names.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((Segment::Any, rest)), first) => {
            matches(rest, names, hidden)
                || first.is_some_and(|(name, below)| {
                    Segment::Any.stands_for(name, hidden) && matches(segments, below, hidden)
                })
        }
        (Some(_), None) => false,
        (Some((segment, rest)), Some((name, below))) => {
            segment.stands_for(name, hidden) && matches(rest, below, hidden)
        }
    }
}

fn walk(
    root: &Path,
    relative: PathBuf,
    linked: bool,
    segments: &[Segment],
    found: &mut Vec<(PathBuf, bool)>,
) {
    let Some((segment, rest)) = segments.split_first() else {
        found.push((relative, linked));
        return;
    };
    if let Segment::Literal(name) = segment {
        let below = relative.join(name);
        let linked = linked || root.join(&below).is_symlink();
        return walk(root, below, linked, rest, found);
    }
    let any = matches!(segment, Segment::Any);
    if any {
        walk(root, relative.clone(), linked, rest, found);
    }
    let Ok(entries) = std::fs::read_dir(root.join(&relative)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !segment.stands_for(&name, false) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        // A link to a folder may be a package, but `**` does not go through it.
        let enter = kind.is_dir() || (!any && kind.is_symlink() && entry.path().is_dir());
        if enter {
            let linked = linked || kind.is_symlink();
            walk(root, relative.join(&name), linked, if any { segments } else { rest }, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(written: &[&str]) -> Globs {
        let mut globs = Globs::default();
        written.iter().for_each(|glob| globs.add(glob).expect("the glob is good"));
        globs
    }

    #[test]
    fn globs_stand_for_folders_as_package_managers_have_it() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["packages/*"], "packages/a", true),
            (&["packages/*"], "packages/a/b", false),
            (&["./packages/*/"], "packages/a", true),
            (&["packages/**"], "packages", true),
            (&["packages/**"], "packages/a/b/c", true),
            (&["packages/**"], "packages/a/node_modules/b", false),
            (&["**"], ".cache/x", false),
            (&["**"], "node_modules/x", false),
            (&["packages/*", "!packages/old-*"], "packages/old-a", false),
            (&["**", "!**/test/**"], "a/test/fixture", false),
            (&["**", "!**/test/**"], "a/tests", true),
            (&["{apps,libs}/*"], "libs/a", true),
            (&["{apps,libs}/*"], "tools/a", false),
            (&["packages/[ab]"], "packages/b", true),
            (&["tools/../packages/*"], "packages/a", true),
            (&["."], "", true),
        ];
        for (written, folder, expected) in cases {
            assert_eq!(globs(written).include(Path::new(folder)), *expected, "{written:?} {folder}");
        }
    }

    #[test]
    fn a_glob_that_leads_outside_is_refused() {
        for glob in ["../other/*", "/srv/*", "a/../../b", "**/../x"] {
            assert_eq!(Globs::default().add(glob), Err(BadGlob::Outside), "{glob}");
        }
        assert!(matches!(Globs::default().add("packages/{a"), Err(BadGlob::Syntax(_))));
    }
}

//! The globs by which a workspace names its packages: whether one stands for a folder, and the
//! folders that they stand for on disk. `*` and `**` never stand for a name that starts with a dot,
//! nor for `node_modules`; a folder that is reached by `**` is never entered through a symlink, so
//! that loops end.

use crate::problem::{Problem, Problems};
use crate::wildcard;
use globset::GlobMatcher;
use std::ffi::OsStr;
use std::io;
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
    /// is on the way to it. The root itself is among them only if a glob stands for it. Packages may lie
    /// where it could not be looked: that is told in `problems`.
    pub fn expand(&self, root: &Path, problems: &mut Problems) -> Vec<(PathBuf, bool)> {
        let mut walk = Walk { root, found: Vec::new(), missed: Vec::new() };
        for glob in &self.include {
            walk.below(PathBuf::new(), false, &glob.0);
        }
        let Walk { mut found, mut missed, .. } = walk;
        let is_excluded = |relative: &Path| {
            let names: Vec<&OsStr> = relative.iter().collect();
            self.exclude.iter().any(|glob| matches(&glob.0, &names, true))
        };
        if !self.exclude.is_empty() {
            found.retain(|(relative, _)| !is_excluded(relative));
            missed.retain(|(relative, _)| !relative.ancestors().any(is_excluded));
        }
        missed.sort_by(|one, other| one.0.cmp(&other.0));
        missed.dedup_by(|later, earlier| later.0 == earlier.0);
        problems.0.extend(missed.into_iter().map(|(_, problem)| problem));
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

/// On the way through the folders of a workspace.
struct Walk<'a> {
    root: &'a Path,
    /// Folders that a glob stands for, each with whether a symlink is on the way to it.
    found: Vec<(PathBuf, bool)>,
    /// Folders in which packages may lie that are not found.
    missed: Vec<(PathBuf, Problem)>,
}

impl Walk<'_> {
    fn below(&mut self, relative: PathBuf, linked: bool, segments: &[Segment]) {
        let Some((segment, rest)) = segments.split_first() else {
            self.found.push((relative, linked));
            return;
        };
        if let Segment::Literal(name) = segment {
            let below = relative.join(name);
            let linked = linked || self.root.join(&below).is_symlink();
            return self.below(below, linked, rest);
        }
        let any = matches!(segment, Segment::Any);
        if any {
            self.below(relative.clone(), linked, rest);
        }
        let entries = match std::fs::read_dir(self.root.join(&relative)) {
            Ok(entries) => entries,
            Err(error) => return self.cannot_list(relative, &error),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            // A link to a folder may be a package, but `**` does not go through it.
            let is_folder = || kind.is_dir() || (!any && kind.is_symlink() && entry.path().is_dir());
            if name.to_str().is_none() && is_folder() && entry.path().join("package.json").exists() {
                self.cannot_be_named(relative.join(&name));
            } else if segment.stands_for(&name, false) && is_folder() {
                let linked = linked || kind.is_symlink();
                self.below(relative.join(&name), linked, if any { segments } else { rest });
            }
        }
    }

    /// What is not there, or is no folder, holds no packages.
    fn cannot_list(&mut self, relative: PathBuf, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            let folder = self.root.join(&relative);
            let problem = Problem::new(format!("cannot list the folder {}: {error}", folder.display()));
            let help = format!(
                "packages may lie there: allow listing it, or exclude it with the glob \"!{}/**\"",
                relative.display()
            );
            self.missed.push((relative, problem.help(help)));
        }
    }

    fn cannot_be_named(&mut self, relative: PathBuf) {
        let folder = self.root.join(&relative);
        let problem = Problem::new(format!("the name of the package folder {folder:?} is not UTF-8"));
        self.missed.push((relative, problem.help("rename it: no glob and no manifest can name it")));
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

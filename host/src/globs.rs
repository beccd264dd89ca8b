//! Files that patterns name, whether or not anybody is seen reading them: what a config or an adapter
//! lists as inputs, and as outputs where there is no trace. Finding them walks folders; weighing them
//! is `settle`'s.

use crate::config::{PatternBase, Selection};
use crate::declaration::{Base, Declaration};
use crate::path::{Places, PortablePath};
use crate::stamp::Found;
use crate::tree::Bases;
use globset::{GlobBuilder, GlobMatcher};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Folders into which a walk goes only where a pattern names them.
const NAMED_ONLY: [&str; 3] = ["node_modules", ".git", ".overhear"];

/// One pattern, relative to the workspace root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GlobPattern {
    /// Files that it matches do not count.
    pub exclude: bool,
    /// `/`-separated; `*` and `?` within a name, `**` as a name, `{a,b}`, `[a-z]`.
    pub glob: String,
}

/// The patterns of a selection; none where no file is named.
pub fn of_selection(selection: &Selection, root: &Path, package_dir: &Path) -> Vec<GlobPattern> {
    if selection.patterns.iter().all(|pattern| pattern.exclude) {
        return Vec::new();
    }
    let patterns = selection.patterns.iter().map(|pattern| {
        let base = match pattern.base {
            PatternBase::Package => package_dir,
            PatternBase::Workspace => root,
        };
        GlobPattern { exclude: pattern.exclude, glob: relative(&pattern.glob, base, root) }
    });
    patterns.collect()
}

/// Patterns of files that count as inputs by the word of a person or an adapter.
pub fn of_inputs(input: &Selection, declaration: Option<&Declaration>, bases: Bases) -> Vec<GlobPattern> {
    let mut patterns = of_selection(input, bases.root, bases.package_dir);
    patterns.extend(declaration.into_iter().flat_map(|declaration| of_declaration(declaration, bases)));
    patterns
}

/// What an adapter lists as inputs: each a file, or a folder with all below it.
fn of_declaration(declaration: &Declaration, bases: Bases) -> Vec<GlobPattern> {
    let patterns = declaration.inputs.iter().flat_map(|rule| {
        let base = match rule.base {
            Base::Workspace => bases.root,
            Base::Package => bases.package_dir,
            Base::Cwd => bases.cwd,
        };
        let pattern = rule.glob();
        let stem = pattern.strip_suffix("/**").unwrap_or(&pattern);
        [stem.to_owned(), format!("{stem}/**")].map(|glob| relative(&glob, base, bases.root))
    });
    patterns.map(|glob| GlobPattern { exclude: false, glob }).collect()
}

fn relative(glob: &str, base: &Path, root: &Path) -> String {
    let inside = base.strip_prefix(root).unwrap_or(Path::new(""));
    let names = inside.components().filter_map(|name| match name {
        Component::Normal(name) => Some(globset::escape(&name.to_string_lossy())),
        _ => None,
    });
    names.chain([glob.to_owned()]).collect::<Vec<_>>().join("/")
}

/// Patterns, ready to be asked.
pub struct Globs {
    include: Vec<Include>,
    exclude: Vec<GlobMatcher>,
}

struct Include {
    /// What a match must begin with, without wildcards.
    stem: PathBuf,
    /// At most so many names in a match; `None` with `**`.
    depth: Option<usize>,
    /// Folders of [`NAMED_ONLY`] that it names.
    text: String,
    matcher: GlobMatcher,
}

impl Globs {
    /// Of these patterns.
    pub fn new(patterns: &[GlobPattern]) -> Globs {
        let of = |exclude: bool| patterns.iter().filter(move |pattern| pattern.exclude == exclude);
        Globs {
            include: of(false).map(|pattern| Include::new(&pattern.glob)).collect(),
            exclude: of(true).map(|pattern| matcher(&pattern.glob)).collect(),
        }
    }

    /// Whether a file is named, by its path as it is stored.
    pub fn name(&self, path: &PortablePath) -> bool {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        self.include.iter().any(|include| include.names(path)) && !self.excludes(path)
    }

    fn excludes(&self, path: &Path) -> bool {
        self.exclude.iter().any(|glob| glob.is_match(path))
    }

    /// The files and links that are named, with what lies there. A folder that cannot be read has none:
    /// what it hides cannot be read by the command either.
    pub fn walk(&self, places: &Places) -> BTreeMap<PortablePath, Found> {
        let mut found = BTreeMap::new();
        for include in &self.include {
            let mut links = FxHashSet::default();
            self.walk_below(places, include, &include.stem, &mut links, &mut found);
        }
        found
    }

    fn walk_below(
        &self,
        places: &Places,
        include: &Include,
        path: &Path,
        links: &mut FxHashSet<(u64, u64)>,
        files: &mut BTreeMap<PortablePath, Found>,
    ) {
        let absolute = places.root.join(path);
        let found = Found::at(&absolute).unwrap_or(Found::Absent);
        if matches!(found, Found::File(_) | Found::Link(_))
            && include.matcher.is_match(path)
            && !self.excludes(path)
        {
            files.insert(places.portable(&absolute), found.clone());
        }
        let is_at_end = include.depth.is_some_and(|most| path.components().count() >= most);
        if is_at_end || !matches!(found, Found::Folder(_) | Found::Link(_)) {
            return;
        }
        if matches!(found, Found::Link(_)) && !self.enters(places, include, path, links) {
            return;
        }
        for name in std::fs::read_dir(&absolute).into_iter().flatten().flatten() {
            let name = name.file_name();
            let is_left_out = NAMED_ONLY.iter().any(|only| name == *only && !include.text.contains(only));
            if !is_left_out {
                self.walk_below(places, include, &path.join(&name), links, files);
            }
        }
    }

    /// The command reads what lies behind a link to a folder as well. Each is entered once, and only in
    /// the workspace, unless the pattern names it: what lies around elsewhere has no end.
    fn enters(
        &self,
        places: &Places,
        include: &Include,
        path: &Path,
        links: &mut FxHashSet<(u64, u64)>,
    ) -> bool {
        let absolute = places.root.join(path);
        let Some(meta) = absolute.metadata().ok().filter(Metadata::is_dir) else { return false };
        let is_near = || {
            let target = absolute.canonicalize().ok();
            target.is_some_and(|target| target != places.root && target.starts_with(&places.root))
        };
        links.insert((meta.dev(), meta.ino())) && (path == include.stem || is_near())
    }
}

impl Include {
    fn new(glob: &str) -> Include {
        let names: Vec<&str> = glob.split('/').collect();
        let is_plain = |name: &&&str| !name.contains(['*', '?', '{', '[', '\\']);
        let plain = names.iter().take_while(is_plain).count();
        let is_deep = names.contains(&"**") || glob.contains("**");
        Include {
            stem: names[..plain].iter().collect(),
            // Alternatives may hold separators.
            depth: (!is_deep && !glob.contains('{')).then_some(names.len()),
            text: glob.to_owned(),
            matcher: matcher(glob),
        }
    }

    fn names(&self, path: &Path) -> bool {
        let is_left_out =
            |name: &OsStr| NAMED_ONLY.iter().any(|only| name == *only && !self.text.contains(only));
        self.matcher.is_match(path) && !path.iter().any(is_left_out)
    }
}

/// A pattern that does not parse matches only itself, literally; the config has been checked before.
fn matcher(glob: &str) -> GlobMatcher {
    let build = |glob: &str| GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    let glob = build(glob).or_else(|_| build(&globset::escape(glob)));
    glob.expect("an escaped pattern is a valid pattern").compile_matcher()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Globs {
        let pattern = |text: &&str| match text.strip_prefix('!') {
            Some(glob) => GlobPattern { exclude: true, glob: glob.to_owned() },
            None => GlobPattern { exclude: false, glob: (*text).to_owned() },
        };
        Globs::new(&texts.iter().map(pattern).collect::<Vec<_>>())
    }

    #[test]
    fn a_walk_finds_what_the_patterns_name() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let places = Places { root: folder.path().to_path_buf(), home: None };
        for path in ["src/a.ts", "src/b/c.ts", "src/b/c.test.ts", "src/x.md", "node_modules/n/i.ts", "top.ts"]
        {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes it");
            std::fs::write(path, "x").expect("writes");
        }
        let found = |texts: &[&str]| {
            let globs = globs(texts);
            let found: Vec<PortablePath> = globs.walk(&places).into_keys().collect();
            assert!(found.iter().all(|path| globs.name(path)), "a walk and a name agree");
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&["src/**"]), "src/a.ts src/b/c.test.ts src/b/c.ts src/x.md");
        assert_eq!(found(&["src/**", "!**/*.test.ts", "!**/*.md"]), "src/a.ts src/b/c.ts");
        assert_eq!(found(&["**/*.ts", "!src/**"]), "top.ts");
        assert_eq!(found(&["*.ts"]), "top.ts");
        assert_eq!(found(&["node_modules/n/*.ts"]), "node_modules/n/i.ts");
        assert_eq!(found(&["top.ts", "{src,lib}/*.md"]), "src/x.md top.ts");
        assert_eq!(found(&["missing/**"]), "");
        std::os::unix::fs::symlink("src/b", folder.path().join("link")).expect("links");
        std::os::unix::fs::symlink("..", folder.path().join("src/b/up")).expect("links");
        assert_eq!(found(&["link/*.ts"]), "link/c.test.ts link/c.ts");
        assert_eq!(found(&["link/**/a.ts"]), "link/up/a.ts");
    }

    #[test]
    fn patterns_of_a_package_are_kept_relative_to_the_root() {
        use crate::config::Pattern;
        let pattern = |exclude, base, glob: &str| Pattern { exclude, base, glob: glob.to_owned() };
        let patterns = vec![
            pattern(false, PatternBase::Package, "src/**"),
            pattern(true, PatternBase::Workspace, "tsconfig.json"),
        ];
        let of = |patterns| {
            let selection = Selection { auto: true, patterns };
            of_selection(&selection, Path::new("/w"), Path::new("/w/packages/[a]"))
        };
        let globs: Vec<String> = of(patterns.clone()).into_iter().map(|pattern| pattern.glob).collect();
        assert_eq!(globs, ["packages/[[]a[]]/src/**", "tsconfig.json"]);
        assert_eq!(of(patterns[1..].to_vec()), []);
    }
}

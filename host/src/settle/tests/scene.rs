//! One run as the tests of `settle` tell it, and what settles of it as lines.

use super::super::*;
use crate::access::{Access, AccessKind, Listing};
use crate::config::TaskConfig;
use crate::declaration::{Base, PathRule};
use crate::path::Places;
use std::ffi::OsString;

pub(super) const ROOT: &str = "/home/u/ws";

/// One run, as it was seen.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) observed: Observed,
    pub(super) ends: FxHashMap<PathBuf, Found>,
    pub(super) hints: Vec<Hint>,
    pub(super) declaration: Option<Declaration>,
    /// What an earlier run of the step had left.
    pub(super) made: Vec<PathBuf>,
    pub(super) tool_state: Vec<PathBuf>,
    /// Files whose earlier content somebody had hashed in time.
    pub(super) hashed: Vec<PathBuf>,
    /// Files that were written anew with the content that was hashed.
    pub(super) rewritten: Vec<PathBuf>,
    /// What the step had left and was there unchanged, state files among it.
    pub(super) left_whole: Option<FxHashSet<PathBuf>>,
    /// What lies in folders now.
    pub(super) lies: Vec<PathBuf>,
    /// Names that only later steps of the task made.
    pub(super) later: Vec<OsString>,
}

pub(super) fn at(path: &str) -> PathBuf {
    if path.starts_with('/') { path.into() } else { Path::new(ROOT).join(path) }
}

/// A file in one of several states.
pub(super) fn file(state: u64) -> Found {
    Found::File(Stamp { dev: 1, ino: state, size: state, mtime_ns: 1, ctime_ns: 1, mode: 0o100_644 })
}

pub(super) fn folder() -> Found {
    Found::Folder(Stamp { dev: 1, ino: 9, size: 0, mtime_ns: 1, ctime_ns: 1, mode: 0o040_755 })
}

pub(super) fn names(names: &[(&str, u8)]) -> Listing {
    names.iter().map(|(name, letter)| (OsString::from(name), *letter)).collect()
}

pub(super) fn rule(pattern: &str) -> PathRule {
    PathRule { base: Base::Workspace, pattern: pattern.to_owned(), why: "a test".to_owned() }
}

pub(super) const WRITE: AccessKind = AccessKind::Write { truncates: true };

impl Scene {
    pub(super) fn new() -> Scene {
        Scene::default()
    }

    /// Something was asked of a path where this lay.
    pub(super) fn saw(mut self, kind: AccessKind, path: &str, found: Found) -> Scene {
        self.observed.add(Access { path: at(path), kind, found, pid: 1 });
        self
    }

    /// What lies there at the end.
    pub(super) fn ends(mut self, path: &str, found: Found) -> Scene {
        self.ends.insert(at(path), found);
        self
    }

    /// An adapter calls this a file for others to read.
    pub(super) fn generates(mut self, pattern: &str) -> Scene {
        self.declaration.get_or_insert_default().generated.push(rule(pattern));
        self
    }

    /// An adapter calls this an output.
    pub(super) fn declares_output(mut self, pattern: &str) -> Scene {
        self.declaration.get_or_insert_default().outputs.push(rule(pattern));
        self
    }

    /// An adapter calls this a folder that the tool keeps for itself.
    pub(super) fn caches(mut self, pattern: &str) -> Scene {
        self.declaration.get_or_insert_default().cache_dirs.push(rule(pattern));
        self
    }

    /// The tool of another step keeps this for itself.
    pub(super) fn tool_state(mut self, path: &str) -> Scene {
        self.tool_state.push(at(path));
        self
    }

    pub(super) fn made_before(mut self, path: &str) -> Scene {
        self.made.push(at(path));
        self
    }

    /// A file lies there when the run has ended.
    pub(super) fn lies(mut self, path: &str) -> Scene {
        self.lies.push(at(path));
        self
    }

    pub(super) fn hashed_before(mut self, path: &str) -> Scene {
        self.hashed.push(at(path));
        self
    }

    pub(super) fn left_whole(mut self, paths: &[&str]) -> Scene {
        self.left_whole = Some(paths.iter().map(|path| at(path)).collect());
        self
    }

    pub(super) fn made_later(mut self, name: &str) -> Scene {
        self.later.push(name.into());
        self
    }

    pub(super) fn settle(&self) -> Result<Settled, Refusal> {
        let places = Places { root: ROOT.into(), home: Some("/home/u".into()) };
        let zones = Zones { places, temp: vec!["/tmp".into()], own: vec![at(".overhear")] };
        settle(&Evidence {
            named_outputs: &[],
            config: &TaskConfig::default(),
            declaration: self.declaration.as_ref(),
            hints: &self.hints,
            observed: &self.observed,
            ends: &self.ends,
            zones: &zones,
            package_dir: Path::new(ROOT),
            cwd_links: &[],
            cwd: Path::new(ROOT),
            search: &[],
            made_before: &|path| self.made.iter().any(|made| made == path),
            tool_made_before: &|path| self.made.iter().any(|made| made == path),
            is_tool_state: &|path| self.tool_state.iter().any(|state| state == path),
            folder_made_before: &|path| self.made.iter().any(|made| made == path),
            digest_now: &|path| {
                Some(Digest::of(if self.rewritten.iter().any(|same| same == path) {
                    b"before"
                } else {
                    b"now"
                }))
            },
            left_whole: self.left_whole.as_ref(),
            names_now: &|folder| {
                let within = self.lies.iter().filter(|path| path.parent() == Some(folder));
                within.map(|path| (path.file_name().unwrap().to_owned(), b'f')).collect()
            },
            without_later: &|_, names| {
                names.iter().filter(|(name, _)| !self.later.contains(name)).cloned().collect()
            },
            digest_before: &|path, _| {
                self.hashed.iter().any(|hashed| hashed == path).then(|| Digest::of(b"before"))
            },
        })
    }

    /// Inputs as `content src/a`, outputs as `+ dist/x`, removals as `- dist/old`.
    pub(super) fn check(self, expected: &[&str]) {
        let settled = self.settle().unwrap();
        let short = |path: &Path| {
            path.strip_prefix(ROOT)
                .map_or_else(|_| path.display().to_string(), |path| path.display().to_string())
        };
        let inputs = settled.inputs.iter().map(|input| match &input.query {
            Query::Listing(except) if except.is_empty() => format!("listing {}", short(&input.path)),
            Query::Listing(except) => format!(
                "listing {} without {}",
                short(&input.path),
                except.join(&OsString::from(" ")).display()
            ),
            query => format!("{} {}", format!("{query:?}").to_lowercase(), short(&input.path)),
        });
        let outputs = settled.outputs.iter().map(|path| format!("+ {}", short(path)));
        let removed = settled.removed.iter().map(|path| format!("- {}", short(path)));
        assert_eq!(inputs.chain(outputs).chain(removed).collect::<Vec<_>>(), expected);
    }

    pub(super) fn refused(self) -> Refusal {
        self.settle().expect_err("it is refused")
    }
}

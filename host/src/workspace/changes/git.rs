//! What git is asked, and what its refusals mean for a person.

use super::Since;
use super::objects::Objects;
use crate::problem::Problem;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The repository that a folder lies in.
pub struct Git<'a> {
    dir: &'a Path,
}

impl<'a> Git<'a> {
    /// Makes sure that there is git, and a repository.
    pub fn at(dir: &'a Path) -> Result<Git<'a>, Problem> {
        let git = Git { dir };
        match git.ask(["rev-parse", "--is-inside-work-tree"])? {
            Ok(_) => Ok(git),
            Err(why) => Err(Problem::new(format!("cannot tell what changed in {}: {why}", dir.display()))
                .help("run it in a git repository, or name the packages with --filter")),
        }
    }

    /// The commit to compare with, and the one that is compared if it is not the files of now.
    pub fn compared(&self, since: &Since) -> Result<(String, Option<String>), Problem> {
        let named = match since {
            Since::MainBranch => self.main_branch()?,
            Since::Named(named) => named.clone(),
        };
        let (from, to) = match named.split_once("...").or_else(|| named.split_once("..")) {
            Some((from, to)) => (from, Some(if to.is_empty() { "HEAD" } else { to })),
            None => (named.as_str(), None),
        };
        let from = self.commit(from)?;
        let end = to.map(|to| self.commit(to)).transpose()?;
        match self.ask(["merge-base", &from, end.as_deref().unwrap_or("HEAD")])? {
            Ok(base) => Ok((text(&base), end)),
            Err(_) => Err(Problem::new(format!("`{named}` and the commit checked out have no common history here"))
                .help("fetch more of it (git fetch --unshallow; in GitHub Actions `fetch-depth: 0`), or name a commit that is here")),
        }
    }

    /// Paths relative to the folder that differ; with no end also those that git does not track yet.
    pub fn changed(&self, base: &str, end: Option<&str>) -> Result<BTreeSet<PathBuf>, Problem> {
        let mut args = vec!["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative", base];
        args.extend(end);
        args.push("--");
        let mut paths = paths(&self.answer(args)?);
        if end.is_none() {
            let untracked = self.answer(["ls-files", "-z", "--others", "--exclude-standard"])?;
            paths.extend(self::paths(&untracked));
        }
        Ok(paths)
    }

    /// A file as it was in a commit; `None` where it was not there.
    pub fn file_at(&self, commit: &str, path: &Path) -> Result<Option<String>, Problem> {
        let mut name = OsString::from(format!("{commit}:./"));
        name.push(path);
        Ok(self.ask([OsStr::new("show"), &name])?.ok().and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// The objects of the repository.
    ///
    /// # Errors
    /// git cannot be started.
    pub fn objects(&self) -> io::Result<Objects> {
        Objects::of(self.dir)
    }

    /// The last commits that touched a file, newest first.
    pub fn commits_of(&self, path: &Path, max: usize) -> Vec<String> {
        let limit = format!("--max-count={max}");
        let args = ["log", "--format=%H", &limit, "--"].map(OsStr::new);
        let printed = self.ask(args.into_iter().chain([path.as_os_str()]));
        let printed = printed.ok().and_then(Result::ok).unwrap_or_default();
        text(&printed).lines().map(str::to_owned).collect()
    }

    /// A file as it is in this commit, or on disk.
    pub fn file_now(&self, end: Option<&str>, path: &Path) -> Result<Option<String>, Problem> {
        match end {
            Some(end) => self.file_at(end, path),
            None => Ok(std::fs::read_to_string(self.dir.join(path)).ok()),
        }
    }

    fn main_branch(&self) -> Result<String, Problem> {
        // What a pull request is to be merged into, as GitHub Actions says it.
        let target = std::env::var("GITHUB_BASE_REF").ok().filter(|name| !name.is_empty());
        let mut candidates: Vec<String> = target.map(|name| format!("origin/{name}")).into_iter().collect();
        if let Ok(head) = self.ask(["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"])? {
            candidates.push(text(&head));
        }
        candidates.extend(["origin/main", "origin/master", "main", "master"].map(str::to_owned));
        for candidate in candidates {
            if self.commit(&candidate).is_ok() {
                return Ok(candidate);
            }
        }
        Err(Problem::new(
            "cannot tell which branch to compare with: there is no main or master, here or at origin",
        )
        .help("name it: --affected=branch"))
    }

    fn commit(&self, name: &str) -> Result<String, Problem> {
        let commit = format!("{name}^{{commit}}");
        // What starts with a dash would be a flag.
        let found = match name.starts_with('-') || name.is_empty() {
            true => Err(String::new()),
            false => self.ask(["rev-parse", "--verify", "--quiet", &commit])?,
        };
        found.map(|id| text(&id)).map_err(|_| {
            Problem::new(format!("`{name}` is no branch, tag or commit of this repository"))
                .help("fetch it first, or name another: git branch --all shows them")
        })
    }

    fn answer<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Vec<u8>, Problem> {
        self.ask(args)?.map_err(|why| Problem::new(format!("git cannot tell what changed: {why}")))
    }

    /// What git prints; or what it complains of.
    fn ask<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Result<Vec<u8>, String>, Problem> {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.dir).stdin(Stdio::null());
        // It looks, and must not wait for anybody.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        let Output { status, stdout, stderr } = command.output().map_err(|error| {
            Problem::new(format!("cannot start git: {error}"))
                .help("install git, or name the packages with --filter instead")
        })?;
        let complaint = String::from_utf8_lossy(&stderr).trim().to_owned();
        Ok(if status.success() { Ok(stdout) } else { Err(complaint) })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn paths(bytes: &[u8]) -> BTreeSet<PathBuf> {
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec()))).collect()
}

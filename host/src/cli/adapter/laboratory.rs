//! Where a command is really run for `overhear adapter verify` and `suggest`: copies of the workspace, and what
//! traced runs in them showed. The workspace and its cache are only read; a command that goes by an absolute
//! path, or by a link with one, leaves the copy like any other command would.

use crate::adapter::may_name;
use crate::digest::Digest;
use crate::plan;
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step;
use crate::store::{self, Store};
use crate::workspace::Workspace;
use clap::Args;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The first run finds what a run outside left, the second what the first left; one more for a tool that
/// needs it to come to rest.
const TRACED_RUNS_MAX: usize = 3;

#[derive(Args)]
pub struct CommandArgs {
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// A place where copies of the workspace are made, always the same one: what a command makes may name it.
pub struct Laboratory<'a> {
    root: &'a Path,
    inside: PathBuf,
    folder: tempfile::TempDir,
    words: &'a [String],
}

/// What an outcome names: digests of files, and the exit code.
pub type Outcome = BTreeMap<String, String>;

impl<'a> Laboratory<'a> {
    /// Copies the workspace. `words`: the command, in the folder `from_dir`.
    pub fn new(root: &'a Path, from_dir: &Path, words: &'a [String]) -> Result<Laboratory<'a>, Problems> {
        let failed =
            |error: &dyn std::fmt::Display| Problem::new(format!("cannot copy the workspace: {error}"));
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let inside = from_dir.strip_prefix(root).map_err(|error| failed(&error))?.to_owned();
        let laboratory = Laboratory { root, inside, folder, words };
        laboratory.copy_content(root, &laboratory.first())?;
        Ok(laboratory)
    }

    /// The workspace as it was.
    pub fn first(&self) -> PathBuf {
        self.folder.path().join("first")
    }

    /// The workspace as the traced runs left it.
    pub fn used(&self) -> PathBuf {
        self.folder.path().join("used")
    }

    /// The tree in which the command is run.
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Where trials keep entries, whatever the workspace's config or the user's environment names.
    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Copies a tree without its cache, which can be larger than all else and which no trial may use.
    fn copy_content(&self, from: &Path, to: &Path) -> Result<(), Problems> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            std::fs::create_dir(to)?;
            std::fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect()
        };
        let mut entries = list().map_err(|error| self.not_copied(&error))?;
        entries.retain(|path| !path.ends_with(store::FOLDER));
        self.copy(&entries, to)
    }

    fn copy(&self, from: &[PathBuf], to: &Path) -> Result<(), Problems> {
        if from.is_empty() {
            return Ok(());
        }
        let done = Command::new("cp").arg("-a").args(from).arg(to).output();
        let done = done.map_err(|error| self.not_copied(&error))?;
        match done.status.success() {
            true => Ok(()),
            false => Err(self.not_copied(&String::from_utf8_lossy(&done.stderr).trim()).into()),
        }
    }

    fn not_copied(&self, why: &dyn std::fmt::Display) -> Problem {
        Problem::new(format!("cannot copy {}: {why}", self.root.display()))
    }

    /// Puts one of the copies there as the tree in which the command is run.
    pub fn reset(&self, to: &Path) -> Result<(), Problems> {
        let tree = self.tree();
        match std::fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot remove what the last trial left in {}", tree.display());
                Err(Problem::new(format!("{what}: {error}")).into())
            }
            _ => self.copy(&[to.to_owned()], &tree),
        }
    }

    /// Runs the command there: its exit code, and what it said on standard error.
    fn run(&self, flag: &str) -> Result<(i32, String), Problems> {
        let failed = |error: std::io::Error| Problem::new(format!("cannot start overhear: {error}"));
        let mut own = Command::new(std::env::current_exe().map_err(failed)?);
        own.args(["exec", flag, "-C"]).arg(self.tree().join(&self.inside)).arg("--").args(self.words);
        own.env("OVERHEAR_CACHE_DIR", self.cache()).stdin(Stdio::null());
        let done = own.output().map_err(failed)?;
        Ok((done.status.code().unwrap_or(1), String::from_utf8_lossy(&done.stderr).into_owned()))
    }

    /// Runs it traced from the workspace as it was, each time on what the last run left, until a run is kept
    /// and there were `least` of them: what a tool keeps for itself is known to be its own only where a run
    /// was seen to leave it. What they left is then in [`Laboratory::used`].
    pub fn watch(&self, least: usize) -> Result<Watched, Problems> {
        self.reset(&self.first())?;
        let mut runs = vec![self.traced()?];
        while runs.len() < TRACED_RUNS_MAX && (runs.len() < least || runs.last().is_none_or(|run| !kept(run)))
        {
            runs.push(self.traced()?);
        }
        self.copy_content(&self.tree(), &self.used())?;
        Ok(Watched(runs))
    }

    /// Runs it traced once more; gives what `overhear inspect` would show.
    fn traced(&self) -> Result<Value, Problems> {
        let (code, said) = self.run("--force")?;
        if code != 0 {
            let message = format!("`{}` ends with code {code}", self.words.join(" "));
            return Err(Problem::new(format!("{message}\n{said}")).into());
        }
        let cwd = self.tree().join(&self.inside);
        let cwd = cwd.canonicalize().unwrap_or(cwd);
        let workspace = Workspace::load(&cwd)?;
        let store = Store::look(&workspace.root, Some(&self.cache()))
            .map_err(|error| Problem::new(error.to_string()))?;
        let nothing = || Problem::new(format!("nothing was traced of it\n{said}"));
        let step = plan::exec_step(&workspace, self.words, cwd)?;
        let last =
            Store::last_run(&store, step::scope(&step)).map_err(|error| Problem::new(error.to_string()))?;
        last.and_then(|last| step::read_facts(&last.report)).ok_or_else(|| nothing().into())
    }

    /// Runs it untraced; digests of what it makes, with the exit code.
    pub fn outcome(&self, outputs: &BTreeSet<String>) -> Result<Outcome, Problems> {
        let (code, _) = self.run("--no-cache")?;
        let digest = |path: &String| match std::fs::read(self.tree().join(path)) {
            Ok(bytes) => Digest::of(&bytes).to_string(),
            Err(_) => "not a file".to_owned(),
        };
        let mut outcome: Outcome = outputs.iter().map(|path| (path.clone(), digest(path))).collect();
        outcome.insert("the exit code".into(), code.to_string());
        Ok(outcome)
    }
}

/// What traced runs, one after the other, showed; never empty.
pub struct Watched(Vec<Value>);

impl Watched {
    /// The facts of the first run.
    pub fn first(&self) -> &Value {
        &self.0[0]
    }

    /// The facts of the last run.
    pub fn last(&self) -> &Value {
        &self.0[self.0.len() - 1]
    }

    /// Those of all runs that were kept: of the others only the refusal is known.
    pub fn kept(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|run| kept(run))
    }

    /// The id of the adapter that declares the command.
    pub fn adapter(&self) -> Option<&str> {
        self.last()["adapter"]["id"].as_str()
    }
}

fn kept(facts: &Value) -> bool {
    facts["stored"] == Value::Bool(true)
}

/// Why a traced run was not kept, and what to do; empty where it was.
pub fn not_kept(facts: &Value) -> Vec<String> {
    if kept(facts) {
        return Vec::new();
    }
    match report::read_refusal(&facts["not_stored"]) {
        Some(refusal) => report::refusal_text(&refusal, None),
        None => vec!["the run was not kept".to_owned()],
    }
}

/// The file that a run read and changed, where it was refused for that.
pub fn rewritten(facts: &Value) -> Option<&str> {
    let refusal = &facts["not_stored"];
    refusal["path"].as_str().filter(|_| refusal["kind"] == "read_write_overlap")
}

/// The entries of a list of facts.
pub fn list<'v>(facts: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    facts[name].as_array().into_iter().flatten()
}

/// The path of a fact, relative to the root.
pub fn path_of(fact: &Value) -> &str {
    fact["path"].as_str().unwrap_or_default()
}

/// Whether a path of a fact lies in the workspace.
pub fn is_inside(path: &str) -> bool {
    !path.starts_with(['/', '~']) && path != ".." && !path.starts_with("../")
}

/// The rules that an adapter gave, to be asked what they name.
pub struct Rules<'v> {
    facts: &'v Value,
    package: String,
    cwd: String,
}

impl<'v> Rules<'v> {
    /// Those of a run. `package`: the folder of its package, `cwd`: where it ran; both relative to the root.
    pub fn of(facts: &'v Value, package: &Path, cwd: &Path) -> Rules<'v> {
        let text = |path: &Path| match path.to_string_lossy() {
            root if root.is_empty() => ".".to_owned(),
            folder => folder.into_owned(),
        };
        Rules { facts, package: text(package), cwd: text(cwd) }
    }

    /// Files below what rules of a kind name without wildcards, in a tree. A run tells no facts of those in the
    /// folders that every tool may use for itself.
    pub fn files(&self, kind: &str, tree: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let rules = list(&self.facts["adapter"], "rules").filter(|rule| rule["rule"] == kind);
        for pattern in rules.filter_map(|rule| rule["of"].as_str()).filter(|of| !of.contains(['*', '?', '{']))
        {
            let mut bases = vec![".", &self.package, &self.cwd];
            bases.sort_unstable();
            bases.dedup();
            for base in bases {
                let path = if base == "." { pattern.to_owned() } else { format!("{base}/{pattern}") };
                add_files(tree, path, &mut found);
            }
        }
        found
    }

    /// Whether a rule of one of these kinds may name a path; a rule does not say which folder it goes by.
    pub fn name(&self, kinds: &[&str], path: &str) -> bool {
        list(&self.facts["adapter"], "rules")
            .filter(|rule| rule["rule"].as_str().is_some_and(|kind| kinds.contains(&kind)))
            .filter_map(|rule| rule["of"].as_str())
            .any(|pattern| may_name(pattern, path, &self.package, &self.cwd))
    }
}

/// Adds the regular files at and below a path; follows no link.
fn add_files(tree: &Path, path: String, found: &mut Vec<String>) {
    let Ok(meta) = tree.join(&path).symlink_metadata() else { return };
    if meta.is_file() {
        found.push(path);
    } else if meta.is_dir() {
        let entries = std::fs::read_dir(tree.join(&path)).into_iter().flatten().flatten();
        for entry in entries {
            add_files(tree, format!("{path}/{}", entry.file_name().to_string_lossy()), found);
        }
    }
}

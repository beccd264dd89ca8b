//! `overhear adapter verify` and `suggest`: a command is really run, in copies of the workspace, and what an
//! adapter says of it is held against what happened. The workspace and its cache are only read; a command
//! that goes by an absolute path, or by a link with one, leaves the copy like any other command would.

use crate::digest::Digest;
use crate::plan;
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step;
use crate::store::Store;
use crate::workspace::Workspace;
use clap::Args;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files that are changed one after the other; each costs two runs.
const FILES_MAX: usize = 40;
/// What is put at the end of a file that is said not to matter.
const CHANGE: &[u8] = b"\nchanged to see whether it matters\n";

#[derive(Args)]
pub struct CommandArgs {
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

/// A place where copies of the workspace are made, always the same one: what a command makes may name it.
struct Laboratory<'a> {
    root: &'a Path,
    inside: PathBuf,
    folder: tempfile::TempDir,
    words: &'a [String],
}

impl<'a> Laboratory<'a> {
    fn new(root: &'a Path, from_dir: &Path, words: &'a [String]) -> Result<Laboratory<'a>, Problems> {
        let failed =
            |error: &dyn std::fmt::Display| Problem::new(format!("cannot copy the workspace: {error}"));
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let inside = from_dir.strip_prefix(root).map_err(|error| failed(&error))?.to_owned();
        let laboratory = Laboratory { root, inside, folder, words };
        let list = || -> std::io::Result<Vec<PathBuf>> {
            std::fs::create_dir(laboratory.first())?;
            std::fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect()
        };
        // The cache of the workspace can be larger than all else, and no trial may use it.
        let mut entries = list().map_err(|error| failed(&error))?;
        entries.retain(|path| !path.ends_with(crate::store::FOLDER));
        laboratory.copy(&entries, &laboratory.first())?;
        Ok(laboratory)
    }

    /// The workspace as it was.
    fn first(&self) -> PathBuf {
        self.folder.path().join("first")
    }

    /// Where trials keep entries, whatever the workspace's config or the user's environment names.
    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The tree in which the command is run.
    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn copy(&self, from: &[PathBuf], to: &Path) -> Result<(), Problems> {
        if from.is_empty() {
            return Ok(());
        }
        let done = Command::new("cp").arg("-a").args(from).arg(to).output();
        let failed = |why: String| Problem::new(format!("cannot copy {}: {why}", self.root.display()));
        let done = done.map_err(|error| failed(error.to_string()))?;
        match done.status.success() {
            true => Ok(()),
            false => Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()).into()),
        }
    }

    /// Puts the workspace there as it was.
    fn reset(&self) -> Result<(), Problems> {
        let tree = self.tree();
        match std::fs::remove_dir_all(&tree) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot remove what the last trial left in {}", tree.display());
                Err(Problem::new(format!("{what}: {error}")).into())
            }
            _ => self.copy(&[self.first()], &tree),
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

    /// Runs it traced; gives what `overhear inspect` would show.
    fn traced(&self) -> Result<Value, Problems> {
        self.reset()?;
        let (code, said) = self.run("--force")?;
        if code != 0 {
            let message = format!("`{}` ends with code {code}", self.words.join(" "));
            return Err(Problem::new(format!("{message}\n{said}")).into());
        }
        let workspace = Workspace::load(&self.tree().join(&self.inside))?;
        let store = Store::look(&workspace.root, Some(&self.cache()))
            .map_err(|error| Problem::new(error.to_string()))?;
        let nothing = || Problem::new(format!("nothing was traced of it\n{said}"));
        let last = Store::last_run(&store, step::scope("exec", 0))
            .map_err(|error| Problem::new(error.to_string()))?;
        last.and_then(|last| step::read_facts(&last.report)).ok_or_else(|| nothing().into())
    }

    /// Digests of what the command makes, with the exit code.
    fn outcome(&self, outputs: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Problems> {
        let (code, _) = self.run("--no-cache")?;
        let digest = |path: &String| match std::fs::read(self.tree().join(path)) {
            Ok(bytes) => Digest::of(&bytes).to_string(),
            Err(_) => "not a file".to_owned(),
        };
        let mut outcome: BTreeMap<String, String> =
            outputs.iter().map(|path| (path.clone(), digest(path))).collect();
        outcome.insert("the exit code".into(), code.to_string());
        Ok(outcome)
    }
}

fn strings<'a>(facts: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    facts[list].as_array().into_iter().flatten()
}

fn path_of(fact: &Value) -> &str {
    fact["path"].as_str().unwrap_or_default()
}

/// `overhear adapter verify`. The exit code is 1 where something that is ignored matters, and 2 where the
/// command itself cannot be held to anything.
pub fn verify(args: &CommandArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let laboratory = Laboratory::new(&workspace.root, from_dir, &args.words)?;
    let facts = laboratory.traced()?;
    let Some(adapter) = facts["adapter"]["id"].as_str() else {
        let help = "`overhear adapter why-not` says why";
        return Err(Problem::new("no adapter declares this command".to_owned()).help(help).into());
    };
    let outputs: BTreeSet<String> = strings(&facts, "outputs").map(|fact| path_of(fact).to_owned()).collect();
    let ignored = ignored_reads(&facts, &laboratory.first());
    for line in not_kept(&facts) {
        report::print_colored(&format!("note: {line}\n"), None);
    }
    if ignored.is_empty() {
        report::print(&format!(
            "{adapter}: nothing to verify: the command read no file of the workspace that {adapter} says does not \
             count\n"
        ));
        return Ok(0);
    }
    laboratory.reset()?;
    let first = laboratory.outcome(&outputs)?;
    laboratory.reset()?;
    let second = laboratory.outcome(&outputs)?;
    let differing: Vec<&String> = first.keys().filter(|path| first.get(*path) != second.get(*path)).collect();
    if !differing.is_empty() {
        let list: Vec<&str> = differing.iter().map(|path| path.as_str()).collect();
        report::print(&format!(
            "two runs from the same state differ by themselves, these files are left out: {}\n",
            list.join(", ")
        ));
    }
    let mut broken = 0;
    for path in ignored.iter().take(FILES_MAX) {
        for (how, change) in [("changed", Some(CHANGE)), ("removed", None)] {
            laboratory.reset()?;
            change_file(&laboratory.tree().join(path), change)
                .map_err(|error| Problem::new(format!("cannot change {path}: {error}")))?;
            let now = laboratory.outcome(&outputs)?;
            let moved: Vec<&str> = now
                .iter()
                .filter(|(output, digest)| {
                    first.get(*output) != Some(digest) && second.get(*output) != Some(digest)
                })
                .map(|(output, _)| output.as_str())
                .filter(|output| !differing.iter().any(|other| other.as_str() == *output))
                .collect();
            if !moved.is_empty() {
                broken += 1;
                report::print(&format!(
                    "MATTERS  {path}: {adapter} says that it does not count, but when it is {how} these differ: {}\n",
                    moved.join(", ")
                ));
            }
        }
    }
    if ignored.len() > FILES_MAX {
        report::print(&format!("only {FILES_MAX} of {} ignored files were tried\n", ignored.len()));
    }
    report::print(&match broken {
        0 => format!(
            "{adapter}: {} ignored files changed and removed, {} outputs compared: none of them matters\n",
            ignored.len().min(FILES_MAX),
            outputs.len()
        ),
        _ => format!("{adapter} is not sound for this command\n"),
    });
    Ok(i32::from(broken > 0))
}

/// Why the traced run was not kept, and what to do; empty where it was.
fn not_kept(facts: &Value) -> Vec<String> {
    if facts["stored"] == Value::Bool(true) {
        return Vec::new();
    }
    match report::read_refusal(&facts["not_stored"]) {
        Some(refusal) => report::refusal_text(&refusal, None),
        None => vec!["the run was not kept".to_owned()],
    }
}

/// Files that were read, were there before, and are said not to count: believed or not.
fn ignored_reads(facts: &Value, before: &Path) -> BTreeSet<String> {
    let declared = strings(facts, "ignored").filter(|fact| fact["source"] == "declared");
    let refused = strings(&facts["adapter"], "narrowing_refused");
    let reads = declared.chain(refused).filter(|fact| fact["reads"] == Value::Bool(true));
    let paths = reads.map(|fact| path_of(fact).to_owned());
    let inside = |path: &String| !path.starts_with(['/', '~']) && !path.starts_with("../");
    paths.filter(inside).filter(|path| is_own_file(before, path)).collect()
}

/// Whether a file lies in this tree itself, not behind a link that leads out of it; and is no link.
fn is_own_file(tree: &Path, path: &str) -> bool {
    let file = tree.join(path);
    let folder = file.parent().map_or_else(|| Ok(tree.to_owned()), Path::canonicalize);
    let is_inside =
        matches!((folder, tree.canonicalize()), (Ok(folder), Ok(tree)) if folder.starts_with(&tree));
    is_inside && file.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

/// Adds to a file, or removes it. Writes through no link.
fn change_file(path: &Path, change: Option<&[u8]>) -> std::io::Result<()> {
    match change {
        None => std::fs::remove_file(path),
        Some(change) => {
            let mut file =
                std::fs::OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
            std::io::Write::write_all(&mut file, change)
        }
    }
}

/// `overhear adapter suggest`.
pub fn suggest(args: &CommandArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let laboratory = Laboratory::new(&workspace.root, from_dir, &args.words)?;
    let facts = laboratory.traced()?;
    let step = plan::exec_step(&workspace, &args.words, from_dir.to_path_buf())?;
    let package = step.package.dir.strip_prefix(&workspace.root).unwrap_or(Path::new(""));
    let mut rules = missing(&facts, &package.to_string_lossy());
    let variables = missing_variables(&facts, &laboratory.tree());
    if !variables.is_empty() {
        rules.insert("env", variables);
    }
    let mut text = String::new();
    match facts["adapter"]["id"].as_str() {
        Some(id) => text.push_str(&format!("# {id} declares this command\n")),
        None => text.push_str("# no adapter declares this command\n"),
    }
    let not_kept = not_kept(&facts);
    for line in &not_kept {
        text.push_str(&format!("# {line}\n"));
    }
    if rules.is_empty() && not_kept.is_empty() {
        text.push_str("# nothing is missing: what the trace saw needs no more words\n");
    }
    for (list, entries) in rules {
        let quoted = entries.iter().map(|entry| Value::from(entry.as_str()).to_string());
        text.push_str(&format!("{list} = [{}]\n", quoted.collect::<Vec<_>>().join(", ")));
    }
    report::print_colored(&text, None);
    Ok(0)
}

/// Rules that would say what the trace saw and the declaration does not say, as lists of a table.
fn missing(facts: &Value, package: &str) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut rules: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let mut add = |list, entry: String| rules.entry(list).or_default().extend([entry]);
    let inside = |path: &str| -> Option<String> {
        let inside =
            if package.is_empty() { Some(path) } else { path.strip_prefix(package)?.strip_prefix('/') };
        inside
            .filter(|inside| !inside.starts_with(['/', '~']) && !inside.starts_with(".."))
            .map(str::to_owned)
    };
    let declared = |list: &str, path: &str| {
        strings(&facts["adapter"], "rules")
            .filter(|rule| rule["rule"] == list)
            .filter_map(|rule| rule["of"].as_str())
            .any(|of| path == of || path.starts_with(&format!("{of}/")))
    };
    // A tool that rewrites what it reads may keep it for itself; or it is a formatter, and these are sources.
    if facts["not_stored"]["kind"] == "read_write_overlap"
        && let Some(path) = facts["not_stored"]["path"].as_str().and_then(inside)
        && is_kept(&path)
    {
        add("caches", kept(&path));
    }
    for fact in strings(facts, "outputs") {
        let path = path_of(fact);
        let Some(inside) = inside(path) else { continue };
        if declared("output", path) || declared("output", &inside) || declared("generated", &inside) {
            continue;
        }
        match inside.split_once('/') {
            Some(_) if is_kept(&inside) => add("caches", kept(&inside)),
            Some((folder, _)) => add("outputs", folder.to_owned()),
            None if inside.ends_with(".tsbuildinfo") => add("state", inside),
            None => {}
        }
    }
    rules
}

/// Variables that were asked for by name, and that a file of the workspace names which was read: a program
/// such as node asks for many more on its own account.
fn missing_variables(facts: &Value, tree: &Path) -> BTreeSet<String> {
    let mut names: Vec<&str> = strings(facts, "envs")
        .filter(|fact| fact["source"] == "traced")
        .filter_map(|fact| fact["name"].as_str())
        .collect();
    let mut found = BTreeSet::new();
    for fact in strings(facts, "inputs").filter(|fact| fact["as"] == "content") {
        let file = tree.join(path_of(fact));
        let is_text = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= 1 << 20);
        let Some(text) = is_text.then(|| std::fs::read_to_string(&file).ok()).flatten() else { continue };
        names.retain(|name| {
            let is_named = text.contains(name);
            found.extend(is_named.then(|| (*name).to_owned()));
            !is_named
        });
    }
    found
}

/// Whether a path lies where tools keep what is for themselves.
fn is_kept(path: &str) -> bool {
    path.starts_with("node_modules/") || path.split('/').any(|part| part.contains("cache"))
}

/// The folder that a tool keeps, of a file in it.
fn kept(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let depth = match parts.as_slice() {
        ["node_modules", first, _, ..] if first.starts_with('.') => 2,
        ["node_modules", ..] => parts.len().saturating_sub(1).max(2),
        [_] => 1,
        _ => parts.iter().position(|part| part.contains("cache")).map_or(parts.len() - 1, |at| at + 1),
    };
    parts[..depth.min(parts.len())].join("/")
}

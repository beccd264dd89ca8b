//! `overhear adapter suggest`: a command is traced in a copy of the workspace, and what was seen that its
//! adapter does not say is printed as rules of a table. Only what is clear is a rule; the rest is a question to
//! the author, as a comment.

use super::laboratory::{
    CommandArgs, Laboratory, Rules, Watched, is_inside, list, not_kept, path_of, rewritten,
};
use crate::plan;
use crate::problem::Problems;
use crate::report;
use crate::workspace::Workspace;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Kinds of rules that say who a file belongs to that is read and then changed.
const SAYS_WHOSE: [&str; 5] = ["cache", "generated", "state", "ignored read", "ignored write"];
/// Kinds of rules that say of a file that the command makes it.
const SAYS_MADE: [&str; 2] = ["output", "generated"];

/// `overhear adapter suggest`.
pub fn suggest(args: &CommandArgs, from_dir: &Path) -> Result<i32, Problems> {
    super::require_program(&args.words)?;
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let laboratory = Laboratory::new(&workspace.root, from_dir, &args.words)?;
    // One that goes on, as a server does, is waited for: who waits should know for what.
    report::print("# runs it in a copy of the workspace, and waits until it ends\n");
    let watched = laboratory.watch(1)?;
    let step = plan::exec_step(&workspace, &args.words, from_dir.to_path_buf())?;
    let inside = |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(Path::new("")).to_owned();
    let package = inside(&step.package.dir);
    let rules = Rules::of(watched.last(), &package, &inside(from_dir));
    let mut seen = Seen {
        watched: &watched,
        rules: &rules,
        first: &laboratory.first(),
        package: &package.to_string_lossy(),
        lists: BTreeMap::new(),
        asked: BTreeSet::new(),
    };
    seen.add_rewritten();
    seen.add_outputs();
    let variables = missing_variables(watched.last(), &laboratory.tree());
    if !variables.is_empty() {
        seen.lists.insert("env", variables);
    }
    report::print_colored(&seen.text(), None);
    Ok(0)
}

/// What was seen, and what would say it.
struct Seen<'a> {
    watched: &'a Watched,
    rules: &'a Rules<'a>,
    /// The workspace as it was.
    first: &'a Path,
    /// The folder of the package, relative to the root.
    package: &'a str,
    /// Rules that are missing, as lists of a table.
    lists: BTreeMap<&'static str, BTreeSet<String>>,
    /// Outputs of which only a person knows whether the command or somebody else made them first.
    asked: BTreeSet<String>,
}

impl Seen<'_> {
    fn add(&mut self, list: &'static str, entry: String) {
        self.lists.entry(list).or_default().insert(entry);
    }

    /// A path as a rule of the package has it; `None` outside of the package.
    fn in_package(&self, path: &str) -> Option<String> {
        let inside = match self.package {
            "" => path,
            package => path.strip_prefix(package)?.strip_prefix('/')?,
        };
        is_inside(inside).then(|| inside.to_owned())
    }

    /// The file for which a run was refused, unless a rule says whose it is.
    fn unexplained(&self) -> Option<&str> {
        rewritten(self.watched.first()).filter(|path| !self.rules.name(&SAYS_WHOSE, path))
    }

    /// A tool that rewrites what it reads may keep it for itself; or it is a formatter, and these are sources.
    fn add_rewritten(&mut self) {
        let path = self.unexplained().and_then(|path| self.in_package(path));
        if let Some(path) = path.filter(|path| is_kept(path)) {
            self.add("caches", kept(&path));
        }
    }

    fn add_outputs(&mut self) {
        let is_explained = self.unexplained().is_none();
        let watched = self.watched;
        for path in list(watched.last(), "outputs").map(path_of) {
            let Some(inside) = self.in_package(path) else { continue };
            if self.rules.name(&SAYS_MADE, path) || self.rules.name(&SAYS_WHOSE, path) {
                continue;
            }
            // Where a run reads what it then writes, what lay there can as well be sources.
            let is_clear = is_explained || self.first.join(path).symlink_metadata().is_err();
            match inside.split_once('/') {
                Some(_) if is_kept(&inside) => self.add("caches", kept(&inside)),
                Some((folder, _)) if is_clear => self.add("outputs", folder.to_owned()),
                Some((folder, _)) => drop(self.asked.insert(folder.to_owned())),
                None if inside.ends_with(".tsbuildinfo") => self.add("state", inside),
                None => {}
            }
        }
    }

    fn text(&self) -> String {
        let mut text = match self.watched.adapter() {
            Some(id) => format!("# {id} declares this command\n"),
            None => "# no adapter declares this command\n".to_owned(),
        };
        let unexplained = self.unexplained();
        // A run that was refused for what lay there from another run says nothing of the rules.
        let refused = if unexplained.is_some() { self.watched.first() } else { self.watched.last() };
        let refused = not_kept(refused);
        refused.iter().for_each(|line| text.push_str(&format!("# {line}\n")));
        if let Some(path) =
            unexplained.filter(|path| !self.in_package(path).is_some_and(|path| is_kept(&path)))
        {
            text.push_str(&format!(
                "# {path} is read and changed: where the tool made it, \"generated\" is the word for what others read \
                 too, \"caches\" for what it keeps for itself; of what people write no rule can say that\n"
            ));
        }
        if self.lists.is_empty() && self.asked.is_empty() && refused.is_empty() {
            text.push_str("# nothing is missing: what the trace saw needs no more words\n");
        }
        for (list, entries) in &self.lists {
            text.push_str(&format!("{list} = [{}]\n", quoted(entries)));
        }
        let asked: BTreeSet<String> =
            self.asked.iter().filter(|one| !self.listed("outputs", one)).cloned().collect();
        if !asked.is_empty() {
            let list = quoted(&asked);
            text.push_str(&format!("# if the command made what lay there before: outputs = [{list}]\n"));
        }
        text
    }

    fn listed(&self, list: &str, entry: &str) -> bool {
        self.lists.get(list).is_some_and(|entries| entries.contains(entry))
    }
}

fn quoted(entries: &BTreeSet<String>) -> String {
    let quoted = entries.iter().map(|entry| Value::from(entry.as_str()).to_string());
    quoted.collect::<Vec<_>>().join(", ")
}
/// Variables that were asked for by name, and that a file of the workspace names which was read: a program
/// such as node asks for many more on its own account.
fn missing_variables(facts: &Value, tree: &Path) -> BTreeSet<String> {
    let mut names: Vec<&str> = list(facts, "envs")
        .filter(|fact| fact["source"] == "traced")
        .filter_map(|fact| fact["name"].as_str())
        .collect();
    let mut found = BTreeSet::new();
    for fact in list(facts, "inputs").filter(|fact| fact["as"] == "content") {
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

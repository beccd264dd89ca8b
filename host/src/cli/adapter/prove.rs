//! `overhear adapter verify`: what an adapter says not to matter is changed and taken away in copies of the
//! workspace, and what a command then makes is held against what it makes without that.

use super::laboratory::{
    CommandArgs, Laboratory, Outcome, Rules, Watched, is_inside, list, not_kept, path_of,
};
use crate::plan;
use crate::problem::{Problem, Problems};
use crate::report;
use crate::workspace::Workspace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Files that are changed one after the other; each costs two runs.
const FILES_MAX: usize = 40;
/// What is put at the end of a file that is said not to matter.
const CHANGE: &[u8] = b"\nchanged to see whether it matters\n";
/// Traced runs: one on what lies there, and one that finds what a run leaves. A tool that keeps something for
/// itself may read less, or other files, in the second.
const TRACED_RUNS: usize = 2;

/// `overhear adapter verify`. The exit code is 1 where something that is said not to matter matters, and 2
/// where the command itself cannot be held to anything.
pub fn verify(args: &CommandArgs, from_dir: &Path) -> Result<i32, Problems> {
    super::require_program(&args.words)?;
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let laboratory = Laboratory::new(&workspace.root, from_dir, &args.words)?;
    let watched = laboratory.watch(TRACED_RUNS)?;
    let Some(adapter) = watched.adapter() else {
        let help = "`overhear adapter why-not` says why";
        return Err(Problem::new("no adapter declares this command".to_owned()).help(help).into());
    };
    if let Some((why, advice)) = not_kept(watched.last()).split_first() {
        // Of such a run it is not known what it read, so nothing can be said of what it ignored.
        let message = format!("{adapter} cannot be held to anything here: {}", report::plain(why));
        return Err(Problem::new(message).help(advice.join(" ").trim().to_owned()).into());
    }
    let step = plan::exec_step(&workspace, &args.words, from_dir.to_path_buf())?;
    let inside = |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(Path::new("")).to_owned();
    let rules = Rules::of(watched.last(), &inside(&step.package.dir), &inside(from_dir));
    let claims = Claims::of(&watched, &rules, &laboratory.used());
    if claims.ignored.is_empty() && claims.kept.is_empty() {
        report::print(&format!(
            "{adapter}: nothing to verify: the command read no file of the workspace that {adapter} says does not \
             count\n"
        ));
        return Ok(0);
    }
    let trials = Trials::begin(&laboratory, &claims)?;
    let found = trials.without_kept()?.into_iter().chain(trials.with_ignored_otherwise()?);
    let found: Vec<Matters> = found.collect();
    trials.tell(adapter, &found);
    Ok(i32::from(!found.is_empty()))
}

/// What an adapter says not to matter, of the files that the command had to do with. Paths are relative to the
/// root.
struct Claims {
    /// Said not to count as what goes in.
    ignored: BTreeSet<String>,
    /// Said to be kept by the tool for itself alone.
    kept: BTreeSet<String>,
    /// What it makes for others.
    outputs: BTreeSet<String>,
}

impl Claims {
    /// Files that lie in the tree `used` after the runs, and were read or kept: believed or not.
    fn of(watched: &Watched, rules: &Rules, used: &Path) -> Claims {
        let mut claims = Claims { ignored: BTreeSet::new(), kept: BTreeSet::new(), outputs: BTreeSet::new() };
        let kept = rules.files("cache", used).into_iter().filter(|path| is_own_file(used, path));
        claims.kept.extend(kept);
        for facts in watched.kept() {
            let declared = list(facts, "ignored").filter(|fact| fact["source"] == "declared");
            for fact in declared.chain(list(&facts["adapter"], "narrowing_refused")) {
                let path = path_of(fact);
                if !is_inside(path) || !is_own_file(used, path) {
                    continue;
                }
                if rules.name(&["cache"], path) {
                    claims.kept.insert(path.to_owned());
                } else if fact["reads"] == Value::Bool(true) {
                    claims.ignored.insert(path.to_owned());
                }
            }
            let made = list(facts, "outputs").map(path_of);
            claims.outputs.extend(made.filter(|path| !rules.name(&["cache"], path)).map(str::to_owned));
        }
        claims
    }
}

/// A file that is said not to matter, and does.
struct Matters(String);

/// Runs from one state, each with one thing changed.
struct Trials<'a> {
    laboratory: &'a Laboratory<'a>,
    claims: &'a Claims,
    /// Two runs from the same state, with nothing changed.
    plain: [Outcome; 2],
}

impl<'a> Trials<'a> {
    fn begin(laboratory: &'a Laboratory<'a>, claims: &'a Claims) -> Result<Trials<'a>, Problems> {
        let run = || {
            reset(laboratory, claims)?;
            laboratory.outcome(&claims.outputs)
        };
        let trials = Trials { laboratory, claims, plain: [run()?, run()?] };
        let differing = trials.differing();
        if !differing.is_empty() {
            report::print(&format!(
                "two runs from the same state differ by themselves, these files are left out: {}\n",
                differing.join(", ")
            ));
        }
        Ok(trials)
    }

    /// What is not the same even where nothing is changed.
    fn differing(&self) -> Vec<&str> {
        let [one, other] = &self.plain;
        one.keys().filter(|path| one.get(*path) != other.get(*path)).map(String::as_str).collect()
    }

    /// What the command makes otherwise, as the tree is now.
    fn moved(&self) -> Result<Vec<String>, Problems> {
        let now = self.laboratory.outcome(&self.claims.outputs)?;
        let differing = self.differing();
        let is_moved = |path: &String| {
            !differing.contains(&path.as_str())
                && self.plain.iter().all(|plain| plain.get(path) != now.get(path))
        };
        Ok(now.keys().filter(|path| is_moved(path)).cloned().collect())
    }

    /// What a tool keeps is tried as a whole: no person writes there, and no tool has to bear a part of it.
    fn without_kept(&self) -> Result<Option<Matters>, Problems> {
        if self.claims.kept.is_empty() {
            return Ok(None);
        }
        self.laboratory.reset(&self.laboratory.used())?;
        let moved = self.moved()?;
        let mut names: Vec<&str> = self.claims.kept.iter().map(String::as_str).collect();
        let more = names.len().saturating_sub(KEPT_SHOWN_MAX);
        names.truncate(KEPT_SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Ok((!moved.is_empty()).then(|| {
            Matters(format!(
                "{}{more}: said to be what the tool keeps for itself alone, but with and without it these differ: {}",
                names.join(", "),
                moved.join(", ")
            ))
        }))
    }

    fn with_ignored_otherwise(&self) -> Result<Vec<Matters>, Problems> {
        let mut found = Vec::new();
        for path in self.claims.ignored.iter().take(FILES_MAX) {
            for (how, change) in [("changed", Some(CHANGE)), ("removed", None)] {
                reset(self.laboratory, self.claims)?;
                change_file(&self.laboratory.tree().join(path), change)
                    .map_err(|error| Problem::new(format!("cannot change {path}: {error}")))?;
                let moved = self.moved()?;
                if !moved.is_empty() {
                    let differ = moved.join(", ");
                    found.push(Matters(format!(
                        "{path}: said not to count, but when it is {how} these differ: {differ}"
                    )));
                }
            }
        }
        Ok(found)
    }

    fn tell(&self, adapter: &str, found: &[Matters]) {
        let Claims { ignored, kept, outputs } = self.claims;
        let mut text: String = found.iter().map(|Matters(how)| format!("MATTERS  {how}\n")).collect();
        if ignored.len() > FILES_MAX {
            text.push_str(&format!("only {FILES_MAX} of {} ignored files were tried\n", ignored.len()));
        }
        if found.is_empty() {
            let tried = ignored.len().min(FILES_MAX);
            let parts = [
                (tried > 0).then(|| format!("{} changed and removed", counted(tried, "ignored file"))),
                (!kept.is_empty())
                    .then(|| format!("{} of the tool's own removed together", counted(kept.len(), "file"))),
                Some(format!("{} compared", counted(outputs.len(), "output"))),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            text.push_str(&format!("{adapter}: {}: none of them matters\n", parts.join(", ")));
        } else {
            text.push_str(&format!("{adapter} is not sound for this command\n"));
        }
        report::print(&text);
    }
}

/// Files of a cache that are named in a message.
const KEPT_SHOWN_MAX: usize = 3;

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Puts there what the traced runs left, without what the tool keeps for itself: it reads all that it has to,
/// and cannot answer out of what it kept.
fn reset(laboratory: &Laboratory, claims: &Claims) -> Result<(), Problems> {
    laboratory.reset(&laboratory.used())?;
    for path in &claims.kept {
        change_file(&laboratory.tree().join(path), None)
            .map_err(|error| Problem::new(format!("cannot remove {path}: {error}")))?;
    }
    Ok(())
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

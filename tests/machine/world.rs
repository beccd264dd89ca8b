//! The workspace of one sequence: carries actions out on the disk, runs overhear, runs the same
//! commands directly in a copy of the tree as it was before, and holds one against the other.

mod edits;
mod suppose;

use self::suppose::{Later, Supposed};
use crate::case::{Case, INPUTS, KEYS, VARIABLES};
use crate::io::Io;
use crate::tree::{Node, Tree, read_tree, show, write_tree};
use crate::{play, tool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ended {
    out: String,
    err: String,
    code: i32,
}

/// What a direct run of a chain came to.
#[derive(Default)]
struct Direct {
    ended: Ended,
    tree: Tree,
    changes: Changes,
    /// What of its own each step found.
    own: Vec<(StepName, Own)>,
}

/// A step of a task.
type StepName = (usize, usize);

/// What a step had left itself and that was there when it began. That somebody changed it meanwhile shows
/// only where the step reads it.
type Own = BTreeMap<PathBuf, Node>;

/// What steps changed, in order: `None` where they removed.
type Changes = Vec<(StepName, PathBuf, Option<Node>)>;

/// Numbers over all sequences.
#[derive(Default)]
pub struct Counts {
    pub runs: usize,
    pub expected: usize,
    pub hits: usize,
    /// Steps by how they ended: `fresh`, `ran input_modified`, `not stored read_write_overlap`.
    pub ends: BTreeMap<String, usize>,
    /// Named limits that were met.
    pub limits: BTreeMap<&'static str, usize>,
    /// Hits that a person would have expected and that were none, with the reason.
    pub missed: BTreeMap<String, usize>,
}

/// One workspace.
pub struct World<'a> {
    case: &'a Case,
    /// Holds the workspace, the copy, the home folder.
    base: PathBuf,
    tool: PathBuf,
    /// Whether the tool is played in this process.
    is_played: bool,
    keys: Vec<usize>,
    env: [Option<usize>; 2],
    /// What each step left, as the direct runs show it; and whether it made that from nothing.
    left: BTreeMap<PathBuf, (StepName, Node, bool)>,
    /// With what of its own each step was run and kept.
    kept_with: BTreeMap<StepName, BTreeSet<Own>>,
    /// The last run, unless something but outputs was changed since.
    last: Option<Last>,
    /// How to repeat it by hand.
    pub script: Vec<String>,
    pub counts: Counts,
}

/// What is remembered of a run to judge whether the next should hit.
struct Last {
    task: usize,
    tree: Tree,
    /// Every step hit or was stored, and none rewrote or removed what it had not made.
    should_hit: bool,
    /// Tasks made things in the same folder: what one does with the other's is learned by a second run.
    is_shared: bool,
    /// It was itself a repetition.
    is_repetition: bool,
}

/// What one step came to, by `--summarize`.
struct Reported {
    is_hit: bool,
    is_kept: bool,
    reason: String,
}

impl<'a> World<'a> {
    pub fn new(case: &'a Case, base: &Path, is_played: bool) -> World<'a> {
        let _ = fs::remove_dir_all(base);
        fs::create_dir_all(base.join("home")).expect("makes a folder");
        let base = base.canonicalize().expect("it was just made");
        let tool = std::env::current_exe().expect("a test has a path");
        let keys = case.tasks.iter().map(|task| task.keys).collect();
        let mut world = World {
            case,
            base,
            tool,
            is_played,
            keys,
            env: [None, None],
            left: BTreeMap::new(),
            kept_with: BTreeMap::new(),
            last: None,
            script: Vec::new(),
            counts: Counts::default(),
        };
        world.begin();
        world
    }

    fn ws(&self) -> PathBuf {
        self.base.join("ws")
    }

    fn begin(&mut self) {
        self.script.push(format!("mkdir -p {0}/ws {0}/home && cd {0}/ws", self.base.display()));
        for path in &INPUTS[..3] {
            self.write(path, "v0\n");
        }
        self.write("top", "v0\n");
        self.write("src/deep/er/f", "v0\n");
        self.link("src/lnk", "a");
        self.link("lib", "src/sub");
        self.write("package.json", "{\"name\":\"m\"}\n");
        for (index, versions) in self.case.scripts.iter().enumerate() {
            self.write(&format!("tools/{index}"), &format!("{}\n", versions[0].join("\n")));
        }
        self.write_config();
    }

    fn write_config(&mut self) {
        let tasks = self.case.tasks.iter().enumerate().map(|(index, task)| {
            let commands: Vec<String> =
                (0..task.steps.len()).map(|step| self.command((index, step))).collect();
            let command = commands.join(" && ").replace('\\', "\\\\").replace('"', "\\\"");
            let depends =
                if task.depends { format!(r#", "dependsOn": ["t{}"]"#, index - 1) } else { String::new() };
            format!(r#""t{index}": {{"command": "{command}"{depends}{}}}"#, KEYS[self.keys[index]])
        });
        let text = format!("{{\"tasks\": {{\n{}\n}}}}\n", tasks.collect::<Vec<_>>().join(",\n"));
        self.write("overhear.json", &text);
    }

    fn command(&self, (task, step): StepName) -> String {
        self.case.tasks[task].steps[step].replace("TOOL ", &format!("{} --tool tools/", self.tool.display()))
    }

    /// The chain of tasks that a request for one runs, in order.
    fn chain(&self, task: usize) -> Vec<usize> {
        let mut chain = vec![task];
        while self.case.tasks[chain[chain.len() - 1]].depends {
            chain.push(chain[chain.len() - 1] - 1);
        }
        chain.reverse();
        chain
    }

    fn run(&mut self, task: usize, force: bool) -> Result<(), String> {
        self.counts.runs += 1;
        let chain = self.chain(task);
        self.sweep();
        let before = read_tree(&self.ws());
        let (got, reported) = self.run_overhear(task, force)?;
        let after = read_tree(&self.ws());
        let hits: Vec<StepName> =
            reported.iter().filter(|(_, reported)| reported.is_hit).map(|(step, _)| *step).collect();
        let Direct { ended: wanted, tree: wanted_tree, mut changes, mut own } =
            self.run_directly(&before, &chain, &[], &Tree::new());
        if let Some(wrong) = difference(&got, &after, &wanted, &wanted_tree) {
            if hits.is_empty() {
                return Err(format!("running t{task} was no direct run: {wrong}\n{}", told(&reported)));
            }
            // The documented limit: what a step left itself counts as absent, now and when it was kept.
            let allowed = self.suppositions(&hits).into_iter().find_map(|supposed| {
                let mut direct = self.run_directly(&before, &chain, &supposed, &wanted_tree);
                if difference(&got, &after, &direct.ended, &direct.tree).is_none() {
                    return Some((supposed, direct));
                }
                // What other entries of the step left stays, if a direct run leaves something there as well.
                let is_there = |path: &PathBuf, node: &Node| {
                    before.get(path) == Some(node) && wanted_tree.contains_key(path)
                };
                let stays = self.left.iter().filter(|(path, (_, node, _))| is_there(path, node));
                for (path, (_, node, _)) in stays {
                    direct.tree.entry(path.clone()).or_insert_with(|| node.clone());
                }
                difference(&got, &after, &direct.ended, &direct.tree).is_none().then_some((supposed, direct))
            });
            let Some((supposed, direct)) = allowed else {
                return Err(format!("a hit of t{task} was wrong: {wrong}\n{}", told(&reported)));
            };
            let is_there = supposed.iter().any(|(_, supposed)| !supposed.own.is_empty());
            let limit = if is_there { "own outputs count as there" } else { "own outputs count as absent" };
            *self.counts.limits.entry(limit).or_default() += 1;
            (changes, own) = (direct.changes, direct.own);
        }
        for (step, own) in own {
            if reported.get(&step).is_some_and(|reported| reported.is_kept) {
                self.kept_with.entry(step).or_default().insert(own);
            }
        }
        let judged = self.judge_hits(task, force, got.code, &before, &after, &changes, &reported);
        self.learn_left(&before, changes);
        judged
    }

    /// Whether a person would have expected hits, and there were.
    #[allow(clippy::too_many_arguments, reason = "all that is known of one run")]
    fn judge_hits(
        &mut self,
        task: usize,
        force: bool,
        code: i32,
        before: &Tree,
        after: &Tree,
        changes: &Changes,
        reported: &BTreeMap<StepName, Reported>,
    ) -> Result<(), String> {
        let is_repetition =
            self.last.as_ref().is_some_and(|last| last.task == task && last.tree == *after) && code == 0;
        // What one task changes and another changes back is no state that a person would call unchanged.
        let by_task = |path: &PathBuf| {
            changes
                .iter()
                .filter(|(_, other, _)| other == path)
                .map(|(step, ..)| step.0)
                .collect::<BTreeSet<_>>()
        };
        let is_steady = changes.iter().all(|(_, path, node)| node.is_some() && by_task(path).len() == 1);
        let mut wrong = Ok(());
        if let Some(last) =
            self.last.as_ref().filter(|last| last.should_hit && is_repetition && is_steady && !force)
            && (last.is_repetition || !last.is_shared)
        {
            for (step, reported) in reported {
                self.counts.expected += 1;
                if reported.is_hit {
                    self.counts.hits += 1;
                } else {
                    *self.counts.missed.entry(reported.reason.clone()).or_default() += 1;
                    wrong = Err(format!("t{} step {} should have hit: {}", step.0, step.1, reported.reason));
                }
            }
        }
        let is_kept = code == 0 && reported.values().all(|reported| reported.is_hit || reported.is_kept);
        let only_made = changes.iter().all(|(step, path, node)| {
            let was_own = self.left.get(path).is_some_and(|(by, _, made)| by.0 == step.0 && *made);
            node.is_some() && (!before.contains_key(path) || was_own)
        });
        let mut folders: BTreeMap<&Path, BTreeSet<usize>> = BTreeMap::new();
        let own = self.left.iter().map(|(path, (step, ..))| (path.as_path(), step.0));
        for (path, task) in own.chain(changes.iter().map(|(step, path, _)| (path.as_path(), step.0))) {
            folders.entry(path.parent().unwrap_or(path)).or_default().insert(task);
            folders.entry(path).or_default().insert(task);
        }
        let is_shared = folders.iter().any(|(path, tasks)| *path != Path::new("") && tasks.len() > 1);
        let should_hit = is_kept && only_made;
        self.last = Some(Last { task, tree: after.clone(), should_hit, is_shared, is_repetition });
        if std::env::var_os("OVERHEAR_MACHINE_STRICT").is_some() { wrong } else { Ok(()) }
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear().current_dir(self.ws());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.base.join("home"));
        command.envs(self.variables());
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let set = VARIABLES.iter().zip(self.env);
        set.filter_map(|(name, value)| Some(((*name).to_owned(), format!("e{}", value?)))).collect()
    }

    fn run_overhear(
        &mut self,
        task: usize,
        force: bool,
    ) -> Result<(Ended, BTreeMap<StepName, Reported>), String> {
        let flag = if force { " --force" } else { "" };
        if self.is_played {
            self.script.push(format!("overhear run --concurrency 1{flag} t{task}"));
            let played = play::run(&self.ws(), &self.variables(), &format!("t{task}"), force)?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let ended = Ended { out: text(&played.out), err: text(&played.err), code: played.code };
            return Ok((ended, self.reported(&played.document)?));
        }
        let program = std::env::var("OVERHEAR_MACHINE_PROGRAM");
        let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_overhear"));
        let summary = self.base.join("summary.json");
        let _ = fs::remove_file(&summary);
        let mut command = Command::new(program);
        self.environment(&mut command);
        command.args(["run", "--quiet", "--concurrency", "1", "--summarize"]).arg(&summary);
        if force {
            command.arg("--force");
        }
        command.arg(format!("t{task}"));
        self.script.push(format!("{program} run --concurrency 1{flag} t{task}"));
        let output = command.output().map_err(|error| format!("overhear does not start: {error}"))?;
        let err = String::from_utf8_lossy(&output.stderr);
        // Failures are told also with --quiet.
        let own = |line: &&str| !(line.starts_with("m#t") && line.contains("  failed: exit code"));
        let err: String = err.split_inclusive('\n').filter(own).collect();
        let code = output.status.code().unwrap_or(-1);
        let ended = Ended { out: String::from_utf8_lossy(&output.stdout).into_owned(), err, code };
        let document = fs::read(&summary).map_err(|error| format!("no summary ({error}): {ended:?}"))?;
        let document: serde_json::Value =
            serde_json::from_slice(&document).map_err(|error| error.to_string())?;
        Ok((ended, self.reported(&document)?))
    }

    /// What became of each step, by the summary of a run.
    fn reported(&mut self, document: &serde_json::Value) -> Result<BTreeMap<StepName, Reported>, String> {
        let mut reported = BTreeMap::new();
        for step in document["tasks"].as_array().into_iter().flatten() {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let status = text(&step["status"]);
            let refusal = text(&step["not_stored"]["kind"]);
            let reason = format!("{} {}", text(&step["reason"]["kind"]), text(&step["reason"]["path"]));
            let is_hit = status == "fresh" || status == "restored";
            let end = match (is_hit, refusal.is_empty()) {
                (true, _) => status.clone(),
                (false, true) => format!("{status} {}", text(&step["reason"]["kind"])),
                (false, false) => format!("not stored {refusal}"),
            };
            *self.counts.ends.entry(end).or_default() += 1;
            let index = text(&step["task"]).rsplit('t').next().and_then(|number| number.parse().ok());
            let name = (index.ok_or("a task without a number")?, step["step"].as_u64().unwrap_or(0) as usize);
            let is_kept = status == "ran" && refusal.is_empty();
            let reason = if refusal.is_empty() {
                reason
            } else {
                format!("{reason}, not stored: {}", step["not_stored"])
            };
            reported.insert(name, Reported { is_hit, is_kept, reason: format!("{status} {reason}") });
        }
        Ok(reported)
    }

    /// Runs the commands of a chain of tasks in a copy that lies, for that time, where the workspace
    /// lies. Before a step of `supposed`, what it left and is unchanged is taken away, and that put there;
    /// afterwards what a run that supposes nothing leaves as it is comes back.
    fn run_directly(
        &self,
        before: &Tree,
        chain: &[usize],
        supposed: &[(StepName, Supposed)],
        leaves: &Tree,
    ) -> Direct {
        let (ws, held) = (self.ws(), self.base.join("held"));
        self.sweep();
        fs::rename(&ws, &held).expect("the workspace can be moved");
        write_tree(&ws, before);
        let mut direct = Direct { tree: before.clone(), ..Direct::default() };
        let steps =
            chain.iter().flat_map(|task| (0..self.case.tasks[*task].steps.len()).map(|at| (*task, at)));
        for step in steps {
            let supposed = supposed.iter().find(|(of, _)| *of == step).map(|(_, supposed)| supposed);
            let taken =
                supposed.map(|supposed| self.suppose(&ws, step, supposed, leaves)).unwrap_or_default();
            if supposed.is_some() {
                direct.tree = read_tree(&ws);
            }
            let own = self.own(step, Later::AllGoes);
            let own = own.filter_map(|(path, _)| Some((path.clone(), direct.tree.get(path)?.clone())));
            let mut own: Own = own.collect();
            self.run_command(step, &mut direct.ended);
            let now = read_tree(&ws);
            let changes = changes(step, &direct.tree, &now);
            let over = changes.iter().filter(|(_, path, _)| self.is_written_over(step, path, &ws));
            own.extend(over.filter_map(|(_, path, _)| {
                let found = direct.tree.get(path).filter(|node| matches!(node, Node::File { .. }))?;
                Some((path.clone(), found.clone()))
            }));
            direct.own.push((step, own));
            direct.changes.extend(changes);
            direct.tree = now;
            self.undo(&ws, step, &taken);
            if supposed.is_some() {
                direct.tree = read_tree(&ws);
            }
            if direct.ended.code != 0 {
                break;
            }
        }
        fs::remove_dir_all(&ws).expect("the copy can be removed");
        fs::rename(&held, &ws).expect("the workspace can be moved back");
        direct
    }

    /// Removes what a link that leads out of the workspace had a command write beside it: each run finds the
    /// same there.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.base).expect("the folder is there").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn run_command(&self, step: StepName, ended: &mut Ended) {
        let (out, err, code) = if self.is_played {
            let io = Io::played(&self.ws(), self.variables());
            let command = self.command(step);
            let code = command.rsplit_once(' ').map_or(0, |(_, script)| i32::from(tool::run(script, &io)));
            (io.out.take(), io.err.take(), code)
        } else {
            let mut command = Command::new("sh");
            self.environment(&mut command);
            command.arg("-c").arg(self.command(step)).stdin(std::process::Stdio::null());
            let output = command.output().expect("sh starts");
            (output.stdout, output.stderr, output.status.code().unwrap_or(-1))
        };
        ended.out.push_str(&String::from_utf8_lossy(&out));
        ended.err.push_str(&String::from_utf8_lossy(&err));
        ended.code = code;
    }

    /// Remembers what the steps left, as the direct runs of them showed it.
    fn learn_left(&mut self, before: &Tree, changes: Changes) {
        let known = std::mem::take(&mut self.left);
        self.left = known.clone();
        for (step, path, node) in changes {
            // Whoever rewrites what a step made has not made it less.
            let was_made = known.get(&path).is_some_and(|(_, _, made)| *made);
            let made = was_made || !before.contains_key(&path);
            match node {
                Some(node) => drop(self.left.insert(path, (step, node, made))),
                None => drop(self.left.remove(&path)),
            }
        }
    }
}

/// What is another in a tree than it was.
fn changes(step: StepName, before: &Tree, after: &Tree) -> Changes {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let differs = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    differs.map(|path| (step, path.clone(), after.get(path).cloned())).collect()
}

fn told(reported: &BTreeMap<StepName, Reported>) -> String {
    let lines = reported.iter().map(|((task, step), reported)| {
        format!(
            "  t{task} step {step}: {}",
            if reported.is_hit { format!("hit, {}", reported.reason) } else { reported.reason.clone() }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The first thing that differs between what overhear gave and what the direct run gave.
fn difference(got: &Ended, tree: &Tree, wanted: &Ended, wanted_tree: &Tree) -> Option<String> {
    if got.code != wanted.code {
        return Some(format!("exit code {}, directly {} ({:?})", got.code, wanted.code, wanted.err));
    }
    if got.out != wanted.out {
        return Some(format!("printed {:?}, directly {:?}", got.out, wanted.out));
    }
    if got.err != wanted.err {
        return Some(format!("printed on stderr {:?}, directly {:?}", got.err, wanted.err));
    }
    let paths = tree.keys().chain(wanted_tree.keys());
    let path = paths.into_iter().find(|path| tree.get(*path) != wanted_tree.get(*path))?;
    Some(format!("{} is {}, directly {}", path.display(), show(tree.get(path)), show(wanted_tree.get(path))))
}

//! The workspace of one sequence: carries actions out on the disk, runs overhear, runs the same
//! commands directly in a copy of the tree as it was before, and holds one against the other.

use crate::case::{Action, Case, FOLDERS, How, INPUTS, KEYS, VARIABLES};
use crate::tree::{Node, Tree, put, read_node, read_tree, show, write_tree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ended {
    out: String,
    err: String,
    code: i32,
}

/// A step of a task.
type StepName = (usize, usize);

/// What is supposed of the own outputs of a step that hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Absent,
    There,
}

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
    keys: Vec<usize>,
    env: [Option<usize>; 2],
    /// What each step left, as the direct runs show it; and whether it made that from nothing.
    left: BTreeMap<PathBuf, (StepName, Node, bool)>,
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
    pub fn new(case: &'a Case, base: &Path) -> World<'a> {
        let _ = fs::remove_dir_all(base);
        fs::create_dir_all(base.join("home")).expect("makes a folder");
        let base = base.canonicalize().expect("it was just made");
        let tool = std::env::current_exe().expect("a test has a path");
        let keys = case.tasks.iter().map(|task| task.keys).collect();
        let mut world = World {
            case,
            base,
            tool,
            keys,
            env: [None, None],
            left: BTreeMap::new(),
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

    fn write(&mut self, path: &str, text: &str) {
        self.script.push(format!("mkdir -p \"$(dirname {path})\"; cat > {path} <<'END'\n{text}END"));
        let path = self.ws().join(path);
        // A folder may lie there, or a file where a folder should be: an edit that cannot be made is none.
        let _ = fs::create_dir_all(path.parent().expect("it lies in the workspace"));
        let _ = fs::write(path, text);
    }

    fn link(&mut self, path: &str, text: &str) {
        self.script.push(format!("rm -rf {path}; ln -s {text} {path}"));
        self.remove(path);
        let path = self.ws().join(path);
        let _ = fs::create_dir_all(path.parent().expect("it lies in the workspace"));
        let _ = std::os::unix::fs::symlink(text, path);
    }

    fn remove(&self, path: &str) {
        let path = self.ws().join(path);
        let _ = match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
    }

    /// Carries out one action; what is wrong afterwards, if anything.
    pub fn act(&mut self, action: &Action) -> Result<(), String> {
        if let Action::Run { task, force } = action {
            return self.run(*task, *force);
        }
        let keeps_hit = matches!(action, Action::DeleteOutputs(_) | Action::Touch(_));
        match action {
            Action::Run { .. } => {}
            Action::Write { path, version, how } => self.edit(path, *version, *how),
            Action::Touch(path) => {
                self.script.push(format!("[ -f {path} ] && touch {path}"));
                if let Ok(file) = fs::OpenOptions::new().append(true).open(self.ws().join(path)) {
                    let _ = file.set_modified(std::time::SystemTime::now());
                }
            }
            Action::Delete(path) => {
                self.script.push(format!("rm -rf {path}"));
                self.remove(path);
            }
            Action::Rename(from, to) => {
                self.script.push(format!("mv -T {from} {to}"));
                let _ = fs::rename(self.ws().join(from), self.ws().join(to));
            }
            Action::Chmod(path) => {
                self.script.push(format!("[ -f {path} ] && chmod +x {path}"));
                let path = self.ws().join(path);
                if path.is_file() {
                    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
                }
            }
            Action::ToFolder(path) => {
                self.script.push(format!("rm -rf {path}"));
                self.remove(path);
                self.write(&format!("{path}/inner"), "v0\n");
            }
            Action::ToLink(path, text) => self.link(path, text),
            Action::DeleteOutputs(which) => self.delete_outputs(*which),
            Action::EditOutput(which, version) => {
                let made: Vec<PathBuf> = self.left.keys().cloned().collect();
                if let Some(path) = made.get(which % made.len().max(1)) {
                    self.write(&path.display().to_string(), &format!("edit {version}\n"));
                }
            }
            Action::Stray(which) => {
                let folder = FOLDERS[2 + which % 3];
                if self.ws().join(folder).is_dir() {
                    self.write(&format!("{folder}/stray"), "stray\n");
                }
            }
            Action::Env(which, value) => {
                self.env[*which] = *value;
                self.script.push(match value {
                    Some(value) => format!("export {}=e{value}", VARIABLES[*which]),
                    None => format!("unset {}", VARIABLES[*which]),
                });
            }
            Action::Keys { task, keys } => {
                self.keys[*task] = *keys;
                self.write_config();
            }
            Action::Script { script, version } => {
                let text = format!("{}\n", self.case.scripts[*script][*version].join("\n"));
                self.write(&format!("tools/{script}"), &text);
            }
            Action::Back => {
                for path in INPUTS[..3].iter().chain(&["top"]) {
                    self.script.push(format!("rm -rf {path}"));
                    self.remove(path);
                    self.write(path, "v0\n");
                }
            }
        }
        if !keeps_hit {
            self.last = None;
        }
        Ok(())
    }

    fn edit(&mut self, path: &str, version: usize, how: How) {
        let absolute = self.ws().join(path);
        let text = format!("v{version}\n{}", if how == How::Longer { "more\n" } else { "" });
        match how {
            How::Plain | How::Longer => self.write(path, &text),
            How::KeepingTime => {
                let time = fs::metadata(&absolute).and_then(|meta| meta.modified());
                self.script.push(format!("[ -e {path} ] && cp -p {path} ../reference"));
                self.write(path, &text);
                self.script
                    .push(format!("[ -e ../reference ] && touch -r ../reference {path}; rm -f ../reference"));
                if let (Ok(time), Ok(file)) = (time, fs::OpenOptions::new().append(true).open(&absolute)) {
                    let _ = file.set_modified(time);
                }
            }
            How::RenamedOver => {
                self.write("beside", &text);
                self.script.push(format!("mv -T beside {path}"));
                if fs::rename(self.ws().join("beside"), &absolute).is_err() {
                    self.remove("beside");
                }
            }
        }
    }

    fn delete_outputs(&mut self, which: Option<usize>) {
        let made: Vec<PathBuf> = self.left.keys().cloned().collect();
        // Sources that a step rewrote are not thought of as outputs.
        let is_output = |path: &&PathBuf| !path.starts_with("src") && !path.starts_with("top");
        let made: Vec<PathBuf> = match which {
            None => made.iter().filter(is_output).cloned().collect(),
            Some(which) => {
                made.iter().filter(is_output).skip(which % made.len().max(1)).take(1).cloned().collect()
            }
        };
        for path in made {
            let path = path.display().to_string();
            self.script.push(format!("rm -rf {path}"));
            self.remove(&path);
        }
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
        let before = read_tree(&self.ws());
        let (got, reported) = self.run_overhear(task, force)?;
        let after = read_tree(&self.ws());
        let hits: Vec<StepName> =
            reported.iter().filter(|(_, reported)| reported.is_hit).map(|(step, _)| *step).collect();
        let (wanted, wanted_tree, mut changes) = self.run_directly(&before, &chain, &[]);
        if let Some(wrong) = difference(&got, &after, &wanted, &wanted_tree) {
            if hits.is_empty() {
                return Err(format!("running t{task} was no direct run: {wrong}\n{}", told(&reported)));
            }
            // The documented limit: what a step left itself counts as absent, so as well as there.
            let allowed = suppositions(&hits).into_iter().find_map(|supposed| {
                let (wanted, mut tree, others) = self.run_directly(&before, &chain, &supposed);
                let is_same = difference(&got, &after, &wanted, &tree).is_none();
                // What other entries of the step left, and a direct run leaves as well, stays.
                let stays =
                    self.left.iter().filter(|(path, (_, node, _))| wanted_tree.get(*path) == Some(node));
                for (path, (_, node, _)) in stays {
                    tree.entry(path.clone()).or_insert_with(|| node.clone());
                }
                (is_same || difference(&got, &after, &wanted, &tree).is_none()).then_some((supposed, others))
            });
            let Some((supposed, others)) = allowed else {
                return Err(format!("a hit of t{task} was wrong: {wrong}\n{}", told(&reported)));
            };
            changes = others;
            let is_there = supposed.iter().any(|(_, own)| *own == Own::There);
            let limit = if is_there { "own outputs count as there" } else { "own outputs count as absent" };
            *self.counts.limits.entry(limit).or_default() += 1;
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
        for (name, value) in VARIABLES.iter().zip(self.env) {
            if let Some(value) = value {
                command.env(name, format!("e{value}"));
            }
        }
    }

    fn run_overhear(
        &mut self,
        task: usize,
        force: bool,
    ) -> Result<(Ended, BTreeMap<StepName, Reported>), String> {
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
        let flag = if force { " --force" } else { "" };
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
        Ok((ended, reported))
    }

    /// Runs the commands of a chain of tasks in a copy that lies, for that time, where the workspace
    /// lies. Before a step of `supposed`, what it left and is unchanged is removed, or what it left and
    /// is missing is put there.
    fn run_directly(
        &self,
        before: &Tree,
        chain: &[usize],
        supposed: &[(StepName, Own)],
    ) -> (Ended, Tree, Changes) {
        let (ws, held) = (self.ws(), self.base.join("held"));
        fs::rename(&ws, &held).expect("the workspace can be moved");
        write_tree(&ws, before);
        let mut ended = Ended::default();
        let (mut tree, mut all) = (before.clone(), Vec::new());
        'chain: for task in chain {
            for step in 0..self.case.tasks[*task].steps.len() {
                let own = supposed.iter().find(|(of, _)| *of == (*task, step)).map(|(_, own)| *own);
                match own {
                    Some(Own::Absent) => self.remove_own(&ws, (*task, step)),
                    Some(Own::There) => self.put_own(&ws, (*task, step)),
                    None => {}
                }
                if own.is_some() {
                    tree = read_tree(&ws);
                }
                let mut command = Command::new("sh");
                self.environment(&mut command);
                command.arg("-c").arg(self.command((*task, step)));
                let output = command.stdin(std::process::Stdio::null()).output().expect("sh starts");
                ended.out.push_str(&String::from_utf8_lossy(&output.stdout));
                ended.err.push_str(&String::from_utf8_lossy(&output.stderr));
                ended.code = output.status.code().unwrap_or(-1);
                let now = read_tree(&ws);
                all.extend(changes((*task, step), &tree, &now));
                tree = now;
                if ended.code != 0 {
                    break 'chain;
                }
            }
        }
        fs::remove_dir_all(&ws).expect("the copy can be removed");
        fs::rename(&held, &ws).expect("the workspace can be moved back");
        (ended, tree, all)
    }

    fn remove_own(&self, ws: &Path, step: StepName) {
        for (path, (by, node, made)) in self.left.iter().rev() {
            let absolute = ws.join(path);
            // Names that a later step of the same task made count as absent too.
            if *made && by.0 == step.0 && by.1 >= step.1 && read_node(&absolute).as_ref() == Some(node) {
                let _ = if *node == Node::Folder {
                    fs::remove_dir(&absolute)
                } else {
                    fs::remove_file(&absolute)
                };
            }
        }
    }

    fn put_own(&self, ws: &Path, step: StepName) {
        for (path, (by, node, made)) in &self.left {
            let absolute = ws.join(path);
            if *made && *by == step && read_node(&absolute).is_none() {
                // A file may lie where its folder was: then the step finds that.
                let _ = put(&absolute, node);
            }
        }
    }

    /// Remembers what the steps left, as the direct runs of them showed it.
    fn learn_left(&mut self, before: &Tree, changes: Changes) {
        let known = std::mem::take(&mut self.left);
        self.left = known.clone();
        for (step, path, node) in changes {
            let was_own = known.get(&path).is_some_and(|(by, _, made)| by.0 == step.0 && *made);
            let made = was_own || !before.contains_key(&path);
            match node {
                Some(node) => drop(self.left.insert(path, (step, node, made))),
                None => drop(self.left.remove(&path)),
            }
        }
    }
}

/// All ways to suppose something else of the outputs of some of these steps; absent everywhere first.
/// Of many steps only the first are used.
fn suppositions(steps: &[StepName]) -> Vec<Vec<(StepName, Own)>> {
    let steps = &steps[..steps.len().min(5)];
    let choose = |number: usize| {
        let digits = steps.iter().enumerate().map(|(at, step)| (*step, number / 3_usize.pow(at as u32) % 3));
        let supposed = digits.filter_map(|(step, digit)| match digit {
            0 => Some((step, Own::Absent)),
            1 => Some((step, Own::There)),
            _ => None,
        });
        supposed.collect()
    };
    (0..3_usize.pow(steps.len() as u32) - 1).map(choose).collect()
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

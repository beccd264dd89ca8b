//! From what was asked to the steps to run and what each waits for. Pure data and pure functions:
//! nothing here looks at the disk or starts anything.
//!
//! Read next: `select` (which packages), `graph` and `points` (tasks and their order), `command` (the language
//! of commands), `nested` (commands that stand for others), `env` (the variables that a step sees).

mod circle;
pub mod command;
pub mod env;
mod graph;
pub mod nested;
mod points;
mod select;

use crate::config::TaskConfig;
use crate::event::StepId;
use crate::problem::{Place, Problem, Problems};
use crate::workspace::{Definition, Since, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The steps to run, each with what it waits for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In an order in which every step comes after all that it waits for.
    pub steps: Vec<Step>,
    /// What the user should know of the selection, one line each: a filter that matched nothing.
    pub warnings: Vec<String>,
    /// What was left out of the selection because it is run otherwise, one line each.
    pub notes: Vec<String>,
    /// As many at once as like: `--parallel`.
    pub unlimited: bool,
}

impl Plan {
    /// Whether no other step can run while this one does: each comes before it or after it.
    pub fn runs_alone(&self, index: usize) -> bool {
        let (mut before, mut after) = (vec![false; self.steps.len()], vec![false; self.steps.len()]);
        let mut open = vec![index];
        while let Some(at) = open.pop() {
            for need in &self.steps[at].waits_for {
                if !std::mem::replace(&mut before[*need], true) {
                    open.push(*need);
                }
            }
        }
        after[index] = true;
        for (other, step) in self.steps.iter().enumerate().skip(index + 1) {
            after[other] = step.waits_for.iter().any(|need| after[*need]);
        }
        let goes_on = |other: usize| self.steps[other].config.persistent;
        (0..self.steps.len()).filter(|other| *other != index).all(|other| {
            match (before[other], after[other]) {
                (true, _) => !goes_on(other),
                (_, true) => !goes_on(index),
                (false, false) => false,
            }
        })
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The tasks, in order.
    pub tasks: Vec<TaskSpec>,
    /// What goes to the end of the last command of each of them, and of no other task.
    pub args: Vec<String>,
    /// `-r`: in all packages.
    pub recursive: bool,
    /// `-t`: in the package and those that it depends on.
    pub transitive: bool,
    /// `-w`: at the root.
    pub workspace_root: bool,
    /// `-F`: in the packages that one of these selects.
    pub filters: Vec<String>,
    /// `--parallel`: packages in no order.
    pub parallel: bool,
    /// `--ignore-depends-on`.
    pub ignore_depends_on: bool,
    /// `--fail-if-no-match`: a filter that matches nothing is an error.
    pub fail_if_no_match: bool,
    /// `--affected`: only in packages that changed since, and those that depend on them.
    pub affected: Option<Since>,
    /// The packages that changed since each of [`references`], by position.
    pub changed: BTreeMap<Since, BTreeSet<usize>>,
    /// Where the user is, absolute and resolved.
    pub from_dir: PathBuf,
    /// The script that this request comes from, as package managers tell the commands that they start.
    pub inside: Option<Inside>,
}

/// A script that is running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The manifest of its package (`npm_package_json`).
    pub manifest: PathBuf,
    /// Its name (`npm_lifecycle_event`).
    pub script: String,
}

/// What must be known of changes before a request can be planned.
///
/// # Errors
/// Flags that contradict each other: then nobody needs to be asked.
pub fn references(request: &Request) -> Result<BTreeSet<Since>, Problem> {
    select::contradictions(request)?;
    Ok(asked_of_git(request))
}

fn asked_of_git(request: &Request) -> BTreeSet<Since> {
    let filters = select::references(&request.filters).into_iter().map(Since::Named);
    filters.chain(request.affected.clone()).collect()
}

/// A task as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSpec {
    /// Of this package, instead of the one that the user is in.
    pub package: Option<String>,
    /// Its name.
    pub task: String,
}

impl TaskSpec {
    /// Reads `task`, `package#task`, and several of them with commas between.
    pub fn parse_list(text: &str) -> Vec<TaskSpec> {
        let parse = |one: &str| match one.rsplit_once('#') {
            Some((package, task)) => TaskSpec { package: Some(package.to_string()), task: task.to_string() },
            None => TaskSpec { package: None, task: one.to_string() },
        };
        text.split(',').filter(|one| !one.is_empty()).map(parse).collect()
    }
}

/// The steps for what was asked.
///
/// # Errors
/// All that is wrong with it: no such task or package, flags that contradict each other, a
/// `dependsOn` of nothing, a cycle.
pub fn make(workspace: &Workspace, request: &Request) -> Result<Plan, Problems> {
    let selected = select::select(workspace, request)?;
    let mut plan = graph::plan(workspace, request, &selected)?;
    plan.warnings = selected.warnings;
    plan.notes = selected.notes;
    plan.unlimited = request.parallel;
    Ok(plan)
}

/// The single step of `overhear exec`: a command as it stands, with no config of its own.
pub fn exec_step(workspace: &Workspace, words: &[String], cwd: PathBuf) -> Result<Step, Problems> {
    let Some((program, args)) = words.split_first() else {
        return Err(Problem::new("no command given").help("write overhear exec -- command arguments").into());
    };
    let package = workspace.package_around(&cwd);
    let text: Vec<String> = words.iter().map(|word| command::quote(word)).collect();
    let invocation =
        Invocation { env: Vec::new(), run: Run::Program { program: program.clone(), args: args.to_vec() } };
    let relative = cwd.strip_prefix(&workspace.root).map(|dir| dir.display().to_string()).unwrap_or_default();
    let shared: Vec<_> = graph::shared_files(workspace, package);
    let config = crate::config::TaskKeys::default().settle(&shared, workspace.settings().strict_env);
    Ok(Step {
        id: Arc::new(StepId {
            index: 0,
            task: "exec".into(),
            position: 0,
            command: text.join(" ").into(),
            cwd: if relative.is_empty() { ".".into() } else { relative.into() },
        }),
        package: Arc::new(graph::package_ref(workspace, package)),
        task_name: "exec".into(),
        invocation,
        cwd,
        config: Arc::new(config),
        origin: Origin::Exec,
        waits_for: Vec::new(),
        requested: true,
        has_args: false,
        beside: None,
    })
}

/// One line of `overhear list`.
#[derive(Clone, Debug)]
pub struct Listed<'a> {
    /// Position in [`Workspace::packages`].
    pub package: usize,
    /// `package#name`, or the name alone.
    pub label: String,
    /// The script or task.
    pub definition: Definition<'a>,
    /// Its commands as written, joined by `&&`; empty for a group.
    pub command: String,
    /// What it is for, if anybody wrote so.
    pub description: Option<&'a str>,
}

impl Listed<'_> {
    /// Where it is defined. Reads the file again.
    pub fn place(&self, workspace: &Workspace) -> Option<Place> {
        workspace.place_of(self.package, self.definition)
    }
}

/// All tasks, those of one package first.
pub fn list_from(workspace: &Workspace, package: usize) -> Vec<Listed<'_>> {
    let mut listed = list(workspace);
    listed.sort_by_key(|listed| listed.package != package);
    listed
}

/// All tasks, by package in the order of the workspace.
pub fn list(workspace: &Workspace) -> Vec<Listed<'_>> {
    let mut listed = Vec::new();
    for (at, package) in workspace.packages.iter().enumerate() {
        for definition in package.definitions() {
            let (command, description) = match definition {
                Definition::Script(script) => {
                    let entries = package.config.iter().flat_map(|config| &config.scripts);
                    let entry = entries.into_iter().find(|entry| entry.name == script.name);
                    (script.command.clone(), entry.and_then(|entry| entry.description.as_deref()))
                }
                Definition::Task(task) => {
                    (task.command.as_deref().unwrap_or_default().join(" && "), task.description.as_deref())
                }
            };
            let label = workspace.task_label(at, definition.name());
            listed.push(Listed { package: at, label, definition, command, description });
        }
    }
    listed
}

/// One command of a task, with all that is known of it beforehand.
#[derive(Clone, Debug)]
pub struct Step {
    /// How events name it.
    pub id: Arc<StepId>,
    /// The package of the task.
    pub package: Arc<PackageRef>,
    /// The name of the script or task, e.g. `build`.
    pub task_name: Arc<str>,
    /// What is started.
    pub invocation: Invocation,
    /// Where it is started, absolute.
    pub cwd: PathBuf,
    /// What a person wrote.
    pub config: Arc<TaskConfig>,
    /// Where the command comes from: it decides whether it is cached where nobody says so.
    pub origin: Origin,
    /// Positions in [`Plan::steps`] of the steps that must have succeeded before, or be ready.
    pub waits_for: Vec<usize>,
    /// It is of a task that was asked for, and not only waited for or called by one.
    pub requested: bool,
    /// Its command ends with arguments of the command line.
    pub has_args: bool,
    /// Of one call that starts all its tasks at once (`run-p`), by a number: such steps share one place of those
    /// that may run at once.
    pub beside: Option<usize>,
}

/// What a step needs to know of its package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageRef {
    /// `name` of package.json.
    pub name: Option<String>,
    /// `version` of package.json.
    pub version: Option<String>,
    /// Its folder, absolute and resolved.
    pub dir: PathBuf,
}

/// Where a command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `scripts` of package.json.
    Script,
    /// `tasks` of overhear.json.
    Task,
    /// The command line (`overhear exec`).
    Exec,
}

/// What is started, after the command language has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Variables set before the command (`NAME=value cmd`), in order.
    pub env: Vec<(String, String)>,
    /// The command itself.
    pub run: Run,
}

/// How it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// A program, searched in PATH where it has no `/`, with its arguments.
    Program {
        /// As written.
        program: String,
        /// Its arguments, quotes resolved.
        args: Vec<String>,
    },
    /// Anything that needs a shell: given whole to `sh -c`.
    Shell(String),
}

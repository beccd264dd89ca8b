//! From what was asked to the steps to run and what each waits for. Pure data and pure functions:
//! nothing here looks at the disk or starts anything.

use crate::config::TaskConfig;
use crate::event::StepId;
use std::path::PathBuf;
use std::sync::Arc;

/// The steps to run, each with what it waits for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In an order in which every step comes after all that it waits for.
    pub steps: Vec<Step>,
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
    /// Positions in [`Plan::steps`] of the steps that must have succeeded before.
    pub waits_for: Vec<usize>,
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

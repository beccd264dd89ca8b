//! Workspaces on disk, their mistakes, and the plans made of them.

mod discovery;
mod mistakes;
mod order;
mod selection;
mod shell;

use overhear::plan::{self, Inside, Plan, Request, TaskSpec};
use overhear::problem::Problems;
use overhear::workspace::Workspace;
use std::path::PathBuf;

/// A workspace in a folder of its own.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    /// Writes files given as path and text.
    fn new(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().expect("a temporary folder can be made") };
        files.iter().for_each(|(path, text)| fixture.write(path, text));
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.root().join(path);
        std::fs::create_dir_all(file.parent().expect("a file lies in a folder"))
            .expect("folders can be made");
        std::fs::write(file, text).expect("files can be written");
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("the folder is there")
    }

    fn load_from(&self, dir: &str) -> Result<Workspace, Problems> {
        Workspace::load(&self.root().join(dir))
    }

    fn load(&self) -> Workspace {
        self.load_from("").unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// All mistakes as they are shown, with paths relative to the root.
    fn mistakes(&self) -> String {
        self.load_from("").err().map(|problems| self.shown(problems)).unwrap_or_default()
    }

    fn shown(&self, problems: Problems) -> String {
        let root = format!("{}/", self.root().display());
        problems.seen_from(&self.root()).to_string().replace(&root, "")
    }

    fn request(&self, tasks: &str, dir: &str) -> Request {
        Request { tasks: TaskSpec::parse_list(tasks), from_dir: self.root().join(dir), ..Request::default() }
    }

    fn plan(&self, request: &Request) -> Plan {
        plan::make(&self.load(), request).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is wrong with a request.
    fn refused(&self, request: &Request) -> String {
        self.shown(plan::make(&self.load(), request).expect_err("the request is refused"))
    }
}

/// Each step as `task: command <- the positions it waits for`.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |step: &plan::Step| {
        let waits: Vec<String> = step.waits_for.iter().map(usize::to_string).collect();
        let waits = if waits.is_empty() { String::new() } else { format!(" <- {}", waits.join(",")) };
        format!("{}: {}{waits}", step.id.task, step.id.command)
    };
    plan.steps.iter().map(line).collect()
}

/// The tasks of a plan, each once, in order.
fn tasks(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = plan.steps.iter().map(|step| step.id.task.to_string()).collect();
    names.dedup();
    names
}

/// The folders of packages relative to the root, in order.
fn folders(workspace: &Workspace) -> Vec<String> {
    workspace.packages.iter().map(|package| package.relative_dir.display().to_string()).collect()
}

/// A package.json of this name, with scripts that echo and these dependencies.
fn manifest(name: &str, scripts: &[&str], dependencies: &[&str]) -> String {
    let scripts: Vec<String> =
        scripts.iter().map(|script| format!("\"{script}\": \"run-{script}\"")).collect();
    let dependencies: Vec<String> =
        dependencies.iter().map(|name| format!("\"{name}\": \"workspace:*\"")).collect();
    format!(
        "{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"scripts\": {{{}}}, \"dependencies\": {{{}}}}}",
        scripts.join(", "),
        dependencies.join(", ")
    )
}

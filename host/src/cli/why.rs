//! `overhear why`: would a task hit now, what differs if not, and why its last run was not stored.

use super::WhereArgs;
use super::setup::{self, Setup};
use crate::outcome::{Foreseen, Refusal};
use crate::plan::{self, Origin, Plan, Request, Step, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::report::{self, Told, Whose};
use crate::step::{self, Mode};
use crate::store::Store;
use crate::workspace::Workspace;
use clap::Args;
use serde_json::json;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear why build                 of the package you are in
  overhear why web#build -v          with every difference
  overhear why build --json          for scripts
  overhear why build -- --mode dev   as `overhear run build --mode dev` would be

Nothing is run and nothing is written.")]
pub struct WhyArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Every difference
    #[arg(short, long)]
    verbose: bool,
    /// The task
    #[arg(value_name = "[PKG#]TASK")]
    task: String,
    /// Arguments for it, as for `run`
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// `overhear why`.
pub fn why(args: &WhyArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let (plan, asked) = plans(&workspace, &from_dir, &args.task, &args.args)
        .map_err(|problems| problems.seen_from(&from_dir))?;
    let setup = Setup::to_look(&workspace, &from_dir);
    let foreseen = step::foresee(&setup.shared(Mode::Normal, false), &plan);
    let store = setup::look(&workspace).map_err(|error| Problem::new(error.to_string()))?;
    let is_asked = |step: &Step| asked.steps.iter().any(|other| other.id.task == step.id.task);
    let mut told = Vec::new();
    for (step, foreseen) in plan.steps.iter().zip(&foreseen).filter(|(step, _)| is_asked(step)) {
        let not_stored = last_refusal(&store, step);
        told.push(Told { step: &step.id, foreseen, whose: whose(&workspace, step), not_stored });
    }
    if args.json {
        let steps: Vec<_> = told.iter().map(report::foreseen_document).collect();
        let task = told.first().map(|told| &*told.step.task);
        report::print(&format!("{:#}\n", json!({ "version": 1, "task": task, "steps": steps })));
        return Ok(0);
    }
    if told.is_empty() {
        report::print(&group(&args.task, &plan));
        return Ok(0);
    }
    let texts = told.iter().map(|told| report::foreseen_text(told, args.verbose));
    let mut text = without_repetition(texts);
    text.push_str(&what_must_run_first(&plan, &foreseen, &told));
    report::print_colored(&text, None);
    Ok(0)
}

/// A task without a command, and what it waits for.
fn group(task: &str, plan: &Plan) -> String {
    let mut members: Vec<&str> = plan.steps.iter().map(|step| &*step.id.task).collect();
    members.dedup();
    let members: Vec<String> = members.iter().map(|task| format!("  overhear why {task}\n")).collect();
    match members.is_empty() {
        true => format!("{task} has no command, and waits for nothing\n"),
        false => format!("{task} has no command of its own; of what it waits for:\n{}", members.concat()),
    }
}

/// Steps of one task often differ in the same things: what the step before was told is told once.
fn without_repetition(texts: impl Iterator<Item = String>) -> String {
    let mut whole = String::new();
    let mut last = String::new();
    for text in texts {
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        whole.push_str(first);
        whole.push('\n');
        if rest != last {
            whole.push_str(rest);
        }
        last = rest.to_owned();
    }
    whole
}

/// The plan as `run` would have it, and the one of the task alone.
pub(super) fn plans(
    workspace: &Workspace,
    from_dir: &Path,
    task: &str,
    args: &[String],
) -> Result<(Plan, Plan), Problems> {
    let request = Request {
        tasks: TaskSpec::parse_list(task),
        args: args.to_vec(),
        from_dir: from_dir.to_path_buf(),
        ..Request::default()
    };
    let whole = plan::make(workspace, &request)?;
    let alone = plan::make(workspace, &Request { ignore_depends_on: true, ..request })?;
    Ok((whole, alone))
}

/// One line for each step that another one waits for, that is not asked about, and that must run.
fn what_must_run_first(plan: &Plan, foreseen: &[Foreseen], told: &[Told]) -> String {
    let named: Vec<&str> = told
        .iter()
        .filter_map(|told| match told.foreseen {
            Foreseen::Unknown { after, .. } => Some(&**after),
            _ => None,
        })
        .collect();
    let is_told = |task: &str| told.iter().any(|told| &*told.step.task == task);
    let first = plan.steps.iter().zip(foreseen).filter(|(step, foreseen)| {
        named.contains(&&*step.id.task) && !is_told(&step.id.task) && matches!(foreseen, Foreseen::Run(_))
    });
    let line = |(step, foreseen): (&Step, &Foreseen)| {
        report::foreseen_text(&Told { step: &step.id, foreseen, whose: None, not_stored: None }, false)
    };
    first.map(line).collect()
}

pub(super) fn last_refusal(store: &Store, step: &Step) -> Option<Refusal> {
    // What cannot be read is not known, and that is no reason to say nothing else.
    let last = store.last_run(step::scope(step)).ok()??;
    let facts = step::read_facts(&last.report)?;
    // Of one that failed it is said that it failed.
    if facts["failed"] == true { None } else { report::read_refusal(&facts["not_stored"]) }
}

pub(super) fn whose(workspace: &Workspace, step: &Step) -> Option<Whose> {
    let section = match step.origin {
        Origin::Script => "scripts",
        Origin::Task => "tasks",
        Origin::Exec => return None,
    };
    let package = step.package.dir.strip_prefix(&workspace.root).ok()?;
    // A script that only runs around it or for it is configured with the task.
    let task = step.id.task.rsplit('#').next().unwrap_or(&step.id.task).to_owned();
    Some(Whose { task, section, package: package.display().to_string() })
}

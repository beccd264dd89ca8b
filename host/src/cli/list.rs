//! `overhear list`, and `overhear run` without a task.

use super::WhereArgs;
use crate::plan::{self, TaskSpec};
use crate::problem::{Problem, Problems, closest};
use crate::report;
use crate::report::picker::{self, Choice};
use crate::workspace::{Definition, Workspace};
use clap::Args;
use serde_json::json;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear list
  overhear list --json     with where each is defined")]
pub struct ListArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `overhear list`.
pub fn list(args: &ListArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    if !args.json {
        return show(&workspace);
    }
    let tasks: Vec<_> = plan::list(&workspace)
        .iter()
        .map(|listed| {
            let place = listed.place(&workspace);
            json!({
                "task": listed.label,
                "package": workspace.packages[listed.package].name,
                "command": listed.command,
                "source": match listed.definition { Definition::Script(_) => "script", Definition::Task(_) => "task" },
                "file": place.as_ref().map(|place| place.file.strip_prefix(&workspace.root).unwrap_or(&place.file).display().to_string()),
                "line": place.as_ref().map(|place| place.line),
                "description": listed.description,
            })
        })
        .collect();
    report::print(&format!("{:#}\n", json!({ "version": 1, "tasks": tasks })));
    Ok(0)
}

/// The tasks by package, one a line.
pub fn show(workspace: &Workspace) -> Result<i32, Problems> {
    let listed = plan::list(workspace);
    if listed.is_empty() {
        report::print(
            "There are no tasks: no package.json here has scripts, and no overhear.json has tasks.\n",
        );
        return Ok(0);
    }
    let width = listed.iter().map(|listed| report::width(&listed.label)).max().unwrap_or(0).min(40);
    let mut text = String::new();
    for listed in &listed {
        let label = report::padded(&report::visible(&listed.label), width);
        text.push_str(&format!("{label}  {}\n", report::visible(&listed.command)));
    }
    report::print(&text);
    Ok(0)
}

/// What came of asking which task is meant.
pub enum Chosen {
    /// This one, as it is written on a command line.
    Task(String),
    /// None; with the exit code.
    Nothing(i32),
}

/// Lets a person choose a task; where there is none, the tasks are listed.
pub fn choose(workspace: &Workspace, from_dir: &Path, typed: &str) -> Result<Chosen, Problems> {
    if !picker::can_pick() {
        return show(workspace).map(Chosen::Nothing);
    }
    let here = workspace.package_around(from_dir);
    let listed = plan::list_from(workspace, here);
    if listed.is_empty() {
        return show(workspace).map(Chosen::Nothing);
    }
    let choice = |listed: &plan::Listed<'_>| {
        // What is here needs no package before it.
        let label =
            if listed.package == here { listed.definition.name().to_owned() } else { listed.label.clone() };
        Choice { label, detail: listed.description.map_or(listed.command.clone(), str::to_owned) }
    };
    let choices: Vec<Choice> = listed.iter().map(choice).collect();
    // A slip of the fingers that no search would find.
    let labels = || choices.iter().map(|choice| choice.label.as_str());
    let typed = match picker::finds(&choices, typed) {
        true => typed,
        false => closest(typed, labels()).unwrap_or(typed),
    };
    let picked = picker::pick(&choices, typed)
        .map_err(|error| Problem::new(format!("cannot ask on this terminal: {error}")))?;
    Ok(match picked {
        Some(index) => {
            let label = choices[index].label.clone();
            report::tell(&format!("chosen: {label}"));
            Chosen::Task(label)
        }
        None => Chosen::Nothing(picker::CANCELLED),
    })
}

/// Whether a word is one task that does not exist where the user is.
pub fn is_unknown(workspace: &Workspace, from_dir: &Path, word: &str) -> bool {
    let specs = TaskSpec::parse_list(word);
    let [spec] = specs.as_slice() else { return false };
    let package = match &spec.package {
        Some(name) => workspace.package_named(name),
        None => Some(workspace.package_around(from_dir)),
    };
    !word.starts_with('-') && package.is_none_or(|at| workspace.packages[at].definition(&spec.task).is_none())
}

//! `overhear list`, and `overhear run` without a task.

use super::WhereArgs;
use crate::plan;
use crate::problem::Problems;
use crate::report;
use crate::workspace::{Definition, Workspace};
use clap::Args;
use serde_json::json;

#[derive(Args)]
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
    let width = listed.iter().map(|listed| listed.label.chars().count()).max().unwrap_or(0).min(40);
    let mut text = String::new();
    for listed in &listed {
        text.push_str(&format!("{:width$}  {}\n", listed.label, listed.command));
    }
    report::print(&text);
    Ok(0)
}

//! `overhear inspect`: what the last run of a task depended on and made, each fact with its source.

use super::{WhereArgs, setup};
use crate::plan::{self, Request, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step;
use crate::store::Store;
use crate::workspace::Workspace;
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub struct InspectArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show only paths and names that contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The task
    #[arg(value_name = "[PKG#]TASK")]
    task: String,
}

/// `overhear inspect`. The exit code is 1 where nothing is known of a run.
pub fn inspect(args: &InspectArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let request = Request {
        tasks: TaskSpec::parse_list(&args.task),
        ignore_depends_on: true,
        from_dir: from_dir.clone(),
        ..Request::default()
    };
    let plan = plan::make(&workspace, &request).map_err(|problems| problems.seen_from(&from_dir))?;
    let cache = workspace.settings().cache;
    let opened = Store::open(&workspace.root, setup::cache_dir(&workspace, &cache).as_deref());
    let (store, _) = opened.map_err(|error| Problem::new(error.to_string()))?;
    let mut steps = Vec::new();
    for planned in &plan.steps {
        let last = store.last_run(step::scope(&planned.id.task, planned.id.position));
        let last = last.map_err(|error| Problem::new(error.to_string()))?;
        steps.extend(last.and_then(|last| step::read_facts(&last.report)));
    }
    let task = plan.steps.first().map_or(args.task.as_str(), |step| &step.id.task);
    if steps.is_empty() {
        return Err(Problem::new(format!("no run of {task} was overheard yet"))
            .help(format!("run it first: overhear run {}", args.task))
            .into());
    }
    if args.json {
        report::print(&format!("{:#}\n", json!({ "version": 1, "task": task, "steps": steps })));
    } else {
        steps.iter().for_each(|step| report::print(&text(step, args.search.as_deref())));
    }
    Ok(0)
}

/// One line a fact: `input src/main.tsx  (content, traced: read by node)`.
fn text(step: &Value, search: Option<&str>) -> String {
    let mut lines = vec![format!("$ {}", string(&step["command"]))];
    if let Some(adapter) = step["adapter"].as_object() {
        lines.push(format!(
            "adapter {} {} ({})",
            string(&adapter["id"]),
            string(&adapter["version"]),
            string(&adapter["subcommand"])
        ));
        lines.extend(said(&adapter["rules"], &adapter["advice"], &adapter["narrowing_refused"]));
    }
    if step["stored"] != json!(true) {
        lines.push(format!("not stored: {}", step["not_stored"]));
    }
    let mut facts = Vec::new();
    for input in list(&step["inputs"]) {
        let by = input["by"].as_str().map(|by| format!(": read by {by}")).unwrap_or_default();
        facts.push(format!(
            "input   {}  ({}, {}{by})",
            string(&input["path"]),
            string(&input["as"]),
            string(&input["source"])
        ));
    }
    for output in list(&step["outputs"]) {
        facts.push(format!(
            "output  {}  ({}, {} bytes)",
            string(&output["path"]),
            string(&output["as"]),
            output["bytes"]
        ));
    }
    for ignored in list(&step["ignored"]) {
        facts.push(format!(
            "ignored {}  ({}: {})",
            string(&ignored["path"]),
            string(&ignored["source"]),
            string(&ignored["why"])
        ));
    }
    for env in list(&step["envs"]) {
        facts.push(format!(
            "env     {}  ({}, {})",
            string(&env["name"]),
            string(&env["as"]),
            string(&env["source"])
        ));
    }
    for peer in list(&step["network"]) {
        facts.push(format!("network {}  (by {})", string(&peer["to"]), string(&peer["by"])));
    }
    lines.extend(facts.into_iter().filter(|fact| search.is_none_or(|search| fact.contains(search))));
    lines.join("\n") + "\n"
}

/// What the adapter said of the step, each with its reason, and where it was not believed.
fn said(rules: &Value, advice: &Value, refused: &Value) -> Vec<String> {
    let rules = list(rules)
        .map(|rule| format!("  {} {}: {}", string(&rule["rule"]), string(&rule["of"]), string(&rule["why"])));
    let advice = list(advice).map(|advice| {
        let file = advice["file"].as_str().map(|file| format!("{file}: ")).unwrap_or_default();
        format!("  advice [{}]: {file}{}", string(&advice["code"]), string(&advice["text"]))
    });
    let refused = list(refused).map(|refused| {
        let what = if refused["reads"] == json!(true) { "read" } else { "written" };
        format!(
            "  not believed: {} is {what}, and nothing shows that it does not matter ({}) [narrowing-refused]",
            string(&refused["path"]),
            string(&refused["why"])
        )
    });
    rules.chain(advice).chain(refused).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

//! `overhear inspect`: what the last run of a task depended on and made, each fact with its source.

use super::setup::{self, Setup};
use super::{WhereArgs, why};
use crate::plan::{self, Plan, Request, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::report::{self, Whose};
use crate::step::{self, Mode};
use crate::workspace::Workspace;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear inspect web#build
  overhear inspect build --search .env    only paths and names that contain this
  overhear inspect build --json")]
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
    let store = setup::look(&workspace).map_err(|error| Problem::new(error.to_string()))?;
    let mut steps = Vec::new();
    for planned in &plan.steps {
        let last = store.last_run(step::scope(planned));
        let last = last.map_err(|error| Problem::new(error.to_string()))?;
        let facts = last.and_then(|last| step::read_facts(&last.report));
        steps.extend(facts.map(|facts| (why::whose(&workspace, planned), facts)));
    }
    let task = plan.steps.first().map_or(args.task.as_str(), |step| &step.id.task);
    if steps.is_empty() {
        let problem = Problem::new(format!("no run of {task} was overheard yet"));
        return Err(problem.help(nothing_known(&workspace, &from_dir, &plan, &args.task)).into());
    }
    if args.json {
        let steps: Vec<Value> = steps.into_iter().map(|(_, step)| step).collect();
        report::print(&format!("{:#}\n", json!({ "version": 1, "task": task, "steps": steps })));
    } else {
        let text =
            |(whose, step): &(Option<Whose>, Value)| text(step, whose.as_ref(), args.search.as_deref());
        report::print_colored(&steps.iter().map(text).collect::<String>(), None);
    }
    Ok(0)
}

/// What to do where no run is known: to run it, or to have it cached.
fn nothing_known(workspace: &Workspace, from_dir: &Path, plan: &Plan, task: &str) -> String {
    let setup = Setup::to_look(workspace, from_dir);
    let shared = setup.shared(Mode::Normal, false);
    match plan.steps.iter().find_map(|planned| step::caching(&shared, planned).err()) {
        Some(why) => format!(
            "it is not overheard: {}; `overhear why {task}` says what would change it",
            report::miss_in_words(&why)
        ),
        None => format!("run it first: overhear run {task}"),
    }
}

/// One line a fact: `input src/main.tsx  (content, traced: read by node)`.
fn text(step: &Value, whose: Option<&Whose>, search: Option<&str>) -> String {
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
    if step["failed"] == true {
        lines.push("the last run failed; what follows is known of earlier ones".to_owned());
    }
    if let Some(refusal) = report::read_refusal(&step["not_stored"]) {
        lines.extend(report::refusal_text(&refusal, whose));
    }
    if search.is_none() {
        lines.push(counts(step));
    }
    let mut facts = Vec::new();
    let mut inputs: Vec<&Value> = list(&step["inputs"]).collect();
    inputs.sort_by_key(|input| (rank(&input["as"]), is_installed(input)));
    for input in inputs {
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
    // A file that was read and written is a fact each; a person reads the same line once.
    let mut told = BTreeSet::new();
    facts.retain(|fact| told.insert(fact.clone()));
    lines.extend(facts.into_iter().filter(|fact| search.is_none_or(|search| fact.contains(search))));
    lines.join("\n") + "\n"
}

/// As what inputs count, the most telling first: what was read before what was only looked for.
const KINDS: [(&str, &str); 6] = [
    ("content", "read"),
    ("listing", "listed"),
    ("link", "links"),
    ("kind", "looked at"),
    ("absent", "not there"),
    ("program", "programs"),
];

/// What one wrote comes before what one installed.
fn is_installed(input: &Value) -> bool {
    string(&input["path"]).split('/').any(|part| part == "node_modules")
}

fn rank(kind: &Value) -> usize {
    KINDS.iter().position(|(known, _)| kind == known).unwrap_or(KINDS.len())
}

/// `inputs: 40 (read 30, listed 1, not there 9); outputs: 3; variables: 4`.
fn counts(step: &Value) -> String {
    let of_kind = |(kind, word): &(&str, &str)| {
        let count = list(&step["inputs"]).filter(|input| input["as"] == *kind).count();
        (count > 0).then(|| format!("{word} {count}"))
    };
    let kinds: Vec<String> = KINDS.iter().filter_map(of_kind).collect();
    let number = |name: &str| list(&step[name]).count();
    format!(
        "inputs: {} ({}); outputs: {}; variables: {}",
        number("inputs"),
        kinds.join(", "),
        number("outputs"),
        number("envs")
    )
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

//! `overhear init`: what would be cached here and how that is known; and a minimal overhear.json where
//! one is needed. `--from` carries over what another runner was told (`carry`, and one file per
//! runner); what cannot be carried over is said.

mod calls;
mod carry;
mod lage;
mod moon;
mod nx;
mod turbo;
mod vite_task;
mod wireit;

use super::WhereArgs;
use super::setup::Setup;
use crate::outcome::{DisabledBy, MissReason};
use crate::plan::{self, Request, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step::{self, Mode};
use crate::workspace::Workspace;
use carry::Carried;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear init                       what would be cached, and how that is known
  overhear init --from turbo --print  what would be written, and what is left
  overhear init --from nx             writes it")]
pub struct InitArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// Carry over what this runner was told
    #[arg(long, value_name = "RUNNER")]
    from: Option<From>,
    /// Print what would be written, and write nothing
    #[arg(long)]
    print: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    Turbo,
    Nx,
    Wireit,
    Moon,
    Lage,
    ViteTask,
}

/// Files by which other runners are known.
const PEERS: [(&str, &str); 5] = [
    ("turbo.json", "turbo"),
    ("nx.json", "nx"),
    (".moon/workspace.yml", "moon"),
    ("lage.config.js", "lage"),
    ("vite-task.json", "vite-task"),
];

/// `overhear init`.
pub fn init(args: &InitArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let mut carried = Carried::default();
    match args.from {
        Some(From::Turbo) => turbo::carry(&workspace, &mut carried)?,
        Some(From::Nx) => nx::carry(&workspace, &mut carried)?,
        Some(From::Wireit) => wireit::carry(&workspace, &mut carried)?,
        Some(From::Moon) => moon::carry(&workspace, &mut carried)?,
        Some(From::Lage) => lage::carry(&workspace, &mut carried)?,
        Some(From::ViteTask) => vite_task::carry(&workspace, &mut carried)?,
        None => {
            report::print(&what_is_cached(&workspace, &from_dir));
            // What another runner was told says the order, and more.
            if peers(&workspace).next().is_some() {
                return Ok(0);
            }
            order_of_builds(&workspace, &mut carried);
        }
    }
    if args.from.is_some() {
        carried.without_dependencies_on_nothing(&workspace);
        carried.not_cached_at_the_root(|script| calls::is_run_of_many(&workspace, script));
        calls::list(&workspace, &mut carried);
    }
    hand_over(&workspace, &carried, args)?;
    Ok(0)
}

/// Writes the files, or prints them, and says what is left to do.
fn hand_over(workspace: &Workspace, carried: &Carried, args: &InitArgs) -> Result<(), Problems> {
    let documents = carried.documents(&workspace.root);
    let mut text = String::new();
    if documents.is_empty() {
        text.push_str(match workspace.packages[0].config {
            Some(_) => "The overhear.json that is there is enough.\n",
            None => "No overhear.json is needed here.\n",
        });
    }
    for (package, document) in &documents {
        let file = workspace.root.join(package).join("overhear.json");
        let shown = file.strip_prefix(&workspace.root).unwrap_or(&file).display();
        if args.print {
            text.push_str(&format!("{shown}:\n{}\n", carry::written(document)));
            continue;
        }
        if file.exists() {
            let problem = Problem::new(format!("{shown} is there already, and was not changed"));
            return Err(problem
                .help(
                    "with --print what would be written is only shown; move the file away to have it written",
                )
                .into());
        }
    }
    if !args.print {
        for (package, document) in &documents {
            let file = workspace.root.join(package).join("overhear.json");
            std::fs::write(&file, format!("{}\n", carry::written(document)))
                .map_err(|error| Problem::new(format!("cannot write {}: {error}", file.display())))?;
            text.push_str(&format!(
                "wrote {}\n",
                file.strip_prefix(&workspace.root).unwrap_or(&file).display()
            ));
        }
    }
    let lists = [("To do by hand:", &carried.to_do), ("Not carried over:", &carried.left)];
    for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&format!("\n{title}\n"));
        lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    report::print(&text);
    if !args.print && !documents.is_empty() {
        // What was just written is read as a run would read it: a mistake is told now.
        Workspace::load(&workspace.root).map_err(|problems| problems.seen_from(&workspace.root))?;
    }
    Ok(())
}

/// One line for each different command, with how many packages have it.
fn what_is_cached(workspace: &Workspace, from_dir: &Path) -> String {
    let setup = Setup::to_look(workspace, from_dir);
    let shared = setup.shared(Mode::Normal, false);
    let mut found: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for listed in plan::list(workspace) {
        let request = Request {
            tasks: vec![TaskSpec { package: None, task: listed.definition.name().to_owned() }],
            ignore_depends_on: true,
            from_dir: workspace.packages[listed.package].dir.clone(),
            ..Request::default()
        };
        let Ok(plan) = plan::make(workspace, &request) else { continue };
        let own = plan.steps.iter().filter(|step| *step.id.task == *listed.label);
        for step in own {
            let how = match step::caching(&shared, step) {
                Ok(Some(adapter)) => format!("cached: the adapter {adapter} knows it"),
                Ok(None) => "cached: the config says so".to_owned(),
                Err(MissReason::CacheDisabled(DisabledBy::Default)) => {
                    "runs each time: no adapter knows it".to_owned()
                }
                Err(MissReason::CacheDisabled(DisabledBy::Adapter(adapter, why))) => {
                    format!("runs each time: {why} ({adapter})")
                }
                Err(other) => format!("runs each time: {}", report::miss_in_words(&other)),
            };
            *found
                .entry((listed.definition.name().to_owned(), step.id.command.to_string(), how))
                .or_default() += 1;
        }
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let packages = counted(workspace.packages.len(), "package");
    let mut text = format!("{packages}, {}\n\n", counted(found.len(), "different command"));
    for ((task, command, how), count) in &found {
        let count = if *count > 1 { format!(" ({count} packages)") } else { String::new() };
        text.push_str(&format!("{task}: {command}{count}\n  {how}\n"));
    }
    let unknown = found.keys().any(|(_, _, how)| how.ends_with("no adapter knows it"));
    if unknown {
        text.push_str("\nTo cache a script that no adapter knows, say so for it in overhear.json:\n");
        text.push_str("  \"scripts\": {\"NAME\": {\"cache\": true}}\n");
    }
    for (file, runner) in peers(workspace) {
        text.push_str(&format!("\n{file} is here: overhear init --from {runner} carries it over.\n"));
    }
    text + "\n"
}

/// Other runners that are used here, by file and name.
fn peers(workspace: &Workspace) -> impl Iterator<Item = (&'static str, &'static str)> {
    PEERS.into_iter().filter(|(file, _)| workspace.root.join(file).exists())
}

/// Where packages that build depend on packages that build, a build alone must bring the others first.
fn order_of_builds(workspace: &Workspace, carried: &mut Carried) {
    let builds = |at: usize| workspace.packages[at].scripts.iter().any(|script| script.name == "build");
    let is_said = workspace.packages.iter().any(|package| package.config.is_some());
    let has_order = (0..workspace.packages.len()).any(|at| {
        builds(at) && workspace.packages[at].edges.iter().any(|edge| edge.to != at && builds(edge.to))
    });
    if has_order && !is_said {
        carried.entry("", "scripts", "build").insert("dependsOn".into(), json!(["^build"]));
    }
}

/// Reads a file of JSON with comments; `None` where there is none.
fn read_json(file: &Path) -> Result<Option<Value>, Problem> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    let text = text.trim_start_matches('\u{feff}');
    jsonc_parser::parse_to_serde_value::<Value>(text, &jsonc_parser::ParseOptions::default())
        .map(Some)
        .map_err(|error| Problem::new(format!("cannot read {}: {error}", file.display())))
}

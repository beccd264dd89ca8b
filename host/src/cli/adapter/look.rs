//! `overhear adapter list`, `inspect`, `run` and `why-not`: what there is, and what it says of a command.
//! Nothing is run or written.

use super::super::setup::Setup;
use super::{faulty, shelf};
use crate::adapter::Described;
use crate::adapter::cases;
use crate::adapter::examine::{Examined, Routed, Step, Subject, Trial};
use crate::adapter::lock::{Lock, Locked};
use crate::declaration::{Base, Declaration, PathRule};
use crate::plan;
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step::{self, Mode};
use crate::workspace::Workspace;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct InspectArgs {
    /// An adapter's file, or the id of one that this workspace has
    adapter: String,
}

#[derive(Args)]
pub struct RunArgs {
    /// Ask only the adapter in this file
    #[arg(long, value_name = "FILE")]
    adapter: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show what adapters write to their log
    #[arg(long)]
    log: bool,
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

#[derive(Args)]
pub struct WhyNotArgs {
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

/// `overhear adapter list`.
pub fn list(args: &ListArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let setup = Setup::to_look(&workspace, from_dir);
    let shared = setup.shared(Mode::Normal, true);
    let lock = Lock::load(&workspace.root).unwrap_or_default();
    let source = |described: &Described, file: Option<&str>| match (file, lock.of_id(&described.id)) {
        (None, _) => "part of overhear".to_owned(),
        (Some(_), Some(locked)) => format!("{}, locked", locked.source),
        (Some(file), None) => format!("{file}, not locked"),
    };
    if args.json {
        let all = shared.adapters.all().map(|(described, file)| {
            json!({ "id": described.id, "version": described.version, "title": described.title,
                    "programs": described.programs, "packages": described.packages,
                    "source": source(described, file) })
        });
        let faults: Vec<String> = shared.adapters.faults().map(ToString::to_string).collect();
        let document = json!({ "version": 1, "adapters": all.collect::<Vec<_>>(), "faults": faults });
        report::print(&format!("{document:#}\n"));
        return Ok(0);
    }
    for (described, file) in shared.adapters.all() {
        let Described { id, version, title, .. } = described;
        report::print(&format!("{id} {version}  {title} ({})\n", source(described, file)));
    }
    shared.adapters.faults().for_each(|fault| report::print(&format!("not used: {fault}\n")));
    Ok(0)
}

/// The adapters of this workspace that are no part of overhear, a line each, and those that cannot be used.
pub fn own(workspace: &Workspace, from_dir: &Path) -> Vec<String> {
    let setup = Setup::to_look(workspace, from_dir);
    let shared = setup.shared(Mode::Normal, true);
    let used = shared
        .adapters
        .all()
        .filter_map(|(described, file)| Some(format!("{} {} ({})", described.id, described.version, file?)));
    used.chain(shared.adapters.faults().map(|fault| format!("not used: {fault}"))).collect()
}

/// `overhear adapter inspect`.
pub fn inspect(args: &InspectArgs, from_dir: &Path) -> Result<i32, Problems> {
    let file = from_dir.join(&args.adapter);
    let subject = if file.is_file() {
        Subject::of_file(&file, &args.adapter, shelf(from_dir).as_ref()).map_err(faulty)?
    } else if let Some(subject) = Subject::built_in(&args.adapter) {
        subject.map_err(faulty)?
    } else {
        let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
        let located = super::trust::locate(&args.adapter, &workspace.root)?;
        Subject::of_file(&located.path, &located.name, shelf(&workspace.root).as_ref()).map_err(faulty)?
    };
    report::print(&about(&subject));
    Ok(0)
}

/// What an adapter says of itself, and what it may read.
pub fn about(subject: &Subject) -> String {
    let described = &subject.described;
    let mut text = format!("{} {}  {}\n", described.id, described.version, described.title);
    let now = Locked::of(described, subject.digest, "");
    let lists = [
        ("programs", described.programs.join(", ")),
        ("packages", described.packages.join(", ")),
        ("refines", described.refines.join(", ")),
        ("config files", described.config_files.join(", ")),
        ("may read", now.may_read.join(", ")),
        ("may ask for", now.may_read_env.join(", ")),
        ("tested with", described.tested_with.clone().unwrap_or_default()),
        ("settings", described.settings_schema.clone().unwrap_or_default()),
    ];
    for (name, value) in lists.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {name:<13} {value}\n"));
    }
    text.push_str(&format!("  {:<13} adapter API {}\n", "speaks", now.world));
    text.push_str(&format!("  {:<13} {} bytes, {}\n", "file", subject.bytes, now.digest));
    text
}

/// `overhear adapter run`. The exit code is 1 where no adapter knows the command, or one fails.
pub fn run(args: &RunArgs, from_dir: &Path) -> Result<i32, Problems> {
    super::require_program(&args.words)?;
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let setup = Setup::to_look(&workspace, from_dir);
    let shared = setup.shared(Mode::Off, true);
    let step = plan::exec_step(&workspace, &args.words, from_dir.to_path_buf())?;
    if let Some(file) = &args.adapter {
        let name = file.to_string_lossy();
        let shelf = shelf(&workspace.root);
        let subject = Subject::of_file(&from_dir.join(file), &name, shelf.as_ref()).map_err(faulty)?;
        let examined = step::with_call(&shared, &step, |call| {
            subject.examine(Trial { call, tool: None, settings: None, is_backwards: false })
        });
        let examined = examined.ok_or_else(|| not_found(&args.words))?;
        return Ok(show(&subject.described.id, &examined, args));
    }
    let routed = step::with_call(&shared, &step, |call| shared.adapters.route(call));
    let routed = routed.ok_or_else(|| not_found(&args.words))?;
    let id = match &routed.declared {
        Ok(Some(declaration)) => declaration.adapter.id.clone(),
        Ok(None) => String::new(),
        Err(fault) => fault.adapter.clone(),
    };
    if !args.json {
        report::print(&turned_away(&routed, false));
    }
    let subcommand = routed.declared.as_ref().ok().and_then(Option::as_ref);
    let subcommand = subcommand.map(|declaration| declaration.adapter.subcommand.clone());
    let Routed { declared, asked, used, .. } = routed;
    Ok(show(&id, &Examined { subcommand, declared, asked, used }, args))
}

fn not_found(words: &[String]) -> Problem {
    let program = words.first().map_or("", String::as_str);
    Problem::new(format!("`{program}` is no program that can be found here")).help(
        "programs of packages are in node_modules/.bin; adapters are asked of one command, not of a shell",
    )
}

/// Shows one call; gives the exit code.
fn show(id: &str, examined: &Examined, args: &RunArgs) -> i32 {
    let is_known = matches!(examined.declared, Ok(Some(_)));
    if args.json {
        let asked =
            examined.asked.iter().map(|(question, digest)| json!({ "question": question, "digest": digest }));
        let document = json!({
            "version": 1, "adapter": id, "subcommand": examined.subcommand,
            "asked": asked.collect::<Vec<_>>(), "said": cases::lines(examined),
            "fault": examined.declared.as_ref().err().map(ToString::to_string),
            "fuel": examined.used.fuel, "memory": examined.used.memory_bytes, "micros": examined.used.micros,
        });
        report::print(&format!("{document:#}\n"));
        return i32::from(!is_known);
    }
    let mut text = String::new();
    match &examined.declared {
        Ok(None) => text.push_str("no adapter knows this command; `overhear adapter why-not` says more\n"),
        Ok(Some(declaration)) => {
            text.push_str(&format!(
                "{id} {}: {}\n",
                declaration.adapter.version, declaration.adapter.subcommand
            ));
            text.push_str(&asked(examined));
            text.push_str(&said(declaration, examined));
        }
        Err(fault) => text.push_str(&format!("{}{fault}\n", asked(examined))),
    }
    if args.log {
        examined.used.log.lines().for_each(|line| text.push_str(&format!("  log: {line}\n")));
    }
    let used = &examined.used;
    if used.fuel > 0 {
        text.push_str(&format!(
            "used {} units of fuel, {} KiB, {} µs\n",
            used.fuel,
            used.memory_bytes / 1024,
            used.micros
        ));
    }
    report::print(&text);
    i32::from(!is_known)
}

fn asked(examined: &Examined) -> String {
    examined
        .asked
        .iter()
        .map(|(question, digest)| format!("  asked: {question}  {}\n", &digest[..digest.len().min(12)]))
        .collect()
}

/// The declaration, each rule with its reason.
fn said(declaration: &Declaration, examined: &Examined) -> String {
    let base = |base: Base| match base {
        Base::Workspace => "",
        Base::Package => "package: ",
        Base::Cwd => "cwd: ",
    };
    let lists: [(&str, &[PathRule]); 7] = [
        ("input", &declaration.inputs),
        ("ignored read", &declaration.ignored_reads),
        ("ignored write", &declaration.ignored_writes),
        ("output", &declaration.outputs),
        ("cache", &declaration.cache_dirs),
        ("generated", &declaration.generated),
        ("state", &declaration.state_files),
    ];
    let mut text = String::new();
    let lines = cases::lines(examined);
    let of = |key: &str| lines.get(key).into_iter().flatten();
    of("verdict").for_each(|verdict| text.push_str(&format!("  verdict: {verdict}\n")));
    for (name, rules) in lists {
        for rule in rules {
            text.push_str(&format!("  {name}: {}{}  ({})\n", base(rule.base), rule.pattern, rule.why));
        }
    }
    of("env").for_each(|rule| text.push_str(&format!("  variable: {rule}\n")));
    for (key, words) in [
        ("inner-disable-cache", "its own word against caching comes from an inner server"),
        ("empty-prefix-is-declared", "where it asks for every variable it means these"),
    ] {
        of(key).for_each(|_| text.push_str(&format!("  {words}\n")));
    }
    of("advice").for_each(|advice| text.push_str(&format!("  advice: {advice}\n")));
    text
}

/// `overhear adapter why-not`. The exit code is 1 where no adapter knows the command.
pub fn why_not(args: &WhyNotArgs, from_dir: &Path) -> Result<i32, Problems> {
    super::require_program(&args.words)?;
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let setup = Setup::to_look(&workspace, from_dir);
    let shared = setup.shared(Mode::Off, true);
    let step = plan::exec_step(&workspace, &args.words, from_dir.to_path_buf())?;
    let routed = step::with_call(&shared, &step, |call| {
        let found = format!("the program is {}\n", call.program.display());
        (found, shared.adapters.route(call))
    });
    let (found, routed) = routed.ok_or_else(|| not_found(&args.words))?;
    let mut text = found;
    match &routed.tool {
        Some((name, version)) => {
            let version = version.as_deref().unwrap_or("without a version");
            text.push_str(&format!("it belongs to the package {name} {version}\n"));
        }
        None => text.push_str("it belongs to no installed package\n"),
    }
    text.push_str(&turned_away(&routed, true));
    text.push_str(&match &routed.declared {
        Ok(Some(declaration)) => format!("{} declares it\n", declaration.adapter.id),
        Ok(None) => "no adapter declares it: what was traced decides\n".into(),
        Err(fault) => format!("it is run and not stored: {fault}\n"),
    });
    report::print(&text);
    Ok(i32::from(!matches!(routed.declared, Ok(Some(_)))))
}

/// How far the command came to each adapter; `whole`: also to those that do not name the program.
fn turned_away(routed: &Routed, whole: bool) -> String {
    let line = |(id, step): &(String, Step)| match step {
        Step::Broken(fault) => Some(format!("{id}: cannot be used: {fault}\n")),
        Step::NotNamed if whole => Some(format!("{id}: names neither this program nor its package\n")),
        Step::NotNamed => None,
        Step::SaidNo => Some(format!("{id}: names it, and says that this call is not its own\n")),
        Step::Failed(fault) => Some(format!("{id}: fails: {fault}\n")),
        Step::Knows(name) => Some(format!("{id}: knows it as `{name}`\n")),
    };
    routed.steps.iter().filter_map(line).collect()
}

//! `overhear run` and `overhear exec`.

use super::setup::Setup;
use super::{WhereArgs, graph, list, meant, took, watch};
use crate::event::Stream;
use crate::plan::{self, Inside, Plan, Request, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::process::Running;
use crate::report::picker;
use crate::report::{self, All, Detail, Lines, Profile, Reporter, Style, Summary, Told};
use crate::session::watch::Watch;
use crate::session::{self, End, Options};
use crate::step::{self, Mode, Shared};
use crate::workspace::{self, Since, Workspace};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Shown below `overhear run --help`.
pub const EXAMPLES: &str = "\
Examples:
  overhear run build                 the task `build` of the package you are in
  overhear run web#build             of another package
  overhear run -r build,test         of all packages, dependencies first
  overhear run -F 'web...' build     of web and all that it depends on
  overhear run --dry-run -r build    what would run, and why; nothing is run
  overhear run build --mode staging  what comes after the task goes to it";

/// The variable that says what `--concurrency` does.
pub const CONCURRENCY: &str = "OVERHEAR_CONCURRENCY";

/// Headings of `--help`.
const SELECTION: &str = "Which packages";
const CACHING: &str = "Caching";
const SHOWING: &str = "What is shown";

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    how: HowArgs,
    /// In all packages, dependencies first
    #[arg(short, long, help_heading = SELECTION)]
    recursive: bool,
    /// In this package and those it depends on
    #[arg(short, long, help_heading = SELECTION)]
    transitive: bool,
    /// In the package at the workspace root
    #[arg(short, long, help_heading = SELECTION)]
    workspace_root: bool,
    /// In the packages that match, e.g. `web`, `@acme/*`, `./apps/*`, `web...`, `!docs`
    #[arg(short = 'F', long, value_name = "PATTERN", help_heading = SELECTION)]
    filter: Vec<String>,
    /// Only packages that changed since, and those that depend on them; by default since this branch left
    /// the main one
    #[arg(long, value_name = "COMMIT", num_args = 0..=1, require_equals = true, default_missing_value = "",
          help_heading = SELECTION)]
    affected: Option<String>,
    /// Packages in no order, all at once
    #[arg(long, help_heading = SELECTION)]
    parallel: bool,
    /// Without the tasks named in `dependsOn`
    #[arg(long, help_heading = SELECTION)]
    ignore_depends_on: bool,
    /// A filter that matches no package is an error
    #[arg(long, help_heading = SELECTION)]
    fail_if_no_match: bool,
    /// Print the steps and what each waits for, and run nothing
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "dot",
          value_parser = ["dot", "json", "html"], conflicts_with_all = ["dry_run", "json"])]
    graph: Option<String>,
    /// Go on, and run again what a change touches
    #[arg(long, conflicts_with_all = ["dry_run", "graph", "json", "summarize", "trace_profile", "last_details"])]
    watch: bool,
    /// Show how the last run went, and run nothing
    #[arg(long, conflicts_with_all = ["dry_run", "graph", "words"])]
    last_details: bool,
    /// The task, or several with commas between, and arguments for it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "[PKG#]TASK[,TASK…] [ARGS…]")]
    words: Vec<String>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear exec -- tsc -p .            cached, with no config at all
  overhear exec --dry-run -- tsc -p .  would it hit")]
pub struct ExecArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    how: HowArgs,
    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND [ARGS…]"
    )]
    words: Vec<String>,
}

fn at_least_one(written: &str) -> Result<NonZeroUsize, &'static str> {
    written.parse().map_err(|_| "write a number from 1")
}

/// How steps are run and shown.
#[derive(Args)]
pub(super) struct HowArgs {
    /// Cache every script, also one that nothing is known of
    #[arg(long, conflicts_with_all = ["no_cache"], help_heading = CACHING)]
    cache: bool,
    /// Run everything, and keep nothing
    #[arg(long, conflicts_with_all = ["force"], help_heading = CACHING)]
    no_cache: bool,
    /// Run everything, and keep it
    #[arg(long, help_heading = CACHING)]
    force: bool,
    /// Adapters exactly as they are locked; always so where CI is set
    #[arg(long, help_heading = CACHING)]
    frozen: bool,
    /// Say what would run and why; run and write nothing
    #[arg(long)]
    dry_run: bool,
    /// At most so many steps at once
    #[arg(
        long,
        alias = "concurrency-limit",
        value_name = "N",
        env = CONCURRENCY,
        hide_env_values = true,
        value_parser = at_least_one
    )]
    concurrency: Option<NonZeroUsize>,
    /// Go on with what does not depend on a failed task
    #[arg(long = "continue")]
    keep_going: bool,
    /// How what commands print is shown: interleaved, or grouped in GitHub Actions
    #[arg(long, value_name = "FORM", value_parser = ["interleaved", "labeled", "grouped"], help_heading = SHOWING)]
    log: Option<String>,
    /// Write what happened to standard output, as JSON; what commands print goes to standard error
    #[arg(long, help_heading = SHOWING)]
    json: bool,
    /// Write what happened to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = SHOWING)]
    summarize: Option<PathBuf>,
    /// Write when each step ran to this file, for chrome://tracing and Perfetto
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", help_heading = SHOWING)]
    trace_profile: Option<PathBuf>,
    /// Every difference, and what can be done
    #[arg(short, long, conflicts_with = "quiet", help_heading = SHOWING)]
    verbose: bool,
    /// Show only what commands print, and failures
    #[arg(short, long, help_heading = SHOWING)]
    quiet: bool,
    /// Colours: by default where the output is a terminal
    #[arg(long, value_name = "WHEN", value_parser = ["always", "never", "auto"], default_value = "auto", help_heading = SHOWING)]
    color: String,
}

impl HowArgs {
    fn mode(&self) -> Mode {
        match (self.no_cache, self.force, self.cache) {
            (true, _, _) => Mode::Off,
            (_, true, true) => Mode::ForceAll,
            (_, true, _) => Mode::Force,
            (_, _, true) => Mode::All,
            _ => Mode::Normal,
        }
    }

    /// As many as there are cores; all at once where packages come in no order, as with servers.
    fn concurrency(&self, plan: &Plan) -> usize {
        match (self.concurrency, plan.steps.len()) {
            (Some(asked), _) => asked.get(),
            // Asking takes a dozen system calls.
            (None, 0 | 1) => 1,
            (None, steps) if plan.unlimited => steps,
            _ => std::thread::available_parallelism().map_or(2, NonZeroUsize::get),
        }
    }

    fn color(&self) -> Option<bool> {
        match self.color.as_str() {
            "always" => Some(true),
            "never" => Some(false),
            _ => None,
        }
    }

    /// What is no mistake is not for who wants it quiet.
    fn notes<'a>(&self, plan: &'a Plan) -> &'a [String] {
        if self.quiet { &[] } else { &plan.notes }
    }

    fn detail(&self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (_, true) => Detail::Verbose,
            _ => Detail::Normal,
        }
    }

    /// A single step has no other to be told apart from, and is shown as it comes unless asked.
    fn style(&self, steps: usize) -> Style {
        let in_actions = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        match (self.log.as_deref(), in_actions) {
            (Some("labeled"), _) => Style::Labeled,
            (Some("grouped"), true) => Style::GroupedForActions,
            (Some("grouped"), false) => Style::Grouped,
            (None, true) if steps > 1 => Style::GroupedForActions,
            _ => Style::Interleaved,
        }
    }

    /// Where everything that is shown goes, if not where commands print it. GitHub Actions reads two
    /// pipes in no order, and groups only hold what comes in order.
    fn only(&self, style: Style) -> Option<Stream> {
        match style {
            _ if self.json => Some(Stream::Err),
            Style::GroupedForActions => Some(Stream::Out),
            _ => None,
        }
    }
}

/// `overhear run`.
pub fn run(args: &RunArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    if args.last_details {
        return last_details(&workspace, &args.how);
    }
    let mut words = args.words.clone();
    if words.first().is_some_and(|word| word.starts_with('-')) {
        return Err(meant::unknown_flag(&words));
    }
    if words.is_empty() {
        args.needs_a_task(&workspace)?;
        match list::choose(&workspace, &from_dir, "")? {
            list::Chosen::Task(task) => words.push(task),
            list::Chosen::Nothing(code) => return Ok(code),
        }
    }
    if let [word] = words.as_mut_slice()
        && !args.selects()
        && list::is_unknown(&workspace, &from_dir, word)
        && picker::can_pick()
    {
        match list::choose(&workspace, &from_dir, word)? {
            list::Chosen::Task(task) => *word = task,
            list::Chosen::Nothing(code) => return Ok(code),
        }
    }
    let Some((tasks, rest)) = words.split_first() else { return Ok(0) };
    let request = args.request(&from_dir, TaskSpec::parse_list(tasks), rest);
    let make = |workspace: &Workspace| {
        let request = with_changes(workspace, &request)?;
        plan::make(workspace, &request).map_err(|problems| problems.seen_from(&from_dir))
    };
    let plan = make(&workspace)?;
    if let Some(format) = &args.graph {
        let last = std::fs::read(last_run_file(&workspace)).unwrap_or_default();
        let last = serde_json::from_slice(&last).unwrap_or_default();
        report::print(&graph::print(&plan, format, &last));
        return Ok(0);
    }
    // Whoever meant overhear by one of these would not have had it run.
    let tells = !args.how.quiet && meant::tell_of_misplaced_flags(tasks, rest, meant::decides_what_runs);
    if !args.how.quiet {
        meant::tell_of_tasks_as_args(&workspace, tasks, rest);
    }
    if args.watch {
        return watch::watch((workspace, plan), &from_dir, &args.how, &make);
    }
    let code = start(&workspace, &plan, &from_dir, &args.how)?;
    if code != 0 && !tells {
        meant::tell_of_misplaced_flags(tasks, rest, |_| true);
    }
    // The process ends: to free thousands of steps one by one would be for nothing.
    std::mem::forget((workspace, plan));
    Ok(code)
}

impl RunArgs {
    /// Whether a flag says which packages, or what is to be printed instead of run.
    fn selects(&self) -> bool {
        self.recursive
            || self.transitive
            || self.workspace_root
            || !self.filter.is_empty()
            || self.affected.is_some()
            || self.graph.is_some()
            || self.how.dry_run
            || self.how.json
    }

    /// Where a flag is given there is something to be run: a list of the tasks, as without any, would pass for
    /// a run that went well.
    fn needs_a_task(&self, workspace: &Workspace) -> Result<(), Problem> {
        let files = [("--summarize", &self.how.summarize), ("--trace-profile", &self.how.trace_profile)];
        for (flag, file) in files {
            let Some(file) = file.as_ref().and_then(|file| file.to_str()) else { continue };
            if meant::is_task(workspace, file) {
                let message = format!("no task named: {flag} took `{file}` for its file");
                return Err(Problem::new(message).help(format!("write {flag} FILE {file}")));
            }
        }
        // Who is asked which task is meant has not been told that one ran.
        let is_given = self.selects() || (self.says_how() && !picker::can_pick());
        match is_given {
            true => Err(Problem::new("no task named").help("`overhear list` shows the tasks")),
            false => Ok(()),
        }
    }

    /// Whether a flag says how what is run is run or shown. A variable is set for all runs, and says nothing of
    /// this one.
    fn says_how(&self) -> bool {
        let how = &self.how;
        how.cache
            || how.no_cache
            || how.force
            || how.frozen
            || how.keep_going
            || how.log.is_some()
            || how.summarize.is_some()
            || how.trace_profile.is_some()
            || how.verbose
            || how.quiet
            || how.color != "auto"
            || (how.concurrency.is_some() && std::env::var_os(CONCURRENCY).is_none())
            || self.parallel
            || self.ignore_depends_on
            || self.fail_if_no_match
            || self.watch
    }

    fn request(&self, from_dir: &Path, tasks: Vec<TaskSpec>, rest: &[String]) -> Request {
        Request {
            tasks,
            args: rest.to_vec(),
            recursive: self.recursive,
            transitive: self.transitive,
            workspace_root: self.workspace_root,
            filters: self.filter.clone(),
            parallel: self.parallel,
            ignore_depends_on: self.ignore_depends_on,
            fail_if_no_match: self.fail_if_no_match,
            affected: self.affected.as_ref().map(|commit| match commit.as_str() {
                "" => Since::MainBranch,
                commit => Since::Named(commit.to_owned()),
            }),
            changed: BTreeMap::new(),
            from_dir: from_dir.to_path_buf(),
            inside: inside(),
        }
    }
}

/// The script that this was started from, by what package managers and overhear tell it.
fn inside() -> Option<Inside> {
    let manifest = PathBuf::from(std::env::var_os("npm_package_json")?).canonicalize().ok()?;
    Some(Inside { manifest, script: std::env::var("npm_lifecycle_event").ok()? })
}

/// The request with what git says of the commits that it names.
fn with_changes(workspace: &Workspace, request: &Request) -> Result<Request, Problems> {
    let mut request = request.clone();
    for since in plan::references(&request)? {
        let changed = workspace::changed_packages(workspace, &since)?;
        request.changed.insert(since, changed);
    }
    Ok(request)
}

/// `overhear exec`.
pub fn exec(args: &ExecArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let step = plan::exec_step(&workspace, &args.words, from_dir.clone())?;
    let plan = Plan { steps: vec![step], ..Plan::default() };
    start(&workspace, &plan, &from_dir, &args.how)
}

/// Runs the plan, or says what it would come to.
fn start(workspace: &Workspace, plan: &Plan, from_dir: &Path, how: &HowArgs) -> Result<i32, Problems> {
    if workspace.is_plug_and_play() {
        return Err(Problem::new("Yarn Plug'n'Play is not supported: programs of packages are in archives, not in node_modules/.bin")
            .help("write `nodeLinker: node-modules` into .yarnrc.yml and run yarn install")
            .into());
    }
    if how.dry_run {
        return foresee(workspace, plan, from_dir, how);
    }
    let running = Running::new();
    // Without it a signal ends overhear at once, and the guard ends what it started.
    let _ = running.watch_signals(|_, _| {});
    let end = go(workspace, plan, from_dir, how, &running, None)?;
    crate::trace::guard::stop();
    match end {
        End::Code(code) => Ok(code),
        End::Replan => unreachable!("nothing is watched"),
    }
}

/// What cannot be written at the end is said before anything runs. Nothing is made yet: a command may make
/// the folder, or empty it.
fn can_be_written(file: &Path, what: &str) -> Result<(), Problem> {
    let failed = |why: &dyn std::fmt::Display| {
        Problem::new(format!("cannot write {what} to `{}`: {why}", file.display()))
    };
    if file.is_dir() {
        return Err(failed(&"it is a folder"));
    }
    // Without any in front it lies in the folder where overhear was started.
    let here = Path::new(".");
    let above = file.ancestors().map(|path| if path.as_os_str().is_empty() { here } else { path });
    let Some(nearest) = above.into_iter().find(|path| path.symlink_metadata().is_ok()) else { return Ok(()) };
    if nearest != file && !nearest.is_dir() {
        return Err(failed(&format_args!("`{}` is no folder", nearest.display())));
    }
    rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK)
        .map_err(|error| failed(&std::io::Error::from(error)))
}

/// Runs the plan, and goes on with it where files are watched.
pub(super) fn go(
    workspace: &Workspace,
    plan: &Plan,
    from_dir: &Path,
    how: &HowArgs,
    running: &Running,
    watch: Option<&mut Watch>,
) -> Result<End, Problems> {
    for (file, what) in [(&how.summarize, "the summary"), (&how.trace_profile, "the profile")] {
        file.as_ref().map_or(Ok(()), |file| can_be_written(file, what))?;
    }
    let style = how.style(plan.steps.len());
    let mut lines = Lines::new(how.detail(), how.color(), style, how.only(style));
    plan.warnings.iter().chain(how.notes(plan)).for_each(|warning| lines.notice(warning));
    let (mut setup, notices) = Setup::to_run(workspace, from_dir, how.mode(), how.frozen);
    setup.running = running.clone();
    notices.iter().for_each(|notice| lines.notice(notice));
    let file = took::file(workspace);
    lines.expect(move || took::expected(&file));
    let options = Options { concurrency: how.concurrency(plan), keep_going: how.keep_going };
    let weights = took::weights(&took::file(workspace), plan, options.concurrency);
    let (mut summary, mut profile) = (Summary::default(), Profile::default());
    let end = {
        let mut reporters: Vec<&mut dyn Reporter> = vec![&mut lines, &mut summary];
        if how.trace_profile.is_some() {
            reporters.push(&mut profile);
        }
        // Whoever asked for labels or groups gets them.
        let gives_terminal = style == Style::Interleaved && !how.json && watch.is_none();
        let shows_colors = report::shows_colors(how.color());
        let shared = Shared { shows_colors, ..setup.shared(how.mode(), gives_terminal) };
        session::run(plan, &shared, options, &weights, watch, &mut All(reporters))
    };
    if let Some(error) = setup.keep_below() {
        lines.notice(&format!("the cache could not be kept below its size: {error}"));
    }
    let summary = summary.document();
    keep_for_details(workspace, &summary);
    took::keep(&took::file(workspace), &summary);
    if let Some(file) = &how.trace_profile {
        write_document(file, "the profile", &profile.document())?;
    }
    hand_out(how, &summary)?;
    Ok(end)
}

fn foresee(workspace: &Workspace, plan: &Plan, from_dir: &Path, how: &HowArgs) -> Result<i32, Problems> {
    plan.warnings.iter().chain(how.notes(plan)).for_each(|warning| report::tell(warning));
    let (setup, notices) = Setup::to_foresee(workspace, from_dir, how.frozen);
    notices.iter().for_each(|notice| report::tell(notice));
    let foreseen = step::foresee(&setup.shared(how.mode(), false), plan);
    let told: Vec<Told> = plan
        .steps
        .iter()
        .zip(&foreseen)
        .map(|(step, foreseen)| Told { step: &step.id, foreseen, whose: None, not_stored: None })
        .collect();
    let tasks: Vec<Value> = told.iter().map(report::foreseen_document).collect();
    let document =
        json!({ "version": 1, "overhear": env!("CARGO_PKG_VERSION"), "dry_run": true, "tasks": tasks });
    hand_out(how, &document)?;
    if !how.json {
        let text: String = told.iter().map(|told| report::foreseen_text(told, how.verbose)).collect();
        report::print_colored(&text, how.color());
    }
    Ok(0)
}

fn hand_out(how: &HowArgs, document: &Value) -> Result<(), Problems> {
    if how.json {
        report::print(&format!("{document:#}\n"));
    }
    how.summarize.as_ref().map_or(Ok(()), |file| write_document(file, "the summary", document))
}

fn write_document(file: &Path, what: &str, document: &Value) -> Result<(), Problems> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(file, format!("{document:#}\n")))
        .map_err(|error| Problem::new(format!("cannot write {what} to `{}`: {error}", file.display())).into())
}

/// The file with how the last run went.
fn last_run_file(workspace: &Workspace) -> PathBuf {
    workspace.root.join(crate::store::FOLDER).join("last-run.json")
}

/// Without it `--last-details` has nothing newer to show: no reason to fail a run.
fn keep_for_details(workspace: &Workspace, summary: &Value) {
    let _ = crate::store::write_private(&last_run_file(workspace), summary.to_string().as_bytes());
}

/// `overhear run --last-details`.
fn last_details(workspace: &Workspace, how: &HowArgs) -> Result<i32, Problems> {
    let file = last_run_file(workspace);
    let text = std::fs::read(&file).ok();
    let Some(summary) = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        return Err(Problem::new("no run is known here")
            .help("run something first: overhear run build")
            .into());
    };
    hand_out(how, &summary)?;
    if !how.json {
        report::print_colored(&report::details(&summary), how.color());
    }
    Ok(0)
}

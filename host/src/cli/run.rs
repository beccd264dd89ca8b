//! `overhear run` and `overhear exec`.

use super::{WhereArgs, list};
use crate::adapter::{Adapters, Memo};
use crate::config::CacheDefaults;
use crate::digest::Digest;
use crate::fingerprint::Digests;
use crate::path::Places;
use crate::plan::{self, Plan, Request, TaskSpec};
use crate::problem::{Problem, Problems};
use crate::process::Running;
use crate::report::{All, Lines, Reporter, Summary};
use crate::session::{self, Options};
use crate::step::{Mode, Shared};
use crate::store::Store;
use crate::workspace::Workspace;
use crate::zone::Zones;
use clap::Args;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Shown below `overhear run --help`.
pub const EXAMPLES: &str = "\
Examples:
  overhear run build                 the task `build` of the package you are in
  overhear run web#build             of another package
  overhear run -r build,test         of all packages, dependencies first
  overhear run build --mode staging  what comes after the task goes to it, untouched";

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    how: HowArgs,
    /// In all packages, dependencies first
    #[arg(short, long)]
    recursive: bool,
    /// In this package and those it depends on
    #[arg(short, long)]
    transitive: bool,
    /// In the package at the workspace root
    #[arg(short, long)]
    workspace_root: bool,
    /// In the packages that match, e.g. `web`, `@acme/*`, `./apps/*`, `web...`, `!docs`
    #[arg(short = 'F', long, value_name = "PATTERN")]
    filter: Vec<String>,
    /// Packages in no order
    #[arg(long)]
    parallel: bool,
    /// Without the tasks named in `dependsOn`
    #[arg(long)]
    ignore_depends_on: bool,
    /// A filter that matches no package is an error
    #[arg(long)]
    fail_if_no_match: bool,
    /// The task, or several with commas between, and arguments for it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "[PKG#]TASK[,TASK…] [ARGS…]")]
    words: Vec<String>,
}

#[derive(Args)]
pub struct ExecArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    how: HowArgs,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND [ARGS…]")]
    words: Vec<String>,
}

/// How steps are run and shown.
#[derive(Args)]
struct HowArgs {
    /// Cache every script, also one that nothing is known of
    #[arg(long, conflicts_with_all = ["no_cache"])]
    cache: bool,
    /// Run everything, and keep nothing
    #[arg(long, conflicts_with_all = ["force"])]
    no_cache: bool,
    /// Run everything, and keep it
    #[arg(long)]
    force: bool,
    /// At most so many steps at once
    #[arg(long, alias = "concurrency-limit", value_name = "N", env = "OVERHEAR_CONCURRENCY", hide_env_values = true)]
    concurrency: Option<NonZeroUsize>,
    /// Go on with what does not depend on a failed task
    #[arg(long = "continue")]
    keep_going: bool,
    /// Write what happened to this file, as JSON
    #[arg(long, value_name = "FILE")]
    summarize: Option<PathBuf>,
    /// Show only what commands print, and failures
    #[arg(short, long)]
    quiet: bool,
    /// Colours: by default where the output is a terminal
    #[arg(long, value_name = "WHEN", value_parser = ["always", "never", "auto"], default_value = "auto")]
    color: String,
}

impl HowArgs {
    fn mode(&self) -> Mode {
        match (self.no_cache, self.force, self.cache) {
            (true, _, _) => Mode::Off,
            (_, true, _) => Mode::Force,
            (_, _, true) => Mode::All,
            _ => Mode::Normal,
        }
    }

    fn color(&self) -> Option<bool> {
        match self.color.as_str() {
            "always" => Some(true),
            "never" => Some(false),
            _ => None,
        }
    }
}

/// `overhear run`.
pub fn run(args: &RunArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let Some((tasks, rest)) = args.words.split_first() else {
        return list::show(&workspace);
    };
    if tasks.starts_with('-') {
        return Err(unknown_flag(tasks));
    }
    let request = Request {
        tasks: TaskSpec::parse_list(tasks),
        args: rest.to_vec(),
        recursive: args.recursive,
        transitive: args.transitive,
        workspace_root: args.workspace_root,
        filters: args.filter.clone(),
        parallel: args.parallel,
        ignore_depends_on: args.ignore_depends_on,
        fail_if_no_match: args.fail_if_no_match,
        from_dir: from_dir.clone(),
    };
    let plan = plan::make(&workspace, &request).map_err(|problems| problems.seen_from(&from_dir))?;
    start(&workspace, &plan, &from_dir, &args.how)
}

/// `overhear exec`.
pub fn exec(args: &ExecArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let step = plan::exec_step(&workspace, &args.words, from_dir.clone())?;
    let plan = Plan { steps: vec![step], warnings: Vec::new() };
    start(&workspace, &plan, &from_dir, &args.how)
}

/// clap lets anything begin the words for a task, so that what follows may be anything.
fn unknown_flag(flag: &str) -> Problems {
    let known = super::Cli::flags_of("run");
    let help = match crate::problem::closest(flag, known.iter().map(String::as_str)) {
        Some(close) => format!("did you mean {close}?"),
        None => "see overhear run --help; flags for the task go after its name".to_owned(),
    };
    Problem::new(format!("unknown flag {flag}")).help(help).into()
}

/// What the store remembers of adapters, where there is a store.
struct StoreMemo(Option<Arc<Store>>);

impl Memo for StoreMemo {
    fn get(&self, key: Digest) -> Option<Vec<u8>> {
        self.0.as_ref()?.memo(key)
    }

    fn put(&self, key: Digest, value: &[u8]) {
        if let Some(store) = &self.0 {
            store.put_memo(key, value);
        }
    }
}

fn start(workspace: &Workspace, plan: &Plan, from_dir: &Path, how: &HowArgs) -> Result<i32, Problems> {
    let settings = workspace.settings();
    let mut lines = Lines::new(how.quiet, how.color());
    plan.warnings.iter().for_each(|warning| lines.notice(warning));
    let opened = if how.mode() == Mode::Off { Err(String::new()) } else { open_store(workspace, &settings.cache, &mut lines) };
    let store = opened.as_ref().ok().cloned();
    let env: Vec<_> = std::env::vars_os().collect();
    let running = Running::new();
    // Without it a signal ends overhear at once, and the guard ends what it started.
    let _ = running.watch_signals(|_, _| {});
    let shared = Shared {
        store: opened.as_deref().map_err(Clone::clone),
        adapters: &Adapters::built_in(Arc::new(StoreMemo(store))),
        zones: &zones(workspace, &settings.cache),
        env: &env,
        from_dir,
        defaults: &settings.cache,
        mode: how.mode(),
        digests: &Digests::default(),
        running: &running,
        is_alone: plan.steps.len() == 1,
        told: Mutex::default(),
    };
    let cores = || match plan.steps.len() {
        // Asking takes a dozen system calls.
        0 | 1 => 1,
        _ => std::thread::available_parallelism().map_or(2, NonZeroUsize::get),
    };
    let concurrency = how.concurrency.map_or_else(cores, NonZeroUsize::get);
    let options = Options { concurrency, keep_going: how.keep_going };
    let mut summary = Summary::default();
    let code = {
        let mut reporters: Vec<&mut dyn Reporter> = vec![&mut lines];
        if how.summarize.is_some() {
            reporters.push(&mut summary);
        }
        session::run(plan, &shared, options, &mut All(reporters))
    };
    crate::trace::guard::stop();
    if let Ok(store) = &shared.store
        && store.has_stored()
        && let Err(error) = store.keep_below(settings.cache.max_size)
    {
        lines.notice(&format!("the cache could not be kept below its size: {error}"));
    }
    if let Some(file) = &how.summarize {
        write_summary(file, summary)?;
    }
    Ok(code)
}

/// Opens the cache; where that fails tasks run without it, and one line says so.
fn open_store(workspace: &Workspace, cache: &CacheDefaults, lines: &mut Lines) -> Result<Arc<Store>, String> {
    match Store::open(&workspace.root, cache_dir(workspace, cache).as_deref()) {
        Ok((store, notices)) => {
            notices.iter().for_each(|notice| lines.notice(notice));
            Ok(Arc::new(store))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Where entries go, if not into `.overhear` at the root.
pub(super) fn cache_dir(workspace: &Workspace, cache: &CacheDefaults) -> Option<PathBuf> {
    let from_env = std::env::var_os("OVERHEAR_CACHE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    from_env.or_else(|| cache.dir.as_ref().map(PathBuf::from)).map(|dir| workspace.root.join(dir))
}

pub(super) fn zones(workspace: &Workspace, cache: &CacheDefaults) -> Zones {
    let resolved = |path: PathBuf| path.canonicalize().ok();
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).and_then(resolved);
    let temp = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let mut own = vec![workspace.root.join(crate::store::FOLDER)];
    own.extend(cache_dir(workspace, cache).and_then(resolved));
    Zones {
        places: Places { root: workspace.root.clone(), home },
        temp: temp.into_iter().filter_map(resolved).collect(),
        own,
    }
}

fn write_summary(file: &Path, summary: Summary) -> Result<(), Problems> {
    let text = format!("{:#}\n", summary.document());
    std::fs::write(file, text).map_err(|error| {
        Problem::new(format!("cannot write the summary to `{}`: {error}", file.display())).into()
    })
}

impl super::Cli {
    /// The flags of a command, as they are written.
    fn flags_of(command: &str) -> Vec<String> {
        use clap::CommandFactory;
        let cli = super::Cli::command();
        let found = cli.find_subcommand(command);
        let longs = found.into_iter().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long);
        longs.map(|long| format!("--{long}")).collect()
    }
}

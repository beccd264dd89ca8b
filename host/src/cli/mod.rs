//! The command line: reads it, sets up what a command needs, and turns the end of it into an exit
//! code. One file per command.

mod adapter;
mod cache;
mod complete;
mod doctor;
mod graph;
mod init;
mod inspect;
mod internal;
mod list;
mod run;
mod schema;
mod setup;
mod tell;
mod watch;
mod why;

use crate::problem::{Problem, Problems};
use crate::report;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Our own mistakes in usage or configuration.
const USAGE: u8 = 2;

/// Runs the tasks of a JavaScript monorepo, and never one twice for nothing.
#[derive(Parser)]
#[command(
    name = "overhear",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run tasks: scripts of package.json, or tasks of overhear.json
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Run one command, overheard and cached, with no config at all
    Exec(run::ExecArgs),
    /// List the tasks by package
    List(list::ListArgs),
    /// Say whether a task would hit now, and what differs if not
    Why(why::WhyArgs),
    /// Show what the last run of a task depended on and made, and who says so
    Inspect(inspect::InspectArgs),
    /// Write, test, use and look at adapters
    Adapter(adapter::AdapterArgs),
    /// Look at the cache, or clean it
    Cache(cache::CacheArgs),
    /// Tell the runner something, from inside a task
    Tell(tell::TellArgs),
    /// Say what would be cached here, and write an overhear.json where one is needed
    Init(init::InitArgs),
    /// Say what works on this machine, what does not and why
    Doctor,
    /// Print the JSON schema of overhear.json
    Schema,
    /// Print a script that completes commands, flags and names of tasks
    #[command(
        after_help = "bash: source <(overhear completions bash)\nfish: overhear completions fish | source"
    )]
    Completions(complete::CompletionsArgs),
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
    #[command(hide = true)]
    Internal(internal::InternalArgs),
}

/// Flags of every command that looks at a workspace.
#[derive(Args, Clone, Default)]
struct WhereArgs {
    /// Work as if started in this folder
    #[arg(short = 'C', value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl WhereArgs {
    /// The folder that the user is in, absolute and resolved.
    fn from_dir(&self) -> Result<PathBuf, Problems> {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        dir.canonicalize().map_err(|error| {
            let help = "name a folder that is there, or leave -C out";
            Problem::new(format!("cannot work in `{}`: {error}", dir.display())).help(help).into()
        })
    }
}

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return report::usage(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error),
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Exec(args) => run::exec(&args),
        Command::List(args) => list::list(&args),
        Command::Why(args) => why::why(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Adapter(args) => adapter::adapter(&args),
        Command::Cache(args) => cache::cache(&args),
        Command::Tell(args) => tell::tell(&args),
        Command::Init(args) => init::init(&args),
        Command::Doctor => doctor::doctor(),
        Command::Schema => schema::schema(),
        Command::Completions(args) => complete::completions(&args),
        Command::Complete(args) => complete::complete(&args),
        Command::Internal(args) => Ok(internal::internal(&args)),
    };
    match done {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(problems) => {
            report::problems(&problems);
            ExitCode::from(USAGE)
        }
    }
}

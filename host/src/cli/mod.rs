//! The command line: reads it, sets up what a command needs, and turns the end of it into an exit
//! code. One file per command.

mod adapter;
mod cache;
mod complete;
mod diff;
mod doctor;
mod foreign;
mod graph;
mod init;
mod inspect;
mod internal;
mod list;
mod man;
mod meant;
mod run;
mod schema;
mod setup;
mod tell;
mod took;
mod watch;
mod why;

use crate::problem::{Problem, Problems};
use crate::{report, step};
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
    max_term_width = 80,
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
    /// Show what the last run depended on and made, and who says so
    Inspect(inspect::InspectArgs),
    /// Write, test, use and look at adapters
    Adapter(adapter::AdapterArgs),
    /// Show what differs between the closest entry and the files of now
    Diff(diff::DiffArgs),
    /// Look at the cache, or clean it
    Cache(cache::CacheArgs),
    /// Tell the runner something, from inside a task
    Tell(tell::TellArgs),
    /// Say what would be cached, and write an overhear.json if needed
    Init(init::InitArgs),
    /// Say what works on this machine, what does not and why
    Doctor(doctor::DoctorArgs),
    /// Print the JSON schema of overhear.json
    Schema,
    /// Print a script that completes commands, flags and names of tasks
    #[command(
        after_help = "bash: source <(overhear completions bash)\nfish: overhear completions fish | source"
    )]
    Completions(complete::CompletionsArgs),
    /// Print the man page of a command, or write those of all
    Man(man::ManArgs),
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
    #[command(hide = true)]
    Internal(internal::InternalArgs),
}

/// The commands by what they are for, as help shows them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run", &["run", "exec", "list"]),
    ("Understand", &["why", "diff", "inspect", "doctor"]),
    ("Set up", &["init", "schema", "completions", "man"]),
    ("Cache, adapters, tasks", &["cache", "adapter", "tell", "help"]),
];

const EXAMPLES: &str = "\
Examples:
  overhear run build         run a task, or put back what it would make
  overhear run -r build      in all packages, dependencies first
  overhear why build         would it hit now, and if not, what differs
  overhear init              what would be cached here, and how that is known

`overhear COMMAND --help` has the flags of a command and more examples.";

/// The same command line with help that shows the commands in groups.
fn grouped(command: clap::Command) -> clap::Command {
    let about = |name: &str| {
        let found = command.get_subcommands().find(|sub| sub.get_name() == name && !sub.is_hide_set());
        match (found, name) {
            (Some(found), _) => found.get_about().map(ToString::to_string),
            (None, "help") => Some("Print help of a command".to_owned()),
            (None, _) => None,
        }
    };
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (heading, names) in GROUPS {
        text.push_str(&format!("\n{heading}:\n"));
        for name in names {
            let Some(about) = about(name) else { continue };
            text.push_str(&format!("  {name:<12}  {about}\n"));
        }
    }
    text.push_str("\nOptions:\n{options}\n\n");
    command.help_template(text + EXAMPLES)
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

/// Other runners take the name of a task as their first word, and a number after `--parallel`.
fn hint(error: &clap::Error) -> Option<String> {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::TooManyValues) && names_arg(error, "--parallel") {
        return Some("To run at most N steps at once: --concurrency N".to_owned());
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let word = words.first()?;
    let is_meant = matches!(error.get(clap::error::ContextKind::InvalidSubcommand),
        Some(clap::error::ContextValue::String(wrong)) if wrong == word);
    is_meant.then(|| format!("To run a task: overhear run {}", words.join(" ")))
}

/// Whether a mistake is about this flag.
fn names_arg(error: &clap::Error, flag: &str) -> bool {
    let named = match error.get(clap::error::ContextKind::InvalidArg) {
        Some(clap::error::ContextValue::String(named)) => named,
        _ => return false,
    };
    named.split([' ', '=']).next() == Some(flag)
}

/// A flag that nobody wrote has its value from a variable, and that is what is wrong.
fn wrong_variable(error: &clap::Error) -> Option<Problem> {
    let is_flag = |word: std::ffi::OsString| {
        word.to_string_lossy().split('=').next().is_some_and(|name| name.starts_with("--concurrency"))
    };
    if error.kind() != clap::error::ErrorKind::ValueValidation
        || !names_arg(error, "--concurrency")
        || std::env::args_os().any(is_flag)
    {
        return None;
    }
    let written = std::env::var_os(run::CONCURRENCY)?;
    let message = format!("the variable {} is `{}`", run::CONCURRENCY, written.to_string_lossy());
    Some(Problem::new(message).help("write a number from 1, or unset it"))
}

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let mut command = Cli::command();
    // Only help of the whole shows the groups; nobody else pays for them.
    if std::env::args_os().len() <= 2 {
        command = grouped(command);
    }
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => match wrong_variable(&error) {
            Some(problem) => {
                report::problems(&problem.into());
                return ExitCode::from(USAGE);
            }
            None => return report::usage(&error, hint(&error).as_deref()),
        },
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error, None),
    };
    if matches!(cli.command, Command::Cache(_) | Command::Init(_) | Command::Adapter(_)) {
        // What it changes is no output.
        step::tell_outer();
    }
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Exec(args) => run::exec(&args),
        Command::List(args) => list::list(&args),
        Command::Why(args) => why::why(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Adapter(args) => adapter::adapter(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Cache(args) => cache::cache(&args),
        Command::Tell(args) => tell::tell(&args),
        Command::Init(args) => init::init(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Man(args) => man::man(&args),
        Command::Schema => schema::schema(),
        Command::Completions(args) => complete::completions(&args),
        Command::Complete(args) => complete::complete(&args),
        Command::Internal(args) => Ok(internal::internal(&args)),
    };
    if let Some(error) = report::lost_output() {
        return ExitCode::from(unheard(&done, &error));
    }
    match done {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(problems) => {
            report::problems(&problems);
            ExitCode::from(USAGE)
        }
    }
}

/// The exit code where standard output could not be written: that of a program which a pipe without a reader
/// ends, or a failure that is told.
fn unheard(done: &Result<i32, Problems>, error: &std::io::Error) -> u8 {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return 128 + libc::SIGPIPE as u8;
    }
    report::problems(&Problem::new(format!("cannot write to standard output: {error}")).into());
    match done {
        Ok(code @ 1..) if *code != 128 + libc::SIGPIPE => u8::try_from(*code).unwrap_or(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group_of_the_help() {
        let command = Cli::command();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            assert!(grouped.contains(&sub.get_name()), "{} is in no group", sub.get_name());
            let about = sub.get_about().expect("each command says what it does").to_string();
            assert!(about.len() + 16 <= 80, "too long for a line: {about}");
        }
    }

    #[test]
    fn every_flag_says_what_it_does() {
        let mut open: Vec<clap::Command> = vec![Cli::command()];
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help().is_some(), "{} {} has no help", command.get_name(), arg.get_id());
            }
        }
    }
}

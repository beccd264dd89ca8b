//! What somebody meant who wrote something else after `overhear run`: flags that it does not know, flags and
//! tasks that went to the task. It tells; nothing else is done than what was written.

use super::{Cli, foreign};
use crate::problem::{Problem, Problems, closest};
use crate::report;
use crate::workspace::Workspace;

/// clap lets anything begin the words for a task, so that what follows may be anything.
pub fn unknown_flag(words: &[String]) -> Problems {
    let flag = words[0].split('=').next().unwrap_or_default();
    let known = Cli::flags_of("run");
    // Every flag of one letter is one letter away from any other.
    let known = || known.iter().map(String::as_str).filter(|known| known.starts_with("--"));
    let help = match (foreign::help(words), closest(flag, known())) {
        (Some(help), _) => help,
        (None, Some(close)) => format!("did you mean {close}?"),
        (None, None) => "see overhear run --help; flags for the task go after its name".to_owned(),
    };
    Problem::new(format!("unknown flag {flag}")).help(help).into()
}

/// Flags that say what is run at all, and that hardly a tool has.
const FLAGS_OF_INTENT: &[&str] =
    &["--dry-run", "--filter", "--recursive", "--affected", "--graph", "--summarize"];

/// Whether a flag says what is run at all.
pub fn decides_what_runs(flag: &str) -> bool {
    FLAGS_OF_INTENT.contains(&flag)
}

/// A flag after the task name is the task's: tells of the first that overhear has as well, and whether there
/// is one.
pub fn tell_of_misplaced_flags(task: &str, rest: &[String], counts: impl Fn(&str) -> bool) -> bool {
    let known = Cli::flags_of("run");
    let flags = rest.iter().take_while(|word| *word != "--").filter_map(|word| word.split('=').next());
    let Some(first) = flags.into_iter().find(|flag| known.iter().any(|known| known == flag) && counts(flag))
    else {
        return false;
    };
    report::tell(&format!(
        "{first} came after the task name, so it goes to {task}; if it was meant for overhear: overhear run {first} … {task}"
    ));
    true
}

/// Other runners take several tasks, one word each. Here the words after the first are its arguments: tells
/// so where each is the name of a task.
pub fn tell_of_tasks_as_args(workspace: &Workspace, task: &str, rest: &[String]) {
    if rest.is_empty() || !rest.iter().all(|word| is_task(workspace, word)) {
        return;
    }
    let (named, all) = (rest.join(" "), rest.join(","));
    report::tell(&format!(
        "{named} goes to {task}; if it was meant as a task too: overhear run … {task},{all}"
    ));
}

/// Whether a word is the name of a task, of whichever package.
pub fn is_task(workspace: &Workspace, word: &str) -> bool {
    match word.split_once('#') {
        Some((of, name)) => {
            let package = workspace.package_named(of);
            package.is_some_and(|at| workspace.packages[at].definition(name).is_some())
        }
        None => workspace.packages.iter().any(|package| package.definition(word).is_some()),
    }
}

impl Cli {
    /// The flags of a command, as they are written.
    pub(super) fn flags_of(command: &str) -> Vec<String> {
        use clap::CommandFactory;
        let cli = Cli::command();
        let found = cli.find_subcommand(command);
        let flags = found.into_iter().flat_map(clap::Command::get_arguments).flat_map(|flag| {
            let long = flag.get_long().map(|long| format!("--{long}"));
            long.into_iter().chain(flag.get_short().map(|short| format!("-{short}")))
        });
        flags.collect()
    }
}

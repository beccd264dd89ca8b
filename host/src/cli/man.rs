//! `overhear man`: the man pages, made of what `--help` says.

use super::Cli;
use crate::problem::{Problem, Problems, closest};
use crate::report;
use clap::{Args, CommandFactory};
use clap_mangen::Man;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear man run | man -l -                         read the page of `run`
  overhear man --to ~/.local/share/man/man1           install all: `man overhear-run`")]
pub struct ManArgs {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
    /// The page of this command; without it that of overhear itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// `overhear man`.
pub fn man(args: &ManArgs) -> Result<i32, Problems> {
    let whole = Cli::command();
    if let Some(dir) = &args.to {
        return write_all(whole, dir);
    }
    let page = match &args.command {
        None => page(whole),
        Some(name) => {
            let found = whole.get_subcommands().find(|sub| sub.get_name() == name && !sub.is_hide_set());
            let names =
                || whole.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name);
            let Some(found) = found else {
                let help = match closest(name, names()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                };
                return Err(Problem::new(format!("no command `{name}`")).help(help).into());
            };
            // The name that the page is found by; a name of clap's must live as long as the program.
            page(found.clone().name(leaked(name)).bin_name(format!("overhear {name}")))
        }
    };
    report::print(&page);
    Ok(0)
}

fn leaked(name: &str) -> &'static str {
    format!("overhear-{name}").leak()
}

fn page(command: clap::Command) -> String {
    let values: Vec<(String, String)> = command.get_arguments().filter_map(with_value).collect();
    let mut bytes = Vec::new();
    // Writing into memory does not fail.
    let _ = Man::new(command).render(&mut bytes);
    let page = String::from_utf8_lossy(&bytes);
    // The library leaves the values out of the synopsis; they stand below it, where each option is told of.
    let (before, after) = page.split_once("\n.SH DESCRIPTION").unwrap_or((&page, ""));
    let synopsis =
        values.iter().fold(before.to_owned(), |text, (option, with_value)| text.replace(option, with_value));
    if after.is_empty() { synopsis } else { format!("{synopsis}\n.SH DESCRIPTION{after}") }
}

/// How the synopsis shows an option that takes a value, and how it should.
fn with_value(option: &clap::Arg) -> Option<(String, String)> {
    let value = option.get_value_names()?.first().filter(|_| option.get_action().takes_values())?;
    let escaped = |text: &str| text.replace('-', "\\-");
    let value = escaped(value);
    Some(match (option.get_long(), option.get_short()) {
        (Some(long), _) => {
            let name = format!("\\fB{}\\fR]", escaped(&format!("--{long}")));
            let bare = name.trim_end_matches(']').to_owned();
            let value = match option.is_require_equals_set() {
                true => format!("[=\\fI{value}\\fR]"),
                false => format!(" \\fI{value}\\fR"),
            };
            (name, format!("{bare}{value}]"))
        }
        (None, Some(short)) => {
            (format!("\\fB\\-{short} \\fR]"), format!("\\fB\\-{short}\\fR \\fI{value}\\fR]"))
        }
        (None, None) => return None,
    })
}

/// The pages of a command and of those below it. A built command knows the name of its page.
fn write_pages(command: &clap::Command, dir: &Path) -> std::io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner, dir)?;
    }
    let file = Man::new(command.clone()).get_filename();
    std::fs::write(dir.join(file), page(command.clone()))
}

fn write_all(whole: clap::Command, dir: &Path) -> Result<i32, Problems> {
    let mut whole = whole.disable_help_subcommand(true);
    whole.build();
    let written = std::fs::create_dir_all(dir).and_then(|()| write_pages(&whole, dir));
    written
        .map_err(|error| Problem::new(format!("cannot write the pages to `{}`: {error}", dir.display())))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synopsis_names_the_values_of_options() {
        let command = clap::Command::new("tool")
            .arg(clap::Arg::new("dir").short('C').value_name("DIR"))
            .arg(clap::Arg::new("filter").short('F').long("filter").value_name("PATTERN"))
            .arg(
                clap::Arg::new("graph")
                    .long("graph")
                    .value_name("FORMAT")
                    .num_args(0..=1)
                    .require_equals(true),
            )
            .arg(clap::Arg::new("max").long("max-size").value_name("SIZE"))
            .arg(clap::Arg::new("quiet").long("quiet").action(clap::ArgAction::SetTrue));
        let page = page(command).replace("\\fB", "").replace("\\fI", "").replace("\\fR", "");
        let synopsis = page.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(1);
        let expected = "tool [\\-C DIR] [\\-F|\\-\\-filter PATTERN] [\\-\\-graph[=FORMAT]] \
                        [\\-\\-max\\-size SIZE] [\\-\\-quiet] [\\-h|\\-\\-help]";
        assert_eq!(synopsis.map(str::trim_end), Some(expected));
    }
}

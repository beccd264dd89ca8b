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
    let mut bytes = Vec::new();
    // Writing into memory does not fail.
    let _ = Man::new(command).render(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write_all(whole: clap::Command, dir: &Path) -> Result<i32, Problems> {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(whole, dir));
    written
        .map_err(|error| Problem::new(format!("cannot write the pages to `{}`: {error}", dir.display())))?;
    Ok(0)
}

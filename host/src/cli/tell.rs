//! `overhear tell`: from inside a task, in any language, what a trace cannot know.

use crate::problem::Problems;
use crate::report;
use clap::{Args, Subcommand};
use overhear_client::{self as client, Select};
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Outside of a task nothing is told, and variables are those of the environment.")]
pub struct TellArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What is read there is no input
    IgnoreInput {
        /// A file, or a folder with everything below
        path: PathBuf,
    },
    /// What is written there is no output
    IgnoreOutput {
        /// A file, or a folder with everything below
        path: PathBuf,
    },
    /// Do not keep the result of this task
    DisableCache,
    /// Print a variable that the result depends on; exit code 1 if it is not set
    GetEnv {
        /// Its name
        name: String,
        /// The result does not depend on it
        #[arg(long)]
        untracked: bool,
    },
    /// Print all variables that match, one NAME=value a line
    GetEnvs {
        /// `*` stands for any run of characters, `?` for one
        #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
        glob: Option<String>,
        /// Those whose name starts so
        #[arg(long)]
        prefix: Option<String>,
        /// The result does not depend on them
        #[arg(long)]
        untracked: bool,
    },
}

/// `overhear tell`. A fact that cannot be told makes the run unfit to be kept, and the server knows of it:
/// the script that wants to tell it goes on as if nobody listened.
pub fn tell(args: &TellArgs) -> Result<i32, Problems> {
    match &args.what {
        What::IgnoreInput { path } => client::ignore_input(path),
        What::IgnoreOutput { path } => client::ignore_output(path),
        What::DisableCache => client::disable_cache(),
        What::GetEnv { name, untracked } => {
            let value = if *untracked { client::get_env_untracked(name) } else { client::get_env(name) };
            let Some(value) = value else { return Ok(1) };
            report::print(&format!("{value}\n"));
        }
        What::GetEnvs { glob, prefix, untracked } => {
            let select = match prefix {
                Some(prefix) => Select::Prefix(prefix),
                None => Select::Glob(glob.as_deref().unwrap_or_default()),
            };
            let found =
                if *untracked { client::get_envs_untracked(select) } else { client::get_envs(select) };
            found.iter().for_each(|(name, value)| report::print(&format!("{name}={value}\n")));
        }
    }
    Ok(0)
}

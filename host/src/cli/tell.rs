//! `overhear tell`: from inside a task, in any language, what a trace cannot know.

use crate::ipc::client::{Client, ClientError};
use crate::problem::Problems;
use crate::protocol::Select;
use crate::report;
use clap::{Args, Subcommand};
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

/// `overhear tell`.
pub fn tell(args: &TellArgs) -> Result<i32, Problems> {
    // A fact that cannot be told makes the run unfit to be kept, and the server knows of it: the
    // script that wants to tell it goes on as if nobody listened.
    let told = Client::from_env().and_then(|mut client| inside(&mut client, &args.what).ok());
    Ok(told.unwrap_or_else(|| outside(&args.what)))
}

fn inside(client: &mut Client, what: &What) -> Result<i32, ClientError> {
    match what {
        What::IgnoreInput { path } => client.ignore_input(path)?,
        What::IgnoreOutput { path } => client.ignore_output(path)?,
        What::DisableCache => client.disable_cache()?,
        What::GetEnv { name, untracked } => return Ok(print_value(client.get_env(name, !untracked)?)),
        What::GetEnvs { glob, prefix, untracked } => {
            let found = client.get_envs(select(glob.as_deref(), prefix.as_deref()), !untracked)?;
            found.iter().for_each(|(name, value)| report::print(&format!("{name}={value}\n")));
        }
    }
    Ok(0)
}

fn outside(what: &What) -> i32 {
    match what {
        What::IgnoreInput { .. } | What::IgnoreOutput { .. } | What::DisableCache => 0,
        What::GetEnv { name, .. } => print_value(std::env::var(name).ok()),
        What::GetEnvs { glob, prefix, .. } => {
            use crate::hint::EnvSelect;
            let meant = match prefix {
                Some(prefix) => EnvSelect::Prefix(prefix.clone()),
                None => EnvSelect::Glob(glob.clone().unwrap_or_default()),
            };
            let mut found: Vec<_> = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| meant.matches(name))
                .collect();
            found.sort();
            found.iter().for_each(|(name, value)| report::print(&format!("{name}={value}\n")));
            0
        }
    }
}

fn select<'a>(glob: Option<&'a str>, prefix: Option<&'a str>) -> Select<'a> {
    match prefix {
        Some(prefix) => Select::Prefix(prefix),
        None => Select::Glob(glob.unwrap_or_default()),
    }
}

fn print_value(value: Option<String>) -> i32 {
    match value {
        Some(value) => {
            report::print(&format!("{value}\n"));
            0
        }
        None => 1,
    }
}

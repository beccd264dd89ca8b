//! `overhear adapter …`: for those who write adapters, and for those who use the adapters of others. One
//! file per concern; here the command line and what they share.

mod author;
mod laboratory;
mod look;
mod make;
mod prove;
mod suggest;
mod template;
mod trust;
mod watch;

pub use look::own;

use super::WhereArgs;
use crate::adapter::examine::Subject;
use crate::adapter::{AdapterFault, Shelf};
use crate::problem::{Problem, Problems};
use crate::shipped;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct AdapterArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the adapters of this workspace
    List(look::ListArgs),
    /// Write a new adapter, ready to be built and tested
    New(template::NewArgs),
    /// In the folder of an adapter: check or build it
    Build,
    /// In the folder of an adapter: run its cases
    Test(author::TestArgs),
    /// Show what adapters say of a command, and what they asked for it; does not run it
    Run(look::RunArgs),
    /// Show what an adapter knows and what it may read
    Inspect(look::InspectArgs),
    /// Use an adapter: a file of this workspace, or what an npm package brings
    Add(trust::AddArgs),
    /// Use an adapter no longer
    Remove(trust::RemoveArgs),
    /// Lock the adapters as they are now, after a look at what they want
    Update(trust::UpdateArgs),
    /// Run a command in copies of the workspace to see whether what its adapter ignores does not matter
    Verify(laboratory::CommandArgs),
    /// Say at which step each adapter turned a command away
    WhyNot(look::WhyNotArgs),
    /// Trace a command in a copy of the workspace, and print the rules that its adapter lacks
    Suggest(laboratory::CommandArgs),
    /// Hold an adapter to what each should bear
    Conform(author::ConformArgs),
}

/// `overhear adapter`.
pub fn adapter(args: &AdapterArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    match &args.what {
        What::List(args) => look::list(args, &from_dir),
        What::New(args) => template::new(args, &from_dir),
        What::Build => make::build(&from_dir),
        What::Test(args) => author::test(args, &from_dir),
        What::Run(args) => look::run(args, &from_dir),
        What::Inspect(args) => look::inspect(args, &from_dir),
        What::Add(args) => trust::add(args, &from_dir),
        What::Remove(args) => trust::remove(args, &from_dir),
        What::Update(args) => trust::update(args, &from_dir),
        What::Verify(args) => prove::verify(args, &from_dir),
        What::WhyNot(args) => look::why_not(args, &from_dir),
        What::Suggest(args) => suggest::suggest(args, &from_dir),
        What::Conform(args) => author::conform(args, &from_dir),
    }
}

/// The folder in which somebody writes an adapter.
struct Home {
    folder: PathBuf,
    /// The adapter's file, relative to the folder.
    file: String,
}

/// Adapters that are files as their authors write them.
const PLAIN: [&str; 3] = ["adapter.toml", "adapter.js", "adapter.mjs"];

impl Home {
    /// The nearest folder upwards that says where its adapter is: in package.json, or by a file of one of
    /// the names that need no build.
    fn find(from: &Path) -> Result<Home, Problems> {
        for folder in from.ancestors() {
            let manifest = std::fs::read(folder.join("package.json")).ok();
            let manifest: Option<Value> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let named = manifest.as_ref().and_then(|manifest| manifest["overhear"]["adapter"].as_str());
            let found = match named {
                Some(file) => Some(file.trim_start_matches("./").to_owned()),
                None => PLAIN.into_iter().find(|file| folder.join(file).is_file()).map(str::to_owned),
            };
            if let Some(file) = found {
                return Ok(Home { folder: folder.to_owned(), file });
            }
        }
        let message = format!("no adapter in {} or any folder above it", from.display());
        let help = "`overhear adapter new NAME` makes one; an adapter's folder has an adapter.toml, an \
                    adapter.js, or a package.json with \"overhear\": {\"adapter\": \"FILE\"}";
        Err(Problem::new(message).help(help).into())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    /// The adapter as it was built last.
    fn subject(&self) -> Result<Subject, Problems> {
        if !self.path().exists() {
            let message = format!("{} is not there", self.path().display());
            return Err(Problem::new(message).help("`overhear adapter build` makes it").into());
        }
        Subject::of_file(&self.path(), &self.file, shelf(&self.folder).as_ref()).map_err(faulty)
    }
}

/// A command begins with a program: a flag there is one of overhear that comes too late.
fn require_program(words: &[String]) -> Result<(), Problems> {
    match words.first().filter(|first| first.starts_with('-')) {
        None => Ok(()),
        Some(flag) => {
            let help =
                "options of overhear go before the command: `overhear adapter -C FOLDER run -- PROGRAM …`";
            Err(Problem::new(format!("`{flag}` is no program")).help(help).into())
        }
    }
}

/// Where compiled adapters are kept; without it each command compiles.
fn shelf(root: &Path) -> Option<Shelf> {
    Shelf::open(&shipped::user_cache()?, root).ok()
}

/// A fault of an adapter where a person asked for that adapter.
fn faulty(fault: AdapterFault) -> Problems {
    Problem::new(fault.to_string()).into()
}

//! `overhear doctor`: what works on this machine, what does not and why.

use super::{cache, setup};
use crate::adapter::Adapters;
use crate::problem::Problems;
use crate::report;
use crate::store::{Stat, Store};
use crate::trace::{self, Availability, Level};
use crate::workspace::Workspace;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Exit code 1 where something that caching needs does not work.")]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is of the cache of a workspace.
struct Cache {
    folder: PathBuf,
    state: State,
}

enum State {
    /// Nothing is kept yet, and the folder can be made.
    None,
    /// It can be read, and written unless `trouble` says otherwise.
    Kept { stat: Stat, trouble: Option<String> },
    /// It cannot be used.
    Broken(String),
}

/// What was found out.
struct Findings {
    tracer: Availability,
    /// Adapters that the workspace uses besides those that are part of overhear, also broken ones.
    own_adapters: Vec<String>,
    /// `None` outside of a workspace.
    cache: Option<Cache>,
}

/// `overhear doctor`. The exit code is 1 where something that caching needs does not work.
pub fn doctor(args: &DoctorArgs) -> Result<i32, Problems> {
    let here = std::env::current_dir().ok();
    // Outside of a workspace, or in a broken one, there is still the machine to look at.
    let workspace = here.as_deref().and_then(|here| Workspace::load(here).ok());
    let found = Findings {
        tracer: trace::probe(),
        own_adapters: match (&workspace, &here) {
            (Some(workspace), Some(here)) => super::adapter::own(workspace, here),
            _ => Vec::new(),
        },
        cache: workspace.as_ref().map(Cache::of),
    };
    let text = if args.json { format!("{:#}\n", found.document()) } else { found.text() };
    report::print(&text);
    Ok(i32::from(found.tracer.trouble.is_some() || found.cache_trouble().is_some()))
}

impl Cache {
    /// Looks, and writes nothing.
    fn of(workspace: &Workspace) -> Cache {
        let elsewhere = setup::cache_dir(workspace, &workspace.settings().cache);
        let folder = elsewhere.clone().unwrap_or_else(|| workspace.root.join(crate::store::FOLDER));
        let trouble = trouble_writing(&folder);
        let state = match Store::look(&workspace.root, elsewhere.as_deref()).and_then(|store| store.stat()) {
            Err(error) => State::Broken(error.to_string()),
            Ok(_) if !folder.exists() => trouble.map_or(State::None, State::Broken),
            Ok(stat) => State::Kept { stat, trouble },
        };
        Cache { folder, state }
    }
}

/// Why nothing can be kept in a folder, which may be still to be made.
fn trouble_writing(folder: &Path) -> Option<String> {
    let nearest = folder.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    let denied = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK).err()?;
    Some(format!("cannot write to `{}`: {}", nearest.display(), std::io::Error::from(denied)))
}

impl Findings {
    /// Why nothing can be kept, if so.
    fn cache_trouble(&self) -> Option<&str> {
        match &self.cache.as_ref()?.state {
            State::Broken(why) | State::Kept { trouble: Some(why), .. } => Some(why),
            State::None | State::Kept { trouble: None, .. } => None,
        }
    }

    fn text(&self) -> String {
        let Availability { backend, trouble, others, unheard, .. } = &self.tracer;
        let mut lines = vec![format!(
            "overhear {} on {} {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH
        )];
        match trouble {
            None => {
                let slow = if *backend == "ptrace" { ", at several times the cost" } else { "" };
                lines.push(format!("tracer       works ({backend}{slow})"));
                lines.push(format!("             {}", level(&self.tracer)));
            }
            Some(trouble) => {
                lines.push(format!("tracer       does not work ({backend}): {trouble}"));
                lines.push("             tasks run, and are not cached".to_owned());
            }
        }
        lines.extend(others.iter().map(|(backend, why)| format!("             not by {backend}: {why}")));
        lines.push(match unheard {
            None => "environment  overheard: variables are served and tracked when a program asks for them by name"
                .to_owned(),
            Some(why) => format!("environment  not overheard ({why}): only what is passed is seen"),
        });
        lines.push(format!("adapters     {}", Adapters::names().collect::<Vec<_>>().join(", ")));
        lines.extend(self.own_adapters.iter().map(|line| format!("             {line}")));
        lines.extend(self.cache.iter().map(Cache::line));
        lines.extend(self.cache_trouble().map(|_| "             tasks run, and are not cached".to_owned()));
        lines.join("\n") + "\n"
    }

    fn document(&self) -> Value {
        let Availability { backend, trouble, others, level, unheard } = &self.tracer;
        let others: Vec<Value> =
            others.iter().map(|(backend, why)| json!({ "backend": backend, "why_not": why })).collect();
        let level = match level {
            Level::Nothing => 0,
            Level::Functions => 1,
            Level::Everything => 2,
        };
        let cache = self.cache.as_ref().map(|cache| {
            let stat = match &cache.state {
                State::Kept { stat, .. } => Some(cache::document(stat)),
                State::None | State::Broken(_) => None,
            };
            json!({ "path": cache.folder, "works": self.cache_trouble().is_none(),
                "trouble": self.cache_trouble(), "kept": stat })
        });
        json!({
            "version": 1,
            "overhear": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "tracer": { "backend": backend, "works": trouble.is_none(), "trouble": trouble, "level": level,
                "others": others },
            "environment": { "overheard": unheard.is_none(), "why_not": unheard },
            "adapters": { "built_in": Adapters::names().collect::<Vec<_>>(), "own": self.own_adapters },
            "cache": cache,
        })
    }
}

impl Cache {
    fn line(&self) -> String {
        let folder = self.folder.display();
        match &self.state {
            State::None => format!("cache        nothing is kept yet; it will be in {folder}"),
            State::Kept { trouble: Some(why), .. } | State::Broken(why) => {
                format!("cache        does not work: {why}")
            }
            State::Kept { stat, .. } => format!("cache        works: {} in {folder}", cache::in_words(stat)),
        }
    }
}

/// What is done inside programs, and why not more.
fn level(found: &Availability) -> String {
    let why = match found.unheard {
        Some(why) => format!(" ({why})"),
        None if found.level == Level::Everything => String::new(),
        None => format!(" (turned off by {})", trace::preload::SWITCH),
    };
    match found.level {
        Level::Nothing => format!("level 0: each access is told by the kernel{why}"),
        Level::Functions => format!("level 1: programs note what they ask of the C library{why}"),
        Level::Everything => {
            "level 2: programs note what they ask, also by system calls of their libraries".to_owned()
        }
    }
}

//! `overhear cache`: looking at what is kept, and removing it.

use super::{WhereArgs, setup};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::store::{Stat, Store, StoreError};
use crate::workspace::Workspace;
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = "\
Examples:
  overhear cache stat
  overhear cache gc --max-size 2GB --max-age 30d
  overhear cache clean --task web#build")]
pub struct CacheArgs {
    #[command(flatten)]
    place: WhereArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How much is kept
    Stat,
    /// The entries, newest first
    List,
    /// Forget entries: all, or those of a task or package
    Clean {
        /// Only this task, as `package#task`
        #[arg(long)]
        task: Option<String>,
        /// Only tasks of this package
        #[arg(long)]
        package: Option<String>,
    },
    /// Remove what nothing needs, and the least recently used down to a size
    Gc {
        /// e.g. 500MB; by default what the config says
        #[arg(long, value_name = "SIZE")]
        max_size: Option<String>,
        /// e.g. 30d or 12h: also what was not used for longer
        #[arg(long, value_name = "AGE")]
        max_age: Option<String>,
    },
    /// Check every entry and archive; exit code 1 where one is damaged
    Verify,
    /// Print the folder of the cache
    Path,
}

/// `overhear cache`.
pub fn cache(args: &CacheArgs) -> Result<i32, Problems> {
    let from_dir = args.place.from_dir()?;
    let workspace = Workspace::load(&from_dir).map_err(|problems| problems.seen_from(&from_dir))?;
    let settings = workspace.settings();
    let dir = setup::cache_dir(&workspace, &settings.cache);
    if let What::Path = args.what {
        let folder = dir.unwrap_or_else(|| workspace.root.join(crate::store::FOLDER));
        report::print(&format!("{}\n", folder.display()));
        return Ok(0);
    }
    let (store, notices) = Store::open(&workspace.root, dir.as_deref()).map_err(problem)?;
    notices.iter().for_each(|notice| report::print(&format!("{notice}\n")));
    carry_out(&store, &args.what, settings.cache.max_size)
}

fn carry_out(store: &Store, what: &What, size_max: u64) -> Result<i32, Problems> {
    match what {
        What::Stat => {
            let stat = store.stat().map_err(problem)?;
            report::print(&format!(
                "{} entries, {} archives, {}\n",
                stat.entries,
                stat.archives,
                size(stat.archive_bytes)
            ));
        }
        What::List => {
            for entry in store.list().map_err(problem)? {
                let id = &entry.fingerprint[..12];
                report::print(&format!(
                    "{id}  {:>9}  {:>8} ms  {}\n",
                    size(entry.bytes),
                    entry.took_ms,
                    entry.task
                ));
            }
        }
        What::Clean { task, package } => {
            let is_meant = |name: &str| {
                task.as_ref().is_none_or(|task| task == name)
                    && package
                        .as_ref()
                        .is_none_or(|package| name.rsplit_once('#').is_some_and(|(of, _)| of == package))
            };
            let removed = match (task, package) {
                (None, None) => store.clean_all(),
                _ => store.clean(&is_meant),
            };
            tell_removed(&removed.map_err(problem)?);
        }
        What::Gc { max_size, max_age } => {
            let size_max = match max_size {
                Some(text) => crate::workspace::size_in_bytes(text).ok_or_else(|| {
                    Problem::new(format!("`{text}` is no size"))
                        .help("write a number and a unit, e.g. 500MB or 10GB")
                })?,
                None => size_max,
            };
            let age_max = match max_age {
                Some(text) => Some(age(text).ok_or_else(|| {
                    Problem::new(format!("`{text}` is no age"))
                        .help("write a number and a unit: s, m, h, d or w, e.g. 30d")
                })?),
                None => None,
            };
            tell_removed(&store.collect(size_max, age_max).map_err(problem)?);
        }
        What::Verify => {
            let verified = store.verify().map_err(problem)?;
            verified.damaged.iter().for_each(|line| report::print(&format!("damaged and removed: {line}\n")));
            report::print(&format!(
                "{} entries are sound, {} were damaged\n",
                verified.sound,
                verified.damaged.len()
            ));
            return Ok(i32::from(!verified.damaged.is_empty()));
        }
        What::Path => {}
    }
    Ok(0)
}

fn tell_removed(removed: &Stat) {
    let Stat { entries, archives, archive_bytes } = removed;
    report::print(&format!("removed {entries} entries, {archives} archives, {}\n", size(*archive_bytes)));
}

/// `90s`, `15m`, `12h`, `30d`, `4w`.
fn age(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

fn problem(error: StoreError) -> Problems {
    Problem::new(error.to_string()).into()
}

/// `812 B`, `1.2 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

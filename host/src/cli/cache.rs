//! `overhear cache`: looking at what is kept, and removing it.

use super::{WhereArgs, setup};
use crate::digest::Digest;
use crate::key::CacheKey;
use crate::plan::command::quote;
use crate::problem::{Problem, Problems, closest};
use crate::report;
use crate::store::{Listed, Stat, Store, StoreError};
use crate::workspace::Workspace;
use clap::{Args, Subcommand};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
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
    Stat {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The entries, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget entries: all, or those of a task or package
    Clean {
        /// Only this task, as `package#task`; without a package that of each
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
        What::Stat { json } => {
            let stat = store.stat().map_err(problem)?;
            report::print(&match json {
                true => format!("{:#}\n", json!({ "version": 1, "kept": document(&stat) })),
                false => format!("{}\n", in_words(&stat)),
            });
        }
        What::List { json } => list(store, *json)?,
        What::Clean { task: None, package: None } => {
            tell_removed(&store.clean_all().map_err(problem)?);
        }
        What::Clean { task, package } => clean(store, task.as_deref(), package.as_deref())?,
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

fn list(store: &Store, as_json: bool) -> Result<(), Problems> {
    let entries = store.list().map_err(problem)?;
    if as_json {
        let entry = |entry: &Listed| {
            let Listed { task, created_s, bytes, took_ms, fingerprint, key: _ } = entry;
            json!({ "fingerprint": fingerprint, "task": task, "created_s": created_s, "archive_bytes": bytes,
                "took_ms": took_ms })
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        report::print(&format!("{:#}\n", json!({ "version": 1, "entries": entries })));
        return Ok(());
    }
    if entries.is_empty() {
        return Ok(());
    }
    let steps = store.steps_by_key();
    let now_s = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let mut text = format!("{:<12}  {:>9}  {:>11}  {:>6}  task\n", "entry", "archive", "took", "age");
    for entry in &entries {
        let age = in_one_unit(now_s.saturating_sub(u64::try_from(entry.created_s).unwrap_or(0)));
        let (id, size, took) = (&entry.fingerprint[..12], size(entry.bytes), entry.took_ms);
        let name = name_of(entry, &steps);
        text.push_str(&format!("{id}  {size:>9}  {took:>8} ms  {age:>6}  {name}\n"));
    }
    report::print(&text);
    Ok(())
}

/// The task that made an entry: with the position of a later step, and with the command where it has no other
/// name. What this checkout has not run is known by the task alone.
fn name_of(entry: &Listed, steps: &FxHashMap<Digest, (usize, CacheKey)>) -> String {
    let task = report::visible(&entry.task).into_owned();
    match steps.get(&entry.key) {
        Some((0, key)) if task == "exec" => match words_of(key) {
            Some(words) => format!("exec -- {}", report::visible(&words)),
            None => task,
        },
        Some((position @ 1.., _)) => format!("{task}.{}", position + 1),
        _ => task,
    }
}

/// The words of a command, as a key has them.
fn words_of(key: &CacheKey) -> Option<String> {
    let command: Value = serde_json::from_str(&key.command).ok()?;
    let (program, args) = (command[1][0].as_str()?, command[1][1].as_array()?);
    let words = std::iter::once(program).chain(args.iter().filter_map(Value::as_str));
    Some(words.map(quote).collect::<Vec<_>>().join(" "))
}

/// `40 s`, `15 min`, `12 h`, `30 d`.
fn in_one_unit(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Forgets the entries of a task, of a package, or of that task of that package.
fn clean(store: &Store, task: Option<&str>, package: Option<&str>) -> Result<(), Problems> {
    let is_meant = |name: &str| {
        let (of, own) = name.rsplit_once('#').unwrap_or(("", name));
        task.is_none_or(|task| task == name || task == own) && package.is_none_or(|package| package == of)
    };
    let kept = store.list().map_err(problem)?;
    if !kept.iter().any(|entry| is_meant(&entry.task)) {
        let written = task.or(package).unwrap_or_default();
        let names = kept.iter().flat_map(|entry| {
            let (of, own) = entry.task.rsplit_once('#').unwrap_or(("", &entry.task));
            if task.is_some() { [entry.task.as_str(), own] } else { [of, of] }
        });
        let close = closest(written, names).map(|close| format!("; did you mean `{close}`?"));
        report::print(&format!("nothing is kept of `{written}`{}\n", close.unwrap_or_default()));
        return Ok(());
    }
    tell_removed(&store.clean(&is_meant).map_err(problem)?);
    Ok(())
}

fn tell_removed(removed: &Stat) {
    report::print(&format!("removed {}\n", in_words(removed)));
}

/// `3 entries, 2 archives, 1.2 MB`.
pub(super) fn in_words(stat: &Stat) -> String {
    let Stat { entries, archives, archive_bytes } = stat;
    let entries = counted(*entries, "entry", "entries");
    format!("{entries}, {}, {}", counted(*archives, "archive", "archives"), size(*archive_bytes))
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The same for programs.
pub(super) fn document(stat: &Stat) -> Value {
    let Stat { entries, archives, archive_bytes } = stat;
    json!({ "entries": entries, "archives": archives, "archive_bytes": archive_bytes })
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

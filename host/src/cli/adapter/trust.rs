//! `overhear adapter add`, `remove` and `update`: which adapters a workspace uses, and what a person allowed
//! them. Writes `overhear.json` and `overhear.lock`, and nothing before it was allowed.

use super::super::setup::Setup;
use super::look::about;
use super::{faulty, shelf};
use crate::adapter::examine::Subject;
use crate::adapter::lock::{self, Lock, Locked};
use crate::adapter::source::{Located, is_meant_as_file};
use crate::problem::{Problem, Problems};
use crate::report;
use crate::step::Mode;
use crate::workspace::{Workspace, edit};
use clap::Args;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

#[derive(Args)]
pub struct AddArgs {
    /// A file of this workspace (./adapters/mine.toml), or the name of an installed npm package
    adapter: String,
    /// Allow what it wants to read without being asked
    #[arg(short, long)]
    yes: bool,
}

#[derive(Args)]
pub struct RemoveArgs {
    /// Its id, its file, or the name of its npm package
    adapter: String,
}

#[derive(Args)]
pub struct UpdateArgs {
    /// Its id; by default all that are locked
    adapter: Option<String>,
    /// Allow what it wants to read besides without being asked
    #[arg(short, long)]
    yes: bool,
}

fn plain(error: impl std::fmt::Display) -> Problems {
    Problem::new(error.to_string()).into()
}

fn lock_of(root: &Path) -> Result<Lock, Problems> {
    Lock::load(root).map_err(|wrong| {
        Problem::new(wrong.to_string())
            .help("put it back from version control, or remove it and add again")
            .into()
    })
}

/// What a person names: an id that is locked, a file, or an npm package.
pub fn locate(named: &str, root: &Path) -> Result<Located, Problems> {
    let lock = lock_of(root)?;
    let source = match lock.of_id(named) {
        Some(locked) => locked.source.clone(),
        None if named.starts_with("./") || named.starts_with("npm:") || named.starts_with("path:") => {
            named.to_owned()
        }
        // A file that is meant, without the dot.
        None if root.join(named).is_file() || is_meant_as_file(named) => format!("path:{named}"),
        None => format!("npm:{named}"),
    };
    Located::find(&source, root).map_err(plain)
}

/// What the user in this folder means by a path, as one from the root.
fn from_root(named: &str, from_dir: &Path, root: &Path) -> String {
    let file = from_dir.join(named);
    match file.is_file().then(|| file.canonicalize().ok()).flatten() {
        Some(file) => match file.strip_prefix(root) {
            Ok(inside) => format!("./{}", inside.display()),
            Err(_) => named.to_owned(),
        },
        None => named.to_owned(),
    }
}

/// `overhear adapter add`.
pub fn add(args: &AddArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let root = &workspace.root;
    let located = locate(&from_root(&args.adapter, from_dir, root), root)?;
    let subject = Subject::of_file(&located.path, &located.name, shelf(root).as_ref()).map_err(faulty)?;
    let now = Locked::of(&subject.described, subject.digest, &located.source);
    let mut lock = lock_of(root)?;
    if let Some(other) = lock.of_id(&now.id)
        && other.source != now.source
    {
        let message = format!("the id {} is that of {} already", now.id, other.source);
        let help = format!("`overhear adapter remove {}` first", now.id);
        return Err(Problem::new(message).help(help).into());
    }
    report::print(&about(&subject));
    allow(
        &now,
        lock.of_source(&now.source),
        args.yes,
        &format!("overhear adapter add {} --yes", args.adapter),
    )?;
    let name = match now.source.strip_prefix("path:") {
        Some(path) => format!("./{path}"),
        None => now.id.clone(),
    };
    // First what was allowed, then the use of it: an adapter that is used and not locked is a fault.
    let id = now.id.clone();
    lock.put(now);
    lock.save(root).map_err(plain)?;
    write_config(root, &name, Some(true))?;
    report::print(&format!("{id} is used here: overhear.json and {} say so\n", lock::FILE));
    Ok(0)
}

/// Asks for what an adapter may read that was not allowed before.
fn allow(now: &Locked, before: Option<&Locked>, yes: bool, otherwise: &str) -> Result<(), Problems> {
    let grown = now.grown(before);
    if grown.is_empty() || yes {
        return Ok(());
    }
    let wants = format!("{} {} wants to {}", now.id, now.version, grown.join(", "));
    if !std::io::stdin().is_terminal() {
        let help = format!("nobody is here to be asked; to allow it: {otherwise}");
        return Err(Problem::new(format!("{wants} [approval-needed]")).help(help).into());
    }
    report::print(&format!("{wants}. Allow it? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(plain)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Problem::new("not allowed, and nothing was changed [approval-needed]").into()),
    }
}

fn write_config(root: &Path, name: &str, on: Option<bool>) -> Result<(), Problems> {
    let file = root.join("overhear.json");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(plain(format!("{}: {error}", file.display()))),
    };
    if text.is_none() && (on.is_none() || root.join("vite-task.json").is_file()) {
        // Beside the other file a new one would take over all that it says.
        return match on {
            None => Ok(()),
            Some(_) => Err(Problem::new("this workspace is configured by vite-task.json")
                .help(format!("add \"adapters\": {{\"{name}\": true}} to it by hand"))
                .into()),
        };
    }
    let changed = edit::name_adapter(text.as_deref(), name, on)
        .map_err(|error| Problem::new(format!("overhear.json cannot be changed: {error}")))?;
    if text.as_deref() == Some(changed.as_str()) {
        return Ok(());
    }
    std::fs::write(&file, changed).map_err(|error| plain(format!("{}: {error}", file.display())))
}

/// `overhear adapter remove`.
pub fn remove(args: &RemoveArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let root = &workspace.root;
    let mut lock = lock_of(root)?;
    let named = from_root(&args.adapter, from_dir, root);
    let path = named.strip_prefix("./").unwrap_or(&named);
    let sources = [format!("path:{path}"), format!("npm:{named}")];
    let locked =
        lock.of_id(&named).or_else(|| sources.iter().find_map(|source| lock.of_source(source))).cloned();
    let mut names = vec![named.clone(), format!("./{path}")];
    if locked.is_none() {
        names.extend(file_of(&named, &workspace, from_dir));
    }
    if let Some(locked) = &locked {
        names.push(locked.id.clone());
        names.extend(locked.source.strip_prefix("path:").map(|path| format!("./{path}")));
        lock.remove(&locked.id);
    }
    let wanted = workspace.settings().adapters;
    let named_in_config: Vec<&String> =
        names.iter().filter(|name| wanted.iter().any(|one| one.name == **name)).collect();
    if locked.is_none() && named_in_config.is_empty() {
        let help = "`overhear adapter list` shows those that are used";
        return Err(Problem::new(format!("`{}` is not used here", args.adapter)).help(help).into());
    }
    for name in named_in_config {
        write_config(root, name, None)?;
    }
    if locked.is_some() {
        lock.save(root).map_err(plain)?;
    }
    report::print(&format!("{} is used here no longer\n", locked.map_or(named, |locked| locked.id)));
    Ok(0)
}

/// As the config names the file of an adapter with this id, which is used without being locked.
fn file_of(id: &str, workspace: &Workspace, from_dir: &Path) -> Option<String> {
    let setup = Setup::to_look(workspace, from_dir);
    let shared = setup.shared(Mode::Normal, true);
    let found = shared.adapters.all().find(|(described, _)| described.id == id);
    found.and_then(|(_, file)| file.map(str::to_owned))
}

/// `overhear adapter update`. Works also where the adapter in use is broken.
pub fn update(args: &UpdateArgs, from_dir: &Path) -> Result<i32, Problems> {
    let workspace = Workspace::load(from_dir).map_err(|problems| problems.seen_from(from_dir))?;
    let root = &workspace.root;
    let mut lock = lock_of(root)?;
    let named = args.adapter.as_deref().map(|named| from_root(named, from_dir, root));
    let is_meant = |locked: &Locked| {
        named.as_ref().is_none_or(|named| {
            let path = named.strip_prefix("./").unwrap_or(named);
            locked.id == *named
                || locked.source == format!("path:{path}")
                || locked.source == format!("npm:{named}")
        })
    };
    let meant: Vec<Locked> = lock.all().iter().filter(|locked| is_meant(locked)).cloned().collect();
    if let (Some(named), true) = (&named, meant.is_empty()) {
        return Err(plain(lock::not_locked(named)));
    }
    if meant.is_empty() {
        report::print(&format!(
            "no adapter is locked here; `overhear adapter add` locks one in {}\n",
            lock::FILE
        ));
    }
    for before in meant {
        let located = Located::find(&before.source, root).map_err(plain)?;
        let subject = Subject::of_file(&located.path, &located.name, shelf(root).as_ref()).map_err(faulty)?;
        let now = Locked::of(&subject.described, subject.digest, &located.source);
        if now == before {
            report::print(&format!("{} {} is as it was\n", now.id, now.version));
            continue;
        }
        report::print(&difference(&before, &now));
        allow(&now, Some(&before), args.yes, &format!("overhear adapter update {} --yes", before.id))?;
        if now.id != before.id && now.source.starts_with("npm:") {
            write_config(root, &before.id, None)?;
            write_config(root, &now.id, Some(true))?;
        }
        let locked = format!("{} {} is locked\n", now.id, now.version);
        lock.remove(&before.id);
        lock.put(now);
        lock.save(root).map_err(plain)?;
        report::print(&locked);
    }
    Ok(0)
}

/// What is not as it was locked, a line each.
fn difference(before: &Locked, now: &Locked) -> String {
    let mut text = format!("{} {} -> {}\n", before.id, before.version, now.version);
    if before.version == now.version && before.description != now.description {
        text.push_str("  it says otherwise what it is, and has the same version\n");
    }
    let lists = [
        ("programs", &before.programs, &now.programs),
        ("packages", &before.packages, &now.packages),
        ("may read", &before.may_read, &now.may_read),
        ("may ask for", &before.may_read_env, &now.may_read_env),
    ];
    for (name, old, new) in lists {
        old.iter()
            .filter(|one| !new.contains(one))
            .for_each(|one| text.push_str(&format!("  - {name}: {one}\n")));
        new.iter()
            .filter(|one| !old.contains(one))
            .for_each(|one| text.push_str(&format!("  + {name}: {one}\n")));
    }
    text
}

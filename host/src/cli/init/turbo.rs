//! turbo.json, of the root and of packages.

use super::carry::{
    Carried, READ_IS_SEEN, add, add_globs, dependency, folder, is_anywhere, leave_inputs, texts,
};
use super::read_json;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};

/// Carries over what turbo was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let mut found = false;
    let mut of_root = Map::new();
    for at in 0..workspace.packages.len() {
        for name in ["turbo.json", "turbo.jsonc"] {
            if let Some(config) = read_json(&workspace.packages[at].dir.join(name))? {
                found = true;
                let file = std::path::Path::new(&folder(workspace, at)).join(name).display().to_string();
                if at == 0 {
                    of_root = tasks(&config).cloned().unwrap_or_default();
                }
                one_file(workspace, carried, at, &config, &file, &of_root);
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err(Problem::new("there is no turbo.json here").help("start in the folder of the repository"))
    }
}

fn tasks(config: &Value) -> Option<&Map<String, Value>> {
    config.get("tasks").or_else(|| config.get("pipeline")).and_then(Value::as_object)
}

/// `of_root` are the tasks of the file at the root, which those of a package add to.
fn one_file(
    workspace: &Workspace,
    carried: &mut Carried,
    at: usize,
    config: &Value,
    file: &str,
    of_root: &Map<String, Value>,
) {
    if !config.is_object() {
        carried.leave(format!("{file}: it is no object"));
    }
    let folder_of_file = folder(workspace, at);
    for (key, value) in config.as_object().into_iter().flatten() {
        match key.as_str() {
            "$schema" | "extends" | "tasks" | "pipeline" => {}
            "globalEnv" => {
                add(carried.top(&folder_of_file), "env", texts(value).into_iter().map(Value::from))
            }
            "globalPassThroughEnv" => {
                add(carried.top(&folder_of_file), "untrackedEnv", texts(value).into_iter().map(Value::from))
            }
            other => carried.leave(format!("`{other}` of {file}: {}", of_the_whole(other, value))),
        }
    }
    for (written, task) in tasks(config).into_iter().flatten() {
        let (target, name) = match written.rsplit_once('#') {
            Some(("//", name)) => (Some(0), name),
            Some((package, name)) => (workspace.package_named(package), name),
            None => (Some(at), written.as_str()),
        };
        let for_all = at == 0 && !written.contains('#');
        let is_there = |target: usize| {
            if for_all {
                is_anywhere(workspace, name)
            } else {
                workspace.packages[target].definition(name).is_some()
            }
        };
        match target {
            Some(target) if is_there(target) => {
                let known = |task: &str| is_anywhere(workspace, task);
                let inherited = of_root.get(written).filter(|_| at != 0);
                let task = &inherited.map_or_else(|| task.clone(), |inherited| extended(task, inherited));
                let entry = carried.entry(&folder(workspace, target), "scripts", name);
                let left = one_task(workspace, &known, entry, task, inherited.is_some());
                left.into_iter().for_each(|what| carried.leave(format!("{file}: {written}: {what}")));
                let read = texts(&task["inputs"]);
                leave_inputs(
                    carried,
                    "inputs",
                    read.iter().any(|glob| !glob.starts_with('!') && !is_mark(glob)),
                );
            }
            _ if for_all => carried.leave(format!("{file}: {written}: no package has such a script")),
            _ => carried.leave(format!("{file}: {written}: the package has no such script")),
        }
    }
}

/// A task of a package with the lists that it adds to: `$TURBO_EXTENDS$` stands for that of the root.
fn extended(task: &Value, inherited: &Value) -> Value {
    let mut task = task.clone();
    for (key, value) in task.as_object_mut().into_iter().flatten() {
        if let Some(list) = value.as_array_mut()
            && list.iter().any(is_extends)
        {
            list.retain(|one| !is_extends(one));
            let of_root = inherited[key.as_str()].as_array().into_iter().flatten();
            list.splice(..0, of_root.cloned());
        }
    }
    task
}

fn is_extends(one: &Value) -> bool {
    one == "$TURBO_EXTENDS$"
}

/// `inherits`: the root has a task of that name, and what is not said here it says.
fn one_task(
    workspace: &Workspace,
    known: &dyn Fn(&str) -> bool,
    entry: &mut Map<String, Value>,
    task: &Value,
    inherits: bool,
) -> Vec<String> {
    let mut left = Vec::new();
    for (key, value) in task.as_object().into_iter().flatten() {
        match key.as_str() {
            "dependsOn" => {
                for written in texts(value) {
                    match written.strip_prefix('$') {
                        Some(variable) => add(entry, "env", [json!(variable)]),
                        None => match dependency(workspace, known, &written) {
                            Ok(dependency) => add(entry, "dependsOn", [json!(dependency)]),
                            Err(why) => left.push(format!("dependsOn {why}")),
                        },
                    }
                }
            }
            // Older versions write variables as in dependsOn.
            "env" => {
                let name = |text: String| Value::from(text.strip_prefix('$').unwrap_or(&text));
                add(entry, "env", texts(value).into_iter().map(name));
            }
            "passThroughEnv" => add(entry, "untrackedEnv", texts(value).into_iter().map(Value::from)),
            "outputs" => {
                let globs = texts(value).into_iter().filter(|glob| !is_mark(glob));
                add_globs(entry, "output", globs.map(|glob| pattern(&glob)).collect());
            }
            "inputs" => {
                // What is read is overheard; only what must not count has to be said.
                let excluded =
                    texts(value).into_iter().filter(|glob| glob.starts_with('!') && !is_mark(glob));
                add_globs(entry, "input", excluded.map(|glob| pattern(&glob)).collect());
            }
            "cache" | "persistent" | "interactive" => {
                let is_default = *value == json!(key == "cache");
                if inherits || !is_default {
                    entry.insert(key.clone(), value.clone());
                }
            }
            "outputLogs" | "outputMode" => match value.as_str() {
                Some("new-only" | "hash-only") => drop(entry.insert("log".into(), json!("new-only"))),
                Some(mode @ ("errors-only" | "none")) => drop(entry.insert("log".into(), json!(mode))),
                _ => {}
            },
            "description" => drop(entry.insert(key.clone(), value.clone())),
            other => left.push(format!("`{other}`: {}", of_a_task(other))),
        }
    }
    // There every script is cached unless it says no; here what no adapter knows is cached only when told.
    if !inherits && !["cache", "persistent", "interactive"].iter().any(|key| entry.contains_key(*key)) {
        entry.insert("cache".into(), json!(true));
    }
    left
}

/// Why a key beside the tasks has no counterpart, or what is here in its place.
fn of_the_whole(key: &str, value: &Value) -> String {
    let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match key {
        "globalDependencies" | "globalDotEnv" => READ_IS_SEEN.to_owned(),
        "concurrency" if plain.parse::<std::num::NonZeroUsize>().is_ok() => {
            format!("--concurrency {plain}, or OVERHEAR_CONCURRENCY={plain}")
        }
        "concurrency" => format!("{plain} has no counterpart; --concurrency N is a number"),
        "remoteCache" => "there is no remote cache yet".to_owned(),
        "ui" => "not needed: --log chooses how output is shown".to_owned(),
        "cacheDir" => "\"cache\": {\"dir\": …} names a folder of our own".to_owned(),
        "cacheMaxSize" => "\"cache\": {\"maxSize\": \"10GB\"}".to_owned(),
        "envMode" if plain == "loose" => "there is none: name what is needed in `untrackedEnv`".to_owned(),
        "envMode" => "\"strictEnv\": true is the nearest".to_owned(),
        "daemon" => "not needed: there is no daemon".to_owned(),
        "dangerouslyDisablePackageManagerCheck" | "noUpdateNotifier" => {
            "not needed: there is no such check".to_owned()
        }
        "boundaries" | "tags" => "there is none; it is not about running tasks".to_owned(),
        _ => "there is none".to_owned(),
    }
}

/// The same for a key of a task.
fn of_a_task(key: &str) -> &'static str {
    match key {
        "dotEnv" => READ_IS_SEEN,
        "with" | "siblings" => "name both tasks: `overhear run a,b`",
        "interruptible" => "not needed: --watch runs again what a change touches",
        "extends" => "there is none; write out what the task has",
        _ => "there is none",
    }
}

/// A mark like `$TURBO_EXTENDS$` and `$TURBO_DEFAULT$`: what is said there goes without saying here.
fn is_mark(glob: &str) -> bool {
    let glob = glob.trim_start_matches('!');
    glob.starts_with("$TURBO_") && glob.ends_with('$')
}

/// A glob of turbo; `$TURBO_ROOT$` stands for the root.
fn pattern(glob: &str) -> Value {
    let (exclude, rest) = glob.strip_prefix('!').map_or(("", glob), |rest| ("!", rest));
    match rest.strip_prefix("$TURBO_ROOT$/") {
        Some(rest) => json!({ "pattern": format!("{exclude}{rest}"), "base": "workspace" }),
        None => json!(glob),
    }
}

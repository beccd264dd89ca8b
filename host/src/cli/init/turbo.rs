//! turbo.json, of the root and of packages.

use super::carry::{Carried, add, add_globs, dependency, folder, is_anywhere, texts};
use super::read_json;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};

/// Carries over what turbo was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let mut found = false;
    for at in 0..workspace.packages.len() {
        for name in ["turbo.json", "turbo.jsonc"] {
            if let Some(config) = read_json(&workspace.packages[at].dir.join(name))? {
                found = true;
                one_file(workspace, carried, at, &config);
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err(Problem::new("there is no turbo.json here").help("start in the folder of the repository"))
    }
}

fn one_file(workspace: &Workspace, carried: &mut Carried, at: usize, config: &Value) {
    if !config.is_object() {
        carried.leave("a turbo.json that is no object".to_owned());
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
            other => carried.leave(format!("`{other}` of turbo.json")),
        }
    }
    let tasks = config.get("tasks").or_else(|| config.get("pipeline")).and_then(Value::as_object);
    for (written, task) in tasks.into_iter().flatten() {
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
                let left = one_task(
                    workspace,
                    &known,
                    carried.entry(&folder(workspace, target), "scripts", name),
                    task,
                );
                left.into_iter().for_each(|what| carried.leave(format!("{written}: {what}")));
            }
            _ => carried.leave(format!("{written}: no package has such a script")),
        }
    }
}

fn one_task(
    workspace: &Workspace,
    known: &dyn Fn(&str) -> bool,
    entry: &mut Map<String, Value>,
    task: &Value,
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
                if !is_default {
                    entry.insert(key.clone(), value.clone());
                }
            }
            "outputLogs" | "outputMode" => match value.as_str() {
                Some("new-only" | "hash-only") => drop(entry.insert("log".into(), json!("new-only"))),
                Some(mode @ ("errors-only" | "none")) => drop(entry.insert("log".into(), json!(mode))),
                _ => {}
            },
            "description" => drop(entry.insert(key.clone(), value.clone())),
            other => left.push(format!("`{other}`")),
        }
    }
    // There every script is cached unless it says no; here what no adapter knows is cached only when told.
    if !["cache", "persistent", "interactive"].iter().any(|key| entry.contains_key(*key)) {
        entry.insert("cache".into(), json!(true));
    }
    left
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

//! `wireit` in package.json. Its scripts say `wireit`: what they run goes back into package.json, by
//! hand, because that file is the user's.

use super::carry::{Carried, READ_IS_SEEN, add, add_globs, folder, leave_inputs, texts, with_env};
use super::read_json;
use crate::path::join_lexically;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::path::Path;

/// Carries over what wireit was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let mut found = false;
    for (at, package) in workspace.packages.iter().enumerate() {
        let manifest = read_json(&package.manifest_file())?;
        let scripts = manifest.as_ref().and_then(|manifest| manifest["wireit"].as_object());
        for (name, script) in scripts.into_iter().flatten() {
            found = true;
            one_script(workspace, carried, at, name, script);
        }
    }
    if found {
        keep_the_root_apart(workspace, carried);
        Ok(())
    } else {
        Err(Problem::new("no package.json here has `wireit`").help("start in the folder of the repository"))
    }
}

/// What stands in the file of the root holds for every package that has the script, and wireit meant the
/// root alone: the others say that it is not so for them.
fn keep_the_root_apart(workspace: &Workspace, carried: &mut Carried) {
    let of_root: Vec<(String, Vec<String>)> = match carried.top("").get("scripts") {
        Some(Value::Object(scripts)) => scripts
            .iter()
            .map(|(name, entry)| {
                let keys = entry.as_object().into_iter().flat_map(|entry| entry.keys().cloned());
                (name.clone(), keys.collect())
            })
            .collect(),
        _ => return,
    };
    for at in 1..workspace.packages.len() {
        let scripts = &workspace.packages[at].scripts;
        for (name, keys) in
            of_root.iter().filter(|(name, _)| scripts.iter().any(|script| script.name == *name))
        {
            let entry = carried.entry(&folder(workspace, at), "scripts", name);
            for key in keys.iter().filter(|key| !entry.contains_key(*key)).cloned().collect::<Vec<_>>() {
                let nothing = match key.as_str() {
                    "dependsOn" | "env" => json!([]),
                    "input" | "output" => json!([{ "auto": true }]),
                    "persistent" | "cache" => json!(false),
                    _ => continue,
                };
                entry.insert(key, nothing);
            }
        }
    }
}

fn one_script(workspace: &Workspace, carried: &mut Carried, at: usize, name: &str, script: &Value) {
    let (package, place) = (folder(workspace, at), workspace.task_label(at, name));
    let mut left = Vec::new();
    let mut env = Vec::new();
    let entry = carried.entry(&package, "scripts", name);
    for member in script["dependencies"].as_array().into_iter().flatten() {
        let Some(written) = member.as_str().or(member["script"].as_str()) else { continue };
        match dependency(workspace, at, written) {
            Some(dependency) => add(entry, "dependsOn", [json!(dependency)]),
            None => left.push(format!("dependency `{written}`: there is no such package")),
        }
        if member["cascade"] == json!(false) {
            left.push(format!("`cascade` of {written}: what it makes counts by content"));
        }
    }
    let excluded = texts(&script["files"]).into_iter().filter(|glob| glob.starts_with('!'));
    add_globs(entry, "input", excluded.map(Value::from).collect());
    add_globs(entry, "output", texts(&script["output"]).into_iter().map(Value::from).collect());
    for (variable, value) in script["env"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(text) => env.push((variable.clone(), text.to_owned())),
            None => add(entry, "env", [json!(variable)]),
        }
        if let Some(default) = value["default"].as_str() {
            left.push(format!(
                "`default` of {variable}: there is none; set {variable}={default} where it is not set"
            ));
        }
    }
    let command = with_env(script["command"].as_str().unwrap_or("true"), &env);
    for key in script.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        let why = match key {
            "command" | "dependencies" | "files" | "output" | "env" | "service" => continue,
            "packageLocks" | "allowUsuallyExcludedPaths" => READ_IS_SEEN,
            "clean" => "outputs are not removed before a run; have the command do it",
            _ => "there is none",
        };
        left.push(format!("`{key}`: {why}"));
    }
    // A script that wireit cached is meant to be cached, whether an adapter knows it or not.
    if script.get("files").is_some() && script.get("output").is_some() {
        entry.insert("cache".into(), json!(true));
    }
    match &script["service"] {
        Value::Null | Value::Bool(false) => {}
        service => {
            entry.remove("cache");
            entry.insert("persistent".into(), json!(true));
            if let Some(line) = service["readyWhen"]["lineMatches"].as_str() {
                entry.insert("readyWhen".into(), json!({ "output": line }));
            }
        }
    }
    left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
    leave_inputs(carried, "files", texts(&script["files"]).iter().any(|glob| !glob.starts_with('!')));
    let file = Path::new(&package).join("package.json");
    carried.ask(format!("{}: \"scripts\": {{{}: {}}}", file.display(), json!(name), json!(command)));
}

/// `name` of the same package, or `../folder:name`.
fn dependency(workspace: &Workspace, at: usize, written: &str) -> Option<String> {
    if !written.starts_with('.') {
        return Some(written.to_owned());
    }
    let (path, name) = written.split_once(':')?;
    let dir = join_lexically(&workspace.packages[at].dir, Path::new(path));
    Some(workspace.task_label(workspace.package_at(&dir)?, name))
}

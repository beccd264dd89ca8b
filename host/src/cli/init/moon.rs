//! `.moon/tasks.yml`, `.moon/tasks/*.yml` and moon.yml.

use super::carry::{Carried, add, add_globs, folder, texts};
use crate::problem::Problem;
use crate::workspace::Workspace;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Carries over what moon was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let folder_of_moon = workspace.root.join(".moon");
    if !folder_of_moon.is_dir() {
        return Err(Problem::new("there is no .moon here").help("start in the folder of the repository"));
    }
    let mut inherited = Map::new();
    for file in [folder_of_moon.join("tasks.yml"), folder_of_moon.join("tasks/all.yml")] {
        let tasks = read_yaml(&file)?.map(|config| config["tasks"].clone());
        inherited.extend(tasks.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
    }
    let more = std::fs::read_dir(folder_of_moon.join("tasks")).into_iter().flatten().flatten();
    for file in more.filter(|file| file.file_name() != "all.yml") {
        carried
            .leave(format!(".moon/tasks/{}: it holds for projects of one kind", file.file_name().display()));
    }
    for (at, package) in workspace.packages.iter().enumerate() {
        let own = read_yaml(&package.dir.join("moon.yml"))?;
        if own.is_none() && at == 0 {
            continue;
        }
        let mut tasks = inherited.clone();
        for (name, task) in own.as_ref().and_then(|own| own["tasks"].as_object()).into_iter().flatten() {
            match (tasks.get_mut(name).and_then(Value::as_object_mut), task.as_object()) {
                (Some(below), Some(task)) => below.extend(task.clone()),
                _ => drop(tasks.insert(name.clone(), task.clone())),
            }
        }
        for (name, task) in &tasks {
            one_task(workspace, carried, at, name, task);
        }
    }
    Ok(())
}

fn one_task(workspace: &Workspace, carried: &mut Carried, at: usize, name: &str, task: &Value) {
    let (package, place) = (folder(workspace, at), workspace.task_label(at, name));
    let mut left = Vec::new();
    let script = workspace.packages[at].scripts.iter().find(|script| script.name == name);
    let words = |value: &Value| match value {
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .map(crate::plan::command::quote)
            .collect::<Vec<_>>()
            .join(" "),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let mut command =
        [words(&task["command"]), words(&task["script"]), words(&task["args"])].join(" ").trim().to_owned();
    for (variable, value) in task["env"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        command = format!("{variable}={} {command}", crate::plan::command::quote(&value));
    }
    if command.contains("$project") || command.contains("$workspace") {
        left.push(format!("`{command}`: variables of moon are not known here"));
    }
    let entry = carried.entry(&package, if script.is_some() { "scripts" } else { "tasks" }, name);
    if let Some(script) = script {
        if script.command != command {
            left.push("package.json has a script of that name, and its command counts".to_owned());
        }
        // Tasks are cached unless they say no; a script that no adapter knows only when told.
        entry.insert("cache".into(), json!(true));
    } else if !command.is_empty() && command != "noop" {
        entry.insert("command".into(), json!(command));
    }
    for member in task["deps"].as_array().into_iter().flatten() {
        let Some(written) = member.as_str().or(member["target"].as_str()) else { continue };
        let dependency = match written.split_once(':') {
            None | Some(("~", _)) => Some(written.trim_start_matches("~:").to_owned()),
            Some(("^", task)) => Some(format!("^{task}")),
            Some((project, task)) => {
                project_named(workspace, project).map(|at| workspace.task_label(at, task))
            }
        };
        match dependency {
            Some(dependency) => add(entry, "dependsOn", [json!(dependency)]),
            None => left.push(format!("deps `{written}`: there is no such package")),
        }
    }
    add_globs(entry, "output", texts(&task["outputs"]).iter().map(|path| pattern(path)).collect());
    let inputs = texts(&task["inputs"]);
    let variables =
        inputs.iter().filter_map(|input| input.strip_prefix('$')).filter(|name| !name.contains('/'));
    add(entry, "env", variables.map(|name| json!(name)));
    add_globs(
        entry,
        "input",
        inputs.iter().filter(|input| input.starts_with('!')).map(|path| pattern(path)).collect(),
    );
    let options = &task["options"];
    if options["cache"] == json!(false) {
        entry.insert("cache".into(), json!(false));
    }
    let is_server =
        matches!(task["preset"].as_str(), Some("server" | "watcher")) || options["persistent"] == json!(true);
    for (is_set, key) in [(is_server, "persistent"), (options["interactive"] == json!(true), "interactive")] {
        if is_set {
            entry.insert(key.into(), json!(true));
        }
    }
    if task.get("extends").is_some() {
        left.push("`extends`".to_owned());
    }
    left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
}

/// A project goes by the name of its package, or by that of its folder.
fn project_named(workspace: &Workspace, name: &str) -> Option<usize> {
    workspace.package_named(name).or_else(|| {
        workspace
            .packages
            .iter()
            .position(|package| package.relative_dir.file_name().is_some_and(|folder| folder == name))
    })
}

/// A path or glob of moon: with `/` before it relative to the root; a name without an ending is a folder.
fn pattern(written: &str) -> Value {
    let (exclude, path) = written.strip_prefix('!').map_or(("", written), |path| ("!", path));
    let last = path.rsplit('/').next().unwrap_or(path);
    let tree = if last.contains(['.', '*']) || path.ends_with('/') { "" } else { "/" };
    match path.strip_prefix('/') {
        Some(path) => json!({ "pattern": format!("{exclude}{path}{tree}"), "base": "workspace" }),
        None => json!(format!("{exclude}{path}{tree}")),
    }
}

fn read_yaml(file: &Path) -> Result<Option<Value>, Problem> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    let documents = Yaml::load_from_str(&text)
        .map_err(|error| Problem::new(format!("cannot read {}: {error}", file.display())))?;
    Ok(documents.first().map(plain))
}

fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(elements) => elements.iter().map(plain).collect(),
        Yaml::Mapping(members) => Value::Object(
            members
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), plain(value))))
                .collect(),
        ),
        Yaml::Tagged(_, inner) => plain(inner),
        _ => Value::Null,
    }
}

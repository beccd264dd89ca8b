//! nx.json and project.json (or `nx` in package.json).

use super::carry::{Carried, add, add_globs, dependency, folder, is_anywhere, texts};
use super::read_json;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Targets of each package, by position in the workspace.
type Projects = BTreeMap<usize, Map<String, Value>>;

/// Carries over what nx was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let config = read_json(&workspace.root.join("nx.json"))?;
    let config = config.ok_or_else(|| {
        Problem::new("there is no nx.json here").help("start in the folder of the repository")
    })?;
    for key in config.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        if matches!(key, "plugins" | "release" | "sync" | "generators" | "tasksRunnerOptions") {
            carried.leave(format!("`{key}` of nx.json"));
        }
    }
    let projects = projects(workspace)?;
    let mut known: BTreeSet<String> = projects.values().flat_map(|targets| targets.keys().cloned()).collect();
    known.extend(
        workspace.packages.iter().flat_map(|package| package.definitions().map(|one| one.name().to_owned())),
    );
    let defaults = config["targetDefaults"].as_object().cloned().unwrap_or_default();
    for (name, target) in &defaults {
        if name.contains([':', '*']) {
            carried.leave(format!("targetDefaults of {name}: write it for the tasks that it means"));
        } else if is_anywhere(workspace, name) {
            let left = settings(workspace, &known, carried.entry("", "scripts", name), target, None);
            left.into_iter().for_each(|what| carried.leave(format!("{name}: {what}")));
        }
    }
    for (at, targets) in &projects {
        for (name, target) in targets {
            one_target(workspace, &known, carried, *at, name, target, defaults.get(name));
        }
    }
    Ok(())
}

fn projects(workspace: &Workspace) -> Result<Projects, Problem> {
    let mut projects = Projects::new();
    for (at, package) in workspace.packages.iter().enumerate() {
        let project = read_json(&package.dir.join("project.json"))?;
        let manifest = read_json(&package.manifest_file())?;
        let inner = manifest.as_ref().map(|manifest| &manifest["nx"]);
        let targets =
            project.as_ref().into_iter().chain(inner).filter_map(|from| from["targets"].as_object());
        projects.insert(at, targets.flatten().map(|(name, target)| (name.clone(), target.clone())).collect());
    }
    Ok(projects)
}

fn one_target(
    workspace: &Workspace,
    known: &BTreeSet<String>,
    carried: &mut Carried,
    at: usize,
    name: &str,
    target: &Value,
    default: Option<&Value>,
) {
    let place = workspace.task_label(at, name);
    let package = folder(workspace, at);
    if workspace.packages[at].definition(name).is_some() {
        let left = settings(workspace, known, carried.entry(&package, "scripts", name), target, Some(at));
        left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
        return;
    }
    let commands = match (&target["command"], &target["options"]["command"], &target["options"]["commands"]) {
        (Value::String(command), ..) | (_, Value::String(command), _) => vec![command.clone()],
        (_, _, Value::Array(list)) => list
            .iter()
            .filter_map(|one| one.as_str().or(one["command"].as_str()).map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    let executor = target["executor"].as_str().unwrap_or("nx:run-commands");
    let is_group =
        commands.is_empty() && target.get("executor").is_none() && target.get("dependsOn").is_some();
    if !is_group && (commands.is_empty() || executor != "nx:run-commands") {
        carried.to_do.push(format!(
            "{place}: executor {executor}; write the command that it runs as a script of package.json"
        ));
        return;
    }
    let parallel = commands.len() > 1 && target["options"]["parallel"] != json!(false);
    if parallel {
        carried.leave(format!("{place}: its commands ran in parallel, and run one after the other"));
    }
    let entry = carried.entry(&package, "tasks", name);
    if !is_group {
        entry
            .insert("command".into(), if commands.len() == 1 { json!(commands[0]) } else { json!(commands) });
        let cwd = target["options"]["cwd"].as_str().unwrap_or("");
        if let Some(cwd) = cwd_from(&package, cwd) {
            entry.insert("cwd".into(), json!(cwd));
        }
    }
    let mut left = Vec::new();
    for from in default.into_iter().chain([target]) {
        left.extend(settings(workspace, known, entry, from, Some(at)));
    }
    left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
}

/// nx starts commands at the root, or in a folder relative to it; we in the package. `None` where that
/// is the same.
fn cwd_from(package: &str, cwd: &str) -> Option<String> {
    let cwd = cwd.replace("{projectRoot}", package).replace("{workspaceRoot}", "");
    let cwd = cwd.trim_start_matches("./").trim_matches('/');
    if cwd == package {
        return None;
    }
    let ups = "../".repeat(package.split('/').filter(|part| !part.is_empty()).count());
    let path = format!("{ups}{cwd}");
    Some(if path.is_empty() { ".".to_owned() } else { path.trim_end_matches('/').to_owned() })
}

/// The keys that targets and their defaults share.
fn settings(
    workspace: &Workspace,
    known: &BTreeSet<String>,
    entry: &mut Map<String, Value>,
    target: &Value,
    at: Option<usize>,
) -> Vec<String> {
    let mut left = Vec::new();
    let is_known = |task: &str| known.contains(task);
    for written in target["dependsOn"].as_array().into_iter().flatten() {
        let text = match (written.as_str(), written["target"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(task))
                if written["dependencies"] == json!(true) || written["projects"] == json!("dependencies") =>
            {
                format!("^{}", task.trim_start_matches('^'))
            }
            (None, Some(task)) => {
                let projects = texts(&written["projects"]);
                if projects.is_empty() || projects == ["self"] {
                    task.to_owned()
                } else {
                    for project in projects {
                        add(entry, "dependsOn", [json!(format!("{project}#{task}"))]);
                    }
                    continue;
                }
            }
            (None, None) => continue,
        };
        // `project:target` of nx is `package#task` here.
        let text = match text.split_once(':') {
            Some((project, task)) if workspace.package_named(project).is_some() => {
                format!("{project}#{task}")
            }
            _ => text,
        };
        match dependency(workspace, &is_known, &text) {
            Ok(dependency) => add(entry, "dependsOn", [json!(dependency)]),
            Err(why) => left.push(format!("dependsOn {why}")),
        }
    }
    let mut globs = Vec::new();
    for output in texts(&target["outputs"]) {
        match pattern(workspace, at, &output) {
            Some(glob) => globs.push(glob),
            None => left.push(format!("output `{output}`: what is written is overheard")),
        }
    }
    add_globs(entry, "output", globs);
    let mut except = Vec::new();
    for input in target["inputs"].as_array().into_iter().flatten() {
        if let Some(name) = input["env"].as_str() {
            add(entry, "env", [json!(name)]);
        } else if input.get("runtime").is_some() {
            left.push(format!("input {input}: a command's answer is no input here"));
        } else if let Some(excluded) = input.as_str().filter(|text| text.starts_with('!')) {
            // What is read is overheard; only what must not count has to be said.
            match pattern(workspace, at, excluded) {
                Some(glob) => except.push(glob),
                None => left.push(format!("input `{excluded}`")),
            }
        }
    }
    add_globs(entry, "input", except);
    if let Some(cache) = target["cache"].as_bool() {
        entry.insert("cache".into(), json!(cache));
    }
    if target["continuous"] == json!(true) {
        entry.insert("persistent".into(), json!(true));
    }
    if target.get("configurations").is_some() {
        left.push("`configurations`: write a task for each".to_owned());
    }
    left
}

/// An output of nx as a glob; `None` where it depends on an option.
fn pattern(workspace: &Workspace, at: Option<usize>, output: &str) -> Option<Value> {
    let (exclude, rest) = output.strip_prefix('!').map_or(("", output), |rest| ("!", rest));
    let name = at.and_then(|at| workspace.packages[at].name.clone());
    let rest = match name {
        Some(name) => rest.replace("{projectName}", &name),
        None => rest.to_owned(),
    };
    // A name without an ending is a folder, with all that is in it.
    let tree = |path: &str| {
        let last = path.rsplit('/').next().unwrap_or(path);
        if last.contains(['.', '*']) || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
    };
    if let Some(path) = rest.strip_prefix("{projectRoot}/").filter(|path| !path.contains('{')) {
        return Some(json!(format!("{exclude}{}", tree(path))));
    }
    let path = rest.strip_prefix("{workspaceRoot}/").filter(|path| !path.contains('{'))?;
    Some(json!({ "pattern": format!("{exclude}{}", tree(path)), "base": "workspace" }))
}

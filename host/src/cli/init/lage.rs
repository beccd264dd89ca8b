//! lage.config.js, read without running it.

use super::carry::{Carried, add, add_globs, dependency, folder, is_anywhere, texts};
use crate::adapter::static_config;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Value, json};

/// Carries over what lage was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let names =
        ["lage.config.js", "lage.config.cjs", "lage.config.mjs", "lage.config.ts", "lage.config.json"];
    let found = names
        .into_iter()
        .find_map(|name| Some((name, std::fs::read_to_string(workspace.root.join(name)).ok()?)));
    let Some((name, text)) = found else {
        return Err(
            Problem::new("there is no lage.config.js here").help("start in the folder of the repository")
        );
    };
    let config: Value = serde_json::from_str(&static_config::read(name, &text)).unwrap_or_default();
    let Some(pipeline) = config["pipeline"].as_object() else {
        return Err(Problem::new(format!("`pipeline` of {name} is computed, and is not run to be read"))
            .help("write overhear.json by hand: \"scripts\": {\"build\": {\"dependsOn\": [\"^build\"]}}"));
    };
    for (written, task) in pipeline.iter().filter(|(key, _)| !key.starts_with('$')) {
        let (package, task_name) = written
            .rsplit_once('#')
            .map_or((None, written.as_str()), |(package, task)| (Some(package), task));
        let at = package.map_or(Some(0), |package| workspace.package_named(package));
        let Some(at) = at.filter(|_| is_anywhere(workspace, task_name)) else {
            carried.leave(format!("{written}: no package has such a script"));
            continue;
        };
        let mut left = Vec::new();
        let entry = carried.entry(&folder(workspace, at), "scripts", task_name);
        let known = |task: &str| is_anywhere(workspace, task);
        let depends_on = if task.is_array() { task } else { &task["dependsOn"] };
        for written in texts(depends_on) {
            match dependency(workspace, &known, &written) {
                Ok(dependency) => add(entry, "dependsOn", [json!(dependency)]),
                Err(why) => left.push(format!("dependsOn {why}")),
            }
        }
        add_globs(entry, "output", texts(&task["outputs"]).into_iter().map(Value::from).collect());
        let excluded = texts(&task["inputs"]).into_iter().filter(|glob| glob.starts_with('!'));
        add_globs(entry, "input", excluded.map(Value::from).collect());
        // There every script is cached unless it says no; here what no adapter knows is cached only when told.
        entry.insert("cache".into(), json!(task["cache"] != json!(false)));
        for key in task.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
            if !matches!(key, "dependsOn" | "outputs" | "inputs" | "cache" | "weight" | "priority") {
                left.push(format!("`{key}`"));
            }
        }
        left.into_iter().for_each(|what| carried.leave(format!("{written}: {what}")));
    }
    for key in config.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        if !matches!(key, "pipeline" | "npmClient" | "concurrency" | "ignore") {
            carried.leave(format!("`{key}` of {name}"));
        }
    }
    Ok(())
}

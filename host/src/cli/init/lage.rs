//! lage.config.js, read without running it.

use super::carry::{
    Carried, READ_IS_SEEN, add, add_globs, dependency, folder, is_anywhere, leave_inputs, texts,
};
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
            carried.leave(format!("{name}: {written}: no package has such a script"));
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
            let why = match key {
                "dependsOn" | "outputs" | "inputs" | "cache" => continue,
                "weight" | "maxWorkers" => "there is none; --concurrency holds for all",
                "priority" => "not needed: what is waited for longest comes first",
                "environmentGlob" => READ_IS_SEEN,
                _ => "there is none",
            };
            left.push(format!("`{key}`: {why}"));
        }
        left.into_iter().for_each(|what| carried.leave(format!("{name}: {written}: {what}")));
        let read = texts(&task["inputs"]);
        leave_inputs(carried, "inputs", read.iter().any(|glob| !glob.starts_with('!')));
    }
    for (key, value) in config.as_object().into_iter().flatten() {
        let why = match key.as_str() {
            "pipeline" => continue,
            "npmClient" => "not needed: scripts are run without the package manager".to_owned(),
            "concurrency" => format!("--concurrency {value}, or OVERHEAR_CONCURRENCY={value}"),
            "ignore" | "cacheOptions" => READ_IS_SEEN.to_owned(),
            "repoWideChanges" => "--affected counts what git says of each package".to_owned(),
            _ => "there is none".to_owned(),
        };
        carried.leave(format!("`{key}` of {name}: {why}"));
    }
    Ok(())
}

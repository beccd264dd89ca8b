//! vite-task.json, and the `run` block of vite.config.*, read without running it. The keys are ours.

use super::carry::{Carried, folder};
use super::read_json;
use crate::adapter::static_config;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::Value;

/// Carries over what vite-task was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let mut found = false;
    for (at, package) in workspace.packages.iter().enumerate() {
        let mut blocks = Vec::from_iter(read_json(&package.dir.join("vite-task.json"))?);
        for ending in ["ts", "mts", "js", "mjs", "cjs", "cts"] {
            let name = format!("vite.config.{ending}");
            let Ok(text) = std::fs::read_to_string(package.dir.join(&name)) else { continue };
            let config: Value = serde_json::from_str(&static_config::read(&name, &text)).unwrap_or_default();
            blocks.extend(config.get("run").cloned());
        }
        for block in blocks {
            found = true;
            for (key, value) in block.as_object().into_iter().flatten() {
                let place = workspace.task_label(at, key);
                match key.as_str() {
                    "$schema" => {}
                    _ if names_unknown(value) || key.starts_with('$') => {
                        carried.leave(format!("{place}: it is computed"))
                    }
                    "cache" | "enablePrePostScripts" if at != 0 => {
                        carried.leave(format!("{place}: it belongs to the root"))
                    }
                    _ => drop(carried.top(&folder(workspace, at)).insert(key.clone(), value.clone())),
                }
            }
        }
    }
    if found {
        return Ok(());
    }
    let problem = Problem::new("there is no vite-task.json here, and no vite.config with a `run` block");
    Err(problem.help("start in the folder of the repository"))
}

/// Whether something in it could only be known by running the config.
fn names_unknown(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().any(|(key, value)| key == "$unknown" || names_unknown(value))
        }
        Value::Array(elements) => elements.iter().any(names_unknown),
        _ => false,
    }
}

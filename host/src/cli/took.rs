//! How long each step took when its command last ran, kept between runs: for the display, and so that
//! what takes long begins early. Losing it costs nothing but that.

use crate::plan::Plan;
use crate::report::Expected;
use crate::workspace::Workspace;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many steps are remembered; beyond that those go that no run has had for longest.
const STEPS_MAX: usize = 20_000;

/// The file: tasks with the position of the step and milliseconds, the newest last.
#[derive(Default, Serialize, Deserialize)]
struct Took {
    steps: Vec<(String, usize, u64)>,
}

/// Where it lies.
pub fn file(workspace: &Workspace) -> PathBuf {
    workspace.root.join(crate::store::FOLDER).join("took.json")
}

fn read(file: &Path) -> Took {
    let text = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// How long steps took, for the display.
pub fn expected(file: &Path) -> Expected {
    let steps = read(file).steps.into_iter();
    steps.map(|(task, step, took)| ((task, step), Duration::from_millis(took))).collect()
}

/// How long each step of a plan took, one that is not known like the others. Nothing where all can start
/// at once: there is nothing to choose.
pub fn weights(file: &Path, plan: &Plan, concurrency: usize) -> Vec<u64> {
    if plan.steps.len() <= concurrency {
        return Vec::new();
    }
    let steps = read(file).steps;
    let took: FxHashMap<(&str, usize), u64> =
        steps.iter().map(|(task, step, took)| ((task.as_str(), *step), *took)).collect();
    let known: Vec<Option<u64>> =
        plan.steps.iter().map(|step| took.get(&(&*step.id.task, step.id.position)).copied()).collect();
    let (count, sum) = known.iter().flatten().fold((0, 0), |(count, sum), took| (count + 1, sum + took));
    let usual = sum.checked_div(count).unwrap_or(1);
    known.into_iter().map(|took| took.unwrap_or(usual).max(1)).collect()
}

/// Takes in how long the commands of a run took, by its summary. Where none ran, nothing is written.
pub fn keep(file: &Path, summary: &Value) {
    let ran = summary["tasks"].as_array().into_iter().flatten().filter(|task| task["status"] == "ran");
    let news: Vec<(String, usize, u64)> = ran
        .filter_map(|task| {
            let step = usize::try_from(task["step"].as_u64()?).ok()?;
            Some((task["task"].as_str()?.to_owned(), step, task["duration_ms"].as_u64()?))
        })
        .collect();
    if news.is_empty() {
        return;
    }
    let is_new: rustc_hash::FxHashSet<(&str, usize)> =
        news.iter().map(|(task, step, _)| (task.as_str(), *step)).collect();
    let mut steps = read(file).steps;
    steps.retain(|(task, step, _)| !is_new.contains(&(task.as_str(), *step)));
    steps.extend_from_slice(&news);
    let surplus = steps.len().saturating_sub(STEPS_MAX);
    steps.drain(..surplus);
    if let Ok(text) = serde_json::to_vec(&Took { steps }) {
        let _ = crate::store::write_private(file, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_other_runs_took_is_still_known() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("took.json");
        let ran =
            |task: &str, ms: u64| json!({ "task": task, "step": 0, "status": "ran", "duration_ms": ms });
        keep(&file, &json!({ "tasks": [ran("web#build", 4000), ran("ui#build", 1000)] }));
        keep(&file, &json!({ "tasks": [ran("web#test", 20)] }));
        let fresh = json!({ "task": "ui#build", "step": 0, "status": "fresh", "duration_ms": 1 });
        keep(&file, &json!({ "tasks": [ran("web#build", 5000), fresh] }));
        let mut known: Vec<_> =
            expected(&file).into_iter().map(|((task, _), took)| (task, took.as_millis())).collect();
        known.sort();
        let known: Vec<_> = known.iter().map(|(task, took)| (task.as_str(), *took)).collect();
        assert_eq!(known, [("ui#build", 1000), ("web#build", 5000), ("web#test", 20)]);
    }
}

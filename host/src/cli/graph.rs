//! `overhear run --graph`: the steps and what each waits for.

use crate::plan::{Plan, Step};
use crate::report;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

/// A page that draws the plan handed to it; it needs nothing from anywhere else.
const PAGE: &str = include_str!("graph.html");

/// The plan as `dot` (for Graphviz), `json`, or a page of `html`, which also shows how the last run went:
/// `last` is its summary.
pub fn print(plan: &Plan, format: &str, last: &Value) -> String {
    match format {
        "json" => as_json(plan, |_| None),
        "html" => html(plan, last),
        _ => dot(plan),
    }
}

fn html(plan: &Plan, last: &Value) -> String {
    let ended: FxHashMap<(&str, u64), &Value> = last["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| Some(((step["task"].as_str()?, step["step"].as_u64()?), step)))
        .collect();
    let of = |step: &Step| {
        let ended = ended.get(&(&*step.id.task, step.id.position as u64))?;
        // What a hit has saved is what the command took.
        let took = ended["saved_ms"].as_u64().or(ended["duration_ms"].as_u64()).unwrap_or(0);
        Some(json!({ "status": ended["status"], "took_ms": took }))
    };
    // Within a script only what looks like its end needs care.
    let data = as_json(plan, of).replace("</", "<\\/").replace("<!--", "<\\u0021--");
    PAGE.replacen("PLAN", &data, 1)
}

fn as_json(plan: &Plan, last: impl Fn(&Step) -> Option<Value>) -> String {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            let mut document = json!({
                "id": step.id.index, "task": &*step.id.task, "step": step.id.position,
                "command": &*step.id.command, "cwd": &*step.id.cwd, "waits_for": step.waits_for,
            });
            if let Some(last) = last(step) {
                document["last"] = last;
            }
            document
        })
        .collect();
    format!("{:#}\n", json!({ "version": 1, "steps": steps }))
}

fn dot(plan: &Plan) -> String {
    // A quoted string of the language escapes the quote; a line break is written `\n`.
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut text = String::from("digraph overhear {\n  rankdir = LR\n  node [shape = box]\n");
    for step in &plan.steps {
        let label = format!("{}\\n{}", quoted(&report::name(&step.id)), quoted(&step.id.command));
        text.push_str(&format!("  {} [label = \"{label}\"]\n", step.id.index));
    }
    for step in &plan.steps {
        for need in &step.waits_for {
            text.push_str(&format!("  {} -> {}\n", plan.steps[*need].id.index, step.id.index));
        }
    }
    text + "}\n"
}

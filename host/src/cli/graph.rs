//! `overhear run --graph`: the steps and what each waits for.

use crate::plan::Plan;
use serde_json::{Value, json};

/// A page that draws the plan handed to it; it needs nothing from anywhere else.
const PAGE: &str = include_str!("graph.html");

/// The plan as `dot` (for Graphviz), `json`, or a page of `html`.
pub fn print(plan: &Plan, format: &str) -> String {
    match format {
        "json" => as_json(plan),
        "html" => html(plan),
        _ => dot(plan),
    }
}

fn html(plan: &Plan) -> String {
    // Within a script only what looks like its end needs care.
    let data = as_json(plan).replace("</", "<\\/").replace("<!--", "<\\u0021--");
    PAGE.replacen("PLAN", &data, 1)
}

fn as_json(plan: &Plan) -> String {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "id": step.id.index, "task": &*step.id.task, "step": step.id.position,
                "command": &*step.id.command, "cwd": &*step.id.cwd, "waits_for": step.waits_for,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "version": 1, "steps": steps }))
}

fn dot(plan: &Plan) -> String {
    // A quoted string of the language escapes the quote; a line break is written `\n`.
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut text = String::from("digraph overhear {\n  rankdir = LR\n  node [shape = box]\n");
    for step in &plan.steps {
        let label = format!("{}\\n{}", quoted(&step.id.task), quoted(&step.id.command));
        text.push_str(&format!("  {} [label = \"{label}\"]\n", step.id.index));
    }
    for step in &plan.steps {
        for need in &step.waits_for {
            text.push_str(&format!("  {} -> {}\n", plan.steps[*need].id.index, step.id.index));
        }
    }
    text + "}\n"
}

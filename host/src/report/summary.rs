//! `--summarize FILE`: the whole session as one JSON document, version 1.

use super::Reporter;
use super::reasons::{miss, not_stored, read_miss, read_refusal};
use super::words;
use crate::event::{Event, StepId};
use crate::outcome::{Hit, Kept, MissReason, Outcome, Skip};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Collects what is told of each step.
pub struct Summary {
    began: Instant,
    began_at: SystemTime,
    /// For each step that began, by its index in the plan, as which one it did.
    order: FxHashMap<usize, usize>,
    tasks: Vec<(usize, Value)>,
    exit_code: i32,
}

impl Default for Summary {
    fn default() -> Summary {
        Summary {
            began: Instant::now(),
            began_at: SystemTime::now(),
            order: FxHashMap::default(),
            tasks: Vec::new(),
            exit_code: 0,
        }
    }
}

impl Summary {
    /// The document, once the session has ended.
    pub fn document(mut self) -> Value {
        // In the order in which steps began, or ended where they never began.
        self.tasks.sort_by_key(|(position, _)| *position);
        let tasks: Vec<Value> = self.tasks.into_iter().map(|(_, task)| task).collect();
        let mut document = json!({
            "version": 1,
            "overhear": env!("CARGO_PKG_VERSION"),
            "exit_code": self.exit_code,
            "started_at": rfc3339(self.began_at),
            "duration_ms": self.began.elapsed().as_millis() as u64,
            // Of WebAssembly, for adapters: none where what they say is remembered.
            "engines": crate::adapter::engines_created(),
        });
        // Moved: `json!` would copy them.
        document["tasks"] = Value::Array(tasks);
        document
    }

    fn position(&mut self, step: &StepId) -> usize {
        let begun = self.order.len();
        *self.order.entry(step.index).or_insert(begun)
    }
}

impl Reporter for Summary {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { step, .. } => drop(self.position(step)),
            Event::Ended { step, outcome } => {
                let position = self.position(step);
                self.tasks.push((position, task(step, outcome)));
            }
            Event::Finished { exit_code } => self.exit_code = *exit_code,
            Event::Begun { .. } | Event::Printed { .. } | Event::Notice { .. } => {}
        }
    }
}

/// A document again as lines: `run --last-details`.
pub fn details(document: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let duration = |value: &Value| words::duration(Duration::from_millis(value.as_u64().unwrap_or(0)));
    let mut lines = Vec::new();
    for task in document["tasks"].as_array().into_iter().flatten() {
        let name = match task["step"].as_u64() {
            None | Some(0) => text(&task["task"]),
            Some(position) => format!("{}.{}", text(&task["task"]), position + 1),
        };
        let status = text(&task["status"]);
        let mut line = format!("\x1b[36m{name}\x1b[0m  {status}");
        match status.as_str() {
            "fresh" | "restored" => line.push_str(&format!(", {} saved", duration(&task["saved_ms"]))),
            "ran" | "failed" => line.push_str(&format!(" in {}", duration(&task["duration_ms"]))),
            _ => {}
        }
        lines.push(line);
        lines.push(format!("  $ {}", text(&task["command"])));
        lines.extend(read_miss(&task["reason"]).map(|reason| format!("  {}", words::started(&reason))));
        lines.extend(
            read_refusal(&task["not_stored"]).map(|refusal| format!("  {}", words::not_stored(&refusal))),
        );
        lines.extend(task["because"].as_str().map(|because| format!("  because {because} failed")));
    }
    let exit = &document["exit_code"];
    lines.push(format!(
        "{}, {}, exit code {exit}",
        text(&document["started_at"]),
        duration(&document["duration_ms"])
    ));
    lines.join("\n") + "\n"
}

fn task(step: &StepId, outcome: &Outcome) -> Value {
    let mut task = identity(step);
    match outcome {
        Outcome::Fresh(hit) => add_hit(&mut task, "fresh", hit),
        Outcome::Restored(hit) => add_hit(&mut task, "restored", hit),
        Outcome::Ran { why, refusal, took, kept, adapter } => {
            task.insert("status".into(), json!("ran"));
            task.insert("cacheable".into(), json!(!matches!(why, MissReason::CacheDisabled(_))));
            task.insert("reason".into(), miss(why));
            if let Some(refusal) = refusal {
                task.insert("not_stored".into(), not_stored(refusal));
            }
            task.insert("exit_code".into(), json!(0));
            task.insert("duration_ms".into(), json!(took.as_millis() as u64));
            match kept {
                Some(kept) => add_kept(&mut task, kept),
                None => add_adapter(&mut task, adapter),
            }
        }
        Outcome::Failed { why, exit_code, error, took, adapter } => {
            task.insert("status".into(), json!("failed"));
            task.insert("cacheable".into(), json!(!matches!(why, MissReason::CacheDisabled(_))));
            task.insert("reason".into(), miss(why));
            task.insert("exit_code".into(), json!(exit_code));
            task.insert("duration_ms".into(), json!(took.as_millis() as u64));
            if let Some(error) = error {
                task.insert("error".into(), json!(error));
            }
            add_adapter(&mut task, adapter);
        }
        Outcome::Skipped(why) => {
            task.insert("status".into(), json!("skipped"));
            let because = match why {
                Skip::Needs(task) | Skip::After(task) => Some(task),
                Skip::Interrupted => None,
            };
            task.insert("because".into(), json!(because));
        }
    }
    Value::Object(task)
}

/// What every document says of a step first.
pub(super) fn identity(step: &StepId) -> Map<String, Value> {
    let mut task = Map::new();
    task.insert("task".into(), json!(&*step.task));
    task.insert("step".into(), json!(step.position));
    task.insert("command".into(), json!(&*step.command));
    task.insert("cwd".into(), json!(&*step.cwd));
    task
}

pub(super) fn add_hit(task: &mut Map<String, Value>, status: &str, hit: &Hit) {
    task.insert("status".into(), json!(status));
    task.insert("cacheable".into(), json!(true));
    task.insert("exit_code".into(), json!(0));
    task.insert("duration_ms".into(), json!(hit.took.as_millis() as u64));
    task.insert("saved_ms".into(), json!(hit.saved.as_millis() as u64));
    add_kept(task, &hit.kept);
}

fn add_kept(task: &mut Map<String, Value>, kept: &Kept) {
    task.insert("key".into(), json!(kept.key));
    add_adapter(task, &kept.adapter);
    task.insert("inputs".into(), json!(kept.inputs));
    task.insert("outputs".into(), json!(kept.outputs));
    if let Some(archive) = &kept.archive {
        task.insert("archive".into(), json!(format!("archives/{}/{archive}.tar.zst", &archive[..2])));
    }
}

fn add_adapter(task: &mut Map<String, Value>, adapter: &Option<String>) {
    if let Some(adapter) = adapter {
        task.insert("adapter".into(), json!(adapter));
    }
}

/// UTC to the second, e.g. `2026-01-31T12:00:00Z`. The date by the proleptic Gregorian calendar,
/// counted from 1970-03-01 in eras of 400 years.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_769_860_800, "2026-01-31T12:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}

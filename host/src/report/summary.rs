//! `--summarize FILE`: the whole session as one JSON document, version 1.

use super::Reporter;
use crate::event::{Event, StepId};
use crate::outcome::{DisabledBy, Hit, Kept, MissReason, Outcome, Refusal};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Collects what is told of each step.
pub struct Summary {
    began: Instant,
    began_at: SystemTime,
    order: Vec<Arc<StepId>>,
    tasks: Vec<(usize, Value)>,
    exit_code: i32,
}

impl Default for Summary {
    fn default() -> Summary {
        Summary {
            began: Instant::now(),
            began_at: SystemTime::now(),
            order: Vec::new(),
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
        json!({
            "version": 1,
            "overhear": env!("CARGO_PKG_VERSION"),
            "exit_code": self.exit_code,
            "started_at": rfc3339(self.began_at),
            "duration_ms": self.began.elapsed().as_millis() as u64,
            // Of WebAssembly, for adapters: none where what they say is remembered.
            "engines": crate::adapter::engines_created(),
            "tasks": tasks,
        })
    }

    fn position(&mut self, step: &Arc<StepId>) -> usize {
        if let Some(position) = self.order.iter().position(|other| other.index == step.index) {
            return position;
        }
        self.order.push(Arc::clone(step));
        self.order.len() - 1
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

fn task(step: &StepId, outcome: &Outcome) -> Value {
    let mut task = Map::new();
    task.insert("task".into(), json!(&*step.task));
    task.insert("step".into(), json!(step.position));
    task.insert("command".into(), json!(&*step.command));
    task.insert("cwd".into(), json!(&*step.cwd));
    match outcome {
        Outcome::Fresh(hit) => add_hit(&mut task, "fresh", hit),
        Outcome::Restored(hit) => add_hit(&mut task, "restored", hit),
        Outcome::Ran { why, refusal, took, kept } => {
            task.insert("status".into(), json!("ran"));
            task.insert("cacheable".into(), json!(!matches!(why, MissReason::CacheDisabled(_))));
            task.insert("reason".into(), miss(why));
            if let Some(refusal) = refusal {
                task.insert("not_stored".into(), not_stored(refusal));
            }
            task.insert("exit_code".into(), json!(0));
            task.insert("duration_ms".into(), json!(took.as_millis() as u64));
            if let Some(kept) = kept {
                add_kept(&mut task, kept);
            }
        }
        Outcome::Failed { why, exit_code, error, took } => {
            task.insert("status".into(), json!("failed"));
            task.insert("cacheable".into(), json!(!matches!(why, MissReason::CacheDisabled(_))));
            task.insert("reason".into(), miss(why));
            task.insert("exit_code".into(), json!(exit_code));
            task.insert("duration_ms".into(), json!(took.as_millis() as u64));
            if let Some(error) = error {
                task.insert("error".into(), json!(error));
            }
        }
        Outcome::Skipped { because } => {
            task.insert("status".into(), json!("skipped"));
            task.insert("because".into(), json!(because));
        }
    }
    Value::Object(task)
}

fn add_hit(task: &mut Map<String, Value>, status: &str, hit: &Hit) {
    task.insert("status".into(), json!(status));
    task.insert("cacheable".into(), json!(true));
    task.insert("exit_code".into(), json!(0));
    task.insert("duration_ms".into(), json!(hit.took.as_millis() as u64));
    task.insert("saved_ms".into(), json!(hit.saved.as_millis() as u64));
    add_kept(task, &hit.kept);
}

fn add_kept(task: &mut Map<String, Value>, kept: &Kept) {
    task.insert("inputs".into(), json!(kept.inputs));
    task.insert("outputs".into(), json!(kept.outputs));
    if let Some(archive) = &kept.archive {
        task.insert("archive".into(), json!(format!("archives/{}/{archive}.tar.zst", &archive[..2])));
    }
}

/// A reason as the document has it: its kind, and what it names.
pub(super) fn miss(reason: &MissReason) -> Value {
    let kind = reason.kind();
    match reason {
        MissReason::InputModified(path) | MissReason::InputAdded(path) | MissReason::InputRemoved(path) => {
            json!({ "kind": kind, "path": path })
        }
        MissReason::OutputChanged(path) => json!({ "kind": kind, "path": path }),
        MissReason::EnvChanged(name) | MissReason::EnvAdded(name) | MissReason::EnvRemoved(name) => {
            json!({ "kind": kind, "name": name })
        }
        MissReason::ProgramChanged(name) => json!({ "kind": kind, "name": name }),
        MissReason::DeclarationChanged(adapter) => json!({ "kind": kind, "adapter": adapter }),
        MissReason::EntryDamaged(why) => json!({ "kind": kind, "why": why }),
        MissReason::CacheDisabled(by) => disabled(kind, by),
        _ => json!({ "kind": kind }),
    }
}

fn disabled(kind: &str, by: &DisabledBy) -> Value {
    match by {
        DisabledBy::Config => json!({ "kind": kind, "by": "config" }),
        DisabledBy::Flag => json!({ "kind": kind, "by": "flag" }),
        DisabledBy::Default => json!({ "kind": kind, "by": "default" }),
        DisabledBy::Adapter(adapter, why) => json!({ "kind": kind, "by": "adapter", "adapter": adapter, "why": why }),
        DisabledBy::Persistent => json!({ "kind": kind, "by": "persistent" }),
        DisabledBy::Fault(why) => json!({ "kind": kind, "by": "fault", "why": why }),
    }
}

/// A refusal as the documents have it: its kind, and what it names.
pub fn not_stored(refusal: &Refusal) -> Value {
    let kind = refusal.kind();
    match refusal {
        Refusal::ReadWriteOverlap { path, process } => json!({ "kind": kind, "path": path, "process": process }),
        Refusal::TraceIncomplete(why) | Refusal::IpcFailed(why) => json!({ "kind": kind, "why": why }),
        Refusal::InputChangedDuringRun(path) | Refusal::WroteOutside(path) => json!({ "kind": kind, "path": path }),
        Refusal::OutsideService { address, process } => json!({ "kind": kind, "address": address, "process": process }),
        Refusal::HiddenEnv { name, file } => json!({ "kind": kind, "name": name, "file": file }),
        Refusal::Detached(process) => json!({ "kind": kind, "process": process }),
        Refusal::StoreFailed(error) => json!({ "kind": kind, "error": error }),
        Refusal::TooLarge(what) => json!({ "kind": kind, "what": what }),
        Refusal::ToolAsked | Refusal::ReadTerminal | Refusal::Interrupted => json!({ "kind": kind }),
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
    use std::time::Duration;

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, text) in [(0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_769_860_800, "2026-01-31T12:00:00Z")] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}

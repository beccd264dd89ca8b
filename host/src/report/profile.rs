//! `--trace-profile FILE`: when each step ran, in the trace-event format of Chrome and Perfetto.

use super::{Reporter, name};
use crate::event::{Event, StepId};
use crate::outcome::Outcome;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::time::Instant;

/// Collects when steps began and ended.
pub struct Profile {
    began: Instant,
    /// By step: when it began, and the lane it is drawn in.
    running: FxHashMap<usize, (u64, usize)>,
    /// Whether a lane is taken.
    lanes: Vec<bool>,
    events: Vec<Value>,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            began: Instant::now(),
            running: FxHashMap::default(),
            lanes: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Profile {
    /// The document, once the session has ended.
    pub fn document(self) -> Value {
        json!({ "traceEvents": self.events, "displayTimeUnit": "ms" })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn began(&mut self, step: &StepId) {
        let lane = self.lanes.iter().position(|taken| !taken).unwrap_or(self.lanes.len());
        match self.lanes.get_mut(lane) {
            Some(taken) => *taken = true,
            None => self.lanes.push(true),
        }
        self.running.insert(step.index, (self.now_us(), lane));
    }

    fn ended(&mut self, step: &StepId, outcome: &Outcome) {
        let now = self.now_us();
        let status = match outcome {
            Outcome::Fresh(_) => "fresh",
            Outcome::Restored(_) => "restored",
            Outcome::Ran { .. } => "ran",
            Outcome::Failed { .. } => "failed",
            Outcome::Skipped(_) => return,
        };
        let (start, lane) = match (self.running.remove(&step.index), outcome) {
            (Some((start, lane)), _) => {
                self.lanes[lane] = false;
                (start, lane)
            }
            // A hit has no begin of its own.
            (None, Outcome::Fresh(hit) | Outcome::Restored(hit)) => {
                let took = u64::try_from(hit.took.as_micros()).unwrap_or(0);
                (
                    now.saturating_sub(took),
                    self.lanes.iter().position(|taken| !taken).unwrap_or(self.lanes.len()),
                )
            }
            (None, _) => (now, self.lanes.len()),
        };
        self.events.push(json!({
            "name": name(step), "cat": status, "ph": "X", "ts": start, "dur": now - start, "pid": 1, "tid": lane + 1,
            "args": { "command": &*step.command, "status": status },
        }));
    }
}

impl Reporter for Profile {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started { step, .. } => self.began(step),
            Event::Ended { step, outcome } => self.ended(step, outcome),
            Event::Begun { .. } | Event::Printed { .. } | Event::Notice { .. } | Event::Finished { .. } => {}
        }
    }
}

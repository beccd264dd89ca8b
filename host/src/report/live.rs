//! The last line of a terminal while several steps run: how many are done, which run and for how long.
//! Pure: `terminal` draws it.

use super::columns::width;
use super::name;
use crate::event::StepId;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long steps took before, by task and position.
pub type Expected = FxHashMap<(String, usize), Duration>;

/// What runs now.
#[derive(Default)]
pub struct Live {
    steps: usize,
    done: usize,
    running: Vec<(Arc<StepId>, Instant)>,
    expected: Expected,
    /// Where `expected` comes from, asked when the first command begins: where all is fresh, nobody asks.
    ask: Option<Box<dyn FnOnce() -> Expected>>,
}

impl Live {
    /// So many steps are to come.
    pub fn begun(&mut self, steps: usize) {
        (self.steps, self.done) = (steps, 0);
    }

    /// How long steps took before is known by asking this, once.
    pub fn expect(&mut self, ask: Box<dyn FnOnce() -> Expected>) {
        self.ask = Some(ask);
    }

    /// A command begins.
    pub fn started(&mut self, step: &Arc<StepId>, now: Instant) {
        if let Some(ask) = self.ask.take() {
            self.expected = ask();
        }
        self.running.push((Arc::clone(step), now));
    }

    /// A step ended.
    pub fn ended(&mut self, step: &StepId) {
        self.done += 1;
        self.running.retain(|(other, _)| other.index != step.index);
    }

    /// The line, in at most so many columns; `None` while nothing runs. The longest running first.
    pub fn text(&self, now: Instant, columns: usize) -> Option<String> {
        if self.running.is_empty() {
            return None;
        }
        let mut text = format!("{}/{} done", self.done, self.steps);
        for (position, (step, began)) in self.running.iter().enumerate() {
            let seconds = now.saturating_duration_since(*began).as_secs();
            let one = format!("  {} {seconds}{} s", name(step), self.of_about(step));
            let more = self.running.len() - position;
            let more = format!("  and {more} more");
            let is_last = position + 1 == self.running.len();
            let room = columns.saturating_sub(width(&text));
            if width(&one) + if is_last { 0 } else { width(&more) } > room {
                if width(&more) <= room {
                    text.push_str(&more);
                }
                break;
            }
            text.push_str(&one);
        }
        (width(&text) <= columns).then_some(text)
    }
}

impl Live {
    /// How long the step took before, where that is worth saying.
    fn of_about(&self, step: &StepId) -> String {
        // Without a copy of the name this would need a map of maps; a display is drawn five times a second.
        let took = self.expected.get(&(step.task.to_string(), step.position));
        let seconds = took.map_or(0, |took| took.as_millis().div_ceil(1000));
        if seconds > 1 { format!(" of ~{seconds}") } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn step(index: usize, task: &str) -> Arc<StepId> {
        Arc::new(StepId { index, task: task.into(), position: 0, command: "x".into(), cwd: ".".into() })
    }

    #[test]
    fn the_line_fits_whatever_the_width_and_the_names() {
        let began = Instant::now();
        let mut live = Live::default();
        live.begun(9);
        assert_eq!(live.text(began, 80), None);
        for (index, task) in ["web#build", "包#构建", "docs#a-task-with-a-long-name"].into_iter().enumerate()
        {
            live.started(&step(index, task), began);
        }
        live.ended(&step(7, "done"));
        let now = began + Duration::from_secs(2);
        let whole = "1/9 done  web#build 2 s  包#构建 2 s  docs#a-task-with-a-long-name 2 s";
        assert_eq!(live.text(now, 80).as_deref(), Some(whole));
        assert_eq!(live.text(now, 40).as_deref(), Some("1/9 done  web#build 2 s  and 2 more"));
        assert_eq!(live.text(now, 5), None);
        let asked = || Expected::from_iter([(("web#build".to_owned(), 0), Duration::from_millis(7_200))]);
        live.expect(Box::new(asked));
        live.started(&step(3, "api#build"), now);
        assert_eq!(live.text(now, 44).as_deref(), Some("1/9 done  web#build 2 of ~8 s  and 3 more"));
        for columns in 0..90 {
            assert!(live.text(now, columns).is_none_or(|text| width(&text) <= columns));
        }
    }
}

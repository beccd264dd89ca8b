//! One line per step, and what commands print as it comes. What commands print goes where they
//! printed it; overhear's own lines go to standard error, so that a pipe gets what running the
//! command directly would have given it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reporters print")]

use super::{Reporter, words};
use crate::event::{Event, StepId, Stream};
use crate::outcome::{MissReason, Outcome};
use anstream::{AutoStream, ColorChoice};
use std::io::{IsTerminal, Stderr, Stdout, Write};
use std::time::Duration;

/// Shows lines.
pub struct Lines {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    quiet: bool,
    tally: Tally,
    /// The terminal stands in the middle of a line that a command began.
    is_midline: bool,
}

#[derive(Default)]
struct Tally {
    steps: usize,
    fresh: usize,
    restored: usize,
    ran: usize,
    failed: usize,
    skipped: usize,
    not_stored: usize,
    saved: Duration,
}

impl Lines {
    /// Shows lines on standard output and error; `color` decides for both where it is given.
    /// `quiet` shows only what commands print, and failures.
    pub fn new(quiet: bool, color: Option<bool>) -> Lines {
        let choice = |is_terminal: bool| match color.or_else(wanted_by_environment) {
            Some(true) => ColorChoice::AlwaysAnsi,
            Some(false) => ColorChoice::Never,
            None if is_terminal => ColorChoice::AlwaysAnsi,
            None => ColorChoice::Never,
        };
        Lines {
            out: AutoStream::new(std::io::stdout(), choice(std::io::stdout().is_terminal())),
            err: AutoStream::new(std::io::stderr(), choice(std::io::stderr().is_terminal())),
            quiet,
            tally: Tally::default(),
            is_midline: false,
        }
    }

    /// Shows one line that is about no step.
    pub fn notice(&mut self, text: &str) {
        self.line(None, text);
    }

    fn line(&mut self, step: Option<&StepId>, text: &str) {
        // A reader that went away must not end the run: there is nobody left to tell.
        if self.is_midline {
            let _ = writeln!(self.err);
            self.is_midline = false;
        }
        let line = match step {
            Some(step) => format!("\x1b[36m{}\x1b[0m  {text}\n", name(step)),
            None => format!("{text}\n"),
        };
        // In one piece, so that lines of several processes on one terminal stay whole.
        let _ = match self.err.current_choice() {
            ColorChoice::Never => self.err.as_inner().write_all(anstream::adapter::strip_str(&line).to_string().as_bytes()),
            _ => self.err.write_all(line.as_bytes()),
        };
    }

    fn printed(&mut self, stream: Stream, bytes: &[u8]) {
        let _ = match stream {
            Stream::Out => self.out.write_all(bytes).and_then(|()| self.out.flush()),
            Stream::Err => self.err.write_all(bytes).and_then(|()| self.err.flush()),
        };
        if let Some(last) = bytes.last() {
            self.is_midline = *last != b'\n';
        }
    }

    fn ended(&mut self, step: &StepId, outcome: &Outcome) {
        match outcome {
            Outcome::Fresh(hit) => {
                self.tally.fresh += 1;
                self.tally.saved += hit.saved;
                self.line_unless_quiet(step, &format!("\x1b[32mfresh\x1b[0m, {} saved", duration(hit.saved)));
            }
            Outcome::Restored(hit) => {
                self.tally.restored += 1;
                self.tally.saved += hit.saved;
                self.line_unless_quiet(step, &format!("\x1b[32mrestored\x1b[0m, {} saved", duration(hit.saved)));
            }
            Outcome::Ran { refusal, .. } => {
                self.tally.ran += 1;
                if let Some(refusal) = refusal {
                    self.tally.not_stored += 1;
                    self.line_unless_quiet(step, &format!("\x1b[33mnot stored\x1b[0m: {}", words::refusal(refusal)));
                }
            }
            Outcome::Failed { exit_code, error, .. } => {
                self.tally.failed += 1;
                let why = error.clone().unwrap_or_else(|| format!("exit code {exit_code}"));
                self.line(Some(step), &format!("\x1b[31mfailed\x1b[0m: {why}"));
            }
            Outcome::Skipped { because } => {
                self.tally.skipped += 1;
                let why = because.as_ref().map_or("interrupted".to_owned(), |task| format!("{task} failed"));
                self.line_unless_quiet(step, &format!("skipped: {why}"));
            }
        }
    }

    fn line_unless_quiet(&mut self, step: &StepId, text: &str) {
        if !self.quiet {
            self.line(Some(step), text);
        }
    }

    fn finished(&mut self) {
        let tally = &self.tally;
        if self.quiet || tally.steps < 2 {
            return;
        }
        let counts = [
            (tally.fresh, "fresh"),
            (tally.restored, "restored"),
            (tally.ran, "ran"),
            (tally.failed, "failed"),
            (tally.skipped, "skipped"),
            (tally.not_stored, "not stored"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let mut text = format!("{} steps: {}", tally.steps, counts.collect::<Vec<_>>().join(", "));
        if !tally.saved.is_zero() {
            text.push_str(&format!("; {} saved", duration(tally.saved)));
        }
        self.line(None, &text);
    }
}

impl Reporter for Lines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Begun { steps } => self.tally.steps = *steps,
            Event::Started { step, why } => {
                let text = match why {
                    MissReason::CacheDisabled(_) => format!("not cached: {}", words::miss(why)),
                    _ => format!("\x1b[33mmiss\x1b[0m: {}", words::miss(why)),
                };
                self.line_unless_quiet(step, &text);
            }
            Event::Printed { stream, bytes, .. } => self.printed(*stream, bytes),
            Event::Ended { step, outcome } => self.ended(step, outcome),
            Event::Notice { step, text } => self.line(step.as_deref(), text),
            Event::Finished { .. } => self.finished(),
        }
    }
}

/// A task with several steps is told apart by the position of the step.
fn name(step: &StepId) -> String {
    match step.position {
        0 => step.task.to_string(),
        position => format!("{}.{}", step.task, position + 1),
    }
}

fn wanted_by_environment() -> Option<bool> {
    let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if is_set("NO_COLOR").is_some() {
        return Some(false);
    }
    is_set("FORCE_COLOR").map(|value| value != "0")
}

/// `812 ms`, `2.3 s`, `4 min 10 s`.
pub(super) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, text) in [(0, "0 ms"), (812, "812 ms"), (2_310, "2.3 s"), (250_000, "4 min 10 s")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}

//! One line per step, and what commands print in the form that is asked for. What commands print goes
//! where they printed it; overhear's own lines go to standard error, so that a pipe gets what running
//! the command directly would have given it.

use super::live::{Expected, Live};
use super::output::{Output, Style};
use super::terminal::Terminal;
use super::{Reporter, name, words};
use crate::event::{Event, StepId, Stream};
use crate::outcome::{DisabledBy, MissReason, Outcome};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// How much is shown of what overhear itself has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Only what commands print, and failures.
    Quiet,
    /// One line per step.
    #[default]
    Normal,
    /// Every difference, and what can be done.
    Verbose,
}

/// Shows lines.
pub struct Lines {
    terminal: Terminal,
    output: Output,
    detail: Detail,
    tally: Tally,
    /// Of a group that is not shown yet: the line that it begins with.
    heads: FxHashMap<usize, String>,
    live: Live,
    is_paused: bool,
}

#[derive(Default)]
struct Tally {
    steps: usize,
    fresh: usize,
    restored: usize,
    ran: usize,
    failed: usize,
    skipped: usize,
    stopped: usize,
    not_stored: usize,
    saved: Duration,
    began: Option<Instant>,
    /// Names of the steps that failed.
    lost: Vec<String>,
}

/// So many failed steps are named at the end, and so many skipped ones by a line of their own.
const NAMED_MAX: usize = 10;

impl Lines {
    /// Shows lines on standard output and error; `color` decides for both where it is given. `only`
    /// sends everything to one of the two.
    pub fn new(detail: Detail, color: Option<bool>, style: Style, only: Option<Stream>) -> Lines {
        Lines {
            terminal: Terminal::new(color, only),
            output: Output::new(style),
            detail,
            tally: Tally::default(),
            heads: FxHashMap::default(),
            live: Live::default(),
            is_paused: false,
        }
    }

    /// How long steps took before, for the display; asked only where one is drawn and something runs.
    pub fn expect(&mut self, ask: impl FnOnce() -> Expected + 'static) {
        if self.terminal.can_draw() {
            self.live.expect(Box::new(ask));
        }
    }

    /// Shows one line that is about no step.
    pub fn notice(&mut self, text: &str) {
        self.terminal.line(text);
    }

    fn is_grouped(&self) -> bool {
        matches!(self.output.style(), Style::Grouped | Style::GroupedForActions)
    }

    fn line(&mut self, step: &StepId, text: &str) {
        self.terminal.line(&format!("\x1b[36m{}\x1b[0m  {text}", name(step)));
    }

    fn line_unless_quiet(&mut self, step: &StepId, text: &str) {
        if self.detail != Detail::Quiet {
            self.line(step, text);
        }
    }

    fn started(&mut self, step: &StepId, why: &MissReason, others: &[MissReason]) {
        self.output.started(step);
        if self.detail == Detail::Quiet {
            return;
        }
        let mut text = words::started(why);
        if self.detail == Detail::Verbose {
            for other in others {
                text.push_str(&format!("\n  also: {}", words::miss(other)));
            }
            text.push_str(&format!("\n  $ {}", super::visible(&step.command)));
        }
        if self.is_grouped() {
            self.heads.insert(step.index, text);
        } else {
            self.line(step, &text);
        }
    }

    /// Shows what was held back of a step.
    fn release(&mut self, step: &StepId) {
        let head = self.heads.remove(&step.index);
        let has_output = self.output.holds(step);
        let folds = self.output.style() == Style::GroupedForActions && has_output;
        match head {
            Some(head) if folds => {
                let (first, rest) =
                    head.split_once('\n').map_or((head.as_str(), None), |(first, rest)| (first, Some(rest)));
                self.terminal.line(&format!("::group::{}  {first}", name(step)));
                rest.into_iter().for_each(|rest| self.terminal.line(rest));
            }
            Some(head) => self.line(step, &head),
            None if folds => self.terminal.line(&format!("::group::{}", name(step))),
            None => {}
        }
        self.output.ended(&mut self.terminal, step);
        if folds {
            self.terminal.line("::endgroup::");
        }
    }

    fn ended(&mut self, step: &StepId, outcome: &Outcome) {
        self.release(step);
        match outcome {
            Outcome::Fresh(hit) => {
                self.tally.fresh += 1;
                self.tally.saved += hit.saved;
                self.line_unless_quiet(step, &words::hit("fresh", hit.saved));
            }
            Outcome::Restored(hit) => {
                self.tally.restored += 1;
                self.tally.saved += hit.saved;
                self.line_unless_quiet(step, &words::hit("restored", hit.saved));
            }
            Outcome::Ran { refusal, .. } => {
                self.tally.ran += 1;
                if let Some(refusal) = refusal {
                    self.tally.not_stored += 1;
                    let mut text = words::not_stored(refusal);
                    if self.detail == Detail::Verbose {
                        text.push_str(&format!("\n  {}", words::advice_for_refusal(refusal)));
                    }
                    self.line_unless_quiet(step, &text);
                }
            }
            // What serves until it is stopped was stopped.
            Outcome::Failed { why: MissReason::CacheDisabled(DisabledBy::Persistent), exit_code, .. }
                if ENDED_BY_PERSON.contains(exit_code) =>
            {
                self.tally.stopped += 1;
                self.line_unless_quiet(step, "stopped");
            }
            Outcome::Failed { exit_code, error, .. } => {
                self.tally.failed += 1;
                self.tally.lost.push(name(step));
                let why = error.clone().unwrap_or_else(|| words::exit_code(*exit_code));
                self.line(step, &format!("\x1b[31mfailed\x1b[0m: {why}"));
                if self.output.style() == Style::GroupedForActions {
                    self.terminal.line(&annotation(step, &why));
                }
            }
            Outcome::Skipped(why) => {
                self.tally.skipped += 1;
                // Hundreds of them would push the failure itself off the screen; all are counted at the end.
                if self.tally.skipped <= NAMED_MAX || self.detail == Detail::Verbose {
                    self.line_unless_quiet(step, &words::skipped(why));
                }
            }
        }
    }

    fn finished(&mut self, exit_code: i32) {
        let tally = &self.tally;
        if self.detail == Detail::Quiet || tally.steps < 2 {
            return;
        }
        let counts = [
            (tally.fresh, "fresh"),
            (tally.restored, "restored"),
            (tally.ran, "ran"),
            (tally.failed, "failed"),
            (tally.stopped, "stopped"),
            (tally.skipped, "skipped"),
            (tally.not_stored, "not stored"),
        ];
        let counts =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let mut text = format!("{} steps: {}", tally.steps, counts.collect::<Vec<_>>().join(", "));
        if tally.ran + tally.failed > 0
            && let Some(began) = tally.began
        {
            text.push_str(&format!(" in {}", words::duration(began.elapsed())));
        }
        if !tally.saved.is_zero() {
            text.push_str(&format!("; {} saved", words::duration(tally.saved)));
        }
        self.terminal.line(&text);
        // Their own lines may be far above by now. What a signal ended is no news.
        if tally.failed > 0 && tally.steps > tally.failed && !ENDED_BY_PERSON.contains(&exit_code) {
            let named = &tally.lost[..tally.lost.len().min(NAMED_MAX)];
            let more = match tally.lost.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            self.terminal.line(&format!("\x1b[31mfailed\x1b[0m: {}{more}", named.join(", ")));
        }
    }
}

/// Exit codes after SIGHUP, SIGINT and SIGTERM.
const ENDED_BY_PERSON: [i32; 3] = [129, 130, 143];

impl Reporter for Lines {
    fn is_heard(&self) -> bool {
        super::lost_output().is_none()
    }

    fn event(&mut self, event: &Event) {
        let was_drawn = self.terminal.is_drawn();
        match event {
            Event::Begun { steps } => {
                self.tally = Tally { steps: *steps, began: Some(Instant::now()), ..Tally::default() };
                self.live.begun(*steps);
            }
            Event::Started { step, why, others, has_terminal } => {
                // Nothing is drawn where it prints: nobody knows where in a line it is.
                if !has_terminal {
                    self.live.started(step, Instant::now());
                }
                self.started(step, why, others);
            }
            Event::Printed { step, stream, bytes, .. } => {
                self.output.printed(&mut self.terminal, step, *stream, bytes);
            }
            Event::Ended { step, outcome } => {
                self.live.ended(step);
                self.ended(step, outcome);
            }
            Event::Notice { step: Some(step), text } => self.line(step, text),
            Event::Notice { step: None, text } => self.terminal.line(text),
            Event::Finished { exit_code } => {
                self.terminal.erase();
                self.finished(*exit_code);
                return;
            }
        }
        if was_drawn && !self.terminal.is_drawn() {
            self.tick();
        }
    }

    fn is_live(&self) -> bool {
        self.terminal.can_draw() && self.detail != Detail::Quiet && self.tally.steps > 1
    }

    fn tick(&mut self) {
        if !self.is_paused {
            self.terminal.draw(|columns| self.live.text(Instant::now(), columns));
        }
    }

    fn pause(&mut self, paused: bool) {
        self.is_paused = paused;
        self.terminal.erase();
    }
}

/// A failure as GitHub Actions marks it on the page of the run.
fn annotation(step: &StepId, why: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!("::error title={}::{}", property(&name(step)), data(&format!("{} failed: {why}", step.command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_escapes_what_would_end_it() {
        let step = StepId {
            index: 0,
            task: "@a/b#x:y".into(),
            position: 0,
            command: "echo 100%\nagain".into(),
            cwd: ".".into(),
        };
        let expected = "::error title=@a/b#x%3Ay::echo 100%25%0Aagain failed: exit code 1";
        assert_eq!(annotation(&step, "exit code 1"), expected);
    }
}

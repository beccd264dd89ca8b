//! What a user is shown. The only place that prints: everything else sends events.

mod colors;
mod columns;
mod differing;
mod foreseen;
mod lines;
mod live;
mod output;
pub mod picker;
mod profile;
mod reasons;
mod summary;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub use colors::plain;
pub use columns::{padded, width};
pub use differing::{Change, FileDiff, StepDiff, step_diff_document, step_diff_text};
pub use foreseen::{Told, foreseen_document, foreseen_text, refusal_text};
pub use lines::{Detail, Lines};
pub use live::Expected;
pub use output::Style;
pub use profile::Profile;
pub use reasons::{miss, not_stored, read_miss, read_refusal};
pub use summary::{Summary, details};
pub use terminal::{lost_output, shows_colors};
pub use words::{Whose, miss as miss_in_words};

use crate::event::{Event, StepId};
use crate::problem::Problems;
use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

/// Shows events, or collects them.
pub trait Reporter {
    /// Something happened.
    fn event(&mut self, event: &Event);

    /// Whether it wants to be called from time to time.
    fn is_live(&self) -> bool {
        false
    }

    /// Some time has passed.
    fn tick(&mut self) {}

    /// Whether what commands print still gets to somebody.
    fn is_heard(&self) -> bool {
        true
    }

    /// A command has the terminal to itself from now on, or has no longer.
    fn pause(&mut self, _paused: bool) {}
}

/// Several reporters at once, each told everything.
pub struct All<'a>(pub Vec<&'a mut dyn Reporter>);

impl Reporter for All<'_> {
    fn event(&mut self, event: &Event) {
        for reporter in &mut self.0 {
            reporter.event(event);
        }
    }

    fn is_live(&self) -> bool {
        self.0.iter().any(|reporter| reporter.is_live())
    }

    fn is_heard(&self) -> bool {
        self.0.iter().all(|reporter| reporter.is_heard())
    }

    fn tick(&mut self) {
        self.0.iter_mut().filter(|reporter| reporter.is_live()).for_each(|reporter| reporter.tick());
    }

    fn pause(&mut self, paused: bool) {
        self.0.iter_mut().for_each(|reporter| reporter.pause(paused));
    }
}

/// Prints what a command was asked for. Where that cannot be, [`lost_output`] says so.
pub fn print(text: &str) {
    terminal::put(crate::event::Stream::Out, text.as_bytes());
}

/// Prints text with colours, which are left out where the output is no terminal or `color` says so.
pub fn print_colored(text: &str, color: Option<bool>) {
    terminal::Terminal::new(color, Some(crate::event::Stream::Out)).print(
        &"".into(),
        crate::event::Stream::Out,
        text.as_bytes(),
    );
}

/// How lines name a step: a task with several is told apart by the position of the step.
pub fn name(step: &StepId) -> String {
    let task = visible(&step.task);
    match step.position {
        0 => task.into_owned(),
        position => format!("{task}.{}", position + 1),
    }
}

/// A text that somebody else wrote, on one line and without what would move a terminal's cursor.
pub fn visible(text: &str) -> Cow<'_, str> {
    let moves = |c: char| c.is_control() && c != '\t';
    if !text.contains(moves) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if moves(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Tells one line, on standard error.
pub fn tell(line: &str) {
    terminal::Terminal::new(None, None).line(line);
}

/// Prints what is wrong with what a person wrote.
pub fn problems(problems: &Problems) {
    let text = problems.to_string();
    let lines: Vec<Cow<'_, str>> = text.lines().map(visible).collect();
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// Prints what the command line library has to say: help and version to standard output with code 0,
/// mistakes to standard error with code 2, and after them what may have been meant.
pub fn usage(error: &clap::Error, hint: Option<&str>) -> ExitCode {
    let _ = error.print();
    if let Some(hint) = hint {
        let _ = writeln!(std::io::stderr(), "\n{hint}");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

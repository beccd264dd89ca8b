//! What a user is shown. The only place that prints: everything else sends events.

mod lines;
mod summary;
mod words;

pub use lines::Lines;
pub use summary::{Summary, not_stored};
pub use words::{miss, refusal};

use crate::event::Event;
use crate::problem::Problems;
use std::io::Write;
use std::process::ExitCode;

/// Shows events, or collects them.
pub trait Reporter {
    /// Something happened.
    fn event(&mut self, event: &Event);
}

/// Several reporters at once, each told everything.
pub struct All<'a>(pub Vec<&'a mut dyn Reporter>);

impl Reporter for All<'_> {
    fn event(&mut self, event: &Event) {
        for reporter in &mut self.0 {
            reporter.event(event);
        }
    }
}

/// Prints what a command was asked for. A reader that went away is no fault.
#[allow(clippy::print_stdout, reason = "reporters print")]
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints what is wrong with what a person wrote.
pub fn problems(problems: &Problems) {
    let _ = writeln!(std::io::stderr().lock(), "{problems}");
}

/// Prints what the command line library has to say: help and version to standard output with code 0,
/// mistakes to standard error with code 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

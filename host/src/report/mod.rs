//! What a user is shown. The only place that prints: everything else sends events.

mod lines;
mod summary;
mod words;

pub use lines::Lines;
pub use summary::Summary;
pub use words::{miss, refusal};

use crate::event::Event;

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

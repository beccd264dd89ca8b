//! What a user may be shown. Everything that happens in a session becomes one of these; reporters
//! (`report`) turn them into lines, JSON or a display. Nothing else prints.

use crate::outcome::{MissReason, Outcome};
use std::sync::Arc;

/// One step, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepId {
    /// Position in the plan.
    pub index: usize,
    /// `package#name`, or the name alone in a lone package.
    pub task: Arc<str>,
    /// Position among the steps of its task, from 0.
    pub position: usize,
    /// The command as written.
    pub command: Arc<str>,
    /// Working directory relative to the root.
    pub cwd: Arc<str>,
}

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Something that a user may be shown.
#[derive(Clone, Debug)]
pub enum Event {
    /// The session begins, with so many steps.
    Begun {
        /// How many steps the plan has.
        steps: usize,
    },
    /// A command is about to be started.
    Started {
        /// Which step.
        step: Arc<StepId>,
        /// Why it has to run.
        why: MissReason,
        /// Whatever else differs from the closest entry, most telling first.
        others: Vec<MissReason>,
        /// Whether it gets the terminal as it is: what it prints there no reporter hears of.
        has_terminal: bool,
    },
    /// A command printed, or a hit repeats what it printed.
    Printed {
        /// Which step.
        step: Arc<StepId>,
        /// Where it printed.
        stream: Stream,
        /// What, as it came.
        bytes: Vec<u8>,
        /// Whether this repeats what was printed when the command ran.
        replayed: bool,
    },
    /// A step ended.
    Ended {
        /// Which step.
        step: Arc<StepId>,
        /// How.
        outcome: Outcome,
    },
    /// Something to know that changes no result: a fault of the cache, an adapter's advice.
    Notice {
        /// The step that it is about, if it is about one.
        step: Option<Arc<StepId>>,
        /// One line.
        text: String,
    },
    /// The session ends with this exit code.
    Finished {
        /// The exit code of overhear.
        exit_code: i32,
    },
}

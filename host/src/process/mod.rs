//! Starts commands and sees them through: their output as it comes, their end, what they left
//! running, and the signals that are meant for them. With a [`crate::trace::Spec`] the whole tree
//! is traced meanwhile.
//!
//! It knows nothing of tasks or caching, and prints nothing. Read next: `spawn` and `child` (how
//! one is made), `stream` (how it is seen through), `running` (signals).

mod child;
mod running;
mod spawn;
mod stream;

pub use running::Running;
pub use spawn::SpawnError;

use crate::access::Observed;
use crate::event::Stream;
use crate::trace::{self, Spec};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long processes may go on after their command's leader has ended, before the run counts as
/// one that left a process behind.
pub const GRACE: Duration = Duration::from_secs(2);

/// A command, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program; absolute, or relative to `cwd`.
    pub program: PathBuf,
    /// What it is called with, without its own name.
    pub args: Vec<OsString>,
    /// Where it works.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
}

/// What is done with a command beside running it.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Nothing: terminal, process group and descriptors are overhear's own.
    Attached,
    /// Its output is captured; it runs in a session of its own, without standard input.
    Captured,
    /// The same, and everything that its tree asks of the file system is noted.
    Traced(Spec),
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code, or 128 + n where signal n ended it.
    pub exit_code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// From its start until it and its output had ended.
    pub took: Duration,
    /// What was seen; `None` unless it was traced.
    pub observed: Option<Observed>,
    /// Whether the run was interrupted by a signal to overhear while it ran.
    pub interrupted: bool,
    /// Whether processes of it went on beyond the [`GRACE`]. For a traced command,
    /// `Observed::detached` names one.
    pub left_running: bool,
}

/// Finds a program as a shell would: a name with a slash is a path, any other is searched in PATH.
/// The result is what is to be executed: a path as it was written, to be taken from `cwd`, or the absolute one
/// that the search gave; links not resolved.
pub fn find_program(name: &OsStr, path: &OsStr, cwd: &Path) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        let path = cwd.join(name);
        return (path.is_file() && trace::may_execute(&path)).then(|| PathBuf::from(name));
    }
    std::env::split_paths(path)
        .map(|folder| cwd.join(folder).join(name))
        .find(|candidate| candidate.is_file() && trace::may_execute(candidate))
}

/// How commands are run: as processes ([`Processes`]), or played by a test.
pub trait Commands: Sync {
    /// Runs one to its end, as [`run`] does.
    fn run(
        &self,
        launch: &Launch,
        mode: Mode,
        running: &Running,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, SpawnError>;
}

/// The commands themselves.
#[derive(Clone, Copy, Debug)]
pub struct Processes;

impl Commands for Processes {
    fn run(
        &self,
        launch: &Launch,
        mode: Mode,
        running: &Running,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, SpawnError> {
        run(launch, mode, running, output)
    }
}

/// Runs a command to its end. Blocks; `output` is called on this thread, in the order in which
/// the kernel shows what came on which stream.
pub fn run(
    launch: &Launch,
    mode: Mode,
    running: &Running,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, SpawnError> {
    if running.interrupted().is_some() {
        return Err(SpawnError::Interrupted);
    }
    spawn::become_subreaper();
    let began = Instant::now();
    let mut ended = match mode {
        Mode::Attached => stream::attached(launch, running)?,
        Mode::Captured => stream::captured(launch, None, running, output)?,
        Mode::Traced(spec) => stream::captured(launch, Some(spec), running, output)?,
    };
    ended.took = began.elapsed();
    ended.interrupted = running.interrupted().is_some();
    Ok(ended)
}

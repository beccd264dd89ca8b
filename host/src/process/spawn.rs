//! How commands are started, and why one could not be: with overhear's own terminal here, captured in `child`.

#![allow(unsafe_code, reason = "calls into the kernel between fork and exec")]

use super::Launch;
use super::child::Child;
use crate::trace::{ChildSide, missing_interpreter};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::Once;
use thiserror::Error;

/// Why a command could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// No such program.
    #[error("cannot start {program}: there is no such program")]
    NotFound {
        /// What was to be started.
        program: PathBuf,
    },
    /// Not executable.
    #[error("cannot start {program}: it may not be executed; check its permissions (chmod +x)")]
    NotExecutable {
        /// What was to be started.
        program: PathBuf,
    },
    /// The first line of a script, or a program's header, names something that is not there.
    #[error("cannot start {program}: it needs {interpreter}, which is not there")]
    BadInterpreter {
        /// What was to be started.
        program: PathBuf,
        /// What it needs.
        interpreter: PathBuf,
    },
    /// The working directory is not there.
    #[error("cannot start {program} in {cwd}: there is no such folder")]
    NoCwd {
        /// What was to be started.
        program: PathBuf,
        /// Where.
        cwd: PathBuf,
    },
    /// Overhear was told to stop before the command began.
    #[error("interrupted before the command began")]
    Interrupted,
    /// Anything else.
    #[error("cannot start {program}: {source}")]
    Other {
        /// What was to be started.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Starts it with overhear's own terminal and descriptors.
pub(super) fn attached(launch: &Launch) -> Result<process::Child, SpawnError> {
    let mut command = command(launch);
    let parent = process::id();
    // SAFETY: only system calls that are safe after a fork.
    unsafe {
        command.pre_exec(move || {
            open_signals();
            die_with(parent);
            Ok(())
        });
    }
    command.spawn().map_err(|error| explain(launch, error))
}

/// Starts it in a session of its own, with pipes for its output.
pub(super) fn captured(launch: &Launch, tracing: Option<&dyn ChildSide>) -> Result<Child, SpawnError> {
    Child::start(launch, &called(launch), tracing).map_err(|error| explain(launch, error))
}

/// How the program is named to the kernel, and to itself.
pub(super) struct Called {
    pub(super) program: PathBuf,
    pub(super) own_name: OsString,
}

fn called(launch: &Launch) -> Called {
    // A path as it was written is taken from the working directory, which is changed first: a script finds its
    // name as it was called. A name alone would be searched.
    let is_as_written = launch.program.is_relative() && launch.program.components().nth(1).is_some();
    if is_as_written {
        let program = launch.program.clone();
        return Called { own_name: program.clone().into(), program };
    }
    let program = launch.cwd.join(&launch.program);
    let own_name = launch.program.file_name().unwrap_or(program.as_os_str()).to_owned();
    Called { program, own_name }
}

fn command(launch: &Launch) -> Command {
    let called = called(launch);
    let mut command = Command::new(&called.program);
    command.arg0(&called.own_name).args(&launch.args).current_dir(&launch.cwd).env_clear();
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    command
}

/// Signals that some thread of overhear may have blocked are open again in the child.
pub(super) unsafe fn open_signals() {
    // SAFETY: the set is made before it is used.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// The leader dies with overhear; the guard sees to its tree.
pub(super) unsafe fn die_with(parent: u32) {
    // SAFETY: numbers only. If overhear died before the first call, there is nobody to die with.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() as u32 != parent {
            libc::_exit(127);
        }
    }
}

/// Orphans of a step come to overhear, which can then tell when the whole tree is gone.
pub(super) fn become_subreaper() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a flag. Where it is refused, orphans go to init as usual.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    });
}

fn explain(launch: &Launch, error: io::Error) -> SpawnError {
    let program = launch.program.clone();
    let path = launch.cwd.join(&launch.program);
    if !launch.cwd.is_dir() {
        return SpawnError::NoCwd { program, cwd: launch.cwd.clone() };
    }
    match error.kind() {
        io::ErrorKind::NotFound => match missing_interpreter(&path) {
            Ok(Some(interpreter)) => SpawnError::BadInterpreter { program, interpreter },
            _ => SpawnError::NotFound { program },
        },
        io::ErrorKind::PermissionDenied => SpawnError::NotExecutable { program },
        _ => SpawnError::Other { program, source: error },
    }
}

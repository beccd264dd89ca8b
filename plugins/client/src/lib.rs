//! Tells overhear, from inside a task, what a trace cannot know: for tools written in Rust. Blocking, and
//! silent outside overhear.
//!
//! The functions here are for everyone: they never fail. What cannot be delivered makes the run unfit to be
//! kept, and overhear says so. [`Client`] is a connection of one's own, with errors. [`protocol`] is what
//! both ends are built on; nothing but the types in there is shared with the server.
//!
//! A variable is taken from the environment of the process, if it is there, and otherwise from the
//! environment that overhear was started in; overhear leaves most variables out of what it passes.

mod client;
#[cfg(not(unix))]
mod nowhere;
pub mod protocol;

pub use client::{Client, ClientError, ENV_FOLDER, PROBE_LOST};
pub use protocol::Select;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The connection of this process.
enum Talk {
    /// Nobody has spoken yet.
    NotYet,
    /// It is open.
    Open(Client),
    /// There is nobody to talk to, or something was lost and the server knows.
    Silent,
}

static TALK: Mutex<Talk> = Mutex::new(Talk::NotYet);

/// What this task reads at or below the path is no input of it. A relative path is resolved against the
/// working directory.
pub fn ignore_input(path: impl AsRef<Path>) {
    speak(|client| client.ignore_input(path.as_ref()));
}

/// What this task writes at or below the path is no output of it: neither archived nor restored. A relative
/// path is resolved against the working directory.
pub fn ignore_output(path: impl AsRef<Path>) {
    speak(|client| client.ignore_output(path.as_ref()));
}

/// The result of this task must not be kept.
pub fn disable_cache() {
    speak(Client::disable_cache);
}

/// The value of a variable. The result depends on it, also on that it is not set.
pub fn get_env(name: &str) -> Option<String> {
    get_env_as(name, true)
}

/// The value of a variable on which the result does not depend.
pub fn get_env_untracked(name: &str) -> Option<String> {
    get_env_as(name, false)
}

/// All variables that match. The result depends on which there are, and on their values.
pub fn get_envs(select: Select<'_>) -> BTreeMap<String, String> {
    get_envs_as(select, true)
}

/// All variables that match, on which the result does not depend.
pub fn get_envs_untracked(select: Select<'_>) -> BTreeMap<String, String> {
    get_envs_as(select, false)
}

fn get_env_as(name: &str, tracked: bool) -> Option<String> {
    // Listed and not asked for by name: overhear hears who asks, and would take it for a dependency.
    let own = std::env::vars_os().find(|(other, _)| other == OsStr::new(name));
    match own {
        Some((_, value)) => {
            speak(|client| client.note_env(name, tracked));
            value.into_string().ok()
        }
        None => speak(|client| client.get_env(name, tracked)).flatten(),
    }
}

fn get_envs_as(select: Select<'_>, tracked: bool) -> BTreeMap<String, String> {
    let mut found = speak(|client| client.get_envs(select, tracked)).unwrap_or_default();
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| select.matches(name));
    found.extend(own);
    found
}

/// One exchange. The first that fails is the last: what of it has arrived is not known.
fn speak<T>(exchange: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Option<T> {
    let mut talk = TALK.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*talk, Talk::NotYet) {
        *talk = match folder().map(|folder| Client::connect(&folder)) {
            Some(Ok(client)) => Talk::Open(client),
            Some(Err(_)) | None => Talk::Silent,
        };
    }
    let Talk::Open(client) = &mut *talk else { return None };
    match exchange(client) {
        Ok(said) => Some(said),
        // The conversation itself is as it was.
        Err(ClientError::NoCwd(_)) => None,
        Err(_) => {
            *talk = Talk::Silent;
            None
        }
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(ENV_FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Its example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! The questions that an adapter may ask, as a trait, so that a table can answer in tests.

use crate::bindings::overhear::adapter::host as runner;
use crate::config::Config;
use crate::{Entry, EntryKind, Level, PackageRef};

/// Whom an adapter asks. Paths are relative to the workspace root. Each answer is recorded: when it
/// changes, the adapter is asked again. Asking outside of what `describe` named ends the call.
pub trait Host {
    /// Text of a file, if it is there.
    fn read_text(&self, path: &str) -> Option<String>;
    /// The statically known part of a config file as JSON text, if the file is there.
    fn read_config_text(&self, path: &str) -> Option<String>;
    /// Kind of what is there.
    fn kind(&self, path: &str) -> Option<EntryKind>;
    /// What is directly in a directory, sorted.
    fn list_dir(&self, path: &str) -> Option<Vec<Entry>>;
    /// A variable, as the command would see it.
    fn env(&self, name: &str) -> Option<String>;
    /// How a package name resolves from the package of the call.
    fn resolve_package(&self, name: &str) -> Option<PackageRef>;

    /// The statically known part of a config file, if the file is there.
    fn read_config(&self, path: &str) -> Option<Config> {
        self.read_config_text(path).map(|text| Config::from_json(&text))
    }
}

/// The host itself. Answers only inside a component.
pub struct Runner;

impl Host for Runner {
    fn read_text(&self, path: &str) -> Option<String> {
        runner::read_text(path)
    }
    fn read_config_text(&self, path: &str) -> Option<String> {
        runner::read_config(path)
    }
    fn kind(&self, path: &str) -> Option<EntryKind> {
        runner::kind(path)
    }
    fn list_dir(&self, path: &str) -> Option<Vec<Entry>> {
        runner::list_dir(path)
    }
    fn env(&self, name: &str) -> Option<String> {
        runner::env(name)
    }
    fn resolve_package(&self, name: &str) -> Option<PackageRef> {
        runner::resolve_package(name)
    }
}

/// Writes to the adapter's own log. Silent in native tests.
pub fn log(level: Level, text: &str) {
    if cfg!(target_arch = "wasm32") {
        runner::log(level, text);
    }
}

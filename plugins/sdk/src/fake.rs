//! A table that stands in for the host in native tests.

use crate::{Entry, EntryKind, Host, PackageRef};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Answers from what it was given; everything else is absent. Remembers what it was asked.
#[derive(Default)]
pub struct FakeHost {
    texts: BTreeMap<String, String>,
    configs: BTreeMap<String, String>,
    folders: BTreeMap<String, Vec<Entry>>,
    env: BTreeMap<String, String>,
    packages: BTreeMap<String, PackageRef>,
    asked: RefCell<Vec<String>>,
}

impl FakeHost {
    /// A table without answers.
    pub fn new() -> FakeHost {
        FakeHost::default()
    }

    /// A file with this text.
    pub fn file(mut self, path: &str, text: &str) -> FakeHost {
        self.texts.insert(path.into(), text.into());
        self
    }

    /// A config file of which this JSON is statically known; `{"$unknown": "why"}` marks the rest.
    pub fn config(mut self, path: &str, json: &str) -> FakeHost {
        self.configs.insert(path.into(), json.into());
        self
    }

    /// A directory with these entries.
    pub fn folder(mut self, path: &str, entries: &[(&str, EntryKind)]) -> FakeHost {
        let mut list: Vec<Entry> =
            entries.iter().map(|(name, kind)| Entry { name: (*name).into(), kind: *kind }).collect();
        list.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        self.folders.insert(path.into(), list);
        self
    }

    /// A variable.
    pub fn variable(mut self, name: &str, value: &str) -> FakeHost {
        self.env.insert(name.into(), value.into());
        self
    }

    /// An installed package.
    pub fn package(mut self, name: &str, version: &str) -> FakeHost {
        let found = PackageRef { name: name.into(), version: Some(version.into()) };
        self.packages.insert(name.into(), found);
        self
    }

    /// The questions so far, in order, as `function path`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    fn note(&self, function: &str, about: &str) {
        self.asked.borrow_mut().push(format!("{function} {about}"));
    }
}

impl Host for FakeHost {
    fn read_text(&self, path: &str) -> Option<String> {
        self.note("read-text", path);
        self.texts.get(path).cloned()
    }
    fn read_config_text(&self, path: &str) -> Option<String> {
        self.note("read-config", path);
        self.configs.get(path).cloned()
    }
    fn kind(&self, path: &str) -> Option<EntryKind> {
        self.note("kind", path);
        if self.texts.contains_key(path) || self.configs.contains_key(path) {
            Some(EntryKind::File)
        } else {
            self.folders.contains_key(path).then_some(EntryKind::Dir)
        }
    }
    fn list_dir(&self, path: &str) -> Option<Vec<Entry>> {
        self.note("list-dir", path);
        self.folders.get(path).cloned()
    }
    fn env(&self, name: &str) -> Option<String> {
        self.note("env", name);
        self.env.get(name).cloned()
    }
    fn resolve_package(&self, name: &str) -> Option<PackageRef> {
        self.note("resolve-package", name);
        self.packages.get(name).cloned()
    }
}

//! What is carried over: settings by package, and what is left to say. Shared by all runners.

use crate::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What was carried over.
#[derive(Default)]
pub struct Carried {
    /// By folder of the package, the root's empty: what its overhear.json says.
    files: BTreeMap<String, Map<String, Value>>,
    /// What has no counterpart, one line each.
    pub left: Vec<String>,
    /// What a person must do, one line each.
    pub to_do: Vec<String>,
}

impl Carried {
    /// What the file of a package says at the top.
    pub fn top(&mut self, package: &str) -> &mut Map<String, Value> {
        self.files.entry(package.to_owned()).or_default()
    }

    /// An entry of `scripts` or `tasks` of the file of a package.
    pub fn entry(&mut self, package: &str, section: &str, task: &str) -> &mut Map<String, Value> {
        let section = object(self.top(package).entry(section).or_insert_with(|| json!({})));
        object(section.entry(task).or_insert_with(|| json!({})))
    }

    /// Says that something has no counterpart, once.
    pub fn leave(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.left.contains(&what) {
            self.left.push(what);
        }
    }

    /// The files to be written; what says nothing is left out. They name the schema where it is installed.
    pub fn documents(&self, root: &Path) -> BTreeMap<String, Value> {
        const SCHEMA: &str = "node_modules/overhear/schema.json";
        let has_schema = root.join(SCHEMA).is_file();
        let says_something = |value: &Value| value.as_object().is_none_or(|object| !object.is_empty());
        let mut documents = BTreeMap::new();
        for (package, file) in &self.files {
            let ups = "../".repeat(package.split('/').filter(|part| !part.is_empty()).count());
            let ups = if ups.is_empty() { "./".to_owned() } else { ups };
            let mut document = Map::new();
            if has_schema {
                document.insert("$schema".into(), json!(format!("{ups}{SCHEMA}")));
            }
            for (key, value) in file {
                let value = match (key.as_str(), value) {
                    ("scripts", Value::Object(entries)) => entries
                        .iter()
                        .filter(|(_, entry)| says_something(entry))
                        .map(|(name, entry)| (name.clone(), entry.clone()))
                        .collect(),
                    _ => value.clone(),
                };
                if says_something(&value) {
                    document.insert(key.clone(), value);
                }
            }
            if document.len() > usize::from(has_schema) {
                documents.insert(package.clone(), Value::Object(document));
            }
        }
        documents
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was made one")
}

/// Adds to a list of an object, each value once.
pub fn add(to: &mut Map<String, Value>, key: &str, values: impl IntoIterator<Item = Value>) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    if let Some(list) = to.entry(key).or_insert_with(|| json!([])).as_array_mut() {
        for value in values {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
}

/// Strings of a list, or one string alone.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// Globs beside what is overheard.
pub fn add_globs(to: &mut Map<String, Value>, key: &str, globs: Vec<Value>) {
    if !globs.is_empty() {
        add(to, key, std::iter::once(json!({ "auto": true })).chain(globs));
    }
}

/// The folder of a package as [`Carried`] names it.
pub fn folder(workspace: &Workspace, at: usize) -> String {
    workspace.packages[at].relative_dir.display().to_string()
}

/// Whether any package has a script or task of this name.
pub fn is_anywhere(workspace: &Workspace, task: &str) -> bool {
    workspace.packages.iter().any(|package| package.definition(task).is_some())
}

/// One member of a list of what must run before, in the form that turbo, nx and lage share: `^task`,
/// `package#task`, `task`. `Err` says why it has no counterpart.
pub fn dependency(
    workspace: &Workspace,
    known: &dyn Fn(&str) -> bool,
    written: &str,
) -> Result<String, String> {
    let bare = written.trim_start_matches('^');
    if bare.len() != written.len() {
        return if known(bare) {
            Ok(format!("^{bare}"))
        } else {
            Err(format!("`{written}`: no package has a task `{bare}`"))
        };
    }
    match written.rsplit_once('#') {
        Some(("//", task)) => match &workspace.packages[0].name {
            Some(name) => Ok(format!("{name}#{task}")),
            None => Err(format!("`{written}`: the package at the root has no name")),
        },
        Some((package, _)) if workspace.package_named(package).is_none() => {
            Err(format!("`{written}`: there is no such package"))
        }
        Some(_) => Ok(written.to_owned()),
        None if known(written) => Ok(written.to_owned()),
        None => Err(format!("`{written}`: no package has it")),
    }
}

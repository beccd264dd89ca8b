//! What is carried over: settings by package, and what is left to say. Shared by all runners.

use crate::plan::{Run, command};
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Why what names the files that are read needs no counterpart.
pub const READ_IS_SEEN: &str = "not needed: what is read is seen";

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

    /// Says that something must be done by hand, once.
    pub fn ask(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.to_do.contains(&what) {
            self.to_do.push(what);
        }
    }

    /// Takes out of `dependsOn` what would be a `dependsOn` of nothing, as where a task had to be left out,
    /// and says so: else there would be no plan.
    pub fn without_dependencies_on_nothing(&mut self, workspace: &Workspace) {
        let there = There { workspace, tasks: self.tasks() };
        let mut left = Vec::new();
        for (package, file) in &mut self.files {
            let at = workspace.package_at(&workspace.root.join(package)).unwrap_or(0);
            for section in ["scripts", "tasks"] {
                let for_many = at == 0 && section == "scripts";
                let entries = file.get_mut(section).and_then(Value::as_object_mut);
                for (name, entry) in entries.into_iter().flatten() {
                    let place = workspace.task_label(at, name);
                    let taken = there.taken_out(entry, at, for_many);
                    left.extend(
                        taken.iter().map(|what| format!("{place}: dependsOn `{what}`: no such task is here")),
                    );
                }
            }
        }
        left.into_iter().for_each(|what| self.leave(what));
    }

    /// Package and name of each task that will be written.
    fn tasks(&self) -> BTreeSet<(String, String)> {
        let of_file = |(package, file): (&String, &Map<String, Value>)| {
            let tasks = file.get("tasks").and_then(Value::as_object).into_iter().flatten();
            tasks.map(|(name, _)| (package.clone(), name.clone())).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// A script that the root alone has, and that only runs tasks of packages: these are cached, not it.
    pub fn not_cached_at_the_root(&mut self, is_run_of_many: impl Fn(&str) -> bool) {
        let scripts = self.top("").get_mut("scripts").and_then(Value::as_object_mut);
        for (name, entry) in scripts.into_iter().flatten() {
            if entry.get("cache") == Some(&json!(true)) && is_run_of_many(name) {
                entry.as_object_mut().map(|entry| entry.remove("cache"));
            }
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

/// The scripts and tasks that are there once everything is written.
struct There<'a> {
    workspace: &'a Workspace,
    tasks: BTreeSet<(String, String)>,
}

impl There<'_> {
    fn has(&self, at: usize, task: &str) -> bool {
        self.workspace.packages[at].definition(task).is_some()
            || self.tasks.contains(&(folder(self.workspace, at), task.to_owned()))
    }

    /// Whether a member of `dependsOn` means something: for one package, or for all that have the script.
    fn means_something(&self, written: &str, at: usize, for_many: bool) -> bool {
        let anywhere = |task: &str| (0..self.workspace.packages.len()).any(|at| self.has(at, task));
        match (written.strip_prefix('^'), written.rsplit_once('#')) {
            _ if written.contains('*') => true,
            (Some(task), _) => anywhere(task),
            (_, Some((package, task))) => {
                self.workspace.package_named(package).is_some_and(|at| self.has(at, task))
            }
            _ if for_many => anywhere(written),
            _ => self.has(at, written),
        }
    }

    /// Takes out of an entry what it cannot wait for, and says what that was.
    fn taken_out(&self, entry: &mut Value, at: usize, for_many: bool) -> Vec<String> {
        let mut taken = Vec::new();
        let Some(list) = entry.get_mut("dependsOn").and_then(Value::as_array_mut) else { return taken };
        list.retain(|member| {
            let nothing = member.as_str().filter(|written| !self.means_something(written, at, for_many));
            taken.extend(nothing.map(str::to_owned));
            nothing.is_none()
        });
        if list.is_empty() && !taken.is_empty() {
            entry.as_object_mut().map(|entry| entry.remove("dependsOn"));
        }
        taken
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

/// Says of lists of inputs, once for a runner, why they are not there any more.
pub fn leave_inputs(carried: &mut Carried, key: &str, has_some: bool) {
    if has_some {
        carried.leave(format!("`{key}`: {READ_IS_SEEN}; exclusions and variables are carried over"));
    }
}

/// A command with variables that are set for all of it and for nothing else.
pub fn with_env(text: &str, env: &[(String, String)]) -> String {
    if env.is_empty() {
        return text.to_owned();
    }
    let set: String = env.iter().map(|(name, value)| format!("{name}={} ", command::quote(value))).collect();
    // A shell expands `$A` before it sets A for what it starts.
    let is_used = env
        .iter()
        .any(|(name, _)| text.contains(&format!("${name}")) || text.contains(&format!("${{{name}")));
    let parts = command::split(text, std::path::Path::new(""));
    let plain = parts.iter().all(|part| matches!(part.invocation.run, Run::Program { .. }));
    if is_used || !plain {
        return format!("{set}sh -c {}", command::quote(text));
    }
    let (mut whole, mut rest) = (String::new(), text);
    for part in &parts {
        let Some((before, after)) = rest.split_once(&part.text) else {
            return format!("{set}sh -c {}", command::quote(text));
        };
        whole.push_str(&format!("{before}{set}{}", part.text));
        rest = after;
    }
    whole + rest
}

/// The way from one folder to another, both below the root.
pub fn way(from: &str, to: &str) -> String {
    let names = |path: &'_ str| -> Vec<String> {
        path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect()
    };
    let (from, to) = (names(from), names(to));
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let ups = std::iter::repeat_n("..", from.len() - shared);
    let way: Vec<&str> = ups.chain(to[shared..].iter().map(String::as_str)).collect();
    if way.is_empty() { ".".to_owned() } else { way.join("/") }
}

/// A document as a person would write it: short lists, and what stands in lists, on one line.
pub fn written(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, 0, &mut text);
    text
}

/// Lists longer than this have a line for each member.
const LINE_CHARS_MAX: usize = 80;

fn write(value: &Value, depth: usize, used: usize, text: &mut String) {
    let (open, close, members) = match value {
        Value::Object(members) if !members.is_empty() => {
            let members = members.iter().map(|(key, value)| (format!("{}: ", json!(key)), value));
            ('{', '}', members.collect::<Vec<_>>())
        }
        Value::Array(list) if !list.is_empty() => {
            let line = on_one_line(value);
            if used + line.chars().count() <= LINE_CHARS_MAX {
                return text.push_str(&line);
            }
            ('[', ']', list.iter().map(|value| (String::new(), value)).collect())
        }
        plain => return text.push_str(&plain.to_string()),
    };
    let indent = "  ".repeat(depth + 1);
    text.push(open);
    for (at, (key, value)) in members.into_iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&indent);
        text.push_str(&key);
        if open == '[' {
            text.push_str(&on_one_line(value));
        } else {
            write(value, depth + 1, indent.len() + key.chars().count(), text);
        }
    }
    text.push_str(&format!("\n{}{close}", "  ".repeat(depth)));
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let members =
                members.iter().map(|(key, value)| format!("{}: {}", json!(key), on_one_line(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(on_one_line).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lists_and_what_stands_in_lists_are_on_one_line() {
        let long = "a/rather/long/pattern/of/something/that/is/written/**";
        let value = json!({"a": ["^build"], "b": {"c": [{"auto": true}, long, "dist/**"]}, "d": {}, "e": []});
        let text = format!(
            "{{\n  \"a\": [\"^build\"],\n  \"b\": {{\n    \"c\": [\n      {{ \"auto\": true }},\n      \"{long}\",\n      \
             \"dist/**\"\n    ]\n  }},\n  \"d\": {{}},\n  \"e\": []\n}}"
        );
        assert_eq!(written(&value), text);
    }

    #[test]
    fn variables_are_set_for_the_whole_command_and_nothing_else() {
        let env = [("A".to_owned(), "x y".to_owned())];
        let cases = [
            ("vite build", "A='x y' vite build"),
            ("cd src && tsc && vite build", "cd src && A='x y' tsc && A='x y' vite build"),
            ("echo $A", "A='x y' sh -c 'echo $A'"),
            ("one; two", "A='x y' sh -c 'one; two'"),
        ];
        for (command, expected) in cases {
            assert_eq!(with_env(command, &env), expected);
        }
        assert_eq!(with_env("vite", &[]), "vite");
    }

    #[test]
    fn the_way_between_folders_of_the_workspace() {
        let cases = [
            ("", "packages/web", "packages/web"),
            ("packages/web", "", "../.."),
            ("packages/web", "packages/web", "."),
            ("packages/web", "packages/ui/src", "../ui/src"),
        ];
        for (from, to, expected) in cases {
            assert_eq!(way(from, to), expected);
        }
    }
}

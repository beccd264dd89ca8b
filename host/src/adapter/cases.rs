//! The cases of an adapter's author: a small workspace, a call, and what is to be declared. Each is called
//! three times, once with folders listed in another order, and must say the same. Writes nothing.

use super::examine::{Examined, Subject, Trial};
use super::{AdapterFault, Call};
use crate::declaration::{Declaration, EnvMode, EnvSelectRule, PathRule, Verdict};
use crate::problem::line_of;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::Value;

/// The call of a case: `call.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    /// As it would be typed; words are separated by spaces.
    command: String,
    /// Where, relative to `workspace/`.
    #[serde(default)]
    cwd: Option<String>,
    /// `name@version`: the package of the program. Without it the program belongs to none, unless it is
    /// installed in `workspace/`.
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    settings: Option<Value>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// One case, in the folder of its name.
pub struct Case {
    /// The name of its folder.
    pub name: String,
    folder: PathBuf,
    /// `Err`: why its `call.toml` cannot be read.
    written: Result<Written, String>,
}

/// How a case ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// As expected.
    Passed,
    /// Otherwise: the lines that differ, `-` expected and `+` said.
    Differs(Vec<String>),
    /// There is no `expect.toml` yet.
    New,
    /// Two calls of the same did not say the same.
    Nondeterministic(Vec<String>),
}

/// A case that was called.
pub struct Called {
    /// How it ended.
    pub end: Ended,
    /// What `expect.toml` would be for what was said.
    pub text: String,
    /// The first call.
    pub examined: Examined,
}

/// All cases in a folder, by name.
pub fn find(tests: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let Ok(entries) = std::fs::read_dir(tests) else { return cases };
    for folder in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let file = folder.join("call.toml");
        if !folder.is_dir() || !file.is_file() {
            continue;
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let written = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()));
        let written = written.and_then(|text| read(&text, &format!("tests/{name}/call.toml")));
        cases.push(Case { name, folder, written });
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// Reads a file of a case; a mistake is told with the file and its line.
fn read<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("{file}:{line}: {}", error.message())
    })
}

impl Case {
    /// Where what is expected stands.
    pub fn expected_file(&self) -> PathBuf {
        self.folder.join("expect.toml")
    }

    /// Calls the adapter. `Err`: what of the case cannot be read.
    pub fn call(&self, subject: &Subject) -> Result<Called, String> {
        let written = self.written.as_ref().map_err(Clone::clone)?;
        let root = self.folder.join("workspace");
        // A case that needs no file need not have the folder.
        let root = if root.is_dir() { root } else { self.folder.clone() };
        let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
        let once = written.call(subject, &root, false);
        let first = lines(&once);
        for (is_backwards, how) in [(false, "the same call again"), (true, "folders listed in another order")]
        {
            let again = lines(&written.call(subject, &root, is_backwards));
            if again != first {
                let mut difference = vec![format!("with {how}:")];
                difference.extend(diff(&first, &again));
                let end = Ended::Nondeterministic(difference);
                return Ok(Called { end, text: text(&first), examined: once });
            }
        }
        let end = match std::fs::read_to_string(self.expected_file()) {
            Err(_) => Ended::New,
            Ok(written) => {
                let expected: BTreeMap<String, Value> =
                    read(&written, &format!("tests/{}/expect.toml", self.name))?;
                let expected = expected.into_iter().map(|(key, value)| (key, entries(&value))).collect();
                let difference = diff(&expected, &first);
                if difference.is_empty() { Ended::Passed } else { Ended::Differs(difference) }
            }
        };
        Ok(Called { end, text: text(&first), examined: once })
    }
}

impl Written {
    fn call(&self, subject: &Subject, root: &Path, is_backwards: bool) -> Examined {
        let cwd = root.join(self.cwd.as_deref().unwrap_or("."));
        let cwd = cwd.canonicalize().unwrap_or(cwd);
        let package_dir = cwd.ancestors().take_while(|folder| folder.starts_with(root));
        let package_dir = package_dir.into_iter().find(|folder| folder.join("package.json").is_file());
        let package_dir = package_dir.unwrap_or(root).to_owned();
        let mut words = self.command.split_whitespace().map(str::to_owned);
        let name = words.next().unwrap_or_default();
        let args: Vec<String> = words.collect();
        let program = root.join("node_modules/.bin").join(&name);
        let settings = self.settings.clone().map(json);
        let tool = self.tool.as_deref();
        // A scope begins with the same sign.
        let tool = tool.map(|tool| match tool.rfind('@').filter(|at| *at > 0) {
            Some(at) => (&tool[..at], &tool[at + 1..]),
            None => (tool, ""),
        });
        subject.examine(Trial {
            call: Call {
                program: &program,
                name: &name,
                args: &args,
                cwd: &cwd,
                package_dir: &package_dir,
                root,
                env: &|name| self.env.get(name).cloned(),
            },
            tool,
            settings: settings.as_ref(),
            is_backwards,
        })
    }
}

fn json(value: Value) -> Json {
    match value {
        Value::String(text) => Json::String(text),
        Value::Integer(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Datetime(date) => date.to_string().into(),
        Value::Array(values) => values.into_iter().map(json).collect(),
        Value::Table(table) => {
            Json::Object(table.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}

/// What was said, by the keys of `expect.toml`: each a list of short texts.
pub fn lines(examined: &Examined) -> BTreeMap<String, Vec<String>> {
    let mut lines = BTreeMap::new();
    let mut add = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            lines.insert(key.to_owned(), values);
        }
    };
    add("subcommand", examined.subcommand.iter().cloned().collect());
    match &examined.declared {
        Ok(None) => add("verdict", vec!["not known".into()]),
        Ok(Some(declaration)) => said(declaration, &mut add),
        Err(AdapterFault { function, code, what, .. }) => {
            add("fault", vec![format!("{function}: {what} [{code}]")])
        }
    }
    lines
}

fn said(declaration: &Declaration, add: &mut dyn FnMut(&str, Vec<String>)) {
    add(
        "verdict",
        vec![match &declaration.verdict {
            Verdict::Cacheable => "cacheable".into(),
            Verdict::Uncacheable(reason) => format!("uncacheable: {reason}"),
            Verdict::Unsure(reason) => format!("unsure: {reason}"),
        }],
    );
    let rules = |rules: &[PathRule]| {
        rules.iter().map(|rule| format!("{}:{}", rule.base.name(), rule.pattern)).collect()
    };
    add("inputs", rules(&declaration.inputs));
    add("ignored-reads", rules(&declaration.ignored_reads));
    add("ignored-writes", rules(&declaration.ignored_writes));
    add("outputs", rules(&declaration.outputs));
    add("caches", rules(&declaration.cache_dirs));
    add("exclusive-caches", rules(&declaration.exclusive_dirs));
    add("generated", rules(&declaration.generated));
    add("state", rules(&declaration.state_files));
    let variables = declaration.env.iter().map(|rule| {
        let mode = match rule.mode {
            EnvMode::Tracked => "tracked",
            EnvMode::Untracked => "untracked",
            EnvMode::Removed => "removed",
        };
        match &rule.select {
            EnvSelectRule::Name(name) => format!("{mode} {name}"),
            EnvSelectRule::Prefix(prefix) => format!("{mode} {prefix}*"),
        }
    });
    add("env", variables.collect());
    let truth = |is: bool| is.then(|| "true".to_owned()).into_iter().collect();
    add("inner-disable-cache", truth(declaration.inner_disable_cache));
    add("empty-prefix-is-declared", truth(declaration.empty_prefix_is_declared));
    let advice = declaration.advice.iter().map(|advice| format!("{}: {}", advice.code, advice.text));
    add("advice", advice.collect());
}

/// A value of `expect.toml` as a list of texts.
fn entries(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(entries).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![json(other.clone()).to_string()],
    }
}

/// As `expect.toml` has it.
fn text(lines: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::new();
    let quoted = |value: &String| Json::from(value.as_str()).to_string();
    for (key, values) in lines {
        let _ = match (key.as_str(), values.as_slice()) {
            ("subcommand" | "verdict" | "fault", [value]) => writeln!(text, "{key} = {}", quoted(value)),
            (_, [value]) if value == "true" => writeln!(text, "{key} = true"),
            _ => {
                let values: Vec<String> = values.iter().map(quoted).collect();
                writeln!(text, "{key} = [{}]", values.join(", "))
            }
        };
    }
    text
}

fn diff(expected: &BTreeMap<String, Vec<String>>, said: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = expected.keys().chain(said.keys()).collect();
    let empty = Vec::new();
    let mut lines = Vec::new();
    for key in keys {
        let (before, now) = (expected.get(key).unwrap_or(&empty), said.get(key).unwrap_or(&empty));
        if before == now {
            continue;
        }
        let line = |sign: char, value: &String| format!("{sign} {key}: {value}");
        let (gone, new) = (without(before, now), without(now, before));
        lines.extend(gone.iter().map(|value| line('-', value)));
        lines.extend(new.iter().map(|value| line('+', value)));
        if gone.is_empty() && new.is_empty() {
            lines.push(format!("~ {key}: in another order: {}", now.join(", ")));
        }
    }
    lines
}

/// The values that the others do not have as often.
fn without<'a>(values: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut others: Vec<&String> = others.iter().collect();
    let is_left = |value: &&String| match others.iter().position(|other| other == value) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    };
    values.iter().filter(is_left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_has_a_line() {
        let of = |values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            BTreeMap::from([("outputs".to_owned(), values)])
        };
        let cases: [(&[&str], &[&str], &[&str]); 5] = [
            (&["a", "b"], &["a", "b"], &[]),
            (&["a", "b"], &["a", "c"], &["- outputs: b", "+ outputs: c"]),
            (&["a", "a"], &["a"], &["- outputs: a"]),
            (&["a", "b"], &["a", "b", "b"], &["+ outputs: b"]),
            (&["a", "b"], &["b", "a"], &["~ outputs: in another order: b, a"]),
        ];
        for (expected, said, lines) in cases {
            assert_eq!(diff(&of(expected), &of(said)), lines, "{expected:?} {said:?}");
        }
        assert_eq!(diff(&BTreeMap::new(), &of(&["a"])), ["+ outputs: a"]);
    }
}

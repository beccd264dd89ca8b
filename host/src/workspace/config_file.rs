//! overhear.json, and vite-task.json where there is none: JSON with comments, read key by key.
//! Whatever a key may not say is told with its place; see `config_value` for single values.

use super::config_value::{Values, not_an_object, size_in_bytes, stays_inside};
use super::manifest::{span, syntax_problem};
use super::{Workspace, manifest, read_source};
use crate::config::{
    AdapterUse, CacheDefaults, ConfigFile, DependencyKind, DependsOn, DependsOnPackage, LogMode, ReadyWhen,
    RootSettings, ScriptCaching, TaskEntry, TaskKeys,
};
use crate::problem::{Problems, Source, closest};
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions};
use std::path::Path;
use std::sync::Arc;

pub(crate) const TOP_KEYS: [&str; 8] =
    ["cache", "adapters", "env", "untrackedEnv", "strictEnv", "enablePrePostScripts", "scripts", "tasks"];
const ROOT_ONLY_KEYS: [&str; 4] = ["cache", "adapters", "strictEnv", "enablePrePostScripts"];
/// Those of a task; entries of `scripts` have not the first two.
pub(crate) const TASK_KEYS: [&str; 16] = [
    "command",
    "cwd",
    "dependsOn",
    "cache",
    "env",
    "untrackedEnv",
    "input",
    "output",
    "description",
    "portable",
    "persistent",
    "interactive",
    "readyWhen",
    "log",
    "strictEnv",
    "remote",
];

/// JSON with comments and commas at the end, and nothing else that JSON has not.
fn with_comments() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Reads the text of a configuration. What is wrong is added to the problems.
pub(super) fn parse(source: Source, relative_dir: &Path, problems: &mut Problems) -> Option<ConfigFile> {
    let source = Arc::new(source);
    let parsed = match jsonc_parser::parse_to_ast(&source.text, &CollectOptions::default(), &with_comments())
    {
        Ok(parsed) => parsed.value,
        Err(error) => {
            problems.0.push(syntax_problem(&source, &error));
            return None;
        }
    };
    let Some(Value::Object(object)) = &parsed else {
        problems.0.push(not_an_object(&source, parsed.as_ref()));
        return None;
    };
    let mut values =
        Values { source: &source, package_dir: Some(relative_dir), problems: Problems::default() };
    let mut file = ConfigFile {
        source: source.clone(),
        tasks: Vec::new(),
        scripts: Vec::new(),
        env: Vec::new(),
        untracked_env: Vec::new(),
        root: RootSettings::default(),
    };
    read_top(&mut values, object, relative_dir, &mut file);
    problems.0.append(&mut values.problems.0);
    Some(file)
}

fn read_top<'s>(values: &mut Values<'s>, object: &Object<'_>, relative_dir: &'s Path, file: &mut ConfigFile) {
    let at_root = relative_dir.as_os_str().is_empty();
    values.no_duplicates(object);
    for property in &object.properties {
        let key = property.name.as_str();
        let value = &property.value;
        if !at_root && ROOT_ONLY_KEYS.contains(&key) {
            let message = format!("`{key}` belongs in the overhear.json at the workspace root");
            let help = if matches!(key, "cache" | "strictEnv") {
                "move it there, or put it into a task"
            } else {
                "move it there"
            };
            values.wrong(property.name.start()..property.name.end(), message, help);
            continue;
        }
        match key {
            "$schema" => {}
            "cache" => file.root.cache = cache_defaults(values, value),
            "adapters" => file.root.adapters = adapters(values, value),
            "env" => file.env = values.env_names(value, key).unwrap_or_default(),
            "untrackedEnv" => file.untracked_env = values.env_names(value, key).unwrap_or_default(),
            "strictEnv" => file.root.strict_env = values.boolean(value, key).unwrap_or(false),
            "enablePrePostScripts" => {
                file.root.enable_pre_post_scripts = values.boolean(value, key).unwrap_or(true)
            }
            "scripts" => {
                // What stands at the root holds for every package, so no glob of it can climb.
                values.package_dir = (!at_root).then_some(relative_dir);
                file.scripts = entries(values, value, relative_dir, Place::Scripts);
                values.package_dir = Some(relative_dir);
            }
            "tasks" => file.tasks = entries(values, value, relative_dir, Place::Tasks),
            _ => values.unknown_key(property, &TOP_KEYS),
        }
    }
}

fn cache_defaults(values: &mut Values<'_>, value: &Value<'_>) -> CacheDefaults {
    let mut cache = CacheDefaults::default();
    if let Value::BooleanLit(all) = value {
        cache.scripts = if all.value { ScriptCaching::All } else { ScriptCaching::None };
        cache.tasks = all.value;
        return cache;
    }
    let Value::Object(object) = value else {
        values.wrong_type(value, "cache", "true, false or an object", "\"cache\": {\"scripts\": true}");
        return cache;
    };
    values.no_duplicates(object);
    for property in &object.properties {
        match (property.name.as_str(), &property.value) {
            ("scripts", Value::BooleanLit(all)) => {
                cache.scripts = if all.value { ScriptCaching::All } else { ScriptCaching::None };
            }
            ("scripts", Value::StringLit(known)) if known.value == "known" => {
                cache.scripts = ScriptCaching::Known
            }
            ("scripts", other) => {
                values.wrong_type(other, "scripts", "true, false or \"known\"", "\"scripts\": \"known\"")
            }
            ("tasks", other) => cache.tasks = values.boolean(other, "tasks").unwrap_or(true),
            ("maxSize", Value::StringLit(size)) => match size_in_bytes(&size.value) {
                Some(bytes) => cache.max_size = bytes,
                None => values.wrong(
                    span(&property.value),
                    format!("`{}` is not a size", size.value),
                    "write \"maxSize\": \"10GB\"",
                ),
            },
            ("maxSize", other) => values.wrong_type(other, "maxSize", "a string", "\"maxSize\": \"10GB\""),
            ("pathsetsPerKey", other) => {
                cache.bounds.pathsets = count(values, other, "pathsetsPerKey", cache.bounds.pathsets)
            }
            ("entriesPerKey", other) => {
                cache.bounds.entries = count(values, other, "entriesPerKey", cache.bounds.entries)
            }
            ("dir", other) => cache.dir = values.string(other, "dir", "\".cache/overhear\""),
            ("remote", _) => remote_is_reserved(values, property.name.start()..property.name.end()),
            _ => values.unknown_key(
                property,
                &["scripts", "tasks", "maxSize", "pathsetsPerKey", "entriesPerKey", "dir", "remote"],
            ),
        }
    }
    cache
}

fn count(values: &mut Values<'_>, value: &Value<'_>, key: &str, default: u32) -> u32 {
    let known = match value {
        Value::NumberLit(number) => number.value.parse().ok().filter(|count| *count > 0),
        _ => None,
    };
    known.unwrap_or_else(|| {
        values.wrong_type(value, key, "a number from 1", &format!("\"{key}\": {default}"));
        default
    })
}

fn remote_is_reserved(values: &mut Values<'_>, range: std::ops::Range<usize>) {
    values.wrong(range, "`remote` is reserved: there is no remote cache yet", "remove this key");
}

fn adapters(values: &mut Values<'_>, value: &Value<'_>) -> Vec<AdapterUse> {
    let Some(object) = values.object(value, "adapters", "{\"next\": false}") else { return Vec::new() };
    let mut uses = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let name = property.name.as_str().to_string();
        match &property.value {
            Value::BooleanLit(on) => uses.push(AdapterUse { name, enabled: on.value, settings: None }),
            Value::Object(object) => {
                values.no_duplicates(object);
                let settings = object.properties.iter().find(|property| property.name.as_str() == "settings");
                for other in object.properties.iter().filter(|property| property.name.as_str() != "settings")
                {
                    values.unknown_key(other, &["settings"]);
                }
                let settings = settings.map(|settings| plain(&settings.value));
                uses.push(AdapterUse { name, enabled: true, settings });
            }
            other => values.wrong_type(
                other,
                &name,
                "true, false or an object with `settings`",
                &format!("\"{name}\": true"),
            ),
        }
    }
    uses
}

fn plain(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::StringLit(text) => text.value.to_string().into(),
        Value::NumberLit(number) => serde_json::from_str(number.value).unwrap_or_default(),
        Value::BooleanLit(boolean) => boolean.value.into(),
        Value::NullKeyword(_) => serde_json::Value::Null,
        Value::Array(list) => list.elements.iter().map(plain).collect(),
        Value::Object(object) => {
            let members = object
                .properties
                .iter()
                .map(|property| (property.name.as_str().to_string(), plain(&property.value)));
            serde_json::Value::Object(members.collect())
        }
    }
}

/// Which of the two lists of entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Tasks,
    Scripts,
}

fn entries(values: &mut Values<'_>, value: &Value<'_>, relative_dir: &Path, place: Place) -> Vec<TaskEntry> {
    let key = if place == Place::Tasks { "tasks" } else { "scripts" };
    let Some(object) = values.object(value, key, "{\"build\": …}") else { return Vec::new() };
    let mut entries = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let name = property.name.as_str();
        let at = property.name.start()..property.name.end();
        if name.is_empty() || name.contains('#') {
            let help = "write the name of the task alone; `#` stands between a package and a task";
            values.wrong(at.clone(), format!("`{name}` cannot be the name of a task"), help);
        }
        let mut entry = TaskEntry { name: name.to_string(), at, ..TaskEntry::default() };
        match (&property.value, place) {
            (Value::StringLit(_) | Value::Array(_), Place::Tasks) => {
                entry.command = command(values, &property.value)
            }
            (Value::Object(object), _) => task_keys(values, object, relative_dir, place, &mut entry),
            (other, Place::Tasks) => {
                values.wrong_type(
                    other,
                    name,
                    "a command, a list of commands or an object",
                    &format!("\"{name}\": \"command\""),
                );
            }
            (other, Place::Scripts) => {
                values.wrong_type(
                    other,
                    name,
                    "an object",
                    &format!("\"{name}\": {{\"dependsOn\": [\"^build\"]}}"),
                );
            }
        }
        entries.push(entry);
    }
    entries
}

fn task_keys(
    values: &mut Values<'_>,
    object: &Object<'_>,
    relative_dir: &Path,
    place: Place,
    entry: &mut TaskEntry,
) {
    values.no_duplicates(object);
    for property in &object.properties {
        let value = &property.value;
        let keys = &mut entry.keys;
        match property.name.as_str() {
            "command" | "cwd" if place == Place::Scripts => {
                let key = property.name.as_str();
                let help = "a script has its command in package.json; put the task into `tasks` under a name of its own";
                values.wrong(
                    property.name.start()..property.name.end(),
                    format!("`{key}` is not for entries of `scripts`"),
                    help,
                );
            }
            "command" => entry.command = command(values, value),
            "cwd" => entry.cwd = cwd(values, value, relative_dir),
            "dependsOn" => entry.depends_on = depends_on(values, value),
            "description" => entry.description = values.string(value, "description", "\"…\""),
            "cache" => task_cache(values, value, keys),
            key @ ("env" | "untrackedEnv" | "input" | "output") => {
                cache_key(values, key, property.name.start(), value, keys)
            }
            "portable" => keys.portable = values.boolean(value, "portable"),
            "persistent" => keys.persistent = values.boolean(value, "persistent"),
            "interactive" => keys.interactive = values.boolean(value, "interactive"),
            "strictEnv" => keys.strict_env = values.boolean(value, "strictEnv"),
            "readyWhen" => keys.ready_when = ready_when(values, value),
            "log" => keys.log = log_mode(values, value),
            "remote" => remote_is_reserved(values, property.name.start()..property.name.end()),
            _ if place == Place::Scripts => values.unknown_key(property, &TASK_KEYS[2..]),
            _ => values.unknown_key(property, &TASK_KEYS),
        }
    }
}

fn command(values: &mut Values<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    let commands = match value {
        Value::StringLit(command) => vec![command.value.to_string()],
        Value::Array(list) => {
            let example = "[\"tsc\", \"vite build\"]";
            list.elements.iter().filter_map(|element| values.string(element, "command", example)).collect()
        }
        _ => {
            let example = "\"command\": \"vite build\"";
            values.wrong_type(value, "command", "a string or a list of strings", example);
            return None;
        }
    };
    let is_wrong = matches!(value, Value::Array(list) if list.elements.len() > commands.len());
    if !is_wrong && (commands.is_empty() || commands.iter().any(|command| command.trim().is_empty())) {
        let help = "leave it out: a task without `command` is a group of what it depends on";
        values.wrong(span(value), "an empty command does nothing".to_owned(), help);
    }
    Some(commands)
}

fn cwd(values: &mut Values<'_>, value: &Value<'_>, relative_dir: &Path) -> Option<String> {
    let cwd = values.string(value, "cwd", "\"src\"")?;
    if stays_inside(relative_dir, &cwd) {
        return Some(cwd);
    }
    values.wrong(
        span(value),
        format!("`cwd` leads out of the workspace: {cwd}"),
        "name a folder relative to the package",
    );
    None
}

/// `cache` of a task: a boolean, or an object that holds what may also stand beside it.
fn task_cache(values: &mut Values<'_>, value: &Value<'_>, keys: &mut TaskKeys) {
    match value {
        Value::BooleanLit(on) => keys.cache = Some(on.value),
        Value::Object(object) => {
            values.no_duplicates(object);
            keys.cache = Some(true);
            for property in &object.properties {
                match property.name.as_str() {
                    key @ ("env" | "untrackedEnv" | "input" | "output") => {
                        cache_key(values, key, property.name.start(), &property.value, keys);
                    }
                    "remote" => remote_is_reserved(values, property.name.start()..property.name.end()),
                    _ => values.unknown_key(property, &["env", "untrackedEnv", "input", "output", "remote"]),
                }
            }
        }
        other => values.wrong_type(
            other,
            "cache",
            "true, false or an object",
            "\"cache\": true or \"cache\": false",
        ),
    }
}

fn cache_key(values: &mut Values<'_>, key: &str, at: usize, value: &Value<'_>, keys: &mut TaskKeys) {
    let before = keys.clone();
    let twice = match key {
        "env" => std::mem::replace(&mut keys.env, values.env_names(value, key)).is_some(),
        "untrackedEnv" => std::mem::replace(&mut keys.untracked_env, values.env_names(value, key)).is_some(),
        "input" => std::mem::replace(&mut keys.input, values.selection(value, key)).is_some(),
        _ => std::mem::replace(&mut keys.output, values.selection(value, key)).is_some(),
    };
    if twice {
        *keys = before;
        let range = at..at + key.len() + 2;
        values.wrong(range, format!("`{key}` stands both in `cache` and beside it"), "keep one of the two");
    }
}

fn ready_when(values: &mut Values<'_>, value: &Value<'_>) -> Option<ReadyWhen> {
    let object = values.object(value, "readyWhen", "{\"port\": 5173}")?;
    let mut ready = ReadyWhen::default();
    for property in &object.properties {
        match (property.name.as_str(), &property.value) {
            ("output", value) => {
                ready.output = values.string(value, "output", "\"Local:.*http\"");
                if let Some(Err(error)) = ready.output.as_deref().map(regex::Regex::new) {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                    let help = "put \\\\ before a character that is meant as it is";
                    values.wrong(span(value), format!("`output` is not a regular expression: {why}"), help);
                }
            }
            ("port", value) => {
                ready.port = value
                    .as_number_lit()
                    .and_then(|number| number.value.parse().ok())
                    .filter(|port| *port > 0);
                if ready.port.is_none() {
                    values.wrong_type(value, "port", "a number from 1 to 65535", "\"port\": 5173");
                }
            }
            ("exit", value) => ready.exit = values.boolean(value, "exit").unwrap_or(false),
            _ => values.unknown_key(property, &["output", "port", "exit"]),
        }
    }
    Some(ready)
}

fn log_mode(values: &mut Values<'_>, value: &Value<'_>) -> Option<LogMode> {
    let mode = match value.as_string_lit().map(|mode| mode.value.as_ref()) {
        Some("full") => Some(LogMode::Full),
        Some("new-only") => Some(LogMode::NewOnly),
        Some("errors-only") => Some(LogMode::ErrorsOnly),
        Some("none") => Some(LogMode::None),
        _ => None,
    };
    if mode.is_none() {
        values.wrong(
            span(value),
            "unknown value of `log`",
            "write \"full\", \"new-only\", \"errors-only\" or \"none\"",
        );
    }
    mode
}

fn depends_on(values: &mut Values<'_>, value: &Value<'_>) -> Option<Vec<DependsOn>> {
    let list = values.list(value, "dependsOn", "[\"^build\", \"codegen\"]")?;
    let mut members = Vec::with_capacity(list.elements.len());
    for element in &list.elements {
        let at = span(element);
        match element {
            Value::StringLit(text) => members.extend(depends_on_text(values, &text.value, at)),
            Value::Object(object) => members.extend(depends_on_object(values, object, at)),
            other => values.wrong_type(
                other,
                "dependsOn",
                "a list of names of tasks",
                "\"dependsOn\": [\"^build\", \"lib#build\"]",
            ),
        }
    }
    Some(members)
}

fn depends_on_text(values: &mut Values<'_>, text: &str, at: std::ops::Range<usize>) -> Option<DependsOn> {
    let (of, task) = match (text.strip_prefix('^'), text.rsplit_once('#')) {
        (Some(task), _) => (DependsOnPackage::Dependencies(DependencyKind::ALL.to_vec()), task),
        (None, Some((package, task))) => (DependsOnPackage::Named(package.to_string()), task),
        (None, None) => (DependsOnPackage::Own, text),
    };
    let no_package = matches!(&of, DependsOnPackage::Named(package) if package.is_empty());
    if task.is_empty() || task.contains('#') || no_package {
        let help = "write \"task\", \"^task\" (of the packages it depends on) or \"package#task\"";
        values.wrong(at, format!("`{text}` names no task"), help);
        return None;
    }
    Some(DependsOn { task: task.to_string(), of, at })
}

fn depends_on_object(
    values: &mut Values<'_>,
    object: &Object<'_>,
    at: std::ops::Range<usize>,
) -> Option<DependsOn> {
    values.no_duplicates(object);
    let (mut task, mut kinds) = (None, None);
    for property in &object.properties {
        match (property.name.as_str(), &property.value) {
            ("task", value) => task = values.string(value, "task", "\"build\""),
            ("from", Value::StringLit(_)) => {
                kinds = Some(dependency_kinds(values, std::slice::from_ref(&property.value)))
            }
            ("from", Value::Array(list)) => kinds = Some(dependency_kinds(values, &list.elements)),
            ("from", other) => {
                values.wrong_type(other, "from", "a kind of dependency", "\"from\": \"devDependencies\"")
            }
            _ => values.unknown_key(property, &["task", "from"]),
        }
    }
    let Some(task) = task else {
        if object.get("task").is_none() {
            values.wrong(
                at,
                "`task` is missing",
                "write {\"task\": \"build\", \"from\": \"devDependencies\"}",
            );
        }
        return None;
    };
    match kinds {
        Some(kinds) => Some(DependsOn { task, of: DependsOnPackage::Dependencies(kinds), at }),
        None => depends_on_text(values, &task, at),
    }
}

fn dependency_kinds(values: &mut Values<'_>, elements: &[Value<'_>]) -> Vec<DependencyKind> {
    let mut kinds = Vec::new();
    for element in elements {
        let text = element.as_string_lit().map(|text| text.value.as_ref()).unwrap_or_default();
        match DependencyKind::ALL.into_iter().find(|kind| kind.key() == text) {
            Some(kind) => kinds.push(kind),
            None => {
                let help = "write \"dependencies\", \"devDependencies\", \"peerDependencies\" or \"optionalDependencies\"";
                values.wrong(span(element), "`from` names no kind of dependency", help);
            }
        }
    }
    kinds
}

/// What can only be seen with all files at hand: a name that is both script and task, and an entry
/// of `scripts` for no script.
pub(super) fn check(workspace: &Workspace, problems: &mut Problems) {
    for (at, package) in workspace.packages.iter().enumerate() {
        let Some(config) = &package.config else { continue };
        for task in &config.tasks {
            let Some(script) = package.scripts.iter().find(|script| script.name == task.name) else {
                continue;
            };
            let line = read_source(&package.manifest_file()).ok().flatten().and_then(|source| {
                manifest::key_range(&source, &["scripts", &script.name]).map(|range| source.place(range).line)
            });
            let where_else = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            let message =
                format!("`{}` is both a task here and a script of package.json{where_else}", task.name);
            let help = format!(
                "rename one; to give the script settings write \"scripts\": {{\"{}\": {{…}}}} and leave its command in package.json",
                task.name
            );
            problems.0.push(config.source.problem(task.at.clone(), message).help(help));
        }
        // The root speaks for all packages, another file for its own.
        let named = |name: &str| match at {
            0 => workspace
                .packages
                .iter()
                .any(|package| package.scripts.iter().any(|script| script.name == name)),
            _ => package.scripts.iter().any(|script| script.name == name),
        };
        for entry in config.scripts.iter().filter(|entry| !named(&entry.name)) {
            let scope = if at == 0 && !workspace.lone { "no package has" } else { "package.json has no" };
            let message = format!("{scope} script `{}`", entry.name)
                .replace("no package has script", "no package has a script");
            let known: Vec<&str> = match at {
                0 => workspace
                    .packages
                    .iter()
                    .flat_map(|package| &package.scripts)
                    .map(|script| script.name.as_str())
                    .collect(),
                _ => package.scripts.iter().map(|script| script.name.as_str()).collect(),
            };
            let help = match closest(&entry.name, known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "put a task with a command of its own into `tasks`".to_string(),
            };
            problems.0.push(config.source.problem(entry.at.clone(), message).help(help));
        }
    }
}

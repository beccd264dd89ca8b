//! `.moon/tasks.yml`, `.moon/tasks/*.yml` and moon.yml.

use super::calls::project;
use super::carry::{Carried, READ_IS_SEEN, add, add_globs, folder, leave_inputs, texts, way, with_env};
use crate::plan::command::quote;
use crate::problem::Problem;
use crate::workspace::Workspace;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Tasks by their names.
type Tasks = Map<String, Value>;

/// What moon says of the whole workspace.
struct Moon<'a> {
    workspace: &'a Workspace,
    /// Projects that `projects` of workspace.yml names.
    ids: BTreeMap<String, usize>,
    /// Tasks that every project has.
    inherited: Tasks,
}

/// A project, and what its moon.yml says of all its tasks.
struct Project<'a> {
    moon: &'a Moon<'a>,
    at: usize,
    config: Value,
}

/// Carries over what moon was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let folder_of_moon = workspace.root.join(".moon");
    if !folder_of_moon.is_dir() {
        return Err(Problem::new("there is no .moon here").help("start in the folder of the repository"));
    }
    let mut inherited = Tasks::new();
    for name in ["tasks.yml", "tasks/all.yml"] {
        let Some(config) = read_yaml(&folder_of_moon.join(name))? else { continue };
        inherited.extend(config["tasks"].as_object().cloned().unwrap_or_default());
        leave_keys(carried, &format!(".moon/{name}"), &config);
    }
    let more = std::fs::read_dir(folder_of_moon.join("tasks")).into_iter().flatten().flatten();
    for file in more.filter(|file| file.file_name() != "all.yml") {
        carried
            .leave(format!(".moon/tasks/{}: it holds for projects of one kind", file.file_name().display()));
    }
    let ids = ids(workspace, &read_yaml(&folder_of_moon.join("workspace.yml"))?.unwrap_or_default());
    let moon = Moon { workspace, ids, inherited };
    for (at, package) in workspace.packages.iter().enumerate() {
        let own = read_yaml(&package.dir.join("moon.yml"))?;
        if own.is_none() && at == 0 {
            continue;
        }
        Project { moon: &moon, at, config: own.unwrap_or_default() }.carry(carried);
    }
    Ok(())
}

/// What `projects` of workspace.yml names: a map, or one in `sources`.
fn ids(workspace: &Workspace, config: &Value) -> BTreeMap<String, usize> {
    let projects = &config["projects"];
    let named = projects["sources"].as_object().or(projects.as_object()).into_iter().flatten();
    named
        .filter_map(|(id, path)| {
            let path = path.as_str()?.trim_start_matches("./").trim_end_matches('/');
            let dir =
                if matches!(path, "" | ".") { workspace.root.clone() } else { workspace.root.join(path) };
            Some((id.clone(), workspace.package_at(&dir)?))
        })
        .collect()
}

/// What a file says beside its tasks.
fn leave_keys(carried: &mut Carried, file: &str, config: &Value) {
    for key in config.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        let why = match key {
            "implicitDeps" => "add them to `dependsOn` of the tasks",
            "implicitInputs" => READ_IS_SEEN,
            "taskOptions" => "write them for each task that they mean",
            "extends" => "what it names is not read; run `init` where its tasks are written out",
            "toolchain" | "toolchains" | "platform" => "not needed: what is in PATH is used, and counts",
            "docker" => "there is none",
            _ => continue,
        };
        carried.leave(format!("`{key}` of {file}: {why}"));
    }
}

impl Project<'_> {
    fn carry(&self, carried: &mut Carried) {
        let workspace = self.moon.workspace;
        let file = Path::new(&folder(workspace, self.at)).join("moon.yml").display().to_string();
        leave_keys(carried, &file, &self.config);
        self.leave_dependencies(carried, &file);
        let tasks = self.tasks();
        for name in tasks.keys() {
            let place = workspace.task_label(self.at, name);
            match resolved(&tasks, name, &mut Vec::new()) {
                Ok(task) => self.one_task(carried, name, &Value::Object(task)),
                Err(why) => carried.ask(format!("{place}: {why}; write the task by hand")),
            }
        }
    }

    /// Projects that this one depends on, as far as package.json does not say so.
    fn leave_dependencies(&self, carried: &mut Carried, file: &str) {
        for member in self.config["dependsOn"].as_array().into_iter().flatten() {
            let Some(id) = member.as_str().or(member["id"].as_str()) else { continue };
            let edges = &self.moon.workspace.packages[self.at].edges;
            let is_said =
                self.moon.project_named(id).is_some_and(|to| edges.iter().any(|edge| edge.to == to));
            if !is_said {
                carried.leave(format!(
                    "`dependsOn` {id} of {file}: what a package depends on stands in package.json; add it there"
                ));
            }
        }
    }

    /// Its own tasks, each over the one that it inherits.
    fn tasks(&self) -> Tasks {
        let choice = &self.config["workspace"]["inheritedTasks"];
        let (include, exclude) = (&choice["include"], texts(&choice["exclude"]));
        let mut tasks = Tasks::new();
        for (name, task) in &self.moon.inherited {
            let is_wanted = include.is_null() || texts(include).contains(name);
            if is_wanted && !exclude.contains(name) {
                let name = choice["rename"][name].as_str().unwrap_or(name);
                tasks.insert(name.to_owned(), Value::Object(layer(task)));
            }
        }
        for (name, task) in self.config["tasks"].as_object().into_iter().flatten() {
            let own = layer(task);
            let task = match tasks.get(name).and_then(Value::as_object) {
                Some(below) => merged(below, &own),
                None => own,
            };
            tasks.insert(name.clone(), Value::Object(task));
        }
        tasks
    }

    fn one_task(&self, carried: &mut Carried, name: &str, task: &Value) {
        let workspace = self.moon.workspace;
        let (package, place) = (folder(workspace, self.at), workspace.task_label(self.at, name));
        let script = workspace.packages[self.at].scripts.iter().find(|script| script.name == name);
        let options = &task["options"];
        let at_root = options["runFromWorkspaceRoot"] == json!(true);
        let tokens = Tokens { project: self, task, name, start: if at_root { "" } else { &package } };
        let written = command_of(task);
        let (command, env) = match (tokens.resolve(&written), self.env(task, &tokens)) {
            (Ok(command), Ok(env)) => (command, env),
            (Err(_), _) | (_, Err(_)) if script.is_some() => (String::new(), Vec::new()),
            (Err(token), _) => {
                let what = format!("{place}: `{written}`: what {token} stands for only moon knows");
                return carried.ask(format!("{what}; write the task by hand"));
            }
            (_, Err(why)) => return carried.ask(format!("{place}: {why}; write the task by hand")),
        };
        let mut left = Vec::new();
        let entry = carried.entry(&package, if script.is_some() { "scripts" } else { "tasks" }, name);
        if let Some(script) = script {
            if script.command != command {
                left.push("package.json has a script of that name, and its command counts".to_owned());
            }
            left.extend(
                env.iter().map(|(name, _)| format!("env `{name}`: write it into the script of package.json")),
            );
            // Tasks are cached unless they say no; a script that no adapter knows only when told.
            entry.insert("cache".into(), json!(true));
        } else if !matches!(command.as_str(), "" | "noop" | "nop" | "no-op") {
            entry.insert("command".into(), json!(with_env(&command, &env)));
            if at_root && !package.is_empty() {
                entry.insert("cwd".into(), json!(way(&package, "")));
            }
        }
        if let Some(text) = task["description"].as_str() {
            entry.insert("description".into(), json!(text));
        }
        self.dependencies(entry, task, &mut left);
        let has_inputs = files(entry, task, &mut left);
        how_it_runs(entry, task, &mut left);
        left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
        leave_inputs(carried, "inputs", has_inputs);
    }

    /// Variables of the project, and over them those of the task.
    fn env(&self, task: &Value, tokens: &Tokens<'_>) -> Result<Vec<(String, String)>, String> {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        let of_both = [&self.config["env"], &task["env"]];
        for (variable, value) in of_both.into_iter().filter_map(Value::as_object).flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let resolved = tokens.resolve(&text).ok().filter(|text| !text.contains('$') && !value.is_null());
            let Some(resolved) = resolved else {
                return Err(format!("what moon sets `{variable}` to (`{text}`) is not known here"));
            };
            env.insert(variable.clone(), resolved);
        }
        Ok(env.into_iter().collect())
    }

    fn dependencies(&self, entry: &mut Tasks, task: &Value, left: &mut Vec<String>) {
        let workspace = self.moon.workspace;
        for member in task["deps"].as_array().into_iter().flatten() {
            let Some(written) = member.as_str().or(member["target"].as_str()) else { continue };
            let dependency = match written.split_once(':') {
                None | Some(("~", _)) => Some(written.trim_start_matches("~:").to_owned()),
                Some(("^", task)) => Some(format!("^{task}")),
                Some((project, task)) => {
                    self.moon.project_named(project).map(|at| workspace.task_label(at, task))
                }
            };
            match dependency {
                Some(dependency) => add(entry, "dependsOn", [json!(dependency)]),
                None => left.push(format!("deps `{written}`: there is no such package")),
            }
            for key in ["args", "env"].into_iter().filter(|key| member.get(key).is_some()) {
                left.push(format!(
                    "`{key}` of deps `{written}`: it runs without; write a task that has them"
                ));
            }
        }
    }
}

impl Moon<'_> {
    /// A project goes by its id, by the name of its package, or by that of its folder.
    fn project_named(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied().or_else(|| project(self.workspace, name))
    }
}

/// Keys whose lists are joined where one task is written over another, and the option that says how.
const JOINED: [(&str, &str); 4] =
    [("args", "mergeArgs"), ("deps", "mergeDeps"), ("inputs", "mergeInputs"), ("outputs", "mergeOutputs")];

/// A task as it is merged: the program alone in `command`, and all that follows it in `args`, in the words
/// of a shell.
fn layer(task: &Value) -> Tasks {
    let mut layer = match task {
        Value::Object(task) => task.clone(),
        Value::Null => Tasks::new(),
        command => Tasks::from_iter([("command".to_owned(), command.clone())]),
    };
    let words = |value: Option<&Value>| match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(quote_but_tokens).collect(),
        other => Vec::from_iter(other.and_then(Value::as_str).map(str::to_owned)),
    };
    let command = words(layer.get("command")).join(" ");
    let (program, first) = command.trim().split_once(' ').unwrap_or((command.trim(), ""));
    let mut args = Vec::from_iter(Some(first.to_owned()).filter(|first| !first.is_empty()));
    args.extend(words(layer.get("args")));
    if !program.is_empty() {
        layer.insert("command".into(), json!(program));
    }
    if !args.is_empty() || layer.contains_key("args") {
        layer.insert("args".into(), json!(args));
    }
    layer
}

/// A word for a shell; a variable in it stays one.
fn quote_but_tokens(word: &str) -> String {
    if word.contains('$') && !word.contains(['"', '\\', '`']) { format!("\"{word}\"") } else { quote(word) }
}

/// One task written over another, as moon does it.
fn merged(below: &Tasks, above: &Tasks) -> Tasks {
    let mut all = below.clone();
    // Either is the whole command.
    if above.contains_key("script") {
        all.remove("command");
        all.remove("args");
    } else if above.contains_key("command") {
        all.remove("script");
    }
    let none = json!({});
    let options = [above, below].map(|task| task.get("options").unwrap_or(&none));
    let how = |option: &str| {
        let said = options.iter().find_map(|options| options[option].as_str().or(options["merge"].as_str()));
        said.unwrap_or("append").to_owned()
    };
    for (key, value) in above {
        let joined = JOINED.iter().find(|(joined, _)| joined == key).map(|(_, option)| how(option));
        let value = match (all.get(key), value, joined.as_deref()) {
            (Some(Value::Array(below)), Value::Array(above), Some("append")) => {
                below.iter().chain(above).cloned().collect()
            }
            (Some(Value::Array(below)), Value::Array(above), Some("prepend")) => {
                above.iter().chain(below).cloned().collect()
            }
            (Some(below), _, Some("preserve")) => below.clone(),
            (Some(Value::Object(below)), Value::Object(above), None)
                if key == "options" || (key == "env" && how("mergeEnv") != "replace") =>
            {
                let members = below.iter().chain(above);
                members.map(|(key, value)| (key.clone(), value.clone())).collect()
            }
            _ => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    all
}

/// A task over those that it extends; `Err` says why one of them is not to be had.
fn resolved(tasks: &Tasks, name: &str, above: &mut Vec<String>) -> Result<Tasks, String> {
    let own = tasks.get(name).and_then(Value::as_object).ok_or_else(|| {
        let what = above.last().map_or("it", String::as_str);
        format!("`{what}` extends `{name}`, which is not there")
    })?;
    if above.iter().any(|seen| seen == name) {
        return Err(format!("`{name}` extends itself"));
    }
    above.push(name.to_owned());
    let mut below = Tasks::new();
    for base in own.get("extends").map(texts).unwrap_or_default() {
        below = merged(&below, &resolved(tasks, &base, above)?);
    }
    above.pop();
    let mut task = merged(&below, own);
    task.remove("extends");
    Ok(task)
}

/// The whole command.
fn command_of(task: &Value) -> String {
    let script = task["script"].as_str().map(str::to_owned);
    let words = task["command"].as_str().map(str::to_owned).into_iter().chain(texts(&task["args"]));
    script.unwrap_or_else(|| words.collect::<Vec<_>>().join(" ")).trim().to_owned()
}

/// Outputs, variables, and what must not count; whether there are lists of inputs that are left out.
fn files(entry: &mut Tasks, task: &Value, left: &mut Vec<String>) -> bool {
    let is_token = |path: &str| path.contains(['$', '@']) && path.contains(['(', '$']);
    let (tokens, outputs): (Vec<_>, Vec<_>) =
        texts(&task["outputs"]).into_iter().partition(|path| is_token(path));
    left.extend(tokens.iter().map(|path| format!("output `{path}`: what is written is overheard")));
    add_globs(entry, "output", outputs.iter().map(|path| pattern(path)).collect());
    let inputs = texts(&task["inputs"]);
    let variable =
        |input: &String| input.strip_prefix('$').filter(|name| !name.contains('/')).map(Value::from);
    add(entry, "env", inputs.iter().filter_map(variable));
    let (tokens, excluded): (Vec<_>, Vec<_>) =
        inputs.iter().filter(|input| input.starts_with('!')).partition(|path| is_token(path));
    left.extend(
        tokens.iter().map(|path| format!("input `{path}`: write the pattern as `input` of the task")),
    );
    add_globs(entry, "input", excluded.iter().map(|path| pattern(path)).collect());
    inputs.iter().any(|input| !input.starts_with('!') && variable(input).is_none())
}

/// What options and presets say.
fn how_it_runs(entry: &mut Tasks, task: &Value, left: &mut Vec<String>) {
    let (options, preset) = (&task["options"], task["preset"].as_str().unwrap_or_default());
    let is_local = task["local"] == json!(true);
    if options["cache"] == json!(false) || preset == "utility" {
        entry.insert("cache".into(), json!(false));
    }
    let is_server =
        matches!(preset, "server" | "watcher") || is_local || options["persistent"] == json!(true);
    for (is_set, key) in [(is_server, "persistent"), (options["interactive"] == json!(true), "interactive")] {
        if is_set {
            entry.remove("cache");
            entry.insert(key.into(), json!(true));
        }
    }
    for (option, value) in options.as_object().into_iter().flatten() {
        let why = match option.as_str() {
            "cache" | "persistent" | "interactive" | "runFromWorkspaceRoot" | "internal" => continue,
            option if option.starts_with("merge") => continue,
            "runInCI" if *value == json!(true) => continue,
            "runInCI" => "it runs in CI too where it is asked for",
            "retryCount" => "what fails is not run again",
            "envFile" => "it is not loaded; have the command load it",
            "affectedFiles" => "files that changed are not handed on; --affected chooses packages",
            "allowFailure" => "there is none; --continue goes on with what does not depend on it",
            "runDepsInParallel" => "what it waits for runs at once; order it by `dependsOn`",
            "mutex" | "priority" | "timeout" | "os" => "there is none",
            "outputStyle" => "--log chooses how output is shown",
            "shell" | "unixShell" | "windowsShell" => "commands that need a shell are run by sh",
            "inferInputs" | "cacheKey" | "cacheLifetime" | "cacheStrategy" => READ_IS_SEEN,
            _ => "there is none",
        };
        left.push(format!("`{option}`: {why}"));
    }
}

/// What stands for something else in a command of moon.
struct Tokens<'a> {
    project: &'a Project<'a>,
    task: &'a Value,
    name: &'a str,
    /// The folder in which the command starts.
    start: &'a str,
}

/// Names that only moon knows a value for.
const ONLY_MOON: [&str; 25] = [
    "projectAlias",
    "projectAliases",
    "projectChannel",
    "projectLayer",
    "projectOwner",
    "projectStack",
    "projectTitle",
    "projectType",
    "language",
    "taskPlatform",
    "taskToolchain",
    "taskToolchains",
    "taskType",
    "date",
    "datetime",
    "time",
    "timestamp",
    "vcsBranch",
    "vcsRepository",
    "vcsRevision",
    "workingDir",
    "arch",
    "os",
    "osFamily",
    "projectOwners",
];

/// Functions of moon.
const FUNCTIONS: [&str; 10] =
    ["out", "outs", "in", "files", "dirs", "globs", "group", "root", "envs", "meta"];

impl Tokens<'_> {
    /// The text with what they stand for; `Err` with the first that is not known.
    fn resolve(&self, text: &str) -> Result<String, String> {
        let (mut whole, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(['$', '@']) {
            let (before, token) = rest.split_at(at);
            whole.push_str(before);
            let name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let end = token[1..].find(name).map_or(token.len(), |end| end + 1);
            let (mark, word) = (&token[..1], &token[1..end]);
            let after = &token[end..];
            if mark == "$" {
                whole.push_str(&self.variable(word)?);
                rest = after;
            } else if FUNCTIONS.contains(&word) && after.starts_with('(') {
                let (argument, after) = after[1..].split_once(')').ok_or_else(|| token.to_owned())?;
                whole.push_str(&self.function(word, argument)?);
                rest = after;
            } else {
                whole.push_str(&token[..end]);
                rest = after;
            }
        }
        Ok(whole + rest)
    }

    fn variable(&self, word: &str) -> Result<String, String> {
        let workspace = self.project.moon.workspace;
        let package = folder(workspace, self.project.at);
        Ok(match word {
            "projectRoot" => way(self.start, &package),
            "workspaceRoot" => way(self.start, ""),
            "projectSource" => way("", &package),
            "task" => self.name.to_owned(),
            "project" | "projectName" => self.id().ok_or_else(|| format!("${word}"))?,
            "target" => format!("{}:{}", self.id().ok_or("$target")?, self.name),
            _ if ONLY_MOON.contains(&word) => return Err(format!("${word}")),
            // A variable of the shell.
            _ => format!("${word}"),
        })
    }

    /// The one input or output of that number, where it is a plain path.
    fn function(&self, word: &str, argument: &str) -> Result<String, String> {
        let unknown = || format!("@{word}({argument})");
        let list = match word {
            "out" => texts(&self.task["outputs"]),
            "in" => texts(&self.task["inputs"]),
            _ => return Err(unknown()),
        };
        let path =
            argument.trim().parse().ok().and_then(|number: usize| list.get(number)).ok_or_else(unknown)?;
        if path.contains(['*', '?', '{', '[', '$', '@', '!', '(']) {
            return Err(unknown());
        }
        let package = folder(self.project.moon.workspace, self.project.at);
        let from_root = match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("{package}/{path}"),
        };
        Ok(way(self.start, &from_root))
    }

    fn id(&self) -> Option<String> {
        let project = self.project;
        let own = project.config["id"].as_str().map(str::to_owned);
        let named = || project.moon.ids.iter().find(|(_, at)| **at == project.at).map(|(id, _)| id.clone());
        let package = &project.moon.workspace.packages[project.at];
        own.or_else(named).or_else(|| Some(package.relative_dir.file_name()?.to_string_lossy().into_owned()))
    }
}

/// A path or glob of moon: with `/` before it relative to the root; a name without an ending is a folder.
fn pattern(written: &str) -> Value {
    let (exclude, path) = written.strip_prefix('!').map_or(("", written), |path| ("!", path));
    let last = path.rsplit('/').next().unwrap_or(path);
    let tree = if last.contains(['.', '*']) || path.ends_with('/') { "" } else { "/" };
    match path.strip_prefix('/') {
        Some(path) => json!({ "pattern": format!("{exclude}{path}{tree}"), "base": "workspace" }),
        None => json!(format!("{exclude}{path}{tree}")),
    }
}

fn read_yaml(file: &Path) -> Result<Option<Value>, Problem> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    let documents = Yaml::load_from_str(&text)
        .map_err(|error| Problem::new(format!("cannot read {}: {error}", file.display())))?;
    Ok(documents.first().map(plain))
}

fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(elements) => elements.iter().map(plain).collect(),
        Yaml::Mapping(members) => Value::Object(
            members
                .iter()
                .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), plain(value))))
                .collect(),
        ),
        Yaml::Tagged(_, inner) => plain(inner),
        _ => Value::Null,
    }
}

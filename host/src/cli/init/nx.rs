//! nx.json and project.json (or `nx` in package.json).

use super::calls;
use super::carry::{
    Carried, READ_IS_SEEN, add, add_globs, dependency, folder, is_anywhere, leave_inputs, texts, way,
    with_env,
};
use super::read_json;
use crate::problem::Problem;
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What nx says of the whole workspace.
struct Nx<'a> {
    workspace: &'a Workspace,
    config: Value,
    /// By position of the package in the workspace.
    projects: BTreeMap<usize, Project>,
    /// Names of all targets and scripts.
    known: BTreeSet<String>,
}

/// What project.json says, and `nx` in package.json.
#[derive(Default)]
struct Project {
    name: Option<String>,
    targets: Map<String, Value>,
    named_inputs: Map<String, Value>,
    implicit: Vec<String>,
}

/// Carries over what nx was told.
pub fn carry(workspace: &Workspace, carried: &mut Carried) -> Result<(), Problem> {
    let config = read_json(&workspace.root.join("nx.json"))?;
    let config = config.ok_or_else(|| {
        Problem::new("there is no nx.json here").help("start in the folder of the repository")
    })?;
    for (key, value) in config.as_object().into_iter().flatten() {
        if let Some(why) = of_the_whole(key, value) {
            carried.leave(format!("`{key}` of nx.json: {why}"));
        }
    }
    let projects = projects(workspace)?;
    let mut known: BTreeSet<String> =
        projects.values().flat_map(|project| project.targets.keys().cloned()).collect();
    known.extend(
        workspace.packages.iter().flat_map(|package| package.definitions().map(|one| one.name().to_owned())),
    );
    let nx = Nx { workspace, config, projects, known };
    for (name, target) in nx.config["targetDefaults"].as_object().into_iter().flatten() {
        if name.contains([':', '*']) {
            carried.leave(format!("targetDefaults of {name}: write it for the tasks that it means"));
        } else if is_anywhere(workspace, name) {
            nx.settings(carried, ("", "scripts", name), name, target, None);
        }
    }
    for (at, project) in &nx.projects {
        nx.leave_implicit(carried, *at, &project.implicit);
        for (name, target) in &project.targets {
            nx.one_target(carried, *at, name, target);
        }
    }
    Ok(())
}

/// Why a key of nx.json has no counterpart; `None` where it has, or says nothing.
fn of_the_whole(key: &str, value: &Value) -> Option<String> {
    let plugins = |value: &Value| {
        let names = value.as_array().into_iter().flatten();
        names.filter_map(|one| one.as_str().or(one["plugin"].as_str())).collect::<Vec<_>>().join(", ")
    };
    Some(match key {
        "plugins" => format!(
            "targets that nx plugins infer are not in any file: write them as scripts ({})",
            plugins(value)
        ),
        "parallel" => format!("--concurrency {value}, or OVERHEAR_CONCURRENCY={value}"),
        "defaultBase" => format!("--affected={}", value.as_str().unwrap_or_default()),
        "cacheDirectory" => "\"cache\": {\"dir\": …} names a folder of our own".to_owned(),
        "maxCacheSize" => "\"cache\": {\"maxSize\": \"10GB\"}".to_owned(),
        "nxCloudId" | "nxCloudAccessToken" | "nxCloudUrl" | "tasksRunnerOptions" => {
            "there is no remote cache yet".to_owned()
        }
        "implicitDependencies" => READ_IS_SEEN.to_owned(),
        "useDaemonProcess" | "neverConnectToCloud" | "useInferencePlugins" | "pluginsConfig" => {
            "not needed: there is no daemon, no cloud and no plugin".to_owned()
        }
        "defaultProject" => "name it: `overhear run web#build`".to_owned(),
        "tui" => "not needed: --log chooses how output is shown".to_owned(),
        "extends" => "what it names is not read".to_owned(),
        "release" | "sync" | "generators" | "conformance" | "owners" | "installation" | "migrations" => {
            "there is none; it is not about running tasks".to_owned()
        }
        _ => return None,
    })
}

fn projects(workspace: &Workspace) -> Result<BTreeMap<usize, Project>, Problem> {
    let mut projects = BTreeMap::new();
    for (at, package) in workspace.packages.iter().enumerate() {
        let project = read_json(&package.dir.join("project.json"))?;
        let manifest = read_json(&package.manifest_file())?;
        let inner = manifest.as_ref().map(|manifest| &manifest["nx"]);
        let mut all = Project::default();
        for from in project.as_ref().into_iter().chain(inner) {
            all.name = all.name.or_else(|| from["name"].as_str().map(str::to_owned));
            all.targets.extend(from["targets"].as_object().cloned().unwrap_or_default());
            all.named_inputs.extend(from["namedInputs"].as_object().cloned().unwrap_or_default());
            all.implicit.extend(texts(&from["implicitDependencies"]));
        }
        projects.insert(at, all);
    }
    Ok(projects)
}

/// What a target runs.
enum Runs {
    /// Commands, in the folder in which they start, relative to the root.
    Commands(Vec<String>, String),
    /// Nothing by itself.
    Group,
}

impl Nx<'_> {
    fn project_named(&self, name: &str) -> Option<usize> {
        let named = |project: &Project| project.name.as_deref() == Some(name);
        let by_file = self.projects.iter().find(|(_, project)| named(project)).map(|(at, _)| *at);
        by_file.or_else(|| calls::project(self.workspace, name))
    }

    /// Projects that this one waits for, as far as package.json does not say so.
    fn leave_implicit(&self, carried: &mut Carried, at: usize, implicit: &[String]) {
        let package = &self.workspace.packages[at];
        for name in implicit {
            let to = self.project_named(name);
            if !to.is_some_and(|to| package.edges.iter().any(|edge| edge.to == to)) {
                let place = package.in_words();
                carried.leave(format!(
                    "implicitDependencies of {place} on `{name}`: add it to package.json, or to `dependsOn`"
                ));
            }
        }
    }

    fn one_target(&self, carried: &mut Carried, at: usize, name: &str, target: &Value) {
        let place = self.workspace.task_label(at, name);
        let package = folder(self.workspace, at);
        if self.workspace.packages[at].definition(name).is_some() {
            self.settings(carried, (&package, "scripts", name), &place, target, Some(at));
            return;
        }
        let default = &self.config["targetDefaults"][name];
        let target = &merged(default, target);
        let runs = match self.runs(carried, at, name, target) {
            Ok(runs) => runs,
            Err(why) => return carried.ask(format!("{place}: {why}")),
        };
        let entry = carried.entry(&package, "tasks", name);
        if let Runs::Commands(commands, start) = runs {
            let commands = if commands.len() == 1 { json!(commands[0]) } else { json!(commands) };
            entry.insert("command".into(), commands);
            if start != package {
                entry.insert("cwd".into(), json!(way(&package, &start)));
            }
        }
        self.settings(carried, (&package, "tasks", name), &place, target, Some(at));
    }

    /// What a target runs; `Err` says what a person must do instead.
    fn runs(&self, carried: &mut Carried, at: usize, name: &str, target: &Value) -> Result<Runs, String> {
        let options = &target["options"];
        let place = self.workspace.task_label(at, name);
        let commands = match (&target["command"], &options["command"], &options["commands"]) {
            (Value::String(command), ..) | (_, Value::String(command), _) => vec![command.clone()],
            (_, _, Value::Array(list)) => list
                .iter()
                .filter_map(|one| one.as_str().or(one["command"].as_str()).map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let executor = target["executor"].as_str();
        let is_group = executor.is_none() && commands.is_empty() && target.get("dependsOn").is_some();
        if is_group || executor == Some("nx:noop") {
            return Ok(Runs::Group);
        }
        let executor = executor.unwrap_or("nx:run-commands");
        if commands.is_empty() || executor != "nx:run-commands" {
            return Err(format!(
                "executor {executor}; write the command that it runs as a script of package.json"
            ));
        }
        // nx starts commands at the root, or in a folder relative to it; we in the package.
        let start = options["cwd"].as_str().unwrap_or("");
        let start = self.resolved(at, "", start).map_err(by_hand(start))?;
        let start = way("", &start);
        let start = if start == "." { String::new() } else { start };
        let env = self.env(at, options)?;
        let args = match &options["args"] {
            Value::String(args) => format!(" {args}"),
            Value::Array(list) => {
                list.iter().filter_map(Value::as_str).map(|arg| format!(" {arg}")).collect()
            }
            _ => String::new(),
        };
        let commands = commands
            .iter()
            .map(|command| {
                let resolved =
                    self.resolved(at, &start, &format!("{command}{args}")).map_err(by_hand(command))?;
                Ok(with_env(&resolved, &env))
            })
            .collect::<Result<Vec<_>, String>>()?;
        if commands.len() > 1 && options["parallel"] != json!(false) {
            carried.leave(format!("{place}: its commands ran in parallel, and run one after the other"));
        }
        self.leave_options(carried, &place, target);
        Ok(Runs::Commands(commands, start))
    }

    fn env(&self, at: usize, options: &Value) -> Result<Vec<(String, String)>, String> {
        let env = options["env"].as_object().into_iter().flatten();
        env.map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let resolved = self.resolved(at, "", &text).map_err(by_hand(&text))?;
            Ok((name.clone(), resolved))
        })
        .collect()
    }

    /// Options of `nx:run-commands` that are not carried over.
    fn leave_options(&self, carried: &mut Carried, place: &str, target: &Value) {
        let options = &target["options"];
        for (key, value) in options.as_object().into_iter().flatten() {
            let why = match key.as_str() {
                "command" | "commands" | "cwd" | "env" | "args" | "parallel" | "color" | "tty" => continue,
                "forwardAllArgs" => "what comes after the task goes to its last command".to_owned(),
                "envFile" => "it is not loaded; have the command load it".to_owned(),
                "readyWhen" => "\"readyWhen\": {\"output\": …} of a persistent task".to_owned(),
                _ => format!("nx handed it to the command as --{key}={value}; write it there"),
            };
            carried.leave(format!("{place}: `{key}`: {why}"));
        }
        let forwards = |one: &Value| one.get("forwardAllArgs").is_some();
        if options["commands"].as_array().is_some_and(|list| list.iter().any(forwards)) {
            carried.leave(format!(
                "{place}: `forwardAllArgs`: what comes after the task goes to its last command"
            ));
        }
    }

    /// A text with what stands in it for places and names; `Err` with what is known to nx alone. Paths are
    /// those from the folder in which the command starts.
    fn resolved(&self, at: usize, start: &str, text: &str) -> Result<String, String> {
        let package = &self.workspace.packages[at];
        let root = folder(self.workspace, at);
        let name = self.projects.get(&at).and_then(|project| project.name.clone());
        let (mut whole, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let token = after.split_once('}').filter(|_| !before.ends_with('$'));
            let value = match token.map(|(token, _)| token) {
                Some("projectRoot") => Some(way(start, &root)),
                Some("workspaceRoot") => Some(way(start, "")),
                Some("projectName") => {
                    Some(name.clone().or_else(|| package.name.clone()).ok_or("{projectName}")?)
                }
                Some(token) if is_token(token) => return Err(format!("{{{token}}}")),
                _ => None,
            };
            whole.push_str(before);
            match (value, token) {
                (Some(value), Some((_, after))) => {
                    whole.push_str(&value);
                    rest = after;
                }
                _ => {
                    whole.push('{');
                    rest = after;
                }
            }
        }
        Ok(whole + rest)
    }

    /// The keys that targets and their defaults share. `into`: folder, section and name of the entry.
    fn settings(
        &self,
        carried: &mut Carried,
        into: (&str, &str, &str),
        place: &str,
        target: &Value,
        at: Option<usize>,
    ) {
        let entry = carried.entry(into.0, into.1, into.2);
        let mut left = Vec::new();
        for written in target["dependsOn"].as_array().into_iter().flatten() {
            self.one_dependency(entry, written, &mut left);
        }
        let mut globs = Vec::new();
        for output in texts(&target["outputs"]) {
            match self.patterns(at, &output) {
                Some(found) => globs.extend(found),
                None => left.push(format!("output `{output}`: what is written is overheard")),
            }
        }
        add_globs(entry, "output", globs);
        let mut except = Vec::new();
        let mut has_inputs = false;
        for input in self.inputs(at, &target["inputs"], &mut Vec::new()) {
            if let Some(name) = input["env"].as_str() {
                add(entry, "env", [json!(name)]);
            } else if input.get("runtime").is_some() {
                left.push(format!("input {input}: a command's answer is no input here"));
            } else if let Some(excluded) = input.as_str().filter(|text| text.starts_with('!')) {
                // What is read is overheard; only what must not count has to be said.
                match self.patterns(at, excluded) {
                    Some(found) => except.extend(found),
                    None => {
                        left.push(format!("input `{excluded}`: write the pattern as `input` of the task"))
                    }
                }
            } else {
                has_inputs = true;
            }
        }
        add_globs(entry, "input", except);
        if let Some(cache) = target["cache"].as_bool() {
            entry.insert("cache".into(), json!(cache));
        }
        if target["continuous"] == json!(true) {
            entry.remove("cache");
            entry.insert("persistent".into(), json!(true));
        }
        for (key, why) in [
            ("configurations", "write a task for each"),
            ("parallelism", "there is none; order tasks by `dependsOn`"),
            ("syncGenerators", "there is none; it is not about running tasks"),
        ] {
            if target.get(key).is_some() {
                left.push(format!("`{key}`: {why}"));
            }
        }
        left.into_iter().for_each(|what| carried.leave(format!("{place}: {what}")));
        leave_inputs(carried, "inputs", has_inputs);
    }

    /// A glob of nx as those that mean the same here; `None` where there are none.
    fn patterns(&self, at: Option<usize>, written: &str) -> Option<Vec<Value>> {
        let project = at.and_then(|at| self.projects.get(&at)?.name.clone());
        let name = project.or_else(|| at.and_then(|at| self.workspace.packages[at].name.clone()));
        let (exclude, glob) = written.strip_prefix('!').map_or(("", written), |glob| ("!", glob));
        let plain = without_groups(glob)?;
        plain.iter().map(|glob| pattern(name.as_deref(), &format!("{exclude}{glob}"))).collect()
    }

    fn one_dependency(&self, entry: &mut Map<String, Value>, written: &Value, left: &mut Vec<String>) {
        let is_known = |task: &str| self.known.contains(task);
        let task = written["target"].as_str();
        if let Some(task) = task.filter(|_| written["params"] == json!("forward")) {
            left.push(format!(
                "`params` of dependsOn `{task}`: arguments go to the task that is named alone"
            ));
        }
        let name = |project: &str| {
            let package = self.project_named(project).and_then(|at| self.workspace.packages[at].name.clone());
            package.unwrap_or_else(|| project.to_owned())
        };
        let projects = texts(&written["projects"]);
        let texts = match (written.as_str(), task) {
            // `project:target` of nx is `package#task` here.
            (Some(text), _) => vec![match text.split_once(':') {
                Some((project, task)) if self.project_named(project).is_some() => {
                    format!("{}#{task}", name(project))
                }
                _ => text.to_owned(),
            }],
            (None, Some(task)) if written["dependencies"] == json!(true) || projects == ["dependencies"] => {
                vec![format!("^{}", task.trim_start_matches('^'))]
            }
            (None, Some(task)) if projects.is_empty() || projects == ["self"] => vec![task.to_owned()],
            (None, Some(task)) => {
                projects.iter().map(|project| format!("{}#{task}", name(project))).collect()
            }
            (None, None) => return,
        };
        for text in texts {
            match dependency(self.workspace, &is_known, &text) {
                Ok(dependency) => add(entry, "dependsOn", [json!(dependency)]),
                Err(why) => left.push(format!("dependsOn {why}")),
            }
        }
    }

    /// Inputs, with what stands behind those of `namedInputs` in their place.
    fn inputs(&self, at: Option<usize>, inputs: &Value, above: &mut Vec<String>) -> Vec<Value> {
        let mut all = Vec::new();
        for input in inputs.as_array().into_iter().flatten() {
            let name = input.as_str().unwrap_or_default();
            let own = at.and_then(|at| self.projects.get(&at)).and_then(|own| own.named_inputs.get(name));
            let named = own.or_else(|| self.config["namedInputs"].get(name));
            match named.filter(|_| !above.iter().any(|seen| seen == name)) {
                Some(named) => {
                    above.push(name.to_owned());
                    all.extend(self.inputs(at, named, above));
                    above.pop();
                }
                None => all.push(input.clone()),
            }
        }
        all
    }
}

fn by_hand(written: &str) -> impl Fn(String) -> String {
    move |token| format!("`{written}`: what {token} stands for only nx knows; write the task by hand")
}

/// Whether it is what nx would put something in the place of, and not a brace of the shell.
fn is_token(inner: &str) -> bool {
    let of_nx = ["args.", "options.", "projectRoot", "workspaceRoot", "projectName"];
    of_nx.iter().any(|start| inner.starts_with(start)) || matches!(inner, "args" | "arg")
}

/// A target over its defaults: each key, and each option.
fn merged(default: &Value, target: &Value) -> Value {
    let mut all = default.as_object().cloned().unwrap_or_default();
    // Defaults are for a target of that kind.
    let of_its_own = ["executor", "command"].iter().any(|key| target.get(key).is_some());
    if of_its_own && target.get("executor") != default.get("executor") {
        ["executor", "command", "options"].iter().for_each(|key| drop(all.remove(*key)));
    }
    for (key, value) in target.as_object().into_iter().flatten() {
        match (all.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) if key == "options" => {
                below.extend(above.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            _ => drop(all.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(all)
}

/// Globs without groups of the extended kind: `?(x)` is with x and without, `+(a|b)` one of these. `None`
/// where that cannot be said.
fn without_groups(glob: &str) -> Option<Vec<String>> {
    let Some(open) = glob.find('(') else { return Some(vec![glob.to_owned()]) };
    let (inner, after) = glob[open + 1..].split_once(')')?;
    let before = glob[..open].get(..open.checked_sub(1)?)?;
    let alternatives =
        if inner.contains('|') { format!("{{{}}}", inner.replace('|', ",")) } else { inner.to_owned() };
    let middles = match glob.as_bytes()[open - 1] {
        _ if inner.contains('(') => return None,
        b'?' => vec![alternatives, String::new()],
        b'+' | b'@' => vec![alternatives],
        _ => return None,
    };
    let ends = without_groups(after)?;
    let starts = middles.iter().map(|middle| format!("{before}{middle}"));
    Some(starts.flat_map(|start| ends.iter().map(move |end| format!("{start}{end}"))).collect())
}

/// An output of nx as a glob; `None` where it depends on an option.
fn pattern(name: Option<&str>, output: &str) -> Option<Value> {
    let (exclude, rest) = output.strip_prefix('!').map_or(("", output), |rest| ("!", rest));
    let rest = match name {
        Some(name) => rest.replace("{projectName}", name),
        None => rest.to_owned(),
    };
    // A name without an ending is a folder, with all that is in it.
    let tree = |path: &str| {
        let last = path.rsplit('/').next().unwrap_or(path);
        if last.contains(['.', '*']) || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
    };
    // A brace may also be one of the glob: `*.{js,ts}`.
    let is_plain =
        |path: &&str| !path.split('{').skip(1).any(|inner| is_token(inner.split('}').next().unwrap_or("")));
    if let Some(path) = rest.strip_prefix("{projectRoot}/").filter(is_plain) {
        return Some(json!(format!("{exclude}{}", tree(path))));
    }
    let path = rest.strip_prefix("{workspaceRoot}/").filter(is_plain)?;
    Some(json!({ "pattern": format!("{exclude}{}", tree(path)), "base": "workspace" }))
}

#[cfg(test)]
mod tests {
    use super::without_groups;

    #[test]
    fn groups_of_extended_globs_become_plain_globs() {
        let cases: [(&str, Option<&[&str]>); 5] = [
            ("src/**", Some(&["src/**"])),
            ("**/*.+(spec|test).ts", Some(&["**/*.{spec,test}.ts"])),
            ("a?(.b)", Some(&["a.b", "a"])),
            ("?(*.)x?(y)", Some(&["*.xy", "*.x", "xy", "x"])),
            ("!(a).ts", None),
        ];
        for (glob, expected) in cases {
            let found = without_groups(glob);
            let found = found.as_ref().map(|globs| Vec::from_iter(globs.iter().map(String::as_str)));
            assert_eq!(found.as_deref(), expected, "{glob}");
        }
    }
}

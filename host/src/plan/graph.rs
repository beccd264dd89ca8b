//! From selected tasks to steps in order. Tasks become nodes once each, with what they wait for as
//! a whole; commands become items in sequence, where an item may be a call of other tasks. `points`
//! brings the nodes into order.

use super::command::{self, Part};
use super::nested::{self, Runner};
use super::select::{Selected, no_package, select};
use super::{Origin, PackageRef, Plan, Request, Run, TaskSpec, points};
use crate::config::{
    ConfigFile, DependencyKind, DependsOn, DependsOnPackage, TaskConfig, TaskEntry, TaskKeys,
};
use crate::path::join_lexically;
use crate::problem::{Problem, Problems, closest};
use crate::wildcard;
use crate::workspace::{Definition, Workspace};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;
use std::sync::Arc;

/// A task, once per plan.
pub(super) struct Node {
    pub package: usize,
    pub task: String,
    /// Nodes that must have ended before it begins.
    pub waits_for: Vec<usize>,
    pub items: Vec<Item>,
    pub config: Arc<TaskConfig>,
    pub origin: Origin,
    pub requested: bool,
}

/// One thing that a task does, after the one before.
pub(super) struct Item {
    /// The script that it is from: the task's, or its `pre` and `post` script.
    pub script: Arc<str>,
    pub part: Part,
    /// Tasks that stand for the command; `None` if it is started as it is.
    pub calls: Option<Vec<usize>>,
    /// Those start all at once, however many they are.
    pub at_once: bool,
    /// It ends with arguments of the command line.
    pub has_args: bool,
    /// What it obeys, where that is not what its task obeys.
    pub config: Option<Arc<TaskConfig>>,
}

struct Builder<'a> {
    workspace: &'a Workspace,
    request: &'a Request,
    nodes: Vec<Node>,
    by_task: FxHashMap<(usize, String), usize>,
    /// Nodes whose commands have not been read yet.
    open: Vec<usize>,
    problems: Problems,
    pre_post: bool,
    strict_env: bool,
}

/// The plan for the selected tasks.
pub(super) fn plan(workspace: &Workspace, request: &Request, selected: &Selected) -> Result<Plan, Problems> {
    let settings = workspace.settings();
    let mut builder = Builder {
        workspace,
        request,
        nodes: Vec::new(),
        by_task: FxHashMap::default(),
        open: Vec::new(),
        problems: Problems::default(),
        pre_post: settings.enable_pre_post_scripts,
        strict_env: settings.strict_env,
    };
    for (package, task) in &selected.tasks {
        let node = builder.node(*package, task);
        let Node { items, task, .. } = &mut builder.nodes[node];
        if let Some(item) = append_args(items, task, &request.args) {
            item.has_args = !request.args.is_empty();
        }
        builder.nodes[node].requested = true;
    }
    let requested: Vec<usize> = (0..builder.nodes.len()).collect();
    builder.expand_all();
    if selected.ordered {
        builder.order_by_packages(&requested);
    }
    let nodes = std::mem::take(&mut builder.problems).or(builder.nodes)?;
    Ok(Plan { steps: points::steps(workspace, &nodes, request.parallel)?, ..Plan::default() })
}

/// What a step needs to know of its package.
pub(super) fn package_ref(workspace: &Workspace, package: usize) -> PackageRef {
    let package = &workspace.packages[package];
    PackageRef { name: package.name.clone(), version: package.version.clone(), dir: package.dir.clone() }
}

/// The files that speak for every task of a package: the root's, then its own.
pub(super) fn shared_files(workspace: &Workspace, package: usize) -> Vec<&ConfigFile> {
    let of = |at: usize| workspace.packages[at].config.as_ref();
    let own = if package == 0 { None } else { of(package) };
    of(0).into_iter().chain(own).collect()
}

/// The entries of `scripts` for a script: the package's own, and the root's.
pub(super) fn script_entries<'a>(
    workspace: &'a Workspace,
    package: usize,
    script: &str,
) -> [Option<(&'a ConfigFile, &'a TaskEntry)>; 2] {
    let of = |at: usize| {
        let config = workspace.packages[at].config.as_ref()?;
        Some((config, config.scripts.iter().find(|entry| entry.name == script)?))
    };
    [if package == 0 { None } else { of(package) }, of(0)]
}

/// Puts arguments at the end of what was asked for, not of what is only around it; gives that.
fn append_args<'a>(items: &'a mut [Item], script: &str, args: &[String]) -> Option<&'a mut Item> {
    let item = items.iter_mut().rev().find(|item| &*item.script == script)?;
    command::append(&mut item.part, args);
    Some(item)
}

impl Builder<'_> {
    /// The node of a task that exists.
    fn node(&mut self, package: usize, task: &str) -> usize {
        if let Some(node) = self.by_task.get(&(package, task.to_string())) {
            return *node;
        }
        let definition =
            self.workspace.packages[package].definition(task).expect("only tasks that exist become nodes");
        let (keys, origin) = match definition {
            Definition::Task(entry) => (entry.keys.clone(), Origin::Task),
            Definition::Script(script) => (self.script_keys(package, &script.name), Origin::Script),
        };
        let config = self.settle(keys, package);
        let items = self.items(package, definition);
        let node = self.nodes.len();
        self.nodes.push(Node {
            package,
            task: task.to_string(),
            waits_for: Vec::new(),
            items,
            config,
            origin,
            requested: false,
        });
        self.by_task.insert((package, task.to_string()), node);
        self.open.push(node);
        node
    }

    fn script_keys(&self, package: usize, script: &str) -> TaskKeys {
        let entries = script_entries(self.workspace, package, script).into_iter().flatten();
        entries.fold(TaskKeys::default(), |keys, (_, entry)| keys.over(&entry.keys))
    }

    fn settle(&self, keys: TaskKeys, package: usize) -> Arc<TaskConfig> {
        Arc::new(keys.settle(&shared_files(self.workspace, package), self.strict_env))
    }

    /// The commands of a task, calls not yet resolved.
    fn items(&self, package: usize, definition: Definition<'_>) -> Vec<Item> {
        let package = &self.workspace.packages[package];
        let items = |script: &str, parts: Vec<Part>| -> Vec<Item> {
            let script: Arc<str> = script.into();
            let item = |part| Item {
                script: script.clone(),
                part,
                calls: None,
                at_once: false,
                has_args: false,
                config: None,
            };
            parts.into_iter().map(item).collect()
        };
        match definition {
            Definition::Task(entry) => {
                let cwd = entry
                    .cwd
                    .as_ref()
                    .map_or(package.dir.clone(), |cwd| join_lexically(&package.dir, Path::new(cwd)));
                let commands = entry.command.as_deref().unwrap_or_default();
                items(&entry.name, command::split_list(commands, &cwd))
            }
            Definition::Script(script) => {
                let around = |prefix: &str| {
                    let name = format!("{prefix}{}", script.name);
                    package.scripts.iter().filter(|_| self.pre_post).find(|script| script.name == name)
                };
                let scripts = [around("pre"), Some(script), around("post")];
                let of = |script: &crate::workspace::Script| match script.command.trim() {
                    "" => Vec::new(),
                    command => items(&script.name, command::split(command, &package.dir)),
                };
                scripts.into_iter().flatten().flat_map(of).collect()
            }
        }
    }

    fn expand_all(&mut self) {
        while let Some(node) = self.open.pop() {
            if !self.request.ignore_depends_on {
                self.depends_on(node);
            }
            self.resolve_calls(node);
        }
    }

    fn depends_on(&mut self, node: usize) {
        let (workspace, package) = (self.workspace, self.nodes[node].package);
        let task = self.nodes[node].task.clone();
        // What the root says of a script holds for many packages, and not each has all tasks.
        let (file, entry, for_many) = match workspace.packages[package].definition(&task) {
            Some(Definition::Task(entry)) => {
                (workspace.packages[package].config.as_ref(), Some(entry), false)
            }
            _ => {
                let [own, root] = script_entries(workspace, package, &task);
                let own = own.filter(|(_, entry)| entry.depends_on.is_some());
                let chosen = own.or(root);
                (
                    chosen.map(|(file, _)| file),
                    chosen.map(|(_, entry)| entry),
                    own.is_none() && !workspace.lone,
                )
            }
        };
        let (Some(file), Some(entry)) = (file, entry) else { return };
        for member in entry.depends_on.as_deref().unwrap_or_default() {
            match self.members(package, member) {
                Ok(found) => {
                    if found.is_empty() && self.is_nowhere(package, member, for_many) {
                        let problem = self.depends_on_nothing(file, package, member, for_many);
                        if !self.problems.0.contains(&problem) {
                            self.problems.0.push(problem);
                        }
                    }
                    for (package, task) in found {
                        let other = self.node(package, &task);
                        if other != node || !wildcard::is_pattern(&member.task) {
                            self.nodes[node].waits_for.push(other);
                        }
                    }
                }
                Err(problem) => {
                    let place = file.source.place(member.at.clone());
                    self.problems.0.push(Problem { place: Some(place), ..problem });
                }
            }
        }
    }

    /// The tasks that one member of `dependsOn` means.
    fn members(&self, package: usize, member: &DependsOn) -> Result<Vec<(usize, String)>, Problem> {
        let packages: Vec<usize> = match &member.of {
            DependsOnPackage::Own => vec![package],
            DependsOnPackage::Named(name) if wildcard::is_pattern(name) => (0..self.workspace.packages.len())
                .filter(|at| {
                    self.workspace.packages[*at]
                        .name
                        .as_deref()
                        .is_some_and(|own| wildcard::matches(name, own))
                })
                .collect(),
            DependsOnPackage::Named(name) => {
                let found = self.workspace.package_named(name);
                vec![found.ok_or_else(|| no_package(self.workspace, name, &member.task))?]
            }
            DependsOnPackage::Dependencies(kinds) => {
                return Ok(self.upstream(package, kinds, |at| self.matching(at, &member.task)));
            }
        };
        Ok(packages.into_iter().flat_map(|at| self.matching(at, &member.task)).collect())
    }

    /// Tasks of a package by name, perhaps with wildcards.
    fn matching(&self, package: usize, task: &str) -> Vec<(usize, String)> {
        let of = &self.workspace.packages[package];
        if !wildcard::is_pattern(task) {
            return of.definition(task).map(|_| (package, task.to_string())).into_iter().collect();
        }
        let named = of.definitions().filter(|definition| wildcard::matches(task, definition.name()));
        named.map(|definition| (package, definition.name().to_string())).collect()
    }

    /// The tasks of the nearest packages that this one depends on: one that has none is looked
    /// through, so that order holds across it.
    fn upstream<T: Ord>(
        &self,
        package: usize,
        kinds: &[DependencyKind],
        tasks_of: impl Fn(usize) -> Vec<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        let mut seen = FxHashSet::default();
        let mut open: Vec<usize> = Vec::new();
        let direct = self.workspace.packages[package].edges.iter().filter(|edge| kinds.contains(&edge.kind));
        open.extend(direct.map(|edge| edge.to).filter(|to| seen.insert(*to)));
        while let Some(at) = open.pop() {
            // A package that depends on itself through others without the task waits for nobody.
            if at == package {
                continue;
            }
            let tasks = tasks_of(at);
            if tasks.is_empty() {
                open.extend(
                    self.workspace.packages[at]
                        .edges
                        .iter()
                        .map(|edge| edge.to)
                        .filter(|to| seen.insert(*to)),
                );
            }
            found.extend(tasks);
        }
        found.sort();
        found
    }

    /// Whether a member of `dependsOn` that gave nothing is a mistake.
    fn is_nowhere(&self, package: usize, member: &DependsOn, for_many: bool) -> bool {
        let anywhere =
            || (0..self.workspace.packages.len()).any(|at| !self.matching(at, &member.task).is_empty());
        match &member.of {
            DependsOnPackage::Own if !for_many => self.matching(package, &member.task).is_empty(),
            DependsOnPackage::Named(_) => true,
            DependsOnPackage::Own | DependsOnPackage::Dependencies(_) => !anywhere(),
        }
    }

    fn depends_on_nothing(
        &self,
        file: &ConfigFile,
        package: usize,
        member: &DependsOn,
        for_many: bool,
    ) -> Problem {
        let task = &member.task;
        let (message, packages): (String, Vec<usize>) = match &member.of {
            DependsOnPackage::Own if !for_many => (
                format!(
                    "`dependsOn` of nothing: {} has no task `{task}`",
                    self.workspace.packages[package].in_words()
                ),
                vec![package],
            ),
            DependsOnPackage::Named(name) => (
                format!("`dependsOn` of nothing: package `{name}` has no task `{task}`"),
                self.workspace.package_named(name).into_iter().collect(),
            ),
            DependsOnPackage::Own | DependsOnPackage::Dependencies(_) => (
                format!("`dependsOn` of nothing: no package has a task `{task}`"),
                (0..self.workspace.packages.len()).collect(),
            ),
        };
        let problem = file.source.problem(member.at.clone(), message);
        let known: Vec<&str> = packages
            .iter()
            .flat_map(|at| self.workspace.packages[*at].definitions())
            .map(Definition::name)
            .collect();
        match closest(task, known.iter().copied()) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help("remove it, or add the task"),
        }
    }

    /// Finds the tasks that commands of a node stand for.
    fn resolve_calls(&mut self, node: usize) {
        let own = (self.nodes[node].package, self.nodes[node].task.clone());
        let mut open = std::mem::take(&mut self.nodes[node].items);
        open.reverse();
        let mut open: Vec<(Item, Vec<(usize, String)>)> =
            open.into_iter().map(|item| (item, vec![own.clone()])).collect();
        let mut resolved = Vec::with_capacity(open.len());
        while let Some((item, within)) = open.pop() {
            let Some(call) = nested::call(&item.part.invocation) else {
                resolved.push(item);
                continue;
            };
            if !call.args.is_empty() {
                match self.commands_of(own.0, &item.part.cwd, &call, &within) {
                    None => {
                        let config = self.obeyed_by_call(own.0, &item.part.cwd, &call).or(item.config);
                        resolved.push(Item { config, ..item });
                    }
                    Some((script, items)) => {
                        let within = [within, vec![script]].concat();
                        open.extend(items.into_iter().rev().map(|item| (item, within.clone())));
                    }
                }
                continue;
            }
            match self.called(node, &item.part.cwd, &call) {
                None => resolved.push(item),
                Some(tasks) if call.parallel => {
                    let calls: Vec<usize> =
                        tasks.iter().map(|(package, task)| self.node(*package, task)).collect();
                    if matches!(&call.runner, Runner::Overhear(flags) if flags.says_something() && !flags.parallel)
                    {
                        self.order_by_packages(&calls);
                    }
                    resolved.push(Item { calls: Some(calls), at_once: call.starts_at_once(), ..item });
                }
                Some(tasks) => {
                    for (package, task) in &tasks {
                        let mut part = item.part.clone();
                        if let Run::Program { program, args } = &mut part.invocation.run
                            && tasks.len() > 1
                        {
                            part.text = format!("{program} {}", command::quote(task));
                            *args = vec![task.clone()];
                        }
                        resolved.push(Item {
                            calls: Some(vec![self.node(*package, task)]),
                            at_once: false,
                            script: item.script.clone(),
                            part,
                            has_args: item.has_args,
                            config: item.config.clone(),
                        });
                    }
                }
            }
        }
        self.nodes[node].items = resolved;
    }

    /// The commands that a call with arguments of its own stands for, with the script that they are from.
    /// They become commands of the caller, and obey what a person wrote down for the script: as others may call
    /// it or wait for it, it is another thing. `None` where it waits for others, or is within itself.
    fn commands_of(
        &self,
        caller: usize,
        cwd: &Path,
        call: &nested::Call,
        within: &[(usize, String)],
    ) -> Option<((usize, String), Vec<Item>)> {
        let script = self.called_scripts(caller, cwd, &call.tasks)?.pop()?;
        let (package, name) = &script;
        let entries = script_entries(self.workspace, *package, name);
        let waits = entries.iter().flatten().any(|(_, entry)| entry.depends_on.is_some());
        if waits || within.contains(&script) {
            return None;
        }
        let mut items = self.items(*package, self.workspace.packages[*package].definition(name)?);
        append_args(&mut items, name, &call.args);
        if entries.iter().any(Option::is_some) {
            let config = self.settle(self.script_keys(*package, name), *package);
            items.iter_mut().for_each(|item| item.config = Some(Arc::clone(&config)));
        }
        Some((script, items))
    }

    /// What a call obeys that stays a command, if a person wrote down something for the script.
    fn obeyed_by_call(&self, caller: usize, cwd: &Path, call: &nested::Call) -> Option<Arc<TaskConfig>> {
        let (package, name) = self.called_scripts(caller, cwd, &call.tasks)?.pop()?;
        let is_set = script_entries(self.workspace, package, &name).iter().any(Option::is_some);
        is_set.then(|| self.settle(self.script_keys(package, &name), package))
    }

    /// The tasks of a call; `None` if one of them is not plainly there, so that the command itself
    /// must say what is wrong. A selection of packages does not run the task again that it is in.
    fn called(&self, node: usize, cwd: &Path, call: &nested::Call) -> Option<Vec<(usize, String)>> {
        let flags = match &call.runner {
            Runner::Scripts => return self.called_scripts(self.nodes[node].package, cwd, &call.tasks),
            Runner::Overhear(flags) => flags,
        };
        let request = Request {
            tasks: call.tasks.iter().flat_map(|task| TaskSpec::parse_list(task)).collect(),
            recursive: flags.recursive,
            transitive: flags.transitive,
            workspace_root: flags.workspace_root,
            filters: flags.filters.clone(),
            parallel: flags.parallel,
            from_dir: cwd.to_path_buf(),
            ..Request::default()
        };
        // What git would have to tell is left to an overhear of its own.
        if !super::asked_of_git(&request).is_empty() {
            return None;
        }
        let says_nothing = |found: &Selected| found.warnings.is_empty() && found.notes.is_empty();
        let mut selected = select(self.workspace, &request).ok().filter(says_nothing)?;
        if flags.says_something() {
            let own = &self.nodes[node];
            selected.tasks.retain(|(package, task)| (*package, task) != (own.package, &own.task));
        }
        Some(selected.tasks)
    }

    /// Scripts that a package manager would run there. It hands on the PATH of the caller: programs that only that
    /// one has would not be found without it.
    fn called_scripts(&self, caller: usize, cwd: &Path, tasks: &[String]) -> Option<Vec<(usize, String)>> {
        let here = self.workspace.package_at(cwd)?;
        if !self.workspace.packages[here].dir.starts_with(&self.workspace.packages[caller].dir) {
            return None;
        }
        let find = |text: &String| {
            let script = self.workspace.packages[here].scripts.iter().find(|script| script.name == *text)?;
            Some((here, script.name.clone()))
        };
        tasks.iter().map(find).collect()
    }

    /// Tasks of the same name wait for each other in the order of their packages.
    fn order_by_packages(&mut self, nodes: &[usize]) {
        for node in nodes {
            let Node { package, task, .. } = &self.nodes[*node];
            let planned = |at: usize| self.by_task.get(&(at, task.clone())).copied().into_iter().collect();
            let others: Vec<usize> = self.upstream(*package, &DependencyKind::ALL, planned);
            self.nodes[*node].waits_for.extend(others);
        }
    }
}

//! Which tasks of which packages were asked for: `package#task`, `-r`, `-t`, `-w`, and `-F` with
//! pnpm's grammar. Order is `graph`'s.

use super::{Request, TaskSpec, command, nested};
use crate::path::join_lexically;
use crate::problem::{Problem, Problems, closest};
use crate::wildcard;
use crate::workspace::{Definition, Since, Workspace};
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

const NOTHING_AFFECTED: &str = "no package is affected: nothing changed in any since ";

/// What was selected.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// Package and name of each task, in the order asked; every one exists.
    pub tasks: Vec<(usize, String)>,
    /// Packages that depend on each other run in that order.
    pub ordered: bool,
    pub warnings: Vec<String>,
    /// What is left out because it is run otherwise.
    pub notes: Vec<String>,
}

/// Selects, or says what does not fit.
pub(super) fn select(workspace: &Workspace, request: &Request) -> Result<Selected, Problems> {
    contradictions(request)?;
    if request.tasks.is_empty() {
        return Err(Problem::new("no task named").help("`overhear list` shows the tasks").into());
    }
    let many =
        request.recursive || request.transitive || !request.filters.is_empty() || request.affected.is_some();
    let mut selected = Selected { ordered: many && !request.parallel, ..Selected::default() };
    let mut problems = Problems::default();
    let filtered = match request.filters.is_empty() {
        true => None,
        false => Some(filter(workspace, request, &mut selected.warnings)?),
    };
    if filtered.as_ref().is_some_and(BTreeSet::is_empty) && selected.warnings.is_empty() {
        let message = "the filters select no package: some take out what the others select";
        if request.fail_if_no_match {
            return Err(Problem::new(message).into());
        }
        selected.warnings.push(message.to_owned());
    }
    // `-w -F x`: the root beside what the filters select.
    let filtered = filtered.map(|mut filtered| {
        filtered.extend(request.workspace_root.then_some(0));
        filtered
    });
    let affected = affected(workspace, request, &mut selected.warnings);
    for spec in &request.tasks {
        match packages_of(workspace, request, spec, filtered.as_ref(), affected.as_ref()) {
            Ok(packages) => select_task(workspace, request, spec, &packages, &mut selected, &mut problems),
            Err(problem) => problems.0.push(problem),
        }
    }
    let mut seen = FxHashSet::default();
    selected.tasks.retain(|task| seen.insert(task.clone()));
    problems.or(selected)
}

pub(super) fn contradictions(request: &Request) -> Result<(), Problem> {
    let filters = !request.filters.is_empty();
    let named = request.tasks.iter().find(|spec| spec.package.is_some());
    let affected = request.affected.is_some();
    let pairs = [
        (affected && request.workspace_root && !filters, "--affected", "--workspace-root"),
        (request.recursive && request.transitive, "--recursive", "--transitive"),
        (request.recursive && filters, "--recursive", "--filter"),
        (request.transitive && filters, "--transitive", "--filter"),
    ];
    if let Some((_, one, other)) = pairs.into_iter().find(|(both, _, _)| *both) {
        return Err(
            Problem::new(format!("{one} and {other} contradict each other")).help("leave out one of them")
        );
    }
    let flags = [
        (request.recursive, "--recursive"),
        (filters, "--filter"),
        (request.workspace_root, "--workspace-root"),
        (affected && !request.transitive, "--affected"),
    ];
    match (named, flags.into_iter().find(|(given, _)| *given)) {
        (Some(TaskSpec { package: Some(package), task }), Some((_, flag))) => {
            let message = format!("`{package}#{task}` names its package, and {flag} selects packages");
            Err(Problem::new(message).help(format!("leave out {flag}, or write `{task}` alone")))
        }
        _ => Ok(()),
    }
}

/// The packages in which a task is looked for.
fn packages_of(
    workspace: &Workspace,
    request: &Request,
    spec: &TaskSpec,
    filtered: Option<&BTreeSet<usize>>,
    affected: Option<&BTreeSet<usize>>,
) -> Result<Vec<usize>, Problem> {
    let start = match &spec.package {
        Some(name) => workspace.package_named(name).ok_or_else(|| no_package(workspace, name, &spec.task))?,
        None if request.workspace_root => 0,
        None => workspace.package_around(&request.from_dir),
    };
    let mut packages: Vec<usize> = match filtered {
        Some(filtered) => filtered.iter().copied().collect(),
        None if request.transitive => dependencies(workspace, [start].into()).into_iter().collect(),
        None if request.recursive || affected.is_some() => (0..workspace.packages.len()).collect(),
        None => vec![start],
    };
    if let Some(affected) = affected {
        packages.retain(|at| affected.contains(at));
    }
    Ok(packages)
}

/// The packages of `--affected`; a word of warning where there are none.
fn affected(workspace: &Workspace, request: &Request, warnings: &mut Vec<String>) -> Option<BTreeSet<usize>> {
    let since = request.affected.as_ref()?;
    let changed = request.changed.get(since).cloned().unwrap_or_default();
    if changed.is_empty() {
        let since = match since {
            Since::MainBranch => {
                "this branch left the main one (on the main one: since its last commit)".to_owned()
            }
            Since::Named(name) => format!("`{name}`"),
        };
        warnings.push(format!("{NOTHING_AFFECTED}{since}"));
    }
    Some(dependents(workspace, changed))
}

/// The commits that filters name.
pub(super) fn references(filters: &[String]) -> Vec<String> {
    let parsed = filters.iter().flat_map(|filters| filters.split_whitespace()).filter_map(Filter::parse);
    parsed.filter_map(|filter| filter.since).collect()
}

/// Whether filters select packages that nobody named: by what changed, or by what depends on what.
fn finds_packages(filters: &[String]) -> bool {
    let mut parsed = filters.iter().flat_map(|filters| filters.split_whitespace()).filter_map(Filter::parse);
    parsed.any(|filter| filter.since.is_some() || filter.dependencies || filter.dependents)
}

pub(super) fn no_package(workspace: &Workspace, name: &str, task: &str) -> Problem {
    let problem = Problem::new(format!("no package `{name}` in this workspace"));
    match in_scopes(workspace, name).as_slice() {
        [one] => return problem.help(format!("did you mean `{one}#{task}`?")),
        [] => {}
        several => {
            let several = several.join(", ");
            return problem.help(format!("it could mean any of {several}: write the scope too"));
        }
    }
    match workspace.closest_package(name) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help("`overhear list` shows the packages and their tasks"),
    }
}

fn select_task(
    workspace: &Workspace,
    request: &Request,
    spec: &TaskSpec,
    packages: &[usize],
    selected: &mut Selected,
    problems: &mut Problems,
) {
    let having: Vec<usize> = packages
        .iter()
        .copied()
        .filter(|at| workspace.packages[*at].definition(&spec.task).is_some())
        .collect();
    if having.is_empty() {
        let exists = || workspace.packages.iter().any(|package| package.definition(&spec.task).is_some());
        // A filter that matches no package has been told already; what is affected, or what a filter finds by
        // changes or dependencies, need not have the task.
        match (request.affected.is_some() || finds_packages(&request.filters)) && exists() {
            true if selected.warnings.iter().any(|warning| warning.starts_with(NOTHING_AFFECTED)) => {}
            true if packages.is_empty() && request.affected.is_none() => {}
            true => {
                let affected = if request.affected.is_some() {
                    "affected package that is selected"
                } else {
                    "selected package"
                };
                let warning = format!("nothing to run: no {affected} has a task `{}`", spec.task);
                selected.warnings.push(warning);
            }
            false if packages.is_empty() => {}
            false => problems.0.push(no_task(workspace, request, spec, packages)),
        }
        return;
    }
    for at in having {
        let label = workspace.task_label(at, &spec.task);
        if is_inside(workspace, request, at, &spec.task) {
            match packages.len() > 1 {
                true => selected.notes.push(format!("{label} runs this, and is left out of it")),
                false => problems.0.push(
                    Problem::new(format!("{label} runs itself, without end"))
                        .help("give what it is to run another name"),
                ),
            }
            continue;
        }
        let is_among = packages.len() > 1 || request.affected.is_some();
        if at == 0 && is_among && !names_root(workspace, request) && runs_many(workspace, request, &spec.task)
        {
            selected.notes.push(format!("{label} runs tasks in many packages itself and is left out"));
            continue;
        }
        selected.tasks.push((at, spec.task.clone()));
    }
}

/// Whether this request comes from a run of that very task.
fn is_inside(workspace: &Workspace, request: &Request, at: usize, task: &str) -> bool {
    let manifest = || workspace.packages[at].dir.join("package.json");
    request.inside.as_ref().is_some_and(|inside| inside.script == task && inside.manifest == manifest())
}

/// Whether the root was asked for by name, not as one of many.
fn names_root(workspace: &Workspace, request: &Request) -> bool {
    let filters = request.filters.iter().flat_map(|filters| filters.split_whitespace());
    let name = workspace.packages[0].name.as_deref();
    request.workspace_root || filters.into_iter().any(|filter| Some(filter) == name || filter == ".")
}

/// Whether the task at the root is itself a run in many packages, with what it is handed.
fn runs_many(workspace: &Workspace, request: &Request, task: &str) -> bool {
    let root = &workspace.packages[0];
    let commands: &[String] = match root.definition(task) {
        Some(Definition::Script(script)) => std::slice::from_ref(&script.command),
        Some(Definition::Task(task)) => task.command.as_deref().unwrap_or_default(),
        None => &[],
    };
    let mut parts: Vec<_> = commands.iter().flat_map(|text| command::split(text, &root.dir)).collect();
    if let Some(last) = parts.last_mut() {
        command::append(last, &request.args);
    }
    parts.iter().any(|part| nested::runs_many_packages(&part.invocation))
}

fn no_task(workspace: &Workspace, request: &Request, spec: &TaskSpec, packages: &[usize]) -> Problem {
    let task = &spec.task;
    let message = match packages {
        [one] if workspace.lone && workspace.packages[*one].name.is_none() => {
            format!("no task `{task}` in package.json")
        }
        [one] => format!("no task `{task}` in {}", workspace.packages[*one].in_words()),
        _ => format!("none of the {} selected packages has a task `{task}`", packages.len()),
    };
    let problem = Problem::new(message);
    if let Some(label) = after_a_colon(workspace, task) {
        return problem.help(format!("a package and its task are written with `#`: `{label}`"));
    }
    let known = packages.iter().flat_map(|at| workspace.packages[*at].definitions()).collect::<Vec<_>>();
    if let Some(close) = closest(task, known.iter().map(|definition| definition.name())) {
        return problem.help(format!("did you mean `{close}`?"));
    }
    let having = |task: &str| -> Vec<usize> {
        (0..workspace.packages.len())
            .filter(|at| workspace.packages[*at].definition(task).is_some())
            .collect()
    };
    let elsewhere = having(task);
    let of_all = || workspace.packages.iter().flat_map(|package| package.definitions());
    if elsewhere.is_empty()
        && let Some(close) = closest(task, of_all().map(|definition| definition.name()))
    {
        return problem.help(match having(close).as_slice() {
            [one] => format!("did you mean `{}`?", workspace.task_label(*one, close)),
            several => {
                format!("did you mean `{close}`, which {} packages have: run it with -r", several.len())
            }
        });
    }
    match elsewhere.as_slice() {
        [] if workspace.packages.len() == 1 && !workspace.lone => problem
            .help("no folder with a package.json matches the globs of the workspace: there is the root only"),
        [] if known.is_empty() => {
            problem.help("there are no scripts in package.json, and no tasks in overhear.json")
        }
        [] if packages.iter().any(|at| workspace.packages[*at].has_shadowed_config()) => {
            problem.help("vite-task.json is not read where there is an overhear.json: move its tasks there")
        }
        [] => problem.help("`overhear list` shows the tasks"),
        [one] => problem.help(format!(
            "`{}` exists; or run it wherever it exists with -r",
            workspace.task_label(*one, task)
        )),
        many if !request.recursive => {
            problem.help(format!("{} other packages have it; run it there with -r", many.len()))
        }
        _ => problem.help("`overhear list` shows the tasks"),
    }
}

/// What `package:task` means, as other runners write it.
fn after_a_colon(workspace: &Workspace, written: &str) -> Option<String> {
    let (package, task) = written.rsplit_once(':')?;
    let in_a_scope = || match in_scopes(workspace, package).as_slice() {
        [one] => workspace.package_named(one),
        _ => None,
    };
    let at = workspace.package_named(package).or_else(in_a_scope)?;
    workspace.packages[at].definition(task).map(|_| workspace.task_label(at, task))
}

/// These packages and all that they depend on.
pub(super) fn dependencies(workspace: &Workspace, start: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut reached = start.clone();
    let mut open: Vec<usize> = start.into_iter().collect();
    while let Some(at) = open.pop() {
        open.extend(workspace.packages[at].edges.iter().map(|edge| edge.to).filter(|to| reached.insert(*to)));
    }
    reached
}

/// These packages and all that depend on them.
fn dependents(workspace: &Workspace, start: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); workspace.packages.len()];
    for (at, package) in workspace.packages.iter().enumerate() {
        package.edges.iter().for_each(|edge| users[edge.to].push(at));
    }
    let mut reached = start.clone();
    let mut open: Vec<usize> = start.into_iter().collect();
    while let Some(at) = open.pop() {
        open.extend(users[at].iter().copied().filter(|to| reached.insert(*to)));
    }
    reached
}

/// One filter, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filter {
    exclude: bool,
    exclude_self: bool,
    dependencies: bool,
    dependents: bool,
    name: Option<String>,
    dir: Option<String>,
    since: Option<String>,
}

impl Filter {
    fn parse(written: &str) -> Option<Filter> {
        let mut filter = Filter::default();
        let mut rest = written;
        if let Some(after) = rest.strip_prefix('!') {
            (filter.exclude, rest) = (true, after);
        }
        if let Some(before) = rest.strip_suffix("...") {
            (filter.dependencies, rest) = (true, before);
            if let Some(before) = rest.strip_suffix('^') {
                (filter.exclude_self, rest) = (true, before);
            }
        }
        if let Some(after) = rest.strip_prefix("...") {
            (filter.dependents, rest) = (true, after);
            if let Some(after) = rest.strip_prefix('^') {
                (filter.exclude_self, rest) = (true, after);
            }
        }
        if let Some((before, reference)) = rest.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            (filter.since, rest) = (Some(reference.to_string()), before);
        }
        if let Some((before, dir)) = rest.strip_suffix('}').and_then(|rest| rest.split_once('{')) {
            (filter.dir, rest) = (Some(dir.to_string()), before);
        }
        if matches!(rest, "." | "..")
            || rest.starts_with("./")
            || rest.starts_with("../")
            || rest.starts_with('/')
        {
            let first = filter.dir.replace(rest.to_string());
            if first.is_some() {
                return None;
            }
        } else if !rest.is_empty() {
            filter.name = Some(rest.to_string());
        }
        let says_something = filter.name.is_some() || filter.dir.is_some() || filter.since.is_some();
        (says_something && !rest.contains(['{', '}', '[', ']'])).then_some(filter)
    }
}

fn filter(
    workspace: &Workspace,
    request: &Request,
    warnings: &mut Vec<String>,
) -> Result<BTreeSet<usize>, Problems> {
    let mut problems = Problems::default();
    let (mut included, mut excluded) = (BTreeSet::new(), BTreeSet::new());
    let mut only_excludes = true;
    if request.filters.iter().all(|filters| filters.trim().is_empty()) {
        let problem = Problem::new("the filter is empty");
        return Err(problem.help("name packages with it, or leave --filter out").into());
    }
    for written in request.filters.iter().flat_map(|filters| filters.split_whitespace()) {
        let Some(filter) = Filter::parse(written) else {
            let problem = Problem::new(format!("cannot read the filter `{written}`"));
            problems.0.push(problem.help(
                "write a name, ./folder, {folder}, [commit], name..., ...name, name^..., or one of these after !",
            ));
            continue;
        };
        let matched = apply(workspace, request, &filter);
        if matched.is_empty() && filter.exclude {
            // What is not there is excluded.
        } else if matched.is_empty() && request.fail_if_no_match {
            problems.0.push(unmatched(workspace, request, written, &filter));
        } else if matched.is_empty() {
            let problem = unmatched(workspace, request, written, &filter);
            warnings.push(
                problem.help.map_or(problem.message.clone(), |help| format!("{}: {help}", problem.message)),
            );
        }
        only_excludes &= filter.exclude;
        if filter.exclude { &mut excluded } else { &mut included }.extend(matched);
    }
    if only_excludes {
        included = below_root(workspace).collect();
    }
    problems.or(included.difference(&excluded).copied().collect())
}

fn unmatched(workspace: &Workspace, request: &Request, written: &str, filter: &Filter) -> Problem {
    let problem = Problem::new(format!("the filter `{written}` matches no package"));
    let scoped: Vec<&str> = filter.name.iter().flat_map(|name| in_scopes(workspace, name)).collect();
    if scoped.len() > 1 {
        return problem.help(format!("it could mean any of {}: write the scope too", scoped.join(", ")));
    }
    let name = filter.name.as_deref().unwrap_or_default();
    if !name.is_empty() && workspace.package_at(&workspace.root.join(name)).is_some() {
        return problem.help(format!("did you mean the folder `./{name}`?"));
    }
    // Without the commit it matches: nothing is wrong with it.
    let without = Filter { since: None, ..filter.clone() };
    if let Some(since) =
        filter.since.as_ref().filter(|_| !candidates(workspace, request, &without).is_empty())
    {
        return nothing_changed(written, since, filter);
    }
    match workspace.closest_package(name) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help("`overhear list` shows the packages"),
    }
}

/// Said where all that a filter names is as it was.
fn nothing_changed(written: &str, since: &str, filter: &Filter) -> Problem {
    let when = match since.contains("..") {
        true => format!("in `{since}`"),
        false => format!("since `{since}`"),
    };
    Problem::new(match (&filter.name, &filter.dir) {
        (None, None) => format!("no package changed {when}"),
        _ => format!("no package of the filter `{written}` changed {when}"),
    })
}

/// The packages that a filter names, before those that they depend on or that use them are added.
fn candidates(workspace: &Workspace, request: &Request, filter: &Filter) -> BTreeSet<usize> {
    let mut matched: BTreeSet<usize> = match &filter.name {
        Some(name) => by_name(workspace, name),
        None => (0..workspace.packages.len()).collect(),
    };
    if let Some(dir) = &filter.dir {
        let there = by_dir(workspace, &request.from_dir, dir);
        matched.retain(|at| there.contains(at));
    }
    if let Some(since) = &filter.since {
        let changed = request.changed.get(&Since::Named(since.clone()));
        matched.retain(|at| changed.is_some_and(|changed| changed.contains(at)));
    }
    matched
}

fn apply(workspace: &Workspace, request: &Request, filter: &Filter) -> BTreeSet<usize> {
    let matched = candidates(workspace, request, filter);
    let mut reached = BTreeSet::new();
    if filter.dependencies {
        reached.extend(dependencies(workspace, matched.clone()));
    }
    if filter.dependents {
        let users = dependents(workspace, matched.clone());
        // As with pnpm: to build what uses it, what else that uses is needed.
        reached.extend(if filter.dependencies { dependencies(workspace, users) } else { users });
    }
    if filter.exclude_self {
        reached.retain(|at| !matched.contains(at));
        return reached;
    }
    reached.extend(matched);
    reached
}

/// What is meant where nothing is named: as with pnpm all packages but the root, if there are others.
fn below_root(workspace: &Workspace) -> Range<usize> {
    let count = workspace.packages.len();
    if count > 1 { 1..count } else { 0..count }
}

/// By name with wildcards; a plain name that nobody has stands for the one package of that name
/// in a scope.
fn by_name(workspace: &Workspace, name: &str) -> BTreeSet<usize> {
    let having = |stands_for: &dyn Fn(&str) -> bool| -> BTreeSet<usize> {
        let named = |at: &usize| workspace.packages[*at].name.as_deref().is_some_and(stands_for);
        (0..workspace.packages.len()).filter(named).collect()
    };
    let mut matched = having(&|own| wildcard::matches(name, own));
    if wildcard::is_pattern(name) {
        matched.retain(|at| below_root(workspace).contains(at));
    }
    if !matched.is_empty() || name.contains('/') || wildcard::is_pattern(name) {
        return matched;
    }
    match in_scopes(workspace, name).as_slice() {
        [one] => having(&|own| own == *one),
        _ => BTreeSet::new(),
    }
}

/// The packages of this name in some scope.
fn in_scopes<'a>(workspace: &'a Workspace, name: &str) -> Vec<&'a str> {
    let is_it =
        |own: &&str| own.starts_with('@') && own.split_once('/').is_some_and(|(_, bare)| bare == name);
    workspace.packages.iter().filter_map(|package| package.name.as_deref()).filter(is_it).collect()
}

/// By folder, perhaps with wildcards; a folder that is no package stands for those below it.
fn by_dir(workspace: &Workspace, from_dir: &Path, dir: &str) -> BTreeSet<usize> {
    let all = 0..workspace.packages.len();
    if dir.contains(['*', '?', '[', '{']) {
        let path = join_lexically(from_dir, Path::new(dir));
        let Ok(relative) = path.strip_prefix(&workspace.root) else { return BTreeSet::new() };
        let glob = globset::GlobBuilder::new(&relative.to_string_lossy()).literal_separator(true).build();
        let Ok(glob) = glob else { return BTreeSet::new() };
        let matcher = glob.compile_matcher();
        // As with pnpm, `dir/**` is the folder and all below it.
        let folder = relative.ends_with("**").then(|| relative.parent()).flatten();
        let is_meant = |at: &usize| {
            let own = &workspace.packages[*at].relative_dir;
            matcher.is_match(own) || folder == Some(own.as_path())
        };
        return all.filter(is_meant).collect();
    }
    let path = join_lexically(from_dir, Path::new(dir));
    match workspace.package_at(&path) {
        Some(at) => [at].into(),
        None => all.filter(|at| workspace.packages[*at].dir.starts_with(&path)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_taken_apart_as_pnpm_has_it() {
        let base = Filter::default;
        let name = |name: &str| Some(name.to_string());
        let cases = [
            ("web", Filter { name: name("web"), ..base() }),
            ("!web", Filter { name: name("web"), exclude: true, ..base() }),
            ("web...", Filter { name: name("web"), dependencies: true, ..base() }),
            ("...web", Filter { name: name("web"), dependents: true, ..base() }),
            ("...web...", Filter { name: name("web"), dependents: true, dependencies: true, ..base() }),
            ("web^...", Filter { name: name("web"), dependencies: true, exclude_self: true, ..base() }),
            ("...^web", Filter { name: name("web"), dependents: true, exclude_self: true, ..base() }),
            ("./apps/web", Filter { dir: name("./apps/web"), ..base() }),
            (".", Filter { dir: name("."), ..base() }),
            ("{apps/*}...", Filter { dir: name("apps/*"), dependencies: true, ..base() }),
            ("@s/*{apps}", Filter { name: name("@s/*"), dir: name("apps"), ..base() }),
            ("...[main]", Filter { since: name("main"), dependents: true, ..base() }),
            (
                "web{apps}[main]",
                Filter { name: name("web"), dir: name("apps"), since: name("main"), ..base() },
            ),
        ];
        for (written, expected) in cases {
            assert_eq!(Filter::parse(written), Some(expected), "{written}");
        }
        for written in ["", "!", "...", "a{b", "./a{b}", "a]b"] {
            assert_eq!(Filter::parse(written), None, "{written}");
        }
    }
}

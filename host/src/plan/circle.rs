//! The error for tasks that wait for each other in a circle: it names the way, and shows one place
//! where it can be cut.

use super::graph::{Node, script_entries};
use crate::config::{ConfigFile, DependsOn, DependsOnPackage, TaskEntry};
use crate::problem::{Place, Problem};
use crate::wildcard;
use crate::workspace::{Definition, Workspace};
use rustc_hash::FxHashSet;

/// The error for nodes each of which waits for the next, and the last for the first. `parallel`: packages were
/// asked for in no order.
pub(super) fn problem(
    workspace: &Workspace,
    nodes: &[Node],
    mut path: Vec<usize>,
    parallel: bool,
) -> Problem {
    path.dedup();
    if path.len() > 1 && path.first() == path.last() {
        path.pop();
    }
    // Always told from the same task, wherever the search came upon it.
    let first = path.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
    path.rotate_left(first);
    path.push(path[0]);
    let label = |node: &usize| workspace.task_label(nodes[*node].package, &nodes[*node].task);
    let names: Vec<String> = path.iter().map(label).collect();
    let help = help(workspace, nodes, &path, parallel);
    let message = format!("tasks wait for each other in a circle: {}", names.join(" → "));
    let pairs = path.windows(2).map(|pair| (&nodes[pair[0]], &nodes[pair[1]]));
    let place = pairs.clone().find_map(|(node, next)| asked_for(workspace, node, next));
    let place = place.or_else(|| pairs.clone().find_map(|(node, _)| defined(workspace, node)));
    Problem { place, ..Problem::new(message).help(help) }
}

/// How the circle can be cut.
fn help(workspace: &Workspace, nodes: &[Node], path: &[usize], parallel: bool) -> String {
    let packages: FxHashSet<usize> = path.iter().map(|node| nodes[*node].package).collect();
    let tasks: FxHashSet<&str> = path.iter().map(|node| nodes[*node].task.as_str()).collect();
    let first = &nodes[path[0]];
    let calls_itself = || first.items.iter().any(|item| item.calls.iter().flatten().eq([&path[0]]));
    let is_elsewhere = || workspace.packages[1..].iter().any(|other| other.definition(&first.task).is_some());
    match (packages.len(), tasks.len()) {
        (2.., 1) if parallel => "these packages depend on each other: remove one of the dependencies from \
            package.json, or run without what `dependsOn` names as well (--parallel --ignore-depends-on)"
            .to_owned(),
        (2.., 1) => "these packages depend on each other: remove one of the dependencies from package.json, \
            or run without order (--parallel)"
            .to_owned(),
        (1, 1) if first.package == 0 && calls_itself() && is_elsewhere() => {
            format!("to run it in all packages, write `overhear run -r {}` there", first.task)
        }
        _ => "each waits for the next: take one out of `dependsOn`, or out of the command that calls it"
            .to_owned(),
    }
}

/// Where it is written that one task waits for another: in `dependsOn`, or because its package depends on
/// the other's.
fn asked_for(workspace: &Workspace, node: &Node, next: &Node) -> Option<Place> {
    let names_next = |member: &&DependsOn| {
        let of_its_package = match &member.of {
            DependsOnPackage::Own => node.package == next.package,
            DependsOnPackage::Named(name) => {
                let next_name = workspace.packages[next.package].name.as_deref();
                next_name.is_some_and(|next_name| wildcard::matches(name, next_name))
            }
            DependsOnPackage::Dependencies(_) => false,
        };
        of_its_package && wildcard::matches(&member.task, &next.task)
    };
    let in_config = entries(workspace, node).into_iter().find_map(|(file, entry)| {
        let member = entry.depends_on.as_deref()?.iter().find(names_next)?;
        Some(file.source.place(member.at.clone()))
    });
    in_config.or_else(|| workspace.place_of_edge(node.package, next.package))
}

/// What config says of a task.
fn entries<'a>(workspace: &'a Workspace, node: &Node) -> Vec<(&'a ConfigFile, &'a TaskEntry)> {
    let package = &workspace.packages[node.package];
    match (package.definition(&node.task), &package.config) {
        (Some(Definition::Task(entry)), Some(file)) => vec![(file, entry)],
        _ => script_entries(workspace, node.package, &node.task).into_iter().flatten().collect(),
    }
}

fn defined(workspace: &Workspace, node: &Node) -> Option<Place> {
    workspace.place_of(node.package, workspace.packages[node.package].definition(&node.task)?)
}

//! From tasks to steps in order: one graph of points (the begin and the end of each task, and each
//! command), in which calls stand for the tasks that they run. It is sorted; a cycle is an error
//! that names its path.

use super::graph::{Item, Node, package_ref};
use super::{PackageRef, Step, circle, nested};
use crate::config::TaskConfig;
use crate::event::StepId;
use crate::problem::Problems;
use crate::workspace::Workspace;
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;
use std::sync::Arc;

/// The steps of these tasks, each after all that it waits for.
pub(super) fn steps(workspace: &Workspace, nodes: &[Node], parallel: bool) -> Result<Vec<Step>, Problems> {
    let mut points = Points::of(nodes);
    let calls = points.connect_calls(nodes);
    let order = points.sort().map_err(|circle| circle::problem(workspace, nodes, circle, parallel))?;
    let is_run = points.is_run(nodes, &calls);
    Ok(points.steps(workspace, nodes, &order, &|point, node| calls.contains(&point) || !is_run[node]))
}

/// A point in the course of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Begin(usize),
    /// Node and item.
    Item(usize, usize),
    End(usize),
}

/// Who calls a task.
#[derive(Clone, Copy)]
struct Caller {
    node: usize,
    /// Its own, before the call.
    has_commands_before: bool,
}

/// All points, and which others each waits for.
struct Points {
    points: Vec<Point>,
    waits_for: Vec<Vec<usize>>,
    /// Position of the begin of each node; its items and its end follow.
    begins: Vec<usize>,
}

impl Points {
    /// The points of all nodes, each waiting for the one before; calls are not connected yet.
    fn of(nodes: &[Node]) -> Points {
        let mut points =
            Points { points: Vec::new(), waits_for: Vec::new(), begins: Vec::with_capacity(nodes.len()) };
        for (at, node) in nodes.iter().enumerate() {
            points.begins.push(points.points.len());
            points.push(Point::Begin(at), Vec::new());
            for item in 0..node.items.len() {
                let before = points.points.len() - 1;
                points.push(Point::Item(at, item), vec![before]);
            }
            let before = points.points.len() - 1;
            points.push(Point::End(at), vec![before]);
        }
        for (at, node) in nodes.iter().enumerate() {
            let ends: Vec<usize> = node.waits_for.iter().map(|other| points.end(nodes, *other)).collect();
            points.waits_for[points.begins[at]].extend(ends);
        }
        points
    }

    fn push(&mut self, point: Point, waits_for: Vec<usize>) {
        self.points.push(point);
        self.waits_for.push(waits_for);
    }

    fn end(&self, nodes: &[Node], node: usize) -> usize {
        self.begins[node] + nodes[node].items.len() + 1
    }

    /// Lets calls stand for their commands: the point of the call waits for the tasks, and those,
    /// with all that they wait for, come after what was before the call. Where that would not mean what the
    /// calls mean one after the other, the command stays a command. Returns the points that stay calls.
    fn connect_calls<'a>(&mut self, nodes: &'a [Node]) -> FxHashSet<usize> {
        let mut calls = FxHashSet::default();
        // Nodes that a call brought with it, and who called first.
        let mut bound: FxHashMap<usize, Caller> = FxHashMap::default();
        for at in inner_calls_first(nodes) {
            let node = &nodes[at];
            let with_calls = |(item, of): (usize, &'a Item)| Some((item, of.calls.as_deref()?));
            for (item, called) in node.items.iter().enumerate().filter_map(with_calls) {
                let point = self.begins[at] + 1 + item;
                if called.contains(&at) || called_by(nodes, called).contains(&at) {
                    // A call of itself never ends when run directly; it is left in, as a cycle.
                    let ends: Vec<usize> = called.iter().map(|node| self.end(nodes, *node)).collect();
                    self.waits_for[point].extend(ends);
                    calls.insert(point);
                    continue;
                }
                let stays = self.must_be_made_again(nodes, point - 1, called, &calls)
                    || self.is_bound_elsewhere(nodes, at, point - 1, called, &mut bound)
                    || !self.connect_call(nodes, at, point, called);
                if stays {
                    self.wait_for_what_it_needs(nodes, point, called);
                } else {
                    calls.insert(point);
                }
            }
        }
        calls
    }

    /// Puts called tasks in the place of the command at `point` of node `at`; not where that closes a circle.
    fn connect_call(&mut self, nodes: &[Node], at: usize, point: usize, called: &[usize]) -> bool {
        let before = point - 1;
        let begin_is_free = self.is_free(before);
        let brought = if begin_is_free { Vec::new() } else { closure(nodes, called, at) };
        let mut after_what_was_before = true;
        let mut earlier: Vec<(usize, Vec<usize>)> = vec![(point, self.waits_for[point].clone())];
        for reached in brought {
            // What the commands before wait for cannot wait for them.
            if self.reaches(before, self.end(nodes, reached)) {
                after_what_was_before &= !called.contains(&reached);
            } else {
                let begin = self.begins[reached];
                earlier.push((begin, self.waits_for[begin].clone()));
                self.waits_for[begin].push(before);
            }
        }
        let ends: Vec<usize> = called.iter().map(|node| self.end(nodes, *node)).collect();
        // A begin that waits for nobody yet may be told to by a later call.
        if after_what_was_before && !begin_is_free && !ends.is_empty() {
            self.waits_for[point] = ends;
        } else {
            self.waits_for[point].extend(ends);
        }
        let closes_a_circle = earlier
            .iter()
            .any(|(point, _)| self.waits_for[*point].iter().any(|other| self.reaches(*other, *point)));
        if closes_a_circle {
            earlier.into_iter().rev().for_each(|(point, waits_for)| self.waits_for[point] = waits_for);
        }
        !closes_a_circle
    }

    /// Whether a point is the begin of a task that waits for nobody.
    fn is_free(&self, point: usize) -> bool {
        matches!(self.points[point], Point::Begin(_)) && self.waits_for[point].is_empty()
    }

    /// Whether a task that the call would run has run before, so that it is to run again. What only `dependsOn`
    /// or the order of packages asked for just before need not; nor need what has run just before as a part of
    /// another call.
    fn must_be_made_again(
        &self,
        nodes: &[Node],
        before: usize,
        called: &[usize],
        calls: &FxHashSet<usize>,
    ) -> bool {
        if self.is_free(before) {
            return false;
        }
        let is_first = matches!(self.points[before], Point::Begin(_));
        let behind = self.behind(before);
        let mut seen = FxHashSet::default();
        let mut open: Vec<(usize, bool)> = called.iter().map(|node| (*node, true)).collect();
        while let Some((node, is_called_here)) = open.pop() {
            let end = self.end(nodes, node);
            if !behind.contains(&end) {
                let inner = nodes[node].items.iter().flat_map(|item| &item.calls).flatten();
                open.extend(inner.filter(|inner| seen.insert(**inner)).map(|inner| (*inner, false)));
                continue;
            }
            let is_command = |point: usize| match self.points[point] {
                Point::Item(of, _) => of != node && !calls.contains(&point),
                _ => false,
            };
            let is_undone = || behind.iter().any(|point| is_command(*point) && self.reaches(*point, end));
            if (is_called_here && !is_first) || is_undone() {
                return true;
            }
        }
        false
    }

    /// Whether a task that the call brings with it is brought by another caller too, and would come after commands
    /// of one that the other has nothing to do with. A call of many packages runs each of its tasks once.
    fn is_bound_elsewhere(
        &self,
        nodes: &[Node],
        at: usize,
        before: usize,
        called: &[usize],
        bound: &mut FxHashMap<usize, Caller>,
    ) -> bool {
        let own = Caller { node: at, has_commands_before: matches!(self.points[before], Point::Item(..)) };
        let brought = called_and_by(nodes, called);
        // Who is brought along itself calls what it calls in its place.
        let is_stranger = |other: &&Caller| other.node != at && !brought.contains(&other.node);
        let is_elsewhere = |node: &usize| {
            let other = bound.get(node).filter(is_stranger);
            other.is_some_and(|other| other.has_commands_before || own.has_commands_before)
                && !self.reaches(before, self.end(nodes, *node))
        };
        if called.len() == 1 && brought.iter().any(is_elsewhere) {
            return true;
        }
        for node in &brought {
            let caller = bound.entry(*node).or_insert(own);
            if brought.contains(&caller.node) {
                let has_commands_before = caller.has_commands_before || own.has_commands_before;
                *caller = Caller { node: at, has_commands_before };
            }
        }
        false
    }

    /// A call that stays a command runs its tasks by itself, but not what these wait for.
    fn wait_for_what_it_needs(&mut self, nodes: &[Node], point: usize, called: &[usize]) {
        for needed in needed(nodes, called) {
            let end = self.end(nodes, needed);
            if !self.reaches(end, point) {
                self.waits_for[point].push(end);
            }
        }
    }

    /// A point and all that it waits for.
    fn behind(&self, from: usize) -> FxHashSet<usize> {
        let mut seen: FxHashSet<usize> = [from].into_iter().collect();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            open.extend(self.waits_for[at].iter().copied().filter(|next| seen.insert(*next)));
        }
        seen
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = FxHashSet::default();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            open.extend(self.waits_for[at].iter().copied().filter(|next| seen.insert(*next)));
        }
        false
    }

    /// The points in an order in which each comes after all that it waits for.
    ///
    /// # Errors
    /// The nodes that wait for each other in a circle.
    fn sort(&self) -> Result<Vec<usize>, Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; self.points.len()];
        let mut order = Vec::with_capacity(self.points.len());
        for start in 0..self.points.len() {
            if states[start] != State::New {
                continue;
            }
            states[start] = State::Open;
            let mut way = vec![(start, 0)];
            while let Some((at, next)) = way.last_mut() {
                let at = *at;
                let Some(other) = self.waits_for[at].get(*next).copied() else {
                    states[at] = State::Done;
                    order.push(at);
                    way.pop();
                    continue;
                };
                *next += 1;
                match states[other] {
                    State::Done => {}
                    State::New => {
                        states[other] = State::Open;
                        way.push((other, 0));
                    }
                    State::Open => {
                        let from = way.iter().position(|(at, _)| *at == other).unwrap_or(0);
                        let points: Vec<usize> = way[from..].iter().map(|(at, _)| *at).collect();
                        return Err(self.nodes_of(&points));
                    }
                }
            }
        }
        Ok(order)
    }

    fn nodes_of(&self, points: &[usize]) -> Vec<usize> {
        let node_of = |point: &usize| match self.points[*point] {
            Point::Begin(node) | Point::End(node) | Point::Item(node, _) => node,
        };
        points.iter().map(node_of).collect()
    }

    /// For each node whether it is run: asked for, waited for, or what a call stands for that is. A call that
    /// stays a command runs its tasks by itself.
    fn is_run(&self, nodes: &[Node], calls: &FxHashSet<usize>) -> Vec<bool> {
        let mut is_run = vec![false; nodes.len()];
        let mut open: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].requested).collect();
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut is_run[at], true) {
                continue;
            }
            open.extend(&nodes[at].waits_for);
            for (item, called) in
                nodes[at].items.iter().enumerate().filter_map(|(at, item)| Some((at, item.calls.as_deref()?)))
            {
                if calls.contains(&(self.begins[at] + 1 + item)) {
                    open.extend(called);
                } else {
                    open.extend(needed(nodes, called));
                }
            }
        }
        is_run
    }

    /// For each node the call that starts its tasks all at once and that it is part of, by its point: the outermost.
    fn at_once(&self, nodes: &[Node], is_passed: &dyn Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
        let mut beside = vec![None; nodes.len()];
        for at in inner_calls_first(nodes).into_iter().rev() {
            for (item, of) in nodes[at].items.iter().enumerate().filter(|(_, of)| of.at_once) {
                let point = self.begins[at] + 1 + item;
                if is_passed(point, at) {
                    let called = called_and_by(nodes, of.calls.as_deref().unwrap_or_default());
                    for node in called {
                        beside[node].get_or_insert(point);
                    }
                }
            }
        }
        beside
    }

    /// The steps: points that are commands, each with the commands that it waits for. `is_passed` says of a
    /// point and its node whether nothing is started there.
    fn steps(
        &self,
        workspace: &Workspace,
        nodes: &[Node],
        order: &[usize],
        is_passed: &dyn Fn(usize, usize) -> bool,
    ) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let uncached = nested::uncached_scripts(workspace);
        let beside = self.at_once(nodes, is_passed);
        // For each point the steps that must have ended when it is passed.
        let mut passed: Vec<Vec<usize>> = vec![Vec::new(); self.points.len()];
        let mut packages: FxHashMap<usize, Arc<PackageRef>> = FxHashMap::default();
        let mut labels: FxHashMap<usize, Arc<str>> = FxHashMap::default();
        for at in order {
            let mut before: Vec<usize> =
                self.waits_for[*at].iter().flat_map(|other| passed[*other].iter().copied()).collect();
            before.sort_unstable();
            before.dedup();
            let Point::Item(node_at, item_at) = self.points[*at] else {
                passed[*at] = before;
                continue;
            };
            if is_passed(*at, node_at) {
                passed[*at] = before;
                continue;
            }
            let node = &nodes[node_at];
            let item = &node.items[item_at];
            let index = steps.len();
            let first = self.begins[node_at] + 1;
            let position = (first..*at).filter(|point| !is_passed(*point, node_at)).count();
            let label = labels
                .entry(node_at)
                .or_insert_with(|| workspace.task_label(node.package, &node.task).into());
            let package = packages
                .entry(node.package)
                .or_insert_with(|| Arc::new(package_ref(workspace, node.package)));
            steps.push(Step {
                id: Arc::new(StepId {
                    index,
                    task: label.clone(),
                    position,
                    command: item.part.text.as_str().into(),
                    cwd: relative(&workspace.root, &item.part.cwd).into(),
                }),
                package: package.clone(),
                task_name: item.script.clone(),
                invocation: item.part.invocation.clone(),
                cwd: item.part.cwd.clone(),
                config: config_of(nodes, node_at, item_at, &uncached),
                origin: node.origin,
                waits_for: before,
                requested: node.requested,
                has_args: item.has_args,
                beside: beside[node_at],
            });
            passed[*at] = vec![index];
        }
        steps
    }
}

/// What a command of a task obeys. Of several it is the last that goes on for ever: `tsc && vite`. A call that
/// stays a command runs what is not to be cached.
fn config_of(nodes: &[Node], node: usize, item: usize, uncached: &FxHashSet<&str>) -> Arc<TaskConfig> {
    let Node { config, items, .. } = &nodes[node];
    let own = items[item].config.as_ref().unwrap_or(config);
    let is_uncached =
        |node: &usize| nodes[*node].config.cache == Some(false) || nodes[*node].config.persistent;
    let called = items[item].calls.as_deref().unwrap_or_default();
    let runs_uncached = !called.is_empty()
        && (called.iter().any(is_uncached) || called_by(nodes, called).iter().any(is_uncached))
        || nested::may_run(&items[item].part.text, uncached);
    let goes_on = own.persistent && item + 1 < items.len();
    if !runs_uncached && !goes_on {
        return Arc::clone(own);
    }
    let mut config = TaskConfig::clone(own);
    if goes_on {
        (config.persistent, config.ready_when) = (false, None);
    }
    if runs_uncached {
        config.cache = Some(false);
    }
    Arc::new(config)
}

/// The nodes in an order in which those that a node calls or waits for come before it, so that what a
/// call brings with it is known when the next one is looked at. Circles are cut anywhere: `sort` tells.
fn inner_calls_first(nodes: &[Node]) -> Vec<usize> {
    let mut seen = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        let mut open = vec![(start, false)];
        while let Some((at, done)) = open.pop() {
            if done {
                order.push(at);
            } else if !std::mem::replace(&mut seen[at], true) {
                open.push((at, true));
                let called = nodes[at].items.iter().flat_map(|item| &item.calls).flatten();
                open.extend(called.chain(&nodes[at].waits_for).map(|before| (*before, false)));
            }
        }
    }
    order
}

/// These nodes and all that they wait for or call, but not this one.
fn closure(nodes: &[Node], start: &[usize], without: usize) -> Vec<usize> {
    let mut seen: FxHashSet<usize> = [without].into_iter().collect();
    let mut open: Vec<usize> = start.to_vec();
    let mut reached = Vec::new();
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            reached.push(at);
            open.extend(&nodes[at].waits_for);
            open.extend(nodes[at].items.iter().flat_map(|item| &item.calls).flatten());
        }
    }
    reached
}

/// What these nodes wait for, and those that they call, without what is called itself.
fn needed(nodes: &[Node], called: &[usize]) -> Vec<usize> {
    let all = called_and_by(nodes, called);
    let waited_for = all.iter().flat_map(|node| nodes[*node].waits_for.iter().copied());
    waited_for.filter(|node| !all.contains(node)).collect()
}

/// These nodes and all that they call.
fn called_and_by(nodes: &[Node], called: &[usize]) -> FxHashSet<usize> {
    let mut all = called_by(nodes, called);
    all.extend(called);
    all
}

/// All that these nodes call, and that is called in turn.
fn called_by(nodes: &[Node], start: &[usize]) -> FxHashSet<usize> {
    let mut seen = FxHashSet::default();
    let mut open: Vec<usize> = start.to_vec();
    while let Some(at) = open.pop() {
        let called = nodes[at].items.iter().flat_map(|item| &item.calls).flatten();
        open.extend(called.copied().filter(|node| seen.insert(*node)));
    }
    seen
}

fn relative(root: &Path, dir: &Path) -> String {
    match dir.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_string(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => dir.display().to_string(),
    }
}

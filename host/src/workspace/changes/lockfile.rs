//! What a lock file says for each package: everything that its dependencies resolve to, directly and
//! through others. Two texts of one lock file are compared by that. Pure.
//!
//! Each format becomes the same graph ([`Graph`]); what cannot be read becomes `None`, and the caller
//! takes every package for changed.

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What a lock file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// For each package, what it gets: name, version and digest as written.
    pub by_package: Vec<BTreeSet<String>>,
    /// What holds for all of them: overrides, patches, settings.
    pub for_all: String,
}

/// What a package.json asks for, by the folder of the package.
pub type Asked<'a> = &'a dyn Fn(&Path) -> Vec<(String, String)>;

/// Whether a file of this name is a lock file that can be told apart by package.
pub fn is_lockfile(name: &OsStr) -> bool {
    ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"]
        .iter()
        .any(|known| name == *known)
}

/// Reads a lock file for the packages in these folders, relative to its own.
pub fn resolved(name: &OsStr, text: &str, dirs: &[PathBuf], asked: Asked) -> Option<Resolved> {
    let graph = match name.to_str()? {
        "pnpm-lock.yaml" => pnpm(text)?,
        "yarn.lock" if text.contains("__metadata:") => yarn_berry(text)?,
        "yarn.lock" => yarn_classic(text, dirs, asked),
        "bun.lock" => bun(text)?,
        _ => npm(text)?,
    };
    let by_package = dirs.iter().map(|dir| graph.reached(&dir.to_string_lossy())).collect();
    Some(Resolved { by_package, for_all: graph.for_all })
}

/// Any lock file: importers (packages of the workspace, by folder) and nodes (what is installed).
#[derive(Debug, Default)]
struct Graph {
    importers: BTreeMap<String, Vec<String>>,
    nodes: BTreeMap<String, Node>,
    for_all: String,
}

#[derive(Debug, Default)]
struct Node {
    /// Version and digest.
    identity: String,
    needs: Vec<String>,
}

impl Graph {
    /// Everything that an importer gets.
    fn reached(&self, importer: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> =
            self.importers.get(importer).into_iter().flatten().map(String::as_str).collect();
        while let Some(key) = open.pop() {
            if !seen.insert(key) {
                continue;
            }
            // A name without a node is another package of the workspace, or missing: its name counts.
            let node = self.nodes.get(key);
            reached.insert(format!("{key} {}", node.map_or("", |node| &node.identity)));
            open.extend(node.into_iter().flat_map(|node| &node.needs).map(String::as_str));
        }
        reached
    }
}

const KINDS: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn names<'a>(value: &'a Value, kinds: &'a [&'a str]) -> impl Iterator<Item = (&'a String, &'a Value)> {
    kinds.iter().filter_map(|kind| value[*kind].as_object()).flatten()
}

/// `packages` of package-lock.json: a tree of folders, in which a name is looked for upwards.
fn npm(text: &str) -> Option<Graph> {
    let lock: Value = serde_json::from_str(text).ok()?;
    let packages = lock["packages"].as_object()?;
    let mut graph = Graph::default();
    for (place, package) in packages {
        let needs =
            names(package, &KINDS).filter_map(|(name, _)| found_upwards(packages, place, name)).collect();
        if place.contains("node_modules/") {
            let identity = format!(
                "{} {} {}",
                text_of(package, "version"),
                text_of(package, "resolved"),
                text_of(package, "integrity")
            );
            graph.nodes.insert(place.clone(), Node { identity, needs });
        } else {
            graph.importers.insert(place.clone(), needs);
        }
    }
    Some(graph)
}

fn found_upwards(packages: &Map<String, Value>, from: &str, name: &str) -> Option<String> {
    let mut at = Some(from);
    while let Some(place) = at {
        let candidate = match place {
            "" => format!("node_modules/{name}"),
            place => format!("{place}/node_modules/{name}"),
        };
        if packages.contains_key(&candidate) {
            return Some(candidate);
        }
        at = match place {
            "" => None,
            place => Some(place.rsplit_once('/').map_or("", |(above, _)| above)),
        };
    }
    None
}

fn yaml(text: &str) -> Option<Value> {
    let documents = Yaml::load_from_str(text).ok()?;
    Some(plain(documents.first()?))
}

fn plain(node: &Yaml<'_>) -> Value {
    if let Some(mapping) = node.as_mapping() {
        let members = mapping.iter().map(|(key, value)| (scalar(key), plain(value)));
        return Value::Object(members.collect());
    }
    match node.as_vec() {
        Some(list) => list.iter().map(plain).collect(),
        None => Value::String(scalar(node)),
    }
}

fn scalar(node: &Yaml<'_>) -> String {
    match (node.as_str(), node.as_integer(), node.as_bool()) {
        (Some(text), _, _) => text.to_owned(),
        (_, Some(number), _) => number.to_string(),
        (_, _, Some(truth)) => truth.to_string(),
        _ => node.as_floating_point().map(|number| number.to_string()).unwrap_or_default(),
    }
}

/// pnpm-lock.yaml: `importers` by folder, what is installed in `snapshots` and `packages` (from version
/// 9 on), or in `packages` alone.
fn pnpm(text: &str) -> Option<Graph> {
    let lock = yaml(text)?;
    let lock = lock.as_object()?;
    let installed = |key: &str| lock.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (packages, snapshots) = (installed("packages"), installed("snapshots"));
    let mut graph = Graph::default();
    let key_of = |name: &str, version: &str| {
        let candidates = [
            format!("{name}@{version}"),
            format!("/{name}@{version}"),
            format!("/{name}/{version}"),
            version.to_owned(),
        ];
        candidates.into_iter().find(|key| packages.contains_key(key) || snapshots.contains_key(key))
    };
    let needs_of = |value: &Value| -> Vec<String> {
        names(value, &KINDS)
            .map(|(name, version)| {
                let version = version.as_str().map_or_else(|| text_of(version, "version"), str::to_owned);
                key_of(name, &version).unwrap_or_else(|| format!("{name}@{version}"))
            })
            .collect()
    };
    match lock.get("importers").and_then(Value::as_object) {
        Some(importers) => {
            for (dir, importer) in importers {
                let dir = if dir == "." { String::new() } else { dir.clone() };
                graph.importers.insert(dir, needs_of(importer));
            }
        }
        None => drop(graph.importers.insert(String::new(), needs_of(&Value::Object(lock.clone())))),
    }
    for (key, node) in packages.iter().chain(&snapshots) {
        // The same package with other peers has the same content.
        let bare = key.split('(').next().unwrap_or(key);
        let content = packages
            .get(key)
            .or_else(|| packages.get(bare))
            .map_or(&Value::Null, |found| &found["resolution"]);
        let identity = content.to_string();
        let entry = graph.nodes.entry(key.clone()).or_default();
        entry.identity = identity;
        entry.needs.extend(needs_of(node));
    }
    let others = lock.iter().filter(|(key, _)| {
        !["importers", "packages", "snapshots", "catalogs", "time"].contains(&key.as_str())
            && !KINDS.contains(&key.as_str())
    });
    graph.for_all = others.map(|(key, value)| format!("{key}: {value}\n")).collect();
    Some(graph)
}

/// yarn.lock from version 2 on: descriptors `name@npm:range` lead to entries; packages of the workspace
/// are among them.
fn yarn_berry(text: &str) -> Option<Graph> {
    let lock = yaml(text)?;
    let entries = lock.as_object()?;
    let mut by_descriptor: BTreeMap<&str, String> = BTreeMap::new();
    for (descriptors, entry) in entries {
        for descriptor in descriptors.split(", ") {
            by_descriptor.insert(descriptor, text_of(entry, "resolution"));
        }
    }
    let mut graph = Graph::default();
    for (_, entry) in entries.iter().filter(|(key, _)| *key != "__metadata") {
        let find = |(name, range): (&String, &Value)| {
            let range = range.as_str().unwrap_or_default();
            let candidates = [format!("{name}@{range}"), format!("{name}@npm:{range}")];
            candidates.iter().find_map(|descriptor| by_descriptor.get(descriptor.as_str()).cloned())
        };
        let needs: Vec<String> = names(entry, &KINDS).filter_map(find).collect();
        let resolution = text_of(entry, "resolution");
        match resolution.split_once("@workspace:") {
            Some((_, dir)) => {
                let dir = if dir == "." { String::new() } else { dir.to_owned() };
                graph.importers.insert(dir, needs);
            }
            None => {
                let identity = format!("{} {}", text_of(entry, "version"), text_of(entry, "checksum"));
                graph.nodes.insert(resolution, Node { identity, needs });
            }
        }
    }
    Some(graph)
}

/// yarn.lock of version 1: blocks of indented lines. What packages ask for stands in package.json alone.
fn yarn_classic(text: &str, dirs: &[PathBuf], asked: Asked) -> Graph {
    let mut graph = Graph::default();
    let mut by_descriptor: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Vec<(String, Vec<String>)> = Vec::new();
    let mut key = String::new();
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        match (indent, line.trim().split_once(' ')) {
            (0, _) => {
                key = line.trim_end_matches(':').to_owned();
                for descriptor in key.split(", ") {
                    by_descriptor.insert(bare(descriptor), key.clone());
                }
                open.push((key.clone(), Vec::new()));
            }
            (2, Some((name @ ("version" | "resolved" | "integrity"), value))) => {
                let node = graph.nodes.entry(key.clone()).or_default();
                node.identity.push_str(&format!("{name} {value} "));
            }
            (4, Some((name, range))) => {
                if let Some((_, needs)) = open.last_mut() {
                    needs.push(format!("{}@{}", bare(name), bare(range)));
                }
            }
            _ => {}
        }
    }
    let found = |needs: Vec<String>| -> Vec<String> {
        needs.into_iter().filter_map(|need| by_descriptor.get(&need).cloned()).collect()
    };
    for (key, needs) in open {
        graph.nodes.entry(key).or_default().needs = found(needs);
    }
    for dir in dirs {
        let needs = asked(dir).into_iter().map(|(name, range)| format!("{name}@{range}")).collect();
        graph.importers.insert(dir.to_string_lossy().into_owned(), found(needs));
    }
    graph
}

/// bun.lock: `workspaces` by folder; what is installed by a path of names, looked for upwards.
fn bun(text: &str) -> Option<Graph> {
    let lock: Value = jsonc_parser::parse_to_serde_value(text, &Default::default()).ok()?;
    let packages = lock["packages"].as_object()?;
    let mut graph = Graph::default();
    let found = |from: &str, name: &str| {
        let mut at = from;
        loop {
            let candidate = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            if packages.contains_key(&candidate) {
                return Some(candidate);
            }
            if at.is_empty() {
                return None;
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
    };
    for (dir, importer) in lock["workspaces"].as_object()? {
        let own = text_of(importer, "name");
        let needs = names(importer, &KINDS).filter_map(|(name, _)| found(&own, name)).collect();
        graph.importers.insert(dir.clone(), needs);
    }
    for (key, node) in packages {
        let list = node.as_array()?;
        let details = list.iter().find(|member| member.is_object()).cloned().unwrap_or_default();
        let needs = names(&details, &KINDS).filter_map(|(name, _)| found(key, name)).collect();
        let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        graph.nodes.insert(key.clone(), Node { identity: texts.join(" "), needs });
    }
    graph.for_all =
        ["overrides", "patchedDependencies", "trustedDependencies"].map(|key| lock[key].to_string()).concat();
    Some(graph)
}

#[cfg(test)]
#[path = "lockfile_tests.rs"]
mod tests;

//! The workspace as it lies on disk: its root, its packages with their scripts and configuration,
//! and how packages depend on each other. It reads and never writes; what is to be run is `plan`'s.
//!
//! Read next: `find` (where the root is), `globs` (which folders are packages), `manifest`
//! (package.json), `config_file` (overhear.json), `links` (edges between packages).

mod changes;
mod config_file;
mod config_value;
pub mod edit;
#[cfg(test)]
pub(crate) mod file_format;
mod find;
mod globs;
mod links;
mod manifest;
mod read;
#[cfg(test)]
mod schema_tests;

pub use changes::{Past, Since, changed_packages};
#[cfg(test)]
pub(crate) use config_file::{TASK_KEYS, TOP_KEYS};
pub use config_value::size_in_bytes;

use crate::config::{ConfigFile, DependencyKind, RootSettings, TaskEntry};
use crate::problem::{Place, Problem, Problems, Source, closest};
use manifest::Manifest;
use read::{Files, Texts, read_files, read_source, unreadable};
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};

/// Names of configuration files; the first that is there counts.
const CONFIG_FILES: [&str; 2] = ["overhear.json", "vite-task.json"];

/// A repository root and its packages.
#[derive(Debug)]
pub struct Workspace {
    /// The root, absolute and resolved.
    pub root: PathBuf,
    /// The package at the root first (it is there even where the root has no package.json), then
    /// the others by folder.
    pub packages: Vec<Package>,
    /// Whether there is but one package because nothing names others.
    pub lone: bool,
    by_name: FxHashMap<String, usize>,
    by_dir: FxHashMap<PathBuf, usize>,
}

/// One package.
#[derive(Debug, Default)]
pub struct Package {
    /// `name` of package.json.
    pub name: Option<String>,
    /// `version` of package.json.
    pub version: Option<String>,
    /// Its folder, absolute and resolved.
    pub dir: PathBuf,
    /// Its folder relative to the root; empty for the root.
    pub relative_dir: PathBuf,
    /// `scripts` of package.json, in order.
    pub scripts: Vec<Script>,
    /// Its overhear.json, or the vite-task.json that stands in for it.
    pub config: Option<ConfigFile>,
    /// The packages of this workspace that it depends on, in order, each once per kind.
    pub edges: Vec<Edge>,
}

/// A script of package.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Its command.
    pub command: String,
}

/// That one package depends on another of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Position in [`Workspace::packages`] of the one it depends on.
    pub to: usize,
    /// In which way.
    pub kind: DependencyKind,
}

/// What stands behind the name of a task.
#[derive(Clone, Copy, Debug)]
pub enum Definition<'a> {
    /// A script of package.json.
    Script(&'a Script),
    /// An entry of `tasks`.
    Task(&'a TaskEntry),
}

impl<'a> Definition<'a> {
    /// The name of the task.
    pub fn name(self) -> &'a str {
        match self {
            Definition::Script(script) => &script.name,
            Definition::Task(task) => &task.name,
        }
    }
}

impl Package {
    /// The script or task of this name.
    pub fn definition(&self, task: &str) -> Option<Definition<'_>> {
        self.definitions().find(|definition| definition.name() == task)
    }

    /// Its tasks, then its scripts, in the order written.
    pub fn definitions(&self) -> impl Iterator<Item = Definition<'_>> {
        let tasks = self.config.iter().flat_map(|config| &config.tasks);
        tasks.map(Definition::Task).chain(self.scripts.iter().map(Definition::Script))
    }

    /// Whether a file of tasks lies in its folder that is not read, as another is.
    pub fn has_shadowed_config(&self) -> bool {
        CONFIG_FILES.iter().all(|name| self.dir.join(name).is_file())
    }

    /// How messages name it: package `web`, or by its folder where it has no name.
    pub fn in_words(&self) -> String {
        match &self.name {
            Some(name) => format!("package `{name}`"),
            None if self.relative_dir.as_os_str().is_empty() => "the package at the root".to_string(),
            None => format!("package `{}`", self.relative_dir.display()),
        }
    }

    /// Its package.json.
    pub fn manifest_file(&self) -> PathBuf {
        self.dir.join("package.json")
    }
}

impl Workspace {
    /// Finds the workspace that a folder belongs to, and reads it.
    ///
    /// # Errors
    /// Every mistake in the files that it reads, together.
    pub fn load(from: &Path) -> Result<Workspace, Problems> {
        let found = find::find(from)?;
        let mut problems = Problems::default();
        let (mut files, texts) = read_files(&found, &mut problems);
        let configs: Vec<Option<Source>> = files.iter_mut().map(|files| files.config.take()).collect();
        let manifests: Vec<Manifest<'_>> =
            files.iter().map(|files| parse(&found.root, files, &texts, &mut problems)).collect();
        let mut workspace = Workspace::assemble(&found, &files, &manifests, &mut problems);
        for (package, config) in workspace.packages.iter_mut().zip(configs) {
            package.config =
                config.and_then(|config| config_file::parse(config, &package.relative_dir, &mut problems));
        }
        config_file::check(&workspace, &mut problems);
        problems.or(workspace)
    }

    fn assemble(
        found: &find::Found,
        files: &[Files],
        manifests: &[Manifest<'_>],
        problems: &mut Problems,
    ) -> Workspace {
        let package = |(files, manifest): (&Files, &Manifest<'_>)| Package {
            name: manifest.name.as_ref().filter(|name| !name.is_empty()).map(|name| name.to_string()),
            version: manifest.version.0.as_ref().map(|version| version.to_string()),
            dir: if files.relative_dir.as_os_str().is_empty() {
                found.root.clone()
            } else {
                found.root.join(&files.relative_dir)
            },
            relative_dir: files.relative_dir.clone(),
            scripts: (manifest.scripts.0.iter())
                .map(|(name, command)| Script { name: name.to_string(), command: command.to_string() })
                .collect(),
            config: None,
            edges: Vec::new(),
        };
        let packages: Vec<Package> = files.iter().zip(manifests).map(package).collect();
        let by_name = index_names(&packages, problems);
        let by_dir = packages.iter().enumerate().map(|(at, package)| (package.dir.clone(), at)).collect();
        let mut workspace =
            Workspace { root: found.root.clone(), packages, lone: found.globs.is_none(), by_name, by_dir };
        for (at, manifest) in manifests.iter().enumerate() {
            workspace.packages[at].edges = links::edges(&workspace, at, manifest);
        }
        workspace
    }

    /// The package of this name; an unnamed one goes by its folder relative to the root.
    pub fn package_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().or_else(|| {
            let at = self.by_dir.get(&self.root.join(name)).copied()?;
            self.packages[at].name.is_none().then_some(at)
        })
    }

    /// The package with exactly this folder, absolute and resolved.
    pub fn package_at(&self, dir: &Path) -> Option<usize> {
        self.by_dir.get(dir).copied()
    }

    /// The package that a folder belongs to: the nearest one upwards, at last the root.
    pub fn package_around(&self, dir: &Path) -> usize {
        dir.ancestors()
            .take_while(|above| above.starts_with(&self.root))
            .find_map(|above| self.package_at(above))
            .unwrap_or(0)
    }

    /// What the file at the root says for all, or the defaults.
    pub fn settings(&self) -> RootSettings {
        self.packages[0].config.as_ref().map(|config| config.root.clone()).unwrap_or_default()
    }

    /// How a task is named everywhere: `package#name`, or the name alone in a lone package without
    /// a name and at a root without one.
    pub fn task_label(&self, package: usize, task: &str) -> String {
        let package = &self.packages[package];
        match &package.name {
            Some(name) => format!("{name}#{task}"),
            None if package.relative_dir.as_os_str().is_empty() => task.to_string(),
            None => format!("{}#{task}", package.relative_dir.display()),
        }
    }

    /// Where a script or task is defined. Scripts are looked up in package.json again, which is
    /// why this is no field.
    pub fn place_of(&self, package: usize, definition: Definition<'_>) -> Option<Place> {
        let package = &self.packages[package];
        match definition {
            Definition::Task(task) => Some(package.config.as_ref()?.source.place(task.at.clone())),
            Definition::Script(script) => {
                let source = read_source(&package.manifest_file()).ok()??;
                manifest::key_range(&source, &["scripts", &script.name]).map(|range| source.place(range))
            }
        }
    }

    /// Where the package.json of one package says that it depends on another, under the name of that.
    pub fn place_of_edge(&self, from: usize, to: usize) -> Option<Place> {
        let source = read_source(&self.packages[from].manifest_file()).ok()??;
        let name = self.packages[to].name.as_deref()?;
        let lists = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];
        let range = lists.iter().find_map(|list| manifest::key_range(&source, &[list, name]))?;
        Some(source.place(range))
    }

    /// Whether packages lie in archives that only Yarn's own loader reads: there is no `node_modules/.bin`.
    pub fn is_plug_and_play(&self) -> bool {
        [".pnp.cjs", ".pnp.js"].iter().any(|file| self.root.join(file).is_file())
            && !self.root.join("node_modules/.bin").is_dir()
    }

    /// The name of a package close to this one, for messages.
    pub fn closest_package(&self, name: &str) -> Option<&str> {
        closest(name, self.packages.iter().filter_map(|package| package.name.as_deref()))
    }
}

/// The package.json of a package; its mistakes are added to the problems.
fn parse<'t>(root: &Path, files: &Files, texts: &'t Texts, problems: &mut Problems) -> Manifest<'t> {
    let Some(text) = texts.manifest(files) else { return Manifest::default() };
    if let Ok(Some(manifest)) = Manifest::read(text) {
        return manifest;
    }
    let file = root.join(&files.relative_dir).join("package.json");
    match Manifest::parse(&Source::new(file, text.to_owned())) {
        Ok(_) => {}
        Err(mistakes) => problems.0.extend(mistakes.0),
    }
    Manifest::default()
}

fn index_names(packages: &[Package], problems: &mut Problems) -> FxHashMap<String, usize> {
    let mut by_name: FxHashMap<String, usize> = FxHashMap::default();
    let file = |at: usize| packages[at].relative_dir.join("package.json");
    for (at, package) in packages.iter().enumerate() {
        let Some(name) = &package.name else { continue };
        let Some(first) = by_name.get(name) else {
            by_name.insert(name.clone(), at);
            continue;
        };
        let message = format!("two packages are named `{name}`");
        let source = read_source(&package.manifest_file()).ok().flatten();
        let problem = match source.and_then(|source| {
            let range = manifest::value_range(&source, &["name"])?;
            Some((source, range))
        }) {
            Some((source, range)) => source.problem(range, message),
            None => Problem::new(format!("{message}: {}", file(at).display())),
        };
        problems.0.push(
            problem.help(format!("the other is {}; give one of them another name", file(*first).display())),
        );
    }
    by_name
}

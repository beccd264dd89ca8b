//! The pure merge of what is known of one run into what it depended on and what it made: [`Settled`],
//! or a [`Refusal`].
//!
//! Four sources speak: what a person wrote, what the tool told, what an adapter declared, what was
//! traced. It knows them as types and looks at nothing; the rules are those of
//! `docs/design/what-counts.md`, each with a test named after it.
//!
//! Read next: `changes` (what was done to a path), `reads` (what was learned from one), `listings` (what
//! was learned from the names in a folder).

mod changes;
mod listings;
mod reads;

use crate::access::{First, Listing, Observed, Reach, Seen};
use crate::config::TaskConfig;
use crate::declaration::Declaration;
use crate::digest::Digest;
use crate::fingerprint::{Query, Value};
use crate::globs::{self, GlobPattern, Globs};
use crate::hint::{EnvSelect, Hint};
use crate::outcome::Refusal;
use crate::rules::Rules;
use crate::stamp::{Found, Stamp};
use crate::tree::Bases;
use crate::zone::{Zone, Zones};
use changes::{settle_change, settle_folders_around};
use listings::settle_listings;
use reads::{searched_programs, settle_reads};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Everything that is known of one run.
pub struct Evidence<'a> {
    /// What a person wrote.
    pub config: &'a TaskConfig,
    /// What an adapter declared.
    pub declaration: Option<&'a Declaration>,
    /// What the tool told.
    pub hints: &'a [Hint],
    /// What patterns of outputs match, where no trace can vouch for what was written.
    pub named_outputs: &'a [PathBuf],
    /// What was traced.
    pub observed: &'a Observed,
    /// What lies now at each path that the step changed.
    pub ends: &'a FxHashMap<PathBuf, Found>,
    /// What counts where.
    pub zones: &'a Zones,
    /// Folder of the package, absolute.
    pub package_dir: &'a Path,
    /// Working directory, absolute.
    pub cwd: &'a Path,
    /// Links of the workspace on the way to the working directory, with what they said before the run:
    /// nobody is seen following them.
    pub cwd_links: &'a [(PathBuf, Value)],
    /// The folders of its PATH, absolute.
    pub search: &'a [PathBuf],
    /// Whether a run of this step is known to have left what lies, or lay, at a path.
    pub made_before: &'a dyn Fn(&Path) -> bool,
    /// Whether a run made what lies, or lay, at a path for the tool's own use, by its adapter.
    pub tool_made_before: &'a dyn Fn(&Path) -> bool,
    /// Whether what lies at a path is what some tool keeps for itself, by the adapter of a run of it: it
    /// comes and goes, and is no news in a listing.
    pub is_tool_state: &'a dyn Fn(&Path) -> bool,
    /// Whether what it left there was a folder.
    pub folder_made_before: &'a dyn Fn(&Path) -> bool,
    /// The digest of that earlier state of a file, where somebody computed it in time.
    pub digest_before: &'a dyn Fn(&Path, &Stamp) -> Option<Digest>,
    /// The digest of the file that lies there now.
    pub digest_now: &'a dyn Fn(&Path) -> Option<Digest>,
    /// What this step last left, state files among it, where all of that lay there unchanged before
    /// this run.
    pub left_whole: Option<&'a FxHashSet<PathBuf>>,
    /// The names that lie now in a folder.
    pub names_now: &'a dyn Fn(&Path) -> Listing,
    /// The names of a listing less those that only later steps of the task made.
    pub without_later: &'a dyn Fn(&Path, &Listing) -> Listing,
}

impl Evidence<'_> {
    /// Patterns of files that count as inputs by the word of a person or an adapter.
    pub fn input_globs(&self) -> Vec<GlobPattern> {
        globs::of_inputs(&self.config.input, self.declaration, self.bases())
    }

    /// The folders that patterns of the declaration are relative to.
    pub fn bases(&self) -> Bases<'_> {
        Bases { root: &self.zones.places.root, package_dir: self.package_dir, cwd: self.cwd }
    }
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// A person wrote it.
    Config,
    /// The tool told it over IPC.
    Told,
    /// An adapter declared it.
    Declared,
    /// It was traced.
    Traced,
}

/// What a run depended on and what it made. Paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Paths that it depended on, sorted, each query once.
    pub inputs: Vec<Input>,
    /// Programs found by searching PATH.
    pub programs: Vec<String>,
    /// Patterns of files that count whether or not anybody was seen reading them.
    pub globs: Vec<GlobPattern>,
    /// Files that these match and that the step itself makes, sorted: they do not count.
    pub globs_except: Vec<PathBuf>,
    /// Variables that it asked for.
    pub envs: Vec<(EnvSelect, Source)>,
    /// Files, links and folders that it made or wrote, and that are there at the end, sorted.
    pub outputs: Vec<PathBuf>,
    /// What was there before and is not any more, sorted.
    pub removed: Vec<PathBuf>,
    /// Those of `removed` that the step itself had made, sorted: nothing was there before.
    pub temporary: Vec<PathBuf>,
    /// Those of `outputs` by which the tool knows what it did last, sorted: no inputs, because the
    /// outputs go with them.
    pub state_files: Vec<PathBuf>,
    /// What it looked for before it made it, sorted: it saw that nothing is there, and something of
    /// others there is news.
    pub found_bare: Vec<PathBuf>,
    /// Folders whose names it read and removed all, sorted: whatever lay there would be gone.
    pub emptied: Vec<PathBuf>,
    /// What was seen but does not count, and why.
    pub ignored: Vec<Ignored>,
    /// What counts although an adapter would have it ignored: nothing shows that it does not matter.
    pub narrowing_refused: Vec<Ignored>,
}

/// One path that a run depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Absolute, resolved.
    pub path: PathBuf,
    /// What of it counts.
    pub query: Query,
    /// Its value.
    pub value: InputValue,
    /// Who says so.
    pub source: Source,
    /// The process that read it.
    pub by: String,
}

/// The value of an input, as far as it is known without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputValue {
    /// Known.
    Known(Value),
    /// The content of the file that had this stamp when it was first read.
    File(Stamp),
}

/// A path that was seen and does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Absolute.
    pub path: PathBuf,
    /// It was read.
    pub reads: bool,
    /// It was written.
    pub writes: bool,
    /// Who says that it does not count.
    pub source: Source,
    /// The reason given.
    pub why: String,
}

/// Merges all that is known of a run that succeeded.
pub fn settle(evidence: &Evidence) -> Result<Settled, Refusal> {
    refuse_as_a_whole(evidence)?;
    let rules = Rules::new(evidence);
    let left_whole = evidence.left_whole.filter(|_| goes_by_state(evidence, &rules));
    let evidence = &Evidence { left_whole, ..*evidence };
    let mut settled = Settled::default();
    for (path, seen) in &evidence.observed.paths {
        settle_path(evidence, &rules, path, seen, &mut settled)?;
    }
    settle_folders_around(evidence, &rules, &mut settled);
    settled.outputs.extend(evidence.named_outputs.iter().cloned());
    settle_state(evidence, &rules, &mut settled);
    // What does not count as output is the step's own as well: its names are no news in a listing.
    let changed = evidence.observed.paths.iter().filter(|(path, seen)| {
        seen.change.is_some() && Fate::of(seen, evidence.ends.get(*path)).change.is_some()
    });
    let changed = changed.map(|(path, _)| path.as_path());
    let own: Vec<PathBuf> = settled.outputs.iter().chain(&settled.removed).cloned().collect();
    let touched: BTreeSet<&Path> = own.iter().map(PathBuf::as_path).chain(changed).collect();
    settled.inputs.extend(evidence.cwd_links.iter().map(|(path, text)| Input {
        path: path.clone(),
        query: Query::Link,
        value: InputValue::Known(*text),
        source: Source::Traced,
        by: "overhear".to_owned(),
    }));
    settle_listings(evidence, &rules, &touched, &mut settled);
    // A hit judges only what may be an output of a task: not what came and went in git's folder.
    settled.found_bare.retain(|path| evidence.zones.of(path) == Zone::Workspace);
    settled.inputs.sort_by(|a, b| (&a.path, &a.query).cmp(&(&b.path, &b.query)));
    settled.inputs.dedup_by(|a, b| a.path == b.path && a.query == b.query);
    drop_implied(&mut settled.inputs, &evidence.zones.places.root);
    settled.programs = searched_programs(evidence);
    settle_globs(evidence, &mut settled);
    settled.envs = envs(evidence);
    settled.ignored.sort();
    settled.narrowing_refused.sort();
    Ok(settled)
}

/// What the step left last counts as its own in this run as well if the tool read the state files in
/// it: it need not write again what they say is done.
fn goes_by_state(evidence: &Evidence, rules: &Rules) -> bool {
    let is_read = |path: &PathBuf| {
        evidence.observed.seen(path).is_some_and(|seen| seen.read.is_some() || seen.stat.is_some())
    };
    evidence.left_whole.into_iter().flatten().any(|path| rules.is_state_file(path) && is_read(path))
}

/// Whether the step left what lies at a path, and goes by it.
fn is_left_whole(evidence: &Evidence, path: &Path) -> bool {
    evidence.left_whole.is_some_and(|left| left.contains(path))
}

/// What the tool skipped writing because of its state files is an output like what it wrote; and the
/// state files are told apart, unless they are inputs by content.
fn settle_state(evidence: &Evidence, rules: &Rules, settled: &mut Settled) {
    for path in evidence.left_whole.into_iter().flatten() {
        let change =
            evidence.observed.seen(path).and_then(|seen| Fate::of(seen, evidence.ends.get(path)).change);
        let counts = rules.ignores_write(path).is_none() && rules.output_counts(path);
        if change.is_none() && counts {
            settled.outputs.push(path.clone());
        }
    }
    settled.outputs.sort();
    settled.outputs.dedup();
    let is_read = |path: &PathBuf| settled.inputs.iter().any(|input| input.path == *path);
    let state = settled.outputs.iter().filter(|path| rules.is_state_file(path) && !is_read(path));
    settled.state_files = state.cloned().collect();
}

/// Patterns of inputs count without the files that the step itself makes.
fn settle_globs(evidence: &Evidence, settled: &mut Settled) {
    settled.globs = evidence.input_globs();
    if settled.globs.is_empty() {
        return;
    }
    let globs = Globs::new(&settled.globs);
    let is_made = |path: &Path| {
        let change = evidence.observed.seen(path).and_then(|seen| seen.change.as_ref());
        change.is_some_and(|change| change.found == Found::Absent) || (evidence.made_before)(path)
    };
    let places = &evidence.zones.places;
    let own = settled.outputs.iter().filter(|path| globs.name(&places.portable(path)) && is_made(path));
    settled.globs_except = own.cloned().collect();
}

/// Content, names or a link's text say what kind of thing is there: its kind need not be asked for as
/// well. A listing without names says nothing: a missing folder has the same. And where something is there,
/// the folders above it are. Inputs are sorted.
fn drop_implied(inputs: &mut Vec<Input>, root: &Path) {
    let nothing = InputValue::Known(Value::listing(&Vec::new(), &[]));
    let mut telling: FxHashSet<PathBuf> = FxHashSet::default();
    let mut around: FxHashSet<PathBuf> = FxHashSet::default();
    for input in &*inputs {
        let is_there = match input.query {
            Query::Absent => false,
            Query::Listing(_) => input.value != nothing,
            _ => input.value != InputValue::Known(Value::ABSENT),
        };
        if input.query != Query::Kind && !(matches!(input.query, Query::Listing(_)) && !is_there) {
            telling.insert(input.path.clone());
        }
        for folder in input.path.ancestors().skip(1).filter(|_| is_there) {
            if !folder.starts_with(root) || !around.insert(folder.to_owned()) {
                break;
            }
        }
    }
    let folder = InputValue::Known(Value::FOLDER);
    let is_implied = |input: &Input| {
        telling.contains(&input.path) || (input.value == folder && around.contains(&input.path))
    };
    inputs.retain(|input| input.query != Query::Kind || !is_implied(input));
}

/// What makes the run as a whole unfit to be kept.
fn refuse_as_a_whole(evidence: &Evidence) -> Result<(), Refusal> {
    let observed = evidence.observed;
    // Who writes down what goes in and what comes out needs no trace.
    let is_written = !evidence.config.input.auto && !evidence.config.output.auto;
    if let Some(why) = observed.incomplete.as_ref().filter(|_| !is_written) {
        return Err(Refusal::TraceIncomplete(why.clone()));
    }
    let inner = evidence.declaration.is_some_and(|declaration| declaration.inner_disable_cache);
    if evidence.hints.contains(&Hint::DisableCache) && !inner {
        return Err(Refusal::ToolAsked);
    }
    if let Some(process) = &observed.detached {
        return Err(Refusal::Detached(process.clone()));
    }
    if observed.read_terminal.is_some() {
        return Err(Refusal::ReadTerminal);
    }
    match observed.connections.iter().find(|connection| connection.reach == Reach::Machine) {
        Some(service) => {
            Err(Refusal::OutsideService { address: service.to.clone(), process: service.by.clone() })
        }
        None => Ok(()),
    }
}

/// How a path fared over the whole run.
struct Fate<'a> {
    /// The first change, if the path did change.
    change: Option<&'a First>,
    /// What lies there at the end, where it changed.
    end: &'a Found,
}

impl<'a> Fate<'a> {
    /// An open for writing that wrote nothing, a `mkdir` of what is there, a failed removal: the
    /// kernel was asked, but nothing came of it.
    fn of(seen: &'a Seen, end: Option<&'a Found>) -> Fate<'a> {
        let end = end.unwrap_or(&Found::Absent);
        let change = seen.change.as_deref().filter(|change| match (&change.found, end) {
            (Found::File(before), Found::File(after)) => before != after,
            (Found::Folder(_), Found::Folder(_)) => seen.removed,
            (Found::Link(before), Found::Link(after)) => before != after || seen.removed,
            (Found::Other, Found::Other) => seen.removed,
            _ => true,
        });
        Fate { change, end }
    }

    fn is_before_change(&self, first: &First) -> bool {
        self.change.is_none_or(|change| first.order <= change.order)
    }
}

fn settle_path(
    evidence: &Evidence,
    rules: &Rules,
    path: &Path,
    seen: &Seen,
    settled: &mut Settled,
) -> Result<(), Refusal> {
    let zone = evidence.zones.of(path);
    if zone == Zone::Noise {
        return Ok(());
    }
    let fate = Fate::of(seen, evidence.ends.get(path));
    if let Some(change) = fate.change {
        settle_change(evidence, rules, path, zone, seen, &fate, change, settled)?;
    }
    if is_own_folder(evidence, rules, path, seen, &fate) {
        if rules.ignores_write(path).is_none() && rules.output_counts(path) {
            settled.outputs.push(path.to_path_buf());
        }
        return Ok(());
    }
    // A tool that leaves its state as it is went by it: without it the tool might do something else.
    if is_left_whole(evidence, path) && !(rules.is_state_file(path) && fate.change.is_none()) {
        return Ok(());
    }
    let reads_count = match zone {
        Zone::Git => Zones::is_git_stamp(path),
        Zone::Scratch => evidence.zones.is_above(path) && fate.change.is_none(),
        _ => true,
    };
    if reads_count {
        settle_reads(evidence, rules, path, seen, &fate, settled);
    }
    Ok(())
}

/// A folder that a run of this step had made counts as absent, and as made by this run too: `mkdir -p`
/// of it did nothing, and deleting it is no change of an input. Not so where the step left alone what lies
/// in it: then it would be there without the step as well, or was found there and not made anew.
fn is_own_folder(evidence: &Evidence, rules: &Rules, path: &Path, seen: &Seen, fate: &Fate) -> bool {
    let listed = seen.list.as_deref().map(|(first, _)| first);
    // `mkdir` of it was told that it is there.
    let made = seen.change.as_deref();
    let first = [seen.kind.as_deref(), seen.stat.as_deref(), listed, made].into_iter().flatten().next();
    let is_folder = first.is_some_and(|first| matches!(first.found, Found::Folder(_)));
    is_folder
        && fate.change.is_none()
        && evidence.zones.of(path) == Zone::Workspace
        && (evidence.folder_made_before)(path)
        && !holds_left_alone(evidence, rules, path)
}

/// Whether something lies in a folder that the step did not touch, and that neither a later step of the task
/// made nor a tool keeps for itself or goes by.
fn holds_left_alone(evidence: &Evidence, rules: &Rules, folder: &Path) -> bool {
    let names = (evidence.without_later)(folder, &(evidence.names_now)(folder));
    names.iter().any(|(name, letter)| {
        let path = folder.join(name);
        let is_kept = || rules.keeps(&path) && (evidence.made_before)(&path);
        if evidence.zones.of(&path) != Zone::Workspace
            || rules.ignores_write(&path).is_some()
            || is_left_whole(evidence, &path)
            || is_kept()
            || (evidence.is_tool_state)(&path)
        {
            return false;
        }
        let seen = evidence.observed.seen(&path);
        match letter {
            // An empty one that was looked at counts by itself.
            b'd' => holds_left_alone(evidence, rules, &path) || (seen.is_none() && is_empty(evidence, &path)),
            _ => seen.is_none_or(|seen| seen.change.is_none()),
        }
    })
}

fn is_empty(evidence: &Evidence, folder: &Path) -> bool {
    (evidence.names_now)(folder).is_empty()
}

/// Paths whose content the step read before it changed them, whoever may ignore that.
pub fn overlaps<'a>(evidence: &'a Evidence) -> impl Iterator<Item = &'a Path> {
    evidence.observed.paths.iter().filter_map(|(path, seen)| {
        let fate = Fate::of(seen, evidence.ends.get(path));
        fate.change?;
        let read = first_content_read(seen).filter(|read| fate.is_before_change(read))?;
        matches!(read.found, Found::File(_)).then_some(path.as_path())
    })
}

/// A change that lets old content through (permissions or times set) is a read as well.
fn first_content_read(seen: &Seen) -> Option<&First> {
    let change = seen.change.as_deref().filter(|_| !seen.change_is_blind);
    [seen.read.as_deref(), seen.exec.as_deref(), change].into_iter().flatten().min_by_key(|first| first.order)
}

fn input(evidence: &Evidence, path: &Path, query: Query, value: InputValue, first: &First) -> Input {
    let by = evidence.observed.process(first.pid).to_owned();
    Input { path: path.to_path_buf(), query, value, source: Source::Traced, by }
}

/// Variables that were told or overheard. Those that a person or an adapter named are part of the
/// CacheKey, and not repeated here.
fn envs(evidence: &Evidence) -> Vec<(EnvSelect, Source)> {
    let declared = evidence.declaration.is_some_and(|declaration| declaration.empty_prefix_is_declared);
    let mut envs = BTreeSet::new();
    for hint in evidence.hints {
        match hint {
            Hint::GetEnv { name, tracked: true } => {
                envs.insert((EnvSelect::Name(name.clone()), Source::Told));
            }
            Hint::GetEnvs { select, tracked: true } => {
                if !(declared && *select == EnvSelect::Prefix(String::new())) {
                    envs.insert((select.clone(), Source::Told));
                }
            }
            _ => {}
        }
    }
    for name in evidence.observed.env.keys() {
        envs.insert((EnvSelect::Name(name.clone()), Source::Traced));
    }
    envs.into_iter().collect()
}

#[cfg(test)]
mod tests;

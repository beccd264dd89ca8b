//! The pure merge of what is known of one run into what it depended on and what it made: [`Settled`],
//! or a [`Refusal`].
//!
//! Four sources speak: what a person wrote, what the tool told, what an adapter declared, what was
//! traced. It knows them as types and looks at nothing; the rules are those of
//! `docs/design/what-counts.md`, each with a test named after it.

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
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::Bound;
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
    settled.outputs.extend(evidence.named_outputs.iter().cloned());
    settle_state(evidence, &rules, &mut settled);
    // What does not count as output is the step's own as well: its names are no news in a listing.
    let changed = evidence.observed.paths.iter().filter(|(path, seen)| {
        seen.change.is_some() && Fate::of(seen, evidence.ends.get(*path)).change.is_some()
    });
    let changed = changed.map(|(path, _)| path.as_path());
    let touched: BTreeSet<&Path> =
        settled.outputs.iter().chain(&settled.removed).map(PathBuf::as_path).chain(changed).collect();
    settle_cwd(evidence, &mut settled.inputs);
    settle_listings(evidence, &rules, &touched, &mut settled.inputs, &mut settled.emptied);
    settled.inputs.sort_by(|a, b| (&a.path, &a.query).cmp(&(&b.path, &b.query)));
    settled.inputs.dedup_by(|a, b| a.path == b.path && a.query == b.query);
    drop_implied(&mut settled.inputs);
    settled.programs = evidence.observed.searched.keys().cloned().collect();
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

/// A link on the way to where the command starts: nobody is seen following it.
fn settle_cwd(evidence: &Evidence, inputs: &mut Vec<Input>) {
    let root = &evidence.zones.places.root;
    for path in evidence.cwd.ancestors().take_while(|path| path.starts_with(root) && path != root) {
        if let Ok(Found::Link(text)) = Found::at(path) {
            let value = InputValue::Known(Value::link(&text));
            let by = "overhear".to_owned();
            inputs.push(Input {
                path: path.to_path_buf(),
                query: Query::Link,
                value,
                source: Source::Traced,
                by,
            });
        }
    }
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
/// well. A listing without names says nothing: a missing folder has the same. Inputs are sorted.
fn drop_implied(inputs: &mut Vec<Input>) {
    let mut telling: FxHashSet<PathBuf> = FxHashSet::default();
    let nothing = InputValue::Known(Value::listing(&Vec::new(), &[]));
    let tells = |input: &&Input| {
        input.query != Query::Kind && !(matches!(input.query, Query::Listing(_)) && input.value == nothing)
    };
    telling.extend(inputs.iter().filter(tells).map(|input| input.path.clone()));
    inputs.retain(|input| input.query != Query::Kind || !telling.contains(&input.path));
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
    settle_folder_around(evidence, rules, path, seen, settled);
    if is_own_folder(evidence, path, seen, &fate) {
        if rules.ignores_write(path).is_none() && rules.output_counts(path) {
            settled.outputs.push(path.to_path_buf());
        }
        return Ok(());
    }
    if is_left_whole(evidence, path) {
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
/// of it did nothing, and deleting it is no change of an input.
fn is_own_folder(evidence: &Evidence, path: &Path, seen: &Seen, fate: &Fate) -> bool {
    let listed = seen.list.as_deref().map(|(first, _)| first);
    let first = [seen.kind.as_deref(), seen.stat.as_deref(), listed].into_iter().flatten().next();
    let is_folder = first.is_some_and(|first| matches!(first.found, Found::Folder(_)));
    is_folder
        && fate.change.is_none()
        && evidence.zones.of(path) == Zone::Workspace
        && (evidence.folder_made_before)(path)
}

/// Something could be made because there was a folder to make it in. If a run of this step had made that
/// folder it counts as made by this run too; otherwise it is an input.
fn settle_folder_around(evidence: &Evidence, rules: &Rules, path: &Path, seen: &Seen, settled: &mut Settled) {
    let Some(made) = seen.change.as_deref().filter(|change| change.found == Found::Absent) else { return };
    let root = &evidence.zones.places.root;
    let Some(folder) = path.parent().filter(|folder| folder.starts_with(root) && folder != root) else {
        return;
    };
    let around = evidence.observed.seen(folder);
    let is_new = around.is_some_and(|seen| {
        let change = seen.change.as_deref().filter(|change| change.order < made.order);
        change.is_some_and(|change| change.found == Found::Absent || seen.removed)
    });
    if is_new || evidence.zones.of(folder) != Zone::Workspace || rules.ignores_write(folder).is_some() {
        return;
    }
    if (evidence.folder_made_before)(folder) {
        if rules.output_counts(folder) {
            settled.outputs.push(folder.to_path_buf());
        }
    } else if rules.input_counts(folder) && rules.ignores_read(folder).is_none() {
        let value = InputValue::Known(Value::FOLDER);
        settled.inputs.push(input(evidence, folder, Query::Kind, value, made));
    }
}

/// What the step did to a path: output, removal, or a reason to refuse.
#[allow(clippy::too_many_arguments, reason = "one path with all that is known of it")]
fn settle_change(
    evidence: &Evidence,
    rules: &Rules,
    path: &Path,
    zone: Zone,
    seen: &Seen,
    fate: &Fate,
    change: &First,
    settled: &mut Settled,
) -> Result<(), Refusal> {
    let is_gone = *fate.end == Found::Absent;
    let is_temporary = is_gone && change.found == Found::Absent;
    if zone == Zone::Scratch || (is_temporary && zone != Zone::Workspace) {
        return Ok(());
    }
    let overlap = || Refusal::ReadWriteOverlap {
        path: evidence.zones.places.portable(path).to_string(),
        process: evidence.observed.process(change.pid).to_owned(),
    };
    let read = first_content_read(seen).filter(|read| fate.is_before_change(read));
    let counts = rules.input_counts(path) && (zone != Zone::Git || Zones::is_git_stamp(path));
    let overlaps = read.filter(|_| counts).is_some_and(|read| {
        let known = is_left_whole(evidence, path)
            || matches!(&read.found, Found::File(stamp) if (evidence.digest_before)(path, stamp).is_some());
        // An adapter's word counts as far as it may hide the read.
        let hidden =
            || rules.ignores_read(path).is_some_and(|rule| rule.may_hide(evidence, path, &read.found));
        matches!(read.found, Found::File(_)) && !known && !hidden()
    });
    if zone == Zone::Git {
        let changes = rules.output_counts(path) && changes_version(evidence, path, change, fate);
        return match (overlaps, changes) {
            (true, _) => Err(overlap()),
            (false, true) => Err(Refusal::WroteOutside(evidence.zones.places.portable(path).to_string())),
            (false, false) => Ok(()),
        };
    }
    if let Some(rule) = rules.ignores_write(path) {
        // What was read counts all the same, and nobody knows what it was.
        if overlaps {
            return Err(overlap());
        }
        if rule.may_hide_write(evidence, path, &change.found) {
            settled.ignored.push(rule.ignored(path, false));
            return Ok(());
        }
        settled.narrowing_refused.push(rule.ignored(path, false));
    }
    if is_temporary {
        // Neither input nor output; but what lies there at a hit would not have outlived a run. Below a
        // folder that is gone nothing lies.
        let above_is_gone = path.parent().and_then(|above| evidence.ends.get(above)) == Some(&Found::Absent);
        if seen.removed && !above_is_gone {
            settled.removed.push(path.to_path_buf());
            settled.temporary.push(path.to_path_buf());
        }
        return Ok(());
    }
    if zone == Zone::Outside {
        // A folder only counts as written through what is in it.
        return match (&change.found, fate.end) {
            (Found::Folder(_), Found::Folder(_)) => Ok(()),
            _ => Err(Refusal::WroteOutside(evidence.zones.places.portable(path).to_string())),
        };
    }
    if overlaps {
        return Err(overlap());
    }
    if is_gone {
        settled.removed.push(path.to_path_buf());
        if !was_made_before(evidence, path, change) && rules.ignores_read(path).is_none() {
            let query = if matches!(change.found, Found::Absent) { Query::Absent } else { Query::Kind };
            let value = InputValue::Known(Value::kind(&change.found));
            settled.inputs.push(input(evidence, path, query, value, change));
        }
    } else if *fate.end == Found::Other && rules.output_counts(path) {
        let path = evidence.zones.places.portable(path);
        return Err(Refusal::StoreFailed(format!(
            "{path} is a pipe, a socket or a device, which no archive holds"
        )));
    } else if rules.output_counts(path) {
        settled.outputs.push(path.to_path_buf());
        let is_own = || was_made_before(evidence, path, change);
        if is_program_as_before(seen, change, fate)
            || (seen.removed && change.found != Found::Absent && !is_own())
        {
            let value = InputValue::Known(Value::kind(&change.found));
            settled.inputs.push(input(evidence, path, Query::Kind, value, change));
        }
    }
    Ok(())
}

/// Whether a file that was overwritten is executable, as it was, and nobody set its permissions: it may be
/// so only because it was. (Who removes it first makes another file, with an inode of its own.)
fn is_program_as_before(seen: &Seen, change: &First, fate: &Fate) -> bool {
    match (&change.found, fate.end) {
        _ if seen.meta_is_set => false,
        (Found::File(before), Found::File(after)) => {
            before.is_executable()
                && after.is_executable()
                && (before.dev, before.ino) == (after.dev, after.ino)
        }
        _ => false,
    }
}

/// Whether the step made git say something else than before: a commit, a branch, a file staged. A hit
/// could not do that. A file that was written anew with the same content says the same.
fn changes_version(evidence: &Evidence, path: &Path, change: &First, fate: &Fate) -> bool {
    if !Zones::is_git_stamp(path) {
        return false;
    }
    match (&change.found, fate.end) {
        (Found::File(stamp), Found::File(_)) => {
            let before = (evidence.digest_before)(path, stamp);
            before.is_none() || before != (evidence.digest_now)(path)
        }
        (_, Found::Folder(_)) => false,
        _ => true,
    }
}

/// Whether a run of this step is known to have made what it now removed. Folders are known by what
/// was in them.
fn was_made_before(evidence: &Evidence, path: &Path, change: &First) -> bool {
    let is_file = |seen: &Seen| {
        seen.change.as_ref().is_some_and(|change| matches!(change.found, Found::File(_) | Found::Link(_)))
    };
    let below = || {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let inside =
            evidence.observed.paths.range::<Path, _>(after).take_while(|(other, _)| other.starts_with(path));
        inside.filter(|(_, seen)| is_file(seen)).any(|(other, _)| (evidence.made_before)(other))
    };
    (evidence.made_before)(path) || (matches!(change.found, Found::Folder(_)) && below())
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

/// What the step learned from a path: content, absence, kind, link. Listings come later, when all
/// outputs are known.
fn settle_reads(
    evidence: &Evidence,
    rules: &Rules,
    path: &Path,
    seen: &Seen,
    fate: &Fate,
    settled: &mut Settled,
) {
    let firsts = [first_content_read(seen), seen.stat.as_deref(), seen.kind.as_deref(), seen.link.as_deref()];
    let list = seen.list.as_deref().map(|(first, _)| first);
    let Some(earliest) = firsts.into_iter().chain([list]).flatten().min_by_key(|first| first.order) else {
        return;
    };
    if !fate.is_before_change(earliest) {
        return;
    }
    if let Some(rule) = rules.ignores_read(path) {
        if rule.may_hide(evidence, path, &earliest.found) {
            settled.ignored.push(rule.ignored(path, true));
            return;
        }
        settled.narrowing_refused.push(rule.ignored(path, true));
    }
    let holds_root = evidence.zones.places.root.starts_with(path) && evidence.zones.places.root != path;
    if !rules.input_counts(path) || is_searched_program(evidence, path) || holds_root {
        return;
    }
    if earliest.found == Found::Absent && fate.change.is_some() && *fate.end != Found::Absent {
        settled.found_bare.push(path.to_path_buf());
    }
    let read = first_content_read(seen).filter(|first| fate.is_before_change(first));
    // What the step itself replaces, creates or removes was merely probed, unless its content was read.
    let stat = seen.stat.as_deref().filter(|_| fate.change.is_none());
    let kind = seen.kind.as_deref().filter(|_| fate.change.is_none());
    let listed = list.filter(|first| fate.change.is_none() && !matches!(first.found, Found::Folder(_)));
    let link = seen.link.as_deref().filter(|first| fate.is_before_change(first));
    for first in [read, stat, listed].into_iter().flatten() {
        let (query, value) = match &first.found {
            Found::File(stamp) => (Query::Content, file_value(evidence, path, stamp, fate)),
            Found::Absent if fate.change.is_some() => continue,
            Found::Absent => (Query::Absent, InputValue::Known(Value::ABSENT)),
            Found::Link(text) => (Query::Link, InputValue::Known(Value::link(text))),
            Found::Folder(_) | Found::Other => (Query::Kind, InputValue::Known(Value::kind(&first.found))),
        };
        settled.inputs.push(input(evidence, path, query, value, first));
    }
    if let Some(first) = link {
        match &first.found {
            Found::Link(text) => {
                settled.inputs.push(input(
                    evidence,
                    path,
                    Query::Link,
                    InputValue::Known(Value::link(text)),
                    first,
                ));
            }
            Found::Absent if fate.change.is_some() => {}
            found => {
                let query = if *found == Found::Absent { Query::Absent } else { Query::Kind };
                settled.inputs.push(input(
                    evidence,
                    path,
                    query,
                    InputValue::Known(Value::kind(found)),
                    first,
                ));
            }
        }
    }
    if let Some(first) = probed_before_replaced(evidence, path, seen, fate) {
        let value = InputValue::Known(Value::kind(&first.found));
        settled.inputs.push(input(evidence, path, Query::Kind, value, first));
    }
    if let Some(first) = kind {
        let query = if first.found == Found::Absent { Query::Absent } else { Query::Kind };
        settled.inputs.push(input(
            evidence,
            path,
            query,
            InputValue::Known(Value::kind(&first.found)),
            first,
        ));
    }
}

/// That something of others was there to be replaced may have mattered to who looked first.
fn probed_before_replaced<'a>(
    evidence: &Evidence,
    path: &Path,
    seen: &'a Seen,
    fate: &Fate,
) -> Option<&'a First> {
    let first =
        [seen.stat.as_deref(), seen.kind.as_deref()].into_iter().flatten().min_by_key(|first| first.order)?;
    let is_replaced = fate.change.is_some_and(|change| first.order < change.order)
        && matches!(first.found, Found::File(_) | Found::Link(_))
        && *fate.end != Found::Absent;
    (is_replaced && !(evidence.made_before)(path)).then_some(first)
}

/// The value of a file that was read: still to be digested, unless the step changed it afterwards.
fn file_value(evidence: &Evidence, path: &Path, stamp: &Stamp, fate: &Fate) -> InputValue {
    match fate.change {
        None => InputValue::File(*stamp),
        Some(_) => match (evidence.digest_before)(path, stamp) {
            Some(digest) => InputValue::Known(Value::content(digest, stamp.is_executable())),
            // That it is not as it was read makes a Refusal of it.
            None => InputValue::File(*stamp),
        },
    }
}

/// A program found by searching PATH counts by its name, and the search is made again at a look-up: so
/// neither what was found counts by its path, nor the candidates that were probed before it.
fn is_searched_program(evidence: &Evidence, path: &Path) -> bool {
    let searched = &evidence.observed.searched;
    let is_candidate = || {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| searched.contains_key(name))
            && path.parent().is_some_and(|folder| evidence.search.iter().any(|searched| searched == folder))
    };
    searched.values().any(|found| found == path) || is_candidate()
}

/// A listing counts without the names that the step made or may ignore; and not at all where the step
/// removed the folder or everything that was in it.
fn settle_listings(
    evidence: &Evidence,
    rules: &Rules,
    touched: &BTreeSet<&Path>,
    inputs: &mut Vec<Input>,
    emptied: &mut Vec<PathBuf>,
) {
    for (path, seen) in &evidence.observed.paths {
        let Some((first, names)) = seen.list.as_deref() else { continue };
        let fate = Fate::of(seen, evidence.ends.get(path));
        let zone = evidence.zones.of(path);
        let counts = matches!(zone, Zone::Workspace | Zone::Outside)
            || (zone == Zone::Git && Zones::is_git_stamp(path));
        // Where things went depends on what there was, if they were not just removed.
        let is_gone = seen.removed && !seen.renamed;
        if !matches!(first.found, Found::Folder(_)) || is_gone || !counts || !rules.input_counts(path) {
            continue;
        }
        let hidden = |rule: &crate::rules::Rule| rule.may_hide_listing(evidence, path, names);
        if rules.ignores_read(path).is_some_and(hidden) {
            continue;
        }
        let is_own = |name: &OsString| {
            let child = path.join(name);
            let mut below =
                touched.range::<&Path, _>(child.as_path()..).take_while(|next| next.starts_with(&child));
            let change = evidence.observed.seen(&child).and_then(|seen| seen.change.as_ref());
            let is_new = change.is_some_and(|change| change.found == Found::Absent);
            // A name that was there before counts, unless a run of this step had left it: a person's file
            // that the step replaces was seen in the listing, and may be missing next time.
            let is_left = below.any(|next| (evidence.made_before)(next));
            let is_kept = || rules.keeps(&child) && (evidence.made_before)(&child);
            let is_ignored = || {
                let may_hide = |rule: &crate::rules::Rule| rule.may_hide_name(evidence, &child);
                evidence.zones.of(&child) == Zone::Noise || rules.ignores_write(&child).is_some_and(may_hide)
            };
            is_new || is_left || is_ignored() || is_kept() || (evidence.is_tool_state)(&child)
        };
        let own_now: BTreeSet<OsString> = touched
            .range::<&Path, _>(path.as_path()..)
            .skip_while(|next| *next == path)
            .take_while(|next| next.starts_with(path))
            .filter_map(|next| next.strip_prefix(path).ok()?.components().next())
            .map(|name| name.as_os_str().to_owned())
            .collect();
        let mut except: BTreeSet<OsString> =
            names.iter().map(|(name, _)| name).filter(|name| is_own(name)).cloned().collect();
        let is_removed = |name: &OsString| {
            let seen = evidence.observed.seen(&path.join(name));
            seen.is_some_and(|seen| seen.removed && !seen.renamed)
        };
        if !names.is_empty() && names.iter().all(|(name, _)| is_removed(name)) {
            if zone == Zone::Workspace {
                emptied.push(path.clone());
            }
            continue;
        }
        except.extend(
            own_now.into_iter().filter(|name| names.binary_search_by(|(other, _)| other.cmp(name)).is_err()),
        );
        let except: Vec<OsString> = except.into_iter().collect();
        let value = Value::listing(&(evidence.without_later)(path, names), &except);
        // That the folder is there counts by itself, unless a run of this step made it.
        let is_nothing = value == Value::listing(&Vec::new(), &[]);
        if is_nothing && fate.change.is_none() && !is_own_folder(evidence, path, seen, &fate) {
            inputs.push(input(evidence, path, Query::Kind, InputValue::Known(Value::FOLDER), first));
        }
        inputs.push(input(evidence, path, Query::Listing(except), InputValue::Known(value), first));
    }
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

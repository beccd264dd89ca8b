//! What changes while a run goes on, and which steps that touches: by the inputs that their last runs
//! were found to have; where none are known, by the folder of the package.

use super::doings::Doings;
use crate::event::Event;
use crate::outcome::{Outcome, Refusal};
use crate::plan::Plan;
use crate::step::{self, Shared};
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rustc_hash::FxHashSet;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// So long nothing more must have changed before a change counts: editors and version control write
/// many files at once.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Files that the plan is made of.
const PLAN_FILES: [&str; 4] = ["package.json", "overhear.json", "vite-task.json", "pnpm-workspace.yaml"];
/// So much earlier than it happened a change may be dated.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);
/// So many folders of `node_modules` are watched at most; the system has a limit for all programs of a user.
const MODULES_MAX: usize = 4096;
/// Folders whose content nobody edits.
const LEFT_OUT: [&str; 3] = ["node_modules", ".git", crate::store::FOLDER];

/// Those of them that come and go by what overhear and git do for themselves.
const OWN_FOLDERS: [&str; 2] = [".git", crate::store::FOLDER];

/// Something that changed.
#[derive(Clone, Debug)]
struct Change {
    path: PathBuf,
    /// It came, went or was renamed: its folder has other names now.
    is_entry: bool,
    at: Instant,
}

type Told = Arc<Mutex<Option<Box<dyn Fn() + Send>>>>;

/// Watches the folders of a workspace.
pub struct Watch {
    watcher: RecommendedWatcher,
    /// Changes that nobody has looked at; `None` for some that were lost.
    changes: Arc<Mutex<Vec<Option<Change>>>>,
    told: Told,
    watched: FxHashSet<PathBuf>,
    /// Folders in `node_modules` that hold inputs. Whatever else changes there is nobody's concern.
    modules: FxHashSet<PathBuf>,
    /// The file that the last plan was given up for.
    plan_file: Option<PathBuf>,
}

impl Watch {
    /// Begins to watch all folders below the root but those that nobody edits. What changes from now
    /// on is noticed.
    ///
    /// # Errors
    /// What the system says, with what to do.
    pub fn begin(root: &Path) -> Result<Watch, String> {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let told: Told = Told::default();
        let (noted, tell) = (Arc::clone(&changes), Arc::clone(&told));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if note(event, &mut noted.lock().unwrap_or_else(PoisonError::into_inner))
                && let Some(tell) = &*tell.lock().unwrap_or_else(PoisonError::into_inner)
            {
                tell();
            }
        });
        let watcher = watcher.map_err(|error| format!("cannot watch files: {error}"))?;
        let mut watch = Watch {
            watcher,
            changes,
            told,
            watched: FxHashSet::default(),
            modules: FxHashSet::default(),
            plan_file: None,
        };
        watch.add(root)?;
        Ok(watch)
    }

    /// The file of which a plan is made that changed last.
    pub fn plan_file(&self) -> Option<&Path> {
        self.plan_file.as_deref()
    }

    /// Calls `told` after changes, on a thread of its own.
    pub fn tell(&self, told: impl Fn() + Send + 'static) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(told));
    }

    /// Calls nobody any more.
    pub fn tell_nobody(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until something changed that a plan is made of, or `goes_on` says no.
    pub fn wait_for_plan_file(&mut self, goes_on: impl Fn() -> bool) {
        let (tell, told) = std::sync::mpsc::channel();
        // It may be gone already: then nobody waits.
        self.tell(move || {
            let _ = tell.send(());
        });
        while goes_on() {
            let changes = self.take();
            if changes.iter().flatten().any(|change| is_plan_file(&change.path)) {
                break;
            }
            // Now and then it is asked whether to go on.
            let _ = told.recv_timeout(2 * DEBOUNCE);
        }
        self.tell_nobody();
        // What is written now is read whole.
        std::thread::sleep(DEBOUNCE);
    }

    /// Watches a folder and those below it.
    fn add(&mut self, folder: &Path) -> Result<(), String> {
        let mut open = vec![folder.to_path_buf()];
        while let Some(folder) = open.pop() {
            if !self.watched.insert(folder.clone()) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                Err(notify::Error { kind: notify::ErrorKind::MaxFilesWatch, .. }) => {
                    return Err(format!(
                        "cannot watch {}: no more folders may be watched; raise fs.inotify.max_user_watches",
                        folder.display()
                    ));
                }
                // It went meanwhile, or may not be read: nothing below it is an input then.
                Err(_) => continue,
            }
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(folders.filter(|entry| !is_left_out(&entry.file_name())).map(|entry| entry.path()));
        }
        Ok(())
    }

    /// Watches also the folders of these paths in `node_modules`, or the nearest ones above that are there, and
    /// gives what may have changed there since. Of more folders than may be watched the rest is not: an
    /// install changes a file that the plan is made of too.
    fn add_modules<'p>(
        &mut self,
        paths: impl Iterator<Item = &'p PathBuf>,
        since: SystemTime,
    ) -> Vec<Change> {
        let mut added = FxHashSet::default();
        let mut changes = Vec::new();
        for path in paths {
            let is_module = |folder: &&Path| folder.iter().any(|name| name == "node_modules");
            let Some(folder) = path.ancestors().skip(1).take_while(is_module).find(|folder| folder.is_dir())
            else {
                continue;
            };
            if !self.modules.contains(folder)
                && self.modules.len() < MODULES_MAX
                && self.watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.modules.insert(folder.to_path_buf());
                added.insert(folder);
            }
            if added.contains(folder) {
                // What happened before it was watched.
                let news =
                    [folder, path].into_iter().filter(|path| last_change(path).is_some_and(|at| at >= since));
                let at = Instant::now();
                changes.extend(news.map(|path| Change { path: path.to_path_buf(), is_entry: true, at }));
            }
        }
        changes
    }

    /// Whether a change is in a folder of `node_modules`, or is one.
    fn is_in_modules(&self, change: &Change) -> bool {
        let is_one = |path: &Path| self.modules.contains(path);
        is_one(&change.path) || change.path.parent().is_some_and(is_one)
    }

    /// What changed since the last call. Folders that came are watched from now on, with what was put
    /// into them meanwhile.
    fn take(&mut self) -> Vec<Option<Change>> {
        let mut changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut came: Vec<PathBuf> = Vec::new();
        for change in changes.iter().flatten().filter(|change| change.is_entry) {
            self.watched.remove(&change.path);
            self.modules.remove(&change.path);
            let in_modules = change.path.parent().is_some_and(|parent| self.modules.contains(parent));
            let left_out = in_modules || change.path.file_name().is_some_and(is_left_out);
            if !left_out && change.path.is_dir() && !change.path.is_symlink() {
                came.push(change.path.clone());
            }
        }
        for folder in came {
            // Too many folders: those that were there before are still watched.
            let _ = self.add(&folder);
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            changes.extend(
                entries.map(|entry| Some(Change { path: entry.path(), is_entry: true, at: Instant::now() })),
            );
        }
        changes
    }
}

/// When a path was last changed; of one that is gone, when it went at the latest.
fn last_change(path: &Path) -> Option<SystemTime> {
    let found = path.symlink_metadata().or_else(|error| match path.parent() {
        Some(parent) => parent.symlink_metadata(),
        None => Err(error),
    });
    let found = found.ok()?;
    let seconds = Duration::new(u64::try_from(found.ctime()).ok()?, u32::try_from(found.ctime_nsec()).ok()?);
    Some(SystemTime::UNIX_EPOCH + seconds)
}

fn is_left_out(name: &std::ffi::OsStr) -> bool {
    LEFT_OUT.iter().any(|left_out| name == *left_out)
}

fn is_plan_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| PLAN_FILES.iter().any(|file| name == *file))
}

/// Whether something was noted.
fn note(event: notify::Result<notify::Event>, changes: &mut Vec<Option<Change>>) -> bool {
    let before = changes.len();
    match event {
        Ok(event) if event.need_rescan() => changes.push(None),
        Ok(event) => {
            let is_entry = match event.kind {
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => true,
                EventKind::Modify(_) => false,
                _ => return false,
            };
            let at = Instant::now();
            changes.extend(event.paths.into_iter().map(|path| Some(Change { path, is_entry, at })));
        }
        Err(_) => changes.push(None),
    }
    changes.len() > before
}

/// Which steps changes touch.
pub(super) struct Touch<'a> {
    watch: &'a mut Watch,
    plan: &'a Plan,
    shared: &'a Shared<'a>,
    known: Vec<Known>,
    /// Steps that ended in this round.
    ended: Vec<usize>,
    /// Steps whose inputs changed while they ran.
    overtaken: Vec<usize>,
    noted: Vec<Change>,
    /// Some changes are not known: every step may be touched.
    is_blind: bool,
    must_replan: bool,
    in_round: bool,
    round: usize,
    round_began: SystemTime,
    doings: Doings,
}

/// What is known of one step.
#[derive(Default)]
struct Known {
    /// Paths whose content, kind or absence counted.
    inputs: BTreeSet<PathBuf>,
    /// Folders whose names counted.
    listings: FxHashSet<PathBuf>,
    outputs: FxHashSet<PathBuf>,
    /// The last run was overheard and kept: nothing else counted.
    is_complete: bool,
    /// When it last could start: what was there then, it has seen.
    starts: Option<SystemTime>,
    /// When it last ran.
    began: Option<SystemTime>,
    ended: Option<SystemTime>,
}

impl<'a> Touch<'a> {
    /// The first round begins.
    pub fn new(watch: &'a mut Watch, plan: &'a Plan, shared: &'a Shared<'a>) -> Touch<'a> {
        let known = plan.steps.iter().map(|_| Known::default()).collect();
        Touch {
            watch,
            plan,
            shared,
            known,
            ended: Vec::new(),
            overtaken: Vec::new(),
            noted: Vec::new(),
            is_blind: false,
            must_replan: false,
            in_round: true,
            round: 1,
            round_began: SystemTime::now(),
            doings: Doings::default(),
        }
    }

    /// A step may start from now on.
    pub fn starts(&mut self, index: usize) {
        self.known[index].starts = Some(SystemTime::now());
    }

    /// Notes when a command began.
    pub fn saw(&mut self, event: &Event) {
        if let Event::Started { step, .. } = event {
            self.known[step.index].began = Some(SystemTime::now());
        }
    }

    /// A step ended.
    pub fn ended(&mut self, index: usize, outcome: &Outcome) {
        let known = &mut self.known[index];
        known.ended = Some(SystemTime::now());
        known.is_complete =
            matches!(outcome, Outcome::Fresh(_) | Outcome::Restored(_) | Outcome::Ran { kept: Some(_), .. });
        self.ended.push(index);
        if matches!(outcome, Outcome::Ran { refusal: Some(Refusal::InputChangedDuringRun(_)), .. }) {
            self.overtaken.push(index);
        }
    }

    /// Takes in what changed, and how long it may still be waited for more.
    pub fn collect(&mut self) {
        for change in self.watch.take() {
            match change {
                // The first run makes the cache folder, and git its own.
                Some(change) if OWN_FOLDERS.iter().any(|own| change.path.ends_with(own)) => {}
                Some(change)
                    if self.watch.is_in_modules(&change)
                        && !self.known.iter().any(|known| known.depends_on(&change)) => {}
                Some(change) => self.noted.push(change),
                None => self.is_blind = true,
            }
        }
    }

    /// How long nothing needs to be done unless something happens; at most `most`.
    pub fn patience(&self, most: Duration) -> Duration {
        match self.noted.last() {
            Some(last) if !self.in_round => DEBOUNCE.saturating_sub(last.at.elapsed()),
            _ => most,
        }
    }

    /// Whether a file changed that the plan is made of.
    pub fn must_replan(&self) -> bool {
        self.must_replan
    }

    /// Whether a round has just ended. What its steps depended on is looked up then.
    pub fn round_ends(&mut self) -> bool {
        for index in std::mem::take(&mut self.ended) {
            self.learn(index);
        }
        std::mem::replace(&mut self.in_round, false)
    }

    /// The steps that are touched by what changed, once nothing more changes.
    pub fn due(&mut self, now: Instant) -> Vec<usize> {
        let is_quiet =
            self.noted.last().is_none_or(|last| now.saturating_duration_since(last.at) >= DEBOUNCE);
        if !is_quiet || (self.noted.is_empty() && self.overtaken.is_empty() && !self.is_blind) {
            return Vec::new();
        }
        let overtaken = std::mem::take(&mut self.overtaken);
        let noted = std::mem::take(&mut self.noted);
        let plan_file =
            noted.iter().find(|change| is_plan_file(&change.path) && !self.is_output(&change.path));
        if let Some(change) = plan_file {
            self.watch.plan_file = Some(change.path.clone());
            self.must_replan = true;
            return Vec::new();
        }
        let is_blind = std::mem::take(&mut self.is_blind);
        let own = self.own_doings(&noted);
        let touched: Vec<usize> = (0..self.known.len())
            .filter(|index| {
                is_blind
                    || overtaken.contains(index)
                    || noted.iter().any(|change| self.touches(change, *index, &own))
            })
            .collect();
        if !touched.is_empty() {
            self.shared.digests.seen.forget();
            self.shared.digests.forget_programs();
            (self.in_round, self.round_began) = (true, SystemTime::now());
            self.round += 1;
        }
        touched
    }

    /// What commands of which nothing is known changed themselves, of changes that would run others again.
    fn own_doings(&mut self, noted: &[Change]) -> FxHashSet<PathBuf> {
        let nobody = FxHashSet::default();
        let steps = || 0..self.known.len();
        let would_touch = |change: &&Change| {
            let is_unknown = |index: &usize| !self.known[*index].is_complete;
            steps().filter(is_unknown).any(|index| self.touches(change, index, &nobody))
        };
        // A persistent task runs all the time.
        let in_a_run = |change: &&Change| {
            steps().any(|index| {
                !self.plan.steps[index].config.persistent && self.known[index].has_unknown_run_at(change)
            })
        };
        let changed: FxHashSet<PathBuf> =
            noted.iter().filter(in_a_run).filter(would_touch).map(|change| change.path.clone()).collect();
        if changed.is_empty() {
            return changed;
        }
        self.doings.of_round(&self.shared.zones.places.root, self.round, changed)
    }

    /// `own`: what commands of which nothing is known changed themselves.
    fn touches(&self, change: &Change, index: usize, own: &FxHashSet<PathBuf>) -> bool {
        let known = &self.known[index];
        if known.is_complete {
            // What an earlier step of the round made is no news to the later ones.
            let is_before = |time: Option<SystemTime>| {
                last_change(&change.path).zip(time).is_some_and(|(changed, time)| changed <= time)
            };
            // Of a folder that is there the step itself changed the names.
            let holds_own = || known.outputs.iter().any(|output| output.starts_with(&change.path));
            let was_there = || is_before(known.starts) || is_before(known.ended) && holds_own();
            // Somebody took away what it made, and a hit puts it back.
            let is_lost = known.outputs.contains(&change.path) && change.path.symlink_metadata().is_err();
            let is_made = || self.is_output(&change.path) || self.holds_output(&change.path);
            return is_lost || known.depends_on(change) && !(is_made() && was_there());
        }
        let step = &self.plan.steps[index];
        let is_near = change.path.starts_with(&step.package.dir) || known.depends_on(change);
        // What changed before a command began it has seen; what changed while it ran may be its own doing.
        let is_later = || {
            let ended = if step.config.persistent { None } else { known.ended };
            let was_before = || last_change(&change.path).zip(ended).is_some_and(|(at, ended)| at <= ended);
            !was_before()
        };
        is_near && !self.is_output(&change.path) && !own.contains(&change.path) && is_later()
    }

    fn is_output(&self, path: &Path) -> bool {
        self.known.iter().any(|known| known.outputs.contains(path))
    }

    /// Whether a folder is there for outputs.
    fn holds_output(&self, path: &Path) -> bool {
        path.is_dir()
            && self.known.iter().flat_map(|known| &known.outputs).any(|output| output.starts_with(path))
    }

    /// Reads what the last run of a step was found to depend on.
    fn learn(&mut self, index: usize) {
        let Ok(store) = &self.shared.store else { return };
        let last = store.last_run(step::scope(&self.plan.steps[index])).ok().flatten();
        let facts = last.and_then(|last| step::read_facts(&last.report)).unwrap_or_default();
        let places = &self.shared.zones.places;
        let path = |fact: &Value| {
            let path = crate::path::PortablePath::from_bytes(fact["path"].as_str()?.as_bytes());
            Some(places.absolute(&path))
        };
        let list = |key: &str| facts[key].as_array().cloned().unwrap_or_default();
        let known = &mut self.known[index];
        known.is_complete &= facts["stored"] == Value::Bool(true);
        known.outputs = list("outputs").iter().filter_map(path).collect();
        if known.is_complete {
            (known.inputs, known.listings) = Default::default();
        }
        for input in list("inputs").iter().filter(|input| input["as"] != "program") {
            let Some(path) = path(input) else { continue };
            if input["as"] == "listing" {
                known.listings.insert(path);
            } else {
                known.inputs.insert(path);
            }
        }
        let in_modules = |path: &&PathBuf| {
            let inside = path.strip_prefix(&places.root);
            inside.is_ok_and(|inside| inside.iter().any(|name| name == "node_modules"))
        };
        let news =
            self.watch.add_modules(known.inputs.iter().filter(in_modules), self.round_began - CLOCK_GRAIN);
        self.noted.extend(news.into_iter().filter(|change| known.depends_on(change)));
    }
}

impl Known {
    /// Whether something changed while a command ran of which nothing is known.
    fn has_unknown_run_at(&self, change: &Change) -> bool {
        let (Some(began), Some(ended)) = (self.began, self.ended) else { return false };
        !self.is_complete && last_change(&change.path).is_some_and(|at| began <= at && at <= ended)
    }

    /// Whether a change is one of what the step depended on: the path, the names in its folder, or
    /// something below a folder that came or went.
    fn depends_on(&self, change: &Change) -> bool {
        if self.outputs.contains(&change.path) {
            return false;
        }
        if self.inputs.contains(&change.path) {
            return true;
        }
        let is_listed = || change.path.parent().is_some_and(|parent| self.listings.contains(parent));
        let holds_one = || {
            let after = (Bound::Excluded(change.path.as_path()), Bound::Unbounded);
            let next = self.inputs.range::<Path, _>(after).next();
            next.is_some_and(|input| input.starts_with(&change.path)) || self.listings.contains(&change.path)
        };
        change.is_entry && (is_listed() || holds_one())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, is_entry: bool) -> Change {
        Change { path: path.into(), is_entry, at: Instant::now() }
    }

    #[test]
    fn a_step_is_touched_by_what_its_last_run_depended_on_and_by_nothing_else() {
        let known = Known {
            inputs: ["/w/src/a.ts", "/w/absent", "/w/lib/deep/b.ts"].map(PathBuf::from).into(),
            listings: ["/w/src"].map(PathBuf::from).into_iter().collect(),
            outputs: ["/w/dist/a.js"].map(PathBuf::from).into_iter().collect(),
            is_complete: true,
            ..Known::default()
        };
        let cases = [
            (change("/w/src/a.ts", false), true),
            (change("/w/src/b.ts", false), false),
            (change("/w/src/b.ts", true), true),
            (change("/w/absent", true), true),
            (change("/w/lib", true), true),
            (change("/w/lib", false), false),
            (change("/w/li", true), false),
            (change("/w/dist/a.js", false), false),
        ];
        for (change, expected) in cases {
            assert_eq!(known.depends_on(&change), expected, "{change:?}");
        }
    }
}

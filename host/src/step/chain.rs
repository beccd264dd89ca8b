//! Hits of a chain: steps that each wait for nothing but the one before. They are looked up against a
//! virtual tree, the disk plus what the hits so far would put there, and the end state is put in place
//! once: before the first step that must run, or at the end (`docs/design/virtual-tree.md`).
//!
//! So a hit never undoes a later step, a chain whose later step rewrites an earlier one's file is fresh,
//! and nobody sees an old state.

use super::lookup::{self, Against, Lookup};
use super::{Cached, Decision, Emit, Shared, decide, notice};
use crate::digest::Digest;
use crate::outcome::{Hit, Miss, MissReason, Outcome};
use crate::path::PortablePath;
use crate::plan::{Plan, Step};
use crate::stamp::Found;
use crate::store::{Entry, OutputKind, ReplayError, StepLock, Survey, ToReplay, VirtualTree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So often the end state is decided anew when somebody changes files meanwhile.
const TRIES_MAX: usize = 8;

/// The chains of a plan, and what is already known of their steps.
pub struct Chains<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// For each step the one that waits for it and for nothing else, where nothing else waits for it.
    next: Vec<Option<usize>>,
    /// For each step the later ones of its task, by their scope.
    later: Vec<Vec<Digest>>,
    /// Hits whose outputs were put in place with those of an earlier step.
    found: Mutex<BTreeMap<usize, (Outcome, Entry)>>,
}

impl<'a> Chains<'a> {
    /// Of a plan.
    pub fn of(plan: &'a Plan) -> Chains<'a> {
        let mut waiting = vec![Vec::new(); plan.steps.len()];
        let mut of_task: BTreeMap<&str, Vec<(usize, Digest)>> = BTreeMap::new();
        for (index, step) in plan.steps.iter().enumerate() {
            step.waits_for.iter().for_each(|on| waiting[*on].push(index));
            let scope = super::scope(step);
            of_task.entry(&step.id.task).or_default().push((step.id.position, scope));
        }
        let next = |(index, waiting): (usize, &Vec<usize>)| match waiting.as_slice() {
            [only] if plan.steps[*only].waits_for == [index] => Some(*only),
            _ => None,
        };
        let later = |step: &Step| {
            let steps = of_task[&*step.id.task].iter();
            steps.filter(|(position, _)| *position > step.id.position).map(|(_, scope)| *scope).collect()
        };
        Chains {
            plan,
            next: waiting.iter().enumerate().map(next).collect(),
            later: plan.steps.iter().map(later).collect(),
            found: Mutex::default(),
        }
    }

    /// What is known of a step since an earlier one of its chain was looked up.
    pub fn take(&self, index: usize) -> Option<(Outcome, Entry)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&index)
    }

    /// Keeps what is known of a step until its turn comes.
    pub fn keep(&self, index: usize, outcome: Outcome, entry: Entry) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(index, (outcome, entry));
    }

    /// Whether a step is cached, with all that is known of it before it runs.
    pub(super) fn decide(&'a self, shared: &Shared<'a>, index: usize, emit: Emit) -> Decision<'a> {
        decide(shared, &self.plan.steps[index], &self.later[index], emit)
    }

    /// The steps of the chain that begins with one.
    fn members(&self, first: usize) -> Vec<usize> {
        std::iter::successors(Some(first), |last| self.next[*last]).collect()
    }
}

/// One step that hits.
pub struct ChainHit<'a> {
    /// Its position in the plan.
    pub index: usize,
    /// The step.
    pub cached: Box<Cached<'a>>,
    /// What it hit.
    pub entry: Entry,
    /// How long looking it up took.
    pub took: Duration,
    survey: Survey,
}

/// Why a chain of hits goes no further.
pub enum End<'a> {
    /// All its steps hit.
    Done,
    /// This step is not cached.
    Uncached(MissReason),
    /// No entry fits.
    Miss(Box<Cached<'a>>, Miss),
}

/// The hits with which a chain begins.
pub struct Chain<'a> {
    /// In order; perhaps none.
    pub hits: Vec<ChainHit<'a>>,
    /// What comes after them.
    pub end: End<'a>,
    /// The disk as they would leave it.
    pub tree: VirtualTree,
}

/// Knowledge of the entries that turned out damaged while their outputs were put in place, by step.
pub type Damaged = BTreeMap<usize, String>;

/// What became of the first step of a chain.
pub enum Begun<'a> {
    /// It hit, as did the steps that follow it here; their outputs are in place.
    Hits(Vec<(usize, Outcome, Entry)>),
    /// It is not cached.
    Uncached(MissReason),
    /// It must run.
    Miss(Box<Cached<'a>>, Miss),
}

/// How a chain is looked up.
pub struct Looking<'a, 'b> {
    /// What all steps share.
    pub shared: &'b Shared<'a>,
    /// The chains of the plan.
    pub chains: &'a Chains<'a>,
    /// Entries known to be damaged.
    pub damaged: &'b Damaged,
    /// Whether what was found is kept for the next time.
    pub remembers: bool,
    /// Where remarks go.
    pub emit: Emit<'b>,
}

/// Looks the chain up that begins with a step, and puts the end state of its hits in place.
pub fn begin<'a>(shared: &Shared<'a>, chains: &'a Chains<'a>, first: usize, emit: Emit) -> Begun<'a> {
    let mut damaged = Damaged::new();
    let mut locks: BTreeMap<Digest, StepLock> = BTreeMap::new();
    for _ in 0..TRIES_MAX {
        let looking = Looking { shared, chains, damaged: &damaged, remembers: true, emit };
        let chain = looking.look(first, &VirtualTree::default());
        if chain.hits.is_empty() {
            match chain.end {
                End::Miss(cached, miss) => return Begun::Miss(cached, miss),
                End::Uncached(why) => return Begun::Uncached(why),
                End::Done => {}
            }
        }
        if locks.is_empty() && has_to_wait(&chain, &mut locks) {
            shared.digests.seen.forget();
            continue;
        }
        match put_in_place(shared, &chain) {
            Ok(work) => return Begun::Hits(outcomes(chain, &work)),
            Err(ReplayError::Archive(index, fault)) => {
                let hit = chain.hits.iter().find(|hit| hit.index == index);
                let hit = hit.expect("only the archives of these hits were opened");
                notice(shared, hit.cached.step, format!("cache entry not used: {fault}"), emit);
                // The run that follows stores it anew.
                let _ = hit.cached.store.remove_entry(hit.entry.fingerprint);
                damaged.insert(hit.index, fault.to_string());
            }
            Err(ReplayError::Changed(_)) => shared.digests.seen.forget(),
            Err(ReplayError::Store(fault)) => {
                let first = chain.hits.into_iter().next().expect("a chain without hits was dealt with");
                notice(shared, first.cached.step, format!("cache not used: {fault}"), emit);
                return Begun::Miss(first.cached, MissReason::EntryDamaged(fault.to_string()).into());
            }
        }
    }
    match chains.decide(shared, first, emit) {
        Decision::Uncached(why) => Begun::Uncached(why),
        Decision::Cached(cached) => {
            let why = "its files keep changing while the outputs are put in place".to_owned();
            Begun::Miss(cached, MissReason::EntryDamaged(why).into())
        }
    }
}

/// Looks up the step that is to be run, again: another overhear has just run it.
pub fn look_again(shared: &Shared, cached: &Cached, emit: Emit) -> Result<(Outcome, Entry), Miss> {
    let began = Instant::now();
    shared.digests.seen.forget();
    let mut tree = VirtualTree::default();
    let against = Against { tree: &tree, later: &[], remembers: true };
    let (entry, survey) = look_up(shared, cached, &against, emit)?;
    plan_hit(shared, cached, &entry, &survey, 0, &mut tree);
    let hit = [ToReplay { index: 0, step: cached.scope, entry: &entry, survey: &survey }];
    let work = cached
        .store
        .replay(&tree, &hit, &shared.zones.places, shared.digests)
        .map_err(|fault| Miss::from(MissReason::EntryDamaged(fault.to_string())))?;
    let outcome = outcome(cached, &entry, began.elapsed(), !work.is_empty());
    Ok((outcome, entry))
}

impl<'a> Looking<'a, '_> {
    /// The hits with which a chain begins, on top of a tree. Nothing is put in place.
    pub fn look(&self, first: usize, tree: &VirtualTree) -> Chain<'a> {
        let mut members = self.chains.members(first);
        let mut chain = self.prefix(&members, tree);
        // What a later step left may stay where it is only if that step hits too: one that runs must
        // find what the steps before it leave, and nothing of its own.
        while chain.hits.len() < members.len() && !chain.hits.is_empty() {
            members.truncate(chain.hits.len());
            let shorter = self.prefix(&members, tree);
            let is_as_long = shorter.hits.len() == members.len();
            chain = if is_as_long { Chain { end: chain.end, ..shorter } } else { shorter };
        }
        chain
    }

    /// The longest row of these steps that hit, each looked up against what those before it leave.
    fn prefix(&self, members: &[usize], tree: &VirtualTree) -> Chain<'a> {
        let mut chain = Chain { hits: Vec::with_capacity(members.len()), end: End::Done, tree: tree.clone() };
        let scope = |index: &usize| super::scope(&self.chains.plan.steps[*index]);
        for (nth, index) in members.iter().enumerate() {
            let began = Instant::now();
            let cached = match self.chains.decide(self.shared, *index, self.emit) {
                Decision::Cached(cached) => cached,
                Decision::Uncached(why) => {
                    chain.end = End::Uncached(why);
                    break;
                }
            };
            let later: Vec<Digest> = members[nth + 1..].iter().map(scope).collect();
            let against = Against { tree: &chain.tree, later: &later, remembers: self.remembers };
            match look_up(self.shared, &cached, &against, self.emit) {
                Ok((entry, survey)) => {
                    plan_hit(self.shared, &cached, &entry, &survey, *index, &mut chain.tree);
                    chain.hits.push(ChainHit { index: *index, cached, entry, survey, took: began.elapsed() });
                }
                Err(miss) => {
                    let was_damaged = self.damaged.get(index).cloned();
                    let miss = was_damaged.map_or(miss, |why| MissReason::EntryDamaged(why).into());
                    chain.end = End::Miss(cached, miss);
                    break;
                }
            }
        }
        chain
    }
}

/// A fault of the store is told, and counts as a miss: the command runs.
fn look_up(shared: &Shared, cached: &Cached, against: &Against, emit: Emit) -> Result<(Entry, Survey), Miss> {
    if shared.mode.is_forced() {
        return Err(MissReason::Forced.into());
    }
    match lookup::look_up(shared, cached, against) {
        Ok(Lookup::Hit(entry, survey)) => Ok((*entry, survey)),
        Ok(Lookup::Miss(miss)) => Err(miss),
        Err(fault) => {
            notice(shared, cached.step, format!("cache not used: {fault}"), emit);
            Err(MissReason::EntryDamaged(fault.to_string()).into())
        }
    }
}

/// Notes in the tree what having the outputs of a hit in place takes.
fn plan_hit(
    shared: &Shared,
    cached: &Cached,
    entry: &Entry,
    survey: &Survey,
    index: usize,
    tree: &mut VirtualTree,
) {
    let over = |path: &PortablePath| Found::at(&shared.zones.places.absolute(path)).unwrap_or(Found::Other);
    for path in &survey.remove {
        tree.remove(path.clone(), index, cached.scope, over(path));
    }
    for position in &survey.put {
        let output = &entry.manifest.outputs[*position];
        let places = &shared.zones.places;
        let is_missing = |folder: &PortablePath| {
            tree.at(folder, || Found::at(&places.absolute(folder))).is_ok_and(|lies| lies.is_absent())
        };
        // All are looked for before any is planned: what is planned needs those above it, and they would
        // be there only as long as it is.
        let missing: Vec<PortablePath> = folders_above(&output.path).filter(is_missing).collect();
        for folder in missing {
            tree.put(&folder, &OutputKind::Folder, index, cached.scope, over(&folder));
        }
        tree.put(&output.path, &output.kind, index, cached.scope, over(&output.path));
    }
}

/// The folders on the way to a path of the workspace, the lowest first.
fn folders_above(path: &PortablePath) -> impl Iterator<Item = PortablePath> {
    let slashes = path.as_bytes().iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(slash, _)| PortablePath::from_bytes(&path.as_bytes()[..slash]))
}

/// Takes the locks of the steps that have work, in one order for everybody. Whether another process had
/// one: then what was seen may have changed.
fn has_to_wait(chain: &Chain, locks: &mut BTreeMap<Digest, StepLock>) -> bool {
    let with_work = chain.hits.iter().filter(|hit| !hit.survey.is_in_place());
    let with_work: BTreeMap<Digest, &Cached> =
        with_work.map(|hit| (hit.cached.scope, &*hit.cached)).collect();
    let mut had_to_wait = false;
    for (scope, cached) in with_work {
        // Without a lock both put the same in place.
        if let Ok(lock) = cached.store.lock(scope) {
            had_to_wait |= lock.had_to_wait;
            locks.insert(scope, lock);
        }
    }
    had_to_wait
}

/// Gives the steps for which anything had to be done.
fn put_in_place(shared: &Shared, chain: &Chain) -> Result<BTreeSet<usize>, ReplayError> {
    let Some(first) = chain.hits.first() else { return Ok(BTreeSet::new()) };
    let to_replay = |hit| {
        let ChainHit { index, cached, entry, survey, .. }: &ChainHit = hit;
        ToReplay { index: *index, step: cached.scope, entry, survey }
    };
    let hits: Vec<ToReplay> = chain.hits.iter().map(to_replay).collect();
    first.cached.store.replay(&chain.tree, &hits, &shared.zones.places, shared.digests)
}

fn outcomes(chain: Chain, work: &BTreeSet<usize>) -> Vec<(usize, Outcome, Entry)> {
    let hits = chain.hits.into_iter();
    let with_outcome = hits.map(|hit| {
        let outcome = outcome(&hit.cached, &hit.entry, hit.took, work.contains(&hit.index));
        (hit.index, outcome, hit.entry)
    });
    with_outcome.collect()
}

fn outcome(cached: &Cached, entry: &Entry, took: Duration, is_work: bool) -> Outcome {
    let hit = hit(cached, entry, took);
    if is_work { Outcome::Restored(hit) } else { Outcome::Fresh(hit) }
}

/// The facts on a hit.
pub fn hit(cached: &Cached, entry: &Entry, took: Duration) -> Hit {
    let kept = cached.kept(entry.inputs, entry.manifest.outputs.len(), entry.archive);
    Hit { took, saved: entry.took.saturating_sub(took), kept }
}

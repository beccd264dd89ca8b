//! What would become of each step, were the plan run now: for `--dry-run` and `why`. Looks as a run
//! would look, and writes nothing.
//!
//! A hit before a step may put outputs back that the step reads. They are taken as being there (the
//! virtual tree), so that a fresh clone full of hits is foreseen as such.

use super::chain::{self, Chain, Chains, Damaged, End, Looking};
use super::{Cached, Decision, Shared, decide};
use crate::outcome::{Before, Foreseen, MissReason};
use crate::plan::{Plan, Step};
use crate::store::VirtualTree;
use std::sync::Arc;

/// What would become of the steps of a plan, in its order.
pub fn foresee(shared: &Shared, plan: &Plan) -> Vec<Foreseen> {
    walk(shared, &Chains::of(plan), &mut |_, _, _| {})
}

/// Foresees a plan, and shows each chain of hits on the way, or step that is none: its first step, the
/// chain, and the disk as the hits before would leave it.
pub(super) fn walk<'a>(
    shared: &Shared<'a>,
    chains: &'a Chains<'a>,
    seen: &mut dyn FnMut(usize, &Chain<'a>, &VirtualTree),
) -> Vec<Foreseen> {
    let plan = chains.plan;
    let damaged = Damaged::new();
    let looking = Looking { shared, chains, damaged: &damaged, remembers: false, emit: &|_| {} };
    let mut tree = VirtualTree::default();
    let mut foreseen: Vec<Option<Foreseen>> = vec![None; plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        if foreseen[index].is_some() {
            continue;
        }
        let after = after(plan, step, &foreseen);
        let unless_after = |now: Foreseen| match &after {
            Some(after) => Foreseen::Unknown { after: Arc::clone(after), as_it_stands: Box::new(now) },
            None => now,
        };
        let chain = looking.look(index, &tree);
        seen(index, &chain, &tree);
        let work = chain
            .hits
            .first()
            .map(|first| first.cached.store.work(&chain.tree, &shared.zones.places, shared.digests));
        for hit in &chain.hits {
            let is_work = work.as_ref().is_some_and(|work| work.contains(&hit.index));
            let facts = chain::hit(&hit.cached, &hit.entry, hit.took);
            let now = if is_work { Foreseen::Restored(facts) } else { Foreseen::Fresh(facts) };
            foreseen[hit.index] = Some(unless_after(now));
        }
        match chain.end {
            _ if !chain.hits.is_empty() => {
                if after.is_none() {
                    tree = chain.tree;
                }
            }
            End::Uncached(why) => foreseen[index] = Some(Foreseen::Run(why.into())),
            End::Miss(cached, miss) if is_sure(shared, &cached) => {
                foreseen[index] = Some(Foreseen::Run(miss))
            }
            End::Miss(_, miss) => foreseen[index] = Some(unless_after(Foreseen::Run(miss))),
            End::Done => foreseen[index] = Some(Foreseen::Run(MissReason::NotFound(Before::NeverRan).into())),
        }
    }
    foreseen.into_iter().flatten().collect()
}

/// The task of a step that must run before this one, if there is one.
fn after(plan: &Plan, step: &Step, foreseen: &[Option<Foreseen>]) -> Option<Arc<str>> {
    step.waits_for.iter().find_map(|need| match &foreseen[*need] {
        Some(Foreseen::Run(_)) => Some(Arc::clone(&plan.steps[*need].id.task)),
        Some(Foreseen::Unknown { after, .. }) => Some(Arc::clone(after)),
        Some(Foreseen::Fresh(_) | Foreseen::Restored(_)) | None => None,
    })
}

/// Where nothing is kept under its key, nothing that a step before it does makes a hit.
fn is_sure(shared: &Shared, cached: &Cached) -> bool {
    shared.mode.is_forced() || cached.store.pathsets(cached.key_digest).is_ok_and(|known| known.is_empty())
}

/// Whether a step is cached: the adapter that knows it, if one does; or why it is not.
pub fn caching(shared: &Shared, step: &Step) -> Result<Option<String>, MissReason> {
    match decide(shared, step, &[], &|_| {}) {
        Decision::Cached(cached) => Ok(cached.declaration.map(|declaration| declaration.adapter.id)),
        Decision::Uncached(why) => Err(why),
    }
}

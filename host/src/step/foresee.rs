//! What would become of each step, were the plan run now: for `--dry-run` and `why`. Looks as a run
//! would look, and writes nothing.
//!
//! A hit before a step may put outputs back that the step reads. They are taken as being there
//! ([`Ahead`]), so that a fresh clone full of hits is foreseen as such.

use super::lookup::{self, Lookup, Way};
use super::{Cached, Decision, Emit, Mode, Shared, decide, later_steps};
use crate::access::Listing;
use crate::digest::Digest;
use crate::fingerprint::{self, Pathset, Query, Value, Values};
use crate::outcome::{Foreseen, Hit, Kept, MissReason};
use crate::path::{Places, PortablePath};
use crate::plan::{Plan, Step};
use crate::store::{Entry, Manifest, OutputKind};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What would become of the steps of a plan, in its order.
pub fn foresee(shared: &Shared, plan: &Plan) -> Vec<Foreseen> {
    let later = later_steps(plan);
    let mut ahead = Ahead::default();
    let mut foreseen: Vec<Foreseen> = Vec::with_capacity(plan.steps.len());
    for (step, later) in plan.steps.iter().zip(&later) {
        let cached = match decide(shared, step, later, &|_| {}) {
            Decision::Uncached(why) => {
                foreseen.push(Foreseen::Run(why.into()));
                continue;
            }
            Decision::Cached(cached) => cached,
        };
        let after = step.waits_for.iter().find_map(|need| match &foreseen[*need] {
            Foreseen::Run(_) => Some(Arc::clone(&plan.steps[*need].id.task)),
            Foreseen::Unknown { after, .. } => Some(Arc::clone(after)),
            Foreseen::Fresh(_) | Foreseen::Restored(_) => None,
        });
        let (now, manifest) = one(shared, &cached, &ahead);
        // Where nothing is kept under its key, nothing that a step before it does makes a hit.
        let is_sure = || cached.store.pathsets(cached.key_digest).is_ok_and(|known| known.is_empty());
        foreseen.push(match after {
            Some(after) if !is_sure() && shared.mode != Mode::Force => {
                Foreseen::Unknown { after, as_it_stands: Box::new(now) }
            }
            _ => {
                if let (Foreseen::Restored(_), Some(manifest)) = (&now, &manifest) {
                    ahead.add(manifest);
                }
                now
            }
        });
    }
    foreseen
}

/// Whether this step and all later ones of its task are hits. `later` are their scopes.
pub fn rest_of_task_hits(shared: &Shared, plan: &Plan, index: usize, later: &[Digest], emit: Emit) -> bool {
    if later.is_empty() {
        return true;
    }
    let task = &plan.steps[index].id.task;
    let mut ahead = Ahead::default();
    let mut rest: Vec<&Step> = plan.steps.iter().filter(|step| step.id.task == *task).collect();
    rest.sort_by_key(|step| step.id.position);
    let rest = rest.into_iter().skip_while(|step| step.id.position < plan.steps[index].id.position);
    rest.enumerate().all(|(nth, step)| {
        let Decision::Cached(cached) = decide(shared, step, &later[nth.min(later.len())..], emit) else {
            return false;
        };
        match one(shared, &cached, &ahead) {
            (Foreseen::Fresh(_), _) => true,
            (Foreseen::Restored(_), manifest) => {
                manifest.iter().for_each(|manifest| ahead.add(manifest));
                true
            }
            _ => false,
        }
    })
}

/// Whether a step is cached: the adapter that knows it, if one does; or why it is not.
pub fn caching(shared: &Shared, step: &Step) -> Result<Option<String>, MissReason> {
    match decide(shared, step, &[], &|_| {}) {
        Decision::Cached(cached) => Ok(cached.declaration.map(|declaration| declaration.adapter.id)),
        Decision::Uncached(why) => Err(why),
    }
}

fn one(shared: &Shared, cached: &Cached, ahead: &Ahead) -> (Foreseen, Option<Manifest>) {
    if shared.mode == Mode::Force {
        return (Foreseen::Run(MissReason::Forced.into()), None);
    }
    let began = Instant::now();
    match lookup::look_up(shared, cached, &Way::Foresee(ahead)) {
        Ok(Lookup::Hit(entry, true)) => (Foreseen::Fresh(hit(&entry, began.elapsed())), None),
        Ok(Lookup::Hit(entry, false)) => {
            (Foreseen::Restored(hit(&entry, began.elapsed())), Some(entry.manifest))
        }
        Ok(Lookup::Miss(miss)) => (Foreseen::Run(miss), None),
        Err(fault) => (Foreseen::Run(MissReason::EntryDamaged(fault.to_string()).into()), None),
    }
}

fn hit(entry: &Entry, took: Duration) -> Hit {
    Hit {
        took,
        saved: entry.took.saturating_sub(took),
        kept: Kept {
            inputs: entry.inputs,
            outputs: entry.manifest.outputs.len(),
            archive: entry.archive.map(|digest| digest.to_string()),
        },
    }
}

/// What the hits before a step would put in place, and remove (`None`).
#[derive(Debug, Default)]
pub struct Ahead(BTreeMap<PortablePath, Option<OutputKind>>);

impl Ahead {
    fn add(&mut self, manifest: &Manifest) {
        self.0.extend(manifest.removed.iter().map(|path| (path.clone(), None)));
        self.0.extend(manifest.outputs.iter().map(|output| (output.path.clone(), Some(output.kind.clone()))));
    }

    /// Replaces the values of what would be put in place or removed.
    pub fn apply(&self, places: &Places, pathset: &Pathset, values: &mut Values) {
        if self.0.is_empty() {
            return;
        }
        for ((path, query), value) in pathset.paths.iter().zip(&mut values.paths) {
            match self.0.get(path) {
                Some(Some(kind)) => *value = value_of(kind, query),
                Some(None) => *value = Value::ABSENT,
                None => self.apply_below(places, path, query, value),
            }
        }
    }

    /// A folder in which something would be put or removed.
    fn apply_below(&self, places: &Places, path: &PortablePath, query: &Query, value: &mut Value) {
        let mut prefix = path.as_bytes().to_vec();
        match prefix.as_slice() {
            b"." => prefix.clear(),
            _ => prefix.push(b'/'),
        }
        let start = PortablePath::from_bytes(&prefix);
        let below = self.0.range((Bound::Included(start), Bound::Unbounded));
        let below: Vec<_> = below.take_while(|(other, _)| other.as_bytes().starts_with(&prefix)).collect();
        if below.is_empty() {
            return;
        }
        if let Query::Listing(except) = query {
            let mut names: BTreeMap<OsString, u8> =
                fingerprint::list(&places.absolute(path)).unwrap_or_default().into_iter().collect();
            for (other, kind) in below {
                let rest = &other.as_bytes()[prefix.len()..];
                let (name, letter) = match rest.iter().position(|byte| *byte == b'/') {
                    Some(slash) => (&rest[..slash], kind.is_some().then_some(b'd')),
                    None => (rest, Some(kind.as_ref().map_or(b'-', letter))),
                };
                match letter {
                    Some(b'-') => drop(names.remove(OsStr::from_bytes(name))),
                    Some(letter) => drop(names.insert(OsStr::from_bytes(name).to_owned(), letter)),
                    None => {}
                }
            }
            *value = Value::listing(&Listing::from_iter(names), except);
        } else if *value == Value::ABSENT && below.iter().any(|(_, kind)| kind.is_some()) {
            *value = Value::FOLDER;
        }
    }
}

fn letter(kind: &OutputKind) -> u8 {
    match kind {
        OutputKind::File { .. } => b'f',
        OutputKind::Link(_) => b'l',
        OutputKind::Folder => b'd',
    }
}

fn value_of(kind: &OutputKind, query: &Query) -> Value {
    match (query, kind) {
        (Query::Content, OutputKind::File { .. }) | (Query::Link, OutputKind::Link(_)) => kind.value(),
        (Query::Listing(except), OutputKind::Folder) => Value::listing(&Listing::new(), except),
        (_, OutputKind::File { executable: true, .. }) => Value::PROGRAM,
        (_, OutputKind::File { .. }) => Value::FILE,
        (_, OutputKind::Link(_)) => Value::LINK,
        (_, OutputKind::Folder) => Value::FOLDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::store::Output;

    fn path(text: &str) -> PortablePath {
        PortablePath::from_bytes(text.as_bytes())
    }

    #[test]
    fn what_a_hit_would_put_back_counts_as_there() {
        let file = OutputKind::File { digest: Digest::of(b"x"), bytes: 1, executable: false };
        let output = Output { path: path("ui/dist/index.js"), kind: file.clone() };
        let mut ahead = Ahead::default();
        ahead.add(&Manifest { outputs: vec![output], removed: vec![path("ui/old")], ..Manifest::default() });
        let members = [
            ("ui/dist/index.js", Query::Content),
            ("ui/dist/index.js", Query::Kind),
            ("ui/dist", Query::Listing(Vec::new())),
            ("ui/dist", Query::Kind),
            ("ui/old", Query::Kind),
            ("ui/distant", Query::Kind),
        ];
        let pathset = Pathset {
            paths: members.into_iter().map(|(name, query)| (path(name), query)).collect(),
            ..Pathset::default()
        };
        let mut values = Values { paths: vec![Value::ABSENT; 6], ..Values::default() };
        values.paths[4] = Value::FILE;
        let places = Places { root: "/nowhere".into(), home: None };
        ahead.apply(&places, &pathset, &mut values);
        let listing = Value::listing(&vec![("index.js".into(), b'f')], &[]);
        let expected = [file.value(), Value::FILE, listing, Value::FOLDER, Value::ABSENT, Value::ABSENT];
        assert_eq!(values.paths, expected);
    }
}

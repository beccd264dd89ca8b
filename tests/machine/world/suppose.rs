//! What a hit may suppose by the named limits: of its own outputs, that they are absent or as when it was
//! kept; of what later steps left, that it is there or not. A direct run of the same supposition shows
//! whether that explains the hit.

use super::{Own, StepName, World};
use crate::tree::{Node, Tree, put, read_node};
use std::fs;
use std::path::{Path, PathBuf};

/// What a step that hit may suppose of what it left.
#[derive(Clone, Debug)]
pub(super) struct Supposed {
    /// This is there, and nothing else of it.
    pub own: Own,
    pub later: Later,
}

/// What was changed for a supposition.
#[derive(Default)]
pub(super) struct Taken {
    /// What is to come back afterwards.
    gone: Own,
    /// What was put in place.
    put: Own,
}

/// What becomes of what the steps after it left, of its task or of those that depend on it, while the
/// step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    Stays,
    /// What they made goes.
    Goes,
    ComesBack,
    /// Also what they wrote over goes: it is theirs from then on.
    AllGoes,
    AllComesBack,
}

impl World<'_> {
    /// Whether a step writes over a file without reading it, perhaps after a look at its size: what it found
    /// there is no input of it (a named limit).
    pub(super) fn is_written_over(&self, (task, step): StepName, path: &Path, ws: &Path) -> bool {
        let command = &self.case.tasks[task].steps[step];
        let Some(script) = command.strip_prefix("TOOL ") else { return false };
        let Ok(text) = fs::read_to_string(ws.join("tools").join(script)) else { return false };
        let real = |path: &Path| ws.join(path).canonicalize().ok();
        !text.lines().any(|line| {
            let mut words = line.split_whitespace();
            let reads = matches!(
                words.next(),
                Some("read" | "cat" | "patch" | "append" | "generate" | "copy" | "chmod" | "rename" | "walk")
            );
            let (Some(of), true) = (words.next().map(Path::new), reads) else { return false };
            real(of).is_some_and(|of| real(path).is_none_or(|path| path.starts_with(of)))
        })
    }

    /// What a step made itself, by the last that is known; and of what the steps after it left.
    pub(super) fn own(
        &self,
        step: StepName,
        later: Later,
    ) -> impl DoubleEndedIterator<Item = (&PathBuf, &Node)> {
        let is_own = move |by: &StepName, made: bool| match later {
            Later::Stays => *by == step && made,
            Later::Goes | Later::ComesBack => *by >= step && made,
            Later::AllGoes | Later::AllComesBack => (*by == step && made) || *by > step,
        };
        let own = self.left.iter().filter(move |(_, (by, _, made))| is_own(by, *made));
        own.map(|(path, (_, node, _))| (path, node))
    }

    pub(super) fn suppose(&self, ws: &Path, step: StepName, supposed: &Supposed, leaves: &Tree) -> Taken {
        let mut taken = Taken::default();
        for (path, node) in self.own(step, supposed.later).rev() {
            let absolute = ws.join(path);
            if !supposed.own.contains_key(path) && read_node(&absolute).as_ref() == Some(node) {
                let is_folder = *node == Node::Folder;
                let done = if is_folder { fs::remove_dir(&absolute) } else { fs::remove_file(&absolute) };
                let is_later = self.left.get(path).is_some_and(|(by, ..)| *by != step);
                let comes_back = match is_later {
                    true => matches!(supposed.later, Later::ComesBack | Later::AllComesBack),
                    false => leaves.get(path) == Some(node),
                };
                if done.is_ok() && comes_back {
                    taken.gone.insert(path.clone(), node.clone());
                }
            }
        }
        for (path, node) in &supposed.own {
            let there = read_node(&ws.join(path));
            let is_own = there.is_some() && there.as_ref() == self.left.get(path).map(|(_, left, _)| left);
            if is_own && there.as_ref() != Some(node) && *node != Node::Folder {
                let is_later = self.left.get(path).is_some_and(|(by, ..)| *by > step);
                if fs::remove_file(ws.join(path)).is_ok() && is_later {
                    taken.gone.extend(there.map(|there| (path.clone(), there)));
                }
            }
            if read_node(&ws.join(path)).is_none() {
                // A file may lie where its folder was: then the step finds that.
                if put(&ws.join(path), node).is_ok() {
                    taken.put.insert(path.clone(), node.clone());
                }
            }
        }
        taken
    }

    /// All ways to suppose something else of the own outputs of some of these steps: that they are
    /// absent, or as when the step was kept; what later steps left is supposed alike for all of them. Of
    /// many only the first are tried.
    pub(super) fn suppositions(&self, steps: &[StepName]) -> Vec<Vec<(StepName, Supposed)>> {
        let has_later =
            |step: &StepName| self.own(*step, Later::AllGoes).count() > self.own(*step, Later::Stays).count();
        let laters: &[Later] = match steps.iter().any(has_later) {
            true => &[Later::ComesBack, Later::Goes, Later::AllComesBack, Later::AllGoes, Later::Stays],
            false => &[Later::Stays],
        };
        laters.iter().flat_map(|later| self.suppositions_with(steps, *later)).collect()
    }

    /// Steps of which nothing else is supposed leave nothing, or what they left as it is.
    fn suppositions_with(&self, steps: &[StepName], later: Later) -> Vec<Vec<(StepName, Supposed)>> {
        let weight = |supposed: &Vec<(StepName, Supposed)>| {
            supposed.iter().filter(|(_, supposed)| !supposed.own.is_empty()).count()
        };
        let mut all = Vec::new();
        for is_absent in [true, false] {
            let mut some: Vec<Vec<(StepName, Supposed)>> = vec![Vec::new()];
            for step in steps {
                let kept = self.kept_with.get(step).into_iter().flatten().filter(|own| !own.is_empty());
                let more = |own: &Own| -> Vec<Vec<(StepName, Supposed)>> {
                    let with = (*step, Supposed { own: own.clone(), later });
                    some.iter()
                        .map(|before| [before.as_slice(), std::slice::from_ref(&with)].concat())
                        .collect()
                };
                let with_kept: Vec<_> = kept.flat_map(more).collect();
                if is_absent {
                    some = more(&Own::new());
                }
                some.extend(with_kept);
                some.sort_by_key(weight);
                some.truncate(150);
            }
            all.extend(some);
        }
        all.retain(|supposed| !supposed.is_empty());
        all
    }

    /// What was only supposed goes, and what the step did not make itself comes back.
    pub(super) fn undo(&self, ws: &Path, step: StepName, taken: &Taken) {
        for (path, node) in taken.put.iter().rev() {
            let is_later = self.left.get(path).is_some_and(|(by, ..)| *by > step);
            if is_later && read_node(&ws.join(path)).as_ref() == Some(node) {
                let _ = fs::remove_file(ws.join(path)).or_else(|_| fs::remove_dir(ws.join(path)));
            }
        }
        for (path, node) in &taken.gone {
            if read_node(&ws.join(path)).is_none() {
                let _ = put(&ws.join(path), node);
            }
        }
    }
}

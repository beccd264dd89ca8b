//! Makes a failing sequence shorter: drops actions, script lines, steps and tasks as long as it
//! still fails.

use crate::case::{Action, Case};
use std::time::{Duration, Instant};

/// What is not shorter by then stays as it is.
const SECONDS_MAX: Duration = Duration::from_secs(20);

/// The smallest sequence found for which `fails` still holds.
pub fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let began = Instant::now();
    let fails = |case: &Case| began.elapsed() < SECONDS_MAX && fails(case);
    loop {
        let before = size(&case);
        for candidate in [actions, lines, steps] {
            candidate(&mut case, &fails);
        }
        plain(&mut case, &fails);
        if size(&case) == before {
            return case;
        }
    }
}

fn size(case: &Case) -> usize {
    let lines: usize = case.scripts.iter().flatten().map(Vec::len).sum();
    case.actions.len()
        + lines
        + case.tasks.iter().map(|task| task.steps.len() + usize::from(task.keys > 0)).sum::<usize>()
}

fn try_each(
    case: &mut Case,
    fails: &dyn Fn(&Case) -> bool,
    mut count: usize,
    change: impl Fn(&mut Case, usize),
) {
    while count > 0 {
        count -= 1;
        let mut smaller = case.clone();
        change(&mut smaller, count);
        if fails(&smaller) {
            *case = smaller;
        }
    }
}

fn actions(case: &mut Case, fails: &dyn Fn(&Case) -> bool) {
    // Halves first: most of what came before has nothing to do with it.
    let mut piece = case.actions.len() / 2;
    while piece > 1 {
        let mut at = 0;
        while at + piece < case.actions.len() {
            let mut smaller = case.clone();
            smaller.actions.drain(at..at + piece);
            if fails(&smaller) {
                *case = smaller;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    try_each(case, fails, case.actions.len(), |case, at| drop(case.actions.remove(at)));
}

fn lines(case: &mut Case, fails: &dyn Fn(&Case) -> bool) {
    for script in 0..case.scripts.len() {
        for version in 0..2 {
            try_each(case, fails, case.scripts[script][version].len(), |case, at| {
                drop(case.scripts[script][version].remove(at));
            });
        }
    }
}

fn steps(case: &mut Case, fails: &dyn Fn(&Case) -> bool) {
    for task in 0..case.tasks.len() {
        let count = case.tasks[task].steps.len();
        try_each(case, fails, count, |case, at| case.tasks[task].steps[at] = "true".to_owned());
        try_each(case, fails, count, |case, at| {
            if case.tasks[task].steps.len() > 1 {
                case.tasks[task].steps.remove(at);
            }
        });
    }
}

fn plain(case: &mut Case, fails: &dyn Fn(&Case) -> bool) {
    try_each(case, fails, case.tasks.len(), |case, task| case.tasks[task].depends = false);
    try_each(case, fails, case.tasks.len(), |case, task| case.tasks[task].keys = 0);
    // Tasks that nothing runs any more go from the end.
    while case.tasks.len() > 1 && !case.actions.iter().any(|action| uses(action, case.tasks.len() - 1)) {
        let mut smaller = case.clone();
        smaller.tasks.pop();
        if !fails(&smaller) {
            break;
        }
        *case = smaller;
    }
}

fn uses(action: &Action, which: usize) -> bool {
    matches!(action, Action::Run { task, .. } | Action::Keys { task, .. } if *task == which)
}

//! Which steps start when, held against plans made at random; see `host/tests` for whole runs.

use super::progress::{Progress, critical};
use crate::config::TaskConfig;
use crate::event::StepId;
use crate::outcome::{Outcome, Skip};
use crate::plan::{Invocation, Origin, PackageRef, Plan, Run, Step};
use std::sync::Arc;
use std::time::Duration;

fn plan(needs: &[&[usize]]) -> Plan {
    let step = |(index, waits_for): (usize, &&[usize])| Step {
        id: Arc::new(StepId {
            index,
            task: format!("t{index}").into(),
            position: 0,
            command: "true".into(),
            cwd: ".".into(),
        }),
        package: Arc::new(PackageRef::default()),
        task_name: "t".into(),
        invocation: Invocation { env: Vec::new(), run: Run::Shell("true".into()) },
        cwd: "/".into(),
        config: Arc::new(TaskConfig::default()),
        origin: Origin::Script,
        waits_for: waits_for.to_vec(),
        requested: true,
        has_args: false,
        beside: None,
    };
    Plan { steps: needs.iter().enumerate().map(step).collect(), ..Plan::default() }
}

fn fresh() -> Outcome {
    Outcome::Fresh(Default::default())
}

fn failed() -> Outcome {
    let why = crate::outcome::MissReason::Forced;
    Outcome::Failed { why, exit_code: 7, error: None, took: Duration::ZERO, adapter: None }
}

#[test]
fn a_step_starts_when_all_it_waits_for_has_succeeded() {
    let plan = plan(&[&[], &[], &[0, 1]]);
    let mut progress = Progress::new(&plan, false);
    assert_eq!(progress.take_startable(), [0, 1]);
    progress.ended(0, &fresh());
    assert!(progress.take_startable().is_empty());
    progress.ended(1, &fresh());
    assert_eq!(progress.take_startable(), [2]);
    progress.ended(2, &fresh());
    assert!(progress.is_done());
    assert_eq!(progress.exit_code(), 0);
}

#[test]
fn after_a_failure_nothing_new_starts() {
    let plan = plan(&[&[], &[], &[1]]);
    let mut progress = Progress::new(&plan, false);
    progress.take_startable();
    progress.ended(0, &failed());
    assert_eq!(
        (progress.take_startable(), progress.take_skipped()),
        (vec![], vec![(2, Skip::After("t0".into()))])
    );
    progress.ended(1, &fresh());
    assert!(progress.is_done());
    assert_eq!(progress.exit_code(), 7);
}

#[test]
fn what_needs_the_failed_step_is_told_apart_from_what_only_comes_after_it() {
    let plan = plan(&[&[], &[], &[0], &[1], &[2]]);
    let mut progress = Progress::new(&plan, false);
    progress.take_startable();
    progress.ended(0, &failed());
    let (needs, after) = (Skip::Needs("t0".into()), Skip::After("t0".into()));
    assert_eq!(progress.take_skipped(), [(2, needs.clone()), (3, after), (4, needs)]);
}

#[test]
fn what_was_handed_out_and_not_begun_does_not_start_after_a_failure() {
    let plan = plan(&[&[], &[]]);
    let mut progress = Progress::new(&plan, false);
    assert_eq!(progress.take_startable(), [0, 1]);
    progress.ended(0, &failed());
    progress.give_back(1);
    assert_eq!(progress.take_skipped(), [(1, Skip::After("t0".into()))]);
    assert!(progress.is_done());
}

#[test]
fn keeping_on_skips_only_what_depends_on_the_failure() {
    let plan = plan(&[&[], &[0], &[1], &[]]);
    let mut progress = Progress::new(&plan, true);
    assert_eq!(progress.take_startable(), [0, 3]);
    progress.ended(0, &failed());
    let needs = Skip::Needs("t0".into());
    assert_eq!(progress.take_skipped(), [(1, needs.clone()), (2, needs)]);
    progress.ended(3, &failed());
    assert_eq!(progress.exit_code(), 1);
}

#[test]
fn an_interruption_skips_the_rest() {
    let plan = plan(&[&[], &[0]]);
    let mut progress = Progress::new(&plan, true);
    progress.take_startable();
    progress.stop(Skip::Interrupted);
    assert_eq!(progress.take_skipped(), [(1, Skip::Interrupted)]);
}

#[test]
fn a_step_that_is_ready_lets_others_start_while_it_goes_on() {
    let plan = plan(&[&[], &[0]]);
    let mut progress = Progress::new(&plan, false);
    progress.take_startable();
    progress.is_ready(0);
    assert_eq!(progress.take_startable(), [1]);
    assert!(progress.is_needed(0, |_| true));
    progress.ended(1, &fresh());
    assert!(!progress.is_needed(0, |_| true) && !progress.is_done());
    progress.ended(0, &fresh());
    assert!(progress.is_done());
}

#[test]
fn what_runs_again_takes_along_what_waits_for_it_and_nothing_else() {
    let plan = plan(&[&[], &[0], &[1], &[]]);
    let mut progress = Progress::new(&plan, true);
    progress.take_startable();
    progress.ended(0, &fresh());
    progress.take_startable();
    progress.ended(1, &failed());
    progress.ended(3, &fresh());
    assert_eq!(progress.exit_code(), 7);
    assert_eq!(progress.again(&[1]), 2);
    assert_eq!(progress.take_startable(), [1]);
    progress.ended(1, &fresh());
    assert_eq!(progress.take_startable(), [2]);
    progress.ended(2, &fresh());
    assert!(progress.is_done());
    assert_eq!(progress.exit_code(), 0);
}

fn ran() -> Outcome {
    let why = crate::outcome::MissReason::Forced;
    Outcome::Ran { why, refusal: None, took: Duration::ZERO, kept: None, adapter: None }
}

/// A server between two steps, with all of them there.
fn serving(plan: &Plan) -> Progress<'_> {
    let mut progress = Progress::new(plan, true);
    progress.take_startable();
    progress.ended(0, &ran());
    progress.take_startable();
    progress.is_ready(1);
    progress.take_startable();
    progress.ended(2, &ran());
    progress
}

#[test]
fn what_waits_for_a_server_waits_until_that_has_started_again_or_need_not() {
    let plan = plan(&[&[], &[0], &[1]]);
    let mut progress = serving(&plan);
    assert_eq!(progress.again(&[0]), 2);
    assert_eq!(progress.take_startable(), [0]);
    progress.restarts(1);
    progress.ended(0, &ran());
    assert!(progress.take_startable().is_empty());
    progress.ended(1, &ran());
    assert!(progress.take_startable().is_empty());
    progress.again(&[1]);
    assert_eq!(progress.take_startable(), [1]);
    progress.is_ready(1);
    assert_eq!(progress.take_startable(), [2]);
    progress.ended(2, &ran());

    let mut progress = serving(&plan);
    progress.again(&[0]);
    assert_eq!(progress.take_startable(), [0]);
    progress.ended(0, &fresh());
    assert_eq!(progress.take_startable(), [2], "the server goes on as it was");
    progress.ended(2, &ran());

    progress.again(&[0]);
    progress.take_startable();
    progress.ended(0, &failed());
    assert_eq!(progress.take_skipped(), [(2, Skip::Needs("t0".into()))]);
    progress.again(&[0]);
    assert_eq!(progress.take_startable(), [0]);
    progress.ended(0, &fresh());
    assert_eq!(progress.take_startable(), [2]);
}

#[test]
fn what_waits_for_a_step_that_is_lost_does_not_run_again_before_that_does() {
    let plan = plan(&[&[], &[], &[0, 1], &[2]]);
    let mut progress = Progress::new(&plan, true);
    progress.take_startable();
    progress.ended(0, &failed());
    progress.ended(1, &failed());
    assert_eq!(progress.again(&[2]), 0);
    assert!(progress.is_done());
    // However often one of the two is mended.
    for _ in 0..3 {
        assert_eq!(progress.again(&[0]), 1);
        assert_eq!(progress.take_startable(), [0]);
        progress.ended(0, &fresh());
        assert!(progress.take_startable().is_empty());
        assert!(progress.is_done());
    }
    assert_eq!(progress.again(&[1]), 3);
    assert_eq!(progress.take_startable(), [1]);
    progress.ended(1, &fresh());
    assert_eq!(progress.take_startable(), [2]);
}

#[test]
fn a_step_runs_alone_where_all_others_come_before_or_after_it() {
    let alone = |plan: &Plan| -> Vec<usize> {
        (0..plan.steps.len()).filter(|index| plan.runs_alone(*index)).collect()
    };
    assert_eq!(alone(&plan(&[&[]])), [0]);
    assert_eq!(alone(&plan(&[&[], &[0], &[1]])), [0, 1, 2]);
    assert_eq!(alone(&plan(&[&[], &[], &[0, 1], &[2]])), [2, 3]);
    assert_eq!(alone(&plan(&[&[], &[0], &[0], &[1]])), [0]);
    // A server goes on while others run that wait for it.
    let mut serving = plan(&[&[], &[0], &[1]]);
    serving.steps[1].config = Arc::new(TaskConfig { persistent: true, ..TaskConfig::default() });
    assert_eq!(alone(&serving), [0]);
    serving.steps.pop();
    assert_eq!(alone(&serving), [0, 1]);
}

#[test]
fn the_longest_way_to_an_end_comes_first() {
    let plan = plan(&[&[], &[], &[1], &[2], &[0]]);
    assert_eq!(critical(&plan, &[]), [2, 3, 2, 1, 1]);
    assert_eq!(critical(&plan, &[9, 1, 1, 1, 5]), [14, 3, 2, 1, 5]);
}

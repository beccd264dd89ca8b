//! `overhear run --watch`: the same plan again and again, and a new one when a file changed that it is
//! made of.

use super::run::{HowArgs, go};
use crate::plan::Plan;
use crate::problem::{Problem, Problems};
use crate::process::Running;
use crate::report;
use crate::session::End;
use crate::session::watch::Watch;
use crate::workspace::Workspace;
use std::path::Path;

/// Runs the plan and watches until it is interrupted. A mistake in a file that the plan is made of is
/// told, and ends nothing: the next change may put it right.
pub(super) fn watch(
    first: (Workspace, Plan),
    from_dir: &Path,
    how: &HowArgs,
    make: &dyn Fn(&Workspace) -> Result<Plan, Problems>,
) -> Result<i32, Problems> {
    let running = Running::new();
    let _ = running.watch_signals(|_, _| {});
    let root = first.0.root.clone();
    let mut watch = Watch::begin(&root).map_err(Problem::new)?;
    let mut planned = Some(first);
    let code = loop {
        if let Some((workspace, plan)) = &planned {
            let many = if plan.steps.len() == 1 { "" } else { "s" };
            report::tell(&format!("watching {} step{many}; Ctrl-C ends it", plan.steps.len()));
            let end = go(workspace, plan, from_dir, how, &running, Some(&mut watch));
            watch.tell_nobody();
            match end? {
                End::Code(code) => break code,
                End::Replan => {
                    let file = watch.plan_file().map(|file| file.strip_prefix(&root).unwrap_or(file));
                    let file = file.map_or("a file".into(), Path::to_string_lossy);
                    report::tell(&format!("{file} changed: planning again"));
                }
            }
        } else {
            report::tell("watching on: it plans again when that is mended; Ctrl-C ends it");
            watch.wait_for_plan_file(|| running.interrupted().is_none());
            if let Some(signal) = running.interrupted() {
                break 128 + signal;
            }
        }
        let made = Workspace::load(from_dir)
            .map_err(|problems| problems.seen_from(from_dir))
            .and_then(|workspace| make(&workspace).map(|plan| (workspace, plan)));
        planned = made.map_err(|problems| report::problems(&problems)).ok();
    };
    crate::trace::guard::stop();
    Ok(code)
}

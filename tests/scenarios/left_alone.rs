//! Commands that serve or watch run as if overhear were not there, and nothing of them is kept.

use crate::main_job::REACT;
use crate::world::{Invocation, World};

const INTERRUPT: i32 = 2;

/// Starts a command that does not end, waits until it says that it is ready, and ends it as Ctrl-C does.
fn ended_by_ctrl_c(invocation: Invocation, ready: &str) -> crate::world::Done {
    let mut started = invocation.start();
    started.wait_for(ready);
    started.signal_group(INTERRUPT);
    started.done()
}

fn is_left_alone(world: &World, task_and_args: &[&str], direct: &[&str], ready: &str) {
    let before = world.archives().len();
    let done = ended_by_ctrl_c(world.task(task_and_args), ready);
    done.uncached("adapter");
    assert_eq!(world.archives().len(), before);
    let directly = ended_by_ctrl_c(world.direct("node_modules/.bin/vite", direct), ready);
    // A command that a signal ended, and one that exits by itself when it gets one, both end so here.
    assert!([directly.code, 130].contains(&done.code), "{done:?} {directly:?}");
}

#[test]
fn vite_dev_is_left_alone() {
    let world = World::of(REACT);
    is_left_alone(&world, &["dev"], &[], "ready in");
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn vite_preview_is_left_alone() {
    let world = World::of(REACT);
    world.run("build");
    is_left_alone(&world, &["preview"], &["preview"], "Local:");
    assert_eq!(world.sound_entries(), 1);
    // And it did not spoil the build.
    world.run("build").is("fresh");
}

#[test]
fn vite_build_watch_is_left_alone() {
    let world = World::of(REACT);
    is_left_alone(&world, &["build", "--watch"], &["build", "--watch"], "built in");
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn vite_6_dev_and_watch_are_left_alone() {
    let world = World::of("tests/fixtures/vue-vite6");
    is_left_alone(&world, &["dev"], &[], "ready in");
    is_left_alone(&world, &["build", "-w"], &["build", "-w"], "built in");
    assert_eq!(world.sound_entries(), 0);
}

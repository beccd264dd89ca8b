//! Ctrl-C and other signals: the whole tree ends, the exit code says so, and nothing is kept.

use crate::crash::app_that_waits;
use crate::tree::assert_same;
use crate::world::{World, read_to_end_of};
use std::fs;

const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

#[test]
fn ctrl_c_stops_a_real_build_with_130_and_the_next_run_is_right() {
    let world = app_that_waits();
    let direct = world.built_directly("vite", &["build"], &[], "dist");
    let wait = world.tmp().join("wait-at-writeBundle");
    fs::write(&wait, "").unwrap();
    let mut started = world.task(&["build"]).start();
    started.wait_for("waiting at writeBundle");
    started.signal_group(INTERRUPT);
    assert_eq!(started.done().code, 130);
    assert_eq!(world.sound_entries(), 0);
    fs::remove_file(wait).unwrap();
    world.run("build").is("ran");
    assert_same(&world.tree("dist"), &direct);
    world.run("build").is("fresh");
}

/// A task with children; all hold a FIFO open until they end.
fn family(cached: bool) -> World {
    let scripts = [("build", "sh outer.sh")];
    let world = if cached { World::of_cached_scripts(&scripts) } else { World::of_scripts(&scripts) };
    // No shell that forks when it says so: a signal that comes between fork and exec may be lost in it.
    world.write(
        "outer.sh",
        "exec 9>$TMPDIR/alive\nexec xargs xargs sh -c 'echo up; exec sleep 1000' < /dev/null\n",
    );
    world
}

fn ends_whole(world: &World, signal: i32, to_group: bool) {
    let alive = world.fifo("alive");
    let ended = read_to_end_of(&alive);
    let mut started = world.task(&["build"]).start();
    started.wait_for("up");
    if to_group {
        started.signal_group(signal)
    } else {
        started.signal(signal)
    }
    let done = started.done();
    assert_eq!(done.code, 128 + signal, "{done:?}");
    ended.wait("the tree to end");
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn ctrl_c_stops_the_whole_tree_of_a_cached_task() {
    ends_whole(&family(true), INTERRUPT, true);
}

#[test]
fn ctrl_c_stops_what_a_cached_task_runs_in_the_background_too() {
    let world = family(true);
    // A shell has its background commands ignore Ctrl-C.
    world.write("outer.sh", "exec 9>$TMPDIR/alive\nsleep 1000 &\necho up\nexec sleep 1000\n");
    ends_whole(&world, INTERRUPT, true);
}

#[test]
fn ctrl_c_stops_the_whole_tree_of_a_task_that_is_not_cached() {
    ends_whole(&family(false), INTERRUPT, true);
}

#[test]
fn sigterm_to_overhear_alone_stops_the_whole_tree() {
    ends_whole(&family(true), TERMINATE, false);
}

#[test]
fn a_second_ctrl_c_kills_a_task_that_ignores_the_first() {
    let world = World::of_cached_scripts(&[("build", "node stubborn.js")]);
    world.write(
        "stubborn.js",
        "process.on('SIGINT', () => setTimeout(() => console.log('not now'), 500))
setInterval(() => {}, 1000)\nconsole.log('up')\n",
    );
    let mut started = world.task(&["build"]).start();
    started.wait_for("up");
    // As who starts a command may tell it what the terminal has told it already.
    started.signal_group(INTERRUPT);
    started.signal_group(INTERRUPT);
    started.wait_for("not now");
    started.signal_group(INTERRUPT);
    assert_eq!(started.done().code, 130);
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn what_comes_after_an_interrupted_step_is_skipped() {
    let world = World::of_cached_scripts(&[("build", "sh first.sh && touch second")]);
    world.write("first.sh", "echo up\nexec sleep 1000\n");
    let mut started = world.task(&["build"]).start();
    started.wait_for("up");
    started.signal_group(INTERRUPT);
    let done = started.done();
    assert_eq!(done.code, 130);
    assert_eq!(done.statuses(), ["failed", "skipped"], "{done:?}");
    assert!(!world.path("second").exists());
}

#[test]
fn what_an_interrupt_ends_and_what_it_keeps_from_starting_is_told_as_such() {
    let world = World::of_scripts(&[]);
    world.write(
        "overhear.json",
        r#"{"tasks": {"long": "sh -c 'echo up; exec sleep 1000'", "after": {"command": "touch ran", "dependsOn": ["long"]}}}"#,
    );
    let mut started = world.task(&["after"]).start();
    started.wait_for("up");
    started.signal_group(INTERRUPT);
    let done = started.done();
    assert_eq!(done.code, 130, "{done:?}");
    assert!(done.err.contains("app#long  failed: exit code 130, interrupted"), "{done:?}");
    assert!(done.err.contains("app#after  skipped: interrupted"), "{done:?}");
    assert!(!world.path("ran").exists());
}

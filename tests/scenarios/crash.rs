//! Killed at any moment, overhear leaves nothing that makes the next run wrong.

use crate::main_job::REACT;
use crate::tree::{Node, Tree, assert_same};
use crate::world::{World, read_to_end_of};
use std::fs;

const KILL: i32 = 9;
/// 128 + SIGABRT.
const ABORTED: i32 = 134;

/// Points at which storing can be cut short, in their order.
const WHEN_STORING: [&str; 3] = ["ArchiveWritten", "ArchiveNamed", "EntryStored"];
/// Points at which restoring can be cut short, in their order.
const WHEN_RESTORING: [&str; 5] = ["Unpacked", "StaleRemoved", "FirstPlaced", "AllPlaced", "LeftRemembered"];

/// An app whose build waits, once it has begun or once it has written, where a file in the temporary
/// folder says so.
pub fn app_that_waits() -> World {
    let world = World::of(REACT);
    let config = "import react from '@vitejs/plugin-react'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'

const waits = (hook) => () => {
  if (!existsSync(`${tmpdir()}/wait-at-${hook}`)) return
  console.log(`waiting at ${hook}`)
  return new Promise(() => setInterval(() => {}, 1000))
}

export default {
  plugins: [react(), { name: 'waits', buildStart: waits('buildStart'), writeBundle: waits('writeBundle') }],
}
";
    world.write("vite.config.js", config);
    world
}

#[test]
fn a_run_after_kill_9_during_the_build_is_right() {
    let world = app_that_waits();
    let direct = world.built_directly("vite", &["build"], &[], "dist");
    for hook in ["buildStart", "writeBundle"] {
        let wait = world.tmp().join(format!("wait-at-{hook}"));
        fs::write(&wait, "").unwrap();
        let mut started = world.task(&["build"]).start();
        started.wait_for(&format!("waiting at {hook}"));
        started.signal(KILL);
        assert_eq!(started.done().code, 128 + KILL);
        assert_eq!(world.sound_entries(), 0, "{hook}");
        fs::remove_file(wait).unwrap();

        world.run("build").is("ran");
        assert_same(&world.tree("dist"), &direct);
        assert_eq!(world.sound_entries(), 1, "{hook}");
        world.run("build").is("fresh");
        assert_eq!(world.overhear(&["cache", "clean"]).done().code, 0);
    }
}

#[test]
fn kill_9_ends_everything_that_the_build_has_started() {
    let world = World::of_cached_scripts(&[("build", "sh outer.sh")]);
    world.write("outer.sh", "sh inner.sh & exec 9>$TMPDIR/alive; echo up; cat /dev/zero >/dev/null\n");
    world.write("inner.sh", "exec 9>$TMPDIR/alive; setsid sleep 1000\n");
    let alive = world.fifo("alive");
    let ended = read_to_end_of(&alive);
    let mut started = world.task(&["build"]).start();
    started.wait_for("up");
    started.signal(KILL);
    assert_eq!(started.done().code, 128 + KILL);
    ended.wait("the tree to end");
}

#[test]
fn a_run_after_a_crash_at_any_point_of_storing_is_right() {
    let world = World::of(REACT);
    let mut last = "Doing".to_owned();
    for point in WHEN_STORING {
        world.edit("src/columns.js", &last, point);
        last = point.to_owned();
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", point).done();
        assert_eq!(crashed.code, ABORTED, "{point} was not reached: {crashed:?}");
        is_right_now(&world, point);
        world.run("build").is("fresh");
    }
}

#[test]
fn a_run_after_a_crash_at_any_point_of_restoring_is_right() {
    let world = World::of(REACT);
    world.run("build");
    for point in WHEN_RESTORING {
        // What lies there is of another build, with a chunk that has to go.
        world.edit("src/columns.js", "Doing", point);
        world.run("build").is_one_of(&["ran", "restored"]);
        world.edit("src/columns.js", point, "Doing");
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", point).done();
        assert_eq!(crashed.code, ABORTED, "{point} was not reached: {crashed:?}");
        is_right_now(&world, point);
        world.run("build").is("fresh");

        // Nothing lies there.
        world.remove("dist");
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", point).done();
        // Without stale files that point is not come to.
        assert!([ABORTED, 0].contains(&crashed.code), "{crashed:?}");
        is_right_now(&world, point);
    }
}

/// The next run leaves what a direct build leaves, and the cache is sound with nothing half-made in it.
fn is_right_now(world: &World, point: &str) {
    let direct: Tree = world.built_directly("vite", &["build"], &[], "dist");
    let done = world.run("build");
    done.is_one_of(&["ran", "restored", "fresh"]);
    assert_same(&world.tree("dist"), &direct);
    assert!(world.sound_entries() > 0, "{point}");
    // A folder with nothing in it may wait for the next run that stores or restores.
    let mut left = world.tree(".overhear/tmp");
    left.retain(|_, node| *node != Node::Folder);
    assert_eq!(left, Tree::new(), "{point}");
}

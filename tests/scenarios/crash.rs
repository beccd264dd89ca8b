//! Killed at any moment, overhear leaves nothing that makes the next run wrong.

use crate::main_job::REACT;
use crate::tree::{Tree, assert_same, tree_without};
use crate::world::{World, read_to_end_of};
use overhear::store::Point;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILL: i32 = 9;
/// 128 + SIGABRT.
const ABORTED: i32 = 134;

/// What overhear has to be doing to come to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Storing,
    Restoring,
    Collecting,
}

/// A new point does not compile before it is said here how it is come to.
fn when(point: Point) -> When {
    match point {
        Point::ArchiveBegun
        | Point::ArchiveWritten
        | Point::ArchiveNamed
        | Point::EntryWritten
        | Point::EntryStored => When::Storing,
        Point::Unpacked
        | Point::StaleRemoved
        | Point::FirstPlaced
        | Point::AllPlaced
        | Point::LeftRemembered => When::Restoring,
        Point::EntriesForgotten | Point::ArchiveRemoved => When::Collecting,
    }
}

fn points(wanted: When) -> impl Iterator<Item = Point> {
    Point::ALL.into_iter().filter(move |point| when(*point) == wanted)
}

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
    // What has left the session is ended when it next asks for a path.
    world.write(
        "inner.sh",
        "exec 9>$TMPDIR/alive; setsid sh -c 'while cat inner.sh; do :; done' > /dev/null\n",
    );
    let alive = world.fifo("alive");
    let ended = read_to_end_of(&alive);
    let mut started = world.task(&["build"]).start();
    started.wait_for("up");
    started.signal(KILL);
    assert_eq!(started.done().code, 128 + KILL);
    ended.wait("the tree to end");
}

/// A task of two steps with all kinds of outputs, whose names depend on what it reads. Everything it
/// wrote before goes first.
fn kinds() -> World {
    let world = World::of_cached_scripts(&[("build", "sh gen.sh && sh build.sh")]);
    world.write("gen.sh", "mkdir -p gen\ntr a-z A-Z < src/word.txt > gen/word.txt\n");
    world.write(
        "build.sh",
        "set -e
rm -rf dist
mkdir -p dist/assets dist/empty
word=$(cat gen/word.txt)
for name in 1 2 3 4 5; do echo \"$word $name\" > \"dist/assets/$word-$name.txt\"; done
cp gen/word.txt dist/run; chmod +x dist/run
ln -s \"assets/$word-1.txt\" dist/first
head -c 100000 /dev/zero | tr '\\0' x > dist/large
cat gen/word.txt > dist/build.tsbuildinfo
echo built \"$word\"
",
    );
    world.write("src/word.txt", "one\n");
    world
}

/// What running the task directly leaves, begun with the workspace as it is now.
#[track_caller]
fn run_directly(world: &World) -> Tree {
    let copy = world.beside("copy");
    let _ = fs::remove_dir_all(&copy);
    let copied = Command::new("cp").arg("-a").arg(&world.app).arg(&copy).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(copy.join(".overhear")).unwrap_or_default();
    let mut command = world.command("sh");
    let command = command.args(["-c", "sh gen.sh && sh build.sh"]).current_dir(&copy).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    tree_without(&copy, &[".overhear"])
}

/// The next run leaves what a direct run leaves; the cache is sound with nothing half-made in it; and a
/// run after that has nothing to do.
#[track_caller]
fn is_right_now(world: &World, what: &str) {
    let direct = run_directly(world);
    let done = world.run("build");
    assert!(done.steps.iter().all(|step| step.get("not_stored").is_none()), "{what}: {done:?}");
    assert_same(&tree_without(&world.app, &[".overhear"]), &direct);
    assert!(!world.path(".overhear/tmp").exists(), "{what}: temporary files are left");
    assert!(world.sound_entries() > 0, "{what}");
}

#[test]
fn a_run_after_a_crash_at_any_point_of_storing_is_right() {
    for point in points(When::Storing) {
        let world = kinds();
        world.run("build");
        world.write("src/word.txt", "two\n");
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", format!("{point:?}")).done();
        assert_eq!(crashed.code, ABORTED, "{point:?} was not reached: {crashed:?}");
        is_right_now(&world, &format!("{point:?}"));
        assert_eq!(world.run("build").statuses(), ["fresh", "fresh"], "{point:?}");
    }
}

#[test]
fn a_run_after_a_crash_at_any_point_of_restoring_is_right() {
    for point in points(When::Restoring) {
        let world = kinds();
        for word in ["one\n", "two\n", "one\n"] {
            world.write("src/word.txt", word);
            world.run("build");
        }
        // What lies there is of another build, with files that have to go.
        world.write("src/word.txt", "two\n");
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", format!("{point:?}")).done();
        assert_eq!(crashed.code, ABORTED, "{point:?} was not reached: {crashed:?}");
        is_right_now(&world, &format!("{point:?}, over another build"));
        assert_eq!(world.run("build").statuses(), ["fresh", "fresh"], "{point:?}");

        // Nothing lies there.
        world.remove("dist");
        let crashed = world.task(&["build"]).env("OVERHEAR_ABORT_AT", format!("{point:?}")).done();
        assert_eq!(crashed.code, ABORTED, "{point:?} was not reached: {crashed:?}");
        is_right_now(&world, &format!("{point:?}, over nothing"));
        assert_eq!(world.run("build").statuses(), ["fresh", "fresh"], "{point:?}");
    }
}

#[test]
fn a_run_after_a_crash_at_any_point_of_collecting_is_right() {
    for point in points(When::Collecting) {
        let world = kinds();
        for word in ["one\n", "two\n"] {
            world.write("src/word.txt", word);
            world.run("build");
        }
        let collecting = world.overhear(&["cache", "gc", "--max-size", "1B"]);
        let crashed = collecting.env("OVERHEAR_ABORT_AT", format!("{point:?}")).done();
        assert_eq!(crashed.code, ABORTED, "{point:?} was not reached: {crashed:?}");
        is_right_now(&world, &format!("{point:?}"));
        // What the first one did not come to is done by the next.
        assert_eq!(world.overhear(&["cache", "gc", "--max-size", "1B"]).done().code, 0);
        assert_eq!(world.archives(), Vec::<std::path::PathBuf>::new());
    }
}

/// As random as the seed, which is told.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// `OVERHEAR_KILLS` says how often, `OVERHEAR_SEED` with which seed.
#[test]
fn a_run_after_kill_9_at_any_moment_is_right() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("OVERHEAR_KILLS").unwrap_or(60);
    let seed = number("OVERHEAR_SEED").unwrap_or_else(|| u64::from(std::process::id()) + 1);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let world = kinds();
    world.run("build");
    let (mut killed, mut longest) = (0, Duration::from_millis(20));
    for nth in 0..kills {
        let words = ["one\n", "two\n", "three\n", "four\n"];
        match random.below(6) {
            0..3 => world.write("src/word.txt", words[random.below(4) as usize]),
            3 if world.path("dist").exists() => world.remove("dist"),
            4 if world.path("dist/run").exists() => world.remove("dist/run"),
            5 if world.path("dist/large").exists() => world.write("dist/large", "cut"),
            _ => {}
        }
        let began = Instant::now();
        let started = world.task(&["build"]).start();
        // The moment is random: there is nothing to wait for.
        std::thread::park_timeout(longest.mul_f64(random.below(1000) as f64 / 1000.0));
        let _ = Command::new("kill").args(["-9", &started.pid().to_string()]).stderr(Stdio::null()).status();
        let done = started.done();
        if done.code == 128 + KILL {
            killed += 1;
        } else {
            assert_eq!(done.code, 0, "{done:?}");
            // One that took long for once does not make all later kills come too late.
            longest = (longest.mul_f64(0.75) + began.elapsed().mul_f64(0.25)).max(Duration::from_millis(20));
        }
        is_right_now(&world, &format!("kill {nth} of seed {seed}"));
        if random.below(20) == 0 {
            assert_eq!(world.overhear(&["cache", "gc", "--max-size", "100kB"]).done().code, 0);
        }
    }
    assert!(killed * 4 > kills, "only {killed} of {kills} runs were killed before they ended");
}

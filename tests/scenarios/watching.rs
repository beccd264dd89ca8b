//! `--watch`: what a change touches runs again, and nothing else.

use crate::world::{Started, World};

/// web reads what ui makes; each says what it read.
fn monorepo() -> World {
    let world = World::empty();
    world.write("package.json", r#"{"name": "root", "workspaces": ["packages/*"]}"#);
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    for (name, dependencies) in [("ui", ""), ("web", r#""ui": "workspace:*""#)] {
        let manifest = format!(
            r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{{dependencies}}}, "scripts": {{"build": "sh build.sh"}}}}"#
        );
        world.write(&format!("packages/{name}/package.json"), &manifest);
    }
    world.write("packages/ui/src.txt", "ui 1");
    world.write(
        "packages/ui/build.sh",
        "mkdir -p dist\necho \"$(cat src.txt)\" > dist/ui.txt\necho \"built from $(cat src.txt)\"\n",
    );
    world.write("packages/web/src.txt", "web 1");
    world.write("packages/web/build.sh", "echo \"web of $(cat src.txt), $(cat ../ui/dist/ui.txt)\"\n");
    world
}

fn watch(world: &World, args: &[&str]) -> Started {
    world.overhear(&[&["run", "--watch"], args].concat()).start()
}

/// Waits until the clock by which files are dated has moved on: what changes from now on is later than
/// all that was before.
fn wait_for_the_next_tick(world: &World) {
    let marker = world.tmp().join("tick");
    let tick = || {
        std::fs::write(&marker, "").unwrap();
        marker.metadata().unwrap().modified().unwrap()
    };
    let first = tick();
    while tick() == first {}
}

fn ends(started: Started) -> String {
    started.signal(2);
    let done = started.done();
    assert_eq!(done.code, 130, "{done:?}");
    done.err
}

#[test]
fn a_change_runs_again_what_read_it_and_what_comes_after() {
    let world = monorepo();
    let mut started = watch(&world, &["-r", "build"]);
    started.wait_for("web of web 1, ui 1");
    started.wait_for("2 steps: 2 ran");
    world.write("packages/ui/src.txt", "ui 2");
    started.wait_for("web of web 1, ui 2");
    started.wait_for("2 steps: 2 ran");
    // ui has not read it.
    world.write("packages/web/src.txt", "web 2");
    started.wait_for("web#build  miss: packages/web/src.txt changed");
    started.wait_for("web of web 2, ui 2");
    world.write("packages/ui/unread.txt", "x");
    world.write("packages/web/src.txt", "web 3");
    started.wait_for("web of web 3, ui 2");
    let shown = ends(started);
    assert_eq!(shown.matches("built from").count(), 2, "{shown}");
    // What ui makes is no news to web, which ran after it.
    assert!(!shown.contains("fresh"), "{shown}");
}

#[test]
fn a_failed_step_runs_again_when_something_in_its_package_changes() {
    let world = monorepo();
    world.write("packages/ui/build.sh", "exit 3\n");
    let mut started = watch(&world, &["-r", "build"]);
    started.wait_for("failed: exit code 3");
    started.wait_for("2 steps: 1 failed, 1 skipped");
    wait_for_the_next_tick(&world);
    world.write("packages/ui/build.sh", "mkdir -p dist\ncp src.txt dist/ui.txt\n");
    started.wait_for("web of web 1, ui 1");
    ends(started);
}

/// A compiler that writes although it found mistakes: who reads that waits until it has none.
#[test]
fn a_step_that_failed_after_it_wrote_what_others_read_runs_again_when_it_is_mended() {
    let world = monorepo();
    let mut started = watch(&world, &["-r", "build"]);
    started.wait_for("web of web 1, ui 1");
    started.wait_for("2 steps: 2 ran");
    wait_for_the_next_tick(&world);
    world.write("packages/ui/build.sh", "mkdir -p dist\ncp src.txt dist/ui.txt\nexit 3\n");
    started.wait_for("failed: exit code 3");
    started.wait_for("2 steps: 1 failed, 1 skipped");
    wait_for_the_next_tick(&world);
    world.write("packages/ui/dist/ui.txt", "by hand");
    world.write("packages/web/src.txt", "web 2");
    wait_for_the_next_tick(&world);
    world.write("packages/ui/src.txt", "ui 2");
    started.wait_for("failed: exit code 3");
    wait_for_the_next_tick(&world);
    world.write("packages/ui/build.sh", "mkdir -p dist\ncp src.txt dist/ui.txt\n");
    started.wait_for("web of web 2, ui 2");
    ends(started);
}

#[test]
fn a_server_starts_again_when_what_it_waits_for_ran_again() {
    let world = monorepo();
    world.write(
        "packages/web/overhear.json",
        r#"{"tasks": {"dev": {"command": "sh dev.sh", "persistent": true, "dependsOn": ["ui#build"]}}}"#,
    );
    world.write("packages/web/dev.sh", "echo \"serving $(cat ../ui/dist/ui.txt)\"\nsleep 1000\n");
    let mut started = watch(&world, &["web#dev"]);
    started.wait_for("serving ui 1");
    world.write("packages/ui/src.txt", "ui 2");
    started.wait_for("serving ui 2");
    ends(started);
}

#[test]
fn a_change_of_a_config_plans_anew_and_a_mistake_in_it_ends_nothing() {
    let world = monorepo();
    let mut started = watch(&world, &["ui#build"]);
    started.wait_for("built from ui 1");
    world.write("packages/ui/overhear.json", "{\"tusks\": {}}");
    started.wait_for("packages/ui/overhear.json changed: planning again");
    started.wait_for("unknown key `tusks`");
    world.write("packages/ui/overhear.json", r#"{"scripts": {"build": {"env": ["X"]}}}"#);
    started.wait_for("watching 1 step;");
    started.wait_for("built from ui 1");
    ends(started);
}

#[test]
fn a_new_folder_is_watched_too() {
    let world = World::of_cached_scripts(&[("build", "sh build.sh")]);
    world.write("build.sh", "find src -type f | sort\n");
    world.write("src/a", "");
    let mut started = watch(&world, &["build"]);
    started.wait_for("src/a");
    world.write("src/deep/b", "");
    started.wait_for("src/deep/b");
    world.write("src/deep/c", "");
    started.wait_for("src/deep/c");
    ends(started);
}

#[test]
fn an_input_in_node_modules_is_watched_and_the_rest_of_it_is_not() {
    let world = World::of_cached_scripts(&[("build", "sh build.sh")]);
    world.write("build.sh", "cat node_modules/dep/index.js node_modules/late/index.js 2>&1\ntrue\n");
    world.write("node_modules/dep/index.js", "dep 1\n");
    let mut started = watch(&world, &["build"]);
    started.wait_for("dep 1");
    world.write("node_modules/dep/unread.js", "nobody reads this");
    world.write("node_modules/dep/index.js", "dep 2\n");
    started.wait_for("dep 2");
    // As an install does: the folder goes, and comes anew. One that was missed comes.
    world.remove("node_modules/dep");
    world.write("node_modules/dep/index.js", "dep 3\n");
    world.write("node_modules/late/index.js", "late 1\n");
    started.wait_for("late 1");
    ends(started);
}

#[test]
fn what_somebody_takes_away_of_what_a_step_made_is_put_back_before_others_need_it() {
    let world = monorepo();
    let mut started = watch(&world, &["-r", "build"]);
    started.wait_for("2 steps: 2 ran");
    wait_for_the_next_tick(&world);
    world.remove("packages/ui/dist");
    started.wait_for("ui#build  restored");
    started.wait_for("2 steps: 1 fresh, 1 restored");
    ends(started);
}

/// Commands of which nothing is known, that write into the folder of the package: what one does is no edit.
#[test]
fn commands_that_write_do_not_run_each_other_again() {
    let world = World::of_scripts(&[("build", "sh gen.sh && sh bundle.sh")]);
    std::fs::write(world.path(".gitignore"), "dist\n").unwrap();
    assert!(world.command("git").args(["init", "-q"]).status().unwrap().success());
    world.write("gen.sh", "mkdir -p dist; echo 1 > dist/gen; echo gen\n");
    world.write("bundle.sh", "cat dist/gen > dist/bundle; cat said.txt\n");
    for text in ["one", "two", "three"] {
        world.write("said.txt", &format!("said {text}\n"));
    }
    let mut started = watch(&world, &["build"]);
    for text in ["three", "four", "five"] {
        wait_for_the_next_tick(&world);
        world.write("said.txt", &format!("said {text}\n"));
        started.wait_for(&format!("said {text}"));
        started.wait_for("2 steps: 2 ran");
    }
    started.signal(2);
    let done = started.done();
    let rounds = done.err.matches("2 steps: 2 ran").count();
    assert!((3..=4).contains(&rounds), "{done:?}");
}

/// A server goes on where what it waits for failed: what needs the server finds it.
#[test]
fn a_server_goes_on_after_a_failure_before_it() {
    let world = World::empty();
    world.write("package.json", r#"{"name": "root", "workspaces": ["lib", "app"]}"#);
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    world.write("lib/package.json", r#"{"name": "lib", "scripts": {"build": "sh lib.sh"}}"#);
    world.write("app/package.json", r#"{"name": "app"}"#);
    world.write(
        "app/overhear.json",
        r#"{"tasks": {
            "serve": {"command": "sh serve.sh", "persistent": true, "dependsOn": ["lib#build"], "readyWhen": {"output": "up"}},
            "test": {"command": "sh test.sh", "cache": false, "dependsOn": ["serve"]}}}"#,
    );
    world.write("lib/lib.sh", "cat lib.txt > lib.out; test \"$(cat lib.txt)\" != bad\n");
    world.write("lib/lib.txt", "good");
    world.write("app/serve.sh", "echo $$ > $TMPDIR/server; echo up; exec sleep 1000\n");
    world.write("app/test.sh", "kill -0 $(cat $TMPDIR/server) && echo there one\n");
    let mut started = watch(&world, &["app#test"]);
    started.wait_for("there one");
    started.wait_for("3 steps");
    wait_for_the_next_tick(&world);
    world.write("lib/lib.txt", "bad");
    started.wait_for("failed: lib#build");
    wait_for_the_next_tick(&world);
    world.write("app/test.sh", "kill -0 $(cat $TMPDIR/server) && echo there two\n");
    started.wait_for("there two");
    let shown = ends(started);
    assert!(!shown.contains("No such process"), "{shown}");
}

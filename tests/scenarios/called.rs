//! Scripts that call scripts: unfolded into steps only where that means what the calls mean, one after the
//! other. Each run is held against npm's.

use crate::as_directly::run_in_order;
use crate::world::World;

/// A workspace of one package with these scripts, all cached.
fn world(scripts: &[(&str, &str)]) -> World {
    let world = World::of_cached_scripts(scripts);
    world.write("a.txt", "a\n");
    world.write("b.txt", "b\n");
    world
}

/// Two runs, which are to leave what npm leaves.
#[track_caller]
fn as_npm(scripts: &[(&str, &str)], script: &str) {
    let world = world(scripts);
    for _ in 0..2 {
        run_in_order(&world, script);
    }
}

/// A script that is called again runs again where another command came in between.
#[test]
fn a_call_is_made_again_after_what_undid_it() {
    let scripts = [
        ("build", "mkdir -p dist && cp a.txt dist/o"),
        ("clean", "rm -rf dist"),
        ("test", "npm run build && cat dist/o"),
        ("ci", "npm run build && npm run clean && npm run test"),
    ];
    as_npm(&scripts, "ci");
    let scripts = [
        ("copy", "cp a.txt out.txt"),
        ("edit", "cp b.txt a.txt"),
        ("again", "npm run copy && npm run show"),
        ("show", "cat out.txt"),
        ("ci", "npm run copy && npm run edit && npm run again"),
    ];
    let world = world(&scripts);
    run_in_order(&world, "ci");
    assert_eq!(world.read("out.txt"), "b\n");
}

#[test]
fn scripts_that_share_one_are_no_circle() {
    let scripts = [
        ("fmt", "echo f > f.txt"),
        ("build", "echo b > b.js && npm run fmt"),
        ("check", "echo c > c.js && npm run fmt"),
        ("all", "npm run build && npm run check"),
        ("first", "npm run fmt && npm run build"),
    ];
    as_npm(&scripts, "all");
    as_npm(&scripts, "first");
}

#[test]
fn where_nothing_came_in_between_a_script_runs_once() {
    let scripts = [
        ("build", "cp a.txt o.txt"),
        ("test", "npm run build && cat o.txt"),
        ("ci", "npm run build && npm run test"),
    ];
    let world = world(&scripts);
    assert_eq!(run_in_order(&world, "ci").statuses(), ["ran", "ran"]);
}

#[test]
fn a_first_call_is_made_again_after_what_the_task_depends_on_undid_it() {
    let scripts = [
        ("gen", "echo x > gen.txt"),
        ("build", "npm run gen && cp gen.txt dist.txt && rm gen.txt"),
        ("test", "npm run gen && cat gen.txt"),
    ];
    let world = world(&scripts);
    world.write(
        "overhear.json",
        r#"{"cache": {"scripts": true}, "scripts": {"test": {"dependsOn": ["build"]}}}"#,
    );
    for _ in 0..2 {
        assert!(world.run("test").out.contains("x\n"));
    }
}

#[test]
fn what_a_called_task_depends_on_runs_also_where_the_call_stays_a_command() {
    let scripts = [
        ("deploy", "echo deployed >> deployed.txt"),
        ("g", "echo g > g.txt"),
        ("x", "npm run g"),
        ("z", "cat g.txt"),
        ("y", "npm run g && npm run z"),
        ("main", "npm run x && rm -f g.txt && npm run y"),
    ];
    let world = world(&scripts);
    world.write("overhear.json", r#"{"scripts": {"z": {"dependsOn": ["deploy"]}}}"#);
    world.run("main");
    assert_eq!(world.read("deployed.txt"), "deployed\n");
}

/// npm hands its PATH on to the scripts of another package.
#[test]
fn a_script_of_another_package_finds_the_programs_of_its_caller() {
    let world = World::empty();
    world.write("package.json", r#"{"name": "root", "workspaces": ["p/*"]}"#);
    world.write("p/a/package.json", r#"{"name": "a", "scripts": {"x": "cd ../b && npm run y"}}"#);
    world.write("p/b/package.json", r#"{"name": "b", "scripts": {"y": "tool > o"}}"#);
    world.write("p/a/node_modules/.bin/tool", "#!/bin/sh\necho tool\n");
    world.make_executable("p/a/node_modules/.bin/tool");
    world.run("a#x");
    assert_eq!(world.read("p/b/o"), "tool\n");
}

#[test]
fn with_continue_a_package_does_not_fall_with_another_that_calls_the_same() {
    let world = World::empty();
    world.write(
        "package.json",
        r#"{"name": "root", "workspaces": ["p/*"], "scripts": {"fmt": "echo f >> f.txt"}}"#,
    );
    for (name, first) in [("a", "false"), ("b", "echo b > b.js")] {
        let script = format!("{first} && cd ../.. && npm run fmt && echo done > done");
        world.write(
            &format!("p/{name}/package.json"),
            &format!(r#"{{"name": "{name}", "scripts": {{"build": "{script}"}}}}"#),
        );
    }
    let done = world.task(&["--continue", "-F", "a", "-F", "b", "build"]).done();
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(
        (world.read("f.txt"), world.read("done")),
        ("f\n".to_owned(), "done\n".to_owned()),
        "{done:?}"
    );
}

/// What is never cached by itself is not cached as a part of something else either.
#[test]
fn what_is_not_to_be_cached_runs_each_time_whoever_calls_it() {
    let overhear = env!("CARGO_BIN_EXE_overhear");
    let commands = [
        format!("{overhear} run -v deploy"),
        format!("sh -c '{overhear} run deploy'"),
        "npm run deploy -- x".to_owned(),
        "npm run --silent deploy".to_owned(),
        "npm run deploy --silent".to_owned(),
        "npm run --if-present deploy".to_owned(),
        "A=1 npm run deploy".to_owned(),
        "(npm run deploy)".to_owned(),
        "true; npm run deploy".to_owned(),
        "cd sub && npm run deploy".to_owned(),
        "export A=1 && npm run deploy".to_owned(),
        "npm run deploy && echo between && npm run deploy".to_owned(),
    ];
    for command in commands {
        let world = World::of_scripts(&[("deploy", "echo deployed >> \"$TMPDIR/deployed\"")]);
        world.write("sub/x", "");
        let config = serde_json::json!({"scripts": {"deploy": {"cache": false}}, "tasks": {"task": command}});
        world.write("overhear.json", &config.to_string());
        let calls = command.matches("deploy").count();
        for round in 1..3 {
            world.run("task");
            let deployed = std::fs::read_to_string(world.tmp().join("deployed")).unwrap();
            assert_eq!(deployed.lines().count(), round * calls, "{command}");
        }
    }
}

/// Those of `run-p` start all at once, however many may run: each of these waits for the others.
#[test]
fn scripts_that_start_all_at_once_share_a_place() {
    let world = World::of_scripts(&[
        ("a", "echo a > $TMPDIR/one"),
        ("preb", "cat $TMPDIR/one"),
        ("b", "echo b > $TMPDIR/two"),
        ("c", "cat $TMPDIR/two"),
        ("dev", "run-p c b a"),
        ("start", "npm run dev"),
    ]);
    world.fifo("one");
    world.fifo("two");
    for script in ["dev", "start"] {
        let args = ["-k", "1", "60"];
        let done = world.task(&["--concurrency-limit", "1", script]).below("timeout", &args).done();
        assert_eq!((done.code, done.steps.len()), (0, 4), "{done:?}");
    }
}

#[test]
fn a_call_with_parallel_starts_all_at_once() {
    let world = World::empty();
    world.write(
        "package.json",
        r#"{"name": "r", "workspaces": ["p/*"], "scripts": {"dev": "overhear run -r --parallel serve"}}"#,
    );
    let serve = ["cat $TMPDIR/one", "cat $TMPDIR/two > $TMPDIR/one", "echo x > $TMPDIR/two"];
    for (name, serve) in ["a", "b", "c"].into_iter().zip(serve) {
        world.write(
            &format!("p/{name}/package.json"),
            &format!(r#"{{"name": "{name}", "scripts": {{"serve": "{serve}"}}}}"#),
        );
    }
    world.fifo("one");
    world.fifo("two");
    let done = world.task(&["--concurrency-limit", "1", "dev"]).below("timeout", &["-k", "1", "60"]).done();
    assert_eq!((done.code, done.steps.len()), (0, 3), "{done:?}");
}

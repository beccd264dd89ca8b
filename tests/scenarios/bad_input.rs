//! What a person may get wrong: each is one error that says where and what to do, and nothing has run.

use crate::world::{Done, World};

/// Exit code of our own usage and config errors.
const USAGE: i32 = 2;

#[track_caller]
pub fn is_error_with(done: &Done, texts: &[&str]) {
    assert_eq!(done.code, USAGE, "{done:?}");
    // Help is broken into lines; what it says is the same.
    let unbroken = done.err.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(done.err.contains(text) || unbroken.contains(text), "{text:?} is missing in:\n{}", done.err);
    }
    assert_eq!(done.out, "");
}

#[test]
fn no_package_json_is_an_error_that_names_the_folder() {
    let world = World::empty();
    let done = world.overhear(&["run", "build"]).done();
    is_error_with(&done, &["no package.json", &world.app.display().to_string(), "help"]);
}

#[test]
fn a_broken_package_json_is_shown_with_its_line() {
    let world = World::empty();
    world.write("package.json", "{\n  \"name\": \"app\",\n  \"scripts\": { \"build\" \"touch ran\" }\n}\n");
    let done = world.overhear(&["run", "build"]).done();
    is_error_with(&done, &["package.json:3:24", "\"scripts\": { \"build\" \"touch ran\" }"]);
    assert!(!world.path("ran").exists());
}

#[test]
fn a_package_json_of_wrong_types_is_shown_with_its_line() {
    let world = World::empty();
    world.write("package.json", "{\n  \"name\": \"app\",\n  \"scripts\": { \"build\": 1 }\n}\n");
    let done = world.overhear(&["run", "build"]).done();
    is_error_with(&done, &["package.json:3:", "\"build\": 1"]);
}

#[test]
fn a_broken_overhear_json_is_shown_with_its_line() {
    let world = World::of_scripts(&[("build", "touch ran")]);
    world.write("overhear.json", "{\n  \"caches\": true\n}\n");
    let done = world.overhear(&["run", "build"]).done();
    is_error_with(&done, &["overhear.json:2:3", "\"caches\": true", "did you mean", "cache"]);
    assert!(!world.path("ran").exists());
}

#[test]
fn a_task_that_is_not_there_is_asked_back() {
    let world = World::of_scripts(&[("build", "touch ran"), ("test", "true")]);
    is_error_with(&world.overhear(&["run", "biuld"]).done(), &["biuld", "did you mean", "build"]);
    is_error_with(&world.overhear(&["run", "zzz"]).done(), &["zzz", "overhear list"]);
    assert!(!world.path("ran").exists());
}

#[test]
fn an_unknown_flag_is_asked_back() {
    let world = World::of_scripts(&[("build", "touch ran")]);
    is_error_with(&world.overhear(&["run", "--no-cash", "build"]).done(), &["--no-cash", "--no-cache"]);
    assert!(!world.path("ran").exists());
}

#[test]
fn flags_that_contradict_each_other_are_named_both() {
    let world = World::of_scripts(&[("build", "touch ran")]);
    let cases: [(&[&str], &str, &str); 14] = [
        (&["-r", "-t"], "--recursive", "--transitive"),
        (&["-r", "-F", "a"], "--recursive", "--filter"),
        (&["-t", "-F", "a"], "--transitive", "--filter"),
        (&["--affected", "-w"], "--affected", "--workspace-root"),
        (&["--cache", "--no-cache"], "--cache", "--no-cache"),
        (&["--force", "--no-cache"], "--force", "--no-cache"),
        (&["--watch", "--dry-run"], "--watch", "--dry-run"),
        (&["--watch", "--graph"], "--watch", "--graph"),
        (&["--watch", "--json"], "--watch", "--json"),
        (&["--graph", "--dry-run"], "--graph", "--dry-run"),
        (&["--graph", "--json"], "--graph", "--json"),
        (&["--last-details", "--watch"], "--last-details", "--watch"),
        (&["--trace-profile", "x", "--dry-run"], "--trace-profile", "--dry-run"),
        (&["-v", "-q"], "--verbose", "--quiet"),
    ];
    for (flags, one, other) in cases {
        let done = world.overhear(&[&["run"], flags, &["build"]].concat()).done();
        is_error_with(&done, &[one, other]);
        assert!(!world.path("ran").exists(), "{flags:?}");
    }
    let done = world.overhear(&["run", "-r", "app#build"]).done();
    is_error_with(&done, &["`app#build` names its package", "--recursive", "write `build` alone"]);
}

#[test]
fn values_of_flags_that_make_no_sense_are_told() {
    let world = World::of_scripts(&[("build", "touch ran")]);
    let cases: [(&[&str], &str); 7] = [
        (&["--concurrency", "0", "build"], "write a number from 1"),
        (&["--log", "pretty", "build"], "interleaved, labeled, grouped"),
        (&["--graph=png", "build"], "dot, json, html"),
        (&["-C", "nowhere", "build"], "name a folder that is there"),
        (&["-F", "", "build"], "the filter is empty"),
        (&["-F", "[main", "build"], "cannot read the filter `[main`"),
        (&["nobody#build"], "no package `nobody`"),
    ];
    for (args, text) in cases {
        is_error_with(&world.overhear(&[&["run"], args].concat()).done(), &[text]);
        assert!(!world.path("ran").exists(), "{args:?}");
    }
    let done = world.overhear(&["run", "build"]).env("OVERHEAR_CONCURRENCY", "many").done();
    is_error_with(&done, &["many", "write a number from 1"]);
}

#[test]
fn a_filter_that_matches_nothing_is_a_warning_and_an_error_where_that_is_asked_for() {
    let world = World::empty();
    world.write(
        "package.json",
        r#"{"name": "app", "workspaces": ["packages/*"], "scripts": {"build": "touch ran"}}"#,
    );
    world.write("packages/ui/package.json", r#"{"name": "@acme/button"}"#);
    for (filter, help) in [
        ("nobody", "`overhear list` shows the packages"),
        ("@acme/buton", "did you mean `@acme/button`?"),
        ("packages/ui", "did you mean the folder `./packages/ui`?"),
    ] {
        let text = format!("the filter `{filter}` matches no package");
        let done = world.overhear(&["run", "-F", filter, "build"]).done();
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.err.contains(&text) && done.err.contains(help), "{done:?}");
        let done = world.overhear(&["run", "-F", filter, "--fail-if-no-match", "build"]).done();
        is_error_with(&done, &[&text, help]);
        assert!(!world.path("ran").exists());
    }
}

#[test]
fn a_program_that_is_not_there_fails_with_127() {
    for cached in [false, true] {
        let scripts = [("build", "no-such-program --flag")];
        let world = if cached { World::of_cached_scripts(&scripts) } else { World::of_scripts(&scripts) };
        let done = world.task(&["build"]).done();
        assert_eq!(done.code, 127, "{done:?}");
        assert_eq!(done.statuses(), ["failed"]);
        assert!(done.err.contains("no-such-program"), "{done:?}");
        assert_eq!(world.sound_entries(), 0);
    }
    let world = World::of_cached_scripts(&[("build", "./no/such/file")]);
    assert_eq!(world.task(&["build"]).done().code, 127);
}

#[test]
fn a_program_that_cannot_be_executed_fails_with_126() {
    for name in ["./data.txt", "./folder"] {
        let world = World::of_cached_scripts(&[("build", name)]);
        world.write("data.txt", "no program\n");
        world.write("folder/file", "");
        let done = world.task(&["build"]).done();
        assert_eq!(done.code, 126, "{done:?}");
        assert!(done.err.contains(name), "{done:?}");
    }
}

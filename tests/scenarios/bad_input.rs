//! What a person may get wrong: each is one error that says where and what to do, and nothing has run.

use crate::world::{Done, World};

/// Exit code of our own usage and config errors.
const USAGE: i32 = 2;

#[track_caller]
fn is_error_with(done: &Done, texts: &[&str]) {
    assert_eq!(done.code, USAGE, "{done:?}");
    for text in texts {
        assert!(done.err.contains(text), "{text:?} is missing in:\n{}", done.err);
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

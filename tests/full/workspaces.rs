//! Several frameworks in one workspace, a fresh clone with the cache carried over, and the same builds
//! with no adapters.

use crate::app::{App, NEXT_16, NUXT_4, SVELTEKIT_2};
use crate::installed;
use crate::tree::assert_same;
use crate::world::{Done, World};
use std::fs;

/// The apps of the workspace, and where their sources come from.
const FOUR: [(&str, &str); 4] = [
    ("vite", "tests/fixtures/plain-vite7"),
    ("nuxt", "tests/fixtures/nuxt4"),
    ("sveltekit", "tests/fixtures/sveltekit2"),
    ("next", "tests/fixtures/next16"),
];

/// One command for all of them; what became of each, by its package.
fn build_all(world: &World) -> Vec<(String, String)> {
    let done: Done = world.task(&["-r", "build"]).done();
    assert_eq!(done.code, 0, "{done:?}");
    let of = |step: &serde_json::Value| {
        let package = step["task"].as_str().unwrap().split('#').next().unwrap().to_owned();
        (package, step["status"].as_str().unwrap().to_owned())
    };
    let mut all: Vec<_> = done.steps.iter().map(of).collect();
    all.sort();
    all
}

fn statuses(of: [&str; 4]) -> Vec<(String, String)> {
    let packages = ["app-next", "app-nuxt", "app-sveltekit", "app-vite"];
    packages.into_iter().zip(of).map(|(package, status)| (package.to_owned(), status.to_owned())).collect()
}

#[test]
fn four_frameworks_in_one_workspace_are_built_with_one_command() {
    let world = World::of("tests/fixtures/four");
    for (app, fixture) in FOUR {
        installed::copy_sources(fixture, &world.path(&format!("apps/{app}")));
    }
    assert_eq!(build_all(&world), statuses(["ran"; 4]));
    // The first build of Next has completed its tsconfig.json, which it had read.
    assert_eq!(build_all(&world), statuses(["ran", "fresh", "fresh", "fresh"]));
    assert_eq!(build_all(&world), statuses(["fresh"; 4]));
    for folder in ["apps/next/.next", "apps/nuxt/.output", "apps/sveltekit/build", "apps/vite/dist"] {
        world.remove(folder);
    }
    assert_eq!(build_all(&world), statuses(["restored"; 4]));
    world.edit("apps/vite/src/greet.js", "hello", "good day");
    assert_eq!(build_all(&world), statuses(["fresh", "fresh", "fresh", "ran"]));
}

/// The workspace as somebody else has it who cloned it now, and got the cache with it.
fn clone_anew(app: &App, world: &World) {
    let old = world.beside("old");
    fs::rename(&world.app, &old).unwrap();
    fs::create_dir(&world.app).unwrap();
    installed::copy(app.fixture, &world.app);
    fs::rename(old.join(".overhear"), world.path(".overhear")).unwrap();
    // What the first build had completed is committed.
    fs::copy(old.join("tsconfig.json"), world.path("tsconfig.json")).unwrap();
    fs::remove_dir_all(old).unwrap();
}

fn clone_holds(app: &App, program: &str, args: &[&str]) {
    let world = app.world();
    for _ in 0..app.before {
        app.run(&world, &[]);
    }
    app.run(&world, &[]).is("ran");
    world.run("check").is("ran");
    let original = app.result(&world);
    clone_anew(app, &world);
    for path in app.generated {
        assert!(!world.path(path).exists(), "{path} is in the fixture");
    }
    app.run(&world, &[]).is("restored");
    app.result(&world).iter().zip(&original).for_each(|(now, then)| assert_same(now, then));
    // A check may keep some of the generated files as well, in another state than the build.
    world.run("check").is_hit();
    let checked = world.direct(program, args).done();
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[test]
fn a_fresh_clone_of_sveltekit_hits_and_its_types_check() {
    clone_holds(&SVELTEKIT_2, "node_modules/.bin/svelte-check", &["--tsconfig", "./tsconfig.json"]);
}

#[test]
fn a_fresh_clone_of_next_hits_and_its_types_check() {
    clone_holds(&NEXT_16, "node_modules/.bin/tsc", &["--noEmit"]);
}

#[test]
fn a_fresh_clone_of_nuxt_hits_and_its_types_check() {
    clone_holds(&NUXT_4, "node_modules/.bin/nuxt", &["typecheck"]);
}

const NO_ADAPTERS: &str = r#"{
    "cache": { "scripts": true },
    "adapters": { "common": false, "next": false, "nuxt": false, "sveltekit": false, "vite": false }
}"#;

/// Nobody says that the tool looks through all variables: a run that may have missed one is not kept, says
/// so, and the next one has it.
#[track_caller]
fn build_with(run: &dyn Fn() -> Done) -> Done {
    let done = run();
    match done.steps[0]["not_stored"]["kind"].as_str() {
        Some("hidden_env") => {
            assert!(done.err.contains("not stored"), "{done:?}");
            build_with(run)
        }
        _ => done,
    }
}

/// Whatever is served from the cache, or not, the result is that of the sources and variables as they are.
fn never_stale(app: &App) {
    let world = app.world();
    world.write("overhear.json", NO_ADAPTERS);
    let (page, text) = app.page;
    let (variable, result) = app.variable;
    let original = world.read(page);
    let shows = |env: &[(&str, &str)], expected: &str| {
        let done = build_with(&|| app.run(&world, env));
        assert!(done.steps[0].get("adapter").is_none_or(serde_json::Value::is_null), "{done:?}");
        assert!(world.read(result).contains(expected), "{result} has no {expected:?}: {done:?}");
    };
    shows(&[], text);
    shows(&[], text);
    world.edit(page, text, "another page");
    shows(&[], "another page");
    shows(&[(variable, "goodbye")], "goodbye");
    shows(&[(variable, "farewell")], "farewell");
    world.write(page, &original);
    shows(&[], text);
    // Not the types as well: `nuxt build` itself fails where only those are gone.
    app.outputs.iter().filter(|path| world.path(path).exists()).for_each(|path| world.remove(path));
    shows(&[], text);
}

#[test]
fn without_adapters_sveltekit_is_never_stale() {
    never_stale(&SVELTEKIT_2);
}

#[test]
fn without_adapters_next_is_never_stale() {
    never_stale(&NEXT_16);
}

#[test]
fn without_adapters_nuxt_is_never_stale() {
    never_stale(&NUXT_4);
}

#[test]
fn without_adapters_vite_7_is_never_stale() {
    let world = World::of("tests/fixtures/plain-vite7");
    world.write("overhear.json", NO_ADAPTERS);
    let bundle = || {
        let entry = fs::read_dir(world.path("dist/assets")).unwrap().next().unwrap().unwrap();
        fs::read_to_string(entry.path()).unwrap()
    };
    for (name, text) in [("one", "hello"), ("two", "hello"), ("two", "good day"), ("one", "hello")] {
        world.write("src/greet.js", &format!("export const greet = (name) => `{text}, ${{name}}`\n"));
        build_with(&|| world.run_with("build", &[("VITE_NAME", name)]));
        assert!(bundle().contains(name) && bundle().contains(text), "{}", bundle());
        assert_eq!(fs::read_dir(world.path("dist/assets")).unwrap().count(), 1);
    }
}

//! Which packages are meant: what changed, as git tells, and calls of overhear within tasks.

use crate::world::{Done, World};
use std::process::Command;

/// web → ui; docs apart; each builds what its source says. Committed on `main`, now on `feature`.
fn monorepo() -> World {
    let world = World::empty();
    world.write(
        "package.json",
        r#"{"name": "root", "workspaces": ["packages/*"], "scripts": {"all": "overhear run -r build"}}"#,
    );
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    world.write(".gitignore", ".overhear\ndist\n");
    for (name, dependencies) in [("ui", ""), ("web", r#""ui": "workspace:*""#), ("docs", "")] {
        let manifest = format!(
            r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{{dependencies}}}, "scripts": {{"build": "sh ../../build.sh"}}}}"#
        );
        world.write(&format!("packages/{name}/package.json"), &manifest);
        world.write(&format!("packages/{name}/src.txt"), name);
    }
    world.write("build.sh", "mkdir -p dist && cat src.txt > dist/out.txt\n");
    lock(&world, "1.0.0", "1.0.0");
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message=one"],
        &["switch", "--quiet", "--create", "feature"],
    ] {
        git(&world, args);
    }
    world
}

/// web gets x, docs gets y.
fn lock(world: &World, x: &str, y: &str) {
    let text = format!(
        r#"{{"lockfileVersion": 3, "packages": {{"": {{}},
            "packages/ui": {{}}, "packages/web": {{"dependencies": {{"x": "*"}}}}, "packages/docs": {{"dependencies": {{"y": "*"}}}},
            "node_modules/x": {{"version": "{x}"}}, "node_modules/y": {{"version": "{y}"}}}}}}"#
    );
    world.write("package-lock.json", &text);
}

#[track_caller]
fn git(world: &World, args: &[&str]) {
    let mut command: Command = world.command("git");
    command.args(["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]).args(args);
    assert!(command.status().unwrap().success(), "git {args:?}");
}

/// The packages whose task was run or hit.
fn packages(done: &Done) -> Vec<&str> {
    let mut names: Vec<&str> =
        done.steps.iter().map(|step| step["task"].as_str().unwrap().split('#').next().unwrap()).collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn affected(world: &World, args: &[&str], expected: &[&str]) {
    let done = world.task(&[args, &["build"]].concat()).done();
    assert_eq!((done.code, packages(&done)), (0, expected.to_vec()), "{args:?}: {done:?}");
}

#[test]
fn what_is_affected_is_what_changed_since_the_main_branch_and_what_depends_on_it() {
    let world = monorepo();
    affected(&world, &["--affected"], &[]);
    // A file that git does not know yet.
    world.write("packages/ui/new.txt", "new");
    affected(&world, &["--affected"], &["ui", "web"]);
    affected(&world, &["--filter", "[main]"], &["ui"]);
    affected(&world, &["--filter", "...[main]"], &["ui", "web"]);
    affected(&world, &["--affected", "--filter", "!web"], &["ui"]);
    // Committed here, and something else on main since: that is none of this branch's.
    git(&world, &["add", "--all"]);
    git(&world, &["commit", "--quiet", "--message=two"]);
    git(&world, &["switch", "--quiet", "main"]);
    world.write("packages/docs/src.txt", "other docs");
    git(&world, &["commit", "--quiet", "--all", "--message=three"]);
    git(&world, &["switch", "--quiet", "feature"]);
    affected(&world, &["--affected"], &["ui", "web"]);
    affected(&world, &["--affected=main"], &["ui", "web"]);
    affected(&world, &["--affected=feature"], &[]);
    affected(&world, &["--affected=feature...main"], &["docs"]);
    // A file at the root belongs to the package there, which has no such task.
    world.write("notes.txt", "of the root");
    let done = world.task(&["--affected=feature", "build"]).done();
    assert_eq!((done.code, packages(&done)), (0, Vec::new()));
    assert!(done.err.contains("no affected package that is selected has a task `build`"), "{done:?}");
}

#[test]
fn a_lock_file_affects_the_packages_for_which_it_says_something_else() {
    let world = monorepo();
    lock(&world, "1.0.0", "1.1.0");
    affected(&world, &["--affected"], &["docs"]);
    lock(&world, "2.0.0", "1.1.0");
    affected(&world, &["--affected"], &["docs", "web"]);
    world.write("package-lock.json", "not a lock file");
    affected(&world, &["--affected"], &["docs", "ui", "web"]);
}

#[test]
fn what_git_cannot_tell_is_an_error_and_nothing_runs() {
    let world = monorepo();
    let refused = |args: &[&str], text: &str| {
        let done = world.task(&[args, &["build"]].concat()).done();
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains(text), "{text}: {done:?}");
        assert!(!world.path("packages/ui/dist").exists());
    };
    refused(&["--affected=nowhere"], "`nowhere` is no branch, tag or commit");
    refused(&["--filter", "[--all]"], "`--all` is no branch, tag or commit");
    let done = world.task(&["--affected", "build"]).env("PATH", "/nonexistent").done();
    assert!(done.code == 2 && done.err.contains("cannot start git"), "{done:?}");
    world.remove(".git");
    let mut apart = world.task(&["--affected", "build"]);
    apart.command.env("GIT_CEILING_DIRECTORIES", world.app.parent().unwrap());
    let done = apart.done();
    assert!(done.code == 2 && done.err.contains("not a git repository"), "{done:?}");
}

#[test]
fn a_root_script_that_runs_all_packages_is_their_tasks_and_each_runs_once() {
    let world = monorepo();
    let done = world.task(&["all"]).done();
    assert_eq!((done.code, packages(&done)), (0, vec!["docs", "ui", "web"]), "{done:?}");
    let place =
        |name: &str| done.steps.iter().position(|step| step["task"] == format!("{name}#build")).unwrap();
    assert!(place("ui") < place("web"));
    assert_eq!(world.task(&["all"]).done().statuses(), ["fresh"; 3]);
    assert_eq!(world.task(&["-r", "build"]).done().statuses(), ["fresh"; 3]);
}

#[test]
fn yarn_plug_and_play_is_an_error_that_says_what_to_set() {
    let world = World::of_scripts(&[("build", "touch ran")]);
    world.write(".pnp.cjs", "");
    let done = world.overhear(&["run", "build"]).done();
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("Plug'n'Play") && done.err.contains("nodeLinker: node-modules"), "{done:?}");
    assert!(!world.path("ran").exists());
}

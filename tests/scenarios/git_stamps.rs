//! What git says of a checkout is an input of the tasks that ask for it, and changing it is nothing
//! that a hit could do.

use crate::world::World;

/// A repository with one commit, and scripts that are cached.
fn repository(scripts: &[(&str, &str)]) -> World {
    let world = World::of_cached_scripts(scripts);
    world.write(".gitignore", ".overhear/\nout/\n");
    world.write("src/a.txt", "a\n");
    git(&world, &["init", "-q", "-b", "main"]);
    git(&world, &["config", "user.name", "a"]);
    git(&world, &["config", "user.email", "a@example.com"]);
    git(&world, &["add", "-A"]);
    git(&world, &["commit", "-q", "-m", "one"]);
    world
}

#[track_caller]
fn git(world: &World, args: &[&str]) -> String {
    let output = world.command("git").args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_build_that_names_the_commit_is_made_again_for_another_commit() {
    let world = repository(&[("version", "mkdir -p out && git rev-parse HEAD > out/version")]);
    let one = git(&world, &["rev-parse", "HEAD"]);
    world.run("version");
    assert_eq!(world.run("version").statuses(), ["fresh", "fresh"]);
    git(&world, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let done = world.run("version");
    assert_eq!(done.statuses()[1], "ran", "{done:?}");
    assert_eq!(world.read("out/version").trim(), git(&world, &["rev-parse", "HEAD"]));
    git(&world, &["checkout", "-q", &one]);
    world.run("version");
    assert_eq!(world.read("out/version").trim(), one);
    git(&world, &["checkout", "-q", "main"]);
    let done = world.run("version");
    assert_eq!(done.statuses(), ["fresh", "restored"], "{done:?}");
    assert_eq!(world.read("out/version").trim(), git(&world, &["rev-parse", "HEAD"]));
}

#[test]
fn a_commit_is_made_each_time_that_it_is_asked_for() {
    let world = repository(&[("release", "git commit -q --allow-empty -m release")]);
    for commits in 2..6 {
        let done = world.run("release");
        assert_eq!(done.statuses(), ["ran"], "{done:?}");
        assert_eq!(git(&world, &["rev-list", "--count", "HEAD"]), commits.to_string());
    }
}

#[test]
fn files_are_staged_each_time_that_it_is_asked_for() {
    let world = repository(&[("stage", "git add -A src")]);
    for text in ["b\n", "c\n", "b\n", "c\n"] {
        world.write("src/a.txt", text);
        assert_eq!(world.run("stage").statuses(), ["ran"]);
        assert_eq!(git(&world, &["diff", "--cached", "--name-only"]), "src/a.txt");
        assert_eq!(git(&world, &["diff", "--name-only"]), "");
        git(&world, &["reset", "-q"]);
        assert_eq!(git(&world, &["diff", "--cached", "--name-only"]), "");
    }
}

#[test]
fn a_task_that_asks_git_for_what_changed_hits_while_nothing_did() {
    let world = repository(&[("changed", "git status --short src")]);
    world.write("src/a.txt", "b\n");
    let first = world.run("changed");
    assert!(first.out.contains("M src/a.txt"), "{first:?}");
    // git writes its index anew when it finds times in it that are too young to be trusted.
    world.run("changed");
    world.run("changed");
    let done = world.run("changed");
    assert_eq!(done.statuses(), ["fresh"], "{done:?}");
    assert_eq!(done.out, first.out);
    git(&world, &["add", "src/a.txt"]);
    let staged = world.run("changed");
    assert_eq!(staged.statuses(), ["ran"], "{staged:?}");
    assert!(staged.out.contains("M  src/a.txt"), "{staged:?}");
}

/// Git keeps a submodule by the path of its folder, whatever parts that has.
#[test]
fn another_commit_of_a_submodule_counts() {
    let world = repository(&[("version", "git -C libs/foo rev-parse HEAD")]);
    let other = repository(&[]);
    let from = other.app.to_str().unwrap();
    git(&world, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", from, "libs/foo"]);
    let one = world.run("version").out;
    world.run("version").is("fresh");
    let commit = ["-C", "libs/foo", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q"];
    git(&world, &[&commit[..], &["--allow-empty", "-m", "two"]].concat());
    let two = world.run("version").out;
    assert_ne!(one, two);
    assert_eq!(two.trim(), git(&world, &["-C", "libs/foo", "rev-parse", "HEAD"]));
}

/// What comes and goes in git's folder is nothing that a hit could judge.
#[test]
fn a_step_that_lists_the_folder_of_git_and_makes_a_lock_there_is_kept() {
    let world = repository(&[("lock", "ls .git && touch .git/x.lock && rm .git/x.lock")]);
    world.run("lock");
    world.run("lock");
    let done = world.run("lock");
    assert!(!done.err.contains("cannot be used"), "{done:?}");
    let verified = world.overhear(&["cache", "verify"]).done();
    assert!(verified.out.contains(" 0 were damaged"), "{verified:?}");
}

//! `overhear diff`: what was, where that is known.

use crate::world::World;
use serde_json::Value;

fn git(world: &World, args: &[&str]) {
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
    assert!(world.command("git").args(identity).args(args).status().unwrap().success());
}

fn diff(world: &World) -> String {
    let done = world.overhear(&["diff", "build"]).done();
    assert_eq!(done.code, 0, "{done:?}");
    done.out
}

#[test]
fn an_edit_is_shown_line_by_line_where_git_has_what_was() {
    let world = World::of_cached_scripts(&[("build", "sh build.sh")]);
    world.write("build.sh", "cat in.txt hidden.txt > out.txt\n");
    world.write("in.txt", "one\ntwo\n");
    world.write("hidden.txt", "then\n");
    git(&world, &["init", "-q"]);
    git(&world, &["add", "in.txt"]);
    git(&world, &["commit", "-qm", "first"]);
    assert!(diff(&world).contains("no entry yet; run it first: overhear run build"));

    world.run("build").is("ran");
    assert_eq!(diff(&world), "app#build  nothing differs from the last entry\n");

    // What git has is shown; of what it never had only the digest is known.
    world.write("in.txt", "one\n2\n");
    world.write("hidden.txt", "now\n");
    world.write("out.txt", "mine\n");
    let shown = diff(&world);
    let expected = "\
app#build  differs from the closest entry in 2 inputs, 1 output
  hidden.txt changed: its earlier content is not known (git has it not; of inputs only digests are kept)
--- a/in.txt
+++ b/in.txt
@@ -1,2 +1,2 @@
 one
-two
+2
--- a/out.txt
+++ b/out.txt
@@ -1,3 +1 @@
-one
-two
-then
+mine
";
    assert_eq!(shown, expected);

    // A later commit does not hide it.
    git(&world, &["commit", "-qam", "second"]);
    assert_eq!(diff(&world), expected);

    let done = world.overhear(&["diff", "build", "--json", "--search", "hidden"]).done();
    let document: Value = serde_json::from_str(&done.out).unwrap();
    let files = document["steps"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{document}");
    assert_eq!((&files[0]["as"], &files[0]["change"]), (&"input".into(), &"modified".into()));
    assert!(files[0]["diff"].is_null() && files[0]["why_no_diff"].is_string(), "{document}");
}

#[test]
fn what_another_step_has_made_is_known_without_git() {
    let world = World::of_cached_scripts(&[("gen", "cp in.txt gen.txt"), ("build", "cp gen.txt out.txt")]);
    world.write("in.txt", "one\n");
    world.run("gen").is("ran");
    world.run("build").is("ran");
    world.write("gen.txt", "mine\n");
    assert!(diff(&world).contains("--- a/gen.txt\n+++ b/gen.txt\n@@ -1 +1 @@\n-one\n+mine\n"));

    // What a later step of the same task makes is no news to the first one.
    let two = World::of_cached_scripts(&[("build", "ls && mkdir -p made")]);
    two.run("build");
    assert!(!diff(&two).contains("other names"), "{}", diff(&two));

    // A variable is no file, and is named.
    let mut asked = world.overhear(&["diff", "build"]);
    asked.command.env("NODE_ENV", "test");
    assert!(asked.done().out.contains("  variable NODE_ENV is set now\n"));
}

#[test]
fn a_step_is_compared_as_the_hits_before_it_would_leave_its_files() {
    let first = "mkdir -p made && cp in.txt made/in.txt";
    let world = World::of_cached_scripts(&[("build", &format!("{first} && cp made/in.txt out.txt"))]);
    world.write("in.txt", "one\n");
    world.run("build");
    std::fs::remove_dir_all(world.path("made")).unwrap();
    let shown = diff(&world);
    assert!(shown.contains("output made/in.txt is gone: a hit puts it back"), "{shown}");
    // The step that reads it finds it there.
    assert!(!shown.contains("  made/in.txt is gone"), "{shown}");
    let why = world.overhear(&["why", "build"]).done().out;
    assert!(why.contains("restored") && !why.contains("miss"), "{why}");
}

#[test]
fn what_a_pattern_names_and_the_command_reads_too_is_told_once() {
    let world = World::of_cached_scripts(&[("build", "cat src/a.txt src/b.txt > out.txt")]);
    world.write(
        "overhear.json",
        r#"{"scripts": {"build": {"cache": true, "input": ["src/**", {"auto": true}]}}}"#,
    );
    world.write("src/a.txt", "one\n");
    world.write("src/b.txt", "one\n");
    world.run("build").is("ran");
    world.write("src/a.txt", "two\n");
    world.write("src/b.txt", "two\n");
    let shown = diff(&world);
    assert!(shown.starts_with("app#build  differs from the closest entry in 2 inputs\n"), "{shown}");
    let why = world.overhear(&["why", "build", "-v"]).done().out;
    assert_eq!(why.matches("src/b.txt").count(), 1, "{why}");

    // A search that matches nothing does not hide that something differs.
    let searched = world.overhear(&["diff", "build", "--search", "nowhere"]).done().out;
    assert_eq!(searched, "app#build  differs from the closest entry in 2 files that do not match\n");
}

#[test]
fn large_and_oddly_named_files_are_asked_of_git_too() {
    let world = World::of_cached_scripts(&[("build", "cat 'an odd: name.txt' big.txt > out.txt")]);
    let big = |end: &str| "0123456789abcde\n".repeat(80_000) + end;
    world.write("an odd: name.txt", "one\n");
    world.write("big.txt", &big("then\n"));
    git(&world, &["init", "-q"]);
    git(&world, &["add", "an odd: name.txt", "big.txt"]);
    git(&world, &["commit", "-qm", "first"]);
    world.run("build").is("ran");
    world.write("an odd: name.txt", "two\n");
    world.write("big.txt", &big("now\n"));
    let shown = diff(&world);
    assert!(
        shown.contains("--- a/an odd: name.txt\n+++ b/an odd: name.txt\n@@ -1 +1 @@\n-one\n+two\n"),
        "{shown}"
    );
    assert!(shown.contains("big.txt changed: too large to show"), "{shown}");
    // Small now, and large in git.
    world.write("big.txt", "now\n");
    assert!(diff(&world).contains("big.txt changed: its earlier content is not known"));
}

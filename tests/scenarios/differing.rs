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

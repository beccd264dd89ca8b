//! The commands of `overhear adapter`: an adapter from nothing to use, one that comes as an npm package, and
//! what authors and users do wrong.

use crate::guest::careless;
use crate::world::{Done, World, has_program};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A workspace with a tool that overhear does not know: `mine build` writes what it is told.
pub fn world() -> World {
    let world = World::empty();
    world.write("package.json", r#"{"name": "app", "version": "1.0.0", "private": true}"#);
    world.write("overhear.json", r#"{"tasks": {"do": "mine build"}}"#);
    world.write("src/a.txt", "hello\n");
    tool(&world, "mine", "mkdir -p dist node_modules/.cache/mine; cat src/a.txt > dist/a.txt");
    world
}

fn tool(world: &World, name: &str, script: &str) {
    let manifest = format!(r#"{{"name": "{name}", "version": "2.0.0"}}"#);
    world.write(&format!("node_modules/{name}/package.json"), &manifest);
    let program = format!("node_modules/{name}/{name}.sh");
    world.write(&program, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(world.path(&program), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(world.path("node_modules/.bin")).unwrap();
    let _ = symlink(format!("../{name}/{name}.sh"), world.path("node_modules/.bin").join(name));
}

fn adapter(world: &World, folder: &str, args: &[&str]) -> Done {
    let mut invocation = world.overhear(&[&["adapter"], args].concat());
    invocation.command.current_dir(world.path(folder));
    invocation.done()
}

/// Which adapter declared the last run of the task.
pub fn declared_by(world: &World) -> String {
    let done = world.overhear(&["inspect", "do", "--json"]).done();
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let adapter = &document["steps"][0]["adapter"];
    let word = |key: &str| adapter[key].as_str().unwrap_or_default();
    format!("{} {}", word("id"), word("version")).trim().to_owned()
}

#[track_caller]
pub fn works(world: &World, folder: &str, args: &[&str]) -> Done {
    let done = adapter(world, folder, args);
    assert_eq!(done.code, 0, "{args:?}: {done:?}");
    done
}

#[track_caller]
pub fn fails(world: &World, folder: &str, args: &[&str], words: &[&str]) -> Done {
    let done = adapter(world, folder, args);
    assert_ne!(done.code, 0, "{args:?}: {done:?}");
    for word in words {
        assert!(done.err.contains(word) || done.out.contains(word), "{args:?} says {word:?}: {done:?}");
    }
    done
}

#[test]
fn a_table_goes_from_nothing_to_use_and_only_what_it_declares_counts() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, "mine", &["build"]);
    assert!(works(&world, "mine", &["test"]).out.contains("2 passed, 0 failed"));
    world.run("do").is("ran");
    works(&world, ".", &["add", "mine/adapter.toml"]);
    // It declares something now.
    let first = world.run("do");
    assert_eq!(first.steps[0]["reason"]["kind"], "declaration_changed", "{first:?}");
    assert_eq!(declared_by(&world), "acme/mine 0.1.0");
    world.run("do").is_hit();
    // No other declaration, no miss: the title, and a row for another command.
    world.edit("mine/adapter.toml", "title = \"mine\"", "title = \"The mine\"");
    world.edit("mine/adapter.toml", "name = \"dev\"", "name = \"serve\"");
    world.run("do").is_hit();
    world.edit("mine/adapter.toml", "[\"NODE_ENV\"]", "[\"NODE_ENV\", \"MINE_*\"]");
    let changed = world.run("do");
    assert_eq!(changed.steps[0]["reason"]["kind"], "declaration_changed", "{changed:?}");
    world.run("do").is_hit();
    works(&world, ".", &["remove", "acme/mine"]);
    assert!(!world.read("overhear.json").contains("mine/adapter.toml"));
    assert!(!world.read("overhear.lock").contains("acme/mine"));
}

#[test]
fn a_case_that_no_longer_holds_shows_what_differs_and_can_be_written_anew() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    world.edit("mine/adapter.toml", "path = \"dist\"", "path = \"build\"");
    world.edit("mine/tests/build/call.toml", " --out www", "");
    let words =
        ["build: FAILED", "- outputs: workspace:www", "+ outputs: package:build", "1 passed, 1 failed"];
    fails(&world, "mine", &["test"], &words);
    works(&world, "mine", &["test", "--update"]);
    assert!(world.read("mine/tests/build/expect.toml").contains("package:build"));
    works(&world, "mine", &["test"]);
    fails(&world, "mine", &["test", "no-such-case"], &["there is no case to run"]);
    // What cannot be read is one case, and not the end of the others.
    world.write("mine/tests/build/call.toml", "command = \"mine build\"\ncwdd = \".\"\n");
    let words = ["build: FAILED: tests/build/call.toml:2", "unknown field `cwdd`", "1 passed, 1 failed"];
    fails(&world, "mine", &["test"], &words);
}

#[test]
fn a_table_in_a_crate_is_checked_and_nothing_is_written_over_it() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    world.write("mine/Cargo.toml", "[package]\nname = \"other\"\nversion = \"1.0.0\"\n");
    let before = world.read("mine/adapter.toml");
    assert!(works(&world, "mine", &["build"]).out.contains("adapter.toml is the adapter acme/mine"));
    assert_eq!(world.read("mine/adapter.toml"), before);
    assert!(!world.path("mine/target").exists(), "cargo was not started");
}

#[test]
fn a_mistake_of_the_author_is_told_with_its_line_and_stops_no_task() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "./mine/adapter.toml"]);
    let sound = world.read("mine/adapter.toml");
    for (from, to, words) in [
        ("caches = ", "cache = ", &["adapter.toml:14:1: unknown field `cache`", "[bad-source]"][..]),
        ("id = \"acme/mine\"", "id = \"Mine\"", &["is not of the form `vendor/name`", "[bad-description]"]),
        (
            "path = \"dist\"",
            "path = \"../dist\"",
            &["adapter.toml:17:41: mine build: outputs[0] `../dist`", "[bad-pattern]"],
        ),
        (
            "path = \"dist\"",
            "path = \"**\"",
            &["adapter.toml:17:41: mine build: outputs[0] `**`", "[output-too-broad]"],
        ),
        ("version = \"0.1.0\"", "version = 1", &["adapter.toml:4:11: invalid type: integer"]),
    ] {
        world.write("mine/adapter.toml", &sound.replacen(from, to, 1));
        fails(&world, "mine", &["build"], words);
        let _ = fs::remove_dir_all(world.path("dist"));
        let done = world.task(&["do"]).done();
        assert_eq!((done.code, world.read("dist/a.txt").as_str()), (0, "hello\n"), "{done:?}");
        done.uncached("fault");
        assert!(done.err.contains(words[0]), "{done:?}");
    }
    world.write("mine/adapter.toml", &sound);
    world.run("do").is("ran");
}

#[test]
fn what_is_locked_is_held_where_adapters_are_frozen() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    world.run("do").is("ran");
    let frozen = || world.task(&["--frozen", "do"]).done();
    frozen().is_hit();
    world.edit("mine/adapter.toml", "title = \"mine\"", "title = \"The mine\"");
    let done = frozen();
    assert_eq!(done.code, 0, "{done:?}");
    done.uncached("fault");
    assert!(done.err.contains("[digest-mismatch]") && done.err.contains("adapter update"), "{done:?}");
    let foreseen = world.task(&["--frozen", "--dry-run", "do"]).done();
    assert!(foreseen.err.contains("[digest-mismatch]"), "{foreseen:?}");
    assert!(!foreseen.out.contains("fresh"), "{foreseen:?}");
    // The same without the flag where CI is set, and not otherwise.
    world.task(&["do"]).env("CI", "true").done().uncached("fault");
    world.run("do").is_hit();
    works(&world, ".", &["update"]);
    frozen().is_hit();
    assert!(works(&world, ".", &["update"]).out.contains("as it was"));
    world.write("overhear.lock", "[[adapter]]\nid = 3\n");
    let done = world.task(&["do"]).done();
    done.uncached("fault");
    assert!(done.err.contains("overhear.lock: line 2") && done.err.contains("[bad-lock]"), "{done:?}");
    fs::remove_file(world.path("overhear.lock")).unwrap();
    frozen().uncached("fault");
    world.run("do").is_hit();
}

/// A package that carries the careless adapter, packed by npm, installed where the world is.
fn install_package(world: &World, version: &str, rule: u8) {
    let source = world.beside("package");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("adapter.wasm"), careless(rule)).unwrap();
    let manifest = format!(
        r#"{{"name": "@acme/overhear-careless", "version": "{version}", "files": ["adapter.wasm"],
            "overhear": {{"adapter": "./adapter.wasm"}}}}"#
    );
    fs::write(source.join("package.json"), manifest).unwrap();
    let npm = |folder: &std::path::Path, args: &[&str]| {
        let mut command = world.command("npm");
        let done = command.current_dir(folder).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    npm(&source, &["pack", "--silent"]);
    let packed = source.join(format!("acme-overhear-careless-{version}.tgz"));
    let quiet =
        ["install", "--offline", "--no-audit", "--no-fund", "--no-save", "--silent", "--no-package-lock"];
    npm(&world.path("."), &[&quiet[..], &[packed.to_str().unwrap()]].concat());
    // npm takes away what it did not install.
    tool(world, "careless", "mkdir -p dist; cat src/a.txt > dist/a.txt");
}

#[test]
fn a_package_is_added_locked_updated_with_a_look_at_what_it_wants_and_removed() {
    if !has_program("npm") {
        return;
    }
    let world = world();
    world.write("overhear.json", "{\n  // ours\n  \"tasks\": {\"do\": \"careless build\"}\n}\n");
    install_package(&world, "1.0.0", 0);
    // Nothing is used because it lies there.
    world.run("do").is("ran");
    assert_eq!(declared_by(&world), "");
    let add = ["add", "@acme/overhear-careless"];
    fails(&world, ".", &add, &["wants to read workspace:**", "[approval-needed]", "--yes"]);
    assert!(!world.read("overhear.json").contains("acme/careless"), "nothing was written");
    works(&world, ".", &[&add[..], &["--yes"]].concat());
    let config = world.read("overhear.json");
    assert!(config.contains("// ours") && config.contains("\"acme/careless\": true"), "{config}");
    assert!(world.read("overhear.lock").contains("source = \"npm:@acme/overhear-careless\""));
    world.run("do").is("ran");
    assert_eq!(declared_by(&world), "acme/careless 1.0.0");
    world.task(&["--frozen", "do"]).done().is_hit();
    // Another file under the same version, that wants more.
    install_package(&world, "1.0.1", 90);
    let done = world.task(&["do"]).done();
    done.uncached("fault");
    assert!(done.err.contains("[digest-mismatch]"), "{done:?}");
    assert_eq!(done.err.matches("adapter update acme/careless").count(), 1, "it is told once: {done:?}");
    let words = [
        "it says otherwise what it is, and has the same version",
        "+ may ask for: SECRET_TOKEN",
        "[approval-needed]",
    ];
    fails(&world, ".", &["update"], &words);
    world.task(&["do"]).done().uncached("fault");
    let updated = works(&world, ".", &["update", "acme/careless", "--yes"]);
    assert!(updated.out.contains("acme/careless 1.0.0 is locked"), "{updated:?}");
    world.run("do").is_hit();
    works(&world, ".", &["remove", "@acme/overhear-careless"]);
    assert!(!world.read("overhear.json").contains("acme/careless"));
    assert!(!world.read("overhear.lock").contains("acme/careless"));
}

#[test]
fn a_package_without_an_adapter_and_one_that_is_not_there_are_told_apart() {
    let world = world();
    fails(&world, ".", &["add", "mine"], &["no adapter", "\"overhear\": {\"adapter\"", "[no-adapter]"]);
    fails(&world, ".", &["add", "@acme/none"], &["is not installed", "[not-installed]"]);
    fails(&world, ".", &["add", "./none.wasm"], &["[unreadable]"]);
    fails(&world, ".", &["add", "bad/none.toml"], &["`./bad/none.toml`: ", "[unreadable]"]);
    fs::create_dir_all(world.beside("other")).unwrap();
    fs::write(world.beside("other").join("adapter.toml"), "").unwrap();
    fails(
        &world,
        ".",
        &["add", "../other/adapter.toml"],
        &["copy it into the workspace", "[outside-workspace]"],
    );
    fails(&world, ".", &["remove", "acme/none"], &["is not used here"]);
    fails(&world, ".", &["update", "acme/none"], &["[not-locked]", "adapter add"]);
    assert!(works(&world, ".", &["update"]).out.contains("no adapter is locked here"));
    world.write("overhear.json", r#"{"adapters": {"acme/none": true}, "tasks": {"do": "mine build"}}"#);
    let done = world.task(&["do"]).done();
    assert!(done.err.contains("`acme/none` is not in overhear.lock") && done.err.contains("[not-locked]"));
    assert_eq!(done.code, 0);
}

#[test]
fn where_a_command_is_turned_away_is_said() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    let known = works(&world, ".", &["run", "--", "mine", "build", "--out", "www"]);
    for words in
        ["acme/mine 0.1.0: build", "asked: the package of the program", "output: www  (what it builds)"]
    {
        assert!(known.out.contains(words), "{words}: {known:?}");
    }
    assert!(!world.path("dist").exists(), "it was not run");
    let said_no = adapter(&world, ".", &["why-not", "--", "mine", "deploy"]);
    assert_eq!(said_no.code, 1);
    assert!(said_no.out.contains("it belongs to the package mine 2.0.0"), "{said_no:?}");
    assert!(said_no.out.contains("acme/mine: names it, and says that this call is not its own"));
    let not_named = adapter(&world, ".", &["why-not", "--", "cat", "x"]);
    assert!(not_named.out.contains("acme/mine: names neither this program nor its package"));
    fails(&world, ".", &["run", "--", "no-such-program"], &["is no program that can be found"]);
    let words = ["`-C` is no program", "options of overhear go before the command"];
    fails(&world, ".", &["run", "-C", "src", "--", "mine", "build"], &words);
}

#[test]
fn an_adapter_that_ignores_what_matters_is_found_by_running_the_command() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    assert!(works(&world, ".", &["verify", "--", "mine", "build"]).out.contains("nothing to verify"));
    let lie = "env = [\"NODE_ENV\"]\nignored-reads = [{ path = \"src\", why = \"a lie\" }]";
    world.edit("mine/adapter.toml", "env = [\"NODE_ENV\"]", lie);
    let words =
        ["MATTERS  src/a.txt", "these differ: ", "dist/a.txt", "acme/mine is not sound for this command"];
    fails(&world, ".", &["verify", "--", "mine", "build"], &words);
    assert_eq!(world.read("src/a.txt"), "hello\n", "the workspace was only read");
    assert!(!world.path("dist").exists());
    fails(&world, ".", &["verify", "--", "cat", "src/a.txt"], &["no adapter declares this command"]);
}

/// A tool that keeps a file in its cache, and takes what it makes from it where it is there.
fn keeper(world: &World, then: &str) {
    works(world, ".", &["new", "mine"]);
    works(world, ".", &["add", "mine/adapter.toml"]);
    let kept = "node_modules/.cache/mine/kept";
    let script = format!(
        "mkdir -p dist node_modules/.cache/mine; kept=$(cat {kept} 2> /dev/null); {then}; echo \"$kept\" > {kept}"
    );
    tool(world, "mine", &script);
}

#[test]
fn a_cache_that_decides_what_comes_out_is_found_whether_or_not_it_lies_there() {
    let world = world();
    keeper(&world, "kept=$((kept + 1)); echo run $kept > dist/a.txt");
    let verify = ["verify", "--", "mine", "build"];
    let words = ["MATTERS  node_modules/.cache/mine/kept", "dist/a.txt", "acme/mine is not sound"];
    fails(&world, ".", &verify, &words);
    world.write("node_modules/.cache/mine/kept", "4\n");
    fails(&world, ".", &verify, &words);
}

#[test]
fn a_lie_is_found_and_a_cache_is_borne_where_the_tool_kept_something_from_an_earlier_run() {
    let world = world();
    keeper(&world, "kept=$(cat src/a.txt); echo \"$kept\" > dist/a.txt");
    let verify = ["verify", "--", "mine", "build"];
    for _ in 0..2 {
        let done = works(&world, ".", &verify);
        assert!(done.out.contains("1 file of the tool's own removed together"), "{done:?}");
        assert!(done.out.contains("none of them matters"), "{done:?}");
        world.write("node_modules/.cache/mine/kept", "of an earlier run\n");
    }
    let done = works(&world, ".", &["suggest", "--", "mine", "build"]);
    assert!(done.out.contains("# nothing is missing"), "it is declared: {done:?}");
    let lie = "env = [\"NODE_ENV\"]\nignored-reads = [{ path = \"src\", why = \"a lie\" }]";
    world.edit("mine/adapter.toml", "env = [\"NODE_ENV\"]", lie);
    fails(&world, ".", &verify, &["MATTERS  src/a.txt", "dist/a.txt", "acme/mine is not sound"]);
}

#[test]
fn a_command_of_which_nothing_is_kept_is_not_verified() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    tool(&world, "mine", "mkdir -p dist; cat src/a.txt > dist/a.txt; cat /dev/tty > /dev/null 2>&1; true");
    let done = adapter(&world, ".", &["verify", "--", "mine", "build"]);
    assert!(!done.out.contains("nothing to verify"), "{done:?}");
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("acme/mine cannot be held to anything here: not stored: "), "{done:?}");
}

#[test]
fn what_a_run_rewrites_is_asked_about_and_not_passed_over() {
    let world = world();
    tool(
        &world,
        "mine",
        "mkdir -p .stamps reports; cat .stamps/types 2> /dev/null; echo t > .stamps/types; echo r > reports/r",
    );
    let suggest = ["suggest", "--", "mine", "build"];
    let fresh = works(&world, ".", &suggest);
    assert!(fresh.out.contains("\noutputs = [\".stamps\", \"reports\"]"), "{fresh:?}");
    world.write(".stamps/types", "t\n");
    world.write("reports/r", "r\n");
    let done = works(&world, ".", &suggest);
    assert!(done.out.contains(".stamps/types is read and changed"), "{done:?}");
    assert!(done.out.contains("# if the command made what lay there before: outputs = ["), "{done:?}");
}

#[test]
fn trials_leave_the_cache_and_what_lies_behind_links_alone() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    let rule = "env = [\"NODE_ENV\"]\nignored-reads = [{ path = \"notes\", why = \"nobody reads them\" }]";
    world.edit("mine/adapter.toml", "env = [\"NODE_ENV\"]", rule);
    let (cache, outside) = (world.beside("cache"), world.beside("outside"));
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("a.txt"), "outside\n").unwrap();
    world.write("notes/own.txt", "notes\n");
    symlink(outside.join("a.txt"), world.path("notes/link.txt")).unwrap();
    symlink(&outside, world.path("notes/folder")).unwrap();
    world.write(".overhear/large", "an entry\n");
    let script = "test ! -e .overhear/large || exit 3; cat notes/own.txt notes/link.txt notes/folder/a.txt > /dev/null; \
                  mkdir -p dist; cat src/a.txt > dist/a.txt";
    tool(&world, "mine", script);
    let config = format!(
        r#"{{"adapters": {{"./mine/adapter.toml": true}}, "cache": {{"dir": {cache:?}}}, "tasks": {{"do": "mine build"}}}}"#
    );
    world.write("overhear.json", &config);
    let done = works(&world, ".", &["verify", "--", "mine", "build"]);
    assert!(done.out.contains("1 ignored file changed and removed"), "{done:?}");
    assert!(done.out.contains("none of them matters"), "{done:?}");
    works(&world, ".", &["suggest", "--", "mine", "build"]);
    assert_eq!(fs::read_to_string(outside.join("a.txt")).unwrap(), "outside\n");
    assert!(!cache.exists(), "trials keep their entries elsewhere");
}

#[test]
fn sources_that_a_tool_rewrites_are_not_suggested_as_its_cache() {
    let world = world();
    tool(&world, "mine", "cat src/a.txt > /dev/null; echo formatted >> src/a.txt");
    let done = works(&world, ".", &["suggest", "--", "mine", "build"]);
    assert!(!done.out.contains("caches = "), "{done:?}");
    assert!(done.out.contains("changed src/a.txt after it was read"), "{done:?}");
    assert!(!done.out.contains("nothing is missing"), "{done:?}");
    assert_eq!(world.read("src/a.txt"), "hello\n");
}

#[test]
fn rules_that_are_missing_are_suggested_from_a_real_run() {
    let world = world();
    works(&world, ".", &["new", "mine"]);
    works(&world, ".", &["add", "mine/adapter.toml"]);
    world.edit(
        "mine/adapter.toml",
        "outputs = [{ path = \"dist\", flags = [\"--out\"], why = \"what it builds\" }]",
        "outputs = []",
    );
    let done = works(&world, ".", &["suggest", "--", "mine", "build"]);
    assert!(done.out.contains("outputs = [\"dist\"]"), "{done:?}");
    world.edit("mine/adapter.toml", "outputs = []", "outputs = [\"dist\"]");
    let done = works(&world, ".", &["suggest", "--", "mine", "build"]);
    assert!(done.out.contains("# nothing is missing"), "{done:?}");
}

#[test]
fn an_adapter_that_relies_on_an_order_is_found_by_its_own_cases() {
    let world = world();
    world.write("c/package.json", r#"{"overhear": {"adapter": "adapter.wasm"}}"#);
    fails(&world, "c", &["test"], &["adapter.wasm is not there", "overhear adapter build"]);
    fs::write(world.path("c/adapter.wasm"), careless(3)).unwrap();
    world.write("c/tests/a/call.toml", "command = \"careless build\"\ntool = \"careless@2.0.0\"\n");
    world.write("c/tests/a/workspace/b.js", "");
    world.write("c/tests/a/workspace/c.js", "");
    let words = [
        "[nondeterministic]",
        "folders listed in another order",
        "- outputs: workspace:b.js",
        "+ outputs: workspace:c.js",
    ];
    fails(&world, "c", &["test"], &words);
    fs::write(world.path("c/adapter.wasm"), careless(0)).unwrap();
    fails(&world, "c", &["test"], &["no expect.toml; --update writes it"]);
    works(&world, "c", &["test", "--update"]);
    assert!(works(&world, "c", &["test"]).out.contains("1 passed"));
}

#[test]
fn each_rule_of_the_kit_is_broken_by_an_adapter_that_breaks_it_and_by_no_other() {
    let world = world();
    let rules = [
        (1, "odd-arguments"),
        (3, "any-order"),
        (4, "no-config"),
        (5, "broken-config"),
        (6, "unknown-version"),
        (7, "many-names"),
        (8, "odd-folders"),
        (9, "reasons"),
        (10, "portable"),
        (11, "cheap"),
    ];
    let conform = |rule: u8, flags: &[&str]| {
        fs::write(world.path("careless.wasm"), careless(rule)).unwrap();
        adapter(&world, ".", &[&["conform", "careless.wasm"], flags].concat())
    };
    let sound = conform(0, &[]);
    assert_eq!(sound.code, 0, "{sound:?}");
    assert!(sound.out.contains("acme/careless 1.0.0 conforms to adapter API 0.1"), "{sound:?}");
    for (rule, code) in rules {
        let done = conform(rule, &["--only", code]);
        assert_eq!(done.code, 1, "{code}: {done:?}");
        assert!(done.out.contains(&format!("[{code}]")), "{code}: {done:?}");
    }
    // Those that are part of overhear.
    for id in ["common", "next", "nuxt", "sveltekit", "vite"] {
        works(&world, ".", &["conform", "--built-in", id]);
    }
}

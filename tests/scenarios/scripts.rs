//! Adapters in JavaScript and in C from nothing to use, and adapters that were released once.

use crate::authoring::{declared_by, fails, works, world};
use crate::world::has_program;
use std::fs;
use std::path::Path;

/// What the task's last run says of why it was no hit.
fn reason(done: &crate::world::Done) -> &str {
    done.steps[0]["reason"]["kind"].as_str().unwrap_or_default()
}

#[test]
fn a_script_goes_from_nothing_to_use_and_only_what_it_declares_counts() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "js"]);
    works(&world, "mine", &["build"]);
    assert!(works(&world, "mine", &["test"]).out.contains("2 passed, 0 failed"));
    works(&world, "mine", &["conform"]);
    assert!(works(&world, "mine", &["inspect", "adapter.js"]).out.contains("acme/mine 0.1.0"));
    world.run("do").is("ran");
    works(&world, ".", &["add", "mine/adapter.js"]);
    assert_eq!(reason(&world.run("do")), "declaration_changed");
    assert_eq!(declared_by(&world), "acme/mine 0.1.0");
    world.run("do").is_hit();
    // Another text that declares the same.
    world.edit("mine/adapter.js", "title: \"mine\"", "title: \"The mine\"");
    world.edit(
        "mine/adapter.js",
        "if (call.word === \"build\") return",
        "if (call.args.includes(\"build\")) return",
    );
    world.run("do").is_hit();
    world.edit("mine/adapter.js", "[\"NODE_ENV\"]", "[\"NODE_ENV\", \"MINE_*\"]");
    assert_eq!(reason(&world.run("do")), "declaration_changed");
    world.run("do").is_hit();
    assert!(works(&world, ".", &["run", "--", "mine", "build"]).out.contains("output: package: dist"));
    works(&world, ".", &["remove", "acme/mine"]);
    assert!(!world.read("overhear.json").contains("mine/adapter.js"));
}

#[test]
fn what_a_script_read_is_asked_again_when_it_changed() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "js"]);
    world.write("mine.config.json", r#"{"level": "low"}"#);
    world.edit("mine/adapter.js", "packages:", "mayRead: [\"mine.config.json\"],\n  packages:");
    let asks = "const level = host.readConfig(call.fromPackage(\"mine.config.json\")).at(\"level\").value;\n    return {";
    world.edit("mine/adapter.js", "return {\n", &format!("{asks}\n"));
    world.edit("mine/adapter.js", "[\"NODE_ENV\"]", "[`LEVEL_${level}`]");
    let words = ["wants to read package:mine.config.json", "[approval-needed]"];
    fails(&world, ".", &["add", "mine/adapter.js"], &words);
    works(&world, ".", &["add", "mine/adapter.js", "--yes"]);
    world.run("do").is("ran");
    world.run("do").is_hit();
    world.write("mine.config.json", r#"{"level": "low", "other": 1}"#);
    world.run("do").is_hit();
    world.write("mine.config.json", r#"{"level": "high"}"#);
    assert_eq!(reason(&world.run("do")), "declaration_changed");
}

#[test]
fn a_mistake_in_a_script_is_told_with_its_line_and_stops_no_task() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "js"]);
    works(&world, ".", &["add", "./mine/adapter.js"]);
    let sound = world.read("mine/adapter.js");
    for (from, to, words) in [
        ("title: \"mine\",", "title: \"mine\" oops,", &["line 7, col", "[bad-source]"][..]),
        (
            "if (call.has(",
            "if (call.hasFlag(",
            &["declare: ./mine/adapter.js: TypeError", "(line 21, column", "[threw]"],
        ),
        ("outputs: [{", "outputs: [3, {", &["`outputs[0]` is a number", "[wrong-form]"]),
        ("return {\n", "for (;;) {}\n    return {\n", &["200 M units of fuel", "[fuel]"]),
    ] {
        world.write("mine/adapter.js", &sound.replacen(from, to, 1));
        let _ = fs::remove_dir_all(world.path("dist"));
        let done = world.task(&["do"]).done();
        assert_eq!((done.code, world.read("dist/a.txt").as_str()), (0, "hello\n"), "{done:?}");
        done.uncached("fault");
        for word in words {
            assert!(done.err.contains(word), "{word}: {done:?}");
        }
    }
    world.write("mine/adapter.js", &sound);
    world.run("do").is("ran");
}

#[test]
fn a_script_that_relies_on_an_order_is_found_by_its_own_cases() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "js"]);
    world.edit(
        "mine/adapter.js",
        "packages:",
        "mayRead: [{ path: \"**\", base: \"workspace\" }],\n  packages:",
    );
    world.edit(
        "mine/adapter.js",
        "path: \"dist\", flags: [\"--out\"]",
        "path: host.listDir(call.packageDir)[0].name",
    );
    world.write("mine/tests/build/workspace/b.js", "");
    world.write("mine/tests/build/workspace/c.js", "");
    let words = ["[nondeterministic]", "- outputs: package:b.js", "+ outputs: package:c.js"];
    fails(&world, "mine", &["test"], &words);
}

#[test]
fn cases_are_run_again_when_a_file_of_the_adapter_changes() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "js"]);
    let mut invocation = world.overhear(&["adapter", "test", "--watch"]);
    invocation.command.current_dir(world.path("mine"));
    let mut watching = invocation.start();
    watching.wait_for("2 passed, 0 failed");
    watching.wait_for("waiting for a change");
    world.edit("mine/adapter.js", "\"NODE_ENV\"", "\"OTHER\"");
    watching.wait_for("+ env: tracked OTHER");
    watching.wait_for("waiting for a change");
    world.edit("mine/adapter.js", "return {\n", "return }\n");
    watching.wait_for("[bad-source]");
    watching.wait_for("waiting for a change");
    world.edit("mine/adapter.js", "return }\n", "return {\n");
    watching.wait_for("1 passed, 1 failed");
    watching.wait_for("waiting for a change");
    world.edit("mine/tests/build/expect.toml", "NODE_ENV", "OTHER");
    watching.wait_for("2 passed, 0 failed");
}

#[test]
fn an_adapter_in_c_goes_from_nothing_to_use() {
    if !has_program("clang") || !has_program("wasm-ld") {
        return;
    }
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "c"]);
    fails(&world, "mine", &["test"], &["adapter.wasm is not there", "overhear adapter build"]);
    let built = works(&world, "mine", &["build"]);
    assert!(built.out.contains("adapter.wasm is the adapter acme/mine 0.1.0"), "{built:?}");
    assert!(!built.err.contains("warning"), "{built:?}");
    let first = fs::read(world.path("mine/adapter.wasm")).unwrap();
    works(&world, "mine", &["build"]);
    assert!(first == fs::read(world.path("mine/adapter.wasm")).unwrap(), "the same files, the same bytes");
    assert!(works(&world, "mine", &["test"]).out.contains("2 passed, 0 failed"));
    works(&world, "mine", &["conform"]);
    works(&world, ".", &["add", "mine/adapter.wasm"]);
    world.run("do").is("ran");
    assert_eq!(declared_by(&world), "acme/mine 0.1.0");
    world.run("do").is_hit();
    world.edit("mine/adapter.c", "\"NODE_ENV\"", "\"MINE\"");
    works(&world, "mine", &["build"]);
    assert_eq!(reason(&world.run("do")), "declaration_changed");
    world.edit("mine/adapter.c", "description describe(void) {", "description describe(void) {\n  oops");
    let words = ["adapter.c:5", "cannot be compiled", "apt install clang lld"];
    fails(&world, "mine", &["build"], &words);
}

#[test]
fn where_clang_is_missing_the_command_that_installs_it_is_said() {
    let world = world();
    works(&world, ".", &["new", "mine", "--lang", "c"]);
    let mut invocation = world.overhear(&["adapter", "build"]).env("CLANG", "/no/such/clang");
    invocation.command.current_dir(world.path("mine"));
    let done = invocation.done();
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.err.contains("cannot start clang") && done.err.contains("sudo apt install clang lld"),
        "{done:?}"
    );
}

/// Adapters as 0.1 made them: `tests/corpus/0.1/NAME`, each with its cases; components as base64. What is
/// there is never changed.
#[test]
fn every_adapter_that_was_released_still_says_the_same() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let world = world();
    let mut names = Vec::new();
    for version in fs::read_dir(&corpus).unwrap().flatten() {
        for released in fs::read_dir(version.path()).unwrap().flatten() {
            let name = released.file_name().into_string().unwrap();
            let folder = world.path(&format!("{}-{name}", names.len()));
            copy(&released.path(), &folder);
            if let Ok(text) = fs::read_to_string(folder.join("adapter.wasm.base64")) {
                fs::write(folder.join("adapter.wasm"), from_base64(&text)).unwrap();
            }
            let done = works(&world, folder.to_str().unwrap(), &["test"]);
            assert!(done.out.contains(" passed, 0 failed"), "{done:?}");
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(names, ["c", "rust", "script", "table"]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for six in text.chars().filter_map(|letter| LETTERS.find(letter)) {
        bits = (bits << 6 | six as u32) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

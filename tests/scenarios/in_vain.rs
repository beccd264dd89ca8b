//! What commands asked for in vain, what they were refused, and what they found by name: each run is held
//! against the same command run directly.

use crate::as_directly::{run, world};
use crate::world::World;
use std::os::unix::fs::symlink;

/// A tool of Node.js that makes a file only where there is none, or writes over it.
const GENERATOR: &str = "const fs = require('fs'), flag = process.argv.includes('--force') ? 'w' : 'wx'
try { fs.writeFileSync('config.js', 'made', { flag }); console.log('written') } catch (e) { console.log(e.code) }
";

#[test]
fn a_folder_that_keeps_one_from_being_made_counts() {
    let command = "mkdir out 2> /dev/null && cp a.txt out/a || echo there";
    let world = world(command);
    std::fs::create_dir(world.path("out")).unwrap();
    run(&world, command).is("ran");
    world.remove("out");
    run(&world, command).is("ran");
}

#[test]
fn a_folder_that_is_missing_for_what_is_to_be_made_in_it_counts() {
    for make in ["cp a.txt gen/a", "echo x > gen/a", "mkdir gen/a", "ln -s a.txt gen/a"] {
        let command = format!("{make} 2> /dev/null || echo no gen");
        let world = world(&command);
        run(&world, &command).is("ran");
        run(&world, &command).is("fresh");
        std::fs::create_dir(world.path("gen")).unwrap();
        run(&world, &command).is("ran");
    }
}

#[test]
fn a_persons_file_stays_where_a_command_makes_one_only_if_there_is_none() {
    let command = "cp a.txt made; if test -e take; then mv -n made out; else cat made > out; rm made; fi";
    let world = world(command);
    world.write("take", "");
    run(&world, command).is("ran");
    world.remove("take");
    run(&world, command).is("ran");
    world.write("take", "");
    world.write("out", "mine");
    run(&world, command).is("ran");
    assert_eq!(world.read("out"), "mine");

    let world = World::of_cached_scripts(&[("build", "node gen.js")]);
    world.write("gen.js", GENERATOR);
    run(&world, "node gen.js").is("ran");
    for words in [&["build", "--force"][..], &["build"]] {
        world.write("config.js", "mine");
        world.task(words).done();
    }
    assert_eq!(world.read("config.js"), "mine");
}

#[test]
fn a_program_that_was_not_there_counts_once_it_is() {
    let command = "sh -c 'tool 2> /dev/null || echo none'";
    let world = World::of_cached_scripts(&[("build", command)]);
    assert_eq!(world.run("build").out, "none\n");
    world.run("build").is("fresh");
    let folder = world.beside("bin");
    std::fs::create_dir(&folder).unwrap();
    let tool = folder.join("tool");
    std::fs::write(&tool, "#!/bin/sh\necho tool\n").unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    assert_eq!(world.run_with("build", &[("PATH", &path)]).out, "tool\n");
}

/// Two versions of a tool often start with the same script.
#[test]
fn a_program_counts_by_where_it_finds_the_rest_of_itself() {
    let world = World::of_cached_scripts(&[("build", "tool"), ("by-path", "sh by-path.sh")]);
    for version in ["one", "two"] {
        let script = format!("node_modules/{version}/tool");
        world.write(&script, "#!/usr/bin/env node\nconsole.log(require('./version.js'))\n");
        world.make_executable(&script);
        world
            .write(&format!("node_modules/{version}/version.js"), &format!("module.exports = '{version}'\n"));
    }
    std::fs::create_dir(world.path("node_modules/.bin")).unwrap();
    symlink("../one/tool", world.path("node_modules/.bin/tool")).unwrap();
    assert_eq!(world.run("build").out, "one\n");
    world.run("build").is("fresh");
    world.remove("node_modules/.bin/tool");
    symlink("../two/tool", world.path("node_modules/.bin/tool")).unwrap();
    assert_eq!(world.run("build").out, "two\n");

    // A second one of that name, that the first one starts by its path.
    world.write("by-path.sh", "PATH=first:second:$PATH\ntool\n");
    for (file, text) in
        [("first/tool", "#!/bin/sh\nsecond/tool\n"), ("second/tool", "#!/bin/sh\necho before\n")]
    {
        world.write(file, text);
        world.make_executable(file);
    }
    let path = format!(
        "{}:{}:{}",
        world.path("first").display(),
        world.path("second").display(),
        std::env::var("PATH").unwrap()
    );
    let by_path = || world.run_with("by-path", &[("PATH", &path)]).out;
    assert_eq!(by_path(), "before\n");
    world.write("second/tool", "#!/bin/sh\necho after\n");
    assert_eq!(by_path(), "after\n");
}

/// What a run showed with other arguments, it has not shown with these.
#[test]
fn other_arguments_teach_nothing_of_what_becomes_of_others_files() {
    let world = World::of_cached_scripts(&[("build", "node b.js"), ("types", "cp a.txt dist/types")]);
    world.write("a.txt", "a\n");
    world.write(
        "b.js",
        "const fs = require('fs'); fs.mkdirSync('dist', { recursive: true })
if (process.argv.includes('--clean')) for (const f of fs.readdirSync('dist')) fs.rmSync('dist/' + f)
fs.copyFileSync('a.txt', 'dist/js')
",
    );
    for words in [&["build"][..], &["types"], &["build", "--clean"], &["types"], &["build"]] {
        assert_eq!(world.task(words).done().code, 0);
    }
    assert!(world.path("dist/types").exists());

    let world = World::of_cached_scripts(&[("do", "sh do.sh")]);
    world.write("do.sh", "\"$@\"\n");
    world.write("src/b.txt", "b\n");
    world.task(&["do", "cp", "-r", "src", "copy"]).done();
    world.remove("copy");
    world.task(&["do", "mkdir", "copy"]).done();
    world.task(&["do", "cp", "-r", "src", "copy"]).done();
    assert_eq!(world.read("copy/src/b.txt"), "b\n");
}

#[test]
fn what_parts_of_a_command_share_in_one_shell_they_share() {
    for command in [
        "echo a > tmp.$$ && mv tmp.$$ out",
        "cd src && cp b.txt \"$OLDPWD/copy.txt\"",
        "command cd src && touch here",
        "command export A=5 && echo $A > out",
        "A=1 : && echo $A > out",
    ] {
        run(&world(command), command);
    }
}

/// Colours belong to what a person sees.
#[test]
fn what_a_shell_takes_elsewhere_has_no_colours() {
    for command in ["node -p 1+1 > out", "test \"$(node -p 1+1)\" = 2", "node -p 1+1 | cat > out"] {
        run(&world(command), command).is("ran");
    }
}

#[test]
fn a_list_of_commands_is_what_it_is_joined() {
    let world = World::of_scripts(&[]);
    world.write("f", "");
    world.write("sub/f", "");
    world.write(
        "overhear.json",
        r#"{"tasks": {"cd": ["cd sub", "rm f"], "export": ["export A=1", "echo A=$A"], "exit": ["exit 0", "echo not"]}}"#,
    );
    world.run("cd");
    assert!(world.path("f").exists() && !world.path("sub/f").exists());
    assert_eq!(world.run("export").out, "A=1\n");
    assert_eq!(world.run("exit").out, "");
}

/// Bytes that are no text are a value all the same.
#[test]
fn variables_that_are_no_text_are_told_apart() {
    use std::os::unix::ffi::OsStringExt;
    let command = "printenv FOO > out";
    let world = World::of_cached_scripts(&[("build", command)]);
    for last in [0xff, 0xfe] {
        let value = std::ffi::OsString::from_vec(vec![b'b', last]);
        assert_eq!(world.task(&["build"]).env("FOO", value).done().code, 0);
        assert_eq!(std::fs::read(world.path("out")).unwrap(), [b'b', last, b'\n']);
    }
}

#[test]
fn a_folder_that_a_path_goes_through_and_back_counts() {
    for command in ["cat a.txt gen/../src/b.txt", "sh -c 'test -e gen/../a.txt && echo yes || echo no'"] {
        let world = world(command);
        std::fs::create_dir_all(world.path("gen/deep")).unwrap();
        std::fs::create_dir_all(world.path("other/gen")).unwrap();
        run(&world, command).is("ran");
        run(&world, command).is("fresh");
        world.remove("gen");
        assert_ne!(world.task(&["build"]).done().statuses(), ["fresh"], "{command}");
        symlink("other/gen", world.path("gen")).unwrap();
        assert_ne!(world.task(&["build"]).done().statuses(), ["fresh"], "{command}");
    }
}

#[test]
fn that_a_folder_could_be_removed_because_it_was_empty_counts() {
    for remove in ["rmdir o", "rm -d o", "ls o; rmdir o", "rm o/own; rmdir o"] {
        let command = format!("({remove}) 2> /dev/null && echo gone || echo kept");
        let world = World::of_cached_scripts(&[("build", &command), ("other", "cp a.txt o/")]);
        world.write("a.txt", "a");
        let make = || {
            std::fs::create_dir_all(world.path("o")).unwrap();
            if remove.contains("own") {
                world.write("o/own", "x");
            }
        };
        make();
        run(&world, &command).is("ran");
        // What another step leaves there keeps it.
        make();
        world.run("other").is("ran");
        assert!(run(&world, &command).out.ends_with("kept\n"), "{remove}");
        assert!(world.path("o/a.txt").exists(), "{remove}");
    }
}

#[test]
fn a_file_with_a_slash_after_it_is_no_folder_and_did_not_change() {
    let command = "ls -d */; test -e package.json/ || echo no folder";
    let world = world(command);
    run(&world, command).is("ran");
    world.write("a.txt", "other content");
    run(&world, command).is("fresh");
    std::fs::create_dir(world.path("more")).unwrap();
    run(&world, command).is("ran");
}

#[test]
fn a_name_that_is_new_or_gone_in_a_folder_that_was_listed_is_told() {
    let world = world("ls src > list");
    world.run("build").is("ran");
    world.write("src/new.ts", "");
    world.run("build").missed("input_added", "src/new.ts");
    world.remove("src/b.txt");
    world.run("build").missed("input_removed", "src/b.txt");
    world.write("src/b.txt", "b\n");
    world.write("src/c.txt", "");
    let why = world.overhear(&["why", "build"]).done().out;
    assert!(why.contains("src/c.txt is new"), "{why}");
    assert!(!why.contains("\"input\""), "what leaves out a folder would leave out what is read there: {why}");
}

#[test]
fn what_a_hit_would_remove_lies_there_until_it_does() {
    let world = World::of_cached_scripts(&[("first", "mkdir -p dist/sub gen; echo x > dist/x")]);
    world.write(
        "overhear.json",
        r#"{"cache": {"scripts": true}, "tasks": {"clean": {"command": "rm -rf dist"},
            "make": {"command": "mkdir -p dist/sub gen", "dependsOn": ["clean"]}}}"#,
    );
    world.run("make");
    world.remove("gen");
    world.run("clean");
    world.run("first");
    // It is looked up with the step after it first, and again alone.
    world.run("make");
    assert!(!world.path("dist/x").exists());
}

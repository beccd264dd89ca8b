//! What shell commands do with what they find, and what a person does in between: each run is held against
//! the same command run directly in a copy of the workspace as it was before.

use crate::tree::{self, Tree};
use crate::world::{Done, World};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files, links and folders, with what only their owner may read.
fn whole(folder: &Path) -> (Tree, Vec<String>) {
    let tree = tree::tree_without(folder, &[".overhear"]);
    let is_private = |path: &&String| {
        let meta = fs::symlink_metadata(folder.join(path)).unwrap();
        meta.is_file() && meta.mode() & 0o044 == 0
    };
    let private = tree.keys().filter(is_private).cloned().collect();
    (tree, private)
}

/// Runs the task, and its command directly in a copy, and holds one against the other.
#[track_caller]
pub fn run(world: &World, command: &str) -> Done {
    let copy = copied(world);
    let direct = world.command("sh").current_dir(&copy).args(["-c", command]).output().unwrap();
    let done = world.task(&["build"]).done();
    assert_eq!(
        (done.code, &*done.out),
        (direct.status.code().unwrap(), &*String::from_utf8_lossy(&direct.stdout))
    );
    let (expected, seen) = (whole(&copy), whole(&world.app));
    tree::assert_same(&seen.0, &expected.0);
    assert_eq!(seen.1, expected.1, "what only its owner may read");
    done
}

/// Runs a script, and directly by npm in a copy, and holds what is left of one against the other.
#[track_caller]
pub fn run_in_order(world: &World, script: &str) -> Done {
    let copy = copied(world);
    let direct = world.command("npm").current_dir(&copy).args(["run", script]).output().unwrap();
    let done = world.task(&[script]).done();
    assert_eq!(done.code, direct.status.code().unwrap(), "{done:?}");
    tree::assert_same(&whole(&world.app).0, &whole(&copy).0);
    done
}

/// A copy of the workspace as it is, for running directly.
fn copied(world: &World) -> PathBuf {
    let copy = world.beside("direct");
    let _ = fs::remove_dir_all(&copy);
    assert!(Command::new("cp").arg("-a").args([&world.app, &copy]).status().unwrap().success());
    copy
}

/// A workspace with the script `build`, a file and a folder.
pub fn world(command: &str) -> World {
    let world = World::of_cached_scripts(&[("build", command)]);
    world.write("a.txt", "a\n");
    world.write("src/b.txt", "b\n");
    world
}

#[test]
fn a_folder_of_outputs_that_was_removed_is_a_hit_and_never_a_change() {
    for command in [
        "mkdir -p dist; cp a.txt dist/a",
        "ls; mkdir -p dist; cat src/*.txt > dist/all",
        "sh -c 'ls . src; rm -rf dist; mkdir dist; cp -r src dist/src'",
    ] {
        let world = world(command);
        run(&world, command).is("ran");
        for _ in 0..2 {
            world.remove("dist");
            run(&world, command).is("restored");
        }
    }
}

#[test]
fn what_only_its_owner_may_read_stays_so() {
    let command = "sh -c 'umask 077; cat a.txt > key'";
    let world = world(command);
    run(&world, command).is("ran");
    world.remove("key");
    run(&world, command).is("restored");
}

#[test]
fn an_edit_that_a_command_going_by_times_would_keep_is_kept() {
    let command = "mkdir -p dist; cp -u a.txt dist/a";
    let world = world(command);
    run(&world, command).is("ran");
    run(&world, command);
    world.write("dist/a", "by hand\n");
    run(&world, command);
    assert_eq!(world.read("dist/a"), "by hand\n");
}

#[test]
fn a_link_on_the_way_to_the_working_directory_counts() {
    let command = "cd here && cat name.txt > ../out.txt";
    let world = world(command);
    for name in ["one", "two"] {
        world.write(&format!("{name}/name.txt"), name);
    }
    symlink("one", world.path("here")).unwrap();
    run(&world, command).is("ran");
    fs::remove_file(world.path("here")).unwrap();
    symlink("two", world.path("here")).unwrap();
    run(&world, command).is("ran");
    assert_eq!(world.read("out.txt"), "two");
}

#[test]
fn what_others_have_in_a_folder_of_outputs_decides_where_a_copy_goes() {
    let command = "cp -r src out";
    let world = world(command);
    run(&world, command).is("ran");
    world.remove("out");
    world.write("out/of-a-person", "mine\n");
    run(&world, command);
    world.remove("out");
    run(&world, command);
}

#[test]
fn files_of_others_go_where_the_command_empties_the_folder_by_name() {
    let command = "sh -c 'mkdir -p dist; rm -rf dist/*; cp a.txt dist/a'";
    let world = world(command);
    run(&world, command).is("ran");
    run(&world, command);
    world.write("dist/of-a-person", "mine\n");
    run(&world, command);
    assert!(!world.path("dist/of-a-person").exists());
    run(&world, command);
}

#[test]
fn a_pipe_as_output_is_made_each_time() {
    let command = "mkdir -p dist; test -p dist/pipe || mkfifo dist/pipe; cp a.txt dist/a";
    let world = world(command);
    for _ in 0..2 {
        assert_eq!(run(&world, command).statuses(), ["ran"]);
        assert!(world.path("dist/pipe").exists());
    }
    world.remove("dist");
    assert_eq!(run(&world, command).statuses(), ["ran"]);
    assert!(world.path("dist/pipe").exists());
}

#[test]
fn what_a_run_found_and_so_did_not_make_is_there_after_a_clean() {
    for command in [
        "sh -c 'test -d dist/vendor || { mkdir -p dist; cp -r src dist/vendor; }; cp a.txt dist/a'",
        "sh -c 'test -d dist || { mkdir -p dist/empty; cp -r src dist/vendor; }; cp a.txt dist/a'",
        "node make.mjs",
    ] {
        let world = world(command);
        world.write(
            "make.mjs",
            "import fs from 'node:fs';\n\
             if (!fs.existsSync('dist')) { fs.mkdirSync('dist'); fs.writeFileSync('dist/static.txt', 's'); }\n\
             fs.writeFileSync('dist/a', fs.readFileSync('a.txt'));\n",
        );
        run(&world, command).is("ran");
        world.write("a.txt", "another\n");
        run(&world, command).is("ran");
        world.remove("dist");
        run(&world, command);
        world.remove("dist");
        run(&world, command).is("restored");
    }
}

#[test]
fn a_folder_that_is_made_where_it_is_missing_and_filled_anew_each_time_is_a_hit_after_a_clean() {
    let command = "sh -c 'test -d dist || mkdir dist; cp a.txt dist/a; cp -r src dist/'";
    let world = world(command);
    run(&world, command).is("ran");
    world.write("a.txt", "another\n");
    run(&world, command).is("ran");
    world.remove("dist");
    run(&world, command).is("restored");
}

#[test]
fn the_folder_that_an_output_lies_in_counts_where_others_made_it() {
    for command in ["cp a.txt dist/a", "sh -c 'rm -rf dist/sub && cp -r src dist/sub'"] {
        let world = world(command);
        fs::create_dir(world.path("dist")).unwrap();
        run(&world, command).is("ran");
        for text in ["another\n", "yet another\n"] {
            world.write("a.txt", text);
            run(&world, command);
        }
        world.remove("dist");
        let done = run(&world, command);
        assert_ne!(done.code, 0, "{done:?}");
    }
}

/// What a run would have done with other names in its folder is not known of one that stopped before.
#[test]
fn a_run_that_failed_teaches_nothing_of_what_it_would_have_left_alone() {
    let command =
        "sh -c 'mkdir -p dist; test ! -e stop || exit 3; rm -rf dist; mkdir dist; cat a.txt > dist/a'";
    let world = world(command);
    run(&world, command).is("ran");
    world.write("dist/of-a-person", "mine\n");
    world.write("stop", "");
    assert_eq!(run(&world, command).code, 3);
    world.remove("stop");
    run(&world, command);
    assert!(!world.path("dist/of-a-person").exists());
}

/// Two commands write over one file, and what they write over keeps its permissions.
#[test]
fn permissions_that_a_person_gave_stay_where_commands_write_over_a_file() {
    let command = "touch made && sh -c 'cat a.txt > made'";
    let world = world(command);
    assert_eq!(run(&world, command).statuses(), ["ran", "ran"]);
    fs::set_permissions(world.path("made"), fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..3 {
        run(&world, command);
    }
}

#[test]
fn a_file_that_a_later_command_makes_executable_is_a_hit() {
    let command = "cp a.txt made && chmod +x made";
    let world = world(command);
    // What a command changes in what it found is known to be its own from the second time on.
    for expected in [["ran", "ran"], ["ran", "ran"], ["fresh", "fresh"]] {
        assert_eq!(run(&world, command).statuses(), expected);
    }
    world.remove("made");
    assert_eq!(run(&world, command).statuses(), ["restored", "ran"]);
    world.remove("made");
    assert_eq!(run(&world, command).statuses(), ["fresh", "restored"]);
}

/// The folder is the later command's since the first run, and still none that others made.
#[test]
fn a_folder_that_two_commands_of_a_task_make_is_a_hit() {
    let command =
        "mkdir -p dist/sub && sh -c 'rm -rf dist/*' && sh -c 'mkdir -p dist/sub; cp a.txt dist/sub'";
    let world = world(command);
    assert_eq!(run(&world, command).statuses(), ["ran"; 3]);
    assert_eq!(run(&world, command).statuses(), ["fresh"; 3]);
    world.remove("dist");
    assert_eq!(run(&world, command).statuses(), ["restored", "fresh", "restored"]);
    world.remove("dist");
    world.write("dist/sub/of-a-person", "");
    run(&world, command);
}

/// What fails where a folder is shows that there was none.
#[test]
fn a_folder_that_somebody_made_in_the_place_of_the_own_one_counts() {
    for command in [
        "if mkdir out 2>/dev/null; then echo new > out/n; else echo old > out/o; fi",
        "cp -r src out",
        "mkdir out 2>/dev/null || touch out/was-there",
    ] {
        let world = world(command);
        let made = |file: &str| {
            world.remove("out");
            fs::create_dir(world.path("out")).unwrap();
            if !file.is_empty() {
                world.write(&format!("out/{file}"), "a person's\n");
            }
        };
        run(&world, command).is("ran");
        for file in ["p", "p2"] {
            made(file);
            run(&world, command);
        }
        world.remove("out");
        run(&world, command);
        made("p2");
        run(&world, command);
        world.remove("out");
        run(&world, command).is_hit();
        made("");
        run(&world, command);
    }
}

#[test]
fn a_folder_that_was_copied_with_all_that_a_run_left_in_it_is_still_its_own() {
    let command = "mkdir -p out; cp a.txt out/a";
    let world = world(command);
    run(&world, command).is("ran");
    fs::rename(world.path("out"), world.path("moved")).unwrap();
    let copied = Command::new("cp").arg("-a").args([world.path("moved"), world.path("out")]).status();
    assert!(copied.unwrap().success());
    world.remove("moved");
    run(&world, command).is("fresh");
}

#[test]
fn what_another_task_made_is_not_the_own_although_it_is_the_same() {
    let command =
        "if test -e conf.json; then echo existing > r; else echo '{}' > conf.json; echo created > r; fi";
    let world = world(command);
    run(&world, command).is("ran");
    for by_a_task in [true, false] {
        world.remove("conf.json");
        world.remove("r");
        if by_a_task {
            world.overhear(&["exec", "--", "sh", "-c", "echo '{}' > conf.json"]).done();
        } else {
            world.write("conf.json", "{}\n");
        }
        run(&world, command);
        assert_eq!(world.read("r"), "existing\n", "{by_a_task}");
    }
}

/// The trace of each shows that it changed a file, and not whose content lies there in the end.
#[test]
fn what_two_commands_change_at_the_same_time_is_kept_of_neither() {
    // Each waits for the other at the file that it made: no clock decides.
    let wait = |file: &str| format!("until test -e {file}; do sleep 0.01; done");
    let first = format!("echo one > both; touch at-1; {}; echo > first", wait("at-2"));
    let second = format!("{}; echo two > both; touch at-2", wait("at-1"));
    let cleaner = format!("{}; rm both; touch at-2", wait("at-1"));
    for other in [&second, &cleaner] {
        let world = World::of_cached_scripts(&[("first", &first), ("other", other)]);
        let both = world.task(&["--concurrency", "2", "first,other"]).done();
        assert_eq!(both.statuses(), ["ran", "ran"], "{both:?}");
        let kept = world.overhear(&["cache", "list"]).done();
        assert_eq!(kept.out, "", "{both:?}");
    }
}

/// What one command of `exec` left is another's to the next.
#[test]
fn what_another_command_line_made_counts_for_one_that_goes_by_it() {
    let world = world("true");
    let exec = |words: &[&str]| world.overhear(&[&["exec", "-v", "--"], words].concat()).done();
    assert!(exec(&["cp", "-r", "src", "copy"]).err.contains("first run"));
    world.remove("copy");
    assert!(exec(&["mkdir", "copy"]).err.contains("first run"));
    let done = exec(&["cp", "-r", "src", "copy"]);
    assert_eq!(world.read("copy/src/b.txt"), "b\n", "{done:?}");
    world.remove("copy");
    assert!(exec(&["cp", "-r", "src", "copy"]).err.contains("restored"));
}

/// As a compiler that goes by what it wrote down, and does not notice that something else changed.
#[test]
fn what_a_command_did_by_its_state_is_not_what_it_does_without() {
    let command = "sh -c 'cat a.txt; if cat s.tsbuildinfo > /dev/null 2>&1; then exit; fi; cp -r src dist; cat a.txt > dist/a; echo done > s.tsbuildinfo'";
    let world = world(command);
    run(&world, command).is("ran");
    run(&world, command);
    world.write("a.txt", "another\n");
    run(&world, command).is("ran");
    world.remove("dist");
    world.remove("s.tsbuildinfo");
    run(&world, command).is("ran");
    assert_eq!(world.read("dist/a"), "another\n");
}

/// A command that is not cached can ask, also where others come before or after it.
#[test]
fn where_nothing_runs_beside_it_an_uncached_command_has_standard_input() {
    let scripts = [
        ("prex", "echo pre"),
        ("x", "cat"),
        ("chain", "echo one && cat && echo two"),
        ("fan", "run-p prex x"),
    ];
    let world = World::of_scripts(&scripts);
    world.write("answer.txt", "answer\n");
    let asked = |args: &[&str]| {
        let mut run = world.task(args);
        run.command.stdin(fs::File::open(world.path("answer.txt")).unwrap());
        let done = run.done();
        assert_eq!(done.code, 0, "{done:?}");
        done.out
    };
    for script in ["x", "chain"] {
        let mut npm = world.command("npm");
        npm.args(["run", "--silent", script]).stdin(fs::File::open(world.path("answer.txt")).unwrap());
        let direct = npm.output().unwrap();
        assert_eq!(asked(&[script]), String::from_utf8_lossy(&direct.stdout), "{script}");
    }
    assert!(!asked(&["fan"]).contains("answer"), "which of two would have it?");
    let labeled = asked(&["--log", "labeled", "x"]);
    assert!(labeled.contains("[app#prex] pre") || labeled.contains("] pre"), "{labeled}");
    assert!(!labeled.contains("answer"), "{labeled}");
}

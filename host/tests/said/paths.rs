//! `ignore-input` and `ignore-output`.

use crate::drivers::{DRIVERS, Driver};
use crate::world::World;
use std::os::unix::fs::symlink;

/// Runs a fixture with each driver: the workspace, its files, then what must hold.
fn each(work: &str, files: &[(&str, &str)], holds: impl Fn(&World)) {
    for driver in DRIVERS {
        eprintln!("{driver:?}");
        let world = driver.world(work);
        files.iter().for_each(|(path, text)| world.write(path, text));
        holds(&world);
    }
}

#[test]
fn what_is_read_below_an_ignored_path_is_no_input() {
    each("say ignore-input cache\ncat cache/a src.txt > out.txt", &[("cache/a", "1")], |world| {
        world.run("build").is("ran");
        world.run("build").is("fresh");
        world.write("cache/a", "2");
        world.run("build").is("fresh");
        world.write("src.txt", "other\n");
        world.run("build").missed("input_modified", "src.txt");
    });
}

#[test]
fn it_may_be_said_after_the_read() {
    each("cat cache/a src.txt > out.txt\nsay ignore-input cache", &[("cache/a", "1")], |world| {
        world.run("build").is("ran");
        world.write("cache/a", "2");
        world.run("build").is("fresh");
    });
}

#[test]
fn a_relative_path_is_one_below_the_working_directory_of_who_says_it() {
    let files = [("cache/a", "1"), ("sub/cache/a", "1")];
    each("(cd sub && say ignore-input cache)\ncat cache/a sub/cache/a > out.txt", &files, |world| {
        world.run("build").is("ran");
        world.write("sub/cache/a", "2");
        world.run("build").is("fresh");
        world.write("cache/a", "2");
        world.run("build").missed("input_modified", "cache/a");
    });
}

#[test]
fn a_path_may_be_absolute_and_have_dots_in_it() {
    each(
        "say ignore-input \"$PWD/nowhere/.././cache\"\ncat cache/a > out.txt",
        &[("cache/a", "1")],
        |world| {
            world.run("build").is("ran");
            world.write("cache/a", "2");
            world.run("build").is("fresh");
        },
    );
}

#[test]
fn a_path_may_lead_over_a_link_and_dots_after_it_are_those_of_the_system() {
    let work =
        "say ignore-input link\nsay ignore-input link/../beside\ncat link/a deep/beside/a beside/a > out.txt";
    let files = [("deep/real/a", "1"), ("deep/beside/a", "1"), ("beside/a", "1")];
    each(work, &files, |world| {
        symlink("deep/real", world.path("link")).unwrap();
        world.run("build").is("ran");
        world.write("deep/real/a", "2");
        world.write("deep/beside/a", "2");
        world.run("build").is("fresh");
        world.write("beside/a", "2");
        world.run("build").missed("input_modified", "beside/a");
    });
}

#[test]
fn a_client_may_work_in_a_linked_folder() {
    let work = "cd link\nsay ignore-input cache\ncat cache/a > ../../out.txt";
    each(work, &[("deep/real/cache/a", "1")], |world| {
        symlink("deep/real", world.path("link")).unwrap();
        world.run("build").is("ran");
        world.write("deep/real/cache/a", "2");
        // Nor is what the link leads to listed as something else.
        world.run("build").is("fresh");
    });
}

#[test]
fn a_path_that_is_not_there_may_be_ignored() {
    let work = "say ignore-input later\n[ -e later/a ] && cat later/a || true\ncat src.txt > out.txt";
    each(work, &[], |world| {
        world.run("build").is("ran");
        world.write("later/a", "1");
        world.run("build").is("fresh");
    });
}

#[test]
fn names_in_an_ignored_folder_are_no_input() {
    each("say ignore-input cache\nls cache > out.txt", &[("cache/a", "1")], |world| {
        world.run("build").is("ran");
        world.write("cache/b", "1");
        world.run("build").is("fresh");
    });
}

#[test]
fn a_name_that_begins_alike_is_not_ignored() {
    each("say ignore-input cache\ncat cache-2 > out.txt", &[("cache-2", "1")], |world| {
        world.run("build").is("ran");
        world.write("cache-2", "2");
        world.run("build").missed("input_modified", "cache-2");
    });
}

#[test]
fn a_file_may_be_ignored_and_its_neighbours_count() {
    each("say ignore-input d/a\ncat d/a d/b > out.txt", &[("d/a", "1"), ("d/b", "1")], |world| {
        world.run("build").is("ran");
        world.write("d/a", "2");
        world.run("build").is("fresh");
        world.write("d/b", "2");
        world.run("build").missed("input_modified", "d/b");
    });
}

#[test]
fn an_input_that_a_person_names_counts_although_it_is_ignored() {
    each(
        "say ignore-input cache\ncat cache/a cache/b > out.txt",
        &[("cache/a", "1"), ("cache/b", "1")],
        |world| {
            world.write(
            "overhear.json",
            r#"{"cache": {"scripts": true}, "scripts": {"build": {"input": [{"auto": true}, "cache/a"]}}}"#,
        );
            world.run("build").is("ran");
            world.write("cache/b", "2");
            world.run("build").is("fresh");
            world.write("cache/a", "2");
            world.run("build").missed("input_modified", "cache/a");
        },
    );
}

#[test]
fn ignoring_the_reads_of_what_is_rewritten_ends_an_overlap() {
    let work = "say ignore-input state\nread n < state\necho $((n + 1)) > state\ncat src.txt > out.txt";
    each(work, &[("state", "1\n")], |world| {
        world.run("build").is("ran");
        assert_eq!(world.read("state"), "2\n");
        world.run("build").is("fresh");
    });
    // Without a word of it, it is one.
    let world = Driver::Tell.world("read n < state\necho $((n + 1)) > state");
    world.write("state", "1\n");
    world.run("build").refused("read_write_overlap");
}

#[test]
fn ignoring_the_folder_that_everything_is_in_hides_nothing() {
    for folder in [".", "..", "/"] {
        each(
            &format!("say ignore-input {folder}\nsay ignore-output {folder}\ncat src.txt > out.txt"),
            &[],
            |world| {
                world.run("build").is("ran");
                world.run("build").is("fresh");
                world.remove("out.txt");
                world.run("build").is("restored");
                assert_eq!(world.read("out.txt"), "source\n");
                world.write("src.txt", "other\n");
                world.run("build").missed("input_modified", "src.txt");
            },
        );
    }
}

#[test]
fn what_is_written_below_an_ignored_path_is_neither_archived_nor_restored() {
    let work = "say ignore-output own\nmkdir -p own out\ncp src.txt own/a\ncp src.txt out/a";
    each(work, &[], |world| {
        world.run("build").is("ran");
        let names = world.archived_names();
        assert!(names.iter().any(|name| name.ends_with("out/a")), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("own")), "{names:?}");
        world.remove("own");
        world.remove("out");
        world.run("build").is("restored");
        assert_eq!(world.read("out/a"), "source\n");
        assert!(!world.path("own").exists());
        // Nor does what lies there make a difference.
        world.write("own/a", "by hand");
        world.run("build").is("fresh");
        assert_eq!(world.read("own/a"), "by hand");
    });
}

#[test]
fn ignoring_the_writes_of_what_was_read_ends_an_overlap_and_the_read_counts() {
    let work = "say ignore-output state\ncat state > out.txt\necho done > state";
    each(work, &[("state", "begun\n")], |world| {
        // What was read is not known any more. From now on it is looked at before.
        world.run("build").refused("read_write_overlap");
        run_until_kept(world);
        world.run("build").is("fresh");
        world.write("state", "begun\n");
        run_until_kept(world);
        assert_eq!(world.read("out.txt"), "begun\n");
        world.run("build").is("restored");
        assert_eq!(world.read("out.txt"), "done\n");
        assert!(!world.archived_names().iter().any(|name| name.contains("state")));
    });
}

#[test]
fn an_output_that_a_person_names_is_kept_although_it_is_ignored() {
    let work = "say ignore-output own\nmkdir -p own\ncp src.txt own/a\ncp src.txt own/b";
    each(work, &[], |world| {
        world.write(
            "overhear.json",
            r#"{"cache": {"scripts": true}, "scripts": {"build": {"output": [{"auto": true}, "own/a"]}}}"#,
        );
        world.run("build").is("ran");
        world.remove("own");
        world.run("build").is("restored");
        assert!(world.path("own/a").exists() && !world.path("own/b").exists());
    });
}

#[test]
fn a_cache_that_is_ignored_both_ways_is_left_as_it_is() {
    let work = "say ignore-input cache\nsay ignore-output cache\nmkdir -p cache\necho \"$(cat cache/n 2>/dev/null || true)x\" > cache/n\ncat src.txt > out.txt";
    each(work, &[], |world| {
        world.run("build").is("ran");
        world.run("build").is("fresh");
        world.write("src.txt", "other\n");
        world.run("build").missed("input_modified", "src.txt");
        assert_eq!(world.read("cache/n"), "xx\n");
        world.remove("cache");
        world.write("src.txt", "source\n");
        world.run("build").is("restored");
        assert!(!world.path("cache").exists());
        assert!(!world.archived_names().iter().any(|name| name.contains("cache")));
    });
}

/// A digest from before a run counts if the file had not been written a moment before that.
fn run_until_kept(world: &World) {
    let state = world.read("state");
    for _ in 0..20 {
        if world.run("build").steps[0].get("not_stored").is_none() {
            return;
        }
        world.write("state", &state);
    }
    panic!("it is never kept");
}

/// What bundlers do with their folder of outputs.
const EMPTY_DIR: &str = "mkdir -p dist\nfor name in $(ls dist); do rm -rf dist/$name; done\ncp src.txt dist/a-$(cksum < src.txt | tr -d ' ').txt";

#[test]
fn a_tool_that_lists_empties_and_rewrites_its_folder_is_stored_with_and_without_a_word_of_it() {
    // Where nobody said that its reads are its own, something foreign that it removes is an input.
    let foreign = [("dist/old.txt", "old")];
    for (said, files) in [("say ignore-input dist\n", &foreign[..]), ("", &[])] {
        each(&format!("{said}{EMPTY_DIR}"), files, |world| {
            world.run("build").is("ran");
            let first = world.tree("dist");
            assert_eq!(first.len(), 1, "{first:?}");
            world.run("build").is("fresh");
            world.write("src.txt", "other\n");
            world.run("build").missed("input_modified", "src.txt");
            assert_eq!(world.tree("dist").len(), 1);
            // A first run that nobody explained had found its new folder empty, which is not so again.
            world.write("src.txt", "source\n");
            let done = world.run("build");
            if !said.is_empty() {
                done.is("restored");
            }
            for text in ["other\n", "source\n"] {
                world.write("src.txt", text);
                world.run("build").is("restored");
            }
            crate::tree::assert_same(&world.tree("dist"), &first);
            world.remove("dist");
            world.run("build").is("restored");
            crate::tree::assert_same(&world.tree("dist"), &first);
        });
    }
}

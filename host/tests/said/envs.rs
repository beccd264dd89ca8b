//! `get-env` and `get-envs`. Names are written so that no file of the workspace spells them out unless
//! the fixture is about that.

use crate::drivers::{DRIVERS, Driver};
use crate::world::{Done, World};

fn each(work: &str, holds: impl Fn(&World)) {
    for driver in DRIVERS {
        eprintln!("{driver:?}");
        holds(&driver.world(work));
    }
}

fn run(world: &World, env: &[(&str, &str)]) -> Done {
    world.run_with("build", env)
}

#[test]
fn a_variable_that_is_left_out_is_served_and_a_change_of_it_is_a_miss() {
    each("say get-env API_URL > out.txt\nenv > $TMPDIR/block", |world| {
        run(world, &[("API_URL", "one")]).is("ran");
        assert_eq!(world.read("out.txt"), "one\n");
        let block = std::fs::read_to_string(world.tmp().join("block")).unwrap();
        assert!(!block.contains("API_URL"), "{block}");
        run(world, &[("API_URL", "one"), ("OTHER", "1")]).is("fresh");
        run(world, &[("API_URL", "two")]).missed("env_changed", "API_URL");
        assert_eq!(world.read("out.txt"), "two\n");
        run(world, &[("API_URL", "one")]).is("restored");
        assert_eq!(world.read("out.txt"), "one\n");
    });
}

#[test]
fn that_a_variable_is_not_set_counts_too() {
    each("say get-env API_URL > out.txt || echo none > out.txt", |world| {
        run(world, &[]).is("ran");
        assert_eq!(world.read("out.txt"), "none\n");
        run(world, &[]).is("fresh");
        run(world, &[("API_URL", "")]).missed("env_added", "API_URL");
        assert_eq!(world.read("out.txt"), "\n");
        run(world, &[]).is("restored");
        assert_eq!(world.read("out.txt"), "none\n");
    });
}

#[test]
fn a_variable_that_goes_is_a_miss_by_name() {
    each("say get-env API_URL > out.txt || true", |world| {
        run(world, &[("API_URL", "1")]).is("ran");
        run(world, &[]).missed("env_removed", "API_URL");
    });
}

#[test]
fn an_untracked_variable_is_served_and_never_makes_a_miss() {
    each("say get-env API_URL --untracked > $TMPDIR/seen || true\ncat src.txt > out.txt", |world| {
        run(world, &[("API_URL", "one")]).is("ran");
        assert_eq!(std::fs::read_to_string(world.tmp().join("seen")).unwrap(), "one\n");
        run(world, &[("API_URL", "two")]).is("fresh");
        run(world, &[]).is("fresh");
    });
}

#[test]
fn tracked_once_is_tracked() {
    let work = "say get-env API_URL --untracked > out.txt\nsay get-env API_URL > out.txt\nsay get-env API_URL --untracked > out.txt";
    each(work, |world| {
        run(world, &[("API_URL", "one")]).is("ran");
        run(world, &[("API_URL", "two")]).missed("env_changed", "API_URL");
    });
}

#[test]
fn what_the_process_has_itself_wins_and_is_tracked_all_the_same() {
    // Spelled so that no file names it but for who asks.
    let own = "export \"API_U\"\"RL=own\"";
    each(&format!("{own}\nsay get-env API_URL > out.txt\nsay get-envs 'API_U*' >> out.txt"), |world| {
        run(world, &[("API_URL", "one")]).is("ran");
        assert_eq!(world.read("out.txt"), "own\nAPI_URL=own\n");
        run(world, &[("API_URL", "two")]).missed("env_changed", "API_URL");
        assert_eq!(world.read("out.txt"), "own\nAPI_URL=own\n");
    });
}

#[test]
fn a_variable_that_the_command_sets_is_served_from_there() {
    each("say get-env API_URL > out.txt", |world| {
        world.edit("package.json", "sh task.sh", "API_URL=own sh task.sh");
        run(world, &[("API_URL", "one")]).is("ran");
        assert_eq!(world.read("out.txt"), "own\n");
        run(world, &[("API_URL", "two")]).is("fresh");
        run(world, &[]).is("fresh");
    });
}

#[test]
fn a_variable_that_the_command_sets_for_a_run_within_is_served_from_there() {
    each("say get-env API_URL > out.txt", |world| {
        world.edit(
            "package.json",
            "\"build\": \"sh task.sh\"",
            "\"build\": \"sh task.sh\", \"all\": \"API_URL=own overhear run build\"",
        );
        let ours = std::path::Path::new(env!("CARGO_BIN_EXE_overhear")).parent().unwrap();
        let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
        world.run_with("all", &[("API_URL", "one"), ("PATH", &path)]).is("ran");
        assert_eq!(world.read("out.txt"), "own\n");
        world.run_with("all", &[("API_URL", "two"), ("PATH", &path)]).is("fresh");
        run(world, &[("API_URL", "two")]).is("ran");
        assert_eq!(world.read("out.txt"), "two\n");
    });
}

#[test]
fn values_may_hold_anything_that_is_text() {
    let value = "two\nlines, é, \"quotes\" and a = sign ";
    each("say get-env API_URL > out.txt", |world| {
        run(world, &[("API_URL", value)]).is("ran");
        assert_eq!(world.read("out.txt"), format!("{value}\n"));
        run(world, &[("API_URL", value)]).is("fresh");
        run(world, &[("API_URL", value.trim_end())]).missed("env_changed", "API_URL");
    });
}

#[test]
fn a_value_that_is_no_text_is_not_served_as_something_else_and_the_run_is_not_kept() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || std::ffi::OsString::from_vec(b"\xff".to_vec());
    each("say get-env API_URL > out.txt || true", |world| {
        run(world, &[]).is("ran");
        let done = world.task(&["build"]).env("API_URL", odd()).done();
        // Whoever hears of it first.
        assert!(
            ["ipc_failed", "trace_incomplete"]
                .contains(&done.steps[0]["not_stored"]["kind"].as_str().unwrap())
        );
        assert!(done.err.contains("API_URL") && done.err.contains("not UTF-8"), "{done:?}");
        run(world, &[]).is_hit();
    });
}

/// Change, addition and removal of a match are misses that name it; what does not match is nothing.
fn a_set_is_tracked(work: &str) {
    each(work, |world| {
        run(world, &[("FLAG_A", "1")]).is("ran");
        assert_eq!(world.read("out.txt"), "FLAG_A=1\n");
        run(world, &[("FLAG_A", "1"), ("FLAX", "1"), ("MY_FLAG_A", "1")]).is("fresh");
        run(world, &[("FLAG_A", "2")]).missed("env_changed", "FLAG_A");
        run(world, &[("FLAG_A", "2"), ("FLAG_B", "1")]).missed("env_added", "FLAG_B");
        assert_eq!(world.read("out.txt"), "FLAG_A=2\nFLAG_B=1\n");
        run(world, &[("FLAG_B", "1")]).is("ran");
        assert_eq!(world.read("out.txt"), "FLAG_B=1\n");
        run(world, &[]).missed("env_removed", "FLAG_B");
        assert_eq!(world.read("out.txt"), "");
        run(world, &[("FLAG_A", "1")]).is("restored");
        assert_eq!(world.read("out.txt"), "FLAG_A=1\n");
    });
}

#[test]
fn variables_with_a_prefix_are_served_and_tracked_as_a_set() {
    a_set_is_tracked("say get-envs --prefix FLAG_ > out.txt");
}

#[test]
fn variables_that_match_a_glob_are_served_and_tracked_as_a_set() {
    a_set_is_tracked("say get-envs 'FL*G_?' > out.txt");
}

#[test]
fn an_untracked_set_is_served_and_never_makes_a_miss() {
    for words in ["--prefix FLAG_", "'FLAG_*'"] {
        each(&format!("say get-envs {words} --untracked > $TMPDIR/seen\ncat src.txt > out.txt"), |world| {
            run(world, &[("FLAG_A", "1")]).is("ran");
            assert_eq!(std::fs::read_to_string(world.tmp().join("seen")).unwrap(), "FLAG_A=1\n");
            run(world, &[("FLAG_A", "2")]).is("fresh");
            run(world, &[("FLAG_B", "1")]).is("fresh");
            run(world, &[]).is("fresh");
        });
    }
}

#[test]
fn the_empty_prefix_without_an_adapter_means_every_variable() {
    each("say get-envs --prefix '' | grep ^FLAG > out.txt || true", |world| {
        run(world, &[("FLAG_A", "1")]).is("ran");
        assert_eq!(world.read("out.txt"), "FLAG_A=1\n");
        run(world, &[("FLAG_A", "1")]).is("fresh");
        run(world, &[("FLAG_A", "1"), ("ANY", "1")]).missed("env_added", "ANY");
    });
}

#[test]
fn a_glob_means_the_same_whoever_asks() {
    let odd = [("GLOB_A.B", "1"), ("GLOB_AXB", "2"), ("GLOB_[A]", "3"), ("GLOB_\u{e9}", "4")];
    let served = [
        ("GLOB_A.?", "GLOB_A.B=1\n"),
        ("GLOB_[A]", "GLOB_[A]=3\n"),
        ("GLOB_?", "GLOB_\u{e9}=4\n"),
        ("glob_*", ""),
    ];
    for driver in [Driver::Main, Driver::Rust, Driver::Tell] {
        for (glob, expected) in served {
            let world = driver.world(&format!("say get-envs '{glob}' > out.txt"));
            run(&world, &odd).is("ran");
            assert_eq!(world.read("out.txt"), expected, "{driver:?} {glob}");
            run(&world, &odd).is("fresh");
        }
        // What the process has itself; a shell hands on plain names only.
        let plain = [("GLOB_A_B", "1"), ("GLOB_AXB", "2")];
        for (glob, expected) in [
            ("*_A?B", "GLOB_AXB=2\nGLOB_A_B=1\n"),
            ("GLOB_?", ""),
            ("GLOB_*_*", "GLOB_A_B=1\n"),
            ("GLOB_", ""),
        ] {
            let world = driver.world(&format!("say get-envs '{glob}' > out.txt"));
            let direct = world.command("sh").arg("task.sh").envs(plain).status().unwrap();
            assert!(direct.success() && world.read("out.txt") == expected, "{driver:?} {glob}");
            run(&world, &plain).is("ran");
            assert_eq!(world.read("out.txt"), expected, "{driver:?} {glob}");
        }
    }
}

#[test]
fn a_program_that_reads_a_copy_of_the_environment_does_not_miss_what_another_one_asked_for() {
    for asked in ["say get-env API_URL > one.txt", "say get-envs --prefix API_ > one.txt"] {
        each(&format!("{asked}\nsh other.sh"), |world| {
            world.write("other.sh", "echo \"$API_URL\" > out.txt\n");
            // It has not seen it, and it is said; from then on it does.
            run(world, &[("API_URL", "one")]).refused("hidden_env");
            run(world, &[("API_URL", "one")]).is("ran");
            assert_eq!(world.read("out.txt"), "one\n");
            run(world, &[("API_URL", "one")]).is("fresh");
            run(world, &[("API_URL", "two")]).missed("env_changed", "API_URL");
            assert_eq!(world.read("out.txt"), "two\n");
        });
    }
}

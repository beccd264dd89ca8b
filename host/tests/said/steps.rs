//! `disable-cache`, and who has a channel at all.

use crate::drivers::{DRIVERS, Driver};
use crate::world::World;

fn each(work: &str, holds: impl Fn(Driver, &World)) {
    for driver in DRIVERS {
        eprintln!("{driver:?}");
        holds(driver, &driver.world(work));
    }
}

#[test]
fn a_run_that_the_tool_does_not_want_kept_is_not_stored_and_says_so() {
    each("cat src.txt > out.txt\nsay disable-cache", |_, world| {
        for _ in 0..2 {
            let done = world.run("build");
            done.refused("tool_asked");
            assert!(done.err.contains("not stored"), "{done:?}");
        }
        assert_eq!(world.sound_entries(), 0);
    });
}

#[test]
fn a_tool_may_not_want_it_kept_although_no_input_is_wanted() {
    each("cat src.txt > out.txt\nsay disable-cache", |_, world| {
        world.write("overhear.json", r#"{"cache": {"scripts": true}, "scripts": {"build": {"input": []}}}"#);
        world.run("build").refused("tool_asked");
        world.run("build").refused("tool_asked");
    });
}

#[test]
fn one_command_of_a_chain_that_is_not_kept_leaves_the_others() {
    each("cat one.txt > out.txt\nsay disable-cache", |_, world| {
        world.edit("package.json", "sh task.sh", "cp src.txt one.txt && sh task.sh");
        let done = world.run("build");
        assert_eq!(done.statuses(), ["ran", "ran"]);
        assert_eq!(done.steps[1]["not_stored"]["kind"], "tool_asked", "{done:?}");
        let done = world.run("build");
        assert_eq!(done.statuses(), ["fresh", "ran"], "{done:?}");
    });
}

#[test]
fn what_was_said_by_a_process_that_was_killed_afterwards_counts() {
    let work = "cat src.txt > out.txt\nsh -c '. ./say.sh; say disable-cache; kill -9 $$' || true";
    each(work, |_, world| {
        let text = world.read("work.sh");
        world.write(
            "say.sh",
            text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>().as_str(),
        );
        world.run("build").refused("tool_asked");
    });
}

#[test]
fn saying_something_adds_nothing_but_what_was_said() {
    each("cat src.txt > out.txt\n$SAY", |driver, world| {
        let facts = |said: &str| {
            driver.set_work(world, &format!("cat src.txt > out.txt\n{said}"));
            world.run("build").is("ran");
            let done = world.overhear(&["inspect", "--json", "build"]).done();
            let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
            let names = |list: &str, field: &str| -> Vec<String> {
                let facts = document["steps"][0][list].as_array().unwrap_or_else(|| panic!("{document:#}"));
                facts.iter().map(|fact| fact[field].as_str().unwrap().to_owned()).collect()
            };
            (names("inputs", "path"), names("envs", "name"))
        };
        // What starting the client takes is no matter of what it says.
        let (inputs, envs) = facts("say get-env ONE || true");
        let (more_inputs, more_envs) =
            facts("say get-env ONE || true\nsay get-env TWO --untracked || true\nsay ignore-input nothing");
        assert_eq!(more_inputs, inputs, "{driver:?}");
        assert_eq!(more_envs, envs, "{driver:?}");
        assert!(envs.contains(&"ONE".to_owned()), "{driver:?} {envs:?}");
        // overhear itself reads nothing that a person set for something else.
        if driver == Driver::Tell {
            let own = ["LANG", "ONE", "npm_lifecycle_event", "npm_package_name", "npm_package_version"];
            assert_eq!(envs.iter().filter(|env| !own.contains(&env.as_str())).collect::<Vec<_>>(), [&""; 0]);
        }
    });
}

#[test]
fn a_failing_command_ends_as_it_would_whatever_it_said() {
    each("say disable-cache\nsay get-env NOTHING || true\nexit 3", |_, world| {
        let done = world.task(&["build"]).done();
        assert_eq!((done.code, done.statuses()), (3, vec!["failed"]), "{done:?}");
    });
}

#[test]
fn a_step_with_inputs_of_its_own_is_listened_to() {
    each("cat src.txt unnamed.txt > out.txt\nsay get-env API_URL >> out.txt || true", |_, world| {
        world.write("unnamed.txt", "1");
        world.write(
            "overhear.json",
            r#"{"cache": {"scripts": true}, "scripts": {"build": {"input": ["src.txt"]}}}"#,
        );
        world.run("build").is("ran");
        world.write("unnamed.txt", "2");
        world.run("build").is("fresh");
        world.run_with("build", &[("API_URL", "1")]).missed("env_added", "API_URL");
        world.write("src.txt", "other\n");
        world.run("build").missed("input_modified", "src.txt");
    });
}

const WHAT_IS_SET: &str = "env | grep -E '^(OVERHEAR_IPC|VP_RUN_NODE_CLIENT_PATH)=' > seen.txt || true";

#[test]
fn a_step_that_is_not_cached_has_no_channel_and_its_tools_do_not_notice() {
    let work = format!(
        "{WHAT_IS_SET}\nsay ignore-input a\nsay ignore-output b\nsay disable-cache\nsay get-env API_URL\nsay get-envs 'API_U*'\nsay get-env NOTHING || echo none"
    );
    each(&work, |_, world| {
        let said = "own\nAPI_URL=own\nnone\n";
        for args in [&["build"][..], &["--no-cache", "build"]] {
            world.write("overhear.json", r#"{"scripts": {"build": {"cache": false}}}"#);
            let stale = [("OVERHEAR_IPC", "/nowhere"), ("VP_RUN_NODE_CLIENT_PATH", "/nowhere.cjs")];
            let run = stale.iter().fold(world.task(args), |run, (name, value)| run.env(name, *value));
            let done = run.env("API_URL", "own").done();
            assert_eq!((done.code, done.out.as_str()), (0, said), "{done:?}");
            assert_eq!(world.read("seen.txt"), "");
        }
        // And so outside of overhear altogether.
        let output = world.command("sh").arg("task.sh").env("API_URL", "own").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), said);
    });
}

#[test]
fn a_client_of_another_runner_is_dropped_and_ours_is_in_its_place() {
    each(&format!("{WHAT_IS_SET}\nsay disable-cache"), |_, world| {
        let foreign = world.beside("foreign.cjs");
        std::fs::write(&foreign, "throw new Error('of another runner')").unwrap();
        let done = world
            .task(&["build"])
            .env("VP_RUN_NODE_CLIENT_PATH", &foreign)
            .env("OVERHEAR_IPC", "/nowhere")
            .env("VP_RUN", "1")
            .done();
        done.refused("tool_asked");
        let seen = world.read("seen.txt");
        assert!(seen.contains("VP_RUN_NODE_CLIENT_PATH=/") && seen.contains("OVERHEAR_IPC=/"), "{seen}");
        assert!(!seen.contains("foreign") && !seen.contains("nowhere"), "{seen}");
    });
}

#[test]
fn two_steps_at_once_never_mix() {
    for driver in DRIVERS {
        let world = World::empty();
        world.write("package.json", r#"{"name": "root", "private": true, "workspaces": ["a", "b"]}"#);
        world.write("package-lock.json", "{}");
        world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
        driver.install(&world);
        for (name, other, last) in [("a", "b", "say disable-cache"), ("b", "a", "")] {
            // Each waits until the other has begun.
            let meet = format!("echo > \"$TMPDIR/{other}\" & read x < \"$TMPDIR/{name}\"; wait");
            let work =
                format!("ROOT=$PWD/..\n{meet}\nsay ignore-input own\ncat own src.txt > out.txt\n{last}");
            driver.set_work(&world, &work);
            world.write(&format!("{name}/work.sh"), &world.read("work.sh"));
            world.write(&format!("{name}/task.sh"), ". ./work.sh\n");
            world.write(&format!("{name}/src.txt"), "source\n");
            world.write(&format!("{name}/own"), "1");
            world.write(
                &format!("{name}/package.json"),
                &format!(r#"{{"name": "{name}", "version": "1.0.0", "scripts": {{"build": "sh task.sh"}}}}"#),
            );
            world.fifo(name);
        }
        let run = |world: &World| world.task(&["-r", "--concurrency", "2", "build"]).done();
        let done = run(&world);
        assert_eq!((done.code, done.statuses()), (0, vec!["ran", "ran"]), "{driver:?} {done:?}");
        let (refused, kept): (Vec<_>, Vec<_>) =
            done.steps.iter().partition(|step| step.get("not_stored").is_some());
        assert_eq!((refused.len(), kept.len()), (1, 1), "{driver:?} {done:?}");
        assert_eq!(refused[0]["task"], "a#build", "{done:?}");
        assert_eq!(refused[0]["not_stored"]["kind"], "tool_asked", "{done:?}");
        world.write("b/own", "2");
        let done = world.overhear(&["run", "b#build"]).done();
        assert!(done.err.contains("fresh"), "{driver:?} {done:?}");
    }
}

#[test]
fn what_is_said_to_an_overhear_within_a_task_counts_for_the_task() {
    // One that is not to be cached is not to be cached as a part of the task either.
    for (settings, is_cached) in [("{}", true), (r#"{"cache": false}"#, false)] {
        each("cat src.txt > out.txt\nsay get-env API_URL >> out.txt || true\n$LAST", |driver, world| {
            let inner = format!("{}\n", world.read("work.sh").replace("$LAST", "say disable-cache"));
            let config = format!(r#"{{"cache": {{"scripts": true}}, "scripts": {{"build": {settings}}}}}"#);
            world.write("overhear.json", &config);
            world.edit("package.json", "\"build\"", "\"outer\": \"sh outer.sh\", \"build\"");
            world.write("outer.sh", &format!("'{}' run build\n", env!("CARGO_BIN_EXE_overhear")));
            let kept = world.read("work.sh").replace("$LAST", "true");
            world.write("work.sh", &kept);
            if is_cached {
                world.run("outer").is("ran");
                world.run("outer").is("fresh");
                world.run_with("outer", &[("API_URL", "one")]).missed("env_added", "API_URL");
            } else {
                world.run_with("outer", &[("API_URL", "one")]).refused("tool_asked");
            }
            assert_eq!(world.read("out.txt"), "source\none\n", "{driver:?}");
            world.write("work.sh", &inner);
            world.run("outer").refused("tool_asked");
            world.run("outer").refused("tool_asked");
        });
    }
}

//! One fixture for each reason for which a step runs, and for each for which a run is not stored. The
//! tables are matches over the types themselves: a reason without a fixture does not compile. What is
//! told of each (the line of the run, `why`, `inspect`) is kept in `reasons/`.

use crate::main_job::REACT;
use crate::snapshot;
use crate::world::{Done, World};
use overhear::outcome::{MissReason, Refusal};
use std::fs;
use std::net::TcpListener;

/// Makes one test of each row, and a match of all rows.
macro_rules! fixtures {
    ($type:ty, $field:literal, $($variant:pat => $name:ident, $kind:literal, $make:expr;)*) => {
        #[allow(dead_code, reason = "it only has to compile")]
        fn is_whole(reason: &$type) {
            match reason {
                $($variant => {})*
            }
        }

        $(#[test]
        fn $name() {
            let make: fn() -> Case = $make;
            make().told($field, $kind);
        })*
    };
}

/// A run that ends a fixture, with what is told before and after it.
struct Case {
    world: World,
    env: Vec<(&'static str, &'static str)>,
    why: Option<Done>,
    done: Done,
}

impl Case {
    /// Asks why, then runs: for reasons, which a run ends.
    fn runs(world: World, args: &[&str], env: &[(&'static str, &'static str)]) -> Case {
        let why = ask(&world, env, &["why", "build"]);
        let mut run = world.task(args);
        run.command.envs(env.iter().copied());
        let done = run.done();
        Case { world, env: env.to_vec(), why: Some(why), done }
    }

    /// Has run: what is told of a refusal is told afterwards.
    fn ran(world: World, done: Done) -> Case {
        Case { world, env: Vec::new(), why: None, done }
    }

    /// The reason is this, and what is told of it is as it was.
    fn told(self, field: &str, kind: &str) {
        let Case { world, env, why, done } = self;
        assert_eq!(done.steps[0][field]["kind"], kind, "{done:?}");
        assert_ne!(done.steps[0]["status"], "failed", "{done:?}");
        let why = why.unwrap_or_else(|| ask(&world, &env, &["why", "build"]));
        let inspect = ask(&world, &env, &["inspect", "build"]);
        let line = done.err.lines().map(|line| line.trim_end_matches('\r')).find(|line| {
            let of_reason = [" miss: ", " not cached: "];
            let words: &[&str] = if field == "reason" { &of_reason } else { &[" not stored: "] };
            words.iter().any(|word| crate::world::without_colours(line).contains(word))
        });
        let line = line.unwrap_or_else(|| panic!("no line tells it: {done:?}"));
        // Of a large tool the first facts are enough.
        let inspect = inspect.out + &inspect.err;
        let inspect: Vec<&str> = inspect.lines().filter(|line| is_same_everywhere(line)).take(14).collect();
        let text = format!(
            "# overhear run build\n{line}\n\n# overhear why build\n{}\n# overhear inspect build\n{}\n",
            why.out + &why.err,
            inspect.join("\n")
        );
        snapshot::check(&format!("reasons/{kind}.txt"), &snapshot::hidden(&world, &text));
    }
}

/// Not what depends on how deep the workspace lies, or on which shell and C library are there.
fn is_same_everywhere(line: &str) -> bool {
    let of_place = ["inputs: ", "input   ../", "input   /", "input   ~", "input   .  "];
    !of_place.iter().any(|start| line.starts_with(start))
        && !(line.starts_with("env") && line.contains("traced"))
}

fn ask(world: &World, env: &[(&'static str, &'static str)], args: &[&str]) -> Done {
    let mut asked = world.overhear(args);
    asked.command.envs(env.iter().copied());
    asked.done()
}

/// A task `build` with this command and more keys, that has run once.
fn built(command: &str, keys: &str) -> World {
    let world = World::of_scripts(&[]);
    configure(&world, command, keys);
    world.write("in.txt", "in\n");
    world
}

fn configure(world: &World, command: &str, keys: &str) {
    let text = format!(r#"{{"tasks": {{"build": {{"command": "{command}"{keys}}}}}}}"#);
    world.write("overhear.json", &text);
}

mod misses {
    use super::*;

    fixtures! {
        MissReason, "reason",
        MissReason::NotFound(_) => the_first_run, "not_found", || Case::runs(built("cat in.txt", ""), &["build"], &[]);
        MissReason::InputModified(_) | MissReason::NamesChanged(_) => another_content, "input_modified", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            world.write("in.txt", "other\n");
            Case::runs(world, &["build"], &[])
        };
        MissReason::InputAdded(_) | MissReason::NameAdded(_) => a_file_that_was_probed_appears, "input_added", || {
            let world = built("sh -c 'test -e new; true'", "");
            world.run("build").is("ran");
            world.write("new", "");
            Case::runs(world, &["build"], &[])
        };
        MissReason::InputRemoved(_) | MissReason::NameRemoved(_) => a_file_that_was_probed_is_gone, "input_removed", || {
            let world = built("sh -c 'cat in.txt; true'", "");
            world.run("build").is("ran");
            world.remove("in.txt");
            Case::runs(world, &["build"], &[])
        };
        MissReason::EnvChanged(_) => another_value, "env_changed", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run_with("build", &[("WORD", "one")]).is("ran");
            Case::runs(world, &["build"], &[("WORD", "two")])
        };
        MissReason::EnvAdded(_) => a_variable_is_set, "env_added", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run("build").is("ran");
            Case::runs(world, &["build"], &[("WORD", "two")])
        };
        MissReason::EnvRemoved(_) => a_variable_is_unset, "env_removed", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run_with("build", &[("WORD", "one")]).is("ran");
            Case::runs(world, &["build"], &[])
        };
        MissReason::UntrackedEnvChanged => another_variable_is_untracked, "untracked_env_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "untrackedEnv": ["WORD"]"#);
            Case::runs(world, &["build"], &[])
        };
        MissReason::ArgsChanged => more_arguments, "args_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            Case::runs(world, &["build", "in.txt"], &[])
        };
        MissReason::ProgramChanged(_) => another_program_of_that_name, "program_changed", || {
            let world = built("tool", "");
            let tool = |text: &str| {
                world.write("node_modules/.bin/tool", &format!("#!/bin/sh\n{text}\n"));
                world.make_executable("node_modules/.bin/tool");
            };
            tool("echo one");
            world.run("build").is("ran");
            tool("echo two");
            Case::runs(world, &["build"], &[])
        };
        MissReason::CwdChanged => another_working_directory, "cwd_changed", || {
            let world = built("echo there", "");
            world.write("sub/in.txt", "");
            world.run("build").is("ran");
            configure(&world, "echo there", r#", "cwd": "sub""#);
            Case::runs(world, &["build"], &[])
        };
        MissReason::InputConfigChanged => another_input_config, "input_config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "input": ["in.txt"]"#);
            Case::runs(world, &["build"], &[])
        };
        MissReason::OutputConfigChanged => another_output_config, "output_config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "output": []"#);
            Case::runs(world, &["build"], &[])
        };
        MissReason::ConfigChanged => another_config, "config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "strictEnv": true"#);
            Case::runs(world, &["build"], &[])
        };
        MissReason::DeclarationChanged(_) => an_adapter_says_something_else, "declaration_changed", || {
            let world = World::of(REACT);
            world.run("build").is("ran");
            world.edit("vite.config.js", "plugins:", "build: { outDir: 'out' }, plugins:");
            Case::runs(world, &["build"], &[])
        };
        MissReason::OutputChanged(_) => a_person_has_edited_an_output, "output_changed", || {
            let world = built("cp in.txt out.txt", "");
            world.run("build").is("ran");
            world.write("out.txt", "mine\n");
            Case::runs(world, &["build"], &[])
        };
        MissReason::OutputOfAnother { .. } => another_task_has_filled_the_folder, "output_of_another", || {
            let script = "test -d dist || mkdir dist; cp in.txt dist/code";
            let tasks = [("build", script), ("types", "mkdir -p dist; cp in.txt dist/types")];
            let world = World::of_cached_scripts(&tasks);
            world.write("in.txt", "1\n");
            world.run("build").is("ran");
            world.run("types").is("ran");
            Case::runs(world, &["build"], &[])
        };
        MissReason::EntryDamaged(_) => an_archive_is_damaged, "entry_damaged", || {
            let world = built("cp in.txt out.txt", "");
            world.run("build").is("ran");
            world.remove("out.txt");
            fs::write(&world.archives()[0], "damaged").unwrap();
            Case::runs(world, &["build"], &[])
        };
        MissReason::Forced => force, "forced", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            Case::runs(world, &["--force", "build"], &[])
        };
        MissReason::CacheDisabled(_) => a_task_that_is_not_cached, "cache_disabled", || {
            Case::runs(built("cat in.txt", r#", "cache": false"#), &["-v", "build"], &[])
        };
    }
}

mod refusals {
    use super::*;

    fn ran(world: World) -> Case {
        let done = world.run("build");
        Case::ran(world, done)
    }

    fixtures! {
        Refusal, "not_stored",
        Refusal::ReadWriteOverlap { .. } => a_file_that_was_read_is_changed, "read_write_overlap", || {
            ran(built("sh -c 'cat in.txt; echo more >> in.txt'", ""))
        };
        Refusal::ToolAsked => the_tool_asks_for_it, "tool_asked", || {
            let tell = format!("{} tell disable-cache", env!("CARGO_BIN_EXE_overhear"));
            ran(built(&tell, ""))
        };
        Refusal::TraceIncomplete(_) => a_program_that_cannot_be_traced, "trace_incomplete", || {
            let world = built("cat in.txt", "");
            let done = world.run_with("build", &[("OVERHEAR_TRACE", "off")]);
            Case::ran(world, done)
        };
        Refusal::IpcFailed(_) => garbage_on_the_channel, "ipc_failed", || {
            let world = built("node garbage.js", "");
            world.write(
                "garbage.js",
                "require('net').connect(process.env.OVERHEAR_IPC + '/socket').on('error', () => {}).end('GET /')",
            );
            ran(world)
        };
        Refusal::InputChangedDuringRun(_) => somebody_changes_an_input_meanwhile, "input_changed_during_run", || {
            let world = built("sh wait.sh", "");
            world.write("wait.sh", "cat in.txt\necho read\ncat $TMPDIR/go\n");
            let go = world.fifo("go");
            let mut started = world.task(&["build"]).start();
            started.wait_for("read");
            world.write("in.txt", "changed\n");
            fs::write(go, "").unwrap();
            let done = started.done();
            Case::ran(world, done)
        };
        Refusal::WroteOutside(_) => a_write_beside_the_workspace, "wrote_outside", || {
            // A workspace in a temporary folder has only those beside it.
            let outside = std::env::home_dir().unwrap().join(format!("overhear-outside-{}", std::process::id()));
            let world = built(&format!("sh -c 'echo x > {}'", outside.display()), "");
            let done = world.run("build");
            fs::remove_file(outside).unwrap();
            Case::ran(world, done)
        };
        Refusal::OutsideService { .. } => a_daemon_of_this_machine, "outside_service", || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let world = built("node ask.js", "");
            let ask = format!("require('net').connect({port}, '127.0.0.1').on('connect', function () {{ this.destroy() }})");
            world.write("ask.js", &ask);
            ran(world)
        };
        Refusal::HiddenEnv { .. } => a_variable_that_was_read_from_a_copy, "hidden_env", || {
            let world = built("sh main.sh", "");
            world.write("main.sh", ". ./part.sh\n");
            world.write("part.sh", "echo \"$WORD\"\n");
            let done = world.run_with("build", &[("WORD", "one")]);
            Case::ran(world, done)
        };
        Refusal::Detached(_) => a_process_goes_on, "detached", || {
            let world = built("sh leave.sh", "");
            world.write("leave.sh", "setsid cat \"$TMPDIR/end\" </dev/null >/dev/null 2>&1 &\n");
            let end = world.fifo("end");
            let done = world.run("build");
            // It was left alone, and ends now.
            fs::write(end, "").unwrap();
            Case::ran(world, done)
        };
        Refusal::ReadTerminal => the_terminal_is_asked_for, "read_terminal", || {
            ran(built("sh -c 'cat /dev/tty; true'", ""))
        };
        Refusal::Interrupted => an_interrupt_that_the_command_outlives, "interrupted", || {
            let world = built("sh trap.sh", "");
            world.write("trap.sh", "trap 'exit 0' INT\necho ready\nread word < $TMPDIR/never\n");
            let never = world.fifo("never");
            let mut started = world.task(&["build"]).start();
            started.wait_for("ready");
            started.signal_group(2);
            let done = started.done();
            drop(never);
            Case::ran(world, done)
        };
        Refusal::StoreFailed(_) => the_cache_cannot_be_written, "store_failed", || {
            let world = built("sh -c 'cp in.txt out.txt; rm -rf .overhear/archives; echo x > .overhear/archives'", "");
            ran(world)
        };
        Refusal::TooLarge(_) => more_is_printed_than_the_cache_takes, "too_large", || {
            ran(built("head -c 34M /dev/urandom", ""))
        };
    }
}

#[test]
fn what_ran_before_is_never_called_a_first_run() {
    let world = built("sh build.sh", "");
    world.write("build.sh", "cat in.txt && exit 3\n");
    assert_eq!(world.task(&["build"]).done().code, 3);
    let line = |world: &World| {
        let run = world.task(&["build"]).done();
        let found = run.err.lines().find(|line| line.contains(" miss: ")).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{run:?}"))
    };
    let told = ask(&world, &[], &["inspect", "build"]);
    assert!(told.out.contains("the last run failed"), "{told:?}");
    assert!(ask(&world, &[], &["why", "build"]).out.contains("miss: the last run failed\n"));
    assert!(line(&world).ends_with("miss: the last run failed"));
    let tell = format!("cat in.txt && {} tell disable-cache\n", env!("CARGO_BIN_EXE_overhear"));
    world.write("build.sh", &tell);
    assert!(line(&world).ends_with("miss: the last run failed"));
    assert!(line(&world).ends_with("miss: the last run was not stored"));
    let told = ask(&world, &[], &["why", "build"]);
    assert!(told.out.contains("miss: no run of it was kept\n  last run not stored: "), "{told:?}");
    world.write("build.sh", "cat in.txt\n");
    world.run("build").is("ran");
    world.run("build").is("fresh");
    assert_eq!(ask(&world, &[], &["cache", "gc", "--max-size", "0B"]).code, 0);
    assert!(line(&world).ends_with("miss: what was kept of it is no longer in the cache"));
}

#[test]
fn inspect_begins_with_how_much_there_is_and_what_was_read() {
    let world = built("cat node_modules/a/b.txt in.txt; test -e none; ls src > /dev/null", "");
    world.write("node_modules/a/b.txt", "b\n");
    world.write("src/a.txt", "a\n");
    world.run("build").is("ran");
    let told = ask(&world, &[], &["inspect", "build"]).out;
    let lines: Vec<&str> = told.lines().filter(|line| is_same_everywhere(line)).skip(1).collect();
    let begins =
        ["input   in.txt  (content", "input   node_modules/a/b.txt  (content", "input   src  (listing"];
    assert!(lines.iter().zip(begins).all(|(line, begins)| line.starts_with(begins)), "{told}");
    let counts = told.lines().nth(1).unwrap();
    assert!(
        counts.starts_with("inputs: ") && counts.contains("listed 1") && counts.contains("; outputs: 0; "),
        "{counts}"
    );
    let searched = ask(&world, &[], &["inspect", "build", "--search", "b.txt"]).out;
    assert_eq!(searched.lines().count(), 2, "{searched}");
}

//! One fixture for each reason for which a step runs, and for each for which a run is not stored. The
//! tables are matches over the types themselves: a reason without a fixture does not compile.

use crate::main_job::REACT;
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
            let make: fn() -> Done = $make;
            let done = make();
            assert_eq!(done.steps[0][$field]["kind"], $kind, "{done:?}");
            assert_ne!(done.steps[0]["status"], "failed", "{done:?}");
            let word = if $field == "reason" { "miss" } else { "not stored" };
            assert!(done.err.contains(word), "{done:?}");
        })*
    };
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
        MissReason::NotFound => the_first_run, "not_found", || built("cat in.txt", "").run("build");
        MissReason::InputModified(_) => another_content, "input_modified", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            world.write("in.txt", "other\n");
            world.run("build")
        };
        MissReason::InputAdded(_) => a_file_that_was_probed_appears, "input_added", || {
            let world = built("sh -c 'test -e new; true'", "");
            world.run("build").is("ran");
            world.write("new", "");
            world.run("build")
        };
        MissReason::InputRemoved(_) => a_file_that_was_probed_is_gone, "input_removed", || {
            let world = built("sh -c 'cat in.txt; true'", "");
            world.run("build").is("ran");
            world.remove("in.txt");
            world.run("build")
        };
        MissReason::EnvChanged(_) => another_value, "env_changed", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run_with("build", &[("WORD", "one")]).is("ran");
            world.run_with("build", &[("WORD", "two")])
        };
        MissReason::EnvAdded(_) => a_variable_is_set, "env_added", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run("build").is("ran");
            world.run_with("build", &[("WORD", "two")])
        };
        MissReason::EnvRemoved(_) => a_variable_is_unset, "env_removed", || {
            let world = built("sh -c 'echo $WORD'", "");
            world.run_with("build", &[("WORD", "one")]).is("ran");
            world.run("build")
        };
        MissReason::UntrackedEnvChanged => another_variable_is_untracked, "untracked_env_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "untrackedEnv": ["WORD"]"#);
            world.run("build")
        };
        MissReason::ArgsChanged => more_arguments, "args_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            world.task(&["build", "in.txt"]).done()
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
            world.run("build")
        };
        MissReason::CwdChanged => another_working_directory, "cwd_changed", || {
            let world = built("echo there", "");
            world.write("sub/in.txt", "");
            world.run("build").is("ran");
            configure(&world, "echo there", r#", "cwd": "sub""#);
            world.run("build")
        };
        MissReason::InputConfigChanged => another_input_config, "input_config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "input": ["in.txt"]"#);
            world.run("build")
        };
        MissReason::OutputConfigChanged => another_output_config, "output_config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "output": []"#);
            world.run("build")
        };
        MissReason::ConfigChanged => another_config, "config_changed", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            configure(&world, "cat in.txt", r#", "strictEnv": true"#);
            world.run("build")
        };
        MissReason::DeclarationChanged(_) => an_adapter_says_something_else, "declaration_changed", || {
            let world = World::of(REACT);
            world.run("build").is("ran");
            world.edit("vite.config.js", "plugins:", "build: { outDir: 'out' }, plugins:");
            world.run("build")
        };
        MissReason::OutputChanged(_) => a_person_has_edited_an_output, "output_changed", || {
            let world = built("cp in.txt out.txt", "");
            world.run("build").is("ran");
            world.write("out.txt", "mine\n");
            world.run("build")
        };
        MissReason::EntryDamaged(_) => an_archive_is_damaged, "entry_damaged", || {
            let world = built("cp in.txt out.txt", "");
            world.run("build").is("ran");
            world.remove("out.txt");
            fs::write(&world.archives()[0], "damaged").unwrap();
            world.run("build")
        };
        MissReason::Forced => force, "forced", || {
            let world = built("cat in.txt", "");
            world.run("build").is("ran");
            world.task(&["--force", "build"]).done()
        };
        MissReason::CacheDisabled(_) => a_task_that_is_not_cached, "cache_disabled", || {
            let done = built("cat in.txt", r#", "cache": false"#).task(&["-v", "build"]).done();
            Done { err: format!("miss {}", done.err), ..done }
        };
    }
}

mod refusals {
    use super::*;

    fixtures! {
        Refusal, "not_stored",
        Refusal::ReadWriteOverlap { .. } => a_file_that_was_read_is_changed, "read_write_overlap", || {
            built("sh -c 'cat in.txt; echo more >> in.txt'", "").run("build")
        };
        Refusal::ToolAsked => the_tool_asks_for_it, "tool_asked", || {
            let tell = format!("{} tell disable-cache", env!("CARGO_BIN_EXE_overhear"));
            built(&tell, "").run("build")
        };
        Refusal::TraceIncomplete(_) => a_program_that_cannot_be_traced, "trace_incomplete", || {
            built("cat in.txt", "").run_with("build", &[("OVERHEAR_TRACE", "off")])
        };
        Refusal::IpcFailed(_) => garbage_on_the_channel, "ipc_failed", || {
            let world = built("node garbage.js", "");
            world.write(
                "garbage.js",
                "require('net').connect(process.env.OVERHEAR_IPC + '/socket').on('error', () => {}).end('GET /')",
            );
            world.run("build")
        };
        Refusal::InputChangedDuringRun(_) => somebody_changes_an_input_meanwhile, "input_changed_during_run", || {
            let world = built("sh wait.sh", "");
            world.write("wait.sh", "cat in.txt\necho read\ncat $TMPDIR/go\n");
            let go = world.fifo("go");
            let mut started = world.task(&["build"]).start();
            started.wait_for("read");
            world.write("in.txt", "changed\n");
            fs::write(go, "").unwrap();
            started.done()
        };
        Refusal::WroteOutside(_) => a_write_beside_the_workspace, "wrote_outside", || {
            // A workspace in a temporary folder has only those beside it.
            let outside = std::env::home_dir().unwrap().join(format!("overhear-outside-{}", std::process::id()));
            let world = built(&format!("sh -c 'echo x > {}'", outside.display()), "");
            let done = world.run("build");
            fs::remove_file(outside).unwrap();
            done
        };
        Refusal::OutsideService { .. } => a_daemon_of_this_machine, "outside_service", || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let world = built("node ask.js", "");
            let ask = format!("require('net').connect({port}, '127.0.0.1').on('connect', function () {{ this.destroy() }})");
            world.write("ask.js", &ask);
            world.run("build")
        };
        Refusal::HiddenEnv { .. } => a_variable_that_was_read_from_a_copy, "hidden_env", || {
            let world = built("sh main.sh", "");
            world.write("main.sh", ". ./part.sh\n");
            world.write("part.sh", "echo \"$WORD\"\n");
            world.run_with("build", &[("WORD", "one")])
        };
        Refusal::Detached(_) => a_process_goes_on, "detached", || {
            let world = built("sh leave.sh", "");
            world.write("leave.sh", "setsid cat \"$TMPDIR/end\" </dev/null >/dev/null 2>&1 &\n");
            let end = world.fifo("end");
            let done = world.run("build");
            // It was left alone, and ends now.
            fs::write(end, "").unwrap();
            done
        };
        Refusal::ReadTerminal => the_terminal_is_asked_for, "read_terminal", || {
            built("sh -c 'cat /dev/tty; true'", "").run("build")
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
            done
        };
        Refusal::StoreFailed(_) => the_cache_cannot_be_written, "store_failed", || {
            let world = built("sh -c 'cp in.txt out.txt; rm -rf .overhear/archives; echo x > .overhear/archives'", "");
            world.run("build")
        };
        Refusal::TooLarge(_) => more_is_printed_than_the_cache_takes, "too_large", || {
            built("head -c 34M /dev/urandom", "").run("build")
        };
    }
}

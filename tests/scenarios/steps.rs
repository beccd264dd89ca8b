//! Steps and what decides whether they are kept: unknown scripts, chains, failures, two overhears at
//! once, a person's own files, tools that break the protocol, and a machine without a tracer.

use crate::main_job::REACT;
use crate::tree::assert_same;
use crate::world::{World, read_to_end_of};
use std::fs;
use std::io::Write;

/// Writes its input in capitals to `dist`, and a line to a log that is no output, so that runs can be counted.
const SHOUT: &str = "echo ran >> \"$TMPDIR/runs\"
mkdir -p dist
tr a-z A-Z < word.txt > dist/word.txt
echo done
";

fn runs(world: &World) -> usize {
    fs::read_to_string(world.tmp().join("runs")).unwrap_or_default().lines().count()
}

#[test]
fn an_unknown_script_runs_each_time_and_is_told_how_to_be_cached() {
    let world = World::of_scripts(&[("build", "node build.js")]);
    world.write(
        "build.js",
        "require('fs').writeFileSync('out.txt', require('fs').readFileSync('in.txt', 'utf8') + '!')\n",
    );
    world.write("in.txt", "hello");
    for _ in 0..2 {
        let done = world.run("build");
        done.uncached("default");
        assert!(done.err.contains("no adapter knows this command; `overhear why` says more"), "{done:?}");
    }
    let why = world.overhear(&["why", "build"]).done().out;
    assert!(why.contains(r#""scripts": {"build": {"cache": true}}"#), "{why}");
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    world.run("build").is("ran");
    world.run("build").is("fresh");
    world.remove("out.txt");
    world.run("build").is("restored");
    assert_eq!(world.read("out.txt"), "hello!");
    world.write("in.txt", "bye");
    world.run("build").missed("input_modified", "in.txt");
    assert_eq!(world.read("out.txt"), "bye!");
}

#[test]
fn each_command_of_a_chain_is_cached_by_itself() {
    let world = World::of_cached_scripts(&[("build", "sh one.sh && sh two.sh")]);
    world.write("one.sh", "cat a.txt > one.out\n");
    world.write("two.sh", "cat one.out b.txt > two.out\n");
    world.write("a.txt", "a\n");
    world.write("b.txt", "b\n");
    assert_eq!(world.run("build").statuses(), ["ran", "ran"]);
    assert_eq!(world.run("build").statuses(), ["fresh", "fresh"]);
    world.write("b.txt", "B\n");
    assert_eq!(world.run("build").statuses(), ["fresh", "ran"]);
    assert_eq!(world.read("two.out"), "a\nB\n");
    world.write("a.txt", "A\n");
    assert_eq!(world.run("build").statuses(), ["ran", "ran"]);
    world.write("a.txt", "a\n");
    world.write("b.txt", "b\n");
    assert_eq!(world.run("build").statuses(), ["restored", "restored"]);
    assert_eq!(world.read("two.out"), "a\nb\n");
}

#[test]
fn a_build_in_two_parts_is_cached_in_two_parts() {
    let world = World::of(REACT);
    world.edit(
        "package.json",
        "\"build\": \"vite build\"",
        "\"build\": \"vite build --outDir dist/a && vite build --outDir dist/b\"",
    );
    assert_eq!(world.run("build").statuses(), ["ran", "ran"]);
    let built = world.tree("dist");
    assert_eq!(world.run("build").statuses(), ["fresh", "fresh"]);
    world.remove("dist/b");
    assert_eq!(world.run("build").statuses(), ["fresh", "restored"]);
    assert_same(&world.tree("dist"), &built);
}

#[test]
fn a_failing_command_gives_its_code_and_nothing_is_stored() {
    let world = World::of_cached_scripts(&[
        ("build", "sh -c 'echo half > out.txt; exit 7'"),
        ("chain", "false && touch second"),
    ]);
    for _ in 0..2 {
        let done = world.task(&["build"]).done();
        assert_eq!(done.code, 7, "{done:?}");
        assert_eq!(done.statuses(), ["failed"]);
    }
    let done = world.task(&["chain"]).done();
    assert_eq!((done.code, done.statuses()), (1, vec!["failed", "skipped"]));
    assert!(!world.path("second").exists());
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn of_many_skipped_steps_ten_are_told_and_all_are_counted() {
    let rest: String = (0..15).map(|nth| format!(" && echo {nth}")).collect();
    let world = World::of_cached_scripts(&[("chain", &format!("false{rest}"))]);
    let told = |args: &[&str]| {
        let done = world.task(args).done();
        assert!(done.err.contains("16 steps: 1 failed, 15 skipped"), "{done:?}");
        done.err
            .lines()
            .filter(|line| {
                line.contains("skipped: chain failed") || line.contains("skipped: app#chain failed")
            })
            .count()
    };
    assert_eq!((told(&["chain"]), told(&["--verbose", "chain"])), (10, 15));
}

#[test]
fn a_build_that_fails_is_not_stored_and_the_mended_one_is() {
    let world = World::of(REACT);
    world.edit("src/columns.js", "export const", "export const const");
    let failed = world.task(&["build"]).done();
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("columns.js"), "{failed:?}");
    world.edit("src/columns.js", "export const const", "export const");
    world.run("build").is("ran");
    world.run("build").is("fresh");
}

#[test]
fn of_two_overhears_at_once_one_runs_and_the_other_waits_and_hits() {
    let world = World::of_cached_scripts(&[("build", "sh slow.sh")]);
    // It goes on when the test has written to the FIFO.
    world.write("slow.sh", &format!("echo begun\nread go < \"$TMPDIR/go\"\n{SHOUT}"));
    world.write("word.txt", "word\n");
    let go = world.fifo("go");
    let mut first = world.task(&["build"]).start();
    first.wait_for("begun");
    let second = world.overhear(&["run", "build"]).start();
    second.wait_until_it_sleeps_in(libc::SYS_flock);
    fs::OpenOptions::new().write(true).open(go).unwrap().write_all(b"go\n").unwrap();
    let (first, second) = (first.done(), second.done());
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    first.is("ran");
    assert!(second.err.contains("fresh"), "{second:?}");
    assert_eq!(runs(&world), 1);
}

#[test]
fn a_persons_edit_of_an_output_is_not_overwritten() {
    let world = World::of_cached_scripts(&[("build", "sh gen.sh")]);
    // It writes its file only where there is none.
    world.write(
        "gen.sh",
        "cat word.txt > made.tmp\n[ -e made.txt ] || mv made.tmp made.txt\nrm -f made.tmp\n",
    );
    world.write("word.txt", "word\n");
    world.run("build").is("ran");
    assert_eq!(world.read("made.txt"), "word\n");
    world.write("made.txt", "by hand\n");
    world.run("build");
    assert_eq!(world.read("made.txt"), "by hand\n");
    world.write("word.txt", "other\n");
    world.run("build");
    assert_eq!(world.read("made.txt"), "by hand\n");
    world.write("word.txt", "word\n");
    world.run("build");
    assert_eq!(world.read("made.txt"), "by hand\n");
}

#[test]
fn a_persons_file_beside_dist_stays_and_one_in_dist_is_treated_as_the_build_treats_it() {
    let world = World::of(REACT);
    world.run("build");
    world.write("notes.txt", "mine\n");
    world.write("dist/stray.txt", "mine too\n");
    // vite empties the folder, so running it directly would remove the file as well.
    world.run("build");
    assert_same(&world.tree("dist"), &world.built_directly("vite", &["build"], &[], "dist"));
    assert_eq!(world.read("notes.txt"), "mine\n");
}

#[test]
fn garbage_on_the_ipc_channel_leaves_the_tool_alone_and_the_run_is_not_stored() {
    let world = World::of_cached_scripts(&[("socket", "node socket.js"), ("pipe", "node pipe.js")]);
    world.write(
        "socket.js",
        "const socket = require('net').connect(process.env.OVERHEAR_IPC + '/socket')
socket.on('error', () => {})
socket.end('GET / HTTP/1.1\\r\\n\\r\\n')
require('fs').writeFileSync('out.txt', 'made')
",
    );
    world.write(
        "pipe.js",
        "const fs = require('fs')
const free = process.env.OVERHEAR_IPC + '/free'
fs.writeFileSync(`${free}/${fs.readdirSync(free)[0]}/up`, Buffer.alloc(5000, 0xff))
fs.writeFileSync('out.txt', 'made')
",
    );
    for task in ["socket", "pipe"] {
        let done = world.run(task);
        done.refused("ipc_failed");
        assert_eq!(world.read("out.txt"), "made");
        assert!(done.err.contains("not stored"), "{done:?}");
        world.remove("out.txt");
    }
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn what_vite_says_is_lost_when_something_else_breaks_the_channel() {
    let world = World::of(REACT);
    world.write(
        "vite.config.js",
        "import react from '@vitejs/plugin-react'
import { rmSync } from 'node:fs'
rmSync(process.env.OVERHEAR_IPC + '/sound', { force: true })
export default { plugins: [react()] }
",
    );
    world.run("build").refused("ipc_failed");
    assert_eq!(world.sound_entries(), 0);
}

#[test]
fn without_a_tracer_tasks_run_uncached_and_one_line_says_so() {
    let world = World::of(REACT);
    let direct = world.built_directly("vite", &["build"], &[], "dist");
    for _ in 0..2 {
        let done = world.run_with("build", &[("OVERHEAR_TRACE", "off")]);
        assert_eq!(done.statuses(), ["ran"], "{done:?}");
        let told = done.err.lines().filter(|line| line.contains("OVERHEAR_TRACE")).count();
        assert_eq!(told, 1, "{done:?}");
        assert_same(&world.tree("dist"), &direct);
    }
    assert_eq!(world.sound_entries(), 0);
    // Whoever asked for no cache need not be told that there is none.
    let done = world.overhear(&["run", "--no-cache", "build"]).env("OVERHEAR_TRACE", "off").done();
    assert_eq!(done.code, 0);
    assert!(!done.err.contains("OVERHEAR_TRACE"), "{done:?}");
    // What was stored with a tracer is a hit without one.
    world.run("build").is("ran");
    world.run_with("build", &[("OVERHEAR_TRACE", "off")]).is("fresh");
}

#[test]
fn a_container_without_seccomp_listeners_is_traced_as_a_debugger_does_it() {
    // A filter that refuses new listeners, as sandboxes have it.
    let world = World::of_cached_scripts(&[("build", "sh shout.sh")]);
    world.write("shout.sh", SHOUT);
    for (word, status) in [("one", "ran"), ("one", "fresh"), ("two", "ran")] {
        world.write("word.txt", word);
        let mut invocation = world.task(&["build"]);
        refuse(&mut invocation.command, &[libc::SYS_seccomp]);
        invocation.done().is(status);
        assert_eq!(world.read("dist/word.txt"), word.to_uppercase());
    }
}

#[test]
fn a_container_that_forbids_tracing_runs_the_task_uncached() {
    let world = World::of_cached_scripts(&[("build", "sh shout.sh")]);
    world.write("shout.sh", SHOUT);
    world.write("word.txt", "word\n");
    let mut invocation = world.task(&["build"]);
    refuse(&mut invocation.command, &[libc::SYS_seccomp, libc::SYS_ptrace]);
    let done = invocation.done();
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.statuses(), ["ran"], "{done:?}");
    assert_eq!(world.read("dist/word.txt"), "WORD\n");
    assert!(done.err.contains("trace"), "{done:?}");
    assert_eq!(world.sound_entries(), 0);
}

/// Lets the program start with a filter that answers these calls with an error.
#[allow(unsafe_code, reason = "only what is run between fork and exec")]
fn refuse(command: &mut std::process::Command, calls: &[i64]) {
    use std::os::unix::process::CommandExt;
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let refuse_one = |call: &i64| {
        [
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, *call as u32),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        ]
    };
    let mut filter = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    filter.extend(calls.iter().flat_map(refuse_one));
    filter.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: plain system calls with a filter that outlives them.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: only system calls, nothing is allocated.
    unsafe { command.pre_exec(install) };
}

#[test]
fn a_process_that_goes_on_after_the_command_ended_is_left_alone_and_not_stored() {
    let world = World::of_cached_scripts(&[("build", "sh leave.sh")]);
    world.write("leave.sh", "exec 9>\"$TMPDIR/alive\"\nsetsid sleep 1000 </dev/null >/dev/null 2>&1 &\necho $! > \"$TMPDIR/pid\"\n");
    let ended = read_to_end_of(&world.fifo("alive"));
    let done = world.run("build");
    done.refused("detached");
    let pid = fs::read_to_string(world.tmp().join("pid")).unwrap();
    let status = std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    assert!(status.success(), "it did not go on");
    ended.wait("it to end");
}

#[test]
fn a_command_ends_when_nobody_reads_what_it_prints() {
    let world = World::of_cached_scripts(&[("build", "yes")]);
    let mut overhear = world.overhear(&["run", "build"]).command;
    overhear.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut started = overhear.spawn().unwrap();
    let mut read = [0; 2];
    std::io::Read::read_exact(&mut started.stdout.take().unwrap(), &mut read).unwrap();
    assert_eq!(started.wait().unwrap().code(), Some(128 + libc::SIGPIPE));
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let world = World::of_cached_scripts(&[("build", "echo built")]);
    for words in [&["list"][..], &["run", "build"], &["run", "--dry-run", "build"]] {
        let mut overhear = world.overhear(words).command;
        overhear.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let output = overhear.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("cannot write to standard output: No space left"), "{told}");
    }
}

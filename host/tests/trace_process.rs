//! Running commands: output, ends, errors, signals, what outlives its command, and what happens
//! when overhear itself is killed. Where a second overhear is needed, this test program starts
//! itself again as [`a_runner_that_does_what_its_environment_says`].
#![allow(missing_docs, clippy::unwrap_used, unsafe_code, reason = "a test may fail, and kills")]

use overhear::event::Stream;
use overhear::process::{Ended, Launch, Mode, Running, SpawnError, find_program, run};
use overhear::trace::{Spec, Way};
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn path_value() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())
}

fn shell(script: &str, cwd: &Path) -> Launch {
    Launch {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        cwd: cwd.into(),
        env: vec![("PATH".into(), path_value())],
    }
}

/// Each way of tracing, with what chooses it in the environment.
const WAYS: [(Way, &str); 2] = [(Way::Seccomp, "seccomp"), (Way::Ptrace, "ptrace")];

fn traced_by(way: Way) -> Mode {
    Mode::Traced(Spec::new(path_value(), vec![]).by(way))
}

fn traced() -> Mode {
    Mode::Traced(Spec::new(path_value(), vec![]))
}

/// Left alone but for its output, and traced in each way.
fn modes() -> impl Iterator<Item = Mode> {
    std::iter::once(Mode::Captured).chain(WAYS.into_iter().map(|(way, _)| traced_by(way)))
}

fn run_shell(script: &str, cwd: &Path, mode: Mode) -> (Ended, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = run(&shell(script, cwd), mode, &Running::new(), &mut |stream, bytes| match stream {
        Stream::Out => out.extend_from_slice(bytes),
        Stream::Err => err.extend_from_slice(bytes),
    })
    .unwrap();
    (ended, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::set_permissions(&root, Permissions::from_mode(0o777)).unwrap();
    (folder, root)
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").args(["-m", "666"]).arg(path).status().unwrap().success());
}

#[test]
fn output_and_exit_code_are_those_of_the_command() {
    let (_keep, root) = folder();
    for mode in modes() {
        let (ended, out, err) = run_shell("echo one; echo two >&2; exit 3", &root, mode);
        assert_eq!((ended.exit_code, out.as_str(), err.as_str()), (3, "one\n", "two\n"));
        assert!(!ended.left_running && !ended.interrupted);
    }
    for mode in modes() {
        let (ended, _, _) = run_shell("kill -9 $$", &root, mode);
        assert_eq!((ended.exit_code, ended.signal), (137, Some(9)));
    }
}

#[test]
fn a_large_output_arrives_whole() {
    let (_keep, root) = folder();
    for mode in modes() {
        let (_, out, _) = run_shell("head -c 3000000 /dev/zero | tr '\\0' x", &root, mode);
        assert_eq!(out.len(), 3_000_000);
    }
}

#[test]
fn a_captured_command_has_no_input_and_no_descriptor_of_ours() {
    let (_keep, root) = folder();
    // SAFETY: a descriptor that is open in children on purpose.
    let _leak = unsafe { OwnedFd::from_raw_fd(libc::dup(2)) };
    for (way, _) in WAYS {
        let script = "cat; ls /proc/self/fd; ps -o sid= -p $$; echo $$";
        let (ended, out, _) = run_shell(script, &root, traced_by(way));
        let words: Vec<&str> = out.split_whitespace().collect();
        assert_eq!(&words[..4], ["0", "1", "2", "3"], "3 is the folder that ls lists: {out}");
        assert_eq!(words[4], words[5], "it leads a session of its own");
        assert_eq!(ended.observed.unwrap().incomplete, None);
    }
}

#[test]
fn each_reason_not_to_start_is_named() {
    let (_keep, root) = folder();
    std::fs::write(root.join("plain"), "x").unwrap();
    std::fs::write(root.join("script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(root.join("script"), Permissions::from_mode(0o755)).unwrap();
    let start = |program: &str, cwd: &Path, mode: Mode| {
        let launch = Launch { program: program.into(), args: vec![], cwd: cwd.into(), env: vec![] };
        run(&launch, mode, &Running::new(), &mut |_, _| {}).unwrap_err()
    };
    for mode in modes().chain([Mode::Attached]) {
        assert!(matches!(start("none", &root, mode.clone()), SpawnError::NotFound { .. }));
        assert!(matches!(start("plain", &root, mode.clone()), SpawnError::NotExecutable { .. }));
        assert!(matches!(start("script", &root, mode.clone()), SpawnError::BadInterpreter { .. }));
        assert!(matches!(start("/bin/sh", &root.join("none"), mode), SpawnError::NoCwd { .. }));
    }
}

#[test]
fn programs_are_found_as_a_shell_finds_them() {
    let (_keep, root) = folder();
    std::fs::create_dir(root.join("bin")).unwrap();
    std::fs::write(root.join("bin/it"), "#!/bin/sh\n").unwrap();
    let find = |name: &str| find_program(OsStr::new(name), OsStr::new("/none:bin"), &root);
    assert_eq!(find("it"), None, "not executable");
    std::fs::set_permissions(root.join("bin/it"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(find("it"), Some(root.join("bin/it")));
    assert_eq!(find("bin/it"), Some("bin/it".into()), "as it was written");
    assert_eq!(find("bin"), None);
}

#[test]
fn a_process_that_outlives_its_command_goes_on_undisturbed() {
    let (_keep, root) = folder();
    fifo(&root.join("go"));
    fifo(&root.join("done"));
    std::fs::write(root.join("a"), "content\n").unwrap();
    let script = "(setsid sh -c 'read x <go; echo late; cat a >done' &) ; echo early";
    for mode in modes() {
        let is_traced = matches!(mode, Mode::Traced(_));
        let (ended, out, _) = run_shell(script, &root, mode);
        assert!(ended.left_running);
        assert_eq!(out, "early\n");
        if is_traced {
            let observed = ended.observed.unwrap();
            assert_eq!(observed.detached.as_deref(), Some("sh"));
        }
        std::fs::write(root.join("go"), "now\n").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("done")).unwrap(), "content\n");
    }
}

#[test]
fn the_first_signal_is_passed_on_and_the_second_kills() {
    // Started in the background of a shell, this process ignores interrupts, and so would its children.
    // SAFETY: the default action is no code of ours.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let (_keep, root) = folder();
    let cases = [
        ("echo ready; exec sleep 1000", 1, 130, 2),
        ("trap '' INT; echo ready; while :; do sleep 1000; done", 2, 137, 9),
    ];
    for ((script, times, code, signal), (way, _)) in
        cases.into_iter().flat_map(|case| WAYS.map(|way| (case, way)))
    {
        let running = Running::new();
        let stopper = running.clone();
        let ended = run(&shell(script, &root), traced_by(way), &running, &mut |_, _| {
            for _ in 0..times {
                stopper.stop(libc::SIGINT, false);
            }
        })
        .unwrap();
        assert_eq!((ended.exit_code, ended.signal), (code, Some(signal)));
        assert!(ended.interrupted);
        let again = run(&shell("true", &root), Mode::Captured, &running, &mut |_, _| {});
        assert!(matches!(again, Err(SpawnError::Interrupted)));
    }
}

#[test]
fn many_commands_at_once_do_not_mix() {
    let (_keep, root) = folder();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let root = &root;
            scope.spawn(move || {
                let way = WAYS[number % 2].0;
                let script = format!("echo {number} >f{number}; cat f{number}");
                let (ended, out, _) = run_shell(&script, root, traced_by(way));
                assert_eq!(out, format!("{number}\n"));
                let observed = ended.observed.unwrap();
                assert_eq!(observed.incomplete, None);
                let ours: Vec<_> = observed.paths.keys().filter(|path| path.starts_with(root)).collect();
                assert!(observed.seen(&root.join(format!("f{number}"))).unwrap().change_is_blind);
                assert!(ours.len() <= 2, "{ours:?}");
            });
        }
    });
}

#[test]
fn an_interrupted_command_leaves_nothing_running() {
    let (_keep, root) = folder();
    for (way, _) in WAYS {
        let running = Running::new();
        let stopper = running.clone();
        let script = "setsid sh -c 'trap \"\" TERM; echo $$; exec >&-; while :; do test -e x; done' & wait";
        let mut pid = String::new();
        let ended = run(&shell(script, &root), traced_by(way), &running, &mut |_, bytes| {
            pid.push_str(std::str::from_utf8(bytes).unwrap());
            stopper.stop(libc::SIGTERM, false);
        })
        .unwrap();
        assert_eq!(ended.exit_code, 143);
        wait_for_end(pid.trim().parse().unwrap());
    }
}

/// Does nothing by itself: see the head of this file.
#[test]
fn a_runner_that_does_what_its_environment_says() {
    let Some(script) = std::env::var_os("RUNNER_SCRIPT") else { return };
    let cwd = PathBuf::from(std::env::var_os("RUNNER_CWD").unwrap());
    let running = Running::new();
    running.watch_signals(|_, _| {}).unwrap();
    let launch = shell(script.to_str().unwrap(), &cwd);
    let ended = run(&launch, traced(), &running, &mut |_, _| {}).unwrap();
    let observed = ended.observed.unwrap();
    let paths: Vec<_> = observed.paths.keys().filter_map(|path| path.strip_prefix(&cwd).ok()).collect();
    let text = format!("{}\n{:?}\n{paths:?}\n", ended.exit_code, observed.incomplete);
    overhear::trace::guard::stop();
    // SAFETY: asks whether any child is left.
    let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    assert_eq!(left, -1, "a child is left");
    std::fs::write(cwd.join("report"), text).unwrap();
}

fn runner(script: &str, cwd: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_runner_that_does_what_its_environment_says"]);
    command.env("RUNNER_SCRIPT", script).env("RUNNER_CWD", cwd).stdout(Stdio::null());
    command
}

fn report(cwd: &Path) -> (String, String, String) {
    let text = std::fs::read_to_string(cwd.join("report")).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap())
}

/// Waits until a process is gone, however long it takes.
fn wait_for_end(pid: i32) {
    // SAFETY: a number in, a descriptor out; one entry is polled.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32;
        if fd >= 0 {
            let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            assert_eq!(libc::poll(&raw mut polled, 1, 30_000), 1, "process {pid} still runs");
            libc::close(fd);
        }
    }
}

#[test]
fn when_overhear_is_killed_its_trees_end() {
    for (_, way) in WAYS {
        kill_overhear(way);
    }
}

fn kill_overhear(way: &str) {
    let (_keep, root) = folder();
    fifo(&root.join("pids"));
    // One that stays in the session, one in a session of its own that keeps asking for paths.
    let script = "sh -c 'echo $$ >pids; while :; do sleep 1000; done' & \
        setsid sh -c 'echo $$ >pids; while :; do test -e x; done' & wait";
    let mut overhear = runner(script, &root).env("OVERHEAR_TRACE", way).spawn().unwrap();
    let mut pids = Vec::new();
    while pids.len() < 2 {
        for line in BufReader::new(std::fs::File::open(root.join("pids")).unwrap()).lines() {
            pids.push(line.unwrap().parse::<i32>().unwrap());
        }
    }
    overhear.kill().unwrap();
    overhear.wait().unwrap();
    for pid in pids {
        wait_for_end(pid);
    }
    assert!(!root.join("report").exists());
}

#[test]
fn a_terminal_signal_to_overhear_ends_the_step_with_its_code() {
    for (_, way) in WAYS {
        let (_keep, root) = folder();
        fifo(&root.join("ready"));
        let mut overhear =
            runner("echo >ready; sleep 1000", &root).env("OVERHEAR_TRACE", way).spawn().unwrap();
        std::fs::File::open(root.join("ready")).unwrap().read_to_end(&mut Vec::new()).unwrap();
        // SAFETY: our own child, not waited for yet.
        unsafe { libc::kill(overhear.id() as i32, libc::SIGTERM) };
        overhear.wait().unwrap();
        assert_eq!(report(&root).0, "143");
    }
}

#[test]
fn tracing_can_be_turned_off_and_the_command_still_runs() {
    let (_keep, root) = folder();
    assert!(runner("exit 7", &root).env("OVERHEAR_TRACE", "off").status().unwrap().success());
    let (code, incomplete, _) = report(&root);
    assert_eq!(code, "7");
    assert!(incomplete.contains("OVERHEAR_TRACE"), "{incomplete}");
}

#[test]
fn inside_another_trace_the_command_runs_and_is_incomplete_and_the_outer_trace_sees_what_it_does() {
    let (_keep, root) = folder();
    std::fs::create_dir(root.join("inner")).unwrap();
    std::fs::write(root.join("inner/a"), "x").unwrap();
    let inner = format!(
        "RUNNER_SCRIPT='cat a >b; test -e none; exit 5' RUNNER_CWD={} {} --exact a_runner_that_does_what_its_environment_says",
        root.join("inner").display(),
        std::env::current_exe().unwrap().display()
    );
    let (ended, out, _) = run_shell(&inner, &root, traced());
    assert_eq!(ended.exit_code, 0, "{out}");
    let (code, incomplete, _) = report(&root.join("inner"));
    assert_eq!(code, "5");
    assert!(incomplete.contains("already listens"), "{incomplete}");
    let outer = ended.observed.unwrap();
    assert_eq!(outer.incomplete, None);
    let seen = |name: &str| outer.seen(&root.join("inner").join(name)).unwrap();
    assert!(seen("a").read.is_some() && seen("b").change.is_some());
    assert!(seen("none").stat.is_some() || seen("none").kind.is_some());
}

/// Stopped by a signal and continued, as a shell does with its jobs; a thread that is not the first executes
/// another program; the signals that are sent arrive, each once.
#[test]
fn stops_and_signals_reach_programs_as_if_nobody_traced_them() {
    let (_keep, root) = folder();
    compile(&root, "jobs", JOBS);
    std::fs::write(root.join("a"), "content").unwrap();
    for mode in modes() {
        let is_traced = matches!(mode, Mode::Traced(_));
        let (ended, out, err) = run_shell("./jobs", &root, mode);
        assert_eq!((ended.exit_code, out.as_str(), err.as_str()), (0, "stopped continued 100 content", ""));
        if is_traced {
            let observed = ended.observed.unwrap();
            assert_eq!(observed.incomplete, None);
            assert!(observed.seen(&root.join("a")).unwrap().read.is_some());
        }
    }
}

const JOBS: &str = include_str!("programs/jobs.c");

/// Where another program listens to its system calls already, a step is traced as by a debugger, and kept.
#[test]
fn under_a_foreign_listener_a_step_is_traced_as_by_a_debugger() {
    let (_keep, root) = folder();
    compile(&root, "listener", LISTENER);
    std::fs::write(root.join("a"), "x").unwrap();
    let runner = runner("cat a >b; test -e none; echo y | cat", &root);
    let mut listened = Command::new(root.join("listener"));
    listened.arg(runner.get_program()).args(runner.get_args()).stdout(Stdio::null());
    for (name, value) in runner.get_envs() {
        listened.env(name, value.unwrap());
    }
    listened.env_remove("OVERHEAR_TRACE").env_remove("OVERHEAR");
    assert!(listened.status().unwrap().success());
    let (code, incomplete, paths) = report(&root);
    assert_eq!((code.as_str(), incomplete.as_str()), ("0", "None"));
    for path in ["\"a\"", "\"b\"", "\"none\""] {
        assert!(paths.contains(path), "{path} of {paths}");
    }
    listened.env("OVERHEAR", "1");
    assert!(listened.status().unwrap().success());
    let (_, incomplete, _) = report(&root);
    assert!(incomplete.contains("already listens"), "inside another overhear's step: {incomplete}");
}

/// Listens to the opening of files by the program that it starts, and lets each go on.
const LISTENER: &str = include_str!("programs/listener.c");

/// A process can have one tracer only: a debugger in a step works, and the step is not kept.
#[test]
fn a_debugger_in_a_step_works_and_the_trace_by_ptrace_is_incomplete() {
    let (_keep, root) = folder();
    compile(&root, "debugger", DEBUGGER);
    for how in ["me", "seize"] {
        for mode in modes() {
            let is_stepped = matches!(&mode, Mode::Traced(spec) if spec.way == Way::Ptrace);
            let (ended, out, _) =
                run_shell(&format!("./debugger {how}; echo $?; cat debugger.c | wc -l"), &root, mode);
            let lines = DEBUGGER.lines().count();
            assert_eq!((ended.exit_code, out), (0, format!("stopped\n0\n{lines}\n")), "{how}");
            let incomplete = ended.observed.and_then(|observed| observed.incomplete);
            let says = incomplete.as_ref().is_some_and(|why| why.contains("ptrace"));
            assert_eq!(says, is_stepped, "{incomplete:?}");
        }
    }
}

/// Traces a child of its own up to its first stop.
const DEBUGGER: &str = include_str!("programs/debugger.c");

/// A program in C, beside its source.
fn compile(root: &Path, name: &str, text: &str) {
    let source = root.join(name).with_extension("c");
    std::fs::write(&source, text).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-pthread", "-w"]).arg(&source).arg("-o").arg(root.join(name));
    assert!(gcc.status().expect("gcc is needed for the tests").success());
}

/// By another process: one that is forked by another test meanwhile would inherit a descriptor for
/// writing, and the kernel executes nothing that is open for writing.
fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn an_ordinary_user_is_traced_too_and_unreadable_programs_are_incomplete() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        // Every other test then runs as an ordinary user anyway.
        return;
    }
    for (_, way) in WAYS {
        check_as_user(way);
    }
}

fn check_as_user(way: &str) {
    let as_user = |script: &str, root: &Path| {
        let program = root.join("runner");
        if !program.exists() {
            copy_program(&std::env::current_exe().unwrap(), &program);
        }
        let mut copy = Command::new(&program);
        copy.args(["--exact", "a_runner_that_does_what_its_environment_says"]).stdout(Stdio::null());
        copy.env("RUNNER_SCRIPT", script).env("RUNNER_CWD", root).env("PATH", "/usr/bin:/bin");
        copy.uid(65534).gid(65534).current_dir(root).env("OVERHEAR_TRACE", way);
        assert!(copy.status().unwrap().success());
        report(root)
    };
    let (_keep, root) = folder();
    let mut file = std::fs::File::create(root.join("a")).unwrap();
    file.write_all(b"x").unwrap();
    let (code, incomplete, paths) = as_user(
        "cat a >b; mkdir c; grep -iE 'nonewprivs|tracerpid' /proc/self/status | grep -q '[1-9]'",
        &root,
    );
    assert_eq!((code.as_str(), incomplete.as_str()), ("0", "None"), "{paths}");
    for path in ["\"a\"", "\"b\"", "\"c\""] {
        assert!(paths.contains(path), "{path} of {paths}");
    }
    copy_program(Path::new("/bin/cat"), &root.join("hidden"));
    std::fs::set_permissions(root.join("hidden"), Permissions::from_mode(0o111)).unwrap();
    let (code, incomplete, _) = as_user("./hidden a", &root);
    assert_eq!(code, "0");
    assert!(incomplete.contains("hidden"), "{incomplete}");
    let source = root.join("closed.c");
    std::fs::write(
        &source,
        "#include <stdio.h>\n#include <sys/prctl.h>\n\
         int main(void) { return prctl(PR_SET_DUMPABLE, 0) || !fopen(\"a\", \"r\"); }\n",
    )
    .unwrap();
    assert!(Command::new("gcc").arg(&source).arg("-o").arg(root.join("closed")).status().unwrap().success());
    let (code, incomplete, _) = as_user("./closed", &root);
    assert_eq!(code, "0");
    assert!(incomplete.contains("closed"), "{incomplete}");
    let (_, incomplete, _) = as_user("test -u /usr/bin/passwd && /usr/bin/passwd --help >/dev/null", &root);
    assert!(!Path::new("/usr/bin/passwd").exists() || incomplete.contains("passwd"), "{incomplete}");
}

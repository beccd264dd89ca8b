//! Clients that are not node, clients that break, and clients that lie.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use overhear::hint::{EnvSelect, Hint};
use overhear::ipc::{Server, ServerSpec};
use overhear_client::protocol::{Message, VERSION};
use overhear_client::{Client, ClientError, Select};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn server() -> Server {
    let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("AB".to_owned(), "2".to_owned())]);
    Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap()
}

fn folder(server: &Server) -> PathBuf {
    server.own_paths().remove(0)
}

fn frame(message: Message<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    message.encode(&mut frame);
    frame
}

fn greeting() -> Vec<u8> {
    frame(Message::Hello { version: VERSION })
}

/// Takes a pair of FIFOs, as node does; gives what it writes to, and what it reads from.
fn take_pair(folder: &Path) -> (File, File) {
    let name = fs::read_dir(folder.join("free")).unwrap().next().unwrap().unwrap().file_name();
    let used = folder.join("used").join(&name);
    fs::rename(folder.join("free").join(name), &used).unwrap();
    let up = OpenOptions::new().write(true).open(used.join("up")).unwrap();
    (up, File::open(used.join("down")).unwrap())
}

#[test]
fn the_rust_client_says_and_asks_everything() {
    let server = server();
    let mut client = Client::connect(&folder(&server)).unwrap();
    client.ignore_input(Path::new("dist")).unwrap();
    client.ignore_output(Path::new("/nowhere/x")).unwrap();
    client.disable_cache().unwrap();
    assert_eq!(client.get_env("A", true).unwrap(), Some("1".to_owned()));
    assert_eq!(client.get_env("NONE", false).unwrap(), None);
    assert_eq!(
        client.get_envs(Select::Glob("?B"), true).unwrap(),
        BTreeMap::from([("AB".into(), "2".into())])
    );
    assert_eq!(client.get_envs(Select::Prefix(""), false).unwrap().len(), 2);
    let cwd = fs::canonicalize(".").unwrap();
    assert_eq!(
        server.finish(&|_| false).unwrap(),
        [
            Hint::IgnoreInput(cwd.join("dist")),
            Hint::IgnoreOutput("/nowhere/x".into()),
            Hint::DisableCache,
            Hint::GetEnv { name: "A".into(), tracked: true },
            Hint::GetEnv { name: "NONE".into(), tracked: false },
            Hint::GetEnvs { select: EnvSelect::Glob("?B".into()), tracked: true },
            Hint::GetEnvs { select: EnvSelect::Prefix(String::new()), tracked: false },
        ]
    );
}

#[test]
fn a_client_of_a_server_that_is_gone_gets_an_error_and_not_a_signal() {
    let server = server();
    let path = folder(&server);
    let mut client = Client::connect(&path).unwrap();
    server.finish(&|_| false).unwrap();
    assert!(client.get_env("A", true).is_err());
    assert!(Client::connect(&path).is_err());
}

#[test]
fn what_was_written_before_the_end_counts_although_nobody_had_read_it() {
    // Many, so that some are certainly still waiting to be taken when the server is told to end.
    let server = server();
    let path = folder(&server);
    for n in 0..100 {
        let mut stream = UnixStream::connect(path.join("socket")).unwrap();
        let message = frame(Message::IgnoreInput { path: format!("/s{n}").as_bytes() });
        stream.write_all(&[greeting(), message].concat()).unwrap();
    }
    let (mut up, _down) = take_pair(&path);
    up.write_all(&[greeting(), frame(Message::DisableCache)].concat()).unwrap();
    assert_eq!(server.finish(&|_| false).unwrap().len(), 101);
}

#[test]
fn garbage_fails_the_run_and_nothing_else() {
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n", "announced"),
        (&[8, 0, 0, 0, 1, 0, b'H', b'T', b'T', b'P', 1, 0], "greeting"),
        (&[2, 0, 0, 0, 4, 0], "greeting"),
        (&[0, 0, 0, 0], "greeting"),
        (&[8, 0, 0, 0, 1, 0, b'O', b'V', b'H', b'R', 0xff, 0xff], "version 65535"),
    ];
    for (garbage, cause) in cases {
        for socket in [true, false] {
            let server = server();
            let mut good = Client::connect(&folder(&server)).unwrap();
            let mut reply = Vec::new();
            if socket {
                let mut bad = UnixStream::connect(folder(&server).join("socket")).unwrap();
                bad.write_all(garbage).unwrap();
                // The server hangs up, so whoever waits for a reply does not wait for ever.
                let _ = bad.read_to_end(&mut reply);
            } else {
                let (mut up, mut down) = take_pair(&folder(&server));
                up.write_all(garbage).unwrap();
                down.read_to_end(&mut reply).unwrap();
            }
            assert!(reply.is_empty());
            assert_eq!(good.get_env("A", true).unwrap(), Some("1".to_owned()), "others are undisturbed");
            let error = server.finish(&|_| false).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
    }
}

#[test]
fn garbage_into_a_channel_that_nobody_took_fails_the_run() {
    let server = server();
    let free = fs::read_dir(folder(&server).join("free")).unwrap().next().unwrap().unwrap().path();
    fs::write(free.join("up"), "garbage").unwrap();
    server.finish(&|_| false).unwrap_err();
}

#[test]
fn messages_that_are_malformed_or_not_known_fail_the_run_and_the_rest_is_answered() {
    let unknown = Message::Unknown { kind: 0x55, ignorable: false, reply: false };
    for bad in
        [frame(unknown), frame(Message::IgnoreInput { path: b"relative" }), greeting(), vec![1, 0, 0, 0, 4]]
    {
        let server = server();
        let mut stream = UnixStream::connect(folder(&server).join("socket")).unwrap();
        let ask = frame(Message::GetEnv { name: "A", tracked: true, reply: true });
        stream.write_all(&[greeting(), bad, ask].concat()).unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, [3, 0, 0, 0, 0x82, 0, b'1']);
        server.finish(&|_| false).unwrap_err();
    }
}

#[test]
fn a_message_that_may_be_skipped_is_skipped() {
    let server = server();
    let mut stream = UnixStream::connect(folder(&server).join("socket")).unwrap();
    let later = frame(Message::Unknown { kind: 0x55, ignorable: true, reply: false });
    stream.write_all(&[greeting(), later, frame(Message::DisableCache)].concat()).unwrap();
    assert_eq!(server.finish(&|_| false).unwrap(), [Hint::DisableCache]);
}

#[test]
fn half_a_message_of_a_client_that_was_killed_fails_the_run() {
    let half = r"'\010\0\0\0\001\0OVHR\001\0\062\0\0\0\002\0/half'";
    let fifo = format!("set -- free/*; mv $1 used/x && exec 3>used/x/up && printf {half} >&3 && kill -9 $$");
    let python = "import os,signal,socket; s = socket.socket(socket.AF_UNIX); s.connect('socket')
s.sendall(b'\\x08\\0\\0\\0\\1\\0OVHR\\1\\0\\x32\\0\\0\\0\\2\\0/half'); os.kill(os.getpid(), signal.SIGKILL)";
    for (program, script) in [("sh", fifo.as_str()), ("python3", python)] {
        let server = server();
        let status =
            Command::new(program).args(["-c", script]).current_dir(folder(&server)).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{program}");
        assert!(server.finish(&|_| false).is_err(), "{program}");
    }
}

#[test]
fn a_client_that_asks_and_never_listens_does_not_hold_up_the_end() {
    let server = server();
    let mut stream = UnixStream::connect(folder(&server).join("socket")).unwrap();
    stream.write_all(&greeting()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let ask = frame(Message::GetEnvs { select: Select::Prefix(""), tracked: true, reply: true });
    // Until neither end takes more: the server waits to reply, and has stopped to read.
    let mut full = 0;
    while full < 1000 {
        match stream.write(&ask) {
            Ok(_) => full = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => full += 1,
            Err(error) => panic!("{error}"),
        }
        std::thread::yield_now();
    }
    // The last question may have been cut; that the server ends is what counts.
    let _ = server.finish(&|_| false);
}

#[test]
fn a_loss_that_a_client_reports_fails_the_run() {
    let server = server();
    fs::remove_file(folder(&server).join("sound")).unwrap();
    assert!(server.finish(&|_| false).unwrap_err().contains("could not deliver"));
}

#[test]
fn channels_of_clients_that_have_ended_are_given_back() {
    let server = server();
    // Other tests have descriptors too.
    let own = folder(&server);
    let descriptors = || {
        let open = fs::read_dir("/proc/self/fd").unwrap();
        open.filter(|fd| fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|to| to.starts_with(&own)))
            .count()
    };
    for n in 0..300 {
        let (mut up, down) = loop {
            // The pool is filled again when the door is knocked at.
            fs::OpenOptions::new()
                .write(true)
                .open(folder(&server).join("door"))
                .unwrap()
                .write_all(b"k")
                .unwrap();
            if fs::read_dir(folder(&server).join("free")).unwrap().next().is_some() {
                break take_pair(&folder(&server));
            }
        };
        let path = format!("/{n}");
        up.write_all(&[greeting(), frame(Message::IgnoreInput { path: path.as_bytes() })].concat()).unwrap();
        drop((up, down));
    }
    // The server sees the end of a client a little later than the client.
    let begin = Instant::now();
    while descriptors() > 60 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{} descriptors are open", descriptors());
        std::thread::yield_now();
    }
    assert_eq!(server.finish(&|_| false).unwrap().len(), 300);
}

#[test]
fn who_comes_and_goes_without_a_word_fails_the_run() {
    let server_of = |come: &dyn Fn(&Path)| {
        let server = server();
        come(&folder(&server));
        server.finish(&|_| false)
    };
    let error = server_of(&|folder| drop(UnixStream::connect(folder.join("socket")).unwrap())).unwrap_err();
    assert!(error.contains("before it had said anything"), "{error}");
    // One that was killed when it had taken a pair, and one that was when it had opened it.
    let error = server_of(&|folder| {
        let name = fs::read_dir(folder.join("free")).unwrap().next().unwrap().unwrap().file_name();
        fs::rename(folder.join("free").join(&name), folder.join("used").join(name)).unwrap();
    });
    assert!(error.unwrap_err().contains("before it had said anything"));
    let error = server_of(&|folder| drop(take_pair(folder)));
    assert!(error.unwrap_err().contains("before it had said anything"));
    // One that greeted had nothing to say.
    let greeted = |folder: &Path| drop(Client::connect(folder).unwrap());
    assert_eq!(server_of(&greeted), Ok(Vec::new()));
}

#[test]
fn a_message_that_is_too_long_is_not_sent_half() {
    let server = server();
    let mut client = Client::connect(&folder(&server)).unwrap();
    let long = "/x".repeat(1 << 20);
    assert!(matches!(client.ignore_input(Path::new(&long)), Err(ClientError::Long { .. })));
    client.disable_cache().unwrap();
    assert!(server.finish(&|_| false).unwrap_err().contains("could not deliver"));
}

#[test]
fn a_message_longer_than_a_pipe_takes_at_once_arrives_whole() {
    // From eight threads of node and from a socket at the same time, each message 300 KiB.
    let server = server();
    let script = "const {Worker} = require('worker_threads');
        const say = \"const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load(); const n = require('worker_threads').workerData;\"
            + \"for (let i = 0; i < 8; i++) c.ignoreInput('/' + String(n) + i + 'x'.repeat(300000));\";
        for (let n = 0; n < 8; n++) new Worker(say, {eval: true, workerData: n});";
    let mut node = Command::new("node").args(["-e", script]).envs(server.child_env()).spawn().unwrap();
    let mut client = Client::connect(&folder(&server)).unwrap();
    for n in 0..8 {
        client.ignore_input(Path::new(&format!("/s{n}{}", "x".repeat(300_000)))).unwrap();
    }
    assert!(node.wait().unwrap().success());
    let hints = server.finish(&|_| false).unwrap();
    assert_eq!(hints.len(), 72);
    for hint in hints {
        let Hint::IgnoreInput(path) = hint else { panic!("{hint:?}") };
        let path = path.to_str().unwrap();
        assert!(path.len() == 300_003 && path[3..].bytes().all(|byte| byte == b'x'), "{}", &path[..10]);
    }
}

/// Whatever a client had been told that it said, by the return of its call, is there in the end or the run
/// fails, wherever the client is killed.
#[test]
fn nothing_that_was_said_is_lost_wherever_a_client_is_killed() {
    let node = "const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load();
        for (let i = 0; ; i++) { c.ignoreInput('/' + 'x'.repeat(i % 3 ? 10 : 9000) + i); require('fs').writeSync(1, i + '\\n'); }";
    let worker = "const {Worker} = require('worker_threads');
        const say = \"const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load();\"
            + \"for (let i = 0; ; i++) { c.ignoreInput('/' + 'x'.repeat(i % 3 ? 10 : 9000) + i); require('fs').writeSync(1, i + '\\\\n'); }\";
        const worker = new Worker(say, {eval: true});
        process.stdin.once('data', () => worker.terminate().then(() => process.exit(0)));";
    for round in 0..24_usize {
        let (script, terminates) = if round % 2 == 0 { (node, false) } else { (worker, true) };
        let server = server();
        let mut child = Command::new("node");
        child.args(["-e", script]).envs(server.child_env());
        let mut child =
            child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        // After another number of messages each time, so somewhere in the next ones.
        let mut said = usize::MAX;
        for _ in 0..=round * 37 {
            said = lines.next().unwrap().unwrap().parse().unwrap();
        }
        if terminates {
            child.stdin.take().unwrap().write_all(b"end").unwrap();
        } else {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            // The last line may be half a number.
            said = line.parse().ok().filter(|next| *next == said + 1).unwrap_or(said);
        }
        if let Ok(hints) = server.finish(&|_| false) {
            assert!(hints.len() > said, "round {round}: {} of {}", hints.len(), said + 1);
        }
    }
}

#[test]
fn a_process_that_is_forked_off_speaks_for_itself() {
    // As Python's pools of processes do it, without exec.
    let script = format!(
        "{}
o = Overhear(); o.ignore_input('/parent')
children = []
for n in range(8):
    pid = os.fork()
    if pid == 0:
        for i in range(200):
            o.ignore_input('/child' + str(n) + 'x' * 3000)
            assert o.get_env('A') == '1'
        os._exit(0)
    children.append(pid)
for i in range(200):
    assert o.get_env('AB') == '2'
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0",
        block("python")
    );
    let server = server();
    let status = Command::new("python3").args(["-c", &script]).envs(server.child_env()).status().unwrap();
    assert!(status.success());
    assert_eq!(server.finish(&|_| false).unwrap().len(), 1 + 8 + 2);
}

#[test]
fn what_was_said_right_before_the_end_of_a_process_counts() {
    let server = server();
    let script =
        "const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load(); c.disableCache(); process.exit(0)";
    for script in [
        script,
        &script.replace("exit(0)", "kill(process.pid, 'SIGKILL')"),
        &script.replace("process.exit(0)", "process.abort()"),
    ] {
        Command::new("sh")
            .args(["-c", "ulimit -c 0; node -e \"$1\" 2>/dev/null", "sh", script])
            .envs(server.child_env())
            .status()
            .unwrap();
    }
    assert_eq!(server.finish(&|_| false).unwrap(), [Hint::DisableCache]);
}

/// An example of the documentation, by its language.
fn block(language: &str) -> &'static str {
    let document = include_str!("../../docs/protocol.md");
    document.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next().unwrap()
}

/// What each client of the documentation must have said, in this order.
fn all_was_said(server: Server) {
    assert_eq!(
        server.finish(&|_| false).unwrap(),
        [
            Hint::IgnoreInput(fs::canonicalize(".").unwrap().join("in")),
            Hint::IgnoreOutput(overhear::path::from_bytes(b"/out\xff".to_vec())),
            Hint::DisableCache,
            Hint::GetEnv { name: "A".into(), tracked: true },
            Hint::GetEnv { name: "NONE".into(), tracked: false },
            Hint::GetEnvs { select: EnvSelect::Prefix("AB".into()), tracked: true },
        ]
    );
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_python_client_of_the_documentation_works() {
    let script = format!(
        "{}
o = Overhear()
o.ignore_input('in'); o.ignore_output(b'/out\\xff'); o.disable_cache()
print(o.get_env('A'), o.get_env('NONE', tracked=False), o.get_envs('AB'))",
        block("python")
    );
    let run = |script: &str, env: Vec<(std::ffi::OsString, std::ffi::OsString)>| {
        let mut python = Command::new("python3");
        python.args(["-c", script]).env_remove("OVERHEAR_IPC").envs(env);
        printed(python)
    };
    let server = server();
    let env = server.child_env();
    assert_eq!(run(&script, env.clone()).trim(), "1 None {'AB': '2'}");
    all_was_said(server);
    assert_eq!(run(&script, env).trim(), "None None {}", "the server is gone");
    assert_eq!(run(&script, Vec::new()).trim(), "None None {}");

    // Where a relative path means nothing, the tool is not disturbed.
    let server = self::server();
    let gone = script.replace(
        "o = Overhear()",
        "import tempfile\no = Overhear(); d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    );
    run(&gone, server.child_env());
    assert!(server.finish(&|_| false).unwrap_err().contains("could not deliver"));
}

#[test]
fn the_go_client_of_the_documentation_works() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("go").is_file()) {
        skip("go");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = format!(
        "package main

import (\"encoding/binary\"; \"fmt\"; \"io\"; \"net\"; \"os\"; \"strings\"; \"sync\")

{}
func main() {{
	o := NewOverhear()
	o.IgnoreInput(\"in\"); o.IgnoreOutput(\"/out\\xff\"); o.DisableCache()
	a, isSet := o.GetEnv(\"A\", true)
	_, isNone := o.GetEnv(\"NONE\", false)
	fmt.Println(a, isSet, isNone, o.GetEnvs(\"AB\", true))
}}
",
        block("go")
    );
    fs::write(folder.path().join("main.go"), program).unwrap();
    let built = folder.path().join("client");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&built).arg("main.go").current_dir(folder.path());
    go.env("GOFLAGS", "-mod=mod").env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
    printed(go);
    let run = |env: Vec<(std::ffi::OsString, std::ffi::OsString)>| {
        let mut client = Command::new(&built);
        client.env_remove("OVERHEAR_IPC").envs(env);
        printed(client)
    };
    let server = server();
    let env = server.child_env();
    assert_eq!(run(env.clone()).trim(), "1 true false map[AB:2]");
    all_was_said(server);
    assert_eq!(run(env).trim(), "false false map[]", "the server is gone");
    assert_eq!(run(Vec::new()).trim(), "false false map[]");
}

#[test]
fn the_lines_for_a_shell_in_the_documentation_work() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("set -eu; WATCH=1\n{}\necho \"$url\"; cat flags.txt", block("sh"));
    let ours = Path::new(env!("CARGO_BIN_EXE_overhear")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let run = |env: Vec<(std::ffi::OsString, std::ffi::OsString)>| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(folder.path()).env_remove("OVERHEAR_IPC").env("PATH", &path);
        shell.envs(env);
        printed(shell)
    };
    let env = BTreeMap::from([("API_URL", "a"), ("FLAG_X", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    let server = Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap();
    assert_eq!(run(server.child_env()), "a\nFLAG_X=1\n");
    let own = fs::canonicalize(folder.path()).unwrap().join(".cache/mytool");
    assert_eq!(
        server.finish(&|_| false).unwrap(),
        [
            Hint::IgnoreInput(own.clone()),
            Hint::IgnoreOutput(own),
            Hint::GetEnv { name: "API_URL".into(), tracked: true },
            Hint::GetEnvs { select: EnvSelect::Prefix("FLAG_".into()), tracked: true },
            Hint::DisableCache,
        ]
    );
    let direct = run(vec![("API_URL".into(), "b".into())]);
    assert_eq!(direct, "b\n");
}

/// Says that a test was skipped, where `tests/run.sh` counts it; where `CI` is set that is an error.
fn skip(needs: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(std::env::var_os("CI").is_none(), "{test} needs {needs}");
    eprintln!("skipped: {test} needs {needs}");
    if let Some(list) = std::env::var_os("OVERHEAR_TESTS_SKIPPED") {
        let mut list = OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{test} needs {needs}").unwrap();
    }
}

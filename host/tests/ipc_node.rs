//! Real node processes, through the file that tools load, against a real server.

#![allow(clippy::unwrap_used, missing_docs)]

use overhear::hint::{EnvSelect, Hint};
use overhear::ipc::{Server, ServerSpec};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

/// Begins each script: `c` is what a tool gets.
const LOAD: &str = "const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load();";

fn server() -> Server {
    let env = [("NODE_ENV", "test"), ("VITE_A", "1"), ("VITE_B", "é"), ("__proto__", "p"), ("EMPTY", "")];
    let env: BTreeMap<String, String> = env.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap()
}

fn command(server: &Server, cwd: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(args).current_dir(cwd).envs(server.child_env()).env_remove("NODE_ENV");
    command
}

fn output(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{status} {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Runs a script in a folder of its own; gives what it printed, and its folder.
fn run(server: &Server, script: &str) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{LOAD}{script}");
    let printed = output(command(server, folder.path(), &["-e", &script]));
    (printed, folder)
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap()
}

fn tracked(name: &str) -> Hint {
    Hint::GetEnv { name: name.into(), tracked: true }
}

fn private_folder(server: &Server) -> PathBuf {
    server.own_paths().remove(0)
}

#[test]
fn each_method_is_heard_and_answered() {
    let server = server();
    let (printed, folder) = run(
        &server,
        "console.log(JSON.stringify([c.getEnv('NODE_ENV'), c.getEnv('NONE'), c.getEnv('EMPTY', {tracked: false}),
            c.getEnvs('VITE_*'), c.getEnvs({prefix: 'VITE_'}, {tracked: true}), c.getEnvs('Z*', {}),
            c.ignoreInput('dist'), c.ignoreOutput('/x/../y'), c.disableCache()]));",
    );
    let vite = r#"{"VITE_A":"1","VITE_B":"é"}"#;
    assert_eq!(printed.trim(), format!(r#"["test",null,"",{vite},{vite},{{}},null,null,null]"#));
    let hints = server.finish(&|_| false).unwrap();
    assert_eq!(
        hints,
        [
            tracked("NODE_ENV"),
            tracked("NONE"),
            Hint::GetEnv { name: "EMPTY".into(), tracked: false },
            Hint::GetEnvs { select: EnvSelect::Glob("VITE_*".into()), tracked: true },
            Hint::GetEnvs { select: EnvSelect::Prefix("VITE_".into()), tracked: true },
            Hint::GetEnvs { select: EnvSelect::Glob("Z*".into()), tracked: true },
            Hint::IgnoreInput(real(folder.path()).join("dist")),
            Hint::IgnoreOutput("/y".into()),
            Hint::DisableCache,
        ]
    );
}

#[test]
fn variables_come_in_a_plain_object_whatever_their_names() {
    let server = server();
    let (printed, _) = run(
        &server,
        "const all = c.getEnvs({prefix: ''});
        console.log(Object.getPrototypeOf(all) === Object.prototype, Object.keys(all).length, Object.hasOwn(all, '__proto__'));",
    );
    assert_eq!(printed.trim(), "true 5 true");
    server.finish(&|_| false).unwrap();
}

#[test]
fn paths_may_be_bytes_or_urls_and_resolve_where_the_client_works() {
    let server = server();
    let (_, folder) = run(
        &server,
        r"const fs = require('node:fs');
        fs.mkdirSync('real/deep', {recursive: true}); fs.symlinkSync('real/deep', 'link');
        c.ignoreInput(Buffer.from('b\xff', 'latin1')); c.ignoreInput(new URL('file:///a%20b')); c.ignoreInput('link/../x');
        process.chdir('real'); c.ignoreOutput('./deep/'); c.ignoreOutput('later/dist');",
    );
    let root = real(folder.path());
    let odd = overhear::path::from_bytes(b"b\xff".to_vec());
    assert_eq!(
        server.finish(&|_| false).unwrap(),
        [
            Hint::IgnoreInput(root.join(odd)),
            Hint::IgnoreInput("/a b".into()),
            Hint::IgnoreInput(root.join("real/x")),
            Hint::IgnoreOutput(root.join("real/deep")),
            Hint::IgnoreOutput(root.join("real/later/dist")),
        ]
    );
}

#[test]
fn main_thread_workers_children_and_modules_are_all_heard() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("child.cjs", &format!("{LOAD} c.ignoreInput('child'); console.log(c.getEnv('VITE_A'));"));
    write(
        "worker.cjs",
        &format!(
            "{LOAD} c.ignoreInput('worker'); require('worker_threads').parentPort.postMessage(c.getEnv('VITE_B'));"
        ),
    );
    write(
        "main.mjs",
        "import { createRequire } from 'node:module'; import { Worker } from 'node:worker_threads';
        import { execFileSync } from 'node:child_process'; import { once } from 'node:events';
        const c = createRequire(import.meta.url)(process.env.VP_RUN_NODE_CLIENT_PATH).load();
        const imported = (await import(process.env.VP_RUN_NODE_CLIENT_PATH)).default.load();
        c.ignoreInput('main'); imported.ignoreInput('imported');
        const [value] = await once(new Worker('./worker.cjs'), 'message');
        console.log(c === imported, value, execFileSync(process.execPath, ['child.cjs'], {encoding: 'utf8'}).trim());",
    );
    assert_eq!(output(command(&server, folder.path(), &["main.mjs"])).trim(), "true é 1");
    let hints = server.finish(&|_| false).unwrap();
    for name in ["main", "imported", "worker", "child"] {
        assert!(hints.contains(&Hint::IgnoreInput(real(folder.path()).join(name))), "{name} {hints:?}");
    }
}

#[test]
fn ninety_six_clients_at_once_are_all_answered() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("worker.cjs"),
        format!(
            "{LOAD} const {{workerData: n, parentPort}} = require('worker_threads');
            for (let i = 0; i < 200; i++) {{ c.ignoreInput('p' + n); if (c.getEnv('VITE_A') !== '1') throw new Error(n); c.getEnv('N' + n + '_' + i); }}
            parentPort.postMessage(n);"
        ),
    )
    .unwrap();
    // Three processes of 32 threads each.
    let script = "const {Worker} = require('worker_threads'); let done = 0;
        for (let n = 0; n < 32; n++) new Worker('./worker.cjs', {workerData: process.argv[1] + '_' + n})
            .on('error', e => { console.error(e); process.exit(1); }).on('message', () => { done++; });
        process.on('exit', () => console.log(done));";
    let mut children: Vec<Child> = Vec::new();
    for n in 0..3 {
        let mut node = command(&server, folder.path(), &["-e", script, &n.to_string()]);
        children.push(node.stdout(Stdio::piped()).spawn().unwrap());
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "32");
    }
    let hints = server.finish(&|_| false).unwrap();
    assert_eq!(hints.len(), 96 * 200 + 96 + 1);
}

#[test]
fn two_servers_never_mix() {
    let start = |value: &str| {
        let env = BTreeMap::from([("WHO".to_owned(), value.to_owned())]);
        Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap()
    };
    let (one, two) = (start("one"), start("two"));
    let script = |tag: &str| {
        format!(
            "{LOAD} for (let i = 0; i < 500; i++) {{ c.ignoreInput('/{tag}' + i); if (c.getEnv('WHO') !== '{tag}') throw 1; }}"
        )
    };
    std::thread::scope(|scope| {
        scope.spawn(|| output(command(&one, Path::new("/"), &["-e", &script("one")])));
        scope.spawn(|| output(command(&two, Path::new("/"), &["-e", &script("two")])));
    });
    for (server, tag) in [(one, "one"), (two, "two")] {
        let hints = server.finish(&|_| false).unwrap();
        assert_eq!(hints.len(), 501);
        for hint in hints {
            assert!(match hint {
                Hint::IgnoreInput(path) => path.to_str().unwrap()[1..].starts_with(tag),
                hint => hint == tracked("WHO"),
            });
        }
    }
}

/// A node that has said one thing, then says a line, and goes on when it gets one.
struct Talking {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Talking {
    fn start(server: &Server, then: &str) -> Talking {
        let script = format!(
            "{LOAD} c.ignoreInput('/first'); require('fs').writeSync(1, 'ready\\n');
            require('fs').readSync(0, Buffer.alloc(1)); {then}; console.log('done');"
        );
        let mut node = command(server, Path::new("/"), &["-e", &script]);
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Talking { child, lines }
    }

    fn go_on(mut self) {
        self.child.stdin.take().unwrap().write_all(b"g").unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_server_that_ends_leaves_its_clients_undisturbed_and_nothing_behind() {
    let server = server();
    let folder = private_folder(&server);
    let then =
        "c.ignoreInput('/second'); c.disableCache(); if (c.getEnv('PATH') !== process.env.PATH) throw 1;
        if (!('PATH' in c.getEnvs('PA*'))) throw 1; c.ignoreOutput('/third')";
    let (first, second) = (Talking::start(&server, then), Talking::start(&server, "c.getEnv('PATH')"));
    assert_eq!(server.finish(&|_| false).unwrap(), [Hint::IgnoreInput("/first".into())]);
    assert!(!folder.exists());
    first.go_on();
    second.go_on();
}

#[test]
fn a_server_that_is_dropped_leaves_its_clients_undisturbed_and_nothing_behind() {
    let server = server();
    let folder = private_folder(&server);
    let client = Talking::start(&server, "c.getEnv('PATH'); c.getEnvs({prefix: 'P'}); c.disableCache()");
    drop(server);
    assert!(!folder.exists());
    client.go_on();
}

#[test]
fn a_client_without_its_server_is_silent() {
    let server = server();
    let (env, own) = (server.child_env(), private_folder(&server));
    server.finish(&|_| false).unwrap();
    let mut node = Command::new("node");
    node.args([
        "-e",
        &format!(
            "{LOAD} c.disableCache(); c.ignoreInput('x'); console.log(c.getEnv('PATH') === process.env.PATH);"
        ),
    ]);
    node.envs(env);
    assert_eq!(output(node).trim(), "true");
    assert!(!own.exists());
}

#[test]
fn what_a_client_said_before_it_was_killed_counts() {
    let server = server();
    let mut client = Talking::start(&server, "");
    client.child.kill().unwrap();
    client.child.wait().unwrap();
    assert_eq!(server.finish(&|_| false).unwrap(), [Hint::IgnoreInput("/first".into())]);
}

#[test]
fn what_a_client_cannot_deliver_fails_the_run_and_not_the_tool() {
    for script in
        ["c.ignoreInput(42)", "c.ignoreInput('/' + 'x'.repeat(2 << 20))", "c.getEnv('x'.repeat(2 << 20))"]
    {
        let server = server();
        let (printed, _) = run(&server, &format!("{script}; c.disableCache(); console.log('done');"));
        assert_eq!(printed.trim(), "done");
        assert!(server.finish(&|_| false).unwrap_err().contains("could not deliver"));
    }
}

#[test]
fn a_client_without_descriptors_fails_the_run_and_not_the_tool() {
    let server = server();
    let script = format!(
        "{LOAD} const fs = require('fs'); const open = [];
        try {{ for (;;) open.push(fs.openSync('/dev/null')); }} catch {{}}
        c.disableCache(); open.forEach(fd => fs.closeSync(fd)); console.log('done');"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec node -e \"$1\"", "sh", &script]).envs(server.child_env());
    assert_eq!(output(shell).trim(), "done");
    assert!(server.finish(&|_| false).unwrap_err().contains("could not deliver"));
}

#[test]
fn odd_arguments_never_throw() {
    let server = server();
    let (printed, _) = run(
        &server,
        "console.log(c.getEnv(), c.getEnv(null, null), JSON.stringify([c.getEnvs(), c.getEnvs(null), c.getEnvs({prefix: 1}), c.getEnvs('', null)]));
        const {getEnv} = c; console.log(getEnv('VITE_A', undefined));",
    );
    assert_eq!(printed, "undefined undefined [{},{},{},{}]\n1\n");
    server.finish(&|_| false).unwrap();
}

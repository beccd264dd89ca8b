//! How much a server takes, and how fast. In a program of its own: the figures are those of this process.

#![allow(clippy::unwrap_used, missing_docs)]

use overhear::ipc::{Server, ServerSpec};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn server() -> Server {
    let env = BTreeMap::from([("VITE_A".to_owned(), "1".to_owned())]);
    Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap()
}

fn run(server: &Server, script: &str) -> String {
    let script = format!("const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load();{script}");
    let output = Command::new("node").args(["-e", &script]).envs(server.child_env()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_million_messages_are_heard_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let before = resident_kib();
    let printed = run(
        &server,
        "const time = (n, call) => { for (let i = 0; i < 1000; i++) call(i); const from = process.hrtime.bigint();
            for (let i = 0; i < n; i++) call(i); return Number(process.hrtime.bigint() - from) / n / 1000; };
        console.log(time(1e6, i => c.ignoreInput('/some/where/node_modules/.vite-temp/' + i % 1000)), time(20000, () => c.getEnv('VITE_A')));",
    );
    let finishing = Instant::now();
    let hints = server.finish().unwrap();
    let (finishing, grown) = (finishing.elapsed(), resident_kib().saturating_sub(before));
    let mut times = printed.split_whitespace().map(|time| time.parse::<f64>().unwrap());
    let (one_way, call) = (times.next().unwrap(), times.next().unwrap());
    let report = format!(
        "one way {one_way:.2} µs, call {call:.1} µs, server grew by {grown} KiB, finish {finishing:?}"
    );
    assert_eq!(hints.len(), 1001);
    // Wide bounds: they guard against another order of magnitude, also on a machine that is busy.
    assert!(
        one_way < 50.0 && call < 1000.0 && grown < 32 << 10 && finishing < Duration::from_secs(5),
        "{report}"
    );
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-speed.txt"), report).unwrap();
}

#[test]
fn a_million_different_messages_fail_the_run_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let printed =
        run(&server, "for (let i = 0; i < 1e6; i++) c.ignoreInput('/flood/' + i); console.log('done');");
    assert_eq!(printed.trim(), "done");
    assert!(server.finish().unwrap_err().contains("different things"));
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn sixty_four_clients_at_once_say_a_million_things_and_ask_for_a_hundred_thousand() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let before = resident_kib();
    let worker = "const c = require(process.env.VP_RUN_NODE_CLIENT_PATH).load();
        for (let i = 0; i < 15625; i++) c.ignoreInput('/some/where/' + i % 100);
        for (let i = 0; i < 1563; i++) if (c.getEnv('VITE_A') !== '1') throw i;";
    let from = Instant::now();
    run(
        &server,
        &format!(
            "const {{Worker}} = require('node:worker_threads');
            for (let n = 0; n < 64; n++) new Worker({worker:?}.toString(), {{eval: true}}).on('error', e => {{ throw e; }});"
        ),
    );
    let (took, grown) = (from.elapsed(), resident_kib().saturating_sub(before));
    assert_eq!(server.finish().unwrap().len(), 101);
    let report = format!("64 clients, 10^6 messages and 10^5 calls in {took:?}, server grew by {grown} KiB");
    assert!(took < Duration::from_secs(100) && grown < 64 << 10, "{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-load.txt"), report).unwrap();
}

#[test]
fn a_server_starts_and_ends_in_a_moment() {
    let _alone = ALONE.lock().unwrap();
    server().finish().unwrap();
    let from = Instant::now();
    for _ in 0..20 {
        server().finish().unwrap();
    }
    let each = from.elapsed() / 20;
    let report = format!("start and finish of a server: {each:?}");
    assert!(each < Duration::from_millis(100), "{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-start.txt"), report).unwrap();
}

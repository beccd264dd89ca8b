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

/// In a client: batches of a call, each timed; gives the least and the median of microseconds per call, and
/// the processor time that the client took for each.
const TIMED: &str = "const timed = (batches, n, call) => { for (let i = 0; i < 1000; i++) call(i);
    const took = []; const cpu = process.cpuUsage();
    for (let b = 0; b < batches; b++) { const from = process.hrtime.bigint();
        for (let i = 0; i < n; i++) call(i); took.push(Number(process.hrtime.bigint() - from) / n / 1000); }
    const used = process.cpuUsage(cpu); took.sort((a, b) => a - b);
    console.log(took[0], took[batches >> 1], (used.user + used.system) / batches / n); };";

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn a_million_messages_are_heard_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let (before, cpu_before) = (resident_kib(), server_cpu());
    let printed = run(
        &server,
        &format!(
            "{TIMED} timed(50, 20000, i => c.ignoreInput('/some/where/node_modules/.vite-temp/' + i % 1000));"
        ),
    );
    let one_way = numbers(&printed);
    let one_way_server = (server_cpu() - cpu_before).as_secs_f64();
    let printed = run(&server, &format!("{TIMED} timed(50, 400, () => c.getEnv('VITE_A'));"));
    let call = numbers(&printed);
    let finishing = Instant::now();
    let hints = server.finish(&|_| false).unwrap();
    let (finishing, grown) = (finishing.elapsed(), resident_kib().saturating_sub(before));
    let report = format!(
        "one way, µs: least {:.2}, median {:.2}, CPU of the client {:.2}, of the server {:.2}; \
         call, µs: least {:.1}, median {:.1}, CPU of the client {:.1}; server grew by {grown} KiB, finish {finishing:?}",
        one_way[0], one_way[1], one_way[2], one_way_server, call[0], call[1], call[2]
    );
    assert_eq!(hints.len(), 1001);
    // Wide bounds: they guard against another order of magnitude, also on a machine that is busy.
    assert!(
        one_way[0] < 50.0 && call[0] < 1000.0 && grown < 32 << 10 && finishing < Duration::from_secs(5),
        "{report}"
    );
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-speed.txt"), report).unwrap();
}

/// The same over the socket, by the Rust client.
#[test]
fn a_million_messages_over_the_socket_are_heard_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let before = resident_kib();
    let folder = server.own_paths().remove(0);
    let mut client = overhear_client::Client::connect(&folder).unwrap();
    let paths: Vec<String> = (0..1000).map(|n| format!("/some/where/node_modules/.vite-temp/{n}")).collect();
    let one_way = timed(50, 20_000, |n| client.ignore_input(Path::new(&paths[n % 1000])).unwrap());
    let call = timed(50, 400, |_| drop(client.get_env("VITE_A", true).unwrap()));
    let grown = resident_kib().saturating_sub(before);
    assert_eq!(server.finish(&|_| false).unwrap().len(), 1001);
    let report = format!(
        "one way, µs: least {:.2}, median {:.2}; call, µs: least {:.1}, median {:.1}; server grew by {grown} KiB",
        one_way.0, one_way.1, call.0, call.1
    );
    assert!(one_way.0 < 50.0 && call.0 < 1000.0 && grown < 32 << 10, "{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-socket.txt"), report).unwrap();
}

/// The least and the median of microseconds per call.
fn timed(batches: usize, calls: usize, mut call: impl FnMut(usize)) -> (f64, f64) {
    let mut took: Vec<f64> = (0..batches)
        .map(|_| {
            let from = Instant::now();
            (0..calls).for_each(&mut call);
            from.elapsed().as_secs_f64() * 1e6 / calls as f64
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[0], took[batches / 2])
}

/// Processor time of the thread on which all servers live.
fn server_cpu() -> Duration {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let folder = task.unwrap().path();
        if fs::read_to_string(folder.join("comm")).is_ok_and(|name| name == "ipc\n") {
            let text = fs::read_to_string(folder.join("schedstat")).unwrap();
            return Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap());
        }
    }
    Duration::ZERO
}

#[test]
fn a_million_different_messages_fail_the_run_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap();
    let server = server();
    let printed =
        run(&server, "for (let i = 0; i < 1e6; i++) c.ignoreInput('/flood/' + i); console.log('done');");
    assert_eq!(printed.trim(), "done");
    assert!(server.finish(&|_| false).unwrap_err().contains("different things"));
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
    let (from, cpu_before) = (Instant::now(), server_cpu());
    let printed = run(
        &server,
        &format!(
            "const cpu = process.cpuUsage(); process.on('exit', () => {{ const used = process.cpuUsage(cpu); console.log((used.user + used.system) / 1e6); }});
            const {{Worker}} = require('node:worker_threads');
            for (let n = 0; n < 64; n++) new Worker({worker:?}.toString(), {{eval: true}}).on('error', e => {{ throw e; }});"
        ),
    );
    let (took, grown) = (from.elapsed(), resident_kib().saturating_sub(before));
    let cpu = server_cpu() - cpu_before;
    assert_eq!(server.finish(&|_| false).unwrap().len(), 101);
    let report = format!(
        "64 clients, 10^6 messages and 10^5 calls in {took:?}; CPU of the clients with their start {} s, of the server {cpu:?}; server grew by {grown} KiB",
        printed.trim()
    );
    assert!(took < Duration::from_secs(100) && grown < 64 << 10, "{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-load.txt"), report).unwrap();
}

#[test]
fn a_server_starts_and_ends_in_a_moment() {
    let _alone = ALONE.lock().unwrap();
    server().finish(&|_| false).unwrap();
    let from = Instant::now();
    for _ in 0..20 {
        server().finish(&|_| false).unwrap();
    }
    let each = from.elapsed() / 20;
    let report = format!("start and finish of a server: {each:?}");
    assert!(each < Duration::from_millis(100), "{report}");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("ipc-start.txt"), report).unwrap();
}

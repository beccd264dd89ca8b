//! Tasks that do not end: when others start that wait for them, and when they are ended.

use crate::world::{Done, World, read_to_end_of};

/// `server` holds a FIFO open while it runs; `e2e` waits for it.
fn with_server(command: &str, ready_when: &str) -> World {
    let world = World::of_scripts(&[]);
    let config = format!(
        r#"{{"tasks": {{
            "server": {{"command": {command}, "persistent": true{ready_when}}},
            "e2e": {{"command": "sh e2e.sh", "dependsOn": ["server"]}}}}}}"#,
        command = serde_json::Value::from(command),
    );
    world.write("overhear.json", &config);
    world.write("e2e.sh", "echo e2e runs\n");
    world
}

const SERVER: &str =
    "exec 9>$TMPDIR/alive\necho booting\nread line < $TMPDIR/go\necho 'listening on http'\nsleep 1000\n";

#[test]
fn a_task_starts_when_the_server_it_waits_for_has_printed_that_it_is_ready_and_then_the_server_ends() {
    let world = with_server("sh server.sh", r#", "readyWhen": {"output": "^listening .*http$"}"#);
    world.write("server.sh", SERVER);
    let (alive, go) = (world.fifo("alive"), world.fifo("go"));
    let ended = read_to_end_of(&alive);
    let mut started = world.task(&["e2e"]).start();
    started.wait_for("booting");
    std::fs::write(&go, "go\n").unwrap();
    started.wait_for("listening on http");
    started.wait_for("e2e runs");
    let done = started.done();
    assert_eq!((done.code, done.statuses()), (0, vec!["ran", "ran"]), "{done:?}");
    ended.wait("the server to end");
}

#[test]
fn a_task_starts_when_the_server_it_waits_for_listens_on_its_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let ready = format!(r#", "readyWhen": {{"port": {port}}}"#);
    let world = with_server("node server.js", &ready);
    world.write("server.js", &format!("require('node:http').createServer((_, answer) => answer.end('hello')).listen({port}, '127.0.0.1');\n"));
    world.write(
        "e2e.sh",
        &format!(
            "node -e \"fetch('http://127.0.0.1:{port}').then((answer) => answer.text()).then(console.log)\"\n"
        ),
    );
    // Somebody else's server would be taken for it.
    let done = world.task(&["e2e"]).done();
    assert_eq!((done.code, done.statuses()), (1, vec!["failed", "skipped"]), "{done:?}");
    assert!(done.err.contains(&format!("port {port}, by which it would be ready, is in use")), "{done:?}");
    drop(free);
    let done = world.task(&["e2e"]).done();
    assert_eq!((done.code, done.out.as_str()), (0, "hello\n"), "{done:?}");
}

#[test]
fn a_task_starts_when_what_it_waits_for_has_ended_well_where_that_is_the_sign() {
    let world = with_server("sh server.sh", r#", "readyWhen": {"exit": true}"#);
    world.write("server.sh", "echo prepared\n");
    let done = world.task(&["e2e"]).done();
    assert_eq!((done.code, done.out.as_str()), (0, "prepared\ne2e runs\n"), "{done:?}");
}

#[test]
fn a_server_that_ends_before_it_is_ready_fails_and_nothing_starts_that_waits_for_it() {
    for (script, code) in [("echo starting", 1), ("exit 7", 7)] {
        let world = with_server("sh server.sh", r#", "readyWhen": {"output": "ready"}"#);
        world.write("server.sh", script);
        let done = world.task(&["e2e"]).done();
        assert_eq!((done.code, done.statuses()), (code, vec!["failed", "skipped"]), "{done:?}");
    }
}

#[test]
fn when_a_task_fails_the_server_that_it_waited_for_is_ended_too() {
    let world = with_server("sh server.sh", r#", "readyWhen": {"output": "listening"}"#);
    world.write("server.sh", "exec 9>$TMPDIR/alive\necho listening\nsleep 1000\n");
    world.write("e2e.sh", "exit 3\n");
    let ended = read_to_end_of(&world.fifo("alive"));
    assert_eq!(world.task(&["e2e"]).done().code, 3);
    ended.wait("the server to end");
}

#[test]
fn a_server_that_was_asked_for_runs_until_ctrl_c_beside_as_many_others_as_there_are() {
    let world = World::empty();
    world.write("package.json", r#"{"workspaces": ["packages/*"]}"#);
    for name in ["a", "b", "c"] {
        let manifest =
            format!(r#"{{"name": "{name}", "scripts": {{"dev": "sh dev.sh {name}", "build": "true"}}}}"#);
        world.write(&format!("packages/{name}/package.json"), &manifest);
        world.write(&format!("packages/{name}/dev.sh"), "echo $1 serves\nsleep 1000\n");
    }
    world.write("overhear.json", r#"{"scripts": {"dev": {"persistent": true, "dependsOn": ["build"]}}}"#);
    // One at a time is for what ends.
    let mut started = world.task(&["-r", "--concurrency", "1", "dev"]).start();
    let mut missing = vec!["a serves", "b serves", "c serves"];
    while let Some(text) = missing.pop() {
        started.wait_for(text);
        missing.retain(|text| !started.has_seen(text));
    }
    started.signal_group(2);
    assert_eq!(started.done().code, 130);
}

#[test]
fn of_a_chain_only_the_last_command_goes_on_for_ever() {
    let world = with_server("echo compiled && sh server.sh", r#", "readyWhen": {"output": "listening"}"#);
    world.write("server.sh", "echo listening\nsleep 1000\n");
    let done: Done = world.task(&["e2e"]).done();
    assert_eq!((done.code, done.out.as_str()), (0, "compiled\nlistening\ne2e runs\n"), "{done:?}");
}

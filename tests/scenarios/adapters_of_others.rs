//! Adapters that are no part of overhear: what they do wrong costs only caching, is told with its code,
//! and takes no more time or memory than is allowed. One guest, switched by the first argument.
#![allow(unsafe_code, reason = "the kernel is asked how much memory a process used")]

use crate::guest::{component, install};
use crate::world::{Done, World};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

/// Longer than any limit lets a guest run, on a machine that does much else.
const TIME_MAX: Duration = Duration::from_secs(30);
/// What overhear with a guest at its limits may use.
const MEMORY_MAX_MIB: u64 = 400;

fn world() -> World {
    let world = World::empty();
    install(&world, &component("hostile"), r#"{"./evil.wasm": true}"#);
    world
}

fn run(world: &World, args: &[&str]) -> Done {
    let begun = Instant::now();
    let done = world.task(&[&["do"], args].concat()).done();
    assert!(begun.elapsed() < TIME_MAX, "{args:?} took {:?}", begun.elapsed());
    assert_eq!(done.code, 0, "{args:?}: {done:?}");
    done
}

/// The command ran, nothing was kept, and the fault is told with its code and these words.
#[track_caller]
fn fails(world: &World, args: &[&str], code: &str, words: &str) {
    let _ = fs::remove_file(world.path("ran.txt"));
    let done = run(world, args);
    assert_eq!(world.read("ran.txt"), "done\n", "{args:?}");
    assert_eq!(done.statuses(), ["ran"], "{args:?}: {done:?}");
    assert_eq!(done.steps[0]["reason"]["kind"], "cache_disabled", "{args:?}: {done:?}");
    assert!(done.err.contains(&format!("[{code}]")), "{args:?} should end as {code}: {}", done.err);
    assert!(done.err.contains(words), "{args:?} should say {words:?}: {}", done.err);
    assert!(done.err.contains("adapter acme/evil@1.0.0: "), "{args:?}: {}", done.err);
    assert!(!done.err.contains('\u{202E}'), "{args:?}: {}", done.err);
}

#[test]
fn what_an_adapter_does_wrong_is_told_with_its_code_and_costs_only_caching() {
    let world = world();
    let cases: &[(&str, &str, &str)] = &[
        // 21: much on the stack of each call.
        ("recursion", "stack", "nested too deeply"),
        ("allocate", "memory-limit", "of memory, the limit is 64"),
        ("panic", "adapter-bug", "the author did not expect this"),
        ("index", "adapter-bug", "index out of bounds"),
        ("clock", "adapter-bug", "time not implemented"),
        ("rules=3000", "too-many-rules", "3000 rules, the limit is 2000"),
        ("rules=200000", "output-too-large", "more than 4194304 bytes at once"),
        ("long-pattern", "output-too-large", "more than 4194304 bytes at once"),
        // Fuel is used up before the memory is.
        ("no-advice", "fuel", "more than 200 M units of fuel used"),
        ("much-advice", "too-many-hints", "51 pieces of advice, the limit is 50"),
        ("questions", "too-many-questions", "more than 1000 questions"),
        ("long-path", "output-too-large", "more than 4194304 bytes at once"),
        ("detect-asks", "impure-detect", "may only look at its argument"),
        ("detect-name", "bad-string", "is not a short plain name"),
        ("cannot-parse", "cannot-parse", "may/x: line 3"),
        ("failure", "adapter-bug", "the author noticed"),
        ("env=SECRET", "not-permitted", "env(\"SECRET\") is not in may-read-env"),
        ("env-prefix=A", "bad-env-rule", "too short for a prefix"),
        ("env-name=A%003DB", "bad-env-rule", "is no name of a variable"),
        ("env-name=", "bad-env-rule", "is no name of a variable"),
    ];
    for (case, code, words) in cases {
        fails(&world, &[case], code, words);
    }
    // A fault is remembered like an answer: it costs an engine once.
    assert_eq!(run(&world, &["panic"]).engines, Some(0));
    // 30: a log is cut, and is no fault.
    run(&world, &["log"]).is("ran");
}

#[test]
fn unsound_patterns_are_refused_wherever_they_stand() {
    let world = world();
    let bomb = format!("pattern={}", "{a,b}".repeat(7));
    let cases: &[(&str, &str, &str)] = &[
        ("pattern=/abs", "bad-pattern", "outputs[0]: `/abs`: must be relative"),
        ("pattern=C:/x", "bad-pattern", "must be relative"),
        ("pattern=~/x", "bad-pattern", "must be relative"),
        ("pattern=%005C%005Cserver%005Cx", "bad-pattern", "character U+005C at 0"),
        ("pattern=..", "bad-pattern", "segment `..`"),
        ("pattern=a/../../b", "bad-pattern", "segment `..`"),
        ("pattern=./a", "bad-pattern", "segment `.`"),
        ("pattern=a//b", "bad-pattern", "segment ``"),
        ("pattern=", "bad-pattern", "segment ``"),
        ("pattern=a%0000b", "bad-pattern", "character U+0000 at 1"),
        ("pattern=a%000Ab", "bad-pattern", "character U+000A at 1"),
        ("pattern=a%202Eb", "bad-pattern", "character U+202E at 1"),
        ("pattern={a,b", "bad-pattern", "unclosed `{`"),
        (&bomb, "bad-pattern", "more than 64 expansions"),
        ("pattern=**", "output-too-broad", "outputs[0]: `**` is more than one tool's own"),
        ("pattern=*", "output-too-broad", "more than one tool's own"),
        ("pattern=.git/**", "output-too-broad", "more than one tool's own"),
        ("pattern=node_modules/**", "output-too-broad", "more than one tool's own"),
        ("pattern=overhear.lock", "output-too-broad", "more than one tool's own"),
        ("pattern=package.json", "output-too-broad", "more than one tool's own"),
    ];
    for (case, code, words) in cases {
        fails(&world, &[case], code, words);
    }
    // 42: possible here, and not everywhere.
    run(&world, &["pattern=aux/a "]).is("ran");
    let said = said_of(&world);
    assert_eq!(said["advice"][0]["code"], "not-portable", "{said}");
}

/// What `inspect` says of the adapter's part in the last run.
fn said_of(world: &World) -> serde_json::Value {
    let done = world.overhear(&["inspect", "do", "--json"]).done();
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    document["steps"][0]["adapter"].clone()
}

#[test]
fn questions_stay_within_what_may_be_read_and_within_the_workspace() {
    let world = world();
    world.write("src/a.ts", "");
    for name in [".npmrc", ".env", ".env.local", "may/.env", "may/key.pem", "may/.git/config"] {
        world.write(name, "secret");
    }
    fs::create_dir_all(world.beside("outside")).unwrap();
    fs::write(world.beside("outside").join("x"), "x").unwrap();
    symlink("../../outside/x", world.path("may/out")).unwrap();
    symlink("../../outside", world.path("may/out-folder")).unwrap();
    symlink("/dev/zero", world.path("may/device")).unwrap();
    symlink(".env", world.path("may/to-secret")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(world.path("may/fifo")).status().unwrap().success());
    File::create(world.path("may/big")).unwrap().set_len(10 << 30).unwrap();
    fs::write(world.path("may/binary"), [0xFF, 0xFE]).unwrap();
    let cases: &[(&str, &str, &str)] = &[
        ("read=src/a.ts", "not-permitted", "read-text(\"src/a.ts\") is not in may-read"),
        ("list=src", "not-permitted", "list-dir(\"src\") is not in may-read"),
        ("read=.npmrc", "not-permitted", "files of this name are never read"),
        ("read=.env", "not-permitted", "files of this name are never read"),
        ("read=.env.local", "not-permitted", "files of this name are never read"),
        ("read=may/.env", "not-permitted", "files of this name are never read"),
        ("read=may/key.pem", "not-permitted", "files of this name are never read"),
        ("read=may/.git/config", "not-permitted", "files of this name are never read"),
        ("read-config=may/.env", "not-permitted", "files of this name are never read"),
        ("read=may/to-secret", "not-permitted", "leads to a file that is never read"),
        ("read=may/out", "outside-workspace", "read-text(\"may/out\") leads to"),
        ("read=may/out-folder/x", "outside-workspace", "leads to"),
        ("list=may/out-folder", "outside-workspace", "leads to"),
        ("read=may/device", "outside-workspace", "leads to"),
        ("read=may/fifo", "not-a-file", "it is no regular file"),
        ("read=may", "not-a-file", "it is no regular file"),
        ("read=may/big", "too-large", "10737418240 bytes, the limit is 1048576"),
        ("read=may/binary", "unreadable", "it is not UTF-8"),
        ("read=/etc/passwd", "bad-path", "must be relative to the workspace root"),
        ("read=may/../src/a.ts", "bad-path", "segment `..`"),
        ("read=may/a%0000b", "bad-path", "a character that no path may have"),
    ];
    for (case, code, words) in cases {
        fails(&world, &[case], code, words);
    }
}

#[test]
fn what_an_adapter_would_have_ignored_counts_unless_a_run_made_it() {
    let world = world();
    world.write("src/a.ts", "1");
    world.write("src/kept.ts", "before");
    for rule in ["ignore-reads=src", "cache-dir=src"] {
        let read = [rule, "cat src/a.ts > out.txt; ls src >> out.txt"];
        run(&world, &read).is("ran");
        let said = said_of(&world);
        assert_eq!(said["narrowing_refused"][0]["path"], "src/a.ts", "{rule}: {said}");
        assert!(said["rules"].to_string().contains("the adapter says so"), "{said}");
        run(&world, &read).is_hit();
        world.write("src/a.ts", rule);
        run(&world, &read).missed("input_modified", "src/a.ts");
        world.write("src/new.ts", "");
        run(&world, &read).missed("input_added", "src/new.ts");
        world.remove("src/new.ts");
    }
    let shown = world.overhear(&["inspect", "do"]).done();
    assert!(shown.out.contains("[narrowing-refused]"), "{}", shown.out);
    for rule in ["ignore-writes=src", "cache-dir=src"] {
        world.write("src/kept.ts", "before");
        let write = [rule, "echo after > src/kept.ts"];
        run(&world, &write).is("ran");
        world.write("src/kept.ts", "before");
        let done = run(&world, &write);
        assert_eq!(world.read("src/kept.ts"), "after\n", "{rule}: {done:?}");
    }
}

#[test]
fn an_output_that_is_a_link_to_elsewhere_is_never_followed_to_remove_or_replace() {
    let world = world();
    let outside = world.beside("outside");
    fs::create_dir_all(&outside).unwrap();
    let keep = outside.join("keep.txt");
    fs::write(&keep, "a person's").unwrap();
    let build = ["pattern=dist", "mkdir -p dist; echo a > dist/a"];
    run(&world, &build).is("ran");
    // Whatever a hit would do in the folder: it leads elsewhere now.
    world.remove("dist");
    symlink(&outside, world.path("dist")).unwrap();
    for _ in 0..3 {
        run(&world, &build);
        assert_eq!(world.read("dist/a"), "a\n");
        assert_eq!(fs::read_to_string(&keep).unwrap(), "a person's");
    }
    // And it is a link still, as the command itself would have left it.
    assert!(world.path("dist").symlink_metadata().unwrap().is_symlink());
    // One that empties its folder removes what is beyond the link only where the command itself did.
    let emptying = ["pattern=www", "rm -rf www; mkdir www; echo b > www/b"];
    run(&world, &emptying).is("ran");
    world.remove("www");
    symlink(&outside, world.path("www")).unwrap();
    run(&world, &emptying);
    assert_eq!(world.read("www/b"), "b\n");
    assert_eq!(fs::read_to_string(&keep).unwrap(), "a person's");
}

#[test]
fn a_variable_that_an_adapter_calls_untracked_counts_when_it_is_read() {
    let world = world();
    let read = ["untracked=LEVEL", "printenv LEVEL > out.txt; true"];
    let with = |level: &str| world.task(&[&["do"][..], &read].concat()).env("LEVEL", level).done();
    with("1").is("ran");
    let said = said_of(&world);
    assert_eq!(said["advice"][0]["code"], "narrowing-refused", "{said}");
    assert_eq!(world.read("out.txt"), "1\n");
    with("2");
    assert_eq!(world.read("out.txt"), "2\n", "the new value is in the output");
}

#[test]
fn what_was_traced_overrules_an_adapter_that_has_no_objection() {
    let world = world();
    let daemon = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = daemon.local_addr().unwrap().port();
    let script = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    run(&world, &["ok", &script]).refused("outside_service");
    run(&world, &["never"]).uncached("adapter");
    let unsure = run(&world, &["unsure"]);
    assert!(unsure.err.contains("adapter acme/evil is unsure: a test"), "{}", unsure.err);
}

#[test]
fn inputs_that_an_adapter_names_count_although_nobody_reads_them() {
    let world = world();
    world.write("schema/a.json", "1");
    let build = ["input=schema/**/*.json", "echo built > out.txt"];
    run(&world, &build).is("ran");
    run(&world, &build).is_hit();
    world.write("schema/a.json", "2");
    run(&world, &build).missed("input_modified", "schema/a.json");
    world.write("schema/deep/b.json", "");
    run(&world, &build).is("ran");
    run(&world, &build).is_hit();
    world.remove("schema/deep");
    run(&world, &build).is_hit();
    world.write("schema/notes.txt", "matches nothing");
    run(&world, &build).is_hit();
    let one = ["input=only.txt", "echo built > out.txt"];
    run(&world, &one).is("ran");
    world.write("only.txt", "");
    run(&world, &one).missed("input_added", "only.txt");
}

#[test]
fn nothing_outlives_a_call_and_advice_stays_in_this_checkout() {
    let world = world();
    world.write("may/secret", "the-word-that-must-not-travel");
    for _ in 0..2 {
        let done = world.task(&["--force", "do", "state"]).done();
        assert_eq!(done.code, 0, "{done:?}");
        let said = said_of(&world);
        assert_eq!(said["rules"][0]["of"], "state-0", "{said}");
    }
    run(&world, &["secret", "echo x > out.txt"]).is("ran");
    assert_eq!(said_of(&world)["advice"][0]["text"], "the-word-that-must-not-travel");
    let index = fs::read(world.path(".overhear/index.db")).unwrap();
    let word = b"the-word-that-must-not-travel";
    assert!(!index.windows(word.len()).any(|window| window == word), "what may be shared has no advice");
}

#[test]
fn settings_must_be_as_the_adapter_wants_them() {
    let world = world();
    let set = |adapters: &str| {
        world.write("overhear.json", &format!(r#"{{"adapters": {adapters}, "tasks": {{"do": "evil"}}}}"#))
    };
    set(r#"{"./evil.wasm": {"settings": {"level": 3}}}"#);
    run(&world, &["settings"]).is("ran");
    assert_eq!(said_of(&world)["advice"][0]["text"], r#"{"level":3}"#);
    run(&world, &["settings"]).is("fresh");
    set(r#"{"./evil.wasm": {"settings": {"level": 4}}}"#);
    run(&world, &["settings"]).is("ran");
    assert_eq!(said_of(&world)["advice"][0]["text"], r#"{"level":4}"#, "other settings are asked anew");
    set(r#"{"./evil.wasm": {"settings": {"level": "high"}}}"#);
    fails(&world, &["ok"], "bad-settings", "settings at `/level`: integer is wanted");
    set(r#"{"./evil.wasm": {"settings": {"lvl": 3}}}"#);
    fails(&world, &["ok"], "bad-settings", "settings at `/lvl`: there is no such setting");
}

#[test]
fn an_adapter_is_compiled_once_and_a_warm_run_starts_no_engine() {
    let world = world();
    let cold = run(&world, &["ok", "echo x > out.txt"]);
    assert_eq!(cold.engines, Some(1), "{cold:?}");
    let shelf = world.beside("home").join(".cache/overhear/adapters");
    let kept = || fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(kept().len(), 1);
    let warm = run(&world, &["ok", "echo x > out.txt"]);
    assert_eq!((warm.engines, warm.is_hit().code), (Some(0), 0));
    // 50, 51: what is damaged is made anew, and never loaded.
    let file = &kept()[0];
    let whole = fs::read(file).unwrap();
    for damage in [&whole[..0], b"text", &whole[..whole.len() / 2]] {
        fs::write(file, damage).unwrap();
        run(&world, &[&format!("pattern=out-{}", damage.len())]).is("ran");
        assert_eq!(fs::read(file).unwrap().len(), whole.len());
    }
    // 53: a folder that others may write is not used, and that is told.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&shelf, mode).unwrap();
    let done = run(&world, &["pattern=elsewhere"]);
    assert!(done.err.contains("[unsafe-cache-dir]"), "{}", done.err);
    done.is("ran");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&shelf, mode).unwrap();
}

#[test]
fn a_changed_adapter_is_asked_anew_and_keeps_the_cache_where_it_says_the_same() {
    let world = world();
    let build = ["ok", "echo x > out.txt"];
    run(&world, &build).is("ran");
    // A custom section that nobody reads: other bytes, the same words.
    let mut other = component("hostile");
    other.extend_from_slice(&[0, 3, 1, b'x', 0]);
    fs::write(world.path("evil.wasm"), &other).unwrap();
    let done = run(&world, &build);
    assert_eq!(done.engines, Some(1), "{done:?}");
    done.is_hit();
    // One that is broken now is known by what it knew.
    fs::write(world.path("evil.wasm"), &other[..other.len() - 3]).unwrap();
    let broken = run(&world, &build);
    assert_eq!(broken.steps[0]["reason"]["kind"], "cache_disabled", "{broken:?}");
    assert!(broken.err.contains("[invalid-wasm]"), "{}", broken.err);
    let other = world.overhear(&["exec", "--", "sh", "-c", "echo y > other.txt"]).done();
    assert_eq!(other.code, 0, "{other:?}");
    assert!(other.err.contains("[invalid-wasm]"), "it is told: {}", other.err);
    let again = world.overhear(&["exec", "-v", "--", "sh", "-c", "echo y > other.txt"]).done();
    assert!(again.err.contains("fresh"), "a step of other tools is not its own: {}", again.err);
}

#[test]
fn what_is_no_adapter_is_told_by_its_path() {
    let world = world();
    let build = ["ok", "echo x > out.txt"];
    let mut flipped = component("hostile");
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xFF);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "[not-wasm]"),
        (b"no wasm at all".to_vec(), "[not-wasm]"),
        (b"\0asm\x01\0\0\0".to_vec(), "[not-component]"),
        (flipped, "[invalid-wasm]"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "[wrong-world]"),
    ];
    for (bytes, code) in cases {
        let world = World::empty();
        install(&world, &bytes, r#"{"./evil.wasm": true}"#);
        let done = run(&world, &build);
        assert_eq!(done.steps[0]["reason"]["kind"], "cache_disabled", "{done:?}");
        assert!(done.err.contains("adapter ./evil.wasm@?: load: "), "{}", done.err);
        assert!(done.err.contains(code), "{}", done.err);
        let again = run(&world, &build);
        assert_eq!(again.engines, Some(0), "what is wrong with it is known: {again:?}");
    }
    let missing = |adapters: &str| {
        world.write("overhear.json", &format!(r#"{{"adapters": {adapters}, "tasks": {{"do": "evil"}}}}"#));
        run(&world, &build).err
    };
    assert!(missing(r#"{"./none.wasm": true}"#).contains("[unreadable]"));
    assert!(missing(r#"{"acme/none": true}"#).contains("[not-locked]"));
    assert!(missing(r#"{"none": true}"#).contains("[unknown-adapter]"));
    assert!(missing(r#"{"nxt": false}"#).contains("there is no adapter `nxt` to switch off"));
}

#[test]
fn two_adapters_that_both_say_yes_are_both_named() {
    let world = world();
    // The guest answers to a program of another one, too.
    let vite = world.path("node_modules/.bin/evil");
    fs::remove_file(&vite).unwrap();
    world.write("node_modules/evil-tool/package.json", r#"{"name": "vite", "version": "8.0.0"}"#);
    symlink("../evil-tool/evil.sh", &vite).unwrap();
    world.write("overhear.json", r#"{"adapters": {"./evil.wasm": true}, "tasks": {"do": "evil build"}}"#);
    let done = world.task(&["do"]).done();
    assert!(done.err.contains("[ambiguous-adapter]"), "{}", done.err);
    assert!(done.err.contains("both say that `evil` is theirs"), "{}", done.err);
    world.write(
        "overhear.json",
        r#"{"adapters": {"./evil.wasm": true, "vite": false}, "tasks": {"do": "evil build"}}"#,
    );
    world.task(&["do"]).done().is("ran");
}

#[test]
fn memory_of_a_run_with_a_hostile_adapter_is_bounded() {
    let world = world();
    run(&world, &["ok"]);
    for case in ["allocate", "no-advice", "long-pattern", "long-path", "rules=200000", "questions", "log"] {
        let mut invocation = world.task(&["do", case]);
        let child = invocation.command.stdout(io::stderr()).spawn().unwrap();
        let mebibytes = peak_memory_mib(child.id());
        assert!(mebibytes < MEMORY_MAX_MIB, "{case}: {mebibytes} MiB");
    }
}

/// Waits for a process to end; the most memory that it, or one that it waited for, had at once.
fn peak_memory_mib(pid: u32) -> u64 {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to locals of the right types; all zero is a sound value of the second.
    let usage = unsafe {
        let waited = libc::wait4(pid.cast_signed(), &raw mut status, 0, usage.as_mut_ptr());
        assert_eq!(waited, pid.cast_signed());
        usage.assume_init()
    };
    assert_eq!(status, 0);
    usage.ru_maxrss.unsigned_abs() / 1024
}

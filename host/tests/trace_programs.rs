//! Small adversarial programs, each run traced in a fresh folder and held against what must have
//! been seen. The table in `programs/cases.rs` is the specification; the programs are in `programs/calls.c`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail")]
#![allow(clippy::print_stderr, reason = "a skip is said aloud")]

use overhear::access::{Access, Observed, Reach, Seen};
use overhear::process::{Ended, Launch, Mode, Running, run};
use overhear::trace::{Level, Spec, Way};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "programs/cases.rs"]
mod cases;
#[path = "programs/list.rs"]
mod list;

use cases::{CASES, build, fill, program};

const LEVELS: [Level; 3] = [Level::Nothing, Level::Functions, Level::Everything];

/// How a program is traced.
type How = (Way, Level);
/// As by default.
const USUAL: How = (Way::Best, Level::Everything);
/// The filter at each level.
const FILTERED: [How; 3] =
    [(Way::Seccomp, Level::Nothing), (Way::Seccomp, Level::Functions), (Way::Seccomp, Level::Everything)];
/// As debuggers do.
const STEPPED: [How; 2] = [(Way::Ptrace, Level::Nothing), (Way::Ptrace, Level::Everything)];

fn spec((way, level): How) -> Spec {
    Spec::new(path_value(), vec![]).by(way).at_level(level)
}

#[test]
fn every_call_of_a_dynamic_program_is_seen() {
    for how in FILTERED {
        check_all(program(false), how);
    }
}

#[test]
fn every_call_of_a_dynamic_program_is_seen_as_a_debugger_sees_it() {
    for how in STEPPED {
        check_all(program(false), how);
    }
}

#[test]
fn every_call_of_a_static_program_is_seen() {
    for how in [USUAL, (Way::Ptrace, Level::Everything)] {
        check_all(program(true), how);
        check_all(&build("static-pie", "gcc", &["-static-pie"]), how);
    }
}

#[test]
fn every_call_of_a_program_of_another_c_library_is_seen() {
    let path = path_value();
    if !std::env::split_paths(&path).any(|folder| folder.join("musl-gcc").exists()) {
        return eprintln!("SKIPPED: musl-gcc is not there");
    }
    let headers = ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"];
    for how in [USUAL, (Way::Ptrace, Level::Everything)] {
        check_all(&build("musl-static", "musl-gcc", &[&headers[..], &["-static"]].concat()), how);
        check_all(&build("musl", "musl-gcc", &headers), how);
    }
}

/// Two threads of these do their calls in no order, or give a random name, or what lies there only they see.
const UNORDERED: &[&str] = &["unix_inside", "changing", "thread_cwd", "mount"];

#[test]
fn the_facts_are_the_same_at_each_level_and_in_each_way() {
    let mut wrong = Vec::new();
    for (case, _) in CASES.iter().filter(|(case, _)| !UNORDERED.contains(case)) {
        let facts = |how: How| {
            let folder = folder();
            let mut facts = run_case_at(how, program(false), case, folder.path(), &[]).1;
            facts.sort();
            facts
        };
        let told = facts(FILTERED[0]);
        for how in FILTERED.into_iter().skip(1).chain(STEPPED) {
            let other = facts(how);
            if told != other {
                wrong.push(format!("{case}, {how:?}:\n  {told:?}\n  {other:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check_all(program: &Path, how: How) {
    let mut wrong = Vec::new();
    for (case, expected) in CASES {
        let folder = folder();
        let (ended, facts) = run_case_at(how, program, case, folder.path(), &[]);
        if ended.exit_code != 0 {
            wrong.push(format!("{case} ({how:?}): exit code {}", ended.exit_code));
        }
        for fact in *expected {
            let holds = match fact.strip_prefix('!') {
                Some(absent) => !facts.iter().any(|fact| fact == absent),
                None => facts.iter().any(|known| known == fact),
            };
            if !holds {
                wrong.push(format!(
                    "{case} ({how:?}): {fact}\n  of {facts:?}\n  {:?}",
                    ended.observed.as_ref().unwrap().incomplete
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The kernel's filter is asked together with that of the program, and hears nothing of what that refuses. As a
/// debugger sees it the call is begun, and what it would have changed is no longer known.
#[test]
fn what_a_filter_of_the_program_refuses_is_no_change() {
    for how in FILTERED.into_iter().chain(STEPPED) {
        let folder = folder();
        let (ended, facts) = run_case_at(how, program(false), "own_filter", folder.path(), &[]);
        assert_eq!(ended.exit_code, 0, "{how:?}");
        assert!(
            ["read a f", "read b f"].iter().all(|fact| facts.iter().any(|known| known == fact)),
            "{facts:?}"
        );
        let is_changed = facts.iter().any(|fact| fact == "blind new -");
        let is_incomplete = facts.iter().any(|fact| fact == "incomplete");
        assert_eq!((is_changed, is_incomplete), (how.0 == Way::Ptrace, how.0 == Way::Ptrace), "{facts:?}");
    }
}

/// Each function that the library stands before: what goes through it is seen, and not told by the kernel.
#[test]
fn what_goes_through_the_c_library_is_noted_and_not_told() {
    for function in [
        "open",
        "openat",
        "stat",
        "lstat",
        "fstatat",
        "fstat",
        "statx",
        "access",
        "faccessat",
        "readlink",
        "readlinkat",
        "syscall",
    ] {
        let told = |how: How| {
            let folder = folder();
            let (ended, facts) =
                run_case_at(how, program(false), "noted", folder.path(), &[("HOW", function)]);
            assert_eq!(ended.exit_code, 0, "{function}");
            let seen = facts.iter().filter(|fact| fact.contains(" noted-")).count();
            assert_eq!(seen, 200, "{function}, {how:?}");
            ended.observed.unwrap().told
        };
        let (all, rest) = (told(FILTERED[0]), told(FILTERED[1]));
        // A descriptor's own look comes with an opening.
        let calls = if function == "fstat" { 400 } else { 200 };
        assert!(rest + calls - 10 < all, "{function}: {all} and {rest} calls told");
    }
}

#[test]
fn what_a_killed_process_had_asked_is_there() {
    for (round, how) in FILTERED.into_iter().chain([USUAL, USUAL]).chain(STEPPED).enumerate() {
        let folder = folder();
        let root = folder.path().canonicalize().unwrap();
        let launch = launch(program(false), &["killed"], &root, &[("SEED", &round.to_string())]);
        let mode = Mode::Traced(spec(how));
        let mut said = Vec::new();
        let ended =
            run(&launch, mode, &Running::new(), &mut |_, bytes| said.extend_from_slice(bytes)).unwrap();
        let observed = ended.observed.unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.lines().count() > 40, "{said}");
        let missing: Vec<&str> =
            said.lines().filter(|name| observed.seen(&root.join(name)).is_none()).collect();
        assert!(observed.incomplete.is_some() || missing.is_empty(), "{how:?}: {missing:?}");
    }
}

#[test]
fn system_calls_of_a_library_are_noted_and_change_nothing_else() {
    let build = |name: &str, flags: &[&str]| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace(".c", ".so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
        let gcc = Command::new("gcc")
            .args(["-O1", "-w", "-pthread"])
            .arg(source)
            .args(flags)
            .arg("-o")
            .arg(&target)
            .status();
        assert!(gcc.expect("gcc is needed for the tests").success());
        target
    };
    let library = build("library.c", &["-shared", "-fPIC"]);
    let loads = build("loads.c", &["-ldl"]);
    let mut seen: Vec<(Vec<String>, u64)> = Vec::new();
    for level in LEVELS {
        let folder = folder();
        let root = folder.path().canonicalize().unwrap();
        let launch = launch(&loads, &[library.to_str().unwrap()], &root, &[]);
        let mode = Mode::Traced(Spec::new(path_value(), vec![]).at_level(level));
        let ended = run(&launch, mode, &Running::new(), &mut |_, _| {}).unwrap();
        assert_eq!(ended.exit_code, 0, "{level:?}");
        let observed = ended.observed.unwrap();
        let facts = facts(&observed, &root);
        for fact in ["stat a f", "stat b f", "stat d/a f", "stat none-0 -", "stat none-49 -"] {
            assert!(facts.iter().any(|known| known == fact), "{level:?}: {fact} of {facts:?}");
        }
        seen.push((facts, observed.told));
    }
    assert!(seen[0].0 == seen[1].0 && seen[1].0 == seen[2].0, "{seen:?}");
    assert!(seen[2].1 + 1900 < seen[1].1, "told {} and {}", seen[1].1, seen[2].1);
}

/// What the C library opens for a locale, it opens by itself.
#[test]
fn the_files_of_a_locale_are_noted_and_not_told() {
    let mut seen = Vec::new();
    for level in LEVELS {
        let folder = folder();
        let root = folder.path().canonicalize().unwrap();
        let launch = launch(Path::new("/bin/ls"), &["a"], &root, &[("LC_ALL", "C.UTF-8")]);
        let mode = Mode::Traced(Spec::new(path_value(), vec![]).at_level(level));
        let ended = run(&launch, mode, &Running::new(), &mut |_, _| {}).unwrap();
        let observed = ended.observed.unwrap();
        let of_locale = |(path, seen): (&PathBuf, &Seen)| {
            path.to_str()?.contains("locale").then(|| {
                (
                    path.clone(),
                    [seen.read.is_some(), seen.stat.is_some(), seen.kind.is_some(), seen.link.is_some()],
                )
            })
        };
        seen.push((observed.paths.iter().filter_map(of_locale).collect::<Vec<_>>(), observed.told));
    }
    assert!(!seen[0].0.is_empty() && seen[0].0 == seen[1].0 && seen[1].0 == seen[2].0, "{seen:?}");
    assert!(seen[2].1 < seen[1].1, "told {} and {}", seen[1].1, seen[2].1);
}

#[test]
fn a_connection_to_a_listener_outside_the_tree_is_told() {
    let folder = folder();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let (_, facts) = run_case(program(false), "tcp_port", folder.path(), &[("PORT", &port.to_string())]);
    assert!(facts.contains(&"connected machine".to_owned()), "{facts:?}");
    let root = folder.path().canonicalize().unwrap();
    let _unix = std::os::unix::net::UnixListener::bind(root.join("outer.sock")).unwrap();
    let (ended, facts) = run_case(program(false), "unix_path", &root, &[]);
    assert!(facts.contains(&"connected machine".to_owned()), "{facts:?}");
    assert_eq!(ended.observed.unwrap().connections[0].by, "calls");
}

#[test]
fn ignored_paths_and_their_sockets_are_no_facts() {
    let folder = folder();
    let root = folder.path().canonicalize().unwrap();
    let _unix = std::os::unix::net::UnixListener::bind(root.join("outer.sock")).unwrap();
    let launch = launch(program(false), &["unix_path"], &root, &[]);
    let spec = Spec::new(path_value(), vec![root.join("outer.sock")]);
    let ended = run(&launch, Mode::Traced(spec), &Running::new(), &mut |_, _| {}).unwrap();
    let observed = ended.observed.unwrap();
    assert!(observed.connections.is_empty());
    assert!(observed.seen(&root.join("outer.sock")).is_none());
}

#[test]
fn interpreters_and_searched_programs_are_seen() {
    let folder = folder();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("bin")).unwrap();
    script(&root.join("bin/tool"), "#!/usr/bin/env inner\n");
    script(&root.join("bin/inner"), "#!/bin/sh\ncat a\n");
    let path =
        OsString::from(format!("{}/none:{}/bin:{}", root.display(), root.display(), path_value().display()));
    let env = vec![("PATH".into(), path.clone())];
    let launch =
        Launch { program: "/bin/sh".into(), args: vec!["-c".into(), "tool".into()], cwd: root.clone(), env };
    let ended = run(&launch, Mode::Traced(Spec::new(path, vec![])), &Running::new(), &mut |_, _| {}).unwrap();
    let observed = ended.observed.unwrap();
    assert_eq!(ended.exit_code, 0);
    assert_eq!(observed.incomplete, None);
    for program in ["bin/tool", "bin/inner"] {
        assert!(observed.seen(&root.join(program)).unwrap().exec.is_some(), "{program}");
    }
    assert!(observed.seen(&root.join("a")).unwrap().read.is_some());
    for (name, program) in [("tool", root.join("bin/tool")), ("inner", root.join("bin/inner"))] {
        assert_eq!(observed.searched.get(name), Some(&program), "{:?}", observed.searched);
    }
    assert!(observed.searched.contains_key("cat"));
    let loader = observed
        .paths
        .iter()
        .find(|(path, seen)| seen.exec.is_some() && path.to_string_lossy().contains("ld-"));
    assert!(loader.is_some(), "the dynamic loader is executed too");
    assert!(observed.processes.values().any(|name| name == "cat"));
}

#[test]
fn a_script_of_a_script_and_a_loader_of_its_own_are_seen() {
    let folder = folder();
    let root = folder.path().canonicalize().unwrap();
    script(&root.join("inner"), "#!/bin/sh\ncat a\n");
    script(&root.join("outer"), &format!("#!{}/inner -x\n", root.display()));
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"];
    let loader = loader.into_iter().find(|path| Path::new(path).exists()).unwrap();
    assert!(Command::new("cp").args(["-L", loader]).arg(root.join("loader")).status().unwrap().success());
    let own = build("own-loader", "gcc", &[&format!("-Wl,--dynamic-linker={}/loader", root.display())]);
    for (way, level) in FILTERED.into_iter().chain(STEPPED) {
        for (program, args, seen) in [
            (root.join("outer"), &[][..], &["outer", "inner"][..]),
            (own.clone(), &["read"][..], &["loader"][..]),
        ] {
            let launch = launch(&program, args, &root, &[]);
            let mode = Mode::Traced(spec((way, level)));
            let ended = run(&launch, mode, &Running::new(), &mut |_, _| {}).unwrap();
            assert_eq!(ended.exit_code, 0, "{program:?}");
            let observed = ended.observed.unwrap();
            assert_eq!(observed.incomplete, None);
            for name in seen {
                assert!(observed.seen(&root.join(name)).unwrap().exec.is_some(), "{name} ({way:?})");
            }
            assert!(observed.seen(&root.join("a")).unwrap().read.is_some());
        }
    }
}

#[test]
fn reads_of_one_path_keep_only_the_first() {
    let mut observed = Observed::default();
    let folder = folder();
    let path = folder.path().join("a");
    for _ in 0..2 {
        let found = overhear::stamp::Found::at(&path).unwrap();
        observed.add(Access { path: path.clone(), kind: overhear::access::AccessKind::Read, found, pid: 1 });
    }
    assert_eq!(observed.seen(&path).unwrap().read.as_ref().unwrap().order, 0);
}

fn script(path: &Path, text: &str) {
    // Written by another process: one that is forked by another test meanwhile would inherit a
    // descriptor for writing, and the kernel executes nothing that is open for writing.
    let source = path.with_extension("source");
    std::fs::write(&source, text).unwrap();
    assert!(Command::new("cp").arg(source).arg(path).status().unwrap().success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn path_value() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())
}

/// A new folder with the files of [`fill`].
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    folder
}

fn launch(program: &Path, args: &[&str], cwd: &Path, env: &[(&str, &str)]) -> Launch {
    let mut env: Vec<(OsString, OsString)> =
        env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    env.push(("SELF".into(), program.into()));
    env.push(("PATH".into(), path_value()));
    Launch { program: program.into(), args: args.iter().map(OsString::from).collect(), cwd: cwd.into(), env }
}

fn run_case(program: &Path, case: &str, folder: &Path, env: &[(&str, &str)]) -> (Ended, Vec<String>) {
    run_case_at(USUAL, program, case, folder, env)
}

fn run_case_at(
    how: How,
    program: &Path,
    case: &str,
    folder: &Path,
    env: &[(&str, &str)],
) -> (Ended, Vec<String>) {
    let root = folder.canonicalize().unwrap();
    let launch = launch(program, &[case], &root, env);
    let ended = run(&launch, Mode::Traced(spec(how)), &Running::new(), &mut |_, _| {}).unwrap();
    let facts = facts(ended.observed.as_ref().unwrap(), &root);
    (ended, facts)
}

fn facts(observed: &Observed, root: &Path) -> Vec<String> {
    let mut facts = Vec::new();
    for (path, seen) in &observed.paths {
        if let Ok(path) = path.strip_prefix(root) {
            of_path(&path.to_string_lossy(), seen, &mut facts);
        }
    }
    for connection in &observed.connections {
        facts.push(match connection.reach {
            Reach::Inside => "connected inside".into(),
            Reach::Machine => "connected machine".into(),
            Reach::Network => "connected network".into(),
        });
    }
    facts.push(format!("connections {}", observed.connections.len()));
    let states = [
        (observed.incomplete.is_some(), "incomplete"),
        (observed.detached.is_some(), "detached"),
        (observed.read_terminal.is_some(), "terminal"),
    ];
    facts.extend(states.iter().filter(|(holds, _)| *holds).map(|(_, name)| (*name).to_owned()));
    facts
}

fn of_path(path: &str, seen: &Seen, facts: &mut Vec<String>) {
    let mut fact = |what: &str, first: &Option<Box<overhear::access::First>>| {
        if let Some(first) = first {
            facts.push(format!("{what} {path} {}", char::from(first.found.letter())));
        }
    };
    fact("read", &seen.read);
    fact("stat", &seen.stat);
    fact("kind", &seen.kind);
    fact("link", &seen.link);
    fact("exec", &seen.exec);
    fact("list", &seen.list.as_ref().map(|list| Box::new(list.0.clone())));
    fact(if seen.change_is_blind { "blind" } else { "change" }, &seen.change);
    fact("change-kept", &seen.change.clone().filter(|_| !seen.removed));
    if let (Some(change), Some(read)) = (&seen.change, &seen.read)
        && change.order < read.order
    {
        facts.push(format!("change-before-read {path}"));
    }
    if let Some((_, names)) = seen.list.as_deref() {
        let names: Vec<_> =
            names.iter().map(|(name, _)| AsRef::<OsStr>::as_ref(name).to_string_lossy()).collect();
        facts.push(format!("names {path} {}", names.join(",")));
    }
    if seen.removed {
        facts.push(format!("removed {path}"));
    }
}

#[test]
fn each_program_of_the_list_names_cases_and_tests_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = ["programs", "process", "differential"].map(|name| format!("tests/trace_{name}.rs"));
    let names = names
        .into_iter()
        .chain(["tests/programs/cases.rs", "tests/preload.rs", "src/trace/record/mod.rs"].map(String::from));
    let texts: String = names.map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).collect();
    let mut missing = Vec::new();
    for (at, (number, what, by)) in list::LIST.iter().enumerate() {
        assert_eq!(usize::from(*number), at + 1, "{what}");
        for by in *by {
            let quoted = format!("(\"{by}\", ");
            let is_run = texts.contains(&quoted) || texts.contains(&format!("\n        \"{by}\","));
            if !is_run
                && !texts.contains(&format!("fn {by}("))
                && !texts.contains(&format!("    (\n        \"{by}\""))
            {
                missing.push(format!("{number} {what}: {by}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let not_run = list::LIST.iter().filter(|(_, _, by)| by.is_empty()).count();
    assert_eq!((list::LIST.len(), not_run), (92, 1));
}

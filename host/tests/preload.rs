//! The environment overheard: what programs are served, what is noted, and what they see of us.
//! The C programs are in `programs/environment.c`; the Rust program is this one, started again as
//! [`a_program_that_asks_its_environment`].
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail")]

use overhear::access::Observed;
use overhear::event::Stream;
use overhear::process::{Launch, Mode, Running, run};
use overhear::trace::{LeftOut, Spec, preload};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SERVED: &str = "API_URL=https://example.test";
const NOT_SERVED: &str = "API_URL=(none)";

/// What one run came to.
struct Heard {
    out: String,
    err: String,
    observed: Observed,
}

impl Heard {
    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }

    /// Whether the variable was asked for, and then whether it was found.
    fn asked(&self, name: &str) -> Option<bool> {
        self.observed.env.get(name).copied()
    }
}

/// A run with `API_URL` and `OTHER` left out.
struct Case {
    passed: Vec<(OsString, OsString)>,
    left_out: LeftOut,
}

impl Case {
    fn new() -> Case {
        let path = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let variables = vec![
            ("API_URL".into(), "https://example.test".into()),
            ("OTHER".into(), "other".into()),
            ("RAW".into(), OsString::from_vec(vec![b'x', 0xff])),
        ];
        Case { passed: vec![("PATH".into(), path.into())], left_out: LeftOut { variables, is_strict: false } }
    }

    fn with(mut self, name: &str, value: &str) -> Case {
        self.passed.push((name.into(), value.into()));
        self
    }

    fn strict(mut self) -> Case {
        self.left_out.is_strict = true;
        self
    }

    fn run(&self, program: &Path, args: &[&str]) -> Heard {
        assert_eq!(preload::trouble(), None);
        let launch = Launch {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            cwd: "/".into(),
            env: self.passed.clone(),
        };
        let spec = Spec::new("/usr/bin:/bin", vec![]).overhearing(self.left_out.clone());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = run(&launch, Mode::Traced(spec), &Running::new(), &mut |stream, bytes| match stream {
            Stream::Out => out.extend_from_slice(bytes),
            Stream::Err => err.extend_from_slice(bytes),
        })
        .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Heard { out: text(out), err: text(err), observed: ended.observed.unwrap() }
    }

    fn c(&self, args: &[&str]) -> Heard {
        self.run(program(), args)
    }

    fn shell(&self, script: &str) -> Heard {
        self.run(Path::new("/bin/sh"), &["-c", script])
    }

    fn node(&self, script: &str) -> Heard {
        let node = overhear::process::find_program(
            "node".as_ref(),
            &std::env::var_os("PATH").unwrap(),
            Path::new("/"),
        );
        self.run(&node.expect("node is needed for the tests"), &["-e", script])
    }
}

fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("environment", &[]))
}

fn build(name: &str, flags: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/environment.c");
    let target = folder.join("environment");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-w", "-pthread"]).args(flags).arg(source).arg("-o").arg(&target);
    assert!(gcc.status().expect("gcc is needed for the tests").success());
    target
}

#[test]
fn a_left_out_variable_is_served_and_noted() {
    let heard = Case::new().with("PASSED", "1").c(&["get", "API_URL", "NOT_SET", "PASSED", "API_URL"]);
    assert_eq!(heard.lines(), [SERVED, "NOT_SET=(none)", "PASSED=1", SERVED]);
    assert_eq!((heard.asked("API_URL"), heard.asked("NOT_SET")), (Some(true), Some(false)));
    assert_eq!((heard.asked("PASSED"), heard.asked("OTHER")), (None, None));
    assert_eq!(heard.observed.incomplete, None);
    assert_eq!(Case::new().c(&["secure"]).lines(), ["https://example.test"]);
}

#[test]
fn names_are_compared_as_a_whole() {
    let heard = Case::new().with("API_URLS", "plural").c(&["odd"]);
    assert_eq!(heard.lines(), ["API=(none)", "API_URLS=plural"]);
    assert_eq!((heard.asked("API_URL"), heard.asked("API")), (None, Some(false)));
    assert!(heard.observed.incomplete.is_some(), "a name of 399 letters cannot be noted");
}

#[test]
fn a_program_sees_in_its_block_what_was_passed_and_nothing_of_ours() {
    let heard = Case::new().with("PASSED", "1").c(&["block"]);
    let names: Vec<&str> = heard.out.lines().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["OVERHEAR", "PASSED", "PATH"]);
    assert!(heard.observed.env.is_empty(), "{:?}", heard.observed.env);
}

#[test]
fn a_library_that_somebody_else_preloads_is_loaded_and_seen_as_before() {
    let other = "/usr/lib/x86_64-linux-gnu/libm.so.6";
    let heard = Case::new()
        .with("LD_PRELOAD", other)
        .shell("environment get LD_PRELOAD API_URL; grep -c libm.so /proc/self/maps");
    let lines = heard.lines();
    assert_eq!(&lines[..2], [&*format!("LD_PRELOAD={other}"), SERVED]);
    assert_ne!(lines[2], "0");
    assert_eq!(heard.err, "");
}

#[test]
fn what_a_process_sets_or_unsets_is_never_served_afterwards() {
    let set = Case::new().c(&["set"]);
    assert_eq!(set.lines(), [SERVED, "API_URL=own", NOT_SERVED, "OTHER=other", NOT_SERVED]);
    assert_eq!((set.asked("API_URL"), set.asked("OTHER")), (Some(true), Some(true)));
    let unset = Case::new().c(&["unset"]);
    assert_eq!(unset.lines(), [NOT_SERVED, "API_URL=own"]);
    assert_eq!(Case::new().c(&["put"]).lines(), ["API_URL=own", NOT_SERVED]);
    assert_eq!(Case::new().c(&["clear"]).lines(), [NOT_SERVED; 3]);
    let replaced = Case::new().c(&["replace"]);
    assert_eq!((replaced.lines(), replaced.asked("API_URL")), (vec![NOT_SERVED], None));
}

#[test]
fn a_value_that_is_written_into_changes_for_its_process_only() {
    assert_eq!(Case::new().c(&["write"]).lines(), ["API_URL=changed", SERVED]);
}

#[test]
fn a_program_started_in_any_way_is_overheard() {
    let ways = [
        "execl",
        "execl-long",
        "execlp",
        "execle",
        "execv",
        "execvp",
        "execvpe",
        "execve",
        "execveat",
        "fexecve",
        "posix_spawn",
        "posix_spawnp",
        "vfork",
        "many",
    ];
    for way in ways {
        let heard = Case::new().c(&[way]);
        assert_eq!(heard.lines().first(), Some(&SERVED), "{way}: {}", heard.err);
        assert_eq!(heard.asked("API_URL"), Some(true), "{way}");
    }
    for way in ["system", "popen"] {
        assert_eq!(Case::new().c(&[way]).lines(), [SERVED, "0"], "{way}");
    }
    assert_eq!(Case::new().c(&["execle-short"]).out, "");
    assert_eq!(Case::new().c(&["failing"]).lines(), [SERVED]);
}

#[test]
fn a_program_with_an_environment_made_from_nothing_is_not_served() {
    for heard in [
        Case::new().c(&["selected"]),
        Case::new().c(&["none"]),
        Case::new().shell("env -i \"$(command -v environment)\" get API_URL"),
        Case::new().shell("env -u API_URL environment get API_URL"),
    ] {
        assert_eq!(heard.lines(), [NOT_SERVED]);
        assert_eq!(heard.asked("API_URL"), None);
        assert_eq!(heard.observed.incomplete, None);
    }
    assert_eq!(Case::new().shell("environment get API_URL").lines(), [SERVED]);
    assert_eq!(Case::new().shell("API_URL=own environment get API_URL").lines(), ["API_URL=own"]);
}

#[test]
fn threads_note_each_name_once_and_none_is_lost() {
    let heard = Case::new().c(&["threads"]);
    let many = heard.observed.env.keys().filter(|name| name.starts_with("MANY_")).count();
    assert_eq!((many, heard.asked("API_URL")), (800, Some(true)));
    assert_eq!(heard.observed.incomplete, None);
}

#[test]
fn what_cannot_be_noted_makes_the_trace_incomplete() {
    let too_many = Case::new().c(&["too-many"]).observed.incomplete.unwrap();
    assert!(too_many.contains("more variables"), "{too_many}");
    let heard = Case::new().c(&["no-descriptor"]);
    assert_eq!(heard.lines(), [NOT_SERVED]);
    assert!(heard.observed.incomplete.unwrap().contains("could not note"));
    let raw = Case::new().c(&["get", "RAW_NOT"]);
    assert_eq!(raw.observed.incomplete, None);
    let raw = Case::new().run(Path::new("/bin/sh"), &["-c", "environment get RAW | tr -d '\\377'"]);
    assert_eq!(raw.lines(), ["RAW=x"]);
    assert!(raw.observed.incomplete.unwrap().contains("RAW"));
}

#[test]
fn a_program_that_closed_every_descriptor_is_overheard() {
    let heard = Case::new().c(&["closed"]);
    assert_eq!((heard.lines(), heard.asked("API_URL")), (vec![SERVED], Some(true)));
}

#[test]
fn in_strict_mode_a_hidden_variable_is_reported_and_not_served() {
    let heard = Case::new().strict().c(&["get", "API_URL", "NOT_SET"]);
    assert_eq!(heard.lines(), [NOT_SERVED, "NOT_SET=(none)"]);
    assert!(heard.observed.env.is_empty());
    assert_eq!(heard.observed.hidden.iter().collect::<Vec<_>>(), ["API_URL"]);
}

#[test]
fn a_program_built_with_a_sanitizer_runs_and_is_served() {
    let program = build("environment-sanitized", &["-fsanitize=address"]);
    let heard = Case::new().run(&program, &["get", "API_URL"]);
    assert_eq!((heard.lines(), &*heard.err), (vec![SERVED], ""));
}

#[test]
fn a_static_program_is_not_served_and_the_programs_that_it_starts_are() {
    let program = build("environment-static", &["-static"]);
    let heard = Case::new().run(&program, &["get", "API_URL"]);
    assert_eq!((heard.lines(), heard.asked("API_URL"), &*heard.err), (vec![NOT_SERVED], None, ""));
    let heard = Case::new().run(&program, &["execvp"]);
    // The first of this name in PATH is the dynamic one.
    assert_eq!((heard.lines(), heard.asked("API_URL")), (vec![SERVED], Some(true)));
}

#[test]
fn node_is_served_what_it_asks_for_by_name() {
    let heard = Case::new().node(
        "console.log(process.env.API_URL, 'OTHER' in process.env, process.env.NOT_SET,
            Object.keys(process.env).join(), JSON.stringify(process.env).includes('example'))",
    );
    assert_eq!(heard.lines(), ["https://example.test true undefined OVERHEAR,PATH false"]);
    assert_eq!(
        (heard.asked("API_URL"), heard.asked("OTHER"), heard.asked("NOT_SET")),
        (Some(true), Some(true), Some(false))
    );
    assert_eq!(heard.asked("PATH"), None);
    assert_eq!(heard.observed.incomplete, None);
}

#[test]
fn what_node_sets_or_deletes_is_not_served_to_it_or_its_children() {
    let heard = Case::new().node(
        "const { execFileSync } = require('child_process');
         const ask = (env) => execFileSync(process.execPath, ['-p', 'process.env.API_URL'], { env, encoding: 'utf8' }).trim();
         console.log(ask(process.env), ask({ ...process.env, A: '1' }), ask({ PATH: process.env.PATH }));
         process.env.API_URL = 'own';
         console.log(process.env.API_URL, ask(process.env));
         delete process.env.API_URL;
         console.log(process.env.API_URL, ask(process.env), ask({ ...process.env }));",
    );
    let served = "https://example.test";
    assert_eq!(
        heard.lines(),
        [&*format!("{served} {served} undefined"), "own own", "undefined undefined undefined"],
        "{}",
        heard.err
    );
}

#[test]
fn a_worker_thread_of_node_has_a_copy_of_what_was_passed() {
    let heard = Case::new().with("PASSED", "1").node(
        "const { Worker } = require('worker_threads');
         new Worker('console.log(process.env.PASSED, process.env.API_URL)', { eval: true });",
    );
    assert_eq!(heard.lines(), ["1 undefined"]);
    assert_eq!(heard.asked("API_URL"), None);
}

#[test]
fn a_program_in_rust_is_served() {
    let case = Case::new().with("OVERHEAR_TEST_ASKS", "1");
    let own = std::env::current_exe().unwrap();
    let heard = case.run(&own, &["--exact", "a_program_that_asks_its_environment", "--nocapture"]);
    assert!(heard.out.contains("asked: Ok(\"https://example.test\") Err(NotPresent) false"), "{}", heard.out);
    assert_eq!((heard.asked("API_URL"), heard.asked("NOT_SET")), (Some(true), Some(false)));
}

#[test]
#[allow(clippy::print_stdout, reason = "another test reads it")]
fn a_program_that_asks_its_environment() {
    if std::env::var_os("OVERHEAR_TEST_ASKS").is_some() {
        let enumerated = std::env::vars().any(|(name, _)| name == "API_URL");
        println!("asked: {:?} {:?} {enumerated}", std::env::var("API_URL"), std::env::var("NOT_SET"));
    }
}

//! What a person types who comes from another runner, or who leaves something out; and the width of help.

use crate::fixture::Fixture;

/// Exit code 2 and this text, and nothing has run.
#[track_caller]
fn is_told(fixture: &Fixture, args: &[&str], expected: &str) {
    let (code, text) = fixture.failure(args);
    assert_eq!(code, Some(2), "{args:?}: {text}");
    assert_eq!(text, expected, "{args:?}");
}

fn app() -> Fixture {
    Fixture::new(&[("package.json", r#"{"name": "app", "scripts": {"build": "touch made"}}"#)])
}

#[test]
fn flags_of_other_runners_are_answered_with_ours() {
    let fixture = app();
    for (args, flag, help) in [
        (&["--dry=json", "build"][..], "--dry", "write --dry-run; with --json for programs"),
        (&["--all", "build"], "--all", "write -r"),
        (&["-p", "web", "build"], "-p", "write -F web"),
        (&["-r", "--since", "main", "build"], "--since", "write --affected=main"),
        (&["-x", "build"], "-x", "see overhear run --help; flags for the task go after its name"),
        (&["--no-cash", "build"], "--no-cash", "did you mean --no-cache?"),
    ] {
        is_told(&fixture, &[&["run"], args].concat(), &format!("unknown flag {flag}\n = help: {help}\n"));
    }
    let (code, text) = fixture.failure(&["run", "--parallel=4", "build"]);
    assert_eq!(code, Some(2));
    assert!(text.ends_with("\nTo run at most N steps at once: --concurrency N\n"), "{text}");
    assert!(!fixture.dir.path().join("made").exists());
}

/// A list of the tasks and code 0 would pass for a build.
#[test]
fn flags_without_a_task_are_an_error_and_say_what_took_its_name() {
    let fixture = app();
    for flag in ["--summarize", "--trace-profile"] {
        let expected =
            format!("no task named: {flag} took `build` for its file\n = help: write {flag} FILE build\n");
        is_told(&fixture, &["run", flag, "build"], &expected);
    }
    let expected = "no task named\n = help: `overhear list` shows the tasks\n";
    for flags in [&["--summarize", "x.json"][..], &["--force"], &["--concurrency", "2"], &["-q"], &["-r"]] {
        is_told(&fixture, &[&["run"], flags].concat(), expected);
    }
    assert_eq!(fixture.out(&["run"]), "app#build  touch made\n");
    let output = fixture.command(&["run"]).env("OVERHEAR_CONCURRENCY", "2").output().unwrap();
    assert!(output.status.success(), "a variable is set for all runs");
}

#[test]
fn a_variable_that_makes_no_sense_is_named_and_not_the_flag() {
    let fixture = app();
    let said = |args: &[&str]| {
        let output = fixture.command(args).env("OVERHEAR_CONCURRENCY", "abc").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let expected =
        "the variable OVERHEAR_CONCURRENCY is `abc`\n = help: write a number from 1, or unset it\n";
    assert_eq!(said(&["run", "build"]), expected);
    assert_eq!(said(&["exec", "--", "true"]), expected);
    assert!(said(&["run", "--concurrency", "x", "build"]).contains("'x' for '--concurrency <N>'"));
}

#[test]
fn help_is_at_most_80_columns_wide_where_it_goes_into_a_pipe() {
    let fixture = app();
    let commands =
        ["run", "exec", "list", "why", "diff", "inspect", "doctor", "cache", "adapter", "tell", "init"];
    let pages = commands.map(|command| vec![command, "--help"]);
    for args in pages.iter().map(Vec::as_slice).chain([&["--help"][..], &["adapter", "add", "--help"]]) {
        for line in fixture.out(args).lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
        }
    }
}

#[test]
fn what_a_root_script_runs_itself_is_a_note_that_quiet_leaves_out() {
    let fixture = Fixture::web_on_ui();
    let root = r#"{"name": "root", "private": true, "workspaces": ["packages/*"],
        "scripts": {"build": "pnpm -r build"}}"#;
    fixture.write("package.json", root);
    let said = |args: &[&str]| String::from_utf8(fixture.output(args).stderr).unwrap();
    let note = "root#build runs tasks in many packages itself and is left out";
    assert!(said(&["run", "-r", "build"]).contains(note));
    for args in [&["run", "-q", "-r", "build"][..], &["run", "-q", "--dry-run", "-r", "build"]] {
        assert!(!said(args).contains(note), "{args:?}");
    }
}

#[test]
fn the_list_of_entries_names_later_steps_and_commands() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "app", "scripts": {"build": "cat package.json > a && cat a > b"}}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
    ]);
    assert_eq!(fixture.out(&["cache", "list"]), "");
    fixture.out(&["run", "-q", "build"]);
    fixture.out(&["exec", "-q", "--", "cat", "b", "a"]);
    let list = fixture.out(&["cache", "list"]);
    let mut lines = list.lines();
    let heading = "entry           archive         took     age  task";
    assert_eq!(lines.next(), Some(heading), "{list}");
    let at = heading.find("task").unwrap();
    let tasks: Vec<&str> = lines.map(|line| &line[at..]).collect();
    assert_eq!(tasks, ["exec -- cat b a", "app#build.2", "app#build"], "{list}");
    fixture.out(&["cache", "clean", "--task", "exec"]);
    fixture.out(&["cache", "clean", "--task", "build"]);
    assert_eq!(fixture.out(&["cache", "stat"]), "0 entries, 0 archives, 0 B\n");
    fixture.out(&["exec", "-q", "--", "cat", "b"]);
    assert_eq!(fixture.out(&["cache", "stat"]), "1 entry, 0 archives, 0 B\n");
}

#[test]
fn the_graph_tells_the_steps_of_a_task_apart() {
    let fixture =
        Fixture::new(&[("package.json", r#"{"name": "app", "scripts": {"build": "echo a && echo a"}}"#)]);
    let dot = fixture.out(&["run", "--graph", "build"]);
    let labels: Vec<&str> =
        dot.lines().filter_map(|line| line.split_once("[label = ")).map(|(_, l)| l).collect();
    assert_eq!(labels, ["\"app#build\\necho a\"]", "\"app#build.2\\necho a\"]"]);
}

#[test]
fn the_schema_is_named_where_it_is_installed_and_nowhere_else() {
    for installed in [false, true] {
        let fixture = Fixture::web_on_ui();
        std::fs::remove_file(fixture.dir.path().join("overhear.json")).expect("it is there");
        if installed {
            fixture.write("node_modules/overhear/schema.json", "{}");
        }
        fixture.out(&["init"]);
        let config: serde_json::Value = serde_json::from_str(&fixture.read("overhear.json")).unwrap();
        let expected = installed.then_some("./node_modules/overhear/schema.json");
        assert_eq!(config["$schema"].as_str(), expected);
    }
}

#[test]
fn pages_of_all_commands_are_written_with_values_in_the_synopsis() {
    let fixture = app();
    fixture.out(&["man", "--to", "pages"]);
    let synopsis = |page: &str| {
        let page = fixture
            .read(page)
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "")
            .replace("\\-", "-");
        page.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(1).unwrap_or_default().to_owned()
    };
    let run = synopsis("pages/overhear-run.1");
    for part in ["[-C DIR]", "[--concurrency N]", "[-F|--filter PATTERN]", "[--graph[=FORMAT]]", "[--force]"]
    {
        assert!(run.contains(part), "{part} is missing in {run}");
    }
    let gc = synopsis("pages/overhear-cache-gc.1");
    assert!(gc.contains("[--max-size SIZE]"), "{gc}");
    assert!(fixture.dir.path().join("pages/overhear.1").is_file());
}

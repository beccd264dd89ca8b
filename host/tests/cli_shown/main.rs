//! What people see, from outside: `why`, `--dry-run`, the forms of the log, the flags that contradict
//! each other, what is typed as with other runners, `init`, completions. Each test is a workspace in a folder of its own.

mod fixture;
mod init;
mod usage;

use fixture::Fixture;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Lines without the times in them.
fn without_times(text: &str) -> Vec<String> {
    let cut = |line: &str| {
        line.split_once(", ").filter(|(_, rest)| rest.ends_with(" saved")).map(|(first, _)| first.to_owned())
    };
    text.lines().map(|line| cut(line).unwrap_or_else(|| line.to_owned())).collect()
}

#[test]
fn why_and_dry_run_write_nothing_before_the_first_run_and_after_it() {
    let fixture = Fixture::web_on_ui();
    for _ in 0..2 {
        let before = fixture.tree();
        fixture.out(&["why", "web#build"]);
        fixture.out(&["why", "web#build", "--json"]);
        fixture.out(&["run", "--dry-run", "-r", "build"]);
        fixture.out(&["run", "--graph", "-r", "build"]);
        assert!(fixture.tree() == before, "a file was changed, made or removed");
        fixture.out(&["run", "-r", "build"]);
    }
}

#[test]
fn why_tells_all_that_differs_most_telling_first() {
    let fixture = Fixture::web_on_ui();
    fixture.out(&["run", "web#build"]);
    assert_eq!(without_times(&fixture.out(&["why", "web#build"])), ["web#build  hit: fresh"]);
    fixture.write("packages/web/a.txt", "other");
    std::fs::remove_file(fixture.dir.path().join("packages/web/b.txt")).expect("it is there");
    fixture.write("packages/web/build.sh", "cat ../ui/dist/out.txt a.txt b.txt > out.txt # x");
    let expected = "\
web#build  miss: packages/web/a.txt changed
  also: packages/web/build.sh changed
  also: packages/web/b.txt is gone
  `overhear diff web#build` shows it line by line
  if that is no input, in packages/web/overhear.json:
    \"scripts\": {\"build\": {\"input\": [{\"auto\": true}, \"!a.txt\"]}}
";
    assert_eq!(fixture.out(&["why", "web#build"]), expected);
    let document = fixture.json(&["why", "web#build", "--json"]);
    let kinds: Vec<&str> = document["steps"][0]["differences"]
        .as_array()
        .expect("there are differences")
        .iter()
        .filter_map(|difference| difference["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["input_modified", "input_modified", "input_removed"]);
    assert_eq!(document["steps"][0]["remedy"]["file"], "packages/web/overhear.json");
}

#[test]
fn why_tells_what_else_differs_where_the_command_does() {
    let fixture = Fixture::web_on_ui();
    fixture.out(&["run", "web#build"]);
    fixture.write("packages/web/a.txt", "other");
    let text = fixture.out(&["why", "web#build", "--", "--mode", "x"]);
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "web#build  miss: the command or its arguments changed",
        "  also: packages/web/a.txt changed",
        "  each command line has entries of its own; the one of before hits again",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn why_names_what_must_run_first() {
    let fixture = Fixture::web_on_ui();
    fixture.out(&["run", "web#build"]);
    fixture.write("packages/ui/src.txt", "two");
    let expected = "\
web#build  unknown: ui#build must run first; a hit if that changes nothing
ui#build  miss: packages/ui/src.txt changed
";
    assert_eq!(fixture.out(&["why", "web#build"]), expected);
}

#[test]
fn why_tells_why_the_last_run_was_not_stored_and_what_would_change_that() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "app", "scripts": {"gen": "sh gen.sh"}}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
        ("gen.sh", "cat count.txt > /dev/null && echo x >> count.txt"),
        ("count.txt", "x\n"),
    ]);
    let output = fixture.output(&["run", "gen"]);
    let line = "app#gen  not stored: sh changed count.txt after it was read";
    assert!(String::from_utf8_lossy(&output.stderr).lines().any(|one| one == line));
    let text = fixture.out(&["why", "gen"]);
    let expected = "  last run not stored: sh changed count.txt after it was read
  a run that finds what one like it has left is kept: mostly the next
  if that is no input, in overhear.json:
    \"scripts\": {\"gen\": {\"input\": [{\"auto\": true}, \"!count.txt\"]}}
";
    assert!(text.ends_with(expected), "{text}");
    let document = fixture.json(&["why", "gen", "--json"]);
    assert_eq!(document["steps"][0]["last_run_not_stored"]["process"], "sh");
}

#[test]
fn a_dry_run_takes_what_hits_would_put_back_as_there() {
    let fixture = Fixture::web_on_ui();
    fixture.out(&["run", "-r", "build"]);
    std::fs::remove_dir_all(fixture.dir.path().join("packages/ui/dist")).expect("it was made");
    std::fs::remove_file(fixture.dir.path().join("packages/web/out.txt")).expect("it was made");
    let text = fixture.out(&["run", "--dry-run", "-r", "build"]);
    assert_eq!(without_times(&text), ["ui#build  hit: restored", "web#build  hit: restored"]);
    let document = fixture.json(&["run", "--dry-run", "--json", "-r", "build"]);
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["tasks"][1]["status"], "restored");
    let output = fixture.output(&["run", "-r", "build"]);
    let lines = without_times(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines[..2], ["ui#build  restored", "web#build  restored"]);
}

#[test]
fn the_graph_is_printed_and_nothing_runs() {
    let fixture = Fixture::web_on_ui();
    let dot = fixture.out(&["run", "--graph", "web#build"]);
    assert!(dot.starts_with("digraph overhear {") && dot.contains("  0 -> 1\n"), "{dot}");
    let document = fixture.json(&["run", "--graph=json", "web#build"]);
    assert_eq!(document["steps"][1]["waits_for"], serde_json::json!([0]));
}

#[test]
fn json_goes_to_standard_output_and_what_commands_print_does_not() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "app", "scripts": {"say": "echo hello"}}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
    ]);
    let output = fixture.output(&["run", "--json", "say"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(document["tasks"][0]["status"], "ran");
    assert!(String::from_utf8_lossy(&output.stderr).contains("hello\n"));
    let details = fixture.out(&["run", "--last-details"]);
    assert!(details.contains("  miss: first run\n") && details.contains("$ echo hello\n"), "{details}");
}

#[test]
fn a_profile_has_an_event_for_each_step() {
    let fixture = Fixture::web_on_ui();
    fixture.out(&["run", "--trace-profile", "profile.json", "-r", "build"]);
    let document: Value = serde_json::from_str(&fixture.read("profile.json")).expect("it is JSON");
    let events = document["traceEvents"].as_array().expect("it has events");
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event["ph"] == "X" && event["dur"].is_u64() && event["tid"].is_u64()));
}

#[test]
fn every_byte_that_a_command_prints_arrives_at_first_and_again() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "app", "scripts": {"say": "cat bytes"}}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
    ]);
    let bytes = b"10%\r20%\rdone\n\xff\xfe\x00\ttail without an end";
    std::fs::write(fixture.dir.path().join("bytes"), bytes).expect("it can be written");
    for _ in 0..2 {
        assert_eq!(fixture.output(&["run", "say"]).stdout, bytes);
    }
}

#[test]
fn colours_are_kept_for_those_who_want_them_and_taken_out_for_others() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "app", "scripts": {"say": "cat bytes"}}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
        ("bytes", "\u{1b}[31mred\u{1b}[0m\n"),
    ]);
    assert_eq!(fixture.out(&["run", "say"]), "red\n");
    assert_eq!(fixture.out(&["run", "--color", "always", "say"]), "\u{1b}[31mred\u{1b}[0m\n");
    let output = fixture.command(&["run", "say"]).env("FORCE_COLOR", "1").output().expect("overhear starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\u{1b}[31mred\u{1b}[0m\n");
}

/// Two packages that print begun lines in turns: each waits for the other by files.
fn two_that_talk_at_once() -> Fixture {
    let script = "\
printf \"$1 begins, \"; : > ../begun.$1; until [ -e ../begun.$2 ]; do :; done
echo \"$1 ends\"; printf \"$1 has no end\"";
    Fixture::new(&[
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["a", "b"]}"#),
        ("say.sh", script),
        ("a/package.json", r#"{"name": "a", "scripts": {"say": "sh ../say.sh a b"}}"#),
        ("b/package.json", r#"{"name": "b", "scripts": {"say": "sh ../say.sh b a"}}"#),
    ])
}

#[test]
fn lines_of_steps_that_run_at_once_are_not_mixed() {
    let fixture = two_that_talk_at_once();
    let text = fixture.out(&["run", "--concurrency", "2", "-r", "say"]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let whole = ["a begins, a ends", "a has no end", "b begins, b ends", "b has no end"];
    // The one that began alone has shown the begin of its line before the other came.
    let parts: String = lines.concat();
    assert_eq!(lines.iter().filter(|line| line.ends_with("has no end")).count(), 2, "{text}");
    assert!(lines.iter().all(|line| whole.iter().any(|one| one.contains(line))), "{text}");
    assert_eq!(parts.len(), whole.concat().len());
}

#[test]
fn labels_stand_before_whole_lines_and_show_the_last_state_of_a_progress_bar() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["a", "b"]}"#),
        ("overhear.json", r#"{"cache": {"scripts": true}}"#),
        ("bytes", "10%\r20%\rdone\r\nno end"),
        ("a/package.json", r#"{"name": "a", "scripts": {"say": "cat ../bytes"}}"#),
        ("b/package.json", r#"{"name": "b", "scripts": {"say": "cat ../bytes"}}"#),
    ]);
    for _ in 0..2 {
        let text = fixture.out(&["run", "--log", "labeled", "-r", "say"]);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["[a#say] done", "[a#say] no end", "[b#say] done", "[b#say] no end"]);
    }
}

#[test]
fn groups_come_one_after_the_other_although_their_steps_ran_at_once() {
    let fixture = two_that_talk_at_once();
    let text = fixture.out(&["run", "--log", "grouped", "--concurrency", "2", "-r", "say"]);
    let a = "a begins, a ends\na has no end";
    let b = "b begins, b ends\nb has no end";
    assert!(text == format!("{a}\n{b}") || text == format!("{b}\n{a}"), "{text}");
}

#[test]
fn github_actions_gets_folded_groups_and_marks_for_failures() {
    let fixture = Fixture::new(&[
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["a", "b"]}"#),
        ("a/package.json", r#"{"name": "a", "scripts": {"say": "sh -c 'echo hello; exit 3'"}}"#),
        ("b/package.json", r#"{"name": "b", "scripts": {"say": "echo hello"}}"#),
    ]);
    let mut command = fixture.command(&["run", "--continue", "--concurrency", "1", "-r", "say"]);
    let output = command.env("GITHUB_ACTIONS", "true").output().expect("overhear starts");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let not_cached = "not cached: no adapter knows this command; `overhear why` says more";
    assert!(
        text.contains(&format!(
            "::group::a#say  {not_cached}\nhello\n::endgroup::\na#say  failed: exit code 3\n"
        )),
        "{text}"
    );
    assert!(text.contains("::error title=a#say::sh -c 'echo hello; exit 3' failed: exit code 3\n"), "{text}");
    assert!(text.contains(&format!("::group::b#say  {not_cached}\nhello\n::endgroup::\n")), "{text}");
}

#[test]
fn flags_that_contradict_each_other_are_both_named_and_nothing_runs() {
    let fixture =
        Fixture::new(&[("package.json", r#"{"name": "app", "scripts": {"build": "echo x > made"}}"#)]);
    let pairs: [&[&str]; 10] = [
        &["--quiet", "--verbose"],
        &["--cache", "--no-cache"],
        &["--no-cache", "--force"],
        &["--graph", "--dry-run"],
        &["--recursive", "--transitive"],
        &["--recursive", "--filter=app"],
        &["--affected", "--workspace-root"],
        &["--watch", "--dry-run"],
        &["--watch", "--json"],
        &["--dry-run", "--trace-profile=x"],
    ];
    for pair in pairs {
        let (code, text) = fixture.failure(&[&["run"], pair, &["build"]].concat());
        assert_eq!(code, Some(2), "{pair:?}: {text}");
        for flag in pair {
            assert!(text.contains(flag.split('=').next().unwrap_or(flag)), "{pair:?}: {text}");
        }
    }
    assert!(!fixture.dir.path().join("made").exists());
}

#[test]
fn a_flag_that_went_to_a_task_that_failed_is_told() {
    let fixture =
        Fixture::new(&[("package.json", r#"{"name": "app", "scripts": {"fail": "sh -c 'exit 4' x"}}"#)]);
    let (code, text) = fixture.failure(&["run", "fail", "--log", "labeled"]);
    assert_eq!(code, Some(4));
    let told = "--log came after the task name, so it goes to fail; if it was meant for overhear: overhear run --log … fail\n";
    assert!(text.ends_with(told), "{text}");
    assert!(!fixture.failure(&["run", "fail", "--watch-mode"]).1.contains("came after"));
}

#[test]
fn a_task_that_the_root_lacks_is_offered_in_all_packages() {
    let fixture = Fixture::web_on_ui();
    let (code, text) = fixture.failure(&["run", "build"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("2 other packages have it; run it there with -r"), "{text}");
}

#[test]
fn bash_completes_names_of_tasks_with_colons_in_them() {
    let fixture = Fixture::new(&[(
        "package.json",
        r#"{"name": "app", "scripts": {"test:unit": "true", "test:e2e": "true"}}"#,
    )]);
    let folder = Path::new(env!("CARGO_BIN_EXE_overhear"))
        .parent()
        .expect("it lies in a folder")
        .display()
        .to_string();
    let script = format!(
        "PATH={folder}:$PATH; source <(overhear completions bash); \
         COMP_LINE='overhear run test:' COMP_POINT=18; COMP_WORDS=(overhear run test :) COMP_CWORD=3; _overhear; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(fixture.dir.path())
        .output()
        .expect("bash starts");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "unit e2e\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_summary_that_cannot_be_written_is_told_before_anything_runs() {
    let fixture = Fixture::new(&[("package.json", r#"{"scripts": {"build": "touch made"}}"#)]);
    for (file, why) in [("package.json/summary.json", "`package.json` is no folder"), (".", "it is a folder")]
    {
        let (code, text) = fixture.failure(&["run", "--summarize", file, "build"]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&format!("cannot write the summary to `{file}`: {why}")), "{text}");
        assert!(!fixture.dir.path().join("made").exists());
    }
    fixture.out(&["run", "--quiet", "--summarize", "not/yet/summary.json", "build"]);
    assert!(fixture.read("not/yet/summary.json").contains("\"exit_code\": 0"));
}

/// As directly: a program that writes into a file is asked for no colours.
#[test]
fn a_command_that_is_not_cached_is_asked_for_colours_only_where_they_are_shown() {
    let fixture = Fixture::new(&[(
        "package.json",
        r#"{"scripts": {"say": "echo forced=$FORCE_COLOR", "twice": "npm run say && echo end=$FORCE_COLOR"}}"#,
    )]);
    for (args, expected) in [
        (&["run", "--quiet", "say"][..], "forced=\n"),
        (&["run", "--quiet", "twice"], "forced=\nend=\n"),
        (&["run", "--quiet", "--color", "always", "twice"], "forced=1\nend=1\n"),
    ] {
        assert_eq!(fixture.out(args), expected, "{args:?}");
    }
}

#[test]
fn flags_of_overhear_after_a_task_that_decide_what_runs_are_told_of_beforehand() {
    let fixture = Fixture::new(&[("package.json", r#"{"scripts": {"deploy": "echo deployed"}}"#)]);
    let said = |args: &[&str]| String::from_utf8(fixture.output(args).stderr).unwrap();
    assert!(said(&["run", "deploy", "--dry-run"]).contains("--dry-run came after the task name"));
    for args in [
        &["run", "deploy", "--", "--dry-run"][..],
        &["run", "--quiet", "deploy", "--dry-run"],
        &["run", "deploy", "--force"],
    ] {
        assert!(!said(args).contains("came after"), "{args:?}");
    }
}

#[test]
fn the_name_of_a_task_as_the_first_word_is_told_how_to_be_run() {
    let fixture = Fixture::web_on_ui();
    let (code, text) = fixture.failure(&["build", "--watch"]);
    assert_eq!(code, Some(2));
    assert!(text.ends_with("\nTo run a task: overhear run build --watch\n"), "{text}");
    // What is no command of `cache` is no task.
    assert!(!fixture.failure(&["cache", "build"]).1.contains("To run a task"));
}

#[test]
fn entries_of_one_task_are_forgotten_by_either_of_its_names() {
    let fixture = Fixture::web_on_ui();
    let kept = || fixture.json(&["cache", "list", "--json"])["entries"].as_array().unwrap().len();
    for (args, left) in [
        (&["--task", "web#build"][..], 1),
        (&["--task", "build"], 0),
        (&["--task", "build", "--package", "ui"], 1),
        (&["--package", "web"], 1),
    ] {
        fixture.out(&["run", "--quiet", "-r", "build"]);
        assert_eq!(kept(), 2);
        let said = fixture.out(&[&["cache", "clean"], args].concat());
        assert!(said.starts_with("removed "), "{said}");
        assert_eq!(kept(), left, "{args:?}");
    }
    for (args, hint) in [
        (["--task", "biuld"], "nothing is kept of `biuld`; did you mean `build`?\n"),
        (["--package", "uii"], "nothing is kept of `uii`; did you mean `ui`?\n"),
        (["--package", "nowhere"], "nothing is kept of `nowhere`\n"),
    ] {
        fixture.out(&["run", "--quiet", "-r", "build"]);
        assert_eq!(fixture.out(&[&["cache", "clean"], &args[..]].concat()), hint);
        assert_eq!(kept(), 2);
    }
}

#[test]
fn doctor_looks_at_the_cache_and_writes_nothing() {
    let fixture = Fixture::web_on_ui();
    let cache = |fixture: &Fixture| fixture.json(&["doctor", "--json"])["cache"].clone();
    let before = fixture.tree();
    assert!(fixture.out(&["doctor"]).contains("cache        nothing is kept yet"));
    assert_eq!((&cache(&fixture)["works"], &cache(&fixture)["kept"]), (&true.into(), &Value::Null));
    assert_eq!(fixture.tree(), before);
    fixture.out(&["run", "--quiet", "-r", "build"]);
    assert_eq!(cache(&fixture)["kept"]["entries"], 2);
    assert!(fixture.out(&["doctor"]).contains("cache        works: 2 entries, "));
    std::fs::remove_dir_all(fixture.dir.path().join(".overhear")).unwrap();
    fixture.write(".overhear", "no folder");
    let output = fixture.output(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("cache        does not work: cannot "));
}

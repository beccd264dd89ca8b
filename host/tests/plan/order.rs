//! What waits for what.

use super::*;

/// app → ui → core, app → core; `tool` apart. ui has no `test`.
fn monorepo() -> Fixture {
    let fixture = Fixture::new(&[("package.json", "{\"name\": \"root\", \"workspaces\": [\"packages/*\"]}")]);
    fixture.write("packages/app/package.json", &manifest("app", &["build", "test"], &["ui", "core"]));
    fixture.write("packages/core/package.json", &manifest("core", &["build", "test"], &[]));
    fixture.write("packages/tool/package.json", &manifest("tool", &["build"], &[]));
    fixture.write("packages/ui/package.json", &manifest("ui", &["build"], &["core"]));
    fixture
}

fn lone(scripts: &str) -> Fixture {
    Fixture::new(&[("package.json", &format!("{{\"scripts\": {{{scripts}}}}}"))])
}

/// Calls of scripts that run everything, one after the other: the tests come after all builds, once.
#[test]
fn scripts_of_the_root_that_run_everything_keep_their_order_when_they_are_called() {
    let fixture = monorepo();
    let root = r#"{"name": "root", "workspaces": ["packages/*"], "scripts": {
        "build": "overhear run -r build", "test": "overhear run -r test", "ci": "npm run build && npm test",
        "in-place": "overhear run -r build && overhear run -r test", "verify": "npm run in-place && echo ok",
        "setup": "rm -rf made && npm run test"}}"#;
    fixture.write("package.json", root);
    let of = |task: &str| tasks(&fixture.plan(&fixture.request(task, "")));
    let builds_and_tests = of("ci");
    let first_test = builds_and_tests.iter().position(|task| task.ends_with("#test")).unwrap();
    assert!(
        builds_and_tests[first_test..].iter().all(|task| task.ends_with("#test")),
        "{builds_and_tests:?}"
    );
    let mut once = builds_and_tests.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), builds_and_tests.len());
    let steps = fixture.plan(&fixture.request("ci", "")).steps;
    let is_after_all_builds = |at: usize| {
        let (mut open, mut seen) = (vec![at], std::collections::BTreeSet::new());
        while let Some(at) = open.pop() {
            open.extend(steps[at].waits_for.iter().copied().filter(|need| seen.insert(*need)));
        }
        steps.iter().filter(|step| step.id.task.ends_with("#build")).all(|step| seen.contains(&step.id.index))
    };
    assert!((first_test..steps.len()).all(is_after_all_builds));
    assert_eq!(of("in-place"), builds_and_tests);
    assert_eq!(of("verify"), [builds_and_tests, vec!["root#verify".to_owned()]].concat());
    assert_eq!(of("setup")[0], "root#setup");
    assert!(of("setup")[1..].iter().all(|task| task.ends_with("#test") && task != "root#test"));
}

/// As who comes from turbo has it: scripts of the root that run everything, and an order of tasks.
#[test]
fn scripts_of_the_root_that_run_everything_may_wait_for_each_other() {
    let fixture = monorepo();
    let root = r#"{"name": "root", "workspaces": ["packages/*"],
        "scripts": {"build": "overhear run -r build", "test": "overhear run -r test"}}"#;
    fixture.write("package.json", root);
    let config = r#"{"scripts": {"build": {"dependsOn": ["^build"]}, "test": {"dependsOn": ["build"]}}}"#;
    fixture.write("overhear.json", config);
    for request in [
        fixture.request("test", ""),
        Request { recursive: true, ..fixture.request("test", "") },
        Request { recursive: true, ..fixture.request("build,test", "") },
    ] {
        let plan = fixture.plan(&request);
        let test = plan.steps.iter().position(|step| &*step.id.task == "app#test").unwrap();
        let build = plan.steps.iter().position(|step| &*step.id.task == "app#build").unwrap();
        assert!(plan.steps[test].waits_for.contains(&build), "{:?}", lines(&plan));
    }
}

#[test]
fn the_steps_of_a_task_come_one_after_the_other() {
    let fixture = lone("\"build\": \"cd src && a && B=1 c | d\"");
    let plan = fixture.plan(&fixture.request("build", ""));
    assert_eq!(lines(&plan), ["build: a", "build: B=1 c | d <- 0"]);
    assert_eq!(plan.steps[0].cwd, fixture.root().join("src"));
    assert_eq!(&*plan.steps[1].id.cwd, "src");
    assert_eq!((plan.steps[0].id.position, plan.steps[1].id.position), (0, 1));
}

#[test]
fn packages_run_after_those_they_depend_on() {
    let fixture = monorepo();
    let request = Request { recursive: true, ..fixture.request("build", "") };
    assert_eq!(
        lines(&fixture.plan(&request)),
        [
            "core#build: run-build",
            "ui#build: run-build <- 0",
            "app#build: run-build <- 0,1",
            "tool#build: run-build"
        ]
    );
    let parallel = Request { parallel: true, ..request };
    assert!(fixture.plan(&parallel).steps.iter().all(|step| step.waits_for.is_empty()));
}

#[test]
fn a_package_without_the_task_is_skipped_and_order_holds_across_it() {
    let fixture = Fixture::new(&[("package.json", "{\"workspaces\": [\"*\"]}")]);
    fixture.write("a/package.json", &manifest("a", &["test"], &["b"]));
    fixture.write("b/package.json", &manifest("b", &[], &["c"]));
    fixture.write("c/package.json", &manifest("c", &["test"], &[]));
    let request = Request { recursive: true, ..fixture.request("test", "") };
    assert_eq!(lines(&fixture.plan(&request)), ["c#test: run-test", "a#test: run-test <- 0"]);
    fixture.write("overhear.json", "{\"scripts\": {\"test\": {\"dependsOn\": [\"^test\"]}}}");
    let one = fixture.request("test", "a");
    assert_eq!(lines(&fixture.plan(&one)), ["c#test: run-test", "a#test: run-test <- 0"]);
}

#[test]
fn every_form_of_depends_on_is_understood() {
    let cases: &[(&str, &[&str])] = &[
        ("\"test\"", &["app#test", "app#ci"]),
        ("\"^build\"", &["core#build", "ui#build", "app#ci"]),
        ("\"tool#build\"", &["tool#build", "app#ci"]),
        ("{\"task\": \"build\", \"from\": \"dependencies\"}", &["core#build", "ui#build", "app#ci"]),
        ("{\"task\": \"build\", \"from\": [\"devDependencies\", \"peerDependencies\"]}", &["app#ci"]),
        ("{\"task\": \"tool#build\"}", &["tool#build", "app#ci"]),
        ("\"*st\"", &["app#test", "app#ci"]),
        ("\"*o*#build\"", &["tool#build", "core#build", "app#ci"]),
    ];
    for (member, expected) in cases {
        let fixture = monorepo();
        fixture.write(
            "packages/app/overhear.json",
            &format!("{{\"tasks\": {{\"ci\": {{\"command\": \"x\", \"dependsOn\": [{member}]}}}}}}"),
        );
        let plan = fixture.plan(&fixture.request("app#ci", ""));
        let (mut found, mut expected) = (tasks(&plan), expected.to_vec());
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{member}");
        let last = plan.steps.last().expect("there are steps");
        assert_eq!((&*last.id.task, last.waits_for.len()), ("app#ci", plan.steps.len() - 1), "{member}");
        let ignoring = Request { ignore_depends_on: true, ..fixture.request("app#ci", "") };
        assert_eq!(tasks(&fixture.plan(&ignoring)), ["app#ci"]);
    }
}

#[test]
fn a_group_has_no_step_and_passes_order_on() {
    let fixture = lone("\"a\": \"a\", \"b\": \"b\"");
    fixture.write("overhear.json", "{\"tasks\": {\"all\": {\"dependsOn\": [\"a\", \"b\"]}, \"then\": {\"command\": \"c\", \"dependsOn\": [\"all\"]}}}");
    assert_eq!(lines(&fixture.plan(&fixture.request("then", ""))), ["a: a", "b: b", "then: c <- 0,1"]);
}

#[test]
fn calls_of_package_managers_are_unfolded_and_run_once() {
    let cases: &[(&str, &[&str])] = &[
        ("npm run a && npm run b && c", &["a: a", "b: b <- 0", "ci: c <- 1"]),
        ("run-p a b && c", &["a: a", "b: b", "ci: c <- 0,1"]),
        ("run-s b a", &["b: b", "a: a <- 0"]),
        ("x && yarn a", &["ci: x", "a: a <- 0"]),
        ("overhear run a,b && x", &["a: a", "b: b", "ci: x <- 0,1"]),
        ("npm run missing && pnpm a", &["ci: npm run missing", "a: a <- 0"]),
        ("npm run a -- --x", &["ci: a --x"]),
        ("npm run a -- --x && npm run a", &["ci: a --x", "a: a <- 0"]),
        ("npm run deep -- --x", &["a: a", "ci: z --x <- 0"]),
        ("npm run ci -- --x", &["ci: npm run ci -- --x"]),
        ("yarn a --x 'y z' && b", &["ci: a --x 'y z'", "ci: b <- 0"]),
        ("pnpm around --x", &["ci: before", "ci: around --x <- 0", "ci: after <- 1"]),
        ("npm run a && x && npm run a", &["a: a", "ci: x <- 0", "ci: npm run a <- 1"]),
        ("npm run deep && npm run a", &["a: a", "deep: z <- 0", "ci: npm run a <- 1"]),
        ("npm run a && npm run deep", &["a: a", "deep: z <- 0"]),
    ];
    for (command, expected) in cases {
        let fixture = lone(&format!(
            "\"a\": \"a\", \"b\": \"b\", \"deep\": \"npm run a && z\", \"prearound\": \"before\", \"around\": \"around\", \"postaround\": \"after\", \"ci\": \"{command}\""
        ));
        let plan = fixture.plan(&fixture.request("ci", ""));
        assert_eq!(lines(&plan), *expected, "{command}");
    }
}

#[test]
fn what_a_called_task_depends_on_comes_after_the_commands_before_the_call() {
    let fixture = lone("\"gen\": \"gen\", \"ci\": \"clean && overhear run build\"");
    fixture
        .write("overhear.json", "{\"tasks\": {\"build\": {\"command\": \"b\", \"dependsOn\": [\"gen\"]}}}");
    assert_eq!(
        lines(&fixture.plan(&fixture.request("ci", ""))),
        ["ci: clean", "gen: gen <- 0", "build: b <- 0,1"]
    );
}

#[test]
fn pre_and_post_scripts_are_steps_of_the_task() {
    let fixture = lone("\"prebuild\": \"p\", \"build\": \"b\", \"postbuild\": \"q\"");
    let request = Request { args: vec!["--x".into()], ..fixture.request("build", "") };
    let plan = fixture.plan(&request);
    assert_eq!(lines(&plan), ["build: p", "build: b --x <- 0", "build: q <- 1"]);
    let events: Vec<&str> = plan.steps.iter().map(|step| &*step.task_name).collect();
    assert_eq!(events, ["prebuild", "build", "postbuild"]);
    fixture.write("overhear.json", "{\"enablePrePostScripts\": false}");
    assert_eq!(lines(&fixture.plan(&fixture.request("build", ""))), ["build: b"]);
}

#[test]
fn arguments_go_to_the_last_command_of_what_was_asked_for_alone() {
    let fixture = lone("\"gen\": \"g\", \"test\": \"a && npm run gen\", \"unit\": \"v run\"");
    fixture.write("overhear.json", "{\"scripts\": {\"unit\": {\"dependsOn\": [\"gen\"]}}}");
    let request = |task: &str| Request { args: vec!["-u".into(), "a b".into()], ..fixture.request(task, "") };
    assert_eq!(lines(&fixture.plan(&request("unit"))), ["gen: g", "unit: v run -u 'a b' <- 0"]);
    assert_eq!(lines(&fixture.plan(&request("test"))), ["test: a", "test: npm run gen -u 'a b' <- 0"]);
}

#[test]
fn cycles_are_named_with_their_path() {
    let depends = lone("");
    depends.write("overhear.json", "{\"tasks\": {\"a\": {\"command\": \"x\", \"dependsOn\": [\"b\"]}, \"b\": {\"command\": \"y\", \"dependsOn\": [\"c\"]}, \"c\": {\"dependsOn\": [\"a\"]}}}");
    let told = depends.refused(&depends.request("a", ""));
    assert!(
        told.starts_with("tasks wait for each other in a circle: a → b → c → a\n --> overhear.json:1:48\n"),
        "{told}"
    );
    assert!(told.contains("take one out of `dependsOn`"), "{told}");
    let itself = lone("\"a\": \"npm run a\"");
    assert!(
        itself
            .refused(&itself.request("a", ""))
            .starts_with("tasks wait for each other in a circle: a → a\n")
    );
    let calls = lone("\"a\": \"x && npm run b\", \"b\": \"y && npm run a\"");
    assert!(calls.refused(&calls.request("b", "")).contains("in a circle: b → a → b\n"));
    let packages = Fixture::new(&[("package.json", "{\"workspaces\": [\"*\"]}")]);
    packages.write("a/package.json", &manifest("a", &["build"], &["b"]));
    packages.write("b/package.json", &manifest("b", &["build"], &["a"]));
    let request = Request { recursive: true, ..packages.request("build", "") };
    let told = packages.refused(&request);
    let place =
        "tasks wait for each other in a circle: a#build → b#build → a#build\n --> a/package.json:1:87\n";
    assert!(told.starts_with(place), "{told}");
    assert!(told.contains("run without order (--parallel)"), "{told}");
    packages.write("overhear.json", "{\"scripts\": {\"build\": {\"dependsOn\": [\"^build\"]}}}");
    let told = packages.refused(&Request { parallel: true, ..request });
    assert!(told.contains("(--parallel --ignore-depends-on)"), "{told}");
    let root = "{\"name\": \"r\", \"workspaces\": [\"*\"], \"scripts\": {\"build\": \"overhear run build\"}}";
    let root = Fixture::new(&[("package.json", root)]);
    root.write("a/package.json", &manifest("a", &["build"], &[]));
    let told = root.refused(&root.request("build", ""));
    assert!(
        told.ends_with("= help: to run it in all packages, write `overhear run -r build` there"),
        "{told}"
    );
}

#[test]
fn depends_on_of_nothing_is_shown_with_its_place() {
    let fixture = lone("\"build\": \"b\"");
    fixture.write("overhear.json", "{\n  \"tasks\": {\n    \"ci\": {\"dependsOn\": [\"biuld\"]},\n    \"cd\": {\"dependsOn\": [\"web#build\"]},\n    \"up\": {\"dependsOn\": [\"^nope\"]}\n  }\n}");
    assert_eq!(
        fixture.refused(&fixture.request("ci", "")),
        "`dependsOn` of nothing: the package at the root has no task `biuld`\n --> overhear.json:3:26\n  |\n3 |     \"ci\": {\"dependsOn\": [\"biuld\"]},\n  |                          ^^^^^^^\n  = help: did you mean `build`?"
    );
    assert!(
        fixture
            .refused(&fixture.request("cd", ""))
            .starts_with("no package `web` in this workspace\n --> overhear.json:4:26\n")
    );
    assert!(
        fixture
            .refused(&fixture.request("up", ""))
            .starts_with("`dependsOn` of nothing: no package has a task `nope`\n --> overhear.json:5:26\n")
    );
}

#[test]
fn defaults_of_the_root_hold_for_scripts_and_a_package_may_say_otherwise() {
    let fixture = monorepo();
    fixture.write("overhear.json", "{\"env\": [\"A\"], \"scripts\": {\"build\": {\"env\": [\"B\"], \"cache\": true, \"output\": [\"dist/\"]}}}");
    fixture.write(
        "packages/ui/overhear.json",
        "{\"env\": [\"C\"], \"scripts\": {\"build\": {\"env\": [\"D\"]}}}",
    );
    let config = |package: &str| {
        let plan = fixture.plan(&fixture.request(&format!("{package}#build"), ""));
        (*plan.steps.last().expect("there is a step").config).clone()
    };
    assert_eq!((config("core").env, config("core").cache), (vec!["A".to_string(), "B".into()], Some(true)));
    assert_eq!(
        (config("ui").env, config("ui").cache),
        (vec!["A".to_string(), "C".into(), "D".into()], Some(true))
    );
    let output = config("ui").output;
    assert!(!output.auto);
    assert_eq!(output.patterns[0].glob, "dist/**");
}

#[test]
fn defaults_of_the_root_may_name_a_task_that_not_every_package_has() {
    let fixture = monorepo();
    fixture.write("overhear.json", "{\"scripts\": {\"build\": {\"dependsOn\": [\"test\"]}}}");
    assert_eq!(tasks(&fixture.plan(&fixture.request("ui#build", ""))), ["ui#build"]);
    assert_eq!(tasks(&fixture.plan(&fixture.request("core#build", ""))), ["core#test", "core#build"]);
}

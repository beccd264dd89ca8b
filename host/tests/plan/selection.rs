//! Which tasks are meant.

use super::*;

/// root → nothing; web → @s/ui → @s/core; docs → @s/ui; lib-a apart.
fn monorepo() -> Fixture {
    let root = "{\"name\": \"root\", \"workspaces\": [\"apps/*\", \"libs/*\"], \"scripts\": {\"all\": \"pnpm -r build\"}}";
    let fixture = Fixture::new(&[("package.json", root), ("docs/readme", "")]);
    fixture.write("apps/web/package.json", &manifest("web", &["build", "dev"], &["@s/ui"]));
    fixture.write("apps/site/package.json", &manifest("site", &["build"], &["@s/ui"]));
    fixture.write("libs/ui/package.json", &manifest("@s/ui", &["build"], &["@s/core"]));
    fixture.write("libs/core/package.json", &manifest("@s/core", &["build"], &[]));
    fixture.write("libs/lib-a/package.json", &manifest("lib-a", &["build"], &[]));
    fixture
}

fn selected(fixture: &Fixture, request: &Request) -> Vec<String> {
    let mut names: Vec<String> =
        tasks(&fixture.plan(request)).iter().map(|task| task.replace("#build", "")).collect();
    names.sort();
    names
}

#[test]
fn filters_select_as_pnpm_does() {
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&["web"], "", &["web"]),
        (&["@s/*"], "", &["@s/core", "@s/ui"]),
        (&["ui"], "", &["@s/ui"]),
        (&["web..."], "", &["@s/core", "@s/ui", "web"]),
        (&["web^..."], "", &["@s/core", "@s/ui"]),
        (&["...@s/ui"], "", &["@s/ui", "site", "web"]),
        (&["...^@s/ui"], "", &["site", "web"]),
        (&["...@s/ui..."], "", &["@s/core", "@s/ui", "site", "web"]),
        (&["./apps/web"], "", &["web"]),
        (&["./apps/*"], "", &["site", "web"]),
        (&["./apps"], "", &["site", "web"]),
        (&["."], "apps/web", &["web"]),
        (&["{../site}"], "apps/web", &["site"]),
        (&["{libs/**}"], "", &["@s/core", "@s/ui", "lib-a"]),
        (&["{libs}..."], "", &["@s/core", "@s/ui", "lib-a"]),
        (&["lib*{libs}"], "", &["lib-a"]),
        (&["web", "lib-a"], "", &["lib-a", "web"]),
        (&["./apps/*", "!web"], "", &["site"]),
        (&["!./libs/*", "!site"], "", &["web"]),
    ];
    let fixture = monorepo();
    for (filters, dir, expected) in cases {
        let request = Request {
            filters: filters.iter().map(|filter| filter.to_string()).collect(),
            ..fixture.request("build", dir)
        };
        assert_eq!(selected(&fixture, &request), *expected, "{filters:?}");
    }
}

#[test]
fn what_uses_a_package_is_selected_with_all_that_it_needs() {
    let fixture = monorepo();
    fixture.write("apps/both/package.json", &manifest("both", &["build"], &["lib-a", "@s/core"]));
    let of = |filter: &str, dir: &str| {
        selected(&fixture, &Request { filters: vec![filter.into()], ..fixture.request("build", dir) })
    };
    assert_eq!(of("...lib-a", ""), ["both", "lib-a"]);
    assert_eq!(of("...lib-a...", ""), ["@s/core", "both", "lib-a"]);
    assert_eq!(of("./**", "apps/both"), ["both"]);
    assert_eq!(of("{./libs/**}", ""), ["@s/core", "@s/ui", "lib-a"]);
    assert_eq!(of("./**", "apps"), ["both", "site", "web"]);
}

#[test]
fn a_filter_that_matches_nothing_is_a_warning_or_an_error() {
    let fixture = monorepo();
    let request = Request { filters: vec!["wbe".into(), "lib-a".into()], ..fixture.request("build", "") };
    let plan = fixture.plan(&request);
    assert_eq!(plan.warnings, ["the filter `wbe` matches no package: did you mean `web`?"]);
    assert_eq!(plan.steps.len(), 1);
    let strict = Request { fail_if_no_match: true, ..request };
    assert_eq!(fixture.refused(&strict), "the filter `wbe` matches no package\n = help: did you mean `web`?");
    let only = Request { filters: vec!["nothing".into()], ..fixture.request("build", "") };
    assert!(fixture.plan(&only).steps.is_empty());
    let cancelled = Request { filters: vec!["web !web".into()], ..fixture.request("build", "") };
    let message = "the filters select no package: some take out what the others select";
    assert_eq!(fixture.plan(&cancelled).warnings, [message]);
    assert_eq!(fixture.refused(&Request { fail_if_no_match: true, ..cancelled }), message);
    // What a filter finds by dependencies need not have the task; what it names must.
    let found = |filter: &str| Request { filters: vec![filter.into()], ..fixture.request("dev", "") };
    assert_eq!(
        fixture.plan(&found("...lib-a")).warnings,
        ["nothing to run: no selected package has a task `dev`"]
    );
    assert!(fixture.refused(&found("lib-a")).starts_with("no task `dev` in package `lib-a`"));
}

#[test]
fn a_filter_of_what_changed_says_that_nothing_did() {
    let fixture = monorepo();
    let warnings = |filter: &str| {
        fixture.plan(&Request { filters: vec![filter.into()], ..fixture.request("build", "") }).warnings
    };
    assert_eq!(warnings("[main]"), ["no package changed since `main`"]);
    assert_eq!(warnings("...[main...HEAD]"), ["no package changed in `main...HEAD`"]);
    assert_eq!(warnings("web[main]"), ["no package of the filter `web[main]` changed since `main`"]);
    assert_eq!(warnings("wbe[main]"), ["the filter `wbe[main]` matches no package: did you mean `web`?"]);
}

/// As other runners name it.
#[test]
fn a_package_without_its_scope_or_with_a_colon_is_told_how_to_be_written() {
    let fixture = monorepo();
    let help = |task: &str| {
        let told = fixture.refused(&fixture.request(task, ""));
        told.split_once("help: ").expect("it says what to write").1.to_owned()
    };
    assert_eq!(help("ui#build"), "did you mean `@s/ui#build`?");
    for written in ["@s/ui:build", "ui:build"] {
        assert_eq!(help(written), "a package and its task are written with `#`: `@s/ui#build`");
    }
    assert_eq!(help("ui:nothing"), "`overhear list` shows the tasks");
}

#[test]
fn a_filter_that_cannot_be_read_is_an_error() {
    let fixture = monorepo();
    let refused = |filter: &str| {
        fixture.refused(&Request { filters: vec![filter.into()], ..fixture.request("build", "") })
    };
    assert!(refused("a{b").starts_with("cannot read the filter `a{b`\n"));
}

#[test]
fn the_package_around_the_user_is_meant() {
    let fixture = monorepo();
    fixture.write("apps/web/src/x", "");
    assert_eq!(selected(&fixture, &fixture.request("build", "apps/web/src")), ["web"]);
    assert_eq!(selected(&fixture, &fixture.request("site#build,@s/ui#build", "apps/web")), ["@s/ui", "site"]);
    let transitive = Request { transitive: true, ..fixture.request("build", "apps/web") };
    assert_eq!(selected(&fixture, &transitive), ["@s/core", "@s/ui", "web"]);
    let root = Request { workspace_root: true, ..fixture.request("all", "apps/web") };
    assert_eq!(tasks(&fixture.plan(&root)), ["root#all"]);
}

#[test]
fn a_root_task_that_runs_all_packages_does_its_own_part_and_does_not_run_itself_again() {
    let fixture = monorepo();
    let root = |build: &str| {
        format!(
            "{{\"name\": \"root\", \"workspaces\": [\"apps/*\", \"libs/*\"], \"scripts\": {{\"build\": \"{build}\"}}}}"
        )
    };
    fixture.write("package.json", &root("prepare && overhear run -r build"));
    let direct = Request { recursive: true, ..fixture.request("build", "") };
    let direct = fixture.plan(&direct);
    let through_root = fixture.plan(&fixture.request("build", ""));
    for plan in [&direct, &through_root] {
        let root: Vec<usize> =
            (0..plan.steps.len()).filter(|at| &*plan.steps[*at].id.task == "root#build").collect();
        assert_eq!(root.iter().map(|at| &*plan.steps[*at].id.command).collect::<Vec<_>>(), ["prepare"]);
        // What comes after the first command waits for it.
        assert!(plan.steps.iter().all(|step| step.id.index == root[0] || !step.waits_for.is_empty()));
        assert_eq!(plan.steps.len(), 6);
    }
    // Another package manager cannot be looked into.
    fixture.write("package.json", &root("pnpm -r build"));
    let plan = fixture.plan(&Request { recursive: true, ..fixture.request("build", "") });
    assert!(!tasks(&plan).contains(&"root#build".to_string()));
    assert_eq!(plan.notes, ["root#build runs tasks in many packages itself and is left out"]);
}

/// Without end otherwise: each would start the next.
#[test]
fn a_script_that_runs_its_own_name_everywhere_is_left_out_also_with_arguments() {
    let fixture = monorepo();
    let script = r#"{"name": "root", "workspaces": ["apps/*", "libs/*"], "scripts": {"build": "overhear run -r build"}}"#;
    fixture.write("package.json", script);
    let args = vec!["--force".to_owned()];
    let plan = fixture.plan(&Request { recursive: true, args, ..fixture.request("build", "") });
    assert!(!tasks(&plan).contains(&"root#build".to_string()), "{:?}", tasks(&plan));
}

#[test]
fn what_a_script_starts_does_not_run_that_script_again() {
    let fixture = monorepo();
    let script =
        r#"{"name": "root", "workspaces": ["apps/*", "libs/*"], "scripts": {"build": "sh build.sh"}}"#;
    fixture.write("package.json", script);
    let request = fixture.request("build", "");
    let manifest = fixture.root().join("package.json");
    let inside = Some(Inside { manifest, script: "build".to_owned() });
    let many = Request { recursive: true, inside: inside.clone(), ..request.clone() };
    let plan = fixture.plan(&many);
    assert!(!tasks(&plan).contains(&"root#build".to_string()), "{:?}", tasks(&plan));
    assert_eq!(plan.notes, ["root#build runs this, and is left out of it"]);
    let problems = fixture.refused(&Request { inside, ..request });
    assert!(problems.contains("root#build runs itself, without end"), "{problems}");
}

#[test]
fn a_nested_run_selects_packages_as_one_from_the_command_line() {
    let fixture = monorepo();
    let with_task = |command: &str| {
        fixture.write("overhear.json", &format!("{{\"tasks\": {{\"some\": \"{command}\"}}}}"));
        selected(&fixture, &fixture.request("some", ""))
    };
    let cases = [
        ("overhear run -t web#build", &["@s/core", "@s/ui", "web"][..]),
        ("vp run --filter web^... build", &["@s/core", "@s/ui"]),
        ("overhear run -F './libs/*' build", &["@s/core", "@s/ui", "lib-a"]),
        ("overhear run -w -F web build", &["web"]),
        ("overhear run site#build,@s/core#build", &["@s/core", "site"]),
    ];
    for (command, expected) in cases {
        assert_eq!(with_task(command), expected, "{command}");
    }
    for command in [
        "overhear run -F '[main]' build",
        "overhear run -r build --mode x",
        "overhear run --log labeled build",
    ] {
        assert_eq!(with_task(command), ["root#some"], "{command}");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_may_be_meant() {
    let fixture = monorepo();
    let refused = |tasks: &str, dir: &str| fixture.refused(&fixture.request(tasks, dir));
    assert_eq!(
        refused("biuld", "apps/web"),
        "no task `biuld` in package `web`\n = help: did you mean `build`?"
    );
    assert_eq!(
        refused("build", ""),
        "no task `build` in package `root`\n = help: 5 other packages have it; run it there with -r"
    );
    assert_eq!(
        refused("dev", ""),
        "no task `dev` in package `root`\n = help: `web#dev` exists; or run it wherever it exists with -r"
    );
    assert_eq!(
        refused("buidl", ""),
        "no task `buidl` in package `root`\n = help: did you mean `build`, which 5 packages have: run it with -r"
    );
    assert_eq!(refused("wbe#build", ""), "no package `wbe` in this workspace\n = help: did you mean `web`?");
    let recursive = Request { recursive: true, ..fixture.request("deploy", "") };
    assert_eq!(
        fixture.refused(&recursive),
        "none of the 6 selected packages has a task `deploy`\n = help: `overhear list` shows the tasks"
    );
    let lone = Fixture::new(&[("package.json", "{}")]);
    assert_eq!(
        lone.refused(&lone.request("build", "")),
        "no task `build` in package.json\n = help: there are no scripts in package.json, and no tasks in overhear.json"
    );
}

#[test]
fn flags_that_contradict_each_other_are_named() {
    let fixture = monorepo();
    let base = fixture.request("build", "");
    let cases = [
        (
            Request { recursive: true, transitive: true, ..base.clone() },
            "--recursive and --transitive contradict each other",
        ),
        (
            Request { recursive: true, filters: vec!["web".into()], ..base.clone() },
            "--recursive and --filter contradict each other",
        ),
        (
            Request { recursive: true, ..fixture.request("web#build", "") },
            "`web#build` names its package, and --recursive selects packages",
        ),
    ];
    for (request, message) in cases {
        assert!(
            fixture.refused(&request).starts_with(&format!("{message}\n = help: leave out ")),
            "{message}"
        );
    }
}

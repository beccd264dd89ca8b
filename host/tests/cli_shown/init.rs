//! `init`: what it writes, and what it carries over from each other runner.

use crate::fixture::Fixture;
use serde_json::Value;

#[test]
fn init_writes_the_order_of_builds_and_nothing_where_none_is_needed() {
    let fixture = Fixture::web_on_ui();
    std::fs::remove_file(fixture.dir.path().join("overhear.json")).expect("it is there");
    let text = fixture.out(&["init"]);
    assert!(
        text.contains("build: sh build.sh (2 packages)\n  runs each time: no adapter knows it\n"),
        "{text}"
    );
    let config: Value = serde_json::from_str(&fixture.read("overhear.json")).expect("it is JSON");
    assert_eq!(config["scripts"], serde_json::json!({"build": {"dependsOn": ["^build"]}}));
    let alone = Fixture::new(&[("package.json", r#"{"name": "app", "scripts": {"build": "vite build"}}"#)]);
    assert!(alone.out(&["init"]).ends_with("No overhear.json is needed here.\n"));
}

/// What `init --from` writes for the package at the root and for `web`, and what it says.
fn carried(runner: &str, files: &[(&str, &str)]) -> (Value, Value, String) {
    let fixture = Fixture::web_on_ui();
    std::fs::remove_file(fixture.dir.path().join("overhear.json")).expect("it is there");
    files.iter().for_each(|(path, text)| fixture.write(path, text));
    let said = fixture.out(&["init", "--from", runner]);
    let read = |path: &str| {
        let text =
            std::fs::read_to_string(fixture.dir.path().join(path)).unwrap_or_else(|_| "null".to_owned());
        let mut value: Value = serde_json::from_str(&text).expect("it is JSON");
        value.as_object_mut().map(|object| object.remove("$schema"));
        value
    };
    // What was written can be read, and there is a plan.
    fixture.out(&["run", "--dry-run", "-r", "build"]);
    (read("overhear.json"), read("packages/web/overhear.json"), said)
}

#[test]
fn init_carries_over_turbo_json() {
    let turbo = r#"{ // with a comment
      "globalEnv": ["REGION"],
      "tasks": {
        "build": {"dependsOn": ["^build", "nowhere"], "outputs": ["dist/**"], "inputs": ["$TURBO_DEFAULT$", "!**/*.md"], "env": ["API_URL"]},
        "web#build": {"cache": false},
        "lint": {}
      }
    }"#;
    let (root, web, said) = carried("turbo", &[("turbo.json", turbo)]);
    let build = serde_json::json!({
        "dependsOn": ["^build"], "output": [{"auto": true}, "dist/**"], "input": [{"auto": true}, "!**/*.md"],
        "env": ["API_URL"], "cache": true,
    });
    assert_eq!(root, serde_json::json!({"env": ["REGION"], "scripts": {"build": build}}));
    assert_eq!(web, serde_json::json!({"scripts": {"build": {"cache": false}}}));
    assert!(said.contains("turbo.json: build: dependsOn `nowhere`: no package has it\n"), "{said}");
    assert!(said.contains("turbo.json: lint: no package has such a script\n"), "{said}");
}

#[test]
fn init_takes_over_what_a_package_inherits_of_turbo_json() {
    let root = r#"{"tasks": {"build": {"cache": false, "dependsOn": ["^build"], "env": ["A"]}}}"#;
    let of_web = |task: &str| {
        let own = format!(r#"{{"extends": ["//"], "tasks": {{"build": {task}}}}}"#);
        carried("turbo", &[("turbo.json", root), ("packages/web/turbo.json", &own)]).1
    };
    assert_eq!(of_web(r#"{"env": ["B"]}"#), serde_json::json!({"scripts": {"build": {"env": ["B"]}}}));
    assert_eq!(
        of_web(r#"{"cache": true, "env": ["$TURBO_EXTENDS$", "B"], "dependsOn": ["$TURBO_EXTENDS$"]}"#),
        serde_json::json!({"scripts": {"build": {"cache": true, "env": ["A", "B"], "dependsOn": ["^build"]}}})
    );
}

#[test]
fn init_says_of_each_key_of_turbo_json_what_it_is_here() {
    let turbo = r#"{"globalDependencies": ["tsconfig.json"], "concurrency": "15", "remoteCache": {"enabled": true},
        "tasks": {"build": {"inputs": ["src/**"], "with": ["dev"]}}}"#;
    let own = r#"{"extends": ["//"], "tasks": {"lint": {}}}"#;
    let (_, _, said) = carried("turbo", &[("turbo.json", turbo), ("packages/web/turbo.json", own)]);
    for line in [
        "`globalDependencies` of turbo.json: not needed: what is read is seen",
        "`concurrency` of turbo.json: --concurrency 15, or OVERHEAR_CONCURRENCY=15",
        "`remoteCache` of turbo.json: there is no remote cache yet",
        "`inputs`: not needed: what is read is seen; exclusions and variables are carried over",
        "turbo.json: build: `with`: name both tasks: `overhear run a,b`",
        "packages/web/turbo.json: lint: the package has no such script",
    ] {
        assert!(said.contains(&format!("  {line}\n")), "{line} is not in {said}");
    }
}

#[test]
fn what_is_written_has_short_lists_on_one_line() {
    let fixture = Fixture::web_on_ui();
    fixture.write("turbo.json", r#"{"tasks": {"build": {"dependsOn": ["^build"], "outputs": ["dist/**"]}}}"#);
    let text = fixture.out(&["init", "--from", "turbo", "--print"]);
    let build = "    \"build\": {\n      \"dependsOn\": [\"^build\"],\n      \"output\": [{ \"auto\": true }, \"dist/**\"],\n";
    assert!(text.contains(build), "{text}");
}

#[test]
fn init_carries_over_nx_json_and_project_json() {
    let nx = r#"{"targetDefaults": {"build": {"dependsOn": ["^build"], "cache": true, "outputs": ["{projectRoot}/dist"]}}}"#;
    let project = r#"{"targets": {"check": {"command": "sh check.sh", "dependsOn": ["build"], "options": {"cwd": "packages/web"}},
                                 "e2e": {"executor": "@nx/cypress:cypress"}}}"#;
    let (root, web, said) = carried("nx", &[("nx.json", nx), ("packages/web/project.json", project)]);
    let build =
        serde_json::json!({"dependsOn": ["^build"], "output": [{"auto": true}, "dist/"], "cache": true});
    assert_eq!(root, serde_json::json!({"scripts": {"build": build}}));
    assert_eq!(
        web,
        serde_json::json!({"tasks": {"check": {"command": "sh check.sh", "dependsOn": ["build"]}}})
    );
    assert!(said.contains("web#e2e: executor @nx/cypress:cypress; write the command"), "{said}");
}

#[test]
fn what_stands_for_places_in_commands_of_nx_is_resolved_or_the_task_is_left_out() {
    let project = r#"{"name": "web", "implicitDependencies": ["ui", "api"], "targets": {
        "gen": {"executor": "nx:run-commands", "options": {"command": "node {workspaceRoot}/gen.js --to {projectRoot}/gen --for {projectName}"}},
        "own": {"command": "sh check.sh {a,b} ${HOME}", "options": {"cwd": "{projectRoot}", "env": {"MODE": "x y"}, "mode": "fast"}},
        "mode": {"command": "sh check.sh {args.mode}"},
        "all": {"executor": "nx:noop", "dependsOn": ["gen", "mode", {"target": "own", "params": "forward"}]}}}"#;
    let (_, web, said) = carried("nx", &[("nx.json", "{}"), ("packages/web/project.json", project)]);
    let expected = serde_json::json!({"tasks": {
        "gen": {"command": "node ./gen.js --to packages/web/gen --for web", "cwd": "../.."},
        "own": {"command": "MODE='x y' sh -c 'sh check.sh {a,b} ${HOME}'"},
        "all": {"dependsOn": ["gen", "own"]},
    }});
    assert_eq!(web, expected);
    for line in [
        "web#mode: `sh check.sh {args.mode}`: what {args.mode} stands for only nx knows; write the task by hand",
        "web#all: dependsOn `mode`: no such task is here",
        "web#all: `params` of dependsOn `own`: arguments go to the task that is named alone",
        "web#own: `mode`: nx handed it to the command as --mode=\"fast\"; write it there",
        "implicitDependencies of package `web` on `api`: add it to package.json, or to `dependsOn`",
    ] {
        assert!(said.contains(&format!("  {line}\n")), "{line} is not in {said}");
    }
    assert!(!said.contains("on `ui`"), "{said}");
}

#[test]
fn exclusions_of_named_inputs_are_carried_over_and_plugins_are_explained() {
    let nx = r#"{"plugins": [{"plugin": "@nx/vite/plugin"}, "@nx/eslint/plugin"], "parallel": 5,
        "namedInputs": {"default": ["{projectRoot}/**/*", "shared"], "shared": [{"env": "REGION"}],
                        "production": ["default", "!{projectRoot}/**/*.+(spec|test).ts?(x)"]},
        "targetDefaults": {"build": {"inputs": ["production", "^production"]}}}"#;
    let (root, _, said) = carried("nx", &[("nx.json", nx)]);
    let build = serde_json::json!({"env": ["REGION"], "input": [{"auto": true}, "!**/*.{spec,test}.tsx", "!**/*.{spec,test}.ts"]});
    assert_eq!(root, serde_json::json!({"scripts": {"build": build}}));
    let line = "`plugins` of nx.json: targets that nx plugins infer are not in any file: write them as scripts (@nx/vite/plugin, @nx/eslint/plugin)";
    assert!(said.contains(line), "{said}");
    assert!(said.contains("`parallel` of nx.json: --concurrency 5, or OVERHEAR_CONCURRENCY=5\n"), "{said}");
}

#[test]
fn defaults_of_an_executor_are_no_task_without_a_command() {
    let nx =
        r#"{"targetDefaults": {"e2e": {"executor": "@nx/playwright:playwright", "dependsOn": ["build"]}}}"#;
    let project = r#"{"targets": {"e2e": {}}}"#;
    let (_, web, said) = carried("nx", &[("nx.json", nx), ("packages/web/project.json", project)]);
    assert_eq!(web, Value::Null);
    assert!(said.contains("web#e2e: executor @nx/playwright:playwright; write the command"), "{said}");
}

#[test]
fn init_carries_over_wireit() {
    let manifest = r#"{"name": "web", "version": "1.0.0", "scripts": {"build": "wireit"}, "wireit": {"build": {
        "command": "sh build.sh", "dependencies": ["../ui:build"], "files": ["src/**", "!src/old/**"], "output": ["out.txt"],
        "env": {"MODE": "x y", "TOKEN": {"external": true}}}}}"#;
    let (_, web, said) = carried("wireit", &[("packages/web/package.json", manifest)]);
    let build = serde_json::json!({
        "dependsOn": ["ui#build"], "input": [{"auto": true}, "!src/old/**"], "output": [{"auto": true}, "out.txt"],
        "env": ["TOKEN"], "cache": true,
    });
    assert_eq!(web, serde_json::json!({"scripts": {"build": build}}));
    assert!(
        said.contains(r#"packages/web/package.json: "scripts": {"build": "MODE='x y' sh build.sh"}"#),
        "{said}"
    );
}

#[test]
fn what_wireit_says_of_the_root_alone_holds_for_the_root_alone() {
    let root = r#"{"name": "all", "private": true, "workspaces": ["packages/*"], "scripts": {"build": "wireit"},
        "wireit": {"build": {"dependencies": ["./packages/web:build"]}}}"#;
    let web = r#"{"name": "web", "version": "1.0.0", "scripts": {"build": "wireit"}, "wireit": {"build": {"command": "true"}}}"#;
    let (root, web, _) = carried("wireit", &[("package.json", root), ("packages/web/package.json", web)]);
    assert_eq!(root, serde_json::json!({"scripts": {"build": {"dependsOn": ["web#build"]}}}));
    // Else it would wait for itself.
    assert_eq!(web, serde_json::json!({"scripts": {"build": {"dependsOn": []}}}));
}

#[test]
fn init_carries_over_moon() {
    let tasks = "tasks:\n  check:\n    command: sh check.sh\n    deps: ['~:build']\n    options:\n      cache: false\n";
    let own = "tasks:\n  codegen:\n    command: [node, 'gen it.js']\n    outputs: [generated]\n    deps: ['ui:build']\n";
    let files = [(".moon/tasks.yml", tasks), ("packages/web/moon.yml", own), ("packages/ui/moon.yml", "{}")];
    let (_, web, _) = carried("moon", &files);
    let expected = serde_json::json!({"tasks": {
        "check": {"command": "sh check.sh", "dependsOn": ["build"], "cache": false},
        "codegen": {"command": "node 'gen it.js'", "dependsOn": ["ui#build"], "output": [{"auto": true}, "generated/"]},
    }});
    assert_eq!(web, expected);
}

#[test]
fn a_task_of_moon_is_written_with_those_that_it_extends() {
    let inherited = "tasks:\n  lint:\n    command: 'eslint .'\n    env: {A: '1'}\n    outputs: [report]\n    options: {cache: false}\n";
    let own = "tasks:\n  fix:\n    extends: lint\n    args: '--fix'\n    env: {B: '2'}\n  \
        strict:\n    extends: lint\n    args: [--max-warnings, '0']\n    options: {mergeArgs: replace, cache: true}\n  \
        none:\n    extends: nowhere\n    deps: ['~:fix']\n  \
        last:\n    command: 'true'\n    deps: ['none', 'fix']\n";
    let (_, web, said) = carried("moon", &[(".moon/tasks.yml", inherited), ("packages/web/moon.yml", own)]);
    let output = serde_json::json!([{"auto": true}, "report/"]);
    let expected = serde_json::json!({"tasks": {
        "lint": {"command": "A=1 eslint .", "output": output, "cache": false},
        "fix": {"command": "A=1 B=2 eslint . --fix", "output": output, "cache": false},
        "strict": {"command": "A=1 eslint --max-warnings 0", "output": output},
        "last": {"command": "true", "dependsOn": ["fix"]},
    }});
    assert_eq!(web, expected);
    let line = "web#none: `none` extends `nowhere`, which is not there; write the task by hand\n";
    assert!(said.contains(line), "{said}");
    assert!(said.contains("web#last: dependsOn `none`: no such task is here\n"), "{said}");
}

#[test]
fn what_stands_for_something_in_commands_of_moon_is_resolved_or_the_task_is_left_out() {
    let own = "tasks:\n  \
        gen:\n    command: 'node $workspaceRoot/gen.js --to $projectRoot/gen $HOME @scope/x'\n  \
        top:\n    command: 'node gen.js --to $projectRoot --for $target @out(0)'\n    outputs: [gen]\n    options: {runFromWorkspaceRoot: true}\n  \
        lint:\n    command: 'eslint @files(sources)'\n  \
        stamp:\n    command: 'echo $vcsRevision'\n";
    let (_, web, said) = carried("moon", &[(".moon/tasks.yml", "{}"), ("packages/web/moon.yml", own)]);
    let expected = serde_json::json!({"tasks": {
        "gen": {"command": "node ../../gen.js --to ./gen $HOME @scope/x"},
        "top": {"command": "node gen.js --to packages/web --for web:top packages/web/gen", "cwd": "../..",
                "output": [{"auto": true}, "gen/"]},
    }});
    assert_eq!(web, expected);
    for line in [
        "web#lint: `eslint @files(sources)`: what @files(sources) stands for only moon knows; write the task by hand",
        "web#stamp: `echo $vcsRevision`: what $vcsRevision stands for only moon knows; write the task by hand",
    ] {
        assert!(said.contains(&format!("  {line}\n")), "{line} is not in {said}");
    }
}

#[test]
fn what_a_project_of_moon_says_of_all_its_tasks_holds_for_them() {
    let inherited = "tasks:\n  lint: {command: eslint}\n  types: {command: tsc}\n  old: {command: 'false'}\n";
    let own = "env: {REGION: 'eu west'}\ndependsOn: [ui, api]\n\
        workspace:\n  inheritedTasks:\n    exclude: [old]\n    rename: {types: check}\n\
        tasks:\n  e2e:\n    command: sh e2e.sh\n    deps:\n      - target: ui:build\n        args: --fast\n    options: {retryCount: 2, runInCI: false}\n";
    let (_, web, said) = carried("moon", &[(".moon/tasks.yml", inherited), ("packages/web/moon.yml", own)]);
    let expected = serde_json::json!({"tasks": {
        "lint": {"command": "REGION='eu west' eslint"},
        "check": {"command": "REGION='eu west' tsc"},
        "e2e": {"command": "REGION='eu west' sh e2e.sh", "dependsOn": ["ui#build"]},
    }});
    assert_eq!(web, expected);
    for line in [
        "`dependsOn` api of packages/web/moon.yml: what a package depends on stands in package.json; add it there",
        "web#e2e: `args` of deps `ui:build`: it runs without; write a task that has them",
        "web#e2e: `retryCount`: what fails is not run again",
        "web#e2e: `runInCI`: it runs in CI too where it is asked for",
    ] {
        assert!(said.contains(&format!("  {line}\n")), "{line} is not in {said}");
    }
    assert!(!said.contains("`dependsOn` ui"), "{said}");
}

#[test]
fn init_carries_over_lage_without_running_its_config() {
    let lage = "module.exports = { pipeline: { build: ['^build'], nowhere: [] }, npmClient: 'yarn' };";
    let (root, _, said) = carried("lage", &[("lage.config.js", lage)]);
    assert_eq!(root, serde_json::json!({"scripts": {"build": {"dependsOn": ["^build"], "cache": true}}}));
    assert!(said.contains("lage.config.js: nowhere: no package has such a script\n"), "{said}");
    let line = "`npmClient` of lage.config.js: not needed: scripts are run without the package manager\n";
    assert!(said.contains(line), "{said}");
}

#[test]
fn init_carries_over_the_run_block_of_a_vite_config_without_running_it() {
    let vite = "import { defineConfig } from 'vite';\nexport default defineConfig({ run: { tasks: { check: { command: 'sh check.sh', dependsOn: ['build'] } } } });";
    let (_, web, _) = carried("vite-task", &[("packages/web/vite.config.ts", vite)]);
    assert_eq!(
        web,
        serde_json::json!({"tasks": {"check": {"command": "sh check.sh", "dependsOn": ["build"]}}})
    );
}

#[test]
fn init_says_which_scripts_still_call_the_other_runner_and_alone_writes_nothing_beside_it() {
    let fixture = Fixture::new(&[
        (
            "package.json",
            r#"{"name": "root", "workspaces": ["app"], "scripts": {"build": "npx turbo run build", "x": "node x.js"}}"#,
        ),
        ("app/package.json", r#"{"name": "app", "scripts": {"build": "sh build.sh"}}"#),
        ("turbo.json", r#"{"tasks": {"build": {}}}"#),
    ]);
    let said = fixture.out(&["init"]);
    assert!(said.contains("turbo.json is here: overhear init --from turbo carries it over."), "{said}");
    assert!(!said.contains("wrote"), "{said}");
    let said = fixture.out(&["init", "--from", "turbo"]);
    let line = r#"package.json: "build": "overhear run -r build"   (now: npx turbo run build)"#;
    assert!(said.contains(&format!("  {line}\n")), "{said}");
    assert!(!said.contains("\"x\""), "{said}");
}

/// What `init --from` says of a script of the root that calls another runner.
fn asked(runner: &str, config: (&str, &str), script: &str) -> String {
    let fixture = Fixture::web_on_ui();
    let name = "go";
    let manifest = serde_json::json!({"name": "root", "private": true, "workspaces": ["packages/*"], "scripts": {name: script}});
    fixture.write("package.json", &manifest.to_string());
    fixture.write(config.0, config.1);
    let said = fixture.out(&["init", "--from", runner, "--print"]);
    let start =
        said.find("To do by hand:\n  ").expect("there is something to do") + "To do by hand:\n  ".len();
    let end = said[start..].find("\n\n").map_or(said.len(), |end| start + end);
    said[start..end].trim_end().replacen("package.json: ", "", 1)
}

#[test]
fn the_line_to_paste_keeps_the_choice_of_packages_and_says_which_flags_are_lost() {
    let turbo = ("turbo.json", r#"{"tasks": {"build": {}}}"#);
    let nx = ("nx.json", "{}");
    let lage = ("lage.config.js", "module.exports = { pipeline: { build: [] } };");
    let moon = (".moon/tasks.yml", "{}");
    let cases = [
        ("turbo", turbo, "turbo build test --filter=web...", "overhear run -F web... build,test"),
        (
            "turbo",
            turbo,
            "turbo run build --filter='!docs' -- --mode x",
            "overhear run -F '!docs' build --mode x",
        ),
        (
            "turbo",
            turbo,
            "A=1 turbo run build --force && echo hi",
            "A=1 overhear run --force -r build && echo hi",
        ),
        ("turbo", turbo, "dotenv -e .env -- turbo run web#build", "dotenv -e .env -- overhear run web#build"),
        ("turbo", turbo, "turbo test --filter=...[origin/main]", "overhear run -F '...[origin/main]' test"),
        ("nx", nx, "nx run-many -t build test --parallel=3", "overhear run --concurrency 3 -r build,test"),
        ("nx", nx, "nx run web:build", "overhear run web#build"),
        ("nx", nx, "nx build web --mode x", "overhear run web#build --mode x"),
        ("nx", nx, "nx affected -t build --base=main", "overhear run --affected=main build"),
        ("lage", lage, "lage build --to web", "overhear run -F web... build"),
        ("moon", moon, "moon run :build", "overhear run -r build"),
        ("moon", moon, "moon run web:build ui:build", "overhear run web#build,ui#build"),
    ];
    for (runner, config, script, expected) in cases {
        let line = format!("\"go\": {}   (now: {script})", serde_json::json!(expected));
        assert_eq!(asked(runner, config, script), line);
    }
    let lost = asked("turbo", turbo, "turbo run build --ui=tui --summarize");
    assert!(lost.ends_with("\n    without --ui=tui --summarize: there is no such flag here"), "{lost}");
    for (script, why) in [
        ("turbo prune web", "script `go` still calls turbo: `prune` has no counterpart (`turbo prune web`)"),
        (
            "turbo run go",
            "script `go` still calls turbo: in its place it would call itself: write what it is to run (`turbo run go`)",
        ),
    ] {
        assert_eq!(asked("turbo", turbo, script), why);
    }
}

#[test]
fn the_line_pasted_at_the_root_runs_the_packages_and_is_not_cached_itself() {
    let fixture = Fixture::web_on_ui();
    std::fs::remove_file(fixture.dir.path().join("overhear.json")).expect("it is there");
    let manifest = |command: &str| {
        let scripts = serde_json::json!({"build": command, "ci": command});
        serde_json::json!({"name": "root", "private": true, "workspaces": ["packages/*"], "scripts": scripts})
            .to_string()
    };
    fixture.write("package.json", &manifest("turbo run build"));
    fixture.write("turbo.json", r#"{"tasks": {"build": {"dependsOn": ["^build"]}, "//#ci": {}}}"#);
    let said = fixture.out(&["init", "--from", "turbo"]);
    assert!(said.contains(r#""build": "overhear run -r build"   (now: turbo run build)"#), "{said}");
    let config: Value = serde_json::from_str(&fixture.read("overhear.json")).expect("it is JSON");
    assert_eq!(config["scripts"], serde_json::json!({"build": {"dependsOn": ["^build"], "cache": true}}));
    fixture.write("package.json", &manifest("overhear run -r build"));
    for script in ["build", "ci"] {
        let plan = fixture.out(&["run", "--dry-run", script]);
        let steps: Vec<&str> = plan.lines().filter_map(|line| line.split("  ").next()).collect();
        assert_eq!(steps, ["ui#build", "web#build"], "{plan}");
    }
}

#[test]
fn init_never_overwrites_a_config() {
    let fixture = Fixture::web_on_ui();
    let before = fixture.read("overhear.json");
    fixture.write("turbo.json", r#"{"tasks": {"build": {}}}"#);
    let (code, text) = fixture.failure(&["init", "--from", "turbo"]);
    assert_eq!((code, fixture.read("overhear.json")), (Some(2), before), "{text}");
    assert!(fixture.out(&["init", "--from", "turbo", "--print"]).starts_with("overhear.json:\n{"));
}

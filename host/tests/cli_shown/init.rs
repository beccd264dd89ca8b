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
    assert!(said.contains("build: dependsOn `nowhere`: no package has it\n"), "{said}");
    assert!(said.contains("lint: no package has such a script\n"), "{said}");
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
fn init_carries_over_lage_without_running_its_config() {
    let lage = "module.exports = { pipeline: { build: ['^build'], nowhere: [] }, npmClient: 'yarn' };";
    let (root, _, said) = carried("lage", &[("lage.config.js", lage)]);
    assert_eq!(root, serde_json::json!({"scripts": {"build": {"dependsOn": ["^build"], "cache": true}}}));
    assert!(said.contains("nowhere: no package has such a script\n"), "{said}");
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
            r#"{"name": "root", "scripts": {"build": "npx turbo run build", "x": "node x.js"}}"#,
        ),
        ("turbo.json", r#"{"tasks": {"build": {}}}"#),
    ]);
    let said = fixture.out(&["init"]);
    assert!(said.contains("turbo.json is here: overhear init --from turbo carries it over."), "{said}");
    assert!(!said.contains("wrote"), "{said}");
    let said = fixture.out(&["init", "--from", "turbo"]);
    assert!(
        said.contains("package.json: script `build` still calls turbo (`npx turbo run build`)"),
        "{said}"
    );
    assert!(!said.contains("`x`"), "{said}");
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

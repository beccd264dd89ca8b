//! The npm package as its users have it: packed, installed, and used in real runs.

use crate::drivers::repository;
use crate::world::World;
use std::path::Path;
use std::process::Command;

fn npm(args: &[&str], cwd: &Path) -> String {
    let quiet = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    let output = Command::new("npm").args(args).args(quiet).current_dir(cwd).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A workspace in which the package is installed, with these cached scripts.
pub fn install(world: &World) {
    let beside = world.beside("packed");
    std::fs::create_dir(&beside).unwrap();
    let archive = npm(&["pack", repository().join("sdk-js").to_str().unwrap()], &beside);
    npm(&["install", beside.join(archive).to_str().unwrap()], &world.app);
}

#[test]
fn it_works_in_real_runs_from_both_kinds_of_module() {
    let world = World::of_cached_scripts(&[("esm", "node build.mjs"), ("cjs", "node build.cjs")]);
    install(&world);
    let body = "ignoreInput('own'); ignoreOutput('own');
fs.mkdirSync('own', { recursive: true }); fs.appendFileSync('own/log', 'ran ');
fs.readFileSync('own/log');
fs.writeFileSync(out, [getEnv('API_URL') ?? 'none', JSON.stringify(getEnvs({ prefix: 'FLAG_' })), getEnv('USER_X', { tracked: false })].join(' '));
if (fs.existsSync('watch')) disableCache();
";
    let names = "disableCache, getEnv, getEnvs, ignoreInput, ignoreOutput";
    let esm = format!(
        "import {{ {names} }} from 'overhear-client';\nimport fs from 'node:fs';\nconst out = 'esm.txt';\n{body}"
    );
    let cjs = format!(
        "const {{ {names} }} = require('overhear-client');\nconst fs = require('node:fs');\nconst out = 'cjs.txt';\n{body}"
    );
    // In a file that the command line does not name: what such a file spells out is passed and tracked.
    world.write("build.mjs", "import './lib.mjs';\n");
    world.write("build.cjs", "require('./lib.cjs');\n");
    world.write("lib.mjs", &esm);
    world.write("lib.cjs", &cjs);
    for kind in ["esm", "cjs"] {
        let run = |env: &[(&str, &str)]| world.run_with(kind, env);
        run(&[("API_URL", "a"), ("FLAG_X", "1"), ("USER_X", "me")]).is("ran");
        assert_eq!(world.read(&format!("{kind}.txt")), "a {\"FLAG_X\":\"1\"} me");
        run(&[("API_URL", "a"), ("FLAG_X", "1"), ("USER_X", "you")]).is("fresh");
        run(&[("API_URL", "b"), ("FLAG_X", "1")]).missed("env_changed", "API_URL");
        run(&[("API_URL", "b"), ("FLAG_X", "1"), ("FLAG_Y", "1")]).missed("env_added", "FLAG_Y");
        run(&[("API_URL", "a"), ("FLAG_X", "1")]).is("restored");
        assert!(!world.archived_names().iter().any(|name| name.contains("own")));
        world.write("watch", "");
        run(&[("API_URL", "a"), ("FLAG_X", "1")]).refused("tool_asked");
        world.remove("watch");
    }
}

#[test]
fn it_works_under_the_test_runner_of_node() {
    let world = World::of_cached_scripts(&[("test", "node --test")]);
    install(&world);
    world.write(
        "one.test.mjs",
        "import { test } from 'node:test';
import assert from 'node:assert/strict';
import { getEnv } from 'overhear-client';
test('a variable', () => assert.equal(getEnv('EXPECTED') ?? 'none', 'none'));
",
    );
    world.run("test").is("ran");
    world.run("test").is("fresh");
    let done = world.task(&["test"]).env("EXPECTED", "1").done();
    assert_eq!((done.code, done.statuses()), (1, vec!["failed"]), "{done:?}");
    world.run("test").is("fresh");
}

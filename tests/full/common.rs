//! The table of well-known tools, on the tools themselves: each row's command hits the second time, misses
//! when its config or a source changes, and hits again when that is undone.

use crate::world::World;

/// A script of the fixture (tools whose lock file cannot be installed everywhere are not in it), and an edit of a file that its result depends on.
const ROWS: [(&str, &str, &str, &str); 10] = [
    ("tsc", "tsconfig.json", "\"es2022\"", "\"es2021\""),
    ("eslint", "eslint.config.js", "no-var", "no-eval"),
    ("prettier", ".prettierrc", "100", "110"),
    ("esbuild", "tsconfig.json", "\"es2022\"", "\"es2021\""),
    ("rollup", "rollup.config.js", "out/rollup", "out/rolled"),
    ("rolldown", "rolldown.config.js", "out/rolldown", "out/rolled-down"),
    ("webpack", "webpack.config.js", "production", "development"),
    ("vitest", "vitest.config.js", "*.vitest.js", "sum.vitest.js"),
    ("tsup", "tsup.config.js", "out/tsup", "out/tsupped"),
    ("node-test", "src/sum.js", "a + b", "b + a"),
];

#[test]
fn each_row_hits_on_its_real_tool_and_misses_for_its_config() {
    let world = World::of("tests/fixtures/tools");
    let mut wrong = Vec::new();
    for (script, config, from, to) in ROWS {
        // Scripts are cached because an adapter knows them: nothing here says so.
        let first = world.run(script);
        let mut statuses = vec![first.statuses()[0].to_owned()];
        // A tool that keeps something for itself may take one run more to settle.
        statuses.extend((0..2).map(|_| world.run(script).statuses()[0].to_owned()));
        if statuses[2] != "fresh" || first.steps[0]["cacheable"] != true {
            wrong.push(format!("{script}: {statuses:?}: {first:?}"));
            continue;
        }
        world.edit(config, from, to);
        let edited = world.run(script);
        let reason = &edited.steps[0]["reason"];
        if edited.statuses() != ["ran"] || reason["path"] != config {
            wrong.push(format!("{script}: {config} was edited: {edited:?}"));
        }
        world.edit(config, to, from);
        let back = world.run(script);
        if !matches!(back.statuses()[0], "fresh" | "restored") {
            wrong.push(format!("{script}: {config} is as it was: {back:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_watches_or_serves_is_left_alone() {
    let world = World::of("tests/fixtures/tools");
    for words in [
        &["tsc", "--watch"][..],
        &["esbuild", "src/index.js", "--serve=0"],
        &["rollup", "-c", "--watch"],
        &["webpack", "--watch"],
        &["vitest"],
        &["eslint", "--stdin"],
    ] {
        // Asked, and not run: they would not end.
        let done = world.overhear(&[&["adapter", "run", "--"], words].concat()).done();
        assert!(done.out.contains("verdict: uncacheable: "), "{words:?}: {done:?}");
        let done = world.overhear(&[&["exec", "--dry-run", "--"], words].concat()).done();
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        assert!(done.out.contains("not cached") || done.err.contains("not cached"), "{words:?}: {done:?}");
    }
}

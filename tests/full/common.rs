//! The table of well-known tools, on the tools themselves: each row's command hits the second time, misses
//! when its config or a source changes, and hits again when that is undone.

use crate::world::World;

/// A script of a fixture, and an edit of a file that its result depends on: path, from, to.
type Row = (&'static str, &'static str, &'static str, &'static str);

// Tools whose lock file cannot be installed everywhere are in none of the two fixtures; docs/adapters.md says
// with which versions they were tried by hand.

/// Compilers, bundlers and test runners.
const TOOLS: [Row; 10] = [
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

/// Styles, documents, checkers of components.
const MORE_TOOLS: [Row; 9] = [
    ("babel", ".babelrc.json", "ie 11", "node 20"),
    // It writes only what differs from what it wrote last: one file, its map, or a folder of them.
    ("postcss", "postcss.config.mjs", "last 40 versions", "last 1 versions"),
    ("postcss-folder", "postcss.config.mjs", "last 40 versions", "last 1 versions"),
    ("sass", "src/_colors.scss", "red", "blue"),
    // Its cache lies where the command says.
    ("stylelint", ".stylelintrc.json", "\"color-named\": null", "\"alpha-value-notation\": null"),
    ("svelte-check", "tsconfig.svelte.json", "es2022", "es2021"),
    ("tsdown", "tsdown.config.js", "dts: false", "dts: false, minify: true"),
    ("typedoc", "typedoc.json", "One", "Two"),
    ("vue-tsc", "tsconfig.vue.json", "es2022", "es2021"),
];

#[test]
fn each_row_hits_on_its_real_tool_and_misses_for_its_config() {
    let mut wrong = Vec::new();
    for (fixture, rows) in
        [("tests/fixtures/tools", &TOOLS[..]), ("tests/fixtures/more-tools", &MORE_TOOLS[..])]
    {
        let world = World::of(fixture);
        wrong.extend(rows.iter().filter_map(|row| try_row(&world, *row).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a row, if anything is.
fn try_row(world: &World, (script, config, from, to): Row) -> Result<(), String> {
    // Scripts are cached because an adapter knows them: nothing here says so.
    let first = world.run(script);
    let mut statuses = vec![first.statuses()[0].to_owned()];
    // A tool that keeps something for itself may take one run more to settle.
    statuses.extend((0..2).map(|_| world.run(script).statuses()[0].to_owned()));
    if statuses[2] != "fresh" || first.steps[0]["cacheable"] != true {
        return Err(format!("{script}: {statuses:?}: {first:?}"));
    }
    world.edit(config, from, to);
    let edited = world.run(script);
    let reason = &edited.steps[0]["reason"];
    let is_told = edited.statuses() == ["ran"] && reason["path"] == config;
    let is_kept = edited.steps[0]["not_stored"].is_null();
    world.edit(config, to, from);
    let back = world.run(script);
    if !is_told || !is_kept {
        return Err(format!("{script}: {config} was edited: {edited:?}"));
    }
    match back.statuses()[0] {
        "fresh" | "restored" => Ok(()),
        _ => Err(format!("{script}: {config} is as it was: {back:?}")),
    }
}

#[test]
fn what_watches_or_serves_is_left_alone() {
    let tools = [
        "tsc --watch",
        "esbuild src/index.js --serve=0",
        "rollup -c --watch",
        "rollup -cw",
        "rolldown -c --watch",
        "webpack --watch",
        "webpack serve",
        "vitest",
        "eslint --stdin",
    ];
    let more_tools = [
        "babel src/sum.js -d out --watch",
        "postcss src/plain.css -o out/plain.css --watch",
        "sass --watch src/style.scss out/style.css",
        "sass --interactive",
        "stylelint --stdin",
        "svelte-check --watch",
        "tsdown --watch",
        "typedoc --watch",
        "vue-tsc --watch",
    ];
    for (fixture, commands) in
        [("tests/fixtures/tools", &tools[..]), ("tests/fixtures/more-tools", &more_tools[..])]
    {
        let world = World::of(fixture);
        for command in commands {
            is_left_alone(&world, command);
        }
    }
}

fn is_left_alone(world: &World, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    // Asked, and not run: they would not end.
    let done = world.overhear(&[&["adapter", "run", "--"], &words[..]].concat()).done();
    assert!(done.out.contains("verdict: uncacheable: "), "{command}: {done:?}");
    let done = world.overhear(&[&["exec", "--dry-run", "--"], &words[..]].concat()).done();
    assert_eq!(done.code, 0, "{command}: {done:?}");
    assert!(done.out.contains("not cached") || done.err.contains("not cached"), "{command}: {done:?}");
}

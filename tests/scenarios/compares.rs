//! Commands that read their own outputs before they write them: each run is held against the same command
//! run directly.

use crate::as_directly::run;
use crate::world::World;

/// Compares as many builders do: what is as it would be written is left alone.
const COMPARES: &str = "const fs = require('fs')
const text = fs.readFileSync('a.txt', 'utf8').toUpperCase(), file = process.argv[2]
const old = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined
if (old !== text) fs.writeFileSync(file, text)
";

/// Counts how often it ran.
const COUNTS: &str = "const fs = require('fs')
fs.readFileSync('a.txt')
fs.writeFileSync('count', String(Number(fs.readFileSync('count', 'utf8')) + 1))
";

fn world(tool: &str, command: &str) -> World {
    let world = World::of_cached_scripts(&[("build", command)]);
    world.write("tool.js", tool);
    world.write("a.txt", "a");
    world
}

/// Until it is a hit, which is at last after the third run.
fn until_fresh(world: &World, command: &str) {
    let fresh = (0..4).any(|_| run(world, command).statuses().contains(&"fresh"));
    assert!(fresh);
}

#[test]
fn a_tool_that_compares_before_it_writes_is_a_hit_in_time() {
    let command = "node tool.js page";
    let world = world(COMPARES, command);
    for text in ["a", "b", "d", "c", "d", "a"] {
        world.write("a.txt", text);
        until_fresh(&world, command);
    }
    world.write("page", "mine");
    run(&world, command).is("ran");
    assert_eq!(world.read("page"), "A");
}

/// What a run left alone says nothing of the next.
#[test]
fn what_such_a_tool_does_the_second_time_is_never_taken_for_granted() {
    let tools = [
        // Of two passes.
        "fs.writeFileSync('doc', 'refs ' + (read('page') ?? '??')); fs.writeFileSync('page', text)",
        // Which fails the second time, for one input.
        "if (text === 'D' && read('page') === text) process.exit(3); if (read('page') !== text) fs.writeFileSync('page', text)",
        // Which leaves the second file alone where the first is right.
        "if (read('page') !== text) { fs.writeFileSync('page', text); fs.writeFileSync('page.map', 'map ' + text) }",
    ];
    for tool in tools {
        let command = "node tool.js";
        let begin = "const fs = require('fs'), read = f => { try { return fs.readFileSync(f, 'utf8') } catch { return null } }, text = read('a.txt').toUpperCase();";
        let world = world(&format!("{begin}\n{tool}"), command);
        world.write("page", "of others");
        for text in ["a", "b", "c", "d"] {
            world.write("a.txt", text);
            for _ in 0..3 {
                run(&world, command);
            }
        }
        world.write("page.map", "mine");
        run(&world, command);
    }
}

#[test]
fn a_tool_that_changes_what_it_left_runs_each_time() {
    let command = "node tool.js";
    let world = world(COUNTS, command);
    world.write("count", "1");
    for text in ["a", "b", "c"] {
        world.write("a.txt", text);
        for _ in 0..3 {
            assert_eq!(run(&world, command).statuses(), ["ran"]);
        }
    }
    assert_eq!(world.read("count"), "10");
}

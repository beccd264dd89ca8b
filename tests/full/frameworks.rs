//! Each framework by itself, its types for other tools, and its servers.

use crate::app::{App, NEXT_15, NEXT_16, NUXT_4, SVELTEKIT_2, SVELTEKIT_3, free_port, page_of};
use crate::tree::assert_same;
use crate::world::World;
use std::process::{Command, Stdio};

#[test]
fn sveltekit_2_is_built_once_and_restored() {
    SVELTEKIT_2.holds();
}

#[test]
fn sveltekit_3_is_built_once_and_restored() {
    SVELTEKIT_3.holds();
}

#[test]
fn next_16_is_built_once_and_restored() {
    NEXT_16.holds();
}

#[test]
fn next_15_is_built_once_and_restored() {
    NEXT_15.holds();
}

#[test]
fn nuxt_4_is_built_once_and_restored() {
    NUXT_4.holds();
}

#[test]
fn what_a_server_left_in_the_result_costs_one_run() {
    let world = NEXT_16.world();
    NEXT_16.run(&world, &[]).refused("read_write_overlap");
    NEXT_16.run(&world, &[]).missed("not_found", "");
    // The server keeps there what it answered, by route: beside another build it would be stale.
    let left = ".next/server/route-cache";
    world.write(&format!("{left}/APP_PAGE/x/$/index.html"), "old");
    NEXT_16.run(&world, &[]).missed("output_changed", left);
    assert!(!world.path(left).exists(), "the build itself removes it");
    NEXT_16.run(&world, &[]).is_hit();
}

#[test]
fn types_that_other_tools_read_are_made_once_and_put_back() {
    let world = World::of("tests/fixtures/sveltekit2");
    world.run("sync").is("ran");
    world.run("check").is("ran");
    world.run("sync").is("fresh");
    world.run("check").is("fresh");
    world.remove(".svelte-kit");
    world.run("sync").is("restored");
    world.run("check").is("fresh");
    // A build keeps the same files, and does not undo what sync has made.
    world.run("build").is("ran");
    world.run("sync").is_hit();
    world.run("build").is("fresh");
}

#[test]
fn servers_of_frameworks_are_left_alone() {
    let next = World::of("tests/fixtures/next16");
    next.task(&["start"]).done().uncached("adapter");
    next.task(&["info"]).done().uncached("adapter");
    // It completes tsconfig.json as a first build does.
    next.run("typegen").refused("read_write_overlap");
    next.run("typegen").is("ran");
    next.remove(".next/types");
    next.run("typegen").is("restored");
    let nuxt = World::of("tests/fixtures/nuxt4");
    nuxt.task(&["preview"]).done().uncached("adapter");
}

/// The first page of `vite preview`, with the script that it names.
fn previewed(world: &World) -> String {
    let port = free_port();
    let mut command = world.command(world.path("node_modules/.bin/vite"));
    command.args(["preview", "--port", &port.to_string(), "--host", "127.0.0.1"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let page = page_of(&mut server, port);
    server.kill().unwrap();
    server.wait().unwrap();
    let script = page.split("src=\"/").nth(1).unwrap().split('"').next().unwrap();
    format!("{page}{}", world.read(&format!("dist/{script}")))
}

#[test]
fn every_vite_previews_what_was_put_back() {
    for fixture in ["plain-vite5", "vue-vite6", "plain-vite7"] {
        preview_holds(&World::of(&format!("tests/fixtures/{fixture}")));
    }
    preview_holds(&World::of("examples/react-app"));
}

fn preview_holds(world: &World) {
    world.run("build").is("ran");
    let (dist, page) = (world.tree("dist"), previewed(world));
    world.run("build").is("fresh");
    world.remove("dist");
    world.run("build").is("restored");
    assert_same(&world.tree("dist"), &dist);
    assert_eq!(previewed(world), page);
    world.run_with("build", &[("VITE_NAME", "somebody")]).missed("env_added", "VITE_NAME");
    world.run_with("build", &[("VITE_NAME", "somebody"), ("UNRELATED", "1")]).is("fresh");
    world.run("build").is_hit();
    assert_same(&world.tree("dist"), &dist);
    let names = world.archived_names();
    assert!(!names.iter().any(|name| name.contains(".vite-temp") || name.contains("node_modules")));
}

fn git(world: &World, args: &[&str]) {
    let mut git: Command = world.command("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=first"]);
    let done = git.args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn going_back_to_a_branch_hits(app: &App) {
    let world = app.world();
    world.write(".gitignore", "node_modules\n.svelte-kit\nbuild\n.nuxt\n.output\n");
    git(&world, &["init", "-q"]);
    git(&world, &["add", "-A"]);
    git(&world, &["commit", "-qm", "one"]);
    app.run(&world, &[]).is("ran");
    let first = app.result(&world);
    git(&world, &["checkout", "-qb", "second"]);
    world.edit(app.page.0, app.page.1, "another page");
    world.write(app.public(), "for people\n");
    git(&world, &["add", "-A"]);
    git(&world, &["commit", "-qm", "two"]);
    app.run(&world, &[]).is("ran");
    let second = app.result(&world);
    for (branch, expected) in [("first", &first), ("second", &second), ("first", &first)] {
        git(&world, &["checkout", "-q", branch]);
        app.run(&world, &[]).is("restored");
        app.result(&world).iter().zip(expected).for_each(|(now, then)| assert_same(now, then));
    }
}

#[test]
fn going_back_to_a_branch_of_sveltekit_hits() {
    going_back_to_a_branch_hits(&SVELTEKIT_2);
}

#[test]
fn going_back_to_a_branch_of_nuxt_hits() {
    going_back_to_a_branch_hits(&NUXT_4);
}

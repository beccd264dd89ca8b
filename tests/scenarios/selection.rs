//! What a person writes of inputs and outputs: patterns, alone and with what was traced, left out,
//! and none at all. Reads and writes are filtered apart, and a change of either is told.

use crate::world::World;

/// A task `build` that joins two sources into `dist`, with more keys.
fn world(keys: &str) -> World {
    let world = World::of_scripts(&[]);
    configure(&world, keys);
    world.write(
        "build.sh",
        "mkdir -p dist/cache\ncat src/a.txt src/b.txt > dist/all.txt\necho x > dist/cache/x\n",
    );
    world.write("src/a.txt", "a\n");
    world.write("src/b.txt", "b\n");
    world.write("notes.md", "no source\n");
    world
}

fn configure(world: &World, keys: &str) {
    world.write("overhear.json", &format!(r#"{{"tasks": {{"build": {{"command": "sh build.sh"{keys}}}}}}}"#));
}

#[test]
fn patterns_of_inputs_stand_for_what_was_traced() {
    let world = world(r#", "input": ["src/**", "!src/b.txt"]"#);
    world.run("build").is("ran");
    world.run("build").is("fresh");
    // Traced, but a person has said that it does not count.
    world.write("src/b.txt", "B\n");
    world.run("build").is("fresh");
    world.write("src/a.txt", "A\n");
    world.run("build").missed("input_modified", "src/a.txt");
    assert_eq!(world.read("dist/all.txt"), "A\nB\n");
}

#[test]
fn a_file_that_appears_under_a_pattern_is_a_miss_and_gone_again_a_hit() {
    let world = world(r#", "input": ["src/*.txt"]"#);
    world.run("build").is("ran");
    world.write("src/c.txt", "c\n");
    world.run("build").missed("input_added", "src/c.txt");
    world.run("build").is("fresh");
    world.write("src/readme.md", "no match\n");
    world.write("src/deep/d.txt", "no match\n");
    world.run("build").is("fresh");
    world.remove("src/c.txt");
    world.run("build").is("fresh");
}

#[test]
fn a_pattern_beside_auto_adds_files_that_nobody_read() {
    let world = world(r#", "input": [{"auto": true}, "notes.md"]"#);
    world.run("build").is("ran");
    world.write("notes.md", "changed\n");
    world.run("build").missed("input_modified", "notes.md");
    world.write("src/b.txt", "B\n");
    world.run("build").missed("input_modified", "src/b.txt");
}

#[test]
fn a_pattern_of_the_workspace_reaches_beyond_the_package() {
    let world = World::empty();
    world.write("package.json", r#"{"name": "root", "private": true, "workspaces": ["packages/*"]}"#);
    world.write("packages/ui/package.json", r#"{"name": "ui"}"#);
    world.write(
        "packages/ui/overhear.json",
        r#"{"tasks": {"build": {"command": "echo built", "input": [{"pattern": "base.json", "base": "workspace"}, "own.json"]}}}"#,
    );
    for path in ["base.json", "packages/ui/own.json", "packages/ui/base.json"] {
        world.write(path, "1");
    }
    world.run("ui#build").is("ran");
    world.write("packages/ui/base.json", "2");
    world.run("ui#build").is("fresh");
    world.write("packages/ui/own.json", "2");
    world.run("ui#build").missed("input_modified", "packages/ui/own.json");
    world.write("base.json", "2");
    world.run("ui#build").missed("input_modified", "base.json");
}

#[test]
fn no_inputs_at_all_means_the_command_alone_decides() {
    let world = world(r#", "input": []"#);
    world.run("build").is("ran");
    world.write("src/a.txt", "A\n");
    world.write("build.sh", "echo other\n");
    world.run("build").is("fresh");
}

#[test]
fn leaving_a_folder_out_of_the_inputs_does_not_leave_it_out_of_the_outputs() {
    let world = world(r#", "input": [{"auto": true}, "!dist/**"]"#);
    world.run("build").is("ran");
    world.remove("dist");
    world.run("build").is("restored");
    assert_eq!(world.read("dist/all.txt"), "a\nb\n");
}

#[test]
fn leaving_a_folder_out_of_the_outputs_does_not_hide_a_read() {
    let world = world(r#", "output": [{"auto": true}, "!src/**"]"#);
    world.run("build").is("ran");
    world.write("src/a.txt", "A\n");
    world.run("build").missed("input_modified", "src/a.txt");
}

#[test]
fn patterns_of_outputs_select_among_what_the_step_wrote() {
    let world = world(r#", "output": ["dist/**", "!dist/cache/**"]"#);
    world.run("build").is("ran");
    world.remove("dist");
    world.run("build").is("restored");
    assert_eq!(world.read("dist/all.txt"), "a\nb\n");
    assert!(!world.path("dist/cache/x").exists());
}

#[test]
fn no_outputs_at_all_means_nothing_is_put_back() {
    let world = world(r#", "output": []"#);
    world.run("build").is("ran");
    world.remove("dist");
    world.run("build").is("fresh");
    assert!(!world.path("dist").exists());
}

#[test]
fn outputs_may_be_written_down_while_inputs_are_traced_and_the_other_way_round() {
    let outputs = world(r#", "output": ["dist/all.txt"]"#);
    outputs.run("build").is("ran");
    outputs.write("src/b.txt", "B\n");
    outputs.run("build").missed("input_modified", "src/b.txt");
    outputs.remove("dist");
    outputs.run("build").is("restored");
    assert_eq!(outputs.tree("dist").len(), 1);
    let inputs = world(r#", "input": ["src/"]"#);
    inputs.run("build").is("ran");
    inputs.remove("dist");
    inputs.run("build").is("restored");
    assert_eq!(inputs.read("dist/cache/x"), "x\n");
}

#[test]
fn another_selection_is_a_miss_that_says_so_and_the_old_one_hits_again() {
    for (key, kind) in [("input", "input_config_changed"), ("output", "output_config_changed")] {
        let world = world("");
        world.run("build").is("ran");
        configure(&world, &format!(r#", "{key}": [{{"auto": true}}, "!nothing/**"]"#));
        world.run("build").missed(kind, "");
        configure(&world, "");
        world.run("build").is("fresh");
    }
}

#[test]
fn a_file_that_the_step_makes_under_a_pattern_of_its_inputs_does_not_count() {
    let world = world(r#", "input": ["**/*.txt"]"#);
    world.run("build").is("ran");
    world.run("build").is("fresh");
    world.remove("dist");
    world.run("build").is("restored");
    world.run("build").is("fresh");
}

#[test]
fn a_step_that_rewrites_a_file_named_as_input_settles_to_hits() {
    let world = world(r#", "input": ["src/**"], "output": ["src/**"]"#);
    world.write("build.sh", "tr a-z A-Z < src/a.txt > new && cat new > src/a.txt && rm new\n");
    world.run("build").is("ran");
    assert_eq!(world.read("src/a.txt"), "A\n");
    world.run("build").is("ran");
    world.run("build").is("fresh");
    world.write("src/a.txt", "a\n");
    world.run("build").is("restored");
    assert_eq!(world.read("src/a.txt"), "A\n");
}

#[test]
fn where_inputs_and_outputs_are_written_down_no_tracer_is_needed() {
    let world = world(r#", "input": ["src/**", "build.sh"], "output": ["dist/**"]"#);
    let run = || world.run_with("build", &[("OVERHEAR_TRACE", "none")]);
    run().is("ran");
    run().is("fresh");
    world.remove("dist");
    run().is("restored");
    assert_eq!(world.read("dist/all.txt"), "a\nb\n");
    world.write("src/a.txt", "A\n");
    run().missed("input_modified", "src/a.txt");
    assert_eq!(world.read("dist/all.txt"), "A\nb\n");
}

#[test]
fn each_step_of_a_chain_keeps_what_it_wrote_itself_of_the_outputs_of_the_task() {
    let world = World::of_scripts(&[]);
    world.write(
        "overhear.json",
        r#"{"tasks": {"build": {"command": ["sh one.sh", "sh two.sh"], "output": ["dist/**"]}}}"#,
    );
    world.write("one.sh", "mkdir -p dist; cat a.txt > dist/one; echo log > log.txt\n");
    world.write("two.sh", "mkdir -p dist; cat b.txt > dist/two\n");
    world.write("a.txt", "a\n");
    world.write("b.txt", "b\n");
    assert_eq!(world.run("build").statuses(), ["ran", "ran"]);
    assert_eq!(world.run("build").statuses(), ["fresh", "fresh"]);
    world.remove("dist/one");
    world.remove("log.txt");
    assert_eq!(world.run("build").statuses(), ["restored", "fresh"]);
    assert_eq!((world.read("dist/one"), world.read("dist/two")), ("a\n".into(), "b\n".into()));
    assert!(!world.path("log.txt").exists());
}

//! Which variables count is said by the tool and its config, and by nobody else.

use crate::main_job::REACT;
use crate::world::World;

fn a_prefix_of_the_config_is_what_counts(world: &World, config: &str) {
    world.write("vite.config.js", config);
    world.run("build").is("ran");
    world.run_with("build", &[("MYAPP_X", "1")]).missed("env_added", "MYAPP_X");
    world.run("build").is_hit();
    world.run_with("build", &[("VITE_X", "1")]).is("fresh");
}

const VITE_8: &str = "import react from '@vitejs/plugin-react'
export default { plugins: [react()], envPrefix: 'MYAPP_' }
";
const VITE_6: &str = "import vue from '@vitejs/plugin-vue'
export default { plugins: [vue()], envPrefix: 'MYAPP_' }
";

#[test]
fn env_prefix_of_a_vite_8_config_is_what_counts() {
    a_prefix_of_the_config_is_what_counts(&World::of(REACT), VITE_8);
}

#[test]
fn env_prefix_of_a_vite_6_config_is_what_counts() {
    a_prefix_of_the_config_is_what_counts(&World::of("tests/fixtures/vue-vite6"), VITE_6);
}

#[test]
fn a_variable_reaches_the_outputs_and_its_value_stays_out_of_the_index() {
    let world = World::of(REACT);
    let built = |title| {
        world.run_with("build", &[("VITE_TITLE", title)]);
        let assets = world.tree("dist/assets");
        assets.values().any(|node| {
            matches!(node, crate::tree::Node::File { bytes, .. }
            if String::from_utf8_lossy(bytes).contains(title))
        })
    };
    assert!(built("first value here"));
    assert!(built("second value here"));
    assert!(built("first value here"));
    for name in ["index.db", "index.db-wal", "checkout.db", "checkout.db-wal"] {
        let bytes = std::fs::read(world.path(".overhear").join(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("value here"), "{name}");
    }
}

#[test]
fn a_variable_that_is_set_to_the_same_again_hits() {
    let world = World::of(REACT);
    world.run_with("build", &[("VITE_X", "1")]).is("ran");
    world.run_with("build", &[("VITE_X", "1")]).is("fresh");
    world.run("build").missed("env_removed", "VITE_X");
    world.run_with("build", &[("VITE_X", "1")]).is_hit();
}

#[test]
fn a_prefix_that_only_running_the_config_tells_is_never_stale() {
    let world = World::of("tests/fixtures/vue-vite6");
    let config = "import vue from '@vitejs/plugin-vue'
const prefix = ['MY', 'APP'].map((part) => part).join('') + '_'
export default { plugins: [vue()], envPrefix: prefix }
";
    world.write("vite.config.js", config);
    world.edit("src/App.vue", "import.meta.env.VITE_TITLE", "import.meta.env.MYAPP_TITLE");
    for title in ["one title", "another title", "one title"] {
        world.run_with("build", &[("MYAPP_TITLE", title)]);
        let direct = world.built_directly("vite", &["build"], &[("MYAPP_TITLE", title)], "dist");
        crate::tree::assert_same(&world.tree("dist"), &direct);
    }
}

#[test]
fn a_variable_that_a_script_names_counts_also_if_it_was_not_set_at_first() {
    let world =
        World::of_cached_scripts(&[("build", "sh build.sh"), ("make", "make -s"), ("app", "python3 -m app")]);
    world.write("build.sh", ". ./lib.sh\n");
    world.write("lib.sh", "echo stage=${STAGE:-dev}\n");
    world.write("Makefile", "all:\n\t@echo stage=$(STAGE)\n");
    world.write("app.py", "import os\nprint('stage=' + os.getenv('STAGE', ''))\n");
    for (task, unset) in [("build", "stage=dev"), ("make", "stage="), ("app", "stage=")] {
        assert_eq!(world.run(task).out.trim(), unset, "{task}");
        assert_eq!(world.run(task).out.trim(), unset, "{task}");
        assert_eq!(world.run_with(task, &[("STAGE", "prod")]).out.trim(), "stage=prod", "{task}");
        let done = world.run(task);
        assert_eq!((done.out.trim(), done.statuses()), (unset, vec!["fresh"]), "{task}");
    }
}

#[test]
fn what_was_kept_without_colours_is_no_hit_for_who_wants_them() {
    let world = World::of_cached_scripts(&[("build", "node build.js")]);
    let script = "console.log(process.env.NO_COLOR ? 'plain' : '\\x1b[31mred\\x1b[0m')\n";
    world.write("build.js", script);
    let shown = |env: &[(&str, &str)]| {
        let mut run = world.task(&["--color", "always", "build"]);
        run.command.envs(env.iter().copied());
        let done = run.done();
        (done.statuses()[0].to_owned(), done.out)
    };
    let (plain, red) = ("plain\n", "\x1b[31mred\x1b[0m\n");
    assert_eq!(shown(&[("NO_COLOR", "1")]), ("ran".to_owned(), plain.to_owned()));
    assert_eq!(shown(&[]), ("ran".to_owned(), red.to_owned()));
    assert_eq!(shown(&[("FORCE_COLOR", "1")]), ("fresh".to_owned(), red.to_owned()));
    assert_eq!(shown(&[("NO_COLOR", "1")]), ("fresh".to_owned(), plain.to_owned()));
}

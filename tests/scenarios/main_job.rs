//! The main job on an unmodified vite 8: run, hit, restore, miss with its reason, hit again.

use crate::tree::{Tree, assert_same};
use crate::world::{World, has_program};
use std::fs;

pub const REACT: &str = "examples/react-app";

/// Programs that a run starts, itself included, as the kernel saw them.
fn programs_started(world: &World) -> Vec<String> {
    let log = world.beside("strace.txt");
    let log_arg = log.to_str().unwrap().to_owned();
    let strace = ["-f", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none", "-o", &log_arg];
    let done = world.task(&["build"]).below("strace", &strace).done();
    assert_eq!(done.code, 0, "{done:?}");
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter(|line| line.contains("exec") && line.ends_with("= 0")).map(str::to_owned).collect()
}

/// Every step of the main job, on any app that is built into `dist`: `file` has the text `from`, which
/// is also part of the outputs.
pub fn holds(world: &World, file: &str, from: &str) {
    // A first run builds, and leaves what a direct build leaves.
    let original = world.built_directly("vite", &["build"], &[], "dist");
    world.run("build").missed("not_found", "");
    assert_same(&world.tree("dist"), &original);

    // Nothing changed, twice.
    for _ in 0..2 {
        world.run("build").is("fresh");
    }

    // Deleted outputs are put back, all of them or some.
    world.remove("dist");
    world.run("build").is("restored");
    assert_same(&world.tree("dist"), &original);
    world.remove("dist/index.html");
    world.run("build").is("restored");
    assert_same(&world.tree("dist"), &original);

    // An edit is a miss, and what comes out is what a direct build makes of it.
    world.edit(file, from, "edited");
    world.run("build").missed("input_modified", file);
    let edited = world.tree("dist");
    assert_ne!(edited, original, "the edit did not reach the outputs");
    assert_same(&edited, &world.built_directly("vite", &["build"], &[], "dist"));
    world.run("build").is("fresh");

    // Undone and done again: hits, with nothing of the other build left.
    for _ in 0..2 {
        world.edit(file, "edited", from);
        world.run("build").is("restored");
        assert_same(&world.tree("dist"), &original);
        world.edit(file, from, "edited");
        world.run("build").is("restored");
        assert_same(&world.tree("dist"), &edited);
    }
    world.edit(file, "edited", from);

    // Variables that count, and one that does not.
    world.run_with("build", &[("VITE_X", "1")]).missed("env_added", "VITE_X");
    world.run_with("build", &[("VITE_X", "2")]).missed("env_changed", "VITE_X");
    world.run_with("build", &[("NODE_ENV", "development")]).missed("env_added", "NODE_ENV");
    let direct = world.built_directly("vite", &["build"], &[("NODE_ENV", "development")], "dist");
    assert_same(&world.tree("dist"), &direct);
    world.run_with("build", &[("UNRELATED", "1")]).is_hit();
    assert_same(&world.tree("dist"), &original);
    world.run_with("build", &[("UNRELATED", "2")]).is("fresh");
    nothing_of_vites_own_is_kept(world);
}

/// `.vite-temp` and `node_modules/.vite` neither decide anything nor are stored.
fn nothing_of_vites_own_is_kept(world: &World) {
    world.write("node_modules/.vite/deps/_metadata.json", "{}");
    world.write("node_modules/.vite-temp/vite.config.js.timestamp-1.mjs", "");
    world.run("build").is("fresh");
    world.remove("node_modules/.vite");
    world.remove("node_modules/.vite-temp");
    world.run("build").is("fresh");
    let names = world.archived_names();
    assert!(names.iter().any(|name| name.ends_with("index.html")), "{names:?}");
    let own = names.iter().find(|name| name.contains("node_modules"));
    assert_eq!(own, None);
}

#[test]
fn the_main_job_holds_on_the_example() {
    holds(&World::of(REACT), "src/columns.js", "Doing");
}

#[test]
fn the_main_job_holds_on_a_generated_app_of_a_hundred_modules() {
    let world = World::of(REACT);
    world.remove("src");
    let mut main = String::new();
    for number in 0..100 {
        world.write(
            &format!("src/parts/part{number}.js"),
            &format!("export default 'part {number} of many'\n"),
        );
        match number % 10 {
            0 => main
                .push_str(&format!("import('./parts/part{number}.js').then((part) => console.log(part))\n")),
            _ => main.push_str(&format!(
                "import part{number} from './parts/part{number}.js'\nconsole.log(part{number})\n"
            )),
        }
    }
    world.write("src/main.jsx", &main);
    world.write("src/main.css", "body { margin: 0 }\n");
    holds(&world, "src/parts/part37.js", "of many");
}

#[test]
fn a_hit_starts_no_program_at_all() {
    if !has_program("strace") {
        return;
    }
    let world = World::of(REACT);
    world.run("build");
    assert_eq!(programs_started(&world).len(), 1, "fresh");
    world.remove("dist");
    assert_eq!(programs_started(&world).len(), 1, "restored");
    // Shown able to see one.
    world.edit("src/columns.js", "Doing", "edited");
    let started = programs_started(&world);
    assert!(started.iter().any(|line| line.contains("node_modules/.bin/vite")), "{started:?}");
}

#[test]
fn a_hit_creates_no_engine_for_adapters() {
    let world = World::of(REACT);
    assert_eq!(world.run("build").engines, Some(1));
    assert_eq!(world.run("build").is("fresh").engines, Some(0));
    world.remove("dist");
    assert_eq!(world.run("build").is("restored").engines, Some(0));
}

#[test]
fn the_chunk_of_a_removed_file_is_gone_after_a_restore() {
    let world = World::of(REACT);
    let has_clock = |tree: &Tree| tree.keys().any(|path| path.starts_with("assets/Clock-"));
    let board = world.read("src/Board.jsx");
    let clock = world.read("src/Clock.jsx");
    let without = board
        .replace("const Clock = lazy(() => import('./Clock.jsx'))", "const Clock = () => null")
        .replace("import { lazy, Suspense,", "import { Suspense,");
    world.run("build").is("ran");
    assert!(has_clock(&world.tree("dist")));

    world.remove("src/Clock.jsx");
    world.write("src/Board.jsx", &without);
    world.run("build").is("ran");
    let after = world.tree("dist");
    assert!(!has_clock(&after));

    world.write("src/Clock.jsx", &clock);
    world.write("src/Board.jsx", &board);
    world.run("build").is("restored");
    assert!(has_clock(&world.tree("dist")));

    world.remove("src/Clock.jsx");
    world.write("src/Board.jsx", &without);
    world.run("build").is("restored");
    assert_same(&world.tree("dist"), &after);
}

/// vite says that what lay in its folder for outputs is none of its inputs; then it empties that.
#[test]
fn what_was_built_before_overhear_came_is_no_input_of_what_replaces_it() {
    let world = World::of(REACT);
    let built = world.direct("node_modules/.bin/vite", &["build"]).done();
    assert_eq!(built.code, 0, "{built:?}");
    let as_directly = world.tree("dist");
    world.write("dist/old.js", "of a build that nobody knows");
    world.run("build").is("ran");
    assert_same(&world.tree("dist"), &as_directly);
    world.remove("dist");
    world.run("build").is("restored");
    assert_same(&world.tree("dist"), &as_directly);
    // Somebody's file in its place is still no overhear's to remove.
    world.write("dist/mine.txt", "mine");
    world.run("build").is("ran");
    assert_same(&world.tree("dist"), &as_directly);
}

#[test]
fn a_new_file_that_the_build_would_find_is_a_miss() {
    let world = World::of(REACT);
    world.run("build");
    world.write(".env", "VITE_TITLE=From a file\n");
    world.run("build").missed("input_added", ".env");
    world.remove(".env");
    world.run("build").is("restored");
    world.write("public/humans.txt", "us\n");
    world.run("build").is("ran");
    assert_eq!(world.read("dist/humans.txt"), "us\n");
}

#[test]
fn a_dependency_changed_in_node_modules_is_a_miss() {
    let world = World::of(REACT);
    world.run("build");
    let file = "node_modules/react/cjs/react.production.js";
    let text = world.read(file);
    world.write(file, &format!("{text}\nexports.changed = 'by hand';\n"));
    world.run("build").missed("input_modified", file);
}

#[test]
fn what_the_build_printed_is_printed_again() {
    let world = World::of(REACT);
    let ran = world.run("build");
    assert!(ran.out.contains("modules transformed"), "{ran:?}");
    let fresh = world.run("build");
    assert_eq!(fresh.out, ran.out);
    assert!(fresh.err.contains("react-app#build  fresh, "), "{fresh:?}");
}

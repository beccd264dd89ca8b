//! What vite says of its folder for outputs, where something else depends on what lies there
//! (`docs/design/told.md`): each run is held against vite run directly.

use crate::main_job::REACT;
use crate::tree::assert_same;
use crate::world::World;
use std::fs;
use std::os::unix::fs::symlink;

/// An app with this as its only module, and this script.
fn app(main: &str, build: &str) -> World {
    let world = World::of(REACT);
    world.write("index.html", "<!doctype html><script type=\"module\" src=\"/src/main.js\"></script>\n");
    world.write("src/main.js", main);
    world.write("vite.config.js", "export default {}\n");
    world.edit("package.json", "\"build\": \"vite build\"", &format!("\"build\": \"{build}\""));
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    world
}

/// The text of the scripts that the page loads.
fn bundle(world: &World) -> String {
    let page = world.read("dist/index.html");
    let scripts = page.split("/assets/").skip(1).filter_map(|rest| rest.split('"').next());
    scripts.map(|script| world.read(&format!("dist/assets/{script}"))).collect()
}

#[test]
fn a_module_in_the_folder_for_outputs_is_an_input() {
    let world = app("import made from '../dist/made.js'; console.log(made)\n", "node made.js && vite build");
    let made = "import fs from 'fs'; fs.mkdirSync('dist', { recursive: true })
fs.writeFileSync('dist/made.js', 'export default ' + fs.readFileSync('in.txt', 'utf8'))\n";
    world.write("made.js", made);
    for text in ["'one'\n", "'two'\n", "'one'\n", "'three'\n", "'two'\n"] {
        world.write("in.txt", text);
        world.run("build");
        assert!(bundle(&world).contains(text.trim().trim_matches('\'')), "{text}: {}", bundle(&world));
    }
}

#[test]
fn a_module_in_a_folder_for_outputs_that_is_not_emptied_is_an_input() {
    let world =
        app("import made from '../dist/made.js'; console.log(made)\n", "vite build --emptyOutDir false");
    world.write("dist/made.js", "export default 'one'\n");
    world.run("build").is("ran");
    world.run("build").is("fresh");
    world.write("dist/made.js", "export default 'two'\n");
    world.run("build").is("ran");
    assert!(bundle(&world).contains("two"), "{}", bundle(&world));
    world.remove("dist/made.js");
    assert_eq!(world.task(&["build"]).done().code, 1);
}

#[test]
fn a_server_that_is_built_into_the_folder_of_the_client_follows_it() {
    let build = "vite build && vite build --ssr src/server.js --emptyOutDir false";
    let world = app("console.log('one')\n", build);
    world.write("src/server.js", "import page from '../dist/index.html?raw'; console.log(page)\n");
    for text in ["one", "two", "one", "three"] {
        world.write("src/main.js", &format!("console.log('{text}')\n"));
        world.run("build");
        let (page, server) = (world.read("dist/index.html"), world.read("dist/server.js"));
        let script = page.split("/assets/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(server.contains(script), "{text}: {script} in {server}");
    }
}

#[test]
fn a_folder_for_outputs_that_is_a_link_counts_as_one() {
    let world = app("console.log('one')\n", "vite build");
    let link = |to: &str| {
        let _ = fs::remove_file(world.path("dist"));
        symlink(to, world.path("dist")).unwrap();
    };
    fs::create_dir_all(world.path("srv/a")).unwrap();
    fs::create_dir_all(world.path("srv/b")).unwrap();
    link("srv/a");
    world.run("build").is("ran");
    let built = world.tree("srv/a");
    assert!(built.contains_key("index.html"), "{built:?}");
    link("srv/b");
    world.run("build");
    assert_same(&world.tree("srv/b"), &built);
    fs::remove_file(world.path("dist")).unwrap();
    world.run("build");
    assert_same(&world.tree("dist"), &built);
}

/// A task that says of its folder what vite says, with a script.
fn told(build: &str) -> World {
    let tell = format!("{} tell ignore-input dist", env!("CARGO_BIN_EXE_overhear"));
    World::of_cached_scripts(&[("build", &format!("{tell}; {build}"))])
}

#[test]
fn that_a_folder_of_that_name_was_left_says_nothing_of_a_link() {
    let world = told("mkdir -p dist; echo 1 > dist/out");
    world.run("build").is("ran");
    world.remove("dist");
    for (place, status) in [("one", "ran"), ("two", "ran"), ("one", "fresh")] {
        let _ = fs::create_dir(world.path(place));
        let _ = fs::remove_file(world.path("dist"));
        symlink(place, world.path("dist")).unwrap();
        world.run("build").is(status);
        assert_eq!(world.read(&format!("{place}/out")), "1\n");
    }
}

#[test]
fn folders_of_others_in_a_told_folder_count() {
    let world = told("mkdir -p dist; ls -d dist/*/ > list.txt 2> /dev/null; echo 1 > dist/out");
    world.run("build").is("ran");
    for (change, status, listed) in
        [("make", "ran", "dist/sub/\n"), ("", "fresh", "dist/sub/\n"), ("remove", "restored", "")]
    {
        match change {
            "make" => fs::create_dir(world.path("dist/sub")).unwrap(),
            "remove" => fs::remove_dir(world.path("dist/sub")).unwrap(),
            _ => {}
        }
        world.run("build").is(status);
        assert_eq!(world.read("list.txt"), listed, "{change}");
    }
}

#[test]
fn a_file_that_was_asked_for_in_a_told_folder_counts_in_both_directions() {
    let world = told("mkdir -p dist; test -e dist/robots.txt && echo yes > dist/out || echo no > dist/out");
    for said in ["no", "yes", "no", "yes"] {
        match said {
            "yes" => world.write("dist/robots.txt", "x\n"),
            _ => drop(fs::remove_file(world.path("dist/robots.txt"))),
        }
        world.run("build");
        assert_eq!(world.read("dist/out").trim(), said);
    }
}

#[test]
fn what_is_no_output_by_a_word_of_the_tool_or_of_a_person_still_decides_when_it_is_asked_for() {
    let tell = format!("{} tell ignore-output out/.lock", env!("CARGO_BIN_EXE_overhear"));
    let make = "mkdir -p out; if test -e out/.lock; then cat out/.lock > out/a; else echo free > out/a; fi; echo 1 > out/.lock";
    let output = r#"[{"auto": true}, "!out/.lock"]"#;
    let by_person =
        format!(r#"{{"cache": {{"scripts": true}}, "scripts": {{"build": {{"output": {output}}}}}}}"#);
    for (build, config) in
        [(format!("{tell}; {make}"), r#"{"cache": {"scripts": true}}"#), (make.to_owned(), &by_person)]
    {
        let world =
            World::of_cached_scripts(&[("build", &build), ("other", "mkdir -p out; echo 2 > out/.lock")]);
        world.write("overhear.json", config);
        for (before, expected) in [("", "free"), ("", "1"), ("mine", "mine"), ("", "1")] {
            if !before.is_empty() {
                world.write("out/.lock", before);
            }
            world.run("build");
            assert_eq!(world.read("out/a").trim(), expected, "{build}");
        }
        fs::remove_dir_all(world.path("out")).unwrap();
        world.run("build");
        assert_eq!(world.read("out/a"), "free\n", "{build}");
        world.run("other");
        world.run("build");
        assert_eq!(world.read("out/a"), "2\n", "{build}");
    }
}

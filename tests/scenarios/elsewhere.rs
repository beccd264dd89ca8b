//! The same entry in another checkout, and with another home folder.

use crate::world::World;
use std::process::Command;

#[test]
fn a_file_of_the_home_folder_is_that_of_who_runs_it_also_where_the_workspace_lies_below() {
    let world = World::of_cached_scripts(&[("build", "sh -c 'cat \"$HOME/.toolrc\" || true'")]);
    let above = world.app.parent().unwrap();
    let other = world.beside("other");
    std::fs::create_dir(&other).unwrap();
    let run = |home: &std::path::Path, text: &str, status: &str| {
        let done = world.run_with("build", &[("HOME", home.to_str().unwrap())]);
        assert_eq!((&*done.out, done.statuses()), (text, vec![status]));
    };
    std::fs::write(above.join(".toolrc"), "one").unwrap();
    std::fs::write(other.join(".toolrc"), "two").unwrap();
    run(above, "one", "ran");
    run(above, "one", "fresh");
    std::fs::write(above.join(".toolrc"), "three").unwrap();
    run(above, "three", "ran");
    run(&other, "two", "ran");
}

/// pnpm writes them so.
#[test]
fn a_shim_that_spells_where_the_checkout_lies_is_the_same_program_elsewhere() {
    let world = World::of_cached_scripts(&[("build", "tool")]);
    let shim = "node_modules/.bin/tool";
    let spell = |root: &std::path::Path, version: &str| {
        let text = format!(
            "#!/bin/sh\nexport NODE_PATH=\"{}/node_modules/.pnpm\"\necho {version} > out\n",
            root.display()
        );
        let path = root.join(shim);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    spell(&world.app, "1");
    world.run("build").is("ran");
    let clone = world.beside("clone");
    assert!(Command::new("cp").arg("-a").args([&world.app, &clone]).status().unwrap().success());
    let run = |expected: &str| {
        let mut overhear = world.command(env!("CARGO_BIN_EXE_overhear"));
        let output = overhear.current_dir(&clone).args(["run", "build"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{said}");
    };
    spell(&clone, "1");
    run("fresh");
    spell(&clone, "2");
    run("program tool changed");
    assert_eq!(std::fs::read_to_string(clone.join("out")).unwrap(), "2\n");
}

#[test]
fn a_program_that_a_step_installs_outside_is_found_by_the_steps_after_it() {
    for makes in ["uncached", "refused"] {
        let ask = |file: &str| format!("tool > {file} 2> /dev/null || echo none > {file}");
        let (before, after) = (ask("x.txt"), ask("out.txt"));
        let world = World::of_cached_scripts(&[
            ("before", &before),
            ("make", "cp tool.sh ../bin/tool.new && mv ../bin/tool.new ../bin/tool"),
            ("use", &after),
        ]);
        let is_cached = makes == "refused";
        let scripts = format!(
            r#"{{"make": {{"cache": {is_cached}, "dependsOn": ["before"]}}, "use": {{"dependsOn": ["make"]}}}}"#
        );
        world.write("overhear.json", &format!(r#"{{"cache": {{"scripts": true}}, "scripts": {scripts}}}"#));
        world.write("tool.sh", "#!/bin/sh\necho 1\n");
        let tool: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(world.path("tool.sh"), tool).unwrap();
        let bin = world.beside("bin");
        std::fs::create_dir(&bin).unwrap();
        let path = format!("{}:{}", std::env::var("PATH").unwrap(), bin.display());
        let run = |args: &[&str]| world.task(args).env("PATH", &*path).done();
        run(&["--ignore-depends-on", "before"]);
        run(&["--ignore-depends-on", "use"]);
        assert_eq!(world.read("out.txt"), "none\n");
        let done = run(&["use"]);
        assert_eq!(world.read("out.txt"), "1\n", "{makes}: {done:?}");
    }
}

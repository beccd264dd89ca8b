//! The packages for npm, installed from a registry on loopback as users install them: in a fresh folder
//! that has nothing but node.

use crate::world::{World, has_program};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a native program of Linux begins with.
const ELF: &[u8] = b"\x7fELF";

/// The registry; it ends when its standard input is closed.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn of(folder: &Path) -> Registry {
        let script = root().join("tests/npm/registry.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Registry { child, address: address.trim().to_owned() }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Packs this very program.
fn packed(world: &World) -> PathBuf {
    let out = world.beside("packages");
    let program = format!("x86_64-unknown-linux-gnu={}", env!("CARGO_BIN_EXE_overhear"));
    let mut command = world.command("node");
    command.arg(root().join("npm/pack.mjs")).arg("--out").arg(&out).args(["--program", &program]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

/// Runs a program of npm in the workspace; gives both of its streams.
fn npm(world: &World, registry: &Registry, program: &str, args: &[&str]) -> (bool, String) {
    let mut command = world.command(program);
    command.args(args).env("npm_config_registry", &registry.address);
    command.env("npm_config_update_notifier", "false").env("npm_config_audit", "false");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn app() -> World {
    let world = World::of_cached_scripts(&[("build", "node build.js")]);
    world.write("build.js", "require('fs').writeFileSync('out.txt', 'built\\n')\n");
    world
}

#[test]
fn what_npm_installs_is_the_native_program_and_a_second_run_is_a_hit() {
    if !has_program("npm") || !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return;
    }
    let world = app();
    let registry = Registry::of(&packed(&world));

    // With nothing installed, npx fetches it.
    let (ok, text) = npm(&world, &registry, "npx", &["--yes", "overhear", "run", "build"]);
    assert!(ok && text.contains("app#build  miss: first run"), "{text}");
    let (ok, text) = npm(&world, &registry, "npx", &["--yes", "overhear", "run", "build"]);
    assert!(ok && text.contains("app#build  fresh"), "{text}");

    // Installed, no node is started by it: the program itself lies where the script was.
    let (ok, text) = npm(&world, &registry, "npm", &["install", "--save-dev", "overhear"]);
    assert!(ok, "{text}");
    let installed = std::fs::read(world.path("node_modules/overhear/bin/overhear")).unwrap();
    assert_eq!(&installed[..4], ELF, "the script was not replaced: {text}");
    // node reads package.json, which names overhear now.
    for line in ["miss: package.json changed", "fresh"] {
        let (ok, text) = npm(&world, &registry, "npx", &["overhear", "run", "build"]);
        assert!(ok && text.contains(line), "{text}");
    }
    assert!(world.read("node_modules/overhear/schema.json").contains("\"tasks\""));
}

#[test]
fn where_install_scripts_are_off_a_script_starts_the_program_and_ends_as_it_ends() {
    if !has_program("npm") || !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return;
    }
    let world = app();
    world.edit("package.json", "\"node build.js\"", "\"node build.js\", \"fails\": \"exit 3\"");
    let registry = Registry::of(&packed(&world));
    let (ok, text) = npm(&world, &registry, "npm", &["install", "-D", "overhear", "--ignore-scripts"]);
    assert!(ok, "{text}");
    assert!(world.read("node_modules/overhear/bin/overhear").starts_with("#!/usr/bin/env node"));
    let run = |task: &str| world.direct("node_modules/.bin/overhear", &["run", task]).done();
    let done = run("build");
    assert!(done.code == 0 && done.err.contains("app#build  miss: first run"), "{done:?}");
    assert_eq!(run("fails").code, 3);

    // Without the package of the platform it says what to do.
    world.remove("node_modules/@overhear");
    let done = run("build");
    assert_eq!(done.code, 2);
    assert!(done.err.contains("@overhear/linux-x64-gnu is missing"), "{done:?}");
}

//! Adapters for tests: built from source once for each state of it, encoded, and put into a workspace.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The component of a guest in `tests/guests`: `hostile` or `careless`.
pub fn component(name: &str) -> Vec<u8> {
    static HOSTILE: OnceLock<Vec<u8>> = OnceLock::new();
    static CARELESS: OnceLock<Vec<u8>> = OnceLock::new();
    let built = match name {
        "hostile" => &HOSTILE,
        "careless" => &CARELESS,
        _ => panic!("there is no guest {name}"),
    };
    built.get_or_init(|| encode(&build(name))).clone()
}

/// The careless guest with this number in its bytes: it breaks that rule.
pub fn careless(rule: u8) -> Vec<u8> {
    const MARK: &[u8] = b"careless rule: ";
    let mut component = component("careless");
    let found: Vec<usize> = (0..component.len() - MARK.len() - 1)
        .filter(|at| component[*at..].starts_with(MARK))
        .map(|at| at + MARK.len())
        .collect();
    assert_eq!(found.len(), 1, "the number stands at one place");
    component[found[0]..found[0] + 2].copy_from_slice(format!("{rule:02}").as_bytes());
    component
}

/// Puts a component into a workspace, and a tool that its adapter knows: `evil CASE COMMAND` runs the
/// command in a shell.
pub fn install(world: &World, component: &[u8], adapters: &str) {
    fs::write(world.path("evil.wasm"), component).unwrap();
    world.write("package.json", r#"{"name": "app", "version": "1.0.0"}"#);
    world.write("overhear.json", &format!(r#"{{"adapters": {adapters}, "tasks": {{"do": "evil"}}}}"#));
    world.write("node_modules/evil-tool/package.json", r#"{"name": "evil-tool", "version": "1.0.0"}"#);
    world.write("node_modules/evil-tool/evil.sh", "#!/bin/sh\necho done > ran.txt\neval \"$2\"\n");
    let program = world.path("node_modules/evil-tool/evil.sh");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(program, executable).unwrap();
    fs::create_dir_all(world.path("node_modules/.bin")).unwrap();
    std::os::unix::fs::symlink("../evil-tool/evil.sh", world.path("node_modules/.bin/evil")).unwrap();
}

fn build(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--locked", "--quiet", "--profile", "adapter"]);
    cargo.args(["--target", "wasm32-unknown-unknown", "-p", &format!("overhear-test-guest-{name}")]);
    cargo.arg("--target-dir").arg(&target);
    for (variable, _) in std::env::vars_os() {
        let variable = variable.to_string_lossy();
        if variable.starts_with("CARGO_") && variable != "CARGO_HOME" || variable.contains("RUSTFLAGS") {
            cargo.env_remove(&*variable);
        }
    }
    let done = cargo.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let file = format!("overhear_test_guest_{name}.wasm");
    target.join("wasm32-unknown-unknown/adapter").join(file)
}

fn encode(module: &Path) -> Vec<u8> {
    let encoder = wit_component::ComponentEncoder::default().module(&fs::read(module).unwrap()).unwrap();
    encoder.validate(true).encode().unwrap()
}

//! The template of an adapter in Rust, from nothing to use. Compiles the SDK, so it takes its time once.

use crate::world::World;
use std::path::{Path, PathBuf};

fn home(variable: &str, folder: &str) -> PathBuf {
    let own = std::env::var_os(variable).map(PathBuf::from);
    own.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(folder))
}

#[test]
fn a_crate_is_built_tested_and_used_as_it_was_generated() {
    let world = World::empty();
    world.write("package.json", r#"{"name": "app", "version": "1.0.0"}"#);
    world.write("overhear.json", r#"{"tasks": {"do": "mine build --out www"}}"#);
    world.write("node_modules/mine/package.json", r#"{"name": "mine", "version": "1.0.0"}"#);
    world.write("node_modules/mine/mine.sh", "#!/bin/sh\nmkdir -p www\necho built > www/a\n");
    world.make_executable("node_modules/mine/mine.sh");
    std::fs::create_dir_all(world.path("node_modules/.bin")).unwrap();
    std::os::unix::fs::symlink("../mine/mine.sh", world.path("node_modules/.bin/mine")).unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins/sdk");
    let adapter = |folder: &str, args: &[&str]| {
        let mut invocation = world.overhear(&[&["adapter"], args].concat());
        invocation.command.current_dir(world.path(folder));
        invocation.command.env("CARGO_HOME", home("CARGO_HOME", ".cargo"));
        invocation.command.env("RUSTUP_HOME", home("RUSTUP_HOME", ".rustup"));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
        invocation.command.env("CARGO_TARGET_DIR", target);
        let done = invocation.done();
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done
    };
    adapter(".", &["new", "mine", "--lang", "rust", "--sdk", sdk.to_str().unwrap()]);
    let built = adapter("mine", &["build"]);
    assert!(built.out.contains("adapter.wasm is the adapter acme/mine 0.1.0"), "{built:?}");
    assert!(adapter("mine", &["test"]).out.contains("2 passed, 0 failed"));
    adapter("mine", &["conform"]);
    world.run("do").is("ran");
    adapter(".", &["add", "mine/adapter.wasm"]);
    assert_eq!(world.run("do").steps[0]["reason"]["kind"], "declaration_changed");
    world.run("do").is("fresh");
    world.remove("www");
    world.run("do").is("restored");
}

//! The five ways to say something: the npm package from the main thread, a worker and a child process, the
//! Rust crate, and `overhear tell`. All take the same words.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Main,
    Worker,
    Child,
    Rust,
    Tell,
}

pub const DRIVERS: [Driver; 5] = [Driver::Main, Driver::Worker, Driver::Child, Driver::Rust, Driver::Tell];

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

impl Driver {
    /// The shell function `say` of this driver.
    fn say(self) -> String {
        let program = match self {
            Driver::Main => "node \"$ROOT/say.cjs\" main".to_owned(),
            Driver::Worker => "node \"$ROOT/say.cjs\" worker".to_owned(),
            Driver::Child => "node \"$ROOT/say.cjs\" child".to_owned(),
            Driver::Rust => format!("'{}'", rust_program().display()),
            Driver::Tell => format!("'{}' tell", env!("CARGO_BIN_EXE_overhear")),
        };
        format!("ROOT=$PWD\nsay() {{ {program} \"$@\"; }}\n")
    }

    /// A workspace whose cached script `build` runs this shell text with `say` in it. The text is in a file
    /// that the command line does not name, since overhear passes what such a file spells out.
    pub fn world(self, work: &str) -> World {
        let world = World::of_cached_scripts(&[("build", "sh task.sh")]);
        self.install(&world);
        world.write("task.sh", ". ./work.sh\n");
        world.write("src.txt", "source\n");
        self.set_work(&world, work);
        world
    }

    /// What `say` needs.
    pub fn install(self, world: &World) {
        if matches!(self, Driver::Rust | Driver::Tell) {
            return;
        }
        let package = repository().join("sdk-js");
        for name in ["package.json", "index.cjs", "index.mjs"] {
            world.write(
                &format!("node_modules/overhear-client/{name}"),
                &fs::read_to_string(package.join(name)).unwrap(),
            );
        }
        world.write("say.cjs", include_str!("say.cjs"));
    }

    pub fn set_work(self, world: &World, work: &str) {
        world.write("work.sh", &format!("set -eu\n{}{work}\n", self.say()));
    }
}

/// The example of the Rust crate, built as its users build it.
pub fn rust_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--quiet", "--package", "overhear-client", "--example", "say"]);
        cargo.arg("--target-dir").arg(&target).current_dir(repository());
        let built = cargo.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join("debug/examples/say")
    })
}

//! An unmodified vite 8 tells what it knows, through the file that it looks for.

#![allow(clippy::unwrap_used, missing_docs)]

use overhear::digest::Digest;
use overhear::hint::{EnvSelect, Hint};
use overhear::ipc::{Server, ServerSpec};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vite8");

/// Where the packages of the fixture are, installed once for each lock file.
fn installed() -> PathBuf {
    let lock = fs::read(Path::new(FIXTURE).join("package-lock.json")).unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = shared.join(format!("vite8-{}", &Digest::of(&lock).to_string()[..16]));
    let guard = File::create(shared.join("vite8.lock")).unwrap();
    guard.lock().unwrap();
    if !folder.join("complete").exists() {
        fs::create_dir_all(&folder).unwrap();
        for name in ["package.json", "package-lock.json"] {
            fs::copy(Path::new(FIXTURE).join(name), folder.join(name)).unwrap();
        }
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let status = Command::new("npm").args(npm).current_dir(&folder).status().unwrap();
        assert!(status.success(), "npm ci failed in {}", folder.display());
        fs::write(folder.join("complete"), "").unwrap();
    }
    folder
}

/// A copy of the fixture with its packages, in a folder of its own.
fn project() -> tempfile::TempDir {
    let packages = installed().join("node_modules");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("src")).unwrap();
    for name in ["package.json", "package-lock.json", "index.html", "vite.config.js", "src/main.js"] {
        fs::copy(Path::new(FIXTURE).join(name), folder.path().join(name)).unwrap();
    }
    // A real folder with links in it: vite makes its own folder beside the packages.
    let modules = folder.path().join("node_modules");
    fs::create_dir(&modules).unwrap();
    for entry in fs::read_dir(packages).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), modules.join(entry.file_name())).unwrap();
    }
    folder
}

/// Runs vite with nothing in its environment but PATH and what the server says.
fn vite(project: &Path, env: &[(&str, &str)], args: &[&str]) -> Vec<Hint> {
    let env: BTreeMap<String, String> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let server = Server::start(ServerSpec { env: Arc::new(env), ..ServerSpec::default() }).unwrap();
    let mut command = Command::new("node");
    command.arg(project.join("node_modules/vite/bin/vite.js")).args(args).current_dir(project);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).envs(server.child_env());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.finish(&|_| false).unwrap()
}

fn built(project: &Path) -> String {
    let assets = fs::read_dir(project.join("dist/assets")).unwrap();
    assets.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_build_tells_what_it_writes_itself_and_which_variables_it_uses() {
    let project = project();
    let root = fs::canonicalize(project.path()).unwrap();
    let hints =
        vite(&root, &[("VITE_TITLE", "served"), ("APP_COLOUR", "blue"), ("OTHER", "unseen")], &["build"]);
    let prefix = |prefix: &str| Hint::GetEnvs { select: EnvSelect::Prefix(prefix.into()), tracked: true };
    assert_eq!(
        hints,
        [
            Hint::GetEnv { name: "NODE_ENV".into(), tracked: true },
            Hint::IgnoreInput(root.join("node_modules/.vite-temp")),
            Hint::IgnoreOutput(root.join("node_modules/.vite-temp")),
            prefix("VITE_"),
            prefix("APP_"),
            Hint::IgnoreInput(root.join("node_modules/.modules.yaml")),
            Hint::IgnoreInput(root.join("dist")),
        ]
    );
    let js = built(&root);
    assert!(
        js.contains("served") && js.contains("blue") && js.contains("production") && !js.contains("unseen"),
        "{js}"
    );
}

#[test]
fn node_env_is_served_and_optimize_tells_its_cache() {
    let project = project();
    let root = fs::canonicalize(project.path()).unwrap();
    let hints = vite(&root, &[("NODE_ENV", "development")], &["optimize"]);
    assert!(hints.contains(&Hint::IgnoreInput(root.join("node_modules/.vite/deps"))), "{hints:?}");
    assert!(hints.contains(&Hint::IgnoreOutput(root.join("node_modules/.vite/deps"))), "{hints:?}");
    assert!(!hints.contains(&Hint::DisableCache));
}

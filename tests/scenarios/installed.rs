//! Real packages: each lock file is installed once below cargo's folder, under a lock, and copied from
//! there. After the first time nothing here uses a network.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a fixture in the repository, e.g. `examples/react-app`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

/// Copies a fixture and what its lock file names to `to`.
pub fn copy(name: &str, to: &Path) {
    let from = fixture(name);
    copy_all_but(&["node_modules", "dist", ".overhear"], &from, to);
    let installed = packages(&from);
    copy_tree(&installed.join("node_modules"), to);
    for package in workspace_packages(&from) {
        let own = installed.join(&package).join("node_modules");
        if own.is_dir() {
            copy_tree(&own, &to.join(package));
        }
    }
}

/// Copies the sources of a fixture, but neither its manifest nor its packages.
#[allow(dead_code, reason = "only some of the tests need it")]
pub fn copy_sources(name: &str, to: &Path) {
    let left_out = ["node_modules", "dist", ".overhear", "package.json", "package-lock.json"];
    copy_all_but(&left_out, &fixture(name), to);
}

/// What a person has built or installed in a fixture is not part of it.
fn copy_all_but(left_out: &[&str], from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if !left_out.iter().any(|own| entry.file_name() == *own) {
            copy_tree(&entry.path(), to);
        }
    }
}

/// The packages of a workspace, which all lie in `apps`.
fn workspace_packages(fixture: &Path) -> Vec<PathBuf> {
    let apps = fs::read_dir(fixture.join("apps")).into_iter().flatten();
    apps.map(|app| Path::new("apps").join(app.unwrap().file_name())).collect()
}

/// Copies a file or folder into a folder, with modes and times.
pub fn copy_tree(from: &Path, into: &Path) {
    let status = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(into).status().unwrap();
    assert!(status.success(), "cannot copy {} to {}", from.display(), into.display());
}

fn packages(fixture: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(fixture.join("package-lock.json")).unwrap());
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = shared.join(format!("packages-{:016x}", hasher.finish()));
    let guard = File::create(folder.with_extension("lock")).unwrap();
    guard.lock().unwrap();
    if !folder.join("complete").exists() {
        fs::create_dir_all(&folder).unwrap();
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(fixture.join(name), folder.join(name)).unwrap();
        }
        for package in workspace_packages(fixture) {
            fs::create_dir_all(folder.join(&package)).unwrap();
            let manifest = package.join("package.json");
            fs::copy(fixture.join(&manifest), folder.join(&manifest)).unwrap();
        }
        let args =
            ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"];
        let done = Command::new("npm").args(args).current_dir(&folder).output().unwrap();
        assert!(done.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&done.stderr));
        fs::write(folder.join("complete"), "").unwrap();
    }
    folder
}

//! A workspace in a folder of its own, and overhear run in it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A workspace on disk.
pub struct Fixture {
    /// Its folder.
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().expect("a temporary folder can be made") };
        files.iter().for_each(|(path, text)| fixture.write(path, text));
        fixture
    }

    /// Two packages, `web` on `ui`, whose scripts are cached.
    pub fn web_on_ui() -> Fixture {
        Fixture::new(&[
            ("package.json", r#"{"name": "root", "private": true, "workspaces": ["packages/*"]}"#),
            (
                "overhear.json",
                r#"{"cache": {"scripts": true}, "scripts": {"build": {"dependsOn": ["^build"]}}}"#,
            ),
            (
                "packages/ui/package.json",
                r#"{"name": "ui", "version": "1.0.0", "scripts": {"build": "sh build.sh"}}"#,
            ),
            ("packages/ui/build.sh", "mkdir -p dist && cat src.txt > dist/out.txt"),
            ("packages/ui/src.txt", "one"),
            (
                "packages/web/package.json",
                r#"{"name": "web", "version": "1.0.0", "dependencies": {"ui": "workspace:*"}, "scripts": {"build": "sh build.sh"}}"#,
            ),
            ("packages/web/build.sh", "cat ../ui/dist/out.txt a.txt b.txt > out.txt"),
            ("packages/web/a.txt", "a"),
            ("packages/web/b.txt", "b"),
        ])
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.dir.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a file lies in a folder"))
            .expect("folders can be made");
        std::fs::write(file, text).expect("files can be written");
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(path)).expect("the file is there")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overhear"));
        command.args(args).current_dir(self.dir.path());
        for name in ["GITHUB_ACTIONS", "CI", "FORCE_COLOR", "NO_COLOR", "OVERHEAR_CACHE_DIR", "API_URL"] {
            command.env_remove(name);
        }
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("overhear starts")
    }

    /// Standard output of a command that must end well.
    pub fn out(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Exit code and standard error.
    pub fn failure(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.output(args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.out(args)).expect("it is JSON")
    }

    /// Every file with its content.
    pub fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(dir).expect("the folder can be listed").flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, files),
                    path => drop(files.insert(path.clone(), std::fs::read(&path).unwrap_or_default())),
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(self.dir.path(), &mut files);
        files
    }
}

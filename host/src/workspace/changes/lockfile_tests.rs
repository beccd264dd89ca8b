//! One lock file of each kind for two packages, `a` with x and `b` with y: what changes for one must
//! change for it alone.

use super::*;

fn changed(name: &str, before: &str, from: &str, to: &str) -> Vec<bool> {
    assert!(before.contains(from), "{name} has no {from}");
    let dirs = [PathBuf::from(""), PathBuf::from("packages/a"), PathBuf::from("packages/b")];
    let asked = |dir: &Path| match dir.to_str() {
        Some("packages/a") => vec![("x".to_owned(), "^1.0.0".to_owned())],
        Some("packages/b") => vec![("y".to_owned(), "^2.0.0".to_owned())],
        _ => Vec::new(),
    };
    let read = |text: &str| resolved(OsStr::new(name), text, &dirs, &asked).expect("it can be read");
    let (before, after) = (read(before), read(&before.replace(from, to)));
    assert_eq!(before.for_all, after.for_all);
    (0..3).map(|at| before.by_package[at] != after.by_package[at]).collect()
}

const NPM: &str = r#"{ "lockfileVersion": 3, "packages": {
  "": { "workspaces": ["packages/*"] },
  "packages/a": { "dependencies": { "x": "^1.0.0" } },
  "packages/b": { "dependencies": { "y": "^2.0.0" } },
  "node_modules/a": { "resolved": "packages/a", "link": true },
  "node_modules/x": { "version": "1.0.0", "integrity": "sha-x", "dependencies": { "z": "1" } },
  "node_modules/x/node_modules/z": { "version": "1.5.0", "integrity": "sha-z" },
  "node_modules/z": { "version": "3.0.0", "integrity": "sha-z3" },
  "packages/b/node_modules/y": { "version": "2.0.0", "integrity": "sha-y", "dependencies": { "z": "3" } } } }"#;

const PNPM: &str = "lockfileVersion: '9.0'
importers:
  .: {}
  packages/a:
    dependencies:
      x:
        specifier: ^1.0.0
        version: 1.0.0(z@1.5.0)
  packages/b:
    devDependencies:
      y:
        specifier: ^2.0.0
        version: 2.0.0
packages:
  x@1.0.0:
    resolution: {integrity: sha-x}
  y@2.0.0:
    resolution: {integrity: sha-y}
  z@1.5.0:
    resolution: {integrity: sha-z}
snapshots:
  x@1.0.0(z@1.5.0):
    dependencies:
      z: 1.5.0
  y@2.0.0: {}
  z@1.5.0: {}
";

const YARN: &str = r#"# yarn lockfile v1

"x@^1.0.0":
  version "1.0.0"
  resolved "x.tgz#1"
  integrity sha-x
  dependencies:
    z "^1.0.0"

y@^2.0.0, y@^2.1.0:
  version "2.1.0"
  integrity sha-y

z@^1.0.0:
  version "1.5.0"
  integrity sha-z
"#;

const BERRY: &str = r#"__metadata:
  version: 8

"a@workspace:packages/a":
  version: 0.0.0-use.local
  resolution: "a@workspace:packages/a"
  dependencies:
    x: "npm:^1.0.0"

"b@workspace:packages/b":
  version: 0.0.0-use.local
  resolution: "b@workspace:packages/b"
  dependencies:
    y: ^2.0.0

"x@npm:^1.0.0":
  version: 1.0.0
  resolution: "x@npm:1.0.0"
  dependencies:
    z: "npm:^1.0.0"
  checksum: sha-x

"y@npm:^2.0.0":
  version: 2.0.0
  resolution: "y@npm:2.0.0"
  checksum: sha-y

"z@npm:^1.0.0":
  version: 1.5.0
  resolution: "z@npm:1.5.0"
  checksum: sha-z
"#;

const BUN: &str = r#"{ "lockfileVersion": 1,
  "workspaces": {
    "": { "name": "root" },
    "packages/a": { "name": "a", "dependencies": { "x": "^1.0.0" } },
    "packages/b": { "name": "b", "dependencies": { "y": "^2.0.0" } },
  },
  "packages": {
    "x": ["x@1.0.0", "", { "dependencies": { "z": "1" } }, "sha-x"],
    "x/z": ["z@1.5.0", "", {}, "sha-z"],
    "y": ["y@2.0.0", "", {}, "sha-y"],
  } }"#;

#[test]
fn a_lock_file_changes_a_package_only_by_what_it_gets() {
    let files = [
        ("package-lock.json", NPM),
        ("pnpm-lock.yaml", PNPM),
        ("yarn.lock", YARN),
        ("yarn.lock", BERRY),
        ("bun.lock", BUN),
    ];
    for (name, text) in files {
        assert_eq!(changed(name, text, "sha-x", "sha-other"), [false, true, false], "{name}: x");
        assert_eq!(changed(name, text, "sha-y", "sha-other"), [false, false, true], "{name}: y");
        assert_eq!(changed(name, text, "1.5.0", "1.6.0"), [false, true, false], "{name}: z through x");
    }
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let none = |_: &Path| Vec::new();
    for (name, text) in
        [("package-lock.json", "{\"lockfileVersion\": 1}"), ("bun.lock", "}"), ("pnpm-lock.yaml", "a: [")]
    {
        assert_eq!(resolved(OsStr::new(name), text, &[], &none), None, "{name}");
    }
}

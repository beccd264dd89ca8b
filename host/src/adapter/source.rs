//! Where an adapter lies: a file of the workspace, or one that an installed npm package names in its
//! manifest. Nothing is used because it merely lies there; no network is asked.

use super::carried::Form;
use super::fault::Wrong;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file that is said to be an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// As the lock names it: `path:…` or `npm:…`.
    pub source: String,
    /// For messages; ends as the file does.
    pub name: String,
    /// Where it lies; absolute, no links on the way.
    pub path: PathBuf,
}

/// Whether what a person typed can only be meant as a file: an adapter's ending, or a folder before the name
/// that is no scope of npm.
pub fn is_meant_as_file(named: &str) -> bool {
    Form::of_name(named).is_some() || (named.contains('/') && !named.starts_with('@'))
}

/// Whether a name in the config or on the command line is the path of a file.
pub fn is_path(name: &str) -> bool {
    name.starts_with("./")
}

impl Located {
    /// What the config or the lock names: `./adapters/mine.toml`, `path:adapters/mine.toml`, or
    /// `npm:@acme/overhear-mine`.
    pub fn find(named: &str, root: &Path) -> Result<Located, Wrong> {
        match named.strip_prefix("npm:") {
            Some(package) => Located::in_package(package, root),
            None => {
                let path = named.strip_prefix("path:").or(named.strip_prefix("./")).unwrap_or(named);
                Located::in_workspace(path, root)
            }
        }
    }

    fn in_workspace(path: &str, root: &Path) -> Result<Located, Wrong> {
        let name = format!("./{path}");
        let real = root.join(path).canonicalize().map_err(|error| {
            Wrong::new(
                "unreadable",
                format!("`{name}`: {error}; an adapter of your own is named by its path from the root"),
            )
        })?;
        match real.starts_with(root) {
            true => Ok(Located { source: format!("path:{path}"), name, path: real }),
            false => Err(Wrong::new(
                "outside-workspace",
                format!(
                    "`{name}` leads to {}; copy it into the workspace, or pack it as an npm package and install that",
                    real.display()
                ),
            )),
        }
    }

    /// What `"overhear": {"adapter": "…"}` in the manifest of an installed package names.
    fn in_package(package: &str, root: &Path) -> Result<Located, Wrong> {
        let wrong = |code, what: String| Wrong::new(code, format!("npm package `{package}`: {what}"));
        let is_name = !package.is_empty()
            && !package.contains(['\\', '\0'])
            && !package.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !is_name {
            return Err(wrong("bad-package", "that is no name of a package".into()));
        }
        let folder = root.join("node_modules").join(package);
        let manifest = std::fs::read(folder.join("package.json")).map_err(|_| {
            let what = "it is not installed at the root; install it with your package manager first";
            wrong("not-installed", what.into())
        })?;
        let manifest: Value = serde_json::from_slice(&manifest)
            .map_err(|error| wrong("bad-package", format!("its package.json is no JSON: {error}")))?;
        let Some(file) = manifest["overhear"]["adapter"].as_str() else {
            let what = "it has no adapter: its package.json has no \"overhear\": {\"adapter\": \"…\"}";
            return Err(wrong("no-adapter", what.into()));
        };
        let found = folder
            .join(file)
            .canonicalize()
            .map_err(|error| wrong("unreadable", format!("its adapter `{file}`: {error}")))?;
        let inside = folder.canonicalize().is_ok_and(|folder| found.starts_with(folder));
        if !inside || Path::new(file).is_absolute() {
            return Err(wrong(
                "outside-package",
                format!("its adapter `{file}` lies outside of the package"),
            ));
        }
        let name = format!("{package}/{}", file.trim_start_matches("./"));
        Ok(Located { source: format!("npm:{package}"), name, path: found })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_package_names_its_adapter_and_nothing_outside_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let package = root.join("node_modules/@acme/mine");
        fs::create_dir_all(package.join("dist")).unwrap();
        fs::write(package.join("dist/a.toml"), "").unwrap();
        fs::write(root.join("secret.toml"), "").unwrap();
        let find = |manifest: &str| {
            fs::write(package.join("package.json"), manifest).unwrap();
            Located::find("npm:@acme/mine", &root).map(|located| located.name).map_err(|wrong| wrong.code)
        };
        assert_eq!(
            find(r#"{"overhear": {"adapter": "./dist/a.toml"}}"#),
            Ok("@acme/mine/dist/a.toml".into())
        );
        assert_eq!(find(r#"{"name": "@acme/mine"}"#), Err("no-adapter"));
        assert_eq!(find("{"), Err("bad-package"));
        assert_eq!(find(r#"{"overhear": {"adapter": "dist/b.toml"}}"#), Err("unreadable"));
        assert_eq!(find(r#"{"overhear": {"adapter": "../../../secret.toml"}}"#), Err("outside-package"));
        let code = |named: &str| Located::find(named, &root).map(|_| ()).unwrap_err().code;
        assert_eq!(code("npm:@acme/other"), "not-installed");
        assert_eq!(code("npm:../mine"), "bad-package");
        assert_eq!(code("./missing.toml"), "unreadable");
        assert_eq!(code("./../x"), "unreadable");
        for (named, is_file) in [
            ("bad/none.toml", true),
            ("none.js", true),
            ("a/b", true),
            ("@acme/mine", false),
            ("mine", false),
        ] {
            assert_eq!(is_meant_as_file(named), is_file, "{named}");
        }
    }
}

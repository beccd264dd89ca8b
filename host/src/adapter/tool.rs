//! Which package owns a program, and which version of a package is installed.

use super::ask::Sight;
use crate::digest::{Digest, Fields};
use std::path::{Path, PathBuf};

/// A package.json larger than this is not read.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// A package by name and installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPackage {
    /// Its name.
    pub name: String,
    /// Its version, if its manifest has one.
    pub version: Option<String>,
}

/// The digest of an answer.
pub fn digest(tool: Option<&ToolPackage>) -> Digest {
    let mut fields = Fields::new("package");
    if let Some(tool) = tool {
        fields.bytes(tool.name.as_bytes());
        fields.list(tool.version.iter());
    }
    fields.digest()
}

/// The package whose manifest is the nearest above the program's file, when that is an installed one.
pub fn of_program(program: &Path, name: &str) -> (Option<ToolPackage>, Vec<Sight>) {
    let mut sights = vec![Sight::at(program)];
    let Ok(mut real) = program.canonicalize() else { return (None, sights) };
    if let Some(target) = shim_target(&real, name) {
        sights.push(Sight::at(&target));
        match target.canonicalize() {
            Ok(target) => real = target,
            Err(_) => return (None, sights),
        }
    }
    if !real.components().any(|part| part.as_os_str() == "node_modules") && !is_linked(program) {
        return (None, sights);
    }
    for folder in real.ancestors().skip(1) {
        let manifest = folder.join("package.json");
        sights.push(Sight::at(&manifest));
        match read_manifest(&manifest) {
            Some(found) if found.name.is_some() => {
                let name = found.name.unwrap_or_default();
                return (Some(ToolPackage { name, version: found.version }), sights);
            }
            // One without a name only sets options for the files beside it.
            _ => {}
        }
        if folder.file_name().is_some_and(|name| name == "node_modules") {
            break;
        }
    }
    (None, sights)
}

/// A program in a `.bin` folder can lead to a package of this workspace.
fn is_linked(program: &Path) -> bool {
    program.parent().and_then(Path::file_name).is_some_and(|folder| folder == ".bin")
}

/// Where package managers cannot or do not link, they put a shell script into `.bin` that starts the
/// real file, named as `"$basedir/…"`.
fn shim_target(file: &Path, name: &str) -> Option<PathBuf> {
    let folder = file.parent()?;
    if folder.file_name()? != ".bin" || file.file_name()? != name {
        return None;
    }
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > 64 * 1024 {
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let targets =
        text.split("\"$basedir/").skip(1).filter_map(|rest| rest.split_once('"').map(|(path, _)| path));
    let target = targets.filter(|path| !matches!(*path, "node" | "node.exe")).last()?;
    Some(folder.join(target))
}

/// The version of a package as resolved from a folder, no higher than the root.
pub fn resolve(from: &Path, root: &Path, name: &str) -> (Option<ToolPackage>, Vec<Sight>) {
    let mut sights = Vec::new();
    for folder in from.ancestors() {
        let manifest = folder.join("node_modules").join(name).join("package.json");
        sights.push(Sight::at(&manifest));
        if let Some(found) = read_manifest(&manifest) {
            let name = found.name.unwrap_or_else(|| name.to_owned());
            return (Some(ToolPackage { name, version: found.version }), sights);
        }
        if folder == root {
            break;
        }
    }
    (None, sights)
}

#[derive(serde::Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
}

/// A manifest that cannot be read or is none counts as absent: the tool's own start will tell.
fn read_manifest(path: &Path) -> Option<Manifest> {
    let meta = path.metadata().ok()?;
    if !meta.is_file() || meta.len() > MANIFEST_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_program_belongs_to_the_package_that_its_link_or_shim_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let package = root.join("node_modules/.store/tool@2/node_modules/tool");
        fs::create_dir_all(package.join("bin/esm")).unwrap();
        fs::write(package.join("package.json"), r#"{"name": "tool", "version": "2.1.0"}"#).unwrap();
        fs::write(package.join("bin/package.json"), r#"{"type": "module"}"#).unwrap();
        fs::write(package.join("bin/esm/tool.js"), "").unwrap();
        symlink(&package, root.join("node_modules/tool")).unwrap();
        let bin = root.join("node_modules/.bin");
        fs::create_dir_all(&bin).unwrap();
        symlink("../tool/bin/esm/tool.js", bin.join("linked")).unwrap();
        let shim = "#!/bin/sh\nif [ -x \"$basedir/node\" ]; then\n  exec \"$basedir/node\"  \"$basedir/../tool/bin/esm/tool.js\" \"$@\"\nfi\n";
        fs::write(bin.join("shim"), shim).unwrap();
        let expected = Some(ToolPackage { name: "tool".into(), version: Some("2.1.0".into()) });
        assert_eq!(of_program(&bin.join("linked"), "linked").0, expected);
        assert_eq!(of_program(&bin.join("shim"), "shim").0, expected);
        assert_eq!(of_program(&bin.join("missing"), "missing").0, None);
        assert_eq!(resolve(&root, &root, "tool").0, expected);
        assert_eq!(resolve(&root, &root, "other").0, None);
    }
}

//! Which stored paths may be acted on. What is kept may have been damaged or made by somebody else: a
//! manifest names only what lies below the root, by plain names, and nothing of git's or of overhear's.

use super::StoreError;
use super::format::{Manifest, Output};
use crate::path::PortablePath;
use rustc_hash::FxHashSet;

/// Whether a path may be written or removed by a hit.
fn is_sound(path: &PortablePath) -> bool {
    let bytes = path.as_bytes();
    let parts = || bytes.split(|byte| *byte == b'/');
    // `.` is the root itself, which an entry may have as a folder that is to be empty.
    !bytes.contains(&0)
        && (bytes == b"." || parts().all(|part| !matches!(part, b"" | b"." | b".." | b".git")))
        && parts().next() != Some(super::FOLDER.as_bytes())
        && path.is_inside()
}

/// A path that no task may have as an output.
pub(super) fn no_output(path: &PortablePath) -> StoreError {
    StoreError::Damaged(format!("a cache entry names `{path}`, which is no output of a task"))
}

/// Checks all paths that a manifest would have written or removed, and that they are in order.
pub(super) fn check(manifest: &Manifest) -> Result<(), StoreError> {
    let outputs = manifest.outputs.iter().map(|output| &output.path);
    let all = outputs
        .clone()
        .chain(&manifest.removed)
        .chain(&manifest.temporary)
        .chain(&manifest.state_files)
        .chain(&manifest.found_bare)
        .chain(&manifest.emptied);
    if let Some(path) = all.into_iter().find(|path| !is_sound(path)) {
        return Err(StoreError::Damaged(format!(
            "a cache entry names `{path}`, which is no output of a task"
        )));
    }
    let lists = [
        &manifest.removed,
        &manifest.temporary,
        &manifest.state_files,
        &manifest.found_bare,
        &manifest.emptied,
    ];
    if let Some(list) = lists.into_iter().find(|list| !list.is_sorted()) {
        let first = list.first().expect("an empty list is in order");
        return Err(StoreError::Damaged(format!("a cache entry names `{first}` and others in no order")));
    }
    let mut outputs = outputs;
    match outputs.clone().zip(outputs.by_ref().skip(1)).find(|(one, next)| one >= next) {
        None => Ok(()),
        Some((_, twice)) => Err(StoreError::Damaged(format!("a cache entry names `{twice}` twice"))),
    }
}

/// Checks that no output lies in another one: nothing may be put through a link or a file of its own.
pub(super) fn check_nesting(outputs: &[Output]) -> Result<(), StoreError> {
    let all: FxHashSet<&[u8]> = outputs.iter().map(|output| output.path.as_bytes()).collect();
    for output in outputs {
        let path = output.path.as_bytes();
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| &path[..end]);
        if above.into_iter().any(|above| all.contains(above)) {
            let what = format!("a cache entry names `{}`, which lies in another output", output.path);
            return Err(StoreError::Damaged(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OutputKind;

    #[test]
    fn only_plain_names_below_the_root_are_acted_on() {
        for (path, is_good) in [
            ("dist/a.js", true),
            ("a", true),
            (".env", true),
            (".gitignore", true),
            ("a/..b/c", true),
            (".", true),
            ("~", false),
            ("~/x", false),
            ("/etc/passwd", false),
            ("../x", false),
            ("..", false),
            ("a/../b", false),
            ("a/./b", false),
            ("a//b", false),
            ("a/", false),
            ("", false),
            ("a\0b", false),
            (".overhear/index.db", false),
            (".git/hooks/pre-commit", false),
            ("sub/.git/config", false),
        ] {
            assert_eq!(is_sound(&PortablePath::from_bytes(path.as_bytes())), is_good, "{path:?}");
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_damage() {
        let output =
            |path: &str| Output { path: PortablePath::from_bytes(path.as_bytes()), kind: OutputKind::Folder };
        let manifest = |paths: &[&str]| Manifest {
            outputs: paths.iter().map(|path| output(path)).collect(),
            ..Manifest::default()
        };
        assert!(check(&manifest(&["a", "b"])).is_ok());
        assert!(check(&manifest(&["a", "a"])).is_err());
        assert!(check(&manifest(&["b", "a"])).is_err());
    }

    #[test]
    fn a_list_that_is_not_in_the_order_of_bytes_is_damage() {
        let path = |path: &str| PortablePath::from_bytes(path.as_bytes());
        let emptied =
            |paths: [&str; 2]| Manifest { emptied: paths.map(path).to_vec(), ..Manifest::default() };
        assert!(check(&emptied(["a.b", "a/b"])).is_ok());
        assert!(check(&emptied(["a/b", "a.b"])).is_err());
    }

    #[test]
    fn an_output_in_another_one_is_damage() {
        let link = |path: &str| Output {
            path: PortablePath::from_bytes(path.as_bytes()),
            kind: OutputKind::Link(b"../outside".to_vec()),
        };
        assert!(check_nesting(&[link("dist"), link("dist-x"), link("x/dist")]).is_ok());
        assert!(check_nesting(&[link("dist"), link("dist-x"), link("dist/a")]).is_err());
    }
}

//! Paths relative to the workspace root, joined by text alone.

/// The endings of files that hold JavaScript or TypeScript, in the order in which tools mostly look for a
/// config.
pub const CODE_ENDINGS: [&str; 6] = ["js", "mjs", "ts", "cjs", "mts", "cts"];

/// `tool.config.js` and the other names that such a config may have.
pub fn code_files(stem: &str) -> impl Iterator<Item = String> {
    CODE_ENDINGS.iter().map(move |ending| [stem, ".", ending].concat())
}

/// Joins a path that a tool was given onto a directory (`.` is the root). `None` when it is absolute,
/// leaves the workspace, or has a character that a pattern cannot hold literally.
pub fn join(base: &str, path: &str) -> Option<String> {
    let mut whole: Vec<&str> = segments(base).collect();
    if path.starts_with('/') || path.contains(['\\', '*', '?', '{', '}', '\0', '\n']) {
        return None;
    }
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(whole.pop()?),
            name => whole.push(name),
        }
    }
    Some(if whole.is_empty() { ".".into() } else { whole.join("/") })
}

/// The directory above, or `None` for the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        _ if path == "." => None,
        Some((above, _)) => Some(above),
        None => Some("."),
    }
}

/// Whether `path` is `base` or lies below it.
pub fn is_within(path: &str, base: &str) -> bool {
    base == "." || path == base || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty() && *segment != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_stays_in_the_workspace() {
        let cases = [
            (".", "dist", Some("dist")),
            ("apps/web", "./dist/", Some("apps/web/dist")),
            ("apps/web", "../../out", Some("out")),
            ("apps/web", "../..", Some(".")),
            ("apps", "../..", None),
            ("apps", "/abs", None),
            ("apps", "a*b", None),
        ];
        for (base, path, expected) in cases {
            assert_eq!(join(base, path).as_deref(), expected, "{base} + {path}");
        }
        assert_eq!([parent("a/b"), parent("a"), parent(".")], [Some("a"), Some("."), None]);
        assert!(is_within("a/b", "a") && is_within("x", ".") && !is_within("ab", "a"));
    }
}

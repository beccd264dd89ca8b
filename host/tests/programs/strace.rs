//! Reading what `strace -f -y` wrote.

use overhear::path::join_lexically;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Calls that ask nothing which counts, or that have no path.
fn asks_nothing(call: &str, line: &str) -> bool {
    matches!(
        call,
        "statfs"
            | "getcwd"
            | "exit_group"
            | "wait4"
            | "kill"
            | "clone"
            | "clone3"
            | "vfork"
            | "fork"
            | "waitid"
    ) || (call.starts_with("mkdir") && line.contains("EEXIST"))
        || (matches!(call, "rmdir" | "unlinkat") && line.contains("ENOTEMPTY"))
        || ["AT_EMPTY_PATH", "O_TMPFILE", "EBADF", "ENAMETOOLONG"].iter().any(|word| line.contains(word))
}

/// The process that made each. It may be shown with a call of its own before its maker is shown to have made it.
fn parents(log: &[u8]) -> BTreeMap<u32, u32> {
    let lines = log.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    lines
        .filter_map(|line| {
            let (pid, text) = line.split_once(' ')?;
            let call = text.trim_start().trim_start_matches("<... ");
            let makes = ["clone", "vfork", "fork"].iter().any(|name| call.starts_with(name));
            let child = text.rsplit("= ").next().filter(|_| makes)?.trim().parse().ok()?;
            Some((child, pid.parse().ok()?))
        })
        .collect()
}

/// The paths that a log asks about, but for those of the kernel's own file systems.
pub fn parse(log: &[u8], root: &Path) -> BTreeSet<PathBuf> {
    let mut cwds: BTreeMap<u32, PathBuf> = BTreeMap::new();
    let parents = parents(log);
    let mut paths = BTreeSet::new();
    for line in log.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line).into_owned();
        let Some((pid, text)) = line.split_once(' ') else { continue };
        let Ok(pid) = pid.parse::<u32>() else { continue };
        let text = text.trim_start();
        let inherited = parents.get(&pid).and_then(|parent| cwds.get(parent)).map_or(root, PathBuf::as_path);
        let inherited = inherited.to_path_buf();
        let cwd = cwds.entry(pid).or_insert(inherited).clone();
        let Some((call, arguments)) = text.split_once('(') else { continue };
        if text.starts_with("<... ") || asks_nothing(call, &line) {
            continue;
        }
        let mut base = cwd.clone();
        if let Some(at) =
            arguments.strip_prefix("AT_FDCWD<").or_else(|| arguments.split_once('<').map(|(_, at)| at))
            && arguments.starts_with(|first: char| first.is_ascii_digit() || first == 'A')
            && call != "inotify_add_watch"
        {
            base = PathBuf::from(at.split('>').next().unwrap());
        }
        if call == "fchdir" {
            cwds.insert(pid, base);
            continue;
        }
        // Where nothing lies at the first of two names, the second is not looked at.
        let is_refused = call.starts_with("rename") && line.contains("ENOENT");
        for path in quoted(call, arguments).into_iter().take(if is_refused { 1 } else { 2 }) {
            let path = joined(&base, &path);
            if call == "chdir" && line.ends_with("= 0") {
                cwds.insert(pid, path.clone());
            }
            paths.insert(path);
        }
    }
    paths.retain(|path| !["/proc", "/dev", "/sys"].iter().any(|noise| path.starts_with(noise)));
    paths
}

/// `..` is where the kernel goes, which behind a link is not where it was written.
fn joined(base: &Path, path: &Path) -> PathBuf {
    let lexically = || join_lexically(base, path);
    if !path.components().any(|part| part == Component::ParentDir) {
        return lexically();
    }
    let parent = base.join(path.parent().unwrap_or(Path::new(""))).canonicalize();
    parent.ok().zip(path.file_name()).map_or_else(lexically, |(parent, name)| parent.join(name))
}

/// The paths among the arguments of a call.
fn quoted(call: &str, arguments: &str) -> Vec<PathBuf> {
    let count = if call.starts_with("rename") || matches!(call, "link" | "linkat") { 2 } else { 1 };
    // The first text of a symlink is not a path that is asked for; that of execve ends the paths.
    let skip = usize::from(call.starts_with("symlink"));
    let mut texts = Vec::new();
    let mut rest = arguments.as_bytes();
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let (text, length) = unquote(&rest[start + 1..]);
        if !text.is_empty() {
            texts.push(PathBuf::from(OsString::from_vec(text)));
        }
        rest = &rest[start + 1 + length..];
    }
    texts.into_iter().skip(skip).take(count).collect()
}

/// A text up to its closing quote, and its length with that. Bytes that cannot be shown are written as in C.
fn unquote(text: &[u8]) -> (Vec<u8>, usize) {
    let mut plain = Vec::new();
    let mut at = 0;
    while at < text.len() && text[at] != b'"' {
        if text[at] != b'\\' {
            plain.push(text[at]);
            at += 1;
            continue;
        }
        let digits = text[at + 1..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        if digits > 0 {
            let value =
                text[at + 1..][..digits].iter().fold(0, |value, digit| value * 8 + u32::from(digit - b'0'));
            plain.push(value as u8);
        } else {
            plain.extend(text.get(at + 1).map(|byte| match byte {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'v' => 0x0b,
                b'f' => 0x0c,
                other => *other,
            }));
        }
        at += 1 + digits.max(1);
    }
    (plain, (at + 1).min(text.len()))
}

/// Whether a path is among those seen: as it is, with the links on the way resolved, wholly
/// resolved, or by a folder on its way that is not there (`gone/../x` is not about `x`).
pub fn is_seen(path: &Path, seen: &BTreeSet<PathBuf>) -> bool {
    let by_parent = path.parent().and_then(resolved).and_then(|parent| Some(parent.join(path.file_name()?)));
    seen.contains(path)
        || by_parent.is_some_and(|path| seen.contains(&path))
        || path.ancestors().skip(1).any(|folder| !folder.exists() && seen.contains(folder))
        || path.canonicalize().is_ok_and(|path| seen.contains(&path))
}

/// The nearest ancestor that exists, resolved, with the rest as it is.
fn resolved(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        let ancestor = ancestor.canonicalize().ok()?;
        Some(if rest.as_os_str().as_bytes().is_empty() { ancestor } else { ancestor.join(rest) })
    })
}

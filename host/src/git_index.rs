//! What counts of git's index: its sorted (path, mode, id). The rest is a cache of stats that `git status`
//! rewrites at will. Pure.
//!
//! Format: `gitformat-index(5)`, versions 2 to 4. What is not understood counts byte by byte.

use crate::digest::{Digest, Fields};
use std::path::Path;

/// Bytes of an entry before its flags, with ids of 20 bytes.
const BEFORE_ID: usize = 40;
const HEADER: usize = 12;

/// Whether a path is the index of a git folder.
pub fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "index")
        && path.parent().is_some_and(|folder| folder.components().any(|part| part.as_os_str() == ".git"))
}

/// The digest of what counts of an index; `None` where it is not understood (a split index, ids of
/// another length, damage).
pub fn digest(bytes: &[u8]) -> Option<Digest> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(..4)? != b"DIRC" {
        return None;
    }
    let (version, count) = (number(4)?, number(8)?);
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut fields = Fields::new("git index");
    let (mut at, mut name) = (HEADER, Vec::new());
    for _ in 0..count {
        let begin = at;
        let mode = bytes.get(at + 24..at + 28)?;
        let id = bytes.get(at + BEFORE_ID..at + BEFORE_ID + 20)?;
        let flags = u16::from_be_bytes(bytes.get(at + 60..at + 62)?.try_into().ok()?);
        at += 62;
        let is_extended = flags & 0x4000 != 0;
        let extended = if is_extended { bytes.get(at..at + 2)? } else { &[] };
        at += extended.len();
        if version == 4 {
            let (strip, after) = variable_length(bytes, at)?;
            name.truncate(name.len().checked_sub(strip)?);
            at = after;
        } else {
            name.clear();
        }
        let end = at + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        name.extend_from_slice(&bytes[at..end]);
        // Up to eight zero bytes, so that the entry has a multiple of eight.
        at = if version == 4 { end + 1 } else { begin + (end - begin + 8) / 8 * 8 };
        // Its stage, and whether git is told to take it for unchanged.
        let said = flags & 0xB000;
        fields.bytes(&name).bytes(mode).bytes(id).number(u64::from(said)).bytes(extended);
    }
    // A shared index holds the rest.
    let mut rest = bytes.get(at..bytes.len().checked_sub(20)?)?;
    while rest.len() >= 8 {
        if &rest[..4] == b"link" {
            return None;
        }
        let size = u32::from_be_bytes(rest[4..8].try_into().ok()?) as usize;
        rest = rest.get(8 + size..)?;
    }
    Some(fields.digest())
}

/// A number as packs have it: seven bits a byte, each continued byte adds one.
fn variable_length(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut byte = *bytes.get(at)?;
    let mut value = usize::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        at += 1;
        byte = *bytes.get(at)?;
        value = (value.checked_add(1)?).checked_mul(128)? + usize::from(byte & 0x7f);
    }
    Some((value, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    /// Runs git in a folder, with no config but what it is given.
    fn git(folder: &Path, args: &[&str]) {
        let status = Command::new("git")
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .args(args)
            .status();
        assert!(status.expect("git starts").success(), "{args:?}");
    }

    fn read(folder: &Path) -> Vec<u8> {
        fs::read(folder.join(".git/index")).expect("there is an index")
    }

    #[test]
    fn stats_do_not_count_and_content_does_in_every_version() {
        for version in ["2", "3", "4"] {
            let folder = tempfile::tempdir().expect("makes a folder");
            let folder = folder.path();
            git(folder, &["init", "-q"]);
            for name in ["a", "src/longer-name.ts", "src/longer-name.tsx"] {
                fs::create_dir_all(folder.join(name).parent().expect("a folder")).expect("makes it");
                fs::write(folder.join(name), name).expect("writes");
            }
            git(folder, &["update-index", "--index-version", version]);
            git(folder, &["add", "."]);
            let first = read(folder);
            let digest_of = |bytes: &[u8]| digest(bytes).expect("it is understood");
            let file = fs::OpenOptions::new().append(true).open(folder.join("a")).expect("opens");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("sets the time");
            git(folder, &["update-index", "--refresh"]);
            let refreshed = read(folder);
            assert_ne!(first, refreshed, "version {version}: the stat was written");
            assert_eq!(digest_of(&first), digest_of(&refreshed), "version {version}");
            for flag in ["assume-unchanged", "skip-worktree"] {
                git(folder, &["update-index", &format!("--{flag}"), "a"]);
                assert_ne!(digest_of(&refreshed), digest_of(&read(folder)), "version {version}: {flag}");
                git(folder, &["update-index", &format!("--no-{flag}"), "a"]);
                assert_eq!(digest_of(&refreshed), digest_of(&read(folder)), "version {version}: {flag}");
            }
            fs::write(folder.join("src/longer-name.tsx"), "changed").expect("writes");
            git(folder, &["add", "."]);
            assert_ne!(digest_of(&read(folder)), digest_of(&first), "version {version}");
        }
    }

    #[test]
    fn what_is_damaged_or_split_is_not_understood() {
        assert_eq!(digest(b"DIRC"), None);
        assert_eq!(digest(b"DIRC\0\0\0\x02\0\0\0\x05short"), None);
        let folder = tempfile::tempdir().expect("makes a folder");
        git(folder.path(), &["init", "-q"]);
        fs::write(folder.path().join("a"), "a").expect("writes");
        git(folder.path(), &["add", "."]);
        git(folder.path(), &["update-index", "--split-index"]);
        assert_eq!(digest(&read(folder.path())), None);
    }

    #[test]
    fn only_an_index_in_a_git_folder_is_one() {
        assert!(is_index(Path::new("/w/.git/index")));
        assert!(is_index(Path::new("/w/.git/worktrees/x/index")));
        assert!(!is_index(Path::new("/w/src/index")));
        assert!(!is_index(Path::new("/w/.git/HEAD")));
    }
}

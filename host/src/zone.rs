//! Which parts of the disk count, and for what. The documented lists of DESIGN: system folders, temp
//! folders, caches of package managers, noise. Pure: paths are compared, never looked at.

use crate::path::Places;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folders of this machine, resolved.
#[derive(Clone, Debug)]
pub struct Zones {
    /// Root and home.
    pub places: Places,
    /// Folders for temporary files.
    pub temp: Vec<PathBuf>,
    /// What belongs to overhear: its cache, the private folder of a step, the materialised client.
    pub own: Vec<PathBuf>,
}

/// What a path counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// In the workspace: reads are inputs, writes are outputs.
    Workspace,
    /// Of git, in the workspace or above it: only version stamps count when read; nothing is an output.
    Git,
    /// Neither input nor output, wherever it lies: overhear's own, editors' swap files, caches.
    Noise,
    /// System, temp and tool cache folders: neither input nor output.
    Scratch,
    /// Elsewhere: reads count, writes cannot be brought back.
    Outside,
}

/// Folders of the operating system. `/usr/local` and any `node_modules` are not among them.
const SYSTEM: [&str; 11] =
    ["/proc", "/sys", "/dev", "/run", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin"];

/// Stores and caches that package managers and toolchains keep in the home folder.
const HOME_CACHES: [&str; 12] = [
    ".cache",
    ".npm",
    ".pnpm-store",
    ".local/share/pnpm",
    ".local/state/pnpm",
    ".yarn/berry/cache",
    ".yarn/cache",
    ".bun/install/cache",
    ".cargo/registry",
    ".cargo/git",
    ".deno",
    "Library/Caches",
];

/// What git keeps that says which version is checked out.
const GIT_STAMPS: [&str; 7] = ["HEAD", "refs", "packed-refs", "reftable", "shallow", "config", "index"];
/// What git keeps that says what is being done with it, or what it is to leave out.
const GIT_STATES: [&str; 12] = [
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "AUTO_MERGE",
    "BISECT_LOG",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "info",
];
/// What else a folder of git's holds: objects, logs of what was done, programs that it starts.
const GIT_REST: [&str; 5] = ["objects", "logs", "hooks", "lfs", "branches"];

impl Zones {
    /// What a resolved, absolute path counts for.
    pub fn of(&self, path: &Path) -> Zone {
        if self.own.iter().any(|own| path.starts_with(own)) || is_noise(path) {
            return Zone::Noise;
        }
        if path.components().any(|part| part.as_os_str() == ".git") {
            return Zone::Git;
        }
        if path.starts_with(&self.places.root) {
            return Zone::Workspace;
        }
        let bundled = path.components().any(|part| part.as_os_str() == "node_modules");
        let system = SYSTEM.iter().any(|system| path.starts_with(system))
            || (path.starts_with("/usr") && !path.starts_with("/usr/local"));
        if system && !bundled {
            return Zone::Scratch;
        }
        let in_cache = |home: &PathBuf| HOME_CACHES.iter().any(|cache| path.starts_with(home.join(cache)));
        if self.temp.iter().any(|temp| path.starts_with(temp))
            || self.places.home.as_ref().is_some_and(in_cache)
        {
            return Zone::Scratch;
        }
        Zone::Outside
    }

    /// Whether a path lies directly in a temp folder that the workspace lies in: tools look above
    /// their own folder for manifests and lockfiles, so reads of those count there too.
    pub fn is_above(&self, path: &Path) -> bool {
        let in_temp = |parent: &Path| self.temp.iter().any(|temp| parent.starts_with(temp));
        path.parent().is_some_and(|parent| self.places.root.starts_with(parent) && in_temp(parent))
    }

    /// Whether a path of git's counts when read.
    pub fn is_git_stamp(path: &Path) -> bool {
        let mut parts =
            path.components().map(|part| part.as_os_str()).skip_while(|part| *part != ".git").skip(1);
        let counts = |part: &OsStr| GIT_STAMPS.iter().chain(&GIT_STATES).any(|stamp| part == *stamp);
        match parts.next() {
            // `.git` itself is a file in worktrees and submodules, and says where the rest is.
            None => true,
            Some(first) if first == "worktrees" => parts.nth(1).is_none_or(counts),
            // A submodule has the name of its folder, which may have several parts.
            Some(first) if first == "modules" => {
                let rest = |part: &OsStr| GIT_REST.iter().any(|rest| part == *rest);
                parts
                    .find_map(|part| counts(part).then_some(true).or(rest(part).then_some(false)))
                    .unwrap_or(true)
            }
            Some(first) => counts(first),
        }
    }
}

/// Swap files of editors, node's compile cache, and the cache folder that tools share by convention.
fn is_noise(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str()).peekable();
    while let Some(part) = parts.next() {
        if part == "node-compile-cache"
            || (part == "node_modules" && parts.peek().is_some_and(|next| *next == ".cache"))
        {
            return true;
        }
    }
    path.file_name().is_some_and(is_swap_file)
}

fn is_swap_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let vim = name.starts_with(b".")
        && name.len() > 5
        && matches!(&name[name.len() - 4..], b".swp" | b".swo" | b".swx");
    vim || name.starts_with(b".#") || (name.ends_with(b"~") && name.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let places = Places { root: "/home/u/ws".into(), home: Some("/home/u".into()) };
        Zones { places, temp: vec!["/tmp".into()], own: vec!["/home/u/ws/.overhear".into()] }
    }

    #[test]
    fn each_part_of_the_disk_counts_as_documented() {
        let cases = [
            ("/home/u/ws/src/a.ts", Zone::Workspace),
            ("/home/u/ws/node_modules/.vite/x", Zone::Workspace),
            ("/home/u/ws/node_modules/.cache/x", Zone::Noise),
            ("/home/u/ws/.overhear/index.db", Zone::Noise),
            ("/home/u/ws/src/.a.ts.swp", Zone::Noise),
            ("/home/u/ws/.git/HEAD", Zone::Git),
            ("/home/u/package.json", Zone::Outside),
            ("/home/u/.npm/_cacache", Zone::Scratch),
            ("/usr/bin/env", Zone::Scratch),
            ("/usr/local/bin/node", Zone::Outside),
            ("/usr/lib/node_modules/npm/x.js", Zone::Outside),
            ("/etc/hosts", Zone::Scratch),
            ("/tmp/x", Zone::Scratch),
            ("/opt/data", Zone::Outside),
        ];
        for (path, zone) in cases {
            assert_eq!(zones().of(Path::new(path)), zone, "{path}");
        }
    }

    #[test]
    fn of_git_only_version_stamps_count() {
        for (path, counts) in [
            ("/w/.git", true),
            ("/w/.git/HEAD", true),
            ("/w/.git/refs/heads/main", true),
            ("/w/.git/objects/ab/cd", false),
            ("/w/.git/logs/HEAD", false),
            ("/w/.git/worktrees/x/HEAD", true),
            ("/w/.git/worktrees/x/logs/HEAD", false),
            ("/w/.git/MERGE_HEAD", true),
            ("/w/.git/COMMIT_EDITMSG", false),
            ("/w/.git/modules/libs/foo/HEAD", true),
            ("/w/.git/modules/libs/foo/logs/HEAD", false),
            ("/w/.git/modules/foo/objects/ab/cd", false),
        ] {
            assert_eq!(Zones::is_git_stamp(Path::new(path)), counts, "{path}");
        }
    }

    #[test]
    fn above_a_workspace_in_a_temp_folder_reads_count() {
        let mut zones = zones();
        zones.places.root = "/tmp/t/ws".into();
        assert!(zones.is_above(Path::new("/tmp/t/package.json")));
        assert!(zones.is_above(Path::new("/tmp/package.json")));
        assert!(!zones.is_above(Path::new("/tmp/u/package.json")));
        assert!(!zones.is_above(Path::new("/etc")));
        assert_eq!(zones.of(Path::new("/tmp/t/ws/a")), Zone::Workspace);
    }
}

//! What commands of which nothing is known change while they run: if that ran other such commands again, a
//! watch would never come to rest.

use rustc_hash::{FxHashMap, FxHashSet};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What changes during the runs of so many rounds on end changes by itself.
const ROUNDS_MAX: usize = 2;

/// Files that changed while such commands ran.
#[derive(Debug, Default)]
pub struct Doings {
    /// The last round in which each did, and in how many on end.
    rounds: FxHashMap<PathBuf, (usize, usize)>,
}

impl Doings {
    /// Which of these paths, all of which changed while such a command ran, nobody edited: those that git ignores,
    /// and those that change in every round.
    pub fn of_round(&mut self, root: &Path, round: usize, changed: FxHashSet<PathBuf>) -> FxHashSet<PathBuf> {
        let changed: Vec<PathBuf> = changed.into_iter().collect();
        let mut own: FxHashSet<PathBuf> = ignored_by_git(root, &changed).into_iter().collect();
        for path in changed {
            let before = match self.rounds.get(&path) {
                Some((last, count)) if last + 1 >= round => *count,
                _ => 0,
            };
            self.rounds.insert(path.clone(), (round, before + 1));
            if before >= ROUNDS_MAX {
                own.insert(path);
            }
        }
        own
    }
}

/// None where there is no git, or no repository.
fn ignored_by_git(root: &Path, paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut command = Command::new("git");
    command.args(["check-ignore", "-z", "--stdin"]).current_dir(root).env("GIT_OPTIONAL_LOCKS", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut git) = command.spawn() else { return Vec::new() };
    let asked: Vec<&[u8]> = paths.iter().map(|path| path.as_os_str().as_bytes()).collect();
    let stdin = git.stdin.take();
    let output = std::thread::scope(|scope| {
        // It may end before it has read all: then it says nothing of the rest.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&asked.join(&0))));
        git.wait_with_output()
    });
    let said = output.map(|output| output.stdout).unwrap_or_default();
    let named = said.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    named.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_in_every_round_changes_by_itself() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let mut doings = Doings::default();
        let mut own = |round, names: &[&str]| {
            let changed = names.iter().map(|name| folder.path().join(name)).collect();
            let own = doings.of_round(folder.path(), round, changed);
            names.iter().filter(|name| own.contains(&folder.path().join(name))).count()
        };
        assert_eq!(own(1, &["report", "a.ts"]), 0);
        assert_eq!(own(2, &["report"]), 0);
        assert_eq!(own(3, &["report", "a.ts"]), 1, "the report, and nobody edits as often");
        assert_eq!(own(5, &["report", "a.ts"]), 0, "a round without it");
    }
}

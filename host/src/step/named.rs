//! Words of the files that command lines name (`sh build.sh`), for finding variables in them. Each file is
//! read once in a session, however many steps name it. What a word means is decided in `plan::env`.

use super::hidden::SEARCHED_BYTES_MAX;
use crate::fingerprint::{Seen, Turn};
use crate::plan::env::{self, Words};
use crate::stamp::{self, Stamp};
use rustc_hash::FxHashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What the files of this session say, as far as it is the name of a variable.
pub struct NamedFiles {
    /// The names of all variables that overhear was given: no other word matters.
    names: Words,
    known: Mutex<FxHashMap<PathBuf, (Turn, Stamp, Arc<Words>)>>,
}

impl NamedFiles {
    /// For the environment that overhear was given.
    pub fn new(env: &[(OsString, OsString)]) -> NamedFiles {
        let names = env.iter().filter_map(|(name, _)| name.to_str().map(str::to_owned));
        NamedFiles { names: names.collect(), known: Mutex::default() }
    }

    /// The names of variables in a file that a command names. A device or a pipe has no end, and what is
    /// larger than any script is data. As long as nobody of the session changes anything, it is looked at once.
    pub fn words(&self, file: &Path, seen: &Seen) -> Option<Arc<Words>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = seen.turn();
        if let Some((then, _, words)) = known().get(file)
            && turn.is_still(*then)
        {
            return Some(Arc::clone(words));
        }
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() > SEARCHED_BYTES_MAX {
            return None;
        }
        let stamp = Stamp::of(&meta);
        if let Some((then, known, words)) = known().get_mut(file)
            && *known == stamp
        {
            *then = turn;
            return Some(Arc::clone(words));
        }
        // From before the reading: what changes afterwards has another stamp then.
        let began = stamp::now_ns();
        let mut words = env::words(&std::fs::read(file).ok()?);
        words.retain(|word| self.names.contains(word));
        let words = Arc::new(words);
        if stamp.is_settled(began) {
            known().insert(file.to_path_buf(), (turn, stamp, Arc::clone(&words)));
        }
        Some(words)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_rewritten_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("build.sh");
        let named = NamedFiles::new(&[("ONE".into(), "1".into()), ("TWO".into(), "2".into())]);
        let seen = Seen::default();
        let words = |text: &str| {
            let stir = seen.stir();
            std::fs::write(&file, text).unwrap();
            drop(stir);
            let mut words: Vec<String> = named.words(&file, &seen).unwrap().iter().cloned().collect();
            words.sort();
            words
        };
        assert_eq!(words("echo $ONE $THREE"), ["ONE"]);
        assert_eq!(words("echo $TWO ${ONE}"), ["ONE", "TWO"]);
        assert_eq!(words("echo $TWO"), ["TWO"]);
        std::fs::remove_file(&file).unwrap();
        seen.forget();
        assert!(named.words(&file, &seen).is_none());
    }
}

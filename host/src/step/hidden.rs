//! Variables that a run may have missed: names that were left out of its environment, that nobody
//! told or overheard, and that one of its inputs spells out. Such a run is not kept, and from the next
//! one on the variable is passed and tracked. Names that an input reads and that were not set are noted
//! for the day when they are.

use super::{Cached, Shared, environment};
use crate::access::Observed;
use crate::hint::{EnvSelect, Hint};
use crate::outcome::Refusal;
use crate::settle::{InputValue, Settled};
use crate::zone::Zone;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::path::Path;

/// Larger files are data, not programs that read variables.
pub const SEARCHED_BYTES_MAX: u64 = 8 << 20;

/// So many names that were not set are noted for a step; more are no variables.
const UNSET_MAX: usize = 500;

/// Looks for left-out names in the inputs of a run. What is found is learned.
pub fn search(
    shared: &Shared,
    cached: &Cached,
    observed: &Observed,
    hints: &[Hint],
    settled: &Settled,
) -> Result<(), Refusal> {
    if cached.step.config.strict_env {
        // It never sees them, in no run.
        return Ok(());
    }
    let heard = |name: &String| Heard {
        told: hints.iter().any(|hint| is_told(hint, name)),
        overheard: observed.env.contains_key(name),
    };
    let left_out = &environment::sees(shared, cached).left_out;
    let names: FxHashMap<&[u8], Heard> = left_out.iter().map(|name| (name.as_bytes(), heard(name))).collect();
    let starts = Starts::of(names.keys());
    let mut refusal = None;
    let mut unset: BTreeSet<String> = BTreeSet::new();
    for input in &settled.inputs {
        let InputValue::File(stamp) = &input.value else { continue };
        if stamp.size > SEARCHED_BYTES_MAX || !is_own_source(shared, &input.path) {
            continue;
        }
        let Ok(content) = std::fs::read(&input.path) else { continue };
        let copies = copies_environment(&input.path, &content);
        let is_told = |name: &str| hints.iter().any(|hint| is_told(hint, name));
        for (before, word) in words_in_place(&content) {
            if let Some(heard) =
                Some(word).filter(|word| starts.may_be(word)).and_then(|word| names.get(word))
            {
                // That another program asked says nothing of one that reads a copy, or that takes the
                // variable away before it starts the other.
                let may_miss = match copies {
                    true => !(heard.told && asks(before)),
                    false => !heard.told && !heard.overheard,
                };
                if may_miss {
                    let name = String::from_utf8_lossy(word).into_owned();
                    // Without the note the next run is refused like this one.
                    let _ = cached.store.learn_env(cached.scope, std::slice::from_ref(&name));
                    let file = shared.zones.places.portable(&input.path).to_string();
                    refusal.get_or_insert(Refusal::HiddenEnv { name, file });
                }
                continue;
            }
            if !is_variable(word) {
                continue;
            }
            let Ok(name) = std::str::from_utf8(word) else { continue };
            // What was asked for, found or not, is tracked already.
            let is_read = match copies {
                true => !(asks(before) && is_told(name)),
                false => reads_by_name(before[1]) && !observed.env.contains_key(name) && !is_told(name),
            };
            if is_read && !unset.contains(name) {
                unset.insert(name.to_owned());
            }
        }
    }
    note_unset(cached, unset);
    refusal.map_or(Ok(()), Err)
}

/// Once one of these is set it is passed and tracked, as if the command named it.
fn note_unset(cached: &Cached, mut unset: BTreeSet<String>) {
    let Ok(known) = cached.store.learned_env(cached.scope) else { return };
    for name in &known {
        unset.remove(name);
    }
    let unset: Vec<String> = unset.into_iter().take(UNSET_MAX.saturating_sub(known.len())).collect();
    // Without the note a variable that is set later is not noticed, unless the run then is refused.
    let _ = cached.store.learn_env(cached.scope, &unset);
}

/// Whether a word looks like the name of a variable: capitals.
fn is_variable(word: &[u8]) -> bool {
    word[0].is_ascii_uppercase() && !word.iter().any(u8::is_ascii_lowercase)
}

/// Whether a variable follows this word: `process.env.X`, `os.environ["X"]`, `getenv("X")`, `ENV["X"]`.
fn reads_by_name(before: &[u8]) -> bool {
    [b"env".as_slice(), b"environ", b"getenv", b"ENV", b"Getenv"].contains(&before)
}

/// First bytes and lengths of some names: most words of a text are none of them, and need not be looked up.
struct Starts([u64; 256]);

impl Starts {
    fn of<'a>(names: impl Iterator<Item = &'a &'a [u8]>) -> Starts {
        let mut starts = Starts([0; 256]);
        for name in names.filter(|name| !name.is_empty()) {
            starts.0[usize::from(name[0])] |= Starts::length(name);
        }
        starts
    }

    fn may_be(&self, word: &[u8]) -> bool {
        self.0[usize::from(word[0])] & Starts::length(word) != 0
    }

    /// A bit; longer ones share the last.
    fn length(word: &[u8]) -> u64 {
        1 << word.len().min(63)
    }
}

/// Who asked for a variable.
#[derive(Clone, Copy)]
struct Heard {
    /// A tool, over IPC.
    told: bool,
    /// A program, by name.
    overheard: bool,
}

/// Whether what follows these words is asked for over IPC, there in the text: `overhear tell get-env X`,
/// `get_env("X")`.
fn asks(before: [&[u8]; 2]) -> bool {
    before == [b"get".as_slice(), b"env"] || matches!(before[1], b"get_env" | b"getEnv" | b"GetEnv")
}

/// Whether it is a program in a language whose programs work with a copy of their environment.
fn copies_environment(path: &Path, content: &[u8]) -> bool {
    const ENDINGS: &[&str] = &["sh", "bash", "zsh", "ksh", "fish", "py", "pl", "mk"];
    const INTERPRETERS: &[&str] =
        &["sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "perl", "make"];
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let by_line = first
        .strip_prefix(b"#!")
        .is_some_and(|line| words(line).any(|word| INTERPRETERS.iter().any(|name| name.as_bytes() == word)));
    let name = path.file_name().unwrap_or_default();
    let ending = path.extension().unwrap_or_default();
    by_line || name == "Makefile" || ENDINGS.iter().any(|own| ending == *own)
}

fn is_told(hint: &Hint, name: &str) -> bool {
    match hint {
        Hint::GetEnv { name: told, .. } => told == name,
        Hint::GetEnvs { select: EnvSelect::Prefix(prefix), .. } if prefix.is_empty() => false,
        Hint::GetEnvs { select, .. } => select.matches(name),
        _ => false,
    }
}

fn is_own_source(shared: &Shared, path: &Path) -> bool {
    shared.zones.of(path) == Zone::Workspace
        && !path.components().any(|part| part.as_os_str() == "node_modules")
}

/// Each word, after the two before it.
fn words_in_place(text: &[u8]) -> impl Iterator<Item = ([&[u8]; 2], &[u8])> {
    let mut before: [&[u8]; 2] = [b"", b""];
    words(text).map(move |word| {
        let place = (before, word);
        before = [before[1], word];
        place
    })
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // All the text that a step reads goes through here.
    const PARTS: [bool; 256] = {
        let mut parts = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            parts[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
            byte += 1;
        }
        parts
    };
    text.split(|byte| !PARTS[usize::from(*byte)]).filter(|word| word.len() > 1)
}

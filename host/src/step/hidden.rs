//! Variables that a run may have missed: names that were left out of its environment, that nobody
//! told or overheard, and that one of its inputs spells out. Such a run is not kept, and from the next
//! one on the variable is passed and tracked.

use super::{Cached, Shared};
use crate::access::Observed;
use crate::hint::{EnvSelect, Hint};
use crate::outcome::Refusal;
use crate::settle::{InputValue, Settled};
use crate::zone::Zone;
use rustc_hash::FxHashSet;
use std::path::Path;

/// Larger files are data, not programs that read variables.
const SEARCHED_BYTES_MAX: u64 = 8 << 20;

/// Looks for left-out names in the inputs of a run. What is found is learned.
pub fn search(shared: &Shared, cached: &Cached, observed: &Observed, hints: &[Hint], settled: &Settled) -> Result<(), Refusal> {
    let is_known = |name: &str| observed.env.contains_key(name) || hints.iter().any(|hint| is_told(hint, name));
    let names: FxHashSet<&[u8]> =
        cached.env.left_out.iter().filter(|name| !is_known(name)).map(|name| name.as_bytes()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut refusal = None;
    for input in &settled.inputs {
        let InputValue::File(stamp) = &input.value else { continue };
        if stamp.size > SEARCHED_BYTES_MAX || !is_own_source(shared, &input.path) {
            continue;
        }
        let Ok(content) = std::fs::read(&input.path) else { continue };
        for word in words(&content).filter(|word| names.contains(word)) {
            let name = String::from_utf8_lossy(word).into_owned();
            // Without the note the next run is refused like this one.
            let _ = cached.store.learn_env(cached.scope, &name);
            let file = shared.zones.places.portable(&input.path).to_string();
            refusal.get_or_insert(Refusal::HiddenEnv { name, file });
        }
    }
    refusal.map_or(Ok(()), Err)
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
    shared.zones.of(path) == Zone::Workspace && !path.components().any(|part| part.as_os_str() == "node_modules")
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').filter(|word| word.len() > 1)
}

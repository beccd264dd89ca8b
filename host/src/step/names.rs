//! The names that a run listed, kept with what is known of it: so that a miss can say which name is new.
//! They only explain; whether a step hits is decided by the digest of a listing.

use super::Cached;
use crate::access::{Listing, Observed};
use crate::fingerprint::{self, Difference, Query, Value};
use crate::outcome::MissReason;
use crate::path::{Places, PortablePath};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// So many names of one folder are kept; a larger one is told as a whole.
const KEPT_MAX: usize = 400;
/// So many names are told of one folder.
const TOLD_MAX: usize = 20;

/// The names in a folder as a run listed it, without those that do not count: `a.ts`, `dir/`, `link@`.
/// `None` where they are not kept.
pub fn of(observed: &Observed, folder: &Path, except: &[OsString]) -> Option<Vec<String>> {
    let (_, names) = observed.seen(folder)?.list.as_deref()?;
    if names.len() > KEPT_MAX || folder.iter().any(|part| part == "node_modules") {
        return None;
    }
    let counts = names.iter().filter(|(name, _)| except.binary_search(name).is_err());
    counts.map(|(name, letter)| Some(format!("{}{}", name.to_str()?, suffix(*letter)))).collect()
}

fn suffix(letter: u8) -> &'static str {
    match letter {
        b'd' => "/",
        b'l' => "@",
        b'o' => "|",
        _ => "",
    }
}

/// The names as they were listed.
fn read(names: &serde_json::Value) -> Option<Listing> {
    let read = |name: &serde_json::Value| {
        let name = name.as_str()?;
        let (name, letter) = match name.as_bytes().last()? {
            b'/' => (&name[..name.len() - 1], b'd'),
            b'@' => (&name[..name.len() - 1], b'l'),
            b'|' => (&name[..name.len() - 1], b'o'),
            _ => (name, b'f'),
        };
        Some((OsString::from(name), letter))
    };
    names.as_array()?.iter().map(read).collect()
}

/// Which names are new or gone in the folders whose listing differs; whatever else differs stays as it is.
pub fn explain(cached: &Cached, places: &Places, differences: Vec<Difference>) -> Vec<MissReason> {
    let is_listing =
        |difference: &Difference| matches!(difference, Difference::Path(_, Query::Listing(_), ..));
    if !differences.iter().any(is_listing) {
        return differences.into_iter().map(super::lookup::reason).collect();
    }
    // What cannot be read is not known.
    let last = cached.store.last_run(cached.scope).ok().flatten();
    let facts = last.and_then(|last| super::read_facts(&last.report)).unwrap_or_default();
    let listings = facts["inputs"].as_array().into_iter().flatten().filter(|input| input["as"] == "listing");
    let kept: BTreeMap<&str, &serde_json::Value> =
        listings.filter_map(|input| Some((input["path"].as_str()?, &input["names"]))).collect();
    let explain = |difference: Difference| {
        if let Difference::Path(path, Query::Listing(except), then, _) = &difference
            && let Some(names) = kept.get(path.to_string().as_str()).and_then(|names| read(names))
            // Of another run, or told in another way: they explain nothing.
            && Value::listing(&names, except) == *then
            && let Ok(now) = fingerprint::list(&places.absolute(path))
        {
            let reasons = differing(path, &names, &now, except);
            if !reasons.is_empty() {
                return reasons;
            }
        }
        vec![super::lookup::reason(difference)]
    };
    differences.into_iter().flat_map(explain).collect()
}

fn differing(folder: &PortablePath, then: &Listing, now: &Listing, except: &[OsString]) -> Vec<MissReason> {
    let path = |name: &OsString| folder.join(name).to_string();
    let lacks = |names: &Listing, name: &OsString| names.iter().all(|(other, _)| other != name);
    let counts = |name: &OsString| except.binary_search(name).is_err();
    let added = now.iter().map(|(name, _)| name).filter(|name| counts(name) && lacks(then, name));
    let removed = then.iter().map(|(name, _)| name).filter(|name| lacks(now, name));
    let added = added.map(|name| MissReason::NameAdded(path(name)));
    added.chain(removed.map(|name| MissReason::NameRemoved(path(name)))).take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_with_their_kinds_and_tell_what_differs() {
        let listing = |names: &[(&str, u8)]| -> Listing {
            names.iter().map(|(name, letter)| (OsString::from(name), *letter)).collect()
        };
        let then = listing(&[("a.ts", b'f'), ("b", b'd'), ("old", b'l')]);
        let written: Vec<String> =
            then.iter().map(|(name, letter)| format!("{}{}", name.display(), suffix(*letter))).collect();
        assert_eq!(written, ["a.ts", "b/", "old@"]);
        assert_eq!(read(&serde_json::json!(written)), Some(then.clone()));
        assert_eq!(read(&serde_json::json!(null)), None);
        let now = listing(&[("a.ts", b'f'), ("b", b'd'), ("dist", b'd'), ("new.ts", b'f')]);
        let folder = PortablePath::from_bytes(b"src");
        assert_eq!(
            differing(&folder, &then, &now, &["dist".into()]),
            [MissReason::NameAdded("src/new.ts".into()), MissReason::NameRemoved("src/old".into())]
        );
    }
}

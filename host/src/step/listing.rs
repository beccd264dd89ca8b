//! What a listing counts without: names that only later steps of the same task made. The outputs of a
//! task count as absent to the task itself, so a first step that lists the folder into which a later
//! one builds does not run again because of that.

use super::{Cached, Shared};
use crate::access::Listing;
use crate::digest::Digest;
use crate::fingerprint::{self, Pathset, Query, Value, Values};
use crate::path::PortablePath;
use crate::stamp::Found;
use crate::store::{StoreError, VirtualTree};
use std::ffi::OsString;

/// Takes what later steps of the task made out of the values of listings.
pub fn without_later(
    shared: &Shared,
    cached: &Cached,
    tree: &VirtualTree,
    pathset: &Pathset,
    values: &mut Values,
) -> Result<(), StoreError> {
    if cached.later.is_empty() {
        return Ok(());
    }
    for ((folder, query), value) in pathset.paths.iter().zip(&mut values.paths) {
        let Query::Listing(except) = query else { continue };
        // What hits before this step planned there is not of later ones, and is in the value.
        if tree.is_planned(folder) || !cached.store.is_left_within(folder, &cached.later)? {
            continue;
        }
        let absolute = shared.zones.places.absolute(folder);
        let Ok(names) = fingerprint::list(&absolute) else { continue };
        let kept = without(shared, cached, folder, names.clone())?;
        if kept.len() != names.len() && Value::listing(&names, except) == *value {
            *value = Value::listing(&kept, except);
        }
    }
    Ok(())
}

/// The names of a folder less those that only later steps of the task made.
pub fn without(
    shared: &Shared,
    cached: &Cached,
    folder: &PortablePath,
    names: Listing,
) -> Result<Listing, StoreError> {
    let mut kept = Listing::with_capacity(names.len());
    for (name, letter) in names {
        if !is_of_later(shared, &cached.later, cached, folder, &name)? {
            kept.push((name, letter));
        }
    }
    Ok(kept)
}

fn is_of_later(
    shared: &Shared,
    later: &[Digest],
    cached: &Cached,
    folder: &PortablePath,
    name: &OsString,
) -> Result<bool, StoreError> {
    let path = folder.join(name);
    if !cached.store.is_left_within(&path, later)? {
        return Ok(false);
    }
    // What a later step changes in place, others may have made.
    for step in later {
        if cached.store.is_overlap(*step, &path)? {
            return Ok(false);
        }
    }
    let places = &shared.zones.places;
    let Ok(found) = Found::at(&places.absolute(&path)) else { return Ok(false) };
    cached.store.is_all_made_by(&path, &found, later, places, shared.digests)
}

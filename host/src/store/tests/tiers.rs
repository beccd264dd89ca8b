//! The seam for another place where entries are kept: a far tier behind the near one needs nothing of
//! what is above to change.

use super::*;
use crate::store::tier::{EntryRow, Pin, Sealed, Tier};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex};

/// Entries kept in memory, as another machine would keep them.
#[derive(Default)]
struct Memory {
    pathsets: Mutex<BTreeMap<(Digest, Digest), Sealed>>,
    entries: Mutex<BTreeMap<Digest, EntryRow>>,
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl Tier for Arc<Memory> {
    fn pathsets(&self, key: Digest) -> Result<Vec<(Digest, Option<Sealed>)>, StoreError> {
        let pathsets = self.pathsets.lock().expect("whole");
        Ok(pathsets.keys().filter(|(of, _)| *of == key).map(|(_, pathset)| (*pathset, None)).collect())
    }

    fn pathset(&self, key: Digest, pathset: Digest) -> Result<Option<Sealed>, StoreError> {
        Ok(self.pathsets.lock().expect("whole").get(&(key, pathset)).cloned())
    }

    fn entry(&self, fingerprint: Digest) -> Result<Option<EntryRow>, StoreError> {
        Ok(self.entries.lock().expect("whole").get(&fingerprint).cloned())
    }

    fn put(&self, pathset: &Sealed, entry: &EntryRow) -> Result<(), StoreError> {
        self.pathsets.lock().expect("whole").insert((entry.key, entry.pathset), pathset.clone());
        self.entries.lock().expect("whole").insert(entry.fingerprint, entry.clone());
        Ok(())
    }

    fn touch(&self, _: Digest) {}

    fn forget(&self, fingerprint: Digest) -> Result<(), StoreError> {
        self.entries.lock().expect("whole").remove(&fingerprint);
        Ok(())
    }

    fn blob(&self, digest: Digest) -> io::Result<Box<dyn Read + Send>> {
        let blob = self.blobs.lock().expect("whole").get(&digest).cloned();
        Ok(Box::new(Cursor::new(blob.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn put_blob(&self, digest: Digest, file: &Path) -> Result<Pin, StoreError> {
        self.blobs.lock().expect("whole").insert(digest, fs::read(file).expect("reads"));
        fs::remove_file(file).expect("is there");
        Ok(Pin::default())
    }
}

#[test]
fn a_checkout_hits_what_another_one_stored_in_a_far_tier() {
    let far = Arc::new(Memory::default());
    let (mut here, mut there) = (Room::new(), Room::new());
    here.store.tier = Arc::new(Arc::clone(&far));
    there.store.tier = Arc::new(Arc::clone(&far));
    let key = Digest::of(b"key");
    here.write("dist/a.txt", "made here");
    let packed = here.store.pack(&[path("dist/a.txt")], &here.zones.places).expect("is packed");
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    let fingerprint = here.put(key, &inputs(&["src"]), &manifest, packed.archive);

    let pathsets: Vec<_> = there.store.pathsets(key).expect("reads").collect();
    assert_eq!(pathsets.len(), 1);
    assert_eq!(there.replay(fingerprint).expect("is whole"), Replayed::Restored);
    assert_eq!(fs::read_to_string(there.root().join("dist/a.txt")).expect("is there"), "made here");
    there.outside_is_untouched("a far tier");

    // What it gives is not trusted.
    for blob in far.blobs.lock().expect("whole").values_mut() {
        let middle = blob.len() / 2;
        blob[middle] ^= 1;
    }
    let mut third = Room::new();
    third.store.tier = Arc::new(Arc::clone(&far));
    assert!(matches!(third.replay(fingerprint), Err(ReplayError::Archive(0, ArchiveError::Damaged { .. }))));
}

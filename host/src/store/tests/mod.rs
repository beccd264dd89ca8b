//! The store against damage, malice and neglect, below the rest of overhear.

mod bounds;
mod hostile;
mod tiers;

use super::*;
use crate::digest::Digest;
use crate::fingerprint::{Digests, Pathset, Query, Value, Values};
use crate::path::{Places, PortablePath};
use crate::stamp::Found;
use crate::tool_state::ToolState;
use crate::zone::Zones;
use std::fs;
use std::time::Duration;

/// What came of putting outputs in place.
#[derive(Debug, PartialEq, Eq)]
enum Replayed {
    Fresh,
    Restored,
    Blocked(PortablePath),
}

/// A workspace with a store in it, and a folder beside it that nobody may touch.
struct Room {
    dir: tempfile::TempDir,
    zones: Zones,
    store: Store,
}

fn path(text: &str) -> PortablePath {
    PortablePath::from_bytes(text.as_bytes())
}

fn file(name: &str, content: &str) -> Output {
    let (digest, bytes) = (Digest::of(content.as_bytes()), content.len() as u64);
    Output { path: path(name), kind: OutputKind::File { digest, bytes, executable: false } }
}

impl Room {
    fn new() -> Room {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("is there").join("root");
        fs::create_dir(&root).expect("a folder");
        fs::create_dir(root.with_file_name("outside")).expect("a folder");
        fs::write(root.with_file_name("outside").join("mine"), "mine").expect("a file");
        let (store, notices) = Store::open(&root, None).expect("opens");
        assert!(notices.is_empty(), "{notices:?}");
        let zones = Zones {
            places: Places { root: root.clone(), home: None },
            temp: Vec::new(),
            own: vec![root.join(FOLDER)],
        };
        Room { dir, zones, store }
    }

    fn root(&self) -> &Path {
        &self.zones.places.root
    }

    fn reopen(self) -> Room {
        let Room { dir, zones, store } = self;
        drop(store);
        let (store, notices) = Store::open(&zones.places.root, None).expect("opens");
        assert!(notices.is_empty(), "{notices:?}");
        Room { dir, zones, store }
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("lies in a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    /// Stores an entry that puts these outputs in place, from an archive of this digest.
    fn put(
        &self,
        key: Digest,
        inputs: &Pathset,
        manifest: &Manifest,
        archive: Option<(Digest, u64)>,
    ) -> Digest {
        let values = Values { paths: vec![Value::ABSENT; inputs.paths.len()], ..Values::default() };
        let entry = NewEntry {
            key,
            pathset: inputs,
            values: &values,
            manifest,
            archive,
            logs: &[],
            took: Duration::from_millis(5),
            task: "app#build",
        };
        self.store.put_entry(&entry).expect("is stored")
    }

    /// Puts the outputs of an entry in place, as a hit does.
    fn replay(&self, fingerprint: Digest) -> Result<Replayed, ReplayError> {
        let entry = self.store.entry(fingerprint)?.expect("there is an entry");
        let habits = [Habits {
            folders: vec![(path("."), FolderHabit::Kept), (path("dist"), FolderHabit::Kept)],
            ..Habits::default()
        }];
        let (places, digests, step) = (&self.zones.places, Digests::default(), Digest::of(b"step"));
        let mut tree = VirtualTree::default();
        let place = Place {
            zones: &self.zones,
            tree: &tree,
            step,
            later: &[],
            pathset: &Pathset::default(),
            habits: &habits,
            tool: &ToolState::default(),
            digests: &digests,
            turn: digests.seen.turn(),
        };
        let survey = match self.store.survey(&entry, &place)? {
            Surveyed::Fits(survey) => survey,
            Surveyed::Blocked(path) => return Ok(Replayed::Blocked(path)),
        };
        let over = |path: &PortablePath| Found::at(&places.absolute(path)).expect("looks");
        for path in &survey.remove {
            tree.remove(path.clone(), 0, step, over(path));
        }
        for output in survey.put.iter().map(|index| &entry.manifest.outputs[*index]) {
            tree.put(&output.path, &output.kind, 0, step, over(&output.path));
        }
        let hits = [ToReplay { index: 0, step, entry: &entry, survey: &survey }];
        let work = self.store.replay(&tree, &hits, places, &digests)?;
        Ok(if work.is_empty() { Replayed::Fresh } else { Replayed::Restored })
    }

    /// Nothing but what was there lies beside the workspace.
    fn outside_is_untouched(&self, what: &str) {
        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder)
                .expect("is there")
                .map(|entry| entry.expect("reads").file_name().into_string().expect("plain"))
                .collect();
            names.sort();
            names
        };
        let above = self.root().parent().expect("lies in a folder");
        assert_eq!(names(above), ["outside", "root"], "{what}");
        assert_eq!(names(&above.join("outside")), ["mine"], "{what}");
        assert_eq!(fs::read_to_string(above.join("outside/mine")).expect("is there"), "mine", "{what}");
        assert!(!self.root().join(".overhear/tmp").exists(), "{what}: temporary files are left");
        let _ = &self.dir;
    }
}

fn inputs(names: &[&str]) -> Pathset {
    Pathset { paths: names.iter().map(|name| (path(name), Query::Content)).collect(), ..Pathset::default() }
}

#[test]
fn sessions_that_start_at_once_make_one_store() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a folder");
        let all = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (root, all) = (dir.path(), &all);
                scope.spawn(move || {
                    all.wait();
                    let (store, notices) = Store::open(root, None).expect("opens");
                    assert!(notices.is_empty(), "{notices:?}");
                    let left = [(path(&format!("{number}.txt")), Value::FOLDER, None)];
                    store.leave(Digest([number; 32]), &left, &[]).expect("is written");
                });
            }
        });
        let (store, _) = Store::open(dir.path(), None).expect("opens");
        for number in 0..8 {
            assert!(store.was_made_by(Digest([number; 32]), &path(&format!("{number}.txt"))), "{number}");
        }
    }
}

//! The store stays as small as it is told, keeps what is used, and forgets whole.

use super::*;
use crate::config::Bounds;

/// Stores what a run would have: an output with this content, and its archive.
fn build(room: &Room, key: Digest, set: &Pathset, content: &str) -> (Digest, Digest) {
    room.write("dist/a.txt", content);
    let packed = room.store.pack(&[path("dist/a.txt")], &room.zones.places).expect("is packed");
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    let mut values = Values { paths: vec![Value::ABSENT; set.paths.len()], ..Values::default() };
    values.paths[0] = Value::content(Digest::of(content.as_bytes()), false);
    let entry = NewEntry {
        key,
        pathset: set,
        values: &values,
        manifest: &manifest,
        archive: packed.archive,
        logs: &[],
        took: Duration::from_millis(5),
        task: "app#build",
    };
    let fingerprint = room.store.put_entry(&entry).expect("is stored");
    room.store.remember(set.digest(), &vec![(None, Value::ABSENT)]).expect("is remembered");
    room.store.remember_placed(fingerprint, &[None]).expect("is remembered");
    (fingerprint, packed.archive.expect("has a file").0)
}

fn rows(room: &Room, table: &str) -> i64 {
    room.store.checkout_count(&format!("SELECT count(*) FROM {table}")).expect("reads")
}

#[test]
fn a_thousand_rewrites_of_one_task_stay_within_bounds() {
    let mut room = Room::new();
    let key = Digest::of(b"key");
    let set = inputs(&["src/a"]);
    let mut newest = None;
    for round in 0..1000 {
        newest = Some(build(&room, key, &set, &format!("content {round}")));
        // A session ends every now and then.
        if round % 100 == 99 {
            room.store.keep_below(u64::MAX).expect("is kept");
            room = room.reopen();
        }
    }
    let stat = room.store.stat().expect("looks");
    assert_eq!((stat.entries, stat.archives), (256, 256));
    assert!(rows(&room, "placed") <= 512, "{}", rows(&room, "placed"));
    assert_eq!(rows(&room, "remembered"), 1);
    let (fingerprint, _) = newest.expect("there were rounds");
    assert!(room.store.entry(fingerprint).expect("reads").is_some());
    assert_eq!(room.store.verify().expect("looks").sound, 256);
}

#[test]
fn what_is_used_stays_and_what_is_not_goes_first() {
    let mut room = Room::new();
    room.store = room.store.bounded(Bounds { pathsets: 3, entries: 4 });
    let key = Digest::of(b"key");
    let kept_set = inputs(&["src/kept"]);
    let (kept, _) = build(&room, key, &kept_set, "kept");
    for round in 0..20 {
        // Both many entries of one pathset and many pathsets.
        let name = format!("src/{}", round % 10);
        build(&room, key, &inputs(&[&name]), &format!("content {round}"));
        assert!(room.store.entry(kept).expect("reads").is_some(), "round {round}");
    }
    assert_eq!(room.store.stat().expect("looks").entries, 3);
    assert_eq!(room.store.pathsets(key).expect("reads").count(), 3);
}

#[test]
fn equal_outputs_are_kept_once() {
    let room = Room::new();
    let (_, one) = build(&room, Digest::of(b"one"), &inputs(&["a"]), "same");
    let (_, two) = build(&room, Digest::of(b"two"), &inputs(&["b"]), "same");
    assert_eq!(one, two);
    let stat = room.store.stat().expect("looks");
    assert_eq!((stat.entries, stat.archives), (2, 1));
}

#[test]
fn a_collection_keeps_to_its_size_and_leaves_no_archive_without_an_entry() {
    let room = Room::new();
    let mut all = Vec::new();
    for round in 0..30 {
        let key = Digest::of(format!("key {round}").as_bytes());
        all.push(build(&room, key, &inputs(&["a"]), &format!("content {round}")));
    }
    // Used last, though made first. (What was used within the hour is not noted as used again.)
    let aged = "UPDATE entries SET used = used - 7200000000";
    room.store.local.database.write().execute(aged, []).expect("is written");
    assert!(room.store.entry(all[0].0).expect("reads").is_some());
    let orphan = room.root().join("orphan");
    fs::write(&orphan, "nobody's").expect("a file");
    drop(room.store.tier().put_blob(Digest::of(b"nobody's"), &orphan).expect("is kept"));
    fs::write(room.store.local.archives.join("stray"), "x").expect("a file");
    let bytes = room.store.stat().expect("looks").archive_bytes / 3;
    let removed = room.store.collect(bytes, None).expect("collects");
    let stat = room.store.stat().expect("looks");
    assert!(stat.archive_bytes <= bytes && stat.entries > 0, "{stat:?}");
    assert_eq!(stat.entries, stat.archives);
    assert_eq!(removed.entries + stat.entries, 30);
    assert_eq!(removed.archives + stat.archives, 32);
    assert!(room.store.entry(all[0].0).expect("reads").is_some());
    assert_eq!(rows(&room, "placed") as u64, stat.entries);
    assert_eq!(room.store.verify().expect("looks").sound, stat.entries);
    // What was not used for an age goes too.
    room.store.collect(u64::MAX, Some(Duration::ZERO)).expect("collects");
    assert_eq!(room.store.stat().expect("looks"), Stat::default());
}

#[test]
fn a_collection_waits_for_an_archive_whose_entry_is_still_to_come() {
    let room = Room::new();
    room.write("dist/a.txt", "content");
    let packed = room.store.pack(&[path("dist/a.txt")], &room.zones.places).expect("is packed");
    let (archive, _) = packed.archive.expect("has a file");
    let root = room.root().to_path_buf();
    let (began, begun) = std::sync::mpsc::channel();
    let collecting = std::thread::spawn(move || {
        let (store, _) = Store::open(&root, None).expect("opens");
        began.send(()).expect("is waited for");
        store.collect(u64::MAX, None).expect("collects")
    });
    begun.recv().expect("begins");
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    let fingerprint = room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, packed.archive);
    drop(packed);
    assert_eq!(collecting.join().expect("ends").archives, 0);
    assert!(room.store.local.archive_path(archive).exists());
    assert!(room.store.entry(fingerprint).expect("reads").is_some());
}

#[test]
fn cleaning_leaves_nothing() {
    let room = Room::new();
    for round in 0..5 {
        build(&room, Digest::of(b"key"), &inputs(&["a"]), &format!("content {round}"));
    }
    drop(room.store.lock(Digest::of(b"step")).expect("is free"));
    room.store.put_memo(Digest::of(b"memo"), b"answer");
    fs::write(room.root().join(".overhear/index.db.aside"), "old").expect("a file");
    let removed = room.store.clean_all().expect("cleans");
    assert_eq!((removed.entries, removed.archives), (5, 5));
    let room = room.reopen();
    let mut names: Vec<String> = Vec::new();
    let mut folders = vec![room.root().join(".overhear")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("reads").flatten() {
            match entry.file_type().expect("reads").is_dir() {
                true => folders.push(entry.path()),
                false => names.push(entry.file_name().into_string().expect("plain")),
            }
        }
    }
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    assert_eq!(names, [".gitignore", "checkout.db", "index.db"]);
    for table in ["remembered", "placed", "left_files", "steps", "memos"] {
        assert_eq!(rows(&room, table), 0, "{table}");
    }
    assert_eq!(room.store.stat().expect("looks"), Stat::default());
}

#[test]
fn a_look_at_a_store_that_somebody_writes_sees_one_state_of_it() {
    let room = Room::new();
    let key = Digest::of(b"key");
    let (one, _) = build(&room, key, &inputs(&["a"]), "one");
    let room = room.reopen();
    let look = Store::look(room.root(), None).expect("opens");
    assert!(look.entry(one).expect("reads").is_some());
    let (two, _) = build(&room, key, &inputs(&["a"]), "two");
    room.store.remove_entry(one).expect("forgets");
    assert!(look.entry(one).expect("reads").is_some() && look.entry(two).expect("reads").is_none());
    // While somebody looks, the log stays beside the file; the next to open reads both.
    let room = room.reopen();
    assert!(
        room.store.entry(two).expect("reads").is_some() && room.store.entry(one).expect("reads").is_none()
    );
    drop(look);
    let room = room.reopen();
    assert!(room.store.entry(two).expect("reads").is_some());
    let log = fs::metadata(room.root().join(".overhear/index.db-wal")).expect("is there");
    assert_eq!(log.len(), 0);
}

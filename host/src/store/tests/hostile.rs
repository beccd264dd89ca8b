//! Archives and manifests that somebody made who means harm, or a disk that fails: an error that says
//! what is wrong, nothing outside touched, and nothing half put in place.

use super::*;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use tar::{EntryType, Header};

const GOOD: &str = "good";

/// One entry of a tar file, with whatever name: the library would refuse some of these.
fn entry(kind: EntryType, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let field = &mut header.as_mut_bytes()[..100];
    field.fill(0);
    field[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header.set_cksum();
    with_header(&header, content)
}

fn with_header(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn linked(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(name).expect("a plain name");
    header.set_link_name(target).expect("a plain name");
    header.set_size(0);
    header.set_mode(0o777);
    header.set_cksum();
    with_header(&header, b"")
}

fn good() -> Vec<u8> {
    entry(EntryType::Regular, b"dist/a.txt", GOOD.as_bytes())
}

fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    entry(EntryType::XHeader, b"pax", &[length.to_string().into_bytes(), rest].concat())
}

fn sized(size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_path("dist/a.txt").expect("a plain name");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    with_header(&header, GOOD.as_bytes())
}

fn zst(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 1).expect("compresses")
}

fn of(entries: &[Vec<u8>]) -> Vec<u8> {
    zst(&[entries.concat(), vec![0; 1024]].concat())
}

/// A gigabyte of zeros in a few kilobytes, after what comes first.
fn bomb(first: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.write_all(first).expect("compresses");
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| encoder.write_all(&zeros).expect("compresses"));
    encoder.finish().expect("compresses")
}

fn wide_window() -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(27).expect("is known");
    encoder.write_all(&good()).expect("compresses");
    encoder.write_all(&[0; 1024]).expect("compresses");
    encoder.finish().expect("compresses")
}

fn header_with_size(kind: EntryType, name: &str, size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(name).expect("a plain name");
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Archives with a name for what is wrong with each. The manifest wants `dist/a.txt` with `good` in it.
fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let mut broken_checksum = good();
    broken_checksum[150] ^= 1;
    let whole = of(&[good()]);
    let regular = EntryType::Regular;
    vec![
        ("a name that leads up", of(&[entry(regular, b"../outside/evil", b"x"), good()])),
        (
            "a name that leads up in the middle",
            of(&[entry(regular, b"dist/../../outside/evil", b"x"), good()]),
        ),
        ("an absolute name", of(&[entry(regular, b"/tmp/overhear-evil", b"x"), good()])),
        (
            "a link out, and a file through it",
            of(&[linked(EntryType::Symlink, "dist", "../outside"), good()]),
        ),
        (
            "a link in place of the file",
            of(&[linked(EntryType::Symlink, "dist/a.txt", "../../outside/mine")]),
        ),
        ("a hard link in place of the file", of(&[linked(EntryType::Link, "dist/a.txt", "../outside/mine")])),
        ("a character device", of(&[entry(EntryType::Char, b"dist/a.txt", b"")])),
        ("a block device", of(&[entry(EntryType::Block, b"dist/a.txt", b"")])),
        ("a pipe", of(&[entry(EntryType::Fifo, b"dist/a.txt", b"")])),
        ("a folder in place of the file", of(&[entry(EntryType::Directory, b"dist/a.txt", b"")])),
        ("a sparse file", of(&[entry(EntryType::GNUSparse, b"dist/a.txt", GOOD.as_bytes())])),
        ("a file that comes twice", of(&[good(), good(), entry(regular, b"dist/b.txt", b"two")])),
        ("compression cut short", whole[..whole.len() / 2].to_vec()),
        ("a tar file cut short", zst(&good()[..514])),
        ("a bad checksum in a header", of(&[broken_checksum])),
        ("another content of the same size", of(&[entry(regular, b"dist/a.txt", b"evil")])),
        ("another content of another size", of(&[entry(regular, b"dist/a.txt", b"evil evil")])),
        ("a size of a terabyte", of(&[sized(1 << 40)])),
        ("the largest size", of(&[sized(u64::MAX)])),
        ("a size larger than what follows", of(&[sized(8 << 30)])),
        ("a size in an extension", of(&[pax("size", b"99999999999"), good()])),
        ("a name in an extension that leads up", of(&[pax("path", b"../outside/evil"), good()])),
        ("a name with a NUL", of(&[pax("path", b"dist/a.txt\0/../../outside/evil"), good()])),
        ("a name that is no text", of(&[entry(regular, b"dist/\xff\xfe", b"x"), good()])),
        (
            "a name of 200,000 bytes",
            of(&[entry(EntryType::GNULongName, b"././@LongLink", &[b'a'; 200_000]), good()]),
        ),
        (
            "a name that says it has a terabyte",
            of(&[header_with_size(EntryType::GNULongName, "long", 1 << 40)]),
        ),
        ("a gigabyte of zeros as a name", bomb(&header_with_size(EntryType::GNULongName, "long", 1 << 30))),
        ("a gigabyte of zeros as a file", bomb(&header_with_size(regular, "dist/a.txt", 1 << 30))),
        ("a gigabyte of zeros as another file", bomb(&header_with_size(regular, "dist/b.txt", 1 << 30))),
        ("a gigabyte of zeros in an extension", bomb(&header_with_size(EntryType::XHeader, "pax", 1 << 30))),
        ("more memory than ours need", wide_window()),
        ("nothing", Vec::new()),
        ("an empty tar file", of(&[])),
        ("no compression at all", b"dist/a.txt: good".repeat(100)),
    ]
}

fn wanting(room: &Room, archive: Option<(Digest, u64)>) -> Digest {
    let outputs = vec![file("dist/a.txt", GOOD), file("dist/b.txt", "two")];
    let manifest = Manifest { outputs: outputs[..1].to_vec(), ..Manifest::default() };
    let both = Manifest { outputs, ..Manifest::default() };
    // The second file gives room for what should not be there.
    let manifest = if archive.is_some_and(|(_, bytes)| bytes == 2) { both } else { manifest };
    room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, archive)
}

/// Keeps bytes as an archive, as a store that was tampered with would have them.
fn keep(room: &Room, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let file = room.root().join("temporary");
    fs::write(&file, bytes).expect("a file");
    drop(room.store.tier().put_blob(digest, &file).expect("is kept"));
    digest
}

#[test]
fn the_archive_that_is_wanted_is_put_in_place() {
    let room = Room::new();
    let digest = keep(&room, &of(&[good()]));
    let fingerprint = wanting(&room, Some((digest, 1)));
    assert_eq!(room.replay(fingerprint).expect("is whole"), Replayed::Restored);
    assert_eq!(fs::read_to_string(room.root().join("dist/a.txt")).expect("is there"), GOOD);
    room.outside_is_untouched("a good archive");
}

#[test]
fn no_archive_puts_anything_where_it_does_not_belong() {
    let archives = archives();
    assert!(archives.len() >= 30);
    for (what, bytes) in archives {
        let room = Room::new();
        let digest = keep(&room, &bytes);
        // Where a second file is wanted, it may be in the archive.
        let wants = if what.contains("twice") || what.contains("another file") { 2 } else { 1 };
        let fingerprint = wanting(&room, Some((digest, wants)));
        match room.replay(fingerprint) {
            Err(ReplayError::Archive(0, ArchiveError::Damaged { archive, why })) => {
                assert_eq!(archive, digest, "{what}");
                assert!(why.len() < 400, "{what}: {why}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(!room.root().join("dist").exists(), "{what}: something was put in place");
        room.outside_is_untouched(what);
    }
}

#[test]
fn what_is_no_file_in_place_of_an_archive_is_damage_and_heals() {
    for what in ["a folder", "a folder with something in it", "a pipe", "a link to nowhere", "nothing"] {
        let room = Room::new();
        let bytes = of(&[good()]);
        let digest = keep(&room, &bytes);
        let fingerprint = wanting(&room, Some((digest, 1)));
        let archive = room.store.local.archive_path(digest);
        fs::remove_file(&archive).expect("is there");
        match what {
            "a folder" => fs::create_dir(&archive).expect("a folder"),
            "a folder with something in it" => fs::create_dir_all(archive.join("a/b")).expect("folders"),
            "a pipe" => {
                let status = std::process::Command::new("mkfifo").arg(&archive).status().expect("starts");
                assert!(status.success());
            }
            "a link to nowhere" => symlink("nowhere", &archive).expect("a link"),
            _ => {}
        }
        assert!(
            matches!(room.replay(fingerprint), Err(ReplayError::Archive(0, ArchiveError::Damaged { .. }))),
            "{what}"
        );
        assert!(!room.store.verify().expect("looks").damaged.is_empty(), "{what}");
        keep(&room, &bytes);
        let fingerprint = wanting(&room, Some((digest, 1)));
        assert_eq!(room.replay(fingerprint).expect("is whole again"), Replayed::Restored, "{what}");
        assert!(room.store.verify().expect("looks").damaged.is_empty(), "{what}");
        room.outside_is_untouched(what);
    }
}

#[test]
fn no_manifest_leads_outside() {
    let link = |name: &str, text: &str| Output { path: path(name), kind: OutputKind::Link(text.into()) };
    let folder = |name: &str| Output { path: path(name), kind: OutputKind::Folder };
    let removing = |name: &str| Manifest { removed: vec![path(name)], ..Manifest::default() };
    let putting = |outputs: Vec<Output>| Manifest { outputs, ..Manifest::default() };
    for (what, manifest) in [
        ("a name that leads up", putting(vec![link("../outside/evil", "x")])),
        ("a name that leads up in the middle", putting(vec![link("a/../../outside/evil", "x")])),
        ("an absolute name", putting(vec![folder("/tmp/overhear-evil")])),
        ("a name in the home folder", putting(vec![folder("~/evil")])),
        ("a name of git's", putting(vec![link(".git/hooks/pre-commit", "x")])),
        ("a name of ours", putting(vec![link(".overhear/index.db", "x")])),
        ("a name with a NUL", putting(vec![link("a\0b", "x")])),
        ("an empty name", putting(vec![folder("")])),
        ("a link, and something through it", putting(vec![link("dist", "../outside"), folder("dist/evil")])),
        ("a name twice", putting(vec![link("dist", "a"), link("dist", "b")])),
        ("what is to be removed, above", removing("../outside/mine")),
        ("what is to be removed, by a detour", removing("x/../../outside/mine")),
    ] {
        let room = Room::new();
        let fingerprint = room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, None);
        let error = room.replay(fingerprint).expect_err(what).to_string();
        assert!(error.contains("cache entry names"), "{what}: {error}");
        assert!(!room.root().join("dist").exists(), "{what}");
        room.outside_is_untouched(what);
    }
}

#[test]
fn a_folder_that_has_become_a_link_is_not_gone_through() {
    let room = Room::new();
    let digest = keep(&room, &of(&[good()]));
    let manifest = Manifest {
        outputs: vec![file("dist/a.txt", GOOD)],
        removed: vec![path("dist/mine")],
        ..Manifest::default()
    };
    let fingerprint = room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, Some((digest, 1)));
    // A run is known to have left just what lies there.
    let mine = Value::content(Digest::of(b"mine"), false);
    room.store.leave(Digest::of(b"step"), &[(path("dist/mine"), mine, None)], &[]).expect("is noted");
    symlink("../outside", room.root().join("dist")).expect("a link");
    assert!(matches!(room.replay(fingerprint), Ok(Replayed::Blocked(_))));
    let removing = Manifest { removed: vec![path("dist/mine")], ..Manifest::default() };
    let fingerprint = room.put(Digest::of(b"other key"), &inputs(&["src"]), &removing, None);
    assert_eq!(room.replay(fingerprint).expect("looks"), Replayed::Blocked(path("dist/mine")));
    room.outside_is_untouched("a folder that has become a link");
}

#[test]
fn a_row_with_one_bit_changed_is_damage() {
    let room = Room::new();
    let manifest = Manifest { outputs: vec![file("dist/a.txt", GOOD)], ..Manifest::default() };
    let key = Digest::of(b"key");
    let fingerprint = room.put(key, &inputs(&["src/a", "src/b"]), &manifest, None);
    let flip = |table: &str, column: &str| {
        let sql = format!("SELECT {column} FROM {table}");
        let mut bytes: Vec<u8> =
            room.store.index().query_row(&sql, [], |row| row.get(0)).expect("there is a row");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        let sql = format!("UPDATE {table} SET {column} = ?1");
        room.store.local.database.write().execute(&sql, [bytes]).expect("is written");
    };
    assert!(room.store.entry(fingerprint).expect("is whole").is_some());
    flip("entries", "manifest");
    assert!(room.store.entry(fingerprint).is_err());
    flip("entries", "manifest");
    assert!(room.store.entry(fingerprint).expect("is whole").is_some());
    flip("pathsets", "members");
    assert!(room.store.pathsets(key).expect("reads").next().expect("there is one").is_err());
    assert_eq!(room.store.verify().expect("looks").damaged.len(), 1);
    // What is stored anew replaces what is damaged.
    room.put(key, &inputs(&["src/a", "src/b"]), &manifest, None);
    assert!(room.store.pathsets(key).expect("reads").next().expect("there is one").is_ok());
    assert_eq!(room.store.verify().expect("looks").sound, 1);
}

#[test]
fn a_file_that_somebody_writes_meanwhile_stays() {
    let room = Room::new();
    room.write("dist/a.txt", GOOD);
    let packed = room.store.pack(&[path("dist/a.txt")], &room.zones.places).expect("is packed");
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    let fingerprint = room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, packed.archive);
    room.write("dist/a.txt", "a person's");
    assert_eq!(room.replay(fingerprint).expect("looks"), Replayed::Blocked(path("dist/a.txt")));
    assert_eq!(fs::read_to_string(room.root().join("dist/a.txt")).expect("is there"), "a person's");
}

#[test]
fn everything_in_the_cache_is_for_its_owner_only() {
    let room = Room::new();
    room.write("dist/a.txt", GOOD);
    let packed = room.store.pack(&[path("dist/a.txt")], &room.zones.places).expect("is packed");
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    room.put(Digest::of(b"key"), &inputs(&["src"]), &manifest, packed.archive);
    let _lock = room.store.lock(Digest::of(b"step")).expect("is free");
    let mut folders = vec![room.root().join(".overhear")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).expect("is there").mode() & 0o777, 0o700, "{folder:?}");
        for entry in fs::read_dir(&folder).expect("reads").flatten() {
            let meta = entry.metadata().expect("is there");
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(meta.mode() & 0o777, 0o600, "{:?}", entry.path());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "{seen}");
}

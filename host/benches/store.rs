//! What the store costs against what any program pays: a warm look-up against a bare loop of `stat`,
//! archiving and restoring against `tar --zstd` and `cp -r`, and the memory that a very large output takes.
//! `cargo bench --bench store`; each pair is measured alternately in one process, and medians are printed.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use overhear::digest::Digest;
use overhear::environment::Environment;
use overhear::fingerprint::{Digests, Disk, Pathset, Query};
use overhear::path::{Places, PortablePath};
use overhear::stamp::Found;
use overhear::store::{
    FolderHabit, Habits, Manifest, NewEntry, Place, Store, Surveyed, ToReplay, VirtualTree,
};
use overhear::tool_state::ToolState;
use overhear::zone::Zones;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["memory", size] = args[..] {
        return memory(size.parse().unwrap());
    }
    let is_wanted = |part: &str| args.is_empty() || args.contains(&part);
    println!("| what | overhear, ms | against | ms | ratio | of CPU |\n|---|---|---|---|---|---|");
    if is_wanted("look-up") {
        [1_000, 10_000, 100_000].into_iter().for_each(look_up);
    }
    if is_wanted("archive") {
        archive_and_restore();
    }
    if is_wanted("large") {
        let size = (2u64 << 30).to_string();
        let output = Command::new(std::env::current_exe().unwrap()).args(["memory", &size]).output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

struct Workspace {
    _dir: tempfile::TempDir,
    places: Places,
}

fn workspace() -> Workspace {
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(std::env::temp_dir()).unwrap();
    let root = dir.path().canonicalize().unwrap().join("ws");
    fs::create_dir(&root).unwrap();
    Workspace { _dir: dir, places: Places { root, home: None } }
}

/// What one thing took: median of the wall clock, and mean of the processor, both in milliseconds.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// Measures in turns, so that what else the machine does falls on all alike.
fn in_turns(rounds: usize, what: &mut [&mut dyn FnMut() -> Duration]) -> Vec<Took> {
    let mut times = vec![(Vec::new(), 0.0); what.len()];
    for round in 0..=rounds {
        for (index, one) in what.iter_mut().enumerate() {
            let before = cpu_ms();
            let took = one();
            // The first round warms up.
            if round > 0 {
                times[index].0.push(took);
                times[index].1 += cpu_ms() - before;
            }
        }
    }
    let took = |(mut times, cpu): (Vec<Duration>, f64)| {
        times.sort();
        Took { wall: times[times.len() / 2].as_secs_f64() * 1e3, cpu: cpu / rounds as f64 }
    };
    times.into_iter().map(took).collect()
}

/// Processor time of this process and of those that it has waited for, in ticks of 10 ms.
fn cpu_ms() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..15].iter().map(|field| field.parse::<f64>().unwrap() * 10.0).sum()
}

fn timed(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

fn row(what: &str, own: Took, against: &str, other: Took) {
    let cpu = if own.cpu >= 20.0 { format!("{:.2}", own.cpu / other.cpu) } else { String::new() };
    let ratio = own.wall / other.wall;
    println!("| {what} | {:.2} | {against} | {:.2} | {ratio:.2} | {cpu} |", own.wall, other.wall);
}

/// A step with so many inputs, 50 in a folder, four folders deep.
fn look_up(count: usize) {
    let workspace = workspace();
    let root = &workspace.places.root;
    let mut paths = Vec::with_capacity(count);
    for index in 0..count {
        let folder = format!("packages/p{}/src/f{}", index / 1000, index % 1000 / 50);
        if index % 50 == 0 {
            fs::create_dir_all(root.join(&folder)).unwrap();
        }
        let path = format!("{folder}/module-{index}.ts");
        fs::write(root.join(&path), format!("export const n = {index}\n")).unwrap();
        paths.push((PortablePath::from_bytes(path.as_bytes()), Query::Content));
    }
    paths.sort();
    let absolute: Vec<PathBuf> = paths.iter().map(|(path, _)| workspace.places.absolute(path)).collect();
    let pathset = Pathset { paths, ..Pathset::default() };
    let env = Environment::default();
    let key = Digest::of(b"key");
    // Stamps are trusted once they are older than the clock's grain.
    let made = Instant::now();
    while made.elapsed() < Duration::from_millis(50) {
        std::thread::yield_now();
    }
    let digests = Digests::default();
    let disk = Disk { places: &workspace.places, env: &env, search: &[], digests: &digests };
    {
        let (store, _) = Store::open(root, None).unwrap();
        let looked = disk.look(&pathset, &Vec::new());
        store.remember(pathset.digest(), &looked.remembered).unwrap();
        let entry = NewEntry {
            key,
            pathset: &pathset,
            values: &looked.values,
            manifest: &Manifest::default(),
            archive: None,
            logs: &[],
            took: Duration::from_secs(1),
            task: "app#build",
        };
        store.put_entry(&entry).unwrap();
    }
    // As a process of its own would: the store is opened, and nothing is known.
    let mut warm = || {
        timed(|| {
            let digests = Digests::default();
            let disk = Disk { digests: &digests, ..disk };
            let (store, _) = Store::open(root, None).unwrap();
            let (digest, members) = store.pathsets(key).unwrap().next().unwrap().unwrap();
            let looked = disk.look(&members, &store.remembered(digest).unwrap());
            assert!(!looked.is_news);
            let fingerprint = looked.values.fingerprint(key, digest);
            assert!(store.entry(fingerprint).unwrap().is_some());
        })
    };
    let (open, _) = Store::open(root, None).unwrap();
    // As the steps of a run that is under way.
    let mut later = || {
        timed(|| {
            let digests = Digests::default();
            let disk = Disk { digests: &digests, ..disk };
            let (digest, members) = open.pathsets(key).unwrap().next().unwrap().unwrap();
            let looked = disk.look(&members, &open.remembered(digest).unwrap());
            let fingerprint = looked.values.fingerprint(key, digest);
            assert!(!looked.is_news && open.entry(fingerprint).unwrap().is_some());
        })
    };
    let mut bare = || timed(|| absolute.iter().for_each(|path| drop(path.symlink_metadata().unwrap())));
    let rounds = if count > 50_000 { 11 } else { 31 };
    let times = in_turns(rounds, &mut [&mut warm, &mut later, &mut bare]);
    row(
        &format!("warm look-up, {count} inputs, with opening the store"),
        times[0],
        "bare loop of lstat",
        times[2],
    );
    row(&format!("warm look-up, {count} inputs"), times[1], "bare loop of lstat", times[2]);
}

/// Text that shrinks about as code does.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let words: [&[u8]; 8] =
            [b"const ", b"return ", b"function(", b"=> {", b"});\n", b"import ", b"export ", b"await "];
        text.extend_from_slice(words[(random & 7) as usize]);
        if random & 8 != 0 {
            text.extend_from_slice(format!("{:x}", random >> 40).as_bytes());
        }
    }
    text.truncate(bytes);
    text
}

fn run(program: &str, args: &[&str], dir: &Path) {
    assert!(
        Command::new(program).args(args).current_dir(dir).status().unwrap().success(),
        "{program} {args:?}"
    );
}

/// 1,000 files of 200 kB.
fn archive_and_restore() {
    let workspace = workspace();
    let root = &workspace.places.root;
    let mut paths = Vec::new();
    for index in 0..1000u64 {
        let name = format!("dist/d{}/chunk-{index:04}.js", index / 100);
        fs::create_dir_all(root.join(&name).parent().unwrap()).unwrap();
        fs::write(root.join(&name), text(index + 1, 200_000)).unwrap();
        paths.push(PortablePath::from_bytes(name.as_bytes()));
    }
    paths.sort();
    let beside = root.parent().unwrap();
    let tar = beside.join("other.tar.zst");
    let (store, _) = Store::open(root, None).unwrap();
    let mut packed = None;
    let mut pack = || timed(|| packed = Some(store.pack(&paths, &workspace.places).unwrap()));
    let mut tarred = || timed(|| run("tar", &["--zstd", "-cf", tar.to_str().unwrap(), "dist"], root));
    let mut synced = || {
        timed(|| {
            run("tar", &["--zstd", "-cf", tar.to_str().unwrap(), "dist"], root);
            fs::File::open(&tar).unwrap().sync_all().unwrap();
        })
    };
    let times = in_turns(5, &mut [&mut pack, &mut tarred, &mut synced]);
    row("archive 1,000 files, 200 MB (synced)", times[0], "tar --zstd", times[1]);
    row("the same", times[0], "tar --zstd, synced", times[2]);

    let packed = packed.unwrap();
    let manifest = Manifest { outputs: packed.outputs, ..Manifest::default() };
    let pathset = Pathset::default();
    let values = overhear::fingerprint::Values::default();
    let entry = NewEntry {
        key: Digest::of(b"key"),
        pathset: &pathset,
        values: &values,
        manifest: &manifest,
        archive: packed.archive,
        logs: &[],
        took: Duration::from_secs(1),
        task: "app#build",
    };
    let fingerprint = store.put_entry(&entry).unwrap();
    let zones =
        Zones { places: workspace.places.clone(), temp: Vec::new(), own: vec![root.join(".overhear")] };
    let dist = root.join("dist");
    let saved = beside.join("saved");
    fs::rename(&dist, &saved).unwrap();
    // Set aside and not removed: ext4 makes no file in the place of one that was removed within the last five
    // seconds, and looking for another costs whoever comes next up to half of what is measured here.
    let aside = std::cell::Cell::new(0);
    let gone = |folder: &Path| {
        let _ = fs::rename(folder, beside.join(format!("gone-{}", aside.replace(aside.get() + 1))));
    };
    let mut restore = || {
        gone(&dist);
        timed(|| assert!(replay(&store, fingerprint, &zones)))
    };
    let mut untar = || {
        gone(&dist);
        timed(|| run("tar", &["--zstd", "-xf", tar.to_str().unwrap()], root))
    };
    let mut copy = || {
        gone(&dist);
        timed(|| run("cp", &["-r", saved.to_str().unwrap(), dist.to_str().unwrap()], root))
    };
    let times = in_turns(5, &mut [&mut restore, &mut untar, &mut copy]);
    row("restore 1,000 files, 200 MB", times[0], "tar --zstd -x", times[1]);
    row("the same", times[0], "cp -r", times[2]);
    assert!(!replay(&store, fingerprint, &zones));
    let times = in_turns(5, &mut [&mut || timed(|| assert!(!replay(&store, fingerprint, &zones)))]);
    println!("| nothing to restore, 1,000 files | {:.2} | | | | |", times[0].wall);
}

/// Puts the outputs of an entry in place, as a hit does; gives whether there was anything to do.
fn replay(store: &Store, fingerprint: Digest, zones: &Zones) -> bool {
    let entry = store.entry(fingerprint).unwrap().unwrap();
    let folders =
        [".", "dist"].map(|folder| (PortablePath::from_bytes(folder.as_bytes()), FolderHabit::Kept));
    let habits = [Habits { folders: folders.to_vec(), ..Habits::default() }];
    let (digests, step) = (Digests::default(), Digest::of(b"step"));
    let mut tree = VirtualTree::default();
    let place = Place {
        zones,
        tree: &tree,
        step,
        later: &[],
        pathset: &Pathset::default(),
        habits: &habits,
        tool: &ToolState::default(),
        digests: &digests,
        turn: digests.seen.turn(),
    };
    let Surveyed::Fits(survey) = store.survey(&entry, &place).unwrap() else { panic!("it is blocked") };
    for output in survey.put.iter().map(|index| &entry.manifest.outputs[*index]) {
        let over = Found::at(&zones.places.absolute(&output.path)).unwrap();
        tree.put(&output.path, &output.kind, 0, step, over);
    }
    let hits = [ToReplay { index: 0, step, entry: &entry, survey: &survey }];
    !store.replay(&tree, &hits, &zones.places, &digests).unwrap().is_empty()
}

/// Archives and restores one output of so many bytes, and tells the most memory that it took.
fn memory(bytes: u64) {
    let workspace = workspace();
    let root = &workspace.places.root;
    fs::create_dir(root.join("dist")).unwrap();
    let large = root.join("dist/large");
    fs::File::create(&large).unwrap().set_len(bytes).unwrap();
    let (store, _) = Store::open(root, None).unwrap();
    let packed = store.pack(&[PortablePath::from_bytes(b"dist/large")], &workspace.places).unwrap();
    let manifest = Manifest { outputs: packed.outputs.clone(), ..Manifest::default() };
    let entry = NewEntry {
        key: Digest::of(b"key"),
        pathset: &Pathset::default(),
        values: &overhear::fingerprint::Values::default(),
        manifest: &manifest,
        archive: packed.archive,
        logs: &[],
        took: Duration::from_secs(1),
        task: "app#build",
    };
    let fingerprint = store.put_entry(&entry).unwrap();
    let peak = |what: &str| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
        println!("| {what} {} MB: most memory | {peak} | | | | |", bytes >> 20);
    };
    peak("archive one output of");
    fs::remove_file(&large).unwrap();
    let zones =
        Zones { places: workspace.places.clone(), temp: Vec::new(), own: vec![root.join(".overhear")] };
    assert!(replay(&store, fingerprint, &zones));
    assert_eq!(fs::metadata(&large).unwrap().len(), bytes);
    peak("and restore it,");
}

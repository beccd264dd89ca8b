//! In which order things reach the disk, seen from the system calls of a run.

use crate::world::{World, has_program};
use std::fs;

/// The system calls of a run with the paths of what they are about, in order.
fn calls(world: &World, task: &str) -> Vec<String> {
    let trace = world.beside("calls");
    let which =
        "trace=openat,fsync,fdatasync,rename,renameat,renameat2,pwrite64,ftruncate,unlink,unlinkat,link";
    let traced = world
        .task(&[task])
        .below("strace", &["-f", "-y", "-s", "300", "-e", which, "-o", trace.to_str().unwrap()]);
    let done = traced.done();
    assert_eq!(done.code, 0, "{done:?}");
    fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect()
}

/// The first of the calls from `start` on that has all these parts.
#[track_caller]
fn first(calls: &[String], start: usize, parts: &[&str]) -> usize {
    let found = calls[start..].iter().position(|call| parts.iter().all(|part| call.contains(part)));
    start + found.unwrap_or_else(|| panic!("no {parts:?} after call {start} of\n{}", calls.join("\n")))
}

#[test]
fn an_archive_is_on_the_disk_under_its_name_before_an_entry_names_it() {
    if !has_program("strace") {
        return;
    }
    let world = World::of_cached_scripts(&[("build", "sh build.sh")]);
    world.write("build.sh", "mkdir -p dist\ncat word.txt > dist/word.txt\n");
    world.write("word.txt", "word\n");
    world.run("build");
    world.write("word.txt", "another\n");
    let calls = calls(&world, "build");
    let synced = first(&calls, 0, &["fsync(", "/.overhear/tmp/"]);
    let named = first(&calls, 0, &["rename", "/.overhear/tmp/", "/.overhear/archives/"]);
    let folder = first(&calls, named, &["fsync(", "/.overhear/archives/"]);
    let row = calls.iter().position(|call| call.contains("pwrite64(") && call.contains("index.db-wal"));
    let last_row = calls.iter().rposition(|call| call.contains("pwrite64(") && call.contains("index.db-wal"));
    assert!(synced < named && named < folder, "{synced} {named} {folder}");
    // What the run taught may be written before; the entry is what is written last.
    assert!(row.is_some() && last_row.is_some_and(|last| folder < last), "{folder} {last_row:?}");
    // The log reaches the file only after it is on the disk.
    let log = calls.iter().rposition(|call| call.contains("fdatasync(") && call.contains("index.db-wal"));
    let log = log
        .or_else(|| calls.iter().rposition(|call| call.contains("fsync(") && call.contains("index.db-wal")));
    let file = calls.iter().position(|call| call.contains("pwrite64(") && call.contains("/index.db>"));
    assert!(log.is_some() && file.is_some_and(|file| log < Some(file)), "{log:?} {file:?}");
}

#[test]
fn outputs_come_by_rename_only_and_a_state_file_goes_first_and_comes_last() {
    if !has_program("strace") {
        return;
    }
    let world = World::of_cached_scripts(&[("build", "sh build.sh")]);
    world.write(
        "build.sh",
        "rm -rf dist; mkdir -p dist\nfor name in a b z; do cat word.txt > dist/$name.txt; done\ncat word.txt > dist/my.tsbuildinfo\n",
    );
    for word in ["one\n", "two\n", "one\n"] {
        world.write("word.txt", word);
        world.run("build");
    }
    world.write("word.txt", "two\n");
    let calls = calls(&world, "build");
    let writes = |call: &&String| {
        call.contains("openat(")
            && call.contains("/dist")
            && ["O_WRONLY", "O_RDWR"].iter().any(|how| call.contains(how))
    };
    assert_eq!(calls.iter().find(writes), None);
    let gone = first(&calls, 0, &["unlinkat(", "my.tsbuildinfo"]);
    let placed: Vec<usize> = (0..calls.len())
        .filter(|at| calls[*at].contains("rename") && calls[*at].contains("/app/dist>"))
        .collect();
    assert_eq!(placed.len(), 4, "{}", calls.join("\n"));
    assert!(gone < placed[0]);
    assert!(calls[placed[3]].contains("my.tsbuildinfo"), "{}", calls[placed[3]]);
    assert_eq!(world.read("dist/z.txt"), "two\n");
}

//! What finding the packages of a workspace costs, against a bare loop that looks at each package.json and
//! reads it. `cargo bench --bench discovery`; the two take turns in one process, and medians are printed.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(unsafe_code, reason = "the standard library does not tell processor time")]

use overhear::workspace::Workspace;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often each is measured.
const ROUNDS: usize = 41;

fn main() {
    println!("| packages | discovery, ms | bare loop, ms | ratio | of CPU |\n|---|---|---|---|---|");
    for count in [10, 100, 1_000, 2_000] {
        measure(count);
    }
}

fn measure(count: usize) {
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(std::env::temp_dir()).unwrap();
    let root = dir.path().canonicalize().unwrap();
    write_packages(&root, count);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(took(|| assert_eq!(Workspace::load(&root).unwrap().packages.len(), count + 1)));
        bare.push(took(|| assert_eq!(look_and_read(&root), count)));
    }
    let (wall, cpu) = (ratio(&ours, &bare, |took| took.wall), ratio(&ours, &bare, |took| took.cpu));
    let millis = |took: &[Took]| median(took.iter().map(|took| took.wall.as_secs_f64() * 1e3).collect());
    println!("| {count} | {:.2} | {:.2} | {wall:.2} | {cpu:.2} |", millis(&ours), millis(&bare));
}

/// Packages as they are written by people: a few scripts, ten dependencies, most of them on one another.
fn write_packages(root: &Path, count: usize) {
    fs::write(root.join("package.json"), json!({ "name": "root", "workspaces": ["packages/*"] }).to_string())
        .unwrap();
    for at in 0..count {
        let mut dependencies: serde_json::Map<_, _> =
            (at.saturating_sub(7)..at).map(|on| (format!("@s/p{on:04}"), json!("workspace:*"))).collect();
        dependencies.insert("react".into(), json!("^19.0.0"));
        let manifest = json!({
            "name": format!("@s/p{at:04}"), "version": "1.0.0", "private": true, "type": "module",
            "main": "dist/index.js",
            "scripts": { "build": "tsc -p .", "test": "vitest run", "lint": "eslint ." },
            "dependencies": dependencies,
            "devDependencies": { "typescript": "^5.6.0", "vitest": "^4.0.0" },
        });
        let package = root.join(format!("packages/p{at:04}"));
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("package.json"), format!("{manifest:#}")).unwrap();
    }
}

/// What no one can do without: each folder, a look at its package.json, and its text.
fn look_and_read(root: &Path) -> usize {
    let packages = fs::read_dir(root.join("packages")).unwrap();
    let is_read = |folder: &Path| {
        let file = folder.join("package.json");
        fs::metadata(&file).unwrap().is_file() && !fs::read(&file).unwrap().is_empty()
    };
    packages.filter(|folder| is_read(&folder.as_ref().unwrap().path())).count()
}

#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn took(run: impl FnOnce()) -> Took {
    let (begun, cpu) = (Instant::now(), cpu_time());
    run();
    Took { wall: begun.elapsed(), cpu: cpu_time() - cpu }
}

/// Processor time of all threads of this process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into the value that it is given, and keeps nothing.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn ratio(ours: &[Took], bare: &[Took], part: impl Fn(&Took) -> Duration) -> f64 {
    median(
        ours.iter()
            .zip(bare)
            .map(|(ours, bare)| part(ours).as_secs_f64() / part(bare).as_secs_f64())
            .collect(),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

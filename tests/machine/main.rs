//! Guards the one promise: whatever happened to a workspace, `overhear run` leaves the files, the
//! terminal and the exit code that running the commands directly would have left.
//!
//! Random sequences of actions on a small workspace, each from a seed. Before each run the tree is
//! copied and the same commands are run directly in the copy; then both must be equal. A sequence
//! that fails is made as short as it goes and printed as a shell script.
//!
//! `OVERHEAR_MACHINE_SECONDS` (default 60) bounds it by the clock, `OVERHEAR_MACHINE_COUNT` by the
//! number of sequences, `OVERHEAR_MACHINE_SEED` says with which to begin, `OVERHEAR_MACHINE_KEEP_GOING`
//! tells all that fail instead of the first, `OVERHEAR_MACHINE_PROGRAM` is another overhear to try.
//! With `OVERHEAR_MACHINE_PLAYED` the tool is played in this process instead of being run and traced: many
//! times as many sequences fit into the time, and all but the tracer is the same.
//! `OVERHEAR_MACHINE_STRICT` takes a missed hit as a failure.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program tells what it found")]

mod case;
mod io;
mod play;
mod shrink;
mod tool;
mod tree;
mod world;

use case::Case;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use world::{Counts, World};

/// Actions in a sequence.
const LENGTH: usize = 30;
const NAME: &str = "a_run_leaves_what_running_the_commands_directly_would_have_left";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("--tool") => {
            let io = io::Io::real();
            let code = tool::run(&args[2], &io);
            let _ = std::io::stdout().write_all(&io.out.take());
            let _ = std::io::stderr().write_all(&io.err.take());
            return ExitCode::from(code);
        }
        Some("--list") => {
            println!("{NAME}: test");
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // As the usual harness does with a filter.
    if args[1..].iter().any(|arg| !arg.starts_with('-') && !NAME.contains(arg.as_str())) {
        return ExitCode::SUCCESS;
    }
    machine()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn machine() -> ExitCode {
    let count = number("OVERHEAR_MACHINE_COUNT").unwrap_or(u64::MAX);
    let seconds =
        number("OVERHEAR_MACHINE_SECONDS").unwrap_or(if count == u64::MAX { 60 } else { u64::MAX / 4 });
    let first = number("OVERHEAR_MACHINE_SEED").unwrap_or(1);
    let keep_going = std::env::var_os("OVERHEAR_MACHINE_KEEP_GOING").is_some();
    let is_played = std::env::var_os("OVERHEAR_MACHINE_PLAYED").is_some();
    // In memory there is nothing to wait for.
    let memory = Path::new("/dev/shm");
    let temp = if is_played && memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let base = temp.join(format!("overhear-machine-{}", std::process::id()));
    let began = Instant::now();
    let mut total = Counts::default();
    let (mut sequences, mut failures) = (0, 0);
    for seed in first.. {
        if sequences == count || began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        sequences += 1;
        let case = Case::generate(seed, LENGTH, !is_played);
        let (counts, wrong) = act(&case, &base, is_played);
        add(&mut total, counts);
        if let Some((at, _)) = wrong {
            failures += 1;
            tell_failure(seed, case, at, &base, is_played);
            if !keep_going {
                break;
            }
        }
    }
    let _ = std::fs::remove_dir_all(&base);
    tell(&total, sequences, first, failures);
    let share = if total.expected == 0 { 1.0 } else { total.hits as f64 / total.expected as f64 };
    // Played, one run follows the other within the same tick of the clock, and more of them are refused.
    if failures == 0 && (share >= 0.99 || is_played) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays a sequence; gives at which action something was wrong, and what.
fn act(case: &Case, base: &Path, is_played: bool) -> (Counts, Option<(usize, String)>) {
    let mut world = World::new(case, base, is_played);
    for (at, action) in case.actions.iter().enumerate() {
        if let Err(wrong) = world.act(action) {
            return (world.counts, Some((at, wrong)));
        }
    }
    (world.counts, None)
}

fn tell_failure(seed: u64, mut case: Case, at: usize, base: &Path, is_played: bool) {
    case.actions.truncate(at + 1);
    let case = shrink::shrink(case, |smaller| act(smaller, base, is_played).1.is_some());
    let mut world = World::new(&case, base, is_played);
    let wrong = case.actions.iter().find_map(|action| world.act(action).err());
    println!("seed {seed} fails; to repeat it by hand:\n");
    println!("{}\n", world.script.join("\n"));
    println!(
        "{}\n",
        wrong.unwrap_or_else(
            || "not every time: the shortened sequence passed when it was repeated".to_owned()
        )
    );
    let kept: PathBuf = base.with_file_name(format!("overhear-machine-seed-{seed}"));
    if std::env::var_os("OVERHEAR_MACHINE_KEEP").is_some() {
        let _ = std::fs::remove_dir_all(&kept);
        let _ = std::fs::rename(base, &kept);
        println!("kept in {}", kept.display());
    }
}

fn add(total: &mut Counts, counts: Counts) {
    total.runs += counts.runs;
    total.expected += counts.expected;
    total.hits += counts.hits;
    let add_all = |into: &mut BTreeMap<String, usize>, from: BTreeMap<String, usize>| {
        from.into_iter().for_each(|(name, count)| *into.entry(name).or_default() += count);
    };
    add_all(&mut total.ends, counts.ends);
    add_all(&mut total.missed, counts.missed);
    counts.limits.into_iter().for_each(|(name, count)| *total.limits.entry(name).or_default() += count);
}

fn tell(total: &Counts, sequences: u64, first: u64, failures: usize) {
    println!("{sequences} sequences from seed {first}, {} runs, {failures} wrong", total.runs);
    println!("expected hits: {} of {}", total.hits, total.expected);
    for (title, counts) in [("steps", &total.ends), ("expected hits that were none", &total.missed)] {
        println!("{title}:");
        counts.iter().for_each(|(name, count)| println!("  {count:6} {name}"));
    }
    println!("named limits met:");
    total.limits.iter().for_each(|(name, count)| println!("  {count:6} {name}"));
}

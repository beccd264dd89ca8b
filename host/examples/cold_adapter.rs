//! Measures what the first call of an adapter costs in a process that has not called any: engine, loading,
//! instantiating, `detect` and `declare`. Prints nanoseconds. `bench/adapters.py` starts it many times.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use overhear::adapter::{Adapters, Call, MapMemo};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let root = args.next().expect("the folder of a workspace");
    let root = Path::new(&root).canonicalize().unwrap();
    let name = args.next().expect("a program in node_modules/.bin");
    let words: Vec<String> = args.collect();
    let program = root.join("node_modules/.bin").join(&name);
    let memo = Arc::new(MapMemo::default());
    let call = Call {
        program: &program,
        name: &name,
        args: &words,
        cwd: &root,
        package_dir: &root,
        root: &root,
        env: &|_| None,
    };
    let adapters = Adapters::built_in(memo.clone());
    let begun = Instant::now();
    let cold = adapters.declare(call).unwrap();
    let cold_ns = begun.elapsed().as_nanos();
    let adapters = Adapters::built_in(memo);
    let begun = Instant::now();
    let warm = adapters.declare(call).unwrap();
    let warm_ns = begun.elapsed().as_nanos();
    assert!(cold.is_some() && cold == warm);
    println!("{cold_ns} {warm_ns}");
}

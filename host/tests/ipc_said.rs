//! Each thing that can be said, and what comes of it: said from JavaScript (main thread, worker, child
//! process), from Rust and with `overhear tell`, in real runs.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, dead_code)]

#[path = "said/drivers.rs"]
mod drivers;
#[path = "said/envs.rs"]
mod envs;
#[path = "../../tests/scenarios/installed.rs"]
mod installed;
#[path = "said/lost.rs"]
mod lost;
#[path = "said/packed.rs"]
mod packed;
#[path = "said/paths.rs"]
mod paths;
#[path = "said/steps.rs"]
mod steps;
#[path = "../../tests/scenarios/tree.rs"]
mod tree;
#[path = "../../tests/scenarios/world.rs"]
mod world;

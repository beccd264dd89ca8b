//! What is too long for every change: whole frameworks, installed from npm and built several times. Run
//! by hand (`cargo test --release -p overhear --features full --test full`), its result recorded in
//! `bench/RESULTS.md` with date and commit.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, dead_code)]

mod app;
mod common;
mod frameworks;
#[path = "../scenarios/installed.rs"]
mod installed;
mod ipc_tools;
mod monorepo;
mod output;
mod page;
mod template;
#[path = "../scenarios/tree.rs"]
mod tree;
mod workspaces;
#[path = "../scenarios/world.rs"]
mod world;

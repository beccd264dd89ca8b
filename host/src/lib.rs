//! overhear: a task runner that never runs a task twice for nothing and never asks what a task
//! reads. This library is the program; `main.rs` only calls [`cli`].
//!
//! Modules from the top of the house down; none uses one above it.

// The main line.
pub mod cli;
pub mod session;
pub mod step;

// What the main line calls.
pub mod adapter;
pub mod fingerprint;
pub mod git_index;
pub mod globs;
pub mod habit;
pub mod ipc;
pub mod key;
pub mod plan;
pub mod process;
pub mod report;
pub mod rules;
pub mod settle;
pub mod store;
pub mod tool_state;
pub mod trace;
pub mod tree;
pub mod workspace;

// Ground floor: plain types.
pub mod beneath;
pub mod config;
pub mod declaration;
pub mod digest;
pub mod environment;
pub mod event;
pub mod hint;
pub mod memo;
pub mod outcome;
pub mod path;
pub mod problem;
pub mod shipped;
pub mod wildcard;
pub mod zone;
// Plain types too, of the crate that knows no system.
pub use overhear_trace::{access, stamp};

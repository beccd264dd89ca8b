//! overhear: a task runner that never runs a task twice for nothing and never asks what a task
//! reads. This library is the program; `main.rs` only calls [`cli`].
//!
//! Modules from the top of the house down; none uses one above it.

// session, step, store, report, plan, process, fingerprint, settle, trace, ipc, adapter, workspace
pub mod plan;
pub mod process;
pub mod trace;

// ground floor: plain types
pub mod access;
pub mod config;
pub mod declaration;
pub mod digest;
pub mod event;
pub mod hint;
pub mod outcome;
pub mod path;
pub mod stamp;

//! overhear: a task runner that never runs a task twice for nothing and never asks what a task
//! reads. This library is the program; `main.rs` only calls [`cli`].
//!
//! Modules from the top of the house down; none uses one above it.

// session, step, store, report, plan, process, fingerprint, settle, trace, ipc, adapter, workspace
pub mod fingerprint;
pub mod habit;
pub mod key;
pub mod ipc;
pub mod adapter;
pub mod plan;
pub mod rules;
pub mod settle;
pub mod store;
pub mod workspace;

// ground floor: plain types
pub mod access;
pub mod config;
pub mod declaration;
pub mod digest;
pub mod environment;
pub mod event;
pub mod hint;
pub mod outcome;
pub mod path;
pub mod problem;
pub mod protocol;
pub mod stamp;
pub mod zone;
pub mod wildcard;

//! The program from outside, as its users have it: real workspaces, real tools from npm, and what is
//! left on disk, on the terminal and in the exit code. Nothing of the library is used here but names: of
//! reasons, and of the points at which it can be stopped.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod adapters_of_others;
mod as_directly;
mod authoring;
mod bad_input;
mod bad_workspace;
mod cache_faults;
mod called;
mod compares;
mod crash;
mod differing;
mod documents;
mod durable;
mod elsewhere;
mod git_stamps;
mod guest;
mod in_vain;
mod installed;
mod interrupt;
mod left_alone;
mod main_job;
mod npm_package;
mod other_vites;
mod random_graphs;
mod reasons;
mod scripts;
mod selecting;
mod selection;
mod serving;
mod snapshot;
mod steps;
mod told;
mod tree;
mod variables;
mod watching;
mod world;

//! The adapters that the build script built, described and precompiled, as a table.

use crate::declaration::Base;
use crate::digest::Digest;

/// One adapter that is part of the program.
pub struct BuiltIn {
    /// Its id, e.g. `acme`.
    pub id: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// The versions of the tool that it was tested with.
    pub tested_with: Option<&'static str>,
    /// Names of programs that can lead to it.
    pub programs: &'static [&'static str],
    /// Names of packages whose programs can lead to it.
    pub packages: &'static [&'static str],
    /// Ids of adapters than which it is more particular.
    pub refines: &'static [&'static str],
    /// Names of files in the package folder that its calls list.
    pub config_files: &'static [&'static str],
    /// What it may read.
    pub may_read: &'static [(Base, &'static str)],
    /// Which variables it may ask for.
    pub may_read_env: &'static [&'static str],
    /// Of the component and of what it carries.
    pub digest: Digest,
    /// The component.
    pub code: &'static Code,
    /// What the component carries, if it is one that carries others' knowledge.
    pub source: Option<&'static str>,
}

/// A component that is part of the program.
pub struct Code {
    /// Of `wasm`.
    pub digest: Digest,
    /// The component.
    pub wasm: &'static [u8],
    /// The component as native code for this target; empty where it could not be precompiled.
    pub cwasm: &'static [u8],
    /// Both are compressed (zstd): they are large and seldom needed.
    pub is_packed: bool,
}

include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

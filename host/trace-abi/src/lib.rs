//! What overhear and the library that it preloads agree on: the names of variables, and the layout of
//! the memory that both see. Plain data and arithmetic: no system calls, no allocation.
//!
//! One memory file per step. Log and ring come first and are shared; the table of variables comes after
//! them, and each process has its own view of that, so that a program that writes into a value it was given
//! writes into its own copy.
//!
//! ```text
//! 0         Log: which variables were asked for
//! RING_AT   Ring: what is asked of the file system
//! SITES_AT  Sites: system calls of libraries that may be redirected
//! TABLE_AT  Table: which variables are left out of the environment block, with their values
//! ```
#![no_std]
#![allow(unsafe_code, reason = "reads a layout through addresses")]

pub mod handle;
pub mod notes;
pub mod sites;
pub mod table;

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// Tells the library where the memory is: a [`handle::Handle`] as text.
pub const ENV_HANDLE: &str = "OVERHEAR_PRELOAD";
/// An environment block without this variable was made from nothing, or emptied (`env -i`): what it
/// lacks is lacking on purpose, and nothing is served.
pub const ENV_MARK: &str = "OVERHEAR";
/// The loader's variable.
pub const ENV_LOADER: &str = "LD_PRELOAD";
/// Asked for by a library that could not reach the memory, so that the tracer knows. Nothing can ever
/// lie there.
pub const PROBE_LOST: &str = "/dev/null/overhear/environment-not-overheard";

/// As many variables as a table holds.
pub const VARIABLES_MAX: usize = 2048;
/// Places for names that are not in the table.
pub const SLOTS: usize = 4096;
/// Bytes for those names.
pub const NAMES_BYTES: usize = 192 * 1024;
/// Longer names are not noted: no variable is called so.
pub const NAME_BYTES_MAX: usize = 255;
/// Where the ring begins: whole pages, whatever their size.
pub const RING_AT: usize = 512 * 1024;
/// Where the places of system calls begin.
pub const SITES_AT: usize = RING_AT + notes::RING_SPACE;
/// Where the table begins.
pub const TABLE_AT: usize = SITES_AT + 64 * 1024;

const _: () = assert!(sites::SITES_BYTES <= TABLE_AT - SITES_AT);

const _: () = assert!(size_of::<Log>() <= RING_AT);

/// What was asked for. All zero at first; whatever is set stays.
#[repr(C)]
pub struct Log {
    /// Not 0: something was asked for and there was no room to note it.
    pub is_full: AtomicU32,
    /// Bytes of `names` that are taken; may exceed its length.
    pub names_used: AtomicU32,
    /// For each variable of the table, whether it was asked for.
    pub asked: [AtomicU8; VARIABLES_MAX],
    /// Names that are not in the table: by hash, with linear probing.
    pub slots: [Slot; SLOTS],
    /// Their bytes.
    pub names: [AtomicU8; NAMES_BYTES],
}

/// One name that was asked for and is not in the table.
#[repr(C)]
pub struct Slot {
    /// Its hash; 0 while the place is free.
    pub hash: AtomicU64,
    /// Where its bytes are: see [`Slot::place`]. Written last; 0 until then.
    pub place: AtomicU64,
}

impl Slot {
    /// Start and length in `Log::names`, in one word that is never 0.
    pub const fn place(start: u32, length: u32) -> u64 {
        (start as u64) << 32 | 1 << 31 | length as u64
    }

    /// The reverse: start and length.
    pub const fn range(place: u64) -> (usize, usize) {
        ((place >> 32) as usize, (place & 0x7fff_ffff) as usize)
    }
}

/// Of a variable's name; never 0.
pub fn hash(name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in name {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The lower bits choose the place, and this hash mixes upwards only.
    hash ^= hash >> 32;
    hash | 1 << 63
}

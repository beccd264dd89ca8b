//! The table of variables that a step may ask for: a head, an index by hash, entries, and the texts.

use crate::{VARIABLES_MAX, hash};

/// The beginning of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The token of the handle.
    pub token: u64,
    /// How many variables.
    pub count: u32,
    /// Length of the index: a power of two, more than `count`.
    pub index_len: u32,
    /// Not 0: what is asked for is noted and not served.
    pub strict: u32,
    /// Zero.
    pub unused: u32,
}

/// One variable. Positions count in bytes from the beginning of the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of the name.
    pub hash: u64,
    /// Where the name begins.
    pub name: u32,
    /// How long it is.
    pub name_len: u32,
    /// Where the value begins; it ends with zero.
    pub value: u32,
    /// Zero.
    pub unused: u32,
}

/// A table in memory.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    base: *const u8,
}

impl Table {
    /// The table at this address, if it is the one that is meant.
    ///
    /// # Safety
    /// `bytes` bytes from `base` on can be read for as long as the table is used, and if the token is
    /// right they were written by overhear. `base` is aligned to 8.
    pub unsafe fn at(base: *const u8, bytes: usize, token: u64) -> Option<Table> {
        if bytes < size_of::<Head>() {
            return None;
        }
        let table = Table { base };
        (table.head().token == token && table.head().count as usize <= VARIABLES_MAX).then_some(table)
    }

    fn head(&self) -> &Head {
        // SAFETY: promised to `at`.
        unsafe { &*self.base.cast::<Head>() }
    }

    /// Whether variables are noted and not served.
    pub fn is_strict(&self) -> bool {
        self.head().strict != 0
    }

    /// The position of a variable and the address of its value.
    pub fn find(&self, name: &[u8], name_hash: u64) -> Option<(usize, *const u8)> {
        let head = self.head();
        // SAFETY: overhear wrote the whole table: the index comes after the head and has one free place
        // at least, and each entry and text lies inside.
        unsafe {
            let index = self.base.add(size_of::<Head>()).cast::<u32>();
            let entries = index.add(head.index_len as usize).cast::<Entry>();
            let mask = head.index_len.wrapping_sub(1);
            let mut at = name_hash as u32 & mask;
            loop {
                let position = match *index.add(at as usize) {
                    0 => return None,
                    position => position as usize - 1,
                };
                let entry = &*entries.add(position);
                if entry.hash == name_hash && entry.name_len as usize == name.len() {
                    let own = core::slice::from_raw_parts(self.base.add(entry.name as usize), name.len());
                    if own == name {
                        return Some((position, self.base.add(entry.value as usize)));
                    }
                }
                at = (at + 1) & mask;
            }
        }
    }
}

/// How large the index of so many variables is.
pub fn index_len(count: usize) -> usize {
    (count * 2 + 2).next_power_of_two()
}

/// Fills an index of zeros, of the length that [`index_len`] gives.
pub fn fill_index(index: &mut [u32], names: impl Iterator<Item = impl AsRef<[u8]>>) {
    let mask = index.len() - 1;
    for (position, name) in names.enumerate() {
        let mut at = hash(name.as_ref()) as usize & mask;
        while index[at] != 0 {
            at = (at + 1) & mask;
        }
        index[at] = position as u32 + 1;
    }
}

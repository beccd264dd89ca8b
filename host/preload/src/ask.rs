//! `getenv` and its kin: what is in the block first, then what was left out of it.

use crate::block::{self, Search};
use crate::memory::{LeftOut, Memory};
use core::ffi::c_char;
use core::ptr;

/// # Safety
/// As of the C library's: the name ends with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    if name.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: it ends with zero.
    let name = unsafe { block::bytes(name) };
    if name.is_empty() {
        return ptr::null_mut();
    }
    match block::find(name) {
        Search::Value(value) => value,
        Search::Absent if !name.contains(&b'=') => left_out(name).unwrap_or(ptr::null_mut()),
        Search::Absent | Search::AbsentOnPurpose => ptr::null_mut(),
    }
}

/// The same: a process with more rights than its caller never loads this library.
///
/// # Safety
/// As of the C library's: the name ends with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: promised by the caller.
    unsafe { getenv(name) }
}

/// What old programs call it.
///
/// # Safety
/// As of the C library's: the name ends with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __secure_getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: promised by the caller.
    unsafe { getenv(name) }
}

/// The value of a variable that is not in the block, if it is served. Notes that it was asked for.
pub fn left_out(name: &[u8]) -> Option<*mut c_char> {
    let memory = Memory::get()?;
    match memory.find(name) {
        LeftOut::Yes(position, value) => {
            memory.note(position);
            (!memory.is_strict()).then_some(value.cast::<c_char>().cast_mut())
        }
        LeftOut::Hidden => None,
        // In strict mode it would not be seen either if it were set.
        LeftOut::No => {
            if !memory.is_strict() {
                memory.note_absent(name);
            }
            None
        }
    }
}

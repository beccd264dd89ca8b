//! `setenv` and its kin: the C library does it, and what the process has set or unset is never served
//! afterwards, neither to it nor to the programs that it starts.

use crate::block::{self, Search};
use crate::memory::Memory;
use crate::{ask, next, sys};
use core::ffi::{c_char, c_int};

const ENOSYS: c_int = 38;

type SetEnv = unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int;
type OfText = unsafe extern "C" fn(*const c_char) -> c_int;
type ClearEnv = unsafe extern "C" fn() -> c_int;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(name: *const c_char, value: *const c_char, overwrite: c_int) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::SETENV.get::<SetEnv>() else { return absent() };
        if overwrite == 0 && is_served(name) {
            return 0;
        }
        hide(name);
        own(name, value, overwrite)
    }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: *const c_char) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::UNSETENV.get::<OfText>() else { return absent() };
        hide(name);
        own(name)
    }
}

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn putenv(text: *const c_char) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::PUTENV.get::<OfText>() else { return absent() };
        hide(text);
        own(text)
    }
}

/// Leaves a block without overhear's mark, so that nothing more is served.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clearenv() -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        match next::CLEARENV.get::<ClearEnv>() {
            Some(own) => own(),
            None => absent(),
        }
    }
}

/// The C library has no such function; a program could not have been linked against it.
fn absent() -> c_int {
    sys::set_errno(ENOSYS);
    -1
}

/// Hides the variable that a text names: all of it, or what comes before `=`.
unsafe fn hide(text: *const c_char) {
    if text.is_null() {
        return;
    }
    // SAFETY: the caller's text ends with zero.
    let text = unsafe { block::bytes(text) };
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    if let (Some(name), Some(memory)) = (text.get(..end), Memory::get()) {
        memory.hide(name);
    }
}

/// Whether a program would find this variable if it asked; then it is asking.
unsafe fn is_served(name: *const c_char) -> bool {
    if name.is_null() {
        return false;
    }
    // SAFETY: the caller's text ends with zero.
    let name = unsafe { block::bytes(name) };
    matches!(block::find(name), Search::Absent) && ask::left_out(name).is_some()
}

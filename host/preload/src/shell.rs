//! `system` and `popen`: the C library starts their shell by itself, with the block as it is. So the
//! shell is told, before the command and on the same line, what the programs that it starts need.

use crate::sys::Texts;
use crate::text::Writer;
use crate::{block, memory, next, sys};
use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use overhear_trace_abi::handle::TEXT_BYTES_MAX;
use overhear_trace_abi::{ENV_HANDLE, ENV_LOADER};

/// The command with an `export` before it, in memory to be given back; `None` where it stays as it is.
unsafe fn told(command: *const c_char) -> Option<(*mut u8, usize)> {
    let env: Texts = block::current().cast_const().cast();
    // SAFETY: the block and the command are as the C library wants them.
    unsafe {
        let outgoing = block::look(env);
        if command.is_null() || !outgoing.needs_own {
            return None;
        }
        let command = block::bytes(command);
        let library = memory::library()?;
        let before = outgoing.loader.map_or(&[][..], |(_, value)| value);
        // What somebody else preloads might need quoting of its own.
        if before.contains(&b'\'') {
            return None;
        }
        let mut handle = [0u8; TEXT_BYTES_MAX];
        let length = memory::handle_text(&mut handle)?;
        let size = command.len() + library.len() + before.len() + length + 64;
        let room = sys::map_zeros(size)?;
        let mut text = Writer::at(room);
        text.add(b"export ");
        text.add(ENV_LOADER.as_bytes());
        text.add(b"='");
        text.add(before);
        if !before.is_empty() {
            text.add(b":");
        }
        text.add(library);
        text.add(b"' ");
        text.add(ENV_HANDLE.as_bytes());
        text.add(b"='");
        text.add(handle.get(..length).unwrap_or_default());
        text.add(b"'; ");
        text.add(command);
        Some((room, size))
    }
}

type System = unsafe extern "C" fn(*const c_char) -> c_int;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn system(command: *const c_char) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::SYSTEM.get::<System>() else { return -1 };
        let Some((room, size)) = told(command) else { return own(command) };
        let status = own(room.cast_const().cast());
        sys::unmap(room, size);
        status
    }
}

type POpen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut c_void {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::POPEN.get::<POpen>() else { return ptr::null_mut() };
        let Some((room, size)) = told(command) else { return own(command, mode) };
        let stream = own(room.cast_const().cast(), mode);
        sys::unmap(room, size);
        stream
    }
}

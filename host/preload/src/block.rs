//! The environment block of this process: `environ`, the list of texts `NAME=value`. Reads it as the
//! C library does, and takes out of it what is ours.

use crate::sys::Texts;
use core::ffi::c_char;
use overhear_trace_abi::{ENV_HANDLE, ENV_LOADER, ENV_MARK};

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// What the library is called, up to its digest.
const OWN_NAME: &[u8] = b"overhear-preload-";

/// The block as it is now.
pub fn current() -> *mut *mut c_char {
    // SAFETY: a word that the C library keeps; who changes it while another thread reads it has the
    // same race without us.
    unsafe { environ }
}

/// The bytes of a text.
///
/// # Safety
/// It ends with zero and stays as it is.
pub unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: it ends with zero.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text.cast(), length)
    }
}

/// Where the value begins, if the text is of this variable.
///
/// # Safety
/// The text ends with zero.
pub unsafe fn value_of(text: *const c_char, name: &[u8]) -> Option<*mut c_char> {
    // SAFETY: a difference is found at its end at the latest.
    unsafe {
        for (at, byte) in name.iter().enumerate() {
            if *text.add(at).cast::<u8>() != *byte {
                return None;
            }
        }
        (*text.add(name.len()).cast::<u8>() == b'=').then(|| text.add(name.len() + 1).cast_mut())
    }
}

/// What a search of the block gave.
pub enum Search {
    /// The variable is there.
    Value(*mut c_char),
    /// It is not, in a block that was handed on from overhear.
    Absent,
    /// It is not, in a block that somebody made from nothing.
    AbsentOnPurpose,
}

/// Looks a variable up.
pub fn find(name: &[u8]) -> Search {
    let mut is_marked = false;
    let mut at = current();
    if at.is_null() {
        return Search::AbsentOnPurpose;
    }
    // SAFETY: the block is a list of texts that ends with null.
    unsafe {
        while !(*at).is_null() {
            if let Some(value) = value_of(*at, name) {
                return Search::Value(value);
            }
            is_marked |= value_of(*at, ENV_MARK.as_bytes()).is_some();
            at = at.add(1);
        }
    }
    if is_marked { Search::Absent } else { Search::AbsentOnPurpose }
}

/// Takes the handle out of the block, and this library out of the loader's variable; the text of the
/// handle, and the path of this library. A block without a handle stays as it is.
pub fn take_own() -> Option<(&'static [u8], &'static [u8])> {
    let Search::Value(handle) = find(ENV_HANDLE.as_bytes()) else { return None };
    let mut library = None;
    let mut from = current();
    let mut to = from;
    // SAFETY: the block is a list of writable texts that ends with null; what is kept moves down, and
    // what is behind it becomes null: the kernel's list that follows is found by its own address.
    unsafe {
        while !(*from).is_null() {
            let text = *from;
            from = from.add(1);
            if value_of(text, ENV_HANDLE.as_bytes()).is_some() {
                continue;
            }
            if let Some(value) = value_of(text, ENV_LOADER.as_bytes()) {
                let (own, is_alone) = cut_own(value);
                library = own;
                if is_alone {
                    continue;
                }
            }
            *to = text;
            to = to.add(1);
        }
        while to != from {
            *to = core::ptr::null_mut();
            to = to.add(1);
        }
        Some((bytes(handle), library?))
    }
}

/// Cuts this library out of a list of libraries, of which overhear always makes it the last; its path,
/// and whether it is the only one.
///
/// # Safety
/// The text ends with zero and may be written.
unsafe fn cut_own(list: *mut c_char) -> (Option<&'static [u8]>, bool) {
    // SAFETY: within the text.
    unsafe {
        let text: &'static [u8] = bytes(list);
        let separator = text.iter().rposition(|byte| is_separator(*byte));
        let last = text.get(separator.map_or(0, |at| at + 1)..).unwrap_or_default();
        if !is_own(last) {
            return (None, false);
        }
        if let Some(separator) = separator {
            *list.add(separator) = 0;
        }
        (Some(last), separator.is_none())
    }
}

fn is_separator(byte: u8) -> bool {
    byte == b':' || byte == b' '
}

fn is_own(path: &[u8]) -> bool {
    let name = path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.get(at + 1..)).unwrap_or(path);
    name.starts_with(OWN_NAME)
}

/// What is known of a block that is about to be handed on.
pub struct Outgoing {
    /// How many texts.
    pub count: usize,
    /// It comes from overhear's own, and says nothing yet of where the memory is.
    pub needs_own: bool,
    /// The loader's variable: its position and its value.
    pub loader: Option<(usize, &'static [u8])>,
}

/// Looks through a block.
///
/// # Safety
/// A list of texts that ends with null, or null.
pub unsafe fn look(env: Texts) -> Outgoing {
    let mut outgoing = Outgoing { count: 0, needs_own: false, loader: None };
    let mut has_handle = false;
    if env.is_null() {
        return outgoing;
    }
    // SAFETY: promised.
    unsafe {
        while !(*env.add(outgoing.count)).is_null() {
            let text = *env.add(outgoing.count);
            has_handle |= value_of(text, ENV_HANDLE.as_bytes()).is_some();
            outgoing.needs_own |= value_of(text, ENV_MARK.as_bytes()).is_some();
            if let Some(value) = value_of(text, ENV_LOADER.as_bytes()) {
                outgoing.loader = Some((outgoing.count, bytes(value)));
            }
            outgoing.count += 1;
        }
    }
    outgoing.needs_own &= !has_handle;
    outgoing
}

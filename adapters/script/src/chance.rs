//! Where a library asks for randomness it is told that there is none. Nothing that a script can reach asks:
//! `Math.random` is taken away before it runs.
#![allow(unsafe_code, reason = "the name of the function is fixed by who calls it")]

use getrandom::Error;

// SAFETY: `getrandom` looks for a function of this name and form where it is built with its backend
// `custom`; nothing is written, and an error says so.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(_: *mut u8, _: usize) -> Result<(), Error> {
    Err(Error::UNSUPPORTED)
}

//! The library that overhear loads into the programs of a step. It stands before the C library's
//! `getenv` and its kin: a variable that was left out of the environment block is served when a
//! program asks for it by name, and that it was asked for is noted in memory that overhear reads at
//! the end. See `docs/design/environment.md`.
//!
//! It lives in somebody else's process, so: no allocation, no locks, no panics (the build fails if the
//! compiler could not prove that), no thread-locals, no library that it needs, nothing printed. What
//! fails leaves the program as it would be without us, and overhear is told.
//!
//! It also stands before functions that look at paths, and makes their calls from a page that the
//! tracer's filter lets through, after noting them: see `docs/design/accelerator.md`.
//!
//! `block`: the environment block. `memory`: what is shared with overhear. `gate`, `note`, `seen`: asking
//! the file system. `patch`: system calls of other libraries. `ask`, `change`, `exec`, `paths`, `shell`: the functions that
//! programs call.
#![cfg_attr(panic = "abort", no_std)]
#![allow(unsafe_code, reason = "stands in for functions of the C library")]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod ask;
mod block;
mod bytes;
mod change;
mod exec;
mod gate;
mod memory;
mod next;
mod note;
mod patch;
mod paths;
mod seen;
mod shell;
mod sys;
mod text;

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Runs when the library is loaded, before the program.
extern "C" fn start() {
    memory::begin();
}

#[cfg(panic = "abort")]
unsafe extern "C" {
    /// There is no such function: the build looks for its name in the library, and fails if the
    /// compiler left a way to it.
    fn overhear_preload_may_panic() -> !;
}

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never linked.
    unsafe { overhear_preload_may_panic() }
}

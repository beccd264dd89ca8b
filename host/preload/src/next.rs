//! The C library's own functions, behind those of this library. Looked up once, when the library is
//! loaded: later a lock of the loader might be held by a thread that a fork left behind.

use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

// A weak reference: where the C library has no such symbol, it is null and the library loads all the
// same. There is no other way to say this in stable Rust.
core::arch::global_asm!(
    ".pushsection .data.rel.ro.overhear_dlsym,\"aw\",@progbits",
    ".balign 8",
    ".weak dlsym",
    ".local overhear_dlsym",
    "overhear_dlsym:",
    ".quad dlsym",
    ".popsection",
);

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

/// `RTLD_NEXT`: what comes after the library that asks.
const NEXT: *mut c_void = -1isize as *mut c_void;

/// A function of the C library, or a variable.
pub struct Function(AtomicPtr<c_void>);

impl Function {
    const fn new() -> Function {
        Function(AtomicPtr::new(ptr::null_mut()))
    }

    /// Its address, as a pointer to a function of this type.
    ///
    /// # Safety
    /// `F` is a pointer to a function of the right kind.
    pub unsafe fn get<F: Copy>(&self) -> Option<F> {
        crate::memory::begin();
        let address = self.0.load(Ordering::Acquire);
        if address.is_null() || size_of::<F>() != size_of::<*mut c_void>() {
            return None;
        }
        // SAFETY: a pointer to a function is an address, and the caller vouches for its type.
        Some(unsafe { ptr::from_ref(&address).cast::<F>().read() })
    }
}

macro_rules! functions {
    ($($variable:ident $name:literal)*) => {
        $(#[doc = concat!("`", $name, "`")] pub static $variable: Function = Function::new();)*

        /// Looks them all up.
        pub fn find() {
            let Some(dlsym) = dlsym() else { return };
            let mut is_complete = true;
            $(
                // SAFETY: the name ends with zero.
                let address = unsafe { dlsym(NEXT, concat!($name, "\0").as_ptr().cast()) };
                $variable.0.store(address, Ordering::Release);
                is_complete &= !address.is_null();
            )*
            if !is_complete {
                forget_error();
            }
        }
    };
}

functions! {
    SETENV "setenv"
    UNSETENV "unsetenv"
    PUTENV "putenv"
    CLEARENV "clearenv"
    FACCESSAT "faccessat"
    DLOPEN "dlopen"
    DL_ITERATE_PHDR "dl_iterate_phdr"
    EXECVPE "execvpe"
    FEXECVE "fexecve"
    POSIX_SPAWN "posix_spawn"
    POSIX_SPAWNP "posix_spawnp"
    SYSTEM "system"
    POPEN "popen"
    SETLOCALE "setlocale"
    OPEN_NOCANCEL "__open64_nocancel"
    FSTATAT "fstatat"
    SINGLE_THREADED "__libc_single_threaded"
    DLERROR "dlerror"
}

/// The program is not to hear of what was looked for in vain here: a C library that is old, or another one.
fn forget_error() {
    let address = DLERROR.0.load(Ordering::Acquire);
    if !address.is_null() {
        // SAFETY: it has no arguments, and what it returns is not looked at.
        unsafe { core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(address)() };
    }
}

fn dlsym() -> Option<Dlsym> {
    let address: *mut c_void;
    // SAFETY: reads the word defined above.
    unsafe {
        core::arch::asm!("mov {}, [rip + overhear_dlsym]", out(reg) address, options(readonly, nostack))
    };
    // SAFETY: the loader put the function's address there, or null.
    (!address.is_null()).then(|| unsafe { core::mem::transmute::<*mut c_void, Dlsym>(address) })
}

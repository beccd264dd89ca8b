//! System calls without a C library: they touch nothing but their arguments, so they may be made
//! anywhere: in signal handlers, between fork and exec, before a program's own start.

use core::arch::asm;
use core::ffi::{c_char, c_int};

const SYS_CLOSE: usize = 3;
const SYS_LSEEK: usize = 8;
const SYS_MMAP: usize = 9;
const SYS_MUNMAP: usize = 11;
const SYS_ACCESS: usize = 21;
const SYS_EXECVE: usize = 59;
const SYS_OPENAT: usize = 257;
const SYS_EXECVEAT: usize = 322;

const AT_FDCWD: isize = -100;
const SEEK_END: usize = 2;
const O_RDWR: usize = 2;
const O_CLOEXEC: usize = 0o2_000_000;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_FIXED: usize = 0x10;
const MAP_ANONYMOUS: usize = 0x20;

/// A list of texts that ends with null, as `execve` takes it.
pub type Texts = *const *const c_char;

/// # Safety
/// That of the call with this number.
unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Opens a file for reading and writing; its descriptor, or less than zero.
///
/// # Safety
/// The path ends with zero.
pub unsafe fn open(path: *const u8) -> isize {
    // SAFETY: the kernel reads the path.
    unsafe { call(SYS_OPENAT, [AT_FDCWD as usize, path as usize, O_RDWR | O_CLOEXEC, 0, 0, 0]) }
}

/// Closes a descriptor.
pub fn close(fd: isize) {
    // SAFETY: a number.
    unsafe { call(SYS_CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// How long a file is; less than zero if it is none that has a length.
pub fn length(fd: isize) -> isize {
    // SAFETY: numbers.
    unsafe { call(SYS_LSEEK, [fd as usize, 0, SEEK_END, 0, 0, 0]) }
}

/// Asks whether there is such a file.
///
/// # Safety
/// The path ends with zero.
pub unsafe fn probe(path: *const u8) {
    // SAFETY: the kernel reads the path.
    unsafe { call(SYS_ACCESS, [path as usize, 0, 0, 0, 0, 0]) };
}

/// Maps the whole of a file to be seen by all, then the part from `shared` on as an own copy.
pub fn map_file(fd: isize, shared: usize, own: usize) -> Option<*mut u8> {
    let flags = PROT_READ_WRITE;
    // SAFETY: a new mapping, and then one over a part of it that nobody uses yet.
    unsafe {
        let base = mapped(call(SYS_MMAP, [0, shared + own, flags, MAP_SHARED, fd as usize, 0]))?;
        let over = base.add(shared) as usize;
        if mapped(call(SYS_MMAP, [over, own, flags, MAP_PRIVATE | MAP_FIXED, fd as usize, shared])).is_none()
        {
            unmap(base, shared + own);
            return None;
        }
        Some(base)
    }
}

/// New memory of zeros.
pub fn map_zeros(bytes: usize) -> Option<*mut u8> {
    // SAFETY: a new mapping.
    unsafe { mapped(call(SYS_MMAP, [0, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, usize::MAX, 0])) }
}

/// Gives memory back.
///
/// # Safety
/// It was mapped here, and nobody uses it any more.
pub unsafe fn unmap(base: *mut u8, bytes: usize) {
    // SAFETY: promised.
    unsafe { call(SYS_MUNMAP, [base as usize, bytes, 0, 0, 0, 0]) };
}

fn mapped(result: isize) -> Option<*mut u8> {
    (!(-4095..=0).contains(&result)).then_some(result as *mut u8)
}

/// Executes; returns only if it fails, as C has it.
///
/// # Safety
/// As of `execve`.
pub unsafe fn execve(path: *const c_char, args: Texts, env: Texts) -> c_int {
    // SAFETY: the kernel checks each address.
    unsafe { failed(call(SYS_EXECVE, [path as usize, args as usize, env as usize, 0, 0, 0])) }
}

/// Executes by descriptor; returns only if it fails, as C has it.
///
/// # Safety
/// As of `execveat`.
pub unsafe fn execveat(at: c_int, path: *const c_char, args: Texts, env: Texts, flags: c_int) -> c_int {
    let arguments = [at as usize, path as usize, args as usize, env as usize, flags as usize, 0];
    // SAFETY: the kernel checks each address.
    unsafe { failed(call(SYS_EXECVEAT, arguments)) }
}

fn failed(result: isize) -> c_int {
    set_errno(-result as c_int);
    -1
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// Leaves a reason as C has it.
pub fn set_errno(errno: c_int) {
    // SAFETY: the C library gives the address of this thread's own.
    unsafe { *__errno_location() = errno };
}

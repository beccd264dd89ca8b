//! System calls without a C library: they touch nothing but their arguments, so they may be made
//! anywhere: in signal handlers, between fork and exec, before a program's own start.

use core::arch::asm;
use core::ffi::{c_char, c_int};

pub const OPEN: usize = 2;
const CLOSE: usize = 3;
pub const STAT: usize = 4;
pub const FSTAT: usize = 5;
pub const LSTAT: usize = 6;
const LSEEK: usize = 8;
const MMAP: usize = 9;
const MPROTECT: usize = 10;
const MUNMAP: usize = 11;
const SIGPROCMASK: usize = 14;
pub const ACCESS: usize = 21;
const MADVISE: usize = 28;
const GETPID: usize = 39;
const EXECVE: usize = 59;
const GETCWD: usize = 79;
pub const READLINK: usize = 89;
pub const OPENAT: usize = 257;
pub const NEWFSTATAT: usize = 262;
pub const READLINKAT: usize = 267;
pub const FACCESSAT: usize = 269;
const EXECVEAT: usize = 322;
pub const STATX: usize = 332;
pub const FACCESSAT2: usize = 439;

pub const AT_FDCWD: isize = -100;
pub const AT_SYMLINK_NOFOLLOW: usize = 0x100;
pub const AT_EMPTY_PATH: usize = 0x1000;
const SEEK_END: usize = 2;
pub const O_RDWR: usize = 2;
pub const O_NOFOLLOW: usize = 0o400_000;
pub const O_CLOEXEC: usize = 0o2_000_000;
/// Opening that changes something, or is no opening of a file to be read: `O_ACCMODE`, `O_CREAT`,
/// `O_TRUNC`, `O_DIRECTORY`, `O_PATH`, `O_TMPFILE`.
pub const NOT_JUST_READING: usize = 0o3 | 0o100 | 0o1000 | 0o200_000 | 0o10_000_000 | 0o20_000_000;

pub const ENOENT: isize = -2;
pub const EINTR: isize = -4;
pub const ENOTDIR: isize = -20;
pub const EINVAL: isize = -22;
const EFAULT: isize = -14;

const PROT_READ_WRITE: usize = 3;
const PROT_READ_EXECUTE: usize = 5;
const PROT_ALL: usize = 7;
const MADV_WIPEONFORK: usize = 18;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_FIXED: usize = 0x10;
const MAP_ANONYMOUS: usize = 0x20;
const MAP_FIXED_NOREPLACE: usize = 0x10_0000;

/// A list of texts that ends with null, as `execve` takes it.
pub type Texts = *const *const c_char;

/// The kernel's `struct stat`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub nlink: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pad: u32,
    pub rdev: u64,
    pub size: i64,
    pub blksize: i64,
    pub blocks: i64,
    pub atime: [i64; 2],
    pub mtime: [i64; 2],
    pub ctime: [i64; 2],
    unused: [i64; 3],
}

/// Makes a call from here: where it names a path, the tracer is told.
///
/// # Safety
/// That of the call with this number.
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
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
    unsafe { call(OPENAT, [AT_FDCWD as usize, path as usize, O_RDWR | O_CLOEXEC, 0, 0, 0]) }
}

/// Closes a descriptor.
pub fn close(fd: isize) {
    // SAFETY: a number.
    unsafe { call(CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// How long a file is; less than zero if it is none that has a length.
pub fn length(fd: isize) -> isize {
    // SAFETY: numbers.
    unsafe { call(LSEEK, [fd as usize, 0, SEEK_END, 0, 0, 0]) }
}

/// Asks whether there is such a file.
///
/// # Safety
/// The path ends with zero.
pub unsafe fn probe(path: *const u8) {
    // SAFETY: the kernel reads the path.
    unsafe { call(ACCESS, [path as usize, 0, 0, 0, 0, 0]) };
}

/// Maps the whole of a file to be seen by all, then the part from `shared` on as an own copy.
pub fn map_file(fd: isize, shared: usize, own: usize) -> Option<*mut u8> {
    let flags = PROT_READ_WRITE;
    // SAFETY: a new mapping, and then one over a part of it that nobody uses yet.
    unsafe {
        let base = mapped(call(MMAP, [0, shared + own, flags, MAP_SHARED, fd as usize, 0]))?;
        let over = base.add(shared) as usize;
        if mapped(call(MMAP, [over, own, flags, MAP_PRIVATE | MAP_FIXED, fd as usize, shared])).is_none() {
            unmap(base, shared + own);
            return None;
        }
        Some(base)
    }
}

/// New memory of zeros at this address, unless something is there.
pub fn map_at(address: usize, bytes: usize) -> Option<*mut u8> {
    let kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping. Kernels before 4.17 take the address as a wish.
    unsafe {
        let base = mapped(call(MMAP, [address, bytes, PROT_READ_WRITE, kind, usize::MAX, 0]))?;
        if base as usize == address {
            return Some(base);
        }
        unmap(base, bytes);
    }
    None
}

/// Makes written memory code, and no longer writable.
///
/// # Safety
/// Whole pages of our own.
pub unsafe fn make_code(base: *mut u8, bytes: usize) -> bool {
    // SAFETY: promised.
    unsafe { call(MPROTECT, [base as usize, bytes, PROT_READ_EXECUTE, 0, 0, 0]) == 0 }
}

/// Makes code writable, for as long as it is being written.
///
/// # Safety
/// Whole pages that are mapped.
pub unsafe fn make_writable_code(base: *mut u8, bytes: usize) -> bool {
    // SAFETY: promised.
    unsafe { call(MPROTECT, [base as usize, bytes, PROT_ALL, 0, 0, 0]) == 0 }
}

/// Whether the eight bytes around an address can be read. Asked of the kernel with a call that does
/// nothing, since its first argument is none that there is.
pub fn is_readable(address: usize) -> bool {
    // SAFETY: the kernel checks the address.
    unsafe { call(SIGPROCMASK, [usize::MAX, address & !7, 0, 8, 0, 0]) != EFAULT }
}

/// The process.
pub fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(GETPID, [0; 6]) as u32 }
}

/// The working directory of this thread: how many bytes, with the zero, or less than one.
pub fn cwd(out: &mut [u8]) -> isize {
    // SAFETY: the kernel writes into `out`.
    unsafe { call(GETCWD, [out.as_mut_ptr() as usize, out.len(), 0, 0, 0, 0]) }
}

/// What a descriptor leads to.
pub fn stat_fd(fd: isize, stat: &mut Stat) -> isize {
    // SAFETY: the kernel writes into `stat`.
    unsafe { call(FSTAT, [fd as usize, core::ptr::from_mut(stat) as usize, 0, 0, 0, 0]) }
}

/// New memory of zeros.
pub fn map_zeros(bytes: usize) -> Option<*mut u8> {
    // SAFETY: a new mapping.
    unsafe { mapped(call(MMAP, [0, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, usize::MAX, 0])) }
}

/// Lets memory be all zeros in a process that is made by a fork. Whether the kernel will (Linux 4.14).
///
/// # Safety
/// Whole pages of our own.
pub unsafe fn wipe_on_fork(base: *mut u8, bytes: usize) -> bool {
    // SAFETY: promised.
    unsafe { call(MADVISE, [base as usize, bytes, MADV_WIPEONFORK, 0, 0, 0]) == 0 }
}

/// Gives memory back.
///
/// # Safety
/// It was mapped here, and nobody uses it any more.
pub unsafe fn unmap(base: *mut u8, bytes: usize) {
    // SAFETY: promised.
    unsafe { call(MUNMAP, [base as usize, bytes, 0, 0, 0, 0]) };
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
    unsafe { failed(call(EXECVE, [path as usize, args as usize, env as usize, 0, 0, 0])) }
}

/// Executes by descriptor; returns only if it fails, as C has it.
///
/// # Safety
/// As of `execveat`.
pub unsafe fn execveat(at: c_int, path: *const c_char, args: Texts, env: Texts, flags: c_int) -> c_int {
    let arguments = [at as usize, path as usize, args as usize, env as usize, flags as usize, 0];
    // SAFETY: the kernel checks each address.
    unsafe { failed(call(EXECVEAT, arguments)) }
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

//! The functions of the C library that only look at paths: `open` for reading, the `stat` family,
//! `access`, `readlink`, `syscall`. Each is the system call behind it, made by [`crate::note::ask`].
//! This list is one of speed: what is not in it is told to the tracer by the kernel. `fstat` is in it because
//! the C library makes it of `newfstatat` without a path, which the filter cannot tell from one with a path.

use crate::{next, note, sys};
use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

const CWD: usize = sys::AT_FDCWD as usize;

/// As C has it.
fn returned(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        sys::set_errno(-result as c_int);
        return -1;
    }
    result
}

unsafe fn ask(number: usize, arguments: [usize; 6]) -> isize {
    // SAFETY: promised by the caller.
    returned(unsafe { note::ask(number, arguments) })
}

unsafe fn open_at(at: usize, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the kernel checks each address.
    unsafe { ask(sys::OPENAT, [at, path as usize, flags as c_uint as usize, mode as usize, 0, 0]) as c_int }
}

unsafe fn stat_at(at: usize, path: *const c_char, stat: *mut c_void, flags: usize) -> c_int {
    let arguments = [at, path as usize, stat as usize, flags, 0, 0];
    // SAFETY: the kernel checks each address. About a descriptor it is another call, which names no path.
    unsafe {
        let is_about_fd =
            flags == sys::AT_EMPTY_PATH && at as c_int >= 0 && sys::is_readable(path as usize) && *path == 0;
        if is_about_fd {
            return stat_fd(at as c_int, stat);
        }
        ask(sys::NEWFSTATAT, arguments) as c_int
    }
}

/// Names no path, so the filter lets it through from anywhere.
unsafe fn stat_fd(fd: c_int, stat: *mut c_void) -> c_int {
    // SAFETY: the kernel checks the address.
    returned(unsafe { sys::call(sys::FSTAT, [fd as usize, stat as usize, 0, 0, 0, 0]) }) as c_int
}

macro_rules! same {
    ($(fn $($name:ident),+ ($($argument:ident: $type:ty),*) -> $result:ty $body:block)*) => {
        $(same!(@each [$($name),+] ($($argument: $type),*) $result, $body);)*
    };
    (@each [$name:ident $(, $more:ident)*] $arguments:tt $result:ty, $body:block) => {
        same!(@one $name $arguments $result, $body);
        $(same!(@one $more $arguments $result, $body);)*
    };
    (@one $name:ident ($($argument:ident: $type:ty),*) $result:ty, $body:block) => {
        /// # Safety
        /// As of the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: as of the C library's.
            unsafe { $body }
        }
    };
}

same! {
    fn open, open64 (path: *const c_char, flags: c_int, mode: c_uint) -> c_int { open_at(CWD, path, flags, mode) }
    fn __open_2, __open64_2 (path: *const c_char, flags: c_int) -> c_int { open_at(CWD, path, flags, 0) }
    fn openat, openat64 (at: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
        open_at(at as usize, path, flags, mode)
    }
    fn __openat_2, __openat64_2 (at: c_int, path: *const c_char, flags: c_int) -> c_int {
        open_at(at as usize, path, flags, 0)
    }
    fn stat, stat64 (path: *const c_char, stat: *mut c_void) -> c_int { stat_at(CWD, path, stat, 0) }
    fn lstat, lstat64 (path: *const c_char, stat: *mut c_void) -> c_int {
        stat_at(CWD, path, stat, sys::AT_SYMLINK_NOFOLLOW)
    }
    fn fstat, fstat64 (fd: c_int, stat: *mut c_void) -> c_int { stat_fd(fd, stat) }
    fn __fxstat, __fxstat64 (_version: c_int, fd: c_int, stat: *mut c_void) -> c_int { stat_fd(fd, stat) }
    fn fstatat, fstatat64 (at: c_int, path: *const c_char, stat: *mut c_void, flags: c_int) -> c_int {
        stat_at(at as usize, path, stat, flags as c_uint as usize)
    }
    fn __xstat, __xstat64 (_version: c_int, path: *const c_char, stat: *mut c_void) -> c_int {
        stat_at(CWD, path, stat, 0)
    }
    fn __lxstat, __lxstat64 (_version: c_int, path: *const c_char, stat: *mut c_void) -> c_int {
        stat_at(CWD, path, stat, sys::AT_SYMLINK_NOFOLLOW)
    }
    fn __fxstatat, __fxstatat64 (
        _version: c_int, at: c_int, path: *const c_char, stat: *mut c_void, flags: c_int
    ) -> c_int {
        stat_at(at as usize, path, stat, flags as c_uint as usize)
    }
    fn statx (at: c_int, path: *const c_char, flags: c_int, mask: c_uint, stat: *mut c_void) -> c_int {
        let flags = flags as c_uint as usize;
        ask(sys::STATX, [at as usize, path as usize, flags, mask as usize, stat as usize, 0]) as c_int
    }
    fn access (path: *const c_char, mode: c_int) -> c_int {
        ask(sys::ACCESS, [path as usize, mode as usize, 0, 0, 0, 0]) as c_int
    }
    fn readlink (path: *const c_char, text: *mut c_char, size: usize) -> isize {
        ask(sys::READLINK, [path as usize, text as usize, size, 0, 0, 0])
    }
    fn readlinkat (at: c_int, path: *const c_char, text: *mut c_char, size: usize) -> isize {
        ask(sys::READLINKAT, [at as usize, path as usize, text as usize, size, 0, 0])
    }
}

type AccessAt = unsafe extern "C" fn(c_int, *const c_char, c_int, c_int) -> c_int;

/// With flags it is the C library's: on old kernels it does more than one call.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn faccessat(at: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int {
    // SAFETY: as of the C library's.
    unsafe {
        match next::FACCESSAT.get::<AccessAt>() {
            Some(own) if flags != 0 => own(at, path, mode, flags),
            _ => ask(sys::FACCESSAT, [at as usize, path as usize, mode as usize, 0, 0, 0]) as c_int,
        }
    }
}

/// Calls that look at a path go by the gate; any other is made as the C library makes it, without a frame
/// of ours: some return in another process, or on another stack.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() -> c_long {
    naked_asm!(
        "cmp rdi, {open}",
        "je 2f",
        "cmp rdi, {stat}",
        "je 2f",
        "cmp rdi, {lstat}",
        "je 2f",
        "cmp rdi, {access}",
        "je 2f",
        "cmp rdi, {readlink}",
        "je 2f",
        "cmp rdi, {openat}",
        "jb 3f",
        "cmp rdi, {faccessat}",
        "jbe 2f",
        "cmp rdi, {statx}",
        "je 2f",
        "cmp rdi, {faccessat2}",
        "je 2f",
        "3:",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        "cmp rax, -4095",
        "jae 4f",
        "ret",
        "4:",
        "mov rdi, rax",
        "2:",
        "jmp {known}",
        open = const sys::OPEN,
        stat = const sys::STAT,
        lstat = const sys::LSTAT,
        access = const sys::ACCESS,
        readlink = const sys::READLINK,
        openat = const sys::OPENAT,
        faccessat = const sys::FACCESSAT,
        statx = const sys::STATX,
        faccessat2 = const sys::FACCESSAT2,
        known = sym known,
    )
}

/// A call of the list above (some between them are none that look at a path, and are made as they are), or
/// the error of one that was made, which is no number of a call.
unsafe extern "C" fn known(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number < 0 {
        return returned(number as isize) as c_long;
    }
    // SAFETY: as of the C library's.
    unsafe { ask(number as usize, [a, b, c, d, e, f]) as c_long }
}

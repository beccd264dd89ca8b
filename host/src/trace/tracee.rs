//! Looking into a process of the step from outside: its memory, its working directory, its
//! descriptors, its name. Everything here may fail because the process is gone; callers decide.

#![allow(unsafe_code, reason = "reads another process's memory with process_vm_readv")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

/// What the kernel takes as longest path, with its end.
const PATH_BYTES_MAX: usize = 4096;
/// The smallest page: a read that stays within one is answered whole or not at all.
const PAGE: usize = 4096;
/// Most paths are shorter; reading more at first costs more than a second read for the others.
const FIRST_READ: usize = 256;

/// Why memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The address is bad; the kernel tells the program the same.
    BadAddress,
    /// The kernel does not let us look into this process.
    Forbidden,
    /// The process is gone.
    Gone,
}

/// Reads `buffer.len()` bytes at an address, whole or not at all.
pub fn read_memory(tid: u32, address: u64, buffer: &mut [u8]) -> Result<(), Unread> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` describes `buffer`, which outlives the call; `remote` is only an address in
    // another process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(tid as libc::pid_t, &local, 1, &remote, 1, 0) };
    if usize::try_from(read) == Ok(buffer.len()) {
        return Ok(());
    }
    if read >= 0 {
        return Err(Unread::BadAddress);
    }
    Err(match io::Error::last_os_error().raw_os_error() {
        Some(libc::EFAULT | libc::EINVAL) => Unread::BadAddress,
        Some(libc::ESRCH) => Unread::Gone,
        _ => Unread::Forbidden,
    })
}

/// Reads a text that ends with zero into `text`, without the zero. A text that is longer than any
/// path counts as a bad address: the kernel refuses it too.
pub fn read_text(tid: u32, address: u64, text: &mut Vec<u8>) -> Result<(), Unread> {
    text.clear();
    if address == 0 {
        return Err(Unread::BadAddress);
    }
    while text.len() < PATH_BYTES_MAX {
        let at = address.checked_add(text.len() as u64).ok_or(Unread::BadAddress)?;
        let to_page_end = PAGE - (at as usize % PAGE);
        let wanted = if text.is_empty() { FIRST_READ.min(to_page_end) } else { to_page_end };
        let start = text.len();
        text.resize(start + wanted, 0);
        read_memory(tid, at, &mut text[start..])?;
        if let Some(end) = text[start..].iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return if text.len() < PATH_BYTES_MAX { Ok(()) } else { Err(Unread::BadAddress) };
        }
    }
    Err(Unread::BadAddress)
}

/// The text of a magic link in `/proc`, such as `/proc/7/cwd`.
pub fn magic_link(path: &str) -> io::Result<Vec<u8>> {
    Ok(OsString::from(std::fs::read_link(path)?).into_vec())
}

/// The working directory of a thread, into `text`. Asked for with each relative path, so nothing is
/// allocated.
pub fn cwd(tid: u32, text: &mut Vec<u8>) -> io::Result<()> {
    let mut name = [0u8; 32];
    let mut rest = &mut name[..];
    write!(rest, "/proc/{tid}/cwd\0")?;
    text.clear();
    text.reserve(PATH_BYTES_MAX);
    // SAFETY: the name ends with zero, and there is room for as much as is said; only what was
    // written becomes part of the text.
    unsafe {
        let length = libc::readlink(name.as_ptr().cast(), text.as_mut_ptr().cast(), PATH_BYTES_MAX);
        match usize::try_from(length) {
            Ok(length) => text.set_len(length),
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

/// What a descriptor of a thread leads to: a path, or a word such as `pipe:[12]`.
pub fn descriptor(tid: u32, fd: i32) -> io::Result<Vec<u8>> {
    magic_link(&format!("/proc/{tid}/fd/{fd}"))
}

/// The inode of a socket behind a descriptor.
pub fn socket_inode(tid: u32, fd: i32) -> Option<u64> {
    let text = String::from_utf8(descriptor(tid, fd).ok()?).ok()?;
    text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The kernel's name for the protocol of a socket behind a descriptor: `TCP`, `UDPv6`, …
pub fn socket_protocol(tid: u32, fd: i32) -> Option<String> {
    let path = std::ffi::CString::new(format!("/proc/{tid}/fd/{fd}")).ok()?;
    let mut name = [0u8; 32];
    // SAFETY: both names end with zero, and the buffer is as long as said.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), c"system.sockprotoname".as_ptr(), name.as_mut_ptr().cast(), name.len())
    };
    let name = name.get(..usize::try_from(length).ok()?)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// The process that a thread belongs to, and its name.
pub fn process_of(tid: u32) -> Option<(u32, String)> {
    let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((field("Tgid:")?.parse().ok()?, field("Name:")?.to_owned()))
}

/// Ends a process, if it is still there.
pub fn kill(pid: u32) {
    // SAFETY: numbers only.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
}

/// Whether we may trace whatever we execute (`CAP_SYS_PTRACE`). Who may not traces programs that ask for more
/// rights without them.
pub fn may_trace_all() -> bool {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok());
    rights.is_some_and(|rights| rights & CAP_SYS_PTRACE != 0)
}

/// Whether a process still runs (one that ended and was not yet waited for does not).
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        !matches!(state, Some('Z' | 'X') | None)
    })
}

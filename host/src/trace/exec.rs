//! What the kernel does by itself when a file is executed: `#!` lines, the loader that an ELF file
//! names, and bits that would change the process's rights.

#![allow(unsafe_code, reason = "asks for the attribute that holds file capabilities")]

use super::tree;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// As deep as the kernel follows `#!` lines.
pub const DEPTH_MAX: usize = 5;
/// What the kernel reads of a file to decide how to execute it.
const HEAD: usize = 256;
const PT_INTERP: u32 = 3;

/// What executing a file entails.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The interpreter of a script, or the loader of a dynamic program.
    pub interpreter: Option<PathBuf>,
    /// Whether it is a script: its interpreter may be one too.
    pub is_script: bool,
}

/// Looks into an executable. The error says in words why the trace cannot vouch for it.
pub fn inspect(path: &Path, no_new_privileges: bool) -> Result<Program, String> {
    let Ok(file) = File::open(path) else {
        if tree::may_execute(path) {
            return Err("may be executed but not read, and so cannot be traced".into());
        }
        // The kernel refuses it too.
        return Ok(Program::default());
    };
    let mode = file.metadata().map_or(0, |meta| meta.permissions().mode());
    if no_new_privileges && (mode & (libc::S_ISUID | libc::S_ISGID) != 0 || has_capabilities(path)) {
        return Err("asks for more rights than a traced process may get; set \"cache\": false for it".into());
    }
    let mut head = [0u8; HEAD];
    let length = file.read_at(&mut head, 0).unwrap_or(0);
    let head = &head[..length];
    if let Some(line) = head.strip_prefix(b"#!") {
        return Ok(Program { interpreter: script_interpreter(line), is_script: true });
    }
    let interpreter = if head.starts_with(b"\x7fELF") { loader(&file, head) } else { None };
    Ok(Program { interpreter, is_script: false })
}

fn script_interpreter(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | 0)).unwrap_or(line.len());
    (end > 0).then(|| PathBuf::from(OsStr::from_bytes(&line[..end])))
}

/// The text of the segment `PT_INTERP`, in little-endian ELF files of either class.
fn loader(file: &File, head: &[u8]) -> Option<PathBuf> {
    let wide = *head.get(4)? == 2;
    let (table_at, size_at, count_at) = if wide { (32, 54, 56) } else { (28, 42, 44) };
    let number = |bytes: &[u8], at: usize, length: usize| {
        let mut number = [0u8; 8];
        number[..length].copy_from_slice(bytes.get(at..at + length)?);
        Some(u64::from_le_bytes(number))
    };
    let word = if wide { 8 } else { 4 };
    let table = number(head, table_at, word)?;
    let size = usize::try_from(number(head, size_at, 2)?).ok()?;
    let count = usize::try_from(number(head, count_at, 2)?).ok()?;
    let mut headers = vec![0u8; size.checked_mul(count)?.min(64 * 1024)];
    file.read_exact_at(&mut headers, table).ok()?;
    for header in headers.chunks_exact(size.max(1)) {
        if number(header, 0, 4)? != u64::from(PT_INTERP) {
            continue;
        }
        let (offset_at, length_at) = if wide { (8, 32) } else { (4, 16) };
        let length = usize::try_from(number(header, length_at, word)?).ok()?.min(4096);
        let mut text = vec![0u8; length];
        file.read_exact_at(&mut text, number(header, offset_at, word)?).ok()?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        return Some(PathBuf::from(OsStr::from_bytes(&text[..end])));
    }
    None
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: both names end with zero; a length of zero only asks for the size.
    let size =
        unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) };
    size > 0
}

/// The first executable file of this name in the folders of a PATH value. Empty and relative
/// members are left out: they depend on a working directory.
pub fn search(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file() && tree::may_execute(candidate))
}

/// The interpreter that is named by a file but not there, if that is why it cannot be executed.
pub fn missing_interpreter(path: &Path) -> io::Result<Option<PathBuf>> {
    let program = inspect(path, false).map_err(io::Error::other)?;
    Ok(program.interpreter.filter(|interpreter| !interpreter.exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_ends_at_the_first_blank() {
        let cases: [(&[u8], Option<&str>); 4] = [
            (b" /usr/bin/env node\nrest", Some("/usr/bin/env")),
            (b"/bin/sh\n", Some("/bin/sh")),
            (b"\t/bin/sh -e", Some("/bin/sh")),
            (b"  \n/bin/sh", None),
        ];
        for (line, expected) in cases {
            assert_eq!(script_interpreter(line), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn the_loader_of_a_dynamic_program_is_found() {
        let program = inspect(Path::new("/bin/sh"), false).expect("sh can be read");
        let loader = program.interpreter.expect("sh is dynamic");
        assert!(loader.exists(), "{loader:?}");
    }
}

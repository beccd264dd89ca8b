//! System calls that a library makes by itself and that may be redirected when it is loaded: found once for
//! each state of a file, and remembered in the user's cache folder. Each is a `syscall` with the number of a
//! call that only looks, set just before it, and the one instruction behind it that a jump can end in. What
//! is not found is told to the tracer, as before.

use super::calls::{Arch, CALLS};
use crate::digest::Digest;
use crate::shipped;
use crate::stamp::Stamp;
use overhear_trace_abi::sites::{PATTERN, SITES_MAX};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The beginning of a remembered list; another form of it is another number.
const VERSION: u64 = 0x6f76_6572_7369_0001;
/// Larger files are left alone.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// How far before a call its number is looked for.
const NUMBER_WITHIN: usize = 28;
const PT_LOAD: u32 = 1;
const EXECUTABLE: u32 = 1;
/// Words of what a remembered list says of its file.
const STAMP_WORDS: usize = 6;

/// Where they are in the file of a library, remembered or found now.
pub fn of(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Ok(Vec::new());
    }
    let stamp = Stamp::of(&metadata);
    let place = place(path);
    if let Some(sites) = place.as_deref().and_then(|place| remembered(place, &stamp)) {
        return Ok(sites);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let sites = find(&bytes);
    if let Some(place) = place {
        // Without it they are looked for again.
        let _ = remember(&place, &stamp, &sites);
    }
    Ok(sites)
}

fn place(library: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let name = Digest::of(library.as_os_str().as_bytes()).to_string();
    Some(shipped::user_cache()?.join("system-calls").join(&name[..32]))
}

fn words_of(stamp: &Stamp) -> [u64; STAMP_WORDS] {
    [VERSION, stamp.dev, stamp.ino, stamp.size, stamp.mtime_ns as u64, stamp.ctime_ns as u64]
}

fn remembered(place: &Path, stamp: &Stamp) -> Option<Vec<u64>> {
    let bytes = fs::read(place).ok()?;
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(std::array::from_fn(|at| chunk[at]))).collect();
    let (count, sites) = words.strip_prefix(&words_of(stamp))?.split_first()?;
    (*count as usize == sites.len() && sites.len() <= SITES_MAX).then(|| sites.to_vec())
}

fn remember(place: &Path, stamp: &Stamp, sites: &[u64]) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut bytes = Vec::new();
    for word in words_of(stamp).iter().chain([&(sites.len() as u64)]).chain(sites) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut beside, &bytes)?;
    beside.persist(place)?;
    Ok(())
}

/// Part of an ELF file that is executed: where it is in the file.
struct Code {
    start: usize,
    end: usize,
}

/// Looks for them in a whole file.
fn find(bytes: &[u8]) -> Vec<u64> {
    let mut sites = Vec::new();
    for code in executed(bytes) {
        let text = &bytes[code.start..code.end];
        sites.extend(calls(text).map(|at| (code.start + at) as u64));
    }
    // More than there is room for: none is better than some that change with each build.
    if sites.len() > SITES_MAX { Vec::new() } else { sites }
}

fn calls(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(text, &PATTERN).filter(|at| number_before(text, *at).is_some_and(only_looks))
}

/// The segments of a 64-bit ELF file for this processor.
fn executed(bytes: &[u8]) -> Vec<Code> {
    let number = |at: usize, length: usize| {
        let mut number = [0u8; 8];
        number[..length].copy_from_slice(bytes.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(number))
    };
    let is_ours = bytes.starts_with(b"\x7fELF\x02\x01") && number(18, 2) == Some(u64::from(libc::EM_X86_64));
    let (Some(table), Some(size), Some(count), true) = (number(32, 8), number(54, 2), number(56, 2), is_ours)
    else {
        return Vec::new();
    };
    let segment = |nth: u64| {
        let at = usize::try_from(table.checked_add(nth.checked_mul(size)?)?).ok()?;
        let is_code = number(at, 4)? == u64::from(PT_LOAD) && number(at + 4, 4)? as u32 & EXECUTABLE != 0;
        let start = usize::try_from(number(at + 8, 8)?).ok()?;
        let end = start.checked_add(usize::try_from(number(at + 32, 8)?).ok()?)?;
        (is_code && end <= bytes.len() && start < end).then_some(Code { start, end })
    };
    (0..count).filter_map(segment).collect()
}

/// The last `mov eax, number` before a call.
fn number_before(text: &[u8], at: usize) -> Option<u32> {
    let before = &text[at.saturating_sub(NUMBER_WITHIN)..at];
    before.windows(5).rev().find(|window| window[0] == 0xb8).and_then(|window| {
        let number = u32::from_le_bytes([window[1], window[2], window[3], window[4]]);
        (number < 1024).then_some(number)
    })
}

fn only_looks(number: u32) -> bool {
    CALLS.iter().any(|call| call.may_be_noted && Arch::X86_64.number(call) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATX: [u8; 5] = [0xb8, 0x4c, 0x01, 0, 0];

    #[test]
    fn only_calls_that_look_are_found() {
        let text = |before: &[u8], behind: &[u8]| [&[0x90; 40], before, &PATTERN, behind].concat();
        let found = |text: &[u8]| calls(text).collect::<Vec<_>>();
        let none: [usize; 0] = [];
        assert_eq!(found(&text(&STATX, &[0xc3])), [45]);
        assert_eq!(found(&text(&[0xb8, 0x57, 0, 0, 0], &[0xc3])), none, "unlink changes something");
        assert_eq!(found(&text(&[&STATX[..], &[0x90; 24]].concat(), &[0xc3])), none, "too far away");
        assert_eq!(found(&text(&[&STATX[..], &[0xb8, 0x57, 0, 0, 0]].concat(), &[0xc3])), none, "unlink");
    }

    #[test]
    fn what_is_no_library_has_none() {
        assert!(find(b"\x7fELF\x02\x01 and then nothing").is_empty());
        assert!(find(b"").is_empty());
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "a test may fail")]
    fn a_list_is_remembered_for_one_state_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("system-calls/x");
        let stamp = Stamp { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5, mode: 6 };
        remember(&place, &stamp, &[7, 8]).unwrap();
        assert_eq!(remembered(&place, &stamp), Some(vec![7, 8]));
        assert_eq!(remembered(&place, &Stamp { ctime_ns: 6, ..stamp }), None);
        fs::write(&place, b"short").unwrap();
        assert_eq!(remembered(&place, &stamp), None);
    }
}

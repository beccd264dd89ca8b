//! The names in a folder, as a program that opens it is about to see them.

use crate::access::Listing;
use crate::trace::resolve::look;
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for the entries of one question to the kernel.
const BUFFER_BYTES: usize = 32 * 1024;

/// Sorted, with their kinds; `None` if the folder cannot be listed.
pub fn listing(path: &Path) -> Option<Listing> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut buffer = [const { MaybeUninit::uninit() }; BUFFER_BYTES];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Listing::new();
    while let Some(entry) = entries.next() {
        // What cannot be read to the end was not seen to the end by the program either.
        let Ok(entry) = entry else { break };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        names.push((OsString::from(name), letter(path, name, entry.file_type())));
    }
    names.sort_unstable();
    Some(names)
}

fn letter(folder: &Path, name: &OsStr, kind: FileType) -> u8 {
    match kind {
        FileType::RegularFile => b'f',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        // Some file systems do not say.
        FileType::Unknown => look(folder.join(name).as_os_str().as_bytes()).letter(),
        _ => b'o',
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn names_come_sorted_with_their_kinds_and_no_folder_names_itself() {
        let tmp = tempfile::tempdir().unwrap();
        // More than fit into one answer of the kernel.
        let long = "n".repeat(200);
        for at in 0..300 {
            std::fs::write(tmp.path().join(format!("{long}{at}")), "").unwrap();
        }
        std::fs::create_dir(tmp.path().join("d")).unwrap();
        std::os::unix::fs::symlink("nowhere", tmp.path().join("l")).unwrap();
        let names = listing(tmp.path()).unwrap();
        assert_eq!(names.len(), 302);
        assert!(names.is_sorted());
        assert_eq!(names[0], ("d".into(), b'd'));
        assert_eq!(names[1], ("l".into(), b'l'));
        assert!(names[2..].iter().all(|(_, letter)| *letter == b'f'));
        assert_eq!(listing(&tmp.path().join("none")), None);
    }
}

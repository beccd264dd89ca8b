//! System calls that a library makes by itself, and that may be redirected when it is loaded: where their
//! instructions are in its file. Overhear looks for them and writes them down; the preloaded library asks
//! for those of a file with an access to [`PROBE_SITES`] and the path, and finds them here afterwards.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Asked for, with an absolute path behind it, by the preloaded library. Nothing can ever lie there.
pub const PROBE_SITES: &str = "/dev/null/overhear/system-calls-of";
/// As many of one library as are redirected.
pub const SITES_MAX: usize = 64;
/// What is redirected: `syscall` with `test rax, rax` behind it.
pub const PATTERN: [u8; 5] = [0x0f, 0x05, 0x48, 0x85, 0xc0];
/// Bytes in the shared memory.
pub const SITES_BYTES: usize = size_of::<Sites>();

const WORDS: usize = 4096;

/// Lists, one behind the other: hash of the path, how many, and the places in the file.
#[repr(C)]
pub struct Sites {
    used: AtomicU32,
    unused: AtomicU32,
    words: [AtomicU64; WORDS],
}

impl Sites {
    /// Writes down those of a path: the newest list counts. What has no room is not redirected. For
    /// overhear, which alone writes.
    pub fn add(&self, path: &[u8], places: &[u64]) {
        let path_hash = crate::hash(path);
        let is_same = |at: usize| places.iter().enumerate().all(|(nth, place)| self.word(at + nth) == *place);
        if self.newest(path_hash).is_some_and(|(at, count)| count == places.len() && is_same(at)) {
            return;
        }
        let used = self.used.load(Ordering::Relaxed) as usize;
        let end = used + 2 + places.len();
        if end > WORDS || places.len() > SITES_MAX {
            return;
        }
        for (nth, word) in [path_hash, places.len() as u64].iter().chain(places).enumerate() {
            if let Some(to) = self.words.get(used + nth) {
                to.store(*word, Ordering::Relaxed);
            }
        }
        self.used.store(end as u32, Ordering::Release);
    }

    /// Those of a path: how many, and each by its number.
    pub fn of(&self, path: &[u8]) -> impl Iterator<Item = u64> + '_ {
        let (at, count) = self.newest(crate::hash(path)).unwrap_or((0, 0));
        (0..count).map(move |nth| self.word(at + nth))
    }

    fn newest(&self, path_hash: u64) -> Option<(usize, usize)> {
        let used = self.used.load(Ordering::Acquire) as usize;
        let (mut at, mut newest) = (0, None);
        while at + 2 <= used {
            let count = (self.word(at + 1) as usize).min(SITES_MAX);
            if self.word(at) == path_hash {
                newest = Some((at + 2, count));
            }
            at += 2 + count;
        }
        newest
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    #[test]
    fn the_newest_list_of_a_path_counts() {
        // SAFETY: all zeros is an empty one.
        let sites: Box<Sites> = unsafe { Box::new_zeroed().assume_init() };
        let of = |path: &[u8]| sites.of(path).collect::<Vec<_>>();
        assert!(of(b"/a").is_empty());
        sites.add(b"/a", &[1, 2]);
        sites.add(b"/b", &[]);
        sites.add(b"/a", &[1, 2]);
        assert_eq!((of(b"/a"), of(b"/b")), (std::vec![1, 2], std::vec![]));
        let used = sites.used.load(Ordering::Relaxed);
        assert_eq!(used, 6, "the same twice takes no room");
        sites.add(b"/a", &[3]);
        assert_eq!(of(b"/a"), [3]);
        for _ in 0..WORDS {
            sites.add(b"/c", &[1]);
            sites.add(b"/c", &[2]);
        }
        assert_eq!(of(b"/a"), [3]);
    }
}

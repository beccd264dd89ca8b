//! What this process has noted already, so that it is noted once: a set of hashes. It may forget, and
//! two threads may write one over the other; then something is noted twice.

use crate::sys;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Enough for small programs, and part of the library.
const SMALL: usize = 512;
/// Mapped when the one before is half full, whose content is forgotten. Each page of them costs once it is
/// used, so there is one between.
const MIDDLE: usize = 16 * 1024;
const LARGE: usize = 128 * 1024;
const PROBES_MAX: usize = 8;
/// Bytes before the first word of a mapped set: the number of this process.
const HEAD: usize = 64;

static FIRST: [AtomicU64; SMALL] = [const { AtomicU64::new(0) }; SMALL];
static COUNT: AtomicU32 = AtomicU32::new(0);
static MAPPED_MIDDLE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static MAPPED_LARGE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// The proof that something was noted.
pub struct Known(());

/// What is recognised: a hash of a call and its path; never 0.
#[derive(Clone, Copy)]
pub struct Key(u64);

impl Key {
    /// Begins with a few numbers.
    pub fn of(numbers: u64) -> Key {
        Key(numbers).with(0x9e37_79b9_7f4a_7c15)
    }

    /// Goes on with a text, and how long it is.
    pub fn and(self, text: &[u8]) -> Key {
        let mut key = self;
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            key = key.with(u64::from_le_bytes(*word));
        }
        let mut word = 0u64;
        for (place, byte) in rest.iter().enumerate() {
            word |= u64::from(*byte) << (place * 8);
        }
        key.with(word).with(text.len() as u64)
    }

    fn with(self, word: u64) -> Key {
        let product = u128::from(self.0 ^ word) * 0xd6e8_feb8_6659_fd93_u128 + u128::from(word);
        Key((product as u64 ^ (product >> 64) as u64).wrapping_add(0x2545_f491_4f6c_dd1d).rotate_left(23))
    }

    fn word(self) -> u64 {
        self.0 | 1
    }

    /// Whether this was noted before.
    pub fn known(self) -> Option<Known> {
        self.places().any(|place| place.load(Ordering::Relaxed) == self.word()).then_some(Known(()))
    }

    /// Remembers that it was.
    pub fn remember(self) {
        match COUNT.fetch_add(1, Ordering::Relaxed) as usize {
            count if count == SMALL / 2 => grow(&MAPPED_MIDDLE, MIDDLE),
            count if count == MIDDLE / 2 => grow(&MAPPED_LARGE, LARGE),
            _ => {}
        }
        let mut last = None;
        for place in self.places() {
            if place.load(Ordering::Relaxed) == 0 {
                return place.store(self.word(), Ordering::Relaxed);
            }
            last = Some(place);
        }
        // All full: the one that comes last is forgotten.
        if let Some(place) = last {
            place.store(self.word(), Ordering::Relaxed);
        }
    }

    fn places(self) -> impl Iterator<Item = &'static AtomicU64> {
        let start = (self.0 >> 20) as usize;
        let (base, size) = match mapped() {
            // SAFETY: so many words of zeros were mapped there, for good.
            Some((base, size)) => (unsafe { base.add(HEAD) }.cast::<AtomicU64>().cast_const(), size),
            None => (FIRST.as_ptr(), SMALL),
        };
        // SAFETY: within the words that are there.
        (0..PROBES_MAX).map(move |probe| unsafe { &*base.add(start.wrapping_add(probe) % size) })
    }
}

/// The set in use, if it is not the first, and how many words it has.
fn mapped() -> Option<(*mut u8, usize)> {
    let large = MAPPED_LARGE.load(Ordering::Acquire);
    if !large.is_null() {
        return Some((large, LARGE));
    }
    let middle = MAPPED_MIDDLE.load(Ordering::Acquire);
    (!middle.is_null()).then_some((middle, MIDDLE))
}

/// Where there is no memory, it stays as it is. A fork forgets all: it has another number.
fn grow(set: &AtomicPtr<u8>, words: usize) {
    let bytes = HEAD + words * size_of::<u64>();
    let Some(room) = sys::map_zeros(bytes) else { return };
    // SAFETY: just mapped, and nobody knows of it.
    unsafe {
        if sys::wipe_on_fork(room, bytes) {
            set.store(room, Ordering::Release);
        } else {
            sys::unmap(room, bytes);
        }
    }
}

/// The number of this process. Asked of the kernel each time at first, then remembered until a fork.
pub fn pid() -> u32 {
    let Some((base, _)) = mapped() else { return sys::pid() };
    // SAFETY: the head of a set, aligned.
    let known = unsafe { &*base.cast::<AtomicU32>() };
    match known.load(Ordering::Relaxed) {
        0 => {
            let pid = sys::pid();
            known.store(pid, Ordering::Relaxed);
            pid
        }
        pid => pid,
    }
}

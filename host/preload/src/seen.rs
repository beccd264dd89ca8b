//! What this process has noted already, so that it is noted once: a set of hashes. It may forget, and
//! two threads may write one over the other; then something is noted twice.

use crate::sys;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Enough for small programs, and part of the library.
const SMALL: usize = 512;
/// Mapped when the small one is half full.
const LARGE: usize = 64 * 1024;
const PROBES_MAX: usize = 8;

static FIRST: [AtomicU64; SMALL] = [const { AtomicU64::new(0) }; SMALL];
static COUNT: AtomicU32 = AtomicU32::new(0);
static MORE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

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
        for chunk in text.chunks(8) {
            let mut word = 0u64;
            for (place, byte) in chunk.iter().enumerate() {
                word |= u64::from(*byte) << (place * 8);
            }
            key = key.with(word);
        }
        key.with(text.len() as u64)
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
        if COUNT.fetch_add(1, Ordering::Relaxed) == SMALL as u32 / 2 {
            grow();
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
        let more = MORE.load(Ordering::Acquire);
        let small = (0..PROBES_MAX).filter_map(move |probe| FIRST.get(start.wrapping_add(probe) % SMALL));
        let large = (0..PROBES_MAX).map_while(move |probe| {
            // SAFETY: so many words of zeros were mapped there, for good.
            (!more.is_null()).then(|| unsafe { &*more.add(start.wrapping_add(probe) % LARGE) })
        });
        small.chain(large)
    }
}

/// Where there is no memory, it stays small.
fn grow() {
    if let Some(room) = sys::map_zeros(LARGE * 8) {
        MORE.store(room.cast(), Ordering::Release);
    }
}

//! The ring in which the programs of a step note what they are about to ask of the file system, and
//! from which overhear takes it. Nobody waits for anybody: a program without room makes its call where
//! the tracer is told of it, and overhear takes in what is there before it answers.
//!
//! A note is claimed by one exchange of its first word, which says at once how long it is; so a program
//! that is killed at any point leaves a ring that can still be read. Positions count up for ever; a free
//! word holds the number of its lap. All words are veiled by the ring's own number, so that none of a text passes
//! for a free one, and who was held up for a whole lap cannot claim what is in use again; the number is such that
//! memory of zeros, of which no page was touched, is a ring that is free.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of the ring's words.
pub const RING_BYTES: usize = 256 * 1024;
/// Bytes of a [`Ring`]: whole pages, whatever their size.
pub const RING_SPACE: usize = RING_BYTES + 64 * 1024;
/// Longest text of a note: longer ones are told to the tracer.
pub const TEXT_MAX: usize = 1023;

const WORDS: usize = RING_BYTES / 8;
/// How often a place is tried for: more often in vain only in a ring that somebody damaged.
const TRIES_MAX: usize = 4096;
/// Words of a note before its texts.
const FIXED: usize = 9;
/// The first word of a note has this bit, and a free word has not.
const TAKEN: u64 = 1 << 63;
/// What fills the end of a lap is no note.
const FILLER: u64 = 1 << 62;
/// In a note's word of lengths: which answer, and whether it is of the last name itself.
const KIND_AT: u32 = 32;
const NO_LINK: u64 = 1 << 40;
const STATE_AT: u32 = 60;
const LENGTH_AT: u32 = 32;

const _: () = assert!(size_of::<Ring>() <= RING_SPACE);
const _: () = assert!((FIXED + 2 * (TEXT_MAX + 8) / 8) < 0xffff && (TEXT_MAX + 8) * 2 < RING_BYTES / 16);

/// The shared memory.
#[repr(C)]
pub struct Ring {
    /// Veils the words; random, without the uppermost bit.
    veil: AtomicU64,
    /// Up to where notes were claimed, or a little before that.
    tail: AtomicU64,
    /// Up to where places are free again.
    read: AtomicU64,
    /// Counts changes of names on which paths may rest: links, folders. What was noted before one says
    /// nothing of what the same path leads to after it.
    pub names: AtomicU64,
    /// Not 0: nobody takes notes in any more.
    pub is_closed: AtomicU32,
    /// Not 0: system calls of libraries may be redirected when they are loaded.
    pub may_patch: AtomicU32,
    words: [AtomicU64; WORDS],
}

/// How far a note has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its place is taken; what is asked is not written yet, and so was not asked either.
    Claimed,
    /// What is asked is written. It may have been asked.
    Written,
    /// The answer is there too.
    Done,
}

/// What the kernel's answer says of what lay there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that could be noted: the same was then asked where the tracer is told.
    #[default]
    Void,
    /// Nothing lies there.
    Absent,
    /// This.
    There(Stamp),
    /// It does not say; who reads the note may look.
    Unknown,
}

/// Evidence of one state of a file or folder, as the kernel gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Device number, as `st_dev`.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Nanoseconds since 1970.
    pub ctime_ns: i64,
    /// As `st_mode`.
    pub mode: u32,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Number of the system call.
    pub number: u32,
    /// Its flags.
    pub flags: u32,
    /// The folder that a relative path starts from; empty for an absolute one.
    pub base: &'a [u8],
    /// The path.
    pub path: &'a [u8],
}

/// A note with what is asked written into it: the proof that the call may be made.
pub struct Noted<'a> {
    ring: &'a Ring,
    at: usize,
    head: u64,
}

const fn head(state: State, words: usize, pid: u32) -> u64 {
    TAKEN | (state as u64) << STATE_AT | (words as u64) << LENGTH_AT | pid as u64
}

const fn words_of(head: u64) -> usize {
    (head >> LENGTH_AT & 0xffff) as usize
}

impl Ring {
    /// Makes a ring of zeros ready, before anybody else sees it.
    pub fn begin(&self, veil: u64) {
        self.veil.store(veil & !TAKEN, Ordering::Relaxed);
    }

    /// What a free word of the lap that this position is in holds.
    fn free(&self, position: u64) -> u64 {
        (self.veiled(0) ^ (position / RING_BYTES as u64)) & !TAKEN
    }

    /// A word as it lies in memory, and the reverse.
    fn veiled(&self, word: u64) -> u64 {
        word ^ self.veil.load(Ordering::Relaxed)
    }

    fn put_head(&self, at: usize, head: u64) -> Option<()> {
        self.words.get(at)?.store(self.veiled(head), Ordering::Release);
        Some(())
    }

    /// Takes a place and writes what is asked; `None` if there is no room.
    pub fn note(&self, asked: &Asked<'_>, pid: u32) -> Option<Noted<'_>> {
        if self.is_closed.load(Ordering::Relaxed) != 0
            || asked.base.len() > TEXT_MAX
            || asked.path.len() > TEXT_MAX
        {
            return None;
        }
        let words = FIXED + asked.base.len().div_ceil(8) + asked.path.len().div_ceil(8);
        let at = self.claim(words, pid)?;
        self.put(at + 1, u64::from(asked.number) | u64::from(asked.flags) << 32);
        self.put(at + 2, asked.base.len() as u64 | (asked.path.len() as u64) << 16);
        let path_at = self.put_text(at + FIXED, asked.base);
        self.put_text(path_at, asked.path);
        let head = head(State::Written, words, pid);
        self.put_head(at, head)?;
        Some(Noted { ring: self, at, head })
    }

    /// Takes so many words that follow each other.
    fn claim(&self, words: usize, pid: u32) -> Option<usize> {
        for _ in 0..TRIES_MAX {
            let tail = self.tail.load(Ordering::Acquire);
            let at = (tail % RING_BYTES as u64 / 8) as usize;
            let is_filler = at + words > WORDS;
            let taken = if is_filler { WORDS - at } else { words };
            let end = tail + taken as u64 * 8;
            if end.wrapping_sub(self.read.load(Ordering::Acquire)) > RING_BYTES as u64 {
                return None;
            }
            let own = if is_filler {
                head(State::Done, taken, pid) | FILLER
            } else {
                head(State::Claimed, taken, pid)
            };
            let word = self.words.get(at)?;
            let (free, own) = (self.veiled(self.free(tail)), self.veiled(own));
            let (end, is_own) = match word.compare_exchange(free, own, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => (end, true),
                // Somebody else was first, and may have been held up before moving the tail.
                Err(there) if there & TAKEN != 0 => (tail + words_of(self.veiled(there)) as u64 * 8, false),
                Err(_) => continue,
            };
            let _ = self.tail.compare_exchange(tail, end, Ordering::AcqRel, Ordering::Relaxed);
            if is_own && !is_filler {
                return Some(at);
            }
        }
        None
    }

    fn put(&self, at: usize, word: u64) {
        if let Some(place) = self.words.get(at) {
            place.store(self.veiled(word), Ordering::Relaxed);
        }
    }

    /// Writes a text, padded with zeros; the place behind it.
    fn put_text(&self, mut at: usize, text: &[u8]) -> usize {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            self.put(at, u64::from_le_bytes(*word));
            at += 1;
        }
        if rest.is_empty() {
            return at;
        }
        let mut word = 0u64;
        for (place, byte) in rest.iter().enumerate() {
            word |= u64::from(*byte) << (place * 8);
        }
        self.put(at, word);
        at + 1
    }

    fn get(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| self.veiled(word.load(Ordering::Relaxed)))
    }
}

impl Noted<'_> {
    /// Writes the answer. `is_no_link`: the last name of the path is certain to be no symlink.
    pub fn answer(self, answer: &Answer, is_no_link: bool) {
        let (kind, stamp) = match answer {
            Answer::Void => (0, Stamp::default()),
            Answer::Absent => (1, Stamp::default()),
            Answer::There(stamp) => (2, *stamp),
            Answer::Unknown => (3, Stamp::default()),
        };
        let lengths = self.ring.get(self.at + 2) & 0xffff_ffff;
        let no_link = if is_no_link { NO_LINK } else { 0 };
        self.ring.put(self.at + 2, lengths | kind << KIND_AT | no_link);
        let words = [stamp.dev, stamp.ino, stamp.size, stamp.mtime_ns as u64, stamp.ctime_ns as u64];
        for (place, word) in words.into_iter().enumerate() {
            self.ring.put(self.at + 3 + place, word);
        }
        self.ring.put(self.at + 8, u64::from(stamp.mode));
        let head = self.head & !(3 << STATE_AT) | (State::Done as u64) << STATE_AT;
        // The place was there when it was claimed.
        let _ = self.ring.put_head(self.at, head);
    }
}

/// What is at a position of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Free,
    /// A note, or what fills a lap (already done, without a text).
    Note {
        /// How far it has come.
        state: State,
        /// Where the next one begins.
        next: u64,
        /// The process that asks.
        pid: u32,
        /// Not a note.
        is_filler: bool,
    },
    /// Somebody wrote where he should not.
    Damaged,
}

/// A note, copied out of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    /// Number of the system call.
    pub number: u32,
    /// Its flags.
    pub flags: u32,
    /// How long the base is.
    pub base_len: usize,
    /// How long the path is.
    pub path_len: usize,
    /// What the kernel said, where the note is done.
    pub answer: Answer,
    /// Whether the last name of the path is no symlink, whatever the call would have followed.
    pub is_no_link: bool,
}

/// Overhear's side. There is only one.
impl Ring {
    /// Where reading begins.
    pub const START: u64 = 0;

    /// What is at a position.
    pub fn look(&self, position: u64) -> Found {
        let read = self.read.load(Ordering::Relaxed);
        if position.wrapping_sub(read) >= RING_BYTES as u64 {
            return Found::Free;
        }
        let at = (position % RING_BYTES as u64 / 8) as usize;
        let word = self.words.get(at).map_or(0, |word| self.veiled(word.load(Ordering::Acquire)));
        if word & TAKEN == 0 {
            return if word == self.free(position) { Found::Free } else { Found::Damaged };
        }
        let (words, is_filler) = (words_of(word), word & FILLER != 0);
        let state = match word >> STATE_AT & 3 {
            0 => State::Claimed,
            1 => State::Written,
            2 => State::Done,
            _ => return Found::Damaged,
        };
        if words == 0 || at + words > WORDS || (words < FIXED && !is_filler) {
            return Found::Damaged;
        }
        Found::Note { state, next: position + words as u64 * 8, pid: word as u32, is_filler }
    }

    /// Copies a note that is at least written, with its texts; `None` if it makes no sense.
    pub fn copy(
        &self,
        position: u64,
        base: &mut [u8; TEXT_MAX + 1],
        path: &mut [u8; TEXT_MAX + 1],
    ) -> Option<Copied> {
        let Found::Note { next, .. } = self.look(position) else { return None };
        let at = (position % RING_BYTES as u64 / 8) as usize;
        let words = ((next - position) / 8) as usize;
        let (call, lengths) = (self.get(at + 1), self.get(at + 2));
        let (base_len, path_len) = ((lengths & 0xffff) as usize, (lengths >> 16 & 0xffff) as usize);
        let base_words = base_len.div_ceil(8);
        if base_len > TEXT_MAX || path_len > TEXT_MAX || FIXED + base_words + path_len.div_ceil(8) != words {
            return None;
        }
        self.copy_text(at + FIXED, base.get_mut(..base_len)?);
        self.copy_text(at + FIXED + base_words, path.get_mut(..path_len)?);
        let is_no_link = lengths & NO_LINK != 0;
        let answer = match lengths >> KIND_AT & 0xff {
            0 => Answer::Void,
            1 => Answer::Absent,
            2 => Answer::There(Stamp {
                dev: self.get(at + 3),
                ino: self.get(at + 4),
                size: self.get(at + 5),
                mtime_ns: self.get(at + 6) as i64,
                ctime_ns: self.get(at + 7) as i64,
                mode: self.get(at + 8) as u32,
            }),
            _ => Answer::Unknown,
        };
        Some(Copied {
            number: call as u32,
            flags: (call >> 32) as u32,
            base_len,
            path_len,
            answer,
            is_no_link,
        })
    }

    fn copy_text(&self, at: usize, out: &mut [u8]) {
        let (words, rest) = out.as_chunks_mut::<8>();
        for (place, word) in words.iter_mut().enumerate() {
            *word = self.get(at + place).to_le_bytes();
        }
        let last = self.get(at + words.len()).to_le_bytes();
        for (to, from) in rest.iter_mut().zip(last) {
            *to = from;
        }
    }

    /// Frees everything before a position, for the next lap.
    pub fn release(&self, upto: u64) {
        let mut position = self.read.load(Ordering::Relaxed);
        while position < upto {
            let free = self.free(position + RING_BYTES as u64);
            self.put((position % RING_BYTES as u64 / 8) as usize, free);
            position += 8;
        }
        self.read.store(upto, Ordering::Release);
    }

    /// Nobody notes anything here any more.
    pub fn close(&self) {
        self.is_closed.store(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::collections::HashSet;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn ring() -> Box<Ring> {
        // SAFETY: all zeros is a valid ring.
        let ring: Box<Ring> = unsafe { Box::new_zeroed().assume_init() };
        ring.begin(0x1234_5678_9abc_def0);
        ring
    }

    fn read(ring: &Ring, position: u64) -> Option<(Copied, String, u64, State)> {
        let Found::Note { state, next, is_filler, .. } = ring.look(position) else { return None };
        if is_filler {
            return read(ring, next);
        }
        let (mut base, mut path) = ([0; TEXT_MAX + 1], [0; TEXT_MAX + 1]);
        let copied = ring.copy(position, &mut base, &mut path)?;
        let text = [&base[..copied.base_len], b"|", &path[..copied.path_len]].concat();
        Some((copied, String::from_utf8(text).ok()?, next, state))
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let ring = ring();
        assert_eq!(ring.look(0), Found::Free);
        let asked = Asked { number: 262, flags: 7, base: b"/base/folder", path: b"x" };
        let noted = ring.note(&asked, 9).expect("there is room");
        let (copied, text, next, state) = read(&ring, 0).expect("it is there");
        assert_eq!((copied.number, copied.flags, &*text, state), (262, 7, "/base/folder|x", State::Written));
        let stamp = Stamp { dev: 1, ino: 2, size: 3, mtime_ns: -4, ctime_ns: 5, mode: 6 };
        noted.answer(&Answer::There(stamp), false);
        let (copied, _, _, state) = read(&ring, 0).expect("it is there");
        assert_eq!((copied.answer, state), (Answer::There(stamp), State::Done));
        assert_eq!(ring.look(next), Found::Free);
    }

    #[test]
    fn a_full_ring_gives_no_room_until_it_was_read() {
        let ring = ring();
        let asked = Asked { number: 1, flags: 0, base: b"", path: &[b'x'; 1000] };
        let mut count = 0;
        while let Some(noted) = ring.note(&asked, 1) {
            noted.answer(&Answer::Absent, false);
            count += 1;
        }
        assert_eq!(count, WORDS / (FIXED + 125));
        let (.., next, _) = read(&ring, 0).expect("it is there");
        ring.release(next);
        // The end of the lap is filled first, and then the place that was freed is not quite enough.
        assert!(ring.note(&asked, 1).is_some());
        assert!(ring.note(&asked, 1).is_none());
        ring.close();
        assert!(ring.note(&Asked { path: b"x", ..asked }, 1).is_none());
    }

    #[test]
    fn what_makes_no_sense_is_damage() {
        let ring = ring();
        ring.put(0, TAKEN | 1 << LENGTH_AT);
        assert_eq!(ring.look(0), Found::Damaged);
        ring.put(0, 5);
        assert_eq!(ring.look(0), Found::Damaged);
    }

    #[test]
    fn many_threads_lose_no_note_over_many_laps() {
        const THREADS: u64 = 8;
        const EACH: u64 = 20_000;
        let ring = ring();
        let mut seen: HashSet<String> = HashSet::new();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let ring = &ring;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let text = format!("{thread}-{number}");
                        let pad: Vec<u8> = text.bytes().cycle().take(number as usize % 97).collect();
                        let asked = Asked { number: 1, flags: 0, base: text.as_bytes(), path: &pad };
                        loop {
                            match ring.note(&asked, 1) {
                                Some(noted) => break noted.answer(&Answer::Absent, false),
                                None => std::thread::yield_now(),
                            }
                        }
                    }
                });
            }
            let mut position = 0;
            while seen.len() < (THREADS * EACH) as usize {
                match ring.look(position) {
                    Found::Free => std::thread::yield_now(),
                    Found::Damaged => panic!("damaged at {position}"),
                    Found::Note { next, is_filler: true, .. } => position = next,
                    Found::Note { state: State::Done, next, .. } => {
                        let (_, text, ..) = read(&ring, position).expect("it makes sense");
                        let (base, pad) = text.split_once('|').expect("two texts");
                        assert!(base.repeat(97).starts_with(pad));
                        assert!(seen.insert(base.into()));
                        position = next;
                        ring.release(position);
                    }
                    Found::Note { .. } => std::thread::yield_now(),
                }
            }
        });
    }
}

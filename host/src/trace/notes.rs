//! What the programs of a step noted by themselves instead of being stopped: the ring that they share
//! with us, and taking notes out of it in the order in which they were made.
//!
//! Notes are taken in before each call that the kernel tells of is handled, and at the end. Only calls that
//! change nothing are noted, so the tree is then as it was when they were made, but for what is no part of
//! the step; what lay there comes with the note. See `docs/design/accelerator.md`.

#![allow(unsafe_code, reason = "maps shared memory")]

use super::calls::{Arch, Follow, Table};
use super::event::{Event, Place};
use super::record::Recorder;
use super::resolve::{Given, Who};
use super::sites;
use crate::stamp::{self, Found};
use overhear_trace_abi::notes::{self, Answer, Copied, RING_SPACE, Ring, State, TEXT_MAX};
use overhear_trace_abi::sites::Sites;
use overhear_trace_abi::{RING_AT, TABLE_AT};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// As many pages of a gate as there are to choose from, in a part of the address space that neither
/// sanitizers nor garbage collectors nor the kernel use by themselves: 64 to 80 TiB.
const GATES: (u64, u64) = (0x4000_0000_0000, 0x5000_0000_0000);
const PAGE: u64 = 4096;
/// Bytes of the memory file that we see: ring and sites.
const MAPPED: usize = TABLE_AT - RING_AT;
/// How often the processor is given away for a note that is just being written.
const YIELDS: usize = 16;

/// The ring of one step, mapped, and where its gate is.
pub struct Notes {
    ring: *mut Ring,
    gate: u64,
    memory: File,
}

// SAFETY: a ring is all atomics, and stays mapped for as long as this lives.
unsafe impl Send for Notes {}
// SAFETY: the same.
unsafe impl Sync for Notes {}

impl Notes {
    /// Maps the ring of a memory file, and begins it.
    pub(super) fn begin(memory: &File, may_patch: bool) -> io::Result<Notes> {
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, memory.as_raw_fd());
        // SAFETY: a new mapping of a file that is as long as that.
        let base = unsafe {
            let at = RING_AT as libc::off_t;
            libc::mmap(std::ptr::null_mut(), MAPPED, protection, libc::MAP_SHARED, fd, at)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let (first, last) = GATES;
        let gate = first + random() % ((last - first) / PAGE) * PAGE;
        let notes = Notes { ring: base.cast(), gate, memory: memory.try_clone()? };
        notes.ring().begin(random());
        notes.ring().may_patch.store(u32::from(may_patch), Ordering::Relaxed);
        Ok(notes)
    }

    pub(super) fn ring(&self) -> &Ring {
        // SAFETY: mapped, large enough, aligned to a page, and all zeros at first, which is valid.
        unsafe { &*self.ring }
    }

    /// Writes down which system calls of a library may be redirected. It is about to ask.
    pub(super) fn add_sites(&self, library: &[u8]) {
        // SAFETY: mapped behind the ring, aligned, and all zeros at first, which is valid.
        let listed = unsafe { &*self.ring.byte_add(RING_SPACE).cast::<Sites>() };
        let path = Path::new(OsStr::from_bytes(library));
        // What cannot be read is told to the tracer call by call.
        listed.add(library, &sites::of(path).unwrap_or_default());
    }

    /// The page from which noted calls are made.
    pub(super) fn gate(&self) -> u64 {
        self.gate
    }

    /// The memory file.
    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Names are about to change on which paths may rest: what was noted is to be noted anew.
    pub(super) fn names_change(&self) {
        self.ring().names.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // SAFETY: mapped in `begin`, and nobody can use it any more.
        unsafe { libc::munmap(self.ring.cast(), MAPPED) };
    }
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// A number that nobody can guess, and no other run has.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Takes notes out of a ring.
pub(super) struct Reader {
    notes: Arc<Notes>,
    /// Where the first note is that was not looked at.
    next: u64,
    /// Notes before that which were not done when they were looked at, and those between them.
    waiting: VecDeque<Waiting>,
    texts: Box<[[u8; TEXT_MAX + 1]; 2]>,
}

/// A note that keeps its place.
struct Waiting {
    at: u64,
    next: u64,
    known: Known,
}

/// What was taken of a note.
enum Known {
    /// Nothing: what is asked was not written yet.
    Nothing,
    /// What is asked; the answer was not there yet, so what lay there was looked at by us.
    Asked(Option<(PathBuf, Found)>),
    /// All.
    All,
}

impl Reader {
    /// From the beginning.
    pub fn new(notes: Arc<Notes>) -> Reader {
        Reader { notes, next: Ring::START, waiting: VecDeque::new(), texts: Box::new([[0; TEXT_MAX + 1]; 2]) }
    }

    /// Takes in what was noted since the last time; whether there was anything. `who` tells the process behind
    /// a number.
    pub fn take(
        &mut self,
        table: &Table,
        recorder: &mut Recorder,
        who: &mut dyn FnMut(&mut Recorder, u32) -> Who,
    ) -> bool {
        let before = self.next;
        let notes = Arc::clone(&self.notes);
        let ring = notes.ring();
        let mut waiting = std::mem::take(&mut self.waiting);
        for note in &mut waiting {
            if !matches!(note.known, Known::All)
                && let notes::Found::Note { state, pid, .. } = ring.look(note.at)
            {
                self.advance(note, state, pid, table, recorder, who);
            }
        }
        // One lap at most: whoever waits for an answer is not to wait for others that go on noting.
        let until = self.next + notes::RING_BYTES as u64;
        while self.next < until {
            match look_settled(ring, self.next) {
                notes::Found::Free => break,
                notes::Found::Damaged => {
                    ring.close();
                    recorder.observed.poison("what its programs noted was damaged");
                    break;
                }
                notes::Found::Note { state, next, pid, is_filler } => {
                    let known = if is_filler { Known::All } else { Known::Nothing };
                    let mut note = Waiting { at: self.next, next, known };
                    if !is_filler {
                        self.advance(&mut note, state, pid, table, recorder, who);
                    }
                    waiting.push_back(note);
                    self.next = next;
                }
            }
        }
        let mut free = None;
        while waiting.front().is_some_and(|note| matches!(note.known, Known::All)) {
            free = waiting.pop_front().map(|note| note.next);
        }
        if let Some(free) = free {
            ring.release(free);
        }
        self.waiting = waiting;
        self.next != before
    }

    /// Takes what a note has by now and had not before.
    fn advance(
        &mut self,
        note: &mut Waiting,
        state: State,
        pid: u32,
        table: &Table,
        recorder: &mut Recorder,
        who: &mut dyn FnMut(&mut Recorder, u32) -> Who,
    ) {
        if state == State::Claimed || (state == State::Written && !matches!(note.known, Known::Nothing)) {
            return;
        }
        let [base, path] = &mut *self.texts;
        let Some(copied) = self.notes.ring().copy(note.at, base, path) else {
            note.known = Known::All;
            return recorder.observed.poison("what its programs noted makes no sense");
        };
        let Some(found) = answer(&copied, state) else {
            note.known = Known::All;
            return;
        };
        let mut who = who(recorder, pid);
        if found.is_some() {
            // The thread went on long ago: what `/proc` says of it now is of no use.
            who.tid = 0;
        }
        let place = Place { base: &base[..copied.base_len], path: &path[..copied.path_len] };
        let mut target = None;
        let seen_before = match (&mut note.known, &found) {
            (Known::Asked(seen), Some(_)) => seen.take(),
            _ => None,
        };
        if let (Some((path, before)), Some(now)) = (seen_before, &found) {
            recorder.correct(&path, &before, now);
        } else if !matches!(note.known, Known::Asked(_)) {
            let given = found.as_ref().map(|found| Given { found, is_no_link: copied.is_no_link });
            if let Some(event) = event(&copied, place, who, table, given) {
                if state == State::Done {
                    recorder.event(&event);
                } else {
                    target = recorder.unanswered(&event);
                }
            }
        }
        note.known = if state == State::Done { Known::All } else { Known::Asked(target) };
    }
}

/// What lay there: `Some(None)` where that is to be looked at, `None` where the note is void.
fn answer(copied: &Copied, state: State) -> Option<Option<Found>> {
    if state != State::Done {
        return Some(None);
    }
    match copied.answer {
        Answer::Void => None,
        Answer::Unknown => Some(None),
        Answer::Absent => Some(Some(Found::Absent)),
        Answer::There(there) => {
            let stamp = stamp::Stamp {
                dev: there.dev,
                ino: there.ino,
                size: there.size,
                mtime_ns: there.mtime_ns,
                ctime_ns: there.ctime_ns,
                mode: there.mode,
            };
            Some(Some(match there.mode & libc::S_IFMT {
                libc::S_IFREG => Found::File(stamp),
                libc::S_IFDIR => Found::Folder(stamp),
                _ => Found::Other,
            }))
        }
    }
}

fn event<'a>(
    copied: &Copied,
    place: Place<'a>,
    who: Who,
    table: &Table,
    given: Option<Given<'a>>,
) -> Option<Event<'a>> {
    let call = table.find(Arch::X86_64.audit(), i32::try_from(copied.number).ok()?)?;
    let flags = u64::from(copied.flags);
    let follow = match call.follow {
        Follow::Yes => true,
        Follow::No => false,
        Follow::UnlessFlag => flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
        Follow::IfFlag => flags & libc::AT_SYMLINK_FOLLOW as u64 != 0,
    };
    Some(Event { who, op: call.op, place, second: Place::default(), flags, follow, given })
}

/// Looks at a position, and again for a moment while somebody is just writing there.
fn look_settled(ring: &Ring, at: u64) -> notes::Found {
    let mut found = ring.look(at);
    for _ in 0..YIELDS {
        if !matches!(found, notes::Found::Note { state: State::Claimed, .. }) {
            break;
        }
        std::thread::yield_now();
        found = ring.look(at);
    }
    found
}

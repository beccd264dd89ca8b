//! Asking the file system by way of the gate: reads what is asked as the kernel will, notes it, asks, and
//! notes the answer. Whatever is not certain here is asked where the tracer is told instead: an unreadable
//! path, a folder that cannot be named, a log without room, an answer that says too little.

use crate::gate::{Gate, Nameless};
use crate::memory::{self, FD_PATH_BYTES, Memory};
use crate::seen::{self, Key};
use crate::sys::{self, Stat};
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use overhear_trace_abi::notes::{Answer, Asked, Stamp};

const PAGE: usize = 4096;
/// Longer paths are told to the tracer: this much is taken from the program's stack.
const PATH_MAX: usize = 767;
const WORD: usize = size_of::<u64>();
/// For the longest path with its zero, and what a whole word may bring along.
const ROOM: usize = PATH_MAX + 1 + WORD;
/// `STATX_BASIC_STATS`.
const STATX_BASIC: u32 = 0x7ff;
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// What kind of question a call is.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Open,
    Stat,
    Statx,
    Access,
    ReadLink,
}

/// Where the arguments of a call lie.
struct Shape {
    what: What,
    /// Where the descriptor of the folder is, if there is one.
    at: Option<usize>,
    path: usize,
    flags: u32,
    follow: bool,
}

impl Shape {
    /// Of the calls that go by the gate.
    fn of(number: usize, arguments: &[usize; 6]) -> Option<Shape> {
        let [_, second, third, fourth, ..] = *arguments;
        let nofollow = |flags: usize| flags & sys::AT_SYMLINK_NOFOLLOW == 0;
        let shape = |what, at: bool, flags: usize, follow| Shape {
            what,
            at: at.then_some(0),
            path: usize::from(at),
            flags: flags as u32,
            follow,
        };
        let opening = |at, flags: usize| {
            let is_plain = flags & sys::NOT_JUST_READING == 0;
            is_plain.then(|| shape(What::Open, at, flags, flags & sys::O_NOFOLLOW == 0))
        };
        Some(match number {
            sys::OPEN => return opening(false, second),
            sys::OPENAT => return opening(true, third),
            sys::STAT => shape(What::Stat, false, 0, true),
            sys::LSTAT => shape(What::Stat, false, 0, false),
            sys::NEWFSTATAT => shape(What::Stat, true, fourth, nofollow(fourth)),
            sys::STATX => shape(What::Statx, true, third, nofollow(third)),
            sys::ACCESS => shape(What::Access, false, 0, true),
            sys::FACCESSAT => shape(What::Access, true, 0, true),
            sys::FACCESSAT2 => shape(What::Access, true, fourth, nofollow(fourth)),
            sys::READLINK => shape(What::ReadLink, false, 0, false),
            sys::READLINKAT => shape(What::ReadLink, true, 0, false),
            _ => return None,
        })
    }

    /// Whether an empty path stands for the descriptor itself, which somebody has opened before.
    fn is_about_descriptor(&self) -> bool {
        let is_look = matches!(self.what, What::Stat | What::Statx);
        is_look && self.at.is_some() && self.flags as usize & sys::AT_EMPTY_PATH != 0
    }

    /// The same look at the last name itself, even where it is a link that is to be followed. If it is none,
    /// the answer is the same; if it is one, that is seen, and the tracer is told.
    fn not_following(&self, number: usize, mut arguments: [usize; 6]) -> (usize, [usize; 6]) {
        let flags_at = match number {
            sys::STAT => return (sys::LSTAT, arguments),
            sys::NEWFSTATAT => 3,
            sys::STATX => 2,
            _ => return (number, arguments),
        };
        if let Some(flags) = arguments.get_mut(flags_at) {
            *flags |= sys::AT_SYMLINK_NOFOLLOW;
        }
        (number, arguments)
    }

    /// The word by which a repetition is recognised, beside the path.
    fn class(&self) -> u64 {
        let what = match self.what {
            What::Open => 1,
            What::Stat | What::Statx => 2,
            What::Access => 3,
            What::ReadLink => 4,
        };
        what << 1 | u64::from(self.follow)
    }
}

/// Makes a call that may name a path, noted where that can be. As the kernel returns it.
///
/// # Safety
/// That of the call with this number.
pub unsafe fn ask(number: usize, arguments: [usize; 6]) -> isize {
    // SAFETY: promised by the caller.
    unsafe {
        match noted(number, arguments) {
            Some(result) => result,
            None => sys::call(number, arguments),
        }
    }
}

/// `None` if the tracer is to be told.
unsafe fn noted(number: usize, arguments: [usize; 6]) -> Option<isize> {
    let shape = Shape::of(number, &arguments)?;
    let mut arguments = arguments;
    if shape.what == What::Statx {
        // The answer may say more than was asked for, and is to say when the file was changed.
        *arguments.get_mut(shape.path + 2)? |= STATX_BASIC as usize;
    }
    let mut room = MaybeUninit::<[u8; ROOM]>::uninit();
    // SAFETY: the copy is checked against the program's memory.
    let path = unsafe { copy_path(*arguments.get(shape.path)?, &mut room)? };
    if let (Some(nameless), true) = (Nameless::of(path), shape.is_about_descriptor()) {
        *arguments.get_mut(shape.path)? = path.as_ptr() as usize;
        // SAFETY: promised by the caller.
        return Some(unsafe { Gate::get()?.nameless(nameless, number, arguments) });
    }
    let (path, with_zero) = (path.get(..path.len() - 1)?, path);
    if is_special(path) {
        return None;
    }
    let gate = Gate::get()?;
    let ring = Memory::get_quietly()?.ring;
    if ring.is_closed.load(Ordering::Relaxed) != 0 {
        return None;
    }
    let mut room = MaybeUninit::<[u8; ROOM]>::uninit();
    let base = match path.first()? {
        b'/' => &[][..],
        _ => base_of(gate, shape.at.and_then(|at| arguments.get(at).copied()), &mut room)?,
    };
    if is_special(base) {
        return None;
    }
    let names = ring.names.load(Ordering::Acquire);
    let key = Key::of(shape.class() | names << 8).and(base).and(path);
    // The kernel reads the copy: what was noted is what is asked, whatever another thread writes meanwhile.
    *arguments.get_mut(shape.path)? = with_zero.as_ptr() as usize;
    if let Some(known) = key.known() {
        // SAFETY: promised by the caller.
        let result = unsafe { gate.again(known, number, arguments) };
        if ring.names.load(Ordering::Acquire) == names {
            return Some(result);
        }
        // What the path leads to may have changed before the kernel followed it.
        if shape.what == What::Open && result >= 0 {
            sys::close(result);
        }
        return None;
    }
    let asked = Asked { number: number as u32, flags: shape.flags, base, path };
    let noted = ring.note(&asked, seen::pid())?;
    let (number, arguments) = shape.not_following(number, arguments);
    // SAFETY: promised by the caller.
    let called = unsafe { gate.call(noted, number, arguments) };
    let result = called.result;
    // SAFETY: as the kernel has just filled them.
    let answer = unsafe { evidence(&shape, &called, &arguments) };
    let is_no_link = match answer {
        Answer::There(_) => shape.what != What::Open,
        Answer::Absent => matches!(shape.what, What::Stat | What::Statx),
        Answer::Void | Answer::Unknown => false,
    };
    called.answer(&answer, is_no_link);
    key.remember();
    if answer != Answer::Void {
        return Some(result);
    }
    if shape.what == What::Open && result >= 0 {
        sys::close(result);
    }
    None
}

/// Copies a path with its zero; `None` if it cannot be read, or is long.
unsafe fn copy_path(address: usize, room: &mut MaybeUninit<[u8; ROOM]>) -> Option<&[u8]> {
    let own = core::ptr::from_ref(room) as usize;
    // What lies in the caller's frames was written before; anything else may lie nowhere.
    let is_near = address > own && address - own < PAGE;
    if !is_near && (address < PAGE || !sys::is_readable(address)) {
        return None;
    }
    let out = room.as_mut_ptr().cast::<u8>();
    let mut length = 0;
    loop {
        let at = address + length;
        let to_page_end = PAGE - at % PAGE;
        if length > 0 && to_page_end == PAGE && !sys::is_readable(at) {
            return None;
        }
        // SAFETY: readable up to the end of the page, as was just found out; there is room, as is checked
        // below.
        unsafe {
            if to_page_end >= WORD {
                let word = (at as *const u64).read_unaligned();
                out.add(length).cast::<u64>().write_unaligned(word);
                if let Some(zero) = first_zero(word) {
                    length += zero + 1;
                    return (length <= PATH_MAX + 1).then(|| core::slice::from_raw_parts(out, length));
                }
                length += WORD;
            } else {
                let byte = *(at as *const u8);
                *out.add(length) = byte;
                length += 1;
                if byte == 0 {
                    return Some(core::slice::from_raw_parts(out, length));
                }
            }
        }
        if length > PATH_MAX {
            return None;
        }
    }
}

/// The place of the first byte of a word that is zero, in memory's order.
fn first_zero(word: u64) -> Option<usize> {
    let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
    (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
}

/// The folder that a relative path starts from. Asked of the kernel each time: no other answer is
/// right for each thread, after each kind of change.
fn base_of(gate: Gate, at: Option<usize>, room: &mut MaybeUninit<[u8; ROOM]>) -> Option<&[u8]> {
    // SAFETY: only what the kernel wrote is looked at.
    let out = unsafe { core::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), PATH_MAX + 1) };
    let length = match at.map(|at| at as i32) {
        None => sys::cwd(out) - 1,
        Some(fd) if fd as isize == sys::AT_FDCWD => sys::cwd(out) - 1,
        Some(fd) => {
            let mut path = [0u8; FD_PATH_BYTES];
            memory::fd_path(None, u32::try_from(fd).ok()?, &mut path)?;
            // SAFETY: the path of a descriptor, with a zero.
            let length = unsafe { gate.read_descriptor(path.as_ptr(), out) };
            // More than there is room for would be cut.
            if length > PATH_MAX as isize {
                return None;
            }
            length
        }
    };
    let base = out.get(..usize::try_from(length).ok()?)?;
    (base.starts_with(b"/") && !base.ends_with(b" (deleted)") && !base.starts_with(b"/memfd:"))
        .then_some(base)
}

/// Whether what a path leads to may depend on who asks.
fn is_special(path: &[u8]) -> bool {
    let is_below = |folder: &[u8]| {
        path.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    };
    is_below(b"/proc") || is_below(b"/dev") || path.starts_with(b"//")
}

/// What the answer says of what lies there.
unsafe fn evidence(shape: &Shape, called: &crate::gate::Called<'_>, arguments: &[usize; 6]) -> Answer {
    let result = called.result;
    match result {
        sys::ENOENT | sys::ENOTDIR => return Answer::Absent,
        sys::EINTR => return Answer::Unknown,
        sys::EINVAL if shape.what == What::ReadLink => {}
        _ if result < 0 || shape.what == What::ReadLink => return Answer::Void,
        _ => {}
    }
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    let is_statx = shape.what == What::Statx;
    if is_statx || shape.what == What::Stat {
        let result_at = argument(shape.path + if is_statx { 3 } else { 1 });
        // SAFETY: the kernel has just written there, though perhaps not aligned.
        return unsafe {
            match is_statx {
                true => stamp_of_statx(&(result_at as *const Statx).read_unaligned()),
                false => stamp_of(&(result_at as *const Stat).read_unaligned()),
            }
        };
    }
    let mut stat = Stat::default();
    let is_known = if shape.what == What::Open {
        sys::stat_fd(result, &mut stat) == 0
    } else {
        let at = shape.at.map_or(sys::AT_FDCWD as usize, argument);
        // SAFETY: the same path as before.
        unsafe { called.look(at, argument(shape.path), &mut stat, sys::AT_SYMLINK_NOFOLLOW) == 0 }
    };
    match is_known {
        // The names in a folder are looked at when it is opened, by the tracer.
        true if shape.what == What::Open && stat.mode & KIND == FOLDER => Answer::Void,
        true => stamp_of(&stat),
        false => Answer::Void,
    }
}

fn stamp_of(stat: &Stat) -> Answer {
    let time =
        |[seconds, nanoseconds]: [i64; 2]| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    of_kind(Stamp {
        dev: stat.dev,
        ino: stat.ino,
        size: stat.size as u64,
        mtime_ns: time(stat.mtime),
        ctime_ns: time(stat.ctime),
        mode: stat.mode,
    })
}

/// The text of a link is part of what lies there, and not part of this answer.
fn of_kind(stamp: Stamp) -> Answer {
    if stamp.mode & KIND == LINK { Answer::Void } else { Answer::There(stamp) }
}

/// The beginning of the kernel's `struct statx`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    pad: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    atime: StatxTime,
    btime: StatxTime,
    ctime: StatxTime,
    mtime: StatxTime,
    rdev: [u32; 2],
    dev: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    pad: i32,
}

fn stamp_of_statx(stat: &Statx) -> Answer {
    if stat.mask & STATX_BASIC != STATX_BASIC {
        return Answer::Void;
    }
    let time = |time: StatxTime| {
        time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanoseconds))
    };
    let [major, minor] = stat.dev.map(u64::from);
    of_kind(Stamp {
        // As the C library puts the two together.
        dev: minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32,
        ino: stat.ino,
        size: stat.size,
        mtime_ns: time(stat.mtime),
        ctime_ns: time(stat.ctime),
        mode: u32::from(stat.mode),
    })
}

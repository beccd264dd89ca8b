//! The gate: a page from which the filter lets calls through that only look. Whoever comes this way has
//! noted before what it asks, and here that is a type: [`Gate::call`] takes the note, [`Gate::again`] the
//! proof that the same was noted before, [`Gate::nameless`] the proof that there is nothing to note. What is asked from anywhere else is told to the tracer.

use crate::seen::Known;
use crate::{memory, sys};
use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};
use overhear_trace_abi::handle::OWN_ENTRY;
use overhear_trace_abi::notes::{Answer, Noted};

const PAGE: usize = 4096;
/// `syscall`, `ret`.
const CODE: [u8; 3] = [0x0f, 0x05, 0xc3];

const NEW: u8 = 0;
const BUSY: u8 = 1;
const ON: u8 = 2;
const OFF: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(NEW);

/// The page, mapped.
#[derive(Clone, Copy)]
pub struct Gate(usize);

/// The proof that a path is empty, and so names nothing.
pub struct Nameless(());

impl Nameless {
    /// Of a path with its zero.
    pub fn of(path: &[u8]) -> Option<Nameless> {
        (path == b"\0").then_some(Nameless(()))
    }
}

/// A call that was made, and still owes its note an answer.
pub struct Called<'a> {
    /// What the kernel returned.
    pub result: isize,
    gate: Gate,
    noted: Noted<'a>,
}

impl Gate {
    /// The gate of this process, mapped now if it was not. `None` where there is none: another thread is
    /// about to map it, or something else lies there.
    pub fn get() -> Option<Gate> {
        let gate = Gate(memory::gate()?);
        match STATE.load(Ordering::Acquire) {
            ON => Some(gate),
            NEW if STATE.compare_exchange(NEW, BUSY, Ordering::AcqRel, Ordering::Acquire).is_ok() => {
                let is_mapped = map(gate.0);
                STATE.store(if is_mapped { ON } else { OFF }, Ordering::Release);
                is_mapped.then_some(gate)
            }
            _ => None,
        }
    }

    /// Asks what was noted.
    ///
    /// # Safety
    /// That of the call with this number.
    pub unsafe fn call<'a>(self, noted: Noted<'a>, number: usize, arguments: [usize; 6]) -> Called<'a> {
        // SAFETY: promised by the caller.
        Called { result: unsafe { self.enter(number, arguments) }, gate: self, noted }
    }

    /// Asks what was noted before.
    ///
    /// # Safety
    /// That of the call with this number.
    pub unsafe fn again(self, _: Known, number: usize, arguments: [usize; 6]) -> isize {
        // SAFETY: promised by the caller.
        unsafe { self.enter(number, arguments) }
    }

    /// Asks about a descriptor.
    ///
    /// # Safety
    /// That of the call with this number.
    pub unsafe fn nameless(self, _: Nameless, number: usize, arguments: [usize; 6]) -> isize {
        // SAFETY: promised by the caller.
        unsafe { self.enter(number, arguments) }
    }

    /// Opens the memory that is shared with overhear: no business of the step.
    ///
    /// # Safety
    /// The path ends with zero, and leads there.
    pub unsafe fn open_memory(self, path: *const u8) -> isize {
        let arguments = [sys::AT_FDCWD as usize, path as usize, sys::O_RDWR | sys::O_CLOEXEC, 0, 0, 0];
        // SAFETY: promised by the caller.
        unsafe { Gate(self.0 + OWN_ENTRY).enter(sys::OPENAT, arguments) }
    }

    /// The path that a descriptor leads to: where a relative path starts is no fact of its own.
    ///
    /// # Safety
    /// The path is that of a descriptor in `/proc`, and ends with zero.
    pub unsafe fn read_descriptor(self, path: *const u8, out: &mut [u8]) -> isize {
        let arguments = [path as usize, out.as_mut_ptr() as usize, out.len(), 0, 0, 0];
        // SAFETY: promised by the caller; the kernel writes into `out`.
        unsafe { self.enter(sys::READLINK, arguments) }
    }

    unsafe fn enter(self, number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
        let result: isize;
        // SAFETY: the code of the gate changes rax, rcx and r11 only, and returns.
        unsafe {
            asm!("call {gate}", gate = in(reg) self.0, inlateout("rax") number => result, in("rdi") a,
                 in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                 lateout("rcx") _, lateout("r11") _);
        }
        result
    }
}

impl Called<'_> {
    /// Looks at what was asked for, to have evidence of it: a second question about the same path.
    ///
    /// # Safety
    /// As of `newfstatat`.
    pub unsafe fn look(&self, at: usize, path: usize, stat: &mut sys::Stat, flags: usize) -> isize {
        let stat = core::ptr::from_mut(stat) as usize;
        // SAFETY: promised by the caller.
        unsafe { self.gate.enter(sys::NEWFSTATAT, [at, path, stat, flags, 0, 0]) }
    }

    /// Writes down what was answered, and whether the last name is certain to be no symlink.
    pub fn answer(self, answer: &Answer, is_no_link: bool) {
        self.noted.answer(answer, is_no_link);
    }
}

/// Puts the code where the filter expects it.
fn map(gate: usize) -> bool {
    let Some(page) = sys::map_at(gate, PAGE) else { return false };
    // SAFETY: a page of our own, just mapped, that nobody knows of yet.
    unsafe {
        for (place, byte) in CODE.iter().enumerate() {
            *page.add(place) = *byte;
            *page.add(OWN_ENTRY + place) = *byte;
        }
        if sys::make_code(page, PAGE) {
            return true;
        }
        sys::unmap(page, PAGE);
    }
    false
}

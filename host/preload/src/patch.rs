//! Redirecting system calls that a library makes by itself, when it is loaded: the few instructions that
//! overhear found in its file become jumps to [`crate::note::ask`]. What the tracer is told of is the same,
//! and so is what the library gets; only the way is shorter.
//!
//! A library may have started threads by the time it is loaded, and one of them may be waiting in such a
//! call. So only the two bytes of `syscall` are replaced, and what is behind them stays what it was: a jump
//! has five bytes, and the last three of one to the right distance are those that are behind these calls, as
//! those of `test rax, rax`. The new code lies at that distance, if nothing else does.
//!
//! So it is with the C library's own, when a program asks for a locale: that opens a dozen files and looks at
//! each, without coming by the functions that programs call.

use crate::gate::Gate;
use crate::memory::Memory;
use crate::text::Writer;
use crate::{next, note, sys};
use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};
use overhear_trace_abi::sites::{PATTERN, PROBE_SITES, SITES_MAX};

const PAGE: usize = 4096;
/// Longer paths are not asked for.
const PATH_MAX: usize = 900;
/// `syscall`.
const CALL: [u8; 2] = [0x0f, 0x05];
/// Bytes of a jump to anywhere.
const JUMP_BYTES: usize = 5;
/// How far into a function of the C library its call is looked for.
const FUNCTION_BYTES: usize = 96;
/// How far before a call its number is.
const NUMBER_WITHIN: usize = 24;
/// Where new code may begin, beyond that distance.
const WINDOW: usize = 256;
const PT_LOAD: u32 = 1;
const EXECUTABLE: u32 = 1;

type DlOpen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Iterate = unsafe extern "C" fn(
    unsafe extern "C" fn(*const Loaded, usize, *mut c_void) -> c_int,
    *mut c_void,
) -> c_int;

/// The C library's `struct dl_phdr_info`.
#[repr(C)]
struct Loaded {
    base: usize,
    name: *const c_char,
    segments: *const Segment,
    segment_count: u16,
    /// How many were ever loaded.
    loads: u64,
    unloads: u64,
}

/// `Elf64_Phdr`.
#[repr(C)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical: usize,
    file_bytes: usize,
    memory_bytes: usize,
    align: usize,
}

/// What a look at all that is loaded is to find.
struct Search<'a> {
    /// The path as it was asked for; empty to find only the count.
    name: &'a [u8],
    loads: u64,
    found: Option<(usize, *const Segment, u16)>,
}

/// The C library searches a name without a slash where its caller says: so there it must see the caller.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {whose}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "jmp {opened}",
        whose = sym whose,
        opened = sym opened,
    )
}

/// The address of the C library's own `dlopen` where that is to be called at once, or 0.
unsafe extern "C" fn whose(name: *const c_char) -> usize {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::DLOPEN.get::<DlOpen>() else { return 0 };
        let is_ours = !name.is_null() && {
            let name = crate::block::bytes(name);
            name.starts_with(b"/") && name.len() <= PATH_MAX && !name.contains(&b'$')
        };
        if is_ours && may_patch() { 0 } else { own as usize }
    }
}

unsafe extern "C" fn opened(name: *const c_char, flags: c_int) -> *mut c_void {
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::DLOPEN.get::<DlOpen>() else { return core::ptr::null_mut() };
        let loads_before = look(b"").loads;
        let handle = own(name, flags);
        if !handle.is_null() {
            let name = crate::block::bytes(name);
            let now = look(name);
            if now.loads > loads_before
                && let Some((base, segments, count)) = now.found
            {
                patch(name, base, core::slice::from_raw_parts(segments, count.into()));
            }
        }
        handle
    }
}

/// Looks through what is loaded.
fn look(name: &[u8]) -> Search<'_> {
    let mut search = Search { name, loads: u64::MAX, found: None };
    // SAFETY: the function is called while this frame is there.
    unsafe {
        if let Some(iterate) = next::DL_ITERATE_PHDR.get::<Iterate>() {
            iterate(on_loaded, (&raw mut search).cast());
        }
    }
    search
}

unsafe extern "C" fn on_loaded(loaded: *const Loaded, size: usize, search: *mut c_void) -> c_int {
    if size < size_of::<Loaded>() {
        return 1;
    }
    // SAFETY: the C library gives the first, and hands on the second.
    unsafe {
        let (loaded, search) = (&*loaded, &mut *search.cast::<Search<'_>>());
        search.loads = loaded.loads;
        if !search.name.is_empty()
            && !loaded.name.is_null()
            && crate::block::bytes(loaded.name) == search.name
        {
            search.found = Some((loaded.base, loaded.segments, loaded.segment_count));
        }
    }
    0
}

/// Redirects the calls of one library.
unsafe fn patch(name: &[u8], base: usize, segments: &[Segment]) {
    let Some(memory) = Memory::get_quietly() else { return };
    ask_for_sites(name);
    for place in memory.sites.of(name) {
        if let Some(site) = address(place as usize, base, segments) {
            // SAFETY: it lies in a segment that is mapped, as the loader says.
            unsafe {
                if core::slice::from_raw_parts(site as *const u8, PATTERN.len()) == PATTERN {
                    redirect(site, false);
                }
            }
        }
    }
}

type SetLocale = unsafe extern "C" fn(c_int, *const c_char) -> *mut c_char;

/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setlocale(category: c_int, locale: *const c_char) -> *mut c_char {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    // SAFETY: as of the C library's.
    unsafe {
        let Some(own) = next::SETLOCALE.get::<SetLocale>() else { return core::ptr::null_mut() };
        // Without a name it only says what it is.
        if !locale.is_null() && !IS_DONE.swap(true, Ordering::Relaxed) && may_patch() {
            redirect_own();
        }
        own(category, locale)
    }
}

/// Redirects how the C library opens files for itself, and looks at what it opened.
unsafe fn redirect_own() {
    // SAFETY: the addresses are the C library's own, of the kinds that are said.
    unsafe {
        let is_alone = next::SINGLE_THREADED.get::<*const u8>().is_some_and(|alone| *alone != 0);
        for (function, number) in [(&next::OPEN_NOCANCEL, sys::OPENAT), (&next::FSTATAT, sys::NEWFSTATAT)] {
            let Some(start) = function.get::<*const u8>() else { continue };
            let text = core::slice::from_raw_parts(start, FUNCTION_BYTES);
            if let Some(at) = call_of(text, number as u32) {
                redirect(start as usize + at, is_alone);
            }
        }
    }
}

/// Where the first system call of a function is, if it is that with this number: `mov eax, number`, what
/// does not call, `syscall`, and a comparison with what is no error, of `rax` or `eax`.
fn call_of(text: &[u8], number: u32) -> Option<usize> {
    let at = text.windows(CALL.len()).position(|bytes| bytes == CALL)?;
    let behind = text.get(at + CALL.len()..)?;
    let is_compared = behind.starts_with(&[0x48, 0x3d, 0, 0xf0, 0xff, 0xff])
        || behind.starts_with(&[0x3d, 0, 0xf0, 0xff, 0xff]);
    let [a, b, c, d] = number.to_le_bytes();
    let before = text.get(at.saturating_sub(NUMBER_WITHIN)..at)?;
    (is_compared && before.windows(5).any(|bytes| bytes == [0xb8, a, b, c, d])).then_some(at)
}

/// Whether this is a process of a step in which calls may be redirected.
fn may_patch() -> bool {
    Gate::get().is_some()
        && Memory::get_quietly().is_some_and(|memory| memory.ring.may_patch.load(Ordering::Relaxed) != 0)
}

/// Where a place of a file is in memory.
fn address(place: usize, base: usize, segments: &[Segment]) -> Option<usize> {
    let segment = segments.iter().find(|segment| {
        segment.kind == PT_LOAD
            && segment.flags & EXECUTABLE != 0
            && place >= segment.offset
            && place + PATTERN.len() <= segment.offset + segment.file_bytes
    })?;
    Some(base + segment.address + (place - segment.offset))
}

/// The tracer writes the answer down before it lets the call go on.
fn ask_for_sites(name: &[u8]) {
    let mut path = [0u8; PROBE_SITES.len() + PATH_MAX + 1];
    for (to, from) in path.iter_mut().zip(PROBE_SITES.as_bytes().iter().chain(name)) {
        *to = *from;
    }
    // SAFETY: it ends with zero.
    unsafe { sys::probe(path.as_ptr()) };
}

/// Writes new code for a call at the only distance that there is, and then the jump to it.
///
/// # Safety
/// A `syscall` is there, and what is behind it is mapped too. `is_alone` if no other thread may come by.
unsafe fn redirect(site: usize, is_alone: bool) {
    // SAFETY: promised; the kernel says where memory of our own is.
    unsafe {
        let behind = core::slice::from_raw_parts((site + CALL.len()) as *const u8, JUMP_BYTES - CALL.len());
        let [b, c, d] = *behind else { return };
        // A store that crosses a line of the cache is two.
        if site % 64 == 63 && !is_alone {
            return;
        }
        let distance = i32::from_le_bytes([0, b, c, d]);
        let first = (site + JUMP_BYTES).wrapping_add_signed(distance as isize);
        // As much of the window as lies in one page.
        let page = first & !(PAGE - 1);
        let (page, code) = match page + PAGE - first {
            left if left >= WINDOW / 2 => (page, first),
            _ => (page + PAGE, page + PAGE),
        };
        let Some(room) = sys::map_at(page, PAGE) else { return };
        write_code(site, code as *mut u8);
        if !sys::make_code(room, PAGE) {
            return sys::unmap(room, PAGE);
        }
        write_jump(site, (code - first) as u8);
    }
}

/// Writes the new code of a call.
///
/// # Safety
/// There is room.
unsafe fn write_code(site: usize, code: *mut u8) {
    const LENGTH: usize = 26;
    let back = (site + CALL.len()).wrapping_sub(code as usize + LENGTH) as u32;
    let patched: unsafe extern "C" fn() = patched;
    let mut writer = Writer::at(code);
    // SAFETY: promised.
    unsafe {
        // What is below the stack pointer belongs to the library: lea rsp, [rsp - 128]
        writer.add(&[0x48, 0x8d, 0x64, 0x24, 0x80]);
        // mov rcx, patched; call rcx: a system call changes rcx too.
        writer.add(&[0x48, 0xb9]);
        writer.add(&(patched as usize as u64).to_le_bytes());
        writer.add(&[0xff, 0xd1]);
        // sub rsp, -128; jmp back. The flags are set by what is there.
        writer.add(&[0x48, 0x83, 0xec, 0x80, 0xe9]);
        writer.add(&back.to_le_bytes());
    }
}

/// Writes the first two bytes of the jump, both at once where they lie in one word.
///
/// # Safety
/// The site is mapped.
unsafe fn write_jump(site: usize, low: u8) {
    let first = site & !(PAGE - 1);
    let bytes = (site + JUMP_BYTES - first).next_multiple_of(PAGE);
    let both = u16::from_le_bytes([0xe9, low]);
    // SAFETY: promised.
    unsafe {
        if sys::make_writable_code(first as *mut u8, bytes) {
            core::arch::asm!("mov word ptr [{site}], {both:x}", site = in(reg) site, both = in(reg) both);
            sys::make_code(first as *mut u8, bytes);
        }
    }
}

/// Stands in for a system call: changes rax, rcx and r11 only, whatever the stack is aligned to.
#[unsafe(naked)]
unsafe extern "C" fn patched() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "sub rsp, 272",
        "and rsp, -16",
        "movups [rsp], xmm0",
        "movups [rsp + 16], xmm1",
        "movups [rsp + 32], xmm2",
        "movups [rsp + 48], xmm3",
        "movups [rsp + 64], xmm4",
        "movups [rsp + 80], xmm5",
        "movups [rsp + 96], xmm6",
        "movups [rsp + 112], xmm7",
        "movups [rsp + 128], xmm8",
        "movups [rsp + 144], xmm9",
        "movups [rsp + 160], xmm10",
        "movups [rsp + 176], xmm11",
        "movups [rsp + 192], xmm12",
        "movups [rsp + 208], xmm13",
        "movups [rsp + 224], xmm14",
        "movups [rsp + 240], xmm15",
        // The seventh argument lies on the stack, which stays aligned.
        "push r9",
        "push r9",
        "mov r9, r8",
        "mov r8, r10",
        "mov rcx, rdx",
        "mov rdx, rsi",
        "mov rsi, rdi",
        "mov rdi, rax",
        "call {ask}",
        "add rsp, 16",
        "movups xmm0, [rsp]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "movups xmm8, [rsp + 128]",
        "movups xmm9, [rsp + 144]",
        "movups xmm10, [rsp + 160]",
        "movups xmm11, [rsp + 176]",
        "movups xmm12, [rsp + 192]",
        "movups xmm13, [rsp + 208]",
        "movups xmm14, [rsp + 224]",
        "movups xmm15, [rsp + 240]",
        "lea rsp, [rbp - 48]",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        "ret",
        ask = sym ask,
    )
}

unsafe extern "C" fn ask(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    // SAFETY: the kernel checks each address.
    unsafe { note::ask(number, [a, b, c, d, e, f]) }
}

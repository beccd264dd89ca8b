//! What is shared with overhear, and what this process knows of itself: where the memory is, and which
//! variables it has set or unset. The memory is mapped when it is needed first.

use crate::gate::Gate;
use crate::{block, next, sys};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use overhear_trace_abi::handle::{Handle, Hidden, TEXT_BYTES_MAX};
use overhear_trace_abi::notes::Ring;
use overhear_trace_abi::sites::Sites;
use overhear_trace_abi::table::Table;
use overhear_trace_abi::{
    Log, NAME_BYTES_MAX, NAMES_BYTES, PROBE_LOST, RING_AT, SITES_AT, Slot, TABLE_AT, VARIABLES_MAX, hash,
};

/// Probes for a free place; a log so full that more are needed counts as full.
const PROBES_MAX: u64 = 64;
/// The longest path of this library.
pub const PATH_BYTES_MAX: usize = 1024;

/// Nothing was looked at yet.
const NEW: u8 = 0;
/// This is no process of a step, or overhear cannot be reached.
const OFF: u8 = 1;
/// The handle is known.
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEW);
static BASE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static HIDDEN: [AtomicU64; VARIABLES_MAX / 64] = [const { AtomicU64::new(0) }; VARIABLES_MAX / 64];
static OWN: Own = Own(UnsafeCell::new(Known { handle: None, path: [0; PATH_BYTES_MAX], path_len: 0 }));

/// Written once, before the program has threads.
struct Own(UnsafeCell<Known>);

struct Known {
    handle: Option<Handle>,
    path: [u8; PATH_BYTES_MAX],
    path_len: usize,
}

// SAFETY: written only while `STATE` is `NEW`: by the loader's own thread.
unsafe impl Sync for Own {}

/// Reads what overhear put into the environment, and takes it out of there. Another library may ask for
/// a variable before this one was started: so it may be called more than once.
pub fn begin() {
    if STATE.load(Ordering::Acquire) != NEW {
        return;
    }
    next::find();
    let is_known = block::take_own().is_some_and(|(text, path)| learn(text, path));
    STATE.store(if is_known { ON } else { OFF }, Ordering::Release);
}

fn learn(text: &[u8], path: &[u8]) -> bool {
    let mut hidden: Hidden = [0; VARIABLES_MAX / 64];
    let Some(handle) = Handle::parse(text, &mut hidden) else { return false };
    for (word, hidden) in HIDDEN.iter().zip(hidden) {
        word.store(hidden, Ordering::Relaxed);
    }
    // SAFETY: the state is `NEW`, so nobody else looks.
    let known = unsafe { &mut *OWN.0.get() };
    let Some(room) = known.path.get_mut(..path.len()) else { return false };
    room.copy_from_slice(path);
    known.path_len = path.len();
    known.handle = Some(handle);
    true
}

fn known() -> Option<&'static Known> {
    begin();
    // SAFETY: it is not written any more.
    (STATE.load(Ordering::Acquire) == ON).then(|| unsafe { &*OWN.0.get() })
}

/// Whether this is a process of a step.
pub fn is_on() -> bool {
    known().is_some()
}

/// The path of this library.
pub fn library() -> Option<&'static [u8]> {
    known().and_then(|known| known.path.get(..known.path_len))
}

/// Where the gate is to be mapped, if there is one.
pub fn gate() -> Option<usize> {
    known()?.handle.map(|handle| handle.gate as usize).filter(|gate| *gate != 0)
}

/// The text of the handle as it is handed on now; its length.
pub fn handle_text(out: &mut [u8; TEXT_BYTES_MAX]) -> Option<usize> {
    let mut hidden: Hidden = [0; VARIABLES_MAX / 64];
    for (word, hidden) in hidden.iter_mut().zip(&HIDDEN) {
        *word = hidden.load(Ordering::Relaxed);
    }
    known()?.handle?.write(&hidden, out)
}

/// The memory, mapped.
#[derive(Clone, Copy)]
pub struct Memory {
    log: &'static Log,
    /// Where this process notes what it asks of the file system.
    pub ring: &'static Ring,
    /// Which system calls of libraries may be redirected.
    pub sites: &'static Sites,
    table: Table,
}

/// What overhear knows of a variable that is not in the block.
pub enum LeftOut {
    /// It was left out; its position and its value.
    Yes(usize, *const u8),
    /// It was, and this process has set or unset it itself.
    Hidden,
    /// It is not set anywhere.
    No,
}

impl Memory {
    /// The memory; mapped now, if it was not. `None` if this is no process of a step. Where the memory
    /// cannot be reached, overhear is told by an access that the tracer sees.
    pub fn get() -> Option<Memory> {
        let handle = known()?.handle?;
        let memory = Memory::reach(&handle);
        if memory.is_none() {
            lost();
        }
        memory
    }

    /// The same, where others see what goes unnoted here.
    pub fn get_quietly() -> Option<Memory> {
        static IS_OUT_OF_REACH: AtomicU8 = AtomicU8::new(0);
        if IS_OUT_OF_REACH.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let memory = Memory::reach(&known()?.handle?);
        if memory.is_none() {
            IS_OUT_OF_REACH.store(1, Ordering::Relaxed);
        }
        memory
    }

    fn reach(handle: &Handle) -> Option<Memory> {
        let mut base = BASE.load(Ordering::Acquire);
        if base.is_null() {
            let own = map(handle)?;
            base = match BASE.compare_exchange(ptr::null_mut(), own, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => own,
                Err(others) => {
                    // SAFETY: mapped above, and nobody knows of it.
                    unsafe { sys::unmap(own, TABLE_AT + handle.table_bytes as usize) };
                    others
                }
            };
        }
        // SAFETY: it stays mapped for the life of the process; the table was checked when it was mapped.
        unsafe {
            let table = Table::at(base.add(TABLE_AT), handle.table_bytes as usize, handle.token)?;
            Some(Memory {
                log: &*base.cast::<Log>(),
                ring: &*base.add(RING_AT).cast::<Ring>(),
                sites: &*base.add(SITES_AT).cast::<Sites>(),
                table,
            })
        }
    }

    /// Whether variables are noted and not served.
    pub fn is_strict(&self) -> bool {
        self.table.is_strict()
    }

    /// Whether a variable was left out of the block.
    pub fn find(&self, name: &[u8]) -> LeftOut {
        match self.table.find(name, hash(name)) {
            Some((position, _)) if is_hidden(position) => LeftOut::Hidden,
            Some((position, value)) => LeftOut::Yes(position, value),
            None => LeftOut::No,
        }
    }

    /// Notes that a variable of the table was asked for.
    pub fn note(&self, position: usize) {
        if let Some(asked) = self.log.asked.get(position)
            && asked.load(Ordering::Relaxed) == 0
        {
            asked.store(1, Ordering::Relaxed);
        }
    }

    /// Notes that a name was asked for and not found.
    pub fn note_absent(&self, name: &[u8]) {
        let name_hash = hash(name);
        for probe in 0..PROBES_MAX {
            let at = (name_hash.wrapping_add(probe)) as usize % self.log.slots.len();
            let Some(slot) = self.log.slots.get(at) else { break };
            // Most names were noted before: then the place is only read, and stays in every cache.
            let mut there = slot.hash.load(Ordering::Acquire);
            if there == 0 {
                match slot.hash.compare_exchange(0, name_hash, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return self.write_name(slot, name),
                    Err(other) => there = other,
                }
            }
            if there == name_hash {
                return;
            }
        }
        self.log.is_full.store(1, Ordering::Relaxed);
    }

    fn write_name(&self, slot: &Slot, name: &[u8]) {
        let length = name.len() as u32;
        let start = self.log.names_used.fetch_add(length, Ordering::Relaxed);
        let room = self.log.names.get(start as usize..start.saturating_add(length) as usize);
        let Some(room) = room.filter(|_| name.len() <= NAME_BYTES_MAX && start < NAMES_BYTES as u32) else {
            self.log.is_full.store(1, Ordering::Relaxed);
            return;
        };
        for (to, from) in room.iter().zip(name) {
            to.store(*from, Ordering::Relaxed);
        }
        slot.place.store(Slot::place(start, length), Ordering::Release);
    }

    /// What the process sets or unsets itself is never served afterwards.
    pub fn hide(&self, name: &[u8]) {
        if let Some((position, _)) = self.table.find(name, hash(name))
            && let Some(word) = HIDDEN.get(position / 64)
        {
            word.fetch_or(1 << (position % 64), Ordering::Relaxed);
        }
    }
}

fn is_hidden(position: usize) -> bool {
    HIDDEN.get(position / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (position % 64) & 1 != 0)
}

fn map(handle: &Handle) -> Option<*mut u8> {
    let mut path = [0u8; FD_PATH_BYTES];
    fd_path(Some(handle.pid), handle.fd, &mut path)?;
    // SAFETY: the path was all zeros behind its text.
    let fd = unsafe {
        match Gate::get() {
            Some(gate) => gate.open_memory(path.as_ptr()),
            None => sys::open(path.as_ptr()),
        }
    };
    if fd < 0 {
        return None;
    }
    let table_bytes = handle.table_bytes as usize;
    // A process that outlives overhear may find another file there, and even the length may be the same:
    // then the token tells.
    let is_length_right = sys::length(fd) == (TABLE_AT + table_bytes) as isize;
    let base = if is_length_right { sys::map_file(fd, TABLE_AT, table_bytes) } else { None };
    sys::close(fd);
    let base = base?;
    // SAFETY: just mapped, and the file is as long as that.
    unsafe {
        if Table::at(base.add(TABLE_AT), table_bytes, handle.token).is_none() {
            sys::unmap(base, TABLE_AT + table_bytes);
            return None;
        }
    }
    Some(base)
}

/// Tells overhear that something here goes unheard, once for a process.
fn lost() {
    static IS_TOLD: AtomicU32 = AtomicU32::new(0);
    if IS_TOLD.swap(1, Ordering::Relaxed) == 0 {
        let mut path = [0u8; PROBE_LOST.len() + 1];
        for (to, from) in path.iter_mut().zip(PROBE_LOST.as_bytes()) {
            *to = *from;
        }
        // SAFETY: it ends with zero.
        unsafe { sys::probe(path.as_ptr()) };
    }
}

/// Room for the path of a descriptor in `/proc`, and a zero.
pub const FD_PATH_BYTES: usize = 40;

/// The path of a descriptor of a process, or of this one.
pub fn fd_path(pid: Option<u32>, fd: u32, out: &mut [u8; FD_PATH_BYTES]) -> Option<()> {
    let mut rest = Decimal { out, at: 0 };
    rest.text(b"/proc/")?;
    match pid {
        Some(pid) => rest.number(pid)?,
        None => rest.text(b"self")?,
    }
    rest.text(b"/fd/")?;
    rest.number(fd)?;
    rest.text(b"\0")
}

struct Decimal<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Decimal<'_> {
    fn text(&mut self, text: &[u8]) -> Option<()> {
        for byte in text {
            *self.out.get_mut(self.at)? = *byte;
            self.at += 1;
        }
        Some(())
    }

    fn number(&mut self, number: u32) -> Option<()> {
        let mut unit = 1_000_000_000u32;
        while unit > 1 && number < unit {
            unit /= 10;
        }
        while unit > 0 {
            self.text(&[b'0' + (number / unit % 10) as u8])?;
            unit /= 10;
        }
        Some(())
    }
}

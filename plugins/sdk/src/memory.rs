//! The memory of a guest: handed out from one end and hardly ever taken back. Each call runs in a fresh
//! instance that is thrown away whole, so an allocator that keeps account of every piece would be a
//! tenth of a small adapter, and for nothing.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE_BYTES: usize = 65_536;

/// Hands out what lies above [`TOP`]. Only the piece that was handed out last can grow in place or be
/// taken back, which is what strings and vectors that are being filled mostly need.
struct Rising;

/// The first byte that is not handed out; 0 before the first call. A guest has one thread.
static TOP: AtomicUsize = AtomicUsize::new(0);
/// The first byte beyond the memory that belongs to us.
static END: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static MEMORY: Rising = Rising;

impl Rising {
    /// Moves the top to `end`, with more memory from the host where it needs it.
    fn rise_to(end: usize) -> bool {
        let there = END.load(Relaxed);
        if end > there {
            let pages = (end - there).div_ceil(PAGE_BYTES);
            if memory_grow::<0>(pages) == usize::MAX {
                return false;
            }
            // Nobody else in the guest asks for memory, so what is there is in one piece.
            END.store(memory_size::<0>() * PAGE_BYTES, Relaxed);
        }
        TOP.store(end, Relaxed);
        true
    }
}

// SAFETY: every piece lies between the old top and the new one, in memory that `memory.grow` gave and
// that nobody else uses, aligned as asked; the top never passes a piece that is still in use.
unsafe impl GlobalAlloc for Rising {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if TOP.load(Relaxed) == 0 {
            let end = memory_size::<0>() * PAGE_BYTES;
            TOP.store(end, Relaxed);
            END.store(end, Relaxed);
        }
        let Some(start) = TOP.load(Relaxed).checked_next_multiple_of(layout.align()) else {
            return core::ptr::null_mut();
        };
        match start.checked_add(layout.size()) {
            Some(end) if Rising::rise_to(end) => core::ptr::with_exposed_provenance_mut(start),
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let start = piece.expose_provenance();
        if start + layout.size() == TOP.load(Relaxed) {
            TOP.store(start, Relaxed);
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = piece.expose_provenance();
        let is_last = start + layout.size() == TOP.load(Relaxed);
        if is_last && start.checked_add(size).is_some_and(Rising::rise_to) {
            return piece;
        }
        if size <= layout.size() {
            return piece;
        }
        // SAFETY: the caller vouches that `size` is sound for this alignment, and `piece` for `layout`;
        // the new piece is larger and does not overlap the old one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(piece, new, layout.size());
            }
            new
        }
    }
}

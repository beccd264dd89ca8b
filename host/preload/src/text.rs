//! Texts one after another, in memory that somebody else counted.

use core::ffi::c_char;

/// Where the next byte goes.
pub struct Writer {
    at: *mut u8,
}

impl Writer {
    /// Writes from here on.
    pub fn at(at: *mut u8) -> Writer {
        Writer { at }
    }

    /// The address of what is written next.
    pub fn start(&self) -> *const c_char {
        self.at.cast()
    }

    /// Writes these bytes.
    ///
    /// # Safety
    /// There is room.
    pub unsafe fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // SAFETY: promised.
            unsafe {
                *self.at = *byte;
                self.at = self.at.add(1);
            }
        }
    }
}

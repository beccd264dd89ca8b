//! What an event source (a seccomp listener, the notes of programs) tells: [`Event`], one call
//! with its paths, not yet resolved. Sources fill it, `record` turns it into accesses.

use super::calls::Op;
use super::resolve::{Given, Who};

/// One path as the program gave it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The folder that a relative path starts from; what a descriptor leads to where there is no
    /// path. Absolute. May be empty where `path` is absolute.
    pub base: &'a [u8],
    /// The text; empty where the call is about `base` itself.
    pub path: &'a [u8],
}

impl Place<'_> {
    /// Joined, not resolved.
    pub fn absolute(&self, out: &mut Vec<u8>) {
        out.clear();
        if self.path.starts_with(b"/") {
            out.extend_from_slice(self.path);
            return;
        }
        out.extend_from_slice(self.base);
        if !self.path.is_empty() {
            out.push(b'/');
            out.extend_from_slice(self.path);
        }
    }
}

/// One call on one or two paths.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who asked.
    pub who: Who,
    /// What.
    pub op: Op,
    /// The path.
    pub place: Place<'a>,
    /// The second path, for calls with two.
    pub second: Place<'a>,
    /// Flags, as the call has them (`O_*`, `AT_*`, `RENAME_*`; for `truncate` the length).
    pub flags: u64,
    /// Whether a symlink as last component is followed.
    pub follow: bool,
    /// What lay there, where the kernel has answered the call already.
    pub given: Option<Given<'a>>,
}

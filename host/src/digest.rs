//! Digests of content (BLAKE3), and the one way in which structured values are digested.
//! It reads no files; see `fingerprint` for digests of what lies on disk.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A BLAKE3 digest of content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Reads back what `as_bytes` gave; `None` unless it is 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Digest> {
        bytes.try_into().ok().map(Digest)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Digest> {
        blake3::Hash::from_hex(text).ok().map(|hash| Digest(*hash.as_bytes()))
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", &self.to_string()[..12])
    }
}

/// Digests a sequence of fields. Each is preceded by its length, so no two different
/// sequences give the same bytes.
#[derive(Default)]
pub struct Fields(blake3::Hasher);

impl Fields {
    /// Starts with a name for what is digested and its version, so that two kinds never collide.
    pub fn new(domain: &str) -> Fields {
        let mut fields = Fields::default();
        fields.bytes(domain.as_bytes());
        fields
    }

    /// Adds one field of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Fields {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds one number.
    pub fn number(&mut self, number: u64) -> &mut Fields {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds a list: its length, then each member.
    pub fn list<T: AsRef<[u8]>>(&mut self, members: impl ExactSizeIterator<Item = T>) -> &mut Fields {
        self.number(members.len() as u64);
        // The same bytes as one field after the other, in pieces that are worth a call.
        let mut piece = Vec::new();
        for member in members {
            let member = member.as_ref();
            piece.extend_from_slice(&(member.len() as u64).to_le_bytes());
            piece.extend_from_slice(member);
            if piece.len() >= 1 << 16 {
                self.0.update(&piece);
                piece.clear();
            }
        }
        self.0.update(&piece);
        self
    }

    /// The digest of all fields so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_borders() {
        let one = Fields::new("t").bytes(b"ab").bytes(b"c").digest();
        let two = Fields::new("t").bytes(b"a").bytes(b"bc").digest();
        assert_ne!(one, two);
    }

    #[test]
    fn a_list_is_its_length_and_its_members() {
        let member = [7u8; 1000];
        let list = Fields::new("t").list(std::iter::repeat_n(member, 100)).digest();
        let mut fields = Fields::new("t");
        fields.number(100);
        for _ in 0..100 {
            fields.bytes(&member);
        }
        assert_eq!(list, fields.digest());
    }

    #[test]
    fn hex_reads_back() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_slice(b"short"), None);
    }
}

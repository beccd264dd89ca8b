//! Whether outputs or logs name the place of the checkout: then the entry holds only there.

use crate::path::Places;
use memchr::memmem::Finder;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

/// A piece of base64 that is shorter may be anything.
const BASE64_MIN: usize = 8;

/// Searches a stream of bytes for the folder of the checkout and the home folder, as they are and as they are
/// spelled in URLs, JSON and source maps. Once found, it looks no further.
pub(super) struct PlaceFinder {
    names: Vec<Finder<'static>>,
    /// The end of what was fed before, so that a name across two pieces is found.
    tail: Vec<u8>,
    pub(super) found: bool,
}

impl PlaceFinder {
    pub(super) fn new(places: &Places) -> PlaceFinder {
        let names =
            std::iter::once(&places.root).chain(&places.home).filter(|place| place.as_os_str().len() > 1);
        let spelled: BTreeSet<Vec<u8>> =
            names.flat_map(|place| spellings(place.as_os_str().as_bytes())).collect();
        let names = spelled.iter().map(|name| Finder::new(name).into_owned()).collect();
        PlaceFinder { names, tail: Vec::new(), found: false }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        let holds =
            |names: &[Finder<'static>], bytes: &[u8]| names.iter().any(|name| name.find(bytes).is_some());
        let overlap = self.names.iter().map(|name| name.needle().len()).max().unwrap_or(1) - 1;
        // A name that begins in the last piece ends within so many bytes of this one.
        self.tail.extend_from_slice(&bytes[..bytes.len().min(overlap)]);
        self.found = holds(&self.names, &self.tail) || holds(&self.names, bytes);
        if bytes.len() >= overlap {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - overlap..]);
        } else {
            let keep = self.tail.len().min(overlap);
            self.tail.drain(..self.tail.len() - keep);
        }
    }

    /// One stream ends and another begins.
    pub(super) fn cut(&mut self) {
        self.tail.clear();
    }
}

/// How a path may stand in a file. A digest of it, or a packed file, shows nothing.
fn spellings(path: &[u8]) -> Vec<Vec<u8>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
    let in_url = |byte: u8| is_plain(byte) || b"/$&+,:;=@[]|^".contains(&byte);
    let json = path.iter().flat_map(|byte| if *byte == b'/' { vec![b'\\', b'/'] } else { vec![*byte] });
    let wide = path.iter().flat_map(|byte| [*byte, 0]);
    let mut all =
        vec![path.to_vec(), percent(path, in_url), percent(path, is_plain), json.collect(), wide.collect()];
    all.extend((0..3).filter_map(|before| base64_within(path, before)));
    all
}

/// As in URLs; what is not `kept` as its number.
fn percent(path: &[u8], kept: impl Fn(u8) -> bool) -> Vec<u8> {
    let spell = |byte: &u8| if kept(*byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() };
    path.iter().flat_map(spell).collect()
}

/// The letters of base64 that follow from a path alone, where so many bytes come before it in its group of
/// three.
fn base64_within(path: &[u8], before: usize) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let path = path.get((3 - before) % 3..)?;
    let letters = path.chunks_exact(3).flat_map(|three| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize])
    });
    let letters: Vec<u8> = letters.collect();
    (letters.len() >= BASE64_MIN).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_wherever_the_pieces_are_cut() {
        let places = Places { root: "/w/some".into(), home: Some("/h".into()) };
        let text = b"in /w/some/x";
        for piece in 1..=text.len() {
            let mut finder = PlaceFinder::new(&places);
            text.chunks(piece).for_each(|piece| finder.feed(piece));
            assert!(finder.found, "pieces of {piece}");
            let mut finder = PlaceFinder::new(&places);
            b"in /w/som, /w/so/me".chunks(piece).for_each(|piece| finder.feed(piece));
            assert!(!finder.found, "pieces of {piece}");
        }
        let mut finder = PlaceFinder::new(&places);
        finder.feed(b"/w/so");
        finder.cut();
        finder.feed(b"me");
        assert!(!finder.found);
    }

    #[test]
    fn a_place_is_found_as_urls_json_and_source_maps_spell_it() {
        let places = Places { root: "/w/my project/é".into(), home: None };
        let texts = [
            "file:///w/my%20project/%C3%A9/a.js",
            "?root=%2Fw%2Fmy%20project%2F%C3%A9",
            r#"{"root": "\/w\/my project\/é"}"#,
            // The same after nothing, one and two letters, in base64.
            "L3cvbXkgcHJvamVjdC/DqS9h",
            "YS93L215IHByb2plY3Qvw6kvYQ==",
            "YWEvdy9teSBwcm9qZWN0L8OpL2E=",
        ];
        for text in texts {
            let mut finder = PlaceFinder::new(&places);
            finder.feed(text.as_bytes());
            assert!(finder.found, "{text}");
        }
        let wide: Vec<u8> = "in /w/my project/é".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut finder = PlaceFinder::new(&Places { root: "/w/my project".into(), home: None });
        finder.feed(&wide);
        assert!(finder.found);
        let mut finder = PlaceFinder::new(&places);
        finder.feed(b"/w/my%20projects L3cvbXkgcHJvamVjdHM= /w/your project");
        assert!(!finder.found);
    }
}

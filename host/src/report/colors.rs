//! Taking colours out of what commands print. Commands are told to colour, and what they print is kept
//! coloured; where colours do not belong they are taken out again, and nothing else is: every other
//! byte stays as it was printed, text or not.

/// Longer sequences are none: what began like one is printed as it is.
const SEQUENCE_BYTES_MAX: usize = 4096;

/// Takes colours out of a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Strip {
    /// What may be the beginning of a sequence.
    held: Vec<u8>,
}

/// What the beginning of some bytes is.
enum Begin {
    /// A colour or link of so many bytes.
    Sequence(usize),
    /// Perhaps one, when more has come.
    Open,
    /// None.
    Other,
}

impl Strip {
    /// The bytes without colours (`ESC [ … m`) and links (`ESC ] 8 ; …`). A sequence that has only begun
    /// is held back.
    pub fn strip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let whole;
        let mut rest = bytes;
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            whole = std::mem::take(&mut self.held);
            rest = &whole;
        }
        let mut stripped = Vec::with_capacity(rest.len());
        while let Some(at) = memchr::memchr(0x1b, rest) {
            stripped.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            match begin(rest) {
                Begin::Sequence(length) => rest = &rest[length..],
                Begin::Open if rest.len() < SEQUENCE_BYTES_MAX => {
                    self.held = rest.to_vec();
                    return stripped;
                }
                Begin::Open | Begin::Other => {
                    stripped.push(0x1b);
                    rest = &rest[1..];
                }
            }
        }
        stripped.extend_from_slice(rest);
        stripped
    }

    /// What was held back, when nothing more will come.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// A whole text without colours.
pub fn plain(text: &str) -> String {
    let mut strip = Strip::default();
    let mut bytes = strip.strip(text.as_bytes());
    bytes.extend(strip.rest());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn begin(bytes: &[u8]) -> Begin {
    match bytes.get(1) {
        None => Begin::Open,
        Some(b'[') => {
            let parameters =
                bytes[2..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
            match bytes.get(2 + parameters) {
                None => Begin::Open,
                Some(b'm') => Begin::Sequence(parameters + 3),
                Some(_) => Begin::Other,
            }
        }
        Some(b']') => link(bytes),
        Some(_) => Begin::Other,
    }
}

/// `ESC ] 8 ; … ` up to BEL or `ESC \`.
fn link(bytes: &[u8]) -> Begin {
    let opening = b"\x1b]8;";
    if !bytes.starts_with(opening) {
        return if opening.starts_with(bytes) { Begin::Open } else { Begin::Other };
    }
    match memchr::memchr2(0x07, 0x1b, &bytes[opening.len()..]).map(|at| at + opening.len()) {
        None => Begin::Open,
        Some(end) if bytes[end] == 0x07 => Begin::Sequence(end + 1),
        Some(end) => match bytes.get(end + 1) {
            None => Begin::Open,
            Some(b'\\') => Begin::Sequence(end + 2),
            Some(_) => Begin::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_links_go_and_every_other_byte_stays() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"\x1b[31mred\x1b[0m\n", b"red\n"),
            (b"\x1b]8;;https://a.b\x1b\\text\x1b]8;;\x07 \x1b[1;38:5:9mx", b"text x"),
            (b"10%\r20%\rdone\n", b"10%\r20%\rdone\n"),
            (b"\xff\xfe\x00\x07\t", b"\xff\xfe\x00\x07\t"),
            (b"\x1b[2J\x1b[1A\x1b]0;title\x07\x1b7", b"\x1b[2J\x1b[1A\x1b]0;title\x07\x1b7"),
            (b"ends with \x1b[3", b"ends with \x1b[3"),
        ];
        for (bytes, expected) in cases {
            for size in [1, 2, 3, 100] {
                let mut strip = Strip::default();
                let mut stripped: Vec<u8> = bytes.chunks(size).flat_map(|piece| strip.strip(piece)).collect();
                stripped.extend(strip.rest());
                assert_eq!(stripped, expected, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_never_ends_is_not_held_for_ever() {
        let mut strip = Strip::default();
        let bytes = [b"\x1b]8;;".as_slice(), &[b'x'; 5000]].concat();
        let mut stripped: Vec<u8> = bytes.chunks(100).flat_map(|piece| strip.strip(piece)).collect();
        assert!(strip.held.len() < SEQUENCE_BYTES_MAX);
        stripped.extend(strip.rest());
        assert_eq!(stripped, bytes);
    }
}

//! The messages between a tool and overhear, and how they lie on the wire. Both ends use these
//! types. Pure: nothing here opens, reads or writes anything. `docs/protocol.md` says the same for
//! authors of clients in other languages.
//!
//! A frame is a `u32` (little endian) length and a body of that many bytes. A body is one byte of
//! kind, one byte of flags, and the rest. The bodies are binary because paths on Unix are bytes, not
//! text, and because a message holds at most one string, so that its rest *is* the string: a client
//! needs no encoder at all.

use thiserror::Error;

/// The version of the protocol, said by a client in its first message. A server takes clients of its
/// own version and of older ones.
///
/// History: 1, the first.
pub const VERSION: u16 = 1;

/// The longest body of a message that a server reads, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// The longest body of a reply that a client reads, in bytes.
pub const MAX_REPLY: usize = 1 << 24;

/// A message with this flag may be skipped by a server that does not know it.
pub const IGNORABLE: u8 = 1;
/// What was asked for is no dependency of the result.
pub const UNTRACKED: u8 = 2;
/// The client waits for a reply. Without it, a question is noted and not answered.
pub const REPLY: u8 = 4;
const ALL_FLAGS: u8 = IGNORABLE | UNTRACKED | REPLY;

const MAGIC: &[u8; 4] = b"OVHR";

const HELLO: u8 = 0x01;
const IGNORE_INPUT: u8 = 0x02;
const IGNORE_OUTPUT: u8 = 0x03;
const DISABLE_CACHE: u8 = 0x04;
const GET_ENV: u8 = 0x05;
const GET_ENVS_GLOB: u8 = 0x06;
const GET_ENVS_PREFIX: u8 = 0x07;

const NOT_KNOWN: u8 = 0x80;
const ABSENT: u8 = 0x81;
const VALUE: u8 = 0x82;
const VALUES: u8 = 0x83;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The first message of each connection, and only the first.
    Hello {
        /// The version that the client speaks.
        version: u16,
    },
    /// What is read at or below this absolute path is no input.
    IgnoreInput {
        /// The path: bytes that begin with a slash.
        path: &'a [u8],
    },
    /// What is written at or below this absolute path is no output.
    IgnoreOutput {
        /// The path: bytes that begin with a slash.
        path: &'a [u8],
    },
    /// The result must not be kept.
    DisableCache,
    /// Asks for one variable.
    GetEnv {
        /// Its name.
        name: &'a str,
        /// Whether the result depends on it.
        tracked: bool,
        /// Whether the client waits for the value.
        reply: bool,
    },
    /// Asks for all variables that match.
    GetEnvs {
        /// Which.
        select: Select<'a>,
        /// Whether the result depends on them.
        tracked: bool,
        /// Whether the client waits for the values.
        reply: bool,
    },
    /// A message of a later version, or one with a flag of a later version.
    Unknown {
        /// Its kind.
        kind: u8,
        /// Whether it may be skipped without losing a fact.
        ignorable: bool,
        /// Whether the client waits for a reply.
        reply: bool,
    },
}

/// Which variables a [`Message::GetEnvs`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select<'a> {
    /// Names that match: `*` stands for any run of characters, `?` for one.
    Glob(&'a str),
    /// Names that start so; the empty prefix means all.
    Prefix(&'a str),
}

impl Select<'_> {
    /// Whether the variable of this name is meant.
    pub fn matches(self, name: &str) -> bool {
        match self {
            Select::Glob(glob) => glob_matches(glob, name),
            Select::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

/// A name is held against a glob, character by character. Where a run of characters that a star stood for
/// was too short, one more is given to the last star: no other star need be looked at again.
fn glob_matches(glob: &str, name: &str) -> bool {
    let (mut pattern, mut rest) = (glob.chars(), name.chars());
    let mut retry = None;
    loop {
        match (pattern.next(), rest.clone().next()) {
            (Some('*'), _) => retry = Some((pattern.clone(), rest.clone())),
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => drop(rest.next()),
            (None, None) => return true,
            _ => {
                let Some((after_star, taken)) = &mut retry else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (pattern, rest) = (after_star.clone(), taken.clone());
            }
        }
    }
}

/// What a server answers to a message with [`REPLY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The server does not know the message.
    NotKnown,
    /// There is no such variable.
    Absent,
    /// The value of the variable.
    Value(&'a str),
    /// Names and values, sorted by name.
    Values(Vec<(&'a str, &'a str)>),
}

/// Why bytes are no message, or no reply.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The body has no kind and flags.
    #[error("a message of {0} bytes is too short to be one")]
    Short(usize),
    /// A length that nobody sends.
    #[error("a message of {length} bytes was announced; at most {limit} are allowed")]
    Long {
        /// What the frame announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A greeting that is none.
    #[error("the greeting is malformed")]
    Hello,
    /// A path that does not begin with a slash.
    #[error("a path is not absolute")]
    Relative,
    /// A name that is not UTF-8.
    #[error("a name is not UTF-8")]
    Text,
    /// Bytes that should not be there, or are missing.
    #[error("a message of kind {0:#04x} has a wrong length")]
    Shape(u8),
}

impl<'a> Message<'a> {
    /// Appends the message as one frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let untracked = |tracked: bool| if tracked { 0 } else { UNTRACKED };
        let wish = |reply: bool| if reply { REPLY } else { 0 };
        match *self {
            Message::Hello { version } => {
                put(out, HELLO, 0, &[MAGIC.as_slice(), &version.to_le_bytes()].concat());
            }
            Message::IgnoreInput { path } => put(out, IGNORE_INPUT, 0, path),
            Message::IgnoreOutput { path } => put(out, IGNORE_OUTPUT, 0, path),
            Message::DisableCache => put(out, DISABLE_CACHE, 0, b""),
            Message::GetEnv { name, tracked, reply } => {
                put(out, GET_ENV, untracked(tracked) | wish(reply), name.as_bytes());
            }
            Message::GetEnvs { select, tracked, reply } => {
                let (kind, text) = match select {
                    Select::Glob(glob) => (GET_ENVS_GLOB, glob),
                    Select::Prefix(prefix) => (GET_ENVS_PREFIX, prefix),
                };
                put(out, kind, untracked(tracked) | wish(reply), text.as_bytes());
            }
            Message::Unknown { kind, ignorable, reply } => {
                put(out, kind, if ignorable { IGNORABLE } else { 0 } | wish(reply), b"");
            }
        }
    }

    /// Reads the body of a frame.
    pub fn decode(body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let [kind, flags, rest @ ..] = body else { return Err(DecodeError::Short(body.len())) };
        let (tracked, reply) = (flags & UNTRACKED == 0, flags & REPLY != 0);
        let unknown = Message::Unknown { kind: *kind, ignorable: flags & IGNORABLE != 0, reply };
        if flags & !ALL_FLAGS != 0 {
            return Ok(unknown);
        }
        Ok(match *kind {
            HELLO => match rest.strip_prefix(MAGIC) {
                Some(&[low, high]) => Message::Hello { version: u16::from_le_bytes([low, high]) },
                _ => return Err(DecodeError::Hello),
            },
            IGNORE_INPUT => Message::IgnoreInput { path: absolute(rest)? },
            IGNORE_OUTPUT => Message::IgnoreOutput { path: absolute(rest)? },
            DISABLE_CACHE if rest.is_empty() => Message::DisableCache,
            DISABLE_CACHE => return Err(DecodeError::Shape(*kind)),
            GET_ENV => Message::GetEnv { name: text(rest)?, tracked, reply },
            GET_ENVS_GLOB => Message::GetEnvs { select: Select::Glob(text(rest)?), tracked, reply },
            GET_ENVS_PREFIX => Message::GetEnvs { select: Select::Prefix(text(rest)?), tracked, reply },
            _ => unknown,
        })
    }
}

impl<'a> Reply<'a> {
    /// Appends the reply as one frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::NotKnown => put(out, NOT_KNOWN, 0, b""),
            Reply::Absent => put(out, ABSENT, 0, b""),
            Reply::Value(value) => put(out, VALUE, 0, value.as_bytes()),
            Reply::Values(values) => {
                let mut rest = Vec::new();
                for text in values.iter().flat_map(|(name, value)| [name, value]) {
                    rest.extend_from_slice(&length(text.len()));
                    rest.extend_from_slice(text.as_bytes());
                }
                put(out, VALUES, 0, &rest);
            }
        }
    }

    /// Reads the body of a frame.
    pub fn decode(body: &'a [u8]) -> Result<Reply<'a>, DecodeError> {
        let [kind, _flags, rest @ ..] = body else { return Err(DecodeError::Short(body.len())) };
        Ok(match *kind {
            ABSENT => Reply::Absent,
            VALUE => Reply::Value(text(rest)?),
            VALUES => {
                let (mut rest, mut values) = (rest, Vec::new());
                while !rest.is_empty() {
                    let name = counted(&mut rest).ok_or(DecodeError::Shape(*kind))?;
                    let value = counted(&mut rest).ok_or(DecodeError::Shape(*kind))?;
                    values.push((text(name)?, text(value)?));
                }
                Reply::Values(values)
            }
            _ => Reply::NotKnown,
        })
    }
}

/// Appends a frame.
fn put(out: &mut Vec<u8>, kind: u8, flags: u8, rest: &[u8]) {
    out.extend_from_slice(&length(rest.len() + 2));
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(rest);
}

/// A length as it is sent. One that does not fit is sent as the largest, which each end refuses.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn absolute(path: &[u8]) -> Result<&[u8], DecodeError> {
    if path.first() == Some(&b'/') { Ok(path) } else { Err(DecodeError::Relative) }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::Text)
}

/// Takes a length and that many bytes off the front.
fn counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (taken, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(taken)
}

/// Bytes as they arrive, cut into frames. Holds only what has arrived: an announced length makes it
/// allocate nothing.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    taken: usize,
    limit: usize,
}

impl Frames {
    /// Nothing yet; a body of more than `limit` bytes will be an error.
    pub fn new(limit: usize) -> Frames {
        Frames { bytes: Vec::new(), taken: 0, limit }
    }

    /// Takes in what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The body of the next whole frame. After an error the frames are out of step for good.
    pub fn next_body(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        let Some((length, rest)) = self.bytes[self.taken..].split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            return Err(DecodeError::Long { length, limit: self.limit });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.taken += 4 + length;
        Ok(Some(body))
    }

    /// Whether a frame has begun to arrive and not ended.
    pub fn has_half_frame(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(frame: &[u8]) -> &[u8] {
        let (length, body) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_le_bytes(*length) as usize, body.len());
        body
    }

    #[test]
    fn every_message_reads_back() {
        let mut messages = vec![
            Message::Hello { version: VERSION },
            Message::IgnoreInput { path: b"/a/\xff" },
            Message::IgnoreOutput { path: b"/" },
            Message::DisableCache,
            Message::Unknown { kind: 0x60, ignorable: true, reply: false },
            Message::Unknown { kind: 0x61, ignorable: false, reply: true },
        ];
        for (tracked, reply) in [(true, true), (false, true), (true, false), (false, false)] {
            messages.push(Message::GetEnv { name: "NODE_ENV", tracked, reply });
            messages.push(Message::GetEnvs { select: Select::Glob("VITE_*"), tracked, reply });
            messages.push(Message::GetEnvs { select: Select::Prefix(""), tracked, reply });
        }
        for message in messages {
            let mut frame = Vec::new();
            message.encode(&mut frame);
            assert_eq!(Message::decode(body(&frame)), Ok(message));
        }
    }

    #[test]
    fn every_reply_reads_back() {
        let values = Reply::Values(vec![("A", ""), ("B", "é\n=")]);
        for reply in [
            Reply::NotKnown,
            Reply::Absent,
            Reply::Value(""),
            Reply::Value("1"),
            Reply::Values(vec![]),
            values,
        ] {
            let mut frame = Vec::new();
            reply.encode(&mut frame);
            assert_eq!(Reply::decode(body(&frame)), Ok(reply));
        }
    }

    #[test]
    fn malformed_messages_say_what_is_wrong() {
        let cases: [(&[u8], DecodeError); 7] = [
            (b"", DecodeError::Short(0)),
            (b"\x02", DecodeError::Short(1)),
            (b"\x01\x00OVHR\x01", DecodeError::Hello),
            (b"\x01\x00HTTP\x01\x00", DecodeError::Hello),
            (b"\x02\x00dist", DecodeError::Relative),
            (b"\x04\x00x", DecodeError::Shape(DISABLE_CACHE)),
            (b"\x05\x00\xff", DecodeError::Text),
        ];
        for (body, error) in cases {
            assert_eq!(Message::decode(body), Err(error));
        }
    }

    #[test]
    fn a_glob_means_whole_names() {
        let cases = [
            ("VITE_*", "VITE_X", true),
            ("VITE_*", "VITE", false),
            ("*", "", true),
            ("", "", true),
            ("", "A", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2", false),
            ("*ab", "aab", true),
            ("**b?d", "xbed", true),
            ("b?d", "bd", false),
            ("b?d", "b\u{e9}d", true),
            ("plain", "plainer", false),
        ];
        for (glob, name, expected) in cases {
            assert_eq!(Select::Glob(glob).matches(name), expected, "{glob} {name}");
        }
        assert!(Select::Prefix("").matches("A") && !Select::Prefix("AB").matches("A"));
    }

    #[test]
    fn a_known_kind_with_an_unknown_flag_is_not_known() {
        let unknown = Message::Unknown { kind: DISABLE_CACHE, ignorable: true, reply: false };
        assert_eq!(Message::decode(&[DISABLE_CACHE, 0x80 | IGNORABLE]), Ok(unknown));
    }

    #[test]
    fn an_announced_length_is_neither_believed_nor_allocated() {
        let mut frames = Frames::new(100);
        frames.push(&[101, 0, 0, 0]);
        assert_eq!(frames.next_body(), Err(DecodeError::Long { length: 101, limit: 100 }));
        let mut frames = Frames::new(MAX_REPLY);
        frames.push(&[0, 0, 0xff, 0]);
        assert_eq!(frames.next_body(), Ok(None));
        assert!(frames.has_half_frame() && frames.bytes.capacity() < 100);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            match Message::decode(&bytes) {
                // Flags that are not known are not kept.
                Ok(Message::Unknown { .. }) | Err(_) => {}
                Ok(message) => {
                    let mut frame = Vec::new();
                    message.encode(&mut frame);
                    prop_assert_eq!(Message::decode(body(&frame)), Ok(message));
                }
            }
            let _ = Reply::decode(&bytes);
        }

        #[test]
        fn frames_come_out_whole_however_they_arrive(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            cut in 1usize..70,
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                stream.extend_from_slice(&length(body.len()));
                stream.extend_from_slice(body);
            }
            let (mut frames, mut seen) = (Frames::new(50), Vec::new());
            for chunk in stream.chunks(cut) {
                frames.push(chunk);
                while let Some(body) = frames.next_body().unwrap() {
                    seen.push(body.to_vec());
                }
            }
            prop_assert_eq!(seen, bodies);
            prop_assert!(!frames.has_half_frame());
        }

        #[test]
        fn garbage_never_makes_frames_grow(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let mut frames = Frames::new(64);
            'all: for chunk in &chunks {
                frames.push(chunk);
                loop {
                    match frames.next_body() {
                        Ok(Some(body)) => drop(Message::decode(body)),
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(frames.bytes.len() - frames.taken < 68);
            }
        }
    }
}

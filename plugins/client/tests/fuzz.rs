//! Whatever bytes arrive, they are decoded or refused: no panic, nothing kept that was not asked for. A
//! moment by default; `OVERHEAR_FUZZ_SECONDS=600` for long, `OVERHEAR_FUZZ_SEED` for the same again.
//!
//! Half of what is tried is a stream of messages with a few bytes changed, since bytes at random hardly
//! get past the first length.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use overhear_client::protocol::{DecodeError, Frames, MAX_MESSAGE, Message, Reply, Select, VERSION};
use std::time::{Duration, Instant};

/// xorshift64*: enough to reach every branch, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        let letters = ["A", "_", "*", "?", "\u{e9}", "\u{1f600}", "", "NODE_ENV", "\0"];
        (0..self.below(6)).map(|_| letters[self.below(letters.len())]).collect()
    }
}

fn messages(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..random.below(8) {
        let (text, path) = (random.text(), [b"/", random.bytes(40).as_slice()].concat());
        let (tracked, reply) = (random.below(2) == 0, random.below(2) == 0);
        let message = match random.below(8) {
            0 => Message::Hello { version: VERSION },
            1 => Message::IgnoreInput { path: &path },
            2 => Message::IgnoreOutput { path: &path },
            3 => Message::DisableCache,
            4 => Message::GetEnv { name: &text, tracked, reply },
            5 => Message::GetEnvs { select: Select::Glob(&text), tracked, reply },
            6 => Message::GetEnvs { select: Select::Prefix(&text), tracked, reply },
            _ => Message::Unknown { kind: random.next() as u8, ignorable: tracked, reply },
        };
        message.encode(&mut stream);
    }
    if random.below(2) == 0 {
        let text = random.text();
        let values = vec![("A", text.as_str()), (&text, "")];
        [Reply::Values(values), Reply::Value(&text), Reply::Absent, Reply::NotKnown][random.below(4)]
            .encode(&mut stream);
    }
    stream
}

fn spoil(random: &mut Random, stream: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let at = random.below(stream.len());
        match random.below(4) {
            0 if !stream.is_empty() => stream[at] = random.next() as u8,
            1 if !stream.is_empty() => stream[at] ^= 1 << random.below(8),
            2 => stream.truncate(at),
            _ => {
                let more = random.bytes(5);
                stream.splice(at..at, more);
            }
        }
    }
}

/// Reads a stream in pieces as a server does; gives how many bodies were messages and how many were not.
fn read(random: &mut Random, stream: &[u8]) -> (usize, usize) {
    let limit = [64, MAX_MESSAGE][random.below(2)];
    let (mut frames, mut known, mut refused) = (Frames::new(limit), 0, 0);
    let mut rest = stream;
    let mut taken = 0;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len()));
        rest = after;
        frames.push(piece);
        loop {
            match frames.next_body() {
                Ok(None) => break,
                Ok(Some(body)) => {
                    taken += 4 + body.len();
                    assert!(body.len() <= limit);
                    match check(body) {
                        true => known += 1,
                        false => refused += 1,
                    }
                }
                Err(error) => {
                    assert!(matches!(error, DecodeError::Long { .. }));
                    return (known, refused + 1);
                }
            }
        }
    }
    assert_eq!(frames.has_half_frame(), taken != stream.len());
    (known, refused)
}

/// What decodes encodes to the same again.
fn check(body: &[u8]) -> bool {
    if let Ok(reply) = Reply::decode(body) {
        let mut frame = Vec::new();
        reply.encode(&mut frame);
        assert_eq!(Reply::decode(&frame[4..]), Ok(reply));
    }
    let Ok(message) = Message::decode(body) else { return false };
    if let Message::GetEnvs { select, .. } = message {
        // Neither endless nor a panic.
        let _ = select.matches("NODE_ENV\u{e9}");
    }
    let mut frame = Vec::new();
    message.encode(&mut frame);
    match message {
        // The rest of what is not known is not kept.
        Message::Unknown { .. } => {}
        _ => assert_eq!(Message::decode(&frame[4..]), Ok(message)),
    }
    true
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let seconds = number("OVERHEAR_FUZZ_SECONDS", 1);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("OVERHEAR_FUZZ_SEED", clock.as_nanos() as u64) | 1;
    // Shown where the test fails.
    eprintln!("OVERHEAR_FUZZ_SEED={seed}");
    let (mut random, begin) = (Random(seed), Instant::now());
    let (mut streams, mut known, mut refused) = (0_u64, 0, 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..1000 {
            let stream = match random.below(4) {
                0 => random.bytes(300),
                1 => messages(&mut random),
                _ => {
                    let mut stream = messages(&mut random);
                    spoil(&mut random, &mut stream);
                    stream
                }
            };
            let (more, less) = read(&mut random, &stream);
            (streams, known, refused) = (streams + 1, known + more, refused + less);
            check(&stream);
        }
    }
    eprintln!("{streams} streams: {known} messages, {refused} refused");
    assert!(known > 0 && refused > 0);
}

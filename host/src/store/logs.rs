//! What a command printed, recorded as frames and compressed, so that a hit repeats it in the same
//! order on the same streams.

use super::place_finder::PlaceFinder;
use crate::event::Stream;
use crate::path::Places;
use std::io::{self, Read, Write};

/// More than this, compressed, is not stored.
pub const COMPRESSED_BYTES_MAX: usize = 32 << 20;

/// Records what a command prints, in bounded memory.
pub struct LogRecorder {
    encoder: Option<zstd::Encoder<'static, Vec<u8>>>,
    is_empty: bool,
    places: PlaceFinder,
}

/// What a command printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// Compressed frames; empty if nothing was printed.
    pub bytes: Vec<u8>,
    /// Whether it names the folder of the checkout, or the home folder.
    pub names_place: bool,
}

impl LogRecorder {
    /// Starts recording.
    pub fn new(places: &Places) -> LogRecorder {
        let encoder = zstd::Encoder::new(Vec::new(), 1).ok();
        LogRecorder { encoder, is_empty: true, places: PlaceFinder::new(places) }
    }

    /// Adds what was printed at once on one stream.
    pub fn add(&mut self, stream: Stream, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        self.places.feed(bytes);
        let Some(encoder) = &mut self.encoder else { return };
        let tag = match stream {
            Stream::Out => 1,
            Stream::Err => 2,
        };
        let written = bytes.chunks(1 << 20).try_for_each(|chunk| {
            encoder.write_all(&[tag])?;
            encoder.write_all(&(chunk.len() as u32).to_le_bytes())?;
            encoder.write_all(chunk)
        });
        if written.is_err() || encoder.get_ref().len() > COMPRESSED_BYTES_MAX {
            self.encoder = None;
        }
    }

    /// The recording; `None` if it was too large.
    pub fn finish(self) -> Option<Recording> {
        let encoder = self.encoder?;
        let bytes = if self.is_empty { Vec::new() } else { encoder.finish().ok()? };
        Some(Recording { bytes, names_place: self.places.found })
    }
}

/// Reads a recording back, frame by frame.
pub struct Frames<'a>(Option<zstd::Decoder<'static, io::BufReader<&'a [u8]>>>);

impl<'a> Frames<'a> {
    /// A recording as [`LogRecorder::finish`] gave it.
    pub fn new(recording: &'a [u8]) -> io::Result<Frames<'a>> {
        Ok(Frames(if recording.is_empty() { None } else { Some(zstd::Decoder::new(recording)?) }))
    }
}

impl Iterator for Frames<'_> {
    type Item = io::Result<(Stream, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoder = self.0.as_mut()?;
        let mut tag = [0];
        match decoder.read(&mut tag) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
        let mut frame = || {
            let mut length = [0; 4];
            decoder.read_exact(&mut length)?;
            let length = u32::from_le_bytes(length) as usize;
            if length > 1 << 20 || !matches!(tag[0], 1 | 2) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of a log"));
            }
            let mut bytes = vec![0; length];
            decoder.read_exact(&mut bytes)?;
            Ok((if tag[0] == 1 { Stream::Out } else { Stream::Err }, bytes))
        };
        Some(frame())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places { root: "/w".into(), home: None }
    }

    #[test]
    fn a_place_that_is_named_is_found_across_writes() {
        let mut recorder = LogRecorder::new(&Places { root: "/home/u/ws".into(), home: None });
        recorder.add(Stream::Out, b"in /home");
        recorder.add(Stream::Out, b"/u/ws/src");
        assert!(recorder.finish().expect("it is small").names_place);
    }

    #[test]
    fn frames_come_back_in_order() {
        let mut recorder = LogRecorder::new(&places());
        recorder.add(Stream::Out, b"one\n");
        recorder.add(Stream::Err, b"two");
        recorder.add(Stream::Out, b"\xff");
        let recording = recorder.finish().expect("it is small").bytes;
        let frames: Vec<_> =
            Frames::new(&recording).expect("opens").map(|frame| frame.expect("whole")).collect();
        let expected =
            [(Stream::Out, b"one\n".to_vec()), (Stream::Err, b"two".to_vec()), (Stream::Out, vec![0xff])];
        assert_eq!(frames, expected);
    }

    #[test]
    fn silence_takes_no_room_and_damage_is_an_error() {
        assert_eq!(LogRecorder::new(&places()).finish().map(|recording| recording.bytes), Some(Vec::new()));
        let broken = Frames::new(b"no zstd at all").map(|mut frames| frames.any(|frame| frame.is_err()));
        assert!(broken.is_err() || broken.is_ok_and(|found| found));
    }
}

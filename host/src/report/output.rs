//! What commands print, in one of three forms: as it comes, with the task before each line, or one
//! step after the other. Memory is bounded whatever a command prints.

use super::terminal::Terminal;
use crate::event::{StepId, Stream};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

/// How what commands print is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it comes; whole lines where several steps print at once.
    Interleaved,
    /// Each line with the name of its task.
    Labeled,
    /// All of a step at its end.
    Grouped,
    /// The same, with the commands by which GitHub Actions folds groups and marks failures.
    GroupedForActions,
}

/// A line that is longer is shown in parts.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What a group holds in memory; the rest goes to a temporary file.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Shows what commands print.
pub struct Output {
    style: Style,
    /// Steps that have begun and not ended.
    running: BTreeSet<usize>,
    /// By step: the begun lines of both streams.
    begun: FxHashMap<usize, [Vec<u8>; 2]>,
    groups: FxHashMap<usize, Group>,
}

impl Output {
    /// Nothing has begun yet.
    pub fn new(style: Style) -> Output {
        Output { style, running: BTreeSet::new(), begun: FxHashMap::default(), groups: FxHashMap::default() }
    }

    /// How it is shown.
    pub fn style(&self) -> Style {
        self.style
    }

    /// A command begins.
    pub fn started(&mut self, step: &StepId) {
        self.running.insert(step.index);
    }

    /// Something was printed.
    pub fn printed(&mut self, terminal: &mut Terminal, step: &StepId, stream: Stream, bytes: &[u8]) {
        self.running.insert(step.index);
        match self.style {
            Style::Interleaved => self.interleave(terminal, step, stream, bytes),
            Style::Labeled => self.label(terminal, step, stream, bytes),
            Style::Grouped | Style::GroupedForActions => {
                let group = self.groups.entry(step.index).or_default();
                group.add(stream, bytes);
                if group.is_open {
                    group.show(&mut |stream, bytes| terminal.print(&step.task, stream, bytes));
                }
            }
        }
    }

    /// Whether something is held back of a step.
    pub fn holds(&self, step: &StepId) -> bool {
        self.groups.contains_key(&step.index)
    }

    /// A step ended: what was held back of it is shown.
    pub fn ended(&mut self, terminal: &mut Terminal, step: &StepId) {
        self.running.remove(&step.index);
        for (stream, rest) in
            [Stream::Out, Stream::Err].into_iter().zip(self.begun.remove(&step.index).unwrap_or_default())
        {
            match self.style {
                Style::Labeled if !rest.is_empty() => {
                    let mut line = Vec::new();
                    add_labeled(&mut line, &label(step), &rest);
                    terminal.print(&step.task, stream, &line);
                }
                _ => terminal.print(&step.task, stream, &rest),
            }
        }
        if let Some(mut group) = self.groups.remove(&step.index) {
            group.show(&mut |stream, bytes| terminal.print(&step.task, stream, bytes));
        }
    }

    /// The only step that runs prints as it likes; several print whole lines.
    fn interleave(&mut self, terminal: &mut Terminal, step: &StepId, stream: Stream, bytes: &[u8]) {
        let is_alone = self.running.len() == 1;
        let begun = &mut self.begun.entry(step.index).or_default()[position(stream)];
        let whole = if is_alone { bytes.len() } else { memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1) };
        if whole > 0 || begun.len() + bytes.len() > LINE_BYTES_MAX {
            let whole = if whole == 0 { bytes.len() } else { whole };
            if !begun.is_empty() {
                begun.extend_from_slice(&bytes[..whole]);
                terminal.print(&step.task, stream, begun);
                begun.clear();
            } else {
                terminal.print(&step.task, stream, &bytes[..whole]);
            }
            begun.extend_from_slice(&bytes[whole..]);
        } else {
            begun.extend_from_slice(bytes);
        }
    }

    fn label(&mut self, terminal: &mut Terminal, step: &StepId, stream: Stream, bytes: &[u8]) {
        let begun = &mut self.begun.entry(step.index).or_default()[position(stream)];
        let label = label(step);
        // Written at once: a write for each line would take longer than all else.
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(part);
            if begun.len() > LINE_BYTES_MAX {
                // Of a line that was written over only the last state can still be seen.
                let over = memchr::memrchr(b'\r', &begun[..begun.len() - 1]).map_or(0, |at| at + 1);
                begun.drain(..over);
            }
            if part.ends_with(b"\n") || begun.len() > LINE_BYTES_MAX {
                add_labeled(&mut lines, &label, begun);
                begun.clear();
            }
        }
        terminal.print(&step.task, stream, &lines);
    }
}

fn position(stream: Stream) -> usize {
    match stream {
        Stream::Out => 0,
        Stream::Err => 1,
    }
}

fn label(step: &StepId) -> String {
    format!("\x1b[36m[{}]\x1b[0m ", super::name(step))
}

/// Adds one line after a label; of one that was written over (`\r`) what was last to be seen.
fn add_labeled(lines: &mut Vec<u8>, label: &str, line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let seen = line.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or_default();
    lines.extend_from_slice(label.as_bytes());
    lines.extend_from_slice(seen);
    lines.push(b'\n');
}

/// What one step printed, kept until its end: in memory, and beyond a size in a file without a name.
#[derive(Default)]
struct Group {
    frames: Vec<u8>,
    spilled: Option<File>,
    /// How much of the file is whole.
    spilled_bytes: u64,
    /// The file could not be made or written: nothing more is held back.
    is_open: bool,
}

impl Group {
    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.frames.push(position(stream) as u8);
        self.frames.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.frames.extend_from_slice(bytes);
        if self.frames.len() > GROUP_BYTES_MAX && !self.is_open {
            self.is_open = self.spill().is_err();
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.spilled {
            Some(file) => file,
            None => self.spilled.insert(tempfile::tempfile()?),
        };
        if let Err(error) = file.write_all(&self.frames) {
            // What is in the file is shown first, and all of this after it.
            file.set_len(self.spilled_bytes)?;
            return Err(error);
        }
        self.spilled_bytes += self.frames.len() as u64;
        self.frames.clear();
        Ok(())
    }

    /// Shows what is held.
    fn show(&mut self, print: &mut dyn FnMut(Stream, &[u8])) {
        if let Some(mut file) = self.spilled.take()
            && let Err(error) = file.rewind().and_then(|()| show_frames(&mut BufReader::new(file), print))
        {
            print(Stream::Err, format!("(overhear lost what was printed here: {error})\n").as_bytes());
        }
        let _ = show_frames(&mut self.frames.as_slice(), print);
        self.frames.clear();
    }
}

fn show_frames(frames: &mut dyn Read, print: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
    let mut head = [0; 9];
    loop {
        match frames.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let length = u64::from_le_bytes(head[1..].try_into().expect("eight bytes"));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        frames.read_exact(&mut bytes)?;
        print(if head[0] == 0 { Stream::Out } else { Stream::Err }, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_gives_back_what_it_was_given_also_beyond_what_memory_holds() {
        let mut group = Group::default();
        let piece = vec![b'x'; 1 << 20];
        for round in 0..10 {
            let stream = if round % 2 == 0 { Stream::Out } else { Stream::Err };
            group.add(stream, &piece);
            assert!(group.frames.len() <= GROUP_BYTES_MAX + (1 << 20) + 9);
        }
        assert!(group.spilled.is_some());
        let mut seen = Vec::new();
        group.show(&mut |stream, bytes| seen.push((stream, bytes.len())));
        let expected: Vec<_> =
            (0..10).map(|round| (if round % 2 == 0 { Stream::Out } else { Stream::Err }, 1 << 20)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn where_nothing_can_be_set_aside_a_group_is_shown_from_there_on() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let read_only = File::open(file.path()).expect("opens");
        let mut group = Group { spilled: Some(read_only), ..Group::default() };
        let piece = vec![b'x'; GROUP_BYTES_MAX];
        let mut seen = 0;
        for _ in 0..3 {
            group.add(Stream::Out, &piece);
            assert!(group.is_open);
            group.show(&mut |_, bytes| seen += bytes.len());
        }
        assert_eq!(seen, 3 * GROUP_BYTES_MAX);
    }
}

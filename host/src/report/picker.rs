//! Choosing one of many on a terminal: what is typed narrows the list, arrows move in it. The list is
//! drawn on standard error and taken away again; what was chosen is for the caller to use.
//!
//! [`Picker`] is pure: keys in, lines out.

use super::columns::{cut, padded, width};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal, Write};

/// So many rows are shown at once.
const ROWS: usize = 8;
/// What a shell gives for a command that Ctrl-C ended.
pub const CANCELLED: i32 = 130;

/// One thing to choose.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What is searched, and given back.
    pub label: String,
    /// Told beside it.
    pub detail: String,
}

/// Whether a person is there to choose: both ends are a terminal that can go back in a line.
pub fn can_pick() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && super::terminal::is_capable()
}

/// Whether what is typed would leave anything to choose.
pub fn finds(choices: &[Choice], typed: &str) -> bool {
    !Picker::new(choices, typed).matching.is_empty()
}

/// Lets a person choose, beginning with what has been typed already. `None`: nothing was chosen.
///
/// # Errors
/// The terminal cannot be used.
pub fn pick(choices: &[Choice], typed: &str) -> io::Result<Option<usize>> {
    let mut picker = Picker::new(choices, typed);
    let raw = Raw::enter()?;
    let mut shown = Shown::default();
    let mut keys = Keys::default();
    let chosen = loop {
        // A terminal that does not know its size has the usual one.
        let columns = tcgetwinsize(io::stderr()).ok().map_or(80, |size| usize::from(size.ws_col)).max(20);
        shown.draw(&picker.lines(columns))?;
        match picker.press(keys.next()?) {
            Pressed::Moved => {}
            Pressed::Chosen(index) => break Some(index),
            Pressed::Cancelled => break None,
        }
    };
    shown.erase()?;
    drop(raw);
    Ok(chosen)
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Up,
    Down,
    Enter,
    Escape,
    Cancel,
    Backspace,
    Clear,
    Char(char),
    Other,
}

enum Pressed {
    Moved,
    Chosen(usize),
    Cancelled,
}

/// What is typed, what matches, and where one is.
struct Picker<'a> {
    choices: &'a [Choice],
    typed: String,
    /// Positions of choices, best first.
    matching: Vec<usize>,
    at: usize,
    top: usize,
    matcher: Matcher,
}

impl<'a> Picker<'a> {
    fn new(choices: &'a [Choice], typed: &str) -> Picker<'a> {
        let mut picker = Picker {
            choices,
            typed: typed.to_owned(),
            matching: Vec::new(),
            at: 0,
            top: 0,
            matcher: Matcher::new(Config::DEFAULT),
        };
        picker.search();
        picker
    }

    fn search(&mut self) {
        let pattern = Pattern::parse(&self.typed, CaseMatching::Ignore, Normalization::Smart);
        let mut buffer = Vec::new();
        let mut scored: Vec<(u32, usize)> = Vec::new();
        for (index, choice) in self.choices.iter().enumerate() {
            let score = pattern.score(Utf32Str::new(&choice.label, &mut buffer), &mut self.matcher);
            scored.extend(score.map(|score| (score, index)));
        }
        // The order of the choices decides between equals.
        scored.sort_by_key(|(score, index)| (std::cmp::Reverse(*score), *index));
        self.matching = scored.into_iter().map(|(_, index)| index).collect();
        (self.at, self.top) = (0, 0);
    }

    fn press(&mut self, key: Key) -> Pressed {
        match key {
            Key::Up => self.at = self.at.saturating_sub(1),
            Key::Down if self.at + 1 < self.matching.len() => self.at += 1,
            Key::Enter => {
                if let Some(index) = self.matching.get(self.at) {
                    return Pressed::Chosen(*index);
                }
            }
            Key::Cancel => return Pressed::Cancelled,
            Key::Escape if self.typed.is_empty() => return Pressed::Cancelled,
            Key::Escape | Key::Clear => {
                self.typed.clear();
                self.search();
            }
            Key::Backspace => {
                self.typed.pop();
                self.search();
            }
            Key::Char(c) => {
                self.typed.push(c);
                self.search();
            }
            Key::Down | Key::Other => {}
        }
        self.top = self.top.clamp((self.at + 1).saturating_sub(ROWS), self.at);
        Pressed::Moved
    }

    fn lines(&self, columns: usize) -> Vec<String> {
        let mut lines = vec![format!("Which task? (type to search) {}", self.typed)];
        if self.matching.is_empty() {
            lines.push("  nothing matches".to_owned());
        }
        let rows = self.matching.iter().enumerate().skip(self.top).take(ROWS);
        let widest = rows.clone().map(|(_, index)| width(&self.choices[*index].label)).max().unwrap_or(0);
        for (row, index) in rows {
            let Choice { label, detail } = &self.choices[*index];
            let mark = if row == self.at { '>' } else { ' ' };
            lines.push(format!("{mark} {}  {detail}", padded(label, widest)));
        }
        let rest = self.matching.len().saturating_sub(self.top + ROWS);
        if rest > 0 {
            lines.push(format!("  and {rest} more"));
        }
        // One column is left free: a full line would wrap.
        lines.iter().map(|line| cut(line, columns - 1)).collect()
    }
}

/// What is drawn at the end of the terminal.
#[derive(Default)]
struct Shown {
    lines: usize,
}

impl Shown {
    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = self.back();
        for (at, line) in lines.iter().enumerate() {
            let line = match line.starts_with('>') {
                true => format!("\x1b[36m{line}\x1b[0m"),
                false => line.clone(),
            };
            text.push_str(&format!("{}{line}", if at == 0 { "" } else { "\r\n" }));
        }
        self.lines = lines.len();
        put(&text)
    }

    fn erase(&mut self) -> io::Result<()> {
        let text = self.back();
        self.lines = 0;
        put(&text)
    }

    /// To the beginning of what is drawn, which is taken away.
    fn back(&self) -> String {
        match self.lines {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            lines => format!("\r\x1b[{}A\x1b[J", lines - 1),
        }
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    err.flush()
}

/// The terminal gives keys as they are pressed, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Raw> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Keys, from the bytes that a terminal sends.
#[derive(Default)]
struct Keys {
    waiting: Vec<u8>,
}

impl Keys {
    fn next(&mut self) -> io::Result<Key> {
        if self.waiting.is_empty() {
            let mut buffer = [0; 256];
            let length = rustix::io::read(io::stdin(), &mut buffer)?;
            self.waiting.extend_from_slice(&buffer[..length]);
        }
        let (key, length) = read_key(&self.waiting);
        self.waiting.drain(..length);
        Ok(key)
    }
}

/// The first key of these bytes, and how many it takes. An escape that nothing follows is the key itself:
/// a terminal sends the bytes of an arrow at once.
fn read_key(bytes: &[u8]) -> (Key, usize) {
    match bytes {
        // The terminal is gone.
        [] => (Key::Cancel, 0),
        [0x1b, b'[' | b'O', b'A', ..] => (Key::Up, 3),
        [0x1b, b'[' | b'O', b'B', ..] => (Key::Down, 3),
        [0x1b, b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
            (Key::Other, 2 + end.map_or(rest.len(), |end| end + 1))
        }
        [0x1b, b'O', ..] => (Key::Other, bytes.len().min(3)),
        [0x1b, ..] => (Key::Escape, 1),
        [b'\r' | b'\n', ..] => (Key::Enter, 1),
        [0x03 | 0x04, ..] => (Key::Cancel, 1),
        [0x08 | 0x7f, ..] => (Key::Backspace, 1),
        [0x15, ..] => (Key::Clear, 1),
        [0x10, ..] => (Key::Up, 1),
        [0x0e, ..] => (Key::Down, 1),
        [first, ..] if *first < 0x20 => (Key::Other, 1),
        _ => {
            let length = bytes.len().min(4);
            let valid = (1..=length).find_map(|end| std::str::from_utf8(&bytes[..end]).ok());
            match valid.and_then(|text| text.chars().next()) {
                Some(c) => (Key::Char(c), c.len_utf8()),
                None => (Key::Other, 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(labels: &[&str]) -> Vec<Choice> {
        labels.iter().map(|label| Choice { label: (*label).to_owned(), detail: "x".into() }).collect()
    }

    fn press(picker: &mut Picker, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, length) = read_key(rest);
            rest = &rest[length..];
            if let Pressed::Chosen(index) = picker.press(key) {
                return Some(index);
            }
        }
        None
    }

    #[test]
    fn what_is_typed_narrows_the_list_and_arrows_move_in_it() {
        let choices = choices(&["build", "lint", "lint:fix", "web#build"]);
        let mut picker = Picker::new(&choices, "");
        assert_eq!(press(&mut picker, b"\x1b[B\r"), Some(1));
        assert_eq!(press(&mut picker, b"\x1b[A\x1b[A\r"), Some(0));
        assert_eq!(press(&mut picker, b"fix\r"), Some(2));
        assert_eq!(press(&mut picker, b"\x15wb\r"), Some(3));
    }

    #[test]
    fn escape_clears_what_was_typed_and_enter_on_nothing_does_nothing() {
        let choices = choices(&["build", "lint"]);
        let mut picker = Picker::new(&choices, "zzz");
        assert_eq!(press(&mut picker, b"\r"), None);
        assert_eq!(picker.lines(40)[1], "  nothing matches");
        assert_eq!(press(&mut picker, b"\x1b"), None);
        assert_eq!(press(&mut picker, b"\r"), Some(0));
        assert!(matches!(picker.press(Key::Escape), Pressed::Cancelled));
    }

    #[test]
    fn a_long_list_scrolls_and_no_line_is_wider_than_the_terminal() {
        let labels: Vec<String> = (0..30).map(|at| format!("task-with-a-long-name-{at}")).collect();
        let choices = choices(&labels.iter().map(String::as_str).collect::<Vec<_>>());
        let mut picker = Picker::new(&choices, "");
        press(&mut picker, &b"\x1b[B".repeat(9));
        assert_eq!((picker.at, picker.top), (9, 2));
        let lines = picker.lines(24);
        assert_eq!(lines.len(), 2 + ROWS);
        assert!(lines.iter().all(|line| line.chars().count() < 24), "{lines:?}");
        press(&mut picker, &b"\x1b[A".repeat(9));
        assert_eq!((picker.at, picker.top), (0, 0));
    }
}

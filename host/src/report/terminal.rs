//! The two streams of overhear: with colours or without, whole lines apart from each other. Knows
//! where a line has been begun and by whom, so that nothing is mixed within a line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reporters print")]

use super::colors::{Strip, plain};
use crate::event::Stream;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Takes away the drawn line, on as many rows as it has become.
const TAKE_AWAY: &str = "\r\x1b[J";

/// Standard output and standard error.
pub struct Terminal {
    /// Of each stream: what takes colours out, where they do not belong.
    strips: [Option<Strip>; 2],
    /// Both lead to the same terminal, pipe or file.
    is_one_place: bool,
    /// Everything goes there.
    only: Option<Stream>,
    /// On each stream: the task whose line is begun and not ended.
    begun: [Option<Arc<str>>; 2],
    /// A line may be drawn that is taken away again.
    can_draw: bool,
    drawn: Option<String>,
}

impl Terminal {
    /// `color` decides for both streams where it is given; `only` sends everything to one of them.
    pub fn new(color: Option<bool>, only: Option<Stream>) -> Terminal {
        let wanted = color.or_else(wanted_by_environment);
        let strip = |is_terminal: bool| (!wanted.unwrap_or(is_terminal)).then(Strip::default);
        let (out, err) = (io::stdout(), io::stderr());
        let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let is_one_place = match (rustix::fs::fstat(&out), rustix::fs::fstat(&err)) {
            (Ok(out), Ok(err)) => place(out) == place(err),
            _ => false,
        };
        let strips = [strip(out.is_terminal()), strip(err.is_terminal())];
        let can_draw = err.is_terminal() && only != Some(Stream::Out) && is_capable();
        Terminal { strips, is_one_place, only, begun: [None, None], can_draw, drawn: None }
    }

    /// A line of overhear's own, on standard error.
    pub fn line(&mut self, text: &str) {
        self.erase();
        let stream = self.only.unwrap_or(Stream::Err);
        self.release(stream);
        let begun = self.begun_on(stream).take().is_some();
        // In one piece, so that lines of several processes on one terminal stay whole.
        let line = format!("{}{text}\n", if begun { "\n" } else { "" });
        let line = if self.strips[position(stream)].is_some() { plain(&line) } else { line };
        put(stream, line.as_bytes());
    }

    /// What a step of this task printed. A line that another task has begun there is ended first.
    pub fn print(&mut self, task: &Arc<str>, stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.erase();
        let stream = self.only.unwrap_or(stream);
        if self.begun_on(stream).take().is_some_and(|other| other != *task) {
            self.release(stream);
            put(stream, b"\n");
        }
        match &mut self.strips[position(stream)] {
            Some(strip) => put(stream, &strip.strip(bytes)),
            None => put(stream, bytes),
        }
        if *last != b'\n' {
            *self.begun_on(stream) = Some(Arc::clone(task));
        }
    }

    /// Whether a line can be drawn at the end and taken away again.
    pub fn can_draw(&self) -> bool {
        self.can_draw
    }

    /// Whether one is drawn.
    pub fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Draws a line at the end, made by `text` for so many columns; not within a line that a command
    /// has begun.
    pub fn draw(&mut self, text: impl FnOnce(usize) -> Option<String>) {
        if !self.can_draw || self.begun.iter().any(Option::is_some) {
            return;
        }
        // A terminal that does not know its size has the usual one.
        let columns = match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => 80,
        };
        let Some(text) = text(columns.saturating_sub(1)) else { return self.erase() };
        if self.drawn.as_ref() == Some(&text) {
            return;
        }
        // In one piece: taken away and drawn at once, it does not flicker. The cursor waits where the line
        // begins: a terminal that becomes narrower and folds the line keeps it there, so all of it goes.
        let line = match self.strips[position(Stream::Err)] {
            Some(_) => format!("{TAKE_AWAY}{text}\r"),
            None => format!("{TAKE_AWAY}\x1b[2m{text}\x1b[0m\r"),
        };
        put(Stream::Err, line.as_bytes());
        self.drawn = Some(text);
    }

    /// Takes the drawn line away.
    pub fn erase(&mut self) {
        if self.drawn.take().is_some() {
            put(Stream::Err, TAKE_AWAY.as_bytes());
        }
    }

    fn begun_on(&mut self, stream: Stream) -> &mut Option<Arc<str>> {
        &mut self.begun[if self.is_one_place { 0 } else { position(stream) }]
    }

    /// Prints what only looked like the beginning of a colour.
    fn release(&mut self, stream: Stream) {
        if let Some(strip) = &mut self.strips[position(stream)] {
            put(stream, &strip.rest());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.erase();
        self.release(Stream::Out);
        self.release(Stream::Err);
    }
}

fn position(stream: Stream) -> usize {
    match stream {
        Stream::Out => 0,
        Stream::Err => 1,
    }
}

/// Why standard output cannot be written any more: what the system said first, or 0.
static LOST: AtomicI32 = AtomicI32::new(0);

/// Why standard output could not be written, if so.
pub fn lost_output() -> Option<io::Error> {
    Some(LOST.load(Ordering::Relaxed)).filter(|errno| *errno != 0).map(io::Error::from_raw_os_error)
}

pub(super) fn put(stream: Stream, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    match stream {
        Stream::Out => {
            let mut out = io::stdout().lock();
            if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let _ = LOST.compare_exchange(0, errno, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        // Nobody is left to be told.
        Stream::Err => drop(io::stderr().lock().write_all(bytes)),
    }
}

/// A terminal that can go back in a line, with a person before it.
pub(super) fn is_capable() -> bool {
    let term = std::env::var_os("TERM");
    term.is_some_and(|term| !term.is_empty() && term != "dumb") && std::env::var_os("CI").is_none()
}

/// Whether what commands print is shown with its colours: by the command line, by the environment, or as it
/// goes to a terminal.
pub fn shows_colors(color: Option<bool>) -> bool {
    color.or_else(wanted_by_environment).unwrap_or_else(|| io::stdout().is_terminal())
}

fn wanted_by_environment() -> Option<bool> {
    let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if is_set("NO_COLOR").is_some() {
        return Some(false);
    }
    let is_dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb").then_some(false);
    is_set("FORCE_COLOR").map(|value| value != "0").or_else(is_dumb)
}

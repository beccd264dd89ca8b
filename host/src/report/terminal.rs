//! The two streams of overhear: with colours or without, whole lines apart from each other. Knows
//! where a line has been begun and by whom, so that nothing is mixed within a line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reporters print")]

use crate::event::Stream;
use anstream::{AutoStream, ColorChoice};
use std::io::{IsTerminal, Stderr, Stdout, Write};
use std::sync::Arc;

/// Standard output and standard error.
pub struct Terminal {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    /// Both lead to the same terminal, pipe or file.
    is_one_place: bool,
    /// Everything goes there.
    only: Option<Stream>,
    /// On each stream: the task whose line is begun and not ended.
    open: [Option<Arc<str>>; 2],
}

impl Terminal {
    /// `color` decides for both streams where it is given; `only` sends everything to one of them.
    pub fn new(color: Option<bool>, only: Option<Stream>) -> Terminal {
        let choice = |is_terminal: bool| match color.or_else(wanted_by_environment) {
            Some(true) => ColorChoice::AlwaysAnsi,
            Some(false) => ColorChoice::Never,
            None if is_terminal => ColorChoice::AlwaysAnsi,
            None => ColorChoice::Never,
        };
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let is_one_place = match (rustix::fs::fstat(&out), rustix::fs::fstat(&err)) {
            (Ok(out), Ok(err)) => place(out) == place(err),
            _ => false,
        };
        let colors = (choice(out.is_terminal()), choice(err.is_terminal()));
        Terminal {
            out: AutoStream::new(out, colors.0),
            err: AutoStream::new(err, colors.1),
            is_one_place,
            only,
            open: [None, None],
        }
    }

    /// A line of overhear's own, on standard error.
    pub fn line(&mut self, text: &str) {
        let stream = self.only.unwrap_or(Stream::Err);
        let begun = self.begun_on(stream).take().is_some();
        // In one piece, so that lines of several processes on one terminal stay whole.
        let line = format!("{}{text}\n", if begun { "\n" } else { "" });
        let line = if self.has_colors(stream) { line } else { anstream::adapter::strip_str(&line).to_string() };
        self.put(stream, line.as_bytes());
    }

    /// What a step of this task printed. A line that another task has begun there is ended first.
    pub fn print(&mut self, task: &Arc<str>, stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let stream = self.only.unwrap_or(stream);
        if self.begun_on(stream).take().is_some_and(|other| other != *task) {
            self.put(stream, b"\n");
        }
        self.put(stream, bytes);
        if *last != b'\n' {
            *self.begun_on(stream) = Some(Arc::clone(task));
        }
    }

    fn begun_on(&mut self, stream: Stream) -> &mut Option<Arc<str>> {
        match stream {
            Stream::Err if !self.is_one_place => &mut self.open[1],
            _ => &mut self.open[0],
        }
    }

    fn has_colors(&self, stream: Stream) -> bool {
        let choice = match stream {
            Stream::Out => self.out.current_choice(),
            Stream::Err => self.err.current_choice(),
        };
        choice != ColorChoice::Never
    }

    fn put(&mut self, stream: Stream, bytes: &[u8]) {
        // A reader that went away must not end the run: there is nobody left to tell.
        let _ = match stream {
            Stream::Out => self.out.write_all(bytes).and_then(|()| self.out.flush()),
            Stream::Err => self.err.write_all(bytes).and_then(|()| self.err.flush()),
        };
    }
}

fn wanted_by_environment() -> Option<bool> {
    let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if is_set("NO_COLOR").is_some() {
        return Some(false);
    }
    is_set("FORCE_COLOR").map(|value| value != "0")
}

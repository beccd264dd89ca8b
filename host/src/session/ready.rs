//! When a persistent task is ready, so that others may start: what it printed, a port that it listens
//! on, or its end.

use crate::config::ReadyWhen;
use crate::report::plain;
use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A line that is longer is looked at in parts.
const LINE_BYTES_MAX: usize = 64 << 10;
/// A connection on this machine is made, or refused, at once.
const CONNECT_MAX: Duration = Duration::from_millis(100);

/// Looks out for the sign of one task.
pub struct Readiness {
    output: Option<Regex>,
    port: Option<u16>,
    /// Nothing else is a sign but its end.
    only_exit: bool,
    line: Vec<u8>,
}

impl Readiness {
    /// `None`: a task is ready as soon as it has started.
    pub fn new(when: Option<&ReadyWhen>) -> Readiness {
        let output = when.and_then(|when| when.output.as_deref());
        Readiness {
            // It was compiled when the config was read.
            output: output.and_then(|pattern| Regex::new(pattern).ok()),
            port: when.and_then(|when| when.port),
            only_exit: when.is_some_and(|when| when.output.is_none() && when.port.is_none()),
            line: Vec::new(),
        }
    }

    /// Whether it is ready as soon as it has started.
    pub fn at_once(&self) -> bool {
        self.output.is_none() && self.port.is_none() && !self.only_exit
    }

    /// The port that is to be tried from time to time.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the sign is in what was printed now. Also a line that is not ended is looked at: it may
    /// be the last.
    pub fn sees(&mut self, bytes: &[u8]) -> bool {
        let Some(pattern) = &self.output else { return false };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            let text = plain(&String::from_utf8_lossy(&self.line));
            if pattern.is_match(text.trim_end_matches(['\n', '\r'])) {
                return true;
            }
            if part.ends_with(b"\n") || self.line.len() > LINE_BYTES_MAX {
                self.line.clear();
            }
        }
        false
    }
}

/// Whether something on this machine listens on a port.
pub fn listens(port: u16) -> bool {
    let addresses =
        [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
    addresses.iter().any(|address| TcpStream::connect_timeout(address, CONNECT_MAX).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(output: Option<&str>, exit: bool) -> ReadyWhen {
        ReadyWhen { output: output.map(str::to_owned), port: None, exit }
    }

    #[test]
    fn a_line_is_the_sign_in_whatever_pieces_and_colours_it_comes() {
        let mut ready = Readiness::new(Some(&when(Some("^Local: .*http"), false)));
        assert!(!ready.at_once());
        assert!(!ready.sees(b"starting\nLo"));
        assert!(!ready.sees("cal: ä ".as_bytes()));
        assert!(ready.sees(b"\x1b[1mhttp\x1b[0m"));
    }

    #[test]
    fn without_a_sign_a_task_is_ready_at_once_and_with_exit_only_at_its_end() {
        assert!(Readiness::new(None).at_once());
        let mut ready = Readiness::new(Some(&when(None, true)));
        assert!(!ready.at_once() && !ready.sees(b"anything\n"));
    }
}

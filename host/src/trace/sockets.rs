//! Whom a connection leads to: a listener of the same step, another program of this machine, or
//! a network. What the step itself listens on is learned from its `bind` and `listen` calls.

use super::resolve::to_path;
use super::tracee;
use crate::access::Reach;
use rustc_hash::FxHashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// The port of name servers.
const DNS: u16 = 53;
/// States in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Sockets of name services, logs and displays: what they answer is no content of a file that a
/// build would depend on.
const HARMLESS: &[&str] = &[
    "/run/nscd/",
    "/var/run/nscd/",
    "/run/systemd/resolve/",
    "/run/systemd/userdb/",
    "/run/systemd/journal/",
    "/run/avahi-daemon/",
    "/var/run/avahi-daemon/",
    "/var/lib/sss/pipes/",
    "/dev/log",
    "/tmp/.X11-unix/",
    "@/tmp/.X11-unix/",
    "@/tmp/.ICE-unix/",
    "/tmp/.ICE-unix/",
];

/// An address as a program gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the internet, or loopback.
    Internet(SocketAddr),
    /// A path, as given.
    Path(Vec<u8>),
    /// A name without a file.
    Abstract(Vec<u8>),
    /// Anything else.
    Other,
}

impl Address {
    /// Reads a `struct sockaddr`.
    pub fn parse(bytes: &[u8]) -> Address {
        let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return Address::Other };
        match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_INET if rest.len() >= 6 => {
                let port = u16::from_be_bytes([rest[0], rest[1]]);
                let ip = Ipv4Addr::new(rest[2], rest[3], rest[4], rest[5]);
                Address::Internet(SocketAddr::new(ip.into(), port))
            }
            libc::AF_INET6 if rest.len() >= 22 => {
                let port = u16::from_be_bytes([rest[0], rest[1]]);
                let mut ip = [0u8; 16];
                ip.copy_from_slice(&rest[6..22]);
                Address::Internet(SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port))
            }
            libc::AF_UNIX => match rest.split_first() {
                Some((0, name)) => Address::Abstract(name.to_vec()),
                Some(_) => {
                    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
                    Address::Path(rest[..end].to_vec())
                }
                None => Address::Other,
            },
            _ => Address::Other,
        }
    }
}

/// What the step listens on.
#[derive(Default)]
pub struct Sockets {
    inodes: FxHashSet<u64>,
    paths: FxHashSet<PathBuf>,
}

impl Sockets {
    /// A socket of the step that others may reach.
    pub fn own(&mut self, inode: u64) {
        self.inodes.insert(inode);
    }

    /// A path that the step bound a socket to.
    pub fn own_path(&mut self, path: PathBuf) {
        self.paths.insert(path);
    }

    /// Whom an internet address reaches, and under which name; `None` for nobody, or for what is
    /// no connection.
    pub fn internet(&self, tid: u32, fd: i32, address: SocketAddr) -> Option<(String, Reach)> {
        let is_udp = tracee::socket_protocol(tid, fd).is_some_and(|name| name.starts_with("UDP"));
        if address.port() == DNS || (is_udp && address.port() == 0) {
            return None;
        }
        let ip = address.ip();
        if !(ip.is_loopback() || ip.is_unspecified() || is_local(ip)) {
            return Some((address.to_string(), Reach::Network));
        }
        let tables: [&str; 2] = if is_udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
        let listeners: Vec<u64> =
            tables.iter().flat_map(|table| on_port(tid, table, address.port(), !is_udp)).collect();
        self.reach(&listeners).map(|reach| (address.to_string(), reach))
    }

    /// The same for an abstract name.
    pub fn abstract_name(&self, tid: u32, name: &[u8]) -> Option<(String, Reach)> {
        let shown = format!("@{}", String::from_utf8_lossy(name));
        if is_harmless(&shown) {
            return None;
        }
        let listeners = named(tid, |text| text.strip_prefix('@') == Some(&shown[1..]));
        self.reach(&listeners).map(|reach| (shown, reach))
    }

    /// The same for a path, resolved.
    pub fn path(&self, tid: u32, path: &Path) -> Option<(String, Reach)> {
        let shown = path.to_string_lossy().into_owned();
        if is_harmless(&shown) || is_display(path) {
            return None;
        }
        if self.paths.contains(path) {
            return Some((shown, Reach::Inside));
        }
        // The kernel shows a socket under the text it was bound with, perhaps a relative one.
        let name = path.file_name()?.to_string_lossy().into_owned();
        let listeners = named(tid, |text| Path::new(text).file_name().is_some_and(|last| *last == *name));
        self.reach(&listeners).map(|reach| (shown, reach))
    }

    fn reach(&self, listeners: &[u64]) -> Option<Reach> {
        if listeners.is_empty() {
            return None;
        }
        let all_own = listeners.iter().all(|inode| self.inodes.contains(inode));
        Some(if all_own { Reach::Inside } else { Reach::Machine })
    }
}

fn is_harmless(address: &str) -> bool {
    HARMLESS.iter().any(|harmless| address.starts_with(harmless))
}

/// Wayland's socket in the folder of a user's session.
fn is_display(path: &Path) -> bool {
    path.starts_with("/run/user")
        && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wayland-"))
}

/// Whether an address is one of this machine: only those can be bound.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Inodes of the sockets on a port. Columns: number, local, remote, state, …, inode (9).
fn on_port(tid: u32, table: &str, port: u16, only_listening: bool) -> Vec<u64> {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{tid}/net/{table}")) else { return Vec::new() };
    let ending = format!(":{port:04X}");
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_ascii_whitespace().skip(1);
            let local = columns.next()?;
            let state = columns.nth(1)?;
            let inode = columns.nth(5)?;
            (local.ends_with(&ending) && (!only_listening || state == LISTENING))
                .then(|| inode.parse().ok())?
        })
        .collect()
}

/// Inodes of unix sockets whose name suits, that are listening or have no connection.
/// Columns: address, references, protocol, flags, type, state, inode, name.
fn named(tid: u32, suits: impl Fn(&str) -> bool) -> Vec<u64> {
    let Ok(bytes) = std::fs::read(format!("/proc/{tid}/net/unix")) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let flags = columns.nth(3)?;
            let kind = columns.next()?;
            let inode = columns.nth(1)?.parse().ok()?;
            let name = columns.next()?;
            let receives = flags == "00010000" || kind == "0002";
            (receives && suits(name)).then_some(inode)
        })
        .collect()
}

/// For tests and messages.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Internet(address) => write!(f, "{address}"),
            Address::Path(path) => write!(f, "{}", to_path(path).display()),
            Address::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Address::Other => write!(f, "?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_their_bytes() {
        let family = |family: i32| u16::try_from(family).expect("families are small").to_ne_bytes();
        let v4 = [&family(libc::AF_INET)[..], &[0x1f, 0x90, 127, 0, 0, 1, 0, 0]].concat();
        assert_eq!(Address::parse(&v4).to_string(), "127.0.0.1:8080");
        let path = [&family(libc::AF_UNIX)[..], b"/run/x\0junk"].concat();
        assert_eq!(Address::parse(&path), Address::Path(b"/run/x".to_vec()));
        let name = [&family(libc::AF_UNIX)[..], b"\0name"].concat();
        assert_eq!(Address::parse(&name).to_string(), "@name");
        assert_eq!(Address::parse(b"\x01"), Address::Other);
    }
}

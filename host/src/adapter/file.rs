//! A component of somebody else that lies in the workspace: found, known by its digest, and described.
//! What it says of itself is remembered, so that a run which needs nothing else of it neither reads the
//! file nor starts an engine.

use super::ask::{self, StampFields};
use super::complexity::WASM_BYTES_MAX;
use super::described::Described;
use super::engine::Guest;
use super::fault::{AdapterFault, Wrong};
use super::memo::Memo;
use super::native::Shelf;
use crate::digest::{Digest, Fields};
use crate::stamp::{Stamp, now_ns};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A component in a file.
#[derive(Debug)]
pub struct Component {
    /// As the config names it, for messages.
    pub name: String,
    /// Where it lies; absolute, no links on the way.
    path: PathBuf,
    /// What it said of itself.
    pub described: Described,
    /// Of its bytes.
    pub digest: Digest,
}

/// What is remembered of a file.
#[derive(Serialize, Deserialize)]
struct Remembered {
    stamp: Option<StampFields>,
    digest: String,
    /// What it said of itself; where it is broken now, what it said before.
    described: Option<Described>,
    /// What is wrong with it. Also where that was for want of time or memory: to find out again would
    /// cost as much in each run.
    fault: Option<AdapterFault>,
}

/// A component that cannot be used, and what it knew about as long as it could.
pub struct Broken {
    pub fault: AdapterFault,
    pub described: Option<Described>,
}

impl Component {
    /// Finds the component that the config names by a path relative to the root.
    pub fn find(
        name: &str,
        root: &Path,
        memo: &dyn Memo,
        shelf: Option<&Shelf>,
    ) -> Result<Component, Broken> {
        let key = Fields::new("adapter file").bytes(name.as_bytes()).digest();
        let known: Option<Remembered> = memo.get(key).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let before = known.as_ref().and_then(|known| known.described.clone());
        let broken = |fault| Broken { fault, described: before.clone() };
        let wrong = |wrong: Wrong| broken(AdapterFault::new(name, "?", "load", wrong));
        let path = place(name, root).map_err(wrong)?;
        let stamp = path.metadata().ok().map(|meta| Stamp::of(&meta));
        let stamp = stamp.filter(|stamp| stamp.is_settled(now_ns())).map(ask::fields);
        if let Some(known) = &known
            && stamp.is_some()
            && known.stamp == stamp
        {
            return known.component(name, path);
        }
        let wasm = read(&path).map_err(wrong)?;
        let digest = Digest::of(&wasm);
        let record = match known.filter(|known| known.digest == digest.to_string()) {
            Some(known) => Remembered { stamp, ..known },
            None => {
                let (described, fault) = match describe(name, &wasm, digest, shelf) {
                    Ok(described) => (Some(described), None),
                    Err(fault) if fault.code == "host-failed" => return Err(broken(fault)),
                    Err(fault) => (before.clone(), Some(fault)),
                };
                Remembered { stamp, digest: digest.to_string(), described, fault }
            }
        };
        if let Ok(bytes) = serde_json::to_vec(&record) {
            memo.put(key, &bytes);
        }
        record.component(name, path)
    }

    /// Loads it. The file must still be the one that was described.
    pub fn guest(&self, shelf: Option<&Shelf>) -> Result<Guest, AdapterFault> {
        let wasm = read(&self.path).map_err(|wrong| self.fault(wrong))?;
        if Digest::of(&wasm) != self.digest {
            let what = format!("`{}` was changed while it was in use", self.name);
            return Err(self.fault(Wrong::new("digest-mismatch", what)));
        }
        Guest::of_file(&self.described.id, &self.described.version, &wasm, self.digest, shelf)
    }

    fn fault(&self, wrong: Wrong) -> AdapterFault {
        AdapterFault::new(&self.described.id, &self.described.version, "load", wrong)
    }
}

impl Remembered {
    fn component(&self, name: &str, path: PathBuf) -> Result<Component, Broken> {
        let described = self.described.clone();
        match (&self.fault, described, Digest::from_hex(&self.digest)) {
            (None, Some(described), Some(digest)) => {
                Ok(Component { name: name.to_owned(), path, described, digest })
            }
            (Some(fault), described, _) => Err(Broken { fault: fault.clone(), described }),
            _ => {
                let wrong = Wrong::new("host-failed", "what was remembered of it is damaged");
                Err(Broken { fault: AdapterFault::new(name, "?", "load", wrong), described: None })
            }
        }
    }
}

fn describe(
    name: &str,
    wasm: &[u8],
    digest: Digest,
    shelf: Option<&Shelf>,
) -> Result<Described, AdapterFault> {
    let guest = Guest::of_file(name, "?", wasm, digest, shelf)?;
    let said = guest.describe()?;
    Described::of(said).map_err(|wrong| AdapterFault::new(name, "?", "describe", wrong))
}

/// Where the file really lies, if that is in the workspace.
fn place(name: &str, root: &Path) -> Result<PathBuf, Wrong> {
    let real = root.join(name.trim_start_matches("./")).canonicalize().map_err(|error| {
        Wrong::new("unreadable", format!("`{name}`: {error}; name a component by its path from the root"))
    })?;
    if real.starts_with(root) {
        return Ok(real);
    }
    Err(Wrong::new("outside-workspace", format!("`{name}` leads to {}", real.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    let unreadable = |error: std::io::Error| Wrong::new("unreadable", format!("{}: {error}", path.display()));
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Wrong::new("not-a-file", format!("{} is no regular file", path.display())));
    }
    if meta.len() > WASM_BYTES_MAX as u64 {
        return Err(Wrong::new(
            "too-complex",
            format!("{} bytes, the limit is {WASM_BYTES_MAX}", meta.len()),
        ));
    }
    let mut wasm = Vec::new();
    file.take(WASM_BYTES_MAX as u64 + 1).read_to_end(&mut wasm).map_err(unreadable)?;
    Ok(wasm)
}

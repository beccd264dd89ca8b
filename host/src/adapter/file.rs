//! A component of somebody else that lies in the workspace: found, known by its digest, and described.
//! What it says of itself is remembered, so that a run which needs nothing else of it neither reads the
//! file nor starts an engine.

use super::ask::{self, StampFields};
use super::carried::Form;
use super::complexity::WASM_BYTES_MAX;
use super::described::Described;
use super::engine::Guest;
use super::fault::{AdapterFault, Wrong};
use super::native::Shelf;
use super::source::Located;
use crate::digest::{Digest, Fields};
use crate::memo::Memo;
use crate::stamp::{Stamp, now_ns};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A component in a file.
#[derive(Debug)]
pub struct Component {
    /// For messages.
    pub name: String,
    /// As the lock names it.
    pub source: String,
    /// Where it lies; absolute, no links on the way.
    path: PathBuf,
    form: Form,
    /// What it said of itself.
    pub described: Described,
    /// Of its bytes.
    pub file_digest: Digest,
    /// Of all that it says depends on.
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
    /// Describes the adapter in a file.
    pub fn find(located: Located, memo: &dyn Memo, shelf: Option<&Shelf>) -> Result<Component, Broken> {
        let Located { source, name, path } = located;
        let name = name.as_str();
        let Some(form) = Form::of_name(name) else {
            let fault = AdapterFault::new(name, "?", "load", not_an_adapter(name));
            return Err(Broken { fault, described: None });
        };
        let mut key = Fields::new("adapter file 2");
        key.bytes(source.as_bytes())
            .bytes(name.as_bytes())
            .list(form.carrier().iter().map(|carrier| carrier.digest.as_bytes()));
        let key = key.digest();
        let known: Option<Remembered> = memo.get(key).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let before = known.as_ref().and_then(|known| known.described.clone());
        let broken = |fault| Broken { fault, described: before.clone() };
        let wrong = |wrong: Wrong| broken(AdapterFault::new(name, "?", "load", wrong));
        let stamp = path.metadata().ok().map(|meta| Stamp::of(&meta));
        let stamp = stamp.filter(|stamp| stamp.is_settled(now_ns())).map(ask::fields);
        if let Some(known) = &known
            && stamp.is_some()
            && known.stamp == stamp
        {
            return known.component(name, source, path, form);
        }
        let wasm = read(&path).map_err(wrong)?;
        let digest = Digest::of(&wasm);
        let record = match known.filter(|known| known.digest == digest.to_string()) {
            Some(known) => Remembered { stamp, ..known },
            None => {
                let (described, fault) = match describe(name, form, &wasm, digest, shelf) {
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
        record.component(name, source, path, form)
    }

    /// Loads it. The file must still be the one that was described.
    pub fn guest(&self, shelf: Option<&Shelf>) -> Result<Guest, AdapterFault> {
        let wasm = read(&self.path).map_err(|wrong| self.fault(wrong))?;
        if Digest::of(&wasm) != self.file_digest {
            let what = format!("`{}` was changed while it was in use", self.name);
            return Err(self.fault(Wrong::new("digest-mismatch", what)));
        }
        load(&self.described.id, &self.described.version, self.form, (&self.name, &wasm, self.digest), shelf)
    }

    fn fault(&self, wrong: Wrong) -> AdapterFault {
        AdapterFault::new(&self.described.id, &self.described.version, "load", wrong)
    }
}

impl Remembered {
    fn component(&self, name: &str, source: String, path: PathBuf, form: Form) -> Result<Component, Broken> {
        let described = self.described.clone();
        match (&self.fault, described, Digest::from_hex(&self.digest)) {
            (None, Some(described), Some(digest)) => Ok(Component {
                name: name.to_owned(),
                source,
                path,
                form,
                described,
                file_digest: digest,
                digest: form.digest(digest),
            }),
            (Some(fault), described, _) => Err(Broken { fault: fault.clone(), described }),
            _ => {
                let wrong = Wrong::new("host-failed", "what was remembered of it is damaged");
                Err(Broken { fault: AdapterFault::new(name, "?", "load", wrong), described: None })
            }
        }
    }
}

/// Loads an adapter from the bytes of its file. `of`: the name of the file, its bytes, and their digest.
pub fn load(
    id: &str,
    version: &str,
    form: Form,
    (name, bytes, digest): (&str, &[u8], Digest),
    shelf: Option<&Shelf>,
) -> Result<Guest, AdapterFault> {
    match form.carrier() {
        None => Guest::of_file(id, version, bytes, digest, shelf),
        Some(carrier) => {
            let fault = |wrong| AdapterFault::new(id, version, "load", wrong);
            let source = form.source(name, bytes).map_err(fault)?;
            Guest::of_source(id, version, carrier, source, shelf).map(|guest| guest.from_file(name))
        }
    }
}

/// What it says of itself. `name` stands for its id, which is not known yet.
pub fn describe(
    name: &str,
    form: Form,
    bytes: &[u8],
    digest: Digest,
    shelf: Option<&Shelf>,
) -> Result<Described, AdapterFault> {
    let guest = load(name, "?", form, (name, bytes, digest), shelf)?;
    let said = guest.describe()?;
    Described::of(said).map_err(|wrong| AdapterFault::new(name, "?", "describe", wrong))
}

/// The name of a file says what it holds.
pub fn not_an_adapter(name: &str) -> Wrong {
    Wrong::new(
        "not-an-adapter",
        format!("`{name}` is none of the files that adapters are: .js, .mjs, .toml and .wasm"),
    )
}

/// The bytes of an adapter's file.
pub fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
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

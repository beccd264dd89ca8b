//! The environment overheard: a library of ours is loaded into the programs of a step. It serves the
//! variables that were left out of their environment block when they are asked for by name, and notes
//! each name that was asked for. What it shares with us is one memory file per step; values are in
//! that and nowhere else. The library itself is `host/preload`, the layout `host/trace-abi`.
//!
//! It helps and never decides: where the library cannot be loaded, programs see what was passed; where
//! something may have gone unheard, the trace is marked incomplete.

#![allow(unsafe_code, reason = "makes a memory file")]

use super::notes::{self, Notes};
use super::{Level, Spec};
use crate::access::Observed;
use crate::shipped::{self, Shipped};
use overhear_trace_abi::handle::{Handle, TEXT_BYTES_MAX};
use overhear_trace_abi::table::{Entry, Head, fill_index, index_len};
use overhear_trace_abi::{
    ENV_HANDLE, ENV_LOADER, ENV_MARK, Log, NAMES_BYTES, PROBE_LOST, SLOTS, Slot, TABLE_AT, VARIABLES_MAX,
    hash,
};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Set in every step: a program that finds it runs inside one.
pub const MARK: &str = ENV_MARK;
/// Chooses a [`Level`].
pub const SWITCH: &str = overhear_trace::LEVEL_SWITCH;

/// The address sanitizer of gcc refuses to start behind any other library, and knows its own by this
/// part of the path. Behind this one it works: what is called here goes on to it.
const LIBRARY: Shipped = Shipped {
    name: "overhear-preload",
    extension: "libasan.so",
    bytes: include_bytes!(env!("OVERHEAR_PRELOAD_FILE")),
};

/// Why the environment of steps is not overheard here, if it is not.
pub fn trouble() -> Option<&'static str> {
    placed().as_ref().err().map(String::as_str)
}

/// The library's path, resolved; for the tracer to ignore.
pub(super) fn library() -> Option<&'static Path> {
    placed().as_ref().ok().map(PathBuf::as_path)
}

/// Where programs can load the library, or why they cannot.
fn placed() -> &'static Result<PathBuf, String> {
    static PLACED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PLACED.get_or_init(place)
}

fn place() -> Result<PathBuf, String> {
    if LIBRARY.bytes.is_empty() {
        return Err("there is no library to preload for this system yet".to_owned());
    }
    if Level::chosen() == Level::Nothing {
        return Err(format!("turned off by {SWITCH}"));
    }
    if std::env::var_os(super::SWITCH).is_some_and(|value| value == "off") {
        return Err("tracing is turned off by OVERHEAR_TRACE".to_owned());
    }
    if std::env::var_os(ENV_MARK).is_some() && is_overheard_itself() {
        return Err("an outer overhear does it".to_owned());
    }
    if !is_supported() {
        return Err("the C library of this system is too old (glibc 2.34 or musl is needed)".to_owned());
    }
    let path = folders().find_map(|folder| LIBRARY.place_in(&folder).ok().and_then(loadable));
    path.ok_or_else(|| {
        "no folder to load a library from: set XDG_CACHE_HOME to one whose path has no space, colon or quote and that is not mounted noexec".to_owned()
    })
}

/// Where the library may be put, best first: folders that last, so that nothing need be taken away.
fn folders() -> impl Iterator<Item = PathBuf> {
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let runtime = runtime.map(|folder| folder.join("overhear"));
    // SAFETY: a number.
    let user = unsafe { libc::geteuid() };
    let shared = std::env::temp_dir().join(format!("overhear-library-{user}"));
    let own = move || {
        // It may be there already; what counts is whose it is.
        let _ = std::fs::DirBuilder::new().mode(0o755).create(&shared);
        let is_own = std::fs::symlink_metadata(&shared)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == user && meta.mode() & 0o022 == 0);
        is_own.then_some(shared)
    };
    shipped::user_cache().into_iter().chain(runtime).chain(std::iter::once_with(own).flatten())
}

/// Whether this program runs as part of a step whose environment is overheard. The library took that out
/// of the block, but not out of what the kernel shows.
fn is_overheard_itself() -> bool {
    let Ok(block) = std::fs::read("/proc/self/environ") else { return false };
    let is_handle =
        |text: &[u8]| text.strip_prefix(ENV_HANDLE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
    block.split(|byte| *byte == 0).any(is_handle)
}

/// The library finds the C library's own functions with `dlsym`, which used to be apart.
#[cfg(target_env = "gnu")]
fn is_supported() -> bool {
    // SAFETY: a text that is part of the C library.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    let mut numbers =
        version.to_str().unwrap_or("").split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(2), Some(34))
}

#[cfg(not(target_env = "gnu"))]
fn is_supported() -> bool {
    true
}

/// The path, resolved, if the loader takes it: its list has separators, and signs with a meaning.
fn loadable(path: PathBuf) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let has_sign = path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b':' | b';' | b'$' | b'\'') || byte.is_ascii_whitespace());
    let is_executable = rustix::fs::statvfs(&path)
        .is_ok_and(|place| !place.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    (!has_sign && is_executable).then_some(path)
}

/// Listens to what one step asks of its environment.
pub(crate) struct Ear {
    memory: File,
    handle: Handle,
    library: &'static Path,
    /// The variables of the table, and whether the value is text.
    variables: Vec<(String, bool)>,
    is_strict: bool,
    notes: Arc<Notes>,
}

impl Ear {
    /// Gets ready for one step. `None` where the environment is not overheard.
    pub(crate) fn begin(spec: &Spec) -> io::Result<Option<Ear>> {
        let left_out = &spec.left_out;
        let Some(library) = library().filter(|_| spec.level > Level::Nothing) else { return Ok(None) };
        let named: Vec<(&str, &OsStr)> = left_out
            .variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.as_os_str())))
            .collect();
        if named.len() > VARIABLES_MAX {
            return Err(io::Error::other(format!("there are more than {VARIABLES_MAX} variables")));
        }
        let token = notes::random();
        let table = table(&named, token, left_out.is_strict);
        let memory = memory_file()?;
        memory.set_len((TABLE_AT + table.len()) as u64)?;
        memory.write_all_at(&table, TABLE_AT as u64)?;
        let notes = Arc::new(Notes::begin(&memory, spec.level == Level::Everything)?);
        let table_bytes =
            u32::try_from(table.len()).map_err(|_| io::Error::other("the variables are too large"))?;
        let (pid, fd) = (std::process::id(), memory.as_raw_fd() as u32);
        let handle = Handle { pid, fd, token, table_bytes, gate: notes.gate() };
        let variables =
            named.iter().map(|(name, value)| ((*name).to_owned(), value.to_str().is_some())).collect();
        Ok(Some(Ear { memory, handle, library, variables, is_strict: left_out.is_strict, notes }))
    }

    /// What the programs of the step note, for its tracer.
    pub(crate) fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    /// Puts what the library needs into the environment of the step's first program.
    pub(crate) fn add_to(&self, env: &mut Vec<(OsString, OsString)>) {
        let mut text = [0u8; TEXT_BYTES_MAX];
        let length = self.handle.write(&[], &mut text).expect("the room is for the longest text");
        let mut loader = self.library.as_os_str().to_owned();
        if let Some((_, own)) =
            env.iter().find(|(name, _)| name == ENV_LOADER).filter(|(_, own)| !own.is_empty())
        {
            let mut both = own.clone();
            both.push(":");
            both.push(&loader);
            loader = both;
        }
        env.retain(|(name, _)| name != ENV_LOADER && name != ENV_HANDLE);
        env.push((ENV_LOADER.into(), loader));
        env.push((ENV_HANDLE.into(), OsStr::from_bytes(&text[..length]).into()));
        if env.iter().all(|(name, _)| name != ENV_MARK) {
            env.push((ENV_MARK.into(), "1".into()));
        }
    }

    /// Adds what was asked for to what was observed. To be called when the step is over.
    pub(crate) fn finish(self, observed: &mut Observed) {
        if observed.paths.remove(Path::new(PROBE_LOST)).is_some() {
            observed.poison("a process could not note which variables it asked for");
        }
        if let Err(error) = self.read(observed) {
            observed.poison(format!("what was asked of the environment cannot be read: {error}"));
        }
    }

    fn read(&self, observed: &mut Observed) -> io::Result<()> {
        let mut log = vec![0u8; offset_of!(Log, names)];
        self.memory.read_exact_at(&mut log, 0)?;
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| log[at + byte]));
        let long = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| log[at + byte]));
        if word(offset_of!(Log, is_full)) != 0 {
            observed.poison("it asked for more variables than can be noted");
        }
        for (position, (name, is_text)) in self.variables.iter().enumerate() {
            if log[offset_of!(Log, asked) + position] == 0 {
                continue;
            }
            if self.is_strict {
                observed.hidden.insert(name.clone());
                continue;
            }
            if !is_text {
                observed.poison(format!("it asked for {name}, whose value is not UTF-8"));
            }
            observed.env.insert(name.clone(), true);
        }
        let used = (word(offset_of!(Log, names_used)) as usize).min(NAMES_BYTES);
        let mut names = vec![0u8; used];
        self.memory.read_exact_at(&mut names, offset_of!(Log, names) as u64)?;
        for slot in 0..SLOTS {
            let at = offset_of!(Log, slots) + slot * size_of::<Slot>();
            if long(at + offset_of!(Slot, hash)) == 0 {
                continue;
            }
            let (start, length) = Slot::range(long(at + offset_of!(Slot, place)));
            match names.get(start..start + length).filter(|name| !name.is_empty()) {
                // What is not UTF-8 cannot be looked up at a hit either: it has no value.
                Some(name) => {
                    observed.env.entry(String::from_utf8_lossy(name).into_owned()).or_insert(false);
                }
                None => observed.poison("a process ended while it asked for a variable"),
            }
        }
        Ok(())
    }
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name ends with zero, and the descriptor is new.
    unsafe {
        match libc::memfd_create(c"overhear-environment".as_ptr(), libc::MFD_CLOEXEC) {
            fd if fd >= 0 => Ok(File::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The table's bytes.
fn table(variables: &[(&str, &OsStr)], token: u64, is_strict: bool) -> Vec<u8> {
    let mut index = vec![0u32; index_len(variables.len())];
    fill_index(&mut index, variables.iter().map(|(name, _)| name));
    let head = size_of::<Head>() + index.len() * 4;
    let mut texts: Vec<u8> = Vec::new();
    let mut at = |text: &[u8]| {
        let start = head + variables.len() * size_of::<Entry>() + texts.len();
        texts.extend_from_slice(text);
        texts.push(0);
        start as u32
    };
    let mut entries: Vec<u8> = Vec::new();
    for (name, value) in variables {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        entries.extend_from_slice(&hash(name).to_ne_bytes());
        for word in [at(name), name.len() as u32, at(value), 0] {
            entries.extend_from_slice(&word.to_ne_bytes());
        }
    }
    let mut table = token.to_ne_bytes().to_vec();
    for word in [variables.len() as u32, index.len() as u32, u32::from(is_strict), 0] {
        table.extend_from_slice(&word.to_ne_bytes());
    }
    table.extend(index.iter().flat_map(|word| word.to_ne_bytes()));
    table.extend(entries);
    table.extend(texts);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use overhear_trace_abi::table::Table;

    #[test]
    fn a_table_gives_each_variable_and_no_other() {
        for count in [0, 1, 2, 7, 500] {
            let named: Vec<(String, OsString)> =
                (0..count).map(|at| (format!("NAME_{at}"), format!("value {at}").into())).collect();
            let named: Vec<(&str, &OsStr)> = named.iter().map(|(name, value)| (&**name, &**value)).collect();
            let bytes = table(&named, 7, true);
            let words: Vec<u64> = bytes
                .chunks(8)
                .map(|chunk| {
                    u64::from_ne_bytes(std::array::from_fn(|at| chunk.get(at).copied().unwrap_or(0)))
                })
                .collect();
            let base: *const u8 = words.as_ptr().cast();
            // SAFETY: the words are the table, aligned, and live to the end.
            unsafe {
                assert!(Table::at(base, bytes.len(), 8).is_none(), "of another run");
                let table = Table::at(base, bytes.len(), 7).expect("the token is right");
                assert!(table.is_strict());
                for (position, (name, value)) in named.iter().enumerate() {
                    let (found, text) =
                        table.find(name.as_bytes(), hash(name.as_bytes())).expect("it is there");
                    assert_eq!(found, position);
                    assert_eq!(std::ffi::CStr::from_ptr(text.cast()).to_bytes(), value.as_bytes());
                }
                assert!(table.find(b"OTHER", hash(b"OTHER")).is_none());
            }
        }
    }
}

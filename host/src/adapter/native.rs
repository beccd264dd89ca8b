//! Native code of components that are not part of the program: compiled by a child process that may use
//! so much time and memory and no more, and kept in a private folder of the user. What is kept is never
//! loaded unless its digest is right: one flipped bit of it could do anything.
#![allow(unsafe_code, reason = "native code is loaded here, and a process is limited before it compiles")]

use super::built_in::Code;
use super::complexity;
use super::engine_config::engine_config;
use super::fault::Wrong;
use crate::digest::{Digest, Fields};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What a file of native code ends with: the code comes first, as that is how it can be mapped and only the
/// pages that a call needs are read; then its digest, then this.
const MAGIC: &[u8] = b"overhear native 2\n";
/// Bytes after the code.
const SEAL_BYTES: usize = 32 + MAGIC.len();
/// Seconds of processor time for compiling one component.
const SECONDS_MAX: u64 = 60;
/// Addresses that the compiling process may use, bytes.
const ADDRESSES_MAX: u64 = 1 << 30;
/// Native code of one component, bytes.
const NATIVE_BYTES_MAX: u64 = 256 << 20;

/// Where native code is kept between runs: a folder that only this user can read or write.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The folder `adapters` in the user's cache folder, made where it is missing. `Err`: why it is not
    /// used; then every run that needs the code compiles it.
    pub fn open(cache: &Path, root: &Path) -> Result<Shelf, String> {
        let folder = cache.join("adapters");
        let unsafe_for = |why: &str| {
            format!("`{}` is not used for compiled adapters: {why} [unsafe-cache-dir]", folder.display())
        };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| unsafe_for(&error.to_string()))?;
        let meta = folder.symlink_metadata().map_err(|error| unsafe_for(&error.to_string()))?;
        // SAFETY: it has no preconditions and cannot fail.
        let user = unsafe { libc::geteuid() };
        if !meta.is_dir() {
            return Err(unsafe_for("it is no folder but a link or a file"));
        }
        if meta.uid() != user {
            return Err(unsafe_for("it belongs to another user"));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(unsafe_for("others may read or write it (chmod 700 mends that)"));
        }
        let real = folder.canonicalize().map_err(|error| unsafe_for(&error.to_string()))?;
        if real.starts_with(root) {
            return Err(unsafe_for("it lies in the workspace, which travels to other machines"));
        }
        Ok(Shelf(real))
    }

    fn file(&self, component: Digest) -> PathBuf {
        // The engine comes with the program. What of the processor the code uses is in the code.
        let mut name = Fields::new("native code of an adapter");
        let name = name.bytes(component.as_bytes()).bytes(env!("CARGO_PKG_VERSION").as_bytes()).digest();
        self.0.join(format!("{name}.cwasm"))
    }

    /// The code that is kept, if it is there, whole, and for this engine and processor.
    fn take(&self, engine: &Engine, component: Digest) -> Option<Component> {
        let path = self.file(component);
        if !is_sealed(&path).ok()? {
            return None;
        }
        // SAFETY: a compiler of ours wrote the file into a folder that only this user can write, its digest
        // was checked just now, and it is only ever replaced as a whole.
        unsafe { Component::deserialize_file(engine, path) }.ok()
    }

    fn put(&self, component: Digest, native: &[u8]) -> io::Result<()> {
        let mut beside = tempfile::NamedTempFile::new_in(&self.0)?;
        beside.write_all(native)?;
        beside.write_all(Digest::of(native).as_bytes())?;
        beside.write_all(MAGIC)?;
        beside.as_file().sync_all()?;
        beside.persist(self.file(component))?;
        Ok(())
    }
}

/// Whether the code in a file has the digest that stands behind it.
fn is_sealed(path: &Path) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let Some(code_bytes) = file.metadata()?.len().checked_sub(SEAL_BYTES as u64) else { return Ok(false) };
    let (mut hasher, mut piece, mut left) = (blake3::Hasher::new(), vec![0; PIECE_BYTES], code_bytes);
    while left > 0 {
        let wanted = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        file.read_exact(&mut piece[..wanted])?;
        hasher.update(&piece[..wanted]);
        left -= wanted as u64;
    }
    let mut seal = [0; SEAL_BYTES];
    file.read_exact(&mut seal)?;
    Ok(seal[..32] == *hasher.finalize().as_bytes() && seal[32..] == *MAGIC)
}

/// Read at once: as much as stays in the processor's cache.
const PIECE_BYTES: usize = 256 * 1024;

/// An error where it was made by an engine of another version, with other settings, or for another processor.
fn load(engine: &Engine, native: &[u8]) -> Result<Component, Wrong> {
    // SAFETY: a compiler of ours wrote these bytes: a child process just now, or the build script of this
    // program into the program itself.
    unsafe { Component::deserialize(engine, native) }.map_err(|error| {
        Wrong::new("host-failed", format!("the code that was just compiled cannot be loaded: {error:#}"))
    })
}

/// A component compiled in this process.
#[cfg(test)]
pub fn compiled_here(engine: &Engine, wasm: &[u8]) -> Result<Component, Wrong> {
    load(engine, &precompile(wasm)?)
}

/// A component of somebody else, from the shelf, or compiled by a child process and put there.
pub fn component(
    engine: &Engine,
    shelf: Option<&Shelf>,
    wasm: &[u8],
    digest: Digest,
) -> Result<Component, Wrong> {
    if let Some(component) = shelf.and_then(|shelf| shelf.take(engine, digest)) {
        return Ok(component);
    }
    complexity::check(wasm)?;
    let native = compile_in_child(wasm)?;
    if let Some(shelf) = shelf {
        // Where it cannot be kept, the next run compiles again.
        let _ = shelf.put(digest, &native);
    }
    load(engine, &native)
}

/// A component that is part of the program and compressed there: its code from the shelf, or unpacked and put
/// there. What was compiled beforehand is compiled here only where the program was built elsewhere.
pub fn packed(engine: &Engine, shelf: Option<&Shelf>, code: &Code) -> Result<Component, Wrong> {
    if let Some(component) = shelf.and_then(|shelf| shelf.take(engine, code.digest)) {
        return Ok(component);
    }
    let unpack = |bytes: &[u8]| {
        zstd::decode_all(bytes).map_err(|error| {
            Wrong::new("host-failed", format!("what is part of overhear is damaged: {error}"))
        })
    };
    if code.cwasm.is_empty() {
        return component(engine, shelf, &unpack(code.wasm)?, code.digest);
    }
    let native = unpack(code.cwasm)?;
    // Another processor than any that the code is for: compiled anew.
    let Ok(loaded) = load(engine, &native) else {
        return component(engine, shelf, &unpack(code.wasm)?, code.digest);
    };
    if let Some(shelf) = shelf {
        // Where it cannot be kept, the next run unpacks again.
        let _ = shelf.put(code.digest, &native);
    }
    Ok(loaded)
}

/// What the child says on its standard error where it cannot compile.
#[derive(Serialize, Deserialize)]
struct Said {
    code: String,
    what: String,
}

fn compile_in_child(wasm: &[u8]) -> Result<Vec<u8>, Wrong> {
    let failed = |error: io::Error| Wrong::new("host-failed", format!("cannot start the compiler: {error}"));
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { std::env::current_exe().map_err(failed)? };
    let mut child = Command::new(program)
        .args(["internal", "compile-adapter"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (native, said) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that has given up closes its end; its words say why.
            let _ = stdin.map(|mut stdin| stdin.write_all(wasm));
        });
        let said = scope.spawn(move || read_at_most(stderr, 64 * 1024));
        (read_at_most(stdout, NATIVE_BYTES_MAX), said.join().unwrap_or_default())
    });
    let status = child.wait().map_err(failed)?;
    outcome(status, native, &said)
}

fn read_at_most(from: Option<impl Read>, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could not be read is missing at the end, and the end tells.
    let _ = from.map(|from| from.take(bytes_max).read_to_end(&mut bytes));
    bytes
}

/// What became of the child: its code, its own words, or that it went beyond its limits.
fn outcome(status: ExitStatus, native: Vec<u8>, said: &[u8]) -> Result<Vec<u8>, Wrong> {
    if status.success() {
        return Ok(native);
    }
    if let Ok(said) = serde_json::from_slice::<Said>(said) {
        let known = ["invalid-wasm", "unsupported-feature", "not-wasm", "not-component", "too-complex"];
        let code = known.into_iter().find(|code| *code == said.code).unwrap_or("host-failed");
        return Err(Wrong::new(code, said.what));
    }
    let how = match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => format!("more than {SECONDS_MAX} s of processor time"),
        // An allocation that fails ends the process so.
        Some(libc::SIGABRT) => format!("more than {} MiB of memory", ADDRESSES_MAX >> 20),
        Some(signal) => format!("ended by signal {signal}"),
        None => format!("ended with {status}"),
    };
    Err(Wrong::new("compile-limit", format!("compiling it takes too much: {how}")))
}

/// The whole of the child process: limits itself, reads a component, writes its native code. Gives the
/// exit code.
pub fn compile_for_parent(mut from: impl Read, mut to: impl Write, mut words: impl Write) -> i32 {
    limit(libc::RLIMIT_CPU, SECONDS_MAX);
    limit(libc::RLIMIT_AS, ADDRESSES_MAX);
    limit(libc::RLIMIT_CORE, 0);
    let compiled = read_component(&mut from).and_then(|wasm| precompile(&wasm));
    let written = match compiled {
        Ok(native) => to.write_all(&native).and_then(|()| to.flush()),
        Err(wrong) => {
            let said = Said { code: wrong.code.to_owned(), what: wrong.what };
            // Nobody is left to be told where this fails.
            let _ = serde_json::to_writer(&mut words, &said);
            return 1;
        }
    };
    if written.is_ok() { 0 } else { 1 }
}

fn read_component(from: &mut impl Read) -> Result<Vec<u8>, Wrong> {
    let mut wasm = Vec::new();
    let bytes_max = complexity::WASM_BYTES_MAX as u64 + 1;
    from.take(bytes_max)
        .read_to_end(&mut wasm)
        .map_err(|error| Wrong::new("host-failed", format!("cannot read the component: {error}")))?;
    Ok(wasm)
}

fn precompile(wasm: &[u8]) -> Result<Vec<u8>, Wrong> {
    complexity::check(wasm)?;
    let engine =
        Engine::new(&engine_config()).map_err(|error| Wrong::new("host-failed", format!("{error:#}")))?;
    engine.precompile_component(wasm).map_err(|error| invalid(&error))
}

/// Why a component cannot be compiled.
fn invalid(error: &wasmtime::Error) -> Wrong {
    let detail = format!("{error:#}");
    let off = ["threads", "memory64", "gc", "shared memory", "memory index type", "support is not enabled"];
    let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
    match off.iter().any(|feature| detail.contains(feature)) {
        true => {
            let what = format!("{detail}; adapters cannot use that: its author has to build it without");
            Wrong::new("unsupported-feature", what)
        }
        false => complexity::damaged(&detail),
    }
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// A limit that cannot be set is one that is lower already.
fn limit(what: Resource, most: u64) {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a local of the right type.
    unsafe {
        if libc::getrlimit(what, &raw mut now) == 0 {
            let most = most.min(now.rlim_max);
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            let _ = libc::setrlimit(what, &raw const limit);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn engine() -> Engine {
        Engine::new(engine_config().enable_compiler(false)).unwrap()
    }

    fn shelf(cache: &Path) -> Shelf {
        Shelf::open(cache, Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn code_that_is_kept_is_taken_until_one_bit_of_it_is_wrong() {
        let cache = tempfile::tempdir().unwrap();
        let (engine, shelf, digest) = (engine(), shelf(cache.path()), Digest([7; 32]));
        let native = precompile(&wat::parse_str("(component (core module (func)))").unwrap()).unwrap();
        assert!(shelf.take(&engine, digest).is_none());
        shelf.put(digest, &native).unwrap();
        assert!(shelf.take(&engine, digest).is_some());
        let file = shelf.file(digest);
        let whole = fs::read(&file).unwrap();
        for flip in 0..150 {
            let mut damaged = whole.clone();
            let at = flip * (whole.len() - 1) / 149;
            damaged[at] ^= 1 << (flip % 8);
            fs::write(&file, &damaged).unwrap();
            assert!(!is_sealed(&file).unwrap(), "bit {flip} at {at}");
            assert!(shelf.take(&engine, digest).is_none(), "bit {flip} at {at}");
        }
        for part in [&whole[..0], &whole[..20], &whole[..whole.len() - 1], b"text"] {
            fs::write(&file, part).unwrap();
            assert!(shelf.take(&engine, digest).is_none());
        }
        shelf.put(digest, &native).unwrap();
        assert!(shelf.take(&engine, digest).is_some(), "what is made anew is whole again");
    }

    #[test]
    fn what_cannot_be_compiled_says_what_to_do() {
        let sound = wat::parse_str("(component (core module (func) (func return_call 0)))").unwrap();
        let unsupported = precompile(&sound).unwrap_err();
        assert_eq!(unsupported.code, "unsupported-feature", "{unsupported}");
        assert!(unsupported.what.contains("tail calls") && unsupported.what.contains("build it without"));
        let cut = precompile(&sound[..sound.len() - 3]).unwrap_err();
        assert_eq!(cut.code, "invalid-wasm", "{cut}");
        assert!(cut.what.contains("build it or install it again"), "{cut}");
    }

    #[test]
    fn code_of_an_engine_with_other_settings_is_not_loaded() {
        let mut config = engine_config();
        config.consume_fuel(false);
        let other = Engine::new(&config).unwrap();
        let wasm = wat::parse_str("(component (core module (func)))").unwrap();
        let native = other.precompile_component(&wasm).unwrap();
        assert!(load(&engine(), &native).is_err());
    }

    #[test]
    fn a_folder_that_is_not_private_is_not_used() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("adapters");
        shelf(cache.path());
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        let refused = |root: &Path| Shelf::open(cache.path(), root).unwrap_err();
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        assert!(refused(Path::new("/nowhere")).contains("others may read or write it"));
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let root = cache.path().canonicalize().unwrap();
        assert!(refused(&root).contains("it lies in the workspace"));
        fs::rename(&folder, cache.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &folder).unwrap();
        assert!(refused(Path::new("/nowhere")).contains("no folder but a link"));
        assert!(refused(Path::new("/nowhere")).ends_with("[unsafe-cache-dir]"));
    }

    #[test]
    fn the_end_of_the_compiler_says_what_was_too_much() {
        let ended = |status: i32, said: &[u8]| outcome(ExitStatus::from_raw(status), Vec::new(), said);
        assert_eq!(ended(0, b""), Ok(Vec::new()));
        let cpu = ended(libc::SIGXCPU, b"").unwrap_err();
        assert_eq!(
            cpu.to_string(),
            "compiling it takes too much: more than 60 s of processor time [compile-limit]"
        );
        let memory = ended(libc::SIGABRT, b"memory allocation failed").unwrap_err();
        assert_eq!(
            memory.to_string(),
            "compiling it takes too much: more than 1024 MiB of memory [compile-limit]"
        );
        let said = ended(1 << 8, br#"{"code": "invalid-wasm", "what": "why"}"#).unwrap_err();
        assert_eq!(said.to_string(), "why [invalid-wasm]");
    }
}

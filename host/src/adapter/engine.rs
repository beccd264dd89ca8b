//! The one engine, and the running of guests in it: fuel decides, time is the backstop, and nothing but
//! our own questions can be imported. Created by the first call that no memo answers.

use super::Call;
use super::ask::{Asker, Kind, Places};
use super::bindings::overhear::adapter::host;
use super::bindings::overhear::adapter::types;
use super::bindings::{Adapter, AdapterPre};
use super::built_in::{BuiltIn, Code};
use super::carried;
use super::convert;
use super::described::is_for_people;
use super::engine_config::{FUEL, engine_config};
use super::fault::{AdapterFault, Wrong};
use super::native::{self, Shelf};
use super::tool::ToolPackage;
use super::{link, static_config};
use crate::declaration::{AdapterId, Declaration};
use crate::digest::Digest;
use crate::trace::preload;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, Trap, WasmBacktrace};

const MEMORY_BYTES_MAX: usize = 64 << 20;
const MEMORIES_MAX: usize = 8;
const TABLES_MAX: usize = 16;
const TABLE_ELEMENTS_MAX: usize = 20_000;
const INSTANCES_MAX: usize = 256;
const LOG_BYTES_MAX: usize = 64 * 1024;
/// What a guest may hand over in one call to the host, or in one result.
const HANDOVER_BYTES_MAX: usize = 4 << 20;
/// The backstop of time, in ticks.
const DEADLINE_TICKS: u64 = 20;
const TICK: Duration = Duration::from_millis(100);

/// The description of one call, as guests get it.
pub use types::Invocation;

static ENGINE: OnceLock<Result<Shared, String>> = OnceLock::new();
static CREATED: AtomicUsize = AtomicUsize::new(0);

/// How many engines this process has created. On a run in which the memo answers everything: none.
pub fn engines_created() -> usize {
    CREATED.load(Ordering::Relaxed)
}

/// What all guests of this process share.
struct Shared {
    engine: Engine,
    linker: Linker<State>,
}

fn shared() -> Result<&'static Shared, Wrong> {
    ENGINE.get_or_init(create).as_ref().map_err(|what| Wrong::new("host-failed", what.clone()))
}

fn create() -> Result<Shared, String> {
    CREATED.fetch_add(1, Ordering::Relaxed);
    // Everything that it runs comes compiled: by the build script, or by a child process.
    let engine = Engine::new(engine_config().enable_compiler(false)).map_err(|error| format!("{error:#}"))?;
    let mut linker = Linker::new(&engine);
    Adapter::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
        .and_then(|()| carry(&mut linker))
        .map_err(|error| format!("{error:#}"))?;
    let ticker = engine.clone();
    let named = std::thread::Builder::new().name("adapter-clock".into());
    named.spawn(move || CLOCK.tick(&ticker)).map_err(|error| error.to_string())?;
    Ok(Shared { engine, linker })
}

/// What a component of ours asks that carries the knowledge of others. [`link`] lets no other import it.
fn carry(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut source = linker.instance(link::CARRIED)?;
    source.func_wrap("text", |store: StoreContextMut<State>, (): ()| {
        Ok((store.data().source.as_deref().unwrap_or_default().to_owned(),))
    })?;
    source.func_wrap("fail", |_: StoreContextMut<State>, (what, words): (carried::Mistake, String)| {
        Err::<(), _>(what.with(&words).into())
    })
}

/// Moves the engine's epoch on while any guest runs, and rests otherwise.
struct Clock {
    running: Mutex<usize>,
    changed: Condvar,
}

static CLOCK: Clock = Clock { running: Mutex::new(0), changed: Condvar::new() };

impl Clock {
    fn tick(&self, engine: &Engine) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *running == 0 {
                running = self.changed.wait(running).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.changed.wait_timeout(running, TICK).unwrap_or_else(PoisonError::into_inner);
                running = waited.0;
                if waited.1.timed_out() {
                    engine.increment_epoch();
                }
            }
        }
    }

    fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        self.change(|running| *running += 1);
        let result = run();
        self.change(|running| *running -= 1);
        result
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *running;
        change(&mut running);
        if before == 0 {
            self.changed.notify_one();
        }
    }
}

/// What calls of a guest used, for its author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Units of fuel.
    pub fuel: u64,
    /// The most memory that one call had, bytes.
    pub memory_bytes: usize,
    /// From instantiating to the end, microseconds.
    pub micros: u64,
    /// What it wrote to its log.
    pub log: String,
}

/// An adapter ready to be instantiated. Each call gets a fresh instance, so none can carry anything over.
pub struct Guest {
    id: String,
    version: String,
    pre: AdapterPre<State>,
    /// What it carries.
    source: Option<Arc<str>>,
    /// The file of a text that it carries, for messages.
    file: Option<String>,
}

impl Guest {
    /// Loads an adapter that is part of the program.
    pub fn of_built_in(adapter: &BuiltIn) -> Result<Guest, AdapterFault> {
        match adapter.source {
            Some(source) => Guest::of_source(adapter.id, adapter.version, adapter.code, source.into(), None),
            None => Guest::of_component(adapter.id, adapter.version, component_of(adapter.code, None), None),
        }
    }

    /// Loads a component of ours that carries the knowledge of somebody else.
    pub fn of_source(
        id: &str,
        version: &str,
        carrier: &Code,
        source: Arc<str>,
        shelf: Option<&Shelf>,
    ) -> Result<Guest, AdapterFault> {
        Guest::of_component(id, version, component_of(carrier, shelf), Some(source))
    }

    /// Loads an adapter of somebody else, compiled by another process where it has to be.
    pub fn of_file(
        id: &str,
        version: &str,
        wasm: &[u8],
        digest: Digest,
        shelf: Option<&Shelf>,
    ) -> Result<Guest, AdapterFault> {
        let component = shared().and_then(|shared| native::component(&shared.engine, shelf, wasm, digest));
        Guest::of_component(id, version, component, None)
    }

    /// Compiles an adapter in this process.
    #[cfg(test)]
    pub fn of_wasm(id: &str, wasm: &[u8]) -> Result<Guest, AdapterFault> {
        let component = shared().and_then(|shared| native::compiled_here(&shared.engine, wasm));
        Guest::of_component(id, "0.0.0", component, None)
    }

    fn of_component(
        id: &str,
        version: &str,
        component: Result<Component, Wrong>,
        source: Option<Arc<str>>,
    ) -> Result<Guest, AdapterFault> {
        let pre = component.and_then(|component| {
            let shared = shared()?;
            link::link(&shared.engine, &shared.linker, &component, source.is_some())
        });
        match pre {
            Ok(pre) => Ok(Guest { id: id.into(), version: version.into(), pre, source, file: None }),
            Err(wrong) => Err(AdapterFault::new(id, version, "load", wrong)),
        }
    }

    /// What it says of itself.
    pub fn describe(&self) -> Result<types::Description, AdapterFault> {
        let used = &mut Used::default();
        let result = self.run(None, used, |guest, store| guest.overhear_adapter_guest().call_describe(store));
        result.1.map_err(|wrong| self.fault("describe", wrong))
    }

    /// Whether the command is the adapter's, and its name for the subcommand. Adds to `used`.
    pub fn detect(&self, call: &Invocation, used: &mut Used) -> Result<Option<String>, AdapterFault> {
        let result =
            self.run(None, used, |guest, store| guest.overhear_adapter_guest().call_detect(store, call));
        match result.1 {
            Ok(types::Match::No) => Ok(None),
            Ok(types::Match::Yes(name)) if is_name(&name) => Ok(Some(name)),
            Ok(types::Match::Yes(name)) => {
                let what = format!(
                    "the subcommand {:?} is not a short plain name",
                    name.chars().take(40).collect::<String>()
                );
                Err(self.fault("detect", Wrong::new("bad-string", what)))
            }
            Err(wrong) => Err(self.fault("detect", wrong)),
        }
    }

    /// What it declares. Adds to `used`.
    pub fn declare(
        &self,
        call: &Invocation,
        subcommand: &str,
        asker: &mut Asker,
        used: &mut Used,
    ) -> Result<Declaration, AdapterFault> {
        let lent = std::mem::replace(asker, asker.empty());
        let (back, result) = self.run(Some(lent), used, |guest, store| {
            guest.overhear_adapter_guest().call_declare(store, call, subcommand)
        });
        if let Some(back) = back {
            *asker = back;
        }
        let said = result.and_then(|said| said.map_err(failure));
        let is_env_overheard = preload::trouble().is_none();
        let id = AdapterId {
            id: self.id.clone(),
            version: self.version.clone(),
            subcommand: subcommand.to_owned(),
        };
        said.and_then(|said| convert::declaration(said, id, is_env_overheard))
            .map_err(|wrong| self.fault("declare", wrong))
    }

    /// One call in a fresh store. Gives the asker back, whatever happened.
    fn run<T>(
        &self,
        asker: Option<Asker>,
        used: &mut Used,
        call: impl FnOnce(&Adapter, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> (Option<Asker>, Result<T, Wrong>) {
        let shared = match shared() {
            Ok(shared) => shared,
            Err(wrong) => return (asker, Err(wrong)),
        };
        let mut store = Store::new(
            &shared.engine,
            State { asker, source: self.source.clone(), limits: Limits::default(), log: String::new() },
        );
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(DEADLINE_TICKS);
        store.set_hostcall_fuel(HANDOVER_BYTES_MAX);
        let begun = Instant::now();
        let result = CLOCK.during(|| {
            store.set_fuel(FUEL)?;
            let guest = self.pre.instantiate(&mut store)?;
            call(&guest, &mut store)
        });
        used.micros += u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        used.fuel += FUEL - store.get_fuel().unwrap_or(FUEL);
        used.memory_bytes = used.memory_bytes.max(store.data().limits.memory_bytes);
        used.log.push_str(&store.data().log);
        let result = result.map_err(|error| explain(&error, &store.data().log));
        (store.into_data().asker, result)
    }

    /// The same, where what it carries is this file.
    pub fn from_file(self, name: &str) -> Guest {
        Guest { file: Some(name.to_owned()), ..self }
    }

    fn fault(&self, function: &str, wrong: Wrong) -> AdapterFault {
        // Before it is described the name of the file stands for its id.
        let wrong = match self.file.as_ref().filter(|file| **file != self.id) {
            Some(file) => Wrong { what: format!("{file}: {}", wrong.what), ..wrong },
            None => wrong,
        };
        AdapterFault::new(&self.id, &self.version, function, wrong)
    }
}

/// A component that is part of the program.
fn component_of(code: &Code, shelf: Option<&Shelf>) -> Result<Component, Wrong> {
    let shared = shared()?;
    if code.is_packed {
        // It is large, and its digest is looked at: once is enough.
        static PACKED: Mutex<Vec<(Digest, Component)>> = Mutex::new(Vec::new());
        let mut packed = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, component)) = packed.iter().find(|(digest, _)| *digest == code.digest) {
            return Ok(component.clone());
        }
        let component = native::packed(&shared.engine, shelf, code)?;
        packed.push((code.digest, component.clone()));
        return Ok(component);
    }
    match load_built_in(&shared.engine, code.cwasm) {
        Some(component) => Ok(component),
        None => native::component(&shared.engine, None, code.wasm, code.digest),
    }
}

/// The call as a guest sees it.
pub fn invocation(
    call: Call,
    places: &Places,
    tool: Option<ToolPackage>,
    config_files: Vec<String>,
    settings: Option<String>,
) -> Invocation {
    Invocation {
        program: call.name.to_owned(),
        tool: tool.map(package_ref),
        args: call.args.to_vec(),
        cwd: places.cwd.clone(),
        package_dir: places.package_dir.clone(),
        config_files,
        os: match std::env::consts::OS {
            "macos" => types::Os::Macos,
            "windows" => types::Os::Windows,
            _ => types::Os::Linux,
        },
        settings,
    }
}

fn package_ref(tool: ToolPackage) -> types::PackageRef {
    types::PackageRef { name: tool.name, version: tool.version }
}

/// Loads what the build script precompiled; `None` where this processor or build cannot use it.
#[allow(unsafe_code, reason = "loading native code is what this function is for")]
fn load_built_in(engine: &Engine, cwasm: &'static [u8]) -> Option<Component> {
    if cwasm.is_empty() {
        return None;
    }
    // SAFETY: the bytes are a constant of this program, written by its build script with the same
    // version of wasmtime; nobody who could change them could not as well change the program itself.
    unsafe { Component::deserialize(engine, cwasm) }.ok()
}

/// Turns the end of a call into words.
fn explain(error: &wasmtime::Error, log: &str) -> Wrong {
    if let Some(wrong) = error.downcast_ref::<Wrong>() {
        return wrong.clone();
    }
    let detail = link::one_line(&format!("{error:#}"));
    let last_words = log.trim().lines().next_back().map(|line| format!(": {line}")).unwrap_or_default();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            Wrong::new("fuel", format!("more than {} M units of fuel used", FUEL / 1_000_000))
        }
        Some(Trap::Interrupt) => {
            let limit = TICK * u32::try_from(DEADLINE_TICKS).unwrap_or(u32::MAX);
            Wrong::new("time-limit", format!("it took more than {limit:?}"))
        }
        Some(Trap::StackOverflow) => {
            Wrong::new("stack", format!("its calls are nested too deeply{}", place(error)))
        }
        Some(Trap::UnreachableCodeReached) => {
            // Who leaves no words may have names: those of what an interpreter was built without, too.
            let place = if last_words.is_empty() { place(error) } else { String::new() };
            Wrong::new("adapter-bug", format!("it panicked{last_words}{place}"))
        }
        // A guest keeps most of what is on its stack in its own memory: it runs out of that first.
        Some(Trap::MemoryOutOfBounds) if is_recursion(error) => Wrong::new(
            "stack",
            format!("its calls are nested too deeply: a function calls itself{}", place(error)),
        ),
        Some(Trap::MemoryOutOfBounds) => {
            Wrong::new("adapter-bug", format!("memory fault{last_words}{}", place(error)))
        }
        Some(trap) => Wrong::new("adapter-bug", format!("{trap}{last_words}")),
        None if detail.contains("too much data") => Wrong::new(
            "output-too-large",
            format!("it handed over more than {HANDOVER_BYTES_MAX} bytes at once"),
        ),
        None if detail.contains("utf-8") => Wrong::new("bad-string", detail),
        None if detail.contains("instance count too high") => Wrong::new("too-many-instances", detail),
        None => Wrong::new("adapter-bug", detail),
    }
}

/// Whether the innermost functions of a trap are one and the same, or two that take turns.
fn is_recursion(error: &wasmtime::Error) -> bool {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let inner: Vec<u32> = trace.frames().iter().take(24).map(wasmtime::FrameInfo::func_index).collect();
    let most = inner.iter().map(|one| inner.iter().filter(|other| *other == one).count()).max();
    inner.len() >= 16 && most.is_some_and(|most| most >= inner.len() / 3)
}

/// The innermost function of a trap, where the component has names.
fn place(error: &wasmtime::Error) -> String {
    let trace = error.downcast_ref::<WasmBacktrace>();
    let names = trace.into_iter().flat_map(WasmBacktrace::frames).filter_map(wasmtime::FrameInfo::func_name);
    names.take(1).map(|name| format!(", in {}", name.chars().take(120).collect::<String>())).collect()
}

fn failure(failure: types::Failure) -> Wrong {
    match failure {
        types::Failure::BadSettings(what) => Wrong::new("bad-settings", what),
        types::Failure::CannotParse((path, what)) => Wrong::new("cannot-parse", format!("{path}: {what}")),
        types::Failure::Internal(what) => Wrong::new("adapter-bug", what),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte))
}

/// What one instance has on our side.
pub struct State {
    /// `None` in `detect`, which is a function of its argument alone.
    asker: Option<Asker>,
    source: Option<Arc<str>>,
    limits: Limits,
    log: String,
}

impl State {
    fn asker(&mut self, function: &str) -> wasmtime::Result<&mut Asker> {
        let impure = || {
            Wrong::new(
                "impure-detect",
                format!("{function} was asked in a function that may only look at its argument"),
            )
        };
        self.asker.as_mut().ok_or_else(|| impure().into())
    }
}

impl types::Host for State {}

impl host::Host for State {
    fn read_text(&mut self, path: String) -> wasmtime::Result<Option<String>> {
        Ok(self.asker("read-text")?.content("read-text", &path)?)
    }

    fn read_config(&mut self, path: String) -> wasmtime::Result<Option<String>> {
        let text = self.asker("read-config")?.content("read-config", &path)?;
        Ok(text.map(|text| static_config::read(&path, &text)))
    }

    fn kind(&mut self, path: String) -> wasmtime::Result<Option<host::EntryKind>> {
        Ok(self.asker("kind")?.kind(&path)?.map(entry_kind))
    }

    fn list_dir(&mut self, path: String) -> wasmtime::Result<Option<Vec<host::Entry>>> {
        let entries = self.asker("list-dir")?.list(&path)?;
        let entry = |(name, kind)| host::Entry { name, kind: entry_kind(kind) };
        Ok(entries.map(|entries| entries.into_iter().map(entry).collect()))
    }

    fn env(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.asker("env")?.env(&name)?)
    }

    fn resolve_package(&mut self, name: String) -> wasmtime::Result<Option<types::PackageRef>> {
        Ok(self.asker("resolve-package")?.package(&name)?.map(package_ref))
    }

    fn log(&mut self, _: host::Level, text: String) -> wasmtime::Result<()> {
        const CUT: &str = "… truncated";
        if self.log.len() + text.len() < LOG_BYTES_MAX {
            // People see it on a terminal. An author may write several lines at once.
            self.log.extend(text.chars().filter(|letter| *letter == '\n' || is_for_people(*letter)));
            self.log.push('\n');
        } else if !self.log.ends_with(CUT) {
            self.log.push_str(CUT);
        }
        Ok(())
    }
}

fn entry_kind(kind: Kind) -> host::EntryKind {
    match kind {
        Kind::File => host::EntryKind::File,
        Kind::Dir => host::EntryKind::Dir,
        Kind::Symlink => host::EntryKind::Symlink,
        Kind::Other => host::EntryKind::Other,
    }
}

/// Memory and tables of one store. What is too much ends the call: a guest that is told "no" would see
/// the state of this machine.
#[derive(Default)]
struct Limits {
    memory_bytes: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > MEMORY_BYTES_MAX {
            let what = format!(
                "asked for {} MiB of memory, the limit is {}",
                total.div_ceil(1 << 20),
                MEMORY_BYTES_MAX >> 20
            );
            return Err(Wrong::new("memory-limit", what).into());
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            let what = format!("asked for a table of {desired} elements, the limit is {TABLE_ELEMENTS_MAX}");
            return Err(Wrong::new("table-limit", what).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

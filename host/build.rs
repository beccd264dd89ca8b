//! Builds the adapters in `adapters/` to components, precompiles them with the engine settings of the
//! program, asks each for its description, and writes a table that `adapter::built_in` includes. Builds
//! the library in `preload/` that `trace::preload` includes.

#[path = "src/adapter/bindings.rs"]
mod bindings;
#[path = "src/adapter/engine_config.rs"]
mod engine_config;
#[allow(dead_code, reason = "the program asks more of a table")]
#[path = "src/adapter/table.rs"]
mod table;

use bindings::overhear::adapter::types::{Base, Description, PathRule};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// The components that carry tables and scripts. They are no adapters by themselves.
const CARRIER: &str = "table";
const INTERPRETER: &str = "script";
/// Where a carrier asks for what it carries: `adapters/source.wit`.
const SOURCE: &str = "overhear:carried/source@0.1.0";

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() {
    if let Err(error) = build() {
        println_to_cargo(&format!("error={}", error.to_string().replace('\n', " ")));
        std::process::exit(1);
    }
}

fn build() -> Fallible<()> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("host/ has no folder above it")?;
    let watched = ["adapters", "plugins/sdk", "wit", "Cargo.lock", "host/src/adapter/engine_config.rs"];
    for watched in watched.into_iter().chain(["host/src/adapter/table.rs", "host/preload", "host/trace-abi"])
    {
        println_to_cargo(&format!("rerun-if-changed={}", root.join(watched).display()));
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    let adapters = root.join("adapters");
    let names = folders_with(&adapters, "Cargo.toml")?;
    let guests = out.join("guests");
    require_target()?;
    compile_guests(root, &guests, "adapter", names.iter().filter(|name| *name != INTERPRETER))?;
    compile_guests(root, &guests, "script", names.iter().filter(|name| *name == INTERPRETER))?;
    let mut codes = String::new();
    let mut table = String::from("pub static BUILT_IN: &[BuiltIn] = &[\n");
    for name in &names {
        let within = |error: Box<dyn std::error::Error>| format!("adapter {name}: {error}");
        let is_packed = name == INTERPRETER;
        let profile = if is_packed { "script" } else { "adapter" };
        let component = encode(&module(&guests, profile, name)).map_err(within)?;
        codes.push_str(&embed(name, &component, is_packed, &out).map_err(within)?);
        if is_packed {
            continue;
        }
        if name == CARRIER {
            for name in folders_with(&adapters, "adapter.toml")? {
                table.push_str(&data_adapter(&adapters.join(name), &component)?);
            }
        } else {
            let description =
                describe(&component, None).map_err(|error| within(format!("{error:#}").into()))?;
            table.push_str(&table_row(&description, name, blake3::hash(&component).as_bytes(), None)?);
        }
    }
    table.push_str("];\n");
    std::fs::write(out.join("built_in.rs"), codes + &table)?;
    build_preload(root, &out)
}

/// Where the program's own target has such a library: see `trace::preload`.
const PRELOAD_TARGET: (&str, &str) = ("linux", "x86_64");

/// It needs no other library, and the linker is told to add none; few segments load faster.
const PRELOAD_LINK: [&str; 8] = [
    "-nostdlib",
    "-nostartfiles",
    "-Wl,-z,now",
    "-Wl,-z,norelro",
    "-Wl,-z,noseparate-code",
    "-Wl,-Bsymbolic-functions",
    "-Wl,--hash-style=gnu",
    "-Wl,--build-id=none",
];

/// What the library must not contain: its way to a panic.
const PRELOAD_PANIC: &[u8] = b"overhear_preload_may_panic";

fn build_preload(root: &Path, out: &Path) -> Fallible<()> {
    let embedded = out.join("preload.so");
    println_to_cargo(&format!("rustc-env=OVERHEAR_PRELOAD_FILE={}", embedded.display()));
    if (&*variable("CARGO_CFG_TARGET_OS")?, &*variable("CARGO_CFG_TARGET_ARCH")?) != PRELOAD_TARGET {
        return Ok(std::fs::write(embedded, [])?);
    }
    let (target, target_dir) = (variable("TARGET")?, out.join("preload"));
    let mut cargo = inner_cargo(root, "preload", &target, &target_dir)?;
    cargo.args(["-p", "overhear-preload"]);
    let mut flags = flags(root);
    for argument in PRELOAD_LINK {
        flags = format!("{flags}\u{1f}-Clink-arg={argument}");
    }
    if variable("CARGO_CFG_TARGET_ENV")? == "musl" {
        flags = format!("{flags}\u{1f}-Ctarget-feature=-crt-static");
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
    run(cargo, "the library to preload")?;
    let library = std::fs::read(target_dir.join(target).join("preload/liboverhear_preload.so"))?;
    if library.windows(PRELOAD_PANIC.len()).any(|window| window == PRELOAD_PANIC) {
        return Err("the library to preload may panic: find what the compiler could not prove".into());
    }
    Ok(std::fs::write(embedded, library)?)
}

/// The folders below `adapters/` that hold such a file, sorted.
fn folders_with(adapters: &Path, file: &str) -> Fallible<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(adapters)? {
        let entry = entry?;
        if entry.path().join(file).is_file() {
            names.push(entry.file_name().into_string().map_err(|_| "an adapter's folder name is not UTF-8")?);
        }
    }
    names.sort();
    Ok(names)
}

fn compile_guests<'a>(
    root: &Path,
    target_dir: &Path,
    profile: &str,
    names: impl Iterator<Item = &'a String>,
) -> Fallible<()> {
    let mut cargo = inner_cargo(root, profile, GUEST_TARGET, target_dir)?;
    for name in names {
        cargo.args(["-p", &format!("overhear-adapter-{name}")]);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("{}\u{1f}{NO_CHANCE}", flags(root)));
    run(cargo, "the adapters")
}

/// The interpreter's libraries could ask for randomness: they are given a source of it that has none.
const NO_CHANCE: &str = "--cfg\u{1f}getrandom_backend=\"custom\"";

/// Where cargo put the module of an adapter.
fn module(target_dir: &Path, profile: &str, name: &str) -> PathBuf {
    let file = format!("overhear_adapter_{}.wasm", name.replace('-', "_"));
    target_dir.join(GUEST_TARGET).join(profile).join(file)
}

/// A second cargo with a target folder of its own (the lock of the first one's is held), free of what
/// the first one was told about its own target.
fn inner_cargo(root: &Path, profile: &str, target: &str, target_dir: &Path) -> Fallible<Command> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args(["build", "--locked", "--profile", profile, "--target", target]);
    cargo.arg("--target-dir").arg(target_dir);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let for_outer_target = name.starts_with("CARGO_BUILD_")
            || name.starts_with("CARGO_TARGET_")
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_CFG_")
            || name.starts_with("CARGO_FEATURE_")
            || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOCFLAGS"]
                .contains(&&*name);
        if for_outer_target {
            cargo.env_remove(&*name);
        }
    }
    Ok(cargo)
}

/// No path of this machine in what is shipped, and the same bytes on each.
fn flags(root: &Path) -> String {
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let flags = format!("--remap-path-prefix={}=overhear", root.display());
    match home {
        Ok(home) => format!("{flags}\u{1f}--remap-path-prefix={home}=cargo"),
        Err(_) => flags,
    }
}

fn run(mut cargo: Command, what: &str) -> Fallible<()> {
    let output = cargo.output().map_err(|error| format!("cannot start cargo for {what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what} cannot be built:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

fn require_target() -> Fallible<()> {
    let mut rustc = Command::new(variable("RUSTC")?);
    let output = rustc.args(["--print", "target-libdir", "--target", GUEST_TARGET]).output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&folder).is_dir() {
        return Ok(());
    }
    Err(format!(
        "the built-in adapters need the target {GUEST_TARGET}: run `rustup target add {GUEST_TARGET}`"
    )
    .into())
}

fn encode(module: &Path) -> Fallible<Vec<u8>> {
    let component = wit_component::ComponentEncoder::default()
        .module(&std::fs::read(module)?)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| format!("{error:#}"))?;
    Ok(component)
}

/// Precompiles a component; gives the constant that holds both forms of it.
fn embed(name: &str, component: &[u8], is_packed: bool, out: &Path) -> Fallible<String> {
    let wasm = out.join(format!("{name}.wasm"));
    let cwasm = out.join(format!("{name}.cwasm"));
    let native = precompile(component)?;
    let written = |bytes: &[u8]| match is_packed && !bytes.is_empty() {
        true => zstd::encode_all(bytes, PACKED_LEVEL),
        false => Ok(bytes.to_vec()),
    };
    std::fs::write(&wasm, written(component)?)?;
    std::fs::write(&cwasm, written(&native)?)?;
    let digest = *blake3::hash(component).as_bytes();
    let mut code = format!("/// The component of `adapters/{name}`.\n");
    writeln!(code, "pub static {}: Code = Code {{ digest: Digest({digest:?}),", constant(name))?;
    writeln!(code, "wasm: include_bytes!({wasm:?}), cwasm: include_bytes!({cwasm:?}),")?;
    writeln!(code, "is_packed: {is_packed} }};")?;
    Ok(code)
}

/// Packed once for all users.
const PACKED_LEVEL: i32 = 19;

fn constant(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The row of an adapter that is a table.
fn data_adapter(folder: &Path, carrier: &[u8]) -> Fallible<String> {
    let file = folder.join("adapter.toml");
    let text = std::fs::read_to_string(&file)?;
    let table = table::Table::parse(&text).map_err(|mistake| {
        let line = mistake.place.map_or(0, |place| text[..place.start].matches('\n').count() + 1);
        format!("{}:{line}: {}", file.display(), mistake.what)
    })?;
    let source = table.to_json();
    let description = describe(carrier, Some(&source)).map_err(|error| format!("{error:#}"))?;
    let digest = *blake3::Hasher::new().update(carrier).update(source.as_bytes()).finalize().as_bytes();
    Ok(table_row(&description, CARRIER, &digest, Some(&source))?)
}

/// Native code for any machine of the target's architecture: naming the target keeps wasmtime from
/// using what only this machine's processor has. Empty when it is another architecture than this
/// machine's; the program then compiles at first use.
fn precompile(component: &[u8]) -> Fallible<Vec<u8>> {
    let (host, target) = (variable("HOST")?, variable("TARGET")?);
    if host.split('-').next() != target.split('-').next() {
        return Ok(Vec::new());
    }
    let mut config = engine_config::engine_config();
    config.target(&target).map_err(|error| format!("{error:#}"))?;
    let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| format!("{error:#}").into())
}

fn describe(component: &[u8], source: Option<&str>) -> wasmtime::Result<Description> {
    let engine = Engine::new(&engine_config::engine_config())?;
    let component = Component::new(&engine, component)?;
    let mut linker = Linker::new(&engine);
    // A description depends on nothing: each question ends the call, but for what the component carries.
    linker.allow_shadowing(true);
    linker.define_unknown_imports_as_traps(&component)?;
    if let Some(source) = source.map(str::to_owned) {
        linker.instance(SOURCE)?.func_wrap("text", move |_, (): ()| Ok((source.clone(),)))?;
    }
    let mut store = Store::new(&engine, ());
    store.set_fuel(engine_config::FUEL)?;
    store.set_epoch_deadline(1);
    let guest = bindings::Adapter::instantiate(&mut store, &component, &linker)?;
    guest.overhear_adapter_guest().call_describe(&mut store)
}

fn table_row(
    description: &Description,
    code: &str,
    digest: &[u8],
    source: Option<&str>,
) -> Result<String, std::fmt::Error> {
    let mut row = String::from("BuiltIn {\n");
    writeln!(row, "id: {:?},", description.id)?;
    writeln!(row, "version: {:?},", description.version)?;
    writeln!(row, "title: {:?},", description.title)?;
    writeln!(row, "tested_with: {:?},", description.tested_with)?;
    writeln!(row, "programs: &{:?},", description.programs)?;
    writeln!(row, "packages: &{:?},", description.packages)?;
    writeln!(row, "refines: &{:?},", description.refines)?;
    writeln!(row, "config_files: &{:?},", description.config_files)?;
    writeln!(row, "may_read_env: &{:?},", description.may_read_env)?;
    let rules: Vec<String> = description.may_read.iter().map(rule).collect();
    writeln!(row, "may_read: &[{}],", rules.join(", "))?;
    writeln!(row, "digest: Digest({digest:?}),")?;
    writeln!(row, "code: &{},", constant(code))?;
    writeln!(row, "source: {source:?},")?;
    writeln!(row, "}},")?;
    Ok(row)
}

fn rule(rule: &PathRule) -> String {
    let base = match rule.base {
        Base::Workspace => "Workspace",
        Base::Package => "Package",
        Base::Cwd => "Cwd",
    };
    format!("(Base::{base}, {:?})", rule.pattern)
}

fn variable(name: &str) -> Fallible<String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}

#[allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]
fn println_to_cargo(instruction: &str) {
    println!("cargo::{instruction}");
}

//! `overhear adapter build`: checks what its author wrote, and makes a component of it where it is one.

use super::Home;
use crate::problem::{Problem, Problems};
use crate::report;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What components are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

/// `overhear adapter build`.
pub fn build(from_dir: &Path) -> Result<i32, Problems> {
    let home = Home::find(from_dir)?;
    make(&home)?;
    let begun = Instant::now();
    let subject = home.subject()?;
    let took = begun.elapsed();
    report::print(&format!(
        "{} is the adapter {} {}\n  {} bytes, blake3:{}\n  loaded in {:.1} ms (compiled, where it was new)\n",
        home.file,
        subject.described.id,
        subject.described.version,
        subject.bytes,
        subject.digest,
        took.as_secs_f64() * 1e3,
    ));
    Ok(0)
}

/// Makes the adapter of a folder, where it is made of something.
pub fn make(home: &Home) -> Result<(), Problems> {
    // Beside sources an adapter may also be a table or a script: that is what its author wrote, and nothing
    // makes it.
    if home.file.ends_with(".wasm") {
        if home.folder.join("Cargo.toml").is_file() {
            build_rust(home)?;
        } else if home.folder.join("adapter.c").is_file() {
            build_c(home)?;
        }
    }
    Ok(())
}

/// Compiles the crate, and makes a component of it.
fn build_rust(home: &Home) -> Result<(), Problems> {
    require_target(&home.folder)?;
    let mut cargo = Command::new(cargo());
    cargo.current_dir(&home.folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()).stderr(Stdio::inherit());
    let done = cargo.output().map_err(|error| no_rust("cargo", &error))?;
    if !done.status.success() {
        return Err(not_built(&home.folder).into());
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    let module = messages.lines().filter_map(module_of).next_back().ok_or_else(|| {
        let help = "Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]";
        Problem::new("the crate makes no .wasm file".to_owned()).help(help)
    })?;
    let bytes = std::fs::read(&module).map_err(|error| no_component(&module, &error))?;
    let help = "does lib.rs end with overhear_adapter::export!(…)?";
    write_component(home, &module, &bytes).map_err(|problem| problem.help(help).into())
}

fn not_built(folder: &Path) -> Problem {
    let problem = Problem::new(format!("the crate in {} cannot be built", folder.display()));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    match manifest.lines().any(|line| line.starts_with("overhear-adapter = \"")) {
        true => problem.help(
            "if cargo found no crate overhear-adapter in its registry, take it from a checkout of overhear: in \
             Cargo.toml, overhear-adapter = { path = \"…/plugins/sdk\" }",
        ),
        false => problem,
    }
}

/// Makes a component of a module that names the types of its interface.
fn write_component(home: &Home, module: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let component = wit_component::ComponentEncoder::default()
        .module(bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| no_component(module, &format!("{error:#}")))?;
    std::fs::write(home.path(), component).map_err(|error| no_component(module, &error))
}

fn no_component(module: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(format!("cannot make a component of {}: {error}", module.display()))
}

/// Compiles the files of an adapter in C, and makes a component of them.
fn build_c(home: &Home) -> Result<(), Problems> {
    let scratch = tempfile::tempdir()
        .map_err(|error| Problem::new(format!("cannot make a folder for the compiler: {error}")))?;
    let module = scratch.path().join("adapter.module.wasm");
    let mut clang = Command::new(std::env::var_os("CLANG").unwrap_or_else(|| "clang".into()));
    clang.current_dir(&home.folder).args(CLANG).arg("-o").arg(&module);
    clang.args(c_files(&home.folder)?).stdin(Stdio::null());
    let done = clang.status().map_err(|error| no_clang(&format!("cannot start clang: {error}")))?;
    if !done.success() {
        let message = format!("the files in {} cannot be compiled for WebAssembly", home.folder.display());
        return Err(no_clang(&message).into());
    }
    let mut bytes = std::fs::read(&module).map_err(|error| no_component(&module, &error))?;
    name_types(&mut bytes).map_err(|error| no_component(&module, &error))?;
    write_component(home, &module, &bytes).map_err(Problems::from)
}

/// Freestanding: what the bindings need of a C library is in the template.
const CLANG: [&str; 11] = [
    "--target=wasm32-unknown-unknown",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Oz",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlib",
    "-Ioverhear",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
];

fn no_clang(message: &str) -> Problem {
    let help = "needed are clang and its linker for WebAssembly: `sudo apt install clang lld` \
                (macOS: `brew install llvm lld`); CLANG names another clang";
    Problem::new(message.to_owned()).help(help)
}

/// Every `.c` of the folder and of `overhear/`, sorted, so that the same files make the same module.
fn c_files(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for below in [Path::new(""), Path::new("overhear")] {
        let entries = std::fs::read_dir(folder.join(below)).map_err(|error| {
            Problem::new(format!("{}: {error}", folder.join(below).display()))
                .help("`overhear adapter new NAME --lang c` makes the folder overhear/")
        })?;
        let names = entries.filter_map(|entry| Some(below.join(entry.ok()?.file_name())));
        files.extend(names.filter(|name| name.extension().is_some_and(|ending| ending == "c")));
    }
    files.sort();
    Ok(files)
}

/// Writes the types of the interface into a module, as the SDK for Rust does by itself.
fn name_types(module: &mut Vec<u8>) -> Result<(), String> {
    let mut files = wit_parser::SourceMap::default();
    for (name, text) in WIT {
        files.push_str(name, *text);
    }
    let failed = |error: &dyn std::fmt::Display| format!("the interface cannot be read: {error}");
    let group = files.parse().map_err(|(_, error)| failed(&error))?;
    let mut types = wit_parser::Resolve::default();
    let package = types.push_group(group).map_err(|error| failed(&error))?;
    let world = types.select_world(&[package], Some("adapter")).map_err(|error| failed(&error))?;
    wit_component::embed_component_metadata(module, &types, world, wit_component::StringEncoding::UTF8)
        .map_err(|error| failed(&error))
}

/// The interface, a file each.
const WIT: &[(&str, &str)] = &[
    ("adapter.wit", include_str!("../../../../wit/since-0.1.0/adapter.wit")),
    ("host.wit", include_str!("../../../../wit/since-0.1.0/host.wit")),
    ("types.wit", include_str!("../../../../wit/since-0.1.0/types.wit")),
];

/// The file that a message of cargo says it made.
fn module_of(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_ours = message["reason"] == "compiler-artifact"
        && message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn no_rust(program: &str, error: &std::io::Error) -> Problem {
    let help = "an adapter in Rust is built with cargo and rustc: `rustup toolchain install stable` brings both \
                (rustup itself: https://rustup.rs); with rustup in place, is its folder in PATH?";
    Problem::new(format!("cannot start {program}: {error}")).help(help)
}

/// Asks the compiler of that folder, which may name its own toolchain.
fn require_target(folder: &Path) -> Result<(), Problems> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    let output = rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]).output();
    let output = output.map_err(|error| no_rust("rustc", &error))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&folder).is_dir() {
        return Ok(());
    }
    Err(Problem::new(format!("Rust cannot compile for {TARGET} yet"))
        .help(format!("rustup target add {TARGET}"))
        .into())
}

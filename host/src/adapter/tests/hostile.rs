//! Guests that mean harm, from source. Each ends with its error code, in bounded time and memory.

use super::super::ask::{Asker, Places};
use super::super::engine::{Guest, Invocation, Used, invocation};
use super::super::{AdapterFault, Call};
use crate::declaration::Declaration;
use crate::digest::Digest;
use std::path::Path;
use wit_parser::Resolve;

/// A guest whose functions have these bodies; `detect` says "build" unless told otherwise.
#[derive(Clone, Copy)]
struct Source {
    memory: &'static str,
    items: &'static str,
    start: &'static str,
    detect: &'static str,
    declare: &'static str,
}

const HARMLESS: Source =
    Source { memory: "2", items: "", start: "", detect: "(i32.const 16)", declare: "unreachable" };

impl Source {
    /// A component of it. Constants: at 16 what `detect` gives, at 64 texts, from 4096 on the heap.
    fn encode(self) -> Vec<u8> {
        self.encode_for(Path::new("../wit/since-0.1.0"))
    }

    fn encode_for(self, interface: &Path) -> Vec<u8> {
        let Source { memory, items, start, detect, declare } = self;
        let text = format!(
            r#"(module
                (import "overhear:adapter/host@0.1.0" "read-text" (func $read_text (param i32 i32 i32)))
                (import "overhear:adapter/host@0.1.0" "log" (func $log (param i32 i32 i32)))
                (memory (export "memory") {memory})
                (data (i32.const 16) "\01\00\00\00\40\00\00\00\05\00\00\00")
                (data (i32.const 64) "build.npmrc../up\ff\fe")
                {items}
                (global $heap (mut i32) (i32.const 4096))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.get $heap)
                    (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 3)) (i32.const 15)) (i32.const -8))))
                (func (export "overhear:adapter/guest@0.1.0#describe") (result i32) unreachable)
                (func (export "overhear:adapter/guest@0.1.0#detect") (param i32) (result i32) {detect})
                (func (export "overhear:adapter/guest@0.1.0#declare") (param i32) (result i32) {declare})
                {start})"#
        );
        let mut module = wat::parse_str(&text).expect("the source is sound");
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(interface).expect("the interface is sound");
        let world = resolve.select_world(&[package], Some("adapter")).expect("it has one world");
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            wit_component::StringEncoding::UTF8,
        )
        .expect("it can be embedded");
        let mut encoder = wit_component::ComponentEncoder::default().module(&module).expect("it is a module");
        encoder.encode().expect("it can be encoded")
    }

    fn load(self) -> Guest {
        Guest::of_wasm("acme/evil", &self.encode()).expect("it loads")
    }
}

const ROOT: &str = "/nowhere/at/all";

fn call() -> Call<'static> {
    let root = Path::new(ROOT);
    Call { program: root, name: "x", args: &[], cwd: root, package_dir: root, root, env: &|_| None }
}

fn places() -> Places {
    Places { cwd: ".".into(), package_dir: ".".into() }
}

fn question() -> Invocation {
    invocation(call(), &places(), None, Vec::new(), None)
}

fn declare(guest: &Guest) -> Result<Declaration, AdapterFault> {
    let mut asker = Asker::new(call(), places(), Digest::of(b"salt"), std::iter::empty());
    guest.declare(&question(), "build", &mut asker, &mut Used::default())
}

fn code_of<T: std::fmt::Debug>(result: Result<T, AdapterFault>) -> (String, String) {
    let fault = result.expect_err("it cannot succeed");
    assert!(fault.to_string().starts_with("adapter acme/evil@0.0.0: "), "{fault}");
    (fault.code.clone(), fault.what)
}

#[test]
fn what_is_no_adapter_is_refused_before_any_of_its_code_runs() {
    let wat = |text: &str| wat::parse_str(text).expect("the source is sound");
    let mut truncated = HARMLESS.encode();
    // Not at the end of a section, where it would be a smaller, sound component.
    truncated.truncate(truncated.len() - 3);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an empty file", Vec::new(), "not-wasm"),
        ("random bytes", b"not at all wasm".to_vec(), "not-wasm"),
        ("a core module", wat("(module)"), "not-component"),
        ("a truncated file", truncated, "invalid-wasm"),
        ("another world", wat("(component)"), "wrong-world"),
        (
            "a foreign import",
            wat(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#),
            "foreign-import",
        ),
        (
            "a later interface",
            wat(r#"(component (instance $i) (export "overhear:adapter/guest@0.3.0" (instance $i)))"#),
            "api-too-new",
        ),
        (
            "functions of other types",
            wat(r#"(component (instance $i) (export "overhear:adapter/guest@0.1.0" (instance $i)))"#),
            "type-mismatch",
        ),
        ("a 64-bit memory", wat("(component (core module (memory i64 1)))"), "unsupported-feature"),
        ("a shared memory", wat("(component (core module (memory 1 1 shared)))"), "unsupported-feature"),
    ];
    for (what, wasm, expected) in cases {
        let fault = Guest::of_wasm("acme/evil", &wasm).err().unwrap_or_else(|| panic!("{what} loads"));
        assert_eq!((fault.code.as_str(), fault.function.as_str()), (expected, "load"), "{what}: {fault}");
    }
}

#[test]
fn a_harmless_guest_detects() {
    assert_eq!(HARMLESS.load().detect(&question(), &mut Used::default()), Ok(Some("build".into())));
}

#[test]
fn a_loop_ends_when_the_fuel_is_used_up() {
    let endless = "(loop $l (br $l)) unreachable";
    let (code, what) = code_of(declare(&Source { declare: endless, ..HARMLESS }.load()));
    assert_eq!((code.as_str(), what.as_str()), ("fuel", "more than 200 M units of fuel used"));
    let (code, _) =
        code_of(Source { detect: endless, ..HARMLESS }.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "fuel");
    let in_start = Source { items: "(func $start (loop $l (br $l)))", start: "(start $start)", ..HARMLESS };
    let (code, _) = code_of(in_start.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "fuel");
}

#[test]
fn memory_is_bounded_from_the_start_and_while_it_grows() {
    let (code, what) =
        code_of(Source { memory: "65536", ..HARMLESS }.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "memory-limit", "{what}");
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable";
    let (code, what) = code_of(declare(&Source { declare: grow, ..HARMLESS }.load()));
    assert_eq!(
        (code.as_str(), what.as_str()),
        ("memory-limit", "asked for 65 MiB of memory, the limit is 64")
    );
}

#[test]
fn tables_are_bounded() {
    let table = Source { items: "(table 10000000 funcref)", ..HARMLESS };
    let (code, _) = code_of(table.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "table-limit");
}

#[test]
fn endless_recursion_ends_on_the_guests_own_stack() {
    let source = Source {
        items: "(func $deeper (param i64) (call $deeper (local.get 0)) (drop (local.get 0)))",
        declare: "(call $deeper (i64.const 1)) unreachable",
        ..HARMLESS
    };
    let (code, _) = code_of(declare(&source.load()));
    assert_eq!(code, "stack");
}

#[test]
fn a_panic_carries_the_last_line_of_its_log() {
    let speaks = "(call $log (i32.const 2) (i32.const 64) (i32.const 5)) unreachable";
    let (code, what) = code_of(declare(&Source { declare: speaks, ..HARMLESS }.load()));
    assert_eq!((code.as_str(), what.as_str()), ("adapter-bug", "it panicked: build"));
}

#[test]
fn a_panic_without_words_names_the_function() {
    let source = Source {
        items: "(func $wall_clock_now unreachable)",
        declare: "(call $wall_clock_now) unreachable",
        ..HARMLESS
    };
    let (code, what) = code_of(declare(&source.load()));
    assert_eq!((code.as_str(), what.as_str()), ("adapter-bug", "it panicked, in wall_clock_now"));
}

#[test]
fn a_log_without_end_is_cut_and_ends_with_the_fuel() {
    let floods = "(loop $l (call $log (i32.const 2) (i32.const 64) (i32.const 5)) (br $l)) unreachable";
    let (code, what) = code_of(declare(&Source { declare: floods, ..HARMLESS }.load()));
    assert!(matches!(code.as_str(), "fuel" | "too-many-questions" | "time-limit"), "{code}: {what}");
}

#[test]
fn what_may_not_be_read_is_not_read() {
    let secret = "(call $read_text (i32.const 69) (i32.const 6) (i32.const 128)) unreachable";
    let (code, what) = code_of(declare(&Source { declare: secret, ..HARMLESS }.load()));
    assert_eq!(code, "not-permitted", "{what}");
    assert!(what.contains(".npmrc"), "{what}");
    let above = "(call $read_text (i32.const 75) (i32.const 5) (i32.const 128)) unreachable";
    let (code, _) = code_of(declare(&Source { declare: above, ..HARMLESS }.load()));
    assert_eq!(code, "bad-path");
    let long = "(call $read_text (i32.const 64) (i32.const 100000) (i32.const 128)) unreachable";
    let (code, what) = code_of(declare(&Source { declare: long, ..HARMLESS }.load()));
    assert!(matches!(code.as_str(), "bad-path" | "bad-string"), "{code}: {what}");
}

#[test]
fn detect_may_ask_nothing() {
    let asks = "(call $read_text (i32.const 64) (i32.const 5) (i32.const 128)) (i32.const 16)";
    let (code, _) =
        code_of(Source { detect: asks, ..HARMLESS }.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "impure-detect");
}

#[test]
fn pointers_and_texts_of_a_guest_are_checked() {
    let (code, _) = code_of(
        Source { detect: "(i32.const 0x7ffffff0)", ..HARMLESS }
            .load()
            .detect(&question(), &mut Used::default()),
    );
    assert_eq!(code, "adapter-bug");
    let garbage = r#"(i32.store (i32.const 20) (i32.const 80)) (i32.store (i32.const 24) (i32.const 2)) (i32.const 16)"#;
    let (code, _) =
        code_of(Source { detect: garbage, ..HARMLESS }.load().detect(&question(), &mut Used::default()));
    assert_eq!(code, "bad-string");
    let huge = "(i32.store (i32.const 24) (i32.const 0x7fffffff)) (i32.const 16)";
    let (code, _) =
        code_of(Source { detect: huge, ..HARMLESS }.load().detect(&question(), &mut Used::default()));
    assert!(matches!(code.as_str(), "adapter-bug" | "output-too-large"), "{code}");
}

#[test]
fn what_would_take_too_much_to_compile_is_refused_before_it_is_compiled() {
    let many = format!("(component (core module {}))", "(func)".repeat(60_000));
    let large = format!("(component (core module (func {})))", "(drop (i32.const 7))".repeat(400_000));
    let cases = [(many, "60000 functions, the limit is 50000"), (large, "the limit is 1048576")];
    for (text, words) in cases {
        let begun = std::time::Instant::now();
        let wasm = wat::parse_str(&text).expect("the source is sound");
        let fault = Guest::of_wasm("acme/evil", &wasm).err().expect("it cannot be loaded");
        assert_eq!(fault.code, "too-complex", "{fault}");
        assert!(fault.what.contains(words), "{fault}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{words}");
    }
}

/// A section of a component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7F) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

#[test]
fn a_small_file_with_a_thousand_instances_is_not_instantiated() {
    let inner = format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(1_000));
    let inner = wat::parse_str(&inner).expect("the source is sound");
    let mut wasm = HARMLESS.encode();
    let mut depth = 0;
    let mut components = 0;
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        match payload.expect("it is sound") {
            wasmparser::Payload::ComponentSection { .. } => {
                components += usize::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ModuleSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    wasm.extend(section(4, &inner));
    // One instance of that component, with no arguments.
    wasm.extend(section(5, &[&[1, 0], &leb(components)[..], &[0]].concat()));
    let guest = Guest::of_wasm("acme/evil", &wasm).expect("it is sound");
    let (code, what) = code_of(guest.detect(&question(), &mut Used::default()));
    assert_eq!(code, "too-many-instances", "{what}");
}

#[test]
fn functions_of_other_types_are_found_before_the_components_own_start() {
    let folder = tempfile::tempdir().expect("there is room");
    for file in ["types.wit", "host.wit", "adapter.wit"] {
        let text = std::fs::read_to_string(format!("../wit/since-0.1.0/{file}")).expect("it is there");
        let text = text.replace("record invocation {", "record invocation {\n  one-more: string,");
        std::fs::write(folder.path().join(file), text).expect("there is room");
    }
    let endless = Source { items: "(func $start (loop $l (br $l)))", start: "(start $start)", ..HARMLESS };
    let wasm = endless.encode_for(folder.path());
    let fault = Guest::of_wasm("acme/evil", &wasm).err().expect("it cannot be loaded");
    assert_eq!((fault.code.as_str(), fault.function.as_str()), ("type-mismatch", "load"), "{fault}");
    assert!(fault.what.contains("expected record of 8 fields, found 9 fields"), "{fault}");
}

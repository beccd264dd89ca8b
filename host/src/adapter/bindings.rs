//! What wasmtime makes of `wit/`. The build script reads this same file to ask for descriptions.

#![allow(missing_docs, clippy::all, reason = "generated code; wit/ documents it")]

wasmtime::component::bindgen!({
    path: "../wit/since-0.1.0",
    world: "adapter",
    imports: { default: trappable },
    additional_derives: [Clone, PartialEq, Eq],
});

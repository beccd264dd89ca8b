//! The settings of the engine that runs adapters. The build script reads this same file, so that what
//! it precompiles loads in the program: engines with other settings refuse each other's code.

use std::num::NonZeroUsize;
use wasmtime::Config;

/// Fuel for one call of a guest. This is the limit that decides: it counts the same on each machine.
pub const FUEL: u64 = 200_000_000;

/// Stack of a guest, bytes.
const STACK_BYTES: usize = 512 * 1024;

/// Functions that are told of a trap, innermost first.
const FRAMES_MAX: usize = 32;

/// Settings for running adapters; for a target other than the machine that compiles, set it on top.
pub fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_shared_everything_threads(false)
        .wasm_stack_switching(false)
        // Which functions a trap was in is known; which line of them would need tables as large as the
        // code.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        .native_unwind_info(false)
        .wasm_component_model(true)
        .wasm_component_model_error_context(false)
        .wasm_component_model_gc(false);
    config
}

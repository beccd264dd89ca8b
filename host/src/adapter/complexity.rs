//! Whether a component of somebody else may be compiled at all: what it is, and that it is no larger
//! than any real adapter. Looks at the bytes only; compiling is the cheapest attack there is.

use super::fault::Wrong;
use wasmparser::{Parser, Payload};

/// Bytes of a component.
pub const WASM_BYTES_MAX: usize = 32 << 20;
/// Functions of a component; whole script engines have a fifth of that.
const FUNCTIONS_MAX: u32 = 50_000;
/// Bytes of one function's body.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Refuses what is no component, or too much of one.
pub fn check(wasm: &[u8]) -> Result<(), Wrong> {
    match wasm {
        [] => return Err(Wrong::new("not-wasm", "the file is empty")),
        [0, b'a', b's', b'm', 0x0D, 0, 1, 0, ..] => {}
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            return Err(Wrong::new("not-component", "this is a core module; encode it as a component"));
        }
        _ => return Err(Wrong::new("not-wasm", "the file is no WebAssembly")),
    }
    if wasm.len() > WASM_BYTES_MAX {
        return Err(too_complex(format!("{} bytes, the limit is {WASM_BYTES_MAX}", wasm.len())));
    }
    let mut functions = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| damaged(&error.to_string()))? {
            Payload::CodeSectionStart { count, .. } => functions = functions.saturating_add(count),
            Payload::CodeSectionEntry(body) if body.range().len() > BODY_BYTES_MAX => {
                let what =
                    format!("a function of {} bytes, the limit is {BODY_BYTES_MAX}", body.range().len());
                return Err(too_complex(what));
            }
            _ => {}
        }
        if functions > FUNCTIONS_MAX {
            return Err(too_complex(format!("{functions} functions, the limit is {FUNCTIONS_MAX}")));
        }
    }
    Ok(())
}

/// What is no sound component.
pub fn damaged(how: &str) -> Wrong {
    Wrong::new("invalid-wasm", format!("it is damaged: {how}; build it or install it again"))
}

fn too_complex(what: String) -> Wrong {
    Wrong::new("too-complex", what)
}

//! The program `overhear`. Everything is in the library; see `cli`.

use mimalloc::MiMalloc;
use std::process::ExitCode;

// Many short texts, on as many threads as there are steps at once.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    overhear::cli::main()
}

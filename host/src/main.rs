//! The program `overhear`. Everything is in the library; see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    overhear::cli::main()
}

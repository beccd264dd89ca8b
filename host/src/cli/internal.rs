//! `overhear internal …`: what overhear starts itself as. Not for people.

use crate::adapter;
use clap::{Args, Subcommand};

/// What to do.
#[derive(Args)]
pub struct InternalArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Read a component from standard input and write its native code to standard output
    CompileAdapter,
}

/// `overhear internal`.
pub fn internal(args: &InternalArgs) -> i32 {
    match args.what {
        What::CompileAdapter => {
            let (from, to, words) =
                (std::io::stdin().lock(), std::io::stdout().lock(), std::io::stderr().lock());
            adapter::compile_for_parent(from, to, words)
        }
    }
}

//! What an adapter's author needs: the trait to implement, the macro that makes a component of it,
//! builders, and a table that stands in for the host in native tests.
//!
//! An adapter is a library of crate type `cdylib`, built for `wasm32-unknown-unknown`:
//!
//! ```
//! use overhear_adapter::{Adapter, Declaration, Declare, Description, Describe, Failure, Host, Invocation, Match};
//!
//! struct Mine;
//!
//! impl Adapter for Mine {
//!     fn describe() -> Description {
//!         Describe::new("acme/mine", "1.0.0", "The mine compiler").program("mine").package("mine").done()
//!     }
//!     fn detect(call: &Invocation) -> Match {
//!         if call.args.first().is_some_and(|word| word == "compile") {
//!             Match::Yes("compile".into())
//!         } else {
//!             Match::No
//!         }
//!     }
//!     fn declare(_: &Invocation, _: &str, _: &dyn Host) -> Result<Declaration, Failure> {
//!         Ok(Declare::cacheable().track("MINE_LEVEL", "the compiler reads it").done())
//!     }
//! }
//!
//! overhear_adapter::export!(Mine);
//! # fn main() {}
//! ```
//!
//! It holds no authority and keeps no state: all it knows of the workspace comes from the call and
//! from [`Host`].

pub mod args;
pub mod config;
pub mod declare;
pub mod fake;
pub mod host;
pub mod json;
#[cfg(target_arch = "wasm32")]
mod memory;
pub mod paths;
#[cfg(not(target_arch = "wasm32"))]
pub mod trial;

/// What `wit-bindgen` makes of `wit/`.
#[doc(hidden)]
#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    reason = "generated code, which passes values over the border"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/since-0.1.0",
        world: "adapter",
        pub_export_macro: true,
        export_macro_name: "export_guest",
        default_bindings_module: "overhear_adapter::bindings",
        additional_derives: [PartialEq, Eq],
    });
}

pub use args::Args;
pub use bindings::overhear::adapter::host::{Entry, EntryKind, Level};
pub use bindings::overhear::adapter::types::{
    Advice, AdviceLevel, Base, CacheDir, Declaration, Description, EnvMode, EnvRule, EnvSelector, Failure,
    Invocation, Match, Needs, Os, PackageRef, PathRule, Verdict,
};
pub use config::{Config, Field};
pub use declare::{Declare, Describe};
pub use fake::FakeHost;
pub use host::Host;

/// Knowledge about one family of tools. No method may keep anything between calls: each call runs in
/// a fresh instance.
pub trait Adapter {
    /// What this adapter knows about and may ask for. Called when it is installed, never in a run.
    fn describe() -> Description;
    /// Whether a command is one of its own, and which. A function of the call alone.
    fn detect(call: &Invocation) -> Match;
    /// What overhear should believe of the command. `subcommand` is what [`Adapter::detect`] gave.
    fn declare(call: &Invocation, subcommand: &str, host: &dyn Host) -> Result<Declaration, Failure>;
}

/// What the macro [`export!`] connects; not for use by hand.
#[doc(hidden)]
pub mod glue {
    use crate::{Adapter, Declaration, Description, Failure, Invocation, Level, Match, host};

    /// The panic's own message would be lost with the trap: it goes to the adapter's log first.
    fn tell_of_panics() {
        std::panic::set_hook(Box::new(|panic| {
            host::log(Level::Warn, &panic.to_string());
        }));
    }

    pub fn describe<A: Adapter>() -> Description {
        tell_of_panics();
        A::describe()
    }

    pub fn detect<A: Adapter>(call: &Invocation) -> Match {
        tell_of_panics();
        A::detect(call)
    }

    pub fn declare<A: Adapter>(call: &Invocation, subcommand: &str) -> Result<Declaration, Failure> {
        tell_of_panics();
        A::declare(call, subcommand, &host::Runner)
    }
}

/// Makes a component of a type that implements [`Adapter`]. Once per crate.
#[macro_export]
macro_rules! export {
    ($adapter:ty) => {
        // Natively (in tests) there is nobody to export to, and linkers refuse such names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Guest;

            impl $crate::bindings::exports::overhear::adapter::guest::Guest for Guest {
                fn describe() -> $crate::Description {
                    $crate::glue::describe::<$adapter>()
                }
                fn detect(call: $crate::Invocation) -> $crate::Match {
                    $crate::glue::detect::<$adapter>(&call)
                }
                fn declare(
                    call: $crate::Invocation,
                    subcommand: ::std::string::String,
                ) -> ::std::result::Result<$crate::Declaration, $crate::Failure> {
                    $crate::glue::declare::<$adapter>(&call, &subcommand)
                }
            }

    $crate::bindings::export_guest!(Guest with_types_in $crate::bindings);
        };
    };
}

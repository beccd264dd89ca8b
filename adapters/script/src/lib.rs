//! The adapter that stands for every adapter in JavaScript: it runs its author's module in an interpreter,
//! hands it the call and the questions that may be asked, and takes what it gives as a table is taken. What
//! its author does wrong ends the call with words (`source.wit`). Holds no clock and no randomness.

#[cfg(target_arch = "wasm32")]
mod chance;
mod form;
mod handed;
mod module;
#[allow(dead_code, reason = "a table asks more of a row")]
#[path = "../../table/src/rows.rs"]
mod rows;
#[path = "../../table/src/said.rs"]
mod said;
mod trouble;
mod values;

use module::Module;
use overhear_adapter::{Adapter, Declaration, Description, Failure, Host, Invocation, Match};
use trouble::Trouble;

/// What `wit-bindgen` makes of `source.wit`.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code")]
#[cfg(target_arch = "wasm32")]
mod carried {
    wit_bindgen::generate!({ path: "../source.wit", world: "carrier" });
}

/// The adapter.
pub struct Script;

impl Adapter for Script {
    fn describe() -> Description {
        or_end(describe())
    }

    fn detect(call: &Invocation) -> Match {
        or_end(detect(call))
    }

    fn declare(call: &Invocation, subcommand: &str, _: &dyn Host) -> Result<Declaration, Failure> {
        Ok(or_end(declare(call, subcommand)))
    }
}

fn describe() -> Result<Description, Trouble> {
    let mut module = Module::load(&source())?;
    for name in ["detect", "declare"] {
        module.function(name)?;
    }
    let value = module.described()?;
    form::description(value)
}

fn detect(call: &Invocation) -> Result<Match, Trouble> {
    let mut module = Module::load(&source())?;
    let call = handed::call(call, None, module.context())?;
    form::matched(module.call("detect", &[call])?)
}

fn declare(call: &Invocation, subcommand: &str) -> Result<Declaration, Trouble> {
    let mut module = Module::load(&source())?;
    let handed_call = handed::call(call, Some(subcommand), module.context())?;
    let host = handed::host(module.context());
    form::declaration(module.call("declare", &[handed_call, host])?, call)
}

#[cfg(target_arch = "wasm32")]
fn source() -> String {
    carried::overhear::carried::source::text()
}

/// Natively nobody hands over a script.
#[cfg(not(target_arch = "wasm32"))]
fn source() -> String {
    String::new()
}

#[cfg(target_arch = "wasm32")]
fn or_end<T>(result: Result<T, Trouble>) -> T {
    use carried::overhear::carried::source::{Mistake, fail};
    result.unwrap_or_else(|trouble| {
        let (mistake, words) = match trouble {
            Trouble::BadSource(words) => (Mistake::BadSource, words),
            Trouble::Threw(words) => (Mistake::Threw, words),
            Trouble::WrongForm(words) => (Mistake::WrongForm, words),
            Trouble::TooDeep(words) => (Mistake::Stack, words),
        };
        fail(mistake, &words);
        unreachable!("the host ends a call in which something failed")
    })
}

#[cfg(not(target_arch = "wasm32"))]
fn or_end<T>(result: Result<T, Trouble>) -> T {
    result.unwrap_or_else(|trouble| panic!("{trouble:?}"))
}

overhear_adapter::export!(Script);

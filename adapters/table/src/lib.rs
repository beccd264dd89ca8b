//! The adapter that stands for every data adapter: it reads its table through the one question that is
//! open to components of overhear alone, and declares what the rows say. The host has checked the table,
//! so that a mistake of its author is told with its line; here a field that is not as expected is one that
//! is not there. Asks nothing of the workspace.

mod rows;
mod said;

use overhear_adapter::{
    Adapter, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match, json::Value,
};
use rows::is_flag;
use said::Said;

/// What `wit-bindgen` makes of `source.wit`.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code")]
#[cfg(target_arch = "wasm32")]
mod carried {
    wit_bindgen::generate!({ path: "../source.wit", world: "carrier" });
}

/// The adapter.
pub struct Table;

impl Adapter for Table {
    fn describe() -> Description {
        describe(&source())
    }

    fn detect(call: &Invocation) -> Match {
        detect(&source(), call)
    }

    fn declare(call: &Invocation, _: &str, _: &dyn Host) -> Result<Declaration, Failure> {
        Ok(declare(&source(), call))
    }
}

#[cfg(target_arch = "wasm32")]
fn source() -> Value {
    Value::parse(&carried::overhear::carried::source::text()).unwrap_or(Value::Null)
}

/// Natively nobody hands over a table.
#[cfg(not(target_arch = "wasm32"))]
fn source() -> Value {
    Value::Null
}

/// What leads to the rows of a table.
pub fn describe(table: &Value) -> Description {
    let text = |name| table.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut describe = Describe::new(text("id"), text("version"), text("title"));
    for row in rows::all(table) {
        describe = describe.program(row.program());
        for package in row.packages() {
            describe = describe.package(package);
        }
    }
    match table.get("tested-with").and_then(Value::as_str) {
        Some(range) => describe.tested_with(range).done(),
        None => describe.done(),
    }
}

/// Whether a row knows the call.
pub fn detect(table: &Value, call: &Invocation) -> Match {
    let Some(row) = rows::find(table, call) else { return Match::No };
    // What prints help or a version belongs to nobody's build.
    if call.args.iter().any(|arg| matches!(arg.as_str(), "--help" | "--version")) {
        return Match::No;
    }
    match row.command(&call.args) {
        None => Match::No,
        Some(command) if command.name().is_empty() => Match::Yes(row.program().into()),
        Some(command) => Match::Yes(command.name().into()),
    }
}

/// What the row says of the call.
pub fn declare(table: &Value, call: &Invocation) -> Declaration {
    let found = rows::find(table, call).and_then(|row| Some((row, row.command(&call.args)?)));
    let Some((row, command)) = found else {
        return Declare::unsure("the command is not known").done();
    };
    if let Some(reason) = row.beyond(call) {
        return Declare::unsure(reason).done();
    }
    let mut flags = row.never_flags().chain(command.0.never_flags());
    let flag = flags.find(|(flag, _)| call.args.iter().any(|arg| is_flag(arg, flag)));
    if let Some(reason) = flag.map(|(_, reason)| reason).or(command.never()) {
        return Declare::uncacheable(reason).done();
    }
    let mut said = Said::new(call, Declare::cacheable().done());
    said.add(row);
    said.add(command.0);
    said.done()
}

overhear_adapter::export!(Table);

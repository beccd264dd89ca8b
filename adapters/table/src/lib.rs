//! The adapter that stands for every data adapter: it reads its table through the one question that is
//! open to components of overhear alone, and declares what the rows say. The host has checked the table,
//! so that a mistake of its author is told with its line; here a field that is not as expected is one that
//! is not there. Asks nothing of the workspace.

mod rows;

use overhear_adapter::{
    Adapter, CacheDir, Declaration, Declare, Describe, Description, EnvMode, EnvRule, EnvSelector, Failure,
    Host, Invocation, Match, PathRule, json::Value, paths,
};
use rows::{Row, is_flag};

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
    let mut said = Said { call, declaration: Declare::cacheable().done() };
    said.add(row);
    said.add(command.0);
    said.declaration
}

/// A declaration that is being put together.
struct Said<'a> {
    call: &'a Invocation,
    declaration: Declaration,
}

impl Said<'_> {
    fn add(&mut self, row: Row) {
        let list = |name| row.list(name).filter_map(|value| self.rule(value)).collect::<Vec<_>>();
        let (inputs, reads, writes) = (list("inputs"), list("ignored-reads"), list("ignored-writes"));
        let (outputs, generated, state) = (list("outputs"), list("generated"), list("state"));
        let (shared, exclusive) = (list("caches"), list("exclusive-caches"));
        let emptied = row.list("outputs").filter(|value| truth(value, "emptied"));
        let emptied: Vec<PathRule> = emptied.filter_map(|value| self.rule(value)).collect();
        let declaration = &mut self.declaration;
        declaration.inputs.extend(inputs);
        declaration.ignored_reads.extend(reads.into_iter().chain(emptied));
        declaration.ignored_writes.extend(writes);
        declaration.outputs.extend(outputs);
        declaration.generated.extend(generated);
        declaration.state_files.extend(state);
        let caches =
            |list: Vec<PathRule>, concurrent| list.into_iter().map(move |path| CacheDir { path, concurrent });
        declaration.cache_dirs.extend(caches(shared, true).chain(caches(exclusive, false)));
        declaration.inner_disable_cache |= truth(row.0, "inner-server");
        declaration.empty_prefix_is_declared |= truth(row.0, "asks-for-all");
        for (list, mode) in [
            ("env", EnvMode::Tracked),
            ("untracked-env", EnvMode::Untracked),
            ("removed-env", EnvMode::Removed),
        ] {
            let names = row.list(list).filter_map(Value::as_str);
            declaration.env.extend(names.map(|name| variable(name, mode)));
        }
    }

    /// A rule as it stands, or with the folder that a flag of the call names.
    fn rule(&self, value: &Value) -> Option<PathRule> {
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let why = text("why").to_owned();
        let flags = rows::texts(value.get("flags"));
        if let Some(given) = flags.filter_map(|flag| rows::value_of(&self.call.args, flag)).last() {
            // What lies outside of the workspace is left to the trace.
            let pattern = paths::join(&self.call.cwd, given).filter(|joined| joined != ".")?;
            return Some(PathRule { base: overhear_adapter::Base::Workspace, pattern, why });
        }
        let base = match text("base") {
            "workspace" => overhear_adapter::Base::Workspace,
            "cwd" => overhear_adapter::Base::Cwd,
            _ => overhear_adapter::Base::Package,
        };
        Some(PathRule { base, pattern: text("path").to_owned(), why })
    }
}

fn truth(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// A name, or `PREFIX*`.
fn variable(name: &str, mode: EnvMode) -> EnvRule {
    let selector = match name.strip_suffix('*') {
        Some(prefix) => EnvSelector::Prefix(prefix.into()),
        None => EnvSelector::Name(name.into()),
    };
    EnvRule { selector, mode, why: "the tool or what it runs goes by it".into() }
}

overhear_adapter::export!(Table);

//! What rows say, as a declaration. Shared with `adapters/script`, so that the same keys mean the same in a
//! table and in a script. Pure.

use super::rows::{self, Row};
use overhear_adapter::{
    Base, CacheDir, Declaration, EnvMode, EnvRule, EnvSelector, Invocation, PathRule, json::Value, paths,
};

/// A declaration that is being put together.
pub struct Said<'a> {
    call: &'a Invocation,
    declaration: Declaration,
}

impl<'a> Said<'a> {
    /// What is added to is `declaration`; folders that flags name are those of `call`.
    pub fn new(call: &'a Invocation, declaration: Declaration) -> Said<'a> {
        Said { call, declaration }
    }

    /// All that was added.
    pub fn done(self) -> Declaration {
        self.declaration
    }

    /// Adds what a row says.
    pub fn add(&mut self, row: Row) {
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
            return Some(PathRule { base: Base::Workspace, pattern, why });
        }
        let base = match text("base") {
            "workspace" => Base::Workspace,
            "cwd" => Base::Cwd,
            _ => Base::Package,
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
    let why = match mode {
        EnvMode::Tracked => "the tool or what it runs goes by it",
        EnvMode::Untracked => "the tool sees it, and the result does not depend on it",
        EnvMode::Removed => "the tool is run without it",
    };
    EnvRule { selector, mode, why: why.into() }
}

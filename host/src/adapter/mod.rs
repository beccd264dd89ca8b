//! Adapters: which one knows a command, and what it declares. Owns the engine that runs them, the memo
//! that makes a warm run need none, and the bounds of what they may ask and say. It never reads what a
//! run did: that is `settle`'s. Read next: [`engine`], [`ask`], [`memo`].

mod ask;
mod bindings;
mod built_in;
mod convert;
mod engine;
mod engine_config;
mod fault;
mod memo;
mod patterns;
pub mod static_config;
mod tool;

#[cfg(test)]
mod tests;

pub use engine::engines_created;
pub use fault::AdapterFault;
pub use memo::{MapMemo, Memo};

use crate::declaration::{AdapterId, Advice, Declaration, Verdict};
use crate::digest::{Digest, Fields};
use ask::Asker;
use built_in::{BUILT_IN, BuiltIn};
use engine::{Guest, Invocation};
use memo::{Outcome, Record};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// One command that is about to run.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The file that the search for the program found; absolute, links not followed.
    pub program: &'a Path,
    /// Its name as typed, without folder.
    pub name: &'a str,
    /// The arguments after it.
    pub args: &'a [String],
    /// The working directory; absolute, below `root`.
    pub cwd: &'a Path,
    /// The folder of the nearest package.json at or above `cwd`; absolute, below `root`.
    pub package_dir: &'a Path,
    /// The workspace root; absolute, links resolved.
    pub root: &'a Path,
    /// The variables that the command will see.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// All adapters of this run. Shared by the threads that prepare steps.
pub struct Adapters {
    memo: Arc<dyn Memo>,
    known: Vec<Known>,
}

/// An adapter, and its code once a call has needed it.
struct Known {
    built_in: &'static BuiltIn,
    guest: OnceLock<Result<Guest, AdapterFault>>,
}

impl Adapters {
    /// Those that are part of the program. Starts no engine.
    pub fn built_in(memo: Arc<dyn Memo>) -> Adapters {
        let known = BUILT_IN.iter().map(|built_in| Known { built_in, guest: OnceLock::new() }).collect();
        Adapters { memo, known }
    }

    /// The ids of those that are part of the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|built_in| built_in.id)
    }

    /// What an adapter declares of a command; `None` when none knows it. A fault costs only this
    /// step: it is run and not stored.
    pub fn declare(&self, call: Call) -> Result<Option<Declaration>, AdapterFault> {
        if !self.may_concern(call) {
            return Ok(None);
        }
        let Some(places) = ask::Places::of(call) else { return Ok(None) };
        let key = self.key(call, &places);
        if let Some(record) = Record::recall(&*self.memo, key) {
            if let Some(outcome) = record.if_still_true(&*self.memo, key, call, &places) {
                return outcome.into_result();
            }
        }
        let mut asker = Asker::new(call, places, memo::salt(&*self.memo));
        let result = self.ask_adapters(call, &mut asker);
        let outcome = Outcome::of(&result);
        if result.as_ref().err().is_none_or(AdapterFault::is_lasting) {
            Record::new(asker.into_answers(), outcome).keep(&*self.memo, key);
        }
        result
    }

    /// Whether any adapter could be concerned, judged without looking at the disk.
    fn may_concern(&self, call: Call) -> bool {
        let in_modules = call.program.components().any(|part| part.as_os_str() == "node_modules");
        in_modules || self.known.iter().any(|known| known.built_in.programs.contains(&call.name))
    }

    /// Everything that is known before the first question.
    fn key(&self, call: Call, places: &ask::Places) -> Digest {
        let mut fields = Fields::new("adapter memo 1");
        // How configs are read and declarations are checked comes with the program.
        fields.bytes(env!("CARGO_PKG_VERSION").as_bytes());
        fields.list(self.known.iter().map(|known| known.built_in.digest.as_bytes()));
        let program = call.program.strip_prefix(call.root).unwrap_or(call.program);
        fields.bytes(program.as_os_str().as_encoded_bytes()).bytes(call.name.as_bytes());
        fields.list(call.args.iter());
        fields.bytes(places.cwd.as_bytes()).bytes(places.package_dir.as_bytes());
        fields.digest()
    }

    fn ask_adapters(&self, call: Call, asker: &mut Asker) -> Result<Option<Declaration>, AdapterFault> {
        let tool = asker.tool(call.program, call.name);
        let package = tool.as_ref().map(|tool| tool.name.as_str());
        let concerns = |known: &&Known| {
            known.built_in.programs.contains(&call.name)
                || package.is_some_and(|package| known.built_in.packages.contains(&package))
        };
        let mut matched: Vec<Matched> = Vec::new();
        for known in self.known.iter().filter(concerns) {
            let config_files = asker.config_files(known.built_in.config_files);
            let invocation = engine::invocation(call, asker.places(), tool.clone(), config_files);
            if let Some(subcommand) = known.guest()?.detect(&invocation)? {
                matched.push(Matched { known, invocation, subcommand });
            }
        }
        let mut passed_over = Vec::new();
        while let Some(index) = most_particular(&matched, call.name)? {
            let one = matched.swap_remove(index);
            let mut declaration = one.declare(asker)?;
            if let Verdict::Unsure(reason) = &declaration.verdict
                && matched.iter().any(|other| one.refines(other))
            {
                passed_over.push(passed_over_advice(one.known, reason));
                continue;
            }
            declaration.advice.append(&mut passed_over);
            return Ok(Some(declaration));
        }
        Ok(None)
    }
}

/// An adapter that said yes to a call.
struct Matched<'a> {
    known: &'a Known,
    invocation: Invocation,
    subcommand: String,
}

impl Matched<'_> {
    fn refines(&self, other: &Matched) -> bool {
        self.known.built_in.refines.contains(&other.known.built_in.id)
    }

    fn declare(&self, asker: &mut Asker) -> Result<Declaration, AdapterFault> {
        asker.permit(self.known.built_in);
        let id = AdapterId {
            id: self.known.built_in.id.to_owned(),
            version: self.known.built_in.version.to_owned(),
            subcommand: self.subcommand.clone(),
        };
        self.known.guest()?.declare(&self.invocation, &self.subcommand, id, asker)
    }
}

/// The adapter that no other one refines; a fault where that leaves more than one, and `None` where
/// none is left.
fn most_particular(matched: &[Matched], program: &str) -> Result<Option<usize>, AdapterFault> {
    let is_top = |at: &usize| !matched.iter().any(|other| other.refines(&matched[*at]));
    let mut tops = (0..matched.len()).filter(is_top);
    match (tops.next(), tops.next()) {
        (Some(one), Some(other)) => {
            Err(fault::ambiguous(matched[one].known.built_in.id, matched[other].known.built_in.id, program))
        }
        // Adapters that refine each other in a circle: none is more particular.
        (None, _) if matched.len() > 1 => {
            Err(fault::ambiguous(matched[0].known.built_in.id, matched[1].known.built_in.id, program))
        }
        (None, _) => Ok((!matched.is_empty()).then_some(0)),
        (one, None) => Ok(one),
    }
}

/// Why a more particular adapter left the call to the one that it refines.
fn passed_over_advice(known: &Known, reason: &str) -> Advice {
    let text = format!("adapter {} is unsure: {reason}", known.built_in.id);
    Advice { warning: false, code: "passed-over".into(), text, file: None }
}

impl Known {
    fn guest(&self) -> Result<&Guest, AdapterFault> {
        self.guest.get_or_init(|| Guest::of_built_in(self.built_in)).as_ref().map_err(Clone::clone)
    }
}

//! Adapters: which one knows a command, and what it declares. Owns the engine that runs them, the memo
//! that makes a warm run need none, and the bounds of what they may ask and say. It never reads what a
//! run did: that is `settle`'s. Read next: [`engine`], [`ask`], [`memo`].

mod ask;
mod bindings;
mod built_in;
mod carried;
pub mod cases;
mod complexity;
pub mod conform;
mod convert;
mod described;
mod engine;
mod engine_config;
pub mod examine;
mod fault;
mod file;
mod link;
pub mod lock;
mod memo;
mod native;
mod patterns;
mod settings;
pub mod source;
pub mod static_config;
mod table;
mod tool;

#[cfg(test)]
mod tests;

pub use crate::memo::{MapMemo, Memo};
pub use described::Described;
pub use engine::engines_created;
pub use fault::AdapterFault;
pub use native::{Shelf, compile_for_parent};
pub use patterns::may_name;

use crate::config::AdapterUse;
use crate::declaration::{Advice, Declaration, Verdict};
use crate::digest::{Digest, Fields};
use crate::problem::closest;
use ask::Asker;
use built_in::{BUILT_IN, BuiltIn};
use engine::{Guest, Invocation, Used};
use file::Broken;
use lock::{Locked, Locking};
use memo::{Outcome, Record};
use source::Located;
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
    shelf: Option<Shelf>,
    known: Vec<Known>,
    /// Those that a person wants and that cannot be used.
    broken: Vec<Broken>,
}

/// An adapter, and its code once a call has needed it.
struct Known {
    described: Described,
    /// Of all that it says depends on.
    digest: Digest,
    /// What a person set for it, as JSON.
    settings: Option<String>,
    code: Code,
    guest: OnceLock<Result<Guest, AdapterFault>>,
}

/// Where the code of an adapter comes from.
enum Code {
    BuiltIn(&'static BuiltIn),
    File(file::Component),
}

impl Adapters {
    /// Those that are part of the program. Starts no engine.
    pub fn built_in(memo: Arc<dyn Memo>) -> Adapters {
        Adapters {
            memo,
            shelf: None,
            known: BUILT_IN.iter().map(Known::built_in).collect(),
            broken: Vec::new(),
        }
    }

    /// Those that are part of the program and those that a person wants besides, less those that are
    /// switched off, as far as the lock allows. `cache` is the user's cache folder. Starts an engine only for
    /// a component that is new. Also gives one line for each thing that could not be done as wanted.
    pub fn of(
        wanted: &[AdapterUse],
        root: &Path,
        memo: Arc<dyn Memo>,
        cache: Option<&Path>,
        frozen: bool,
    ) -> (Adapters, Vec<String>) {
        let mut adapters = Adapters::built_in(memo);
        let mut notices = Vec::new();
        let is_own = |one: &AdapterUse| adapters.known.iter().any(|known| known.described.id == one.name);
        // Without an adapter of somebody else the lock is not looked at.
        let locking = wanted.iter().any(|one| one.enabled && !is_own(one)).then(|| Locking::at(root, frozen));
        if locking.is_some() {
            match cache.map(|cache| Shelf::open(cache, root)) {
                Some(Ok(shelf)) => adapters.shelf = Some(shelf),
                Some(Err(why)) => notices.push(why),
                None => {}
            }
        }
        for one in wanted {
            match adapters.known.iter().position(|known| known.described.id == one.name) {
                Some(at) if !one.enabled => drop(adapters.known.remove(at)),
                Some(at) => adapters.set_up(at, one),
                None if !one.enabled && one.name.contains('/') => {}
                None if !one.enabled => {
                    let close = closest(&one.name, Adapters::names());
                    let hint = close.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default();
                    notices.push(format!("there is no adapter `{}` to switch off{hint}", one.name))
                }
                None => match &locking {
                    Some(locking) if one.name.contains('/') => adapters.add_file(one, root, locking),
                    _ => adapters.broken.push(Broken { fault: fault::unknown(&one.name), described: None }),
                },
            }
        }
        // The whole of it is told of each step that it costs something.
        notices.extend(adapters.broken.iter().map(|broken| broken.fault.in_short()));
        (adapters, notices)
    }

    /// Gives an adapter its settings, if they are as it wants them.
    fn set_up(&mut self, at: usize, wanted: &AdapterUse) {
        let Some(settings) = &wanted.settings else { return };
        let known = &mut self.known[at];
        match settings::validate(known.described.settings_schema.as_deref(), settings) {
            Ok(()) => known.settings = Some(settings.to_string()),
            Err(wrong) => {
                let Described { id, version, .. } = &known.described;
                let fault = AdapterFault::new(id, version, "settings", wrong);
                let described = Some(self.known.remove(at).described);
                self.broken.push(Broken { fault, described });
            }
        }
    }

    fn add_file(&mut self, wanted: &AdapterUse, root: &Path, locking: &Locking) {
        let wrong =
            |wrong| Broken { fault: AdapterFault::new(&wanted.name, "?", "load", wrong), described: None };
        let located = locking.lock.as_ref().map_err(Clone::clone).and_then(|lock| {
            let named = match (source::is_path(&wanted.name), lock.of_id(&wanted.name)) {
                (true, _) => wanted.name.as_str(),
                (false, Some(locked)) => locked.source.as_str(),
                (false, None) => return Err(lock::not_locked(&wanted.name)),
            };
            Ok((Located::find(named, root)?, lock))
        });
        let (located, lock) = match located {
            Ok(located) => located,
            Err(error) => return self.broken.push(wrong(error)),
        };
        let component = match file::Component::find(located, &*self.memo, self.shelf.as_ref()) {
            Ok(component) => component,
            Err(broken) => return self.broken.push(broken),
        };
        let described = component.described.clone();
        let now = Locked::of(&described, component.file_digest, &component.source);
        if let Err(wrong) = lock::check(&now, lock.of_source(&now.source), locking.frozen) {
            let fault = AdapterFault::new(&described.id, &described.version, "load", wrong);
            return self.broken.push(Broken { fault, described: Some(described) });
        }
        if self.known.iter().any(|known| known.described.id == described.id) {
            let what = format!("`{}` has the id of another adapter", wanted.name);
            let wrong = fault::Wrong::new("ambiguous-adapter", what);
            let fault = AdapterFault::new(&described.id, &described.version, "load", wrong);
            return self.broken.push(Broken { fault, described: Some(described) });
        }
        let digest = component.digest;
        let code = Code::File(component);
        self.known.push(Known { described, digest, settings: None, code, guest: OnceLock::new() });
        self.set_up(self.known.len() - 1, wanted);
    }

    /// The ids of those that are part of the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|built_in| built_in.id)
    }

    /// What an adapter declares of a command; `None` when none knows it. A fault costs only this
    /// step: it is run and not stored.
    pub fn declare(&self, call: Call) -> Result<Option<Declaration>, AdapterFault> {
        if let Some(fault) = self.broken_for(call) {
            return Err(fault);
        }
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
        let variables = self.known.iter().flat_map(|known| &known.described.may_read_env);
        let variables = variables.map(String::as_str);
        let mut asker = Asker::new(call, places, memo::salt(&*self.memo), variables);
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
        in_modules || self.known.iter().any(|known| known.described.concerns(call.name, None))
    }

    /// The fault of an adapter that cannot be used and could know this command. What it would have said
    /// is not known, so the step is not kept; of one that never worked nothing is known at all.
    fn broken_for(&self, call: Call) -> Option<AdapterFault> {
        if self.broken.is_empty() {
            return None;
        }
        let tool = tool::of_program(call.program, call.name).0;
        let package = tool.as_ref().map(|tool| tool.name.as_str());
        let could_know = |broken: &&Broken| {
            broken.described.as_ref().is_none_or(|described| described.concerns(call.name, package))
        };
        self.broken.iter().find(could_know).map(|broken| broken.fault.clone())
    }

    /// Everything that is known before the first question.
    fn key(&self, call: Call, places: &ask::Places) -> Digest {
        let mut fields = Fields::new("adapter memo 2");
        // How configs are read and declarations are checked comes with the program.
        fields.bytes(env!("CARGO_PKG_VERSION").as_bytes());
        fields.list(self.known.iter().map(|known| known.digest.as_bytes()));
        fields.list(self.known.iter().map(|known| known.settings.as_deref().unwrap_or_default()));
        let program = call.program.strip_prefix(call.root).unwrap_or(call.program);
        fields.bytes(program.as_os_str().as_encoded_bytes()).bytes(call.name.as_bytes());
        fields.list(call.args.iter());
        // What cannot be watched here decides whether some declarations hold.
        fields.number(u64::from(crate::trace::preload::trouble().is_none()));
        fields.bytes(places.cwd.as_bytes()).bytes(places.package_dir.as_bytes());
        fields.digest()
    }

    fn ask_adapters(&self, call: Call, asker: &mut Asker) -> Result<Option<Declaration>, AdapterFault> {
        let tool = asker.tool(call.program, call.name);
        let package = tool.as_ref().map(|tool| tool.name.as_str());
        let concerns = |known: &&Known| known.described.concerns(call.name, package);
        let mut matched: Vec<Matched> = Vec::new();
        for known in self.known.iter().filter(concerns) {
            let config_files = asker.config_files(&known.described.config_files);
            let settings = known.settings.clone();
            let invocation = engine::invocation(call, asker.places(), tool.clone(), config_files, settings);
            if let Some(subcommand) =
                known.guest(self.shelf.as_ref())?.detect(&invocation, &mut Used::default())?
            {
                matched.push(Matched { known, invocation, subcommand });
            }
        }
        let mut passed_over = Vec::new();
        while let Some(index) = most_particular(&matched, call.name)? {
            let one = matched.swap_remove(index);
            let mut declaration = one.declare(asker, self.shelf.as_ref())?;
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
    fn id(&self) -> &str {
        &self.known.described.id
    }

    fn refines(&self, other: &Matched) -> bool {
        self.known.described.refines.contains(&other.known.described.id)
    }

    fn declare(&self, asker: &mut Asker, shelf: Option<&Shelf>) -> Result<Declaration, AdapterFault> {
        let described = &self.known.described;
        asker.permit(described);
        let used = &mut Used::default();
        self.known.guest(shelf)?.declare(&self.invocation, &self.subcommand, asker, used)
    }
}

/// The adapter that no other one refines; a fault where that leaves more than one, and `None` where
/// none is left.
fn most_particular(matched: &[Matched], program: &str) -> Result<Option<usize>, AdapterFault> {
    let is_top = |at: &usize| !matched.iter().any(|other| other.refines(&matched[*at]));
    let mut tops = (0..matched.len()).filter(is_top);
    match (tops.next(), tops.next()) {
        (Some(one), Some(other)) => Err(fault::ambiguous(matched[one].id(), matched[other].id(), program)),
        // Adapters that refine each other in a circle: none is more particular.
        (None, _) if matched.len() > 1 => Err(fault::ambiguous(matched[0].id(), matched[1].id(), program)),
        (None, _) => Ok((!matched.is_empty()).then_some(0)),
        (one, None) => Ok(one),
    }
}

/// Why a more particular adapter left the call to the one that it refines.
fn passed_over_advice(known: &Known, reason: &str) -> Advice {
    let text = format!("adapter {} is unsure: {reason}", known.described.id);
    Advice { warning: false, code: "passed-over".into(), text, file: None }
}

impl Known {
    fn built_in(adapter: &'static BuiltIn) -> Known {
        let (described, digest) = (Described::from(adapter), adapter.digest);
        Known { described, digest, settings: None, code: Code::BuiltIn(adapter), guest: OnceLock::new() }
    }

    fn guest(&self, shelf: Option<&Shelf>) -> Result<&Guest, AdapterFault> {
        self.guest.get_or_init(|| self.load(shelf)).as_ref().map_err(Clone::clone)
    }

    fn load(&self, shelf: Option<&Shelf>) -> Result<Guest, AdapterFault> {
        match &self.code {
            Code::BuiltIn(adapter) => Guest::of_built_in(adapter),
            Code::File(component) => component.guest(shelf),
        }
    }

    /// The name of its file, as the config has it; `None` for one that is part of the program.
    fn file_name(&self) -> Option<&str> {
        match &self.code {
            Code::BuiltIn(_) => None,
            Code::File(component) => Some(&component.name),
        }
    }
}

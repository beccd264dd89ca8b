//! One adapter looked at closely, for its author: where a command is turned away on the way to it, what it
//! asks, what it declares, and what that used. Uses no memo, so that each call is really made.

use super::ask::{Asker, Places};
use super::carried::Form;
use super::described::Described;
use super::engine::{self, Guest, Used};
use super::fault::{AdapterFault, Wrong};
use super::native::Shelf;
use super::tool::ToolPackage;
use super::{Adapters, Call, Known, file, settings};
use crate::declaration::Declaration;
use crate::digest::Digest;
use serde_json::Value;
use std::path::Path;

/// An adapter to be looked at.
pub struct Subject {
    /// What it says of itself.
    pub described: Described,
    /// Of its file.
    pub digest: Digest,
    /// Bytes of its file; of the component for one that is part of the program.
    pub bytes: usize,
    guest: Guest,
}

/// A call of an adapter that is made to see what it says.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The command.
    pub call: Call<'a>,
    /// The package of the program where it is given and not looked for: name and version.
    pub tool: Option<(&'a str, &'a str)>,
    /// What the user set, as JSON.
    pub settings: Option<&'a Value>,
    /// Folders are listed in another order than always.
    pub is_backwards: bool,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What `detect` said: the name of the subcommand, if the call is the adapter's.
    pub subcommand: Option<String>,
    /// What it declares; `None` where the call is not its own.
    pub declared: Result<Option<Declaration>, AdapterFault>,
    /// Each question and the digest of its answer, in the order in which they were first asked.
    pub asked: Vec<(String, String)>,
    /// What both functions used.
    pub used: Used,
}

impl Subject {
    /// The adapter in a file: a component or what one of ours carries.
    pub fn of_file(path: &Path, name: &str, shelf: Option<&Shelf>) -> Result<Subject, AdapterFault> {
        let fault = |wrong| AdapterFault::new(name, "?", "load", wrong);
        let form = Form::of_name(name).ok_or_else(|| fault(file::not_an_adapter(name)))?;
        let bytes = file::read(path).map_err(fault)?;
        let digest = Digest::of(&bytes);
        let described = file::describe(name, form, &bytes, digest, shelf)?;
        let loaded = (name, &*bytes, digest);
        let guest = file::load(&described.id, &described.version, form, loaded, shelf)?;
        Ok(Subject { described, digest, bytes: bytes.len(), guest })
    }

    /// One that is part of the program.
    pub fn built_in(id: &str) -> Option<Result<Subject, AdapterFault>> {
        let adapter = super::BUILT_IN.iter().find(|adapter| adapter.id == id)?;
        let bytes = adapter.source.map_or(adapter.code.wasm.len(), str::len);
        let described = Described::from(adapter);
        let subject = |guest| Subject { described, digest: adapter.digest, bytes, guest };
        Some(Guest::of_built_in(adapter).map(subject))
    }

    /// Calls it.
    pub fn examine(&self, trial: Trial) -> Examined {
        let mut examined =
            Examined { subcommand: None, declared: Ok(None), asked: Vec::new(), used: Used::default() };
        let fault = |wrong| AdapterFault::new(&self.described.id, &self.described.version, "call", wrong);
        let Some(places) = Places::of(trial.call) else {
            let wrong = Wrong::new("outside-workspace", "the command is not run in the workspace");
            examined.declared = Err(fault(wrong));
            return examined;
        };
        let variables = self.described.may_read_env.iter().map(String::as_str);
        // Answers are only compared within one call.
        let mut asker = Asker::new(trial.call, places, Digest([0; 32]), variables);
        if trial.is_backwards {
            asker.list_backwards();
        }
        examined.declared = self.call(trial, &mut asker, &mut examined.subcommand, &mut examined.used);
        let asked = asker.answers().iter();
        examined.asked =
            asked.map(|answered| (answered.question.to_string(), answered.digest.clone())).collect();
        examined
    }

    fn call(
        &self,
        trial: Trial,
        asker: &mut Asker,
        subcommand: &mut Option<String>,
        used: &mut Used,
    ) -> Result<Option<Declaration>, AdapterFault> {
        let fault = |wrong| AdapterFault::new(&self.described.id, &self.described.version, "settings", wrong);
        if let Some(value) = trial.settings {
            settings::validate(self.described.settings_schema.as_deref(), value).map_err(fault)?;
        }
        let tool = match trial.tool {
            Some((name, version)) => {
                Some(ToolPackage { name: name.to_owned(), version: Some(version.to_owned()) })
            }
            None => asker.tool(trial.call.program, trial.call.name),
        };
        let config_files = asker.config_files(&self.described.config_files);
        let settings = trial.settings.map(Value::to_string);
        let invocation = engine::invocation(trial.call, asker.places(), tool, config_files, settings);
        *subcommand = self.guest.detect(&invocation, used)?;
        let Some(subcommand) = subcommand else { return Ok(None) };
        asker.permit(&self.described);
        self.guest.declare(&invocation, subcommand, asker, used).map(Some)
    }
}

/// How far a command came on its way to one adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It cannot be used.
    Broken(AdapterFault),
    /// The program and its package are none that it names.
    NotNamed,
    /// It looked at the call and said no.
    SaidNo,
    /// It failed.
    Failed(AdapterFault),
    /// It is its command, as this subcommand.
    Knows(String),
}

/// Which adapters a command came to, for `adapter run` and `adapter why-not`.
pub struct Routed {
    /// The package of the program, by name and version.
    pub tool: Option<(String, Option<String>)>,
    /// Each adapter by its id, and how far the command came.
    pub steps: Vec<(String, Step)>,
    /// What became of the question as a whole.
    pub declared: Result<Option<Declaration>, AdapterFault>,
    /// What the adapter that declared asked.
    pub asked: Vec<(String, String)>,
    /// What its calls used.
    pub used: Used,
}

impl Adapters {
    /// Sends a command the way that it goes before a run, and notes each step.
    pub fn route(&self, call: Call) -> Routed {
        let tool = super::tool::of_program(call.program, call.name).0;
        let package = tool.as_ref().map(|tool| tool.name.as_str());
        let mut steps: Vec<(String, Step)> = Vec::new();
        for broken in &self.broken {
            steps.push((broken.fault.adapter.clone(), Step::Broken(broken.fault.clone())));
        }
        let mut routed = Routed {
            tool: None,
            steps: Vec::new(),
            declared: self.declare(call),
            asked: Vec::new(),
            used: Used::default(),
        };
        for known in &self.known {
            let id = known.described.id.clone();
            if !known.described.concerns(call.name, package) {
                steps.push((id, Step::NotNamed));
                continue;
            }
            let examined = known.examine(call, self);
            let step = match (&examined.subcommand, &examined.declared) {
                (Some(name), Ok(_)) => Step::Knows(name.clone()),
                (_, Err(fault)) => Step::Failed(fault.clone()),
                (None, Ok(_)) => Step::SaidNo,
            };
            let declares = matches!(&routed.declared, Ok(Some(said)) if said.adapter.id == id)
                || matches!(&routed.declared, Err(fault) if fault.adapter == id);
            if declares {
                (routed.asked, routed.used) = (examined.asked, examined.used);
            }
            steps.push((id, step));
        }
        routed.tool = tool.map(|tool| (tool.name, tool.version));
        routed.steps = steps;
        routed
    }

    /// Each adapter that can be used: its description, and the name of its file where it has one.
    pub fn all(&self) -> impl Iterator<Item = (&Described, Option<&str>)> {
        self.known.iter().map(|known| (&known.described, known.file_name()))
    }

    /// The faults of those that cannot.
    pub fn faults(&self) -> impl Iterator<Item = &AdapterFault> {
        self.broken.iter().map(|broken| &broken.fault)
    }
}

impl Known {
    /// A call of its own, without the memo.
    fn examine(&self, call: Call, adapters: &Adapters) -> Examined {
        let settings = self.settings.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let subject = match self.load(adapters.shelf.as_ref()) {
            Ok(guest) => Subject { described: self.described.clone(), digest: self.digest, bytes: 0, guest },
            Err(fault) => {
                let (asked, used) = (Vec::new(), Used::default());
                return Examined { subcommand: None, declared: Err(fault), asked, used };
            }
        };
        subject.examine(Trial { call, tool: None, settings: settings.as_ref(), is_backwards: false })
    }
}

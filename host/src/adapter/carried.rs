//! Adapters that are no component but a text, which a component of ours carries: what kind of text a file
//! holds, and what is handed to the component of it. A mistake in it is told with its line.

use super::built_in::{self, Code};
use super::described::is_for_people;
use super::fault::Wrong;
use super::patterns;
use super::table::{self, Table};
use crate::digest::{Digest, Fields};
use crate::problem::line_of;
use std::sync::Arc;
use wasmtime::component::{ComponentType, Lift, Lower};

/// What an adapter's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A component.
    Component,
    /// A table, in TOML.
    Table,
    /// A module in JavaScript.
    Script,
}

/// Bytes of a script. Those of real adapters are some thousands; to read more would cost each call.
const SCRIPT_BYTES_MAX: usize = 512 * 1024;

impl Form {
    /// By the ending of its name; `None`: no adapter has such a name.
    pub fn of_name(name: &str) -> Option<Form> {
        match name.rsplit_once('.')?.1 {
            "wasm" => Some(Form::Component),
            "toml" => Some(Form::Table),
            "js" | "mjs" => Some(Form::Script),
            _ => None,
        }
    }

    /// The component that carries texts of this form.
    pub fn carrier(self) -> Option<&'static Code> {
        match self {
            Form::Component => None,
            Form::Table => Some(&built_in::TABLE),
            Form::Script => Some(&built_in::SCRIPT),
        }
    }

    /// What is meant by the bytes of a file: they and, where a component of ours has to carry them, that
    /// component. What an adapter says depends on nothing else.
    pub fn digest(self, of_file: Digest) -> Digest {
        match self.carrier() {
            None => of_file,
            Some(carrier) => {
                let mut fields = Fields::new("carried adapter");
                fields.bytes(carrier.digest.as_bytes()).bytes(of_file.as_bytes()).digest()
            }
        }
    }

    /// What is handed to the carrier. `name` is that of the file, for messages.
    pub fn source(self, name: &str, bytes: &[u8]) -> Result<Arc<str>, Wrong> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Wrong::new("bad-source", format!("{name} is not UTF-8")))?;
        match self {
            Form::Component => Ok("".into()),
            Form::Table => table(name, text),
            Form::Script if text.len() > SCRIPT_BYTES_MAX => {
                let what = format!("{name} has {} bytes, the limit is {SCRIPT_BYTES_MAX}", text.len());
                Err(Wrong::new("too-complex", what))
            }
            // Its mistakes are found by the interpreter, which is the one that has to understand it.
            Form::Script => Ok(text.into()),
        }
    }
}

/// What the component that runs scripts says of a script: `fail` of `adapters/source.wit`.
#[allow(dead_code, reason = "made of what a component hands over, by code that is derived")]
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Mistake {
    /// It cannot be read.
    #[component(name = "bad-source")]
    BadSource,
    /// It threw an exception.
    #[component(name = "threw")]
    Threw,
    /// What it gave has not the form that it should have.
    #[component(name = "wrong-form")]
    WrongForm,
    /// Its calls are nested too deeply.
    #[component(name = "stack")]
    Stack,
}

impl Mistake {
    /// What is told to its author. The words are theirs, so they are cut where they go on for long.
    pub fn with(self, words: &str) -> Wrong {
        let code = match self {
            Mistake::BadSource => "bad-source",
            Mistake::Threw => "threw",
            Mistake::WrongForm => "wrong-form",
            Mistake::Stack => "stack",
        };
        let words: String = words.chars().filter(|letter| is_for_people(*letter)).take(WORDS_MAX).collect();
        Wrong::new(code, words)
    }
}

/// Letters of a message of a script.
const WORDS_MAX: usize = 1000;

fn table(name: &str, text: &str) -> Result<Arc<str>, Wrong> {
    let table = Table::parse(text).map_err(|mistake| bad_table(name, text, &mistake))?;
    for named in table.patterns() {
        let sound = patterns::check(named.pattern).and_then(|expanded| {
            match named.list != "inputs" && patterns::is_too_broad(&expanded) {
                true => Err(patterns::too_broad(named.pattern)),
                false => Ok(()),
            }
        });
        sound.map_err(|wrong| {
            let place = named.find(text).map_or(String::new(), |at| place(text, at));
            Wrong { what: format!("{name}:{place} {}: {}", named.place, wrong.what), ..wrong }
        })?;
    }
    Ok(table.to_json().into())
}

fn bad_table(name: &str, text: &str, mistake: &table::Mistake) -> Wrong {
    let place = mistake.place.as_ref().map_or(String::new(), |range| place(text, range.start));
    Wrong::new("bad-source", format!("{name}:{place} {}", mistake.what))
}

/// `12:5:`, of a byte of the text.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    format!("{}:{}:", line_of(text, at), before[line_start..].chars().count() + 1)
}

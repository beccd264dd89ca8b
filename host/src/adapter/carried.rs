//! Adapters that are no component but a text, which a component of ours carries: what kind of text a file
//! holds, and what is handed to the component of it. A mistake in it is told with its line.

use super::built_in::{self, Code};
use super::fault::Wrong;
use super::patterns;
use super::table::{Mistake, Table};
use crate::digest::{Digest, Fields};
use crate::problem::line_of;
use std::sync::Arc;

/// What an adapter's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A component.
    Component,
    /// A table, in TOML.
    Table,
}

impl Form {
    /// By the ending of its name; `None`: no adapter has such a name.
    pub fn of_name(name: &str) -> Option<Form> {
        match name.rsplit_once('.')?.1 {
            "wasm" => Some(Form::Component),
            "toml" => Some(Form::Table),
            _ => None,
        }
    }

    /// The component that carries texts of this form.
    pub fn carrier(self) -> Option<&'static Code> {
        match self {
            Form::Component => None,
            Form::Table => Some(&built_in::TABLE),
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
        }
    }
}

fn table(name: &str, text: &str) -> Result<Arc<str>, Wrong> {
    let table = Table::parse(text).map_err(|mistake| bad_table(name, text, &mistake))?;
    for (place, pattern) in table.patterns() {
        patterns::check(pattern)
            .map_err(|wrong| Wrong { what: format!("{name}: {place}: {}", wrong.what), ..wrong })?;
    }
    Ok(table.to_json().into())
}

fn bad_table(name: &str, text: &str, mistake: &Mistake) -> Wrong {
    let place = mistake.place.as_ref().map_or(String::new(), |place| {
        let before = &text[..place.start.min(text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        format!("{}:{}:", line_of(text, place.start), before[line_start..].chars().count() + 1)
    });
    Wrong::new("bad-source", format!("{name}:{place} {}", mistake.what))
}

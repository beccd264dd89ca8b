//! What an adapter says of itself: what leads to it, and what it may ask for. Checked once, when the
//! component is first seen; kept from then on, so that choosing an adapter starts no engine.

use super::bindings::overhear::adapter::types as wit;
use super::built_in::BuiltIn;
use super::fault::Wrong;
use super::{patterns, settings};
use crate::declaration::Base;
use serde::{Deserialize, Serialize};

const NAMES_MAX: usize = 200;
const NAME_BYTES_MAX: usize = 214;
const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// An adapter's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its id: `vendor/name`, or a plain name for one that is part of the program.
    pub id: String,
    /// Its version.
    pub version: String,
    /// What it is about, for people.
    #[serde(default)]
    pub title: String,
    /// Names of programs that can lead to it.
    pub programs: Vec<String>,
    /// Names of packages whose programs can lead to it.
    pub packages: Vec<String>,
    /// Ids of adapters than which it is more particular.
    pub refines: Vec<String>,
    /// Names of files in the package folder that its calls list.
    pub config_files: Vec<String>,
    /// What it may read.
    pub may_read: Vec<(Base, String)>,
    /// Which variables it may ask for.
    pub may_read_env: Vec<String>,
    /// What its settings must look like, as JSON Schema; without it, it takes none.
    pub settings_schema: Option<String>,
    /// The versions of the tool that its author tested, for people.
    #[serde(default)]
    pub tested_with: Option<String>,
}

impl From<&BuiltIn> for Described {
    fn from(adapter: &BuiltIn) -> Described {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Described {
            id: adapter.id.to_owned(),
            version: adapter.version.to_owned(),
            title: adapter.title.to_owned(),
            programs: owned(adapter.programs),
            packages: owned(adapter.packages),
            refines: owned(adapter.refines),
            config_files: owned(adapter.config_files),
            may_read: adapter.may_read.iter().map(|(base, text)| (*base, (*text).to_owned())).collect(),
            may_read_env: owned(adapter.may_read_env),
            settings_schema: None,
            tested_with: adapter.tested_with.map(str::to_owned),
        }
    }
}

impl Described {
    /// Checks what a component of somebody else said of itself.
    pub fn of(said: wit::Description) -> Result<Described, Wrong> {
        check_id(&said.id)?;
        check_name("version", &said.version)?;
        let lists = [
            ("programs", &said.programs),
            ("packages", &said.packages),
            ("refines", &said.refines),
            ("may-read-env", &said.may_read_env),
        ];
        for (what, names) in lists {
            if names.len() > NAMES_MAX {
                return Err(bad(format!("{what}: {} names, the limit is {NAMES_MAX}", names.len())));
            }
            names.iter().try_for_each(|name| check_name(what, name))?;
        }
        if said.programs.is_empty() && said.packages.is_empty() {
            return Err(bad("it names neither a program nor a package, so nothing leads to it".into()));
        }
        if said.config_files.len() + said.may_read.len() > NAMES_MAX {
            return Err(bad(format!("more than {NAMES_MAX} patterns")));
        }
        for (at, pattern) in said.config_files.iter().enumerate() {
            let expanded = patterns::check(pattern).map_err(|wrong| within("config-files", at, wrong))?;
            if expanded.iter().any(|text| text.contains('/')) {
                return Err(bad(format!("config-files[{at}]: a pattern of one segment is wanted")));
            }
        }
        let mut may_read = Vec::with_capacity(said.may_read.len());
        for (at, rule) in said.may_read.into_iter().enumerate() {
            patterns::check(&rule.pattern).map_err(|wrong| within("may-read", at, wrong))?;
            may_read.push((base(rule.base), rule.pattern));
        }
        if let Some(schema) = &said.settings_schema {
            if schema.len() > SCHEMA_BYTES_MAX {
                return Err(Wrong::new("bad-schema", format!("more than {SCHEMA_BYTES_MAX} bytes")));
            }
            settings::check_schema(schema)?;
        }
        Ok(Described {
            id: said.id,
            version: said.version,
            title: for_people(said.title),
            programs: said.programs,
            packages: said.packages,
            refines: said.refines,
            config_files: said.config_files,
            may_read,
            may_read_env: said.may_read_env,
            settings_schema: said.settings_schema,
            tested_with: said.tested_with.map(for_people),
        })
    }

    /// Whether a program of this name, of this package, leads to it.
    pub fn concerns(&self, program: &str, package: Option<&str>) -> bool {
        self.programs.iter().any(|own| own == program)
            || package.is_some_and(|package| self.packages.iter().any(|own| own == package))
    }
}

/// Short, and without what a terminal obeys.
fn for_people(text: String) -> String {
    text.chars().filter(|letter| is_for_people(*letter)).take(200).collect()
}

/// Whether a terminal shows it and does not obey it.
pub fn is_for_people(letter: char) -> bool {
    !letter.is_control()
}

/// What a pattern is relative to, in the newest form.
pub fn base(said: wit::Base) -> Base {
    match said {
        wit::Base::Workspace => Base::Workspace,
        wit::Base::Package => Base::Package,
        wit::Base::Cwd => Base::Cwd,
    }
}

/// `vendor/name`: a plain name would be taken for one that is part of the program.
fn check_id(id: &str) -> Result<(), Wrong> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
            })
    };
    match id.split_once('/') {
        Some((vendor, name)) if is_part(vendor) && is_part(name) && id.len() <= 100 => Ok(()),
        _ => Err(bad(format!("its id {} is not of the form `vendor/name`, in lower case", shown(id)))),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Wrong> {
    let is_sound = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    if is_sound { Ok(()) } else { Err(bad(format!("{what}: {} is no name", shown(name)))) }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

fn within(list: &str, at: usize, wrong: Wrong) -> Wrong {
    Wrong { what: format!("{list}[{at}]: {}", wrong.what), ..wrong }
}

fn bad(what: String) -> Wrong {
    Wrong::new("bad-description", what)
}

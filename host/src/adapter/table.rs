//! The table of a data adapter, as its author writes it: checked here, so that a mistake is told with its
//! line, and handed as JSON to the component that reads it. Knows the form, not the meaning. Also used by
//! the build script. Pure.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A whole table.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    /// `vendor/name`.
    id: String,
    version: String,
    #[serde(default)]
    title: String,
    /// Semver range of tool versions, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tested_with: Option<String>,
    tool: Vec<Tool>,
}

/// A row with the rules that any row may have. No `flatten`: what it collects has lost its place in the
/// file.
macro_rules! row {
    ($(#[$about:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct $name {
            $($own)*
            /// Flags with which it never ends with a result, and why.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            never_with: BTreeMap<String, String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            inputs: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            ignored_reads: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            ignored_writes: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            outputs: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            caches: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            exclusive_caches: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            generated: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            state: Vec<Rule>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            env: Vec<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            untracked_env: Vec<String>,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            removed_env: Vec<String>,
            #[serde(default, skip_serializing_if = "is_no")]
            inner_server: bool,
            #[serde(default, skip_serializing_if = "is_no")]
            asks_for_all: bool,
        }

        impl $name {
            fn lists(&self) -> [(&'static str, &[Rule]); 8] {
                let rules: [&[Rule]; 8] = [
                    &self.inputs,
                    &self.ignored_reads,
                    &self.ignored_writes,
                    &self.outputs,
                    &self.caches,
                    &self.exclusive_caches,
                    &self.generated,
                    &self.state,
                ];
                std::array::from_fn(|at| (LISTS[at], rules[at]))
            }
        }
    };
}

row! {
    /// One program.
    struct Tool {
        program: String,
        /// Packages that the program may belong to; none: it belongs to no package.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        packages: Vec<String>,
        /// Versions, or how they begin (`"3"`, `"2.1"`); none: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        versions: Vec<String>,
        /// The first that is named counts; none: every call is known.
        #[serde(default = "every_call")]
        command: Vec<Command>,
    }
}

row! {
    /// One command of a program; its rules hold besides those of the program.
    struct Command {
        /// The first word, or a flag; `*`: every other call.
        #[serde(deserialize_with = "name_of_command")]
        name: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        aliases: Vec<String>,
        /// Why it is never cached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        never: Option<String>,
    }
}

/// A pattern; written alone where nothing else is to be said.
#[derive(Debug, Serialize)]
struct Rule {
    path: String,
    base: String,
    why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    #[serde(skip_serializing_if = "is_no")]
    emptied: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenRule {
    path: String,
    #[serde(default)]
    base: WrittenBase,
    #[serde(default)]
    why: String,
    /// Flags of the command that name another folder.
    #[serde(default)]
    flags: Vec<String>,
    /// An output that the tool empties before it fills it.
    #[serde(default)]
    emptied: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenBase {
    Workspace,
    #[default]
    Package,
    Cwd,
}

/// A mistake in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Bytes of the text, where it is at one place.
    pub place: Option<std::ops::Range<usize>>,
    /// What is wrong.
    pub what: String,
}

impl Table {
    /// Reads and checks a table.
    pub fn parse(text: &str) -> Result<Table, Mistake> {
        let table: Table = toml::from_str(text)
            .map_err(|error| Mistake { place: error.span(), what: error.message().replace('\n', " ") })?;
        let wrong = |what: String| Err(Mistake { place: None, what });
        if table.tool.is_empty() {
            return wrong("there is no [[tool]], so nothing leads to it".into());
        }
        for tool in &table.tool {
            if tool.command.is_empty() {
                return wrong(format!("`{}` has an empty list of commands", tool.program));
            }
            let unnamed = tool.command.iter().rposition(|command| command.name.is_empty());
            if unnamed.is_some_and(|at| at + 1 < tool.command.len()) {
                return wrong(format!(
                    "the command `*` of `{}` means every call, so none is left for those after it",
                    tool.program
                ));
            }
        }
        Ok(table)
    }

    /// As the component that reads it gets it: without what is empty, as each call reads all of it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a table holds only strings, lists and truth values")
    }

    /// Every pattern, with where it stands.
    pub fn patterns(&self) -> Vec<Named<'_>> {
        let mut patterns = Vec::new();
        for tool in &self.tool {
            let of_commands = tool
                .command
                .iter()
                .map(|command| (format!("{} {}", tool.program, command.name), command.lists()));
            for (of, lists) in std::iter::once((tool.program.clone(), tool.lists())).chain(of_commands) {
                for (list, rules) in lists {
                    patterns.extend(rules.iter().enumerate().map(|(at, rule)| Named {
                        place: format!("{of}: {list}[{at}] `{}`", rule.path),
                        list,
                        pattern: &rule.path,
                    }));
                }
            }
        }
        patterns
    }
}

/// The lists of patterns that a row can have.
const LISTS: [&str; 8] = [
    "inputs",
    "ignored-reads",
    "ignored-writes",
    "outputs",
    "caches",
    "exclusive-caches",
    "generated",
    "state",
];

/// A pattern of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Words that name its place.
    pub place: String,
    /// The list that it is in, e.g. `outputs`.
    pub list: &'static str,
    /// The pattern itself.
    pub pattern: &'a str,
}

impl Named<'_> {
    /// Where a list of this name has this pattern, in bytes of the text. A pattern that stands in several is as
    /// wrong in the first of them. `None` where it is written with escapes.
    pub fn find(&self, text: &str) -> Option<usize> {
        let is_in_list = |at: &usize| {
            let before = &text[..*at];
            let key = before.rmatch_indices('=').find_map(|(equals, _)| {
                let key = text[..equals].trim_end().rsplit(|letter| !is_of_key(letter)).next()?;
                LISTS.contains(&key).then_some(key)
            });
            key == Some(self.list)
        };
        let found = ['"', '\''].into_iter().filter_map(|quote| {
            let written = format!("{quote}{}{quote}", self.pattern);
            text.match_indices(&written).map(|(at, _)| at).find(is_in_list)
        });
        found.min()
    }
}

fn is_of_key(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter == '-'
}

fn is_no(truth: &bool) -> bool {
    !truth
}

fn every_call() -> Vec<Command> {
    vec![Command::default()]
}

fn name_of_command<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    match name.as_str() {
        "" => Err(D::Error::custom("a command has a name; `*` means every other call")),
        "*" => Ok(String::new()),
        _ => Ok(name),
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rule, D::Error> {
        from.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Rule;

    fn expecting(&self, words: &mut fmt::Formatter) -> fmt::Result {
        words.write_str("a pattern, or { path = \"…\", why = \"…\" }")
    }

    fn visit_str<E>(self, path: &str) -> Result<Rule, E> {
        let rule = WrittenRule {
            path: path.to_owned(),
            base: WrittenBase::default(),
            why: String::new(),
            flags: Vec::new(),
            emptied: false,
        };
        Ok(rule.into())
    }

    fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Rule, M::Error> {
        WrittenRule::deserialize(MapAccessDeserializer::new(members)).map(Rule::from)
    }
}

impl From<WrittenRule> for Rule {
    fn from(rule: WrittenRule) -> Rule {
        let base = match rule.base {
            WrittenBase::Workspace => "workspace",
            WrittenBase::Package => "package",
            WrittenBase::Cwd => "cwd",
        };
        let why = if rule.why.is_empty() { "the table of the adapter names it".into() } else { rule.why };
        Rule { path: rule.path, base: base.into(), why, flags: rule.flags, emptied: rule.emptied }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEAD: &str = "id = \"acme/mine\"\nversion = \"1.0.0\"\n[[tool]]\nprogram = \"mine\"\n";

    fn mistake(rest: &str) -> (Option<usize>, String) {
        let text = format!("{HEAD}{rest}");
        let mistake = Table::parse(&text).map(|_| ()).unwrap_err();
        (mistake.place.map(|place| text[..place.start].matches('\n').count() + 1), mistake.what)
    }

    #[test]
    fn a_table_is_handed_over_with_what_is_meant_where_nothing_is_said() {
        let text =
            format!("{HEAD}outputs = [\"dist\", {{ path = \"out\", base = \"cwd\", flags = [\"-o\"] }}]\n");
        let table = Table::parse(&text).unwrap();
        let json: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
        assert_eq!(json["id"], "acme/mine");
        assert_eq!(json["tool"][0]["command"][0]["name"], "");
        assert_eq!(json["tool"][0]["outputs"][0]["base"], "package");
        assert_eq!(json["tool"][0]["outputs"][1]["flags"][0], "-o");
        assert_eq!(json["tool"][0].get("inputs"), None, "what is empty is left out");
        let named = &table.patterns()[1];
        assert_eq!((named.place.as_str(), named.pattern), ("mine: outputs[1] `out`", "out"));
        let line = |at: usize| text[..at].lines().count();
        assert_eq!(named.find(&text).map(line), Some(5));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (rest, line, what) in [
            ("\ncache = []\n", Some(6), "unknown field `cache`"),
            ("outputs = [3]\n", Some(5), "expected a pattern, or { path"),
            ("outputs = [{ pth = \"a\" }]\n", Some(5), "unknown field `pth`"),
            ("outputs = [{ path = \"a\", base = \"home\" }]\n", Some(5), "unknown variant `home`"),
            ("[[tool.command]]\nname = \"\"\n", Some(6), "a command has a name"),
            ("[[tool.command]]\nnever = \"x\"\n", Some(5), "missing field `name`"),
            ("[[tool.command]]\nname = \"*\"\n[[tool.command]]\nname = \"b\"\n", None, "none is left"),
            ("program = \"again\"\n", Some(5), "duplicate key"),
        ] {
            let (at, said) = mistake(rest);
            assert_eq!(at, line, "{rest}: {said}");
            assert!(said.contains(what), "{rest}: {said}");
        }
        assert!(Table::parse("id = \"a/b\"\nversion = \"1\"\ntool = []").is_err());
    }
}

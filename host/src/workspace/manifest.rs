//! package.json: the few keys that matter here, read fast; and, where that fails, the exact place
//! of the mistake.

use crate::config::DependencyKind;
use crate::problem::{Problem, Problems, Source};
use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;

/// The keys of package.json that matter, borrowed from its text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Manifest<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub version: Text<'a>,
    #[serde(borrow)]
    pub scripts: Scripts<'a>,
    #[serde(borrow)]
    workspaces: Patterns<'a>,
    #[serde(borrow)]
    dependencies: Ranges<'a>,
    #[serde(borrow)]
    dev_dependencies: Ranges<'a>,
    #[serde(borrow)]
    peer_dependencies: Ranges<'a>,
    #[serde(borrow)]
    optional_dependencies: Ranges<'a>,
}

impl<'a> Manifest<'a> {
    /// Reads the text of a package.json.
    pub fn parse(source: &'a Source) -> Result<Manifest<'a>, Problems> {
        if source.text.trim().is_empty() {
            let problem = source.problem(0..0, "package.json is empty");
            return Err(problem.help("write at least {}, or remove the file").into());
        }
        match Manifest::read(&source.text) {
            Ok(Some(manifest)) => Ok(manifest),
            Ok(None) => Err(explain_type(source)),
            Err(error) => Err(explain(source, &error)),
        }
    }

    /// The same without its mistakes told; `None` for a list, which would do for serde: it would be the
    /// fields in order.
    pub fn read(text: &'a str) -> serde_json::Result<Option<Manifest<'a>>> {
        if text.trim_start().starts_with('[') {
            return Ok(None);
        }
        serde_json::from_str(text).map(Some)
    }

    /// What other packages it asks for, and in which way.
    pub fn dependencies(&self) -> impl Iterator<Item = (DependencyKind, &str, &str)> {
        let kinds = [
            (DependencyKind::Normal, &self.dependencies),
            (DependencyKind::Dev, &self.dev_dependencies),
            (DependencyKind::Peer, &self.peer_dependencies),
            (DependencyKind::Optional, &self.optional_dependencies),
        ];
        kinds
            .into_iter()
            .flat_map(|(kind, ranges)| ranges.0.iter().map(move |(name, range)| (kind, &**name, &**range)))
    }

    /// The globs of `workspaces`, if there is such a key.
    pub fn workspaces(&self) -> Option<Vec<String>> {
        self.workspaces.0.as_ref().map(|globs| globs.iter().map(|glob| glob.to_string()).collect())
    }
}

/// A string; anything else counts as absent.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub Option<Cow<'a, str>>);

/// Names and commands in the order written. A later entry of the same name replaces an earlier one.
#[derive(Debug, Default)]
pub(super) struct Scripts<'a>(pub Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Names and ranges; what is not a string is left out.
#[derive(Debug, Default)]
struct Ranges<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// `workspaces`: a list, or an object with `packages`.
#[derive(Debug, Default)]
struct Patterns<'a>(Option<Vec<Cow<'a, str>>>);

/// A string without a copy where it holds no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

macro_rules! nothing_for_other_types {
    ($($method:ident($value:ty))*) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
        $(fn $method<E: de::Error>(self, _: $value) -> Result<Self::Value, E> { Ok(Self::Value::default()) })*
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_string()))))
            }
            nothing_for_other_types! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scripts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScriptsVisitor;
        impl<'de> Visitor<'de> for ScriptsVisitor {
            type Value = Scripts<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Scripts<'de>, E> {
                Ok(Scripts::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scripts<'de>, A::Error> {
                let mut scripts: Vec<(Cow<'de, str>, Cow<'de, str>)> =
                    Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((Key(name), Key(command))) = map.next_entry::<Key<'de>, Key<'de>>()? {
                    scripts.push((name, command));
                }
                Ok(Scripts(last_of_each_name(scripts)))
            }
        }
        deserializer.deserialize_any(ScriptsVisitor)
    }
}

/// As JSON.parse has it: the place of the first, the value of the last.
fn last_of_each_name<'a>(pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut seen: rustc_hash::FxHashMap<Cow<'a, str>, usize> = rustc_hash::FxHashMap::default();
    let mut kept: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match seen.get(&name) {
            Some(at) => kept[*at].1 = value,
            None => {
                seen.insert(name.clone(), kept.len());
                kept.push((name, value));
            }
        }
    }
    kept
}

impl<'de: 'a, 'a> Deserialize<'de> for Ranges<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangesVisitor;
        impl<'de> Visitor<'de> for RangesVisitor {
            type Value = Ranges<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            nothing_for_other_types! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ranges<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Ranges::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ranges<'de>, A::Error> {
                let mut ranges = Vec::new();
                while let Some((Key(name), Text(range))) = map.next_entry::<Key<'de>, Text<'de>>()? {
                    ranges.extend(range.map(|range| (name, range)));
                }
                Ok(Ranges(ranges))
            }
        }
        deserializer.deserialize_any(RangesVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Patterns<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PatternsVisitor;
        impl<'de> Visitor<'de> for PatternsVisitor {
            type Value = Patterns<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or an object with `packages`")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Patterns<'de>, E> {
                Ok(Patterns(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Patterns<'de>, A::Error> {
                let mut globs = Vec::new();
                while let Some(Key(glob)) = seq.next_element::<Key<'de>>()? {
                    globs.push(glob);
                }
                Ok(Patterns(Some(globs)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Patterns<'de>, A::Error> {
                let mut globs = Vec::new();
                while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                    if key == "packages" {
                        globs =
                            map.next_value::<Vec<Key<'de>>>()?.into_iter().map(|Key(glob)| glob).collect();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Patterns(Some(globs)))
            }
        }
        deserializer.deserialize_any(PatternsVisitor)
    }
}

/// JSON as `JSON.parse` takes it.
fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The slow second reading of a text that could not be used: where exactly it is wrong.
fn explain(source: &Source, error: &serde_json::Error) -> Problems {
    let mut problems = explain_type(source);
    if problems.0.is_empty() {
        let start: usize =
            source.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = start + error.column().saturating_sub(1);
        let help = match error.to_string().contains("duplicate field") {
            true => "keep one of the two: the other is silently left out by npm",
            false => "write it as JSON has it",
        };
        let problem = source.problem(at..at + 1, format!("package.json cannot be read: {error}"));
        problems.0.push(problem.help(help));
    }
    problems
}

/// Mistakes of syntax, else values of a wrong type.
fn explain_type(source: &Source) -> Problems {
    let parsed = match jsonc_parser::parse_to_ast(&source.text, &CollectOptions::default(), &strict()) {
        Ok(parsed) => parsed.value,
        Err(error) => return syntax_problem(source, &error).into(),
    };
    let mut problems = Problems::default();
    match &parsed {
        Some(Value::Object(object)) => {
            for property in &object.properties {
                wrong_type(source, property, &mut problems);
            }
        }
        Some(other) => {
            let problem = source
                .problem(span(other), format!("package.json must be an object, but is {}", kind_of(other)));
            problems.0.push(problem.help("write {\"name\": …, \"scripts\": {…}}"));
        }
        None => {}
    }
    problems
}

fn wrong_type(source: &Source, property: &ObjectProp<'_>, problems: &mut Problems) {
    let key = property.name.as_str();
    let mut wrong = |value: &Value<'_>, what: String, example: &str| {
        let message = format!("{what}, but is {}", kind_of(value));
        problems.0.push(source.problem(span(value), message).help(format!("write {example}")));
    };
    match (key, &property.value) {
        ("name", Value::StringLit(_) | Value::NullKeyword(_)) => {}
        ("name", value) => wrong(value, "`name` must be a string".into(), "\"name\": \"web\""),
        ("scripts", Value::Object(scripts)) => {
            for script in scripts.properties.iter().filter(|script| script.value.as_string_lit().is_none()) {
                let name = script.name.as_str();
                wrong(
                    &script.value,
                    format!("script `{name}` must be a string"),
                    &format!("\"{name}\": \"command\""),
                );
            }
        }
        ("scripts", Value::NullKeyword(_)) => {}
        ("scripts", value) => {
            wrong(value, "`scripts` must be an object".into(), "\"scripts\": {\"build\": \"command\"}")
        }
        ("workspaces", Value::Array(globs)) => {
            for glob in globs.elements.iter().filter(|glob| glob.as_string_lit().is_none()) {
                wrong(glob, "a glob of `workspaces` must be a string".into(), "\"packages/*\"");
            }
        }
        ("workspaces", Value::Object(object)) => {
            if let Some(packages) =
                object.get("packages").filter(|packages| packages.value.as_array().is_none())
            {
                wrong(
                    &packages.value,
                    "`workspaces.packages` must be a list".into(),
                    "\"packages\": [\"packages/*\"]",
                );
            }
        }
        ("workspaces", Value::NullKeyword(_)) => {}
        ("workspaces", value) => {
            wrong(value, "`workspaces` must be a list".into(), "\"workspaces\": [\"packages/*\"]")
        }
        _ => {}
    }
}

/// A mistake in the syntax of JSON.
pub(super) fn syntax_problem(source: &Source, error: &ParseError) -> Problem {
    let range = error.range();
    let name = source.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let what = error.kind().to_string();
    let mut chars = what.chars();
    let what: String =
        chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default();
    // What does not end is missing at the end, and not wrong where it begins.
    let (range, help) = match error.kind() {
        ParseErrorKind::UnterminatedObject => (end_of(source), "close it with }"),
        ParseErrorKind::UnterminatedArray => (end_of(source), "close it with ]"),
        ParseErrorKind::UnterminatedCommentBlock => (range.start..range.end, "close it with */"),
        ParseErrorKind::TrailingCommasNotAllowed => (range.start..range.end, "remove the comma"),
        ParseErrorKind::CommentsNotAllowed => (range.start..range.end, "remove the comment"),
        ParseErrorKind::ExpectedComma => (range.start..range.end, "write a comma there"),
        ParseErrorKind::ExpectedColonAfterObjectKey => (range.start..range.end, "write a colon there"),
        _ => (range.start..range.end, "look at what stands there and just before it"),
    };
    source.problem(range, format!("{name} is not valid JSON: {what}")).help(help)
}

/// The last character that says something.
fn end_of(source: &Source) -> std::ops::Range<usize> {
    let end = source.text.trim_end().len();
    end.saturating_sub(1)..end
}

/// The range of bytes of a value.
pub(super) fn span(value: &impl Ranged) -> std::ops::Range<usize> {
    value.start()..value.end()
}

/// What a value is, with its article, for messages.
pub(super) fn kind_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "a boolean",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

/// Where a key stands that is reached through objects, in bytes.
pub(super) fn key_range(source: &Source, keys: &[&str]) -> Option<std::ops::Range<usize>> {
    with_property(source, keys, |property| property.name.start()..property.name.end())
}

/// Where the value of a key stands that is reached through objects, in bytes.
pub(super) fn value_range(source: &Source, keys: &[&str]) -> Option<std::ops::Range<usize>> {
    with_property(source, keys, |property| span(&property.value))
}

fn with_property<T>(source: &Source, keys: &[&str], then: impl FnOnce(&ObjectProp<'_>) -> T) -> Option<T> {
    let parsed = jsonc_parser::parse_to_ast(&source.text, &CollectOptions::default(), &strict()).ok()?;
    let value = parsed.value?;
    let (last, way) = keys.split_last()?;
    let object = way.iter().try_fold(value.as_object()?, |object, key| object.get_object(key))?;
    object.get(last).map(then)
}

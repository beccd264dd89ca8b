//! What a script gives, held against the form that it should have: the keys of a table, written as
//! JavaScript writes names. Pure.

use crate::rows::{Row, texts};
use crate::said::Said;
use crate::trouble::Trouble;
use crate::values::json;
use overhear_adapter::json::Value;
use overhear_adapter::{
    Advice, AdviceLevel, Base, Declaration, Declare, Describe, Description, Invocation, Match,
};

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Truth,
    Rules,
    Advice,
    /// Whatever it is.
    Any,
}

const DESCRIPTION: &[(&str, Kind)] = &[
    ("id", Kind::Text),
    ("version", Kind::Text),
    ("title", Kind::Text),
    ("programs", Kind::Texts),
    ("packages", Kind::Texts),
    ("refines", Kind::Texts),
    ("configFiles", Kind::Texts),
    ("mayRead", Kind::Rules),
    ("mayReadEnv", Kind::Texts),
    ("settings", Kind::Any),
    ("testedWith", Kind::Text),
];

const DECLARATION: &[(&str, Kind)] = &[
    ("never", Kind::Text),
    ("unsure", Kind::Text),
    ("inputs", Kind::Rules),
    ("ignoredReads", Kind::Rules),
    ("ignoredWrites", Kind::Rules),
    ("outputs", Kind::Rules),
    ("caches", Kind::Rules),
    ("exclusiveCaches", Kind::Rules),
    ("generated", Kind::Rules),
    ("state", Kind::Rules),
    ("env", Kind::Texts),
    ("untrackedEnv", Kind::Texts),
    ("removedEnv", Kind::Texts),
    ("innerServer", Kind::Truth),
    ("asksForAll", Kind::Truth),
    ("advice", Kind::Advice),
];

const RULE: &[(&str, Kind)] = &[
    ("path", Kind::Text),
    ("base", Kind::Text),
    ("why", Kind::Text),
    ("flags", Kind::Texts),
    ("emptied", Kind::Truth),
];

const ADVICE: &[(&str, Kind)] =
    &[("code", Kind::Text), ("text", Kind::Text), ("file", Kind::Text), ("warning", Kind::Truth)];

/// What it says of itself.
pub fn description(value: Value) -> Result<Description, Trouble> {
    let value = checked(value, "", "the default export", DESCRIPTION)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    for name in ["id", "version"] {
        if text(name).is_empty() {
            return Err(Trouble::WrongForm(format!("its default export has no `{name}`")));
        }
    }
    let title = if text("title").is_empty() { text("id") } else { text("title") };
    let mut describe = Describe::new(text("id"), text("version"), title);
    let list = |name: &str| texts(value.get(name));
    describe = list("programs").fold(describe, Describe::program);
    describe = list("packages").fold(describe, Describe::package);
    describe = list("refines").fold(describe, Describe::refines);
    describe = list("config-files").fold(describe, Describe::config_files);
    describe = list("may-read-env").fold(describe, Describe::may_read_env);
    for rule in Row(&value).list("may-read") {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        let base = match text("base") {
            "workspace" => Base::Workspace,
            "cwd" => Base::Cwd,
            _ => Base::Package,
        };
        describe = describe.may_read(base, text("path"), text("why"));
    }
    if let Some(schema) = value.get("settings") {
        describe = describe.settings_schema(&json(schema));
    }
    if !text("tested-with").is_empty() {
        describe = describe.tested_with(text("tested-with"));
    }
    Ok(describe.done())
}

/// What `detect` gave.
pub fn matched(value: Option<Value>) -> Result<Match, Trouble> {
    match value {
        None | Some(Value::Bool(false)) => Ok(Match::No),
        Some(Value::String(name)) => Ok(Match::Yes(name)),
        Some(other) => Err(Trouble::WrongForm(format!(
            "`detect` gave {}; it gives the name of the subcommand, or nothing",
            noun(&other)
        ))),
    }
}

/// What `declare` gave.
pub fn declaration(value: Option<Value>, call: &Invocation) -> Result<Declaration, Trouble> {
    let Some(value) = value else {
        let what = "`declare` gave nothing; it gives an object, {} where it has nothing to say";
        return Err(Trouble::WrongForm(what.into()));
    };
    let value = checked(value, "", "what `declare` gave", DECLARATION)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let declare = match (text("never"), text("unsure")) {
        (Some(_), Some(_)) => {
            let what = "`declare` gave both `never` and `unsure`; which one is meant?";
            return Err(Trouble::WrongForm(what.into()));
        }
        (Some(reason), None) => Declare::uncacheable(reason),
        (None, Some(reason)) => Declare::unsure(reason),
        (None, None) => Declare::cacheable(),
    };
    let mut said = Said::new(call, declare.done());
    said.add(Row(&value));
    let mut declaration = said.done();
    declaration.advice.extend(Row(&value).list("advice").map(advice));
    Ok(declaration)
}

fn advice(value: &Value) -> Advice {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let is_warning = value.get("warning").and_then(Value::as_bool).unwrap_or_default();
    Advice {
        level: if is_warning { AdviceLevel::Warning } else { AdviceLevel::Info },
        code: text("code").unwrap_or_default().to_owned(),
        text: text("text").unwrap_or_default().to_owned(),
        file: text("file").map(str::to_owned),
    }
}

/// An object with the fields that are known, by their names in a table. `place` is the beginning of the
/// names of its fields, `whole` what it is.
fn checked(value: Value, place: &str, whole: &str, fields: &[(&str, Kind)]) -> Result<Value, Trouble> {
    let Value::Object(members) = value else {
        return Err(Trouble::WrongForm(format!("{whole} is {}, and should be an object", noun(&value))));
    };
    let mut known = Vec::new();
    for (name, value) in members {
        let place = format!("{place}{name}");
        let Some((_, kind)) = fields.iter().find(|(field, _)| *field == name) else {
            let all: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
            let what = format!("`{place}` is no field of {whole}; its fields are {}", all.join(", "));
            return Err(Trouble::WrongForm(what));
        };
        known.push((kebab(&name), field(value, &place, *kind)?));
    }
    Ok(Value::Object(known))
}

fn field(value: Value, place: &str, kind: Kind) -> Result<Value, Trouble> {
    let wrong = |value: &Value, what: &str| {
        Err(Trouble::WrongForm(format!("`{place}` is {}, and should be {what}", noun(value))))
    };
    let each = |value: Value, one: &dyn Fn(Value, String) -> Result<Value, Trouble>| match value {
        Value::Array(elements) => {
            let elements = elements.into_iter().enumerate();
            let elements = elements.map(|(at, element)| one(element, format!("{place}[{at}]")));
            elements.collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        other => wrong(&other, "a list"),
    };
    match (kind, &value) {
        (Kind::Text, Value::String(_)) | (Kind::Truth, Value::Bool(_)) | (Kind::Any, _) => Ok(value),
        (Kind::Text, _) => wrong(&value, "a text"),
        (Kind::Truth, _) => wrong(&value, "true or false"),
        (Kind::Texts, _) => each(value, &|element, place| field(element, &place, Kind::Text)),
        (Kind::Rules, _) => each(value, &rule),
        (Kind::Advice, _) => each(value, &|element, place| {
            let advice = checked(element, &format!("{place}."), "an advice", ADVICE)?;
            match ["code", "text"].into_iter().find(|name| advice.get(name).is_none()) {
                Some(name) => Err(Trouble::WrongForm(format!("`{place}` has no `{name}`"))),
                None => Ok(advice),
            }
        }),
    }
}

/// A pattern alone, or with what else is to be said of it.
fn rule(value: Value, place: String) -> Result<Value, Trouble> {
    let rule = match value {
        Value::String(path) => Value::Object(vec![("path".to_owned(), Value::String(path))]),
        Value::Object(_) => checked(value, &format!("{place}."), "a rule", RULE)?,
        other => {
            let what = format!("`{place}` is {}, and should be a path or {{ path, why }}", noun(&other));
            return Err(Trouble::WrongForm(what));
        }
    };
    if rule.get("path").is_none() {
        return Err(Trouble::WrongForm(format!("`{place}` has no `path`")));
    }
    if let Some(base) = rule.get("base").and_then(Value::as_str)
        && !["package", "cwd", "workspace"].contains(&base)
    {
        let what =
            format!("`{place}.base` is \"{base}\", and should be \"package\", \"cwd\" or \"workspace\"");
        return Err(Trouble::WrongForm(what));
    }
    let Value::Object(mut members) = rule else { return Ok(rule) };
    if !members.iter().any(|(name, _)| name == "why") {
        members.push(("why".to_owned(), Value::String("the adapter names it".to_owned())));
    }
    Ok(Value::Object(members))
}

/// `ignoredReads` is `ignored-reads` in a table.
fn kebab(name: &str) -> String {
    let letters = name.chars().flat_map(|letter| {
        let dash = letter.is_ascii_uppercase().then_some('-');
        dash.into_iter().chain([letter.to_ascii_lowercase()])
    });
    letters.collect()
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! The statically known part of config files, as JSON text with the unknown marked. Nothing is run and
//! no other file is read. What is not certain is unknown: a wrong value could make a wrong hit, an
//! unknown one only costs time.

mod script;

use serde_json::{Map, Value};

/// Member that marks what is not known.
const UNKNOWN: &str = "$unknown";

/// Larger files are not looked into.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// Parsers call themselves for each nested expression, and one byte can nest: they run on a stack on
/// which the largest file cannot overflow.
const STACK_BYTES: usize = 256 << 20;

/// What is known of a config, by the ending of its name.
pub fn read(path: &str, text: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let value = if text.len() > TEXT_BYTES_MAX {
        unknown(format!("{name} has more than {TEXT_BYTES_MAX} bytes"))
    } else {
        std::thread::scope(|scope| {
            let parser = std::thread::Builder::new().name("config-parser".into()).stack_size(STACK_BYTES);
            match parser.spawn_scoped(scope, || parse(name, text)) {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|_| unknown(format!("{name} could not be parsed")))
                }
                Err(error) => unknown(format!("no memory to parse {name}: {error}")),
            }
        })
    };
    value.to_string()
}

fn parse(name: &str, text: &str) -> Value {
    match name.rsplit('.').next() {
        Some("json" | "jsonc" | "json5") => json(name, text),
        Some("toml") => toml(name, text),
        Some("js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx") => script::read(name, text),
        _ => unknown(format!("the format of {name} is not one that can be read")),
    }
}

fn json(name: &str, text: &str) -> Value {
    match jsonc_parser::parse_to_serde_value::<Value>(text, &jsonc_parser::ParseOptions::default()) {
        Ok(value) => value,
        Err(error) => unknown(format!("{name} is no JSON: {error}")),
    }
}

/// Dates are text, as JSON has none.
fn toml(name: &str, text: &str) -> Value {
    match text.parse::<toml::Table>() {
        Ok(table) => Value::Object(table.into_iter().map(|(name, value)| (name, of_toml(value))).collect()),
        Err(error) => unknown(format!("{name} is no TOML: {}", error.message())),
    }
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map_or_else(|| unknown("a number that JSON does not have"), Value::Number),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(values) => values.into_iter().map(of_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, of_toml(value))).collect())
        }
    }
}

fn unknown(reason: impl Into<String>) -> Value {
    Value::Object(Map::from_iter([(UNKNOWN.to_owned(), Value::String(reason.into()))]))
}

/// Whether nothing at all is known of a value.
fn is_unknown(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key(UNKNOWN))
}

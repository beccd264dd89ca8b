//! Values of the script as plain data, and the other way round.

use crate::trouble::{Trouble, thrown};
use boa_engine::object::builtins::JsArray;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsObject, JsString, JsValue};
use overhear_adapter::json::Value;

const DEPTH_MAX: usize = 32;

/// What a value holds as data; `None` for nothing (`undefined`, `null`). `place` names it in messages; empty for
/// what a function gave.
pub fn taken(
    value: &JsValue,
    place: &str,
    depth: usize,
    context: &mut Context,
) -> Result<Option<Value>, Trouble> {
    let wrong = |what: &str| {
        let named = if place.is_empty() { "what it gave".to_owned() } else { format!("`{place}`") };
        Err(Trouble::WrongForm(format!("{named} {what}")))
    };
    if depth > DEPTH_MAX {
        return wrong("is nested too deeply");
    }
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    if let Some(truth) = value.as_boolean() {
        return Ok(Some(Value::Bool(truth)));
    }
    if let Some(text) = value.as_string() {
        return match text.to_std_string() {
            Ok(text) => Ok(Some(Value::String(text))),
            Err(_) => wrong("is no well-formed text"),
        };
    }
    if let Some(number) = value.as_number() {
        return match number.is_finite() {
            true => Ok(Some(Value::Number(number.to_string()))),
            false => wrong("is no finite number"),
        };
    }
    match value.as_object() {
        Some(object) if object.is_callable() => wrong("is a function"),
        Some(object) if object.is::<boa_engine::builtins::promise::Promise>() => {
            wrong("is a promise; an adapter has nothing to wait for")
        }
        Some(object) if object.is_array() => elements(&object, place, depth, context).map(Some),
        Some(object) => members_of(&object, &[], place, depth, context).map(Some),
        None => wrong("is neither a text, a number, a truth value, a list nor an object"),
    }
}

/// The members of an object without those that are passed over.
pub fn members(object: &JsObject, passed_over: &[&str], context: &mut Context) -> Result<Value, Trouble> {
    members_of(object, passed_over, "", 0, context)
}

fn members_of(
    object: &JsObject,
    passed_over: &[&str],
    place: &str,
    depth: usize,
    context: &mut Context,
) -> Result<Value, Trouble> {
    let mut members = Vec::new();
    for key in object.own_property_keys(context).map_err(|error| thrown(&error))? {
        let name = match &key {
            PropertyKey::String(name) => name.to_std_string_lossy(),
            PropertyKey::Index(index) => index.get().to_string(),
            PropertyKey::Symbol(_) => continue,
        };
        if passed_over.contains(&name.as_str()) {
            continue;
        }
        let value = object.get(key, context).map_err(|error| thrown(&error))?;
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        if let Some(value) = taken(&value, &place, depth + 1, context)? {
            members.push((name, value));
        }
    }
    Ok(Value::Object(members))
}

/// What is nothing, `false` or an empty text in a list is left out, so that `condition && rule` can be written.
fn elements(object: &JsObject, place: &str, depth: usize, context: &mut Context) -> Result<Value, Trouble> {
    let length = object.get(boa_engine::js_string!("length"), context);
    let length = length.and_then(|length| length.to_length(context)).map_err(|error| thrown(&error))?;
    let mut elements = Vec::new();
    for at in 0..length {
        let element = object.get(at, context).map_err(|error| thrown(&error))?;
        let element = taken(&element, &format!("{place}[{at}]"), depth + 1, context)?;
        let is_left_out = |element: &Value| *element == Value::Bool(false) || element.as_str() == Some("");
        elements.extend(element.filter(|element| !is_left_out(element)));
    }
    Ok(Value::Array(elements))
}

/// Data as a value of the script.
pub fn given(value: &Value, context: &mut Context) -> JsValue {
    match value {
        Value::Null => JsValue::null(),
        Value::Bool(truth) => JsValue::from(*truth),
        Value::Number(number) => JsValue::from(number.parse::<f64>().unwrap_or(f64::NAN)),
        Value::String(text) => text_of(text),
        Value::Array(elements) => {
            let elements: Vec<JsValue> = elements.iter().map(|element| given(element, context)).collect();
            JsArray::from_iter(elements, context).into()
        }
        Value::Object(members) => {
            let object = JsObject::with_object_proto(context.intrinsics());
            for (name, value) in members {
                let value = given(value, context);
                // A fresh object takes every member.
                let _ = object.create_data_property(JsString::from(name.as_str()), value, context);
            }
            object.into()
        }
    }
}

/// A text as a value.
pub fn text_of(text: &str) -> JsValue {
    JsValue::from(JsString::from(text))
}

/// Data as JSON text.
pub fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.clone(),
        Value::String(text) => quoted(text),
        Value::Array(elements) => format!("[{}]", elements.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let member = |(name, value): &(String, Value)| format!("{}:{}", quoted(name), json(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

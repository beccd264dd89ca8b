//! A user's settings for an adapter, held against the schema that the adapter gives: a part of JSON
//! Schema (2020-12) that needs neither references nor patterns, so that a hostile schema costs nothing.
//! Pure.

use super::fault::Wrong;
use serde_json::{Map, Value};

const DEPTH_MAX: usize = 16;
/// Schemas in a schema.
const PARTS_MAX: usize = 1_000;

/// What a schema may say. `title` and the like say nothing that is checked.
const KEYS: [&str; 19] = [
    "$schema",
    "title",
    "description",
    "default",
    "examples",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "anyOf",
];

/// Whether a schema keeps to what is understood here.
pub fn check_schema(text: &str) -> Result<(), Wrong> {
    let schema: Value =
        serde_json::from_str(text).map_err(|error| bad_schema("", &format!("it is no JSON: {error}")))?;
    check_part(&schema, "", 0, &mut 0)
}

fn check_part(schema: &Value, at: &str, depth: usize, parts: &mut usize) -> Result<(), Wrong> {
    *parts += 1;
    if depth > DEPTH_MAX {
        return Err(bad_schema(at, &format!("it is nested more than {DEPTH_MAX} deep")));
    }
    if *parts > PARTS_MAX {
        return Err(bad_schema(at, &format!("it has more than {PARTS_MAX} parts")));
    }
    let Value::Object(members) = schema else {
        return if schema.is_boolean() { Ok(()) } else { Err(bad_schema(at, "a schema is an object")) };
    };
    if let Some(key) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(bad_schema(at, &format!("`{key}` is not understood")));
    }
    for (key, value) in members {
        let at = format!("{at}/{key}");
        let mut check = |value: &Value, at: &str| check_part(value, at, depth + 1, parts);
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.iter().try_for_each(|(name, value)| check(value, &format!("{at}/{name}")))?;
            }
            ("items" | "additionalProperties", value) => check(value, &at)?,
            ("anyOf", Value::Array(choices)) => choices
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| check(value, &format!("{at}/{index}")))?,
            ("properties" | "anyOf", _) => return Err(bad_schema(&at, "it is of the wrong type")),
            ("type", value) => {
                let known = |value: &Value| value.as_str().is_some_and(|name| is_type(name));
                let is_sound = known(value) || value.as_array().is_some_and(|all| all.iter().all(known));
                if !is_sound {
                    return Err(bad_schema(&at, "it is no type"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_type(name: &str) -> bool {
    matches!(name, "object" | "array" | "string" | "number" | "integer" | "boolean" | "null")
}

/// Whether settings are as a schema that was checked wants them; the fault names the place in them.
pub fn validate(schema: Option<&str>, settings: &Value) -> Result<(), Wrong> {
    let Some(schema) = schema else {
        return Err(bad_settings("", "it takes no settings"));
    };
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| bad_schema("", &format!("it is no JSON: {error}")))?;
    hold(&schema, settings, "")
}

fn hold(schema: &Value, value: &Value, at: &str) -> Result<(), Wrong> {
    let Value::Object(schema) = schema else {
        return match schema {
            Value::Bool(false) => Err(bad_settings(at, "there is no such setting")),
            _ => Ok(()),
        };
    };
    if let Some(wanted) = schema.get("type") {
        let names: Vec<&str> = match wanted {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !names.iter().any(|name| is_of(name, value)) {
            return Err(bad_settings(at, &format!("{} is wanted", names.join(" or "))));
        }
    }
    if let Some(Value::Array(choices)) = schema.get("enum")
        && !choices.contains(value)
    {
        let choices: Vec<String> = choices.iter().take(20).map(Value::to_string).collect();
        return Err(bad_settings(at, &format!("one of {} is wanted", choices.join(", "))));
    }
    if let Some(only) = schema.get("const").filter(|only| *only != value) {
        return Err(bad_settings(at, &format!("{only} is wanted")));
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf")
        && !choices.iter().any(|choice| hold(choice, value, at).is_ok())
    {
        return Err(bad_settings(at, "it is like none of what is possible"));
    }
    hold_size(schema, value, at)?;
    match value {
        Value::Object(members) => hold_members(schema, members, at),
        Value::Array(items) => match schema.get("items") {
            Some(item) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| hold(item, value, &format!("{at}/{index}"))),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn hold_members(schema: &Map<String, Value>, members: &Map<String, Value>, at: &str) -> Result<(), Wrong> {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(Value::Array(required)) = schema.get("required") {
        let missing = required.iter().filter_map(Value::as_str).find(|name| !members.contains_key(*name));
        if let Some(missing) = missing {
            return Err(bad_settings(at, &format!("`{missing}` is missing")));
        }
    }
    for (name, value) in members {
        let at = format!("{at}/{name}");
        match (properties.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => hold(schema, value, &at)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn hold_size(schema: &Map<String, Value>, value: &Value, at: &str) -> Result<(), Wrong> {
    #[allow(clippy::cast_precision_loss, reason = "sizes of settings are small")]
    let (size, least, most) = match value {
        Value::String(text) => (text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(items) => (items.len() as f64, "minItems", "maxItems"),
        Value::Number(number) => (number.as_f64().unwrap_or_default(), "minimum", "maximum"),
        _ => return Ok(()),
    };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if bound(least).is_some_and(|bound| size < bound) || bound(most).is_some_and(|bound| size > bound) {
        let bounds: Vec<String> =
            [least, most].iter().filter_map(|key| Some(format!("{key} {}", schema.get(*key)?))).collect();
        return Err(bad_settings(at, &format!("it is out of bounds ({})", bounds.join(", "))));
    }
    Ok(())
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

fn bad_schema(at: &str, why: &str) -> Wrong {
    Wrong::new("bad-schema", format!("settings-schema at `{}`: {why}", place(at)))
}

fn bad_settings(at: &str, why: &str) -> Wrong {
    Wrong::new("bad-settings", format!("settings at `{}`: {why}", place(at)))
}

fn place(at: &str) -> &str {
    if at.is_empty() { "/" } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_held_against_the_schema_and_the_place_is_named() {
        let schema = json!({
            "type": "object", "required": ["level"], "additionalProperties": false,
            "properties": {
                "level": {"type": "integer", "minimum": 1, "maximum": 3},
                "names": {"type": "array", "items": {"type": "string", "minLength": 1}},
                "mode": {"enum": ["a", "b"]},
                "either": {"anyOf": [{"type": "null"}, {"const": 7}]},
            },
        })
        .to_string();
        assert_eq!(check_schema(&schema), Ok(()));
        let cases = [
            (json!({"level": 2, "names": ["x"], "mode": "a", "either": 7}), None),
            (json!({}), Some("settings at `/`: `level` is missing")),
            (json!({"level": "2"}), Some("settings at `/level`: integer is wanted")),
            (json!({"level": 2.5}), Some("settings at `/level`: integer is wanted")),
            (json!({"level": 4}), Some("settings at `/level`: it is out of bounds (minimum 1, maximum 3)")),
            (json!({"level": 1, "names": ["x", ""]}), Some("settings at `/names/1`: it is out of bounds")),
            (json!({"level": 1, "mode": "c"}), Some("settings at `/mode`: one of \"a\", \"b\" is wanted")),
            (json!({"level": 1, "either": 8}), Some("settings at `/either`: it is like none")),
            (json!({"level": 1, "lvl": 1}), Some("settings at `/lvl`: there is no such setting")),
        ];
        for (settings, expected) in cases {
            let found = validate(Some(&schema), &settings).err();
            assert_eq!(found.is_some(), expected.is_some(), "{settings}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_eq!(found.code, "bad-settings");
                assert!(found.what.starts_with(expected), "{settings}: {found}");
            }
        }
        assert_eq!(validate(None, &json!({})).expect_err("none are taken").code, "bad-settings");
    }

    #[test]
    fn a_schema_that_could_cost_more_than_it_is_worth_is_refused() {
        let deep = format!("{}{}", "{\"items\":".repeat(40), "{}".to_owned() + &"}".repeat(40));
        let wide: Vec<Value> = (0..2_000).map(|_| json!({})).collect();
        let cases = [
            (json!({"$ref": "https://example.com/x"}).to_string(), "`$ref` is not understood"),
            (json!({"pattern": "(a+)+$"}).to_string(), "`pattern` is not understood"),
            (json!({"type": "text"}).to_string(), "it is no type"),
            (json!({"anyOf": wide}).to_string(), "more than 1000 parts"),
            (deep, "nested more than 16 deep"),
            ("{".to_owned(), "it is no JSON"),
            ("3".to_owned(), "a schema is an object"),
        ];
        for (schema, why) in cases {
            let wrong = check_schema(&schema).expect_err(why);
            assert_eq!(wrong.code, "bad-schema");
            assert!(wrong.what.contains(why), "{wrong}");
        }
    }
}

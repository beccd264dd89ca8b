//! The schema against the reader: each place of a document that the schema knows is given values of every
//! kind, and both must say the same of each; and where one knows keys the other knows the same.

use super::config_file;
use crate::problem::{Problems, Source};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Nothing is written like this, so the reader answers with all that it knows.
const UNKNOWN: &str = "zzzzqqqqzzzz";

fn schema() -> Value {
    serde_json::from_str(&super::file_format::generated()).expect("it is JSON")
}

/// One way into a document.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A key of an object, and the others that must stand beside it.
    Key(String, Map<String, Value>),
    Element,
}

fn put(path: &[Step], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, step| match step {
        Step::Key(key, beside) => {
            let mut object = beside.clone();
            object.insert(key.clone(), inner);
            Value::Object(object)
        }
        Step::Element => json!([inner]),
    })
}

/// The schema that a node stands for, and whether it is one of several.
fn alternatives<'s>(root: &'s Value, node: &'s Value) -> Vec<&'s Value> {
    let deeper = |nodes: &'s Value| {
        let nodes = nodes.as_array().expect("it is a list");
        nodes.iter().flat_map(|node| alternatives(root, node)).collect()
    };
    if let Some(to) = node.get("$ref").and_then(Value::as_str) {
        return alternatives(root, root.pointer(&to[1..]).expect("it leads somewhere"));
    }
    match ["anyOf", "oneOf", "allOf"].iter().find_map(|key| node.get(key)) {
        Some(nodes) => deeper(nodes),
        None => vec![node],
    }
}

/// Whether a value is as the schema has it. Only what the schema of ours uses is known here.
fn allows(root: &Value, node: &Value, value: &Value) -> bool {
    alternatives(root, node).into_iter().any(|node| allows_one(root, node, value))
}

fn allows_one(root: &Value, node: &Value, value: &Value) -> bool {
    let is_type = |name: &str| match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_i64().is_some(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("a type that this test does not know: {other}"),
    };
    let within = |key: &str, is_good: fn(f64, f64) -> bool| match (node.get(key), value.as_f64()) {
        (Some(bound), Some(number)) => is_good(number, bound.as_f64().expect("a bound is a number")),
        _ => true,
    };
    let known = |key: &str| match (node["properties"].get(key), node.get("additionalProperties")) {
        (Some(known), _) => known.clone(),
        (None, Some(others)) => others.clone(),
        (None, None) => Value::Bool(true),
    };
    let members = || value.as_object().into_iter().flatten();
    let required = || node["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(all) = node.as_bool() {
        return all;
    }
    node.get("not").is_none()
        && node.get("type").is_none_or(|name| is_type(name.as_str().expect("one type")))
        && node.get("enum").is_none_or(|values| values.as_array().expect("a list").contains(value))
        && node.get("const").is_none_or(|constant| constant == value)
        && within("minimum", |number, bound| number >= bound)
        && within("maximum", |number, bound| number <= bound)
        && value.as_array().is_none_or(|list| list.len() as u64 >= node["minItems"].as_u64().unwrap_or(0))
        && members().all(|(key, member)| allows(root, &known(key), member))
        && (!value.is_object() || required().all(|key| value.get(key).is_some()))
        && node.get("items").is_none_or(|items| {
            value.as_array().into_iter().flatten().all(|element| allows(root, items, element))
        })
}

/// A value that the schema allows.
fn sample(root: &Value, node: &Value) -> Value {
    let node = alternatives(root, node)[0];
    match node["type"].as_str() {
        Some("string") => json!(node["enum"].get(0).and_then(Value::as_str).unwrap_or("a")),
        Some("boolean") => json!(true),
        other => panic!("a required key of type {other:?}"),
    }
}

/// All places below one, each with what the schema says of it.
fn places<'s>(root: &'s Value, node: &'s Value, path: &[Step], found: &mut Vec<(Vec<Step>, &'s Value)>) {
    found.push((path.to_vec(), node));
    let mut below = |step: Step, node: &'s Value| places(root, node, &[path, &[step]].concat(), found);
    for node in alternatives(root, node) {
        for (key, value) in node["properties"].as_object().into_iter().flatten() {
            let required = node["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let beside = required.filter(|other| other != key);
            let beside = beside.map(|key| (key.to_owned(), sample(root, &node["properties"][key]))).collect();
            below(Step::Key(key.clone(), beside), value);
        }
        if let Some(others) = node.get("additionalProperties").filter(|others| others.is_object()) {
            below(Step::Key("a".to_owned(), Map::new()), others);
        }
        if let Some(items) = node.get("items") {
            below(Step::Element, items);
        }
    }
}

fn every_place(root: &Value) -> Vec<(Vec<Step>, &Value)> {
    let mut found = Vec::new();
    places(root, root, &[], &mut found);
    found
}

/// What the reader has against a document.
fn read(document: &Value) -> Problems {
    let mut problems = Problems::default();
    let source = Source::new(PathBuf::from("/overhear.json"), document.to_string());
    config_file::parse(source, Path::new(""), &mut problems);
    problems
}

#[test]
fn the_schema_and_the_reader_take_the_same_documents() {
    let root = schema();
    let kinds = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.5),
        json!(-1),
        json!(70_000),
        json!("a"),
        json!([]),
        json!(["a"]),
        json!([["a"]]),
        json!([1]),
        json!({}),
    ];
    let mut taken = 0;
    for (path, node) in every_place(&root) {
        let named: Vec<Value> = alternatives(&root, node)
            .into_iter()
            .flat_map(|node| node["enum"].as_array().into_iter().flatten().chain(node.get("const")))
            .chain(node.get("default"))
            .cloned()
            .collect();
        for value in kinds.iter().chain(&named) {
            let document = put(&path, value.clone());
            let (allowed, problems) = (allows(&root, &root, &document), read(&document));
            // What a text may say is for the reader alone.
            let is_size = document["cache"]["maxSize"].is_string();
            let about_text = is_size || matches!(path.last(), Some(Step::Key(key, _)) if key == "$schema");
            taken += usize::from(allowed);
            assert!(
                allowed == problems.0.is_empty() || about_text,
                "{document}\nthe schema {}, the reader says {problems:?}",
                if allowed { "allows it" } else { "does not allow it" }
            );
        }
    }
    assert!(taken > 100, "only {taken} documents are right: this test looks past the schema");
}

#[test]
fn wherever_keys_are_known_the_schema_and_the_reader_know_the_same() {
    let root = schema();
    let mut objects = 0;
    for (path, node) in every_place(&root) {
        let alternatives = alternatives(&root, node);
        let keys = alternatives.iter().filter_map(|node| node["properties"].as_object());
        let mut keys: BTreeSet<&str> = keys.flatten().map(|(key, _)| key.as_str()).collect();
        if keys.is_empty() {
            continue;
        }
        objects += 1;
        keys.remove("$schema");
        let problems = read(&put(&path, json!({ UNKNOWN: 1 })));
        let help = problems.0.iter().filter(|problem| problem.message.contains(UNKNOWN));
        let help = help.filter_map(|problem| problem.help.as_deref()).collect::<String>();
        let known = help.strip_prefix("known keys here: ");
        let known = known.unwrap_or_else(|| panic!("{path:?}: {problems:?}")).split(", ").collect();
        assert_eq!(keys, known, "{path:?}");
    }
    assert!(objects >= 9, "only {objects} objects: this test looks past the schema");
}

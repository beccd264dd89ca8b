//! `overhear schema`: the JSON schema of overhear.json, for editors.

use crate::problem::Problems;
use crate::report;

const SCHEMA: &str = include_str!("../../schema.json");

/// `overhear schema`.
pub fn schema() -> Result<i32, Problems> {
    report::print(SCHEMA);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{TASK_KEYS, TOP_KEYS};
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// `OVERHEAR_UPDATE=1` writes it anew.
    #[test]
    fn the_schema_is_what_the_types_of_the_file_say() {
        let generated = crate::workspace::file_format::generated();
        if std::env::var_os("OVERHEAR_UPDATE").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"), &generated)
                .expect("it is writable");
        }
        assert!(generated == SCHEMA, "run this test with OVERHEAR_UPDATE=1 and look at the change");
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        let properties = value["properties"].as_object().expect("it has properties");
        properties.keys().map(String::as_str).filter(|key| *key != "$schema").collect()
    }

    #[test]
    fn the_schema_has_every_key_that_is_read_and_no_other() {
        let schema: Value = serde_json::from_str(SCHEMA).expect("it is JSON");
        assert_eq!(keys(&schema), TOP_KEYS.into_iter().collect());
        let definitions = &schema["definitions"];
        assert_eq!(keys(&definitions["Task"]), TASK_KEYS.into_iter().collect());
        let of_scripts = TASK_KEYS.into_iter().filter(|key| !matches!(*key, "command" | "cwd"));
        assert_eq!(keys(&definitions["Script"]), of_scripts.collect());
    }

    #[test]
    fn every_reference_of_the_schema_leads_somewhere() {
        let schema: Value = serde_json::from_str(SCHEMA).expect("it is JSON");
        let mut open = vec![&schema];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(to) = members.get("$ref").and_then(Value::as_str) {
                        assert!(schema.pointer(&to[1..]).is_some(), "{to}");
                    }
                    open.extend(members.values());
                }
                Value::Array(elements) => open.extend(elements),
                _ => {}
            }
        }
    }
}

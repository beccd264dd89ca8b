//! Changes of `overhear.json` that commands make for a person: comments, order and spaces stay.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};

/// The text with an adapter named (`Some`: used or not) or no longer named (`None`). An adapter that is
/// named with settings keeps them. `Err`: the text cannot be read.
pub fn name_adapter(text: Option<&str>, name: &str, on: Option<bool>) -> Result<String, String> {
    let root = CstRootNode::parse(text.unwrap_or("{}\n"), &ParseOptions::default())
        .map_err(|error| error.to_string())?;
    let whole = root.object_value_or_create().ok_or("it does not hold an object")?;
    let adapters = match (whole.get("adapters"), on) {
        (None, None) => return Ok(root.to_string()),
        _ => whole.object_value_or_create("adapters").ok_or("\"adapters\" is no object")?,
    };
    match (adapters.get(name), on) {
        (Some(known), None) => {
            known.remove();
            if adapters.properties().is_empty()
                && let Some(adapters) = whole.get("adapters")
            {
                adapters.remove();
            }
        }
        (Some(known), Some(on)) => {
            let has_settings = known.value().is_some_and(|value| value.as_object().is_some());
            if !(on && has_settings) {
                known.set_value(CstInputValue::Bool(on));
            }
        }
        (None, Some(on)) => drop(adapters.append(name, CstInputValue::Bool(on))),
        (None, None) => {}
    }
    Ok(root.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_settings_stay() {
        let text =
            "{\n  // why\n  \"adapters\": { \"next\": false, \"./a.toml\": { \"settings\": 1 } }, // x\n}\n";
        let added = name_adapter(Some(text), "acme/b", Some(true)).unwrap();
        assert!(added.contains("// why") && added.contains("// x"), "{added}");
        assert!(added.contains("\"acme/b\": true"), "{added}");
        assert_eq!(name_adapter(Some(text), "./a.toml", Some(true)).unwrap(), text);
        let removed = name_adapter(Some(&added), "acme/b", None).unwrap();
        assert!(!removed.contains("acme/b") && removed.contains("\"next\": false"), "{removed}");
    }

    #[test]
    fn a_file_that_is_not_there_is_made_and_emptied_again() {
        let made = name_adapter(None, "./a.toml", Some(true)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(value, serde_json::json!({"adapters": {"./a.toml": true}}));
        let value: serde_json::Value =
            serde_json::from_str(&name_adapter(Some(&made), "./a.toml", None).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({}));
        assert!(name_adapter(Some("[1]"), "x", Some(true)).is_err());
        assert!(name_adapter(Some("{"), "x", Some(true)).is_err());
    }
}

//! What is statically known of a config file, with the places where nothing is known kept apart from
//! those where nothing stands.

use crate::json::Value;

const UNKNOWN: &str = "$unknown";

/// The statically known part of a config file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config(Value);

/// What is known of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// It is not set: the tool's default holds.
    Absent,
    /// Its value; parts of an array or object may still be unknown.
    Known(&'a Value),
    /// It may be set, but to what is not known without running the config. With the reason.
    Unknown(&'a str),
}

impl Config {
    /// A config in which nothing is set.
    pub fn empty() -> Config {
        Config(Value::Object(Vec::new()))
    }

    /// Reads what the host gives. What is no JSON (a fault of the host) counts as not known.
    pub fn from_json(text: &str) -> Config {
        Config(Value::parse(text).unwrap_or_else(|| {
            let reason = Value::String("the host gave no readable answer".into());
            Value::Object(vec![(UNKNOWN.to_owned(), reason)])
        }))
    }

    /// The field at a dotted path, e.g. `build.outDir`. The empty path is the whole config.
    pub fn at(&self, path: &str) -> Field<'_> {
        let mut value = &self.0;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            match (value.get(name), value.get(UNKNOWN)) {
                (Some(member), _) => value = member,
                (None, Some(reason)) => return Field::Unknown(reason.as_str().unwrap_or_default()),
                (None, None) => return Field::Absent,
            }
        }
        match value {
            Value::Object(members) if members.len() == 1 && members[0].0 == UNKNOWN => {
                Field::Unknown(members[0].1.as_str().unwrap_or_default())
            }
            _ => Field::Known(value),
        }
    }
}

impl<'a> Field<'a> {
    /// The text, if it is known to be one. `Ok(None)`: not set (or null). `Err`: why it is not known.
    pub fn text(self) -> Result<Option<&'a str>, String> {
        match self {
            Field::Absent | Field::Known(Value::Null) => Ok(None),
            Field::Known(Value::String(text)) => Ok(Some(text)),
            Field::Known(_) => Err("it is not a string".into()),
            Field::Unknown(reason) => Err(reason.to_owned()),
        }
    }

    /// The texts of a string or of a list of strings; otherwise as [`Field::text`].
    pub fn texts(self) -> Result<Option<Vec<&'a str>>, String> {
        let Field::Known(Value::Array(members)) = self else {
            return Ok(self.text()?.map(|text| vec![text]));
        };
        let texts: Option<Vec<&str>> = members.iter().map(Value::as_str).collect();
        texts.map(Some).ok_or_else(|| "a member of the list is not a plain string".into())
    }

    /// The truth value, if it is known to be one; otherwise as [`Field::text`].
    pub fn truth(self) -> Result<Option<bool>, String> {
        match self {
            Field::Absent | Field::Known(Value::Null) => Ok(None),
            Field::Known(Value::Bool(truth)) => Ok(Some(*truth)),
            Field::Known(_) => Err("it is neither true nor false".into()),
            Field::Unknown(reason) => Err(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_differs_from_what_is_not_set() {
        let config = Config::from_json(
            r#"{"a": {"b": "x", "c": {"$unknown": "computed"}}, "d": {"e": 1, "$unknown": "spread"}}"#,
        );
        assert_eq!(config.at("a.b").text(), Ok(Some("x")));
        assert_eq!(config.at("a.c").text(), Err("computed".into()));
        assert_eq!(config.at("a.c.deeper").text(), Err("computed".into()));
        assert_eq!(config.at("a.z").text(), Ok(None));
        assert_eq!(config.at("d.z").text(), Err("spread".into()));
        assert_eq!(config.at("d.e").text(), Err("it is not a string".into()));
        assert!(matches!(config.at("d"), Field::Known(_)));
    }
}

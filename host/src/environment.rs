//! The variables that a step may ask for, and their values as members of a Pathset: salted digests,
//! so that neither the store nor a message ever holds a value.

use crate::digest::Fields;
use crate::fingerprint::Value;
use crate::hint::EnvSelect;
use overhear_client::Select;
use std::collections::BTreeMap;

/// Variables by name, with the salt under which their values are digested.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    vars: BTreeMap<String, String>,
    salt: [u8; 32],
}

impl Environment {
    /// The variables that a step may be served, with the salt of the store.
    pub fn new(vars: BTreeMap<String, String>, salt: [u8; 32]) -> Environment {
        Environment { vars, salt }
    }

    /// The variables.
    pub fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// The salted value of one variable.
    pub fn value(&self, name: &str) -> Value {
        self.vars.get(name).map_or(Value::ABSENT, |value| self.salted(value))
    }

    /// The salted digest of any value.
    pub fn salted(&self, value: &str) -> Value {
        Value(Fields::new("env").bytes(&self.salt).bytes(value.as_bytes()).digest().0)
    }

    /// Names and salted values of all variables that are meant; for a single name also when it is
    /// not set.
    pub fn values(&self, select: &EnvSelect) -> Vec<(String, Value)> {
        match select {
            EnvSelect::Name(name) => vec![(name.clone(), self.value(name))],
            _ => {
                let matching = self.vars.iter().filter(|(name, _)| select.matches(name));
                matching.map(|(name, value)| (name.clone(), self.salted(value))).collect()
            }
        }
    }
}

impl EnvSelect {
    /// Whether this variable is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            EnvSelect::Name(exact) => exact == name,
            EnvSelect::Prefix(prefix) => name.starts_with(prefix.as_str()),
            EnvSelect::Glob(glob) => Select::Glob(glob).matches(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_salted() {
        let vars = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let one = Environment::new(vars.clone(), [1; 32]);
        let two = Environment::new(vars, [2; 32]);
        assert_ne!(one.value("A"), two.value("A"));
        assert_eq!(one.value("B"), Value::ABSENT);
        assert_eq!(one.values(&EnvSelect::Prefix("A".into())), vec![("A".to_owned(), one.value("A"))]);
    }
}

//! The variables that a step may ask for, and their values as members of a Pathset: salted digests,
//! so that neither the store nor a message ever holds a value.

use crate::digest::Fields;
use crate::fingerprint::Value;
use crate::hint::EnvSelect;
use overhear_client::Select;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Variables by name, with the salt under which their values are digested.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// What all steps of a session may be served.
    common: Arc<BTreeMap<String, String>>,
    /// What this one is in place of that, each name once.
    own: Vec<(Cow<'static, str>, String)>,
    salt: [u8; 32],
}

impl Environment {
    /// The variables that a step may be served, those of its own in place of the common ones, with the salt
    /// of the store.
    pub fn new(
        common: Arc<BTreeMap<String, String>>,
        own: Vec<(Cow<'static, str>, String)>,
        salt: [u8; 32],
    ) -> Environment {
        Environment { common, own, salt }
    }

    /// The variables.
    pub fn vars(&self) -> BTreeMap<String, String> {
        let mut vars = BTreeMap::clone(&self.common);
        vars.extend(self.own.iter().map(|(name, value)| (name.to_string(), value.clone())));
        vars
    }

    fn of_its_own(&self, name: &str) -> Option<&String> {
        self.own.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The salted value of one variable.
    pub fn value(&self, name: &str) -> Value {
        let value = self.of_its_own(name).or_else(|| self.common.get(name));
        value.map_or(Value::ABSENT, |value| self.salted(value))
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
                let common = self.common.iter().filter(|(name, _)| self.of_its_own(name).is_none());
                let common = common.map(|(name, value)| (name.as_str(), value));
                let own = self.own.iter().map(|(name, value)| (&**name, value));
                let matching = own.chain(common).filter(|(name, _)| select.matches(name));
                let mut values: Vec<_> =
                    matching.map(|(name, value)| (name.to_owned(), self.salted(value))).collect();
                values.sort_by(|one, other| one.0.cmp(&other.0));
                values
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
        let vars = Arc::new(BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        let one = Environment::new(vars.clone(), Vec::new(), [1; 32]);
        let two = Environment::new(vars, Vec::new(), [2; 32]);
        assert_ne!(one.value("A"), two.value("A"));
        assert_eq!(one.value("B"), Value::ABSENT);
        assert_eq!(one.values(&EnvSelect::Prefix("A".into())), vec![("A".to_owned(), one.value("A"))]);
    }

    #[test]
    fn what_a_step_has_of_its_own_stands_for_what_all_have() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect::<BTreeMap<_, _>>()
        };
        let common = Arc::new(map(&[("A", "1"), ("B", "1"), ("C", "1")]));
        let own = vec![("B".into(), "2".to_owned()), ("AA".into(), "2".to_owned())];
        let env = Environment::new(common, own, [1; 32]);
        assert_eq!(env.vars(), map(&[("A", "1"), ("AA", "2"), ("B", "2"), ("C", "1")]));
        assert_eq!(env.value("B"), env.salted("2"));
        let names: Vec<String> =
            env.values(&EnvSelect::Glob("*".into())).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "AA", "B", "C"]);
    }
}

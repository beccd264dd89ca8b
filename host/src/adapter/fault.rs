//! What an adapter did wrong, in words for its author and its user.

use crate::problem::closest;
use serde::{Deserialize, Serialize};

/// A fault of an adapter. It costs only the step that it was asked about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("adapter {adapter}@{version}: {function}: {what} [{code}]")]
pub struct AdapterFault {
    /// Its id, e.g. `acme/mine`.
    pub adapter: String,
    /// Its version.
    pub version: String,
    /// `load`, `detect`, `declare`: what it was asked to do.
    pub function: String,
    /// What happened, on which path or rule.
    pub what: String,
    /// Stable, kebab-case.
    pub code: String,
}

impl AdapterFault {
    /// What went wrong in a function of an adapter.
    pub fn new(adapter: &str, version: &str, function: &str, wrong: Wrong) -> AdapterFault {
        AdapterFault {
            adapter: adapter.into(),
            version: version.into(),
            function: function.into(),
            what: wrong.what,
            code: wrong.code.into(),
        }
    }

    /// That it is not used, without why: what is told before it is known whether that matters.
    pub fn in_short(&self) -> String {
        let AdapterFault { adapter, code, .. } = self;
        format!("adapter {adapter} is not used [{code}]; `overhear adapter list` says why")
    }

    /// Whether the same call would fail again as long as the same questions have the same answers. Time
    /// and memory of this machine say nothing of the next try, and a question that could not be answered
    /// has no answer that could be compared.
    pub fn is_lasting(&self) -> bool {
        const PASSING: &[&str] = &[
            "time-limit",
            "host-failed",
            "outside-workspace",
            "not-permitted",
            "unreadable",
            "not-a-file",
            "too-large",
        ];
        !PASSING.contains(&self.code.as_str())
    }
}

/// A fault without the adapter's name, which who notices it does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} [{code}]")]
pub struct Wrong {
    /// Stable, kebab-case.
    pub code: &'static str,
    /// What happened.
    pub what: String,
}

impl Wrong {
    /// A code and what happened.
    pub fn new(code: &'static str, what: impl Into<String>) -> Wrong {
        Wrong { code, what: what.into() }
    }
}

/// The config names an adapter that is not there.
pub fn unknown(name: &str) -> AdapterFault {
    let built_in: Vec<&str> = super::Adapters::names().collect();
    let hint = closest(name, built_in.iter().copied()).map(|close| format!(" (did you mean `{close}`?)"));
    let what = format!(
        "there is no adapter of this name{}; part of overhear are {}, and a component of your own is named by \
         its path from the root, as \"./adapters/mine.wasm\"",
        hint.unwrap_or_default(),
        built_in.join(", ")
    );
    AdapterFault::new(name, "?", "load", Wrong::new("unknown-adapter", what))
}

/// Two adapters claim one command.
pub fn ambiguous(one: &str, other: &str, program: &str) -> AdapterFault {
    AdapterFault {
        adapter: format!("{one} and {other}"),
        version: "*".into(),
        function: "detect".into(),
        what: format!("both say that `{program}` is theirs; switch one of them off in \"adapters\""),
        code: "ambiguous-adapter".into(),
    }
}

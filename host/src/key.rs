//! The [`CacheKey`]: what is known of a step before it runs.

use crate::digest::{Digest, Fields};
use crate::fingerprint::Value;
use crate::outcome::MissReason;
use serde::{Deserialize, Serialize};

/// What is known of a step before it runs.
///
/// *In it*: what deserves entries of its own, so that going back to an earlier state finds them: the
/// command, where it starts, the variables that it is given and may depend on, what a person and an
/// adapter say of it. *In the Fingerprint instead*: what only a run can tell, the paths, programs and
/// variables that it asked for. *In neither*: the name of the task (two tasks with the same command
/// share entries), the adapter's version (it counts by what it declares), variables passed
/// untracked (by their definition), times, and where the checkout lies (outputs that name it bind
/// the entry to it).
///
/// A new field is a new [`crate::store::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheKey {
    /// The command as it is started, arguments included.
    pub command: String,
    /// Working directory, relative to the root.
    pub cwd: String,
    /// Tracked variables given to the command, sorted by name, as salted digests.
    pub env: Vec<(String, [u8; 32])>,
    /// Which variables are passed untracked because a person or an adapter said so.
    pub untracked_env: Vec<String>,
    /// The `input` config.
    pub input_config: Digest,
    /// The `output` config.
    pub output_config: Digest,
    /// What else of the config changes a run.
    pub other_config: Digest,
    /// Id of the adapter and digest of its Declaration.
    pub declaration: Option<(String, Digest)>,
    /// Operating system and processor: outputs may be made for them.
    pub platform: String,
}

impl CacheKey {
    /// Its identity.
    pub fn digest(&self) -> Digest {
        let mut fields = Fields::new("cache key 1");
        fields.bytes(self.command.as_bytes()).bytes(self.cwd.as_bytes());
        fields.number(self.env.len() as u64);
        for (name, value) in &self.env {
            fields.bytes(name.as_bytes()).bytes(value);
        }
        fields.list(self.untracked_env.iter().map(String::as_bytes));
        for config in [&self.input_config, &self.output_config, &self.other_config] {
            fields.bytes(config.as_bytes());
        }
        if let Some((adapter, declaration)) = &self.declaration {
            fields.bytes(adapter.as_bytes()).bytes(declaration.as_bytes());
        }
        fields.bytes(self.platform.as_bytes());
        fields.digest()
    }

    /// Whether this key and one of the same step were made for two caches: each has a salt of its own for the
    /// values of variables, and the name of a step's script is always the same value.
    pub fn is_of_another_cache(&self, then: &CacheKey) -> bool {
        let salted = |key: &CacheKey| {
            key.env.iter().find(|(name, _)| name == "npm_lifecycle_event").map(|(_, value)| *value)
        };
        salted(self).zip(salted(then)).is_some_and(|(one, other)| one != other)
    }

    /// What differs from the key that the same step had when it last ran, most telling first: variables come
    /// after what was written, as a hit in between may have had other ones.
    pub fn differences(&self, then: &CacheKey) -> Vec<MissReason> {
        let mut reasons = Vec::new();
        let mut when = |differs: bool, reason: MissReason| differs.then(|| reasons.push(reason));
        when(self.command != then.command, MissReason::ArgsChanged);
        when(self.cwd != then.cwd, MissReason::CwdChanged);
        when(self.untracked_env != then.untracked_env, MissReason::UntrackedEnvChanged);
        when(self.input_config != then.input_config, MissReason::InputConfigChanged);
        when(self.output_config != then.output_config, MissReason::OutputConfigChanged);
        when(self.other_config != then.other_config, MissReason::ConfigChanged);
        if self.declaration != then.declaration {
            let adapter = self.declaration.as_ref().or(then.declaration.as_ref());
            reasons
                .push(MissReason::DeclarationChanged(adapter.map_or_else(String::new, |(id, _)| id.clone())));
        }
        let value_in = |key: &CacheKey, name: &str| {
            key.env.iter().find(|(other, _)| other == name).map_or(Value::ABSENT, |(_, value)| Value(*value))
        };
        let mut names: Vec<&String> = self.env.iter().chain(&then.env).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (old, new) = (value_in(then, name), value_in(self, name));
            if old != new {
                reasons.push(env_reason(name, old, new));
            }
        }
        if self.platform != then.platform {
            reasons.push(MissReason::ProgramChanged(self.platform.clone()));
        }
        reasons
    }
}

/// How a variable differs.
pub fn env_reason(name: &str, then: Value, now: Value) -> MissReason {
    match (then == Value::ABSENT, now == Value::ABSENT) {
        (true, false) => MissReason::EnvAdded(name.to_owned()),
        (false, true) => MissReason::EnvRemoved(name.to_owned()),
        _ => MissReason::EnvChanged(name.to_owned()),
    }
}

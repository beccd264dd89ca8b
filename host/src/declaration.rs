//! What an adapter says of one invocation of its tool. Plain data, in the newest form of the
//! interface: `adapter` converts older ones when they arrive. `settle` weighs it.

use crate::digest::Digest;
use crate::hint::EnvSelect;
use serde::{Deserialize, Serialize};

/// What an adapter knows of an invocation, before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The adapter's id and version, e.g. `vite` and `0.1.0`, and the subcommand it recognised.
    pub adapter: AdapterId,
    /// Whether the command may be cached.
    pub verdict: Verdict,
    /// Inputs even if nobody is seen reading them.
    pub inputs: Vec<PathRule>,
    /// Reads that are no inputs.
    pub ignored_reads: Vec<PathRule>,
    /// Trees that the command owns.
    pub outputs: Vec<PathRule>,
    /// Writes that are no outputs.
    pub ignored_writes: Vec<PathRule>,
    /// Folders that the tool keeps for its own speed: never input, never stored, left as they are.
    pub cache_dirs: Vec<PathRule>,
    /// Those of `cache_dirs` that two tasks may not use at the same time.
    #[serde(default)]
    pub exclusive_dirs: Vec<PathRule>,
    /// Files that the tool keeps for others to read: no input, stored, put back where missing.
    pub generated: Vec<PathRule>,
    /// Files by which the tool knows what it did last (`*.tsbuildinfo`): stored and restored
    /// together with the outputs.
    pub state_files: Vec<PathRule>,
    /// Variables that the tool uses.
    pub env: Vec<EnvRule>,
    /// A `disable-cache` told over IPC comes from an inner throw-away server and is not obeyed.
    pub inner_disable_cache: bool,
    /// A `get-envs` with an empty prefix stands for the variables declared in `env`.
    pub empty_prefix_is_declared: bool,
    /// What the author of the adapter wants its user to know.
    pub advice: Vec<Advice>,
}

/// Which adapter spoke.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterId {
    /// `vite`, or `vendor/name`.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The subcommand that it recognised, e.g. `build`.
    pub subcommand: String,
}

/// Whether a command may be cached, in the adapter's view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// No objection.
    #[default]
    Cacheable,
    /// Never: a server, a watcher, a deploy. With the reason.
    Uncacheable(String),
    /// Beyond the adapter's knowledge: as if no adapter were there. With the reason.
    Unsure(String),
}

/// What a pattern is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Base {
    /// The workspace root.
    Workspace,
    /// The folder of the nearest package.json.
    Package,
    /// The working directory of the command.
    Cwd,
}

impl Base {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Base::Workspace => "workspace",
            Base::Package => "package",
            Base::Cwd => "cwd",
        }
    }
}

/// A pattern and the reason for it. `dist` and `dist/**` name the same tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    /// What it is relative to.
    pub base: Base,
    /// `/`-separated; `*` and `?` within a segment, `**` as a segment, `{a,b}`.
    pub pattern: String,
    /// One short sentence, shown by `inspect`.
    pub why: String,
}

impl PathRule {
    /// The pattern as a glob, in which brackets would mean more than in the grammar of adapters.
    pub fn glob(&self) -> String {
        let mut glob = String::with_capacity(self.pattern.len());
        for letter in self.pattern.chars() {
            match letter {
                '[' => glob.push_str("[[]"),
                ']' => glob.push_str("[]]"),
                letter => glob.push(letter),
            }
        }
        glob
    }
}

/// What is to be done with matching variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvMode {
    /// Passed, and part of the fingerprint.
    Tracked,
    /// Passed, and not part of the fingerprint.
    Untracked,
    /// Not passed.
    Removed,
}

/// Variables, and what is to be done with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvRule {
    /// Which.
    pub select: EnvSelectRule,
    /// What with them.
    pub mode: EnvMode,
    /// One short sentence, shown by `inspect`.
    pub why: String,
}

/// Which variables a rule means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvSelectRule {
    /// Exactly this one.
    Name(String),
    /// Each whose name starts so; at least two characters.
    Prefix(String),
}

impl From<&EnvSelectRule> for EnvSelect {
    fn from(rule: &EnvSelectRule) -> EnvSelect {
        match rule {
            EnvSelectRule::Name(name) => EnvSelect::Name(name.clone()),
            EnvSelectRule::Prefix(prefix) => EnvSelect::Prefix(prefix.clone()),
        }
    }
}

/// A remark of an adapter for its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Whether it is a warning, or merely worth knowing.
    pub warning: bool,
    /// Stable, kebab-case.
    pub code: String,
    /// What to know.
    pub text: String,
    /// The file that it is about, relative to the root.
    pub file: Option<String>,
}

impl Declaration {
    /// Digest of all that can change what a run means; advice and the reasons are not part of it.
    pub fn digest(&self) -> Digest {
        let mut plain = self.clone();
        plain.adapter.version.clear();
        plain.advice.clear();
        let rules = [
            &mut plain.inputs,
            &mut plain.ignored_reads,
            &mut plain.outputs,
            &mut plain.ignored_writes,
            &mut plain.cache_dirs,
            &mut plain.exclusive_dirs,
            &mut plain.generated,
            &mut plain.state_files,
        ];
        rules.into_iter().flatten().for_each(|rule| rule.why.clear());
        plain.env.iter_mut().for_each(|rule| rule.why.clear());
        let bytes = serde_json::to_vec(&plain).expect("a declaration holds only strings and enums");
        Digest::of(&bytes)
    }
}

//! overhear.json as types: `schema.json` is generated from them, and a test holds the checked-in file
//! against that. They read nothing; `config_file` does, and tells each mistake with its place.
//!
//! A description is what an editor shows beside the key.

#![allow(dead_code, reason = "only their shape is used")]

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use std::collections::BTreeMap;

/// The schema as it is checked in.
pub(crate) fn generated() -> String {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = false);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    // Not of the standard: editors that know comments in JSON ask for it.
    for key in ["allowComments", "allowTrailingCommas"] {
        schema.insert(key.to_owned(), true.into());
    }
    schema.insert("$id".to_owned(), "https://github.com/overhear/overhear/schema.json".into());
    let mut schema = schema.to_value();
    without_empty_defaults(&mut schema);
    format!("{schema:#}\n")
}

/// The default of a key is often that nothing is said, and not an empty value.
fn without_empty_defaults(value: &mut serde_json::Value) {
    if let Some(members) = value.as_object_mut() {
        let is_empty = |default: &serde_json::Value| {
            default.is_null()
                || *default == ""
                || *default == 0
                || default.as_array().is_some_and(Vec::is_empty)
        };
        if members.get("default").is_some_and(is_empty) {
            members.remove("default");
        }
        members.values_mut().for_each(without_empty_defaults);
    } else if let Some(elements) = value.as_array_mut() {
        elements.iter_mut().for_each(without_empty_defaults);
    }
}

/// Settings of overhear, at the workspace root or in a package. None is needed for tools that overhear knows.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "overhear.json")]
struct File {
    #[serde(rename = "$schema", default)]
    schema: String,
    /// At the root only. What is cached where a task does not say, and where it is kept.
    #[serde(default)]
    cache: Caching,
    /// At the root only. Adapters by name or path: true, false, or their settings.
    #[serde(default)]
    adapters: BTreeMap<String, Adapter>,
    #[serde(flatten)]
    names: EnvNames,
    #[serde(default)]
    #[schemars(extend("default" = false))]
    strict_env: StrictEnv,
    /// At the root only. `prebuild` and `postbuild` belong to `build`.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    enable_pre_post_scripts: bool,
    /// What holds for scripts of package.json: at the root for every package that has the script, in a package for its own.
    #[serde(default)]
    scripts: BTreeMap<String, Script>,
    /// Tasks with commands of their own. A name may be a script or a task, not both.
    #[serde(default)]
    tasks: BTreeMap<String, TaskOrCommand>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Caching {
    /// Everything or nothing.
    All(bool),
    Some(CacheSettings),
}

impl Default for Caching {
    fn default() -> Caching {
        Caching::All(true)
    }
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CacheSettings {
    /// Scripts of package.json. "known": those that an adapter knows to be a build, a check or a test.
    #[serde(default)]
    #[schemars(extend("default" = "known"))]
    scripts: Scripts,
    /// Entries of `tasks`.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    tasks: bool,
    /// The cache is kept below this size, e.g. "500MB".
    #[serde(default)]
    #[schemars(extend("default" = "10GB"))]
    max_size: String,
    /// Sets of inputs that are kept for each command as it is configured; the least recently used go.
    #[serde(default)]
    #[schemars(range(min = 1), extend("default" = 64))]
    pathsets_per_key: u32,
    /// Results that are kept for each command as it is configured; the least recently used go.
    #[serde(default)]
    #[schemars(range(min = 1), extend("default" = 256))]
    entries_per_key: u32,
    /// Folder for the entries, relative to the root, e.g. to share them between worktrees.
    #[serde(default)]
    dir: String,
    /// Reserved: there is no remote cache yet.
    #[serde(default)]
    remote: Reserved,
}

#[derive(Default)]
struct Scripts;

impl JsonSchema for Scripts {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scripts".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "enum": [true, false, "known"] })
    }
}

/// No value is taken.
#[derive(Default)]
struct Reserved;

impl JsonSchema for Reserved {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reserved".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "not": {} })
    }
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Adapter {
    /// Whether it is used.
    Used(bool),
    WithSettings(AdapterSettings),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdapterSettings {
    /// Handed to the adapter as they are.
    #[serde(default)]
    settings: serde_json::Value,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EnvNames {
    /// Variables that are passed and that the result depends on: names, globs, and ! before what is left out again.
    #[serde(default)]
    env: Vec<String>,
    /// Variables that are passed and that the result does not depend on.
    #[serde(default)]
    untracked_env: Vec<String>,
}

/// Variables that are not passed are not served either when a program asks for them; their reads are reported.
#[derive(JsonSchema, Default)]
struct StrictEnv(bool);

#[derive(JsonSchema)]
#[serde(untagged)]
enum TaskOrCommand {
    /// Its command.
    Command(Command),
    Task(Task),
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Command {
    /// A command; parts joined by && are cached one by one.
    One(String),
    /// Commands that run as if joined by &&.
    Several(#[schemars(length(min = 1))] Vec<String>),
}

impl Default for Command {
    fn default() -> Command {
        Command::Several(Vec::new())
    }
}

/// A task with a command of its own.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Task {
    /// A command, or a list that runs as if joined by &&. Without one the task is a group.
    #[serde(default)]
    command: Command,
    /// Where it starts, relative to the package.
    #[serde(default)]
    cwd: String,
    #[serde(flatten)]
    keys: Keys,
}

/// Settings of a script of package.json, which has its command there.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(flatten)]
    keys: Keys,
}

/// What both may have.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Keys {
    /// What must have ended before: "task", "^task" (of the packages that this one depends on), "package#task".
    #[serde(default)]
    depends_on: Vec<DependsOn>,
    /// Whether its steps are cached; or that they are, with what may also stand beside it.
    #[serde(default)]
    cache: TaskCache,
    #[serde(flatten)]
    names: EnvNames,
    #[serde(flatten)]
    files: Selections,
    /// What it is for.
    #[serde(default)]
    description: String,
    /// An entry holds in other checkouts although an output names the folder it was made in.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    portable: bool,
    /// It never ends by itself.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    persistent: bool,
    /// It needs the terminal.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    interactive: bool,
    /// When others may start that wait for a persistent task: as soon as one of these is true.
    #[serde(default)]
    ready_when: ReadyWhen,
    /// What a hit replays of what it printed.
    #[serde(default)]
    #[schemars(extend("default" = "full"))]
    log: Log,
    #[serde(default)]
    #[schemars(extend("default" = false))]
    strict_env: StrictEnv,
    /// Reserved: there is no remote cache yet.
    #[serde(default)]
    remote: Reserved,
}

#[derive(JsonSchema)]
struct Selections {
    /// What the result depends on. Left out: what was overheard. Without {"auto": true} reads are not tracked.
    #[serde(default)]
    input: Vec<Selection>,
    /// What is stored and put back. Left out: what was overheard. []: nothing.
    #[serde(default)]
    output: Vec<Selection>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Selection {
    /// A glob relative to the package; ! excludes; dist/ is all below dist.
    Glob(String),
    Auto(Auto),
    Based(Based),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Auto {
    /// What was overheard counts.
    auto: bool,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Based {
    /// A glob.
    pattern: String,
    /// What it is relative to.
    #[serde(default)]
    #[schemars(extend("default" = "package"))]
    base: Base,
}

#[derive(JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
enum Base {
    #[default]
    Package,
    Workspace,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum DependsOn {
    /// "task", "^task" (of the packages that this one depends on), "package#task"; * stands for any name.
    Name(String),
    Of(DependsOnObject),
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct DependsOnObject {
    /// Name of the task.
    task: String,
    /// Of the packages that this one depends on in these ways.
    #[serde(default)]
    from: Kinds,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Kinds {
    One(DependencyKind),
    Several(Vec<DependencyKind>),
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds::Several(Vec::new())
    }
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
enum DependencyKind {
    Dependencies,
    DevDependencies,
    PeerDependencies,
    OptionalDependencies,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum TaskCache {
    /// Whether its steps are cached.
    Whether(bool),
    /// That they are, and how.
    How(TaskCacheKeys),
}

impl Default for TaskCache {
    fn default() -> TaskCache {
        TaskCache::Whether(true)
    }
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct TaskCacheKeys {
    #[serde(flatten)]
    names: EnvNames,
    #[serde(flatten)]
    files: Selections,
    /// Reserved: there is no remote cache yet.
    #[serde(default)]
    remote: Reserved,
}

#[derive(JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct ReadyWhen {
    /// A regular expression that a line of its output matches.
    #[serde(default)]
    output: String,
    /// A port of this machine that it listens on.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// It ended with code 0.
    #[serde(default)]
    exit: bool,
}

#[derive(JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
enum Log {
    #[default]
    Full,
    NewOnly,
    ErrorsOnly,
    None,
}

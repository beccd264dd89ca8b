//! The wording of reasons and refusals: one short clause each, in words that a newcomer understands,
//! and for each what a person can do about it ([`remedy_for_miss`], [`remedy_for_refusal`]).

use crate::outcome::{Before, DisabledBy, MissReason, Refusal, Skip};
use std::time::Duration;

/// Why nothing could be replayed, e.g. `src/main.tsx changed`.
pub fn miss(reason: &MissReason) -> String {
    match reason {
        MissReason::NotFound(before) => not_found(before),
        MissReason::InputModified(path) => format!("{} changed", place(path)),
        MissReason::InputAdded(path) | MissReason::NameAdded(path) => format!("{} is new", place(path)),
        MissReason::InputRemoved(path) | MissReason::NameRemoved(path) => format!("{} is gone", place(path)),
        MissReason::NamesChanged(path) => format!("other names lie in {}", place(path)),
        MissReason::EnvChanged(name) => format!("variable {name} changed"),
        MissReason::EnvAdded(name) => format!("variable {name} is set now"),
        MissReason::EnvRemoved(name) => format!("variable {name} is not set any more"),
        MissReason::UntrackedEnvChanged => "other variables are passed untracked".to_owned(),
        MissReason::ArgsChanged => "the command or its arguments changed".to_owned(),
        MissReason::ProgramChanged(name) => format!("program {name} changed"),
        MissReason::CwdChanged => "the working directory changed".to_owned(),
        MissReason::InputConfigChanged => "`input` in the config changed".to_owned(),
        MissReason::OutputConfigChanged => "`output` in the config changed".to_owned(),
        MissReason::ConfigChanged => "the config changed".to_owned(),
        MissReason::DeclarationChanged(adapter) => format!("adapter {adapter} says something else"),
        MissReason::OutputChanged(path) => format!("{path} is not as a run left it"),
        MissReason::OutputOfAnother { path, task } => format!("{path} is there, which {task} left"),
        MissReason::EntryDamaged(why) => format!("the cache entry cannot be used: {why}"),
        MissReason::Forced => "--force".to_owned(),
        MissReason::CacheDisabled(by) => disabled(by),
    }
}

/// The root is stored as a dot, which says little on a line of its own.
fn place(path: &str) -> &str {
    if path == "." { "the workspace root" } else { path }
}

fn not_found(before: &Before) -> String {
    match before {
        Before::NeverRan => "first run".to_owned(),
        Before::Failed => "the last run failed".to_owned(),
        // Why is told by `why`; and by this run, if it comes to the same.
        Before::NotStored(_) => "the last run was not stored".to_owned(),
        Before::Removed => "what was kept of it is no longer in the cache".to_owned(),
        Before::Elsewhere => "nothing is kept of it in this cache yet".to_owned(),
    }
}

fn disabled(by: &DisabledBy) -> String {
    match by {
        DisabledBy::Config => "\"cache\": false in the config".to_owned(),
        DisabledBy::Flag => "--no-cache".to_owned(),
        DisabledBy::Default => "no adapter knows this command".to_owned(),
        DisabledBy::RunsMany => "it runs tasks in many packages itself".to_owned(),
        DisabledBy::Adapter(adapter, why) => format!("{why} ({adapter})"),
        DisabledBy::Persistent => "\"persistent\": true in the config".to_owned(),
        DisabledBy::Interactive => "\"interactive\": true in the config".to_owned(),
        DisabledBy::Fault(why) => why.clone(),
    }
}

/// `exit code 1`; of one that stands for a signal also which.
pub fn exit_code(code: i32) -> String {
    let signal = match code {
        129 => ", hung up",
        130 => ", interrupted",
        134 => ", aborted",
        137 => ", killed",
        139 => ", segmentation fault",
        143 => ", terminated",
        _ => "",
    };
    format!("exit code {code}{signal}")
}

/// The line of a step that begins: as [`stands`], and for an unknown command how it can be cached.
pub fn started(reason: &MissReason) -> String {
    match reason {
        MissReason::CacheDisabled(DisabledBy::Default) => {
            format!("{}; `overhear why` says more", stands(reason))
        }
        _ => stands(reason),
    }
}

/// A miss or an uncached step as a line has it: `miss: src/main.tsx changed`.
pub fn stands(reason: &MissReason) -> String {
    match reason {
        MissReason::CacheDisabled(_) => format!("not cached: {}", miss(reason)),
        _ => format!("\x1b[33mmiss\x1b[0m: {}", miss(reason)),
    }
}

/// A hit as a line has it: `fresh, 2.3 s saved`.
pub fn hit(word: &str, saved: Duration) -> String {
    format!("\x1b[32m{word}\x1b[0m, {} saved", duration(saved))
}

/// A refusal as a line has it: `not stored: it was interrupted`.
pub fn not_stored(why: &Refusal) -> String {
    format!("\x1b[33mnot stored\x1b[0m: {}", refusal(why))
}

/// A step that was not started, as a line has it: `skipped: app#lib failed`.
pub fn skipped(why: &Skip) -> String {
    match why {
        Skip::Needs(task) => format!("skipped: {task} failed"),
        Skip::After(task) => format!("skipped: the run stopped after {task} failed"),
        Skip::Interrupted => "skipped: interrupted".to_owned(),
    }
}

/// `812 ms`, `2.3 s`, `4 min 10 s`.
pub fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

/// Why a good run was not stored.
pub fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ReadWriteOverlap { path, process } => {
            format!("{process} changed {} after it was read", place(path))
        }
        Refusal::ToolAsked => "the tool asked for that".to_owned(),
        Refusal::TraceIncomplete(why) => format!("not everything could be traced: {why}"),
        Refusal::IpcFailed(cause) => format!("something that the tool said may be lost: {cause}"),
        Refusal::InputChangedDuringRun(path) => format!("{} changed while it ran", place(path)),
        Refusal::WroteOutside(path) => format!("it wrote {path}, outside the workspace"),
        Refusal::OutsideService { address, process } => format!("{process} talked to a program at {address}"),
        Refusal::HiddenEnv { name, file } => {
            format!("{file} names {name}, which this run lacked")
        }
        Refusal::Detached(process) => format!("{process} goes on after the command ended"),
        Refusal::ReadTerminal => "it asked for the terminal".to_owned(),
        Refusal::Interrupted => "it was interrupted".to_owned(),
        Refusal::StoreFailed(error) => error.clone(),
        Refusal::TooLarge(what) => format!("{what} is larger than the cache takes"),
    }
}

/// Whose config a remedy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The name of the script or task.
    pub task: String,
    /// `scripts` or `tasks`: where it stands in an overhear.json.
    pub section: &'static str,
    /// The folder of its package relative to the root; empty for the root.
    pub package: String,
}

/// What a person can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// When it is right, as the beginning of a sentence.
    pub when: String,
    /// The file, relative to the root.
    pub file: String,
    /// What stands in it.
    pub line: String,
}

impl Whose {
    fn keys(&self, when: &str, keys: &str) -> Option<Remedy> {
        let file = match self.package.as_str() {
            "" => "overhear.json".to_owned(),
            package => format!("{package}/overhear.json"),
        };
        let task = serde_json::json!(self.task);
        Some(Remedy {
            when: when.to_owned(),
            file,
            line: format!("\"{}\": {{{task}: {{{keys}}}}}", self.section),
        })
    }

    fn exclude(&self, when: &str, key: &str, path: &str) -> Option<Remedy> {
        let glob = self.glob(path)?;
        self.keys(when, &format!("\"{key}\": [{{\"auto\": true}}, {glob}]"))
    }

    /// An exclusion of one path; `None` where it lies outside the workspace, which no glob may leave, and for
    /// the root, whose glob would be everything.
    fn glob(&self, path: &str) -> Option<String> {
        if path.starts_with(['/', '~'])
            || path.starts_with("../")
            || matches!(path, "." | "..")
            || path.contains(' ') && path.starts_with("the ")
        {
            return None;
        }
        let escaped = |path: &str| {
            let mut glob = String::from("!");
            for letter in path.chars() {
                match letter {
                    '*' | '?' | '[' | ']' | '{' | '}' => glob.extend(['[', letter, ']']),
                    _ => glob.push(letter),
                }
            }
            serde_json::json!(glob)
        };
        let own = match self.package.as_str() {
            "" => Some(path),
            package => path.strip_prefix(package).and_then(|rest| rest.strip_prefix('/')),
        };
        Some(match own {
            Some(own) => escaped(own).to_string(),
            None => format!("{{\"pattern\": {}, \"base\": \"workspace\"}}", escaped(path)),
        })
    }
}

/// The one line of config that would have let the step hit, where there is one.
pub fn remedy_for_miss(reason: &MissReason, whose: &Whose) -> Option<Remedy> {
    match reason {
        MissReason::InputModified(path) | MissReason::InputAdded(path) | MissReason::InputRemoved(path) => {
            whose.exclude("if that is no input", "input", path)
        }
        MissReason::OutputChanged(path) => whose.exclude("if that is no output", "output", path),
        MissReason::EnvChanged(name) | MissReason::EnvAdded(name) | MissReason::EnvRemoved(name) => {
            let name = serde_json::json!(name);
            whose.keys("if the result does not depend on it", &format!("\"untrackedEnv\": [{name}]"))
        }
        MissReason::CacheDisabled(DisabledBy::Default) => whose.keys("to cache it", "\"cache\": true"),
        MissReason::CacheDisabled(DisabledBy::Config) => {
            whose.keys("to cache it, instead of false", "\"cache\": true")
        }
        // To exclude a folder would exclude what is read in it as well.
        MissReason::NameAdded(_)
        | MissReason::NameRemoved(_)
        | MissReason::NamesChanged(_)
        | MissReason::NotFound(_)
        | MissReason::UntrackedEnvChanged
        | MissReason::ArgsChanged
        | MissReason::ProgramChanged(_)
        | MissReason::CwdChanged
        | MissReason::InputConfigChanged
        | MissReason::OutputConfigChanged
        | MissReason::ConfigChanged
        | MissReason::DeclarationChanged(_)
        | MissReason::OutputOfAnother { .. }
        | MissReason::EntryDamaged(_)
        | MissReason::Forced
        | MissReason::CacheDisabled(_) => None,
    }
}

/// What a miss means for a person, and what to do about it, in words.
pub fn advice_for_miss(reason: &MissReason, task: &str) -> String {
    let text = match reason {
        MissReason::NotFound(before) => match before {
            Before::NeverRan => "nothing is kept of it yet; a run that succeeds is stored",
            Before::Failed => "a run that fails is never stored; one that succeeds is",
            Before::NotStored(why) => advice_for_refusal(why),
            Before::Removed => "the run stores it anew; `overhear cache stat` shows how full it is",
            Before::Elsewhere => "its last run was kept in another cache folder; a run stores it here",
        },
        MissReason::InputModified(_) => return format!("`overhear diff {task}` shows it line by line"),
        MissReason::InputAdded(_) => "an earlier run looked for it, and did not find it",
        MissReason::InputRemoved(_) => "an earlier run found it; put it back for a hit",
        MissReason::NameAdded(_) => "an earlier run listed the folder that it lies in",
        MissReason::NameRemoved(_) => {
            "an earlier run listed the folder that it lay in; put it back for a hit"
        }
        MissReason::NamesChanged(_) => "an earlier run listed it",
        MissReason::EnvChanged(_) | MissReason::EnvAdded(_) | MissReason::EnvRemoved(_) => {
            "an earlier run used it; the value of then hits again"
        }
        MissReason::UntrackedEnvChanged => "the list in `untrackedEnv` of the config, or of an adapter",
        MissReason::ArgsChanged => "each command line has entries of its own; the one of before hits again",
        MissReason::ProgramChanged(_) => "another version may do another thing; the one of before hits again",
        MissReason::CwdChanged => "`cwd` in the config; the one of before hits again",
        MissReason::InputConfigChanged | MissReason::OutputConfigChanged | MissReason::ConfigChanged => {
            "written as before, it hits again"
        }
        MissReason::DeclarationChanged(_) => {
            return format!("the tool's config or version; `overhear inspect {task}` shows what it said");
        }
        MissReason::OutputOfAnother { .. } => {
            "it was not there in the run that is kept; this run is kept beside it, and hits from now on"
        }
        MissReason::OutputChanged(_) => {
            return format!("a hit overwrites nobody's work; `overhear diff {task}` shows what changed");
        }
        MissReason::EntryDamaged(_) => "the run stores it anew; `overhear cache verify` finds other damage",
        MissReason::Forced => "without --force it would be looked up",
        MissReason::CacheDisabled(by) => match by {
            DisabledBy::Config => "a person wrote so",
            DisabledBy::Flag => "without --no-cache it would be looked up",
            DisabledBy::Default => "an unknown script could be a deploy: it runs each time",
            DisabledBy::RunsMany => {
                let name = task.rsplit('#').next().unwrap_or(task);
                return format!("`overhear run -r {name}` runs those of the packages, and caches each");
            }
            DisabledBy::Adapter(adapter, _) => {
                return format!("if that is wrong, in overhear.json: \"adapters\": {{\"{adapter}\": false}}");
            }
            DisabledBy::Persistent => "what does not end leaves no result to keep",
            DisabledBy::Interactive => "what a person types would be an input",
            DisabledBy::Fault(why) if why.starts_with("adapter ") => return advice_for_fault(why),
            DisabledBy::Fault(_) => "`overhear doctor` says what works here, what does not and why",
        },
    };
    text.to_owned()
}

/// Of a fault of an adapter, as it is told: `adapter acme/mine@1.0.0: …`.
fn advice_for_fault(why: &str) -> String {
    let head = why.strip_prefix("adapter ").and_then(|rest| rest.split_once(": "));
    let name = head.and_then(|(head, _)| head.rsplit_once('@')).map(|(name, _)| name);
    // Two that quarrel are told which to switch off by the fault itself.
    let Some(name) = name.filter(|name| !name.contains(' ')) else {
        return "`overhear adapter list` says where each comes from".to_owned();
    };
    let off = match name.contains('/') {
        true => format!("`overhear adapter remove {name}`"),
        false => format!("\"adapters\": {{\"{name}\": false}} in overhear.json"),
    };
    format!("tell its author (`overhear adapter list` says where it comes from); {off} goes on without it")
}

/// What to do so that a run is stored, in words.
pub fn advice_for_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ReadWriteOverlap { .. } => {
            "a run that finds what one like it has left is kept: mostly the next"
        }
        Refusal::ToolAsked => "the tool's own settings may say why",
        Refusal::TraceIncomplete(_) => "`overhear doctor` says what tracing needs here",
        Refusal::IpcFailed(_) => "run it again; if it happens each time, the tool speaks another protocol",
        Refusal::InputChangedDuringRun(_) => "run it again when nobody else writes there",
        Refusal::WroteOutside(_) => "what lies outside could not be put back; let it write inside",
        Refusal::OutsideService { .. } => "what that program read was not traced; run without it",
        Refusal::HiddenEnv { .. } => "from the next run on it is passed and tracked: run it again",
        Refusal::Detached(_) => "what it still does is not known; let the command wait for it",
        Refusal::ReadTerminal => "a cached command gets no terminal",
        Refusal::Interrupted => "run it again",
        Refusal::StoreFailed(_) => "run it again; if it happens each time, see `overhear doctor`",
        Refusal::TooLarge(_) => "let it print less",
    }
}

/// The one line of config that would change it.
pub fn remedy_for_refusal(refusal: &Refusal, whose: &Whose) -> Option<Remedy> {
    let uncached = || whose.keys("to not be told again", "\"cache\": false");
    match refusal {
        Refusal::ReadWriteOverlap { path, .. } | Refusal::InputChangedDuringRun(path) => {
            whose.exclude("if that is no input", "input", path).or_else(uncached)
        }
        Refusal::HiddenEnv { name, .. } => {
            whose.keys("to say it now, for everybody", &format!("\"env\": [{}]", serde_json::json!(name)))
        }
        Refusal::ReadTerminal => whose.keys("if it needs one", "\"interactive\": true"),
        Refusal::Detached(_) => whose.keys("if it is meant to stay", "\"persistent\": true"),
        Refusal::ToolAsked
        | Refusal::TraceIncomplete(_)
        | Refusal::WroteOutside(_)
        | Refusal::OutsideService { .. }
        | Refusal::TooLarge(_) => uncached(),
        Refusal::IpcFailed(_) | Refusal::Interrupted | Refusal::StoreFailed(_) => None,
    }
}

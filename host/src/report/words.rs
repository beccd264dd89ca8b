//! The wording of reasons and refusals: one short clause each, in words that a newcomer understands.

use crate::outcome::{DisabledBy, MissReason, Refusal};

/// Why nothing could be replayed, e.g. `src/main.tsx changed`.
pub fn miss(reason: &MissReason) -> String {
    match reason {
        MissReason::NotFound => "first run".to_owned(),
        MissReason::InputModified(path) => format!("{path} changed"),
        MissReason::InputAdded(path) => format!("{path} is new"),
        MissReason::InputRemoved(path) => format!("{path} is gone"),
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
        MissReason::EntryDamaged(why) => format!("the cache entry is damaged ({why})"),
        MissReason::Forced => "--force".to_owned(),
        MissReason::CacheDisabled(by) => disabled(by),
        MissReason::Builtin => "carried out by overhear itself".to_owned(),
    }
}

fn disabled(by: &DisabledBy) -> String {
    match by {
        DisabledBy::Config => "\"cache\": false in the config".to_owned(),
        DisabledBy::Flag => "--no-cache".to_owned(),
        DisabledBy::Default => {
            "no adapter knows it; to cache it, add \"cache\": {\"scripts\": true} to overhear.json".to_owned()
        }
        DisabledBy::Adapter(adapter, why) => format!("{why} ({adapter})"),
        DisabledBy::Persistent => "it needs the terminal or does not end".to_owned(),
        DisabledBy::Fault(why) => why.clone(),
    }
}

/// Why a good run was not stored, with what to do about it where that is known.
pub fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ReadWriteOverlap { path, process } => {
            format!("{process} changed {path} after it was read; the next run can be kept if it changes nothing")
        }
        Refusal::ToolAsked => "the tool asked for that".to_owned(),
        Refusal::TraceIncomplete(why) => format!("not everything could be traced: {why}"),
        Refusal::IpcFailed(cause) => format!("something that the tool said may be lost: {cause}"),
        Refusal::InputChangedDuringRun(path) => format!("{path} changed while it ran"),
        Refusal::WroteOutside(path) => format!("it wrote {path}, outside the workspace"),
        Refusal::OutsideService { address, process } => {
            format!("{process} talked to another program of this machine at {address}")
        }
        Refusal::HiddenEnv { name, file } => format!("{file} names {name}, which was not passed; the next run has it"),
        Refusal::Detached(process) => format!("{process} goes on after the command ended"),
        Refusal::ReadTerminal => "it asked for the terminal".to_owned(),
        Refusal::Interrupted => "it was interrupted".to_owned(),
        Refusal::StoreFailed(error) => error.clone(),
        Refusal::TooLarge(what) => format!("{what} is larger than the cache takes"),
    }
}

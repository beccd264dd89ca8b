//! Reasons and refusals as JSON: their kind, and what they name. Read back as well, because what is
//! known of the last run is kept in this form.

use crate::outcome::{Before, DisabledBy, MissReason, Refusal};
use serde_json::{Value, json};

/// A reason as the documents have it.
pub fn miss(reason: &MissReason) -> Value {
    let kind = reason.kind();
    match reason {
        MissReason::InputModified(path)
        | MissReason::InputAdded(path)
        | MissReason::InputRemoved(path)
        | MissReason::OutputChanged(path) => json!({ "kind": kind, "path": path }),
        MissReason::OutputOfAnother { path, task } => json!({ "kind": kind, "path": path, "task": task }),
        MissReason::NameAdded(path) | MissReason::NameRemoved(path) | MissReason::NamesChanged(path) => {
            json!({ "kind": kind, "path": path, "as": "listing" })
        }
        MissReason::EnvChanged(name)
        | MissReason::EnvAdded(name)
        | MissReason::EnvRemoved(name)
        | MissReason::ProgramChanged(name) => json!({ "kind": kind, "name": name }),
        MissReason::DeclarationChanged(adapter) => json!({ "kind": kind, "adapter": adapter }),
        MissReason::EntryDamaged(why) => json!({ "kind": kind, "why": why }),
        MissReason::CacheDisabled(by) => disabled(kind, by),
        MissReason::NotFound(before) => not_found(kind, before),
        MissReason::UntrackedEnvChanged
        | MissReason::ArgsChanged
        | MissReason::CwdChanged
        | MissReason::InputConfigChanged
        | MissReason::OutputConfigChanged
        | MissReason::ConfigChanged
        | MissReason::Forced => json!({ "kind": kind }),
    }
}

fn not_found(kind: &str, before: &Before) -> Value {
    match before {
        Before::NeverRan => json!({ "kind": kind }),
        Before::Failed => json!({ "kind": kind, "last_run": "failed" }),
        Before::NotStored(why) => {
            json!({ "kind": kind, "last_run": "not_stored", "not_stored": not_stored(why) })
        }
        Before::Removed => json!({ "kind": kind, "last_run": "removed" }),
        Before::Elsewhere => json!({ "kind": kind, "last_run": "elsewhere" }),
    }
}

fn disabled(kind: &str, by: &DisabledBy) -> Value {
    match by {
        DisabledBy::Config => json!({ "kind": kind, "by": "config" }),
        DisabledBy::Flag => json!({ "kind": kind, "by": "flag" }),
        DisabledBy::Default => json!({ "kind": kind, "by": "default" }),
        DisabledBy::RunsMany => json!({ "kind": kind, "by": "runs_many" }),
        DisabledBy::Adapter(adapter, why) => {
            json!({ "kind": kind, "by": "adapter", "adapter": adapter, "why": why })
        }
        DisabledBy::Persistent => json!({ "kind": kind, "by": "persistent" }),
        DisabledBy::Interactive => json!({ "kind": kind, "by": "interactive" }),
        DisabledBy::Fault(why) => json!({ "kind": kind, "by": "fault", "why": why }),
    }
}

/// A reason from what [`miss`] gave; `None` for what it never gives.
pub fn read_miss(value: &Value) -> Option<MissReason> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(match value["kind"].as_str()? {
        "not_found" => MissReason::NotFound(match value["last_run"].as_str() {
            None => Before::NeverRan,
            Some("failed") => Before::Failed,
            Some("not_stored") => Before::NotStored(Box::new(read_refusal(&value["not_stored"])?)),
            Some("removed") => Before::Removed,
            Some("elsewhere") => Before::Elsewhere,
            Some(_) => return None,
        }),
        "input_modified" if value["as"] == "listing" => MissReason::NamesChanged(text("path")?),
        "input_added" if value["as"] == "listing" => MissReason::NameAdded(text("path")?),
        "input_removed" if value["as"] == "listing" => MissReason::NameRemoved(text("path")?),
        "input_modified" => MissReason::InputModified(text("path")?),
        "input_added" => MissReason::InputAdded(text("path")?),
        "input_removed" => MissReason::InputRemoved(text("path")?),
        "env_changed" => MissReason::EnvChanged(text("name")?),
        "env_added" => MissReason::EnvAdded(text("name")?),
        "env_removed" => MissReason::EnvRemoved(text("name")?),
        "untracked_env_changed" => MissReason::UntrackedEnvChanged,
        "args_changed" => MissReason::ArgsChanged,
        "program_changed" => MissReason::ProgramChanged(text("name")?),
        "cwd_changed" => MissReason::CwdChanged,
        "input_config_changed" => MissReason::InputConfigChanged,
        "output_config_changed" => MissReason::OutputConfigChanged,
        "config_changed" => MissReason::ConfigChanged,
        "declaration_changed" => MissReason::DeclarationChanged(text("adapter")?),
        "output_changed" => MissReason::OutputChanged(text("path")?),
        "output_of_another" => MissReason::OutputOfAnother { path: text("path")?, task: text("task")? },
        "entry_damaged" => MissReason::EntryDamaged(text("why")?),
        "forced" => MissReason::Forced,
        "cache_disabled" => MissReason::CacheDisabled(match value["by"].as_str()? {
            "config" => DisabledBy::Config,
            "flag" => DisabledBy::Flag,
            "default" => DisabledBy::Default,
            "runs_many" => DisabledBy::RunsMany,
            "adapter" => DisabledBy::Adapter(text("adapter")?, text("why")?),
            "persistent" => DisabledBy::Persistent,
            "interactive" => DisabledBy::Interactive,
            "fault" => DisabledBy::Fault(text("why")?),
            _ => return None,
        }),
        _ => return None,
    })
}

/// A refusal as the documents have it.
pub fn not_stored(refusal: &Refusal) -> Value {
    let kind = refusal.kind();
    match refusal {
        Refusal::ReadWriteOverlap { path, process } => {
            json!({ "kind": kind, "path": path, "process": process })
        }
        Refusal::TraceIncomplete(why) | Refusal::IpcFailed(why) => json!({ "kind": kind, "why": why }),
        Refusal::InputChangedDuringRun(path) | Refusal::WroteOutside(path) => {
            json!({ "kind": kind, "path": path })
        }
        Refusal::OutsideService { address, process } => {
            json!({ "kind": kind, "address": address, "process": process })
        }
        Refusal::HiddenEnv { name, file } => json!({ "kind": kind, "name": name, "file": file }),
        Refusal::Detached(process) => json!({ "kind": kind, "process": process }),
        Refusal::StoreFailed(error) => json!({ "kind": kind, "error": error }),
        Refusal::TooLarge(what) => json!({ "kind": kind, "what": what }),
        Refusal::ToolAsked | Refusal::ReadTerminal | Refusal::Interrupted => json!({ "kind": kind }),
    }
}

/// A refusal from what [`not_stored`] gave; `None` for what it never gives.
pub fn read_refusal(value: &Value) -> Option<Refusal> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(match value["kind"].as_str()? {
        "read_write_overlap" => Refusal::ReadWriteOverlap { path: text("path")?, process: text("process")? },
        "tool_asked" => Refusal::ToolAsked,
        "trace_incomplete" => Refusal::TraceIncomplete(text("why")?),
        "ipc_failed" => Refusal::IpcFailed(text("why")?),
        "input_changed_during_run" => Refusal::InputChangedDuringRun(text("path")?),
        "wrote_outside" => Refusal::WroteOutside(text("path")?),
        "outside_service" => Refusal::OutsideService { address: text("address")?, process: text("process")? },
        "hidden_env" => Refusal::HiddenEnv { name: text("name")?, file: text("file")? },
        "detached" => Refusal::Detached(text("process")?),
        "read_terminal" => Refusal::ReadTerminal,
        "interrupted" => Refusal::Interrupted,
        "store_failed" => Refusal::StoreFailed(text("error")?),
        "too_large" => Refusal::TooLarge(text("what")?),
        _ => return None,
    })
}

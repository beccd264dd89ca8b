//! What is known of the last run of a step, as `overhear inspect --json` shows it: inputs, outputs,
//! variables, each with who says so. Pure; kept in `checkout.db`, compressed.

use super::{Cached, names};
use crate::access::{Observed, Reach};
use crate::declaration::{Declaration, EnvMode, EnvSelectRule};
use crate::fingerprint::{Query, Values};
use crate::globs::{GlobPattern, Globs};
use crate::hint::EnvSelect;
use crate::outcome::{Before, Kept, Refusal};
use crate::path::Places;
use crate::plan::env::{TrackedBy, tracked_by};
use crate::report;
use crate::settle::{Settled, Source};
use crate::store::{Output, OutputKind};
use serde_json::{Value, json};

/// What settled of a run that is kept.
pub struct Settling<'a> {
    /// What it depended on and made.
    pub settled: &'a Settled,
    /// The patterns of inputs that a person wrote.
    pub written: Vec<GlobPattern>,
    /// With which values.
    pub values: &'a Values,
    /// Its outputs as they are stored.
    pub outputs: &'a [Output],
    /// Facts on the entry.
    pub kept: &'a Kept,
    /// Bytes of the archive.
    pub archive_bytes: u64,
}

/// One step of the document: with what settled, or with why nothing was stored.
pub fn document(
    cached: &Cached,
    places: &Places,
    observed: &Observed,
    settling: Result<&Settling, &Refusal>,
) -> Value {
    let mut step = json!({
        "command": &*cached.step.id.command,
        "cwd": &*cached.step.id.cwd,
        "key": cached.key_digest.to_string(),
        "stored": settling.is_ok(),
        "not_stored": settling.err().map(report::not_stored),
        "adapter": cached.declaration.as_ref().map(adapter),
        "inputs": [], "outputs": [], "ignored": [], "envs": envs_of_key(cached),
        "network": network(observed),
        "archive": null,
    });
    if let Ok(settling) = settling {
        add_settling(&mut step, places, observed, settling);
    }
    step
}

/// What is told after a run that failed: what is known of the run before it, and that it failed.
pub fn failed(cached: &Cached, before: Option<&[u8]>) -> Value {
    let before = before.and_then(super::read_facts).filter(Value::is_object);
    let mut step = before.unwrap_or_else(|| {
        json!({
            "command": &*cached.step.id.command,
            "cwd": &*cached.step.id.cwd,
            "key": cached.key_digest.to_string(),
            "stored": false,
            "not_stored": null,
            "adapter": cached.declaration.as_ref().map(adapter),
            "inputs": [], "outputs": [], "ignored": [], "envs": envs_of_key(cached), "network": [],
            "archive": null,
        })
    });
    step["failed"] = json!(true);
    step
}

/// What is told of a run that was stored, and then found not to be one to be kept.
pub fn refused(report: &[u8], why: &Refusal) -> Vec<u8> {
    let Some(mut step) = super::read_facts(report).filter(Value::is_object) else { return report.to_vec() };
    step["stored"] = json!(false);
    step["not_stored"] = report::not_stored(why);
    packed(&step)
}

/// The document as it is kept.
pub fn packed(document: &Value) -> Vec<u8> {
    zstd::encode_all(document.to_string().as_bytes(), 1).unwrap_or_default()
}

/// What became of the run that a kept document tells of.
pub fn became(report: &[u8]) -> Before {
    let Some(facts) = super::read_facts(report) else { return Before::NeverRan };
    match report::read_refusal(&facts["not_stored"]) {
        _ if facts["failed"] == true => Before::Failed,
        Some(refusal) => Before::NotStored(Box::new(refusal)),
        None => Before::Removed,
    }
}

/// What an adapter said of the step: each rule with its reason.
fn adapter(declaration: &Declaration) -> Value {
    let paths = [
        ("input", &declaration.inputs),
        ("ignored read", &declaration.ignored_reads),
        ("output", &declaration.outputs),
        ("ignored write", &declaration.ignored_writes),
        ("cache", &declaration.cache_dirs),
        ("generated", &declaration.generated),
        ("state", &declaration.state_files),
    ];
    let paths = paths.into_iter().flat_map(|(kind, rules)| {
        rules.iter().map(move |rule| json!({ "rule": kind, "of": rule.pattern, "why": rule.why }))
    });
    let envs = declaration.env.iter().map(|rule| {
        let kind = match rule.mode {
            EnvMode::Tracked => "tracked",
            EnvMode::Untracked => "untracked",
            EnvMode::Removed => "removed",
        };
        let of = match &rule.select {
            EnvSelectRule::Name(name) => name.clone(),
            EnvSelectRule::Prefix(prefix) => format!("{prefix}*"),
        };
        json!({ "rule": kind, "of": of, "why": rule.why })
    });
    let advice = declaration.advice.iter().map(|advice| {
        let level = if advice.warning { "warning" } else { "info" };
        json!({ "level": level, "code": advice.code, "text": advice.text, "file": advice.file })
    });
    json!({
        "id": declaration.adapter.id,
        "version": declaration.adapter.version,
        "subcommand": declaration.adapter.subcommand,
        "rules": paths.chain(envs).collect::<Vec<_>>(),
        "advice": advice.collect::<Vec<_>>(),
        "narrowing_refused": [],
    })
}

fn add_settling(step: &mut Value, places: &Places, observed: &Observed, settling: &Settling) {
    let inputs = settling.settled.inputs.iter().map(|input| {
        let mut fact = json!({
            "path": places.portable(&input.path).to_string(),
            "as": query(&input.query),
            "source": source(input.source),
            "by": input.by,
        });
        if let Query::Listing(except) = &input.query
            && let Some(names) = names::of(observed, &input.path, except)
        {
            fact["names"] = json!(names);
        }
        fact
    });
    let programs = settling.settled.programs.iter();
    let programs =
        programs.map(|name| json!({ "path": name, "as": "program", "source": "traced", "by": null }));
    let written = Globs::new(&settling.written);
    let named = settling.values.globs.iter().map(|(path, _)| {
        let from = if written.name(path) { Source::Config } else { Source::Declared };
        json!({ "path": path.to_string(), "as": "content", "source": source(from), "by": null })
    });
    step["inputs"] = inputs.chain(named).chain(programs).collect();
    let outputs = settling.outputs.iter().map(|output| {
        let (kind, bytes) = match &output.kind {
            OutputKind::File { bytes, .. } => ("file", *bytes),
            OutputKind::Link(_) => ("link", 0),
            OutputKind::Folder => ("folder", 0),
        };
        json!({ "path": output.path.to_string(), "as": kind, "bytes": bytes, "source": "traced" })
    });
    step["outputs"] = outputs.collect();
    let ignored = settling.settled.ignored.iter().map(|ignored| {
        json!({
            "path": places.portable(&ignored.path).to_string(),
            "reads": ignored.reads,
            "writes": ignored.writes,
            "source": source(ignored.source),
            "why": ignored.why,
        })
    });
    step["ignored"] = ignored.collect();
    if let Some(adapter) = step["adapter"].as_object_mut() {
        let refused = settling.settled.narrowing_refused.iter().map(|refused| {
            json!({
                "path": places.portable(&refused.path).to_string(),
                "reads": refused.reads,
                "writes": refused.writes,
                "why": refused.why,
            })
        });
        adapter.insert("narrowing_refused".to_owned(), refused.collect());
    }
    let told = settling.settled.envs.iter().map(|(select, from)| {
        let (name, kind) = match select {
            EnvSelect::Name(name) => (name.clone(), "value"),
            EnvSelect::Glob(glob) => (glob.clone(), "set"),
            EnvSelect::Prefix(prefix) => (format!("{prefix}*"), "set"),
        };
        json!({ "name": name, "as": kind, "source": source(*from) })
    });
    if let Some(envs) = step["envs"].as_array_mut() {
        envs.extend(told);
    }
    if let Some(archive) = &settling.kept.archive {
        let path = format!("archives/{}/{archive}.tar.zst", &archive[..2]);
        step["archive"] = json!({ "path": path, "bytes": settling.archive_bytes });
    }
}

/// Variables of the CacheKey: passed because config, an adapter or the documented list says so.
fn envs_of_key(cached: &Cached) -> Value {
    let absent = crate::fingerprint::Value::ABSENT.0;
    let declared = cached.declaration.as_ref().map_or(&[][..], |declaration| &declaration.env);
    let envs = cached.key.env.iter().map(|(name, value)| {
        let source = match tracked_by(name, &cached.step.config, declared) {
            TrackedBy::Config => "config",
            TrackedBy::Adapter => "declared",
            TrackedBy::Overhear => "overhear",
        };
        json!({ "name": name, "as": if *value == absent { "absent" } else { "value" }, "source": source })
    });
    envs.collect()
}

fn network(observed: &Observed) -> Value {
    let network = observed.connections.iter().filter(|connection| connection.reach == Reach::Network);
    network.map(|connection| json!({ "to": connection.to, "by": connection.by })).collect()
}

fn query(query: &Query) -> &'static str {
    match query {
        Query::Content => "content",
        Query::Kind => "kind",
        Query::Listing(_) => "listing",
        Query::Absent => "absent",
        Query::Link => "link",
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Config => "config",
        Source::Told => "told",
        Source::Declared => "declared",
        Source::Traced => "traced",
    }
}

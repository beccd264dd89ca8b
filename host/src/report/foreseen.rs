//! What would become of steps, as text and as JSON: for `run --dry-run` and `why`.

use super::summary::{add_hit, identity};
use super::words::{self, Remedy, Whose};
use super::{name, reasons};
use crate::event::StepId;
use crate::outcome::{Before, Foreseen, Miss, MissReason, Refusal};
use serde_json::{Map, Value, json};

/// So many differences are shown where nobody asked for all.
const SHOWN_MAX: usize = 10;

/// What is told of one step.
pub struct Told<'a> {
    /// Which.
    pub step: &'a StepId,
    /// What would become of it.
    pub foreseen: &'a Foreseen,
    /// Whose config a remedy is about; `None` where no remedy is asked for.
    pub whose: Option<Whose>,
    /// Why its last run was not stored, if it was not.
    pub not_stored: Option<Refusal>,
}

/// One line per step; with `all` every difference.
pub fn foreseen_text(told: &Told, all: bool) -> String {
    // Where a refusal is told below, that is the whole story.
    let is_told_below = told.not_stored.is_some()
        && miss_of(told.foreseen)
            .is_some_and(|miss| matches!(miss.why, MissReason::NotFound(Before::NotStored(_))));
    let sentence = match told.foreseen {
        Foreseen::Run(_) if is_told_below => "\x1b[33mmiss\x1b[0m: no run of it was kept".to_owned(),
        foreseen => sentence(foreseen),
    };
    let mut lines = vec![format!("\x1b[36m{}\x1b[0m  {sentence}", name(told.step))];
    if let Foreseen::Run(miss) = told.foreseen {
        let shown = match (all, &told.whose) {
            (true, _) => miss.others.len(),
            (false, Some(_)) => SHOWN_MAX,
            (false, None) => 0,
        };
        lines.extend(miss.others.iter().take(shown).map(|other| format!("  also: {}", words::miss(other))));
        if told.whose.is_some() && miss.others.len() > shown {
            lines.push(format!("  and {} more (-v shows them)", miss.others.len() - shown));
        }
    }
    if let (Some(miss), Some(_)) = (miss_of(told.foreseen), &told.whose) {
        if !is_told_below {
            lines.push(format!("  {}", words::advice_for_miss(&miss.why, &told.step.task)));
        }
    }
    lines.extend(remedy(told).as_ref().map(in_words));
    if let (Some(refusal), Some(whose)) = (&told.not_stored, &told.whose) {
        lines.push(format!("  last run {}", words::not_stored(refusal)));
        lines.extend(refusal_advice(refusal, whose));
    }
    lines.join("\n") + "\n"
}

/// Why a run was not stored, what to do, and the config that would change it: one line each.
pub fn refusal_text(refusal: &Refusal, whose: Option<&Whose>) -> Vec<String> {
    let mut lines = vec![words::not_stored(refusal)];
    match whose {
        Some(whose) => lines.extend(refusal_advice(refusal, whose)),
        None => lines.push(format!("  {}", words::advice_for_refusal(refusal))),
    }
    lines
}

fn refusal_advice(refusal: &Refusal, whose: &Whose) -> Vec<String> {
    let advice = format!("  {}", words::advice_for_refusal(refusal));
    std::iter::once(advice).chain(words::remedy_for_refusal(refusal, whose).as_ref().map(in_words)).collect()
}

/// The same as one object of a list.
pub fn foreseen_document(told: &Told) -> Value {
    let mut step = identity(told.step);
    add(&mut step, told.foreseen);
    if let (Some(miss), Some(_)) = (miss_of(told.foreseen), &told.whose) {
        step.insert("advice".into(), json!(words::advice_for_miss(&miss.why, &told.step.task)));
    }
    if let Some(remedy) = remedy(told) {
        step.insert(
            "remedy".into(),
            json!({ "when": remedy.when, "file": remedy.file, "line": remedy.line }),
        );
    }
    if let Some(whose) = &told.whose {
        let refusal = told.not_stored.as_ref();
        step.insert("last_run_not_stored".into(), json!(refusal.map(reasons::not_stored)));
        if let Some(refusal) = refusal {
            step.insert("last_run_advice".into(), json!(words::advice_for_refusal(refusal)));
        }
        if let Some(remedy) = refusal.and_then(|refusal| words::remedy_for_refusal(refusal, whose)) {
            let remedy = json!({ "when": remedy.when, "file": remedy.file, "line": remedy.line });
            step.insert("last_run_remedy".into(), remedy);
        }
    }
    Value::Object(step)
}

fn sentence(foreseen: &Foreseen) -> String {
    match foreseen {
        Foreseen::Fresh(hit) => format!("hit: {}", words::hit("fresh", hit.saved)),
        Foreseen::Restored(hit) => format!("hit: {}", words::hit("restored", hit.saved)),
        Foreseen::Run(Miss { why, .. }) => words::stands(why),
        Foreseen::Unknown { after, as_it_stands } => {
            let now = match &**as_it_stands {
                Foreseen::Fresh(_) | Foreseen::Restored(_) => "a hit if that changes nothing".to_owned(),
                Foreseen::Run(miss) => format!("as it stands a miss: {}", words::miss(&miss.why)),
                Foreseen::Unknown { .. } => "not known".to_owned(),
            };
            format!("\x1b[33munknown\x1b[0m: {after} must run first; {now}")
        }
    }
}

fn add(step: &mut Map<String, Value>, foreseen: &Foreseen) {
    match foreseen {
        Foreseen::Fresh(hit) => add_hit(step, "fresh", hit),
        Foreseen::Restored(hit) => add_hit(step, "restored", hit),
        Foreseen::Run(miss) => {
            step.insert("status".into(), json!("would_run"));
            step.insert("cacheable".into(), json!(!matches!(miss.why, MissReason::CacheDisabled(_))));
            step.insert("reason".into(), reasons::miss(&miss.why));
            let all = std::iter::once(&miss.why).chain(&miss.others);
            step.insert("differences".into(), all.map(reasons::miss).collect());
        }
        Foreseen::Unknown { after, as_it_stands } => {
            step.insert("status".into(), json!("unknown"));
            step.insert("after".into(), json!(&**after));
            let mut now = Map::new();
            add(&mut now, as_it_stands);
            step.insert("as_it_stands".into(), Value::Object(now));
        }
    }
}

fn remedy(told: &Told) -> Option<Remedy> {
    words::remedy_for_miss(&miss_of(told.foreseen)?.why, told.whose.as_ref()?)
}

/// Why it runs, or would run as things stand.
fn miss_of(foreseen: &Foreseen) -> Option<&Miss> {
    match foreseen {
        Foreseen::Run(miss) => Some(miss),
        Foreseen::Unknown { as_it_stands, .. } => miss_of(as_it_stands),
        Foreseen::Fresh(_) | Foreseen::Restored(_) => None,
    }
}

fn in_words(remedy: &Remedy) -> String {
    format!("  {}, in {}:\n    {}", remedy.when, remedy.file, remedy.line)
}

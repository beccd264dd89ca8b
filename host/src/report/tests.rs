//! Every reason and every refusal: its line, its remedy, and its way through JSON and back. A new
//! variant fails to compile here until it has its place in the lists.
#![allow(clippy::unwrap_used)]

use super::colors::plain;
use super::reasons::{miss, not_stored, read_miss, read_refusal};
use super::words::{self, Whose};
use crate::outcome::{Before, DisabledBy, MissReason, Refusal, Skip};
use std::time::Duration;

/// The line of a reason, and the config that would change it.
fn reason_lines(reason: &MissReason) -> (&'static str, &'static str) {
    match reason {
        MissReason::NotFound(Before::NeverRan) => ("miss: first run", ""),
        MissReason::NotFound(Before::Failed) => ("miss: the last run failed", ""),
        MissReason::NotFound(Before::NotStored(_)) => ("miss: the last run was not stored", ""),
        MissReason::NotFound(Before::Elsewhere) => ("miss: nothing is kept of it in this cache yet", ""),
        MissReason::NotFound(Before::Removed) => ("miss: what was kept of it is no longer in the cache", ""),
        MissReason::InputModified(_) => (
            "miss: apps/web/src/[id].ts changed",
            r#""scripts": {"build": {"input": [{"auto": true}, "!src/[[]id[]].ts"]}}"#,
        ),
        MissReason::InputAdded(_) => (
            "miss: packages/ui/new.ts is new",
            r#""scripts": {"build": {"input": [{"auto": true}, {"pattern": "!packages/ui/new.ts", "base": "workspace"}]}}"#,
        ),
        MissReason::InputRemoved(_) => ("miss: ~/.npmrc is gone", ""),
        MissReason::NameAdded(_) => ("miss: packages/ui/src/new.ts is new", ""),
        MissReason::NameRemoved(_) => ("miss: packages/ui/src/old.ts is gone", ""),
        MissReason::NamesChanged(_) => ("miss: other names lie in packages/ui/src", ""),
        MissReason::EnvChanged(_) => {
            ("miss: variable API_URL changed", r#""scripts": {"build": {"untrackedEnv": ["API_URL"]}}"#)
        }
        MissReason::EnvAdded(_) => {
            ("miss: variable CI is set now", r#""scripts": {"build": {"untrackedEnv": ["CI"]}}"#)
        }
        MissReason::EnvRemoved(_) => {
            ("miss: variable CI is not set any more", r#""scripts": {"build": {"untrackedEnv": ["CI"]}}"#)
        }
        MissReason::UntrackedEnvChanged => ("miss: other variables are passed untracked", ""),
        MissReason::ArgsChanged => ("miss: the command or its arguments changed", ""),
        MissReason::ProgramChanged(_) => ("miss: program node changed", ""),
        MissReason::CwdChanged => ("miss: the working directory changed", ""),
        MissReason::InputConfigChanged => ("miss: `input` in the config changed", ""),
        MissReason::OutputConfigChanged => ("miss: `output` in the config changed", ""),
        MissReason::ConfigChanged => ("miss: the config changed", ""),
        MissReason::DeclarationChanged(_) => ("miss: adapter vite says something else", ""),
        MissReason::OutputChanged(_) => (
            "miss: apps/web/dist/a.js is not as a run left it",
            r#""scripts": {"build": {"output": [{"auto": true}, "!dist/a.js"]}}"#,
        ),
        MissReason::OutputOfAnother { .. } => {
            ("miss: apps/web/dist/a.d.ts is there, which web#types left", "")
        }
        MissReason::EntryDamaged(_) => ("miss: the cache entry cannot be used: bad bytes", ""),
        MissReason::Forced => ("miss: --force", ""),
        MissReason::CacheDisabled(DisabledBy::Config) => {
            ("not cached: \"cache\": false in the config", r#""scripts": {"build": {"cache": true}}"#)
        }
        MissReason::CacheDisabled(DisabledBy::Flag) => ("not cached: --no-cache", ""),
        MissReason::CacheDisabled(DisabledBy::Default) => (
            "not cached: no adapter knows this command; `overhear why` says more",
            r#""scripts": {"build": {"cache": true}}"#,
        ),
        MissReason::CacheDisabled(DisabledBy::RunsMany) => {
            ("not cached: it runs tasks in many packages itself", "")
        }
        MissReason::CacheDisabled(DisabledBy::Adapter(..)) => {
            ("not cached: it serves until stopped (vite)", "")
        }
        MissReason::CacheDisabled(DisabledBy::Persistent) => {
            ("not cached: \"persistent\": true in the config", "")
        }
        MissReason::CacheDisabled(DisabledBy::Interactive) => {
            ("not cached: \"interactive\": true in the config", "")
        }
        MissReason::CacheDisabled(DisabledBy::Fault(_)) => ("not cached: the disk is full", ""),
    }
}

fn reasons() -> Vec<MissReason> {
    vec![
        MissReason::NotFound(Before::NeverRan),
        MissReason::NotFound(Before::Failed),
        MissReason::NotFound(Before::NotStored(Box::new(Refusal::WroteOutside("/var/lib/x".into())))),
        MissReason::NotFound(Before::Removed),
        MissReason::NotFound(Before::Elsewhere),
        MissReason::InputModified("apps/web/src/[id].ts".into()),
        MissReason::InputAdded("packages/ui/new.ts".into()),
        MissReason::InputRemoved("~/.npmrc".into()),
        MissReason::NameAdded("packages/ui/src/new.ts".into()),
        MissReason::NameRemoved("packages/ui/src/old.ts".into()),
        MissReason::NamesChanged("packages/ui/src".into()),
        MissReason::EnvChanged("API_URL".into()),
        MissReason::EnvAdded("CI".into()),
        MissReason::EnvRemoved("CI".into()),
        MissReason::UntrackedEnvChanged,
        MissReason::ArgsChanged,
        MissReason::ProgramChanged("node".into()),
        MissReason::CwdChanged,
        MissReason::InputConfigChanged,
        MissReason::OutputConfigChanged,
        MissReason::ConfigChanged,
        MissReason::DeclarationChanged("vite".into()),
        MissReason::OutputChanged("apps/web/dist/a.js".into()),
        MissReason::OutputOfAnother { path: "apps/web/dist/a.d.ts".into(), task: "web#types".into() },
        MissReason::EntryDamaged("bad bytes".into()),
        MissReason::Forced,
        MissReason::CacheDisabled(DisabledBy::Config),
        MissReason::CacheDisabled(DisabledBy::Flag),
        MissReason::CacheDisabled(DisabledBy::Default),
        MissReason::CacheDisabled(DisabledBy::RunsMany),
        MissReason::CacheDisabled(DisabledBy::Adapter("vite".into(), "it serves until stopped".into())),
        MissReason::CacheDisabled(DisabledBy::Persistent),
        MissReason::CacheDisabled(DisabledBy::Interactive),
        MissReason::CacheDisabled(DisabledBy::Fault("the disk is full".into())),
    ]
}

/// The line of a refusal, and the config that would change it.
fn refusal_lines(refusal: &Refusal) -> (&'static str, &'static str) {
    const UNCACHED: &str = r#""scripts": {"build": {"cache": false}}"#;
    match refusal {
        Refusal::ReadWriteOverlap { .. } => (
            "not stored: node changed apps/web/src/gen.ts after it was read",
            r#""scripts": {"build": {"input": [{"auto": true}, "!src/gen.ts"]}}"#,
        ),
        Refusal::ToolAsked => ("not stored: the tool asked for that", UNCACHED),
        Refusal::TraceIncomplete(_) => ("not stored: not everything could be traced: sudo ran", UNCACHED),
        Refusal::IpcFailed(_) => ("not stored: something that the tool said may be lost: broken pipe", ""),
        Refusal::InputChangedDuringRun(_) => (
            "not stored: apps/web/src/a.ts changed while it ran",
            r#""scripts": {"build": {"input": [{"auto": true}, "!src/a.ts"]}}"#,
        ),
        Refusal::WroteOutside(_) => ("not stored: it wrote /var/lib/x, outside the workspace", UNCACHED),
        Refusal::OutsideService { .. } => {
            ("not stored: node talked to a program at 127.0.0.1:5432", UNCACHED)
        }
        Refusal::HiddenEnv { .. } => (
            "not stored: apps/web/build.py names API_URL, which this run lacked",
            r#""scripts": {"build": {"env": ["API_URL"]}}"#,
        ),
        Refusal::Detached(_) => (
            "not stored: esbuild goes on after the command ended",
            r#""scripts": {"build": {"persistent": true}}"#,
        ),
        Refusal::ReadTerminal => {
            ("not stored: it asked for the terminal", r#""scripts": {"build": {"interactive": true}}"#)
        }
        Refusal::Interrupted => ("not stored: it was interrupted", ""),
        Refusal::StoreFailed(_) => ("not stored: the disk is full", ""),
        Refusal::TooLarge(_) => ("not stored: what it printed is larger than the cache takes", UNCACHED),
    }
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::ReadWriteOverlap { path: "apps/web/src/gen.ts".into(), process: "node".into() },
        Refusal::ToolAsked,
        Refusal::TraceIncomplete("sudo ran".into()),
        Refusal::IpcFailed("broken pipe".into()),
        Refusal::InputChangedDuringRun("apps/web/src/a.ts".into()),
        Refusal::WroteOutside("/var/lib/x".into()),
        Refusal::OutsideService { address: "127.0.0.1:5432".into(), process: "node".into() },
        Refusal::HiddenEnv { name: "API_URL".into(), file: "apps/web/build.py".into() },
        Refusal::Detached("esbuild".into()),
        Refusal::ReadTerminal,
        Refusal::Interrupted,
        Refusal::StoreFailed("the disk is full".into()),
        Refusal::TooLarge("what it printed".into()),
    ]
}

fn whose() -> Whose {
    Whose { task: "build".into(), section: "scripts", package: "apps/web".into() }
}

#[test]
fn every_reason_has_its_line_and_its_remedy_and_comes_back_from_json() {
    for reason in reasons() {
        let (line, remedy) = reason_lines(&reason);
        assert_eq!(plain(&words::started(&reason)), line);
        assert!("web#build  ".len() + line.len() <= 80, "{line}");
        assert_eq!(
            words::remedy_for_miss(&reason, &whose()).map(|remedy| remedy.line).unwrap_or_default(),
            remedy
        );
        assert_eq!(read_miss(&miss(&reason)), Some(reason));
    }
}

#[test]
fn every_refusal_has_its_line_and_its_remedy_and_comes_back_from_json() {
    for refusal in refusals() {
        let (line, remedy) = refusal_lines(&refusal);
        assert_eq!(plain(&words::not_stored(&refusal)), line);
        assert!("web#build  ".len() + line.len() <= 80, "{line}");
        assert!(words::advice_for_refusal(&refusal).len() + 2 <= 80);
        assert_eq!(
            words::remedy_for_refusal(&refusal, &whose()).map(|remedy| remedy.line).unwrap_or_default(),
            remedy
        );
        assert_eq!(read_refusal(&not_stored(&refusal)), Some(refusal));
    }
}

#[test]
fn every_skip_has_its_line() {
    let of = |skip: &Skip| match skip {
        Skip::Needs(_) => "skipped: app#lib failed",
        Skip::After(_) => "skipped: the run stopped after app#lib failed",
        Skip::Interrupted => "skipped: interrupted",
    };
    let task = || "app#lib".to_owned();
    for skip in [Skip::Needs(task()), Skip::After(task()), Skip::Interrupted] {
        assert_eq!(words::skipped(&skip), of(&skip));
    }
}

#[test]
fn a_remedy_names_the_file_that_it_belongs_in() {
    let reason = MissReason::EnvChanged("A".into());
    let file = |package: &str| {
        let whose = Whose { package: package.into(), ..whose() };
        words::remedy_for_miss(&reason, &whose).unwrap().file
    };
    assert_eq!((file("").as_str(), file("apps/web").as_str()), ("overhear.json", "apps/web/overhear.json"));
}

#[test]
fn durations_read_well() {
    for (millis, text) in [(0, "0 ms"), (812, "812 ms"), (2_310, "2.3 s"), (250_000, "4 min 10 s")] {
        assert_eq!(words::duration(Duration::from_millis(millis)), text);
    }
}

#[test]
fn who_meets_a_fault_of_an_adapter_is_told_how_to_go_on_without_it() {
    let advice = |why: &str| {
        let why = MissReason::CacheDisabled(DisabledBy::Fault(why.to_owned()));
        words::advice_for_miss(&why, "app#build")
    };
    for (why, words) in [
        ("adapter acme/b@1.0.0: declare: ./b.js: TypeError: x [threw]", "`overhear adapter remove acme/b`"),
        ("adapter ./b.js@?: load: ./b.js: no [bad-source]", "`overhear adapter remove ./b.js`"),
        ("adapter vite@1.0.0: declare: no [adapter-bug]", "\"adapters\": {\"vite\": false}"),
        ("adapter a/x and a/y@*: detect: both [ambiguous-adapter]", "says where each comes from"),
        ("the disk is full", "`overhear doctor`"),
    ] {
        assert!(advice(why).contains(words), "{why}: {}", advice(why));
    }
}

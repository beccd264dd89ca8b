//! An adapter that does whatever an adapter should not, chosen by the first argument of its command,
//! `case` or `case=value`. Only tests use it.

use overhear_adapter::host::{self, Runner};
use overhear_adapter::{
    Adapter, Base, Declaration, Declare, Describe, Description, EnvMode, EnvSelector, Failure, Host,
    Invocation, Level, Match, Needs,
};
use std::hint::black_box;

struct Hostile;

impl Adapter for Hostile {
    fn describe() -> Description {
        Describe::new("acme/evil", "1.0.0", "Harm")
            .program("evil")
            .may_read(Base::Workspace, "may", "tests put files there")
            .may_read(Base::Workspace, "**/{.npmrc,.env,.env.local,key.pem}", "secrets, by name")
            .may_read_env("MAY")
            .settings_schema(r#"{"type": "object", "additionalProperties": false, "properties": {"level": {"type": "integer"}}}"#)
            .done()
    }

    fn detect(call: &Invocation) -> Match {
        match call.args.first().map(String::as_str) {
            Some("detect-asks") => Match::Yes(format!("{:?}", Runner.kind("may"))),
            Some("detect-name") => Match::Yes("a\u{1b}[31m name".into()),
            Some(_) => Match::Yes("case".into()),
            None => Match::No,
        }
    }

    fn declare(call: &Invocation, _: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let first = call.args.first().map(String::as_str).unwrap_or_default();
        let (case, value) = first.split_once('=').unwrap_or((first, ""));
        let declare = Declare::cacheable();
        Ok(match case {
            "recursion" | "allocate" | "panic" | "index" | "clock" | "log" => misbehave(case),
            "questions" | "long-path" | "read" | "read-config" | "list" | "env" => ask(case, value, host),
            "rules" | "long-pattern" | "no-advice" | "much-advice" => say_much(case, value),
            "pattern" => declare.output(unescaped(value), "a test"),
            "ignore-reads" => declare.ignore_reads(value, "the adapter says so"),
            "ignore-writes" => declare.ignore_writes(value, "the adapter says so"),
            "cache-dir" => declare.cache_dir(value, "the adapter says so"),
            "exclusive" => declare.exclusive_cache_dir(value, "one at a time"),
            "input" => declare.input(value, "the adapter says so"),
            "untracked" => declare.env(EnvSelector::Name(value.into()), EnvMode::Untracked, "a test"),
            "env-prefix" => declare.track_prefix(value, "a test"),
            "env-name" => declare.track(&unescaped(value), "a test"),
            "needs-env" => declare.needs(Needs::ENV_READS),
            "settings" => {
                let settings = call.settings.as_deref().unwrap_or("none");
                let level: String = settings.chars().filter(char::is_ascii_digit).collect();
                declare.advise("settings", settings, None).track(&format!("LEVEL_{level}"), "as it was set")
            }
            "state" => declare.output(format!("state-{}", count()), "made of what an earlier call left"),
            "secret" => declare.advise("found", host.read_text("may/secret").unwrap_or_default(), None),
            "unsure" => Declare::unsure("a test"),
            "never" => Declare::uncacheable("a test"),
            "cannot-parse" => return Err(Failure::CannotParse(("may/x".into(), "line 3".into()))),
            "failure" => return Err(Failure::Internal("the author noticed".into())),
            _ => declare,
        }
        .done())
    }
}

fn misbehave(case: &str) -> Declare {
    match case {
        "recursion" => drop(black_box(deep(1))),
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "panic" => panic!("the author\u{7} did not expect this"),
        "index" => drop(black_box([1, 2, 3][black_box(7)])),
        "clock" => drop(black_box(std::time::Instant::now())),
        _ => {
            for _ in 0..20_000 {
                host::log(Level::Warn, "a line of a log that nobody reads");
            }
        }
    }
    Declare::cacheable()
}

/// With much on the stack of each call.
#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deep(level: u64) -> u64 {
    let much = black_box([level; 64]);
    deep(much[usize::try_from(level % 64).unwrap_or(0)] + 1) + much[0]
}

fn ask(case: &str, value: &str, host: &dyn Host) -> Declare {
    match case {
        "questions" => loop {
            for number in 0_u32.. {
                black_box(host.kind(&number.to_string()));
            }
        },
        "long-path" => drop(black_box(host.kind(&"a".repeat(8 << 20)))),
        "read" => drop(black_box(host.read_text(&unescaped(value)))),
        "read-config" => drop(black_box(host.read_config(value))),
        "list" => drop(black_box(host.list_dir(value))),
        _ => drop(black_box(host.env(value))),
    }
    Declare::cacheable()
}

fn say_much(case: &str, value: &str) -> Declare {
    let times = |number: usize, with: fn(Declare) -> Declare| {
        (0..number).fold(Declare::cacheable(), |declare, _| with(declare))
    };
    match case {
        "rules" => times(value.parse().unwrap_or(0), |declare| declare.output("a", "b")),
        "long-pattern" => Declare::cacheable().output("a".repeat(24 << 20), "long"),
        "no-advice" => times(3_000_000, |declare| declare.advise("", "", None)),
        _ => times(51, |declare| declare.advise("x", "y", None)),
    }
}

/// Whether anything outlives a call.
fn count() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// `%000A` is a line break: what no argument can hold as it is.
fn unescaped(value: &str) -> String {
    let mut pieces = value.split('%');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(4).unwrap_or(("0000", ""));
        whole.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
        whole.push_str(rest);
    }
    whole
}

overhear_adapter::export!(Hostile);

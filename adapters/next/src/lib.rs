//! What overhear knows of Next.js 15 and 16: which commands end with a result, what of `.next` is the
//! result and what is Next's own, and which variables come into it.

mod commands;

use overhear_adapter::{
    Adapter, Args, Base, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match,
};

/// Flags that never take the next word as their value.
const SWITCHES: &[&str] = &[
    "analyze",
    "debug",
    "debugPrerender",
    "experimentalAnalyze",
    "experimentalAppOnly",
    "experimentalCpuProf",
    "experimentalDebugMemoryUsage",
    "experimentalNextConfigStripTypes",
    "fix",
    "help",
    "lint",
    "mangling",
    "profile",
    "quiet",
    "strict",
    "turbo",
    "turbopack",
    "version",
    "webpack",
];

const ALIASES: &[(&str, &str)] = &[("d", "debug"), ("h", "help"), ("v", "version")];

/// The adapter.
pub struct Next;

impl Adapter for Next {
    fn describe() -> Description {
        Describe::new("next", env!("CARGO_PKG_VERSION"), "Next.js")
            .program("next")
            .package("next")
            .config_files("next.config.{js,mjs,ts,mts}")
            .may_read(Base::Workspace, "**/next.config.{js,mjs,ts,mts}", "the config of Next")
            .tested_with(">=15 <17")
            .done()
    }

    fn detect(call: &Invocation) -> Match {
        let args = parse(&call.args);
        if args.has("help") || args.has("version") {
            return Match::No;
        }
        let known =
            ["build", "typegen", "lint", "start", "info", "telemetry", "analyze", "upgrade", "internal"];
        let first = args.words.first().map_or("dev", String::as_str);
        let name = match first {
            "experimental-analyze" => "analyze",
            "experimental-test" => "test",
            name if known.contains(&name) => name,
            // `next`, `next dev` and `next some/folder` all start the dev server.
            _ => "dev",
        };
        Match::Yes(name.into())
    }

    fn declare(call: &Invocation, subcommand: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let args = parse(&call.args);
        let reason = match subcommand {
            "build" | "typegen" | "lint" => return Ok(commands::declare(call, subcommand, &args, host)),
            "start" => "next start is a server",
            "info" => "next info tells about this machine",
            "telemetry" => "next telemetry changes a setting of the user",
            "analyze" => "next analyze is a server",
            "upgrade" => "next upgrade changes the app",
            "test" => "next experimental-test starts a server of its own",
            "internal" => "next internal is a set of tools for a person",
            _ => "the dev server of Next runs until it is stopped",
        };
        Ok(Declare::uncacheable(reason).done())
    }
}

fn parse(args: &[String]) -> Args {
    Args::parse(args, SWITCHES, ALIASES)
}

overhear_adapter::export!(Next);

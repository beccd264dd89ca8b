//! What overhear knows of Nuxt 3 and 4: which commands end with a result, what of the build folder is
//! for others to read and what is Nuxt's own, and which variables come into the result.

mod commands;

use overhear_adapter::{
    Adapter, Args, Base, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match,
};

/// Flags that never take the next word as their value.
const SWITCHES: &[&str] = &["help", "prerender", "profile", "version"];

const ALIASES: &[(&str, &str)] = &[("h", "help"), ("v", "version")];

/// The adapter.
pub struct Nuxt;

impl Adapter for Nuxt {
    fn describe() -> Description {
        Describe::new("nuxt", env!("CARGO_PKG_VERSION"), "Nuxt")
            .program("nuxt")
            .program("nuxi")
            .package("nuxt")
            .package("nuxi")
            .package("@nuxt/cli")
            .config_files("nuxt.config.{js,mjs,cjs,ts,mts,cts}")
            .may_read(Base::Workspace, "**/nuxt.config.{js,mjs,cjs,ts,mts,cts}", "the config of Nuxt")
            .tested_with(">=4.4 <5")
            .done()
    }

    fn detect(call: &Invocation) -> Match {
        let args = parse(&call.args);
        if args.has("help") || args.has("version") {
            return Match::No;
        }
        let name = match args.words.first().map(String::as_str) {
            Some("build") if args.has("prerender") => "generate",
            Some(
                name @ ("build" | "generate" | "prepare" | "typecheck" | "preview" | "start" | "analyze"),
            ) => name,
            Some("dev") => "dev",
            _ => "other",
        };
        Match::Yes(name.into())
    }

    fn declare(call: &Invocation, subcommand: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let args = parse(&call.args);
        let reason = match subcommand {
            "build" | "generate" | "prepare" | "typecheck" => {
                return Ok(commands::declare(call, subcommand, &args, host));
            }
            "dev" => "the dev server of Nuxt runs until it is stopped",
            "preview" | "start" | "analyze" => "it is a server",
            _ => "it is a tool for a person",
        };
        Ok(Declare::uncacheable(reason).done())
    }
}

fn parse(args: &[String]) -> Args {
    Args::parse(args, SWITCHES, ALIASES)
}

overhear_adapter::export!(Nuxt);

//! What overhear knows of SvelteKit 2 and 3, which are built by vite: what the folder of generated files
//! is for, where adapters put a site, and which variables a question for all of them means.
//! All else of a `vite build` is as the adapter of vite says, where it matters here.

mod kit;

use overhear_adapter::{
    Adapter, Args, Base, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match,
};

const SWITCHES: &[&str] =
    &["app", "clearScreen", "emptyOutDir", "force", "help", "profile", "version", "watch"];

const ALIASES: &[(&str, &str)] = &[
    ("c", "config"),
    ("d", "debug"),
    ("h", "help"),
    ("l", "logLevel"),
    ("m", "mode"),
    ("v", "version"),
    ("w", "watch"),
];

/// The adapter.
pub struct SvelteKit;

impl Adapter for SvelteKit {
    fn describe() -> Description {
        let code = "**/*.{js,mjs,cjs,ts,mts,cts}";
        Describe::new("sveltekit", env!("CARGO_PKG_VERSION"), "SvelteKit")
            .program("svelte-kit")
            .program("vite")
            .package("@sveltejs/kit")
            .package("vite")
            .refines("vite")
            .config_files("svelte.config.{js,ts}")
            .config_files("vite.config.{js,mjs,ts,cjs,mts,cts}")
            .may_read(Base::Workspace, code, "the configs of SvelteKit and vite")
            .may_read(Base::Package, "package.json", "whether the package depends on SvelteKit")
            .tested_with(">=2.70 <4")
            .done()
    }

    fn detect(call: &Invocation) -> Match {
        let args = parse(&call.args);
        if args.has("help") || args.has("version") {
            return Match::No;
        }
        let first = args.words.first().map(String::as_str);
        match (call.program.as_str(), first) {
            ("svelte-kit", Some("sync")) => Match::Yes("sync".into()),
            // Servers are the same with and without SvelteKit: the adapter of vite leaves them alone.
            ("vite", Some("build")) if !call.config_files.is_empty() => Match::Yes("build".into()),
            _ => Match::No,
        }
    }

    fn declare(call: &Invocation, subcommand: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let args = parse(&call.args);
        Ok(match subcommand {
            _ if args.has("watch") => Declare::uncacheable(format!(
                "{} {subcommand} --watch runs until it is stopped",
                call.program
            ))
            .done(),
            "build" => kit::build(call, &args, host),
            _ => kit::sync(call, &args, host),
        })
    }
}

fn parse(args: &[String]) -> Args {
    Args::parse(args, SWITCHES, ALIASES)
}

overhear_adapter::export!(SvelteKit);

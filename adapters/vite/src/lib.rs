//! What overhear knows of vite 5 to 8: which commands build, where the output goes, what vite keeps for
//! its own speed, and which variables come into the bundle. Knows nothing of frameworks on top of it.

mod build;
mod places;

use overhear_adapter::{
    Adapter, Args, Base, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match,
};

/// Flags that never take the next word as their value.
const SWITCHES: &[&str] = &[
    "app",
    "clearScreen",
    "cors",
    "emptyOutDir",
    "force",
    "help",
    "profile",
    "strictPort",
    "version",
    "watch",
];

const ALIASES: &[(&str, &str)] = &[
    ("c", "config"),
    ("d", "debug"),
    ("f", "filter"),
    ("h", "help"),
    ("l", "logLevel"),
    ("m", "mode"),
    ("v", "version"),
    ("w", "watch"),
];

/// The adapter.
pub struct Vite;

impl Adapter for Vite {
    fn describe() -> Description {
        let code = "**/*.{js,mjs,cjs,ts,mts,cts}";
        Describe::new("vite", env!("CARGO_PKG_VERSION"), "Vite")
            .program("vite")
            .package("vite")
            .config_files("vite.config.{js,mjs,ts,cjs,mts,cts}")
            .may_read(Base::Workspace, code, "the config file, which --config can put anywhere")
            .tested_with(">=5 <9")
            .done()
    }

    fn detect(call: &Invocation) -> Match {
        let args = parse(&call.args);
        if args.has("help") || args.has("version") {
            return Match::No;
        }
        Match::Yes(
            match args.words.first().map(String::as_str) {
                Some("build") => "build",
                Some("preview") => "preview",
                Some("optimize") => "optimize",
                // `vite`, `vite dev`, `vite serve` and `vite some/root` all start the dev server.
                _ => "dev",
            }
            .into(),
        )
    }

    fn declare(call: &Invocation, subcommand: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let reason = match subcommand {
            "build" => return Ok(build::declare(call, &parse(&call.args), host)),
            "preview" => "vite preview is a server",
            "optimize" => "vite optimize only fills a cache",
            _ => "the vite dev server runs until it is stopped",
        };
        Ok(Declare::uncacheable(reason).done())
    }
}

fn parse(args: &[String]) -> Args {
    Args::parse(args, SWITCHES, ALIASES)
}

overhear_adapter::export!(Vite);

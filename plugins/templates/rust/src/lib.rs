//! What overhear should know of `{{program}}`.

use overhear_adapter::{
    Adapter, Args, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match, paths,
};

pub struct Tool;

impl Adapter for Tool {
    fn describe() -> Description {
        Describe::new("{{vendor}}/{{name}}", env!("CARGO_PKG_VERSION"), "{{program}}")
            .program("{{program}}")
            .package("{{program}}")
            .done()
    }

    // A function of the call alone: which command is this?
    fn detect(call: &Invocation) -> Match {
        match parse(call).words.first().map(String::as_str) {
            Some("build") => Match::Yes("build".into()),
            Some("dev" | "serve") => Match::Yes("dev".into()),
            _ => Match::No,
        }
    }

    // What overhear should believe of it. What is not said here is left to the trace.
    fn declare(call: &Invocation, subcommand: &str, _: &dyn Host) -> Result<Declaration, Failure> {
        let args = parse(call);
        if subcommand != "build" {
            return Ok(Declare::uncacheable("it is a server").done());
        }
        if args.has("watch") {
            return Ok(Declare::uncacheable("it watches until it is stopped").done());
        }
        let declare = Declare::cacheable().track("NODE_ENV", "it decides what comes out");
        let cache = paths::join(&call.package_dir, "node_modules/.cache/{{program}}");
        let declare = match cache {
            Some(cache) => declare.cache_dir(cache, "what the tool keeps for its own speed"),
            None => declare,
        };
        Ok(match paths::join(&call.cwd, args.value("out").unwrap_or("dist")) {
            Some(folder) => declare.output(folder, "what it builds").done(),
            // Outside of the workspace: the trace decides.
            None => declare.done(),
        })
    }
}

fn parse(call: &Invocation) -> Args {
    Args::parse(&call.args, &["watch"], &[("w", "watch")])
}

overhear_adapter::export!(Tool);

//! What overhear knows of tools that need no config to be read: builds, checks and tests whose result
//! follows from what they read. One table; everything else is left to the trace.

mod table;

use overhear_adapter::{
    Adapter, Base, CacheDir, Declaration, Declare, Describe, Description, EnvMode, EnvSelector, Failure,
    Host, Invocation, Match, PathRule,
};
use table::{Command, TOOLS, Tool};

/// The adapter.
pub struct Common;

impl Adapter for Common {
    fn describe() -> Description {
        let start =
            Describe::new("common", env!("CARGO_PKG_VERSION"), "Well-known build, check and test tools");
        let describe = TOOLS.iter().fold(start, |describe, tool| {
            let describe = describe.program(tool.program);
            tool.packages.iter().fold(describe, |describe, package| describe.package(package))
        });
        describe.done()
    }

    fn detect(call: &Invocation) -> Match {
        let Some(tool) = find(call) else { return Match::No };
        // What prints help or a version belongs to nobody's build.
        if call.args.iter().any(|arg| matches!(arg.as_str(), "--help" | "--version")) {
            return Match::No;
        }
        match tool.command(&call.args) {
            None => Match::No,
            Some(command) if command.name.is_empty() => Match::Yes(tool.program.into()),
            Some(command) => Match::Yes(command.name.into()),
        }
    }

    fn declare(call: &Invocation, _: &str, _: &dyn Host) -> Result<Declaration, Failure> {
        let found = find(call).and_then(|tool| Some((tool, tool.command(&call.args)?)));
        let Some((tool, command)) = found else {
            return Ok(Declare::unsure("the command is not known").done());
        };
        let never = tool.never.iter().find(|(flag, _)| call.args.iter().any(|arg| is_flag(arg, flag)));
        let reason = never.map(|(_, reason)| *reason).or(command.never);
        Ok(match reason {
            Some(reason) => Declare::uncacheable(reason).done(),
            None => cacheable(tool),
        })
    }
}

/// The tool of a call, if the program belongs to one of the packages that the table knows.
fn find(call: &Invocation) -> Option<&'static Tool> {
    let package = call.tool.as_ref().map(|tool| tool.name.as_str());
    TOOLS.iter().find(|tool| {
        tool.program == call.program
            && match package {
                Some(package) => tool.packages.contains(&package),
                None => tool.packages.is_empty(),
            }
    })
}

impl Tool {
    /// Which of its commands the arguments name; `None`: none of them, and nothing is known.
    fn command(&self, args: &[String]) -> Option<&'static Command> {
        let is_named = |command: &&Command| match command.name {
            "" => true,
            flag if flag.starts_with('-') => args.iter().any(|arg| is_flag(arg, flag)),
            word => args
                .iter()
                .find(|arg| !arg.starts_with('-'))
                .is_some_and(|first| first == word || command.aliases.contains(&first.as_str())),
        };
        self.commands.iter().find(is_named)
    }
}

/// `--flag`, `--flag=value`, but not `--flag=false`. Short flags stand alone.
fn is_flag(arg: &str, flag: &str) -> bool {
    match arg.strip_prefix(flag) {
        Some("") => true,
        Some(rest) => flag.starts_with("--") && rest.starts_with('=') && rest != "=false",
        None => false,
    }
}

fn cacheable(tool: &Tool) -> Declaration {
    let mut declaration = Declare::cacheable().done();
    let rule = |pattern: &&str, why: &str| PathRule {
        base: Base::Package,
        pattern: (*pattern).into(),
        why: why.into(),
    };
    let cache = "what the tool keeps for its own speed";
    declaration.cache_dirs =
        tool.caches.iter().map(|pattern| CacheDir { path: rule(pattern, cache), concurrent: true }).collect();
    declaration.generated =
        tool.generated.iter().map(|pattern| rule(pattern, "types that other tools read")).collect();
    let state = tool.state.iter();
    declaration.state_files =
        state.map(|pattern| rule(pattern, "by which the tool knows what it did last")).collect();
    declaration.inner_disable_cache = tool.starts_inner_server;
    declaration.empty_prefix_is_declared = tool.asks_for_all;
    declaration.env = tool
        .env
        .iter()
        .map(|name| overhear_adapter::EnvRule {
            selector: match name.strip_suffix('*') {
                Some(prefix) => EnvSelector::Prefix(prefix.into()),
                None => EnvSelector::Name((*name).into()),
            },
            mode: EnvMode::Tracked,
            why: "the tool or what it runs goes by it".into(),
        })
        .collect();
    declaration
}

overhear_adapter::export!(Common);

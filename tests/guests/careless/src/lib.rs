//! An adapter that breaks one rule of the conformance kit, or none: which one stands in its own bytes, where
//! tests write it. Only tests use it.

use overhear_adapter::{
    Adapter, Base, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match,
};
use std::hint::black_box;

/// Tests write another number at its end.
static RULE: [u8; 17] = *b"careless rule: 00";

fn breaks(rule: u8) -> bool {
    let digits = &black_box(&RULE)[15..];
    (digits[0] - b'0') * 10 + (digits[1] - b'0') == rule
}

struct Careless;

impl Adapter for Careless {
    fn describe() -> Description {
        let describe = Describe::new("acme/careless", "1.0.0", "A tool")
            .program("careless")
            .package("careless")
            .config_files("careless.config.js")
            .may_read(Base::Workspace, "**", "tests")
            .tested_with(">=2 <4");
        // It wants more than it wanted before.
        if breaks(90) { describe.may_read_env("SECRET_TOKEN").done() } else { describe.done() }
    }

    fn detect(call: &Invocation) -> Match {
        if breaks(1) {
            assert!(call.args.iter().all(|arg| arg.is_ascii()), "an argument that nobody expects");
        }
        match call.args.first() {
            Some(word) if word == "build" => Match::Yes("build".into()),
            _ => Match::No,
        }
    }

    fn declare(call: &Invocation, _: &str, host: &dyn Host) -> Result<Declaration, Failure> {
        let version = call.tool.as_ref().and_then(|tool| tool.version.as_deref()).unwrap_or_default();
        if !breaks(6) && !version.starts_with(['2', '3']) {
            return Ok(Declare::unsure("only 2 and 3 are known").done());
        }
        let names: Vec<String> =
            host.list_dir(&call.package_dir).into_iter().flatten().map(|entry| entry.name).collect();
        let declare = Declare::cacheable();
        Ok(if breaks(3) {
            declare.output(names.first().cloned().unwrap_or_default(), "the first there is").done()
        } else if breaks(4) {
            declare.input(call.config_files[0].as_str(), "its config").done()
        } else if breaks(5) {
            let text = call.config_files.first().and_then(|file| host.read_text(file));
            assert!(text.is_none_or(|text| text.starts_with("export default")), "this is no config");
            declare.done()
        } else if breaks(7) {
            names.into_iter().fold(declare, |declare, name| declare.input(name, "all that is there")).done()
        } else if breaks(8) {
            assert!(call.package_dir.is_ascii(), "a folder that nobody expects");
            declare.done()
        } else if breaks(9) {
            declare.output("dist", "").done()
        } else if breaks(10) {
            declare.output("dist/aux", "a name that Windows does not have").done()
        } else if breaks(11) {
            let sum = (0..30_000_000_u64).fold(0, |sum, number| black_box(sum + number));
            declare.advise("sum", sum.to_string(), None).done()
        } else {
            declare.output("dist", "what it builds").done()
        })
    }
}

overhear_adapter::export!(Careless);

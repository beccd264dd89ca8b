//! Calls and configs on one side, declarations on the other; a table answers for the host.

use overhear_adapter::trial::{self, Trial, caches, codes, patterns};
use overhear_adapter::{Declaration, EnvSelector, FakeHost, Verdict};
use overhear_adapter_next::Next;

fn call(version: &str, args: &str) -> Trial {
    trial::call(&format!("next {args}")).of_package("next", version).with_config_file("next.config.ts")
}

fn declare(call: &Trial, host: &FakeHost) -> Declaration {
    call.declares::<Next>(host)
}

fn with_config(args: &str, json: &str) -> Declaration {
    declare(&call("16.4.6", args), &FakeHost::new().config("apps/web/next.config.ts", json))
}

#[test]
fn each_subcommand_is_recognised() {
    for (args, expected) in [
        ("build", "build"),
        ("build --turbopack .", "build"),
        ("", "dev"),
        ("dev", "dev"),
        ("some/folder", "dev"),
        ("start", "start"),
        ("typegen", "typegen"),
        ("lint", "lint"),
        ("telemetry disable", "telemetry"),
        ("experimental-analyze", "analyze"),
    ] {
        assert_eq!(call("16.4.6", args).detected_by::<Next>().as_deref(), Some(expected), "{args}");
    }
    assert_eq!(call("16.4.6", "--version").detected_by::<Next>(), None);
    assert_eq!(call("16.4.6", "build -h").detected_by::<Next>(), None);
}

#[test]
fn servers_and_what_concerns_this_machine_are_never_cached_and_ask_nothing() {
    for args in
        ["", "dev", "start", "info", "telemetry", "analyze", "upgrade", "build --experimental-cpu-prof"]
    {
        let host = FakeHost::new();
        let declaration = declare(&call("16.4.6", args), &host);
        assert!(matches!(declaration.verdict, Verdict::Uncacheable(_)), "{args}");
        assert_eq!(host.asked(), Vec::<String>::new(), "{args}");
    }
}

#[test]
fn the_folder_of_a_build_is_output_but_for_what_next_keeps_there() {
    let declaration = with_config("build", "{}");
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/.next"]);
    assert_eq!(patterns(&declaration.generated), ["apps/web/next-env.d.ts"]);
    for name in ["cache", "trace", "trace-build", "diagnostics", "lock", "dev"] {
        assert!(caches(&declaration).contains(&&*format!("apps/web/.next/{name}")), "{name}");
    }
    let prefixes = ["NEXT_", "VERCEL_", "__NEXT_"].map(|prefix| EnvSelector::Prefix(prefix.into()));
    assert!(prefixes.iter().all(|prefix| declaration.env.iter().any(|rule| rule.selector == *prefix)));
}

#[test]
fn the_config_and_the_folder_move_the_outputs() {
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("build", r#"{"distDir": "build"}"#, &["apps/web/build"], "apps/web/build/cache"),
        ("build", r#"{"output": "export"}"#, &["apps/web/.next", "apps/web/out"], "apps/web/.next/cache"),
        (
            "build",
            r#"{"output": "export", "distDir": "www"}"#,
            &["apps/web/.next", "apps/web/www"],
            "apps/web/.next/cache",
        ),
        ("build", r#"{"output": "standalone"}"#, &["apps/web/.next"], "apps/web/.next/cache"),
        ("build site", "{}", &["apps/web/site/.next"], "apps/web/site/.next/cache"),
        ("typegen", "{}", &[], "apps/web/.next/cache"),
    ];
    for (args, config, outputs, cache) in cases {
        let declaration = with_config(args, config);
        assert_eq!(patterns(&declaration.outputs), *outputs, "{args} {config}");
        assert!(caches(&declaration).contains(cache), "{args} {config}");
        assert_eq!(codes(&declaration), Vec::<&str>::new(), "{args} {config}");
    }
}

#[test]
fn types_alone_are_generated_files() {
    let declaration = with_config("typegen", "{}");
    assert_eq!(patterns(&declaration.generated), ["apps/web/.next/types", "apps/web/next-env.d.ts"]);
}

#[test]
fn what_is_not_known_is_advice_and_the_default_holds() {
    let unknown = r#"{"$unknown": "a call"}"#;
    let declaration = with_config("build", unknown);
    assert_eq!(codes(&declaration), ["distdir-not-known", "output-not-known"]);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/.next"]);
    for dist in [".", "..", "/abs"] {
        let declaration = with_config("build", &format!(r#"{{"distDir": "{dist}"}}"#));
        assert_eq!(patterns(&declaration.outputs), Vec::<&str>::new(), "{dist}");
        assert_eq!(codes(&declaration), ["distdir-not-known"], "{dist}");
    }
}

#[test]
fn other_versions_are_beyond_its_knowledge() {
    for version in ["14.2.0", "17.0.0", ""] {
        assert!(
            matches!(declare(&call(version, "build"), &FakeHost::new()).verdict, Verdict::Unsure(_)),
            "{version}"
        );
    }
    for version in ["15.5.0", "16.4.6"] {
        assert_eq!(
            declare(&call(version, "build"), &FakeHost::new()).verdict,
            Verdict::Cacheable,
            "{version}"
        );
    }
}

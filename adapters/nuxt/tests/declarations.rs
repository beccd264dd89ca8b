//! Calls and configs on one side, declarations on the other; a table answers for the host.

use overhear_adapter::trial::{self, Trial, codes, patterns};
use overhear_adapter::{Declaration, EnvSelector, FakeHost, Verdict};
use overhear_adapter_nuxt::Nuxt;

fn call(version: &str, args: &str) -> Trial {
    trial::call(&format!("nuxt {args}")).of_package("nuxt", version).with_config_file("nuxt.config.ts")
}

fn declare(call: &Trial, host: &FakeHost) -> Declaration {
    call.declares::<Nuxt>(host)
}

fn with_config(args: &str, json: &str) -> Declaration {
    declare(&call("4.4.5", args), &FakeHost::new().config("apps/web/nuxt.config.ts", json))
}

#[test]
fn each_subcommand_is_recognised() {
    for (args, expected) in [
        ("build", "build"),
        ("build --prerender", "generate"),
        ("generate", "generate"),
        ("prepare", "prepare"),
        ("typecheck", "typecheck"),
        ("dev", "dev"),
        ("preview", "preview"),
        ("", "other"),
        ("module add x", "other"),
    ] {
        assert_eq!(call("4.4.5", args).detected_by::<Nuxt>().as_deref(), Some(expected), "{args}");
    }
    assert_eq!(call("4.4.5", "--version").detected_by::<Nuxt>(), None);
}

#[test]
fn servers_and_tools_for_a_person_are_never_cached_and_ask_nothing() {
    for args in ["dev", "preview", "start", "analyze", "upgrade", "add page x", "", "build --profile"] {
        let host = FakeHost::new();
        assert!(matches!(declare(&call("4.4.5", args), &host).verdict, Verdict::Uncacheable(_)), "{args}");
        assert_eq!(host.asked(), Vec::<String>::new(), "{args}");
    }
}

#[test]
fn a_build_has_its_output_and_its_generated_types() {
    let declaration = with_config("build", "{}");
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/.output"]);
    assert_eq!(patterns(&declaration.generated), ["apps/web/.nuxt"]);
    let caches: Vec<&str> = declaration.cache_dirs.iter().map(|dir| dir.path.pattern.as_str()).collect();
    assert!(
        caches.contains(&"apps/web/.nuxt/dist") && caches.contains(&"apps/web/.nuxt/prerender"),
        "{caches:?}"
    );
    for prefix in ["NUXT_", "NITRO_"] {
        assert!(
            declaration.env.iter().any(|rule| rule.selector == EnvSelector::Prefix(prefix.into())),
            "{prefix}"
        );
    }
    for args in ["prepare", "typecheck"] {
        assert_eq!(patterns(&with_config(args, "{}").outputs), Vec::<&str>::new(), "{args}");
    }
}

#[test]
fn the_config_and_the_folder_move_things() {
    let moved = with_config("generate", r#"{"buildDir": "tmp/nuxt", "nitro": {"output": {"dir": "out"}}}"#);
    assert_eq!(patterns(&moved.generated), ["apps/web/tmp/nuxt"]);
    assert_eq!(patterns(&moved.outputs), ["apps/web/out"]);
    assert_eq!(patterns(&moved.ignored_reads), ["apps/web/out", "apps/web/dist"]);
    let preset = with_config("build", r#"{"nitro": {"preset": "vercel"}}"#);
    assert_eq!(patterns(&preset.outputs), Vec::<&str>::new(), "a preset may put the result elsewhere");
    let folder = with_config("build site", "{}");
    assert_eq!(patterns(&folder.outputs), ["apps/web/site/.output"]);
}

#[test]
fn what_is_not_known_is_advice_and_the_default_holds() {
    let declaration = with_config("build", r#"{"buildDir": {"$unknown": "a call"}}"#);
    assert_eq!(codes(&declaration), ["builddir-not-known"]);
    assert_eq!(patterns(&declaration.generated), ["apps/web/.nuxt"]);
    let outside = with_config("build", r#"{"buildDir": ".."}"#);
    assert_eq!(patterns(&outside.generated), Vec::<&str>::new());
}

#[test]
fn other_versions_are_beyond_its_knowledge() {
    for version in ["2.17.0", "5.0.0", ""] {
        assert!(
            matches!(declare(&call(version, "build"), &FakeHost::new()).verdict, Verdict::Unsure(_)),
            "{version}"
        );
    }
}

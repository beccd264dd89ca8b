//! Calls and configs on one side, declarations on the other; a table answers for the host.

use overhear_adapter::trial::{self, Trial, caches, codes, patterns, variables};
use overhear_adapter::{Declaration, FakeHost, PackageRef, Verdict};
use overhear_adapter_vite::Vite;

fn call(version: &str, args: &str, config_files: &[&str]) -> Trial {
    let call = trial::call(&format!("vite {args}")).of_package("vite", version);
    config_files.iter().fold(call, |call, name| call.with_config_file(name))
}

fn declare(call: &Trial, host: &FakeHost) -> Declaration {
    call.declares::<Vite>(host)
}

fn with_config(version: &str, args: &str, json: &str) -> Declaration {
    let host = FakeHost::new()
        .config("apps/web/vite.config.ts", json)
        .folder("apps/web/node_modules", &[])
        .folder("node_modules", &[]);
    declare(&call(version, args, &["vite.config.ts"]), &host)
}

#[test]
fn each_subcommand_is_recognised() {
    let cases = [
        ("build", "build"),
        ("--mode x build", "build"),
        ("-m x build", "build"),
        ("--force build", "build"),
        ("", "dev"),
        ("dev", "dev"),
        ("serve", "dev"),
        ("some/root --port 1", "dev"),
        ("preview", "preview"),
        ("optimize", "optimize"),
    ];
    for (args, expected) in cases {
        assert_eq!(call("7.0.0", args, &[]).detected_by::<Vite>().as_deref(), Some(expected), "{args}");
    }
    assert_eq!(call("7.0.0", "--version", &[]).detected_by::<Vite>(), None);
    assert_eq!(call("7.0.0", "build -h", &[]).detected_by::<Vite>(), None);
}

#[test]
fn servers_and_watchers_are_never_cached_and_ask_nothing() {
    for args in ["", "dev", "serve", "preview", "optimize", "build --watch", "build -w"] {
        let host = FakeHost::new();
        let declaration = declare(&call("8.3.8", args, &["vite.config.ts"]), &host);
        assert!(matches!(declaration.verdict, Verdict::Uncacheable(_)), "{args}");
        assert_eq!(host.asked(), Vec::<String>::new(), "{args}");
    }
    for (watch, uncacheable) in [("{}", true), ("null", false), ("false", false)] {
        let declaration = with_config("7.0.0", "build", &format!(r#"{{"build": {{"watch": {watch}}}}}"#));
        assert_eq!(matches!(declaration.verdict, Verdict::Uncacheable(_)), uncacheable, "{watch}");
    }
}

#[test]
fn other_versions_and_other_packages_are_beyond_its_knowledge() {
    for version in ["4.5.0", "9.0.0", "nonsense", ""] {
        let declaration = declare(&call(version, "build", &[]), &FakeHost::new());
        assert!(matches!(declaration.verdict, Verdict::Unsure(_)), "{version}");
    }
    let mut foreign = call("7.0.0", "build", &[]);
    foreign.invocation.tool =
        Some(PackageRef { name: "rolldown-vite".into(), version: Some("7.0.0".into()) });
    assert!(matches!(declare(&foreign, &FakeHost::new()).verdict, Verdict::Unsure(_)));
    foreign.invocation.tool = None;
    assert!(matches!(declare(&foreign, &FakeHost::new()).verdict, Verdict::Unsure(_)));
}

#[test]
fn without_a_config_the_defaults_of_vite_hold() {
    let declaration = declare(&call("6.4.6", "build", &[]), &FakeHost::new());
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/dist"]);
    assert_eq!(patterns(&declaration.ignored_reads), ["apps/web/dist"]);
    assert_eq!(caches(&declaration), ["apps/web/node_modules/.vite"]);
    assert_eq!(variables(&declaration), ["NODE_ENV", "VITE_*"]);
    assert_eq!(codes(&declaration), Vec::<&str>::new());
}

#[test]
fn vite_8_tells_its_variables_itself() {
    let declaration = with_config("8.3.8", "build", r#"{"envPrefix": "MYAPP_"}"#);
    assert_eq!(variables(&declaration), Vec::<String>::new());
    assert_eq!(patterns(&declaration.outputs), ["apps/web/dist"]);
    assert_eq!(patterns(&declaration.ignored_reads), Vec::<&str>::new());
}

#[test]
fn the_prefixes_of_the_config_replace_the_default() {
    let cases: &[(&str, &[&str])] = &[
        (r#"{"envPrefix": "MYAPP_"}"#, &["NODE_ENV", "MYAPP_*"]),
        (r#"{"envPrefix": ["A_", "B_"]}"#, &["NODE_ENV", "A_*", "B_*"]),
    ];
    for (config, expected) in cases {
        let declaration = with_config("7.3.8", "build", config);
        assert_eq!(variables(&declaration), *expected, "{config}");
        assert_eq!(declaration.verdict, Verdict::Cacheable, "{config}");
    }
}

#[test]
fn without_knowing_the_prefixes_a_build_before_vite_8_is_not_cached() {
    for config in [
        r#"{"envPrefix": "X"}"#,
        r#"{"envPrefix": {"$unknown": "a call"}}"#,
        r#"{"envPrefix": ["A_", {"$unknown": "a call"}]}"#,
        r#"{"$unknown": "a call"}"#,
    ] {
        let before = with_config("7.3.8", "build", config).verdict;
        assert!(
            matches!(&before, Verdict::Unsure(reason) if reason.contains("envPrefix")),
            "{config}: {before:?}"
        );
        assert_eq!(with_config("8.3.8", "build", config).verdict, Verdict::Cacheable, "{config}");
    }
}

#[test]
fn the_output_folder_follows_flags_config_and_root() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("build --outDir out", r#"{"build": {"outDir": "other"}}"#, &["apps/web/out"]),
        ("build --out-dir=out", "{}", &["apps/web/out"]),
        ("build", r#"{"build": {"outDir": "build/client"}}"#, &["apps/web/build/client"]),
        ("build", r#"{"root": "src", "build": {"outDir": "x"}}"#, &["apps/web/src/x"]),
        // Outside of vite's root, and so not emptied: the tree is not vite's own.
        ("build", r#"{"root": "src", "build": {"outDir": "../dist"}}"#, &[]),
        (
            "build",
            r#"{"root": "src", "build": {"outDir": "../dist", "emptyOutDir": true}}"#,
            &["apps/web/dist"],
        ),
        ("build --emptyOutDir", r#"{"build": {"outDir": "../../dist/web"}}"#, &["dist/web"]),
        ("build --emptyOutDir=false", "{}", &[]),
        ("build", r#"{"build": {"emptyOutDir": false}}"#, &[]),
        ("build --emptyOutDir", r#"{"build": {"outDir": "."}}"#, &[]),
        ("build --emptyOutDir", r#"{"build": {"outDir": ".."}}"#, &[]),
    ];
    for (args, config, expected) in cases {
        let declaration = with_config("7.3.8", args, config);
        assert_eq!(patterns(&declaration.outputs), *expected, "{args} {config}");
        assert_eq!(codes(&declaration), Vec::<&str>::new(), "{args} {config}");
    }
}

#[test]
fn a_field_that_is_not_known_is_advice_that_names_it() {
    let unknown = r#"{"$unknown": "a call"}"#;
    let cases = [
        (format!(r#"{{"build": {{"outDir": {unknown}}}}}"#), vec!["build-outdir-not-known"]),
        (format!(r#"{{"build": {{"emptyOutDir": {unknown}}}}}"#), vec!["build-emptyoutdir-not-known"]),
        (format!(r#"{{"cacheDir": {unknown}}}"#), vec!["cachedir-not-known"]),
        (format!(r#"{{"root": {unknown}}}"#), vec!["root-not-known"]),
        (r#"{"build": {"outDir": "/abs"}}"#.to_owned(), vec!["build-outdir-not-known"]),
    ];
    for (config, expected) in cases {
        let declaration = with_config("5.4.0", "build", &config);
        assert_eq!(declaration.verdict, Verdict::Cacheable, "{config}");
        assert_eq!(codes(&declaration), expected, "{config}");
        assert!(
            declaration.advice.iter().all(|advice| advice.file.as_deref() == Some("apps/web/vite.config.ts"))
        );
    }
}

#[test]
fn the_bundled_config_lies_in_one_node_modules_above_and_which_is_there_says_nothing() {
    let expected = ["apps/web/node_modules", "apps/node_modules", "node_modules"];
    let expected = expected.map(|modules| format!("{modules}/.vite-temp"));
    for folder in ["apps/web/node_modules", "node_modules"] {
        let host = FakeHost::new().config("apps/web/vite.config.ts", "{}").folder(folder, &[]);
        let declaration = declare(&call("7.3.8", "build", &["vite.config.ts"]), &host);
        let caches = caches(&declaration);
        assert_eq!(caches[0], "apps/web/node_modules/.vite");
        assert_eq!(caches[1..], expected);
    }
}

#[test]
fn a_configured_cache_folder_replaces_the_default() {
    let declaration = with_config("7.3.8", "build", r#"{"cacheDir": ".cache/vite"}"#);
    assert_eq!(caches(&declaration)[0], "apps/web/.cache/vite");
}

#[test]
fn the_config_is_looked_for_as_vite_does() {
    let host = FakeHost::new()
        .config("apps/web/site/vite.config.mts", r#"{"build": {"outDir": "www"}}"#)
        .config("tools/vite.prod.ts", r#"{"build": {"outDir": "prod"}}"#);
    let root = declare(&call("7.3.8", "build site", &["vite.config.ts"]), &host);
    assert_eq!(patterns(&root.outputs), ["apps/web/site/www"]);
    let named = declare(&call("7.3.8", "build -c ../../tools/vite.prod.ts", &["vite.config.ts"]), &host);
    assert_eq!(patterns(&named.outputs), ["apps/web/prod"]);
    let missing = declare(&call("8.3.8", "build --config nowhere.ts", &[]), &host);
    assert_eq!(codes(&missing), ["config-not-read"]);
    let first =
        FakeHost::new().config("apps/web/vite.config.js", "{}").config("apps/web/vite.config.ts", "{}");
    declare(&call("7.3.8", "build", &["vite.config.js", "vite.config.ts"]), &first);
    assert_eq!(first.asked()[0], "read-config apps/web/vite.config.js");
}

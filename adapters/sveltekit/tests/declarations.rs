//! Calls and configs on one side, declarations on the other; a table answers for the host.

use overhear_adapter::trial::{self, Trial, codes, patterns, variables};
use overhear_adapter::{Declaration, FakeHost, Verdict};
use overhear_adapter_sveltekit::SvelteKit;

const APP: &str = "apps/web/node_modules/$app";
const PLUGIN: &str =
    "import { sveltekit } from '@sveltejs/kit/vite'; export default { plugins: [sveltekit()] }";

fn call(program: &str, args: &str, config_files: &[&str]) -> Trial {
    let package = if program == "vite" { "vite" } else { "@sveltejs/kit" };
    let call = trial::call(&format!("{program} {args}")).of_package(package, "8.3.8");
    config_files.iter().fold(call, |call, name| call.with_config_file(name))
}

fn declare(call: &Trial, host: &FakeHost) -> Declaration {
    call.declares::<SvelteKit>(host)
}

fn host(version: &str, config: &str) -> FakeHost {
    FakeHost::new()
        .package("@sveltejs/kit", version)
        .file("apps/web/vite.config.ts", PLUGIN)
        .file("apps/web/svelte.config.js", "import adapter from '@sveltejs/adapter-static'; adapter()")
        .config("apps/web/svelte.config.js", config)
        .folder("node_modules", &[])
}

fn build(version: &str, config: &str) -> Declaration {
    declare(&call("vite", "build", &["svelte.config.js", "vite.config.ts"]), &host(version, config))
}

#[test]
fn builds_and_sync_are_its_own_and_the_rest_is_left_to_vite() {
    let configs = &["vite.config.ts"][..];
    for (program, args, files, expected) in [
        ("vite", "build", configs, Some("build")),
        ("vite", "build --mode x", configs, Some("build")),
        ("vite", "build", &[], None),
        ("vite", "dev", configs, None),
        ("vite", "preview", configs, None),
        ("vite", "", configs, None),
        ("vite", "build --help", configs, None),
        ("svelte-kit", "sync", &[], Some("sync")),
        ("svelte-kit", "", &[], None),
    ] {
        assert_eq!(
            call(program, args, files).detected_by::<SvelteKit>().as_deref(),
            expected,
            "{program} {args}"
        );
    }
}

#[test]
fn a_build_has_its_outputs_its_generated_files_and_its_caches() {
    let declaration = build("2.70.4", "{}");
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert!(declaration.empty_prefix_is_declared && declaration.inner_disable_cache);
    assert_eq!(patterns(&declaration.generated), ["apps/web/.svelte-kit", APP]);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/.svelte-kit/output", "apps/web/build"]);
    assert_eq!(variables(&declaration), ["NODE_ENV", "VITE_*", "PUBLIC_*"]);
    let caches: Vec<&str> = declaration.cache_dirs.iter().map(|dir| dir.path.pattern.as_str()).collect();
    assert!(
        caches.contains(&"node_modules/.vite-temp") && caches.contains(&"apps/web/.svelte-kit/adapter-*"),
        "{caches:?}"
    );
    assert_eq!(codes(&declaration), Vec::<&str>::new());
}

#[test]
fn sync_only_keeps_generated_files() {
    let call = call("svelte-kit", "sync", &["svelte.config.js", "vite.config.ts"]);
    let declaration = declare(&call, &host("2.70.4", "{}"));
    assert_eq!(patterns(&declaration.generated), ["apps/web/.svelte-kit", APP]);
    assert_eq!(patterns(&declaration.outputs), Vec::<&str>::new());
}

#[test]
fn fields_of_the_config_move_things() {
    let declaration = build(
        "2.70.4",
        r#"{"kit": {"outDir": "../kit", "env": {"publicPrefix": "OPEN_", "privatePrefix": "SECRET_"}}}"#,
    );
    assert_eq!(patterns(&declaration.generated), ["apps/kit", APP]);
    assert_eq!(patterns(&declaration.outputs)[0], "apps/kit/output");
    assert_eq!(variables(&declaration), ["NODE_ENV", "VITE_*", "OPEN_*", "SECRET_*"]);
}

#[test]
fn what_is_not_known_is_advice_and_the_default_holds() {
    let unknown = r#"{"$unknown": "a call"}"#;
    let declaration = build("2.70.4", &format!(r#"{{"kit": {{"outDir": {unknown}, "env": {unknown}}}}}"#));
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(patterns(&declaration.generated), ["apps/web/.svelte-kit", APP]);
    assert_eq!(variables(&declaration), ["NODE_ENV", "VITE_*", "PUBLIC_*"]);
    assert_eq!(
        codes(&declaration),
        ["kit-env-publicprefix-not-known", "kit-env-privateprefix-not-known", "kit-outdir-not-known"]
    );
    let inline = FakeHost::new().package("@sveltejs/kit", "3.2.0").file(
        "apps/web/vite.config.ts",
        "import { sveltekit } from '@sveltejs/kit/vite'; sveltekit({ outDir: 'x' })",
    );
    let declaration = declare(&call("vite", "build", &["vite.config.ts"]), &inline);
    assert_eq!(codes(&declaration), ["kit-not-known"]);
    for out_dir in [".", "..", "/abs"] {
        let declaration = build("2.70.4", &format!(r#"{{"kit": {{"outDir": "{out_dir}"}}}}"#));
        assert_eq!(patterns(&declaration.generated), [APP], "{out_dir}");
        assert_eq!(codes(&declaration), ["kit-outdir-not-known"], "{out_dir}");
    }
}

#[test]
fn what_is_no_app_of_a_known_version_is_left_to_the_adapter_of_vite() {
    let call = call("vite", "build", &["vite.config.ts"]);
    let other = FakeHost::new().file("apps/web/vite.config.ts", "export default {}");
    let cases = [
        ("not installed", FakeHost::new().file("apps/web/vite.config.ts", PLUGIN)),
        ("another package's", other.package("@sveltejs/kit", "2.70.4")),
        (
            "version 1",
            FakeHost::new().file("apps/web/vite.config.ts", PLUGIN).package("@sveltejs/kit", "1.0.0"),
        ),
        (
            "version 4",
            FakeHost::new().file("apps/web/vite.config.ts", PLUGIN).package("@sveltejs/kit", "4.0.0"),
        ),
    ];
    for (what, host) in cases {
        assert!(matches!(declare(&call, &host).verdict, Verdict::Unsure(_)), "{what}");
    }
    let by_manifest = FakeHost::new()
        .package("@sveltejs/kit", "2.70.4")
        .file("apps/web/vite.config.ts", "import config from '../shared'; export default config")
        .config("apps/web/package.json", r#"{"devDependencies": {"@sveltejs/kit": "^2"}}"#);
    assert_eq!(declare(&call, &by_manifest).verdict, Verdict::Cacheable);
}

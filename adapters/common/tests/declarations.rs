//! Calls on one side, what is believed of them on the other.

use overhear_adapter::{
    Adapter, Declaration, EnvSelector, FakeHost, Invocation, Match, Os, PackageRef, Verdict,
};
use overhear_adapter_common::Common;

fn call(program: &str, package: Option<&str>, args: &str) -> Invocation {
    Invocation {
        program: program.into(),
        tool: package.map(|name| PackageRef { name: name.into(), version: Some("1.0.0".into()) }),
        args: args.split_whitespace().map(str::to_owned).collect(),
        cwd: "packages/lib".into(),
        package_dir: "packages/lib".into(),
        config_files: Vec::new(),
        os: Os::Linux,
        settings: None,
    }
}

/// `None`: it is nobody's; otherwise the subcommand and the declaration, made without a question.
fn declared(program: &str, package: Option<&str>, args: &str) -> Option<(String, Declaration)> {
    let call = call(program, package, args);
    let Match::Yes(name) = Common::detect(&call) else { return None };
    let host = FakeHost::new();
    let declaration = Common::declare(&call, &name, &host).expect("the table has no failures");
    assert!(host.asked().is_empty(), "{program} {args}");
    Some((name, declaration))
}

#[test]
fn builds_checks_and_tests_are_cacheable() {
    let cases = [
        ("tsc", "typescript", "", "tsc"),
        ("tsc", "typescript", "-b --noEmit", "tsc"),
        ("vue-tsc", "vue-tsc", "--noEmit", "vue-tsc"),
        ("svelte-check", "svelte-check", "--tsconfig ./tsconfig.json", "svelte-check"),
        ("eslint", "eslint", ".", "eslint"),
        ("eslint", "eslint", "--fix --cache src", "eslint"),
        ("prettier", "prettier", "--check .", "prettier"),
        ("biome", "@biomejs/biome", "check --write .", "check"),
        ("oxlint", "oxlint", "", "oxlint"),
        ("esbuild", "esbuild", "src/a.ts --bundle --outdir=dist", "esbuild"),
        ("rollup", "rollup", "-c", "rollup"),
        ("rolldown", "rolldown", "-c", "rolldown"),
        ("tsdown", "tsdown", "src/index.ts", "tsdown"),
        ("tsup", "tsup", "src/index.ts", "tsup"),
        ("webpack", "webpack", "--mode production", "webpack"),
        ("webpack", "webpack", "build", "webpack"),
        ("rspack", "@rspack/cli", "build", "rspack"),
        ("vitest", "vitest", "run --coverage", "run"),
        ("vitest", "vitest", "--run src", "--run"),
        ("jest", "jest", "--ci -w 2", "jest"),
        ("astro", "astro", "build", "build"),
        ("react-router", "@react-router/dev", "typegen", "typegen"),
    ];
    for (program, package, args, subcommand) in cases {
        let (name, declaration) = declared(program, Some(package), args).expect(program);
        assert_eq!(
            (name.as_str(), declaration.verdict),
            (subcommand, Verdict::Cacheable),
            "{program} {args}"
        );
    }
    let (name, declaration) = declared("node", None, "--import tsx --test test/a.js").expect("node --test");
    assert_eq!((name.as_str(), declaration.verdict), ("--test", Verdict::Cacheable));
}

#[test]
fn servers_watchers_and_what_goes_by_history_are_never_cached() {
    let cases = [
        ("tsc", "typescript", "-w"),
        ("tsc", "typescript", "-b --watch"),
        ("eslint", "eslint", "--stdin"),
        ("biome", "@biomejs/biome", "start"),
        ("biome", "@biomejs/biome", "check --changed"),
        ("esbuild", "esbuild", "a.ts --watch=forever"),
        ("esbuild", "esbuild", "a.ts --serve=8000"),
        ("rollup", "rollup", "-c -w"),
        ("tsdown", "tsdown", "--watch src"),
        ("webpack", "webpack", "serve"),
        ("rspack", "@rspack/cli", "dev"),
        ("vitest", "vitest", ""),
        ("vitest", "vitest", "src/a.test.ts"),
        ("vitest", "vitest", "run --ui"),
        ("vitest", "vitest", "bench"),
        ("jest", "jest", "--watchAll"),
        ("jest", "jest", "--changedSince=main"),
        ("astro", "astro", "dev"),
        ("astro", "astro", "add react"),
        ("react-router", "@react-router/dev", "dev"),
    ];
    for (program, package, args) in cases {
        let (_, declaration) = declared(program, Some(package), args).expect(program);
        assert!(matches!(declaration.verdict, Verdict::Uncacheable(_)), "{program} {args}");
    }
    let (_, declaration) = declared("node", None, "--test --watch").expect("node --test");
    assert!(matches!(declaration.verdict, Verdict::Uncacheable(_)));
}

#[test]
fn what_is_not_in_the_table_is_not_known() {
    for (program, package, args) in [
        ("node", None, "build.js"),
        ("node", Some("node"), "--test"),
        ("tsc", Some("tsc"), ""),
        ("tsc", None, ""),
        ("webpack-dev-server", Some("webpack"), ""),
        ("eslint", Some("eslint"), "--version"),
        ("vitest", Some("vitest"), "run --help"),
    ] {
        assert_eq!(declared(program, package, args), None, "{program} {args}");
    }
}

#[test]
fn a_switch_that_is_turned_off_is_no_reason() {
    let (_, declaration) = declared("vitest", Some("vitest"), "run --watch=false").expect("vitest");
    assert_eq!(declaration.verdict, Verdict::Cacheable);
}

#[test]
fn variables_caches_and_state_come_from_the_row() {
    let (_, vitest) = declared("vitest", Some("vitest"), "run").expect("vitest");
    assert!(vitest.inner_disable_cache && !vitest.empty_prefix_is_declared);
    assert!(vitest.env.iter().any(|rule| rule.selector == EnvSelector::Prefix("VITE_".into())));
    assert!(vitest.env.iter().any(|rule| rule.selector == EnvSelector::Name("CI".into())));
    assert!(vitest.cache_dirs.iter().any(|dir| dir.path.pattern == "node_modules/.vite"));
    let (_, tsc) = declared("tsc", Some("typescript"), "-b").expect("tsc");
    assert_eq!(tsc.state_files[0].pattern, "**/*.tsbuildinfo");
    let (_, astro) = declared("astro", Some("astro"), "build").expect("astro");
    assert!(astro.inner_disable_cache && astro.empty_prefix_is_declared);
    assert_eq!(astro.generated[0].pattern, ".astro");
}

//! The table of well-known tools: calls on one side, what is believed of them on the other.

use super::*;
use crate::adapter::examine::{Subject, Trial};
use crate::declaration::{Declaration, EnvSelectRule, Verdict};
use std::sync::OnceLock;

/// `None`: it is nobody's; otherwise the subcommand and the declaration, made without a question.
fn declared(program: &str, package: Option<&str>, args: &str) -> Option<(String, Declaration)> {
    static COMMON: OnceLock<Subject> = OnceLock::new();
    let common = COMMON.get_or_init(|| Subject::built_in("common").unwrap().unwrap());
    let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
    let root = std::path::Path::new("/nowhere");
    let call = Call {
        program: &root.join(program),
        name: program,
        args: &args,
        cwd: &root.join("packages/lib"),
        package_dir: &root.join("packages/lib"),
        root,
        env: &|_| None,
    };
    let tool = package.map(|name| (name, "1.0.0"));
    let examined = common.examine(Trial { call, tool, settings: None, is_backwards: false });
    assert!(examined.asked.iter().all(|(question, _)| question == "the package of the program"));
    let declared = examined.declared.unwrap()?;
    Some((examined.subcommand.unwrap(), declared))
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
        ("vp", "vite-plus", "build", "build"),
        ("vp", "vite-plus", "test --coverage", "test"),
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
        ("vp", "vite-plus", "dev"),
        ("vp", "vite-plus", "test watch"),
        ("vp", "vite-plus", "pack --watch"),
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
    assert!(vitest.env.iter().any(|rule| rule.select == EnvSelectRule::Prefix("VITE_".into())));
    assert!(vitest.env.iter().any(|rule| rule.select == EnvSelectRule::Name("CI".into())));
    assert!(vitest.cache_dirs.iter().any(|dir| dir.pattern == "node_modules/.vite"));
    let (_, tsc) = declared("tsc", Some("typescript"), "-b").expect("tsc");
    assert_eq!(tsc.state_files[0].pattern, "**/*.tsbuildinfo");
    let (_, astro) = declared("astro", Some("astro"), "build").expect("astro");
    assert!(astro.inner_disable_cache && astro.empty_prefix_is_declared);
    assert_eq!(astro.generated[0].pattern, ".astro");
}

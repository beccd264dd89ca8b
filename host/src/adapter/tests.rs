//! The engine, the questions and the memo together: a built-in adapter on small workspaces, and guests
//! that mean harm.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod hostile;
mod script;

use super::*;
use crate::declaration::{Base, EnvSelectRule, Verdict};
use std::fs;
use std::path::PathBuf;

/// A workspace with one package that has vite installed.
struct Workspace {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Workspace {
    fn with_vite(version: &str, config: &str) -> Workspace {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let workspace = Workspace { _folder: folder, root };
        workspace.write("apps/web/package.json", r#"{"name": "web"}"#);
        workspace.write("node_modules/vite/bin/vite.js", "");
        workspace.install(version);
        fs::create_dir_all(workspace.root.join("node_modules/.bin")).unwrap();
        std::os::unix::fs::symlink("../vite/bin/vite.js", workspace.root.join("node_modules/.bin/vite"))
            .unwrap();
        workspace.write("apps/web/vite.config.ts", config);
        workspace
    }

    fn install(&self, version: &str) {
        let manifest = format!(r#"{{"name": "vite", "version": "{version}"}}"#);
        self.write("node_modules/vite/package.json", &manifest);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn declare(&self, adapters: &Adapters, args: &[&str]) -> Result<Option<Declaration>, AdapterFault> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let package = self.root.join("apps/web");
        adapters.declare(Call {
            program: &self.root.join("node_modules/.bin/vite"),
            name: "vite",
            args: &args,
            cwd: &package,
            package_dir: &package,
            root: &self.root,
            env: &|_| None,
        })
    }

    fn build(&self, adapters: &Adapters) -> Declaration {
        self.declare(adapters, &["build"]).unwrap().expect("vite is known")
    }
}

fn fresh() -> Adapters {
    Adapters::built_in(Arc::new(MapMemo::default()))
}

fn patterns(rules: &[crate::declaration::PathRule]) -> Vec<&str> {
    assert!(rules.iter().all(|rule| rule.base == Base::Workspace && !rule.why.is_empty()));
    rules.iter().map(|rule| rule.pattern.as_str()).collect()
}

fn variables(declaration: &Declaration) -> Vec<String> {
    let name = |select: &EnvSelectRule| match select {
        EnvSelectRule::Name(name) => name.clone(),
        EnvSelectRule::Prefix(prefix) => format!("{prefix}*"),
    };
    declaration.env.iter().map(|rule| name(&rule.select)).collect()
}

impl Adapters {
    fn guests_loaded(&self) -> usize {
        self.known.iter().filter(|known| known.guest.get().is_some()).count()
    }
}

#[test]
fn every_built_in_adapter_is_embedded_with_its_description() {
    for adapter in BUILT_IN {
        assert!(!adapter.programs.is_empty() && !adapter.version.is_empty(), "{}", adapter.id);
        let code = adapter.code;
        assert_eq!(Digest::of(code.wasm), code.digest);
        assert!(!code.cwasm.is_empty(), "{} is precompiled for this target", adapter.id);
        assert!(code.wasm.len() <= 80 * 1000, "{} has {} bytes", adapter.id, code.wasm.len());
    }
}

#[test]
fn a_build_is_declared_from_the_config_and_the_installed_version() {
    let workspace =
        Workspace::with_vite("7.3.8", "export default { build: { outDir: 'www' }, envPrefix: 'MYAPP_' }");
    let declaration = workspace.build(&fresh());
    assert_eq!(declaration.adapter.id, "vite");
    assert_eq!(declaration.adapter.subcommand, "build");
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(patterns(&declaration.outputs), ["apps/web/www"]);
    assert_eq!(variables(&declaration), ["NODE_ENV", "MYAPP_*"]);
    assert_eq!(
        patterns(&declaration.cache_dirs),
        [
            "apps/web/node_modules/.vite",
            "apps/web/node_modules/.vite-temp",
            "apps/node_modules/.vite-temp",
            "node_modules/.vite-temp"
        ],
        "the temporary config lies in the nearest node_modules, whichever that will be"
    );
}

#[test]
fn the_same_call_is_answered_by_the_memo_without_a_guest() {
    let workspace = Workspace::with_vite("7.3.8", "export default {}");
    let memo: Arc<MapMemo> = Arc::default();
    let cold = Adapters::built_in(memo.clone());
    let first = workspace.build(&cold);
    assert!(cold.guests_loaded() >= 1, "each adapter that the program may concern is asked");
    assert!(engines_created() >= 1);
    let warm = Adapters::built_in(memo);
    assert_eq!(workspace.build(&warm), first);
    assert_eq!(warm.guests_loaded(), 0);
}

#[test]
fn each_answer_that_changes_makes_the_adapter_be_asked_again() {
    type Change = fn(&Workspace);
    let changes: &[(&str, Change, bool)] = &[
        ("nothing", |_| {}, false),
        ("another file", |w| w.write("apps/web/src/main.ts", "1"), false),
        ("an output", |w| w.write("apps/web/dist/index.html", "1"), false),
        (
            "the config, with the same text",
            |w| w.write("apps/web/vite.config.ts", "export default {}"),
            false,
        ),
        (
            "the config",
            |w| w.write("apps/web/vite.config.ts", "export default { build: { outDir: 'x' } }"),
            true,
        ),
        ("the version", |w| w.install("6.4.6"), true),
        ("a config that comes first", |w| w.write("apps/web/vite.config.js", "export default {}"), true),
        ("the config is gone", |w| fs::remove_file(w.root.join("apps/web/vite.config.ts")).unwrap(), true),
        (
            "a nearer node_modules",
            |w| fs::create_dir_all(w.root.join("apps/web/node_modules")).unwrap(),
            false,
        ),
        (
            "the package is gone",
            |w| fs::remove_file(w.root.join("node_modules/vite/package.json")).unwrap(),
            true,
        ),
    ];
    for (what, change, asked) in changes {
        let workspace = Workspace::with_vite("7.3.8", "export default {}");
        let memo: Arc<MapMemo> = Arc::default();
        workspace.build(&Adapters::built_in(memo.clone()));
        change(&workspace);
        let second = Adapters::built_in(memo.clone());
        let after = workspace.build(&second);
        assert_eq!(second.guests_loaded() > 0, *asked, "{what}");
        assert_eq!(after, workspace.build(&fresh()), "{what}: as if nothing were remembered");
        let third = Adapters::built_in(memo);
        assert_eq!(workspace.build(&third), after, "{what}: remembered anew");
        assert_eq!(third.guests_loaded(), 0, "{what}: remembered anew");
    }
}

#[test]
fn other_arguments_are_another_question() {
    let workspace = Workspace::with_vite("8.3.8", "export default {}");
    let adapters = fresh();
    assert_eq!(workspace.build(&adapters).verdict, Verdict::Cacheable);
    for args in [&["dev"][..], &[], &["preview"], &["build", "--watch"], &["optimize"]] {
        let declaration = workspace.declare(&adapters, args).unwrap().unwrap();
        assert!(matches!(declaration.verdict, Verdict::Uncacheable(_)), "{args:?}");
    }
    assert_eq!(workspace.declare(&adapters, &["--version"]), Ok(None));
}

#[test]
fn an_unknown_version_is_as_if_no_adapter_were_there_with_the_reason() {
    let workspace = Workspace::with_vite("9.0.0", "export default {}");
    let declaration = workspace.build(&fresh());
    assert!(matches!(&declaration.verdict, Verdict::Unsure(reason) if reason.contains("9.0.0")));
    assert_eq!(declaration.outputs, []);
}

#[test]
fn a_computed_field_is_advice_that_names_it_and_its_file() {
    let workspace = Workspace::with_vite("7.3.8", "export default { build: { outDir: process.env.OUT } }");
    let declaration = workspace.build(&fresh());
    assert_eq!(declaration.verdict, Verdict::Cacheable);
    assert_eq!(declaration.outputs, []);
    assert_eq!(declaration.advice[0].code, "build-outdir-not-known", "{:?}", declaration.advice);
    assert!(declaration.advice[0].text.contains("build.outDir"));
    assert_eq!(declaration.advice[0].file.as_deref(), Some("apps/web/vite.config.ts"));
}

#[test]
fn a_config_that_cannot_be_read_costs_only_its_step() {
    let workspace = Workspace::with_vite("7.3.8", "export default {}");
    fs::remove_file(workspace.root.join("apps/web/vite.config.ts")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", workspace.root.join("apps/web/vite.config.ts")).unwrap();
    let memo: Arc<MapMemo> = Arc::default();
    let fault = workspace.declare(&Adapters::built_in(memo.clone()), &["build"]).unwrap_err();
    assert_eq!((fault.code.as_str(), fault.function.as_str()), ("outside-workspace", "declare"));
    assert!(fault.to_string().starts_with("adapter vite@"), "{fault}");
    let config = workspace.root.join("apps/web/vite.config.ts");
    fs::remove_file(&config).unwrap();
    fs::write(&config, "export default { build: { outDir: 'mended' } }").unwrap();
    let mended = workspace.build(&Adapters::built_in(memo));
    assert_eq!(patterns(&mended.outputs), ["apps/web/mended"], "nothing of the first try is in the way");
}

#[test]
fn a_program_that_no_adapter_names_is_not_looked_at() {
    let workspace = Workspace::with_vite("7.3.8", "export default {}");
    let adapters = fresh();
    let call = |program: &Path, name: &str| {
        adapters.declare(Call {
            program,
            name,
            args: &[],
            cwd: &workspace.root,
            package_dir: &workspace.root,
            root: &workspace.root,
            env: &|_| None,
        })
    };
    assert_eq!(call(Path::new("/bin/true"), "true"), Ok(None));
    workspace.write("node_modules/other/package.json", r#"{"name": "other", "version": "1.0.0"}"#);
    workspace.write("node_modules/other/run.js", "");
    assert_eq!(call(&workspace.root.join("node_modules/other/run.js"), "run.js"), Ok(None));
    assert_eq!(adapters.guests_loaded(), 0);
}

#[test]
fn several_threads_may_ask_at_once() {
    let workspace = Workspace::with_vite("7.3.8", "export default {}");
    let adapters = fresh();
    let expected = workspace.build(&adapters);
    std::thread::scope(|scope| {
        for mode in ["a", "b", "c", "d"] {
            let (adapters, workspace, expected) = (&adapters, &workspace, &expected);
            scope.spawn(move || {
                let declared = workspace.declare(adapters, &["build", "--mode", mode]).unwrap().unwrap();
                assert_eq!(declared.outputs, expected.outputs);
            });
        }
    });
}

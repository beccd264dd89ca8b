//! What a step of a workspace sees of the environment, and what a hit depends on, from outside: the
//! program is run as a user would run it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A workspace with one script, `node run.js`, which only loads `ask.js`: so no file that the command
/// names spells out a variable.
struct Workspace {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Workspace {
    fn new(ask: &str) -> Workspace {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(
            root.join("package.json"),
            r#"{"name":"web","private":true,"scripts":{"build":"node run.js"}}"#,
        )
        .unwrap();
        fs::write(root.join("run.js"), "require('./ask.js')\n").unwrap();
        fs::write(root.join("ask.js"), ask).unwrap();
        Workspace { root, _folder: folder }
    }

    /// What it printed, and the last line that overhear said.
    fn run(&self, env: &[(&str, &str)]) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overhear"));
        command.args(["run", "--cache", "build"]).current_dir(&self.root).env_clear();
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var_os(name).unwrap());
        }
        let output = command.envs(env.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        let said = text(output.stderr);
        assert!(output.status.success(), "{said}");
        (text(output.stdout), said.lines().last().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn check(&self, env: &[(&str, &str)], printed: &str, said: &str) {
        let (out, err) = self.run(env);
        assert_eq!(out, printed, "{err}");
        assert!(err.contains(said), "{err:?} does not say {said:?}");
    }
}

#[test]
fn a_variable_that_is_asked_for_by_name_is_served_and_a_hit_depends_on_it() {
    let web =
        Workspace::new("console.log(process.env.API_URL, Object.keys(process.env).includes('API_URL'))");
    web.check(&[("API_URL", "a"), ("OTHER", "1")], "a false", "first run");
    web.check(&[("API_URL", "a"), ("OTHER", "2")], "a false", "fresh");
    web.check(&[("API_URL", "b")], "b false", "API_URL changed");
    web.check(&[], "undefined false", "API_URL");
    web.check(&[("API_URL", "a")], "a false", "fresh");
}

#[test]
fn a_marker_of_ci_counts_only_where_it_is_asked_for() {
    let web = Workspace::new("console.log('built')");
    web.check(&[], "built", "first run");
    web.check(&[("CI", "true"), ("GITHUB_ACTIONS", "true")], "built", "fresh");
    let web = Workspace::new("console.log('CI' in process.env)");
    web.check(&[], "false", "first run");
    web.check(&[("CI", "true")], "true", "CI");
}

#[test]
fn switched_off_a_left_out_variable_is_learned_instead() {
    let web = Workspace::new("console.log(process.env.API_URL, process.env.CI)");
    let off = ("OVERHEAR_ACCEL", "0");
    web.check(&[off, ("API_URL", "a"), ("CI", "1")], "undefined 1", "API_URL");
    web.check(&[off, ("API_URL", "a"), ("CI", "1")], "a 1", "");
    web.check(&[off, ("API_URL", "a"), ("CI", "1")], "a 1", "fresh");
    web.check(&[off, ("API_URL", "a")], "a undefined", "CI");
}

#[test]
fn a_strict_workspace_hides_what_is_not_passed_and_says_who_asked() {
    let web = Workspace::new("console.log(process.env.API_URL)");
    fs::write(web.root.join("overhear.json"), r#"{"strictEnv": true}"#).unwrap();
    let (out, _) = web.run(&[("API_URL", "a")]);
    assert_eq!(out, "undefined");
    web.check(&[("API_URL", "b")], "undefined", "fresh");
}

#[test]
fn a_variable_that_a_shell_script_may_have_unset_is_learned() {
    let web =
        Workspace::new("require('child_process').execFileSync('sh', ['nested.sh'], { stdio: 'inherit' })");
    fs::write(web.root.join("nested.sh"), "unset API_URL\nnode show.js\n").unwrap();
    fs::write(web.root.join("show.js"), "console.log(process.env.API_URL)").unwrap();
    web.check(&[("API_URL", "a")], "a", "API_URL");
    web.check(&[("API_URL", "a")], "undefined", "");
    web.check(&[("API_URL", "a")], "undefined", "fresh");
}

#[test]
fn no_value_of_a_variable_is_stored() {
    let web =
        Workspace::new("require('fs').writeFileSync('length', String(process.env.SECRET_TOKEN.length))");
    let secret = "very-secret-value-83726";
    web.check(&[("SECRET_TOKEN", secret)], "", "first run");
    for entry in
        fs::read_dir(web.root.join(".overhear")).unwrap().flatten().filter(|entry| entry.path().is_file())
    {
        let content = fs::read(entry.path()).unwrap();
        assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()), "{entry:?}");
    }
}

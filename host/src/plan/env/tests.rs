//! Which variables a step sees, and which count.

use super::*;
use crate::config::TaskConfig;
use crate::event::StepId;
use crate::plan::{Invocation, Origin, PackageRef};
use std::sync::Arc;

fn step(command: &str, config: TaskConfig) -> Step {
    let part = crate::plan::command::split(command, Path::new("/w/apps/web")).remove(0);
    Step {
        id: Arc::new(StepId {
            index: 0,
            task: "web#build".into(),
            position: 0,
            command: command.into(),
            cwd: "apps/web".into(),
        }),
        package: Arc::new(PackageRef {
            name: Some("web".into()),
            version: Some("1.0.0".into()),
            dir: "/w/apps/web".into(),
        }),
        task_name: "build".into(),
        invocation: Invocation { env: part.invocation.env, run: part.invocation.run },
        cwd: "/w/apps/web".into(),
        config: Arc::new(config),
        origin: Origin::Script,
        waits_for: Vec::new(),
        requested: true,
        has_args: false,
        beside: None,
    }
}

fn vars(pairs: &[(&str, &str)]) -> Runner {
    runner(pairs, false)
}

fn runner(pairs: &[(&str, &str)], is_overheard: bool) -> Runner {
    let variables = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Runner::new(variables, Path::new("/w"), is_overheard)
}

fn around(runner: &Runner) -> Surroundings<'_> {
    Surroundings { runner, root: Path::new("/w"), from_dir: Path::new("/w/docs") }
}

fn get<'a>(passed: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
    passed.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.to_str())
}

/// What becomes of a variable named X... that the runner has.
fn fate(env: &StepEnv, name: &str) -> &'static str {
    let listed = |names: &[String]| names.iter().any(|own| own == name);
    match (env.tracked.get(name), listed(&env.untracked), listed(&env.left_out)) {
        (Some(Some(_)), false, false) => "tracked",
        (Some(None), false, false) => "absent",
        (None, true, false) => "untracked",
        (None, false, true) => "left out",
        (None, false, false) => "dropped",
        _ => "in two lists",
    }
}

#[test]
fn each_variable_has_one_fate() {
    let config = TaskConfig {
        env: ["API_*", "!API_DEBUG", "UNSET", "npm_config_registry"].map(String::from).to_vec(),
        untracked_env: ["GITHUB_TOKEN"].map(String::from).to_vec(),
        ..TaskConfig::default()
    };
    let declared = [
        EnvRule { select: EnvSelectRule::Prefix("VITE_".into()), mode: EnvMode::Tracked, why: String::new() },
        EnvRule { select: EnvSelectRule::Name("CI".into()), mode: EnvMode::Untracked, why: String::new() },
        EnvRule {
            select: EnvSelectRule::Name("OTHER".into()),
            mode: EnvMode::Untracked,
            why: "an adapter says so, and is not believed".into(),
        },
    ];
    let cases = [
        ("PATH", "untracked"),
        ("XDG_RUNTIME_DIR", "untracked"),
        ("http_proxy", "untracked"),
        ("NODE_ENV", "tracked"),
        ("LC_ALL", "tracked"),
        ("API_URL", "tracked"),
        ("API_DEBUG", "left out"),
        ("UNSET", "absent"),
        ("GITHUB_TOKEN", "untracked"),
        ("VITE_X", "tracked"),
        ("CI", "untracked"),
        ("GITHUB_ACTIONS", "tracked"),
        ("USED", "tracked"),
        ("USED_NOT", "left out"),
        ("IN_FILE", "tracked"),
        ("OTHER", "left out"),
        ("npm_execpath", "dropped"),
        ("PNPM_SCRIPT_SRC_DIR", "dropped"),
        ("npm_config_registry", "tracked"),
        ("npm_config_user_agent", "untracked"),
        ("OVERHEAR_IPC", "dropped"),
        ("VP_RUN_NODE_CLIENT_PATH", "dropped"),
    ];
    let set: Vec<(&str, &str)> =
        cases.iter().filter(|(_, fate)| *fate != "absent").map(|(name, _)| (*name, "v")).collect();
    let runner = vars(&set);
    let env = of_step(
        around(&runner),
        &step("sh build.sh --x=$USED", config),
        &declared,
        &[Arc::new(words(b"echo ${IN_FILE}"))],
    );
    for (name, expected) in cases {
        assert_eq!(fate(&env, name), expected, "{name}");
    }
    assert!(
        env.passed(&runner).iter().all(|(name, _)| name != "OTHER" && name != "API_DEBUG" && name != "UNSET")
    );
}

#[test]
fn markers_of_ci_are_left_out_where_reads_are_overheard() {
    let runner = runner(&[("CI", "true"), ("GITHUB_ACTIONS", "true")], true);
    let env = of_step(around(&runner), &step("vite build --ci=$CI", TaskConfig::default()), &[], &[]);
    assert_eq!((fate(&env, "CI"), fate(&env, "GITHUB_ACTIONS")), ("tracked", "left out"));
}

#[test]
fn a_name_that_was_asked_for_counts_unless_it_is_passed_anyway() {
    let config = TaskConfig {
        env: vec!["API_*".into()],
        untracked_env: vec!["GITHUB_TOKEN".into()],
        ..TaskConfig::default()
    };
    let removed =
        EnvRule { select: EnvSelectRule::Name("SECRET".into()), mode: EnvMode::Removed, why: String::new() };
    let cases = [
        ("OTHER", true),
        ("CI", true),
        ("NODE_DEBUG", true),
        ("API_URL", false),
        ("GITHUB_TOKEN", false),
        ("SECRET", false),
        ("NO_COLOR", false),
        ("NODE_ENV", false),
        ("npm_config_registry", false),
        ("OVERHEAR_IPC", false),
    ];
    for (name, expected) in cases {
        assert_eq!(counts_when_asked(name, &config, &[removed.clone()]), expected, "{name}");
    }
}

#[test]
fn a_step_gets_the_variables_that_package_managers_set() {
    let runner = vars(&[
        ("PATH", "/w/node_modules/.bin:/usr/lib/node-gyp-bin:/usr/bin:/o/node_modules/.bin"),
        ("INIT_CWD", "/x"),
        ("npm_package_name", "outer"),
    ]);
    let env = of_step(around(&runner), &step("vite build", TaskConfig::default()), &[], &[]);
    let expected = [
        (
            "PATH",
            "/w/apps/web/node_modules/.bin:/w/apps/node_modules/.bin:/w/node_modules/.bin:/usr/bin:/o/node_modules/.bin",
        ),
        ("INIT_CWD", "/w/apps/web"),
        ("npm_package_name", "web"),
        ("npm_package_version", "1.0.0"),
        ("npm_lifecycle_event", "build"),
        ("npm_package_json", "/w/apps/web/package.json"),
        ("OVERHEAR", "1"),
        ("OVERHEAR_TASK", "web#build"),
        ("VP_RUN", "1"),
        ("PWD", "/w/apps/web"),
        ("FORCE_COLOR", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(get(&env.passed(&runner), name), Some(value), "{name}");
    }
    let tracked: Vec<&str> = env.tracked.keys().map(String::as_str).collect();
    assert_eq!(tracked, ["npm_lifecycle_event", "npm_package_name", "npm_package_version"]);
}

#[test]
fn colours_are_forced_only_where_nobody_said_anything() {
    for (name, value) in [("NO_COLOR", "1"), ("FORCE_COLOR", "0")] {
        let runner = vars(&[(name, value)]);
        let env = of_step(around(&runner), &step("x", TaskConfig::default()), &[], &[]);
        assert_eq!(get(&env.passed(&runner), name), Some(value));
        assert_ne!(get(&env.passed(&runner), "FORCE_COLOR"), Some("1"));
    }
}

/// What a command printed without colours is no hit for who wants them.
#[test]
fn a_wish_for_no_colours_counts() {
    let counts = |variable: (&str, &str), config: TaskConfig| {
        let runner = vars(&[variable]);
        of_step(around(&runner), &step("x", config), &[], &[]).tracked.contains_key(variable.0)
    };
    let cases = [
        (("NO_COLOR", "1"), true),
        (("NO_COLOR", ""), false),
        (("FORCE_COLOR", "0"), true),
        (("FORCE_COLOR", "false"), true),
        (("FORCE_COLOR", "1"), false),
        (("FORCE_COLOR", "3"), false),
        (("CLICOLOR", "0"), false),
    ];
    for (variable, expected) in cases {
        assert_eq!(counts(variable, TaskConfig::default()), expected, "{variable:?}");
    }
    let config = TaskConfig { untracked_env: vec!["NO_COLOR".into()], ..TaskConfig::default() };
    assert!(!counts(("NO_COLOR", "1"), config));
}

#[test]
fn a_step_that_is_not_cached_sees_everything_but_what_is_dropped() {
    let runner =
        vars(&[("ANY", "1"), ("npm_execpath", "/x"), ("PATH", "/usr/bin"), ("npm_config_user_agent", "npm")]);
    let passed = whole(&runner, &set_uncached(around(&runner), &step("A=b x", TaskConfig::default())));
    assert_eq!(get(&passed, "ANY"), Some("1"));
    assert_eq!(get(&passed, "npm_execpath"), None);
    assert_eq!(get(&passed, "npm_config_user_agent"), Some("npm"));
    assert_eq!(get(&passed, "INIT_CWD"), Some("/w/docs"));
    assert_eq!(get(&passed, "A"), Some("b"));
}

#[test]
fn what_the_command_sets_itself_wins_and_is_not_tracked_twice() {
    let runner = vars(&[("NODE_ENV", "development")]);
    let env = of_step(around(&runner), &step("NODE_ENV=production x", TaskConfig::default()), &[], &[]);
    assert_eq!(get(&env.passed(&runner), "NODE_ENV"), Some("production"));
    assert!(!env.tracked.contains_key("NODE_ENV"));
}

#[test]
fn what_the_starter_of_overhear_set_is_for_no_command() {
    let cleaned = |value: &str| {
        let env = vec![("NODE_PATH".into(), value.into()), ("A".into(), "1".into())];
        let env = without_own_starter(env, Path::new("/w"));
        env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect::<Vec<_>>()
    };
    let starter = "/w/node_modules/.pnpm/overhear@1.0.0/node_modules:/w/node_modules/.pnpm/node_modules";
    assert_eq!(cleaned(starter), ["A=1"]);
    assert_eq!(cleaned(&format!("{starter}:/opt/lib")), ["NODE_PATH=/opt/lib", "A=1"]);
    assert_eq!(cleaned("/opt/lib"), ["NODE_PATH=/opt/lib", "A=1"]);
}

//! The npm package: its own tests, outside overhear and with a server; and as it is after `npm pack`.

#![allow(clippy::unwrap_used, missing_docs)]

use overhear::hint::{EnvSelect, Hint};
use overhear::ipc::{Server, ServerSpec};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-js");

fn server() -> Server {
    let env = [("SDK_A", "1"), ("SDK_B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Server::start(ServerSpec { env: Arc::new(BTreeMap::from(env)), ..ServerSpec::default() }).unwrap()
}

fn run(program: &str, args: &[&str], cwd: &Path, server: Option<&Server>) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(cwd).env_remove("OVERHEAR_IPC").env_remove("VP_RUN_NODE_CLIENT_PATH");
    command.envs(server.map(Server::child_env).unwrap_or_default());
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

#[test]
fn its_own_tests_pass_outside_overhear() {
    run("node", &["--test", "test/"], Path::new(PACKAGE), None);
}

#[test]
fn its_own_tests_pass_inside_and_all_is_told() {
    let server = server();
    run("node", &["--test", "test/"], Path::new(PACKAGE), Some(&server));
    let env = |name: &str, tracked| Hint::GetEnv { name: name.into(), tracked };
    let envs = |select| Hint::GetEnvs { select, tracked: true };
    assert_eq!(
        server.finish(&|_| false).unwrap(),
        [
            env("SDK_A", true),
            envs(EnvSelect::Glob("SDK_?".into())),
            env("SDK_B", false),
            env("SDK_NONE", true),
            envs(EnvSelect::Prefix("SDK_".into())),
            envs(EnvSelect::Glob("SDK.*".into())),
            Hint::IgnoreInput("/sdk/in".into()),
            Hint::IgnoreOutput("/sdk/out".into()),
            Hint::DisableCache,
            Hint::IgnoreInput("/sdk/worker".into()),
            env("SDK_WORKER", true),
        ]
    );
}

#[test]
fn packed_and_installed_it_works_from_both_kinds_of_module() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let quiet = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    let packed = run("npm", &["pack", PACKAGE, "--loglevel=error"], at, None);
    let archive = format!("./{}", packed.trim());
    let install = [&["install", &archive], quiet.as_slice()].concat();
    run("npm", &install, at, None);
    let server = server();
    let import = "import { getEnv } from 'overhear-client'; console.log(getEnv('SDK_B'))";
    assert_eq!(run("node", &["--input-type=module", "-e", import], at, Some(&server)), "2\n");
    let require = "console.log(require('overhear-client').getEnv('SDK_B'))";
    assert_eq!(run("node", &["-e", require], at, Some(&server)), "2\n");
    assert_eq!(server.finish(&|_| false).unwrap(), [Hint::GetEnv { name: "SDK_B".into(), tracked: true }]);
}

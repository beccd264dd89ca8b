//! A monorepo of real tools: ten libraries of tsc, five of tsdown, six apps of vite, tests of vitest and
//! eslint over all of them; installed by npm, pnpm and yarn, built and tested again and again, and held
//! against the same commands run directly.

use crate::installed;
use crate::tree::{Tree, assert_same};
use crate::world::{Done, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const LIBS: usize = 10;
const BUNDLES: usize = 5;
const APPS: usize = 6;

/// Who installs the workspace; it decides how packages are linked.
#[derive(Clone, Copy, PartialEq)]
enum Manager {
    Npm,
    Pnpm,
    Yarn,
}

/// One package: its manifest and its files.
fn write_package(
    world: &World,
    name: &str,
    scripts: Value,
    needs: &[String],
    range: &str,
    files: &[(&str, String)],
) {
    let dependencies: BTreeMap<String, &str> =
        needs.iter().map(|need| (format!("@m/{need}"), range)).collect();
    let entry = if name.starts_with("lib") { "./dist/index.js" } else { "./dist/index.mjs" };
    let manifest = json!({
        "name": format!("@m/{name}"), "version": "1.0.0", "type": "module", "private": true,
        "exports": { ".": { "types": "./dist/index.d.ts", "default": entry } },
        "scripts": scripts, "dependencies": dependencies,
    });
    world.write(&format!("packages/{name}/package.json"), &format!("{manifest:#}\n"));
    for (file, text) in files {
        world.write(&format!("packages/{name}/{file}"), text);
    }
}

fn write_packages(world: &World, range: &str) {
    for at in 0..LIBS {
        let needs: Vec<String> = (at.saturating_sub(2)..at).map(|need| format!("lib{need}")).collect();
        let imports: String = (at.saturating_sub(2)..at)
            .map(|need| format!("import {{ f{need} }} from \"@m/lib{need}\";\n"))
            .collect();
        let terms: String = (at.saturating_sub(2)..at).map(|need| format!("f{need}(x) + ")).collect();
        let config = json!({ "extends": "../../tsconfig.base.json", "compilerOptions": { "outDir": "dist", "rootDir": "src" }, "include": ["src"] });
        write_package(
            world,
            &format!("lib{at}"),
            json!({ "build": "tsc -p tsconfig.json", "lint": "eslint src" }),
            &needs,
            range,
            &[
                ("tsconfig.json", config.to_string()),
                (
                    "src/index.ts",
                    format!("{imports}export function f{at}(x: number): number {{\n  return {terms}x;\n}}\n"),
                ),
                ("src/extra.js", "export const extra = 1;\n".into()),
            ],
        );
    }
    for at in 0..BUNDLES {
        let scripts =
            json!({ "build": "tsdown src/index.ts --no-dts", "test": "vitest run", "lint": "eslint src" });
        write_package(
            world,
            &format!("bundle{at}"),
            scripts,
            &[format!("lib{at}")],
            range,
            &[
                (
                    "src/index.ts",
                    format!(
                        "import {{ f{at} }} from \"@m/lib{at}\";\nexport const b{at} = (x: number): number => f{at}(x) * 2;\n"
                    ),
                ),
                ("src/extra.js", "export const extra = 1;\n".into()),
                (
                    "test/b.test.js",
                    format!(
                        "import {{ expect, test }} from \"vitest\";\nimport {{ b{at} }} from \"../dist/index.mjs\";\ntest(\"b\", () => expect(b{at}(0)).toBe(0));\n"
                    ),
                ),
            ],
        );
    }
    for at in 0..APPS {
        let (bundle, lib) = (at % BUNDLES, LIBS - 1 - at);
        let scripts = json!({ "build": "vite build", "test": "vitest run", "lint": "eslint src" });
        write_package(
            world,
            &format!("app{at}"),
            scripts,
            &[format!("bundle{bundle}"), format!("lib{lib}")],
            range,
            &[
                ("index.html", "<!doctype html><script type=module src=/src/main.js></script>\n".into()),
                (
                    "src/main.js",
                    format!(
                        "import {{ b{bundle} }} from \"@m/bundle{bundle}\";\nimport {{ f{lib} }} from \"@m/lib{lib}\";\ndocument.title = String(b{bundle}(1) + f{lib}(2));\n"
                    ),
                ),
                (
                    "test/a.test.js",
                    format!(
                        "import {{ expect, test }} from \"vitest\";\nimport {{ f{lib} }} from \"@m/lib{lib}\";\ntest(\"f\", () => expect(f{lib}(0)).toBe(0));\n"
                    ),
                ),
            ],
        );
    }
}

fn monorepo(manager: Manager) -> World {
    let world = World::of("tests/fixtures/monorepo");
    let mut manifest: Value = serde_json::from_str(&world.read("package.json")).unwrap();
    match manager {
        Manager::Pnpm => world.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n"),
        Manager::Npm | Manager::Yarn => manifest["workspaces"] = json!(["packages/*"]),
    }
    world.write("package.json", &format!("{manifest:#}\n"));
    let options = json!({ "compilerOptions": {
        "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "strict": true, "declaration": true, "skipLibCheck": true, "types": []
    } });
    world.write("tsconfig.base.json", &options.to_string());
    world.write(
        "eslint.config.js",
        "export default [{ files: [\"**/*.js\"], rules: { \"no-unused-vars\": \"error\" } }];\n",
    );
    world.write(
        "overhear.json",
        &json!({ "scripts": { "test": { "dependsOn": ["build", "^build"] } } }).to_string(),
    );
    write_packages(&world, if manager == Manager::Pnpm { "workspace:*" } else { "*" });
    install(&world, manager);
    world
}

fn install(world: &World, manager: Manager) {
    let tools = world.beside("tools");
    std::fs::create_dir(&tools).unwrap();
    installed::copy_tree(&world.path("node_modules"), &tools);
    let bin = |name: &str| tools.join("node_modules/.bin").join(name).display().to_string();
    let (program, args): (String, &[&str]) = match manager {
        Manager::Npm => {
            ("npm".into(), &["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"])
        }
        Manager::Pnpm => {
            (bin("pnpm"), &["install", "--no-frozen-lockfile", "--ignore-scripts", "--prefer-offline"])
        }
        Manager::Yarn => (
            bin("yarn"),
            &[
                "install",
                "--ignore-scripts",
                "--no-progress",
                "--prefer-offline",
                "--non-interactive",
                "--ignore-engines",
            ],
        ),
    };
    if manager != Manager::Npm {
        world.remove("node_modules");
    }
    world.remove("package-lock.json");
    let mut command: Command = world.command(program);
    // Where the caller keeps what it has downloaded, and which registry it uses.
    let inherited = std::env::vars_os().filter(|(name, _)| {
        name == "HOME" || name.to_string_lossy().to_lowercase().starts_with("npm_config_")
    });
    let done = command.args(args).envs(inherited).env("CI", "1").output().unwrap();
    assert!(
        done.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Builds, tests and lints everything; how many steps ended in which way.
#[track_caller]
fn all(world: &World) -> (Done, BTreeMap<String, usize>) {
    let done = world.task(&["-r", "build,test,lint"]).done();
    assert_eq!(done.code, 0, "{done:?}");
    let mut counts = BTreeMap::new();
    done.statuses().iter().for_each(|status| *counts.entry((*status).to_owned()).or_default() += 1);
    (done, counts)
}

/// The packages in an order in which each comes after those that it needs.
fn in_order() -> impl Iterator<Item = String> {
    let of = |kind: &'static str, count: usize| (0..count).map(move |at| format!("{kind}{at}"));
    of("lib", LIBS).chain(of("bundle", BUNDLES)).chain(of("app", APPS))
}

/// Runs a script of a package as a person would who types its command, without overhear.
#[track_caller]
fn directly(world: &World, package: &str, script: &str) -> i32 {
    let folder = world.path(&format!("packages/{package}"));
    let manifest: Value =
        serde_json::from_str(&world.read(&format!("packages/{package}/package.json"))).unwrap();
    let Some(script) = manifest["scripts"][script].as_str() else { return 0 };
    let mut command = world.command("sh");
    let bins = [folder.join("node_modules/.bin"), world.path("node_modules/.bin")]
        .map(|bin| bin.display().to_string());
    let path = format!("{}:{}", bins.join(":"), std::env::var("PATH").unwrap());
    let output = command.args(["-c", script]).env("PATH", path).current_dir(folder).output().unwrap();
    output.status.code().unwrap()
}

fn remove_results(world: &World) {
    for package in in_order() {
        world.remove(&format!("packages/{package}/dist"));
    }
}

fn holds(manager: Manager) {
    let world = monorepo(manager);
    let steps = (LIBS + BUNDLES + APPS) * 2 + BUNDLES + APPS;
    let only = |status: &str| BTreeMap::from([(status.to_owned(), steps)]);
    assert_eq!(all(&world).1, only("ran"));
    let results =
        || world.tree("packages").into_iter().filter(|(path, _)| path.contains("/dist/")).collect::<Tree>();
    let built = results();
    assert!(built.len() > 2 * (LIBS + BUNDLES + APPS), "{built:?}");
    // vitest has made `node_modules/.vite` in packages where the builds had found no node_modules.
    let (second, counts) = all(&world);
    let with_modules = manager == Manager::Pnpm;
    assert!(counts == only("fresh") || !with_modules, "{second:?}");
    assert_eq!(all(&world).1, only("fresh"));
    assert_same(&results(), &built);

    // What the commands make when they are run directly is the same, and so nothing has changed.
    remove_results(&world);
    for script in ["build", "test", "lint"] {
        in_order()
            .for_each(|package| assert_eq!(directly(&world, &package, script), 0, "{package} {script}"));
    }
    assert_same(&results(), &built);
    assert_eq!(all(&world).1, only("fresh"));

    remove_results(&world);
    let (done, counts) = all(&world);
    assert_eq!(counts["restored"], LIBS + BUNDLES + APPS, "{done:?}");
    assert_eq!(counts.values().sum::<usize>(), counts["restored"] + counts["fresh"], "{done:?}");
    assert_same(&results(), &built);

    // The last library is used by the first app alone.
    world.edit("packages/lib9/src/index.ts", "x;", "x * 1;");
    let (done, _) = all(&world);
    let mut ran: Vec<&str> = done
        .steps
        .iter()
        .filter(|step| step["status"] == "ran")
        .map(|step| step["task"].as_str().unwrap())
        .collect();
    ran.sort_unstable();
    assert_eq!(ran, ["@m/app0#build", "@m/app0#test", "@m/lib9#build"], "{done:?}");
    let restored = results();
    assert_eq!(directly(&world, "lib9", "build") + directly(&world, "app0", "build"), 0);
    assert_same(&results(), &restored);
    world.edit("packages/app3/test/a.test.js", "toBe(0)", "toBe(1)");
    let done = world.task(&["-r", "--continue", "test"]).done();
    let failed: Vec<&Value> = done.steps.iter().filter(|step| step["status"] == "failed").collect();
    assert_eq!((done.code, failed.len()), (1, 1), "{done:?}");
    assert_eq!(failed[0]["task"], "@m/app3#test");
    assert_eq!(directly(&world, "app3", "test"), 1);
}

#[test]
fn a_monorepo_that_npm_installed_is_built_and_tested_once() {
    holds(Manager::Npm);
}

#[test]
fn a_monorepo_that_pnpm_installed_is_built_and_tested_once() {
    holds(Manager::Pnpm);
}

#[test]
fn a_monorepo_that_yarn_installed_is_built_and_tested_once() {
    holds(Manager::Yarn);
}

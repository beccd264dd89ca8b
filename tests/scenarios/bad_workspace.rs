//! Mistakes in the files of a workspace, one by one: each is told with its file, line and column and with
//! what to do, and nothing has run by then.

use crate::bad_input::is_error_with;
use crate::world::World;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A root with `packages/*` and these packages: name, and what stands in its package.json beside the
/// script `build`, which leaves a file `ran`.
fn workspace(packages: &[(&str, &str)]) -> World {
    let world = World::empty();
    world.write("package.json", "{\n  \"name\": \"root\",\n  \"workspaces\": [\"packages/*\"]\n}\n");
    for (name, more) in packages {
        world.write(&format!("packages/{name}/package.json"), &manifest(name, more));
    }
    world
}

fn manifest(name: &str, more: &str) -> String {
    format!("{{\n  \"name\": \"{name}\",\n  \"scripts\": {{ \"build\": \"touch ran\" }}{more}\n}}\n")
}

#[track_caller]
fn fails(world: &World, args: &[&str], texts: &[&str]) {
    is_error_with(&world.overhear(args).done(), texts);
    let ran = world.tree("").into_keys().find(|path| path.ends_with("ran"));
    assert_eq!(ran, None);
}

/// `build` fails with these texts where overhear.json is this.
#[track_caller]
fn config_fails(config: &str, texts: &[&str]) {
    let world = World::of_scripts(&[("build", "touch ran")]);
    world.write("overhear.json", config);
    fails(&world, &["run", "build"], texts);
}

#[test]
fn two_packages_of_one_name_are_named_both() {
    let world = workspace(&[("a", "")]);
    world.write("packages/b/package.json", &manifest("a", ""));
    let texts = [
        "two packages are named `a`",
        "packages/b/package.json:2:11",
        "the other is packages/a/package.json; give one of them another name",
    ];
    fails(&world, &["run", "-r", "build"], &texts);
}

#[test]
fn packages_without_name_or_version_go_by_their_folder() {
    let world = workspace(&[]);
    world.write("packages/a/package.json", r#"{"scripts": {"build": "touch ran"}}"#);
    world.write("packages/b/package.json", r#"{"version": "1.0.0", "scripts": {"build": "touch ran"}}"#);
    let done = world.task(&["-r", "build"]).done();
    let mut tasks: Vec<&str> = done.steps.iter().map(|step| step["task"].as_str().unwrap()).collect();
    tasks.sort_unstable();
    assert_eq!((done.code, tasks), (0, vec!["packages/a#build", "packages/b#build"]), "{done:?}");
    world.remove("packages/a/ran");
    assert_eq!(world.task(&["packages/a#build"]).done().code, 0);
    assert!(world.path("packages/a/ran").exists());
}

#[test]
fn packages_that_depend_on_each_other_are_told_with_the_way_and_a_place_to_cut_it() {
    let needs = |other: &str| {
        format!(",\n  \"dependencies\": {{\n    \"{other}\": \"*\"\n  }},\n  \"version\": \"1.0.0\"")
    };
    let world = workspace(&[("a", &needs("b")), ("b", &needs("c")), ("c", &needs("a"))]);
    let texts = [
        "a#build → b#build → c#build → a#build",
        "packages/a/package.json:5:5",
        "remove one of the dependencies from package.json, or run without order (--parallel)",
    ];
    fails(&world, &["run", "-r", "build"], &texts);
    world.write("overhear.json", r#"{"scripts": {"build": {"dependsOn": ["^build"]}}}"#);
    fails(
        &world,
        &["run", "b#build"],
        &["b#build", "→", "package.json:5:5", "remove one of the dependencies"],
    );
    let parallel = world.task(&["-r", "--parallel", "--ignore-depends-on", "build"]).done();
    assert_eq!((parallel.code, parallel.steps.len()), (0, 3), "{parallel:?}");
}

#[test]
fn tasks_that_wait_for_each_other_are_told_with_the_line_of_one() {
    let config = "{\"tasks\": {\n  \"build\": {\"command\": \"touch ran\"},\n  \"x\": {\"command\": \"touch ran\", \"dependsOn\": [\"y\"]},\n  \"y\": {\"command\": \"touch ran\", \"dependsOn\": [\"x\"]}\n}}";
    let world = World::of_scripts(&[("a", "npm run b"), ("b", "npm run a")]);
    world.write("overhear.json", config);
    fails(
        &world,
        &["run", "x"],
        &["app#x → app#y → app#x", "overhear.json:3:47", "take one out of `dependsOn`"],
    );
    fails(&world, &["run", "a"], &["app#a → app#b → app#a", "package.json:", "the command that calls it"]);
}

#[test]
fn a_task_that_is_both_a_script_and_configured_is_told_with_both_places() {
    config_fails(
        "{\n  \"tasks\": { \"build\": \"touch ran\" }\n}",
        &[
            "both a task here and a script of package.json (line ",
            "overhear.json:2:14",
            "rename one",
            "\"scripts\": {\"build\": {…}}",
        ],
    );
}

#[test]
fn unknown_keys_are_asked_back_wherever_they_stand() {
    let cases = [
        ("{\n  \"task\": {}\n}", "`task`", ":2:3", "did you mean `tasks`?"),
        ("{\"tasks\": {\n  \"x\": {\"comand\": \"a\"}}}", "`comand`", ":2:9", "did you mean `command`?"),
        (
            "{\"tasks\": {\n  \"x\": {\"cache\": {\"inputs\": []}}}}",
            "`inputs`",
            ":2:19",
            "it is called `input` here",
        ),
        (
            "{\"tasks\": {\n  \"x\": {\"readyWhen\": {\"prot\": 1}}}}",
            "`prot`",
            ":2:23",
            "did you mean `port`?",
        ),
        (
            "{\"scripts\": {\n  \"build\": {\"outputs\": []}}}",
            "`outputs`",
            ":2:13",
            "it is called `output` here",
        ),
        ("{\n  \"cache\": {\"script\": true}}", "`script`", ":2:13", "did you mean `scripts`?"),
        ("{\"tasks\": {\n  \"x\": {\"zzz\": 1}}}", "`zzz`", ":2:9", "known keys here: command, cwd"),
    ];
    for (config, key, place, help) in cases {
        config_fails(config, &["unknown key", key, &format!("overhear.json{place}"), help]);
    }
}

#[test]
fn values_of_a_wrong_type_say_what_is_expected() {
    let cases = [
        ("{\n  \"cache\": 1}", ":2:12", "`cache` must be true, false or an object, but is a number"),
        ("{\n  \"env\": \"X\"}", ":2:10", "`env` must be a list, but is a string"),
        ("{\n  \"untrackedEnv\": [1]}", ":2:20", "`untrackedEnv` must be a list of names"),
        ("{\n  \"strictEnv\": \"yes\"}", ":2:16", "`strictEnv` must be true or false"),
        ("{\n  \"adapters\": []}", ":2:15", "`adapters` must be an object, but is a list"),
        ("{\"tasks\": {\n  \"x\": 3}}", ":2:8", "`x` must be a command, a list of commands or an object"),
        (
            "{\"tasks\": {\n  \"x\": {\"command\": {}}}}",
            ":2:20",
            "`command` must be a string or a list of strings",
        ),
        ("{\"tasks\": {\n  \"x\": {\"dependsOn\": \"y\"}}}", ":2:22", "`dependsOn` must be a list"),
        (
            "{\"tasks\": {\n  \"x\": {\"dependsOn\": [{\"from\": \"all\"}]}}}",
            ":2:32",
            "`from` names no kind of dependency",
        ),
        ("{\"tasks\": {\n  \"x\": {\"input\": \"src\"}}}", ":2:18", "`input` must be a list"),
        ("{\"tasks\": {\n  \"x\": {\"output\": [1]}}}", ":2:20", "`output` must be a list of globs"),
        ("{\"tasks\": {\n  \"x\": {\"log\": \"some\"}}}", ":2:16", "unknown value of `log`"),
        ("{\"tasks\": {\n  \"x\": {\"readyWhen\": {\"port\": \"a\"}}}}", ":2:31", "`port` must be a number"),
        ("{\"tasks\": {\n  \"x\": {\"cwd\": \"../..\"}}}", ":2:16", "`cwd` leads out of the workspace"),
        ("{\"tasks\": {\n  \"x\": {\"input\": [\"../../a\"]}}}", ":2:19", "leads out of the workspace"),
        ("{\"tasks\": {},\n  \"tasks\": {}}", ":2:3", "`tasks` is written twice"),
        ("[]", ":1:1", "must hold an object, but holds a list"),
        ("", ":1:1", "the file is empty"),
    ];
    for (config, place, text) in cases {
        config_fails(config, &[text, &format!("overhear.json{place}"), "help: "]);
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    config_fails("{\n  \"env\": 1,\n  \"tusks\": {}\n}", &["overhear.json:2:10", "overhear.json:3:3"]);
}

#[test]
fn depends_on_of_nothing_is_told_with_its_place() {
    let cases = [
        ("biuld", "package `app` has no task `biuld`", "did you mean `build`?"),
        ("app#zzz", "package `app` has no task `zzz`", "remove it, or add the task"),
        ("nobody#build", "no package `nobody`", "`overhear list` shows the packages"),
        ("^zzz", "no package has a task `zzz`", "remove it, or add the task"),
        ("#", "`#` names no task", "write \"task\", \"^task\""),
    ];
    for (member, text, help) in cases {
        let config = format!("{{\"scripts\": {{\n  \"build\": {{\"dependsOn\": [\"{member}\"]}}}}}}");
        config_fails(&config, &[text, "overhear.json:2:27", help]);
    }
}

#[test]
fn a_glob_that_leads_out_of_the_workspace_is_told_with_its_place() {
    let world = workspace(&[]);
    world.write("package.json", "{\n  \"workspaces\": [\"packages/*\", \"../other/*\"]\n}\n");
    let out = "the glob `../other/*` leads out of the workspace";
    fails(&world, &["run", "build"], &[out, "package.json:2:32", "packages must lie below"]);
    world.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n  - ../other/*\n");
    fails(&world, &["run", "build"], &[out, "pnpm-workspace.yaml:3:5", "packages must lie below"]);
}

#[test]
fn a_package_that_a_link_leads_out_to_is_told() {
    let world = workspace(&[("a", "")]);
    std::fs::create_dir(world.beside("other")).unwrap();
    std::fs::write(world.beside("other").join("package.json"), manifest("other", "")).unwrap();
    symlink("../../other", world.path("packages/other")).unwrap();
    let text = "package packages/other leads out of the workspace through a symlink";
    fails(&world, &["run", "-r", "build"], &[text, "exclude it with a glob that starts with !"]);
}

#[test]
fn a_pnpm_workspace_file_that_cannot_be_read_is_told_with_its_place() {
    let world = workspace(&[]);
    let cases = [
        ("packages:\n  - \"packages/*\n", ":2:5", "not valid YAML"),
        ("packages: packages/*\n", ":1:11", "`packages` must be a list of globs"),
        ("packages:\n  - [a]\n", ":2:5", "must be a string"),
        ("packages:\n  - packages/{a\n", ":2:5", "`packages/{a` is not a valid glob"),
    ];
    for (text, place, message) in cases {
        world.write("pnpm-workspace.yaml", text);
        fails(&world, &["run", "build"], &[message, &format!("pnpm-workspace.yaml{place}"), "help: "]);
    }
}

#[test]
fn links_that_lead_in_circles_end_the_search_and_hold_no_packages() {
    let world = workspace(&[("a", "")]);
    world.edit("package.json", "packages/*", "packages/**");
    for (link, to) in [("a/up", ".."), ("self", "self"), ("root", "../.."), ("dot", ".")] {
        symlink(to, world.path(&format!("packages/{link}"))).unwrap();
    }
    let done = world.task(&["-r", "build"]).done();
    assert_eq!((done.code, done.steps.len()), (0, 1), "{done:?}");
    world.remove("packages/a/ran");
    symlink("overhear.json", world.path("overhear.json")).unwrap();
    fails(&world, &["run", "-r", "build"], &["overhear.json", "links there lead in a circle"]);
}

#[test]
fn a_package_that_may_not_be_read_is_told_with_what_to_do() {
    let world = workspace(&[("a", ""), ("closed", "")]);
    let closed = world.path("packages/closed");
    std::fs::set_permissions(&closed, Permissions::from_mode(0)).unwrap();
    // Root may read everything: then there is nothing to show.
    if std::fs::read_dir(&closed).is_err() {
        let texts = ["packages/closed/package.json: Permission denied", "exclude that with a glob"];
        fails(&world, &["run", "-r", "build"], &texts);
    }
    std::fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    world.remove("packages/closed/package.json");
    world.write("packages/closed/package.json/inside", "a folder where a file should be");
    let texts = ["packages/closed/package.json: Is a directory", "remove what is there"];
    fails(&world, &["run", "-r", "build"], &texts);
}

#[test]
fn a_package_json_of_five_megabytes_is_read_and_a_mistake_at_its_end_is_shown() {
    let world = World::empty();
    let long = format!("\"{}\"", "ä".repeat(2_500_000));
    world.write(
        "package.json",
        &format!("{{\"name\": \"app\", \"long\": {long}, \"scripts\": {{\"build\": \"touch ran\"}}}}"),
    );
    assert_eq!(world.task(&["build"]).done().code, 0);
    world.remove("ran");
    world.edit("package.json", "\"build\": \"touch ran\"", "\"build\": 1");
    let done = world.overhear(&["run", "build"]).done();
    is_error_with(&done, &["script `build` must be a string", "package.json:1:2500050"]);
    assert!(done.err.len() < 1000, "only what surrounds the mistake is shown");
}

#[test]
fn invalid_json_is_told_with_its_place_and_what_to_write() {
    let world = World::empty();
    let cases = [
        ("{\n  \"name\": \"a\",\n}", ":2:14", "remove the comma"),
        ("{\n  \"name\": \"a\"\n", ":2:13", "close it with }"),
        ("{\n  \"scripts\": [\"a\"\n", ":2:17", "close it with ]"),
        ("{\n  // said\n  \"name\": \"a\"\n}", ":2:3", "remove the comment"),
        ("{\n  \"name\": \"a\" \"version\": \"1\"\n}", ":2:14", "write a comma there"),
        ("{\n  \"name\" \"a\"\n}", ":2:10", "write a colon there"),
        ("{}\nx", ":2:1", "help: "),
        ("", ":1:1", "write at least {}"),
        ("null", ":1:1", "write {\"name\": …, \"scripts\": {…}}"),
    ];
    for (text, place, help) in cases {
        world.write("package.json", text);
        fails(&world, &["run", "build"], &[&format!("package.json{place}"), help]);
    }
    std::fs::write(world.path("package.json"), b"{\n  \"name\": \"\xff\"\n}").unwrap();
    fails(&world, &["run", "build"], &["package.json: line 2 is not UTF-8", "save it as UTF-8"]);
}

#[test]
fn json_that_is_nested_beyond_reason_is_an_error_and_no_crash() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    config_fails(&format!("{{\"tasks\": {deep}}}"), &["overhear.json:1:", "nesting"]);
}

/// Packages are never left out in silence.
#[test]
fn where_packages_could_lie_unseen_it_is_told() {
    let world = workspace(&[("a", "")]);
    for file in
        ["overhear.json", "pnpm-workspace.yaml", "packages/a/overhear.json", "packages/b/package.json"]
    {
        std::fs::create_dir_all(world.path(file).parent().unwrap()).unwrap();
        symlink("nowhere", world.path(file)).unwrap();
        fails(&world, &["run", "-r", "build"], &[file, "a link to nowhere", "remove it"]);
        world.remove(file);
    }
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"c\xff");
    let odd = world.path("packages").join::<&std::ffi::OsStr>(odd);
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("package.json"), manifest("c", "")).unwrap();
    let done = world.overhear(&["run", "-r", "build"]).done();
    is_error_with(&done, &["packages/c", "is not UTF-8", "rename it"]);
    assert!(!world.path("packages/a/ran").exists());
}

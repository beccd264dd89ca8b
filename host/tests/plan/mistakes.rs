//! What people get wrong in their files, and what they are told.

use super::*;

#[test]
fn no_package_json_at_all() {
    let fixture = Fixture::new(&[("src/x", "")]);
    let shown = fixture.shown(fixture.load_from("src").expect_err("there is no package"));
    assert_eq!(
        shown,
        "no package.json in src or any folder above it\n = help: go to the folder of a package, or name one with -C"
    );
}

#[test]
fn mistakes_of_package_json_are_shown_with_their_place() {
    let cases = [
        (
            "{\n  \"name\": \"a\",\n  \"scripts\": {\n    \"build\": \"x\",\n  }\n}",
            "package.json is not valid JSON: trailing commas are not allowed\n --> package.json:4:17\n  |\n4 |     \"build\": \"x\",\n  |                 ^",
        ),
        (
            "{\n  \"name\": \"a\"\n  \"version\": \"1\"\n}",
            "package.json is not valid JSON: expected comma\n --> package.json:2:14\n  |\n2 |   \"name\": \"a\"\n  |              ^",
        ),
        (
            "{\"scripts\": {\"build\": 1}}",
            "script `build` must be a string, but is a number\n --> package.json:1:23\n  |\n1 | {\"scripts\": {\"build\": 1}}\n  |                       ^\n  = help: write \"build\": \"command\"",
        ),
        (
            "{\"name\": [], \"scripts\": \"x\"}",
            "`name` must be a string, but is a list\n --> package.json:1:10\n  |\n1 | {\"name\": [], \"scripts\": \"x\"}\n  |          ^^\n  = help: write \"name\": \"web\"\n\n`scripts` must be an object, but is a string\n --> package.json:1:25\n  |\n1 | {\"name\": [], \"scripts\": \"x\"}\n  |                         ^^^\n  = help: write \"scripts\": {\"build\": \"command\"}",
        ),
        (
            "[]",
            "package.json must be an object, but is a list\n --> package.json:1:1\n  |\n1 | []\n  | ^^\n  = help: write {\"name\": …, \"scripts\": {…}}",
        ),
        (
            "",
            "package.json is empty\n --> package.json:1:1\n  |\n1 | \n  | ^\n  = help: write at least {}, or remove the file",
        ),
    ];
    for (text, expected) in cases {
        let shown = Fixture::new(&[("package.json", text)]).mistakes();
        assert!(shown.starts_with(expected), "{text}\n--- shown\n{shown}\n--- expected\n{expected}");
    }
}

#[test]
fn mistakes_of_workspace_files_are_shown_with_their_place() {
    let pnpm = |text: &str| Fixture::new(&[("pnpm-workspace.yaml", text), ("package.json", "{}")]).mistakes();
    assert_eq!(
        pnpm("packages:\n  - '../x/*'\n"),
        "the glob `../x/*` leads out of the workspace\n --> pnpm-workspace.yaml:2:5\n  |\n2 |   - '../x/*'\n  |     ^^^^^^^^\n  = help: packages must lie below the folder of this file; move the file up, or\n          the packages in"
    );
    assert!(
        pnpm("packages: 'a'\n")
            .starts_with("`packages` must be a list of globs\n --> pnpm-workspace.yaml:1:11\n")
    );
    // What does not end is missing where the text ends, and not on an empty line below it.
    assert!(pnpm("packages: [a\n\n").contains("\n --> pnpm-workspace.yaml:1:12\n"));
    assert!(pnpm("packages: [a\nb: c: d\n").starts_with("pnpm-workspace.yaml is not valid YAML: "));
    assert!(
        pnpm("packages:\n  - {a: b}\n")
            .starts_with("a glob of `packages` must be a string\n --> pnpm-workspace.yaml:2:5\n")
    );
    let npm = Fixture::new(&[("package.json", "{\n  \"workspaces\": [\"a/*\", \"/srv/*\"]\n}")]).mistakes();
    assert!(
        npm.starts_with("the glob `/srv/*` leads out of the workspace\n --> package.json:2:25\n"),
        "{npm}"
    );
}

#[test]
fn two_packages_of_one_name_are_an_error_that_names_both() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"*\"]}"),
        ("a/package.json", "{\n  \"name\": \"x\"\n}"),
        ("b/package.json", "{\n  \"name\": \"x\"\n}"),
    ]);
    assert_eq!(
        fixture.mistakes(),
        "two packages are named `x`\n --> b/package.json:2:11\n  |\n2 |   \"name\": \"x\"\n  |           ^^^\n  = help: the other is a/package.json; give one of them another name"
    );
}

#[test]
fn a_package_that_a_symlink_leads_outside_is_an_error() {
    let fixture = Fixture::new(&[
        ("root/package.json", "{\"workspaces\": [\"*\"]}"),
        ("out/package.json", "{\"name\": \"o\"}"),
    ]);
    std::os::unix::fs::symlink("../out", fixture.root().join("root/out")).expect("links can be made");
    let problems = fixture.load_from("root").expect_err("the link leads outside");
    assert!(
        problems.to_string().starts_with("package out leads out of the workspace through a symlink"),
        "{problems}"
    );
}

#[test]
fn mistakes_of_overhear_json_say_what_to_write_instead() {
    // Text, then the message, the marked text and the help of each problem.
    let cases: &[(&str, &[(&str, &str, &str)])] = &[
        ("{\"tusks\": {}}", &[("unknown key `tusks`", "\"tusks\"", "did you mean `tasks`?")]),
        (
            "{\"tasks\": {\"a\": {\"dependson\": []}}}",
            &[("unknown key `dependson`", "\"dependson\"", "did you mean `dependsOn`?")],
        ),
        (
            "{\"tasks\": {\"a\": 1}}",
            &[(
                "`a` must be a command, a list of commands or an object, but is a number",
                "1",
                "write \"a\": \"command\"",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"cache\": \"yes\"}}}",
            &[(
                "`cache` must be true, false or an object, but is a string",
                "\"yes\"",
                "write \"cache\": true or \"cache\": false",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"env\": \"X\"}}}",
            &[("`env` must be a list, but is a string", "\"X\"", "write \"env\": [\"API_URL\", \"VITE_*\"]")],
        ),
        (
            "{\"env\": [\"X=1\"]}",
            &[(
                "`X=1` is not the name of a variable",
                "\"X=1\"",
                "write the name alone, such as \"API_URL\"; values are taken from the environment",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"input\": [\"../x\", \"/etc/**\"], \"output\": [\"a{\"]}}}",
            &[
                (
                    "the glob `../x` leads out of the workspace",
                    "\"../x\"",
                    "name files of the workspace only; what lies outside is tracked without being named",
                ),
                (
                    "the glob `/etc/**` leads out of the workspace",
                    "\"/etc/**\"",
                    "globs are relative to the package; for the root write {\"pattern\": …, \"base\": \"workspace\"}",
                ),
                (
                    "`a{` is not a valid glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
                    "\"a{\"",
                    "put \\ before a character that is meant as it is",
                ),
            ],
        ),
        (
            "{\"globalEnv\": [], \"globalDependencies\": []}",
            &[
                ("unknown key `globalEnv`", "\"globalEnv\"", "it is called `env` here"),
                (
                    "unknown key `globalDependencies`",
                    "\"globalDependencies\"",
                    "it is called `input` here, and stands in an entry of `scripts` or `tasks`",
                ),
            ],
        ),
        (
            "{\"scripts\": {\"build\": {\"outputs\": [], \"deps\": [], \"files\": []}}}",
            &[
                ("unknown key `outputs`", "\"outputs\"", "it is called `output` here"),
                ("unknown key `deps`", "\"deps\"", "it is called `dependsOn` here"),
                ("unknown key `files`", "\"files\"", "it is called `input` here"),
            ],
        ),
        (
            "{\"pipeline\": {}}",
            &[(
                "unknown key `pipeline`",
                "\"pipeline\"",
                "what holds for scripts of package.json is in `scripts` here, and tasks with a command of their own \
                 are in `tasks`; `overhear init --from` carries it over",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"readyWhen\": {\"port\": 70000}}}}",
            &[("`port` must be a number from 1 to 65535, but is 70000", "70000", "write \"port\": 5173")],
        ),
        (
            "{\"cache\": {\"remote\": {}}}",
            &[("`remote` is reserved: there is no remote cache yet", "\"remote\"", "remove this key")],
        ),
        (
            "{\"cache\": {\"maxSize\": \"big\"}}",
            &[("`big` is not a size", "\"big\"", "write \"maxSize\": \"10GB\"")],
        ),
        (
            "{\"tasks\": {\"a\": {\"log\": \"loud\"}}}",
            &[(
                "unknown value of `log`",
                "\"loud\"",
                "write \"full\", \"new-only\", \"errors-only\" or \"none\"",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"cwd\": \"../..\"}}}",
            &[(
                "`cwd` leads out of the workspace: ../..",
                "\"../..\"",
                "name a folder relative to the package",
            )],
        ),
        (
            "{\"tasks\": {\"a#b\": \"x\"}}",
            &[(
                "`a#b` cannot be the name of a task",
                "\"a#b\"",
                "write the name of the task alone; `#` stands between a package and a task",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"dependsOn\": [\"^\"]}}}",
            &[(
                "`^` names no task",
                "\"^\"",
                "write \"task\", \"^task\" (of the packages it depends on) or \"package#task\"",
            )],
        ),
        (
            "{\"tasks\": {\"a\": {\"dependsOn\": [{\"task\": \"b\", \"from\": \"deps\"}]}}}",
            &[(
                "`from` names no kind of dependency",
                "\"deps\"",
                "write \"dependencies\", \"devDependencies\", \"peerDependencies\" or \"optionalDependencies\"",
            )],
        ),
        (
            "{\"tasks\": {\"a\": \"x\", \"a\": \"y\"}}",
            &[("`a` is written twice", "\"a\"", "keep one of the two")],
        ),
        (
            "{\"tasks\": {\"a\": {\"cache\": {\"env\": []}, \"env\": []}}}",
            &[("`env` stands both in `cache` and beside it", "\"env\"", "keep one of the two")],
        ),
        (
            "{\"scripts\": {\"build\": {\"command\": \"x\"}}}",
            &[(
                "`command` is not for entries of `scripts`",
                "\"command\"",
                "a script has its command in package.json; put the task into `tasks` under a name of its own",
            )],
        ),
        (
            "{\"scripts\": {\"biuld\": {}}}",
            &[("package.json has no script `biuld`", "\"biuld\"", "did you mean `build`?")],
        ),
        (
            "{\"tasks\": {\"build\": \"x\"}}",
            &[(
                "`build` is both a task here and a script of package.json (line 1)",
                "\"build\"",
                "rename one; to give the script settings write \"scripts\": {\"build\": {…}} and leave its command in package.json",
            )],
        ),
        (
            "[]",
            &[(
                "the file must hold an object, but holds a list",
                "[]",
                "write {\"tasks\": {\"build\": \"command\"}}, or remove the file",
            )],
        ),
    ];
    for (text, expected) in cases {
        let fixture =
            Fixture::new(&[("package.json", "{\"scripts\": {\"build\": \"x\"}}"), ("overhear.json", text)]);
        let problems = fixture.load_from("").expect_err(text);
        let found: Vec<(String, String, String)> = problems
            .0
            .iter()
            .map(|problem| {
                let place = problem.place.as_ref().expect("it is in a file");
                let marked: String = place.text.chars().skip(place.indent).take(place.width).collect();
                (problem.message.clone(), marked, problem.help.clone().unwrap_or_default())
            })
            .collect();
        let found: Vec<(&str, &str, &str)> =
            found.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn comments_and_trailing_commas_are_fine_and_broken_json_is_not() {
    let good = Fixture::new(&[
        ("package.json", "{}"),
        ("overhear.json", "\u{feff}// why\n{ \"tasks\": { /* x */ \"a\": \"x\", }, }"),
    ]);
    assert_eq!(good.mistakes(), "");
    let bad = Fixture::new(&[("package.json", "{}"), ("overhear.json", "{\n  tasks: {}\n}")]);
    assert!(bad.mistakes().starts_with("overhear.json is not valid JSON: "), "{}", bad.mistakes());
    assert!(bad.mistakes().contains("--> overhear.json:2:3\n"), "{}", bad.mistakes());
}

#[test]
fn keys_of_the_root_are_refused_elsewhere() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"*\"]}"),
        ("a/package.json", "{\"name\": \"a\"}"),
        ("a/overhear.json", "{\"adapters\": {}, \"enablePrePostScripts\": false}"),
    ]);
    let shown = fixture.mistakes();
    assert!(
        shown.contains(
            "`adapters` belongs in the overhear.json at the workspace root\n --> a/overhear.json:1:2"
        ),
        "{shown}"
    );
    assert!(
        shown.contains("`enablePrePostScripts` belongs in the overhear.json at the workspace root"),
        "{shown}"
    );
}

#[test]
fn mistakes_of_several_files_are_told_together() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"*\"]}"),
        ("a/package.json", "{,}"),
        ("b/package.json", "{\"name\": 1}"),
        ("b/overhear.json", "{\"x\": 1}"),
    ]);
    assert_eq!(fixture.load_from("").expect_err("three files are wrong").0.len(), 3);
}

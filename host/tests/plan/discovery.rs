//! Where the root is, which folders are packages, and how packages depend on each other.

use super::*;
use overhear::config::DependencyKind;

#[test]
fn a_lone_package_is_a_workspace() {
    let fixture = Fixture::new(&[
        ("app/package.json", "\u{feff}{\"scripts\": {\"b\": \"x\", \"a\": \"y\"}}"),
        ("app/src/x", ""),
    ]);
    let workspace = fixture.load_from("app/src").expect("the package is good");
    assert_eq!(workspace.root, fixture.root().join("app"));
    assert!(workspace.lone);
    let names: Vec<&str> = workspace.packages[0].scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "scripts stay in their order");
    assert_eq!(workspace.task_label(0, "a"), "a");
}

#[test]
fn each_package_manager_names_its_packages() {
    let member = "{\"name\": \"a\"}";
    let cases: &[&[(&str, &str)]] = &[
        &[("pnpm-workspace.yaml", "packages:\n  - 'packages/*'\n"), ("package.json", "{}")],
        &[("pnpm-workspace.yaml", "\u{feff}packages: [\"./packages/*\"] # all\ncatalog:\n  x: 1\n")],
        &[("package.json", "{\"workspaces\": [\"packages/*\"]}")],
        &[("package.json", "{\"workspaces\": {\"packages\": [\"packages/**\"], \"nohoist\": []}}")],
        &[
            ("package.json", "{\"workspaces\": [\"packages/*\"]}"),
            ("pnpm-workspace.yaml", "nodeLinker: hoisted\n"),
        ],
        &[("package.json", "{\"workspaces\": [\"packages/a\"]}")],
    ];
    for files in cases {
        let fixture = Fixture::new(files);
        fixture.write("packages/a/package.json", member);
        fixture.write("packages/empty/readme", "");
        let workspace =
            fixture.load_from("packages/a").unwrap_or_else(|problems| panic!("{files:?} {problems}"));
        assert_eq!(folders(&workspace), ["", "packages/a"], "{files:?}");
        assert_eq!(workspace.root, fixture.root());
    }
}

#[test]
fn broad_globs_enter_neither_node_modules_nor_hidden_folders() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"**\", \"!**/fixtures/**\"]}"),
        ("a/package.json", "{\"name\": \"a\"}"),
        ("a/b/c/package.json", "{\"name\": \"c\"}"),
        ("node_modules/x/package.json", "{\"name\": \"x\"}"),
        ("a/node_modules/y/package.json", "{\"name\": \"y\"}"),
        (".cache/z/package.json", "{\"name\": \"z\"}"),
        ("a/fixtures/f/package.json", "{\"name\": \"f\"}"),
    ]);
    assert_eq!(folders(&fixture.load()), ["", "a", "a/b/c"]);
}

#[test]
fn loops_of_symlinks_end_and_a_linked_package_counts_once() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"packages/**\", \"links/*\"]}"),
        ("packages/a/package.json", "{\"name\": \"a\"}"),
        ("links/.keep", ""),
    ]);
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(to, fixture.root().join(at)).expect("links can be made")
    };
    link("..", "packages/up");
    link("self", "packages/self");
    link("../packages/a", "links/a");
    assert_eq!(folders(&fixture.load()), ["", "packages/a"]);
}

#[test]
fn a_workspace_that_does_not_name_the_package_leaves_it_alone() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"packages/*\"]}"),
        ("packages/a/package.json", "{\"name\": \"a\"}"),
        ("examples/e/package.json", "{\"name\": \"e\"}"),
    ]);
    let workspace = fixture.load_from("examples/e").expect("the package is good");
    assert_eq!(workspace.root, fixture.root().join("examples/e"));
    assert!(workspace.lone);
}

#[test]
fn the_nearest_workspace_that_names_the_package_wins() {
    let fixture = Fixture::new(&[
        ("package.json", "{\"workspaces\": [\"inner/packages/*\"]}"),
        ("inner/package.json", "{\"workspaces\": [\"packages/a\"]}"),
        ("inner/packages/a/package.json", "{\"name\": \"a\"}"),
        ("inner/packages/b/package.json", "{\"name\": \"b\"}"),
    ]);
    let root_for = |dir: &str| fixture.load_from(dir).expect("the workspace is good").root;
    assert_eq!(root_for("inner/packages/a"), fixture.root().join("inner"));
    assert_eq!(root_for("inner/packages/b"), fixture.root());
    assert_eq!(root_for("inner"), fixture.root().join("inner"));
}

#[test]
fn packages_are_linked_as_package_managers_link_them() {
    let cases = [
        ("\"lib\": \"workspace:*\"", true),
        ("\"lib\": \"workspace:^1.0.0\"", true),
        ("\"other\": \"workspace:lib@*\"", true),
        ("\"lib\": \"file:../lib\"", true),
        ("\"anything\": \"link:../lib\"", true),
        ("\"lib\": \"../lib\"", true),
        ("\"lib\": \"^1.2.0\"", true),
        ("\"lib\": \">=1 <2 || 3.x\"", true),
        ("\"lib\": \"*\"", true),
        ("\"lib\": \"npm:lib@~1.2.0\"", true),
        ("\"lib\": \"catalog:\"", true),
        ("\"lib\": \"^2.0.0\"", false),
        ("\"lib\": \"latest\"", false),
        ("\"lib\": \"git+ssh://host.example/lib.git\"", false),
        ("\"lib\": 7", false),
        ("\"other\": \"npm:missing@1\"", false),
    ];
    for (dependency, linked) in cases {
        let fixture = Fixture::new(&[
            ("package.json", "{\"workspaces\": [\"*\"]}"),
            ("lib/package.json", "{\"name\": \"lib\", \"version\": \"1.2.3\"}"),
        ]);
        fixture.write(
            "app/package.json",
            &format!("{{\"name\": \"app\", \"devDependencies\": {{{dependency}}}}}"),
        );
        let workspace = fixture.load();
        let app = workspace.package_named("app").expect("app is there");
        let edges: Vec<_> = workspace.packages[app].edges.iter().map(|edge| (edge.to, edge.kind)).collect();
        let lib = workspace.package_named("lib").expect("lib is there");
        let expected = if linked { vec![(lib, DependencyKind::Dev)] } else { Vec::new() };
        assert_eq!(edges, expected, "{dependency}");
    }
}

#[test]
fn vite_task_json_stands_in_where_no_overhear_json_is() {
    let fixture =
        Fixture::new(&[("package.json", "{}"), ("vite-task.json", "{\"tasks\": {\"old\": \"x\"}}")]);
    assert!(fixture.load().packages[0].definition("old").is_some());
    fixture.write("overhear.json", "{\"tasks\": {\"new\": \"x\"}}");
    let workspace = fixture.load();
    assert!(workspace.packages[0].definition("old").is_none());
    assert!(workspace.packages[0].definition("new").is_some());
}

#[test]
fn odd_manifests_that_package_managers_accept_are_accepted() {
    let large = format!(
        "{{\"name\": \"big\", \"filler\": \"{}\", \"scripts\": {{\"a\": \"x\"}}}}",
        "y".repeat(5_000_000)
    );
    let cases = [
        "{}",
        "{\"version\": null, \"dependencies\": [], \"scripts\": null, \"peerDependencies\": \"no\"}",
        "{\"scripts\": {\"a\": \"1\", \"a\": \"2\"}}",
        large.as_str(),
    ];
    for text in cases {
        let fixture = Fixture::new(&[("package.json", text)]);
        let workspace = fixture.load();
        assert_eq!(workspace.packages.len(), 1);
        if text.contains("\"2\"") {
            assert_eq!(workspace.packages[0].scripts[0].command, "2");
            assert_eq!(workspace.packages[0].scripts.len(), 1);
        }
    }
}

#[test]
fn a_list_says_where_each_task_is_defined() {
    let fixture = Fixture::new(&[
        ("package.json", "{\n  \"name\": \"app\",\n  \"scripts\": {\n    \"build\": \"vite build\"\n  }\n}"),
        (
            "overhear.json",
            "{\n  \"scripts\": {\"build\": {\"description\": \"the app\"}},\n  \"tasks\": {\n    \"ci\": {\"command\": [\"a\", \"b\"]}\n  }\n}",
        ),
    ]);
    let workspace = fixture.load();
    let listed: Vec<String> = plan::list(&workspace)
        .iter()
        .map(|task| {
            let place = task.place(&workspace).expect("each task is defined somewhere");
            let file = place
                .file
                .strip_prefix(fixture.root())
                .expect("it lies in the workspace")
                .display()
                .to_string();
            format!(
                "{} | {} | {} | {file}:{}:{}",
                task.label,
                task.command,
                task.description.unwrap_or("-"),
                place.line,
                place.column
            )
        })
        .collect();
    assert_eq!(
        listed,
        ["app#ci | a && b | - | overhear.json:4:5", "app#build | vite build | the app | package.json:4:5"]
    );
}

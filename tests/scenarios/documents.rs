//! README and docs: every command block is run, every config block is loaded, every link leads somewhere,
//! and what can be made from the program is as the program has it. A block that is not run says why, in
//! a comment before it: `<!-- not run: REASON -->`.

use crate::snapshot;
use crate::world::World;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block.
struct Block {
    /// The file and line, as editors take them.
    place: String,
    language: String,
    text: String,
    is_run: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The documents that people read.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "npm/README.md", "bench/README.md"] {
        found.push(root().join(name));
    }
    let mut folders = vec![root().join("docs"), root().join("plugins/client")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "node_modules" && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn blocks(file: &Path) -> Vec<Block> {
    let text = fs::read_to_string(file).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let (mut open, mut is_run) = (false, true);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                let place = format!("{}:{}", file.strip_prefix(root()).unwrap().display(), number + 1);
                blocks.push(Block { place, language: language.to_owned(), text: String::new(), is_run });
                open = true;
            }
            (Some(_), true) => (open, is_run) = (false, true),
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) if line.starts_with("<!-- not run: ") => is_run = false,
            (None, false) if !line.trim().is_empty() => is_run = true,
            (None, false) => {}
        }
    }
    assert!(!open, "{}: a block does not end", file.display());
    blocks
}

fn all_blocks() -> Vec<Block> {
    documents().iter().flat_map(|file| blocks(file)).collect()
}

/// What commands of the documents are about: a workspace with `web`, `ui` and `docs`, in git.
fn acme() -> World {
    let world = World::empty();
    world.write(
        "package.json",
        r#"{"name": "acme", "private": true, "workspaces": ["apps/*", "packages/*"]}"#,
    );
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    world.write(".gitignore", "dist\nnode_modules\n");
    let package = |dir: &str, name: &str, needs: &str| {
        let build = "mkdir -p dist && cp src/main.txt dist/main.txt";
        world.write(
            &format!("{dir}/package.json"),
            &format!(
                r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{{needs}}},
                    "scripts": {{"build": "{build}", "test": "cat src/main.txt", "dev": "cat src/main.txt"}}}}"#
            ),
        );
        world.write(&format!("{dir}/src/main.txt"), "main\n");
    };
    package("packages/ui", "ui", "");
    package("apps/web", "web", r#""ui": "1.0.0""#);
    package("apps/docs", "docs", r#""ui": "1.0.0""#);
    let script =
        "git init -q -b main . && git add . && git -c user.name=x -c user.email=x@example.com commit -qm x";
    assert!(world.command("sh").args(["-c", script]).status().unwrap().success());
    world
}

#[test]
fn every_command_block_runs_or_says_why_not() {
    let own = Path::new(env!("CARGO_BIN_EXE_overhear")).parent().unwrap();
    let mut run = 0;
    for block in all_blocks() {
        let known = ["sh", "text", "json", "jsonc", "yaml", "js", "rust", "python", "go", "toml"];
        assert!(known.contains(&&*block.language), "{}: a block of what?", block.place);
        if block.language == "text" {
            let has_command = block.text.lines().any(|line| line.starts_with("overhear "));
            assert!(!has_command, "{}: commands belong in a block of sh", block.place);
        }
        if block.language != "sh" || !block.is_run {
            continue;
        }
        let world = acme();
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
        let mut command = world.command("bash");
        command.args(["-eu", "-c", &block.text]).current_dir(world.path("apps/web")).env("PATH", path);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{} ended with {}:\n{}{}",
            block.place,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        run += 1;
    }
    assert!(run >= 5, "only {run} blocks were run");
}

#[test]
fn every_config_block_is_a_config() {
    let mut loaded = 0;
    for block in all_blocks() {
        if !["json", "jsonc"].contains(&&*block.language) || !block.is_run {
            continue;
        }
        let world = acme();
        world.write("overhear.json", &block.text);
        let done = world.overhear(&["list"]).done();
        assert_eq!(done.code, 0, "{}: {done:?}", block.place);
        loaded += 1;
    }
    assert!(loaded >= 2, "only {loaded} blocks were loaded");
}

/// How a heading is linked to, as GitHub and the site do it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(target) = rest.split(')').next() else { break };
            if target.contains("://") || target.contains(['\n', ' ', '"']) {
                continue;
            }
            links += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(to.exists(), "{} links to {target}, which is not there", file.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&to).unwrap();
                let has = text.lines().filter_map(|line| line.strip_prefix('#'));
                let has =
                    has.map(|line| anchor(line.trim_start_matches('#').trim())).any(|has| has == heading);
                assert!(has, "{} links to {target}, and there is no such heading", file.display());
            }
        }
    }
    assert!(links >= 20, "only {links} links were seen");
}

#[test]
fn every_reason_is_among_the_messages() {
    let messages = fs::read_to_string(root().join("docs/messages.md")).unwrap();
    for entry in fs::read_dir(root().join("tests/scenarios/reasons")).unwrap() {
        let kind = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(messages.contains(&format!("`{kind}`")), "docs/messages.md lacks {kind}");
    }
}

#[test]
fn every_command_has_its_place_in_the_documents() {
    let world = World::empty();
    let help = world.overhear(&["--help"]).done().out;
    let text = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let commands = help.lines().filter_map(|line| line.strip_prefix("  ")?.split("   ").next());
    let commands: BTreeSet<&str> = commands
        .filter(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase()))
        .collect();
    assert!(commands.contains("run") && commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let is_told = text
            .lines()
            .any(|line| line.starts_with("## ") && line[3..].split(", ").any(|heading| heading == command));
        assert!(is_told, "docs/commands.md has no heading for {command}");
    }
}

#[test]
fn the_config_reference_is_made_from_the_schema() {
    let world = World::empty();
    let schema: Value = serde_json::from_str(&world.overhear(&["schema"]).done().out).unwrap();
    snapshot::check("../../docs/config.md", &reference(&schema));
}

/// The page on overhear.json.
fn reference(schema: &Value) -> String {
    let mut text = String::from(
        "# Configuration\n\n<!-- Made from host/schema.json by a test (tests/scenarios/documents.rs). -->\n\n",
    );
    text.push_str(schema["description"].as_str().unwrap());
    text.push_str(
        "\n\nThe file is `overhear.json`: JSON with comments. Globs are relative to the package; `!` excludes; a `/` at the \
         end means the tree below; `..` may not leave the workspace. Input globs never touch outputs, nor the other way \
         round.\n\n```jsonc\n{\n  \"$schema\": \"./node_modules/overhear/schema.json\",\n  \"scripts\": { \"test\": { \
         \"dependsOn\": [\"build\"] } },\n  \"tasks\": { \"check\": \"tsc --noEmit\" }\n}\n```\n\n## The whole file\n\n",
    );
    text.push_str(&table(schema, &schema["properties"]));
    text.push_str("\n### cache, as an object\n\n");
    text.push_str(&table(schema, &schema["definitions"]["CacheSettings"]["properties"]));
    text.push_str("\n## A task\n\nA command alone, a list of commands, or:\n\n");
    text.push_str(&table(schema, &schema["definitions"]["Task"]["properties"]));
    text.push_str("\n### readyWhen\n\n");
    text.push_str(&table(schema, &schema["definitions"]["ReadyWhen"]["properties"]));
    text.push_str(
        "\n## A script\n\nThe same keys as a task, but for those that package.json says itself:\n\n",
    );
    let keys = schema["definitions"]["Script"]["properties"].as_object().unwrap().keys();
    text.push_str(&keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "));
    text + ".\n"
}

fn table(schema: &Value, properties: &Value) -> String {
    let mut text = String::from("| key | value | default | |\n|---|---|---|---|\n");
    for (key, value) in properties.as_object().unwrap().iter().filter(|(key, _)| *key != "$schema") {
        let default = value.get("default").map(|value| format!("`{value}`")).unwrap_or_default();
        let about = [Some(value), target(schema, value)].into_iter().flatten();
        let about = about.filter_map(|value| value["description"].as_str()).next().unwrap_or_default();
        let about = about.replace('|', "\\|");
        text.push_str(&format!("| `{key}` | {} | {default} | {about} |\n", kind(schema, value)));
    }
    text
}

/// What a reference leads to.
fn target<'a>(schema: &'a Value, value: &'a Value) -> Option<&'a Value> {
    let to = value["$ref"].as_str().or_else(|| value["allOf"][0]["$ref"].as_str())?;
    schema.pointer(&to[1..])
}

fn kind(schema: &Value, value: &Value) -> String {
    if let Some(target) = target(schema, value) {
        return kind(schema, target);
    }
    if let Some(only) = value.get("const") {
        return format!("`{only}`");
    }
    if let Some(allowed) = value["enum"].as_array() {
        return allowed.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(several) = value["oneOf"].as_array().or_else(|| value["anyOf"].as_array()) {
        let mut kinds: Vec<String> = several.iter().map(|value| kind(schema, value)).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    match &value["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", self::kind(schema, &value["items"])),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "object".to_owned(),
    }
}

//! What keeps tools and the host apart: no tool is named in the host, and a released interface of adapters
//! never changes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, into) } else { into.push(path) }
    }
    into.sort();
}

/// Tools that adapters know, and names of folders and files that are theirs. One has a name that is also an
/// English word: it is looked for with its commands.
const TOOLS: [&str; 43] = [
    "vite",
    "vitest",
    "vue-tsc",
    "nuxt",
    "nuxi",
    "nitro",
    "svelte",
    "sveltekit",
    "svelte-kit",
    "svelte-check",
    "astro",
    "react-router",
    "remix",
    "angular",
    "webpack",
    "rspack",
    "rollup",
    "rolldown",
    "esbuild",
    "swc",
    "turbopack",
    "parcel",
    "tsc",
    "tsdown",
    "tsup",
    "eslint",
    "oxlint",
    "biome",
    "prettier",
    "jest",
    "mocha",
    "playwright",
    "storybook",
    ".vite",
    ".next",
    ".nuxt",
    ".svelte-kit",
    ".output",
    ".turbo",
    "next build",
    "next dev",
    "next.config",
    "next-env",
];

/// Where a name is meant for a person or for another runner, and why.
const ALLOWED: [(&str, &str, &str); 6] = [
    ("cli/init", "", "it reads the config files of other runners, and names their tools"),
    ("workspace/", "vite", "`vite-task.json` is read where there is no overhear.json"),
    ("cli/", "", "examples in the help"),
    ("config.rs", "rollup", "the name of an adapter, as an example"),
    ("report/", "", "examples in what is shown"),
    ("adapter/fault.rs", "", "examples in what is shown"),
];

#[test]
fn no_tool_is_named_in_the_host() {
    let source = root().join("host/src");
    let mut files = Vec::new();
    files_below(&source, &mut files);
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".rs") || name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\n").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for tool in TOOLS.iter().filter(|tool| literals(line).any(|literal| has_word(literal, tool))) {
                let is_allowed = |(at, word, _): &(&str, &str, &str)| {
                    name.starts_with(at) && (word.is_empty() || word == tool)
                };
                if !ALLOWED.iter().any(is_allowed) {
                    found.push(format!("host/src/{name}:{}: {tool}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "what a tool does is for its adapter to say:\n{}", found.join("\n"));
}

/// The texts in quotes of a line.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_part)
            && !text[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

#[test]
fn a_tool_that_is_named_in_a_literal_would_be_found() {
    assert!(literals(r#"if program == "vite" {"#).any(|text| has_word(text, "vite")));
    assert!(literals(r#"path.join("apps/.next/cache")"#).any(|text| has_word(text, ".next")));
    assert!(!literals(r#"let next = rest.next(); "invited""#).any(|text| has_word(text, "vite")));
}

#[test]
fn a_released_interface_never_changes() {
    let wit = root().join("wit");
    let listed = fs::read_to_string(wit.join("released.txt")).unwrap();
    let listed: BTreeMap<&str, &str> = listed
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let mut there = BTreeMap::new();
    for entry in fs::read_dir(&wit).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        // What is not released yet lies in `next`.
        if entry.is_dir() && name != "next" {
            there.insert(name, digest(&entry));
        }
    }
    let there: BTreeMap<&str, &str> = there.iter().map(|(name, digest)| (&**name, &**digest)).collect();
    assert_eq!(
        there, listed,
        "a released interface changed: put it back, and make the change in a new folder"
    );
}

fn digest(folder: &Path) -> String {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap().to_str().unwrap().as_bytes().to_owned();
        let text = fs::read(&file).unwrap();
        for part in [name, text] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(&part);
        }
    }
    hasher.finalize().to_hex().to_string()
}

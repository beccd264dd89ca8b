//! The patterns of adapters: which are sound, and what they match. Grammar: segments between `/`, `*`
//! and `?` within a segment, `**` as a whole segment, one level of `{a,b}`. Pure.

use super::fault::Wrong;
use crate::declaration::Base;

const BYTES_MAX: usize = 1_024;
const EXPANSIONS_MAX: usize = 64;

/// What the bases of rules are, relative to the root.
#[derive(Clone, Copy)]
pub struct PatternRoots<'a> {
    pub package: &'a str,
    pub cwd: &'a str,
}

/// A sound pattern, relative to the root, with its alternatives written out.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<Vec<String>>);

impl Pattern {
    /// Checks a pattern and puts it onto its base.
    pub fn new(base: Base, text: &str, roots: PatternRoots) -> Result<Pattern, Wrong> {
        let expanded = check(text)?;
        let base = match base {
            Base::Workspace => ".",
            Base::Package => roots.package,
            Base::Cwd => roots.cwd,
        };
        let segments = |text: &str| -> Vec<String> {
            let all = base.split('/').chain(text.split('/'));
            all.filter(|segment| *segment != ".").map(str::to_owned).collect()
        };
        Ok(Pattern(expanded.iter().map(|text| segments(text)).collect()))
    }

    /// Whether a path (relative to the root) is named, or lies in a tree that is.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<&str> = path.split('/').filter(|segment| *segment != ".").collect();
        self.0.iter().any(|pattern| tree_matches(pattern, &path))
    }
}

fn tree_matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, _) => true,
        (Some((first, rest)), _) if first == "**" => {
            tree_matches(rest, path)
                || path.split_first().is_some_and(|(_, below)| tree_matches(pattern, below))
        }
        (Some((first, rest)), Some((name, below))) => {
            segment_matches(first.as_bytes(), name.as_bytes()) && tree_matches(rest, below)
        }
        (Some(_), None) => false,
    }
}

/// `*` any run, `?` one character (of which the later bytes are skipped). Linear in practice: only the
/// last `*` is ever tried again.
fn segment_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, in_name));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                in_name += 1;
                while name.get(in_name).is_some_and(|byte| byte & 0xC0 == 0x80) {
                    in_name += 1;
                }
            }
            Some(byte) if *byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    at = star + 1;
                    in_name = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether a pattern is sound; gives it with its alternatives written out.
pub fn check(text: &str) -> Result<Vec<String>, Wrong> {
    let bad = |why: String| Wrong::new("bad-pattern", format!("{}: {why}", shown(text)));
    if text.len() > BYTES_MAX {
        return Err(Wrong::new("bad-pattern", format!("{} bytes, the limit is {BYTES_MAX}", text.len())));
    }
    if let Some((at, letter)) = text.char_indices().find(|(_, letter)| is_unfit(*letter)) {
        return Err(bad(format!("character U+{:04X} at {at}", u32::from(letter))));
    }
    let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
    if text.starts_with('/') || drive || text == "~" || text.starts_with("~/") {
        return Err(bad("must be relative".into()));
    }
    let expanded = expand(text).map_err(bad)?;
    for alternative in &expanded {
        for segment in alternative.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(bad(format!("segment `{segment}`")));
            }
            if segment.contains("**") && segment != "**" {
                return Err(bad(format!("`**` must be a whole segment, not part of `{segment}`")));
            }
        }
    }
    Ok(expanded)
}

/// Whether a sound pattern claims more than any one tool can own.
pub fn is_too_broad(expanded: &[String]) -> bool {
    const FOREIGN: &[&str] =
        &[".git", ".overhear", "node_modules", "overhear.lock", "overhear.json", "package.json"];
    expanded.iter().any(|text| {
        let mut segments: Vec<&str> = text.split('/').collect();
        while segments.last().is_some_and(|last| *last == "**") {
            segments.pop();
        }
        let only_wild =
            segments.iter().all(|segment| segment.bytes().all(|byte| matches!(byte, b'*' | b'?')));
        only_wild || segments.contains(&".git") || segments.last().is_some_and(|last| FOREIGN.contains(last))
    })
}

/// What is said of such a pattern.
pub fn too_broad(pattern: &str) -> Wrong {
    Wrong::new("output-too-broad", format!("`{pattern}` is more than one tool's own"))
}

/// Whether a rule may name a path, relative to the root, where it is not known by which folder it goes: the
/// root, that of its package, or that of the command; `.` is the root. What is no pattern names nothing.
pub fn may_name(pattern: &str, path: &str, package: &str, cwd: &str) -> bool {
    let roots = PatternRoots { package, cwd };
    let bases = [Base::Workspace, Base::Package, Base::Cwd];
    bases
        .into_iter()
        .filter_map(|base| Pattern::new(base, pattern, roots).ok())
        .any(|pattern| pattern.matches(path))
}

/// Why a name works on some systems only, if it does.
pub fn not_portable(expanded: &[String]) -> Option<String> {
    const DEVICES: &[&str] = &["aux", "con", "nul", "prn", "com1", "com2", "com3", "lpt1", "lpt2", "lpt3"];
    let segments = expanded.iter().flat_map(|text| text.split('/'));
    segments
        .filter(|segment| {
            let stem = segment.split('.').next().unwrap_or_default().to_ascii_lowercase();
            DEVICES.contains(&stem.as_str()) || segment.ends_with([' ', '.'])
        })
        .map(|segment| format!("the name `{segment}` is not possible on every system"))
        .next()
}

fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || letter == '\\'
        || matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Unfit characters escaped, and cut: a pattern may come from a hostile guest.
fn shown(text: &str) -> String {
    let mut short: String =
        text.chars()
            .take(80)
            .flat_map(|letter| {
                if is_unfit(letter) { letter.escape_unicode().collect::<Vec<_>>() } else { vec![letter] }
            })
            .collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

fn expand(text: &str) -> Result<Vec<String>, String> {
    let mut whole = vec![String::new()];
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        if from.starts_with('}') {
            return Err("`}` without `{`".into());
        }
        let (inside, after) = from[1..].split_once('}').ok_or("unclosed `{`")?;
        if inside.contains('{') {
            return Err("`{` within `{`".into());
        }
        let choices: Vec<&str> = inside.split(',').collect();
        if whole.len() * choices.len() > EXPANSIONS_MAX {
            return Err(format!("more than {EXPANSIONS_MAX} expansions"));
        }
        whole = whole
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{before}{choice}")))
            .collect();
        rest = after;
    }
    whole.iter_mut().for_each(|start| start.push_str(rest));
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTS: PatternRoots = PatternRoots { package: "apps/web", cwd: "." };

    #[test]
    fn a_pattern_names_paths_and_the_trees_below() {
        let cases = [
            (Base::Workspace, "dist", "dist/a/b", true),
            (Base::Workspace, "dist/**", "dist", true),
            (Base::Workspace, "dist", "distant", false),
            (Base::Package, "dist", "apps/web/dist/x", true),
            (Base::Package, "dist", "dist/x", false),
            (Base::Cwd, "*.ts", "a.ts", true),
            (Base::Cwd, "*.ts", "b/a.ts", false),
            (Base::Workspace, "**/*.{js,ts}", "a/b/c.ts", true),
            (Base::Workspace, "**/*.{js,ts}", "c.js", true),
            (Base::Workspace, "a?c", "aéc", true),
            (Base::Workspace, "a*b*c", "aXbYbZc", true),
            (Base::Workspace, "a*b*c", "aXbYbZ", false),
            (Base::Workspace, "x/[slug]", "x/[slug]/y", true),
        ];
        for (base, text, path, expected) in cases {
            let pattern = Pattern::new(base, text, ROOTS).expect("sound");
            assert_eq!(pattern.matches(path), expected, "{text} on {path}");
        }
    }

    #[test]
    fn a_rule_may_go_by_each_of_its_folders() {
        for (path, expected) in
            [("kept/x", true), ("pkg/kept/x", true), ("pkg/in/kept", true), ("in/kept", false)]
        {
            assert_eq!(may_name("kept", path, "pkg", "pkg/in"), expected, "{path}");
        }
        assert!(may_name("kept", "kept/x", ".", "."));
        assert!(!may_name("../kept", "kept/x", ".", "."));
    }

    #[test]
    fn unsound_patterns_are_refused_with_the_reason() {
        let bomb = "{a,b}".repeat(7);
        let long = "a".repeat(1_025);
        let cases = [
            ("/abs", "must be relative"),
            ("C:/x", "must be relative"),
            ("\\\\server\\x", "character U+005C at 0"),
            ("~/x", "must be relative"),
            ("..", "segment `..`"),
            ("a/../../b", "segment `..`"),
            ("./a", "segment `.`"),
            ("a//b", "segment ``"),
            ("", "segment ``"),
            ("{a,../b}", "segment `..`"),
            ("a\0b", "character U+0000 at 1"),
            ("a\nb", "character U+000A at 1"),
            ("a\u{202E}b", "character U+202E at 1"),
            ("a\\b", "character U+005C at 1"),
            ("a**", "`**` must be a whole segment"),
            (bomb.as_str(), "more than 64 expansions"),
            ("{a,b", "unclosed `{`"),
            ("a}", "`}` without `{`"),
            ("{a,{b}}", "`{` within `{`"),
            (long.as_str(), "1025 bytes"),
        ];
        for (text, why) in cases {
            let wrong = check(text).expect_err(text);
            assert!(wrong.what.contains(why), "{text:?}: {wrong}");
            assert!(!wrong.what.contains(['\0', '\n', '\u{202E}']), "printed escaped");
        }
    }

    #[test]
    fn what_no_tool_can_own_is_too_broad() {
        for text in
            ["**", "*", "**/*", ".git/**", "a/.git/x", "node_modules", "a/node_modules/**", "package.json"]
        {
            assert!(is_too_broad(&check(text).expect("sound")), "{text}");
        }
        for text in ["dist", "node_modules/.vite", "*.js", "a/**"] {
            assert!(!is_too_broad(&check(text).expect("sound")), "{text}");
        }
    }
}

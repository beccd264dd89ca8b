//! Values of a configuration file, taken with their types checked: whatever is wrong becomes a
//! problem at its place, and reading goes on, so that all mistakes are told together.

use super::manifest::{kind_of, span};
use crate::config::{Pattern, PatternBase, Selection};
use crate::path::join_lexically;
use crate::problem::{Problem, Problems, Source, closest};
use jsonc_parser::ast::{Array, Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use std::ops::Range;
use std::path::Path;

/// Reads the values of one file.
pub(super) struct Values<'s> {
    pub source: &'s Source,
    /// Folder of the package relative to the root; `None` where what is read holds for many.
    pub package_dir: Option<&'s Path>,
    pub problems: Problems,
}

/// Keys of other runners, and ours for the same.
const KEYS_OF_OTHERS: &[(&[&str], &str)] = &[
    (&["globalEnv"], "env"),
    (&["passThroughEnv", "globalPassThroughEnv"], "untrackedEnv"),
    (&["envMode"], "strictEnv"),
    (&["deps", "dependencies"], "dependsOn"),
    (&["inputs", "files", "globalDependencies"], "input"),
    (&["outputs"], "output"),
    (&["outputLogs", "outputMode"], "log"),
    (&["service", "continuous"], "persistent"),
    (&["cacheDir", "cacheDirectory"], "dir"),
];

/// Where a key of another runner has one of ours: what to write, for a place that knows these keys.
fn key_of_others(key: &str, known: &[&str]) -> Option<String> {
    match key {
        "cacheScripts" => return Some("write \"cache\": {\"scripts\": true}".to_owned()),
        "pipeline" | "targets" | "targetDefaults" | "wireit" if known.contains(&"tasks") => {
            let help = "what holds for scripts of package.json is in `scripts` here, and tasks with a command \
                        of their own are in `tasks`; `overhear init --from` carries it over";
            return Some(help.to_owned());
        }
        _ => {}
    }
    let (_, ours) = KEYS_OF_OTHERS.iter().find(|(theirs, _)| theirs.contains(&key))?;
    Some(match (known.contains(ours), *ours) {
        (true, _) => format!("it is called `{ours}` here"),
        (false, "dir") => "it is called `dir` here, and stands in `cache` at the root".to_owned(),
        (false, _) => format!("it is called `{ours}` here, and stands in an entry of `scripts` or `tasks`"),
    })
}

impl Values<'_> {
    /// Notes a mistake.
    pub fn wrong(&mut self, range: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.0.push(self.source.problem(range, message).help(help));
    }

    /// Notes that a value has the wrong type.
    pub fn wrong_type(&mut self, value: &Value<'_>, key: &str, expected: &str, example: &str) {
        let found = match value {
            Value::NumberLit(number) if expected.starts_with("a number") => number.value,
            _ => kind_of(value),
        };
        let message = format!("`{key}` must be {expected}, but is {found}");
        self.wrong(span(value), message, format!("write {example}"));
    }

    /// Notes an unknown key, with the known one that it is close to.
    pub fn unknown_key(&mut self, property: &ObjectProp<'_>, known: &[&str]) {
        let key = property.name.as_str();
        let help = match closest(key, known.iter().copied()) {
            _ if let Some(help) = key_of_others(key, known) => help,
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("known keys here: {}", known.join(", ")),
        };
        self.wrong(property.name.start()..property.name.end(), format!("unknown key `{key}`"), help);
    }

    /// Notes each key that stands twice; JSON would silently take the last.
    pub fn no_duplicates(&mut self, object: &Object<'_>) {
        let mut seen = rustc_hash::FxHashSet::default();
        for property in &object.properties {
            if !seen.insert(property.name.as_str().to_string()) {
                let message = format!("`{}` is written twice", property.name.as_str());
                self.wrong(property.name.start()..property.name.end(), message, "keep one of the two");
            }
        }
    }

    pub fn boolean(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let found = value.as_boolean_lit().map(|literal| literal.value);
        if found.is_none() {
            self.wrong_type(value, key, "true or false", &format!("\"{key}\": true"));
        }
        found
    }

    pub fn string(&mut self, value: &Value<'_>, key: &str, example: &str) -> Option<String> {
        let found = value.as_string_lit().map(|literal| literal.value.to_string());
        if found.is_none() {
            self.wrong_type(value, key, "a string", &format!("\"{key}\": {example}"));
        }
        found
    }

    pub fn list<'v, 'a>(&mut self, value: &'v Value<'a>, key: &str, example: &str) -> Option<&'v Array<'a>> {
        let found = value.as_array();
        if found.is_none() {
            self.wrong_type(value, key, "a list", &format!("\"{key}\": {example}"));
        }
        found
    }

    pub fn object<'v, 'a>(
        &mut self,
        value: &'v Value<'a>,
        key: &str,
        example: &str,
    ) -> Option<&'v Object<'a>> {
        let found = value.as_object();
        match found {
            Some(object) => self.no_duplicates(object),
            None => self.wrong_type(value, key, "an object", &format!("\"{key}\": {example}")),
        }
        found
    }

    /// Names of variables, with wildcards and `!`.
    pub fn env_names(&mut self, value: &Value<'_>, key: &str) -> Option<Vec<String>> {
        let list = self.list(value, key, "[\"API_URL\", \"VITE_*\"]")?;
        let mut names = Vec::with_capacity(list.elements.len());
        for element in &list.elements {
            let Some(name) = element.as_string_lit() else {
                self.wrong_type(
                    element,
                    key,
                    "a list of names",
                    &format!("\"{key}\": [\"API_URL\", \"VITE_*\"]"),
                );
                continue;
            };
            let bare = name.value.strip_prefix('!').unwrap_or(&name.value);
            if bare.is_empty() || bare.contains(['=', ' ', '$', '!']) {
                let help = "write the name alone, such as \"API_URL\"; values are taken from the environment";
                self.wrong(span(element), format!("`{}` is not the name of a variable", name.value), help);
            } else {
                names.push(name.value.to_string());
            }
        }
        Some(names)
    }

    /// `input` or `output`.
    pub fn selection(&mut self, value: &Value<'_>, key: &str) -> Option<Selection> {
        let list = self.list(value, key, "[{\"auto\": true}, \"!dist/**\"]")?;
        let mut selection = Selection { auto: false, patterns: Vec::new() };
        for element in &list.elements {
            match element {
                Value::StringLit(glob) => {
                    let pattern = self.pattern(&glob.value, PatternBase::Package, span(element));
                    selection.patterns.extend(pattern);
                }
                Value::Object(object) => self.selection_object(object, key, &mut selection),
                other => self.wrong_type(
                    other,
                    key,
                    "a list of globs and objects",
                    &format!("\"{key}\": [{{\"auto\": true}}, \"src/**\"]"),
                ),
            }
        }
        Some(selection)
    }

    fn selection_object(&mut self, object: &Object<'_>, key: &str, selection: &mut Selection) {
        self.no_duplicates(object);
        let (mut glob, mut base, mut auto) = (None, PatternBase::Package, None);
        for property in &object.properties {
            match property.name.as_str() {
                "auto" => auto = self.boolean(&property.value, "auto"),
                "pattern" => {
                    glob = self
                        .string(&property.value, "pattern", "\"tsconfig.json\"")
                        .map(|glob| (glob, span(&property.value)));
                }
                "base" => match property.value.as_string_lit().map(|base| base.value.as_ref()) {
                    Some("package") => base = PatternBase::Package,
                    Some("workspace") => base = PatternBase::Workspace,
                    _ => {
                        let help = "write \"base\": \"package\" or \"base\": \"workspace\"";
                        self.wrong(
                            span(&property.value),
                            "`base` is neither \"package\" nor \"workspace\"",
                            help,
                        );
                    }
                },
                _ => self.unknown_key(property, &["auto", "pattern", "base"]),
            }
        }
        match (glob, auto) {
            (Some(_), Some(_)) => {
                let help = format!("write two members: \"{key}\": [{{\"auto\": true}}, {{\"pattern\": …}}]");
                self.wrong(object.start()..object.end(), "`auto` and `pattern` stand in one object", help);
            }
            (Some((glob, range)), None) => selection.patterns.extend(self.pattern(&glob, base, range)),
            (None, Some(auto)) => selection.auto = auto,
            (None, None) if object.properties.is_empty() => {
                let help =
                    "write {\"auto\": true}, or {\"pattern\": \"tsconfig.json\", \"base\": \"workspace\"}";
                self.wrong(
                    object.start()..object.end(),
                    format!("an empty object in `{key}` says nothing"),
                    help,
                );
            }
            (None, None) => {}
        }
    }

    /// A glob as it is kept: `!` and `./` taken off, the tree of a folder spelled out, `..`
    /// resolved. What leads out of the workspace is a mistake.
    fn pattern(&mut self, written: &str, base: PatternBase, range: Range<usize>) -> Option<Pattern> {
        let (exclude, text) = match written.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, written),
        };
        if text.is_empty() {
            self.wrong(range, "an empty glob", "name files, such as \"src/**\"");
            return None;
        }
        if text.starts_with(['/', '~']) {
            let help = "globs are relative to the package; for the root write {\"pattern\": …, \"base\": \"workspace\"}";
            self.wrong(range, format!("the glob `{written}` leads out of the workspace"), help);
            return None;
        }
        if let Err(error) = globset::Glob::new(text) {
            let why = error.kind().to_string();
            self.wrong(
                range,
                format!("`{written}` is not a valid glob: {why}"),
                "put \\ before a character that is meant as it is",
            );
            return None;
        }
        let tree = if text.ends_with('/') { "**" } else { "" };
        let spelled = format!("{text}{tree}");
        match resolve(&spelled, base, self.package_dir) {
            Ok((base, glob)) => Some(Pattern { exclude, base, glob }),
            Err(help) => {
                self.wrong(range, format!("the glob `{written}` leads out of the workspace"), help);
                None
            }
        }
    }
}

/// Takes `.` and `..` out of a glob. One that climbs out of its package is put on the workspace.
fn resolve(
    glob: &str,
    base: PatternBase,
    package_dir: Option<&Path>,
) -> Result<(PatternBase, String), &'static str> {
    const OUTSIDE: &str =
        "name files of the workspace only; what lies outside is tracked without being named";
    let mut names: Vec<&str> = Vec::new();
    let mut above = 0usize;
    for name in glob.split('/') {
        match name {
            "" | "." => {}
            ".." => match names.pop() {
                Some("**") => return Err("write what lies before `..` without `**`"),
                Some(_) => {}
                None => above += 1,
            },
            name => names.push(name),
        }
    }
    let glob = if names.is_empty() { "**".to_string() } else { names.join("/") };
    if above == 0 {
        return Ok((base, glob));
    }
    match (base, package_dir) {
        (PatternBase::Workspace, _) => Err(OUTSIDE),
        (PatternBase::Package, None) => {
            Err("this holds for many packages; write {\"pattern\": …, \"base\": \"workspace\"}")
        }
        (PatternBase::Package, Some(dir)) => {
            let depth = dir.iter().count();
            if above > depth {
                return Err(OUTSIDE);
            }
            let kept: Vec<String> =
                dir.iter().take(depth - above).map(|name| globset::escape(&name.to_string_lossy())).collect();
            let prefix = if kept.is_empty() { String::new() } else { format!("{}/", kept.join("/")) };
            Ok((PatternBase::Workspace, format!("{prefix}{glob}")))
        }
    }
}

/// Whether a folder written relative to the package stays in the workspace.
pub(super) fn stays_inside(package_dir: &Path, written: &str) -> bool {
    let root = Path::new("/root");
    !Path::new(written).is_absolute()
        && join_lexically(&root.join(package_dir), Path::new(written)).starts_with(root)
}

/// A size such as `10GB` or `500 MiB`, in bytes.
pub fn size_in_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit: f64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((number * unit) as u64)
}

/// A mistake in the syntax of a file as a whole.
pub(super) fn not_an_object(source: &Source, value: Option<&Value<'_>>) -> Problem {
    let problem = match value {
        Some(value) => {
            source.problem(span(value), format!("the file must hold an object, but holds {}", kind_of(value)))
        }
        None => source.problem(0..0, "the file is empty"),
    };
    problem.help("write {\"tasks\": {\"build\": \"command\"}}, or remove the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let cases = [
            ("10GB", Some(10_000_000_000)),
            ("1.5 gb", Some(1_500_000_000)),
            ("1MiB", Some(1_048_576)),
            ("42", Some(42)),
            ("many", None),
            ("10 apples", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size_in_bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_glob_that_climbs_is_put_on_the_workspace() {
        let dir = Some(Path::new("apps/web"));
        let cases = [
            ("./src/**", Ok((PatternBase::Package, "src/**".to_string()))),
            ("../lib/*.ts", Ok((PatternBase::Workspace, "apps/lib/*.ts".to_string()))),
            ("../../tsconfig.json", Ok((PatternBase::Workspace, "tsconfig.json".to_string()))),
            (".", Ok((PatternBase::Package, "**".to_string()))),
        ];
        for (glob, expected) in cases {
            assert_eq!(resolve(glob, PatternBase::Package, dir), expected, "{glob}");
        }
        assert!(resolve("../../../x", PatternBase::Package, dir).is_err());
        assert!(resolve("../x", PatternBase::Workspace, dir).is_err());
        assert!(resolve("**/../x", PatternBase::Package, dir).is_err());
        assert!(resolve("../x", PatternBase::Package, None).is_err());
    }
}

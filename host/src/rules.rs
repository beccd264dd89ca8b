//! Which paths a person, the tool or an adapter lets count or not: the rules that `settle` asks.
//! Input rules apply to reads and output rules to writes, never one for the other. Pure.

use crate::access::Listing;
use crate::config::{PatternBase, Selection};
use crate::declaration::PathRule;
use crate::hint::Hint;
use crate::settle::{Evidence, Ignored, Source};
use crate::stamp::Found;
use crate::tool_state::is_in_hidden_folder;
use crate::tree::Tree;
use std::ops::Bound;
use std::path::Path;

/// Of files by which incremental compilers know what they did last, by convention.
const STATE_FILE_EXTENSION: &str = "tsbuildinfo";

/// The rules for one run.
pub struct Rules {
    reads: Vec<Rule>,
    writes: Vec<Rule>,
    generated: Vec<Tree>,
    state_files: Vec<Tree>,
    input: Selected,
    output: Selected,
}

/// One rule that makes paths not count.
pub struct Rule {
    tree: Tree,
    source: Source,
    why: String,
    /// It holds only where that cannot make a hit wrong (`docs/design/told.md`).
    is_bounded: bool,
}

/// A [`Selection`] ready to be asked.
struct Selected {
    auto: bool,
    patterns: Vec<(bool, Tree)>,
}

impl Rules {
    /// Gathers what config, hints and declaration say of paths.
    pub fn new(evidence: &Evidence) -> Rules {
        let root = &evidence.zones.places.root;
        let mut rules = Rules {
            reads: Vec::new(),
            writes: Vec::new(),
            generated: Vec::new(),
            state_files: Vec::new(),
            input: Selected::new(&evidence.config.input, evidence.package_dir, root),
            output: Selected::new(&evidence.config.output, evidence.package_dir, root),
        };
        // A tool whose outputs go to the folder that it works in, or above it, says that nothing there counts:
        // then no edit would ever be a miss.
        let is_all = |path: &Path| evidence.cwd.starts_with(path) || evidence.package_dir.starts_with(path);
        for hint in evidence.hints {
            match hint {
                Hint::IgnoreInput(path) if !is_all(path) => {
                    // What is ignored both ways is the tool's own affair.
                    let is_both =
                        |hint: &Hint| matches!(hint, Hint::IgnoreOutput(own) if path.starts_with(own));
                    let is_bounded = changes_below(evidence, path) && !evidence.hints.iter().any(is_both);
                    rules.reads.push(Rule::told(path, is_bounded));
                }
                Hint::IgnoreOutput(path) if !is_all(path) => rules.writes.push(Rule::told(path, false)),
                _ => {}
            }
        }
        if let Some(declaration) = evidence.declaration {
            let rule = |rule: &PathRule| Rule::declared(rule, evidence);
            rules.reads.extend(
                declaration
                    .ignored_reads
                    .iter()
                    .chain(&declaration.cache_dirs)
                    .chain(&declaration.generated)
                    .map(rule),
            );
            rules
                .generated
                .extend(declaration.generated.iter().map(|rule| Tree::declared(rule, evidence.bases())));
            rules
                .state_files
                .extend(declaration.state_files.iter().map(|rule| Tree::declared(rule, evidence.bases())));
            rules.writes.extend(declaration.ignored_writes.iter().chain(&declaration.cache_dirs).map(rule));
        }
        rules
    }

    /// The rule by which reading a path does not make it an input. A person who names it as input
    /// has the last word.
    pub fn ignores_read(&self, path: &Path) -> Option<&Rule> {
        if self.input.names(path) {
            return None;
        }
        self.reads.iter().find(|rule| rule.tree.holds(path))
    }

    /// The rule by which writing a path does not make it an output.
    pub fn ignores_write(&self, path: &Path) -> Option<&Rule> {
        if self.output.names(path) {
            return None;
        }
        self.writes.iter().find(|rule| rule.tree.holds(path))
    }

    /// Whether a path is tool state that others read, by an adapter.
    pub fn keeps(&self, path: &Path) -> bool {
        !self.input.names(path) && self.generated.iter().any(|tree| tree.holds(path))
    }

    /// Whether a path is a file by which a tool knows what it did last.
    pub fn is_state_file(&self, path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == STATE_FILE_EXTENSION)
            || self.state_files.iter().any(|tree| tree.holds(path))
    }

    /// Whether a traced read of a path counts by the config.
    pub fn input_counts(&self, path: &Path) -> bool {
        self.input.auto && !self.input.excludes(path)
    }

    /// Whether a traced write of a path counts by the config.
    pub fn output_counts(&self, path: &Path) -> bool {
        if self.output.auto { !self.output.excludes(path) } else { self.output.names(path) }
    }
}

impl Rule {
    fn told(path: &Path, is_bounded: bool) -> Rule {
        let why = "told by the tool".to_owned();
        Rule { tree: Tree::Below(path.to_path_buf()), source: Source::Told, why, is_bounded }
    }

    fn declared(rule: &PathRule, evidence: &Evidence) -> Rule {
        let (tree, why) = (Tree::declared(rule, evidence.bases()), rule.why.clone());
        Rule { tree, source: Source::Declared, why, is_bounded: true }
    }

    /// Whether an adapter says so: then it is believed within bounds only.
    pub fn is_declared(&self) -> bool {
        self.source == Source::Declared
    }

    /// A read may only be hidden where that cannot make a hit wrong: in a hidden folder of
    /// `node_modules`, where nothing was, or where a run of this step left what was read. A tool itself is believed
    /// of a file or folder that it names, and of what it looked at without reading it and then changed or removed.
    /// `is_content`: its content was read.
    pub fn may_hide(&self, evidence: &Evidence, path: &Path, found: &Found, is_content: bool) -> bool {
        let is_told = self.source == Source::Told;
        let is_itself = || matches!(&self.tree, Tree::Below(own) if own == path);
        let is_changed = || evidence.ends.contains_key(path);
        let by_kind = || match found {
            Found::Folder(_) => !is_told || is_itself() || is_changed(),
            Found::Absent => !is_told || is_changed(),
            Found::File(_) => is_told && (is_itself() || (!is_content && is_changed())),
            Found::Link(_) | Found::Other => false,
        };
        // Where it leads to is where things go, whoever made a folder of that name before.
        if matches!(found, Found::Link(_)) && is_itself() {
            return is_hidden_in_node_modules(path);
        }
        !self.is_bounded || is_hidden_in_node_modules(path) || by_kind() || (evidence.made_before)(path)
    }

    /// The same for a listing: every name in it must be one that may be hidden.
    pub fn may_hide_listing(&self, evidence: &Evidence, path: &Path, names: &Listing) -> bool {
        let is_told = self.source == Source::Told;
        let may_hide = |name: &Path, letter: u8| {
            let child = path.join(name);
            let is_hidden_folder = letter == b'd' && !is_told;
            is_hidden_folder || (evidence.made_before)(&child) || evidence.ends.contains_key(&child)
        };
        !self.is_bounded
            || is_hidden_in_node_modules(path)
            || names.iter().all(|(name, letter)| may_hide(Path::new(name), *letter))
    }

    /// Whether it may keep a write from counting. A file of a person that a tool rewrites is an output
    /// whatever an adapter says: what was there, and what no run had made for the tool, is no tool's
    /// own, but in a hidden folder.
    pub fn may_hide_write(&self, evidence: &Evidence, path: &Path, before: &Found) -> bool {
        self.source != Source::Declared
            || matches!(before, Found::Absent | Found::Folder(_))
            || is_hidden_in_node_modules(path)
            || is_in_hidden_folder(&evidence.zones.places.root, path)
            || (evidence.tool_made_before)(path)
    }

    /// Whether it may keep a name from counting in a listing of the folder that it is in: what the step
    /// or an earlier run of it made there, and hidden names.
    pub fn may_hide_name(&self, evidence: &Evidence, path: &Path) -> bool {
        let root = &evidence.zones.places.root;
        self.source != Source::Declared
            || is_hidden_in_node_modules(path)
            || is_in_hidden_folder(root, &path.join("x"))
            || (evidence.made_before)(path)
    }

    /// What is to be told of a path that this rule hides.
    pub fn ignored(&self, path: &Path, is_read: bool) -> Ignored {
        let (source, why) = (self.source, self.why.clone());
        Ignored { path: path.to_path_buf(), reads: is_read, writes: !is_read, source, why }
    }
}

/// Whether the step changed anything in a folder.
fn changes_below(evidence: &Evidence, folder: &Path) -> bool {
    let inside = evidence.observed.paths.range::<Path, _>((Bound::Included(folder), Bound::Unbounded));
    inside.take_while(|(path, _)| path.starts_with(folder)).any(|(_, seen)| seen.change.is_some())
}

/// `node_modules/.vite` and the like: tools keep their caches there, packages do not.
fn is_hidden_in_node_modules(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str().as_encoded_bytes()).peekable();
    while let Some(part) = parts.next() {
        let hidden = |next: &&[u8]| next.starts_with(b".") && **next != *b".bin" && **next != *b".pnpm";
        if part == b"node_modules" && parts.peek().is_some_and(hidden) {
            return true;
        }
    }
    false
}

impl Selected {
    fn new(selection: &Selection, package_dir: &Path, root: &Path) -> Selected {
        let patterns = selection.patterns.iter().map(|pattern| {
            let base = match pattern.base {
                PatternBase::Package => package_dir,
                PatternBase::Workspace => root,
            };
            (pattern.exclude, Tree::exact(base, &pattern.glob))
        });
        Selected { auto: selection.auto, patterns: patterns.collect() }
    }

    fn excludes(&self, path: &Path) -> bool {
        self.patterns.iter().any(|(exclude, tree)| *exclude && tree.holds(path))
    }

    /// Whether a positive pattern matches and no negative one does.
    fn names(&self, path: &Path) -> bool {
        self.patterns.iter().any(|(exclude, tree)| !exclude && tree.holds(path)) && !self.excludes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    /// What a selection such as `auto !dist/**` says of a path in the package `/w/p`: whether a traced
    /// access counts, whether a person names it.
    fn says(text: &str, path: &str) -> (bool, bool) {
        let mut selection = Selection { auto: false, patterns: Vec::new() };
        for word in text.split_whitespace() {
            match word {
                "auto" => selection.auto = true,
                _ => {
                    let (exclude, word) = word.strip_prefix('!').map_or((false, word), |word| (true, word));
                    let (base, glob) = match word.strip_prefix('^') {
                        Some(glob) => (PatternBase::Workspace, glob),
                        None => (PatternBase::Package, word),
                    };
                    selection.patterns.push(Pattern { exclude, base, glob: glob.to_owned() });
                }
            }
        }
        let selected = Selected::new(&selection, Path::new("/w/p"), Path::new("/w"));
        let path = Path::new(path);
        (selected.auto && !selected.excludes(path), selected.names(path))
    }

    #[test]
    fn globs_select_as_a_config_means_them() {
        let cases = [
            ("auto", "/w/p/a", (true, false)),
            ("auto !dist/**", "/w/p/dist/x", (false, false)),
            ("auto !dist/**", "/w/p/src/x", (true, false)),
            ("src/*.ts", "/w/p/src/a.ts", (false, true)),
            ("src/*.ts", "/w/p/src/b/a.ts", (false, false)),
            ("src/** !src/*.test.ts", "/w/p/src/a.test.ts", (false, false)),
            ("^tsconfig.json", "/w/tsconfig.json", (false, true)),
            ("^tsconfig.json", "/w/p/tsconfig.json", (false, false)),
            ("", "/w/p/a", (false, false)),
        ];
        for (text, path, expected) in cases {
            assert_eq!(says(text, path), expected, "{text} of {path}");
        }
    }

    #[test]
    fn a_declared_pattern_holds_what_it_matches_with_all_below() {
        let holds = |pattern: &str, path: &str| Tree::new(Path::new("/w"), pattern).holds(Path::new(path));
        assert!(holds(".next/cache", "/w/.next/cache/x/y"));
        assert!(holds("node_modules/.vite*", "/w/node_modules/.vite-temp/x"));
        assert!(!holds(".next/cache", "/w/.next/cached"));
        assert!(holds("gen/**", "/w/gen"));
    }

    #[test]
    fn only_hidden_folders_of_node_modules_are_the_caches_of_tools() {
        for (path, hidden) in [
            ("/w/node_modules/.vite/deps", true),
            ("/w/node_modules/.bin/x", false),
            ("/w/node_modules/.pnpm/a", false),
            ("/w/node_modules/a/.x", false),
            ("/w/.vite", false),
        ] {
            assert_eq!(is_hidden_in_node_modules(Path::new(path)), hidden, "{path}");
        }
    }
}

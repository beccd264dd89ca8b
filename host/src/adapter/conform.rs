//! What every adapter should bear, tried out: odd arguments, packages without the tool's config or with a
//! broken one, versions that its author never saw, folders with many names. An adapter that breaks a rule
//! costs its users caching, never more; its author wants to know before they do.

use super::cases;
use super::engine_config::FUEL;
use super::examine::{Examined, Subject, Trial};
use super::patterns;
use super::{AdapterFault, Call};
use crate::declaration::{Declaration, Verdict};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What was said, by the keys of a case.
type Lines = BTreeMap<String, Vec<String>>;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Arguments that nobody expects.
    OddArguments,
    /// The same call twice.
    Repeatable,
    /// Folders listed in another order.
    AnyOrder,
    /// No config file.
    NoConfig,
    /// A config file that is none.
    BrokenConfig,
    /// A version beyond those that were tested.
    UnknownVersion,
    /// A folder of 10,000 names.
    ManyNames,
    /// Spaces and other scripts in a path.
    OddFolders,
    /// A reason for each rule.
    Reasons,
    /// Paths that are good on every system.
    Portable,
    /// A tenth of the fuel.
    Cheap,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 11] = [
        Rule::OddArguments,
        Rule::Repeatable,
        Rule::AnyOrder,
        Rule::NoConfig,
        Rule::BrokenConfig,
        Rule::UnknownVersion,
        Rule::ManyNames,
        Rule::OddFolders,
        Rule::Reasons,
        Rule::Portable,
        Rule::Cheap,
    ];

    /// Its name in messages and documents.
    pub fn code(self) -> &'static str {
        match self {
            Rule::OddArguments => "odd-arguments",
            Rule::Repeatable => "repeatable",
            Rule::AnyOrder => "any-order",
            Rule::NoConfig => "no-config",
            Rule::BrokenConfig => "broken-config",
            Rule::UnknownVersion => "unknown-version",
            Rule::ManyNames => "many-names",
            Rule::OddFolders => "odd-folders",
            Rule::Reasons => "reasons",
            Rule::Portable => "portable",
            Rule::Cheap => "cheap",
        }
    }

    /// What it asks, in one line.
    pub fn text(self) -> &'static str {
        match self {
            Rule::OddArguments => "it bears arguments that nobody expects",
            Rule::Repeatable => "the same call gives the same declaration",
            Rule::AnyOrder => "it relies on no order of a folder's names",
            Rule::NoConfig => "it bears a package without a config file",
            Rule::BrokenConfig => "it bears a config file that is none",
            Rule::UnknownVersion => "it is unsure of a version beyond those that it was tested with",
            Rule::ManyNames => "it bears a folder of 10,000 names",
            Rule::OddFolders => "it bears folders with spaces and letters of other scripts",
            Rule::Reasons => "each rule and each verdict has a reason",
            Rule::Portable => "its paths are good on every system",
            Rule::Cheap => "a call uses less than a tenth of the fuel that it may",
        }
    }
}

/// What came of trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It bears it.
    Holds,
    /// There is nothing to be tried. With the reason.
    DoesNotApply(String),
    /// It does not. With the call and what happened.
    Broken(String),
}

/// Words with which calls are tried: those that tools of all kinds know.
const WORDS: [&[&str]; 6] = [&[], &["build"], &["check"], &["test"], &["dev"], &["generate"]];
const ODD: [&[&str]; 7] = [
    &[""],
    &["--"],
    &["-"],
    &["--=", "=", "--no-"],
    &["build", "--outDir"],
    &["büild", "--größe=日本", "\u{202E}"],
    &["build", "--config", "../../../x", "--root=/", "C:\\x"],
];
const NAMES: usize = 10_000;
const GARBAGE: &str = "}{ ]( this is: no = config `\u{0}\n";

/// Tries these rules.
pub fn conform(subject: &Subject, rules: &[Rule]) -> io::Result<Vec<(Rule, Found)>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let tried = |rule| Ok((rule, Kit { subject, root: &root }.try_out(rule)?));
    rules.iter().copied().map(tried).collect()
}

struct Kit<'a> {
    subject: &'a Subject,
    root: &'a Path,
}

impl Kit<'_> {
    fn try_out(&self, rule: Rule) -> io::Result<Found> {
        let plain = self.package("plain", |_| Ok(()))?;
        let calls = || WORDS.into_iter();
        Ok(match rule {
            Rule::OddArguments => self.without_fault(&plain, ODD.into_iter()),
            Rule::NoConfig => self.without_fault(&plain, calls()),
            Rule::Repeatable => self.same(&plain, false),
            Rule::AnyOrder => self.same(&self.package("many", |folder| fill(folder, 20))?, true),
            Rule::BrokenConfig => {
                if self.subject.described.config_files.is_empty() {
                    return Ok(Found::DoesNotApply("it has no config files".into()));
                }
                self.without_fault(&self.package("broken", |folder| self.break_configs(folder))?, calls())
            }
            Rule::UnknownVersion => self.is_unsure(&plain),
            Rule::ManyNames => {
                self.without_fault(&self.package("large", |folder| fill(folder, NAMES))?, calls())
            }
            Rule::OddFolders => {
                self.without_fault(&self.package("päckage of/日本 [x]", |_| Ok(()))?, calls())
            }
            Rule::Reasons => self.each_declaration(&plain, |declaration| reason_missing(declaration)),
            Rule::Portable => self.each_declaration(&plain, |declaration| {
                let code = |code: &str| declaration.advice.iter().find(|advice| advice.code == code);
                code("not-portable").or(code("narrowing-refused")).map(|advice| advice.text.clone())
            }),
            Rule::Cheap => self.first(&plain, calls(), |examined| {
                let fuel = examined.used.fuel;
                (fuel > FUEL / 10).then(|| format!("{fuel} units of fuel"))
            }),
        })
    }

    /// A package that is made as wanted; its folder.
    fn package(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<std::path::PathBuf> {
        let folder = self.root.join(name);
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("package.json"), "{}")?;
            make(&folder)?;
        }
        Ok(folder)
    }

    /// Puts garbage where the adapter looks for configs.
    fn break_configs(&self, folder: &Path) -> io::Result<()> {
        for pattern in &self.subject.described.config_files {
            for name in patterns::check(pattern).into_iter().flatten() {
                fs::write(folder.join(name.replace('*', "x").replace('?', "x")), GARBAGE)?;
            }
        }
        Ok(())
    }

    fn call(
        &self,
        package: &Path,
        program: &str,
        tool: Option<(&str, &str)>,
        args: &[&str],
        backwards: bool,
    ) -> Examined {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let call = Call {
            program: &self.root.join("node_modules/.bin").join(program),
            name: program,
            args: &args,
            cwd: package,
            package_dir: package,
            root: self.root,
            env: &|_| None,
        };
        self.subject.examine(Trial { call, tool, settings: None, is_backwards: backwards })
    }

    /// Every program with a package that it may belong to, in a version that the author says was tested.
    fn tools(&self) -> Vec<(String, Option<(String, String)>)> {
        let described = &self.subject.described;
        let version = described.tested_with.as_deref().and_then(first_version).unwrap_or("1.0.0".into());
        let packages: Vec<Option<(String, String)>> = match described.packages.as_slice() {
            [] => vec![None],
            all => all.iter().map(|name| Some((name.clone(), version.clone()))).collect(),
        };
        let programs = match described.programs.as_slice() {
            [] => described.packages.as_slice(),
            all => all,
        };
        let of = |program: &String| {
            // A program that has the name of a package belongs to it; others may belong to any.
            let own = packages.iter().filter(|tool| tool.as_ref().is_some_and(|tool| tool.0 == *program));
            let own: Vec<_> = own.cloned().collect();
            let all = if own.is_empty() { packages.clone() } else { own };
            all.into_iter().map(|tool| (program.clone(), tool)).collect::<Vec<_>>()
        };
        programs.iter().flat_map(of).collect()
    }

    /// The first call of which something is to be said.
    fn first<'c>(
        &self,
        package: &Path,
        calls: impl Iterator<Item = &'c [&'c str]>,
        wrong: impl Fn(&Examined) -> Option<String>,
    ) -> Found {
        let tools = self.tools();
        for args in calls {
            for (program, tool) in &tools {
                let given = tool.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
                if let Some(how) = wrong(&self.call(package, program, given, args, false)) {
                    return Found::Broken(format!("{program} {args:?}: {how}"));
                }
            }
        }
        Found::Holds
    }

    fn without_fault<'c>(&self, package: &Path, calls: impl Iterator<Item = &'c [&'c str]>) -> Found {
        self.first(package, calls, |examined| match &examined.declared {
            // To say that a config cannot be read is an answer.
            Err(AdapterFault { code, .. }) if code == "cannot-parse" => None,
            Err(fault) => Some(fault.to_string()),
            Ok(_) => None,
        })
    }

    fn same(&self, package: &Path, backwards: bool) -> Found {
        let tools = self.tools();
        for args in WORDS {
            for (program, tool) in &tools {
                let given = tool.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
                let once = cases::lines(&self.call(package, program, given, args, false));
                let again = cases::lines(&self.call(package, program, given, args, backwards));
                if let Some(how) = otherwise(&once, &again) {
                    return Found::Broken(format!("{program} {args:?}: {how}"));
                }
            }
        }
        Found::Holds
    }

    fn is_unsure(&self, package: &Path) -> Found {
        let Some(range) = &self.subject.described.tested_with else {
            return Found::DoesNotApply("it does not say which versions it was tested with".into());
        };
        for args in WORDS {
            for (program, tool) in self.tools() {
                let Some((name, version)) = &tool else { continue };
                let known = self.call(package, &program, Some((name, version)), args, false);
                let beyond = self.call(package, &program, Some((name, "9999.0.0")), args, false);
                if let (Ok(Some(known)), Ok(Some(beyond))) = (known.declared, beyond.declared)
                    && known.verdict == Verdict::Cacheable
                    && beyond.verdict == Verdict::Cacheable
                {
                    let how = format!("it was tested with {range}, and declares for {name} 9999.0.0");
                    return Found::Broken(format!("{program} {args:?}: {how}"));
                }
            }
        }
        Found::Holds
    }

    fn each_declaration(&self, package: &Path, wrong: impl Fn(&Declaration) -> Option<String>) -> Found {
        self.first(package, WORDS.into_iter(), |examined| match &examined.declared {
            Ok(Some(declaration)) => wrong(declaration),
            _ => None,
        })
    }
}

/// The first thing that was not said twice alike.
fn otherwise(once: &Lines, again: &Lines) -> Option<String> {
    let key = once.keys().chain(again.keys()).find(|key| once.get(*key) != again.get(*key))?;
    let said = |lines: &Lines| lines.get(key).map(|values| values.join(", ")).unwrap_or_default();
    Some(format!("{key}: `{}`, then `{}`", said(once), said(again)))
}

fn fill(folder: &Path, names: usize) -> io::Result<()> {
    let below = folder.join("src");
    fs::create_dir_all(&below)?;
    for name in 0..names {
        fs::write(folder.join(format!("file-{name}.js")), "")?;
        if name < 20 {
            fs::write(below.join(format!("file-{name}.js")), "")?;
        }
    }
    Ok(())
}

fn reason_missing(declaration: &Declaration) -> Option<String> {
    let lists = [
        ("inputs", &declaration.inputs),
        ("ignored-reads", &declaration.ignored_reads),
        ("ignored-writes", &declaration.ignored_writes),
        ("outputs", &declaration.outputs),
        ("cache-dirs", &declaration.cache_dirs),
        ("generated", &declaration.generated),
        ("state-files", &declaration.state_files),
    ];
    let mut rules = lists.into_iter().flat_map(|(list, rules)| rules.iter().map(move |rule| (list, rule)));
    if let Some((list, rule)) = rules.find(|(_, rule)| rule.why.trim().is_empty()) {
        return Some(format!("{list}: `{}` has no reason", rule.pattern));
    }
    match &declaration.verdict {
        Verdict::Uncacheable(why) | Verdict::Unsure(why) if why.trim().is_empty() => {
            Some("its verdict has no reason".into())
        }
        _ => declaration
            .env
            .iter()
            .find(|rule| rule.why.trim().is_empty())
            .map(|_| "a variable has no reason".into()),
    }
}

/// The first version that a range names, as `5.0.0` of `>=5 <9`.
fn first_version(range: &str) -> Option<String> {
    let start = range.find(|letter: char| letter.is_ascii_digit())?;
    let text: String =
        range[start..].chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let mut parts: Vec<&str> = text.split('.').filter(|part| !part.is_empty()).collect();
    parts.resize(3, "0");
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_only_once_is_found_in_the_first_answer_and_in_the_second() {
        let outputs = Lines::from([("outputs".to_owned(), vec!["a".to_owned()])]);
        let nothing = Lines::new();
        assert_eq!(otherwise(&outputs, &outputs), None);
        assert_eq!(otherwise(&outputs, &nothing).as_deref(), Some("outputs: `a`, then ``"));
        assert_eq!(otherwise(&nothing, &outputs).as_deref(), Some("outputs: ``, then `a`"));
    }
}

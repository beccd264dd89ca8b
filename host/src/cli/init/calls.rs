//! Scripts that still call the other runner: the line to paste in their stead, with the same choice of
//! packages and tasks. package.json is the user's, and is not written.

use super::carry::Carried;
use crate::plan::nested::{self, Runner};
use crate::plan::{Run, command};
use crate::workspace::{Script, Workspace};
use serde_json::json;
use std::path::Path;

/// Programs of other runners.
const RUNNERS: [&str; 4] = ["turbo", "nx", "moon", "lage"];

/// Lists the scripts that call another runner.
pub fn list(workspace: &Workspace, carried: &mut Carried) {
    for (at, package) in workspace.packages.iter().enumerate() {
        let file = package.relative_dir.join("package.json").display().to_string();
        for script in &package.scripts {
            match rewritten(workspace, at, script) {
                None => {}
                Some(Ok((command, without))) => {
                    let (name, now) = (json!(script.name), &script.command);
                    let mut line = format!("{file}: {name}: {}   (now: {now})", json!(command));
                    if !without.is_empty() {
                        let without = without.join(" ");
                        line.push_str(&format!("\n    without {without}: there is no such flag here"));
                    }
                    carried.ask(line);
                }
                Some(Err(why)) => carried.ask(format!(
                    "{file}: script `{}` still calls {why} (`{}`)",
                    script.name, script.command
                )),
            }
        }
    }
}

/// Whether a script is at the root alone, and itself runs tasks of packages.
pub fn is_run_of_many(workspace: &Workspace, name: &str) -> bool {
    let has = |at: usize| workspace.packages[at].scripts.iter().find(|script| script.name == name);
    let Some(script) = has(0).filter(|_| !(1..workspace.packages.len()).any(|at| has(at).is_some())) else {
        return false;
    };
    command::split(&script.command, &workspace.root).iter().any(|part| {
        let selects = nested::call(&part.invocation).is_some_and(
            |call| matches!(call.runner, Runner::Overhear(selecting) if selecting.says_something()),
        );
        selects
            || nested::runs_many_packages(&part.invocation)
            || Called::find(&part.invocation.run).is_some()
    })
}

/// The command with `overhear run` in the place of each call, and the flags that are lost; `Err` says why
/// there is none, `None` that no other runner is called.
fn rewritten(
    workspace: &Workspace,
    at: usize,
    script: &Script,
) -> Option<Result<(String, Vec<String>), String>> {
    let (mut whole, mut rest) = (String::new(), script.command.as_str());
    let mut without = Vec::new();
    let mut found = false;
    for part in command::split(&script.command, &workspace.packages[at].dir) {
        let mut plain = part.invocation.clone();
        if let Run::Shell(text) = &plain.run
            && let Some(run) = words_with_globs(text)
        {
            plain.run = run;
        }
        let seen = nested::look_through(&plain);
        if let Run::Shell(text) = &seen.run {
            let mut words = text.split(|c: char| c.is_whitespace() || ";&|()\"'`".contains(c));
            let runner = words.find(|word| RUNNERS.contains(word));
            if let Some(runner) = runner {
                return Some(Err(format!("{runner}, in a command for a shell: have it call `overhear run`")));
            }
        }
        let Some(called) = Called::find(&seen.run) else { continue };
        found = true;
        let call = match called.translated(workspace, at, &script.name) {
            Ok(call) => call,
            Err(why) => return Some(Err(format!("{}: {why}", called.runner))),
        };
        let (before, after) = rest.split_once(&part.text)?;
        let set = seen.env.iter().map(|(name, value)| format!("{name}={}", command::quote(value)));
        let words = called.before.iter().chain(&call.words).map(|word| quote(word));
        whole.push_str(before);
        whole.push_str(&set.chain(words).collect::<Vec<_>>().join(" "));
        without.extend(call.without);
        rest = after;
    }
    found.then(|| Ok((whole + rest, without)))
}

/// The words of a command that is left to a shell only because it has a word that could name files, as
/// `--filter=...[main]` could.
fn words_with_globs(text: &str) -> Option<Run> {
    if text.contains([';', '&', '|', '<', '>', '(', ')', '$', '`', '\\', '\'', '"', '\n', '#', '~']) {
        return None;
    }
    let mut words = text.split_whitespace().map(str::to_owned);
    let program = words.next().filter(|program| !program.contains(['=', '*', '?', '[', '{']))?;
    Some(Run::Program { program, args: words.collect() })
}

/// A call of another runner, behind wrappers.
struct Called<'a> {
    runner: &'static str,
    /// What wraps it and stays, as in `dotenv -- turbo run build`.
    before: Vec<String>,
    words: &'a [String],
}

impl<'a> Called<'a> {
    fn find(run: &'a Run) -> Option<Called<'a>> {
        let Run::Program { program, args } = run else { return None };
        // With a version, as `npx turbo@2` has it.
        let runner = |word: &str| {
            let name = word.split('@').next().unwrap_or_default();
            RUNNERS.into_iter().find(|runner| *runner == name)
        };
        if let Some(runner) = runner(program) {
            return Some(Called { runner, before: Vec::new(), words: args });
        }
        // `pnpm turbo` is `pnpm exec turbo` where no script has that name.
        let first = args.first().and_then(|word| runner(word));
        if let Some(runner) = first.filter(|_| matches!(program.as_str(), "pnpm" | "yarn" | "npx" | "bunx")) {
            return Some(Called { runner, before: Vec::new(), words: &args[1..] });
        }
        let after = args.iter().position(|word| word == "--")? + 1;
        let runner = args.get(after).and_then(|word| runner(word))?;
        let before = std::iter::once(program).chain(&args[..after]).cloned().collect();
        let is_manager = matches!(program.as_str(), "npm" | "pnpm" | "yarn");
        (!is_manager).then(|| Called { runner, before, words: &args[after + 1..] })
    }

    fn translated(&self, workspace: &Workspace, at: usize, script: &str) -> Result<Translated, String> {
        let mut call = Call::new(workspace);
        match self.runner {
            "turbo" => {
                call.here = at != 0;
                call.turbo(self.words)?;
            }
            "nx" => call.nx(self.words)?,
            "lage" => call.lage(self.words)?,
            _ => call.moon(self.words)?,
        }
        call.words(at, script)
    }
}

/// A call in our words.
struct Translated {
    words: Vec<String>,
    without: Vec<String>,
}

/// What a flag of another runner is here.
enum Flag {
    /// A filter; with this around it.
    Filter(&'static str, &'static str),
    /// Names of tasks.
    Tasks,
    /// A flag without a value.
    Same(&'static str),
    /// A flag whose value, perhaps left out, says which of ours it is; each is one or more words.
    Choice(&'static [(&'static str, &'static str)]),
    /// The same, the value being the next word where there is no `=`.
    ChoiceInNext(&'static [(&'static str, &'static str)]),
    /// What would run is drawn; there into a file.
    Graph,
    /// How many at once, perhaps left out.
    Number,
    /// The commit since which something changed.
    Since,
    /// It goes without saying.
    Nothing,
    /// There is none; whether it has a value.
    None { value: bool },
    /// Not of the runner, but of the command.
    ForTheCommand,
}

/// A call of another runner as it is read.
struct Call<'a> {
    workspace: &'a Workspace,
    tasks: Vec<String>,
    filters: Vec<String>,
    flags: Vec<String>,
    without: Vec<String>,
    args: Vec<String>,
    /// In the package of the script alone.
    here: bool,
}

impl<'a> Call<'a> {
    fn new(workspace: &'a Workspace) -> Call<'a> {
        let (tasks, filters, flags) = (Vec::new(), Vec::new(), Vec::new());
        Call { workspace, tasks, filters, flags, without: Vec::new(), args: Vec::new(), here: false }
    }

    fn turbo(&mut self, words: &[String]) -> Result<(), String> {
        const OTHERS: [&str; 18] = [
            "prune",
            "login",
            "logout",
            "link",
            "unlink",
            "gen",
            "generate",
            "ls",
            "query",
            "daemon",
            "info",
            "scan",
            "telemetry",
            "boundaries",
            "bin",
            "completion",
            "docs",
            "config",
        ];
        let words = match words.split_first() {
            Some((first, rest)) if first == "run" => rest,
            Some((first, rest)) if first == "watch" => {
                self.flags.push("--watch".to_owned());
                rest
            }
            Some((first, _)) if OTHERS.contains(&first.as_str()) => return Err(no_such_command(first)),
            _ => words,
        };
        let tasks = self.read(words, |flag| match flag {
            "--filter" | "-F" | "--scope" => Flag::Filter("", ""),
            "--force" => Flag::Same("--force"),
            "--continue" => Flag::Same("--continue"),
            "--parallel" => Flag::Same("--parallel"),
            "--affected" => Flag::Same("--affected"),
            "--only" => Flag::Same("--ignore-depends-on"),
            "--dry" | "--dry-run" => {
                Flag::Choice(&[("", "--dry-run"), ("text", "--dry-run"), ("json", "--dry-run --json")])
            }
            "--log-order" => {
                Flag::ChoiceInNext(&[("grouped", "--log grouped"), ("stream", ""), ("auto", "")])
            }
            "--graph" => Flag::Graph,
            "--concurrency" => Flag::Number,
            "--since" => Flag::Since,
            "--no-daemon" | "--daemon" | "--no-update-notifier" => Flag::Nothing,
            "--cache-dir"
            | "--cache"
            | "--output-logs"
            | "--log-prefix"
            | "--env-mode"
            | "--ui"
            | "--team"
            | "--token"
            | "--api"
            | "--cwd"
            | "--profile"
            | "--anon-profile"
            | "--cache-workers"
            | "--remote-cache-timeout"
            | "--verbosity"
            | "--ignore"
            | "--global-deps" => Flag::None { value: true },
            _ => Flag::None { value: false },
        });
        for task in tasks {
            let task = match task.strip_prefix("//#") {
                Some(task) => self.of_package(0, task)?,
                None => task,
            };
            self.tasks.push(task);
        }
        Ok(())
    }

    fn nx(&mut self, words: &[String]) -> Result<(), String> {
        const OTHERS: [&str; 20] = [
            "graph",
            "dep-graph",
            "reset",
            "format",
            "format:check",
            "format:write",
            "release",
            "migrate",
            "init",
            "connect",
            "generate",
            "g",
            "sync",
            "sync:check",
            "show",
            "list",
            "report",
            "daemon",
            "repair",
            "import",
        ];
        let (first, rest) = words.split_first().ok_or_else(|| no_such_command(""))?;
        if OTHERS.contains(&first.as_str()) || first.starts_with('-') {
            return Err(no_such_command(first));
        }
        let plain = self.read(rest, |flag| match flag {
            "-t" | "--target" | "--targets" => Flag::Tasks,
            "-p" | "--project" | "--projects" => Flag::Filter("", ""),
            "--exclude" => Flag::Filter("!", ""),
            "--parallel" | "--maxParallel" => Flag::Number,
            "--skip-nx-cache" | "--skipNxCache" | "--disableNxCache" => Flag::Same("--force"),
            "--base" => Flag::Since,
            "--all" | "--no-dte" => Flag::Nothing,
            "--head" | "-c" | "--configuration" | "--output-style" | "--outputStyle" | "--runner" => {
                Flag::None { value: true }
            }
            "--verbose" | "--nxBail" | "--nx-bail" | "--graph" | "--prod" | "--tui" | "--no-tui" => {
                Flag::None { value: false }
            }
            _ => Flag::ForTheCommand,
        });
        match first.as_str() {
            "run-many" => {}
            "affected" => self.affected(),
            "run" | "run-one" => {
                let target = plain.first().cloned().unwrap_or_default();
                let mut names = target.split(':');
                let (project, task) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
                self.of_project(project, task)?;
                self.without
                    .extend(names.next().map(|configuration| format!("the configuration {configuration}")));
                self.args.splice(0..0, plain.into_iter().skip(1));
            }
            task => match (task.strip_prefix("affected:"), plain.split_first()) {
                (Some(task), _) => {
                    self.tasks.push(task.to_owned());
                    self.affected();
                }
                (None, Some((project, more))) => {
                    self.of_project(project, task)?;
                    self.args.splice(0..0, more.iter().cloned());
                }
                (None, None) => {
                    self.here = true;
                    self.tasks.push(task.to_owned());
                }
            },
        }
        for filter in &mut self.filters {
            let (not, name) = filter.strip_prefix('!').map_or(("", filter.as_str()), |name| ("!", name));
            if name.contains(':') {
                return Err(format!("`{name}` has no counterpart"));
            }
            if let Some(package) = project(self.workspace, name) {
                *filter =
                    format!("{not}{}", self.workspace.packages[package].name.as_deref().unwrap_or(name));
            }
        }
        Ok(())
    }

    fn lage(&mut self, words: &[String]) -> Result<(), String> {
        if let Some(first) = words.first().filter(|first| matches!(first.as_str(), "init" | "cache" | "info"))
        {
            return Err(no_such_command(first));
        }
        let words = words.strip_prefix(&["run".to_owned()]).unwrap_or(words);
        self.tasks = self.read(words, |flag| match flag {
            "--scope" => Flag::Filter("", ""),
            "--to" => Flag::Filter("", "..."),
            "--since" => Flag::Since,
            "--no-cache" => Flag::Same("--no-cache"),
            "--reset-cache" => Flag::Same("--force"),
            "--continue" => Flag::Same("--continue"),
            "--concurrency" => Flag::Number,
            "--reporter"
            | "--log-level"
            | "--logLevel"
            | "--ignore"
            | "--max-workers-per-task"
            | "--profile" => Flag::None { value: true },
            _ => Flag::None { value: false },
        });
        Ok(())
    }

    fn moon(&mut self, words: &[String]) -> Result<(), String> {
        let (first, rest) = words.split_first().ok_or_else(|| no_such_command(""))?;
        if !matches!(first.as_str(), "run" | "r") {
            return Err(no_such_command(first));
        }
        let targets = self.read(rest, |flag| match flag {
            "--force" | "-f" | "-u" | "--updateCache" | "--update-cache" => Flag::Same("--force"),
            "--affected" => Flag::Same("--affected"),
            "--concurrency" | "-c" => Flag::Number,
            "--log" | "--cache" | "--color" | "--profile" | "--query" | "--remote" => {
                Flag::None { value: true }
            }
            _ => Flag::None { value: false },
        });
        for target in targets {
            match target.split_once(':') {
                Some(("", task)) => self.tasks.push(task.to_owned()),
                None | Some(("~", _)) => {
                    self.here = true;
                    self.tasks.push(target.trim_start_matches("~:").to_owned());
                }
                Some((project, task)) => self.of_project(project, task)?,
            }
        }
        Ok(())
    }

    /// Reads flags and what they have; gives back the other words.
    fn read(&mut self, words: &[String], meaning: impl Fn(&str) -> Flag) -> Vec<String> {
        let mut plain = Vec::new();
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                self.args.extend(words.by_ref().map(str::to_owned));
                break;
            }
            if !word.starts_with('-') {
                // After a flag for the command it may be the value of that.
                let list = if self.args.is_empty() { &mut plain } else { &mut self.args };
                list.push(word.to_owned());
                continue;
            }
            let (flag, value) =
                word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
            let meaning = meaning(flag);
            let value = match (&meaning, value) {
                (
                    Flag::Filter(..)
                    | Flag::Tasks
                    | Flag::Since
                    | Flag::ChoiceInNext(_)
                    | Flag::None { value: true },
                    None,
                ) => words.next(),
                (Flag::Number, None) => words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit())),
                (_, value) => value,
            };
            match meaning {
                Flag::Filter(before, after) => {
                    let names = value.unwrap_or_default().split(',');
                    self.filters.extend(names.map(|name| format!("{before}{name}{after}")));
                }
                Flag::Tasks => {
                    self.tasks.extend(value.unwrap_or_default().split(',').map(str::to_owned));
                    // `-t build test` names two.
                    while let Some(task) = words.next_if(|word| !word.starts_with('-')) {
                        self.tasks.push(task.to_owned());
                    }
                }
                Flag::Same(flag) => self.flags.push(flag.to_owned()),
                Flag::Number
                    if value.is_some_and(|value| value.parse::<std::num::NonZeroUsize>().is_ok()) =>
                {
                    self.flags.extend(["--concurrency".to_owned(), value.unwrap_or_default().to_owned()]);
                }
                Flag::Number if value.is_none_or(|value| matches!(value, "true" | "false")) => {}
                Flag::Since => self.flags.push(format!("--affected={}", value.unwrap_or_default())),
                Flag::Nothing => {}
                Flag::Choice(of) | Flag::ChoiceInNext(of) => {
                    match of.iter().find(|(name, _)| *name == value.unwrap_or_default()) {
                        Some((_, flags)) => self.flags.extend(flags.split_whitespace().map(str::to_owned)),
                        None => self.without.push(word.to_owned()),
                    }
                }
                Flag::Graph => {
                    self.flags.push("--graph".to_owned());
                    self.without.extend(value.map(|_| word.to_owned()));
                }
                Flag::Number | Flag::None { .. } => self.without.push(word.to_owned()),
                Flag::ForTheCommand => self.args.push(word.to_owned()),
            }
        }
        plain
    }

    fn affected(&mut self) {
        if !self.flags.iter().any(|flag| flag.starts_with("--affected")) {
            self.flags.push("--affected".to_owned());
        }
    }

    fn of_project(&mut self, name: &str, task: &str) -> Result<(), String> {
        let at = project(self.workspace, name).ok_or_else(|| format!("there is no package `{name}`"))?;
        let task = self.of_package(at, task)?;
        self.tasks.push(task);
        Ok(())
    }

    fn of_package(&self, at: usize, task: &str) -> Result<String, String> {
        match &self.workspace.packages[at].name {
            Some(name) => Ok(format!("{name}#{task}")),
            None => Err("the package at the root has no name to call it by".to_owned()),
        }
    }

    fn words(self, at: usize, script: &str) -> Result<Translated, String> {
        if self.tasks.is_empty() {
            return Err("it names no task".to_owned());
        }
        let named = self.tasks.iter().filter(|task| task.contains('#')).count();
        if named > 0 && (named < self.tasks.len() || !self.filters.is_empty()) {
            return Err("call `overhear run` twice, for tasks with their package and without".to_owned());
        }
        let own = self.of_package(at, script).unwrap_or_default();
        let is_here = self.here && self.filters.is_empty();
        let elsewhere = |task: &str| {
            let mut others = self.workspace.packages.iter().enumerate().filter(|(other, _)| *other != at);
            others.any(|(_, package)| package.definition(task).is_some())
        };
        let is_itself = |task: &String| task == script && (is_here || !elsewhere(task));
        if self.tasks.iter().any(|task| *task == own || is_itself(task)) {
            return Err("in its place it would call itself: write what it is to run".to_owned());
        }
        let mut words = vec!["overhear".to_owned(), "run".to_owned()];
        let is_affected = self.flags.iter().any(|flag| flag.starts_with("--affected"));
        words.extend(self.flags);
        if named == 0 && self.filters.is_empty() && !is_here && !is_affected {
            words.push("-r".to_owned());
        }
        words.extend(self.filters.into_iter().flat_map(|filter| ["-F".to_owned(), filter]));
        words.push(self.tasks.join(","));
        words.extend(self.args);
        Ok(Translated { words, without: self.without })
    }
}

/// A word for a shell: to it `#` says something only before a word.
fn quote(word: &str) -> String {
    let plain = word.replace('#', "");
    let is_plain = !word.starts_with('#') && command::quote(&plain) == plain;
    if is_plain { word.to_owned() } else { command::quote(word) }
}

fn no_such_command(word: &str) -> String {
    format!("`{word}` has no counterpart")
}

/// A project goes by the name of its package, or by that of its folder.
pub fn project(workspace: &Workspace, name: &str) -> Option<usize> {
    let is_folder = |dir: &Path| dir.file_name().is_some_and(|folder| folder == name);
    let by_folder = || workspace.packages.iter().position(|package| is_folder(&package.relative_dir));
    workspace.package_named(name).or_else(by_folder)
}

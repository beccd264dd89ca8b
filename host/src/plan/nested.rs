//! Commands that stand for other commands: calls of package managers and runners, which the plan
//! unfolds into the tasks that they would run, and wrappers, which are looked through so that an
//! adapter sees the tool. Only plain forms; one with a flag is left as it is.

use super::{Invocation, Run};
use crate::workspace::Workspace;
use rustc_hash::FxHashSet;

/// Tasks that a command runs in the package of its working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Their names; for [`Runner::Overhear`] perhaps `package#task`.
    pub tasks: Vec<String>,
    /// What it hands to the one script that it names; then it stands for the commands of that script, and
    /// not for the task, which others may wait for without them.
    pub args: Vec<String>,
    /// All at once, instead of one after the other.
    pub parallel: bool,
    /// Who would run them.
    pub runner: Runner,
}

/// Who would run a task: it decides what a name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A package manager, or a program in its stead: scripts of the same package alone.
    Scripts,
    /// Scripts and tasks, also of other packages: those that these flags select.
    Overhear(Selecting),
}

/// What the flags of a nested `overhear run` say of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of the same name in Request")]
pub struct Selecting {
    pub recursive: bool,
    pub transitive: bool,
    pub workspace_root: bool,
    pub filters: Vec<String>,
    pub parallel: bool,
}

impl Call {
    /// Whether whoever would run them starts all of them, however many there are: `run-p`, `--parallel`.
    pub fn starts_at_once(&self) -> bool {
        match &self.runner {
            Runner::Scripts => self.parallel,
            Runner::Overhear(flags) => flags.parallel,
        }
    }
}

impl Selecting {
    /// Whether other packages may be meant than the one that a task names or the folder gives.
    pub fn says_something(&self) -> bool {
        *self != Selecting { parallel: self.parallel, ..Selecting::default() }
    }
}

/// Names that pnpm and yarn keep for themselves where `run` is left out.
const RESERVED: &[&str] = &[
    "access",
    "add",
    "approve-builds",
    "audit",
    "autoclean",
    "bin",
    "bugs",
    "c",
    "cache",
    "cat-file",
    "cat-index",
    "check",
    "ci",
    "completion",
    "config",
    "constraints",
    "create",
    "dedupe",
    "deploy",
    "dist-tag",
    "dlx",
    "docs",
    "doctor",
    "env",
    "exec",
    "explain",
    "explore",
    "fetch",
    "find-hash",
    "fund",
    "generate-lock-entry",
    "get",
    "global",
    "help",
    "i",
    "import",
    "info",
    "init",
    "install",
    "install-test",
    "it",
    "la",
    "licenses",
    "link",
    "list",
    "ll",
    "ln",
    "login",
    "logout",
    "ls",
    "m",
    "multi",
    "node",
    "npm",
    "outdated",
    "owner",
    "pack",
    "patch",
    "patch-commit",
    "patch-remove",
    "pkg",
    "plugin",
    "policies",
    "prefix",
    "prune",
    "publish",
    "rb",
    "rebuild",
    "recursive",
    "remove",
    "repo",
    "rm",
    "root",
    "run",
    "run-script",
    "s",
    "search",
    "self-update",
    "server",
    "set",
    "setup",
    "stage",
    "stars",
    "store",
    "tag",
    "team",
    "un",
    "uninstall",
    "unlink",
    "unplug",
    "up",
    "update",
    "upgrade",
    "upgrade-interactive",
    "version",
    "versions",
    "view",
    "why",
    "workspace",
    "workspaces",
    "x",
];

/// The tasks that this command runs, if it does nothing else.
pub fn call(invocation: &Invocation) -> Option<Call> {
    let Run::Program { program, args } = &invocation.run else { return None };
    if !invocation.env.is_empty() {
        return None;
    }
    if let ("overhear" | "vp", [first, words @ ..]) = (program.as_str(), args.as_slice()) {
        return if first == "run" { own_call(words) } else { None };
    }
    let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
    // It keeps a package manager from saying what it runs, and nobody says that here.
    if let ("npm" | "pnpm" | "yarn" | "bun", [_, "-s" | "--silent", _, ..]) = (program.as_str(), &*words) {
        words.remove(1);
    }
    let plain = || words.iter().all(|word| is_plain(word));
    let scripts = |tasks: &[&str], parallel| Call {
        tasks: tasks.iter().map(|task| task.to_string()).collect(),
        args: Vec::new(),
        parallel,
        runner: Runner::Scripts,
    };
    let one = |task: &str, rest: &[&str]| {
        let args = handed_on(program, rest)?;
        is_plain(task).then(|| Call { args, ..scripts(&[task], false) })
    };
    match (program.as_str(), words.as_slice()) {
        ("npm" | "pnpm" | "yarn" | "bun", ["run", task, rest @ ..])
        | ("npm" | "pnpm", ["run-script", task, rest @ ..])
        | ("npm" | "pnpm", [task @ ("test" | "start"), rest @ ..]) => one(task, rest),
        ("npm" | "pnpm", ["t", rest @ ..]) => one("test", rest),
        ("pnpm" | "yarn", [task, rest @ ..]) if !RESERVED.contains(task) => one(task, rest),
        ("run-s", tasks) if !tasks.is_empty() && plain() => Some(scripts(tasks, false)),
        ("run-p", tasks) if !tasks.is_empty() && plain() => Some(scripts(tasks, true)),
        _ => None,
    }
}

/// What a package manager hands to a script of the words after its name; `None` where the manager keeps
/// some of them, or its versions do not agree. npm takes flags for its own up to `--`; the others hand on
/// everything, and differ in what they make of `--`.
fn handed_on(program: &str, words: &[&str]) -> Option<Vec<String>> {
    let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    let separator = words.iter().position(|word| *word == "--");
    if program != "npm" {
        return separator.is_none().then(|| owned(words));
    }
    let (own, after) = words.split_at(separator.unwrap_or(words.len()));
    let is_flag = |word: &&str| word.starts_with('-');
    (!own.iter().any(is_flag)).then(|| owned(&[own, after.get(1..).unwrap_or_default()].concat()))
}

/// What comes after `overhear run`: flags that select packages, and then the task; arguments after it only
/// where it may be a script of the same package. Everything else is left to an overhear of its own.
fn own_call(words: &[String]) -> Option<Call> {
    let mut selecting = Selecting::default();
    let mut words = words.iter().map(String::as_str);
    loop {
        let word = words.next()?;
        match word {
            "-r" | "--recursive" => selecting.recursive = true,
            "-t" | "--transitive" => selecting.transitive = true,
            "-w" | "--workspace-root" => selecting.workspace_root = true,
            "--parallel" => selecting.parallel = true,
            "-F" | "--filter" => selecting.filters.push(words.next()?.to_string()),
            _ => match word.strip_prefix("--filter=") {
                Some(filter) => selecting.filters.push(filter.to_string()),
                None if is_plain(word) => {
                    let tasks: Vec<String> = word.split(',').map(str::to_string).collect();
                    let args: Vec<String> = words.map(str::to_string).collect();
                    if args.is_empty() {
                        let runner = Runner::Overhear(selecting);
                        return Some(Call { tasks, args, parallel: true, runner });
                    }
                    let is_one = tasks.len() == 1 && selecting == Selecting::default();
                    return is_one.then_some(Call { tasks, args, parallel: false, runner: Runner::Scripts });
                }
                None => return None,
            },
        }
    }
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-') && !word.contains(['*', '?', '{', '!', ' ', '='])
}

/// The names of scripts that a person does not want cached, in any package.
pub fn uncached_scripts(workspace: &Workspace) -> FxHashSet<&str> {
    let configs = workspace.packages.iter().filter_map(|package| package.config.as_ref());
    let uncached = configs.flat_map(|config| &config.scripts).filter(|entry| entry.keys.cache == Some(false));
    uncached.map(|entry| entry.name.as_str()).collect()
}

/// Whether a command has a package manager run one of these scripts, for all that its text says: in whatever
/// form that is, one that says so for nothing is only not cached.
pub fn may_run(text: &str, scripts: &FxHashSet<&str>) -> bool {
    if scripts.is_empty() {
        return false;
    }
    let managers = ["npm", "pnpm", "yarn", "bun", "npx", "run-s", "run-p", "npm-run-all"];
    let mut words = text.split(|c: char| c.is_whitespace() || ";&|()\"'`".contains(c));
    words.by_ref().any(|word| managers.contains(&word)) && words.any(|word| scripts.contains(word))
}

/// Whether a command runs tasks in many packages: it would run again what a selection of all
/// packages runs already.
pub fn runs_many_packages(invocation: &Invocation) -> bool {
    let Run::Program { program, args } = &look_through(invocation).run else { return false };
    let has = |flags: &[&str]| args.iter().any(|word| flags.contains(&word.as_str()));
    match program.as_str() {
        "overhear" | "vp" => {
            args.first().is_some_and(|first| first == "run")
                && has(&["-r", "--recursive", "-t", "--transitive"])
                && call(invocation).is_none()
        }
        "pnpm" => has(&["-r", "--recursive", "recursive", "m", "multi"]),
        "npm" => has(&["-ws", "--workspaces"]),
        "yarn" => args.first().is_some_and(|first| first == "workspaces"),
        // The other runners: one that is called at the root runs what it finds in all packages.
        "turbo" => !has(&["--version", "prune", "link", "login", "gen", "generate"]),
        "nx" => args.first().is_some_and(|first| matches!(first.as_str(), "run-many" | "affected")),
        "moon" => args.first().is_some_and(|first| matches!(first.as_str(), "run" | "ci" | "check")),
        "lerna" => args.first().is_some_and(|first| matches!(first.as_str(), "run" | "exec")),
        "lage" | "wsrun" => true,
        _ => false,
    }
}

/// The command behind wrappers that change at most its environment (`env A=b`, `cross-env A=b`,
/// `npx`, `pnpm exec` and the like): for adapters to recognise. What is started stays the wrapper.
pub fn look_through(invocation: &Invocation) -> Invocation {
    let mut seen = invocation.clone();
    while let Some(inner) = unwrapped(&seen) {
        seen = inner;
    }
    seen
}

fn unwrapped(invocation: &Invocation) -> Option<Invocation> {
    let Run::Program { program, args } = &invocation.run else { return None };
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let inner = match (program.as_str(), words.as_slice()) {
        ("env" | "/usr/bin/env" | "cross-env", _) => return without_assignments(invocation, args),
        ("npx", ["--no-install" | "--no" | "--", ..]) => &args[1..],
        ("pnpm" | "npm" | "yarn", ["exec", "--", ..]) => &args[2..],
        ("pnpm" | "yarn", ["exec", ..]) => &args[1..],
        ("bun", ["x", ..]) => &args[1..],
        ("npx" | "bunx", _) => &args[..],
        _ => return None,
    };
    let (first, rest) = inner.split_first()?;
    // A flag of the wrapper, or a package with a version that it would fetch.
    let is_local_name = !first.starts_with('-') && !first.trim_start_matches('@').contains('@');
    is_local_name.then(|| Invocation {
        env: invocation.env.clone(),
        run: Run::Program { program: first.clone(), args: rest.to_vec() },
    })
}

fn without_assignments(invocation: &Invocation, args: &[String]) -> Option<Invocation> {
    let mut env = invocation.env.clone();
    let mut rest = args;
    while let [first, after @ ..] = rest {
        let Some((name, value)) = first.split_once('=') else { break };
        env.push((name.to_string(), value.to_string()));
        rest = after;
    }
    let (program, args) = rest.split_first()?;
    let run = Run::Program { program: program.clone(), args: args.to_vec() };
    (!program.starts_with('-')).then_some(Invocation { env, run })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::command::split;
    use std::path::Path;

    fn invocation(command: &str) -> Invocation {
        split(command, Path::new("/p")).remove(0).invocation
    }

    #[test]
    fn plain_calls_name_the_tasks_that_they_run() {
        let cases: &[(&str, Option<(&[&str], bool)>)] = &[
            ("npm run build", Some((&["build"], false))),
            ("npm test", Some((&["test"], false))),
            ("pnpm build", Some((&["build"], false))),
            ("pnpm run build", Some((&["build"], false))),
            ("yarn build:lib", Some((&["build:lib"], false))),
            ("bun run build", Some((&["build"], false))),
            ("run-s a b", Some((&["a", "b"], false))),
            ("run-p a b", Some((&["a", "b"], true))),
            ("overhear run web#build,test", Some((&["web#build", "test"], true))),
            ("vp run build", Some((&["build"], true))),
            ("npm run build --workspaces", None),
            ("npm run build --mode x", None),
            ("pnpm run build -- --mode x", None),
            ("npm run --silent build -- x", Some((&["build"], false))),
            ("npm run --loglevel silent build", None),
            ("run-s build -- x", None),
            ("overhear run a,b --mode x", None),
            ("overhear run -r build --mode x", None),
            ("pnpm -r build", None),
            ("pnpm install", None),
            ("yarn workspaces", None),
            ("npm ci", None),
            ("A=b npm run build", None),
            ("run-p 'build:*'", None),
            ("bun build", None),
            ("npm run", None),
        ];
        for (command, expected) in cases {
            let found = call(&invocation(command));
            let found = found
                .as_ref()
                .map(|call| (call.tasks.iter().map(String::as_str).collect::<Vec<_>>(), call.parallel));
            assert_eq!(found, expected.map(|(tasks, parallel)| (tasks.to_vec(), parallel)), "{command}");
        }
    }

    #[test]
    fn what_a_call_hands_to_its_script_is_what_the_package_manager_hands_on() {
        let cases: &[(&str, &[&str])] = &[
            ("npm run unit -- --run 'a b'", &["--run", "a b"]),
            ("npm run unit one -- --run", &["one", "--run"]),
            ("npm test -- -- x", &["--", "x"]),
            ("npm run unit --", &[]),
            ("pnpm run unit --run", &["--run"]),
            ("pnpm unit --run", &["--run"]),
            ("pnpm t --run", &["--run"]),
            ("yarn unit --run", &["--run"]),
            ("bun run unit --run", &["--run"]),
            ("overhear run unit --run", &["--run"]),
            ("vp run unit --run -- x", &["--run", "--", "x"]),
        ];
        for (command, expected) in cases {
            let found = call(&invocation(command)).unwrap_or_else(|| panic!("{command} is no call"));
            assert_eq!(found.args, *expected, "{command}");
            assert_eq!(found.tasks.len(), 1, "{command}");
        }
    }

    #[test]
    fn wrappers_are_looked_through() {
        let cases = [
            ("env A=b vite build", "A=b vite build"),
            ("cross-env NODE_ENV=production vite build", "NODE_ENV=production vite build"),
            ("npx vite build", "vite build"),
            ("npx --no-install vite build", "vite build"),
            ("pnpm exec tsc -b", "tsc -b"),
            ("npm exec -- tsc -b", "tsc -b"),
            ("bunx tsc", "tsc"),
            ("A=1 cross-env B=2 npx vite", "A=1 B=2 vite"),
            ("npx vite@5 build", "npx vite@5 build"),
            ("npx @scope/tool x", "@scope/tool x"),
            ("npx -p vite vite build", "npx -p vite vite build"),
            ("env -i vite", "env -i vite"),
            ("env", "env"),
            ("vite build", "vite build"),
        ];
        for (command, expected) in cases {
            assert_eq!(look_through(&invocation(command)), invocation(expected), "{command}");
        }
    }
}

//! `overhear completions SHELL`: a short script that asks `overhear complete` for each word, so that
//! what can be written is known in one place, names of tasks included.

use crate::plan;
use crate::problem::Problems;
use crate::report;
use crate::workspace::Workspace;
use clap::{Arg, Args, Command, CommandFactory, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub struct CompletionsArgs {
    /// Of which shell
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// What the scripts ask. Not shown in help.
#[derive(Args)]
pub struct CompleteArgs {
    /// A new word is begun; otherwise the last one is
    #[arg(long)]
    new: bool,
    /// The words after `overhear`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

const BASH: &str = r#"_overhear() {
    local line=${COMP_LINE:0:COMP_POINT} new= cut= word
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && new=--new || word=${words[${#words[@]}-1]}
    # The shell replaces only what comes after the last of these.
    [[ $word == *[:=]* ]] && cut=${word%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        COMPREPLY+=("${word#"$cut"}")
    done < <(overhear complete $new -- "${words[@]:1}" 2>/dev/null)
    [[ ${COMPREPLY[0]} == *[,=] ]] && compopt -o nospace
}
complete -o default -F _overhear overhear
"#;

const ZSH: &str = r#"#compdef overhear
_overhear() {
    local -a found
    local word help new=
    [[ -z ${words[CURRENT]} ]] && new=--new
    while IFS=$'\t' read -r word help; do
        found+=("${word//:/\\:}:$help")
    done < <(overhear complete $new -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe overhear found || _files
}
compdef _overhear overhear
"#;

const FISH: &str = r#"function __overhear
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if test -n "$current"
        overhear complete -- $words[2..-1] $current 2>/dev/null
    else
        overhear complete --new -- $words[2..-1] 2>/dev/null
    end
end
complete -c overhear -a '(__overhear)'
"#;

const POWERSHELL: &str = r#"Register-ArgumentCompleter -Native -CommandName overhear -ScriptBlock {
    param($word, $ast, $cursor)
    $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })
    $new = if ($word -eq '') { '--new' }
    overhear complete $new -- $words 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $(if ($help) { $help } else { $value }))
    }
}
"#;

/// `overhear completions`.
pub fn completions(args: &CompletionsArgs) -> Result<i32, Problems> {
    report::print(match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        Shell::Powershell => POWERSHELL,
    });
    Ok(0)
}

/// `overhear complete`: one possible word a line, with what it means after a tab.
pub fn complete(args: &CompleteArgs) -> Result<i32, Problems> {
    let mut words = args.words.as_slice();
    let mut current = "";
    if !args.new
        && let Some((last, before)) = words.split_last()
    {
        (current, words) = (last, before);
    }
    let found = possible(words, current);
    let lines = found.iter().filter(|(word, _)| word.starts_with(current) && word != "complete");
    report::print(&lines.map(|(word, help)| format!("{word}\t{help}\n")).collect::<String>());
    Ok(0)
}

/// All that may be written after these words.
fn possible(before: &[String], current: &str) -> Vec<(String, String)> {
    let root = super::Cli::command();
    let mut command = &root;
    let mut dir = PathBuf::from(".");
    let (mut flag, mut has_name): (Option<&Arg>, bool) = (None, false);
    for word in before {
        let gives_the_rest_away = matches!(command.get_name(), "run" | "exec");
        if let Some(taking) = flag.take() {
            if taking.get_short() == Some('C') {
                dir = PathBuf::from(word);
            }
        } else if has_name && gives_the_rest_away {
            // What comes after the name of a task is the task's.
            return Vec::new();
        } else if word.starts_with('-') {
            flag = flags(command).find(|arg| is_named(arg, word) && takes_a_word(arg));
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        } else {
            has_name = true;
        }
    }
    if let Some(flag) = flag {
        return values_here(flag, &dir, current);
    }
    if let Some((name, _)) = current.split_once('=').filter(|_| current.starts_with('-')) {
        let flag = flags(command).find(|arg| is_named(arg, name));
        let named = |(value, help)| (format!("{name}={value}"), help);
        let written = &current[name.len() + 1..];
        let found = flag.map(|flag| values_here(flag, &dir, written));
        return found.unwrap_or_default().into_iter().map(named).collect();
    }
    if has_name && matches!(command.get_name(), "run" | "exec") {
        return Vec::new();
    }
    if current.starts_with('-') {
        let long = |arg: &Arg| Some((format!("--{}", arg.get_long()?), help(arg.get_help())));
        return flags(command).filter_map(long).collect();
    }
    if has_name {
        return Vec::new();
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
        return shown.map(|inner| (inner.get_name().to_owned(), help(inner.get_about()))).collect();
    }
    match command.get_name() {
        "run" | "why" | "inspect" | "diff" => tasks(&dir, current, before.iter().any(|word| is_wide(word))),
        _ => command.get_positionals().flat_map(values).collect(),
    }
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set())
}

fn is_named(arg: &Arg, word: &str) -> bool {
    let long = word.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
    long || arg.get_short().is_some_and(|short| word == format!("-{short}"))
}

fn takes_a_word(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// The values of a flag, of which some are names in the workspace.
fn values_here(flag: &Arg, dir: &std::path::Path, current: &str) -> Vec<(String, String)> {
    match flag.get_id().as_str() {
        "filter" | "package" => packages(dir),
        "task" => tasks(dir, current, false),
        _ => values(flag),
    }
}

fn values(arg: &Arg) -> Vec<(String, String)> {
    let possible = arg.get_possible_values();
    possible.iter().map(|value| (value.get_name().to_owned(), help(value.get_help()))).collect()
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().replace(['\n', '\t'], " ")
}

/// Whether a flag takes the tasks of other packages than this one.
fn is_wide(word: &str) -> bool {
    const FLAGS: [&str; 7] = ["-r", "--recursive", "-t", "--transitive", "-F", "--filter", "--affected"];
    FLAGS.contains(&word.split_once('=').map_or(word, |(name, _)| name))
}

/// Names of tasks; of several with commas between, the last. `is_wide`: of whatever package has them.
/// Nothing is told of a workspace that cannot be read: this is no place for it.
fn tasks(dir: &std::path::Path, current: &str, is_wide: bool) -> Vec<(String, String)> {
    let Some(workspace) = load(dir) else { return Vec::new() };
    let here = dir.canonicalize().map_or(0, |dir| workspace.package_around(&dir));
    let first = current.rfind(',').map_or("", |at| &current[..=at]);
    let mut found = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for listed in plan::list(&workspace) {
        let help = listed.description.unwrap_or(&listed.command).replace(['\n', '\t'], " ");
        let name = listed.definition.name();
        if (is_wide || listed.package == here) && seen.insert(name) {
            found.push((format!("{first}{name}"), help.clone()));
        }
        // A package and a selection of packages contradict each other.
        if !is_wide {
            found.push((format!("{first}{}", listed.label), help));
        }
    }
    found
}

fn packages(dir: &std::path::Path) -> Vec<(String, String)> {
    let workspace = load(dir);
    let named =
        workspace.iter().flat_map(|workspace| &workspace.packages).filter_map(|package| package.name.clone());
    named.map(|name| (name, String::new())).collect()
}

fn load(dir: &std::path::Path) -> Option<Workspace> {
    Workspace::load(&dir.canonicalize().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(before: &[&str], current: &str) -> Vec<String> {
        let before: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        let found = possible(&before, current).into_iter().map(|(word, _)| word);
        found.filter(|word| word.starts_with(current)).collect()
    }

    #[test]
    fn commands_flags_and_values_are_offered_where_they_may_stand() {
        assert_eq!(words(&[], "ru"), ["run"]);
        assert_eq!(words(&["run"], "--last"), ["--last-details"]);
        assert_eq!(words(&["run", "--log"], ""), ["interleaved", "labeled", "grouped"]);
        assert_eq!(words(&["run"], "--log=l"), ["--log=labeled"]);
        assert_eq!(words(&["cache"], "ve"), ["verify"]);
        assert_eq!(words(&["completions"], "z"), ["zsh"]);
        assert_eq!(words(&["run", "build"], "--"), Vec::<String>::new());
        assert_eq!(words(&["why", "build"], "--j"), ["--json"]);
    }

    #[test]
    fn tasks_are_offered_by_name_and_by_package() {
        let dir = tempfile::tempdir().expect("a temp folder");
        std::fs::write(
            dir.path().join("package.json"),
            r#"{"name": "app", "scripts": {"test:unit": "true"}}"#,
        )
        .expect("it is writable");
        let at = dir.path().to_str().expect("it is text");
        assert_eq!(words(&["run", "-C", at], ""), ["test:unit", "app#test:unit"]);
        assert_eq!(words(&["run", "-C", at], "a,te"), ["a,test:unit"]);
        assert_eq!(words(&["run", "-C", at, "-F"], ""), ["app"]);
        assert_eq!(words(&["run", "-C", at, "-F", "app"], "te"), ["test:unit"]);
        assert_eq!(words(&["run", "-C", at, "--filter=app"], ""), ["test:unit"]);
        let clean = ["cache", "-C", at, "clean"];
        assert_eq!(words(&[&clean[..], &["--task"]].concat(), "te"), ["test:unit"]);
        assert_eq!(words(&clean, "--task=a"), ["--task=app#test:unit"]);
        assert_eq!(words(&[&clean[..], &["--package"]].concat(), ""), ["app"]);
    }
}

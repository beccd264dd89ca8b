//! Flags that other runners have, and what to write here: who comes from one of them types what the fingers know.

use crate::plan::command::quote;

/// Flags of other runners, each with what is to be done. `<X>` stands for the value of the flag.
const FLAGS: &[(&[&str], &str)] = &[
    (&["--dry"], "write --dry-run; with --json for programs"),
    (&["--all"], "write -r"),
    (&["--only", "--no-deps", "--skip-deps"], "write --ignore-depends-on"),
    (&["--no-bail", "--keep-going"], "write --continue"),
    (
        &["--bail", "--nx-bail", "--nxBail"],
        "leave it out: a failure ends the run, unless there is --continue",
    ),
    (&["--since", "--base"], "write --affected=<COMMIT>"),
    (&["--scope", "-p", "--package", "--project", "--projects"], "write -F <PACKAGE>"),
    (&["--exclude", "--ignore"], "write -F '!PACKAGE'"),
    (&["--target", "--targets"], "write the tasks as they are, with commas between: -r build,test"),
    (
        &["--output-logs", "--output-style", "--outputStyle", "--stream"],
        "write --log labeled, or what else it can be",
    ),
    (
        &["--workspace-concurrency", "--maxParallel", "--max-parallel", "--jobs", "-j"],
        "write --concurrency <N>",
    ),
    (
        &["--skip-nx-cache", "--skipNxCache", "--disable-nx-cache"],
        "write --no-cache, or --force to keep the result",
    ),
    (&["--profile"], "write --trace-profile <FILE>"),
    (&["--cwd", "--dir", "--prefix"], "write -C <DIR>"),
    (&["--no-sort"], "write --parallel"),
    (&["--env-mode"], "write \"strictEnv\": true or false into overhear.json"),
    (&["--if-present"], "leave it out: with -r or -F, packages without the task are not asked for it"),
    (
        &[
            "--no-daemon",
            "--daemon",
            "--skip-remote-cache",
            "--skipRemoteCache",
            "--remote-only",
            "--preflight",
        ],
        "not needed: there is no daemon and no remote cache; leave it out",
    ),
    (&["--ui", "--tui", "--no-update-notifier", "--framework-inference"], "not needed: leave it out"),
];

/// What to write instead of a flag of another runner; `words` begin with it.
pub fn help(words: &[String]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    let (name, value) =
        first.split_once('=').map_or((first.as_str(), None), |(name, value)| (name, Some(value)));
    let (_, help) = FLAGS.iter().find(|(names, _)| names.contains(&name))?;
    // Its value, if not after a `=`, is the next word: after it there is still a task.
    let next = rest.first().filter(|next| rest.len() > 1 && !next.starts_with('-'));
    let value = value.or(next.map(String::as_str));
    Some(with_value(help, value))
}

/// The text with the value of the flag in the place of what stands for it.
fn with_value(help: &str, value: Option<&str>) -> String {
    let Some((before, (name, after))) =
        help.split_once('<').and_then(|(before, rest)| Some((before, rest.split_once('>')?)))
    else {
        return help.to_owned();
    };
    let value = value.map_or(name.to_owned(), quote);
    format!("{before}{value}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_another_runner_is_answered_with_ours_and_its_value() {
        let cases = [
            (&["--dry=json", "build"][..], Some("write --dry-run; with --json for programs")),
            (&["--since", "main", "build"], Some("write --affected=main")),
            (&["--since=main", "build"], Some("write --affected=main")),
            (&["--since", "build"], Some("write --affected=COMMIT")),
            (&["--scope=@acme/*", "build"], Some("write -F '@acme/*'")),
            (&["-p", "web", "build"], Some("write -F web")),
            (&["-p", "-r", "build"], Some("write -F PACKAGE")),
            (&["--max-parallel=2", "build"], Some("write --concurrency 2")),
            (&["--nobody-has-this", "build"], None),
        ];
        for (words, expected) in cases {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(help(&words).as_deref(), expected, "{words:?}");
        }
    }

    #[test]
    fn no_flag_of_the_table_is_one_of_ours() {
        let ours = crate::cli::Cli::flags_of("run");
        for name in FLAGS.iter().flat_map(|(names, _)| *names) {
            assert!(!ours.iter().any(|flag| flag == name), "{name}");
        }
    }
}

//! The command language: a command as a person wrote it, cut at `&&` into steps that are started
//! without a shell. It is careful rather than clever: what it does not know for certain is left to
//! `sh -c`, one part at a time where that means the same, else the whole.

use super::{Invocation, Run};
use crate::path::join_lexically;
use std::path::{Path, PathBuf};

/// One part of a command between two `&&`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As written, without the space around it.
    pub text: String,
    /// What is started.
    pub invocation: Invocation,
    /// Where, absolute: `cd dir &&` before it counts.
    pub cwd: PathBuf,
}

/// Cuts a command into parts that mean the same when they are started one after the other, each
/// if the one before succeeded. Never empty.
pub fn split(command: &str, cwd: &Path) -> Vec<Part> {
    parts(command, cwd).unwrap_or_else(|NeedsShell| {
        let text = trimmed(command).to_string();
        vec![Part { invocation: shell(&text), text, cwd: cwd.to_path_buf() }]
    })
}

/// Cuts a list of commands, which means what they mean joined by `&&`: what one changes for the shell
/// that it runs in (`cd`, `export`) holds for the next.
pub fn split_list(commands: &[String], cwd: &Path) -> Vec<Part> {
    let [first, rest @ ..] = commands else { return Vec::new() };
    if rest.is_empty() {
        return split(first, cwd);
    }
    let as_part = |command: &String| match parts(command, cwd) {
        Ok(_) => trimmed(command).to_string(),
        // Whatever it holds, `&&` comes after all of it.
        Err(NeedsShell) => format!("{{ {}\n}}", trimmed(command)),
    };
    split(&commands.iter().map(as_part).collect::<Vec<_>>().join(" && "), cwd)
}

/// Adds arguments to the end of a part, as package managers do.
pub fn append(part: &mut Part, extra: &[String]) {
    if extra.is_empty() {
        return;
    }
    let quoted: Vec<String> = extra.iter().map(|argument| quote(argument)).collect();
    let tail = quoted.join(" ");
    part.text = format!("{} {tail}", part.text);
    match &mut part.invocation.run {
        Run::Program { args, .. } => args.extend(extra.iter().cloned()),
        Run::Shell(script) => *script = format!("{script} {tail}"),
    }
}

/// Writes a word so that `sh` reads it back as it is.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The whole command means something only to a shell.
#[derive(Debug)]
struct NeedsShell;

/// A word, with quotes resolved.
#[derive(Debug, Default)]
struct Word {
    value: String,
    /// Some of it was quoted.
    quoted: bool,
    /// Position of a `=` that ends an unquoted name, if there is one.
    assigns: Option<usize>,
}

/// What stands between two `&&`.
#[derive(Debug, Default)]
struct Raw {
    words: Vec<Word>,
    /// It holds something that a shell must expand or carry out.
    shell: bool,
    /// The last thing read is an operator, which must be followed by a word.
    dangling: bool,
    /// The next word is the program after a `|`.
    after_pipe: bool,
    start: usize,
    end: usize,
}

fn parts(command: &str, cwd: &Path) -> Result<Vec<Part>, NeedsShell> {
    let raws = scan(command)?;
    let mut parts: Vec<Part> = Vec::with_capacity(raws.len());
    let mut cwd = cwd.to_path_buf();
    let last = raws.len() - 1;
    for (at, raw) in raws.into_iter().enumerate() {
        let text = trimmed(&command[raw.start..raw.end]);
        let assignments = raw.words.iter().take_while(|word| word.assigns.is_some()).count();
        // `X=1 && …` changes the shell that the rest runs in.
        let program = raw.words.get(assignments).ok_or(NeedsShell)?;
        if CHANGES_THE_SHELL.contains(&program.value.as_str()) {
            return Err(NeedsShell);
        }
        // `command cd dir` changes it as well, and `A=1 :` sets A.
        let changes = |word: &Word| word.value == "cd" || CHANGES_THE_SHELL.contains(&word.value.as_str());
        if (program.value == "command" && raw.words.iter().any(changes))
            || (assignments > 0 && matches!(program.value.as_str(), ":" | "times"))
        {
            return Err(NeedsShell);
        }
        if program.value == "cd" && at < last {
            cwd = changed(&cwd, &raw, assignments)?;
            continue;
        }
        let invocation = if raw.shell || only_a_shell(&raw.words[assignments..]) {
            shell(text)
        } else {
            program_invocation(raw.words, assignments, text)
        };
        parts.push(Part { text: text.to_string(), invocation, cwd: cwd.clone() });
    }
    Ok(parts)
}

/// Without the space around it; a space after a backslash is part of a word.
fn trimmed(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let end = text.trim_end_matches([' ', '\t', '\n', '\r']);
    let backslashes = end.len() - end.trim_end_matches('\\').len();
    if backslashes % 2 == 1 && end.len() < text.len() { &text[..end.len() + 1] } else { end }
}

/// The folder after `cd folder`; any other form is a shell's.
fn changed(cwd: &Path, raw: &Raw, assignments: usize) -> Result<PathBuf, NeedsShell> {
    match raw.words.as_slice() {
        [_, folder]
            if !raw.shell
                && assignments == 0
                && !folder.value.is_empty()
                && !folder.value.starts_with('-') =>
        {
            Ok(join_lexically(cwd, Path::new(&folder.value)))
        }
        _ => Err(NeedsShell),
    }
}

fn shell(text: &str) -> Invocation {
    Invocation { env: Vec::new(), run: Run::Shell(text.to_string()) }
}

fn program_invocation(words: Vec<Word>, assignments: usize, text: &str) -> Invocation {
    let mut words = words.into_iter();
    let mut env = Vec::with_capacity(assignments);
    for word in words.by_ref().take(assignments) {
        let at = word.assigns.expect("the words counted as assignments have a `=`");
        env.push((word.value[..at].to_string(), word.value[at + 1..].to_string()));
    }
    // The shell would search the program in the new PATH.
    if env.iter().any(|(name, _)| name == "PATH") {
        return shell(text);
    }
    let program = words.next().expect("a part without a program was refused").value;
    Invocation { env, run: Run::Program { program, args: words.map(|word| word.value).collect() } }
}

/// First words after which the rest of the command runs in a changed shell, or that are grammar.
/// Quotes do not matter: the shell finds a builtin also by `\.` and `"export"`.
const CHANGES_THE_SHELL: &[&str] = &[
    "!", "{", "}", "[[", "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case",
    "esac", "function", "select", "coproc", "in", "export", "set", "unset", "readonly", "local", "declare",
    "typeset", "let", "source", ".", "eval", "exec", "exit", "return", "break", "continue", "shift", "trap",
    "umask", "ulimit", "alias", "unalias", "hash", "read", "mapfile", "wait", "pushd", "popd", "dirs",
    "shopt", "enable", "builtin", "getopts", "bg", "fg", "jobs", "disown", "suspend", "logout", "fc",
    "history", "bind", "complete", "chdir",
];

/// First words that are a shell's own and leave it as it was.
const BUILTINS: &[&str] = &[
    "cd", ":", "command", "type", "times", "time", "printf", "test", "[", "kill", "pwd", "help", "caller",
    "newgrp",
];

fn only_a_shell(words: &[Word]) -> bool {
    let Some(program) = words.first() else { return true };
    let odd_echo = || {
        let odd = |word: &Word| word.value.contains('\\');
        words[1..].iter().any(odd)
            || words.get(1).is_some_and(|first| first.value.starts_with('-') && first.value != "-n")
    };
    // An empty program, and one named like a number before a redirection, are left alone too.
    program.value.is_empty()
        || BUILTINS.contains(&program.value.as_str())
        || (program.value == "echo" && odd_echo())
}

struct Scanner<'a> {
    text: &'a str,
    raws: Vec<Raw>,
    raw: Raw,
    word: Option<Word>,
}

fn scan(text: &str) -> Result<Vec<Raw>, NeedsShell> {
    let mut scanner = Scanner { text, raws: Vec::new(), raw: Raw::default(), word: None };
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match c {
            ' ' | '\t' => scanner.end_word()?,
            '&' if next == Some('&') => {
                chars.next();
                scanner.end_part(at, at + 2)?;
            }
            '|' if next != Some('|') => {
                scanner.operator()?;
                scanner.raw.after_pipe = true;
            }
            '<' if next == Some('<') => return Err(NeedsShell),
            '<' | '>' => {
                scanner.operator()?;
                if matches!(next, Some('&' | '>' | '|')) {
                    chars.next();
                }
            }
            '\n' | '\r' | '\0' | ';' | '&' | '|' | '(' | ')' | '`' => return Err(NeedsShell),
            '#' if scanner.word.is_none() => return Err(NeedsShell),
            '\\' => match chars.next() {
                Some((_, escaped)) if escaped != '\n' => scanner.push_quoted(escaped),
                _ => return Err(NeedsShell),
            },
            '\'' => {
                scanner.begin_quoted();
                loop {
                    match chars.next() {
                        Some((_, '\'')) => break,
                        Some((_, inner)) => scanner.push_quoted(inner),
                        None => return Err(NeedsShell),
                    }
                }
            }
            '"' => {
                let after = scanner.double_quoted(at + 1)?;
                while chars.peek().is_some_and(|(at, _)| *at < after) {
                    chars.next();
                }
            }
            '$' => {
                scanner.variable(at)?;
                scanner.push(c);
            }
            '*' | '?' | '[' | ']' | '{' | '}' => {
                scanner.raw.shell = true;
                scanner.push(c);
            }
            '~' if scanner.word.as_ref().is_none_or(|word| word.value.ends_with(['=', ':'])) => {
                scanner.raw.shell = true;
                scanner.push(c);
            }
            '=' => scanner.equals(),
            c => scanner.push(c),
        }
    }
    scanner.end_part(text.len(), text.len())?;
    Ok(scanner.raws)
}

impl Scanner<'_> {
    /// The word being read.
    fn word(&mut self) -> &mut Word {
        self.raw.dangling = false;
        self.word.get_or_insert_default()
    }

    fn push(&mut self, c: char) {
        self.word().value.push(c);
    }

    fn push_quoted(&mut self, c: char) {
        let word = self.word();
        word.quoted = true;
        word.value.push(c);
    }

    /// Begins a quoted word, which is one even if nothing follows.
    fn begin_quoted(&mut self) {
        self.word().quoted = true;
    }

    fn equals(&mut self) {
        let word = self.word();
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if word.assigns.is_none() && !word.quoted && is_name(&word.value) {
            word.assigns = Some(word.value.len());
        }
        word.value.push('=');
    }

    /// A `|` or a redirection. Before the program of the part, or after another operator, it is
    /// grammar that only the shell reads.
    fn operator(&mut self) -> Result<(), NeedsShell> {
        let number = self.word.as_ref().is_some_and(|word| word.value.chars().all(|c| c.is_ascii_digit()));
        if !number {
            self.end_word()?;
        }
        let has_program = self.raw.words.iter().any(|word| word.assigns.is_none());
        if !has_program || self.raw.dangling {
            return Err(NeedsShell);
        }
        self.end_word()?;
        self.raw.shell = true;
        self.raw.dangling = true;
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), NeedsShell> {
        let Some(word) = self.word.take() else { return Ok(()) };
        if self.raw.after_pipe && CHANGES_THE_SHELL.contains(&word.value.as_str()) {
            return Err(NeedsShell);
        }
        self.raw.after_pipe &= word.assigns.is_some();
        self.raw.words.push(word);
        Ok(())
    }

    fn end_part(&mut self, end: usize, next_start: usize) -> Result<(), NeedsShell> {
        self.end_word()?;
        let mut raw = std::mem::replace(&mut self.raw, Raw { start: next_start, ..Raw::default() });
        raw.end = end;
        // `a &&`, `&& b` and `a >` are for the shell to complain about.
        if raw.words.is_empty() || raw.dangling {
            return Err(NeedsShell);
        }
        self.raws.push(raw);
        Ok(())
    }

    /// A `$` that starts an expansion. Only plain ones are sure not to hold a `&&` or a quote.
    fn variable(&mut self, at: usize) -> Result<(), NeedsShell> {
        self.raw.shell = true;
        let rest = &self.text[at + 1..];
        // `$$` and the folder before the last `cd` are those of one shell.
        let of_the_shell = |name: &str| rest.strip_prefix('{').unwrap_or(rest).starts_with(name);
        if rest.starts_with(['(', '\'', '"', '`']) || of_the_shell("$") || of_the_shell("OLDPWD") {
            return Err(NeedsShell);
        }
        let Some(inner) = rest.strip_prefix('{') else { return Ok(()) };
        let name = inner.split('}').next().unwrap_or_default();
        let plain = name.len() < inner.len() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { Ok(()) } else { Err(NeedsShell) }
    }

    /// Reads from after the opening quote; returns the byte after the closing one.
    fn double_quoted(&mut self, from: usize) -> Result<usize, NeedsShell> {
        self.begin_quoted();
        let mut chars = self.text[from..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok(from + at + 1),
                '`' => return Err(NeedsShell),
                '$' => {
                    // A `$` before the closing quote stands for itself.
                    let closing = chars.peek().is_some_and(|(_, next)| *next == '"');
                    if !closing {
                        self.variable(from + at)?;
                    }
                    self.push_quoted('$');
                }
                '\\' => match chars.peek().map(|(_, next)| *next) {
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => {
                        chars.next();
                        self.push_quoted(escaped);
                    }
                    Some('\n') | None => return Err(NeedsShell),
                    Some(_) => self.push_quoted('\\'),
                },
                c => self.push_quoted(c),
            }
        }
        Err(NeedsShell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part as one line: where, what is set, the program and its arguments, or `sh:`.
    fn shown(command: &str) -> Vec<String> {
        let show = |part: Part| {
            let cwd = part.cwd.strip_prefix("/p").map(|dir| dir.display().to_string()).unwrap_or_default();
            let cwd = if cwd.is_empty() { String::new() } else { format!("({cwd}) ") };
            let env: String =
                part.invocation.env.iter().map(|(name, value)| format!("{name}={value} ")).collect();
            match part.invocation.run {
                Run::Program { program, args } => {
                    let words: Vec<String> = std::iter::once(program).chain(args).collect();
                    format!("{cwd}{env}{}", words.join("|"))
                }
                Run::Shell(script) => format!("{cwd}sh: {script}"),
            }
        };
        split(command, Path::new("/p")).into_iter().map(show).collect()
    }

    #[test]
    fn commands_are_cut_at_double_ampersands() {
        let cases: &[(&str, &[&str])] = &[
            ("vite build", &["vite|build"]),
            ("  tsc --noEmit  &&  vite build ", &["tsc|--noEmit", "vite|build"]),
            ("tsc&&vite build", &["tsc", "vite|build"]),
            ("NODE_ENV=production A= vite build", &["NODE_ENV=production A= vite|build"]),
            ("X='a b' y", &["X=a b y"]),
            ("cp a=b c", &["cp|a=b|c"]),
            ("cd app && vite build && cd ../lib && tsc", &["(app) vite|build", "(lib) tsc"]),
            ("echo 'a b' \"c \\\"d\\\" \\x\" e\\ f", &["sh: echo 'a b' \"c \\\"d\\\" \\x\" e\\ f"]),
            ("say 'a b' \"c \\\"d\\\" \\x\" e\\ f ''", &["say|a b|c \"d\" \\x|e f|"]),
            ("node -e 'a && b'", &["node|-e|a && b"]),
            ("echo \"cost: 5$\"", &["echo|cost: 5$"]),
            ("a # b", &["sh: a # b"]),
            ("a#b", &["a#b"]),
            ("a-{b} && c", &["sh: a-{b}", "c"]),
            ("eslint 'src/**' && prettier src/*.ts", &["eslint|src/**", "sh: prettier src/*.ts"]),
            ("a && b | c && d", &["a", "sh: b | c", "d"]),
            ("a > log 2>&1 && b", &["sh: a > log 2>&1", "b"]),
            ("a $X && b ${Y}", &["sh: a $X", "sh: b ${Y}"]),
            ("a ~/x && b a~", &["sh: a ~/x", "b|a~"]),
            ("echo -e x && echo -n y && echo z", &["sh: echo -e x", "echo|-n|y", "echo|z"]),
            ("[ -f x ] && a", &["sh: [ -f x ]", "a"]),
            ("test -f x && a", &["sh: test -f x", "a"]),
            ("PATH=/x:. a && b", &["sh: PATH=/x:. a", "b"]),
            ("vite build ünïcode", &["vite|build|ünïcode"]),
            ("a {\\  && b\\ ", &["sh: a {\\ ", "b "]),
        ];
        for (command, expected) in cases {
            assert_eq!(shown(command), *expected, "{command}");
        }
    }

    #[test]
    fn what_means_something_only_as_a_whole_stays_whole() {
        let cases = [
            "a || b && c",
            "a; b",
            "a & b && c",
            "a && b &",
            "(a && b)",
            "a && (b)",
            "if a && b; then c; fi",
            "a 'b && c",
            "a \"b && c",
            "cat <<E && b",
            "a `b && c`",
            "a $(b && c) && d",
            "a ${X:-b && c} && d",
            "a && export X=1 && b",
            "X=1 && b",
            "set -e && a",
            "source x && a",
            ". ./x && a",
            "! a && b",
            "cd - && a",
            "cd $X && a",
            "cd ~ && a",
            "cd && a",
            "a &&",
            "&& a",
            "a && && b",
            "a && b\nc",
            "a \\\n b",
            "a &> x && b",
            "a && \"b",
            "exec a && b",
            "X=1 cd y && z",
            "a && { b && c ; }",
            "{ a && b",
            "a && b <",
            "a && | b",
            "a > | b && c",
            ">x export A=1 && b",
            "2>&1 export A=1 && b",
            "a | if && b",
            "\\. x && a",
            "'export' X=1 && a",
        ];
        for command in cases {
            assert_eq!(shown(command), [format!("sh: {command}")], "{command}");
        }
    }

    #[test]
    fn a_trailing_cd_is_left_to_the_shell() {
        assert_eq!(shown("a && cd b"), ["a", "sh: cd b"]);
        assert_eq!(shown("cd b"), ["sh: cd b"]);
    }

    #[test]
    fn arguments_are_appended_to_programs_and_quoted_for_shells() {
        let extra = ["--grep".to_string(), "it's $5".to_string()];
        let mut program = split("vitest run", Path::new("/p")).remove(0);
        append(&mut program, &extra);
        let args = ["run", "--grep", "it's $5"].map(String::from).to_vec();
        assert_eq!(program.invocation.run, Run::Program { program: "vitest".into(), args });
        assert_eq!(program.text, "vitest run --grep 'it'\\''s $5'");
        let mut script = split("a | b", Path::new("/p")).remove(0);
        append(&mut script, &extra);
        assert_eq!(script.invocation.run, Run::Shell("a | b --grep 'it'\\''s $5'".into()));
    }
}

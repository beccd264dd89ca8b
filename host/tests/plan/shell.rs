//! The command language held against the shell: whatever is cut into steps must do what `sh -c`
//! does with the whole.

use overhear::plan::Run;
use overhear::plan::command::{self, Part};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A folder with `show`, which prints where it runs, two variables and its arguments, and fails if
/// told to; and with folders to go to.
fn playground() -> &'static Path {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = PLACE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let script = "#!/bin/sh\nprintf '%s A=%s B=%s' \"${PWD##*/}\" \"$A\" \"$B\"\nfor x; do printf ' <%s>' \"$x\"; done\necho\n[ \"$1\" != fail ]\n";
        let show = dir.path().join("show");
        std::fs::write(&show, script).expect("files can be written");
        std::fs::set_permissions(&show, std::fs::Permissions::from_mode(0o755)).expect("modes can be set");
        std::fs::create_dir_all(dir.path().join("sub/sub")).expect("folders can be made");
        dir
    });
    dir.path()
}

/// Takes away what redirections left, so that the next command finds what the last one found.
fn tidy() {
    for dir in [playground().to_path_buf(), playground().join("sub"), playground().join("sub/sub")] {
        for entry in std::fs::read_dir(dir).expect("the folder is there").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) && entry.file_name() != "show" {
                std::fs::remove_file(entry.path()).expect("files can be removed");
            }
        }
    }
}

/// What a command prints, and whether it succeeds.
fn run(mut command: Command, cwd: &Path, settings: &[(String, String)]) -> (String, bool) {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", playground().display());
    command
        .current_dir(cwd)
        .env("PATH", path)
        .env("PWD", cwd)
        .env_remove("A")
        .env("B", "b0")
        .env("HOME", "/home/nobody");
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    match command.stdin(Stdio::null()).stderr(Stdio::null()).output() {
        Ok(output) => (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()),
        Err(_) => (String::new(), false),
    }
}

fn run_part(part: &Part) -> (String, bool) {
    let command = match &part.invocation.run {
        Run::Shell(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }
        Run::Program { program, args } => {
            let found = if program == "show" { playground().join("show") } else { program.into() };
            let mut command = Command::new(found);
            command.args(args);
            command
        }
    };
    run(command, &part.cwd, &part.invocation.env)
}

fn run_parts(text: &str) -> (String, bool) {
    let mut printed = String::new();
    for part in command::split(text, &playground().canonicalize().expect("the folder is there")) {
        let (more, good) = run_part(&part);
        printed.push_str(&more);
        if !good {
            return (printed, false);
        }
    }
    (printed, true)
}

fn run_whole(text: &str) -> (String, bool) {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    run(command, &playground().canonicalize().expect("the folder is there"), &[])
}

/// Pieces that commands are made of, the usual more often than the odd.
fn piece() -> impl Strategy<Value = &'static str> {
    let usual = prop::sample::select(vec![
        "show",
        "show ",
        " show",
        " && ",
        "&&",
        " ",
        "a",
        "'",
        "\"",
        "\\",
        "A=1 ",
        "cd sub && ",
        "show x",
        " fail",
    ]);
    let odd = prop::sample::select(vec![
        "$B",
        "${B}",
        "|",
        "||",
        ";",
        "#",
        "*",
        "?",
        "~",
        "=",
        "B=",
        "!",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">x",
        "2>&1",
        "`",
        "$",
        "$(",
        "\n",
        "\t",
        "-",
        "/",
        ".",
        "export B=2",
        "cd ..",
        "cd",
        "echo ",
        "-e",
        "-n",
        "''",
        "\"\"",
        "'a b'",
        "\"c  d\"",
        "\\n",
        "$$B",
        ":",
        "true",
        "false",
        "test x",
        "if",
        "then",
        "exit",
        "set",
        "é",
        "%",
        "^",
        ",",
        "@",
        "a=b",
        "A='x y' ",
        "..",
        "PATH=/nowhere ",
        "${B:-&&}",
    ]);
    prop_oneof![3 => usual, 1 => odd]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_cut_into_steps_does_what_the_shell_does(pieces in prop::collection::vec(piece(), 1..9)) {
        let text = format!("show {}", pieces.concat());
        // The process number differs from shell to shell, and what runs in the background prints
        // in no order.
        prop_assume!(!text.contains("$$") && !text.contains("\\&"));
        tidy();
        let in_parts = run_parts(&text);
        tidy();
        prop_assert_eq!(in_parts, run_whole(&text), "{}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn appended_arguments_arrive_as_they_are(words in prop::collection::vec("[ -~éß\\n]{0,8}", 1..4), piped in any::<bool>()) {
        let text = if piped { "true | show" } else { "show" };
        let mut part = command::split(text, playground()).remove(0);
        command::append(&mut part, &words);
        let (printed, _) = run_part(&part);
        let expected: String = words.iter().map(|word| format!(" <{word}>")).collect();
        prop_assert!(printed.contains(&expected), "{:?} printed {}", part.text, printed);
    }
}

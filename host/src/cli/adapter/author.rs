//! `overhear adapter build`, `test` and `conform`: in the folder of an adapter.

use super::{Home, faulty, shelf};
use crate::adapter::cases::{self, Called, Ended};
use crate::adapter::conform::{self, Found, Rule};
use crate::adapter::examine::Subject;
use crate::problem::{Problem, Problems};
use crate::report;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What components are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

#[derive(Args)]
pub struct TestArgs {
    /// Write what is said now as what is expected
    #[arg(long)]
    update: bool,
    /// Only cases whose name contains this
    #[arg(value_name = "NAME")]
    only: Option<String>,
}

#[derive(Args)]
pub struct ConformArgs {
    /// The adapter's file; by default that of the folder
    file: Option<PathBuf>,
    /// One that is part of overhear
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    built_in: Option<String>,
    /// Try this rule alone, e.g. `broken-config`
    #[arg(long, value_name = "RULE")]
    only: Option<String>,
}

/// `overhear adapter build`.
pub fn build(from_dir: &Path) -> Result<i32, Problems> {
    let home = Home::find(from_dir)?;
    // In a crate an adapter may also be a table: that is what its author wrote, and nothing makes it.
    if home.file.ends_with(".wasm") && home.folder.join("Cargo.toml").is_file() {
        build_rust(&home)?;
    }
    let begun = Instant::now();
    let subject = home.subject()?;
    let took = begun.elapsed();
    report::print(&format!(
        "{} is the adapter {} {}\n  {} bytes, blake3:{}\n  loaded in {:.1} ms (compiled, where it was new)\n",
        home.file,
        subject.described.id,
        subject.described.version,
        subject.bytes,
        subject.digest,
        took.as_secs_f64() * 1e3,
    ));
    Ok(0)
}

/// Compiles the crate, and makes a component of it.
fn build_rust(home: &Home) -> Result<(), Problems> {
    require_target(&home.folder)?;
    let mut cargo = Command::new(cargo());
    cargo.current_dir(&home.folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()).stderr(Stdio::inherit());
    let done = cargo.output().map_err(|error| no_cargo(&error))?;
    if !done.status.success() {
        return Err(Problem::new(format!("the crate in {} cannot be built", home.folder.display())).into());
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    let module = messages.lines().filter_map(module_of).next_back().ok_or_else(|| {
        let help = "Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]";
        Problem::new("the crate makes no .wasm file".to_owned()).help(help)
    })?;
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new(format!("cannot make a component of {}: {error}", module.display()))
            .help("does lib.rs end with overhear_adapter::export!(…)?")
    };
    let bytes = std::fs::read(&module).map_err(|error| failed(&error))?;
    let component = wit_component::ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| failed(&format!("{error:#}")))?;
    std::fs::write(home.path(), component).map_err(|error| failed(&error))?;
    Ok(())
}

/// The file that a message of cargo says it made.
fn module_of(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_ours = message["reason"] == "compiler-artifact"
        && message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn no_cargo(error: &std::io::Error) -> Problem {
    Problem::new(format!("cannot start cargo: {error}")).help("install Rust with rustup")
}

/// Asks the compiler of that folder, which may name its own toolchain.
fn require_target(folder: &Path) -> Result<(), Problems> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    let output = rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]).output();
    let output = output.map_err(|error| no_cargo(&error))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&folder).is_dir() {
        return Ok(());
    }
    Err(Problem::new(format!("Rust cannot compile for {TARGET} yet"))
        .help(format!("rustup target add {TARGET}"))
        .into())
}

/// `overhear adapter test`. The exit code is 1 where a case fails.
pub fn test(args: &TestArgs, from_dir: &Path) -> Result<i32, Problems> {
    let home = Home::find(from_dir)?;
    let subject = home.subject()?;
    let cases = cases::find(&home.folder.join("tests"));
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let (mut failed, mut passed) = (0, 0);
    for case in cases.iter().filter(|case| wanted(&case.name)) {
        let called = match case.call(&subject) {
            Ok(called) => called,
            Err(why) => {
                failed += 1;
                report::print(&format!("{}: FAILED: {why}\n", case.name));
                continue;
            }
        };
        let is_right = match &called.end {
            Ended::Passed => true,
            Ended::Differs(_) | Ended::New if args.update => {
                let file = case.expected_file();
                std::fs::write(&file, &called.text)
                    .map_err(|error| Problem::new(format!("cannot write {}: {error}", file.display())))?;
                true
            }
            _ => false,
        };
        if is_right {
            passed += 1
        } else {
            failed += 1
        }
        report::print(&line_of(&case.name, &called, args.update));
    }
    if passed + failed == 0 {
        let help = "a case is a folder tests/NAME with a call.toml: docs/writing-adapters.md, \"Cases\"";
        return Err(Problem::new("there is no case to run".to_owned()).help(help).into());
    }
    report::print(&format!("{passed} passed, {failed} failed\n"));
    Ok(i32::from(failed > 0))
}

fn line_of(name: &str, called: &Called, is_update: bool) -> String {
    let used = &called.examined.used;
    let (how, details) = match &called.end {
        Ended::Passed => ("ok", &[][..]),
        Ended::New | Ended::Differs(_) if is_update => ("written", &[][..]),
        Ended::Differs(lines) => ("FAILED (- expected, + said)", lines.as_slice()),
        Ended::New => ("FAILED: no expect.toml; --update writes it", &[][..]),
        Ended::Nondeterministic(lines) => ("FAILED [nondeterministic]", lines.as_slice()),
    };
    let mut text = format!("{name}: {how} ({} units of fuel, {} µs)\n", used.fuel, used.micros);
    for line in details {
        text.push_str(&format!("    {line}\n"));
    }
    // An author's own words on what went wrong.
    if !matches!(called.end, Ended::Passed) {
        used.log.lines().for_each(|line| text.push_str(&format!("    log: {line}\n")));
    }
    text
}

/// `overhear adapter conform`. The exit code is 1 where a rule is broken.
pub fn conform(args: &ConformArgs, from_dir: &Path) -> Result<i32, Problems> {
    let subject = match (&args.built_in, &args.file) {
        (Some(id), _) => Subject::built_in(id)
            .ok_or_else(|| Problem::new(format!("no adapter `{id}` is part of overhear")))?
            .map_err(faulty)?,
        (None, Some(file)) => {
            let name = file.to_string_lossy();
            Subject::of_file(&from_dir.join(file), &name, shelf(from_dir).as_ref()).map_err(faulty)?
        }
        (None, None) => Home::find(from_dir)?.subject()?,
    };
    let wanted: Vec<Rule> = Rule::ALL
        .into_iter()
        .filter(|rule| args.only.as_ref().is_none_or(|only| only == rule.code()))
        .collect();
    if wanted.is_empty() {
        let known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        return Err(Problem::new("there is no such rule").help(known.join(", ")).into());
    }
    let results = conform::conform(&subject, &wanted)
        .map_err(|error| Problem::new(format!("cannot make a folder for the trial: {error}")))?;
    let mut broken = 0;
    for (rule, found) in &results {
        let line = match found {
            Found::Holds => format!("ok      {}\n", rule.text()),
            Found::DoesNotApply(why) => format!("-       {} ({why})\n", rule.text()),
            Found::Broken(how) => {
                broken += 1;
                format!("BROKEN  {} [{}]\n          {how}\n", rule.text(), rule.code())
            }
        };
        report::print(&line);
    }
    let described = &subject.described;
    report::print(&match broken {
        0 => format!("{} {} conforms to adapter API 0.1\n", described.id, described.version),
        _ => format!("{} {} breaks {broken} rules\n", described.id, described.version),
    });
    Ok(i32::from(broken > 0))
}

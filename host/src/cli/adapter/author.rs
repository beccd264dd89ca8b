//! `overhear adapter test` and `conform`: in the folder of an adapter.

use super::watch::Watch;
use super::{Home, faulty, make, shelf};
use crate::adapter::cases::{self, Called, Ended};
use crate::adapter::conform::{self, Found, Rule};
use crate::adapter::examine::Subject;
use crate::problem::{Problem, Problems};
use crate::report;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct TestArgs {
    /// Write what is said now as what is expected
    #[arg(long)]
    update: bool,
    /// Build and run them again whenever a file of the adapter changes
    #[arg(long, conflicts_with = "update")]
    watch: bool,
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

/// `overhear adapter test`. The exit code is 1 where a case fails.
pub fn test(args: &TestArgs, from_dir: &Path) -> Result<i32, Problems> {
    let home = Home::find(from_dir)?;
    if !args.watch {
        return run_cases(args, &home);
    }
    loop {
        // Begun anew each time, for folders that are new; before the cases, so that no change is missed.
        let watch = Watch::begin(&home)?;
        let ended = make::make(&home).and_then(|()| run_cases(args, &home));
        if let Err(problems) = ended {
            report::print(&format!("{problems}\n"));
        }
        report::print("waiting for a change; ^C ends\n");
        watch.wait();
    }
}

fn run_cases(args: &TestArgs, home: &Home) -> Result<i32, Problems> {
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
        1 => format!("{} {} breaks 1 rule\n", described.id, described.version),
        _ => format!("{} {} breaks {broken} rules\n", described.id, described.version),
    });
    Ok(i32::from(broken > 0))
}

//! Runs a command as a step of overhear is run, without anything of overhear around it, and says what was
//! seen and what it cost: `traced 0|1|2|ptrace|off COMMAND ARGUMENTS`. For `bench/trace.py`, and for looking at what
//! the tracer sees. The last line on standard error is JSON.
#![allow(clippy::print_stderr, reason = "that is what it is for")]

use overhear::process::{Launch, Mode, Running, find_program, run};
use overhear::trace::{Level, Spec, Way};
use std::ffi::OsString;
use std::io::Write;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let level = args.next().expect("how: 0, 1, 2, ptrace or off");
    let name = args.next().expect("a command");
    let path = std::env::var_os("PATH").expect("a PATH");
    let cwd = std::env::current_dir().expect("a folder to work in");
    let program = find_program(&name, &path, &cwd).expect("the program is in PATH");
    let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let launch = Launch { program, args: args.collect(), cwd, env };
    let spec = Spec::new(path, vec![]);
    let mode = match level.to_str() {
        Some("0") => Mode::Traced(spec.at_level(Level::Nothing)),
        Some("1") => Mode::Traced(spec.at_level(Level::Functions)),
        Some("2") => Mode::Traced(spec.at_level(Level::Everything)),
        Some("ptrace") => Mode::Traced(spec.by(Way::Ptrace).at_level(Level::Everything)),
        _ => Mode::Captured,
    };
    let mut out = std::io::stdout().lock();
    let ended = run(&launch, mode, &Running::new(), &mut |_, bytes| {
        // Nobody may want to read it.
        let _ = out.write_all(bytes);
    })
    .expect("the command starts");
    let (paths, incomplete, told) = ended.observed.map_or((0, None, 0), |observed| {
        if std::env::var_os("TRACED_PATHS").is_some() {
            for path in observed.paths.keys() {
                eprintln!("{}", path.display());
            }
        }
        (observed.paths.len(), observed.incomplete, observed.told)
    });
    overhear::trace::guard::stop();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0").trim();
    eprintln!(
        "{{\"exit_code\": {}, \"paths\": {paths}, \"told\": {told}, \"peak\": \"{peak}\", \"incomplete\": \"{}\"}}",
        ended.exit_code,
        incomplete.unwrap_or_default()
    );
    std::process::exit(ended.exit_code);
}

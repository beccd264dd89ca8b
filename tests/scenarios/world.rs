//! A workspace of its own for one test, with a home and a temporary folder of its own, and overhear in
//! it. A run that goes wrong prints what it printed.

use crate::installed;
use crate::tree::{self, Tree};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine: only a test that hangs gets there.
const TOO_LONG: Duration = Duration::from_secs(120);

/// One workspace.
pub struct World {
    dir: TempDir,
    /// Its root.
    pub app: PathBuf,
}

impl World {
    /// An empty folder.
    pub fn empty() -> World {
        let dir = tempfile::Builder::new().prefix("scenario-").tempdir().unwrap();
        for name in ["app", "home", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let app = dir.path().canonicalize().unwrap().join("app");
        World { dir, app }
    }

    /// One package with these scripts.
    pub fn of_scripts(scripts: &[(&str, &str)]) -> World {
        let world = World::empty();
        let scripts: serde_json::Map<String, Value> =
            scripts.iter().map(|(name, command)| ((*name).to_owned(), Value::from(*command))).collect();
        let manifest = serde_json::json!({ "name": "app", "version": "1.0.0", "scripts": scripts });
        world.write("package.json", &format!("{manifest:#}\n"));
        world
    }

    /// One package with these scripts, each of which is cached.
    pub fn of_cached_scripts(scripts: &[(&str, &str)]) -> World {
        let world = World::of_scripts(scripts);
        world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
        world
    }

    /// A copy of a fixture with its packages, e.g. `examples/react-app`.
    pub fn of(fixture: &str) -> World {
        let world = World::empty();
        installed::copy(fixture, &world.app);
        world
    }

    /// Where temporary files go, inside and outside of tasks.
    pub fn tmp(&self) -> PathBuf {
        self.app.with_file_name("tmp")
    }

    /// A folder beside the workspace that is neither home nor temporary.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.app.with_file_name(name)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.app.join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a piece of a file, which must be in it.
    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }

    /// Removes a file or a folder with all below it.
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    pub fn make_executable(&self, path: &str) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn tree(&self, path: &str) -> Tree {
        tree::tree(&self.path(path))
    }

    /// A command with the environment of this world and no other.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.app).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.dir.path().join("home")).env("TMPDIR", self.tmp());
        command
    }

    /// What running a program of the workspace directly leaves in a folder of it: in a copy of the
    /// workspace as it is now without that folder, which for that time lies where the workspace lies,
    /// as outputs may name their place.
    #[track_caller]
    pub fn built_directly(&self, program: &str, args: &[&str], env: &[(&str, &str)], folder: &str) -> Tree {
        let original = self.beside("original");
        fs::rename(&self.app, &original).unwrap();
        fs::create_dir(&self.app).unwrap();
        installed::copy_tree(&original.join("."), &self.app);
        let _ = fs::remove_dir_all(self.app.join(folder));
        let mut command = self.command(self.app.join("node_modules/.bin").join(program));
        let output = command.args(args).envs(env.iter().copied()).output().unwrap();
        let tree = tree::tree(&self.app.join(folder));
        fs::remove_dir_all(&self.app).unwrap();
        fs::rename(&original, &self.app).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        tree
    }

    /// overhear with arguments, not yet started.
    pub fn overhear(&self, args: &[&str]) -> Invocation {
        let mut command = self.command(env!("CARGO_BIN_EXE_overhear"));
        command.args(args);
        Invocation { command, summary: None }
    }

    /// A program of the workspace without overhear, not yet started.
    pub fn direct(&self, program: &str, args: &[&str]) -> Invocation {
        let mut command = self.command(self.path(program));
        command.args(args);
        Invocation { command, summary: None }
    }

    /// `overhear run` with a task and its arguments, not yet started; tells what became of each step.
    pub fn task(&self, task_and_args: &[&str]) -> Invocation {
        let summary = self.beside("summary.json");
        let _ = fs::remove_file(&summary);
        let mut command = self.command(env!("CARGO_BIN_EXE_overhear"));
        command.args(["run", "--summarize"]).arg(&summary).args(task_and_args);
        Invocation { command, summary: Some(summary) }
    }

    /// `overhear run` with a task that must succeed.
    #[track_caller]
    pub fn run(&self, task: &str) -> Done {
        self.run_with(task, &[])
    }

    /// The same with more variables.
    #[track_caller]
    pub fn run_with(&self, task: &str, env: &[(&str, &str)]) -> Done {
        let mut invocation = self.task(&[task]);
        invocation.command.envs(env.iter().copied());
        let done = invocation.done();
        assert_eq!(done.code, 0, "{done:?}");
        done
    }

    /// Archives that are kept, by path.
    pub fn archives(&self) -> Vec<PathBuf> {
        let below =
            |path: PathBuf| fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
        below(self.path(".overhear/archives")).flat_map(below).collect()
    }

    /// The names in all archives.
    pub fn archived_names(&self) -> Vec<String> {
        let names = |path: PathBuf| {
            let archive = zstd::stream::read::Decoder::new(File::open(path).unwrap()).unwrap();
            let mut archive = tar::Archive::new(archive);
            let paths =
                archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
            paths.collect::<Vec<_>>()
        };
        self.archives().into_iter().flat_map(names).collect()
    }

    /// `overhear cache verify` finds nothing wrong, and says how many entries there are.
    #[track_caller]
    pub fn sound_entries(&self) -> usize {
        let done = self.overhear(&["cache", "verify"]).done();
        assert_eq!(done.code, 0, "{done:?}");
        done.out.split(' ').next().unwrap().parse().unwrap()
    }

    /// Makes a FIFO that commands of this world can open as `$TMPDIR/name`.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.tmp().join(name);
        let status = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(status.success());
        path
    }
}

/// One run of overhear that may still be changed.
pub struct Invocation {
    pub command: Command,
    summary: Option<PathBuf>,
}

impl Invocation {
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Invocation {
        self.command.env(name, value.into());
        self
    }

    /// The same run, started by another program, e.g. `strace -f -o FILE`.
    pub fn below(self, program: &str, args: &[&str]) -> Invocation {
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.command.get_current_dir().unwrap()).stdin(Stdio::null());
        Invocation { command, summary: self.summary }
    }

    /// Runs to the end.
    pub fn done(mut self) -> Done {
        let output = self.command.output().unwrap();
        Done::of(output, self.summary.as_deref())
    }

    /// Starts, in a process group of its own as a shell on a terminal does.
    pub fn start(mut self) -> Started {
        self.command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let (send, lines) = channel();
        for pipe in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let send = send.clone();
            std::thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
            });
        }
        Started { child, lines, seen: Vec::new(), summary: self.summary }
    }
}

/// One run that goes on.
pub struct Started {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    summary: Option<PathBuf>,
}

impl Started {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until a line is printed that has this text (colours are not looked at).
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        loop {
            let line = match self.lines.recv_timeout(TOO_LONG) {
                Ok(line) => line,
                Err(_) => panic!("{text:?} was not printed, but:\n{}", self.seen.join("\n")),
            };
            let plain = without_colours(&line);
            self.seen.push(line);
            if plain.contains(text) {
                return;
            }
        }
    }

    /// Whether a line was printed by now that has this text.
    pub fn has_seen(&self, text: &str) -> bool {
        self.seen.iter().any(|line| without_colours(line).contains(text))
    }

    /// Waits until a thread of the process waits in a system call, by its number in `/proc`.
    pub fn wait_until_it_sleeps_in(&self, call: i64) {
        let threads = format!("/proc/{}/task", self.pid());
        let begun = std::time::Instant::now();
        loop {
            let mut calls = fs::read_dir(&threads).into_iter().flatten().flatten().filter_map(|thread| {
                fs::read_to_string(thread.path().join("syscall")).ok()?.split(' ').next()?.parse().ok()
            });
            if calls.any(|found: i64| found == call) {
                return;
            }
            assert!(begun.elapsed() < TOO_LONG, "it does not wait");
            std::thread::yield_now();
        }
    }

    /// A signal to the process only.
    pub fn signal(&self, signal: i32) {
        let status =
            Command::new("kill").args([format!("-{signal}"), self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// A signal to its process group, as a terminal sends it.
    pub fn signal_group(&self, signal: i32) {
        let args = [format!("-{signal}"), "--".to_owned(), format!("-{}", self.pid())];
        assert!(Command::new("kill").args(args).status().unwrap().success());
    }

    /// Waits for the end.
    pub fn done(mut self) -> Done {
        let status = self.child.wait().unwrap();
        let rest: Vec<String> = self.lines.iter().collect();
        self.seen.extend(rest);
        let output = Output { status, stdout: Vec::new(), stderr: self.seen.join("\n").into_bytes() };
        Done::of(output, self.summary.as_deref())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind. One that has ended cannot be killed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line as it reads.
pub fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        rest = rest[at..].find('m').map_or("", |end| &rest[at + end + 1..]);
    }
    plain + rest
}

/// What became of a run.
#[derive(Debug)]
pub struct Done {
    /// Exit code; 128 + n where a signal ended overhear itself.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error; both, where the run was [`Invocation::start`]ed.
    pub err: String,
    /// From the summary, one for each step.
    pub steps: Vec<Value>,
    /// From the summary: WebAssembly engines created.
    pub engines: Option<u64>,
}

impl Done {
    fn of(output: Output, summary: Option<&Path>) -> Done {
        let document: Option<Value> =
            summary.and_then(|path| serde_json::from_slice(&fs::read(path).ok()?).ok());
        let code = |status: ExitStatus| status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Done {
            code: code(output.status).unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            steps: document
                .as_ref()
                .and_then(|document| document["tasks"].as_array().cloned())
                .unwrap_or_default(),
            engines: document.and_then(|document| document["engines"].as_u64()),
        }
    }

    /// Ends as `status` and was stored or may be.
    #[track_caller]
    pub fn is(&self, status: &str) -> &Done {
        assert_eq!(self.statuses(), [status], "{self:?}");
        assert!(self.steps[0].get("not_stored").is_none(), "{self:?}");
        self
    }

    /// A hit, whether outputs had to be put back or not.
    #[track_caller]
    pub fn is_hit(&self) -> &Done {
        assert!(matches!(self.statuses()[..], ["fresh" | "restored"]), "{self:?}");
        self
    }

    /// Of each step.
    pub fn statuses(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step["status"].as_str().unwrap()).collect()
    }

    /// Ran because of this kind, and the reason names this path or variable.
    #[track_caller]
    pub fn missed(&self, kind: &str, name: &str) -> &Done {
        self.is("ran");
        let reason = &self.steps[0]["reason"];
        assert_eq!(reason["kind"], kind, "{self:?}");
        let named = ["path", "name"].iter().find_map(|field| reason[field].as_str()).unwrap_or_default();
        assert_eq!(named, name, "{self:?}");
        assert!(self.err.contains("miss"), "{self:?}");
        self
    }

    /// Ran, and was not stored for this reason.
    #[track_caller]
    pub fn refused(&self, kind: &str) -> &Done {
        assert_eq!(self.statuses(), ["ran"], "{self:?}");
        assert_eq!(self.steps[0]["not_stored"]["kind"], kind, "{self:?}");
        self
    }

    /// Ran as if overhear were not there, because of who decided so.
    #[track_caller]
    pub fn uncached(&self, by: &str) -> &Done {
        assert!(["ran", "failed"].contains(&self.statuses()[0]), "{self:?}");
        assert_eq!(self.steps[0]["reason"]["kind"], "cache_disabled", "{self:?}");
        assert_eq!(self.steps[0]["reason"]["by"], by, "{self:?}");
        self
    }
}

/// Something that happens on another thread.
pub struct Happens(Receiver<String>);

impl Happens {
    /// Waits until it has happened, and gives what was read.
    #[track_caller]
    pub fn wait(self, what: &str) -> String {
        self.0.recv_timeout(TOO_LONG).unwrap_or_else(|_| panic!("waited too long for {what}"))
    }
}

/// Reads a FIFO until all that had opened it for writing have closed it or ended.
pub fn read_to_end_of(fifo: &Path) -> Happens {
    let (send, receive) = channel();
    let fifo = fifo.to_path_buf();
    std::thread::spawn(move || {
        let mut text = String::new();
        File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
        let _ = send.send(text);
    });
    Happens(receive)
}

/// Whether a program that a test needs is there. If not, the test says so and is counted as skipped by
/// `tests/run.sh`; where `CI` is set that is an error.
pub fn has(what: &str, is_there: bool) -> bool {
    if !is_there {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        assert!(std::env::var_os("CI").is_none(), "{test} needs {what}");
        eprintln!("skipped: {test} needs {what}");
        if let Some(list) = std::env::var_os("OVERHEAR_TESTS_SKIPPED") {
            use std::io::Write;
            let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
            writeln!(list, "{test} needs {what}").unwrap();
        }
    }
    is_there
}

/// Whether a program is in PATH.
pub fn has_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    has(program, is_there)
}

//! Real tools, run once under `strace -f` and once under the tracer: no path that strace shows may
//! be missing from what was observed. Names that differ between two runs under strace itself
//! (temporary files, process numbers) are left out.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail")]
#![allow(clippy::print_stderr, reason = "a skip is said aloud")]

use overhear::process::{Launch, Mode, Running, run};
use overhear::trace::{Level, Spec, Way};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "programs/cases.rs"]
mod cases;
#[path = "programs/strace.rs"]
mod strace;

/// Programs that must be there, and a script for `sh`. Each starts in a folder with the files of
/// [`fill`].
const RUNS: &[(&str, &[&str], &str)] = &[
    (
        "a pipeline",
        &["sed"],
        "cat src/a.c | sed s/a/b/ | sort > out/sorted; wc -l < out/sorted; test -e none || true",
    ),
    (
        "copies, moves and removals",
        &[],
        "cp -r src copy; mv copy moved; rm -rf moved; mkdir -p x/y/z; ln -s ../src x/l; cat x/l/a.c; touch new; chmod 600 new",
    ),
    ("ls and find", &["find"], "ls -laR . ; find . -name '*.c' -newer src/a.c; du -s .; stat src/a.c"),
    (
        "git",
        &["git"],
        "git init -q . && git add . && git -c user.name=a -c user.email=b commit -qm m; git status; git log --oneline; git diff",
    ),
    ("gcc", &["gcc"], "gcc -O1 -c src/a.c -o out/a.o && gcc out/a.o -o out/a && ./out/a"),
    ("static program", &["gcc"], "gcc -static src/a.c -o out/s && ./out/s"),
    (
        "python",
        &["python3"],
        "python3 -c 'import json, os, tempfile; open(\"out/p\", \"w\").write(json.dumps(os.listdir(\"src\")))'",
    ),
    ("node", &["node"], "node src/main.js"),
    ("node with io_uring", &["node"], "UV_USE_IO_URING=1 node src/main.js"),
    (
        "the loader by hand, a library path, here documents",
        &[],
        "/lib64/ld-linux-x86-64.so.2 /bin/cat src/a.c; LD_LIBRARY_PATH=$PWD/none cat src/b.h; cat <<end\nx\nend\n",
    ),
    ("tar", &["tar"], "tar -cf out/t.tar src && mkdir u && tar -xf out/t.tar -C u"),
    ("perl", &["perl"], "perl -e 'use File::Find; find(sub {}, \".\"); rename \"src/b.h\", \"src/c.h\"'"),
    ("make", &["make", "gcc"], "make -s"),
    (
        "npm ci",
        &["npm", "tar"],
        "(cd ci && tar --mtime=@0 -czf one.tgz one && npm ci --offline --no-audit --no-fund --loglevel=error --cache ../out/npm)",
    ),
    ("java", &["javac"], "javac -d out src/A.java && java -cp out A"),
    ("cargo build", &["cargo"], "(cd crate && cargo build -q --offline)"),
];

/// The same with packages from npm, in a folder with the files of [`fill_app`].
const TOOLS: &[(&str, &str)] = &[
    ("vite 8", "rm -rf dist && node node_modules/vite/bin/vite.js build --logLevel error"),
    ("vite 6", "rm -rf dist && node node_modules/vite6/bin/vite.js build --logLevel error"),
    ("tsc -b", "rm -rf out tsconfig.tsbuildinfo && node node_modules/typescript/bin/tsc -b"),
    (
        "esbuild",
        "rm -rf es && \"$PWD\"/node_modules/@esbuild/linux-x64/bin/esbuild src/main.ts --bundle --outfile=es/out.js --log-level=error",
    ),
    ("vitest with forks", "node node_modules/vitest/vitest.mjs run --pool=forks --no-cache"),
    ("vitest with threads", "node node_modules/vitest/vitest.mjs run --pool=threads --no-cache"),
    ("eslint", "node node_modules/eslint/bin/eslint.js src/plain.js"),
    (
        "bun",
        "rm -rf bn && node_modules/.bin/bun run src/two.ts && node_modules/.bin/bun build src/main.ts --outdir=bn",
    ),
];

/// As they are named for npm: two majors of one tool by an alias.
const PACKAGES: &[&str] =
    &["vite@8", "vite6@npm:vite@6", "typescript@5", "esbuild@0.28", "vitest@4", "eslint@9", "bun@1"];

#[test]
fn nothing_of_tools_from_npm_is_missing() {
    if !is_there("strace") || !is_there("npm") {
        return skip("npm with strace");
    }
    let Some(app) = app() else { return skip("npm with a registry") };
    let mut lacking = Vec::new();
    for (name, script) in TOOLS {
        let script = format!("cd {} && {script}", app.display());
        lacking.extend(missing(&self::script(name, &script)));
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// Programs of which strace itself shows another thing than happens, or nothing: paths that another thread
/// changes, a folder that is gone, roots and mounts of their own, calls that only overhear refuses. And those
/// whose timers may fire faster than strace answers. What all these must leave is in their table.
const NOT_FOR_STRACE: &[&str] = &[
    "changing",
    "gone_cwd",
    "chroot",
    "mount",
    "handle_open",
    "io_uring",
    "timer",
    "signal",
    "interrupted",
    "long_jump",
];

#[test]
fn nothing_of_the_small_programs_is_missing() {
    if !is_there("strace") && !install("strace") {
        return skip("strace");
    }
    let mut lacking = Vec::new();
    for (name, _) in cases::CASES.iter().filter(|(name, _)| !NOT_FOR_STRACE.contains(name)) {
        lacking.extend(missing(&case(name)));
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// The fixture's app, built anew from a cleared folder.
#[test]
fn nothing_of_next_is_missing() {
    if !is_there("strace") || !is_there("npm") {
        return skip("npm with strace");
    }
    let app = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential-next");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/next16");
    if !app.join("node_modules/next").exists() {
        let script = format!(
            "rm -rf {0} && cp -r {1} {0} && cd {0} && npm ci --no-audit --no-fund --silent",
            app.display(),
            fixture.display()
        );
        if !Command::new("sh").args(["-c", &script]).status().unwrap().success() {
            return skip("npm with a registry");
        }
    }
    // What the run before left has names of that run, and is put away before each.
    let build = "NEXT_TELEMETRY_DISABLED=1 node node_modules/next/dist/bin/next build";
    let lacking = missing(&script("next build", &format!("cd {} && {build}", app.display())));
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// A small app with the packages installed, once.
fn app() -> Option<PathBuf> {
    let app = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential-app");
    std::fs::create_dir_all(app.join("src")).unwrap();
    for (name, text) in [
        ("package.json", "{\"name\":\"app\",\"private\":true,\"type\":\"module\"}"),
        ("index.html", "<!doctype html><script type=\"module\" src=\"/src/main.ts\"></script>"),
        ("src/main.ts", "import { two } from \"./two\";\nconsole.log(two);\n"),
        ("src/two.ts", "export const two: number = 2;\n"),
        (
            "src/two.test.ts",
            "import { expect, it } from \"vitest\";\nimport { two } from \"./two\";\nit(\"is\", () => expect(two).toBe(2));\n",
        ),
        ("src/plain.js", "export const plain = 1;\n"),
        ("eslint.config.js", "export default [{ rules: { semi: \"error\" } }];\n"),
        (
            "tsconfig.json",
            "{\"compilerOptions\":{\"composite\":true,\"outDir\":\"out\",\"rootDir\":\"src\",\"module\":\"esnext\",\"moduleResolution\":\"bundler\",\"skipLibCheck\":true,\"types\":[]},\"include\":[\"src/main.ts\",\"src/two.ts\"]}",
        ),
    ] {
        if !app.join("node_modules/bun").exists() || name != "package.json" {
            std::fs::write(app.join(name), text).unwrap();
        }
    }
    if !app.join("node_modules/bun").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "--omit-lockfile-registry-resolved"]);
        if !npm.args(PACKAGES).current_dir(&app).status().unwrap().success() {
            return None;
        }
    }
    Some(app)
}

#[test]
fn nothing_that_strace_shows_is_missing() {
    if !is_there("strace") && !install("strace") {
        return skip("strace");
    }
    let mut lacking = Vec::new();
    for (name, needs, script) in RUNS {
        if let Some(missing) = needs.iter().find(|program| !is_there(program)) {
            skip(missing);
            continue;
        }
        lacking.extend(missing(&self::script(name, script)));
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// A command that is run the same several times, each in the same folder freshly made: paths must be the same.
struct Repeated<'a> {
    name: &'a str,
    launch: Launch,
    fill: fn(&Path),
}

/// A script for `sh`.
fn script<'a>(name: &'a str, script: &str) -> Repeated<'a> {
    let launch = Launch {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        cwd: root(script),
        env: environment(),
    };
    Repeated { name, launch, fill }
}

/// One of the small programs.
fn case(name: &str) -> Repeated<'_> {
    let program = cases::program(false);
    let mut env = environment();
    env.push(("SELF".into(), program.into()));
    let cwd = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential-programs");
    let launch = Launch { program: program.into(), args: vec![name.into()], cwd, env };
    Repeated { name, launch, fill: cases::fill }
}

/// What strace shows of a command and the tracer does not, at any level and in any way.
fn missing(repeated: &Repeated) -> Vec<String> {
    let name = repeated.name;
    let (shown, rest) = shown_by_strace(repeated);
    assert!(!shown.is_empty(), "{name}: strace shows too little to say anything");
    let mut lacking = Vec::new();
    for how in [
        (Way::Seccomp, Level::Nothing),
        (Way::Seccomp, Level::Functions),
        (Way::Seccomp, Level::Everything),
        (Way::Ptrace, Level::Everything),
    ] {
        let (seen, told) = seen_by_us(repeated, how);
        let missing: Vec<_> = shown.iter().filter(|path| !strace::is_seen(path, &seen)).collect();
        eprintln!(
            "{name}, {how:?}: {} paths in strace ({rest} of one run only), {} observed ({told} calls told), {} missing",
            shown.len(),
            seen.len(),
            missing.len()
        );
        lacking.extend(missing.iter().map(|path| format!("{name}, {how:?}: {}", path.display())));
    }
    lacking
}

/// A skip is printed; where everything must run it is an error.
fn skip(program: &str) {
    assert_ne!(std::env::var_os("CI").as_deref(), Some(OsStr::new("true")), "{program} is needed");
    eprintln!("SKIPPED: {program} is not there");
    if let Some(list) = std::env::var_os("OVERHEAR_TESTS_SKIPPED") {
        let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "nothing_that_strace_shows_is_missing needs {program}").unwrap();
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn install(program: &str) -> bool {
    let apt = Command::new("apt-get").args(["install", "-y", "-q", program]).stdout(Stdio::null()).status();
    apt.is_ok_and(|status| status.success())
}

fn fill(root: &Path) {
    if root.ends_with("differential-of-next") {
        // Not by the other tests: they run at the same time.
        let _ = std::fs::remove_dir_all(root.with_file_name("differential-next").join(".next"));
    }
    for folder in ["src/deep/er", "out", "ci/one", "ci/two", "crate/src"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let files = [
        ("src/a.c", "#include <stdio.h>\n#include \"b.h\"\nint main(void) { puts(B); return 0; }\n"),
        ("src/b.h", "#define B \"b\"\n"),
        ("src/deep/er/f", "x"),
        ("Makefile", "out/m: src/a.c src/b.h\n\tgcc src/a.c -o out/m\n"),
        ("ci/package.json", "{\"name\":\"ci\",\"dependencies\":{\"one\":\"file:one.tgz\",\"two\":\"file:two\"}}"),
        (
            "ci/package-lock.json",
            "{\"name\":\"ci\",\"lockfileVersion\":3,\"requires\":true,\"packages\":{
             \"\":{\"name\":\"ci\",\"dependencies\":{\"one\":\"file:one.tgz\",\"two\":\"file:two\"}},
             \"node_modules/one\":{\"version\":\"1.0.0\",\"resolved\":\"file:one.tgz\"},
             \"node_modules/two\":{\"resolved\":\"two\",\"link\":true},\"two\":{\"version\":\"1.0.0\"}}}",
        ),
        ("ci/one/package.json", "{\"name\":\"one\",\"version\":\"1.0.0\"}"),
        ("ci/one/index.js", "module.exports = 1;"),
        ("ci/two/package.json", "{\"name\":\"two\",\"version\":\"1.0.0\"}"),
        (
            "src/A.java",
            "import java.nio.file.*;
             public class A { public static void main(String[] a) throws Exception {
                 Files.readString(Path.of(\"src/b.h\")); Files.exists(Path.of(\"src/none\")); Files.list(Path.of(\"src/deep\")).count();
                 new ProcessBuilder(\"cat\", \"src/a.c\").inheritIO().start().waitFor(); Files.writeString(Path.of(\"out/j\"), \"x\"); } }",
        ),
        ("crate/Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
        ("crate/build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }\n"),
        ("crate/src/main.rs", "mod part;\nfn main() { println!(\"{}\", part::PART); }\n"),
        ("crate/src/part.rs", "pub const PART: &str = include_str!(\"part.txt\");\n"),
        ("crate/src/part.txt", "part"),
        ("src/child.js", "require('fs').readFileSync('src/deep/er/f'); process.exit(0)"),
        ("src/worker.js", "require('fs').statSync('src/b.h'); require('fs').existsSync('src/none')"),
        (
            "src/main.js",
            "const { Worker } = require('worker_threads'); const c = require('child_process'); const fs = require('fs');
             new Worker('./src/worker.js'); c.fork('./src/child.js'); c.execFileSync('cat', ['src/a.c']);
             fs.promises.readFile('src/b.h').then(() => fs.promises.writeFile('out/js', 'x'));
             fs.mkdirSync('out/n/m', { recursive: true }); fs.rmSync('out/n', { recursive: true }); fs.realpathSync('src/deep');",
        ),
    ];
    for (name, text) in files {
        std::fs::write(root.join(name), text).unwrap();
    }
}

/// One folder for each thread: the tests run at once.
fn root(script: &str) -> PathBuf {
    let name = match script {
        next if next.contains("next build") => "differential-of-next",
        tools if tools.starts_with("cd ") => "differential-tools",
        _ => "differential",
    };
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn environment() -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap();
    let rustup = std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| {
        std::env::home_dir().map(|home| home.join(".rustup").into_os_string()).unwrap_or_default()
    });
    // What makes tools the same twice.
    [
        ("PATH", path),
        ("HOME", "/nonexistent".into()),
        ("TMPDIR", "/tmp".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ("RUSTUP_HOME", rustup),
        ("CARGO_HOME", std::env::temp_dir().join("overhear-differential-cargo").into()),
        ("CARGO_INCREMENTAL", "0".into()),
        ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z".into()),
        ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z".into()),
    ]
    .map(|(name, value)| (name.into(), value))
    .to_vec()
}

fn make(repeated: &Repeated) {
    let _ = fs::remove_dir_all(&repeated.launch.cwd);
    fs::create_dir_all(&repeated.launch.cwd).unwrap();
    (repeated.fill)(&repeated.launch.cwd);
}

fn seen_by_us(repeated: &Repeated, (way, level): (Way, Level)) -> (BTreeSet<PathBuf>, u64) {
    make(repeated);
    let mode = Mode::Traced(Spec::new(std::env::var_os("PATH").unwrap(), vec![]).by(way).at_level(level));
    let mut said = Vec::new();
    let ended =
        run(&repeated.launch, mode, &Running::new(), &mut |_, bytes| said.extend_from_slice(bytes)).unwrap();
    assert_eq!(ended.exit_code, 0, "{}: {}", repeated.name, String::from_utf8_lossy(&said));
    let observed = ended.observed.unwrap();
    assert_eq!(observed.incomplete, None, "{}", repeated.name);
    let told = observed.told;
    (observed.paths.into_keys().collect(), told)
}

/// Paths shown in each of two runs, and how many were shown in one of them only.
fn shown_by_strace(repeated: &Repeated) -> (BTreeSet<PathBuf>, usize) {
    let Launch { program, args, cwd, env } = &repeated.launch;
    let once = || {
        make(repeated);
        let log = cwd.with_extension("strace");
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-qq", "-y", "-s", "4096", "-e", "trace=%file,%process,fchdir,chdir", "-o"])
            .arg(&log);
        strace.arg(program).args(args).current_dir(cwd).env_clear().envs(env.iter().cloned());
        let output = strace.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", repeated.name);
        strace::parse(&fs::read(&log).unwrap(), cwd)
    };
    let (one, two) = (once(), once());
    let both: BTreeSet<PathBuf> = one.intersection(&two).cloned().collect();
    let rest = one.symmetric_difference(&two).count();
    (both, rest)
}

//! Adapters in JavaScript: what they say, and what their authors do wrong.

use super::*;
use crate::adapter::engine_config::FUEL;
use crate::adapter::examine::{Examined, Subject, Trial};

/// A script whose functions have these bodies.
fn script(detect: &str, declare: &str) -> String {
    format!(
        "export default {{\n  id: \"acme/mine\", version: \"1.0.0\", programs: [\"mine\"], packages: [\"mine\"],\n  \
         configFiles: [\"mine.json\"], mayRead: [\"mine.json\", \"src\"], mayReadEnv: [\"MINE\"],\n  \
         detect(call) {{\n{detect}\n  }},\n  declare(call, host) {{\n{declare}\n  }},\n}};\n"
    )
}

/// A package with a config and the script in it.
struct Package {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Package {
    fn with(script: &str) -> Package {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("apps/web/src")).unwrap();
        fs::write(root.join("apps/web/package.json"), "{}").unwrap();
        fs::write(root.join("apps/web/mine.json"), r#"{"out": {"dir": "../../www"}, "n": [1, null]}"#)
            .unwrap();
        fs::write(root.join("apps/web/src/b.js"), "").unwrap();
        fs::write(root.join("apps/web/src/a.js"), "").unwrap();
        fs::write(root.join("adapter.js"), script).unwrap();
        Package { _folder: folder, root }
    }

    fn subject(&self) -> Result<Subject, AdapterFault> {
        // Unpacked once for all tests.
        static SHELF: OnceLock<(tempfile::TempDir, Shelf)> = OnceLock::new();
        let (_, shelf) = SHELF.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let shelf = Shelf::open(folder.path(), &self.root).unwrap();
            (folder, shelf)
        });
        Subject::of_file(&self.root.join("adapter.js"), "adapter.js", Some(shelf))
    }

    fn call(&self, args: &[&str]) -> Examined {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let package = self.root.join("apps/web");
        let call = Call {
            program: &self.root.join("node_modules/.bin/mine"),
            name: "mine",
            args: &args,
            cwd: &package,
            package_dir: &package,
            root: &self.root,
            env: &|name| (name == "MINE").then(|| "7".to_owned()),
        };
        let tool = Some(("mine", "2.0.0"));
        self.subject().unwrap().examine(Trial { call, tool, settings: None, is_backwards: false })
    }
}

/// What comes of `mine build` with these bodies.
fn declared(detect: &str, declare: &str) -> Result<Option<Declaration>, AdapterFault> {
    Package::with(&script(detect, declare)).call(&["build", "--out=x", "-w"]).declared
}

#[track_caller]
fn fault(declare: &str) -> AdapterFault {
    declared("return 'build';", declare).unwrap_err()
}

fn rules(rules: &[crate::declaration::PathRule]) -> Vec<String> {
    rules.iter().map(|rule| format!("{}:{}", rule.base.name(), rule.pattern)).collect()
}

#[test]
fn a_script_says_what_a_table_can_say() {
    let declaration = declared(
        "return call.word === 'build' && call.subcommand === undefined ? call.word : undefined;",
        "return {
          outputs: ['dist', { path: 'out', base: 'cwd', flags: ['--out'], emptied: true, why: 'because' }],
          inputs: [false, null, call.has('--none') && 'never', call.value('--no'), '', 'a/**'],
          caches: ['.mine'], exclusiveCaches: ['.lock'], generated: ['types'], state: ['x.state'],
          ignoredReads: ['r'], ignoredWrites: ['w'], env: ['A', 'B_*'], removedEnv: ['C'],
          innerServer: true, asksForAll: call.has('-w', '--watch'),
          advice: [{ code: 'a-b', text: `${call.subcommand} ${call.value('--in', '--out')}` }],
        };",
    );
    let declaration = declaration.unwrap().expect("it is known");
    assert_eq!(rules(&declaration.outputs), ["package:dist", "workspace:apps/web/x"]);
    assert_eq!(declaration.outputs[1].why, "because");
    assert_eq!(rules(&declaration.ignored_reads), ["package:r", "workspace:apps/web/x"]);
    assert_eq!(rules(&declaration.inputs), ["package:a/**"]);
    assert_eq!(rules(&declaration.cache_dirs), ["package:.mine", "package:.lock"]);
    assert_eq!(rules(&declaration.exclusive_dirs), ["package:.lock"]);
    assert_eq!(rules(&declaration.generated), ["package:types"]);
    assert_eq!(rules(&declaration.state_files), ["package:x.state"]);
    assert_eq!(rules(&declaration.ignored_writes), ["package:w"]);
    assert_eq!(variables(&declaration), ["A", "B_*", "C"]);
    assert!(declaration.inner_disable_cache && declaration.empty_prefix_is_declared);
    assert_eq!(declaration.advice.last().unwrap().text, "build x");
    let never = declared("return 'build'", "return { never: 'it is a server' }").unwrap().unwrap();
    assert_eq!(never.verdict, Verdict::Uncacheable("it is a server".into()));
    let unsure = declared("return 'build'", "return { unsure: call.tool.version }").unwrap().unwrap();
    assert_eq!(unsure.verdict, Verdict::Unsure("2.0.0".into()));
    assert_eq!(declared("", "").unwrap(), None);
    assert_eq!(declared("return false", "").unwrap(), None);
}

#[test]
fn a_script_asks_what_an_adapter_may_ask_and_each_question_is_recorded() {
    let package = Package::with(&script(
        "return 'build'",
        "const file = call.configFiles[0], config = host.readConfig(file);
         const names = host.listDir(call.fromPackage('src')).map((entry) => `${entry.kind} ${entry.name}`);
         const folder = call.fromPackage(config.at('out.dir').value);
         if (config.at('no').value !== undefined || config.at('no').unknown !== undefined) throw Error('set');
         if (config.value.n[1] !== null || host.readText('apps/web/none') !== undefined) throw Error('there');
         if (call.fromCwd('../../..') !== undefined) throw Error('outside');
         return { outputs: [{ path: folder, base: 'workspace' }],
                  env: [host.env('MINE') === '7' && 'SEEN', host.env('NONE') ?? 'ABSENT'],
                  advice: [{ code: 'seen', text: names.join(), file }] };",
    ));
    let mut text = fs::read_to_string(package.root.join("adapter.js")).unwrap();
    text = text.replace("mayRead: [", "mayRead: [\"none\", ").replace("[\"MINE\"]", "[\"MINE\", \"NONE\"]");
    fs::write(package.root.join("adapter.js"), text).unwrap();
    let examined = package.call(&["build"]);
    let declaration = examined.declared.unwrap().unwrap();
    assert_eq!(rules(&declaration.outputs), ["workspace:www"]);
    assert_eq!(variables(&declaration), ["SEEN", "ABSENT"]);
    assert_eq!(declaration.advice[0].text, "file a.js,file b.js");
    let asked: Vec<&str> = examined.asked.iter().map(|(question, _)| question.as_str()).collect();
    assert_eq!(asked.len(), 6, "{asked:?}");
    let refused = fault("return { inputs: [host.readText('apps/web/package.json')] }");
    assert_eq!(refused.code, "not-permitted", "{refused}");
}

#[test]
fn a_script_that_cannot_be_read_is_told_with_its_line_and_column() {
    let said = |text: &str| match Package::with(text).subject() {
        Ok(_) => panic!("it was taken: {text}"),
        Err(fault) => (fault.code, fault.what),
    };
    let sound = script("return 'build'", "return {}");
    for (text, code, words) in [
        ("export default {\n  id: \"acme/mine\",,\n}", "bad-source", "line 2, col"),
        ("const x = 1;\nconst x = 2;", "bad-source", "`x` declared multiple times"),
        ("import x from './other.js';\nexport default {}", "bad-source", "an adapter is one file"),
        ("await new Promise(() => {}); export default {}", "bad-source", "nothing to wait for"),
        ("const x = 1;", "wrong-form", "export default"),
        ("export default () => {}", "wrong-form", "export default"),
        ("\nnull.x;\nexport default {}", "threw", "(line 2, column"),
        ("throw 'just this'", "threw", "just this"),
        (&sound.replace("detect(call)", "detects(call)"), "wrong-form", "no function `detect`"),
        (&sound.replace("declare(call, host)", "declared(call)"), "wrong-form", "no function `declare`"),
        (
            &sound.replace("version:", "versions:"),
            "wrong-form",
            "`versions` is no field of the default export",
        ),
        (&sound.replace("\"1.0.0\"", "1"), "wrong-form", "`version` is a number, and should be a text"),
        (
            &sound.replace("[\"mine\"]", "\"mine\""),
            "wrong-form",
            "`programs` is a text, and should be a list",
        ),
        (&sound.replace("acme/mine", ""), "wrong-form", "has no `id`"),
        (&sound.replace("acme/mine", "Mine"), "bad-description", "is not of the form"),
    ] {
        let (said_code, what) = said(text);
        assert_eq!(said_code, code, "{text}: {what}");
        assert!(what.contains(words), "{text}: {what}");
    }
    let large = format!("{sound}// {}", "x".repeat(600 * 1024));
    assert_eq!(said(&large).0, "too-complex");
}

#[test]
fn an_exception_reaches_its_author_with_its_text_and_line() {
    let thrown = fault("const config = undefined;\n  return { outputs: [config.out] };");
    assert_eq!((thrown.code.as_str(), thrown.function.as_str()), ("threw", "declare"));
    assert!(thrown.what.starts_with("adapter.js: TypeError: "), "{thrown}");
    assert!(!thrown.what.contains("script:"), "its place is told once: {thrown}");
    assert!(thrown.what.contains("(line 9, column ") && thrown.what.contains("in declare)"), "{thrown}");
    let own = fault("class Odd extends Error {}; throw new Odd('the words\\nof its author');");
    assert!(own.what.contains("the words of its author") && own.what.contains("line 8"), "{own}");
    let within = declared("return call.args.map((arg) => arg.no.such)[0]", "").unwrap_err();
    assert_eq!(within.function, "detect");
    assert!(within.what.contains("line 5"), "{within}");
    let wrong_ask = fault("host.readText(3)");
    assert!(
        wrong_ask.what.contains("host.readText: what is asked for is a text, and not number"),
        "{wrong_ask}"
    );
}

#[test]
fn what_a_script_gives_is_held_against_its_form() {
    for (declare, words) in [
        ("", "`declare` gave nothing"),
        ("return 'dist'", "what `declare` gave is a text, and should be an object"),
        ("return { output: [] }", "`output` is no field of what `declare` gave; its fields are never,"),
        ("return { outputs: 'dist' }", "`outputs` is a text, and should be a list"),
        ("return { outputs: [3] }", "`outputs[0]` is a number, and should be a path or { path, why }"),
        ("return { outputs: ['a', { why: 'x' }] }", "`outputs[1]` has no `path`"),
        ("return { outputs: [{ path: 'a', base: 'home' }] }", "`outputs[0].base` is \"home\""),
        ("return { outputs: [{ path: 'a', whi: 'x' }] }", "`outputs[0].whi` is no field of a rule"),
        ("return { env: [{}] }", "`env[0]` is an object, and should be a text"),
        ("return { innerServer: 1 }", "`innerServer` is a number, and should be true or false"),
        ("return { never: true }", "`never` is a truth value, and should be a text"),
        ("return { never: 'a', unsure: 'b' }", "both `never` and `unsure`"),
        ("return { advice: [{ code: 'a-b' }] }", "`advice[0]` has no `text`"),
        ("return { outputs: () => [] }", "`outputs` is a function"),
        ("const x = {}; x.inputs = [x]; return x", "nested too deeply"),
        ("return Promise.resolve({})", "is a promise; an adapter has nothing to wait for"),
    ] {
        let fault = fault(declare);
        assert_eq!(fault.code, "wrong-form", "{declare}: {fault}");
        assert!(fault.what.contains(words), "{declare}: {fault}");
    }
    let detect = declared("return 3", "").unwrap_err();
    assert!(detect.what.contains("`detect` gave a number"), "{detect}");
    assert_eq!(declared("return 'two words'", "").unwrap_err().code, "bad-string");
    // What any adapter may not say is told by the host.
    assert_eq!(fault("return { outputs: ['../x'] }").code, "bad-pattern");
}

#[test]
fn a_script_without_an_end_is_ended() {
    for (declare, code) in [
        ("for (;;) {}", "fuel"),
        ("const f = (n) => f(n + 1) + 1; return f(0)", "stack"),
        ("const f = (n) => [n].map(f)[0]; return f(0)", "stack"),
        ("return /(a+)+b/.test('a'.repeat(40)) ? {} : {}", "fuel"),
        ("const all = []; for (;;) all.push(new ArrayBuffer(1 << 22))", "memory-limit"),
    ] {
        let fault = fault(declare);
        assert_eq!(fault.code, code, "{declare}: {fault}");
        assert!(fault.is_lasting(), "{declare}: what is found out once is not found out again");
    }
}

#[test]
fn a_script_has_neither_a_clock_nor_randomness() {
    for (declare, words) in [
        ("Math.random()", "there is no randomness in an adapter"),
        ("Date.now()", "there is no clock in an adapter"),
        ("new Date()", "there is no clock in an adapter"),
        ("Math['ran' + 'dom']()", "there is no randomness in an adapter"),
        ("eval('Da' + 'te')", "there is no clock in an adapter"),
        ("setTimeout(() => {}, 1)", "ReferenceError"),
        ("fetch('x')", "ReferenceError"),
        ("process.env", "ReferenceError"),
        ("require('fs')", "ReferenceError"),
    ] {
        let fault = fault(declare);
        assert_eq!(fault.code, "threw", "{declare}: {fault}");
        assert!(fault.what.contains(words), "{declare}: {fault}");
    }
    // Nothing is carried from call to call.
    let counter =
        script("return 'build'", "globalThis.n = (globalThis.n ?? 0) + 1; return { env: ['N' + n] }");
    let package = Package::with(&counter);
    let once = |_| variables(&package.call(&[]).declared.unwrap().unwrap());
    assert_eq!([0, 1].map(once), [["N1"], ["N1"]]);
}

#[test]
fn a_call_of_a_script_uses_little_of_its_fuel() {
    let text = include_str!("../../../../plugins/templates/js/adapter.js").replace("{{program}}", "mine");
    let text = text.replace("{{vendor}}", "acme").replace("{{name}}", "mine");
    let used = Package::with(&text).call(&["build"]).used;
    assert!(used.fuel < FUEL / 10, "{used:?}");
}

//! The tool that the tasks run: it carries out a script, one line after the other, and everything
//! that it learns goes into what it writes and prints. So a result that was replayed from a wrong
//! state shows. It never looks at times: those are a documented limit.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

/// Everything learned so far, as a running hash.
struct Learned(u64);

impl Learned {
    fn take(&mut self, what: &str, bytes: &[u8]) {
        for byte in what.bytes().chain([0]).chain(bytes.iter().copied()).chain([1]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self, label: &str) -> String {
        format!("{label} {:016x}\n", self.0)
    }
}

/// Carries out the script at a path.
pub fn run(script: &str) -> ExitCode {
    let Ok(text) = fs::read_to_string(script) else {
        eprintln!("no script {script}");
        return ExitCode::from(9);
    };
    let mut learned = Learned(0xcbf2_9ce4_8422_2325);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match operation(&words, &mut learned) {
            Ok(None) => {}
            Ok(Some(code)) => return ExitCode::from(code),
            Err(error) => {
                eprintln!("{line}: {:?}", error.kind());
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

/// One line; gives an exit code where the script ends here.
fn operation(words: &[&str], learned: &mut Learned) -> std::io::Result<Option<u8>> {
    let [name, rest @ ..] = words else { return Ok(None) };
    let path = Path::new(rest.first().copied().unwrap_or("."));
    // Most tools make the folder that they write into.
    if matches!(*name, "write" | "const" | "over" | "generate" | "copy" | "symlink") {
        let target = if *name == "copy" { Path::new(words[2]) } else { path };
        target.parent().map_or(Ok(()), fs::create_dir_all)?;
    }
    match *name {
        "read" => learned.take(words[1], &content(path)),
        "stat" => learned.take(words[1], stat(path).as_bytes()),
        "lstat" => learned.take(words[1], &[kind(path)]),
        "probe" => learned.take(words[1], if path.exists() { b"there" } else { b"not" }),
        "readlink" => {
            let text = fs::read_link(path).map_or_else(|_| String::new(), |text| text.display().to_string());
            learned.take(words[1], text.as_bytes());
        }
        "list" => learned.take(words[1], names(path).join(" ").as_bytes()),
        "walk" => walk(path, learned),
        "env" => learned.take(words[1], std::env::var(words[1]).unwrap_or_default().as_bytes()),
        "write" => fs::write(path, learned.text(words[1]))?,
        // Depends on nothing that was read: so that the output stays while inputs change.
        "const" => fs::write(path, format!("const {}\n", words[1]))?,
        "append" => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)?
            .write_all(learned.text("+").as_bytes())?,
        "over" => {
            let beside = path.with_extension("tmp");
            fs::write(&beside, learned.text(words[1]))?;
            fs::rename(&beside, path)?;
        }
        "exclusive" => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)?
            .write_all(learned.text("new").as_bytes())?,
        "patch" => {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            let mut old = Vec::new();
            file.read_to_end(&mut old)?;
            if old.len() < 60 {
                file.write_all(learned.text("patched").as_bytes())?;
            }
        }
        // As a code generator: only writes what differs.
        "generate" => {
            let new = learned.text("generated");
            if content(path) != new.as_bytes() {
                fs::write(path, new)?;
            }
        }
        "mkdirp" => fs::create_dir_all(path)?,
        "mkdir" => fs::create_dir(path)?,
        "rm" => learned.take("rm", if fs::remove_file(path).is_ok() { b"1" } else { b"0" }),
        "wipe" => wipe(path),
        "empty" => {
            for name in names(path) {
                wipe(&path.join(name));
            }
        }
        "symlink" => {
            if path.symlink_metadata().is_ok() {
                fs::remove_file(path)?;
            }
            std::os::unix::fs::symlink(words[2], path)?;
        }
        "temp" => {
            let temp = path.with_extension("temporary");
            fs::write(&temp, "scratch")?;
            learned.take("temp", &content(&temp));
            fs::remove_file(&temp)?;
        }
        "rename" => learned.take("rename", if fs::rename(path, words[2]).is_ok() { b"1" } else { b"0" }),
        "copy" => drop(fs::copy(path, words[2])?),
        "chmod" => fs::set_permissions(path, fs::Permissions::from_mode(0o755))?,
        "cat" => {
            let read = std::process::Command::new("cat").arg(path).output()?;
            learned.take("cat", &read.stdout);
        }
        "out" => print!("{}", learned.text("out")),
        "say" => println!("said {}", words[1]),
        "err" => eprint!("{}", learned.text("err")),
        "fail" => return Ok(Some(3)),
        "failif" => return Ok(path.exists().then_some(4)),
        _ => return Ok(Some(9)),
    }
    Ok(None)
}

fn content(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| format!("{:?}", error.kind()).into_bytes())
}

fn kind(path: &Path) -> u8 {
    match path.symlink_metadata() {
        Err(_) => b'-',
        Ok(meta) if meta.is_symlink() => b'l',
        Ok(meta) if meta.is_dir() => b'd',
        Ok(meta) if meta.permissions().mode() & 0o100 != 0 => b'x',
        Ok(_) => b'f',
    }
}

fn stat(path: &Path) -> String {
    match path.metadata() {
        Err(error) => format!("{:?}", error.kind()),
        Ok(meta) if meta.is_dir() => "folder".to_owned(),
        Ok(meta) => format!("{} {}", meta.len(), meta.permissions().mode() & 0o100 != 0),
    }
}

/// Sorted, without overhear's own folder, which is not there when the command runs directly.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".overhear")
        .collect();
    names.sort();
    names
}

fn walk(path: &Path, learned: &mut Learned) {
    learned.take(&path.display().to_string(), &[kind(path)]);
    match kind(path) {
        b'd' => names(path).iter().for_each(|name| walk(&path.join(name), learned)),
        b'f' | b'x' => learned.take("", &content(path)),
        _ => {}
    }
}

fn wipe(path: &Path) {
    let _ = match kind(path) {
        b'd' => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
}

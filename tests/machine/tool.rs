//! The tool that the tasks run: it carries out a script, one line after the other, and everything
//! that it learns goes into what it writes and prints. So a result that was replayed from a wrong
//! state shows. It never looks at times: those are a documented limit.

use crate::io::Io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

/// Carries out the script at a path; gives the exit code.
pub fn run(script: &str, io: &Io) -> u8 {
    let Ok(Ok(text)) = io.read(Path::new(script)).map(String::from_utf8) else {
        say(&io.err, &format!("no script {script}\n"));
        return 9;
    };
    let mut learned = Learned(0xcbf2_9ce4_8422_2325);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match operation(&words, &mut learned, io) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(error) => {
                say(&io.err, &format!("{line}: {:?}\n", error.kind()));
                return 2;
            }
        }
    }
    0
}

fn say(to: &std::cell::RefCell<Vec<u8>>, text: &str) {
    to.borrow_mut().extend(text.as_bytes());
}

/// One line; gives an exit code where the script ends here.
fn operation(words: &[&str], learned: &mut Learned, io: &Io) -> std::io::Result<Option<u8>> {
    let [name, rest @ ..] = words else { return Ok(None) };
    let path = Path::new(rest.first().copied().unwrap_or("."));
    // Most tools make the folder that they write into.
    if matches!(*name, "write" | "const" | "over" | "generate" | "copy" | "symlink") {
        let target = if *name == "copy" { Path::new(words[2]) } else { path };
        target.parent().map_or(Ok(()), |folder| io.create_dir_all(folder))?;
    }
    match *name {
        "read" => learned.take(words[1], &content(path, io)),
        "stat" => learned.take(words[1], stat(path, io).as_bytes()),
        "lstat" => learned.take(words[1], &[kind(path, io)]),
        "probe" => learned.take(words[1], if io.metadata(path).is_ok() { b"there" } else { b"not" }),
        "readlink" => {
            let text = io.read_link(path).map_or_else(|_| String::new(), |text| text.display().to_string());
            learned.take(words[1], text.as_bytes());
        }
        "list" => learned.take(words[1], names(path, io).join(" ").as_bytes()),
        "walk" => walk(path, learned, io),
        "env" => learned.take(words[1], io.variable(words[1]).as_bytes()),
        "write" => io.write(path, learned.text(words[1]))?,
        // Depends on nothing that was read: so that the output stays while inputs change.
        "const" => io.write(path, format!("const {}\n", words[1]))?,
        "append" => io.append(path, &learned.text("+"))?,
        "over" => {
            let beside = path.with_extension("tmp");
            io.write(&beside, learned.text(words[1]))?;
            io.rename(&beside, path)?;
        }
        "exclusive" => io.write_new(path, &learned.text("new"))?,
        "patch" => io.patch(path, &learned.text("patched"))?,
        // As a code generator: only writes what differs.
        "generate" => {
            let new = learned.text("generated");
            if content(path, io) != new.as_bytes() {
                io.write(path, new)?;
            }
        }
        "mkdirp" => io.create_dir_all(path)?,
        "mkdir" => io.create_dir(path)?,
        "rm" => learned.take("rm", if io.remove_file(path).is_ok() { b"1" } else { b"0" }),
        "wipe" => wipe(path, io),
        "empty" => {
            for name in names(path, io) {
                wipe(&path.join(name), io);
            }
        }
        "symlink" => {
            if io.symlink_metadata(path).is_ok() {
                io.remove_file(path)?;
            }
            io.symlink(words[2], path)?;
        }
        "temp" => {
            let temp = path.with_extension("temporary");
            io.write(&temp, "scratch")?;
            learned.take("temp", &content(&temp, io));
            io.remove_file(&temp)?;
        }
        "rename" => {
            learned.take("rename", if io.rename(path, Path::new(words[2])).is_ok() { b"1" } else { b"0" })
        }
        "copy" => io.copy(path, Path::new(words[2]))?,
        "chmod" => io.set_mode(path, 0o755)?,
        "cat" if io.is_played() => learned.take("cat", &io.read(path).unwrap_or_default()),
        "cat" => {
            let read = std::process::Command::new("cat").arg(path).output()?;
            learned.take("cat", &read.stdout);
        }
        "out" => say(&io.out, &learned.text("out")),
        "say" => say(&io.out, &format!("said {}\n", words[1])),
        "err" => say(&io.err, &learned.text("err")),
        "fail" => return Ok(Some(3)),
        "failif" => return Ok(io.metadata(path).is_ok().then_some(4)),
        _ => return Ok(Some(9)),
    }
    Ok(None)
}

fn content(path: &Path, io: &Io) -> Vec<u8> {
    io.read(path).unwrap_or_else(|error| format!("{:?}", error.kind()).into_bytes())
}

fn kind(path: &Path, io: &Io) -> u8 {
    match io.symlink_metadata(path) {
        Err(_) => b'-',
        Ok(meta) if meta.is_symlink() => b'l',
        Ok(meta) if meta.is_dir() => b'd',
        Ok(meta) if meta.permissions().mode() & 0o100 != 0 => b'x',
        Ok(_) => b'f',
    }
}

fn stat(path: &Path, io: &Io) -> String {
    match io.metadata(path) {
        Err(error) => format!("{:?}", error.kind()),
        Ok(meta) if meta.is_dir() => "folder".to_owned(),
        Ok(meta) => format!("{} {}", meta.len(), meta.permissions().mode() & 0o100 != 0),
    }
}

/// Sorted, without overhear's own folder, which is not there when the command runs directly.
fn names(path: &Path, io: &Io) -> Vec<String> {
    let mut names: Vec<String> = io
        .read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".overhear")
        .collect();
    names.sort();
    names
}

fn walk(path: &Path, learned: &mut Learned, io: &Io) {
    learned.take(&path.display().to_string(), &[kind(path, io)]);
    match kind(path, io) {
        b'd' => names(path, io).iter().for_each(|name| walk(&path.join(name), learned, io)),
        b'f' | b'x' => learned.take("", &content(path, io)),
        _ => {}
    }
}

fn wipe(path: &Path, io: &Io) {
    let _ = match kind(path, io) {
        b'd' => io.remove_dir_all(path),
        _ => io.remove_file(path),
    };
}

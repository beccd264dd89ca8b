//! Files as git keeps them, by commit and path: two processes answer for any number of them, one with
//! ids and sizes, one with contents. It only asks; which version is wanted is `past`'s.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The objects of a repository.
pub struct Objects {
    sizes: Answerer,
    contents: Answerer,
}

impl Objects {
    /// Of the repository that a folder lies in; paths are relative to the folder.
    ///
    /// # Errors
    /// git cannot be started.
    pub fn of(dir: &Path) -> io::Result<Objects> {
        let sizes = Answerer::start(dir, "--batch-check=%(objectname) %(objecttype) %(objectsize)")?;
        Ok(Objects { sizes, contents: Answerer::start(dir, "--batch")? })
    }

    /// The id and the size in bytes of a file in a commit, or in the index where the commit has no name;
    /// `None` where it is not there.
    pub fn file(&mut self, commit: &str, path: &Path) -> Option<(String, u64)> {
        let mut name = format!("{commit}:./").into_bytes();
        name.extend(path.as_os_str().as_bytes());
        // A question is a line.
        if name.contains(&b'\n') {
            return None;
        }
        blob(&self.sizes.ask(&name).ok()?)
    }

    /// The content of a file by its id.
    pub fn content(&mut self, id: &str) -> Option<Vec<u8>> {
        let (_, size) = blob(&self.contents.ask(id.as_bytes()).ok()?)?;
        let mut content = vec![0; usize::try_from(size).ok()?];
        let mut end = [0];
        self.contents.answers.read_exact(&mut content).ok()?;
        self.contents.answers.read_exact(&mut end).ok()?;
        Some(content)
    }
}

/// What an answer says of a file. Of what is not there it says so in other words, after its name.
fn blob(answer: &str) -> Option<(String, u64)> {
    let mut words = answer.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(id), Some("blob"), Some(size), None) => Some((id.to_owned(), size.parse().ok()?)),
        _ => None,
    }
}

/// A `git cat-file` that answers line by line.
struct Answerer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Answerer {
    fn start(dir: &Path, flag: &str) -> io::Result<Answerer> {
        let mut command = Command::new("git");
        command.args(["cat-file", flag]).current_dir(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // It looks, waits for nobody, and fetches nothing that a partial clone left out.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("LC_ALL", "C");
        let mut child = command.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (questions, answers) = pipes.expect("both were asked for");
        Ok(Answerer { child, questions, answers: BufReader::new(answers) })
    }

    /// The line that answers a question; what cannot be told as text is read as no answer.
    fn ask(&mut self, question: &[u8]) -> io::Result<String> {
        self.questions.write_all(&[question, b"\n"].concat())?;
        let mut line = Vec::new();
        self.answers.read_until(b'\n', &mut line)?;
        line.pop();
        Ok(String::from_utf8(line).unwrap_or_default())
    }
}

impl Drop for Answerer {
    /// It has nothing to finish: it only reads.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! What differs between an entry and the files of now, as a unified diff for people and as JSON: for
//! `diff`. What is compared is handed over; nothing is read here.

use super::summary::identity;
use super::{name, reasons, words};
use crate::event::StepId;
use crate::outcome::MissReason;
use serde_json::{Value, json};
use similar::TextDiff;

/// Lines around each change.
const AROUND: usize = 3;

/// What happened to a file since the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is another one.
    Modified,
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path as stored.
    pub path: String,
    /// Whether it is an output of the step; otherwise an input.
    pub is_output: bool,
    /// What happened to it.
    pub change: Change,
    /// Its text then and now, or why that cannot be shown, as the end of a sentence.
    pub texts: Result<(String, String), String>,
}

/// One step.
pub struct StepDiff<'a> {
    /// Which.
    pub step: &'a StepId,
    /// The files; or why nothing can be compared.
    pub files: Result<Vec<FileDiff>, String>,
    /// How many other files differ that were not asked for.
    pub left_out: usize,
    /// Whatever else differs.
    pub others: Vec<MissReason>,
}

/// As text with colours: a heading, and one unified diff that `patch` would take.
pub fn step_diff_text(diff: &StepDiff) -> String {
    let heading = |text: &str| format!("\x1b[36m{}\x1b[0m  {text}\n", name(diff.step));
    let files = match &diff.files {
        Err(why) => return heading(why),
        Ok(files) if files.is_empty() && diff.left_out == 0 && diff.others.is_empty() => {
            return heading("nothing differs from the last entry");
        }
        Ok(files) => files,
    };
    let inputs = files.iter().filter(|file| !file.is_output).count();
    let counts = [
        counted(inputs, "input", "inputs"),
        counted(files.len() - inputs, "output", "outputs"),
        counted(diff.others.len(), "other thing", "other things"),
        counted(diff.left_out, "file that does not match", "files that do not match"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let mut text = heading(&format!("differs from the closest entry in {}", counts.join(", ")));
    for other in &diff.others {
        text.push_str(&format!("  {}\n", words::miss(other)));
    }
    for file in files.iter().filter(|file| file.texts.is_err()) {
        text.push_str(&format!("  {}\n", in_words(file)));
    }
    for file in files {
        text.push_str(&colored(&unified(file).unwrap_or_default()));
    }
    text
}

/// As one object of a list.
pub fn step_diff_document(diff: &StepDiff) -> Value {
    let mut step = identity(diff.step);
    step.insert("others".into(), diff.others.iter().map(reasons::miss).collect());
    match &diff.files {
        Err(why) => drop(step.insert("not_compared".into(), json!(why))),
        Ok(files) => {
            step.insert("files".into(), files.iter().map(document).collect());
            step.insert("left_out".into(), json!(diff.left_out));
        }
    }
    Value::Object(step)
}

fn document(file: &FileDiff) -> Value {
    let change = match file.change {
        Change::Modified => "modified",
        Change::Added => "added",
        Change::Removed => "removed",
    };
    json!({
        "path": file.path,
        "as": if file.is_output { "output" } else { "input" },
        "change": change,
        "diff": unified(file),
        "why_no_diff": file.texts.as_ref().err(),
    })
}

fn counted(count: usize, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    }
}

fn in_words(file: &FileDiff) -> String {
    let role = if file.is_output { "output " } else { "" };
    let change = match file.change {
        Change::Modified => "changed",
        Change::Added => "is new",
        Change::Removed => "is gone",
    };
    let why = file.texts.as_ref().err().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{role}{} {change}{why}", file.path)
}

/// The unified diff of one file; `None` where its texts cannot be shown.
fn unified(file: &FileDiff) -> Option<String> {
    let (then, now) = file.texts.as_ref().ok()?;
    let null = || "/dev/null".to_owned();
    let old = if file.change == Change::Added { null() } else { format!("a/{}", file.path) };
    let new = if file.change == Change::Removed { null() } else { format!("b/{}", file.path) };
    let diff = TextDiff::from_lines(then.as_str(), now.as_str());
    let text = diff.unified_diff().context_radius(AROUND).header(&old, &new).to_string();
    // An empty file that appears has no lines to show, and an executable bit has none either.
    Some(if text.is_empty() { format!("--- {old}\n+++ {new}\n") } else { text })
}

fn colored(diff: &str) -> String {
    let line = |line: &str| {
        let color = match line.as_bytes().first() {
            _ if line.starts_with("--- ") || line.starts_with("+++ ") => "1",
            Some(b'+') => "32",
            Some(b'-') => "31",
            Some(b'@') => "36",
            _ => return line.to_owned(),
        };
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        format!("\x1b[{color}m{line}\x1b[0m{end}")
    };
    diff.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(change: Change, then: &str, now: &str) -> FileDiff {
        let texts = Ok((then.to_owned(), now.to_owned()));
        FileDiff { path: "src/a.js".to_owned(), is_output: false, change, texts }
    }

    #[test]
    fn a_change_is_a_unified_diff() {
        let text = unified(&file(Change::Modified, "one\ntwo\n", "one\n2\n")).expect("both are text");
        assert_eq!(text, "--- a/src/a.js\n+++ b/src/a.js\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
    }

    #[test]
    fn a_new_file_comes_from_nothing() {
        let text = unified(&file(Change::Added, "", "one\n")).expect("both are text");
        assert_eq!(text, "--- /dev/null\n+++ b/src/a.js\n@@ -0,0 +1 @@\n+one\n");
    }

    #[test]
    fn what_cannot_be_shown_says_why() {
        let file = FileDiff { texts: Err("no text".to_owned()), ..file(Change::Modified, "", "") };
        assert_eq!(in_words(&file), "src/a.js changed: no text");
        assert_eq!(unified(&file), None);
    }
}

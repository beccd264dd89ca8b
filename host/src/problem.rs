//! A mistake in what a person wrote: what is wrong, where, and what to write instead. Made by
//! `workspace` and `plan`; `cli` prints it and exits with code 2. It reads no files.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The text of a file, kept so that a mistake found later can still show its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Absolute path.
    pub file: PathBuf,
    /// Its text without a byte order mark.
    pub text: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Absolute path, unless [`Problems::seen_from`] shortened it.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, or the part of a very long one around the column.
    pub text: String,
    /// Characters of `text` before the marked ones.
    pub indent: usize,
    /// How many characters are marked, at least 1.
    pub width: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one line.
    pub message: String,
    /// Where, if it is in a file.
    pub place: Option<Place>,
    /// What to write or do instead.
    pub help: Option<String>,
}

/// Everything wrong that was found together; never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// More of a line than this is cut to what surrounds the column.
const SHOWN_CHARS_MAX: usize = 120;

/// No line of help is wider, but for a single word.
const HELP_WIDTH: usize = 80;

impl Source {
    /// Wraps the text of a file; a byte order mark is dropped.
    pub fn new(file: PathBuf, text: String) -> Source {
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_string(),
            None => text,
        };
        Source { file, text }
    }

    /// The place of a range of bytes. A range beyond the text is moved to its end.
    pub fn place(&self, range: Range<usize>) -> Place {
        let start = floor_boundary(&self.text, range.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = floor_boundary(&self.text, range.end.clamp(start, line_end));
        let before = self.text[line_start..start].chars().count();
        let mut shown: Vec<char> = self.text[line_start..line_end].trim_end_matches('\r').chars().collect();
        let mut indent = before;
        if shown.len() > SHOWN_CHARS_MAX {
            let first = before.saturating_sub(SHOWN_CHARS_MAX / 2);
            let last = (first + SHOWN_CHARS_MAX).min(shown.len());
            shown = shown[first.min(last)..last].to_vec();
            indent = before - first;
        }
        let text: String = shown.into_iter().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let room = text.chars().count().saturating_sub(indent);
        Place {
            file: self.file.clone(),
            line: line_of(&self.text, start),
            column: before + 1,
            indent,
            width: self.text[start..end].chars().count().min(room).max(1),
            text,
        }
    }

    /// A mistake at a range of bytes.
    pub fn problem(&self, range: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), place: Some(self.place(range)), help: None }
    }
}

/// The line of a byte, from 1. One beyond the text is on its last line.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..floor_boundary(text, at)].matches('\n').count() + 1
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Problem {
    /// A mistake that is in no file.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), place: None, help: None }
    }

    /// The same with what to write or do instead.
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    /// The message; then the place as `file:line:column`, the line and a mark below it; then the
    /// help. No colours, no `error:` before it and no line break after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(place) = &self.place {
            let gutter = " ".repeat(place.line.to_string().len());
            write!(f, "\n{gutter}--> {}:{}:{}", place.file.display(), place.line, place.column)?;
            write!(f, "\n{gutter} |\n{} | {}", place.line, place.text.trim_end())?;
            write!(f, "\n{gutter} | {}{}", " ".repeat(place.indent), "^".repeat(place.width))?;
            if let Some(help) = &self.help {
                write_help(f, &gutter, help)?;
            }
        } else if let Some(help) = &self.help {
            write_help(f, "", help)?;
        }
        Ok(())
    }
}

/// The help, its further lines below the first.
fn write_help(f: &mut fmt::Formatter<'_>, gutter: &str, help: &str) -> fmt::Result {
    let lead = format!("{gutter} = help: ");
    let room = HELP_WIDTH - lead.len().min(HELP_WIDTH / 2);
    for (position, line) in help.lines().flat_map(|line| wrapped(line, room)).enumerate() {
        let lead = if position == 0 { lead.clone() } else { " ".repeat(lead.len()) };
        write!(f, "\n{lead}{line}")?;
    }
    Ok(())
}

/// A line in lines of this width, broken between words. What stands in backticks or brackets is to be copied,
/// and is one word.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let (mut depth, mut quoted) = (0usize, false);
    let words = line.split(|c: char| {
        match c {
            '`' => quoted = !quoted,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ' ' && depth == 0 && !quoted
    });
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Problems {
    /// The same with files below this folder named relative to it.
    pub fn seen_from(mut self, dir: &Path) -> Problems {
        for place in self.0.iter_mut().filter_map(|problem| problem.place.as_mut()) {
            if let Ok(relative) = place.file.strip_prefix(dir) {
                place.file = relative.to_path_buf();
            }
        }
        self
    }

    /// `Ok` with this value if nothing is wrong.
    ///
    /// # Errors
    /// Itself, if it holds a problem.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

/// The known name closest to what was written, if one is close enough to be meant.
pub fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written_lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written_lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            let shorter = name.chars().count().min(written.chars().count());
            // Every name of one letter is one letter away from any other.
            *distance < shorter && *distance <= 1.max(shorter / 3)
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_marks_it_and_says_what_to_write() {
        let source = Source::new("/w/overhear.json".into(), "\u{feff}{\n  \"tusks\": {}\n}\n".into());
        let problem = source.problem(4..11, "unknown key `tusks`").help("did you mean `tasks`?");
        let problems = Problems::from(problem).seen_from(Path::new("/w"));
        let expected = "unknown key `tusks`\n --> overhear.json:2:3\n  |\n2 |   \"tusks\": {}\n  |   ^^^^^^^\n  = help: did you mean `tasks`?";
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn long_help_is_broken_between_words_and_not_within_what_is_to_be_copied() {
        let help = "write it into the task of the package, where `a b c d e f g h i j` is \
                    one word as is {\"cache\": {\"scripts\": true}}";
        let expected = "wrong
 = help: write it into the task of the package, where `a b c d e f g h i j` is
         one word as is {\"cache\": {\"scripts\": true}}";
        assert_eq!(Problem::new("wrong").help(help).to_string(), expected);
        let whole = format!("`{}`", "x y ".repeat(40));
        assert!(Problem::new("wrong").help(&whole).to_string().ends_with(&whole));
    }

    #[test]
    fn a_place_in_a_very_long_line_shows_what_surrounds_it() {
        let text = format!("{}BAD{}", "ä".repeat(5000), "b".repeat(5000));
        let place = Source::new("/f".into(), text).place(10_000..10_003);
        assert_eq!((place.line, place.column, place.width), (1, 5001, 3));
        assert_eq!(place.text.chars().skip(place.indent).take(3).collect::<String>(), "BAD");
        assert!(place.text.chars().count() <= SHOWN_CHARS_MAX);
    }

    #[test]
    fn a_range_beyond_the_end_is_the_end() {
        let place = Source::new("/f".into(), "{\n".into()).place(9..12);
        assert_eq!((place.line, place.column, place.width), (2, 1, 1));
    }

    #[test]
    fn only_a_close_name_is_offered() {
        let known = ["build", "test", "typecheck"];
        assert_eq!(closest("biuld", known), Some("build"));
        assert_eq!(closest("Test", known), Some("test"));
        assert_eq!(closest("deploy", known), None);
        assert_eq!(closest("x", ["a", "b"]), None);
    }
}

//! What an author did wrong, in words that name the place in the script.

use boa_engine::error::{EngineError, RuntimeLimitError};
use boa_engine::{JsError, JsNativeErrorKind};

/// Why a call of the script gave nothing.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read.
    BadSource(String),
    /// It threw an exception.
    Threw(String),
    /// What it gave has not the form that it should have.
    WrongForm(String),
    /// Its calls are nested too deeply.
    TooDeep(String),
}

/// What the interpreter calls the script in its traces.
pub const NAME: &str = "script";

/// The file is no module.
pub fn unreadable(error: &JsError) -> Trouble {
    let is_syntax = error.as_native().is_some_and(|error| matches!(error.kind(), JsNativeErrorKind::Syntax));
    if !is_syntax {
        return thrown(error);
    }
    let words = words(error);
    // The interpreter tells the name that is declared twice, and not where: the place would be wrong.
    let words = match words.split_once("declared multiple times") {
        Some((before, _)) => format!("{before}declared multiple times"),
        None => words,
    };
    Trouble::BadSource(words)
}

/// It threw this, and nothing in it caught it.
pub fn thrown(error: &JsError) -> Trouble {
    match error.as_engine() {
        Some(EngineError::RuntimeLimit(RuntimeLimitError::Recursion | RuntimeLimitError::StackSize)) => {
            let place = place(&error.to_string()).unwrap_or_default();
            Trouble::TooDeep(format!("its calls are nested too deeply{place}"))
        }
        _ => Trouble::Threw(words(error)),
    }
}

/// What was thrown, and where. The interpreter's own text has a line for each call that was under way.
fn words(error: &JsError) -> String {
    let text = error.to_string();
    let message: Vec<&str> = text.lines().take_while(|line| !line.starts_with(CALL)).collect();
    // Where in the interpreter an error was made is nothing to its author.
    let message = message.join(" ").replace(" (native)", "");
    // An error that has a place tells it at its end too.
    let (message, own) = match message.rsplit_once(" (") {
        Some((before, at)) => match position(at) {
            Some((line, column)) => (before.to_owned(), Some(format!(" (line {line}, column {column})"))),
            None => (message, None),
        },
        None => (message, None),
    };
    format!("{message}{}", place(&text).or(own).unwrap_or_default())
}

/// `script:12:5)`: the line and the column.
fn position(at: &str) -> Option<(u32, u32)> {
    let at = at.strip_suffix(')')?.strip_prefix(NAME)?.strip_prefix(':')?;
    let (line, column) = at.split_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

const CALL: &str = "    at ";

/// The innermost call of the script: `    at declare (script:12:5)`.
fn place(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (function, at) = line.strip_prefix(CALL)?.rsplit_once(" (")?;
        let (line, column) = position(at)?;
        let within = match function {
            "<main>" | "" => String::new(),
            function => format!(", in {function}"),
        };
        Some(format!(" (line {line}, column {column}{within})"))
    })
}

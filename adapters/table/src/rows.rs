//! The rows of a table, and which of them a call means. Pure.

use overhear_adapter::{Invocation, json::Value};

/// A tool, or what it shares with a command: a table of rules.
#[derive(Clone, Copy)]
pub struct Row<'a>(pub &'a Value);

/// One command of a tool.
#[derive(Clone, Copy)]
pub struct Command<'a>(pub Row<'a>);

/// All tools.
pub fn all(table: &Value) -> impl Iterator<Item = Row<'_>> {
    values(table.get("tool")).map(Row)
}

/// The tool of a call, if the program belongs to one of the packages that the row names.
pub fn find<'a>(table: &'a Value, call: &Invocation) -> Option<Row<'a>> {
    let package = call.tool.as_ref().map(|tool| tool.name.as_str());
    all(table).find(|row| {
        row.program() == call.program
            && match package {
                Some(package) => row.packages().any(|own| own == package),
                None => row.packages().next().is_none(),
            }
    })
}

impl<'a> Row<'a> {
    /// The name of its program.
    pub fn program(self) -> &'a str {
        self.text("program")
    }

    /// The packages that the program may belong to.
    pub fn packages(self) -> impl Iterator<Item = &'a str> {
        texts(self.0.get("packages"))
    }

    /// A list of the row.
    pub fn list(self, name: &str) -> impl Iterator<Item = &'a Value> {
        values(self.0.get(name))
    }

    /// Flags with which it never ends with a result, and why.
    pub fn never_flags(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let members = match self.0.get("never-with") {
            Some(Value::Object(members)) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|(flag, reason)| (flag.as_str(), reason.as_str().unwrap_or_default()))
    }

    /// Why nothing is known of the version of the tool, if the row says which it knows.
    pub fn beyond(self, call: &Invocation) -> Option<String> {
        let known: Vec<&str> = texts(self.0.get("versions")).collect();
        let version = call.tool.as_ref()?.version.as_deref().unwrap_or("without a version");
        let fits = |known: &&str| {
            version.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_known = known.is_empty() || known.iter().any(fits);
        (!is_known)
            .then(|| format!("{} {version} is not one of the versions {}", self.program(), known.join(", ")))
    }

    /// Which of its commands the arguments name; `None`: none of them, and nothing is known.
    pub fn command(self, args: &[String]) -> Option<Command<'a>> {
        let mut commands = self.list("command").map(|value| Command(Row(value)));
        commands.find(|command| match command.name() {
            "" => true,
            flag if flag.starts_with('-') => args.iter().any(|arg| is_flag(arg, flag)),
            word => args
                .iter()
                .find(|arg| !arg.starts_with('-'))
                .is_some_and(|first| first == word || command.aliases().any(|alias| alias == first)),
        })
    }

    fn text(self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl<'a> Command<'a> {
    /// Its word, or a flag that means the same; empty for every other call.
    pub fn name(self) -> &'a str {
        self.0.text("name")
    }

    /// Why it is never cached.
    pub fn never(self) -> Option<&'a str> {
        self.0.0.get("never").and_then(Value::as_str)
    }

    fn aliases(self) -> impl Iterator<Item = &'a str> {
        texts(self.0.0.get("aliases"))
    }
}

/// The texts of a list.
pub fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    values(list).filter_map(Value::as_str)
}

fn values(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    let values = match list {
        Some(Value::Array(values)) => values.as_slice(),
        _ => &[],
    };
    values.iter()
}

/// `--flag`, `--flag=value`, but not `--flag=false`. Short flags stand alone.
pub fn is_flag(arg: &str, flag: &str) -> bool {
    match arg.strip_prefix(flag) {
        Some("") => true,
        Some(rest) => flag.starts_with("--") && rest.starts_with('=') && rest != "=false",
        None => false,
    }
}

/// The value of a flag: `--flag value` or `--flag=value`; the last counts.
pub fn value_of<'a>(args: &'a [String], flag: &str) -> Option<&'a str> {
    let value = |(at, arg): (usize, &'a String)| match arg.strip_prefix(flag)? {
        "" => args.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    };
    args.iter().enumerate().filter_map(value).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_flag_counts() {
        let args = ["--out", "a", "--out=b", "--outer", "c"].map(str::to_owned);
        assert_eq!(value_of(&args, "--out"), Some("b"));
        assert_eq!(value_of(&args, "--other"), None);
        assert_eq!(value_of(&args[..1], "--out"), None);
    }
}

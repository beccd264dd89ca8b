//! Arguments as most JavaScript tools read them: `--flag value`, `--flag=value`, `--no-flag`, `-f value`,
//! groups of short flags, `--` as the end of flags, and words between.

/// Arguments, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// The words that are no flags and no values of flags, in order.
    pub words: Vec<String>,
    flags: Vec<(String, Option<String>)>,
}

impl Args {
    /// Takes arguments apart. `switches` names the flags (without dashes, in camelCase, as they come out
    /// of `aliases`) that never take the next word as their value; each other one takes it, unless it
    /// starts with a dash. `aliases` gives the long name for a short one. `--out-dir` is `outDir`.
    pub fn parse(args: &[String], switches: &[&str], aliases: &[(&str, &str)]) -> Args {
        let mut parsed = Args::default();
        let mut rest = args.iter().peekable();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                parsed.words.extend(rest.cloned());
                break;
            }
            let Some(flag) = arg.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                parsed.words.push(arg.clone());
                continue;
            };
            let (names, mut value) = split(flag, aliases);
            let last_takes_value = names.last().is_some_and(|name| !switches.contains(&name.as_str()));
            if value.is_none() && last_takes_value {
                value = rest.next_if(|next| !next.starts_with('-')).cloned();
            }
            let last = names.len().saturating_sub(1);
            for (at, name) in names.into_iter().enumerate() {
                let value = if at == last { value.take() } else { None };
                parsed.flags.push(negated(name, value));
            }
        }
        parsed
    }

    /// Whether a flag is there and not switched off.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some_and(|value| value.as_deref() != Some("false"))
    }

    /// The truth that a switch was set to: `--flag`, `--flag=false`, `--no-flag`; `None` without it.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.find(name).map(|value| value.as_deref() != Some("false"))
    }

    /// The value of a flag, if it has one; the last counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name)?.as_deref()
    }

    fn find(&self, name: &str) -> Option<&Option<String>> {
        self.flags.iter().rev().find(|(flag, _)| flag == name).map(|(_, value)| value)
    }
}

/// The names in one argument (its first dash cut off) and the value after `=`.
fn split(flag: &str, aliases: &[(&str, &str)]) -> (Vec<String>, Option<String>) {
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (flag, None),
    };
    let long = |short: &str| match aliases.iter().find(|(alias, _)| *alias == short) {
        Some((_, long)) => (*long).to_owned(),
        None => camel(short),
    };
    match name.strip_prefix('-') {
        Some(name) => (vec![long(name)], value),
        None => (name.chars().map(|letter| long(&letter.to_string())).collect(), value),
    }
}

/// `no-flag` and `noFlag` switch `flag` off.
fn negated(name: String, value: Option<String>) -> (String, Option<String>) {
    match name.strip_prefix("no").filter(|rest| rest.starts_with(char::is_uppercase)) {
        Some(rest) if value.is_none() => {
            let mut letters = rest.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            (first.into_iter().chain(letters).collect(), Some("false".into()))
        }
        _ => (name, value),
    }
}

fn camel(name: &str) -> String {
    let mut whole = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        if letter == '-' {
            raise = !whole.is_empty();
        } else if raise {
            whole.push(letter.to_ascii_uppercase());
            raise = false;
        } else {
            whole.push(letter);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Args {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Args::parse(&args, &["watch", "emptyOutDir"], &[("c", "config"), ("w", "watch")])
    }

    #[test]
    fn each_form_of_a_flag_is_read() {
        let args = parse("build --outDir a --out-dir=b -c x.ts web -w --no-emptyOutDir -- --not-a-flag");
        assert_eq!(args.words, ["build", "web", "--not-a-flag"]);
        assert_eq!(args.value("outDir"), Some("b"));
        assert_eq!(args.value("config"), Some("x.ts"));
        assert!(args.has("watch"));
        assert_eq!(args.truth("emptyOutDir"), Some(false));
        assert_eq!(args.truth("other"), None);
    }

    #[test]
    fn a_flag_without_a_value_does_not_take_the_next_flag() {
        let args = parse("--ssr --mode test");
        assert!(args.has("ssr") && args.value("ssr").is_none());
        assert_eq!(args.value("mode"), Some("test"));
    }

    #[test]
    fn short_flags_in_a_group_give_the_value_to_the_last() {
        let args = parse("-wc=x.ts");
        assert!(args.has("watch"));
        assert_eq!(args.value("config"), Some("x.ts"));
    }
}

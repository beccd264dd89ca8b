//! A small JSON reader: what the host gives is known to be JSON, and a component should stay small.

/// A JSON value. Numbers keep their text: hardly any adapter calculates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As written.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Members in the order in which they stand.
    Object(Vec<(String, Value)>),
}

/// Values within values, at most.
const DEPTH_MAX: usize = 200;

impl Value {
    /// Reads a whole text; `None` if it is no JSON.
    pub fn parse(text: &str) -> Option<Value> {
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.skip_space();
        reader.rest.is_empty().then_some(value)
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Object(members) = self else { return None };
        members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether this comes next; if so, it is passed.
    fn takes(&mut self, token: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_space();
        if depth > DEPTH_MAX {
            return None;
        }
        if self.takes("{") {
            return self.members(depth).map(Value::Object);
        }
        if self.takes("[") {
            return self.elements(depth).map(Value::Array);
        }
        if self.rest.starts_with('"') {
            return self.string().map(Value::String);
        }
        let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        for (word, value) in words {
            if self.takes(word) {
                return Some(value);
            }
        }
        self.number().map(Value::Number)
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        if self.takes("}") {
            return Some(members);
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            if !self.takes(":") {
                return None;
            }
            members.push((name, self.value(depth + 1)?));
            if self.takes("}") {
                return Some(members);
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    fn elements(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut elements = Vec::new();
        if self.takes("]") {
            return Some(elements);
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.takes("]") {
                return Some(elements);
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<String> {
        let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.' | 'e' | 'E');
        let end = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        number.contains(|letter: char| letter.is_ascii_digit()).then(|| number.into())
    }

    fn string(&mut self) -> Option<String> {
        let mut letters = self.rest.strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => text.push(escaped(&mut letters)?),
                letter => text.push(letter),
            }
        }
        self.rest = letters.as_str();
        Some(text)
    }
}

/// What comes after a backslash. Half a pair of surrogates stands for no character.
fn escaped(letters: &mut std::str::Chars) -> Option<char> {
    let simple = match letters.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let first = unit(letters)?;
            if !(0xD800..0xDC00).contains(&first) {
                return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            let mut ahead = letters.clone();
            let second =
                (ahead.next() == Some('\\') && ahead.next() == Some('u')).then(|| unit(&mut ahead)).flatten();
            return Some(match second.filter(|second| (0xDC00..0xE000).contains(second)) {
                Some(second) => {
                    *letters = ahead;
                    let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                None => char::REPLACEMENT_CHARACTER,
            });
        }
        other => other,
    };
    Some(simple)
}

fn unit(letters: &mut std::str::Chars) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(code * 16 + letters.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read() {
        let text =
            r#" {"a": [1, -2.5e3, "x\n\u00e9\ud83d\ude00\"", true, false, null, {}, []], "b": {"c": "d"}} "#;
        let value = Value::parse(text).expect("it is JSON");
        assert_eq!(value.get("b").and_then(|b| b.get("c")).and_then(Value::as_str), Some("d"));
        let Some(Value::Array(list)) = value.get("a") else { panic!("a is a list") };
        assert_eq!(list[0], Value::Number("1".into()));
        assert_eq!(list[2].as_str(), Some("x\né😀\""));
        assert_eq!(list[3].as_bool(), Some(true));
        assert!(list[5].is_null());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1", "[1 2]", "{\"a\"}", "{a: 1}", "\"x", "1 2", "nul", "-", &"[".repeat(1000)]
        {
            assert_eq!(Value::parse(text), None, "{text}");
        }
    }
}

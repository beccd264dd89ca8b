//! The value of [`crate::ENV_HANDLE`]: where the memory is, and which variables the process that
//! handed it on had set or unset itself.
//!
//! `<pid>.<fd>.<token>.<table bytes>.<gate>.<hidden>`, all numbers in hexadecimal; what is hidden in words of
//! sixteen digits, or nothing.

/// Words of a [`Hidden`].
const WORDS: usize = crate::VARIABLES_MAX / 64;
/// Characters of the longest text.
pub const TEXT_BYTES_MAX: usize = 8 + 8 + 16 + 8 + 16 + WORDS * 16 + 5;

/// Bytes from the beginning of the gate's page to where the library itself opens the memory.
pub const OWN_ENTRY: usize = 16;
/// Bytes from an entry of the gate to the instruction behind its system call, which is what a filter sees.
pub const BEHIND_CALL: usize = 2;

/// Where the memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handle {
    /// The process that has the memory open: overhear.
    pub pid: u32,
    /// Its descriptor there.
    pub fd: u32,
    /// Repeated in the table: whether it is really ours, and not of a later process of that number.
    pub token: u64,
    /// Length of the table.
    pub table_bytes: u32,
    /// Where the page is from which calls need not be told to the tracer, because they were noted; 0 where
    /// nothing is noted.
    pub gate: u64,
}

/// Variables of the table that are not served, by position.
pub type Hidden = [u64; WORDS];

impl Handle {
    /// Reads the text.
    pub fn parse(text: &[u8], hidden: &mut Hidden) -> Option<Handle> {
        let mut reader = Reader { text, at: 0 };
        let pid = reader.number(b'.')? as u32;
        let fd = reader.number(b'.')? as u32;
        let token = reader.number(b'.')?;
        let table_bytes = reader.number(b'.')? as u32;
        let gate = reader.number(b'.')?;
        for word in hidden.iter_mut() {
            *word = 0;
        }
        for word in hidden.iter_mut() {
            if reader.peek().is_none() {
                break;
            }
            *word = reader.digits(16)?;
        }
        reader.peek().is_none().then_some(Handle { pid, fd, token, table_bytes, gate })
    }

    /// Writes the text; the bytes written, if there was room.
    pub fn write(&self, hidden: &[u64], out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer { out, at: 0 };
        for number in
            [u64::from(self.pid), u64::from(self.fd), self.token, u64::from(self.table_bytes), self.gate]
        {
            writer.number(number, 1)?;
            writer.byte(b'.')?;
        }
        let used = hidden.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        for word in hidden.iter().take(used) {
            writer.number(*word, 16)?;
        }
        Some(writer.at)
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// One to sixteen digits and what ends them.
    fn number(&mut self, end: u8) -> Option<u64> {
        let mut number = 0u64;
        let mut count = 0;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            if byte == end {
                return (count > 0).then_some(number);
            }
            number = number << 4 | u64::from(digit(byte)?);
            count += 1;
            if count > 16 {
                return None;
            }
        }
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        let mut number = 0u64;
        for _ in 0..count {
            number = number << 4 | u64::from(digit(self.peek()?)?);
            self.at += 1;
        }
        Some(number)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) -> Option<()> {
        *self.out.get_mut(self.at)? = byte;
        self.at += 1;
        Some(())
    }

    fn number(&mut self, number: u64, digits_min: u32) -> Option<()> {
        let digits = (16 - number.leading_zeros() / 4).max(digits_min);
        for place in (0..digits).rev() {
            let digit = (number >> (place * 4) & 15) as u8;
            self.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_was_written() {
        let handle = Handle { pid: 7, fd: 4_000_000_000, token: 0, table_bytes: 0x1234, gate: 1 << 46 };
        let mut hidden: Hidden = [0; WORDS];
        hidden[0] = 1;
        hidden[2] = u64::MAX;
        for hidden in [hidden, [0; WORDS], [u64::MAX; WORDS]] {
            let mut text = [0u8; TEXT_BYTES_MAX];
            let length = handle.write(&hidden, &mut text).expect("there is room");
            let mut read: Hidden = [9; WORDS];
            assert_eq!(Handle::parse(&text[..length], &mut read), Some(handle));
            assert_eq!(read, hidden);
        }
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        let mut hidden: Hidden = [0; WORDS];
        for text in
            ["", "1", "1.2.3.4.5", "1.2.3.4.5.6", "g.2.3.4.5.", "1..3.4.5.", "11111111111111111.2.3.4.5."]
        {
            assert_eq!(Handle::parse(text.as_bytes(), &mut hidden), None, "{text}");
        }
    }
}

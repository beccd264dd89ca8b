//! How many columns of a terminal a text takes, and what of it fits. Wide characters take two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in exactly so many columns, filled with spaces; longer where it is wider.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text on one line, with `…` for what does not fit in so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    let line = text.replace(['\n', '\t', '\r'], " ");
    if width(&line) <= columns {
        return line;
    }
    let mut taken = 0;
    let fitting = line.chars().take_while(|letter| {
        taken += letter.width().unwrap_or(0);
        taken < columns
    });
    fitting.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("web"), width("構築"), width("é")), (3, 4, 1));
        assert_eq!(padded("構築", 6), "構築  ");
        assert_eq!(cut("a\nb", 3), "a b");
        for (text, columns, shown) in [("abcdef", 4, "abc…"), ("構築の例", 6, "構築…"), ("構築", 4, "構築")]
        {
            assert_eq!(cut(text, columns), shown);
            assert!(width(&cut(text, columns)) <= columns);
        }
    }
}

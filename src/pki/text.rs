//! Text that comes from a peer and goes to a person.

use std::fmt;

/// Control characters, and the marks that reorder or hide text on a terminal
/// (Unicode `Cc`, bidirectional controls of UAX #9, zero-width and other invisible characters).
pub(crate) fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}'                // soft hyphen
            | '\u{034f}'              // combining grapheme joiner
            | '\u{061c}'              // Arabic letter mark
            | '\u{115f}'..='\u{1160}' // Hangul fillers
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' // zero-width, LRM, RLM
            | '\u{2028}'..='\u{202e}' // line separators, bidi embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, bidi isolates
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Prints peer-controlled text so that it stays on one line and shows what is there.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        self.0.chars().try_for_each(|character| {
            if is_unsafe_to_print(character) {
                write!(f, "{}", character.escape_unicode())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// Lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads what [`Hex`] prints, in either case; `None` for anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    text.as_bytes()
        .chunks_exact(2)
        // Two hexadecimal digits fit an octet.
        .map(|pair| Some((value(pair[0])? * 16 + value(pair[1])?) as u8))
        .collect()
}

/// A list in a sentence, cut after a few entries: `a, b, c and 140 more`.
pub(crate) struct Listed<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, item) in self.0.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{item}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_deceive_a_reader() {
        assert_eq!(Escaped("plain é 例").to_string(), "plain é 例");
        assert_eq!(
            Escaped("a\nb\u{202e}c\u{200b}").to_string(),
            "a\\u{a}b\\u{202e}c\\u{200b}"
        );
    }

    #[test]
    fn hexadecimal_reads_back() {
        assert_eq!(Hex(&[0, 0xaf]).to_string(), "00af");
        assert_eq!(from_hex("00aF"), Some(vec![0, 0xaf]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for bad in ["0", "0g", "é", "+1", "0x"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(Listed::<u8>(&[]).to_string(), "none");
        assert_eq!(Listed(&[1, 2]).to_string(), "1, 2");
        assert_eq!(
            Listed(&[1, 2, 3, 4, 5, 6, 7]).to_string(),
            "1, 2, 3, 4, 5 and 2 more"
        );
    }
}

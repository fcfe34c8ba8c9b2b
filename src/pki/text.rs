//! Bounded, escaped printing of text that a peer controls.

use std::fmt::{self, Write};

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

/// The most bytes of one value in a message: a name, a serial number, a rule. A cut adds a mark of at
/// most [`MARK`] bytes.
pub(crate) const MAX_VALUE: usize = 256;
/// The most bytes of a sentence, which may contain several values.
pub(crate) const MAX_SENTENCE: usize = 1024;
/// The longest mark of a cut: `…(+18,446,744,073,709,551,615 bytes)`.
#[cfg(test)]
pub(crate) const MARK: usize = 38;

/// Prints peer-controlled text on one line, escaped, in at most [`MAX_VALUE`] bytes:
/// `aaa…(+59,744 bytes)`.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded::new(f, MAX_VALUE).text(self.0)
    }
}

/// As [`Escaped`], for a sentence: at most [`MAX_SENTENCE`] bytes.
pub(crate) struct Sentence<'a>(pub(crate) &'a str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded::new(f, MAX_SENTENCE).text(self.0)
    }
}

/// As [`Escaped`], for any `Display`. The mark has no count, because printing stops at the limit:
/// `aaa…`.
pub(crate) struct Brief<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bounded::new(f, MAX_VALUE).value(&self.0)
    }
}

/// Cuts a text after `limit` bytes, at a character boundary. Nothing is escaped.
pub(crate) fn shorten(text: &mut String, limit: usize) {
    if text.len() > limit {
        // 0 is always a boundary.
        let kept = (0..=limit)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        let cut_off = text.len() - kept;
        text.truncate(kept);
        // Writing to a string does not fail.
        let _ = write_mark(text, cut_off);
    }
}

/// Writes how many bytes are cut off.
fn write_mark(out: &mut dyn Write, bytes: usize) -> fmt::Result {
    write!(out, "…(+{} bytes)", Thousands(bytes as u64))
}

/// A number with commas: `1,234,567`.
pub(crate) struct Thousands(pub(crate) u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Self(self.0 / 1000), self.0 % 1000)
    }
}

/// A writer that escapes unsafe characters and stops after a number of bytes, at a character boundary.
/// Escapes count as written, so that no input makes the output longer.
pub(crate) struct Bounded<'w> {
    out: &'w mut dyn Write,
    room: usize,
    /// In JSON, `"` and `\` take two bytes.
    as_json: bool,
    is_full: bool,
}

impl<'w> Bounded<'w> {
    pub(crate) const fn new(out: &'w mut dyn Write, limit: usize) -> Self {
        Self {
            out,
            room: limit,
            as_json: false,
            is_full: false,
        }
    }

    /// Counts the bytes that the text takes inside a JSON string.
    #[cfg(feature = "audit-json")]
    pub(crate) const fn counting_json(mut self) -> Self {
        self.as_json = true;
        self
    }

    /// Prints a text, and how much of it is cut off.
    pub(crate) fn text(mut self, text: &str) -> fmt::Result {
        match self.push(text)? {
            0 => Ok(()),
            cut_off => write_mark(self.out, cut_off),
        }
    }

    /// Prints a value, and a mark if it is cut.
    pub(crate) fn value(mut self, value: &dyn fmt::Display) -> fmt::Result {
        let written = write!(self, "{value}");
        if self.is_full {
            return self.out.write_str("…");
        }
        written
    }

    /// Prints several parts. `print` returns how many bytes of the whole its part is. The mark counts
    /// the bytes of the whole that are cut off, the part with the cut included.
    pub(crate) fn parts<T>(
        mut self,
        parts: impl Iterator<Item = T>,
        mut whole: usize,
        mut print: impl FnMut(&mut Self, T) -> Result<usize, fmt::Error>,
    ) -> fmt::Result {
        for part in parts {
            let printed = print(&mut self, part);
            if self.is_full {
                return write_mark(self.out, whole);
            }
            whole = whole.saturating_sub(printed?);
        }
        Ok(())
    }

    /// Writes as much as there is room for, and returns how many bytes of the text remain.
    fn push(&mut self, text: &str) -> Result<usize, fmt::Error> {
        if text.len() <= self.room && is_plain(text) {
            self.room -= text.len();
            return self.out.write_str(text).map(|()| 0);
        }
        let mut plain = 0; // the start of the current run without escapes
        for (at, character) in text.char_indices() {
            if self.room > 0 && u8::try_from(character).is_ok_and(takes_one_byte) {
                self.room -= 1;
                continue; // as nearly always
            }
            let escaped = is_unsafe_to_print(character).then(|| character.escape_unicode());
            let mut cost = match &escaped {
                Some(escaped) => escaped.len(),
                None => character.len_utf8(),
            };
            if self.as_json && (escaped.is_some() || matches!(character, '"' | '\\')) {
                cost += 1;
            }
            if cost > self.room {
                self.is_full = true;
                self.out.write_str(&text[plain..at])?;
                return Ok(text.len() - at);
            }
            self.room -= cost;
            if let Some(escaped) = escaped {
                self.out.write_str(&text[plain..at])?;
                write!(self.out, "{escaped}")?;
                plain = at + character.len_utf8();
            }
        }
        self.out.write_str(&text[plain..])?;
        Ok(0)
    }
}

/// Whether a text is printed as it is, also in JSON.
pub(crate) fn is_plain(text: &str) -> bool {
    // Whole chunks, so that the compiler can compare many bytes at once.
    let are_plain = |bytes: &[u8]| {
        let plain = bytes.iter().map(|byte| takes_one_byte(*byte));
        plain.fold(true, |all, plain| all & plain)
    };
    text.as_bytes().chunks(32).all(are_plain)
}

/// Whether this byte is a character that is printed as it is, also in JSON.
const fn takes_one_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.push(text)? {
            0 => Ok(()),
            _ => Err(fmt::Error), // stops the printing
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";

        // In chunks: a digest is one.
        self.0.chunks(32).try_for_each(|chunk| {
            let mut digits = [0; 64];
            for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
                pair[0] = DIGITS[usize::from(byte >> 4)];
                pair[1] = DIGITS[usize::from(byte & 0xf)];
            }
            f.write_str(str::from_utf8(&digits[..2 * chunk.len()]).unwrap_or_default())
        })
    }
}

/// Parses hexadecimal digits of either case; `None` for anything else.
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

/// A list in a sentence, cut after five entries, each of them [`Brief`]: `a, b, c, d, e and 140 more`.
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
            Brief(item).fmt(f)?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {} more", Thousands(more as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_characters_that_are_unsafe_to_print() {
        assert_eq!(Escaped("plain é 例").to_string(), "plain é 例");
        assert_eq!(
            Escaped("a\nb\u{202e}c\u{200b}").to_string(),
            "a\\u{a}b\\u{202e}c\\u{200b}"
        );
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_the_mark_counts_the_rest() {
        let all = "x".repeat(MAX_VALUE);
        assert_eq!(
            Escaped(&all).to_string(),
            all,
            "text within the limit is not cut"
        );
        assert_eq!(
            Escaped(&format!("{all}yz")).to_string(),
            format!("{all}…(+2 bytes)")
        );
        // Escapes count as printed, and none is cut.
        let marks = "\u{202e}".repeat(20_000);
        let shown = Escaped(&marks).to_string();
        assert_eq!(
            shown,
            format!("{}…(+59,904 bytes)", "\\u{202e}".repeat(MAX_VALUE / 8))
        );
        // Two bytes each, with one byte left over.
        let shown = Escaped(&format!("x{}", "é".repeat(200))).to_string();
        assert_eq!(shown, format!("x{}…(+146 bytes)", "é".repeat(127)));
        let long = "y".repeat(5000);
        let shown = Sentence(&long).to_string();
        assert_eq!(shown, format!("{}…(+3,976 bytes)", &long[..MAX_SENTENCE]));
        assert_eq!(Brief(&long).to_string(), format!("{}…", &long[..MAX_VALUE]));
        assert_eq!(Brief("a\nb").to_string(), "a\\u{a}b");
        let mut longest = String::new();
        write_mark(&mut longest, usize::MAX).expect("written");
        assert_eq!(longest.len(), MARK);
    }

    #[test]
    fn a_string_is_shortened_at_a_character() {
        let mut text = "ééé".to_owned();
        shorten(&mut text, 6);
        assert_eq!(text, "ééé");
        shorten(&mut text, 3);
        assert_eq!(text, "é…(+4 bytes)");
    }

    #[cfg(feature = "audit-json")]
    #[test]
    fn in_json_quotes_and_backslashes_take_two_bytes() {
        let shown = |text: &str| {
            let mut shown = String::new();
            let bounded = Bounded::new(&mut shown, 20).counting_json();
            bounded.text(text).expect("written");
            shown
        };
        assert_eq!(
            shown(&"\"".repeat(30)),
            format!("{}…(+20 bytes)", "\"".repeat(10))
        );
        // `\\u{202e}` takes nine bytes there.
        assert_eq!(
            shown(&"\u{202e}".repeat(3)),
            "\\u{202e}\\u{202e}…(+3 bytes)"
        );
    }

    #[test]
    fn hexadecimal_reads_back() {
        assert_eq!(Hex(&[0, 0xaf]).to_string(), "00af");
        let many: Vec<u8> = (0..100).collect();
        assert_eq!(from_hex(&Hex(&many).to_string()), Some(many));
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

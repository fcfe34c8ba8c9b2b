//! Reads a name that a tool has printed (RFC 4514).

use super::DistinguishedName;
use super::der::{self, OBJECT_IDENTIFIER, SEQUENCE, SET};
use super::strings::UTF8_STRING;
use super::text::from_hex;

impl DistinguishedName {
    /// A name that this text describes; `None` if it is no text of RFC 4514. Its strings are UTF8Strings, so
    /// that only its `Display` counts, which names with other strings share.
    ///
    /// Types are dotted, or those that `Display` prints. Characters that need an escape must have one:
    /// others than RFC 4514 separate attributes at `;`, and read `"` as the start of a value in quotes.
    pub(crate) fn from_rfc4514(text: &str) -> Option<Self> {
        let mut rdns = Vec::new();
        for rdn in split(text, ',').into_iter().rev() {
            let mut attributes = Vec::new();
            for attribute in split(rdn, '+') {
                let (kind, value) = attribute.split_once('=')?;
                let value = match value.strip_prefix('#') {
                    Some(digits) => from_hex(digits)?,
                    None => der::tlv(UTF8_STRING, &unescaped(value)?),
                };
                let kind = der::tlv(OBJECT_IDENTIFIER, &object_identifier(kind)?);
                attributes.extend(der::tlv(SEQUENCE, &[kind, value].concat()));
            }
            rdns.extend(der::tlv(SET, &attributes));
        }
        Self::from_der(&der::sequence(&rdns)).ok()
    }
}

/// The content of the OBJECT IDENTIFIER of an attribute's type.
fn object_identifier(kind: &str) -> Option<Vec<u8>> {
    let dotted = super::name::type_of(kind).unwrap_or(kind);
    let is_digits = |arc: &str| arc.bytes().all(|octet| octet.is_ascii_digit());
    let arcs = dotted.split('.');
    let arcs: Option<Vec<u64>> = arcs
        .map(|arc| arc.parse().ok().filter(|_| is_digits(arc)))
        .collect();
    let [root @ 0..=2, second, rest @ ..] = &*arcs? else {
        return None;
    };
    if *root < 2 && *second >= 40 {
        return None;
    }
    // The first two are one number.
    let first = second.checked_add(40 * root)?;
    let mut content = Vec::new();
    for arc in std::iter::once(&first).chain(rest) {
        // Seven bits in each octet, the highest first; all but the last have the top bit.
        let octets = (u64::BITS - arc.leading_zeros()).div_ceil(7).max(1);
        for place in (0..octets).rev() {
            let bits = (arc >> (7 * place) & 0x7f) as u8;
            content.push(bits | if place > 0 { 0x80 } else { 0 });
        }
    }
    Some(content)
}

/// Splits at each separator without a backslash before it.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        if character == separator && !is_escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// The value without its escapes: `\` before a character, or before two hexadecimal digits of an octet.
fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'\\', high, low, after @ ..] if high.is_ascii_hexdigit() => {
                let digits = [char::from(*high), char::from(*low)];
                octets.extend(from_hex(&String::from_iter(digits))?);
                after
            }
            [b'\\', escaped, after @ ..] => {
                octets.push(*escaped);
                after
            }
            [b'\\' | b'"' | b';' | b'<' | b'>', ..] => return None,
            // A blank at an end is not part of a value.
            [b' ', ..] if octets.is_empty() => return None,
            [b' '] => return None,
            [octet, after @ ..] => {
                octets.push(*octet);
                after
            }
        };
    }
    String::from_utf8(octets).ok().map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Option<String> {
        DistinguishedName::from_rfc4514(text).map(|name| name.to_string())
    }

    #[test]
    fn what_we_print_is_read() {
        for text in [
            "CN=",
            "CN=Clients,O=Example",
            "CN=a\\, b\\+c\\\"\\\\",
            "CN=\\#a\\ ",
            "CN=a#b=c",
            "CN=a+OU=b,DC=example",
            "CN=M\u{fc}ller",
            "CN=a\\E2\\80\\AEb",
            "CN=#04020161",
            "1.2.840.113549.1.9.1=a@b",
            "2.5.4.97=PSDGB-FCA-1",
            "2.999.4294967296=a",
        ] {
            assert_eq!(printed(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_others_print_is_the_same_name() {
        for (text, ours) in [
            // openssl -nameopt RFC2253
            ("CN=M\\C3\\BCller", "CN=M\u{fc}ller"),
            ("1.2.3=#0C0161", "1.2.3=a"),
            ("CN=a\\2Cb", "CN=a\\,b"),
            ("CN=\\61", "CN=a"),
            ("2.5.4.3=a", "CN=a"),
            ("CN=a\u{202e}b", "CN=a\\E2\\80\\AEb"),
        ] {
            assert_eq!(printed(text).as_deref(), Some(ours), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_name() {
        for text in [
            "",
            "Clients",
            "=a",
            "CN=a,",
            ",CN=a",
            "CN=a++OU=b",
            "cn=a",
            "CN = a",
            "CN=a, O=b",
            "CN= a",
            "CN=a ",
            "CN= ",
            "CN=a\\",
            "CN=a\\ff",
            "CN=a<b",
            "CN=a;b",
            "CN=\"a\"",
            "CN=#04",
            "CN=#xy",
            "CN=#0402016",
            "CN=#",
            "2=a",
            "3.1=a",
            "1.40=a",
            "2.5.=a",
            "2.+5=a",
            "emailAddress=a@b",
        ] {
            assert_eq!(printed(text), None, "{text}");
        }
    }
}

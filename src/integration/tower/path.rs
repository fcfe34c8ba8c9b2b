//! Paths that every server interprets in the same way.

use std::borrow::Cow;

/// Why a path is ambiguous: another server could interpret it as a different path.
pub(super) fn unclear(path: &str) -> Option<&'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Some("the path does not begin with a slash");
    };
    if rest.is_empty() {
        return None;
    }
    rest.split('/').find_map(unclear_segment)
}

/// The same for one segment.
pub(super) fn unclear_segment(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        return Some("the path has an empty segment (two slashes, or one at the end)");
    }
    for octet in Octets(segment.bytes()) {
        match octet {
            None => return Some("the path has a % without two hexadecimal digits"),
            Some(Octet::Encoded(byte)) if !may_be_encoded(byte) => {
                return Some("the path has an encoded character that changes its meaning");
            }
            Some(Octet::Plain(byte)) if !is_plain(byte) => {
                return Some("the path has a character that servers interpret differently");
            }
            Some(_) => {}
        }
    }
    // `.`, `..`, and names that some systems change: they drop dots and spaces at the end.
    let decoded = folded(segment);
    (decoded.starts_with(' ') || decoded.ends_with([' ', '.']))
        .then_some("the path has a segment that ends with a dot or a space, or begins with a space")
}

enum Octet {
    Plain(u8),
    Encoded(u8),
}

/// Percent-decodes (RFC 3986 section 2.1); `None` for a `%` without its digits.
struct Octets<'a>(std::str::Bytes<'a>);

impl Iterator for Octets<'_> {
    type Item = Option<Octet>;

    fn next(&mut self) -> Option<Self::Item> {
        let byte = self.0.next()?;
        if byte != b'%' {
            return Some(Some(Octet::Plain(byte)));
        }
        let mut digit = || char::from(self.0.next()?).to_digit(16);
        let (high, low) = (digit(), digit());
        Some(high.zip(low).and_then(|(high, low)| {
            let byte = u8::try_from(high * 16 + low).ok()?;
            Some(Octet::Encoded(byte))
        }))
    }
}

/// Allowed without encoding: `pchar` of RFC 3986 without `;`, at which some servers cut the path.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&'..=b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Allowed with percent-encoding: printable ASCII, except characters that need no encoding (only an
/// attacker encodes them), and except delimiters and escapes of a server that decodes the path again.
const fn may_be_encoded(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
        && !is_unreserved(byte)
        && !matches!(byte, b'/' | b'\\' | b'%' | b';' | b'?' | b'#')
}

/// The path as the most lenient server interprets it: decoded and in lower case.
pub(super) fn folded(path: &str) -> String {
    let mut folded = decoded(path);
    folded.make_ascii_lowercase();
    folded
}

fn decoded(path: &str) -> String {
    Octets(path.bytes())
        .flatten()
        .map(|(Octet::Plain(byte) | Octet::Encoded(byte))| char::from(byte))
        .collect()
}

/// What servers compare with their patterns if it is not the path itself: decoded, in lower case, or both.
/// There are none for a path that is `folded` already, as most are.
pub(super) fn spellings<'a>(path: &str, folded: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let others = (path != folded).then(|| {
        [
            Cow::Borrowed(folded),
            decoded(path).into(),
            path.to_ascii_lowercase().into(),
        ]
    });
    others.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_unambiguous() {
        for path in [
            "/",
            "/v1/invoices",
            "/v1/invoices/2024-07_a~b.c",
            "/v1/a:b@c,d=e!$&'()*+",
            "/v1/two%20words",
            "/v1/spiffe%3Ax",
            "/.well-known/x",
            "/v1/..a",
            "/v1/a..b",
        ] {
            assert_eq!(unclear(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_has_other_spellings_unless_it_is_folded() {
        let of = |path: &str| {
            spellings(path, &folded(path))
                .map(Cow::into_owned)
                .collect::<Vec<_>>()
        };
        assert!(of("/v1/two:words").is_empty());
        assert_eq!(of("/V1/A%20b"), ["/v1/a b", "/V1/A b", "/v1/a%20b"]);
    }

    #[test]
    fn a_path_is_folded_to_its_most_lenient_form() {
        assert_eq!(folded("/V1/Two%20Words/%3a"), "/v1/two words/:");
    }
}

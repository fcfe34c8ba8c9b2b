//! What can stand on a deny list, and how it is written.

use std::fmt::Display;
use std::str::FromStr;

use crate::identity::SerialAndIssuer;
use crate::pki::text::{Escaped, from_hex};
use crate::pki::{Fingerprint, InvalidFingerprint};

/// One entry of a [`DenyList`](super::DenyList).
///
/// As text: `spki:SHA256`, `serial:HEX issuer:#DER` or `serial:HEX issuer:NAME`, or else an
/// identity.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::DenyEntry;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let entry: DenyEntry<DnsName> = "serial:1f issuer:CN=Clients,O=Example".parse()?;
/// # assert!(matches!(entry, DenyEntry::NamedSerial { .. }));
/// let entry: DenyEntry<DnsName> = "old.example".parse()?;
/// # assert!(matches!(entry, DenyEntry::Identity(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenyEntry<I> {
    /// The certificate with this serial number of this issuer.
    Serial(SerialAndIssuer),
    /// The certificate with this serial number of every issuer whose name prints like this
    /// (RFC 4514), as in `CN=Clients,O=Example`.
    NamedSerial {
        /// Big-endian, without leading zeros.
        serial: Vec<u8>,
        /// The issuer's name, as it prints.
        issuer: String,
    },
    /// Every certificate with the key of this SHA-256
    /// ([`Certificate::spki_sha256`](crate::Certificate::spki_sha256)).
    Key(Fingerprint),
    /// Whoever has this identity.
    Identity(I),
}

/// The text is no entry of a deny list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDenyEntry {
    /// What follows `spki:` is no SHA-256.
    #[error("spki: {0}")]
    Key(InvalidFingerprint),
    /// What follows `serial:` is no number with an issuer.
    #[error(
        "a serial number is written as serial:HEX issuer:NAME, or issuer:#HEX with the DER of the name"
    )]
    Serial,
    /// It has none of the prefixes, and is no identity either.
    #[error("{0}")]
    Identity(String),
    /// A line of a list.
    #[error("line {line}: \"{}\": {problem}", Escaped(text))]
    Line {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        problem: Box<Self>,
    },
}

impl<I: FromStr<Err: Display>> DenyEntry<I> {
    /// Reads a list: one entry on each line. Empty lines, and what follows a `#` at the start of a
    /// line or behind a blank, do not count.
    ///
    /// # Errors
    /// [`InvalidDenyEntry::Line`]: the first line that is no entry. Nothing is skipped.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidDenyEntry> {
        Self::parse_list_with(text, str::parse)
    }
}

impl<I> DenyEntry<I> {
    /// As [`parse_list`](Self::parse_list), with what reads an identity.
    ///
    /// # Errors
    /// [`InvalidDenyEntry::Line`]: the first line that is no entry.
    pub fn parse_list_with<E: Display>(
        text: &str,
        identity: impl Fn(&str) -> Result<I, E>,
    ) -> Result<Vec<Self>, InvalidDenyEntry> {
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = without_comment(text).trim();
            if text.is_empty() {
                continue;
            }
            let entry = Self::parse_with(text, &identity);
            entries.push(entry.map_err(|problem| InvalidDenyEntry::Line {
                line,
                text: text.to_owned(),
                problem: Box::new(problem),
            })?);
        }
        Ok(entries)
    }

    fn parse_with<E: Display>(
        text: &str,
        identity: impl Fn(&str) -> Result<I, E>,
    ) -> Result<Self, InvalidDenyEntry> {
        if let Some(digest) = text.strip_prefix("spki:") {
            return digest.parse().map(Self::Key).map_err(InvalidDenyEntry::Key);
        }
        if text.starts_with("serial:") {
            return read_serial(text).ok_or(InvalidDenyEntry::Serial);
        }
        identity(text)
            .map(Self::Identity)
            .map_err(|error| InvalidDenyEntry::Identity(error.to_string()))
    }
}

/// `issuer:#…` and identities may have a `#` inside, though not behind a blank.
fn without_comment(line: &str) -> &str {
    let end = line
        .char_indices()
        .zip(std::iter::once(' ').chain(line.chars()))
        .find(|((_, character), before)| *character == '#' && before.is_whitespace())
        .map_or(line.len(), |((index, _), _)| index);
    &line[..end]
}

impl<I: FromStr<Err: Display>> FromStr for DenyEntry<I> {
    type Err = InvalidDenyEntry;

    /// # Errors
    /// [`InvalidDenyEntry`]: `spki:` with anything but 64 hexadecimal digits, `serial:` without an
    /// issuer or with a number of zero, and what is no identity.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_with(text, str::parse)
    }
}

fn read_serial<I>(text: &str) -> Option<DenyEntry<I>> {
    if let Ok(exact) = text.parse() {
        return Some(DenyEntry::Serial(exact));
    }
    let (serial, issuer) = text.strip_prefix("serial:")?.split_once(" issuer:")?;
    let serial = from_hex(serial)?;
    let is_number = serial.first().is_some_and(|&first| first != 0);
    let is_name = issuer.contains('=') && !issuer.starts_with('#');
    (is_number && is_name).then(|| DenyEntry::NamedSerial {
        serial,
        issuer: issuer.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::CommonName;

    type Entry = DenyEntry<CommonName>;

    #[test]
    fn reads_every_form() {
        let key = "ab".repeat(32);
        let text = format!(
            "# stolen laptops\n\nalice # since May\n  spki:{key}\nserial:0a issuer:#300c310a300806035504030c0161\n\
             serial:0a1b issuer:CN=a,O=Example #1\nroom #7\na#b"
        );
        let entries = Entry::parse_list(&text).expect("a list");
        let identity = |name: &str| DenyEntry::Identity(name.parse().expect("a name"));
        assert_eq!(entries.len(), 6);
        assert_eq!(entries[0], identity("alice"));
        assert_eq!(entries[1], DenyEntry::Key([0xab; 32].into()));
        assert!(matches!(&entries[2], DenyEntry::Serial(serial) if serial.serial() == [0x0a]));
        let named = DenyEntry::NamedSerial {
            serial: vec![0x0a, 0x1b],
            issuer: "CN=a,O=Example".into(),
        };
        assert_eq!(entries[3], named);
        assert_eq!(entries[4..], [identity("room"), identity("a#b")]);
    }

    #[test]
    fn names_the_line_that_is_no_entry() {
        for (text, says) in [
            ("spki:ab", "spki: not a SHA-256 fingerprint"),
            ("serial:0a", "serial:HEX issuer:NAME"),
            ("serial:00 issuer:CN=a", "serial:HEX issuer:NAME"),
            ("serial:0a issuer:", "serial:HEX issuer:NAME"),
            ("serial:0a issuer:#zz", "serial:HEX issuer:NAME"),
            ("serial:xy issuer:CN=a", "serial:HEX issuer:NAME"),
            ("a\u{202e}b", "control character"),
        ] {
            let error = Entry::parse_list(&format!("alice\n{text}\nbob")).expect_err(text);
            let message = error.to_string();
            assert!(
                message.starts_with("line 2: ") && message.contains(says),
                "{message}"
            );
            assert!(!message.contains('\u{202e}'));
        }
    }
}

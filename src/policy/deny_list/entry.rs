//! What can stand on a deny list, and how it is written.

use std::fmt::Display;
use std::str::FromStr;

use super::{IssuerText, SerialText};
use crate::identity::SerialAndIssuer;
use crate::pki::text::Escaped;
use crate::pki::{Certificate, Fingerprint, FingerprintError};

/// One entry of a [`DenyList`](super::DenyList).
///
/// As text: `spki:SHA256`, `serial:NUMBER issuer:#DER` or `serial:NUMBER issuer:NAME`, or else an
/// identity. NUMBER is what a tool printed ([`SerialText`]), NAME the issuer by RFC 4514 without blanks,
/// as this crate prints it.
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
    /// The certificates with the serial number and the issuer that a tool printed.
    NamedSerial {
        /// The number.
        serial: SerialText,
        /// The issuer; where it is [printed](IssuerText::Printed), every issuer whose name prints so.
        issuer: IssuerText,
    },
    /// Every certificate with the key whose SubjectPublicKeyInfo has this SHA-256, in whatever
    /// encoding the certificate has it.
    ///
    /// The digest is that of the certificate's own encoding
    /// ([`Certificate::spki_sha256`](crate::Certificate::spki_sha256)) or of one that tools print: RSA as
    /// rsaEncryption with parameters NULL or none, or as RSASSA-PSS with none; P-256, P-384 and P-521 by
    /// name with an uncompressed or a compressed point. That of another encoding, such as one with
    /// explicit curve parameters, denies that encoding only.
    /// openssl prints the usual one unless it was told otherwise. [`key_of`](Self::key_of) makes it of
    /// any certificate. (Pins in a trust store stay exact.)
    Key(Fingerprint),
    /// Whoever has this identity.
    Identity(I),
}

/// The text is no entry of a deny list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DenyEntryError {
    /// What follows `spki:` is no SHA-256.
    #[error("spki: {0}")]
    Key(FingerprintError),
    /// What follows `serial:` is no number with an issuer.
    #[error(
        "a serial number is written as serial:HEX issuer:NAME, with the name as in CN=Clients,O=Example (`openssl x509 -noout -issuer -nameopt RFC2253` prints it), or issuer:#HEX with the DER of the name"
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
    /// [`DenyEntryError::Line`]: the first line that is no entry. Nothing is skipped.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, DenyEntryError> {
        Self::parse_list_with(text, str::parse)
    }
}

impl<I> DenyEntry<I> {
    /// Every certificate with the key of this one, in whatever encoding.
    pub fn key_of(certificate: &Certificate) -> Self {
        Self::Key(certificate.usual_spki_sha256())
    }

    /// As [`parse_list`](Self::parse_list), with what reads an identity.
    ///
    /// # Errors
    /// [`DenyEntryError::Line`]: the first line that is no entry.
    pub fn parse_list_with<E: Display>(
        text: &str,
        identity: impl Fn(&str) -> Result<I, E>,
    ) -> Result<Vec<Self>, DenyEntryError> {
        let mut entries = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = without_comment(text).trim();
            if text.is_empty() {
                continue;
            }
            let entry = Self::parse_with(text, &identity);
            entries.push(entry.map_err(|problem| DenyEntryError::Line {
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
    ) -> Result<Self, DenyEntryError> {
        if let Some(digest) = text.strip_prefix("spki:") {
            return digest.parse().map(Self::Key).map_err(DenyEntryError::Key);
        }
        if text.starts_with("serial:") || text.starts_with("serial=") {
            return read_serial(text).ok_or(DenyEntryError::Serial);
        }
        identity(text)
            .map(Self::Identity)
            .map_err(|error| DenyEntryError::Identity(error.to_string()))
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
    type Err = DenyEntryError;

    /// # Errors
    /// [`DenyEntryError`]: `spki:` with anything but 64 hexadecimal digits, `serial:` without an
    /// issuer or with one that no certificate's issuer prints as, such as `CN = a` or `cn=a`, and what
    /// is no identity.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_with(text, str::parse)
    }
}

fn read_serial<I>(text: &str) -> Option<DenyEntry<I>> {
    let (serial, issuer) = text["serial:".len()..].split_once(" issuer:")?;
    Some(DenyEntry::NamedSerial {
        serial: SerialText::parse(serial)?,
        issuer: IssuerText::parse(issuer.trim())?,
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
        let serial = |text: &str| SerialText::parse(text).expect("a number");
        assert!(matches!(&entries[2],
            DenyEntry::NamedSerial { serial: number, issuer: IssuerText::Der(_) } if *number == serial("0a")));
        let named = DenyEntry::NamedSerial {
            serial: serial("0a1b"),
            issuer: IssuerText::Printed("CN=a,O=Example".into()),
        };
        assert_eq!(entries[3], named);
        assert_eq!(entries[4..], [identity("room"), identity("a#b")]);
    }

    #[test]
    fn names_the_line_that_is_no_entry() {
        for (text, says) in [
            ("spki:ab", "spki: not a SHA-256 fingerprint"),
            ("serial:0a", "serial:HEX issuer:NAME"),
            ("serial:0a issuer:CN = a", "serial:HEX issuer:NAME"),
            ("serial:0a issuer:cn=a", "serial:HEX issuer:NAME"),
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

//! The entries of a deny list, and their text form.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use super::{IssuerText, SerialText};
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::identity::{IdentityError, SerialAndIssuer, SpiffeId, WorkloadId};
use crate::pki::text::Escaped;
use crate::pki::{Certificate, Fingerprint, FingerprintError};

/// One entry of a [`DenyList`](super::DenyList).
///
/// The text form is `spki:SHA256`, `serial:NUMBER issuer:#DER`, `serial:NUMBER issuer:NAME`, or an
/// identity. NUMBER is a serial number as a tool prints it ([`SerialText`]). NAME is the issuer by RFC
/// 4514 without blanks, with the types that this crate prints or dotted ones. It is kept as this crate
/// prints it, so that `CN=M\C3\BCller`, as openssl writes it, is `CN=Müller`.
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
    /// The certificates with this serial number and issuer, as a tool printed them.
    NamedSerial {
        /// The number.
        serial: SerialText,
        /// The issuer. A [printed](IssuerText::Printed) one matches every issuer whose name prints like it.
        issuer: IssuerText,
    },
    /// Every certificate with the key whose SubjectPublicKeyInfo has this SHA-256, in any encoding of the
    /// key.
    ///
    /// The digest is that of the certificate's own encoding
    /// ([`Certificate::spki_sha256`](crate::Certificate::spki_sha256)) or of one that tools print: RSA as
    /// rsaEncryption with parameters NULL or none, or as RSASSA-PSS with none; P-256, P-384 and P-521 by
    /// name with an uncompressed or a compressed point. The digest of another encoding, such as one with
    /// explicit curve parameters, denies that encoding only. openssl prints the usual encoding by default.
    /// [`key_of`](Self::key_of) makes the entry from a certificate. (Pins in a trust store match one
    /// encoding only.)
    Key(Fingerprint),
    /// Every peer with this identity.
    Identity(I),
}

/// Why a text is not an entry of a deny list.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::identity::DnsName;
/// use countersign::policy::DenyEntry;
///
/// let error = DenyEntry::<DnsName>::parse_list("a.example\nspki:ab\n").expect_err("line 2");
/// assert_eq!(error.cause(), "line 2: \"spki:ab\": spki: not a SHA-256 fingerprint");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DenyEntryError {
    /// `spki:` is not followed by a SHA-256 fingerprint.
    Key(#[source] FingerprintError),
    /// `serial:` is not followed by a number and an issuer.
    Serial,
    /// The text has none of the prefixes, and is not an identity: the cause.
    Identity(String),
    /// A line of a list.
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The line without its comment.
        text: String,
        /// What is wrong with it.
        #[source]
        problem: Box<Self>,
    },
}

impl Diagnostic for DenyEntryError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Key(_) => "invalid_fingerprint",
            Self::Serial => "invalid_serial",
            Self::Identity(_) => "invalid_identity",
            Self::Line { problem, .. } => problem.reason(),
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Key(_) => "spki: not a SHA-256 fingerprint".into(),
            Self::Serial => "not a serial number with its issuer".into(),
            Self::Identity(cause) => format!("not an identity: {cause}").into(),
            Self::Line {
                line,
                text,
                problem,
            } => format!("line {line}: \"{}\": {}", Escaped(text), problem.cause()).into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Key(_) => "write its 64 hexadecimal digits, with or without colons",
            Self::Serial => {
                "write serial:HEX issuer:NAME, with the name as in CN=Clients,O=Example (`openssl x509 -noout -issuer -nameopt RFC2253` prints it), or issuer:#HEX with the DER of the name"
            }
            Self::Identity(_) => "write an identity, spki:SHA256, or serial:HEX issuer:NAME",
            Self::Line { problem, .. } => return problem.remedy(),
        })
    }
}

display_diagnostic!(DenyEntryError);

impl<I: FromStr<Err: Display + 'static> + 'static> DenyEntry<I> {
    /// Reads a list with one entry on each line. Empty lines are ignored, and so are comments: a `#` at
    /// the start of a line or after a blank, and what follows it.
    ///
    /// # Errors
    /// [`DenyEntryError::Line`]: the first line that is not an entry. Nothing is skipped.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, DenyEntryError> {
        Self::parse_list_with(text, str::parse)
    }
}

impl<I: 'static> DenyEntry<I> {
    /// Every certificate with the key of this one, in any encoding of the key.
    pub fn key_of(certificate: &Certificate) -> Self {
        Self::Key(certificate.usual_spki_sha256())
    }

    /// As [`parse_list`](Self::parse_list), with a function that reads an identity.
    ///
    /// # Security
    /// An entry that can match no peer denies nothing. The ID of a trust domain is an error where the identity is
    /// a [`SpiffeId`] or a [`WorkloadId`]. If it contains one of these, `identity` must reject an empty path.
    ///
    /// # Errors
    /// [`DenyEntryError::Line`]: the first line that is not an entry.
    pub fn parse_list_with<E: Display + 'static>(
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

    fn parse_with<E: Display + 'static>(
        text: &str,
        identity: impl Fn(&str) -> Result<I, E>,
    ) -> Result<Self, DenyEntryError> {
        if let Some(digest) = text.strip_prefix("spki:") {
            return digest.parse().map(Self::Key).map_err(DenyEntryError::Key);
        }
        if text.starts_with("serial:") || text.starts_with("serial=") {
            return read_serial(text).ok_or(DenyEntryError::Serial);
        }
        let identity =
            identity(text).map_err(|error| DenyEntryError::Identity(cause_of(&error)))?;
        if is_of_no_peer(&identity) {
            let cause = "it is the ID of a trust domain, which no workload has";
            return Err(DenyEntryError::Identity(cause.into()));
        }
        Ok(Self::Identity(identity))
    }
}

/// Whether no certificate is read as this identity, although it is well-formed. To deny a trust domain is a
/// matter of trust and policy; an entry that seems to do it must not be ignored.
fn is_of_no_peer<I: 'static>(identity: &I) -> bool {
    let identity: &dyn Any = identity;
    let has_no_path = |path: Option<&str>| path.is_some_and(str::is_empty);
    has_no_path(identity.downcast_ref().map(SpiffeId::path))
        || has_no_path(identity.downcast_ref().map(WorkloadId::path))
}

/// The cause without the remedy of our own error, because [`DenyEntryError`] has a remedy that fits better.
fn cause_of<E: Display + 'static>(error: &E) -> String {
    match (error as &dyn Any).downcast_ref::<IdentityError>() {
        Some(error) => error.cause().into_owned(),
        None => error.to_string(),
    }
}

/// `issuer:#…` and identities may have a `#` inside, but not after a blank.
fn without_comment(line: &str) -> &str {
    let end = line
        .char_indices()
        .zip(std::iter::once(' ').chain(line.chars()))
        .find(|((_, character), before)| *character == '#' && before.is_whitespace())
        .map_or(line.len(), |((index, _), _)| index);
    &line[..end]
}

impl<I: FromStr<Err: Display + 'static> + 'static> FromStr for DenyEntry<I> {
    type Err = DenyEntryError;

    /// # Errors
    /// [`DenyEntryError`]: `spki:` without 64 hexadecimal digits, `serial:` without an issuer or with one
    /// that is no name of RFC 4514, such as `CN = a` or `cn=a`, a text that is not an identity, and the
    /// SPIFFE ID of a trust domain (`spiffe://example.org`), which no workload has.
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
    fn an_identity_that_no_peer_has_is_an_error() {
        let spiffe = |text: &str| text.parse::<DenyEntry<SpiffeId>>();
        let any = |text: &str| text.parse::<DenyEntry<WorkloadId>>();
        assert!(spiffe("spiffe://example.org/a").is_ok() && any("wimse://example.org/a").is_ok());
        for error in [
            spiffe("spiffe://example.org").expect_err("a trust domain"),
            any("wimse://example.org").expect_err("a trust domain"),
        ] {
            assert_eq!(error.reason(), "invalid_identity");
            assert!(error.cause().contains("the ID of a trust domain"));
        }
    }

    #[test]
    fn names_the_line_that_is_not_an_entry() {
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
            let (cause, remedy) = (error.cause(), error.remedy());
            assert_eq!(message, format!("{cause}; {remedy}"));
            assert!(!cause.contains("; ") && !remedy.contains("; "), "{message}");
        }
    }

    #[test]
    fn a_line_has_the_code_of_its_entry() {
        for (text, code) in [
            ("spki:ab", "invalid_fingerprint"),
            ("serial:0a", "invalid_serial"),
            ("a\u{202e}b", "invalid_identity"),
        ] {
            let error = text.parse::<Entry>().expect_err(text);
            let line = Entry::parse_list(text).expect_err(text);
            assert_eq!((error.reason(), line.reason()), (code, code));
            assert_eq!(error.remedy(), line.remedy());
        }
    }

    /// An identity of the application has an error of its own.
    #[test]
    fn the_cause_is_that_of_another_type_of_identity() {
        type Entry = DenyEntry<std::net::IpAddr>;

        assert_eq!(
            "192.0.2.1".parse(),
            Ok(Entry::Identity([192, 0, 2, 1].into()))
        );
        let error = "here".parse::<Entry>().expect_err("no address");
        assert_eq!(error.reason(), "invalid_identity");
        assert_eq!(error.cause(), "not an identity: invalid IP address syntax");
    }
}

//! The rules of RFC 5280 for issuers that path validation does not check.

use super::ChainError;
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::extension_oid::{
    AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, INHIBIT_ANY_POLICY, NAME_CONSTRAINTS,
    POLICY_CONSTRAINTS, SUBJECT_ALTERNATIVE_NAME, SUBJECT_KEY_IDENTIFIER,
};
use crate::pki::{Certificate, Extension, GeneralName};

/// How strictly the certificates on a verified path must conform to RFC 5280.
///
/// Roots are not checked, because only their names and keys are trusted (section 6.1.1). Pinned
/// certificates are not checked either, because a pin replaces the path.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier, Profile};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let trust = TestCa::new("Root").trust();
/// let verifier = ChainVerifier::new(trust, Side::Client, &provider).profile(Profile::Rfc5280);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Path validation (section 6): signatures, validity, name constraints, path lengths, policies, usages
    /// and critical extensions. Other mistakes of issuers are accepted.
    #[default]
    Compatible,
    /// Path validation, and the requirements of section 4 for conforming issuers.
    ///
    /// It rejects: a serial number that is not positive or over 20 octets · an empty issuer · an
    /// empty subject without a *critical* subjectAltName · the same extension twice · a
    /// subjectAltName that cannot be read, a dNSName in it that is not a host name (underscores,
    /// `*` other than as the whole first label), an iPAddress that is not an address · no
    /// authorityKeyIdentifier · nameConstraints or a path length in an end entity · in an issuer:
    /// no subjectKeyIdentifier, no keyUsage, a basicConstraints or nameConstraints that is not
    /// critical, nameConstraints without a subtree · a policyConstraints or inhibitAnyPolicy that is not
    /// critical. Critical ones are processed by every profile.
    Rfc5280,
}

impl Profile {
    /// Checks a verified path: the leaf first, then its issuers without the root.
    pub(super) fn check(self, path: &[Certificate]) -> Result<(), ChainError> {
        if self == Self::Compatible {
            return Ok(());
        }
        for (position, certificate) in path.iter().enumerate() {
            let place = if position == 0 {
                Place::Leaf
            } else {
                Place::Issuer
            };
            let broken = RULES.iter().find(|rule| {
                (rule.place == Place::Anywhere || rule.place == place)
                    && !(rule.is_kept)(certificate)
            });
            if let Some(&Rule { section, rule, .. }) = broken {
                return Err(ChainError::BreaksRfc5280 {
                    certificate: certificate.clone(),
                    rule,
                    section,
                });
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    Leaf,
    Issuer,
}

struct Rule {
    section: &'static str,
    place: Place,
    rule: &'static str,
    is_kept: fn(&Certificate) -> bool,
}

/// The rules that path validation has not checked yet. Path validation does not know critical key
/// identifiers, so that every profile rejects them. An empty subject of an issuer
/// is the empty issuer of the certificate below it.
const RULES: &[Rule] = &[
    Rule {
        section: "4.1.2.2",
        place: Place::Anywhere,
        rule: "the serial number must be positive",
        is_kept: |certificate| {
            let octets = certificate.serial().as_bytes();
            octets.iter().any(|&octet| octet != 0) && octets[0] & 0x80 == 0
        },
    },
    Rule {
        section: "4.1.2.2",
        place: Place::Anywhere,
        rule: "the serial number must have at most 20 octets",
        is_kept: |certificate| {
            let octets = certificate.serial().as_bytes();
            octets.strip_prefix(&[0]).unwrap_or(octets).len() <= 20
        },
    },
    Rule {
        section: "4.1.2.4",
        place: Place::Anywhere,
        rule: "the issuer must not be empty",
        is_kept: |certificate| !certificate.issuer().is_empty(),
    },
    Rule {
        section: "4.2",
        place: Place::Anywhere,
        rule: "no extension may occur twice",
        is_kept: |certificate| {
            let all = certificate.extensions();
            let twice = |(index, extension): (usize, &Extension)| {
                all[..index]
                    .iter()
                    .any(|other| other.oid() == extension.oid())
            };
            !all.iter().enumerate().any(twice)
        },
    },
    Rule {
        section: "4.2.1.1",
        place: Place::Anywhere,
        rule: "there must be an authorityKeyIdentifier with a keyIdentifier",
        // A self-signed certificate may leave it out, but no path has one below its root.
        is_kept: |certificate| {
            extension(certificate, AUTHORITY_KEY_IDENTIFIER).is_some_and(|extension| {
                der::single(extension.value(), der::SEQUENCE)
                    .and_then(|content| Reader::new(content).expect(0x80))
                    .is_ok_and(|id| !id.content.is_empty())
            })
        },
    },
    Rule {
        section: "4.2.1.2",
        place: Place::Issuer,
        rule: "an issuer must have a subjectKeyIdentifier",
        is_kept: |certificate| extension(certificate, SUBJECT_KEY_IDENTIFIER).is_some(),
    },
    Rule {
        section: "4.2.1.3",
        place: Place::Issuer,
        rule: "an issuer must have a keyUsage",
        is_kept: |certificate| certificate.key_usage().is_some(),
    },
    Rule {
        section: "4.2.1.6",
        place: Place::Anywhere,
        rule: "an empty subject needs a critical subjectAltName",
        is_kept: |certificate| {
            !certificate.subject().is_empty()
                || extension(certificate, SUBJECT_ALTERNATIVE_NAME)
                    .is_some_and(Extension::is_critical)
        },
    },
    Rule {
        section: "4.2.1.6",
        place: Place::Anywhere,
        rule: "a subjectAltName must be a sequence of at least one name",
        is_kept: |certificate| certificate.subject_alternative_names().is_ok(),
    },
    Rule {
        section: "4.2.1.6",
        place: Place::Anywhere,
        rule: "a dNSName must be a host name (letters, digits and hyphens), which \"*.\" may precede",
        is_kept: |certificate| {
            has_only(certificate, |name| match name {
                GeneralName::Dns(dns) => is_host_name(dns.strip_prefix(b"*.").unwrap_or(dns)),
                _ => true,
            })
        },
    },
    Rule {
        section: "4.2.1.6",
        place: Place::Anywhere,
        rule: "an iPAddress must have 4 or 16 octets",
        is_kept: |certificate| {
            has_only(certificate, |name| match name {
                GeneralName::Ip(octets) => matches!(octets.len(), 4 | 16),
                _ => true,
            })
        },
    },
    Rule {
        section: "4.2.1.9",
        place: Place::Issuer,
        rule: "an issuer's basicConstraints must be critical",
        is_kept: |certificate| is_not_uncritical(certificate, BASIC_CONSTRAINTS),
    },
    Rule {
        section: "4.2.1.9",
        place: Place::Leaf,
        rule: "only an issuer may have a path length",
        is_kept: |certificate| {
            extension(certificate, BASIC_CONSTRAINTS)
                .is_none_or(|extension| has_no_path_length(extension.value()) == Ok(true))
        },
    },
    Rule {
        section: "4.2.1.10",
        place: Place::Leaf,
        rule: "only an issuer may have nameConstraints",
        is_kept: |certificate| extension(certificate, NAME_CONSTRAINTS).is_none(),
    },
    Rule {
        section: "4.2.1.10",
        place: Place::Issuer,
        rule: "nameConstraints must be critical",
        is_kept: |certificate| is_not_uncritical(certificate, NAME_CONSTRAINTS),
    },
    Rule {
        section: "4.2.1.10",
        place: Place::Issuer,
        rule: "nameConstraints must have a subtree",
        is_kept: |certificate| {
            extension(certificate, NAME_CONSTRAINTS)
                .is_none_or(|extension| has_subtrees(extension.value()) == Ok(true))
        },
    },
    Rule {
        section: "4.2.1.11",
        place: Place::Anywhere,
        rule: "policyConstraints must be critical",
        is_kept: |certificate| is_not_uncritical(certificate, POLICY_CONSTRAINTS),
    },
    Rule {
        section: "4.2.1.14",
        place: Place::Anywhere,
        rule: "inhibitAnyPolicy must be critical",
        is_kept: |certificate| is_not_uncritical(certificate, INHIBIT_ANY_POLICY),
    },
];

fn extension<'a>(certificate: &'a Certificate, oid: &str) -> Option<&'a Extension> {
    let mut extensions = certificate.extensions().iter();
    extensions.find(|extension| extension.oid() == oid)
}

fn is_not_uncritical(certificate: &Certificate, oid: &str) -> bool {
    extension(certificate, oid).is_none_or(Extension::is_critical)
}

fn has_only(certificate: &Certificate, good: impl Fn(&GeneralName) -> bool) -> bool {
    let names = certificate.subject_alternative_names().unwrap_or_default(); // an error is reported by another rule
    names.iter().all(good)
}

/// The preferred name syntax of RFC 1034 section 3.5 with RFC 1123 section 2.1: the last label has not
/// only digits, so that no address is a name.
fn is_host_name(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label
                .iter()
                .all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let mut labels = name.split(|&octet| octet == b'.');
    name.len() <= 253
        && labels.clone().all(is_label)
        && labels
            .next_back()
            .is_some_and(|last| !last.iter().all(u8::is_ascii_digit))
}

/// `BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }`
fn has_no_path_length(value: &[u8]) -> Result<bool, NotDer> {
    let mut reader = Reader::new(der::single(value, der::SEQUENCE)?);
    while !reader.is_empty() {
        if reader.any()?.tag != der::BOOLEAN {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `NameConstraints ::= SEQUENCE { permittedSubtrees [0], excludedSubtrees [1] }`, both optional,
/// each a `SEQUENCE SIZE (1..MAX) OF GeneralSubtree`.
fn has_subtrees(value: &[u8]) -> Result<bool, NotDer> {
    let mut reader = Reader::new(der::single(value, der::SEQUENCE)?);
    let mut any = false;
    while !reader.is_empty() {
        let field = reader.any()?;
        let mut subtrees = Reader::new(field.content);
        if !matches!(field.tag, 0xa0 | 0xa1) || subtrees.is_empty() {
            return Ok(false);
        }
        while !subtrees.is_empty() {
            subtrees.expect(der::SEQUENCE)?;
        }
        any = true;
    }
    Ok(any)
}

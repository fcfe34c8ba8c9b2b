//! Which rule of path validation a path breaks.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::oid_names::NamedOid;

/// Which rule of path validation (RFC 5280 section 6) a path breaks.
///
/// These are the rules for which [`ChainError`](crate::trust::ChainError) has no variant of its own.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::trust::PathError;
///
/// let error = PathError::PathLength;
/// assert_eq!(error.reason(), "path_length");
/// assert_eq!(error.cause(), "it has more intermediates than an issuer's path length allows");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A name violates the name constraints of an issuer (section 4.2.1.10).
    NameConstraints,
    /// An issuer has more intermediates below it than its path length allows (section 4.2.1.9).
    PathLength,
    /// The path has more than six intermediates.
    TooDeep,
    /// A critical extension is not supported (section 4.2).
    CriticalExtension {
        /// The extension's dotted object identifier. Empty if it is not known.
        oid: String,
    },
    /// A certificate has an issuerUniqueID or a subjectUniqueID (section 4.1.2.8), which rustls-webpki
    /// does not read.
    UniqueId,
    /// Another rule. The text is for people and may change.
    Other(String),
}

impl PathError {
    /// What rustls-webpki reports.
    pub(in crate::trust) fn of(error: &webpki::Error) -> Self {
        use webpki::Error as E;

        match error {
            E::NameConstraintViolation => Self::NameConstraints,
            E::PathLenConstraintViolated => Self::PathLength,
            E::MaximumPathDepthExceeded => Self::TooDeep,
            E::UnsupportedCriticalExtension => Self::CriticalExtension { oid: String::new() },
            other => Self::Other(in_words(other).into()),
        }
    }

    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NameConstraints => "name_constraints",
            Self::PathLength => "path_length",
            Self::TooDeep => "path_too_deep",
            Self::CriticalExtension { .. } => "critical_extension",
            Self::UniqueId => "unique_id",
            Self::Other(_) => "other",
        }
    }
}

impl Diagnostic for PathError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NameConstraints => "a name violates the name constraints of an issuer",
            Self::PathLength => "it has more intermediates than an issuer's path length allows",
            Self::TooDeep => "it has more than six intermediates",
            Self::CriticalExtension { oid } if oid.is_empty() => {
                "a critical extension is not supported"
            }
            Self::CriticalExtension { oid } => {
                return format!("the critical extension {} is not supported", NamedOid(oid)).into();
            }
            Self::UniqueId => {
                "it has an issuerUniqueID or a subjectUniqueID, which RFC 5280 section 4.1.2.8 forbids to CAs and rustls-webpki does not read"
            }
            Self::Other(text) => text,
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::CriticalExtension { .. } => {
                "issue it without this extension, or mark the extension as not critical"
            }
            Self::UniqueId => "issue it again without these two fields",
            _ => "diagnose() names the certificate that breaks the rule",
        }
        .into()
    }
}

/// An error of rustls-webpki for people. Its own `Display` is the name of a Rust identifier.
const fn in_words(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;

    match error {
        E::BadDer => "a part of it is not DER, or is not supported",
        E::BadDerTime => "a date in it is not DER",
        E::TrailingData(_) => "bytes follow a field in it",
        E::MalformedExtensions => {
            "its extensions are malformed: the list is empty, or an extension occurs twice"
        }
        E::ExtensionValueInvalid => "an extension is malformed or occurs twice",
        E::EmptyEkuExtension => "its extendedKeyUsage is empty",
        E::InvalidCertValidity => "its notBefore is after its notAfter",
        E::InvalidSerialNumber => "its serial number is malformed",
        E::SignatureAlgorithmMismatch => {
            "it names two different signature algorithms (RFC 5280 section 4.1.1.2), inside and beside its signed part"
        }
        E::UnsupportedCertVersion => "it is not X.509 version 3",
        E::UnsupportedNameType | E::MalformedNameConstraint => {
            "an issuer has name constraints that are malformed, or of a kind that is not supported"
        }
        E::InvalidNetworkMaskConstraint => {
            "an issuer has name constraints with an address mask that is not contiguous"
        }
        E::MalformedDnsIdentifier => "a DNS name in it is malformed",
        E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            "its verification takes more work than is allowed"
        }
        E::UnknownIssuer => "its issuer is not known",
        _ => "it breaks a rule of path validation",
    }
}

display_diagnostic!(PathError);

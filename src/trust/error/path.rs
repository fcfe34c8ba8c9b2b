//! Which rule of path validation a path breaks.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::text::Brief;

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
    CriticalExtension,
    /// A signature algorithm is not supported, at least for the issuer's key.
    SignatureAlgorithm,
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
            E::UnsupportedCriticalExtension => Self::CriticalExtension,
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::SignatureAlgorithm,
            other => Self::Other(Brief(other).to_string()),
        }
    }

    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NameConstraints => "name_constraints",
            Self::PathLength => "path_length",
            Self::TooDeep => "path_too_deep",
            Self::CriticalExtension => "critical_extension",
            Self::SignatureAlgorithm => "signature_algorithm",
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
            Self::CriticalExtension => "a critical extension is not supported",
            Self::SignatureAlgorithm => "a signature algorithm is not supported",
            Self::Other(text) => text,
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "diagnose() names the certificate that breaks the rule".into()
    }
}

display_diagnostic!(PathError);

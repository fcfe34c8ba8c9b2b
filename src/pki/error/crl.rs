//! Why a certificate revocation list cannot be used.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::text::Escaped;

/// Why a certificate revocation list cannot be used.
///
/// ```
/// use countersign::pki::{Crl, CrlFormatError};
///
/// let error = Crl::from_der(b"<html>not found</html>").unwrap_err();
/// assert!(matches!(error, CrlFormatError::Malformed(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlFormatError {
    /// The bytes are not a CRL, or a part of it is not DER.
    Malformed(&'static str),
    /// Version 1, which has neither a number nor extensions.
    Version1,
    /// Without nextUpdate there is no time at which the CRL expires.
    NoNextUpdate,
    /// The number is missing, critical, negative or over 20 octets.
    BadNumber(&'static str),
    /// A delta CRL contains only the changes since another CRL.
    Delta,
    /// An indirect CRL revokes other issuers' certificates.
    Indirect,
    /// The CRL contains only the certificates that were revoked for some reasons.
    SomeReasons,
    /// The issuing distribution point is for certificates of another kind, or is not named by URI.
    Scope(&'static str),
    /// A critical extension that is not supported.
    CriticalExtension {
        /// The extension's dotted object identifier.
        oid: String,
    },
}

impl CrlFormatError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_crl",
            Self::Version1 => "v1_crl",
            Self::NoNextUpdate => "crl_without_next_update",
            Self::BadNumber(_) => "crl_number",
            Self::Delta => "delta_crl",
            Self::Indirect => "indirect_crl",
            Self::SomeReasons => "crl_with_some_reasons",
            Self::Scope(_) => "crl_scope",
            Self::CriticalExtension { .. } => "crl_critical_extension",
        }
    }
}

impl Diagnostic for CrlFormatError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Malformed(part) => return format!("not a CRL: cannot read {part}").into(),
            Self::Version1 => "the CRL is version 1 (RFC 5280 section 5.1.2.1 requires 2)",
            Self::NoNextUpdate => {
                "the CRL has no nextUpdate, which RFC 5280 section 5.1.2.5 requires"
            }
            Self::BadNumber(problem) => {
                return format!("the CRL's {problem} (RFC 5280 section 5.2.3)").into();
            }
            Self::Delta => "it is a delta CRL (RFC 5280 section 5.2.4)",
            Self::Indirect => {
                "it is an indirect CRL, about other issuers' certificates (RFC 5280 section 5.2.5)"
            }
            Self::SomeReasons => {
                "the CRL holds only some reasons of revocation (onlySomeReasons, RFC 5280 section 5.2.5)"
            }
            Self::Scope(problem) => {
                return format!(
                    "the CRL's scope is not supported: {problem} (RFC 5280 section 5.2.5)"
                )
                .into();
            }
            Self::CriticalExtension { oid } => {
                return format!(
                    "the CRL has the critical extension {}, which is not supported",
                    Escaped(oid)
                )
                .into();
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Malformed(_) => "fetch it again",
            Self::Version1 => {
                "`openssl ca -gencrl` makes version 2 when its section has `crl_extensions`, naming one with `authorityKeyIdentifier=keyid`"
            }
            Self::NoNextUpdate => "have its issuer publish one that has it",
            Self::BadNumber(_) => "have its issuer number it",
            Self::Delta => "load the complete one",
            Self::Indirect => "load each issuer's own",
            Self::SomeReasons => "load a complete one",
            Self::Scope(_) => "load a CRL of the issuer that is complete",
            Self::CriticalExtension { .. } => "have its issuer publish one without",
        }
        .into()
    }
}

display_diagnostic!(CrlFormatError);

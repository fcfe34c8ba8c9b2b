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
    /// Version 1, which has neither a number nor extensions, under
    /// [`CrlNumber::Required`](crate::pki::CrlNumber::Required).
    Version1,
    /// A time is not in the form of DER.
    BadTime {
        /// The field, such as `thisUpdate`.
        field: &'static str,
        /// Its text, as far as it is text.
        value: String,
    },
    /// Without nextUpdate there is no time at which the CRL expires.
    NoNextUpdate,
    /// The number is missing, critical, negative or over 20 octets.
    BadNumber(&'static str),
    /// A delta CRL has no number, so that it cannot be applied to a complete CRL.
    Delta,
    /// An entry is about another issuer's certificate, and the CRL is not marked as indirect.
    Indirect,
    /// The issuing distribution point is for certificates of another kind, or has no name that can be
    /// compared.
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
            Self::BadTime { .. } => "crl_time",
            Self::NoNextUpdate => "crl_without_next_update",
            Self::BadNumber(_) => "crl_number",
            Self::Delta => "delta_crl",
            Self::Indirect => "indirect_crl",
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
            Self::Version1 => {
                "the CRL is version 1, which has no number (RFC 5280 section 5.1.2.1 requires 2)"
            }
            Self::BadTime { field, value } => {
                return format!(
                    "the CRL's {field} \"{}\" is not a time in DER: RFC 5280 section 5.1.2.4 requires UTC to the second, ending in Z",
                    Escaped(value)
                )
                .into();
            }
            Self::NoNextUpdate => {
                "the CRL has no nextUpdate, which RFC 5280 section 5.1.2.5 requires"
            }
            Self::BadNumber(problem) => {
                return format!("the CRL's {problem} (RFC 5280 section 5.2.3)").into();
            }
            Self::Delta => "it is a delta CRL without a number (RFC 5280 section 5.2.4)",
            Self::Indirect => {
                "an entry is about another issuer's certificate, and the CRL is not marked as indirect (RFC 5280 section 5.3.3)"
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
                "load it with CrlNumber::Optional (--crl-number optional), or make version 2 with a number: the CA's section of openssl.cnf needs `crl_extensions = crl_ext` and `crlnumber = ./crlnumber`, with a section `[crl_ext]` that has `authorityKeyIdentifier = keyid,issuer`; then `echo 01 > crlnumber` and `openssl ca -config openssl.cnf -gencrl -out ca.crl`"
            }
            Self::BadTime { .. } => "have its issuer publish one with correct times",
            Self::NoNextUpdate => "have its issuer publish one that has it",
            Self::BadNumber("number is missing") => {
                "load it with CrlNumber::Optional (--crl-number optional), or have its issuer number it: for openssl and easy-rsa, the CA's section of the configuration needs `crlnumber = ./crlnumber`; then `echo 01 > crlnumber`, and make the CRL again"
            }
            Self::BadNumber(_) => "have its issuer number it",
            Self::Delta => "load the complete one",
            Self::Indirect => "load each issuer's own",
            Self::Scope(_) => "load a CRL of the issuer that is complete",
            Self::CriticalExtension { .. } => "have its issuer publish one without",
        }
        .into()
    }
}

display_diagnostic!(CrlFormatError);

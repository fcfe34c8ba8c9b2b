//! Why no identity was read.

use std::borrow::Cow;
use std::fmt;

use crate::pki::{GeneralName, SanError};

/// Why a certificate yields no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct IdentityError {
    kind: IdentityErrorKind,
    detail: Cow<'static, str>,
}

impl IdentityError {
    /// An error of an application's own extractor.
    ///
    /// `detail` is for a person who reads the log: name the field and what is wrong with it. Bytes
    /// from the certificate belong in it only when escaped.
    pub fn new(kind: IdentityErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// The kind of error.
    pub const fn kind(&self) -> IdentityErrorKind {
        self.kind
    }

    /// The stable code of the kind, such as `"ambiguous"`.
    pub const fn reason(&self) -> &'static str {
        self.kind.reason()
    }
}

/// The kinds of [`IdentityError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityErrorKind {
    /// The certificate has no value of this kind.
    Missing,
    /// It has two or more, even if they are equal.
    Ambiguous,
    /// The ASN.1 type or bytes cannot be such a value: a wrong string tag, invalid UTF-8, not DER.
    BadEncoding,
    /// The text is not of the value's form: a NUL, a space in a DNS name, a percent sign in a
    /// SPIFFE ID.
    BadSyntax,
    /// The value is over its length limit.
    TooLong,
    /// The value is well-formed but must not serve as an identity: a wildcard name, a certificate
    /// that may sign others.
    Forbidden,
    /// The extractor panicked.
    Panicked,
}

impl IdentityErrorKind {
    /// The stable code of this kind.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::BadEncoding => "bad_encoding",
            Self::BadSyntax => "bad_syntax",
            Self::TooLong => "too_long",
            Self::Forbidden => "forbidden",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for IdentityErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// Wants exactly one of the values found for `field`.
pub(super) fn exactly_one<T>(values: Vec<T>, field: &'static str) -> Result<T, IdentityError> {
    let count = values.len();
    match <[T; 1]>::try_from(values) {
        Ok([value]) => Ok(value),
        Err(_) if count == 0 => Err(IdentityError::new(
            IdentityErrorKind::Missing,
            format!("the certificate has no {field}"),
        )),
        Err(_) => Err(IdentityError::new(
            IdentityErrorKind::Ambiguous,
            format!("the certificate has {count} {field}s where exactly one is wanted"),
        )),
    }
}

/// The SANs of one kind, readable or not: an unreadable one counts, so that it cannot hide.
///
/// `tag_number` is the kind's number in `GeneralName` (RFC 5280 section 4.2.1.6).
pub(super) fn sans_of<'a>(
    certificate: &'a crate::pki::Certificate,
    tag_number: u8,
    select: impl Fn(&'a GeneralName) -> Option<&'a [u8]>,
    field: &'static str,
) -> Result<Vec<Result<&'a [u8], IdentityError>>, IdentityError> {
    let names = certificate
        .subject_alternative_names()
        .map_err(|error| match error {
            SanError::Duplicate => {
                IdentityError::new(IdentityErrorKind::Ambiguous, error.to_string())
            }
            _ => IdentityError::new(IdentityErrorKind::BadEncoding, error.to_string()),
        })?;
    Ok(names
        .iter()
        .filter_map(|name| match name {
            GeneralName::Unreadable { tag, .. } if tag & 0x1f == tag_number => {
                Some(Err(IdentityError::new(
                    IdentityErrorKind::BadEncoding,
                    format!("a {field} has the ASN.1 tag 0x{tag:02x} or content of another type"),
                )))
            }
            readable => select(readable).map(Ok),
        })
        .collect())
}

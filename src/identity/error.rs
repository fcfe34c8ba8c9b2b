//! Why there is no identity.

use std::borrow::Cow;
use std::fmt;

use crate::pki::text::Sentence;

/// Why a certificate yields no identity, or a text is none.
///
/// It is also the error of every identity's `FromStr`, because both have the same grammar.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Sentence(detail))]
pub struct IdentityError {
    kind: IdentityErrorKind,
    detail: Cow<'static, str>,
}

impl IdentityError {
    /// An error of an application's own extractor.
    ///
    /// `detail` is for a person who reads the log: name the field and what is wrong with it. Bytes
    /// from the certificate belong in it only when escaped. `Display` cuts it after 1,024 bytes, and
    /// escapes control characters and bidirectional marks that are left.
    pub fn new(kind: IdentityErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(
            IdentityErrorKind::Missing,
            format!("the certificate has no {field}"),
        )
    }

    pub(super) fn bad_encoding(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(IdentityErrorKind::BadEncoding, detail)
    }

    pub(super) fn bad_syntax(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(IdentityErrorKind::BadSyntax, detail)
    }

    pub(super) fn too_long(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(IdentityErrorKind::TooLong, detail)
    }

    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(IdentityErrorKind::Forbidden, detail)
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

impl fmt::Debug for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityError({}: {self})", self.kind)
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
    /// The ASN.1 type or bytes cannot be such a value: a wrong string tag, invalid UTF-8, illegal
    /// PrintableString characters, a constructed or unknown SAN tag, not DER.
    BadEncoding,
    /// Decoded, but not of the value's form: a NUL or another control character, a space in a DNS
    /// name, an address with two `@`, a percent sign in a SPIFFE ID.
    BadSyntax,
    /// The value is over its length limit.
    TooLong,
    /// The value is well-formed but must not serve as an identity: a wildcard name, an invisible
    /// character, a SPIFFE ID in a certificate that may sign others.
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

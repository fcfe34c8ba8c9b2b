//! Errors of extractors and of identities in text form.

use std::borrow::Cow;
use std::fmt;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::text::Sentence;

/// Why a certificate yields no identity, or why a text is not an identity.
///
/// It is the error of extractors and of every identity's `FromStr`, because both have the same grammar.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::identity::{DnsName, IdentityErrorKind};
///
/// let error = "*.example.org".parse::<DnsName>().expect_err("a wildcard");
/// assert_eq!(error.kind(), IdentityErrorKind::Forbidden);
/// assert_eq!(error.reason(), "forbidden");
/// println!("{}", error.remedy());
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct IdentityError {
    kind: IdentityErrorKind,
    detail: Cow<'static, str>,
}

impl IdentityError {
    /// An error of an application's own extractor.
    ///
    /// `detail` is the [`cause`](Diagnostic::cause), for logs: the field and what is wrong with it. Escape
    /// bytes from the certificate in it. The cause is cut after 1,024 bytes, and remaining control
    /// characters and bidirectional marks are escaped.
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

impl Diagnostic for IdentityError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        Sentence(&self.detail).to_string().into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        self.kind.remedy().into()
    }
}

display_diagnostic!(IdentityError);

impl fmt::Debug for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityError({}: {self})", self.kind)
    }
}

/// The kinds of [`IdentityError`].
///
/// ```
/// use countersign::identity::{IdentityError, IdentityErrorKind};
///
/// /// Whether another extractor may be tried.
/// fn is_absent(error: &IdentityError) -> bool {
///     error.kind() == IdentityErrorKind::Missing
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityErrorKind {
    /// The certificate has no value of this kind.
    Missing,
    /// The certificate has two or more, even if they are equal.
    Ambiguous,
    /// The ASN.1 type or bytes cannot be such a value: a wrong string tag, invalid UTF-8, characters that
    /// PrintableString does not allow, a constructed or unknown SAN tag, not DER.
    BadEncoding,
    /// The value can be decoded but does not follow the grammar: a NUL or another control character, a space
    /// in a DNS name, an address with two `@`, a percent sign in a SPIFFE ID.
    BadSyntax,
    /// The value exceeds its length limit.
    TooLong,
    /// The value is well-formed but not allowed as an identity: a wildcard name, an invisible character, a
    /// SPIFFE ID in a certificate that may sign others.
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

    /// The remedy: for the issuer of a certificate, or the author of a text.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Missing => {
                "issue the certificate with that field, or identify by one that it has"
            }
            Self::Ambiguous => {
                "issue the certificate with exactly one, or read them all() where it may have several"
            }
            Self::BadEncoding | Self::BadSyntax | Self::TooLong | Self::Forbidden => {
                "issue the certificate with a value that is well-formed and allowed, or correct the text"
            }
            Self::Panicked => "read its panic message, and correct the extractor",
        }
    }
}

impl fmt::Display for IdentityErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_a_cause_and_a_remedy() {
        use IdentityErrorKind as K;

        for (kind, code) in [
            (K::Missing, "missing"),
            (K::Ambiguous, "ambiguous"),
            (K::BadEncoding, "bad_encoding"),
            (K::BadSyntax, "bad_syntax"),
            (K::TooLong, "too_long"),
            (K::Forbidden, "forbidden"),
            (K::Panicked, "panicked"),
        ] {
            let error = IdentityError::new(kind, "the tenant\u{202e} is odd");
            assert_eq!(Diagnostic::reason(&error), code);
            assert_eq!(kind.to_string(), code);
            assert_eq!(
                format!("{error:?}"),
                format!("IdentityError({code}: {error})")
            );
            let (cause, remedy) = (error.cause(), error.remedy());
            assert_eq!(error.to_string(), format!("{cause}; {remedy}"));
            assert!(!cause.contains('\u{202e}'), "{cause}");
            assert!(!remedy.is_empty() && !remedy.contains("; "), "{remedy}");
        }
    }
}

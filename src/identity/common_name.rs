//! The subject's common name (X.520; RFC 5280 appendix A.1, upper bound `ub-common-name`).

use std::fmt;
use std::str::FromStr;

use super::error::exactly_one;
use super::{IdentityError, IdentityErrorKind, IdentityExtractor};
use crate::pki::{Certificate, NameAttribute, text::is_unsafe_to_print};

/// A subject's common name: 1 to 64 characters, none of them invisible.
///
/// Compared byte for byte; case and Unicode normalisation forms differ.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommonName(Box<str>);

impl CommonName {
    /// The longest common name, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// The extractor that reads the subject's only common name.
    pub const fn extractor() -> CommonNameExtractor {
        CommonNameExtractor(())
    }

    /// The name.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommonName {
    type Err = InvalidCommonName;

    /// Reads a common name.
    ///
    /// # Errors
    /// [`InvalidCommonName`]: empty, over 64 characters, or with a NUL, another control character,
    /// or one that hides or reorders text (bidirectional controls, zero-width characters).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidCommonName::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidCommonName::Control);
        }
        if text.chars().any(is_unsafe_to_print) {
            return Err(InvalidCommonName::Invisible);
        }
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(InvalidCommonName::TooLong);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for CommonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommonName({:?})", self.0)
    }
}

/// Why a text is no common name that may serve as an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCommonName {
    /// No character at all.
    #[error("the common name is empty")]
    Empty,
    /// Over 64 characters.
    #[error("a common name is at most 64 characters long")]
    TooLong,
    /// A NUL or another control character.
    #[error("the common name has a control character")]
    Control,
    /// A character that hides or reorders text.
    #[error("the common name has an invisible or bidirectional control character")]
    Invisible,
}

/// Reads the subject's only common name; made by [`CommonName::extractor`].
///
/// # Security
/// A common name is whatever the certificate authority let the applicant write. Use it only with
/// an authority of your own that checks it; prefer [`SpiffeId`](super::SpiffeId) or
/// [`DnsName`](super::DnsName).
#[derive(Clone, Copy, Debug)]
pub struct CommonNameExtractor(());

impl IdentityExtractor for CommonNameExtractor {
    type Identity = CommonName;

    fn extract(&self, certificate: &Certificate) -> Result<CommonName, IdentityError> {
        let names = certificate
            .subject()
            .attributes_of(NameAttribute::COMMON_NAME);
        let name = exactly_one(names, "common name")?;
        let text = name.text().map_err(|error| {
            IdentityError::new(
                IdentityErrorKind::BadEncoding,
                format!("the common name: {error}"),
            )
        })?;
        text.parse().map_err(|error: InvalidCommonName| {
            let kind = match error {
                InvalidCommonName::Empty | InvalidCommonName::Control => {
                    IdentityErrorKind::BadSyntax
                }
                InvalidCommonName::TooLong => IdentityErrorKind::TooLong,
                InvalidCommonName::Invisible => IdentityErrorKind::Forbidden,
            };
            IdentityError::new(kind, error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_refused_characters() {
        use InvalidCommonName as E;

        let parse = |text: &str| text.parse::<CommonName>();
        assert!(parse(&"é".repeat(64)).is_ok());
        assert_eq!(parse(&"e".repeat(65)), Err(E::TooLong));
        assert_eq!(parse(""), Err(E::Empty));
        assert_eq!(parse("admin\0.example"), Err(E::Control));
        assert_eq!(parse("admin\u{202e}"), Err(E::Invisible));
        assert_eq!(parse("ad\u{200b}min"), Err(E::Invisible));
        assert_ne!(
            parse("admin"),
            parse("аdmin"),
            "a Cyrillic а is another name"
        );
    }
}

//! Any extension, for identities that an authority of one's own puts there.

use std::fmt;
use std::str::FromStr;

use super::extractor::exactly_one;
use super::{IdentityError, IdentityExtractor};
use crate::pki::Certificate;
use crate::pki::text::{Hex, from_hex};

/// The DER inside an extension, to be read by [`try_map`](IdentityExtractor::try_map).
///
/// `Display` and `FromStr` are its bytes in hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionValue(Box<[u8]>);

impl ExtensionValue {
    /// Reads the leaf's only extension with this dotted object identifier, such as
    /// `1.3.6.1.4.1.57264.1.1`.
    ///
    /// # Security
    /// rustls-webpki refuses certificates with a *critical* extension that it does not know.
    pub fn extractor(oid: impl Into<Box<str>>) -> ExtensionExtractor {
        ExtensionExtractor { oid: oid.into() }
    }

    /// The bytes inside the extension's OCTET STRING.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Made by [`ExtensionValue::extractor`].
#[derive(Clone, Debug)]
pub struct ExtensionExtractor {
    oid: Box<str>,
}

impl IdentityExtractor for ExtensionExtractor {
    type Identity = ExtensionValue;

    fn extract(&self, certificate: &Certificate) -> Result<ExtensionValue, IdentityError> {
        let values = certificate
            .extensions()
            .iter()
            .filter(|extension| extension.oid() == &*self.oid)
            .map(|extension| ExtensionValue(extension.value().into()))
            .collect();
        exactly_one(values, "such extension")
    }
}

impl FromStr for ExtensionValue {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not hexadecimal.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        from_hex(text)
            .map(|bytes| Self(bytes.into()))
            .ok_or_else(|| {
                IdentityError::bad_syntax("an extension's value is written in hexadecimal")
            })
    }
}

impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionValue({self})")
    }
}

//! Any extension, for identities that a private certificate authority defines.

use std::fmt;
use std::str::FromStr;

use super::extractor::exactly_one;
use super::{IdentityError, IdentityExtractor};
use crate::pki::Certificate;
use crate::pki::text::{Hex, from_hex};

/// The DER inside an extension. [`try_map`](IdentityExtractor::try_map) converts it to an identity.
///
/// `Display` and `FromStr` use its bytes in hexadecimal.
///
/// ```
/// use countersign::identity::{
///     ExtensionValue, IdentityError, IdentityErrorKind, IdentityExtractor as _,
/// };
///
/// struct Tenant(u8);
///
/// // INTEGER, one octet.
/// let extractor = ExtensionValue::extractor("1.3.6.1.4.1.55555.1").try_map(|value| match value.as_bytes() {
///     [2, 1, tenant] => Ok(Tenant(*tenant)),
///     _ => Err(IdentityError::new(IdentityErrorKind::BadEncoding, "the tenant is not a small INTEGER")),
/// });
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionValue(Box<[u8]>);

impl ExtensionValue {
    /// Reads the leaf's only extension with this dotted object identifier, such as
    /// `1.3.6.1.4.1.57264.1.1`.
    ///
    /// # Security
    /// rustls-webpki rejects certificates with a *critical* extension that it does not know.
    pub fn extractor(oid: impl Into<Box<str>>) -> ExtensionExtractor {
        ExtensionExtractor { oid: oid.into() }
    }

    /// The bytes inside the extension's OCTET STRING.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads an extension. Made by [`ExtensionValue::extractor`].
///
/// ```
/// use countersign::identity::{ExtensionExtractor, ExtensionValue};
///
/// let extractor: ExtensionExtractor = ExtensionValue::extractor("1.3.6.1.4.1.57264.1.1");
/// ```
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

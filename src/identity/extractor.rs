//! The trait of extractors, and the two extractors that read every ready-made identity.

use std::fmt;
use std::marker::PhantomData;

use super::adapter::{And, Map, Or, TryMap};
use super::read::check_strings;
use super::{IdentityError, IdentityErrorKind};
use crate::pki::contained::caught;
use crate::pki::text::Escaped;
use crate::pki::{Certificate, StringRules};

/// Reads a typed identity from a verified leaf certificate.
///
/// The certificate is verified and its holder has proven the key. An extractor must reject everything that
/// is ambiguous in it, because a certificate authority signs the bytes, not their interpretation. A panic
/// counts as an error: the peer is rejected.
///
/// For the [audit trail](crate::audit), an extractor may also be called with the certificate of a rejected
/// peer, to record the identity that it claims. The result does not admit the peer.
///
/// Implement it for a type of yours, or give a closure:
///
/// ```
/// use countersign::identity::{IdentityError, IdentityExtractor};
/// use countersign::pki::{Certificate, Fingerprint};
///
/// struct ByKey;
///
/// impl IdentityExtractor for ByKey {
///     type Identity = Fingerprint;
///
///     fn extract(&self, certificate: &Certificate) -> Result<Fingerprint, IdentityError> {
///         Ok(certificate.spki_sha256())
///     }
/// }
///
/// fn assert_extractor(_: impl IdentityExtractor<Identity = Fingerprint>) {}
///
/// assert_extractor(ByKey);
/// assert_extractor(|certificate: &Certificate| Ok(certificate.spki_sha256()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an identity extractor",
    label = "not an `IdentityExtractor`",
    note = "call `extractor()` or `all()` of a ready-made identity, as in `SpiffeId::extractor()`",
    note = "or implement `IdentityExtractor`, or give a closure `|certificate: &Certificate| -> Result<_, IdentityError>`"
)]
#[doc(alias = "principal")]
pub trait IdentityExtractor: Send + Sync {
    /// The typed identity.
    type Identity;

    /// Reads the identity from the leaf certificate.
    ///
    /// # Errors
    /// [`IdentityError`]: the value is missing, ambiguous, malformed, too long or not allowed as an identity.
    /// The peer is then rejected.
    fn extract(&self, certificate: &Certificate) -> Result<Self::Identity, IdentityError>;

    /// Reads the identity from a leaf certificate whose issuers may have constrained its names.
    ///
    /// The gate calls this method. By default it is [`extract`](Self::extract). Path validation checks name
    /// constraints for subjectAltNames only (RFC 5280 section 4.2.1.10). An extractor that takes a DNS name
    /// from another field must call `permitted` with the name. If it returns false, the constraints of the
    /// verified path do not allow the name, and the extractor must reject it, as
    /// [`CommonName`](super::CommonName) does.
    ///
    /// # Errors
    /// As for [`extract`](Self::extract); [`Forbidden`](IdentityErrorKind::Forbidden) for a name that
    /// is not permitted.
    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<Self::Identity, IdentityError> {
        let _ = permitted;
        self.extract(certificate)
    }

    /// Converts the identity, for example to a type of the application.
    ///
    /// ```
    /// use countersign::identity::{IdentityExtractor as _, SpiffeId};
    ///
    /// let extractor = SpiffeId::extractor().map(|id| id.trust_domain().clone());
    /// ```
    fn map<F, J>(self, convert: F) -> Map<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Identity) -> J + Send + Sync,
    {
        Map::new(self, convert)
    }

    /// Converts the identity, or rejects it.
    ///
    /// ```
    /// use countersign::identity::{IdentityError, IdentityErrorKind, IdentityExtractor, SpiffeId};
    ///
    /// struct Tenant(String);
    ///
    /// let extractor = SpiffeId::extractor().try_map(|id| match id.segments().next() {
    ///     Some(tenant) if id.trust_domain().as_str() == "example.org" => Ok(Tenant(tenant.to_owned())),
    ///     _ => Err(IdentityError::new(IdentityErrorKind::Forbidden, "not one of our tenants")),
    /// });
    /// # let _: Box<dyn IdentityExtractor<Identity = Tenant>> = Box::new(extractor);
    /// ```
    fn try_map<F, J>(self, convert: F) -> TryMap<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Identity) -> Result<J, IdentityError> + Send + Sync,
    {
        TryMap::new(self, convert)
    }

    /// Reads both identities, and fails if either fails.
    ///
    /// ```
    /// use countersign::identity::{DnsName, IdentityExtractor as _, SerialAndIssuer};
    ///
    /// let extractor = DnsName::extractor().and(SerialAndIssuer::extractor());
    /// ```
    fn and<X: IdentityExtractor>(self, other: X) -> And<Self, X>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Reads the other identity where this one's field is **absent**.
    ///
    /// Only [`missing`](IdentityErrorKind::Missing) leads to the other extractor. A value that is ambiguous,
    /// malformed or forbidden is an error; otherwise a peer with a malformed field could choose the other
    /// one. Map both to one type that distinguishes them, such as an enum.
    ///
    /// ```
    /// use countersign::identity::{CommonName, DnsName, IdentityExtractor as _};
    ///
    /// enum Caller {
    ///     Host(DnsName),
    ///     User(CommonName),
    /// }
    ///
    /// let extractor = DnsName::extractor()
    ///     .map(Caller::Host)
    ///     .or(CommonName::extractor().map(Caller::User));
    /// ```
    fn or<X>(self, other: X) -> Or<Self, X>
    where
        Self: Sized,
        X: IdentityExtractor<Identity = Self::Identity>,
    {
        Or::new(self, other)
    }
}

// It must stay dyn-compatible.
const _: Option<&dyn IdentityExtractor<Identity = ()>> = None;

impl<F, I> IdentityExtractor for F
where
    F: Fn(&Certificate) -> Result<I, IdentityError> + Send + Sync,
{
    type Identity = I;

    fn extract(&self, certificate: &Certificate) -> Result<I, IdentityError> {
        self(certificate)
    }
}

/// An identity that [`Single`] and [`Multiple`] read from certificates. Sealed.
///
/// For an identity of your own, implement [`IdentityExtractor`] or give a closure.
///
/// ```
/// use countersign::identity::{DnsName, FromCertificate, IdentityExtractor, Single};
///
/// fn assert_extractor<I: FromCertificate>(_: Single<I>)
/// where
///     Single<I>: IdentityExtractor<Identity = I>,
/// {
/// }
/// assert_extractor(DnsName::extractor());
/// ```
#[diagnostic::on_unimplemented(
    message = "this crate does not read `{Self}` from certificates",
    label = "not an identity of this crate",
    note = "`FromCertificate` is sealed: for an identity of your own, implement `IdentityExtractor` or give a closure"
)]
pub trait FromCertificate: Sized + sealed::Sealed {
    /// The name of the value in errors: `"DNS SAN"`.
    #[doc(hidden)]
    const FIELD: &'static str;

    /// Reads every value of the field, well-formed or not, so that a malformed one is not skipped.
    #[doc(hidden)]
    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError>;

    /// The types of the subject's attributes that the identity is read from.
    #[doc(hidden)]
    fn string_attributes() -> &'static [&'static str] {
        &[]
    }

    /// The subject's common name, where it is part of the identity.
    #[doc(hidden)]
    fn common_name(&self) -> Option<&str> {
        None
    }
}

pub(super) mod sealed {
    /// Keeps [`FromCertificate`](super::FromCertificate) to this crate.
    #[allow(unnameable_types)]
    pub trait Sealed {}
}

/// Reads the only value of a field. Made by the `extractor()` of an identity.
///
/// ```
/// use countersign::identity::{DnsName, Single};
///
/// let extractor: Single<DnsName> = DnsName::extractor();
/// ```
pub struct Single<I> {
    strings: StringRules,
    of: PhantomData<fn() -> I>,
}

impl<I> Single<I> {
    pub(super) const fn new() -> Self {
        Self {
            strings: StringRules::Lenient,
            of: PhantomData,
        }
    }

    /// Sets which encodings of the subject's text are read. Default: [`StringRules::Lenient`]. Subject
    /// alternative names have one encoding, and do not depend on it.
    ///
    /// ```
    /// use countersign::identity::{CommonName, IdentityExtractor as _};
    /// use countersign::pki::StringRules;
    /// use countersign::testing::{TestCa, der};
    ///
    /// let leaf = TestCa::new("Root").leaf().attribute("2.5.4.3", der::PRINTABLE_STRING, b"pump_7");
    /// let certificate = leaf.issue().certificate();
    /// assert_eq!(CommonName::extractor().extract(&certificate)?.as_str(), "pump_7");
    /// let strict = CommonName::extractor().strings(StringRules::Strict);
    /// assert_eq!(strict.extract(&certificate).unwrap_err().reason(), "bad_encoding");
    /// # Ok::<(), countersign::identity::IdentityError>(())
    /// ```
    #[must_use]
    pub const fn strings(mut self, rules: StringRules) -> Self {
        self.strings = rules;
        self
    }
}

impl<I: FromCertificate> IdentityExtractor for Single<I> {
    type Identity = I;

    fn extract(&self, certificate: &Certificate) -> Result<I, IdentityError> {
        check_strings(certificate, I::string_attributes(), self.strings)?;
        exactly_one(I::read_all(certificate)?, I::FIELD)?
    }

    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<I, IdentityError> {
        let identity = self.extract(certificate)?;
        match identity.common_name() {
            Some(name) if looks_like_dns(name) && !permitted(name) => {
                Err(IdentityError::forbidden(format!(
                    "the common name \"{}\" is outside the DNS name constraints of the certificate's issuers",
                    Escaped(name)
                )))
            }
            _ => Ok(identity),
        }
    }
}

/// Whether a common name looks like a DNS name: two labels or more, of the characters of host names and
/// their patterns. OpenSSL applies DNS name constraints to such common names.
fn looks_like_dns(name: &str) -> bool {
    let is_of_dns = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.*".contains(&octet);
    name.contains('.') && name.bytes().all(is_of_dns)
}

/// Reads all values of a field, at least one. Made by the `all()` of an identity.
///
/// One malformed value fails the extraction. Nothing is skipped.
///
/// ```
/// use countersign::identity::{DnsName, Multiple};
///
/// let extractor: Multiple<DnsName> = DnsName::all();
/// ```
pub struct Multiple<I> {
    strings: StringRules,
    of: PhantomData<fn() -> I>,
}

impl<I> Multiple<I> {
    pub(super) const fn new() -> Self {
        Self {
            strings: StringRules::Lenient,
            of: PhantomData,
        }
    }

    /// Sets which encodings of the subject's text are read. Default: [`StringRules::Lenient`]. Subject
    /// alternative names have one encoding, and do not depend on it.
    ///
    /// ```
    /// use countersign::identity::OrganizationalUnit;
    /// use countersign::pki::StringRules;
    ///
    /// let extractor = OrganizationalUnit::all().strings(StringRules::Strict);
    /// ```
    #[must_use]
    pub const fn strings(mut self, rules: StringRules) -> Self {
        self.strings = rules;
        self
    }
}

impl<I: FromCertificate> IdentityExtractor for Multiple<I> {
    type Identity = Vec<I>;

    fn extract(&self, certificate: &Certificate) -> Result<Vec<I>, IdentityError> {
        check_strings(certificate, I::string_attributes(), self.strings)?;
        let values = I::read_all(certificate)?;
        if values.is_empty() {
            return Err(IdentityError::missing(I::FIELD));
        }
        values.into_iter().collect()
    }
}

/// The only value of `field`. A malformed value counts.
pub(super) fn exactly_one<T>(values: Vec<T>, field: &'static str) -> Result<T, IdentityError> {
    let count = values.len();
    match <[T; 1]>::try_from(values) {
        Ok([value]) => Ok(value),
        Err(_) if count == 0 => Err(IdentityError::missing(field)),
        Err(_) => Err(IdentityError::new(
            IdentityErrorKind::Ambiguous,
            format!("the certificate has {count} {field}s where exactly one is required"),
        )),
    }
}

/// Runs application code that reads hostile bytes. A panic in it is an error.
pub(crate) fn extract_caught<I>(
    extractor: &dyn IdentityExtractor<Identity = I>,
    certificate: &Certificate,
    permitted: &dyn Fn(&str) -> bool,
) -> Result<I, IdentityError> {
    let extract = || extractor.extract_constrained(certificate, permitted);
    caught(extract).unwrap_or_else(|| {
        Err(IdentityError::new(
            IdentityErrorKind::Panicked,
            "the identity extractor panicked",
        ))
    })
}

impl<I> Clone for Single<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Single<I> {}

impl<I: FromCertificate> fmt::Debug for Single<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Single({})", I::FIELD)
    }
}

impl<I> Clone for Multiple<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Multiple<I> {}

impl<I: FromCertificate> fmt::Debug for Multiple<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multiple({})", I::FIELD)
    }
}

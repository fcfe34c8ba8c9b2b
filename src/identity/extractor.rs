//! The trait of extractors, and the two that read every ready-made identity.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::adapter::{And, Map, Or, TryMap};
use super::{IdentityError, IdentityErrorKind};
use crate::pki::Certificate;
use crate::pki::text::Escaped;

/// Turns a verified leaf certificate into a typed identity.
///
/// Closures are extractors:
///
/// ```
/// use countersign::identity::{IdentityError, IdentityExtractor};
/// use countersign::pki::{Certificate, Fingerprint};
///
/// fn assert_extractor(_: impl IdentityExtractor<Identity = Fingerprint>) {}
///
/// assert_extractor(|certificate: &Certificate| Ok(certificate.spki_sha256()));
/// ```
///
/// The certificate that an extractor is given has already been verified, and its holder has proven
/// to own the key; what an extractor must still refuse is everything ambiguous in it, because a
/// certificate authority vouches for the bytes, not for how they are read.
///
/// (One exception: for the [audit trail](crate::audit) it may be asked whom a refused certificate
/// claims. Its answer admits nobody then.)
///
/// A panicking extractor counts as an error: the peer is refused.
pub trait IdentityExtractor: Send + Sync {
    /// The typed identity.
    type Identity;

    /// Reads the identity from the leaf certificate.
    ///
    /// # Errors
    /// An [`IdentityError`], of which the kind is a stable code: the value is missing, ambiguous,
    /// malformed, too long or not allowed as an identity. The peer is then refused.
    fn extract(&self, certificate: &Certificate) -> Result<Self::Identity, IdentityError>;

    /// Reads the identity from a leaf certificate whose issuers may have limited its names.
    ///
    /// The gate calls this method. By default it is [`extract`](Self::extract). Name constraints bind
    /// subjectAltNames (RFC 5280 section 4.2.1.10), which path validation has checked; an extractor
    /// that takes a DNS name from elsewhere in the certificate asks `permitted` whether the
    /// constraints of the verified path allow that name, and refuses it otherwise, as
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

    /// Turns the identity into another, such as a type of the application's.
    fn map<F, J>(self, convert: F) -> Map<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Identity) -> J + Send + Sync,
    {
        Map::new(self, convert)
    }

    /// Turns the identity into another, or refuses it.
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

    /// Reads both identities, and fails if either does.
    fn and<X: IdentityExtractor>(self, other: X) -> And<Self, X>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Reads the other identity where this one's field is **absent**.
    ///
    /// Only [`missing`](IdentityErrorKind::Missing) leads to the other extractor: a value that is
    /// ambiguous, malformed or forbidden is an error, or whoever spoils one field could choose
    /// another. Map both to one type that tells them apart, such as an enum of yours.
    fn or<X>(self, other: X) -> Or<Self, X>
    where
        Self: Sized,
        X: IdentityExtractor<Identity = Self::Identity>,
    {
        Or::new(self, other)
    }
}

// It must stay usable behind a pointer.
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

/// An identity that is read from certificates by this crate: [`Only`] and [`All`] do it.
///
/// Sealed. For an identity of your own, implement [`IdentityExtractor`] or use a closure.
pub trait FromCertificate: Sized + sealed::Sealed {
    /// What the value is called in errors: `"DNS SAN"`.
    #[doc(hidden)]
    const FIELD: &'static str;

    /// Reads every value of the field, good and bad, so that a bad one cannot hide.
    #[doc(hidden)]
    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError>;

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

/// Reads the only value of a field; made by the `extractor()` of an identity.
pub struct Single<I>(PhantomData<fn() -> I>);

impl<I> Single<I> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<I: FromCertificate> IdentityExtractor for Single<I> {
    type Identity = I;

    fn extract(&self, certificate: &Certificate) -> Result<I, IdentityError> {
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

/// Whether a common name could be taken for a DNS name: two labels or more of the characters that
/// host names and their patterns have. OpenSSL applies DNS name constraints to such common names.
fn looks_like_dns(name: &str) -> bool {
    let is_of_dns = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.*".contains(&octet);
    name.contains('.') && name.bytes().all(is_of_dns)
}

/// Reads all values of a field, at least one; made by the `all()` of an identity.
///
/// One bad value fails the extraction: nothing is skipped to reach a good one.
pub struct Multiple<I>(PhantomData<fn() -> I>);

impl<I> Multiple<I> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<I: FromCertificate> IdentityExtractor for Multiple<I> {
    type Identity = Vec<I>;

    fn extract(&self, certificate: &Certificate) -> Result<Vec<I>, IdentityError> {
        let values = I::read_all(certificate)?;
        if values.is_empty() {
            return Err(IdentityError::missing(I::FIELD));
        }
        values.into_iter().collect()
    }
}

/// Wants exactly one of the values found for `field`; a bad value counts.
pub(super) fn exactly_one<T>(values: Vec<T>, field: &'static str) -> Result<T, IdentityError> {
    let count = values.len();
    match <[T; 1]>::try_from(values) {
        Ok([value]) => Ok(value),
        Err(_) if count == 0 => Err(IdentityError::missing(field)),
        Err(_) => Err(IdentityError::new(
            IdentityErrorKind::Ambiguous,
            format!("the certificate has {count} {field}s where exactly one is wanted"),
        )),
    }
}

/// Runs application code that reads hostile bytes; a panic in it is an error like any other.
pub(crate) fn extract_caught<I>(
    extractor: &dyn IdentityExtractor<Identity = I>,
    certificate: &Certificate,
    permitted: &dyn Fn(&str) -> bool,
) -> Result<I, IdentityError> {
    let extract = || extractor.extract_constrained(certificate, permitted);
    catch_unwind(AssertUnwindSafe(extract)).unwrap_or_else(|_| {
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
        write!(f, "Only({})", I::FIELD)
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
        write!(f, "All({})", I::FIELD)
    }
}

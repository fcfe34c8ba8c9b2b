//! Extractors that are made from extractors.

use super::{IdentityError, IdentityErrorKind, IdentityExtractor};
use crate::pki::Certificate;

/// Converts an identity. Made by [`IdentityExtractor::map`].
///
/// ```
/// use countersign::identity::{CommonName, IdentityExtractor as _, Map};
///
/// struct User(String);
///
/// let extractor: Map<_, _> = CommonName::extractor().map(|name| User(name.to_string()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Map<X, F> {
    extractor: X,
    convert: F,
}

impl<X, F> Map<X, F> {
    pub(super) const fn new(extractor: X, convert: F) -> Self {
        Self { extractor, convert }
    }
}

impl<X, F, J> IdentityExtractor for Map<X, F>
where
    X: IdentityExtractor,
    F: Fn(X::Identity) -> J + Send + Sync,
{
    type Identity = J;

    fn extract(&self, certificate: &Certificate) -> Result<J, IdentityError> {
        self.extractor.extract(certificate).map(&self.convert)
    }

    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<J, IdentityError> {
        let identity = self.extractor.extract_constrained(certificate, permitted);
        identity.map(&self.convert)
    }
}

/// Converts an identity, or rejects it. Made by [`IdentityExtractor::try_map`].
///
/// ```
/// use countersign::identity::{
///     IdentityError, IdentityErrorKind, IdentityExtractor as _, SpiffeId, TryMap,
/// };
///
/// let extractor: TryMap<_, _> = SpiffeId::extractor().try_map(|id| {
///     let service = id.segments().nth(1).map(str::to_owned);
///     service.ok_or_else(|| IdentityError::new(IdentityErrorKind::Forbidden, "no service in the path"))
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TryMap<X, F> {
    extractor: X,
    convert: F,
}

impl<X, F> TryMap<X, F> {
    pub(super) const fn new(extractor: X, convert: F) -> Self {
        Self { extractor, convert }
    }
}

impl<X, F, J> IdentityExtractor for TryMap<X, F>
where
    X: IdentityExtractor,
    F: Fn(X::Identity) -> Result<J, IdentityError> + Send + Sync,
{
    type Identity = J;

    fn extract(&self, certificate: &Certificate) -> Result<J, IdentityError> {
        self.extractor.extract(certificate).and_then(&self.convert)
    }

    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<J, IdentityError> {
        let identity = self.extractor.extract_constrained(certificate, permitted);
        identity.and_then(&self.convert)
    }
}

/// Reads two identities. Made by [`IdentityExtractor::and`].
///
/// ```
/// use countersign::identity::{And, DnsName, Fingerprint, IdentityExtractor as _};
///
/// let extractor: And<_, _> = DnsName::extractor().and(Fingerprint::spki_extractor());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct And<X, Y> {
    first: X,
    second: Y,
}

impl<X, Y> And<X, Y> {
    pub(super) const fn new(first: X, second: Y) -> Self {
        Self { first, second }
    }
}

impl<X: IdentityExtractor, Y: IdentityExtractor> IdentityExtractor for And<X, Y> {
    type Identity = (X::Identity, Y::Identity);

    fn extract(&self, certificate: &Certificate) -> Result<Self::Identity, IdentityError> {
        Ok((
            self.first.extract(certificate)?,
            self.second.extract(certificate)?,
        ))
    }

    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<Self::Identity, IdentityError> {
        Ok((
            self.first.extract_constrained(certificate, permitted)?,
            self.second.extract_constrained(certificate, permitted)?,
        ))
    }
}

/// Reads another identity where the first is absent. Made by [`IdentityExtractor::or`].
///
/// ```
/// use countersign::identity::{DnsName, IdentityExtractor as _, Or, SpiffeId};
///
/// enum Caller {
///     Workload(SpiffeId),
///     Host(DnsName),
/// }
///
/// let extractor: Or<_, _> = SpiffeId::extractor()
///     .map(Caller::Workload)
///     .or(DnsName::extractor().map(Caller::Host));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Or<X, Y> {
    first: X,
    second: Y,
}

impl<X, Y> Or<X, Y> {
    pub(super) const fn new(first: X, second: Y) -> Self {
        Self { first, second }
    }
}

impl<X, Y> IdentityExtractor for Or<X, Y>
where
    X: IdentityExtractor,
    Y: IdentityExtractor<Identity = X::Identity>,
{
    type Identity = X::Identity;

    fn extract(&self, certificate: &Certificate) -> Result<X::Identity, IdentityError> {
        match self.first.extract(certificate) {
            Err(error) if error.kind() == IdentityErrorKind::Missing => {
                self.second.extract(certificate)
            }
            answer => answer,
        }
    }

    fn extract_constrained(
        &self,
        certificate: &Certificate,
        permitted: &dyn Fn(&str) -> bool,
    ) -> Result<X::Identity, IdentityError> {
        match self.first.extract_constrained(certificate, permitted) {
            Err(error) if error.kind() == IdentityErrorKind::Missing => {
                self.second.extract_constrained(certificate, permitted)
            }
            answer => answer,
        }
    }
}

//! Extractors made from extractors.

use super::{IdentityError, IdentityErrorKind, IdentityExtractor};
use crate::pki::Certificate;

/// Made by [`IdentityExtractor::map`].
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

/// Made by [`IdentityExtractor::try_map`].
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

/// Made by [`IdentityExtractor::and`].
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

/// Made by [`IdentityExtractor::or`].
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

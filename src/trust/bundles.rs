//! Trust bundles by SPIFFE trust domain.

use std::collections::BTreeMap;
use std::fmt;

use super::TrustStore;
use crate::identity::{IdentityError, SpiffeId};

/// Roots by SPIFFE trust domain: each vouches for the IDs of its own domain and for no other's.
///
/// A peer's roots are chosen by the trust domain of the SPIFFE ID in its leaf. An ID of a domain
/// that is not here is refused, and so is a leaf without exactly one SPIFFE ID. There is never a
/// union: a root of `staging.example` cannot vouch for `spiffe://prod.example/billing`.
///
/// ```no_run
/// use countersign::TrustStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let trust = TrustStore::by_trust_domain()
///     .with("prod.example", TrustStore::from_pem_file("prod.pem")?)?
///     .with("partner.example", TrustStore::from_pem_file("partner.pem")?)?;
/// # Ok(())
/// # }
/// ```
///
/// A federated domain comes and goes at run time by `Acceptor::set_trust_domain` and
/// `Acceptor::remove_trust_domain`, or their namesakes of the connector.
#[derive(Clone, Default)]
pub struct TrustBundles {
    by_domain: BTreeMap<Box<str>, TrustStore>,
}

/// Why a trust bundle cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The name is not one of a trust domain.
    #[error(
        "\"{}\" names no trust domain: {source}; write it as in example.org",
        crate::pki::text::Escaped(name)
    )]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The bundle has neither a root nor a pin.
    #[error("the trust bundle of {name} is empty; to believe nobody of a domain, leave it out")]
    Empty {
        /// The trust domain.
        name: String,
    },
    /// There is one set of roots for everybody, and none by trust domain.
    #[error(
        "the trust store is not by trust domain; give the builder TrustStore::by_trust_domain()"
    )]
    NotByTrustDomain,
}

impl BundleError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid_trust_domain",
            Self::Empty { .. } => "empty_trust_bundle",
            Self::NotByTrustDomain => "not_by_trust_domain",
        }
    }
}

impl TrustBundles {
    /// Adds a trust domain, such as `example.org`, with its bundle, or replaces its bundle.
    ///
    /// # Errors
    /// [`BundleError`]: `"Example.org"`, `"spiffe://example.org"` and `"example.org/a"` are not
    /// names of trust domains; a bundle must not be empty.
    pub fn with(mut self, name: &str, bundle: TrustStore) -> Result<Self, BundleError> {
        SpiffeId::check_trust_domain(name).map_err(|source| BundleError::InvalidName {
            name: name.to_owned(),
            source,
        })?;
        if bundle.is_empty() {
            return Err(BundleError::Empty {
                name: name.to_owned(),
            });
        }
        self.by_domain.insert(name.into(), bundle);
        Ok(self)
    }

    /// Removes a trust domain.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.by_domain.remove(name);
        self
    }

    /// The bundle of a trust domain.
    pub fn get(&self, name: &str) -> Option<&TrustStore> {
        self.by_domain.get(name)
    }

    /// The trust domains, sorted.
    pub fn trust_domains(&self) -> impl Iterator<Item = &str> {
        self.by_domain.keys().map(|name| &**name)
    }

    /// Whether there is no trust domain at all.
    pub fn is_empty(&self) -> bool {
        self.by_domain.is_empty()
    }

    pub(super) fn stores(&self) -> impl Iterator<Item = &TrustStore> {
        self.by_domain.values()
    }
}

impl fmt::Debug for TrustBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.by_domain).finish()
    }
}

/// Whom we believe: one store for everybody, or one for each SPIFFE trust domain.
///
/// Builders take either as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trust {
    /// Everybody's chain must lead into this store.
    Store(TrustStore),
    /// A chain must lead into the bundle of its own trust domain.
    ByTrustDomain(TrustBundles),
}

impl From<TrustStore> for Trust {
    fn from(store: TrustStore) -> Self {
        Self::Store(store)
    }
}

impl From<TrustBundles> for Trust {
    fn from(bundles: TrustBundles) -> Self {
        Self::ByTrustDomain(bundles)
    }
}

impl Trust {
    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.stores().all(TrustStore::is_empty)
    }

    /// All stores: one, or one for each trust domain.
    pub fn stores(&self) -> impl Iterator<Item = &TrustStore> {
        let (one, many) = match self {
            Self::Store(store) => (Some(store), None),
            Self::ByTrustDomain(bundles) => (None, Some(bundles)),
        };
        one.into_iter()
            .chain(many.into_iter().flat_map(TrustBundles::stores))
    }
}

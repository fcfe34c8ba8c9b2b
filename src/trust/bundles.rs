//! Trust bundles by SPIFFE trust domain.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::TrustStore;
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::identity::TrustDomain;

/// Roots by SPIFFE trust domain. The roots of a domain are trusted for IDs of that domain only.
///
/// The trust domain of the SPIFFE ID in a peer's leaf selects the roots. The peer is rejected when its
/// trust domain is not here, and when its leaf has not exactly one SPIFFE ID. The bundles are never
/// joined: a root of `staging.example` cannot issue a trusted certificate for
/// `spiffe://prod.example/billing`.
///
/// ```no_run
/// use countersign::TrustStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let trust = TrustStore::by_trust_domain()
///     .with("prod.example".parse()?, TrustStore::from_pem_file("prod.pem")?)?
///     .with(
///         "partner.example".parse()?,
///         TrustStore::from_spiffe_bundle_file("partner.json")?,
///     )?;
/// # Ok(())
/// # }
/// ```
///
/// [`Control::set_trust_domain`](crate::Control::set_trust_domain) and
/// [`Control::remove_trust_domain`](crate::Control::remove_trust_domain) change the federated domains at
/// run time.
#[derive(Clone, Default)]
#[doc(alias = "federation")]
pub struct TrustBundles {
    by_domain: BTreeMap<TrustDomain, TrustStore>,
}

/// Why a trust bundle is rejected.
///
/// ```
/// use countersign::trust::BundleError;
/// use countersign::{Diagnostic, TrustStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bundles = TrustStore::by_trust_domain();
/// let error = bundles.with("prod.example".parse()?, TrustStore::empty()).unwrap_err();
/// assert!(matches!(error, BundleError::Empty { .. }));
/// assert_eq!(error.reason(), "empty_trust_bundle");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bundle has neither a root nor a pin.
    Empty {
        /// The trust domain.
        trust_domain: TrustDomain,
    },
    /// There is one set of roots for all peers, and none by trust domain.
    NotByTrustDomain,
}

impl BundleError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "empty_trust_bundle",
            Self::NotByTrustDomain => "not_by_trust_domain",
        }
    }
}

impl Diagnostic for BundleError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Empty { trust_domain } => {
                format!("the trust bundle of {trust_domain} is empty").into()
            }
            Self::NotByTrustDomain => "the trust store is not by trust domain".into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Empty { .. } => {
                "add a root, or remove the trust domain to trust none of its peers"
            }
            Self::NotByTrustDomain => "give the builder TrustStore::by_trust_domain()",
        })
    }
}

display_diagnostic!(BundleError);

impl TrustBundles {
    /// Adds a trust domain with its bundle, or replaces its bundle.
    ///
    /// # Errors
    /// [`BundleError::Empty`]: the bundle has neither a root nor a pin.
    pub fn with(mut self, domain: TrustDomain, bundle: TrustStore) -> Result<Self, BundleError> {
        if bundle.is_empty() {
            return Err(BundleError::Empty {
                trust_domain: domain,
            });
        }
        self.by_domain.insert(domain, bundle);
        Ok(self)
    }

    /// Removes a trust domain.
    #[must_use]
    pub fn without(mut self, domain: &TrustDomain) -> Self {
        self.by_domain.remove(domain);
        self
    }

    /// The bundle of a trust domain.
    pub fn get(&self, domain: &TrustDomain) -> Option<&TrustStore> {
        self.by_domain.get(domain)
    }

    /// The trust domains, sorted.
    pub fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.by_domain.keys()
    }

    /// Whether there is no trust domain.
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

/// What is trusted: one store for all peers, or one for each SPIFFE trust domain.
///
/// Builders take a [`TrustStore`] or [`TrustBundles`] as it is.
///
/// ```
/// use countersign::TrustStore;
/// use countersign::testing::TestCa;
/// use countersign::trust::Trust;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = TestCa::new("Root");
/// let for_all_peers = Trust::from(root.trust());
/// let by_domain =
///     Trust::from(TrustStore::by_trust_domain().with("example.org".parse()?, root.trust())?);
/// assert_eq!(for_all_peers.stores().count(), by_domain.stores().count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trust {
    /// Every peer's chain must lead to this store.
    Store(TrustStore),
    /// A peer's chain must lead to the bundle of its own trust domain.
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
    /// Whether there is neither a root nor a pin, so that no peer is trusted.
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

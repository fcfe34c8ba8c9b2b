//! Trust bundles by SPIFFE trust domain.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::domain_map::DomainMap;
use super::{TrustError, TrustStore, files};
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::identity::{IdentityError, IdentityExtractor as _, SpiffeId, TrustDomain, WorkloadId};
use crate::pki::{Certificate, PemError};

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
/// run time. Clones share the bundles, and a change takes time in the logarithm of the trust domains.
#[derive(Clone, Default)]
#[doc(alias = "federation")]
pub struct TrustBundles {
    by_domain: DomainMap,
    /// Schemes besides `spiffe`.
    schemes: BTreeSet<String>,
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

    /// Reads the roots of each trust domain from its own PEM file, `<trust domain>.trust-bundle.pem`, in this
    /// folder: the layout of SPIFFE's files, and of Kubernetes' ClusterTrustBundles when they are projected
    /// under these names. Other files, hidden files and subfolders are ignored.
    ///
    /// ```
    /// use countersign::testing::TestCa;
    /// use countersign::trust::TrustBundles;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("countersign-bundles-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// std::fs::write(folder.join("prod.example.trust-bundle.pem"), TestCa::new("Prod").pem())?;
    /// let bundles = TrustBundles::from_spiffe_dir(&folder)?;
    /// assert!(bundles.get(&"prod.example".parse()?).is_some());
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TrustError`]: there is no such file, the name of one is not a trust domain, and as for
    /// [`TrustStore::from_pem_file`].
    pub fn from_spiffe_dir(path: impl AsRef<Path>) -> Result<Self, TrustError> {
        const SUFFIX: &str = ".trust-bundle.pem";

        let folder = path.as_ref();
        let found = files::named(folder, &["pem"]).map_err(|source| PemError::Io {
            file: folder.to_path_buf(),
            source,
        })?;
        let mut bundles = Self::default();
        for file in found {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let Some(domain) = name.strip_suffix(SUFFIX) else {
                continue;
            };
            let domain: TrustDomain = domain.parse().map_err(|error| TrustError::Malformed {
                place: file.display().to_string(),
                problem: format!("the name of the file: {}", Diagnostic::cause(&error)),
            })?;
            // A file without roots is an error.
            let store = TrustStore::from_pem_file(&file)?;
            bundles.by_domain.insert(domain, store);
        }
        if bundles.is_empty() {
            return Err(TrustError::EmptyFolder {
                folder: folder.to_path_buf(),
            });
        }
        Ok(bundles)
    }

    /// Also trusts members whose only URI SAN has this scheme, such as `wimse`, and a trust domain in the
    /// grammar of [`WorkloadId`]. The roots of a domain are the same for all schemes.
    ///
    /// Default: SPIFFE IDs only. The name is in lower case, as in the ID.
    #[must_use]
    pub fn with_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.schemes.insert(scheme.into());
        self
    }

    /// The trust domain of a leaf.
    pub(super) fn domain_of(&self, leaf: &Certificate) -> Result<TrustDomain, IdentityError> {
        if !self.schemes.is_empty() {
            let id = WorkloadId::extractor().extract(leaf);
            if let Ok(id) = id.as_ref()
                && self.schemes.contains(id.scheme())
                && id.scheme() != "spiffe"
            {
                return Ok(id.trust_domain().clone());
            }
        }
        let id = SpiffeId::extractor().extract(leaf)?;
        Ok(id.trust_domain().clone())
    }

    /// Removes a trust domain.
    #[must_use]
    pub fn without(mut self, domain: &TrustDomain) -> Self {
        self.by_domain.remove(domain);
        self
    }

    /// The bundle of a trust domain.
    pub fn get(&self, domain: &TrustDomain) -> Option<&TrustStore> {
        self.shared(domain).map(|store| &**store)
    }

    pub(crate) fn shared(&self, domain: &TrustDomain) -> Option<&Arc<TrustStore>> {
        self.by_domain.get(domain)
    }

    pub(crate) fn has_pins(&self) -> bool {
        self.by_domain.has_pins()
    }

    /// The trust domains, sorted.
    pub fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.iter().map(|(domain, _)| domain)
    }

    /// Whether there is no trust domain.
    pub fn is_empty(&self) -> bool {
        self.by_domain.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &TrustStore)> {
        self.by_domain.iter()
    }
}

impl fmt::Debug for TrustBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
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

    /// Whether a store has pins.
    pub(crate) fn has_pins(&self) -> bool {
        match self {
            Self::Store(store) => store.has_pins(),
            Self::ByTrustDomain(bundles) => bundles.has_pins(),
        }
    }

    /// All stores: one, or one for each trust domain.
    pub fn stores(&self) -> impl Iterator<Item = &TrustStore> {
        let (one, many) = match self {
            Self::Store(store) => (Some(store), None),
            Self::ByTrustDomain(bundles) => (None, Some(bundles)),
        };
        let many = many.into_iter().flat_map(TrustBundles::iter);
        one.into_iter().chain(many.map(|(_, store)| store))
    }
}

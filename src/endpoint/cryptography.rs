//! What the builder requires of cryptography, checked before anything is in force.
//!
//! A provider of rustls says which of its parts are FIPS, and rustls offers what the provider has. Whether
//! that is what the deployment requires is decided once here, with the name of the choice that is not.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use super::update::ChangedBundle;
use crate::identity::TrustDomain;
use crate::pki::{Certificate, Credentials, algorithm, provider, signature_algorithm_name};
use crate::tls::{
    BuildError, CipherOrder, FipsError, PostQuantumError, Resumption, tickets_are_fips,
};
use crate::trust::{
    ChainError, PostQuantum, Trust, TrustStore, check_post_quantum_key,
    check_post_quantum_signature,
};

/// The requirements of a builder, and the provider that they are about.
pub(crate) struct Requirements {
    pub(crate) post_quantum: PostQuantum,
    pub(crate) fips: bool,
    pub(crate) provider: Arc<CryptoProvider>,
}

/// The settings that FIPS concerns and that never change.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) allows_tls12: bool,
    pub(crate) logs_keys: bool,
    pub(crate) resumption: Resumption,
    pub(crate) is_server: bool,
}

/// What is not FIPS of an endpoint, by the part that can be replaced alone.
#[derive(Clone, Default)]
pub(crate) struct FipsState {
    settings: Option<FipsError>,
    /// How many stores of the trust have a root that is not FIPS, if the settings are.
    trust: usize,
    default: Option<FipsError>,
    /// By the name (SNI) of the credentials.
    named: HashMap<String, FipsError>,
}

impl FipsState {
    pub(crate) fn is_fips(&self) -> bool {
        self.settings.is_none()
            && self.trust == 0
            && self.default.is_none()
            && self.named.is_empty()
    }
}

/// The order of the built-in cipher suites, unless the builder sets one.
pub(crate) const fn default_order(rule: PostQuantum) -> CipherOrder {
    if rule.requires_key_exchange() {
        CipherOrder::Aes256First
    } else {
        CipherOrder::Aes128First
    }
}

/// The provider of a builder: its own, with the groups that the rule allows, or the one of the features.
///
/// # Errors
/// [`BuildError::NoProvider`]; [`BuildError::PostQuantum`] if no group remains.
pub(crate) fn choose_provider(
    given: Option<Arc<CryptoProvider>>,
    rule: PostQuantum,
) -> Result<Arc<CryptoProvider>, BuildError> {
    if !rule.requires_key_exchange() {
        return given
            .or_else(provider::built_in)
            .ok_or(BuildError::NoProvider);
    }
    let is_allowed = |provider: &CryptoProvider| !provider.kx_groups.is_empty();
    let (all, mut allowed) = match given {
        Some(given) => {
            let mut allowed = CryptoProvider::clone(&given);
            let groups = &mut allowed.kx_groups;
            groups.retain(|group| provider::is_post_quantum_group(group.name()));
            (given, allowed)
        }
        None => {
            let all = provider::built_in().ok_or(BuildError::NoProvider)?;
            let allowed = provider::post_quantum(CryptoProvider::clone(&all));
            (all, allowed)
        }
    };
    if !is_allowed(&allowed) {
        let groups: Vec<String> = all
            .kx_groups
            .iter()
            .map(|it| format!("{:?}", it.name()))
            .collect();
        let present = match &*groups {
            [] => "no key exchange group".to_owned(),
            groups => format!("only {}", groups.join(", ")),
        };
        return Err(PostQuantumError::NoKeyExchange { present }.into());
    }
    // TLS 1.2 is rejected, so its suites would only be listed.
    allowed
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    Ok(Arc::new(allowed))
}

impl Requirements {
    /// Checks what never changes, and returns what is not FIPS of it.
    pub(super) fn check_settings(&self, settings: Settings) -> Result<FipsState, BuildError> {
        if self.post_quantum.requires_key_exchange() && settings.allows_tls12 {
            return Err(PostQuantumError::Tls12.into());
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        if self.post_quantum.requires_identity()
            && !algorithms.iter().any(|known| {
                algorithm::is_post_quantum_algorithm(known.signature_alg_id().as_ref())
            })
        {
            return Err(PostQuantumError::NoSignatures.into());
        }
        Ok(FipsState {
            settings: self.demand(not_fips(&self.provider, settings))?,
            ..FipsState::default()
        })
    }

    /// Checks new trust.
    pub(super) fn check_trust(
        &self,
        trust: &Trust,
        state: &mut FipsState,
    ) -> Result<(), BuildError> {
        if self.post_quantum.requires_identity() {
            check_trust_is_post_quantum(trust)?;
        }
        // No trust makes settings FIPS that are not.
        if state.settings.is_none() {
            state.trust = 0;
            for store in trust.stores() {
                state.trust += self.count_not_fips(store)?;
            }
        }
        Ok(())
    }

    /// Checks the new bundle of a trust domain. The others were checked before.
    pub(super) fn check_bundle(
        &self,
        changed: &ChangedBundle,
        state: &mut FipsState,
    ) -> Result<(), BuildError> {
        let count = |store: &Option<Arc<TrustStore>>| {
            let store = store.as_deref().filter(|_| state.settings.is_none());
            store.map_or(Ok(0), |store| self.count_not_fips(store))
        };
        if let Some(new) = &changed.new
            && self.post_quantum.requires_identity()
        {
            check_bundle_is_post_quantum(&changed.domain, new)?;
        }
        state.trust = (state.trust + count(&changed.new)?).saturating_sub(count(&changed.old)?);
        Ok(())
    }

    /// 1 if a root of this store is not FIPS.
    fn count_not_fips(&self, store: &TrustStore) -> Result<usize, BuildError> {
        let found = store.root_not_fips(&self.provider.signature_verification_algorithms);
        let found = found.map(|(root, problem)| FipsError::TrustedKey { root, problem });
        Ok(usize::from(self.demand(found)?.is_some()))
    }

    /// Checks new credentials: the default ones, or those for a name (SNI).
    pub(super) fn check_credentials(
        &self,
        name: Option<&str>,
        credentials: &Credentials,
        state: &mut FipsState,
    ) -> Result<(), BuildError> {
        if self.post_quantum.requires_identity() {
            check_own_is_post_quantum(credentials)?;
        }
        let found = self.demand(self.own_not_fips(credentials))?;
        match (name.map(str::to_ascii_lowercase), found) {
            (None, found) => state.default = found,
            (Some(name), None) => drop(state.named.remove(&name)),
            (Some(name), Some(found)) => drop(state.named.insert(name, found)),
        }
        Ok(())
    }

    fn own_not_fips(&self, credentials: &Credentials) -> Option<FipsError> {
        if !credentials.signer_may_be_fips() {
            let certificate = credentials.certificate().clone();
            return Some(FipsError::Signer { certificate });
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        own_chain(credentials).find_map(|certificate| {
            let problem = algorithm::not_fips(certificate.spki(), algorithms)?;
            Some(FipsError::OwnKey {
                certificate,
                problem,
            })
        })
    }

    /// What is not FIPS is an error where FIPS is required.
    fn demand(&self, found: Option<FipsError>) -> Result<Option<FipsError>, BuildError> {
        match found {
            Some(error) if self.fips => Err(error.into()),
            found => Ok(found),
        }
    }
}

/// What is not FIPS of a provider and the settings. TLS 1.2 always has extended master secret.
fn not_fips(provider: &CryptoProvider, settings: Settings) -> Option<FipsError> {
    // The whole before its parts: nothing of ring is FIPS, and the suites are not the reason.
    if !provider.secure_random.fips() || !provider.key_provider.fips() {
        return Some(FipsError::Provider);
    }
    let suite = provider.cipher_suites.iter().find(|suite| !suite.fips());
    if let Some(suite) = suite {
        let name = format!("{:?}", suite.suite());
        return Some(FipsError::CipherSuite { name });
    }
    if let Some(group) = provider.kx_groups.iter().find(|group| !group.fips()) {
        let name = format!("{:?}", group.name());
        return Some(FipsError::KeyExchange { name });
    }
    let known = &provider.signature_verification_algorithms;
    let mapped = known.mapping.iter().flat_map(|(_, mapped)| mapped.iter());
    if let Some(other) = known.all.iter().chain(mapped).find(|known| !known.fips()) {
        let id = crate::pki::der::sequence(other.signature_alg_id().as_ref());
        let name = signature_algorithm_name(&id);
        return Some(FipsError::SignatureAlgorithm { name });
    }
    if settings.logs_keys {
        return Some(FipsError::KeyLog);
    }
    if settings.is_server && settings.resumption == Resumption::Stateless && !tickets_are_fips() {
        return Some(FipsError::Tickets);
    }
    None
}

fn check_trust_is_post_quantum(trust: &Trust) -> Result<(), PostQuantumError> {
    match trust {
        Trust::Store(store) if !store.allows_post_quantum() => {
            Err(PostQuantumError::Trust { trust_domain: None })
        }
        Trust::Store(_) => Ok(()),
        Trust::ByTrustDomain(bundles) => bundles
            .iter()
            .try_for_each(|(domain, bundle)| check_bundle_is_post_quantum(domain, bundle)),
    }
}

fn check_bundle_is_post_quantum(
    domain: &TrustDomain,
    bundle: &TrustStore,
) -> Result<(), PostQuantumError> {
    if bundle.allows_post_quantum() {
        return Ok(());
    }
    Err(PostQuantumError::Trust {
        trust_domain: Some(domain.to_string()),
    })
}

fn check_own_is_post_quantum(credentials: &Credentials) -> Result<(), PostQuantumError> {
    for certificate in own_chain(credentials) {
        let checked = check_post_quantum_key(&certificate)
            .and_then(|()| check_post_quantum_signature(&certificate));
        if let Err(ChainError::NotPostQuantum {
            certificate,
            algorithm,
            is_signature,
        }) = checked
        {
            return Err(PostQuantumError::OwnCertificate {
                certificate,
                algorithm,
                is_signature,
            });
        }
    }
    Ok(())
}

/// The certificates of our chain, which parsed when they were loaded.
fn own_chain(credentials: &Credentials) -> impl Iterator<Item = Certificate> {
    let chain = credentials.chain().iter();
    chain.filter_map(|der| Certificate::from_der(der).ok())
}

#[cfg(test)]
mod tests {
    #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
    mod state {
        use rustls::crypto::WebPkiSupportedAlgorithms;

        use super::super::*;
        use crate::testing::TestCa;

        /// Requirements with a provider that verifies no signature, so that no key is FIPS.
        fn requirements(fips: bool) -> Requirements {
            let mut provider = CryptoProvider::clone(&provider::built_in().unwrap());
            provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
                all: &[],
                mapping: &[],
            };
            Requirements {
                post_quantum: PostQuantum::Preferred,
                fips,
                provider: Arc::new(provider),
            }
        }

        fn changed(old: Option<TrustStore>, new: Option<TrustStore>) -> ChangedBundle {
            ChangedBundle {
                domain: "a.example".parse().unwrap(),
                old: old.map(Arc::new),
                new: new.map(Arc::new),
            }
        }

        #[test]
        fn it_is_fips_once_nothing_is_left_that_is_not() {
            let ca = TestCa::new("Root");
            let lax = requirements(false);
            let bundles = ["a.example", "b.example", "c.example"];
            let bundles = bundles
                .iter()
                .fold(TrustStore::by_trust_domain(), |all, it| {
                    all.with(it.parse().unwrap(), ca.trust()).unwrap()
                });
            let mut state = FipsState::default();
            assert!(state.is_fips());
            lax.check_trust(&bundles.into(), &mut state).unwrap();
            assert!(!state.is_fips());
            // As many of them are removed; one is replaced, and one is added.
            let (some, none) = (|| Some(ca.trust()), || None);
            for (old, new, is_fips) in [
                (some(), none(), false),
                (some(), some(), false),
                (some(), none(), false),
                (none(), some(), false),
                (some(), none(), false),
                (some(), none(), true),
                (none(), some(), false),
            ] {
                lax.check_bundle(&changed(old, new), &mut state).unwrap();
                assert_eq!(state.is_fips(), is_fips, "{}", state.trust);
            }
        }

        #[test]
        fn any_part_that_is_not_fips_counts() {
            let problem = || FipsError::Provider;
            for state in [
                FipsState {
                    settings: Some(problem()),
                    ..FipsState::default()
                },
                FipsState {
                    trust: 1,
                    ..FipsState::default()
                },
                FipsState {
                    default: Some(problem()),
                    ..FipsState::default()
                },
                FipsState {
                    named: HashMap::from([("a.example".into(), problem())]),
                    ..FipsState::default()
                },
            ] {
                assert!(!state.is_fips());
            }
        }

        #[test]
        fn where_fips_is_required_a_bundle_that_is_not_is_an_error() {
            let ca = TestCa::new("Root");
            let strict = requirements(true);
            let mut state = FipsState::default();
            let error = strict.check_bundle(&changed(None, Some(ca.trust())), &mut state);
            assert!(matches!(
                error,
                Err(BuildError::Fips(FipsError::TrustedKey { .. }))
            ));
            let removed = changed(None, None);
            strict.check_bundle(&removed, &mut state).unwrap();
            assert!(state.is_fips());
        }
    }

    #[cfg(feature = "ring")]
    mod with_ring {
        use rustls::crypto::ring;
        #[cfg(not(feature = "aws-lc-rs"))]
        use rustls_pki_types::PrivatePkcs8KeyDer;
        use rustls_pki_types::UnixTime;

        use super::super::*;
        use crate::builder::{Builder, ServerSide};
        use crate::identity::DnsName;
        use crate::testing::{TestCa, der};
        use crate::trust::ChainVerifier;
        use crate::{Acceptor, Diagnostic, Side, policy};

        fn builder(ca: &TestCa) -> Builder<ServerSide, DnsName> {
            Acceptor::builder()
                .credentials(ca.leaf().dns("a.example").issue().credentials())
                .trust(ca.trust())
                .identify(DnsName::extractor())
                .authorize(policy::allow_any())
                .crypto_provider(ring::default_provider())
        }

        /// A SubjectPublicKeyInfo of ML-DSA-65 without a private key.
        fn ml_dsa() -> Vec<u8> {
            let algorithm = der::sequence(&[der::oid("2.16.840.1.101.3.4.3.18")]);
            der::sequence(&[algorithm, der::bit_string(0, [7; 1952])])
        }

        #[test]
        fn ring_is_neither_post_quantum_nor_fips() {
            let ca = TestCa::new("Root");
            for rule in [PostQuantum::KeyExchange, PostQuantum::Only] {
                let error = builder(&ca).post_quantum(rule).build().unwrap_err();
                assert_eq!(error.reason(), "post_quantum_key_exchange");
                assert!(error.cause().ends_with("only X25519, secp256r1, secp384r1"));
                assert!(error.remedy().contains("aws-lc-rs"));
            }
            let error = builder(&ca).require_fips().build().unwrap_err();
            assert_eq!(error.reason(), "fips_provider");
            assert!(!builder(&ca).build().unwrap().is_fips());
        }

        #[test]
        fn ring_rejects_ml_dsa_with_the_remedy() {
            let ca = TestCa::new("Root");
            let peer = ca.leaf().spki_der(ml_dsa()).issue();
            let provider = ring::default_provider();
            let error = ChainVerifier::new(ca.trust(), Side::Client, &provider)
                .verify(peer.chain(), UnixTime::now())
                .unwrap_err();
            assert_eq!(error.reason(), "unsupported_key");
            assert!(error.cause().contains("the key is ML-DSA-65"), "{error}");
            assert!(error.remedy().contains("feature aws-lc-rs"), "{error}");
        }

        /// Where ring is the only provider, our own key is rejected when it is loaded.
        #[cfg(not(feature = "aws-lc-rs"))]
        #[test]
        fn ring_rejects_our_own_ml_dsa_key_with_the_remedy() {
            let chain = TestCa::new("Root").leaf().spki_der(ml_dsa()).issue();
            let key = der::sequence(&[
                der::integer(0),
                der::sequence(&[der::oid("2.16.840.1.101.3.4.3.18")]),
                der::octet_string(&der::tlv(0x80, [7; 32])),
            ]);
            let key = PrivatePkcs8KeyDer::from(key).into();
            let error = Credentials::from_der(chain.chain().to_vec(), key).unwrap_err();
            assert_eq!(error.reason(), "unusable_key");
            assert!(error.remedy().contains("feature aws-lc-rs"), "{error}");
        }
    }
}

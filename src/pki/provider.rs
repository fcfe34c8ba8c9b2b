//! The cryptographic provider that is used unless the application sets another.

use std::sync::{Arc, OnceLock};

use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::SignatureVerificationAlgorithm;

/// The provider of this crate's features: aws-lc-rs, else ring, else none.
///
/// The process-wide default of rustls is not used: another crate that installs one must not change
/// how peers are verified here.
pub(crate) fn built_in() -> Option<Arc<CryptoProvider>> {
    static PROVIDER: OnceLock<Option<Arc<CryptoProvider>>> = OnceLock::new();
    PROVIDER.get_or_init(make).clone()
}

#[cfg(feature = "aws-lc-rs")]
fn make() -> Option<Arc<CryptoProvider>> {
    use rustls::crypto::aws_lc_rs;

    let mut provider = aws_lc_rs::default_provider();
    // Post-quantum first, also if no crate enables rustls' feature `prefer-post-quantum`. The sort is
    // stable: the other groups keep their order.
    provider
        .kx_groups
        .sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    Some(Arc::new(provider))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn make() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
const fn make() -> Option<Arc<CryptoProvider>> {
    None
}

/// Whether a key exchange with this group resists quantum computers: with ML-KEM, alone or in a hybrid.
pub(crate) const fn is_post_quantum_group(group: NamedGroup) -> bool {
    matches!(
        group,
        NamedGroup::X25519MLKEM768
            | NamedGroup::secp256r1MLKEM768
            | NamedGroup::MLKEM512
            | NamedGroup::MLKEM768
            | NamedGroup::MLKEM1024
            | NamedGroup::Unknown(0x11ed) // SecP384r1MLKEM1024, which rustls has no name for
    )
}

/// The provider of this crate's features with the groups of [`is_post_quantum_group`] alone: also with those
/// that rustls does not offer by default, MLKEM1024 for CNSA 2.0.
pub(crate) fn post_quantum(mut provider: CryptoProvider) -> CryptoProvider {
    provider
        .kx_groups
        .retain(|group| is_post_quantum_group(group.name()));
    #[cfg(feature = "aws-lc-rs")]
    {
        use rustls::crypto::aws_lc_rs::kx_group;

        for group in [kx_group::SECP256R1MLKEM768, kx_group::MLKEM1024] {
            let groups = &provider.kx_groups;
            let is_known = groups.iter().any(|known| known.name() == group.name());
            if !is_known && (!cfg!(feature = "fips") || group.fips()) {
                provider.kx_groups.push(group);
            }
        }
    }
    provider
}

/// The library that a provider's signature algorithms are of. They accept keys of different sizes and
/// encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    AwsLcRs,
    Ring,
    Other,
}

impl Backend {
    pub(crate) fn of<'p>(
        algorithms: impl IntoIterator<Item = &'p &'static dyn SignatureVerificationAlgorithm>,
    ) -> Self {
        #[cfg(feature = "aws-lc-rs")]
        let aws = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(feature = "ring")]
        let ring = rustls::crypto::ring::default_provider();
        let backends: &[(&[&dyn SignatureVerificationAlgorithm], Self)] = &[
            #[cfg(feature = "aws-lc-rs")]
            (aws.signature_verification_algorithms.all, Self::AwsLcRs),
            #[cfg(feature = "ring")]
            (ring.signature_verification_algorithms.all, Self::Ring),
        ];
        let first = algorithms.into_iter().next();
        let has_it = |all: &[&dyn SignatureVerificationAlgorithm]| {
            first.is_some_and(|first| all.iter().any(|known| std::ptr::addr_eq(*known, *first)))
        };
        let mut backends = backends.iter();
        let found = backends.find(|(all, _)| has_it(all));
        found.map_or(Self::Other, |(_, backend)| *backend)
    }
}

#[cfg(all(test, feature = "aws-lc-rs"))]
mod tests {
    #[test]
    fn the_hybrid_key_exchange_comes_first() {
        let provider = super::built_in().expect("aws-lc-rs is compiled in");
        let groups: Vec<_> = provider
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        assert_eq!(groups[0], rustls::NamedGroup::X25519MLKEM768);
        // The FIPS build leaves X25519 out.
        let next = if cfg!(feature = "fips") {
            rustls::NamedGroup::secp256r1
        } else {
            rustls::NamedGroup::X25519
        };
        assert_eq!(groups[1], next);
    }
}

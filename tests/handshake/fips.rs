//! What is FIPS, and the option that demands it: each choice that is not is refused with its own reason.
//!
//! Without the feature `fips` no provider is FIPS. Here one claims to be, with parts that do not.

use std::sync::Arc;

use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::{Issued, KeyType, TestCa};
use countersign::{
    Acceptor, BuildError, Credentials, Diagnostic, FipsError, Resumption, TrustStore, policy,
};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::sign::SigningKey;
use rustls::{KeyLogFile, NamedGroup};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, UnixTime,
};
use support::{SERVER, Version, provider};

/// A part of the provider that says that it is FIPS.
#[derive(Debug)]
struct Validated<T>(T);

impl SecureRandom for Validated<&'static dyn SecureRandom> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.0.fill(bytes)
    }

    fn fips(&self) -> bool {
        true
    }
}

impl KeyProvider for Validated<&'static dyn KeyProvider> {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        self.0.load_private_key(key)
    }

    fn fips(&self) -> bool {
        true
    }
}

impl SupportedKxGroup for Validated<&'static dyn SupportedKxGroup> {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        self.0.start()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn fips(&self) -> bool {
        true
    }
}

impl SignatureVerificationAlgorithm for Validated<&'static dyn SignatureVerificationAlgorithm> {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.0.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }

    fn fips(&self) -> bool {
        true
    }
}

/// How many of a provider's parts claim to be FIPS, from the first one that is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claims {
    /// Random numbers and keys.
    Provider,
    /// And no cipher suites.
    Suites,
    /// And its groups.
    Groups,
    /// And its signature algorithms.
    All,
}

/// aws-lc-rs, of which so much claims to be FIPS.
fn claiming(claims: Claims) -> CryptoProvider {
    let mut provider = CryptoProvider::clone(&provider(Version::Tls13));
    provider.secure_random = Box::leak(Box::new(Validated(provider.secure_random)));
    provider.key_provider = Box::leak(Box::new(Validated(provider.key_provider)));
    if claims >= Claims::Suites {
        provider.cipher_suites.clear();
    }
    if claims >= Claims::Groups {
        let groups = std::mem::take(&mut provider.kx_groups);
        let claim = |group| Box::leak(Box::new(Validated(group))) as &dyn SupportedKxGroup;
        provider.kx_groups = groups.into_iter().map(claim).collect();
    }
    if claims == Claims::All {
        let claim = |&known: &&'static dyn SignatureVerificationAlgorithm| {
            Box::leak(Box::new(Validated(known))) as &dyn SignatureVerificationAlgorithm
        };
        let algorithms = provider.signature_verification_algorithms;
        let mapping = algorithms.mapping.iter().map(|(scheme, mapped)| {
            let mapped: Vec<_> = mapped.iter().map(claim).collect();
            (*scheme, &*mapped.leak())
        });
        provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
            all: algorithms.all.iter().map(claim).collect::<Vec<_>>().leak(),
            mapping: mapping.collect::<Vec<_>>().leak(),
        };
    }
    provider
}

fn acceptor(own: Credentials, trust: TrustStore) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(own)
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
}

fn refused(builder: Builder<ServerSide, DnsName>) -> FipsError {
    let error = builder.require_fips().build().unwrap_err();
    let BuildError::Fips(why) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(why.reason(), error.reason());
    assert!(!error.cause().is_empty() && !error.remedy().is_empty());
    why.clone()
}

/// Without the feature: both sides say so, and the option refuses them with the reason.
#[cfg(not(feature = "fips"))]
#[test]
fn what_is_not_fips_says_so_and_is_refused() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let server = acceptor(issued.credentials(), ca.trust()).build().unwrap();
    assert!(!server.is_fips() && !server.control().is_fips());
    let why = refused(acceptor(issued.credentials(), ca.trust()));
    assert_eq!(why, FipsError::Provider);

    let connector = || {
        countersign::Connector::builder()
            .credentials(issued.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
    };
    assert!(!connector().build().unwrap().is_fips());
    let error = connector().require_fips().build().unwrap_err();
    assert_eq!(error.reason(), "fips_provider");
    assert!(error.remedy().contains("feature fips"), "{error}");
}

#[test]
fn each_part_of_a_provider_is_refused_with_its_reason() {
    let ca = TestCa::new("Root");
    let own = ca.leaf().dns(SERVER).issue().credentials();
    let refused_by = |claims| {
        let builder = acceptor(own.clone(), ca.trust());
        refused(builder.crypto_provider(claiming(claims)))
    };
    if cfg!(not(feature = "fips")) {
        // Neither its random numbers alone are enough, nor its keys.
        let plain = provider(Version::Tls13);
        let only_random = CryptoProvider {
            key_provider: plain.key_provider,
            ..claiming(Claims::All)
        };
        let only_keys = CryptoProvider {
            secure_random: plain.secure_random,
            ..claiming(Claims::All)
        };
        for provider in [only_random, only_keys] {
            let builder = acceptor(own.clone(), ca.trust());
            assert_eq!(
                refused(builder.crypto_provider(provider)),
                FipsError::Provider
            );
        }
        let why = refused_by(Claims::Provider);
        assert!(matches!(why, FipsError::CipherSuite { name } if name.starts_with("TLS13_AES")));
        let why = refused_by(Claims::Suites);
        assert!(matches!(why, FipsError::KeyExchange { .. }));
        let why = refused_by(Claims::Groups);
        assert!(
            matches!(why, FipsError::SignatureAlgorithm { name } if name.starts_with("ecdsa-with-SHA256"))
        );
    }
    // One that FIPS never approves, added to what is.
    let mut provider = claiming(Claims::All);
    provider
        .kx_groups
        .push(rustls::crypto::aws_lc_rs::kx_group::X25519);
    let builder = acceptor(own.clone(), ca.trust());
    let why = refused(builder.crypto_provider(provider));
    assert!(matches!(why, FipsError::KeyExchange { name } if name == "X25519"));
    let mut provider = claiming(Claims::All);
    let chacha = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    provider.cipher_suites.push(chacha);
    let builder = acceptor(own, ca.trust());
    let why = refused(builder.crypto_provider(provider));
    assert!(matches!(why, FipsError::CipherSuite { name } if name.contains("CHACHA20")));
}

#[test]
fn settings_that_leave_the_module_are_refused() {
    let ca = TestCa::new("Root");
    let own = ca.leaf().dns(SERVER).issue().credentials();
    let builder = || acceptor(own.clone(), ca.trust()).crypto_provider(claiming(Claims::All));
    assert_eq!(
        refused(builder().key_log(KeyLogFile::new())),
        FipsError::KeyLog
    );
    if cfg!(not(feature = "fips")) {
        let tickets = builder().resumption(Resumption::Stateless);
        assert_eq!(refused(tickets), FipsError::Tickets);
    }
}

#[test]
fn a_signer_is_refused_unless_it_is_declared() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let signer = claiming(Claims::All)
        .key_provider
        .load_private_key(issued.key_der())
        .unwrap();
    let own = Credentials::from_signer(issued.chain().to_vec(), signer).unwrap();
    let builder =
        |own: Credentials| acceptor(own, ca.trust()).crypto_provider(claiming(Claims::All));
    let certificate = issued.certificate();
    assert_eq!(
        refused(builder(own.clone())),
        FipsError::Signer { certificate }
    );
    // Declared, it is no reason any more; what is missing is a cipher suite.
    let error = builder(own.with_fips_signer())
        .require_fips()
        .build()
        .unwrap_err();
    assert_eq!(error.reason(), "unusable_provider");
}

/// An RSA key with this public exponent, whose private key nobody has.
fn rsa(bits: usize, exponent: u32) -> Vec<u8> {
    let spki = countersign::testing::oversized_rsa_spki(bits);
    let exponent_of_it = [2, 3, 1, 0, 1];
    assert!(spki.ends_with(&exponent_of_it));
    let at = spki.len() - 3;
    let mut changed = spki;
    changed[at..].copy_from_slice(&exponent.to_be_bytes()[1..]);
    changed
}

fn trusting(ca: &TestCa, name: &str) -> (String, bool) {
    let own = ca
        .leaf()
        .dns(SERVER)
        .key(KeyType::P256)
        .issue()
        .credentials();
    let error = acceptor(own, ca.trust())
        .crypto_provider(claiming(Claims::All))
        .require_fips()
        .build()
        .unwrap_err();
    let BuildError::Fips(FipsError::TrustedKey { root, problem }) = error else {
        return (error.reason().into(), false);
    };
    assert_eq!(root, format!("\"CN={name}\""));
    (problem, true)
}

/// Ed25519 is approved by FIPS 186-5; secp256k1 is of no provider; RSA of 2,047 bits is too small.
#[test]
fn trusted_keys_are_checked() {
    for key in [
        KeyType::P256,
        KeyType::Rsa2048,
        KeyType::Ed25519,
        KeyType::MlDsa65,
    ] {
        let root = TestCa::builder("Good").key(key).root();
        let (reason, is_refused) = trusting(&root, "Good");
        assert!(!is_refused, "{key:?}: {reason}");
    }
    let curve = |tbs: Vec<u8>| {
        let p256 = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        let at = tbs.windows(10).position(|part| part == p256).unwrap();
        let mut tbs = tbs;
        tbs[at + 9] = 1; // P-192
        tbs
    };
    let root = TestCa::builder("Small").map_tbs(curve).root();
    let (problem, is_refused) = trusting(&root, "Small");
    assert!(
        is_refused && problem.contains("does not support"),
        "{problem}"
    );
}

#[test]
fn keys_of_our_own_chain_are_checked_too() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let weak = ca.leaf().spki_der(rsa(2048, 3)).ca().issue();
    let mut chain = server.chain().to_vec();
    chain.push(weak.leaf_der().clone());
    let own = Credentials::from_der(chain, server.key_der()).unwrap();
    let builder = acceptor(own, ca.trust()).crypto_provider(claiming(Claims::All));
    let FipsError::OwnKey {
        certificate,
        problem,
    } = refused(builder)
    else {
        panic!("another reason");
    };
    assert_eq!(certificate, weak.certificate());
    assert!(problem.contains("a public exponent of 2 bits"), "{problem}");
}

/// Those of peers, by the verifier alone: it needs no cipher suite.
#[test]
fn keys_of_peers_are_checked() {
    use countersign::Side;
    use countersign::trust::{ChainError, ChainVerifier};

    let ca = TestCa::new("Root");
    let provider = claiming(Claims::All);
    let verify = |issued: &Issued| {
        ChainVerifier::new(ca.trust(), Side::Client, &provider)
            .require_fips()
            .verify(issued.chain(), UnixTime::now())
    };
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Rsa2048,
        KeyType::MlDsa44,
    ] {
        verify(&ca.leaf().key(key).issue()).unwrap();
    }
    for (spki, words) in [
        (rsa(2048, 3), "a public exponent of 2 bits"),
        (rsa(2049, 65_537), "an even number of bits"),
    ] {
        let peer = ca.leaf().spki_der(spki).issue();
        let error = verify(&peer).unwrap_err();
        assert_eq!(error.reason(), "not_fips");
        let ChainError::NotFips {
            certificate,
            problem,
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(certificate, &peer.certificate());
        assert!(problem.contains(words), "{problem}");
        // Without the rule they are accepted.
        let without = ChainVerifier::new(ca.trust(), Side::Client, &provider);
        without.verify(peer.chain(), UnixTime::now()).unwrap();
    }
    // A provider that verifies them itself.
    if cfg!(not(feature = "fips")) {
        let provider = support::provider(Version::Tls13);
        let error = ChainVerifier::new(ca.trust(), Side::Client, &provider)
            .require_fips()
            .verify(ca.leaf().issue().chain(), UnixTime::now())
            .unwrap_err();
        assert!(
            error.to_string().contains("is not of a FIPS module"),
            "{error}"
        );
    }
}

/// With the module itself, on both TLS versions.
#[cfg(feature = "fips")]
mod with_the_module {
    use countersign::trust::PostQuantum;
    use countersign::{Connector, Update};
    use support::handshake;

    use super::*;

    const CLIENT: &str = "client.example";

    #[tokio::test(start_paused = true)]
    async fn the_default_is_fips_on_both_sides() {
        for key in [
            KeyType::P256,
            KeyType::P384,
            KeyType::Rsa2048,
            KeyType::MlDsa65,
        ] {
            let ca = TestCa::builder("Root").key(key).root();
            let own = |name: &str| ca.leaf().dns(name).key(key).issue().credentials();
            for (tls12, rule) in [
                (false, PostQuantum::Preferred),
                (true, PostQuantum::Preferred),
                (false, PostQuantum::KeyExchange),
            ] {
                let mut server = acceptor(own(SERVER), ca.trust())
                    .resumption(Resumption::Stateless)
                    .post_quantum(rule)
                    .require_fips();
                let mut client = Connector::builder()
                    .credentials(own(CLIENT))
                    .trust(ca.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .require_fips();
                if tls12 {
                    (server, client) = (server.allow_tls12(), client.allow_tls12());
                }
                let (server, client) = (server.build().unwrap(), client.build().unwrap());
                assert!(server.is_fips() && client.is_fips());
                assert!(server.unauthorized_rustls_config().fips());
                let (accepted, connected) = handshake(&server, &client).await;
                let accepted = accepted.unwrap();
                connected.unwrap();
                let group = accepted.peer().connection().key_exchange_group();
                assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
            }
        }
    }

    #[test]
    fn an_update_cannot_leave_it_and_without_the_option_is_fips_tells() {
        let ca = TestCa::new("Root");
        let own = ca.leaf().dns(SERVER).issue();
        let signer = provider(Version::Tls13)
            .key_provider
            .load_private_key(own.key_der())
            .unwrap();
        let unknown = Credentials::from_signer(own.chain().to_vec(), signer).unwrap();
        let strict = acceptor(own.credentials(), ca.trust())
            .require_fips()
            .build()
            .unwrap();
        let error = strict
            .control()
            .update(Update::new().credentials(unknown.clone()))
            .unwrap_err();
        assert_eq!(error.reason(), "fips_signer");
        assert_eq!(strict.control().generation(), 1);

        let lax = acceptor(own.credentials(), ca.trust()).build().unwrap();
        assert!(lax.is_fips());
        let update = Update::new().credentials_for(SERVER, unknown.clone());
        lax.control().update(update).unwrap();
        assert!(!lax.is_fips());
        let update = Update::new().credentials_for(SERVER, unknown.with_fips_signer());
        lax.control().update(update).unwrap();
        assert!(lax.is_fips());
    }

    /// TLS 1.2 without extended master secret is not approved (a client without it: `tls12`).
    #[test]
    fn the_application_cannot_turn_extended_master_secret_off() {
        let ca = TestCa::new("Root");
        let own = ca.leaf().dns(SERVER).issue().credentials();
        let strict = acceptor(own, ca.trust())
            .allow_tls12()
            .customize_rustls(|config| config.require_ems = false)
            .require_fips()
            .build()
            .unwrap();
        assert!(strict.unauthorized_rustls_config().require_ems);
    }
}

//! ML-DSA certificates on both sides, and the rule that admits nothing else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::Counted;
use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::gate::AdmitError;
use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{Issued, KeyType, TestCa};
use countersign::trust::{ChainError, Crls, Limits, PostQuantum};
use countersign::{
    AcceptError, Acceptor, BuildError, ConnectError, Connector, Diagnostic, HandshakeError,
    PostQuantumError, Resumption, TrustStore, Update, policy,
};
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{NamedGroup, PeerIncompatible, SignatureAlgorithm, SignatureScheme};
use support::{SERVER, Version, handshake, provider, raw_client, refused_raw_client};

const CLIENT: &str = "client.example";

const PARAMETER_SETS: [(KeyType, &str); 3] = [
    (KeyType::MlDsa44, "ML-DSA-44 (2.16.840.1.101.3.4.3.17)"),
    (KeyType::MlDsa65, "ML-DSA-65 (2.16.840.1.101.3.4.3.18)"),
    (KeyType::MlDsa87, "ML-DSA-87 (2.16.840.1.101.3.4.3.19)"),
];

fn ca(key: KeyType) -> TestCa {
    TestCa::builder(&format!("{key:?} Root")).key(key).root()
}

fn leaf(ca: &TestCa, name: &str, key: KeyType) -> Issued {
    ca.leaf().dns(name).key(key).issue()
}

fn acceptor(own: &Issued, trust: TrustStore) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(own.credentials())
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
}

fn connector(own: &Issued, trust: TrustStore) -> Builder<ClientSide, DnsName> {
    Connector::builder()
        .credentials(own.credentials())
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
}

fn only_groups(groups: &[NamedGroup]) -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider(Version::Tls13));
    provider.kx_groups = rustls::crypto::aws_lc_rs::ALL_KX_GROUPS.to_vec();
    provider
        .kx_groups
        .retain(|group| groups.contains(&group.name()));
    Arc::new(provider)
}

#[tokio::test(start_paused = true)]
async fn each_parameter_set_works_on_both_sides_below_intermediates() {
    for (key, name) in PARAMETER_SETS {
        let root = ca(key);
        let issuing = root.intermediate("Issuing");
        let (server, client) = (leaf(&issuing, SERVER, key), leaf(&issuing, CLIENT, key));
        let certificate = server.certificate();
        assert_eq!(certificate.key_description(), name);
        assert_eq!(certificate.signature_algorithm(), name);
        for rule in [
            PostQuantum::Preferred,
            PostQuantum::KeyExchange,
            PostQuantum::Only,
        ] {
            let acceptor = acceptor(&server, root.trust())
                .post_quantum(rule)
                .build()
                .unwrap();
            let connector = connector(&client, root.trust())
                .post_quantum(rule)
                .build()
                .unwrap();
            let (accepted, connected) = handshake(&acceptor, &connector).await;
            let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
            assert_eq!(accepted.peer().identity().as_str(), CLIENT);
            assert_eq!(connected.peer().identity().as_str(), SERVER);
            assert_eq!(accepted.peer().chain().certificates().len(), 2);
            let group = accepted.peer().connection().key_exchange_group();
            assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
        }
    }
}

/// As during a migration: the CA is classical, and its peers have post-quantum keys; or the reverse.
#[tokio::test(start_paused = true)]
async fn classical_and_post_quantum_keys_can_be_mixed() {
    for (root_key, leaf_key) in [
        (KeyType::P256, KeyType::MlDsa65),
        (KeyType::MlDsa87, KeyType::P256),
        (KeyType::Rsa2048, KeyType::MlDsa44),
    ] {
        let root = ca(root_key);
        let (server, client) = (leaf(&root, SERVER, leaf_key), leaf(&root, CLIENT, leaf_key));
        let rule = PostQuantum::KeyExchange;
        let acceptor = acceptor(&server, root.trust())
            .post_quantum(rule)
            .build()
            .unwrap();
        let connector = connector(&client, root.trust()).build().unwrap();
        let (accepted, connected) = handshake(&acceptor, &connector).await;
        assert_eq!(accepted.unwrap().peer().identity().as_str(), CLIENT);
        connected.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn pins_crls_and_denied_keys_hold_for_ml_dsa() {
    for (key, _) in PARAMETER_SETS {
        let root = ca(key);
        let server = leaf(&root, SERVER, key);
        let client = leaf(&root, CLIENT, key);
        let own = client.certificate();
        let attempt = async |trust: TrustStore, change: &dyn Fn(&Acceptor<DnsName>)| {
            let list = DenyList::new();
            let acceptor = acceptor(&server, trust)
                .post_quantum(PostQuantum::Only)
                .deny_list(&list)
                .build()
                .unwrap();
            change(&acceptor);
            let connector = connector(&client, root.trust()).build().unwrap();
            let (accepted, _) = handshake(&acceptor, &connector).await;
            accepted.map(drop).map_err(|error| error.reason())
        };
        let nothing = |_: &Acceptor<DnsName>| ();
        let pinned = TrustStore::empty().pin(&own);
        assert_eq!(attempt(pinned, &nothing).await, Ok(()));
        let pinned = TrustStore::empty().pin_spki(own.spki_sha256());
        assert_eq!(attempt(pinned, &nothing).await, Ok(()));
        let other = leaf(&root, CLIENT, key).certificate();
        let pinned = TrustStore::empty().pin(&other);
        assert_eq!(attempt(pinned, &nothing).await, Err("unknown_issuer"));

        let revoked = root.crl().revoke(client.serial()).pem();
        let innocent = root.crl().revoke(server.serial()).pem();
        for (crl, expected) in [(innocent, Ok(())), (revoked, Err("revoked"))] {
            let crls = Crls::from_bytes(crl).unwrap();
            let update = |acceptor: &Acceptor<DnsName>| {
                let update = Update::new().revocation(crls.clone());
                acceptor.control().update(update).unwrap();
            };
            assert_eq!(attempt(root.trust(), &update).await, expected);
        }
        // A CRL with a signature of another key.
        let forged = root.same_name_other_key().crl().pem();
        let acceptor = acceptor(&server, root.trust()).build().unwrap();
        let update = Update::new().revocation(Crls::from_bytes(forged).unwrap());
        let error = acceptor.control().update(update).unwrap_err();
        assert_eq!(error.reason(), "crl_not_by_issuer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_ml_dsa_key_is_denied_with_any_certificate() {
    let root = ca(KeyType::MlDsa65);
    let (server, client) = (
        leaf(&root, SERVER, KeyType::MlDsa65),
        leaf(&root, CLIENT, KeyType::MlDsa65),
    );
    let list = DenyList::new();
    let acceptor = acceptor(&server, root.trust())
        .deny_list(&list)
        .build()
        .unwrap();
    let connector = connector(&client, root.trust()).build().unwrap();
    handshake(&acceptor, &connector).await.0.unwrap();
    let entry = DenyEntry::Key(client.certificate().spki_sha256());
    list.replace([entry]);
    let error = handshake(&acceptor, &connector).await.0.unwrap_err();
    assert_eq!(error.reason(), "deny_listed");
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_post_quantum_key_exchange_is_rejected() {
    let root = TestCa::new("Root");
    let (server, client) = (
        leaf(&root, SERVER, KeyType::P256),
        leaf(&root, CLIENT, KeyType::P256),
    );
    let classical = only_groups(&[NamedGroup::secp256r1, NamedGroup::X25519]);
    let rule = PostQuantum::KeyExchange;

    let old = connector(&client, root.trust())
        .crypto_provider(classical.clone())
        .build()
        .unwrap();
    let strict = acceptor(&server, root.trust())
        .post_quantum(rule)
        .build()
        .unwrap();
    let error = handshake(&strict, &old).await.0.unwrap_err();
    assert!(matches!(
        &error,
        AcceptError::Handshake(HandshakeError::Tls(rustls::Error::PeerIncompatible(
            PeerIncompatible::NoKxGroupsInCommon
        )))
    ));
    assert!(
        error.to_string().contains("no kx groups in common"),
        "{error}"
    );

    let old = acceptor(&server, root.trust())
        .crypto_provider(classical)
        .build()
        .unwrap();
    let strict = connector(&client, root.trust())
        .post_quantum(rule)
        .build()
        .unwrap();
    let (accepted, connected) = handshake(&old, &strict).await;
    assert_eq!(accepted.unwrap_err().reason(), "tls");
    assert_eq!(connected.unwrap_err().reason(), "alert_received");
}

/// Those that the built-in provider does not offer otherwise.
#[tokio::test(start_paused = true)]
async fn the_rule_adds_the_other_groups_with_ml_kem() {
    let root = TestCa::new("Root");
    let (server, client) = (
        leaf(&root, SERVER, KeyType::P256),
        leaf(&root, CLIENT, KeyType::P256),
    );
    let strict = acceptor(&server, root.trust())
        .post_quantum(PostQuantum::KeyExchange)
        .build()
        .unwrap();
    for group in [
        NamedGroup::X25519MLKEM768,
        NamedGroup::secp256r1MLKEM768,
        NamedGroup::MLKEM1024,
    ] {
        let connector = connector(&client, root.trust())
            .crypto_provider(only_groups(&[group, NamedGroup::secp384r1]))
            .post_quantum(PostQuantum::KeyExchange)
            .build()
            .unwrap();
        let accepted = handshake(&strict, &connector).await.0.unwrap();
        let info = accepted.peer().connection();
        assert_eq!(info.key_exchange_group(), Some(group));
    }
}

/// Signs with a scheme that it was not offered.
struct Insistent(Arc<dyn SigningKey>);

impl SigningKey for Insistent {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl fmt::Debug for Insistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Insistent")
    }
}

#[tokio::test(start_paused = true)]
async fn a_classical_leaf_is_rejected_by_its_name() {
    let root = ca(KeyType::MlDsa65);
    let server = leaf(&root, SERVER, KeyType::MlDsa65);
    let strict = acceptor(&server, root.trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    let old = leaf(&root, "old.example", KeyType::P256);
    let key = provider(Version::Tls13)
        .key_provider
        .load_private_key(old.key_der())
        .unwrap();
    let presented = |key| {
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(
            old.chain().to_vec(),
            key,
        )))
    };

    // A client that reads what the server asks for sends no certificate.
    let polite = raw_client(&root, Version::Tls13, Some(presented(key.clone())));
    let (error, _) = refused_raw_client(&strict, polite).await;
    assert_eq!(error.reason(), "no_certificate");

    let insistent = raw_client(
        &root,
        Version::Tls13,
        Some(presented(Arc::new(Insistent(key)))),
    );
    let (error, alert) = refused_raw_client(&strict, insistent).await;
    assert_eq!(error.reason(), "not_post_quantum");
    assert_eq!(
        alert,
        rustls::Error::AlertReceived(rustls::AlertDescription::UnsupportedCertificate)
    );
    let AcceptError::NotAdmitted(AdmitError::Chain(ChainError::NotPostQuantum {
        certificate,
        algorithm,
        is_signature: false,
    })) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (certificate, &**algorithm),
        (&old.certificate(), "elliptic curve P-256")
    );
    assert!(error.to_string().contains("the key of"), "{error}");
}

/// The certificate whose signature is classical is named, wherever on the path it is.
#[tokio::test(start_paused = true)]
async fn a_classical_signature_on_the_path_is_rejected_by_the_certificate() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let issuing =
        |name: &str, key, issuer: &TestCa| TestCa::builder(name).key(key).signed_by(issuer);
    let server = leaf(&modern, SERVER, KeyType::MlDsa65);
    let trust = || modern.trust().and(old.trust());
    let strict = acceptor(&server, trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();

    let by_old = issuing("ML-DSA by ECDSA", KeyType::MlDsa65, &old);
    let classical = issuing("ECDSA by ML-DSA", KeyType::P256, &modern);
    let below = |ca: &TestCa| leaf(ca, CLIENT, KeyType::MlDsa65);
    for (client, position, of_signature) in [
        (below(&old), 0, true),
        (below(&by_old), 1, true),
        // The key of this intermediate signed the leaf, which comes first.
        (below(&classical), 0, true),
    ] {
        let connector = connector(&client, trust()).build().unwrap();
        let (accepted, connected) = handshake(&strict, &connector).await;
        let error = accepted.unwrap_err();
        let AcceptError::NotAdmitted(AdmitError::Chain(ChainError::NotPostQuantum {
            certificate,
            is_signature,
            ..
        })) = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(certificate.der(), &client.chain()[position]);
        assert_eq!(*is_signature, of_signature);
        assert!(
            error
                .to_string()
                .contains("is signed with ecdsa-with-SHA256"),
            "{error}"
        );
        drop(connected);
    }
    // Its twin.
    let client = below(&issuing("ML-DSA by ML-DSA", KeyType::MlDsa87, &modern));
    let connector = connector(&client, trust()).build().unwrap();
    handshake(&strict, &connector).await.0.unwrap();
}

/// An authority that both roots have certified, as during a migration.
#[tokio::test(start_paused = true)]
async fn of_several_paths_the_post_quantum_one_is_found() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let issuing = TestCa::builder("Issuing")
        .key(KeyType::MlDsa65)
        .signed_by(&old);
    let again = issuing.cross_signed_by(&modern);
    let issued = leaf(&issuing, CLIENT, KeyType::MlDsa65);
    let mut chain = issued.chain().to_vec();
    chain.push(again.certificate_der());
    let credentials = countersign::Credentials::from_der(chain, issued.key_der()).unwrap();
    let server = leaf(&modern, SERVER, KeyType::MlDsa65);
    let trust = || old.trust().and(modern.trust());
    let strict = acceptor(&server, trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(credentials)
        .trust(modern.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let accepted = handshake(&strict, &connector).await.0.unwrap();
    let path = accepted.peer().chain().certificates();
    assert_eq!(path[1].der(), &again.certificate_der());
}

#[tokio::test(start_paused = true)]
async fn a_server_with_a_classical_certificate_is_rejected() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let client = leaf(&modern, CLIENT, KeyType::MlDsa65);
    let trust = || modern.trust().and(old.trust());
    let strict = connector(&client, trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    // It has no key for a scheme that the client offers.
    let server = acceptor(&leaf(&old, SERVER, KeyType::P256), trust())
        .build()
        .unwrap();
    let (accepted, connected) = handshake(&server, &strict).await;
    assert_eq!(accepted.unwrap_err().reason(), "tls");
    assert_eq!(connected.unwrap_err().reason(), "alert_received");

    // Its key is post-quantum, and that of its CA is not.
    let by_old = leaf(&old, SERVER, KeyType::MlDsa65);
    let server = acceptor(&by_old, trust()).build().unwrap();
    let error = handshake(&server, &strict).await.1.unwrap_err();
    let ConnectError::NotAdmitted(AdmitError::Chain(ChainError::NotPostQuantum {
        certificate,
        ..
    })) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(certificate, &by_old.certificate());

    let server = acceptor(&leaf(&modern, SERVER, KeyType::MlDsa87), trust())
        .build()
        .unwrap();
    handshake(&server, &strict).await.1.unwrap();
}

#[test]
fn what_our_own_side_cannot_do_is_an_error_of_the_builder() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let own = leaf(&modern, SERVER, KeyType::MlDsa65);
    let error = |builder: Builder<ServerSide, DnsName>| {
        let error = builder.build().unwrap_err();
        let BuildError::PostQuantum(why) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(why.reason(), error.reason());
        assert!(!error.remedy().is_empty() && !error.cause().is_empty());
        why.clone()
    };

    for rule in [PostQuantum::KeyExchange, PostQuantum::Only] {
        let builder = acceptor(&own, modern.trust()).post_quantum(rule);
        assert_eq!(error(builder.allow_tls12()), PostQuantumError::Tls12);
        let builder = acceptor(&own, modern.trust()).post_quantum(rule);
        let classical = only_groups(&[NamedGroup::secp256r1]);
        assert_eq!(
            error(builder.crypto_provider(classical)),
            PostQuantumError::NoKeyExchange {
                present: "only secp256r1".into()
            }
        );
    }

    let only = PostQuantum::Only;
    let own_old = leaf(&modern, SERVER, KeyType::P256);
    let why = error(acceptor(&own_old, modern.trust()).post_quantum(only));
    assert!(matches!(
        why,
        PostQuantumError::OwnCertificate { certificate, is_signature: false, .. }
            if certificate == own_old.certificate()
    ));
    let by_old = leaf(&old, SERVER, KeyType::MlDsa65);
    let why = error(acceptor(&by_old, modern.trust()).post_quantum(only));
    assert!(matches!(
        why,
        PostQuantumError::OwnCertificate { certificate, is_signature: true, .. }
            if certificate == by_old.certificate()
    ));
    // An intermediate of ours, and a certificate for a name.
    let middle = TestCa::builder("Middle")
        .key(KeyType::MlDsa65)
        .signed_by(&old);
    let below = leaf(&middle, SERVER, KeyType::MlDsa65);
    let why = error(acceptor(&below, modern.trust()).post_quantum(only));
    assert!(matches!(
        why,
        PostQuantumError::OwnCertificate { certificate, .. }
            if certificate.der() == &below.chain()[1]
    ));
    let builder = acceptor(&own, modern.trust()).post_quantum(only);
    let why = error(builder.credentials_for(SERVER, own_old.credentials()));
    assert!(matches!(why, PostQuantumError::OwnCertificate { .. }));

    let why = error(acceptor(&own, old.trust()).post_quantum(only));
    assert_eq!(why, PostQuantumError::Trust { trust_domain: None });
    acceptor(&own, old.trust().and(modern.trust()))
        .post_quantum(only)
        .build()
        .unwrap();

    let bundles = TrustStore::by_trust_domain()
        .with("new.example".parse().unwrap(), modern.trust())
        .unwrap()
        .with("old.example".parse().unwrap(), old.trust())
        .unwrap();
    let error = Acceptor::builder()
        .credentials(own.credentials())
        .trust(bundles)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .post_quantum(only)
        .build()
        .unwrap_err();
    assert!(
        error.to_string().contains("the trust domain old.example"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_cannot_leave_the_rule() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let own = leaf(&modern, SERVER, KeyType::MlDsa65);
    let strict = acceptor(&own, modern.trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    let control = strict.control();
    let classical = leaf(&modern, SERVER, KeyType::P256);
    for (update, reason) in [
        (Update::new().trust(old.trust()), "post_quantum_trust"),
        (
            Update::new().credentials(classical.credentials()),
            "post_quantum_own_certificate",
        ),
        (
            Update::new().credentials_for(SERVER, classical.credentials()),
            "post_quantum_own_certificate",
        ),
    ] {
        assert_eq!(control.update(update).unwrap_err().reason(), reason);
        assert_eq!(control.generation(), 1);
    }
    let next = ca(KeyType::MlDsa87);
    let update = Update::new()
        .trust(next.trust())
        .credentials(leaf(&modern, SERVER, KeyType::MlDsa65).credentials());
    assert_eq!(control.update(update).unwrap(), 2);
    let client = leaf(&next, CLIENT, KeyType::MlDsa87);
    let connector = connector(&client, modern.trust()).build().unwrap();
    handshake(&strict, &connector).await.0.unwrap();
}

/// A trust domain that changes alone is checked as the whole trust is.
#[test]
fn a_trust_domain_cannot_leave_the_rule() {
    let (modern, old) = (ca(KeyType::MlDsa65), ca(KeyType::P256));
    let own = leaf(&modern, SERVER, KeyType::MlDsa65);
    let bundles = TrustStore::by_trust_domain()
        .with("new.example".parse().unwrap(), modern.trust())
        .unwrap();
    let acceptor = Acceptor::builder()
        .credentials(own.credentials())
        .trust(bundles)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    let control = acceptor.control();
    for domain in ["new.example", "other.example"] {
        let set = |trust| control.set_trust_domain(domain.parse().unwrap(), trust);
        let generation = control.generation();
        let error = set(old.trust()).unwrap_err();
        assert_eq!(error.reason(), "post_quantum_trust");
        assert!(error.to_string().contains(domain), "{error}");
        assert_eq!(control.generation(), generation);
        let next = ca(KeyType::MlDsa87);
        assert_eq!(set(next.trust()).unwrap(), generation + 1);
    }
}

/// The leaf and as many authorities below the root.
fn deep(root: &TestCa, name: &str, intermediates: usize) -> Issued {
    let mut issuer = root.clone();
    for depth in 0..intermediates {
        issuer = issuer.intermediate(&format!("Authority {depth}"));
    }
    leaf(&issuer, name, KeyType::MlDsa87)
}

/// The longest path that is verified by default has six intermediates: seven certificates of 7.5 kB.
#[tokio::test(start_paused = true)]
async fn the_longest_path_of_the_largest_certificates_fits_the_limits() {
    let root = ca(KeyType::MlDsa87);
    let (server, client) = (deep(&root, SERVER, 6), deep(&root, CLIENT, 6));
    assert_eq!(client.chain().len(), 7);
    let bytes: usize = client.chain().iter().map(|der| der.len()).sum();
    assert!(bytes > 50_000, "{bytes}");
    let acceptor = acceptor(&server, root.trust())
        .post_quantum(PostQuantum::Only)
        .build()
        .unwrap();
    let connector = connector(&client, root.trust()).build().unwrap();
    let (accepted, connected) = handshake(&acceptor, &connector).await;
    assert_eq!(accepted.unwrap().peer().chain().certificates().len(), 7);
    connected.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_too_large_is_rejected_with_the_limit() {
    let root = ca(KeyType::MlDsa87);
    let server = leaf(&root, SERVER, KeyType::MlDsa87);
    let client = deep(&root, CLIENT, 3);
    for (bytes, expected) in [(32 * 1024, Err("too_much_received")), (64 * 1024, Ok(()))] {
        let acceptor = acceptor(&server, root.trust())
            .max_handshake_bytes(bytes)
            .build()
            .unwrap();
        let connector = connector(&client, root.trust()).build().unwrap();
        let accepted = handshake(&acceptor, &connector).await.0;
        assert_eq!(accepted.map(drop).map_err(|error| error.reason()), expected);
    }
    // A message of TLS has at most 64 KiB: nine such certificates do not fit, whatever our limits are.
    let client = deep(&root, CLIENT, 8);
    let limits = Limits::default().intermediates(9);
    let acceptor = acceptor(&server, root.trust())
        .limits(limits)
        .build()
        .unwrap();
    let connector = connector(&client, root.trust()).build().unwrap();
    let error = handshake(&acceptor, &connector).await.0.unwrap_err();
    assert_eq!(error.reason(), "message_too_large", "{error}");
    assert!(error.to_string().contains("64 KiB"), "{error}");
}

/// The page's table is what is measured here, within 100 bytes: serial numbers and the signatures of ECDSA
/// have no fixed length.
#[tokio::test(start_paused = true)]
async fn the_manual_has_the_sizes() {
    let page = include_str!("../../manual/post_quantum.md");
    let mut wrong = Vec::new();
    for (key, name) in [
        (KeyType::P256, "ECDSA P-256"),
        (KeyType::Rsa2048, "RSA 2048"),
        (KeyType::MlDsa44, "ML-DSA-44"),
        (KeyType::MlDsa65, "ML-DSA-65"),
        (KeyType::MlDsa87, "ML-DSA-87"),
    ] {
        let root = ca(key);
        let issuing = root.intermediate("Issuing");
        let (server, client) = (leaf(&issuing, SERVER, key), leaf(&issuing, CLIENT, key));
        let certificate = server.leaf_der().len();
        let acceptor = acceptor(&server, root.trust())
            .resumption(Resumption::Off)
            .build()
            .unwrap();
        let connector = connector(&client, root.trust()).build().unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (near, received) = Counted::new(near);
        let (far, sent) = Counted::new(far);
        let (accepted, connected) =
            tokio::join!(acceptor.accept(near), connector.connect(SERVER, far));
        accepted.unwrap();
        connected.unwrap();
        let measured = [
            certificate,
            sent.load(Ordering::SeqCst),
            received.load(Ordering::SeqCst),
        ];
        let row = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {name} | ")));
        let shown: Vec<usize> = row
            .unwrap_or_default()
            .split('|')
            .filter_map(|cell| cell.trim().replace(',', "").parse().ok())
            .collect();
        let mut both = shown.iter().zip(measured);
        let is_right = both.all(|(shown, measured)| shown.abs_diff(measured) <= 100);
        if shown.len() != measured.len() || !is_right {
            wrong.push(format!("{name}: {shown:?}, and measured {measured:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

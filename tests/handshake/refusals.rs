//! Every refusal, by its reason and its words, with its positive twin.

use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{FixedClock, Issued, KeyUsageBits, TestCa, oversized_rsa_spki};
use countersign::trust::ChainVerifier;
use countersign::{Acceptor, Connector, Credentials, TrustStore, policy};
use rustls::AlertDescription;
use rustls_pki_types::UnixTime;
use support::{
    SERVER, VERSIONS, Version, acceptor, alert_seen, connector, handshake, raw_client,
    refused_raw_client,
};
use tokio::io::AsyncWriteExt as _;

/// Connects with this client certificate, as a client that checks nothing of its own.
async fn decide(
    acceptor: &Acceptor<DnsName>,
    ca: &TestCa,
    client: &Issued,
) -> Result<String, (&'static str, String)> {
    let config = {
        let provider = support::provider(Version::Tls13);
        let key = provider
            .key_provider
            .load_private_key(client.key_der())
            .unwrap();
        let key = rustls::sign::CertifiedKey::new(client.chain().to_vec(), key);
        raw_client(
            ca,
            Version::Tls13,
            Some(std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(
                key,
            ))),
        )
    };
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        if let Ok(mut tls) = connector.connect(SERVER.try_into().unwrap(), far).await {
            let _ = tokio::io::AsyncReadExt::read_u8(&mut tls).await;
        }
    };
    let server = async {
        let result = acceptor.accept(near).await;
        result
            .map(|stream| stream.peer().identity().to_string())
            .map_err(|error| (error.reason(), error.to_string()))
    };
    tokio::join!(server, client).0
}

#[tokio::test(start_paused = true)]
async fn chains() {
    let root = TestCa::new("Our Root");
    let acceptor = acceptor(&root, policy::allow_any()).build().unwrap();
    let stranger = TestCa::new("Their Root");
    let leaf = || root.leaf().dns("client.example");
    let no_ca_usage = TestCa::builder("No keyCertSign")
        .key_usage(Some(KeyUsageBits::CRL_SIGN))
        .signed_by(&root);
    let no_ca = TestCa::builder("No CA")
        .no_basic_constraints()
        .signed_by(&root);

    assert_eq!(
        decide(&acceptor, &root, &leaf().issue()).await.as_deref(),
        Ok("client.example")
    );
    for (client, reason, words) in [
        (
            stranger.leaf().dns("client.example").issue(),
            "unknown_issuer",
            &[
                "needs the issuer \"CN=Their Root\"",
                "has CN=Our Root",
                "add that CA",
            ][..],
        ),
        (
            root.intermediate("Middle")
                .leaf()
                .dns("client.example")
                .issue()
                .leaf_only(),
            "unknown_issuer",
            &["needs the issuer \"CN=Middle\"", "send its intermediates"],
        ),
        (
            root.same_name_other_key()
                .leaf()
                .dns("client.example")
                .issue(),
            "bad_signature",
            &[
                "was signed by another key than that of \"CN=Our Root\"",
                "another CA has its name",
            ],
        ),
        (
            leaf().signature(vec![0x30, 6, 2, 1, 1, 2, 1, 1]).issue(),
            "bad_signature",
            &["that key did not make its signature"],
        ),
        (
            leaf().expired().issue(),
            "expired",
            &["expired at 20", "our clock says 20"],
        ),
        (
            leaf().not_yet_valid().issue(),
            "not_yet_valid",
            &["not valid before 20", "our clock says 20"],
        ),
        (
            leaf().server_only().issue(),
            "wrong_extended_key_usage",
            &[
                "not for clientAuth",
                "(extendedKeyUsage: serverAuth)",
                "extendedKeyUsage=clientAuth",
            ],
        ),
        (
            leaf().version(1).issue(),
            "v1_certificate",
            &["X.509 version 1", "-extfile ext.cnf"],
        ),
        (
            leaf().ca().issue(),
            "ca_as_end_entity",
            &["pin it, or issue a leaf", "openssl req -x509"],
        ),
        (
            leaf()
                .key_usage(Some(
                    KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::KEY_CERT_SIGN,
                ))
                .issue(),
            "end_entity_may_sign",
            &["keyUsage: digitalSignature, keyCertSign"],
        ),
        (
            leaf()
                .key_usage(Some(
                    KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::CRL_SIGN,
                ))
                .issue(),
            "end_entity_may_sign",
            &["cRLSign"],
        ),
        (
            leaf()
                .key_usage(Some(KeyUsageBits::KEY_ENCIPHERMENT))
                .issue(),
            "no_digital_signature",
            &[
                "keyUsage: keyEncipherment",
                "issue it with digitalSignature",
            ],
        ),
        (
            no_ca_usage.leaf().dns("client.example").issue(),
            "issuer_may_not_sign",
            &["CN=No keyCertSign", "may not sign certificates"],
        ),
        (
            no_ca.leaf().dns("client.example").issue(),
            "issuer_may_not_sign",
            &["CN=No CA"],
        ),
        (
            leaf().spki_der(oversized_rsa_spki(8200)).issue(),
            "key_too_large",
            &["8200 bits", "limit of 8192"],
        ),
        (
            leaf().extension("1.2.3.4", true, &[5, 0]).issue(),
            "invalid_path",
            &["the critical extension 1.2.3.4 is not known"],
        ),
    ] {
        let (actual, message) = decide(&acceptor, &root, &client).await.expect_err(reason);
        assert_eq!(actual, reason, "{message}");
        for words in words {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
        assert!(!message.contains('\n'), "{message}");
    }
}

/// A chain over the limits is refused before any key in it is used, so an oversized intermediate
/// is refused although no signature could be checked with it.
#[tokio::test(start_paused = true)]
async fn an_oversized_key_anywhere_in_the_chain() {
    let root = TestCa::new("Root");
    let acceptor = acceptor(&root, policy::allow_any()).build().unwrap();
    let big = root
        .leaf()
        .ca()
        .common_name("Big")
        .spki_der(oversized_rsa_spki(16_384))
        .issue();
    let leaf = root.leaf().dns("client.example").issue();
    let chain = vec![leaf.leaf_der().clone(), big.leaf_der().clone()];
    let error = acceptor
        .control()
        .admit_chain(&chain, countersign::ConnectionInfo::default())
        .unwrap_err();
    assert_eq!(error.reason(), "key_too_large");
    acceptor
        .control()
        .admit_chain(&chain[..1], countersign::ConnectionInfo::default())
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn identities() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    for (client, reason) in [
        (
            ca.leaf().common_name("client.example").issue(),
            "identity_missing",
        ),
        (
            ca.leaf().dns("a.example").dns("b.example").issue(),
            "identity_ambiguous",
        ),
        (ca.leaf().dns("*.example").issue(), "identity_forbidden"),
        (ca.leaf().dns("a..example").issue(), "identity_bad_syntax"),
        (
            ca.leaf().general_name(0x82, b"b\xfccher.example").issue(),
            "identity_bad_encoding",
        ),
        (
            ca.leaf().dns(&["a"; 130].join(".")).issue(),
            "identity_too_long",
        ),
    ] {
        let (actual, message) = decide(&acceptor, &ca, &client).await.expect_err(reason);
        assert_eq!(actual, reason, "{message}");
        assert!(
            message.starts_with("no identity in certificate"),
            "{message}"
        );
    }

    let panicking = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(
            |_: &countersign::Certificate| -> Result<DnsName, countersign::identity::IdentityError> {
                panic!("an extractor with a bug")
            },
        )
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let client = ca.leaf().dns("client.example").issue();
    let (reason, _) = decide(&panicking, &ca, &client).await.unwrap_err();
    assert_eq!(reason, "identity_panicked");
}

#[tokio::test(start_paused = true)]
async fn no_certificate() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let (error, _) = refused_raw_client(&acceptor, raw_client(&ca, version, None)).await;
        assert_eq!(error.reason(), "no_certificate", "{version:?}");
        assert!(error.to_string().contains("--cert and --key"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_with_another_name() {
    let ca = TestCa::new("Root");
    let server = ca
        .leaf()
        .dns("a.example")
        .dns("b.example")
        .ip([127, 0, 0, 1].into())
        .issue();
    let acceptor = Acceptor::builder()
        .credentials(server.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(|certificate: &countersign::Certificate| Ok(certificate.sha256()))
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connect = async |name: &str| {
        let (_, client) = countersign::testing::handshake(&acceptor, &connector, name).await;
        client.map(drop)
    };
    for name in ["a.example", "b.example", "127.0.0.1"] {
        connect(name).await.unwrap();
    }
    let error = connect("c.example").await.unwrap_err();
    assert_eq!(error.reason(), "name_mismatch");
    let message = error.to_string();
    assert!(message.contains("not valid for \"c.example\""), "{message}");
    assert!(
        message.contains("a.example, b.example, 127.0.0.1"),
        "{message}"
    );
    assert_eq!(
        connect("127.0.0.2").await.unwrap_err().reason(),
        "name_mismatch"
    );
    assert_eq!(
        connect("not a name").await.unwrap_err().reason(),
        "invalid_server_name"
    );
}

#[test]
fn a_key_of_another_certificate() {
    let ca = TestCa::new("Root");
    let (one, other) = (
        ca.leaf().dns("one.example").issue(),
        ca.leaf().dns("other.example").issue(),
    );
    let error = Credentials::from_pem(one.chain_pem(), other.key_pem()).unwrap_err();
    assert_eq!(error.reason(), "key_mismatch");
    assert!(
        error.to_string().contains("openssl pkey -in KEY -pubout"),
        "{error}"
    );
    let credentials = Credentials::from_pem(one.chain_pem(), one.key_pem()).unwrap();
    let shown = format!("{credentials:?} {credentials:#?}");
    assert!(shown.contains("CN=Root"), "{shown}");
    let secret = one.key_der().secret_der().to_vec();
    for window in secret.windows(8) {
        let numbers = format!("{window:?}");
        assert!(!shown.contains(numbers.trim_matches(['[', ']'])), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn plaintext_http() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let send = async |bytes: &[u8]| {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        acceptor.accept(near).await.map(drop).unwrap_err()
    };
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /orders HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let error = send(request.as_bytes()).await;
        assert_eq!(error.reason(), "plaintext_http", "{request}: {error}");
        assert!(error.to_string().contains("https://"), "{error}");
    }
    assert_eq!(send(b"SSH-2.0-OpenSSH_9.9\r\n").await.reason(), "tls");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    for sent in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(sent).await.unwrap();
        drop(far);
        let error = acceptor.accept(near).await.map(drop).unwrap_err();
        assert_eq!(error.reason(), "closed");
        let words = format!("after sending {} bytes", sent.len());
        assert!(error.to_string().contains(&words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stalls() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .handshake_timeout(Duration::from_millis(700))
        .build()
        .unwrap();
    let begin = tokio::time::Instant::now();
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(&[0x16, 3, 1]).await.unwrap();
    let error = acceptor.accept(near).await.map(drop).unwrap_err();
    assert_eq!(error.reason(), "timed_out");
    assert!(error.to_string().contains("700ms"), "{error}");
    assert!(error.to_string().contains("3 bytes"), "{error}");
    let waited = begin.elapsed(); // the paused clock's time
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_millis(720));

    // The other side: a server that says nothing.
    let connector = connector(&ca, "client.example").build().unwrap();
    let (_silent, far) = tokio::io::duplex(64 * 1024);
    let begin = tokio::time::Instant::now();
    let error = connector.connect(SERVER, far).await.map(drop).unwrap_err();
    assert_eq!(error.reason(), "timed_out");
    assert!(begin.elapsed() >= Duration::from_secs(10), "the default");
}

#[tokio::test(start_paused = true)]
async fn a_clock_without_time() {
    #[derive(Debug)]
    struct Broken;
    impl rustls::time_provider::TimeProvider for Broken {
        fn current_time(&self) -> Option<UnixTime> {
            None
        }
    }
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(Broken)
        .build()
        .unwrap();
    let client = ca.leaf().dns("client.example").issue();
    let error = acceptor
        .control()
        .admit_chain(client.chain(), countersign::ConnectionInfo::default())
        .unwrap_err();
    assert_eq!(error.reason(), "no_clock");

    // Each side gives the true cause in the handshake, too, and the other one gets an alert.
    let good = connector(&ca, "client.example").build().unwrap();
    let (accepted, connected) = handshake(&acceptor, &good).await;
    assert_eq!(accepted.unwrap_err().reason(), "no_clock");
    let alert = alert_seen(connected).await;
    assert_eq!(alert, AlertDescription::CertificateUnknown);

    let connector = connector(&ca, "client.example")
        .clock(Broken)
        .build()
        .unwrap();
    let acceptor = support::acceptor(&ca, policy::allow_any()).build().unwrap();
    let (accepted, connected) = handshake(&acceptor, &connector).await;
    assert_eq!(connected.unwrap_err().reason(), "no_clock");
    let accepted = accepted.unwrap_err().to_string();
    assert!(accepted.contains("certificate_unknown"), "{accepted}");

    let (accepted, connected) = handshake(&acceptor, &good).await;
    assert!(accepted.is_ok() && connected.is_ok());
}

/// A clock that fails after sessions were granted: no session is a way around it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_loses_its_time() {
    #[derive(Clone, Debug)]
    struct Clock(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl rustls::time_provider::TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            let works = self.0.load(std::sync::atomic::Ordering::SeqCst);
            works.then(UnixTime::now)
        }
    }
    let ca = TestCa::new("Root");
    let clock = Clock(std::sync::Arc::new(true.into()));
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for works in [true, false, true] {
        clock.0.store(works, std::sync::atomic::Ordering::SeqCst);
        let (accepted, connected) = handshake(&acceptor, &connector).await;
        if works {
            support::exchange_and_close(accepted, connected).await;
        } else {
            assert_eq!(accepted.unwrap_err().reason(), "no_clock");
            let alert = alert_seen(connected).await;
            assert_eq!(alert, AlertDescription::CertificateUnknown);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pins() {
    let ours = TestCa::new("Our Root");
    let partner = TestCa::new("unused")
        .leaf()
        .dns("partner.example")
        .basic_constraints(Some(true))
        .key_usage(None) // as `openssl req -x509` does
        .self_signed();
    let impostor = TestCa::new("unused")
        .leaf()
        .dns("partner.example")
        .basic_constraints(Some(true))
        .key_usage(None) // as `openssl req -x509` does
        .self_signed();
    let clock = FixedClock::now();
    let with = |trust: TrustStore| {
        Acceptor::builder()
            .credentials(ours.leaf().dns(SERVER).issue().credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let unpinned = with(ours.trust());
    let (reason, _) = decide(&unpinned, &ours, &partner).await.unwrap_err();
    assert_eq!(reason, "ca_as_end_entity");

    let pinned = with(TrustStore::empty().pin(&partner.certificate()));
    assert_eq!(
        decide(&pinned, &ours, &partner).await.as_deref(),
        Ok("partner.example")
    );
    let (reason, _) = decide(&pinned, &ours, &impostor).await.unwrap_err();
    assert_eq!(
        reason, "ca_as_end_entity",
        "the same name is not the same certificate"
    );
    // A pin is no root: what the pinned CA signs stays unknown.
    let signed_by_our_ca = ours.leaf().dns("client.example").issue();
    let (reason, _) = decide(&pinned, &ours, &signed_by_our_ca).await.unwrap_err();
    assert_eq!(reason, "unknown_issuer");

    let by_key = with(TrustStore::empty().pin_spki(partner.certificate().spki_sha256()));
    assert_eq!(
        decide(&by_key, &ours, &partner).await.as_deref(),
        Ok("partner.example")
    );
    let (reason, _) = decide(&by_key, &ours, &impostor).await.unwrap_err();
    assert_eq!(reason, "ca_as_end_entity");

    // A pin replaces the chain, not the validity nor the use.
    let server_only = ours.leaf().dns("partner.example").server_only().issue();
    let wrong_use = with(TrustStore::empty().pin(&server_only.certificate()));
    let (reason, _) = decide(&wrong_use, &ours, &server_only).await.unwrap_err();
    assert_eq!(reason, "wrong_extended_key_usage");
    let odd = ours
        .leaf()
        .dns("partner.example")
        .extension("1.2.3.4", true, &[5, 0])
        .issue();
    let odd_pin = with(TrustStore::empty().pin(&odd.certificate()));
    let (reason, message) = decide(&odd_pin, &ours, &odd).await.unwrap_err();
    assert_eq!(reason, "invalid_path", "{message}");
    clock.advance(Duration::from_secs(400 * 24 * 60 * 60));
    let (reason, _) = decide(&pinned, &ours, &partner).await.unwrap_err();
    assert_eq!(reason, "expired");
}

#[tokio::test(start_paused = true)]
async fn extra_intermediates_complete_a_lone_leaf() {
    let root = TestCa::new("Root");
    let middle = root.intermediate("Middle");
    let lone = middle.leaf().dns("client.example").issue().leaf_only();
    let middle = countersign::Certificate::from_der(&middle.certificate_der()).unwrap();
    let with = |trust: TrustStore| {
        Acceptor::builder()
            .credentials(root.leaf().dns(SERVER).issue().credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap()
    };
    let (reason, _) = decide(&with(root.trust()), &root, &lone).await.unwrap_err();
    assert_eq!(reason, "unknown_issuer");
    let completed = with(root.trust().with_intermediate(middle.clone()));
    assert_eq!(
        decide(&completed, &root, &lone).await.as_deref(),
        Ok("client.example")
    );
    // An intermediate alone is not trusted.
    let stranger = TestCa::new("Stranger").trust().with_intermediate(middle);
    let (reason, _) = decide(&with(stranger), &root, &lone).await.unwrap_err();
    assert_eq!(reason, "unknown_issuer");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_requests_no_certificate() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let server = ca.leaf().dns(SERVER).issue();
        let config = rustls::ServerConfig::builder_with_provider(support::provider(Version::Tls13))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(server.chain().to_vec(), server.key_der())
            .unwrap();
        let anonymous = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let connector = connector(&ca, "client.example")
            .allow_tls12()
            .crypto_provider(support::provider(version))
            .build()
            .unwrap();
        // More than once: no session of such a server may smuggle the next connection through.
        for attempt in 0..3 {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let serve = async {
                let Ok(mut tls) = anonymous.accept(near).await else {
                    return;
                };
                let _ = tls.write_all(b"hello").await;
                let _ = tls.flush().await;
                let _ = tokio::io::AsyncReadExt::read_u8(&mut tls).await;
            };
            let (client, ()) = tokio::join!(connector.connect(SERVER, far), serve);
            let error = client.map(drop).unwrap_err();
            assert_eq!(
                error.reason(),
                "not_asked",
                "{version:?}, attempt {attempt}"
            );
        }
        let mutual = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        handshake(&mutual, &connector).await.1.unwrap();
    }
}

/// RFC 5280 section 4.2.1.10 binds subjectAltNames; a common name that serves as a DNS name is bound
/// too, as OpenSSL does it.
#[test]
fn a_common_name_outside_the_dns_name_constraints_is_not_an_identity() {
    use countersign::ConnectionInfo;
    use countersign::identity::{CommonName, IdentityExtractor as _, Upn};
    use countersign::testing::der;

    let subtree =
        |tag, base: &str| der::sequence(&[der::tlv(tag, der::sequence(&[der::tlv(0x82, base)]))]);
    let root = TestCa::new("Our Root");
    let permitted = TestCa::builder("Partner").name_constraints(&subtree(0xa0, "partner.example"));
    let permitted = permitted.signed_by(&root);
    let excluded = TestCa::builder("Not ours").name_constraints(&subtree(0xa1, "internal"));
    let excluded = excluded.signed_by(&root);
    // A constraint of the root binds what is far below it.
    let bound_root = TestCa::builder("Bound").name_constraints(&subtree(0xa0, "partner.example"));
    let bound_root = bound_root.root();
    let below = bound_root.intermediate("Below");
    let trust = || root.trust().and(bound_root.trust());
    let builder = || {
        let credentials = root.leaf().dns(SERVER).issue().credentials();
        Acceptor::builder().credentials(credentials).trust(trust())
    };
    let or_upn = Upn::extractor().map(|upn| upn.to_string());
    let or_upn = or_upn.or(CommonName::extractor().map(|name| name.to_string()));
    for acceptor in [
        builder()
            .identify(CommonName::extractor().map(|name| name.to_string()))
            .authorize(policy::allow_any()),
        builder().identify(or_upn).authorize(policy::allow_any()),
    ] {
        let acceptor = acceptor.build().unwrap();
        let ask = |ca: &TestCa, name: &str| {
            let leaf = ca.leaf().common_name(name).dns("a.partner.example").issue();
            let admitted = acceptor
                .control()
                .admit_chain(leaf.chain(), ConnectionInfo::default());
            admitted
                .map(drop)
                .map_err(|error| (error.reason(), error.to_string()))
        };
        for (ca, name) in [
            (&permitted, "orders.internal"),
            (&excluded, "orders.internal"),
            (&below, "orders.internal"),
            (&permitted, "*.internal"),
        ] {
            let (reason, words) = ask(ca, name).unwrap_err();
            assert_eq!(reason, "identity_forbidden", "{name}");
            assert!(
                words.contains("outside the DNS name constraints"),
                "{words}"
            );
        }
        for (ca, name) in [
            (&permitted, "a.partner.example"),
            (&permitted, "Alice Liddell"),
            (&permitted, "alice"),
            (&below, "b.partner.example"),
            (&root, "orders.internal"),
        ] {
            assert_eq!(ask(ca, name), Ok(()), "{name}");
        }
    }
}

/// rustls-webpki stops at the first name that fits.
#[test]
fn a_server_name_is_not_taken_from_a_san_with_an_entry_that_is_no_general_name() {
    let ca = TestCa::new("Root");
    let expected = "a.example".try_into().unwrap();
    let verify = |tag: u8| {
        let leaf = ca.leaf().dns("a.example").general_name(tag, &[0x2a]);
        ChainVerifier::verify_name(&leaf.issue().certificate(), &expected)
            .map_err(|error| error.reason())
    };
    assert_eq!(verify(0x88), Ok(()), "a registeredID beside it");
    assert_eq!(verify(0x89), Err("name_mismatch"));
    assert_eq!(verify(0xa9), Err("name_mismatch"));
    assert_eq!(verify(0x16), Err("name_mismatch"));
}

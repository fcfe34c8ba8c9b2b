//! A rejected peer gets the right alert, whenever it is rejected.

mod empty_certificate;
mod key_update;

use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{AcceptError, Acceptor, Decision, Diagnostic as _, HandshakeError, Peer, policy};
use rustls::AlertDescription;
use support::{
    SERVER, VERSIONS, acceptor, alert_seen, connector, deny_all, exchange_and_close, handshake,
    provider, raw_client, refused_raw_client,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn deny_later(_: Peer<DnsName>) -> Decision {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Decision::deny("after some thought")
}

async fn never(_: Peer<DnsName>) -> Decision {
    std::future::pending().await
}

fn panicking(_: &Peer<DnsName>) -> Decision {
    panic!("a policy with a bug")
}

/// Full and resumed, TLS 1.3 and 1.2, and every way in which a policy denies.
#[tokio::test(start_paused = true)]
async fn a_denied_client_sees_access_denied() {
    type SetPolicy = fn(&Acceptor<DnsName>);
    let denials: [(&str, SetPolicy); 4] = [
        ("denied", |acceptor| acceptor.control().set_policy(deny_all)),
        ("denied", |acceptor| {
            acceptor
                .control()
                .set_async_policy(deny_later, Duration::from_secs(1));
        }),
        ("policy_panicked", |acceptor| {
            acceptor.control().set_policy(panicking)
        }),
        ("policy_timed_out", |acceptor| {
            acceptor
                .control()
                .set_async_policy(never, Duration::from_secs(1));
        }),
    ];
    for version in VERSIONS {
        for (reason, deny) in denials {
            for resume in [false, true] {
                let ca = TestCa::new("Root");
                let acceptor = acceptor(&ca, policy::allow_any())
                    .allow_tls12()
                    .build()
                    .unwrap();
                let connector = connector(&ca, "client.example")
                    .allow_tls12()
                    .crypto_provider(provider(version))
                    .build()
                    .unwrap();
                if resume {
                    let (server, client) = handshake(&acceptor, &connector).await;
                    exchange_and_close(server, client).await;
                }
                deny(&acceptor);
                let (server, client) = handshake(&acceptor, &connector).await;
                assert_eq!(server.unwrap_err().reason(), reason);
                let seen = alert_seen(client).await;
                assert_eq!(
                    seen,
                    AlertDescription::AccessDenied,
                    "{version:?} {reason} {resume}"
                );

                // The same two sides, once the policy allows again.
                acceptor.control().set_policy(policy::allow_any());
                let (server, client) = handshake(&acceptor, &connector).await;
                exchange_and_close(server, client).await;
            }
        }
    }
}

/// With every cipher suite, because each seals its records differently.
#[tokio::test(start_paused = true)]
async fn every_cipher_suite_can_seal_a_refusal() {
    let ca = TestCa::new("Root");
    // RSA, so that the TLS 1.2 suites of both kinds apply in turn.
    for rsa in [false, true] {
        let server = if rsa {
            ca.leaf()
                .dns(SERVER)
                .key(countersign::testing::KeyType::Rsa2048)
                .issue()
        } else {
            ca.leaf().dns(SERVER).issue()
        };
        let acceptor = Acceptor::builder()
            .credentials(server.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(deny_all)
            .allow_tls12()
            .build()
            .unwrap();
        let all = rustls::crypto::aws_lc_rs::default_provider();
        let mut sealed = 0;
        for suite in &all.cipher_suites {
            let name = format!("{suite:?}");
            if suite.tls13().is_none() && name.contains("RSA") != rsa {
                continue;
            }
            let mut one = all.clone();
            one.cipher_suites = vec![*suite];
            let connector = connector(&ca, "client.example")
                .allow_tls12()
                .crypto_provider(one)
                .build()
                .unwrap();
            let (server, client) = handshake(&acceptor, &connector).await;
            assert_eq!(server.unwrap_err().reason(), "denied", "{name}");
            assert_eq!(
                alert_seen(client).await,
                AlertDescription::AccessDenied,
                "{name}"
            );
            sealed += 1;
        }
        // Those of TLS 1.3, and half of those of TLS 1.2. The FIPS build has no ChaCha20-Poly1305.
        assert_eq!(sealed, all.cipher_suites.len() * 2 / 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_cannot_be_read_is_access_denied_too() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let nameless = countersign::Connector::builder()
        .credentials(ca.leaf().common_name("no SAN").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, client) = handshake(&acceptor, &nameless).await;
    assert_eq!(server.unwrap_err().reason(), "identity_missing");
    assert_eq!(alert_seen(client).await, AlertDescription::AccessDenied);
}

#[tokio::test(start_paused = true)]
async fn without_a_certificate_it_is_certificate_required() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let (error, seen) = refused_raw_client(&acceptor, raw_client(&ca, version, None)).await;
        assert_eq!(error.reason(), "no_certificate");
        let expected = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(seen, expected, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_chain_has_its_own_alert() {
    use AlertDescription as A;

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    let leaf = || ca.leaf().dns("client.example");
    for (client, alert) in [
        (
            TestCa::new("Stranger").leaf().dns("client.example").issue(),
            A::UnknownCA,
        ),
        (
            ca.same_name_other_key()
                .leaf()
                .dns("client.example")
                .issue(),
            A::UnknownCA,
        ),
        (leaf().expired().issue(), A::CertificateExpired),
        (leaf().not_yet_valid().issue(), A::CertificateExpired),
        (leaf().server_only().issue(), A::UnsupportedCertificate),
        (leaf().ca().issue(), A::UnsupportedCertificate),
    ] {
        for version in VERSIONS {
            let connector = countersign::Connector::builder()
                .credentials(client.credentials())
                .trust(ca.trust())
                .identify(DnsName::extractor())
                .authorize(policy::allow_any())
                .allow_tls12()
                .own_certificate_checks(countersign::pki::OwnCertificateChecks::Report)
                .crypto_provider(provider(version))
                .build()
                .unwrap();
            let (server, client) = handshake(&acceptor, &connector).await;
            assert!(server.is_err());
            assert_eq!(alert_seen(client).await, alert, "{version:?}");
        }
    }
}

/// The client's refusals speak as well.
#[tokio::test(start_paused = true)]
async fn a_denied_server_sees_access_denied() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let connector = countersign::Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(deny_all)
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let serve = async {
            // The alert may come in the same flight as the client's Finished.
            match acceptor.accept(near).await {
                Err(AcceptError::Handshake(error)) => error.alert(),
                Err(other) => panic!("the server is not content: {other}"),
                Ok(mut stream) => {
                    let error = stream.read_u8().await.expect_err("the client is not");
                    error.downcast::<HandshakeError>().unwrap().alert()
                }
            }
        };
        let (client, seen) = tokio::join!(connector.connect(SERVER, far), serve);
        assert_eq!(
            client.map(drop).unwrap_err().reason(),
            "denied",
            "{version:?}"
        );
        assert_eq!(seen, Some(AlertDescription::AccessDenied), "{version:?}");
    }
}

/// Over real sockets, with unread data in flight, an alert must not become a reset.
#[tokio::test]
async fn the_alert_outruns_the_reset() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, deny_all).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..50 {
        let client = async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut stream = connector.connect(SERVER, tcp).await.unwrap();
            // Not read by the server: closing at once would answer it with a reset.
            let _ = stream.write_all(&[7; 30_000]).await;
            let _ = stream.flush().await;
            alert_seen(Ok(stream)).await
        };
        let server = async {
            let (tcp, _) = listener.accept().await.unwrap();
            acceptor.accept(tcp).await.map(drop).unwrap_err()
        };
        let (seen, refused) = tokio::join!(client, server);
        assert_eq!(refused.reason(), "denied");
        assert_eq!(seen, AlertDescription::AccessDenied);
    }
}

/// One line for each alert, on either side: who refused which certificate, why, and what to do.
#[tokio::test(start_paused = true)]
async fn an_alert_is_described() {
    let ca = TestCa::new("Root");
    let stranger = TestCa::new("Stranger");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let leaf = || ca.leaf().common_name("client").dns("client.example");
    let strange = stranger.leaf().common_name("client").dns("client.example");
    for (client, start, remedy) in [
        (
            strange.issue(),
            "the server refused our certificate \"CN=client\": unknown_ca (issuer \"CN=Stranger\" is \
             not in the server's trust store, or an intermediate is missing)",
            "have that CA added there, or append the intermediates",
        ),
        (
            leaf().expired().issue(),
            "the server refused our certificate \"CN=client\": certificate_expired (expired or not yet \
             valid by the server's clock: it is valid from 20",
            "renew it and its intermediates",
        ),
        (
            leaf().server_only().issue(),
            "the server refused our certificate \"CN=client\": unsupported_certificate (it is not for \
             this use (clientAuth), or is a CA certificate)",
            "issue it with extendedKeyUsage=clientAuth",
        ),
        (
            ca.leaf().common_name("client").issue(),
            "the server refused our certificate \"CN=client\": access_denied (its policy: ",
            "have us allowed there",
        ),
    ] {
        let connector = countersign::Connector::builder()
            .credentials(client.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        let (server, stream) = handshake(&acceptor, &connector).await;
        assert!(server.is_err());
        let mut stream = stream.unwrap(); // with TLS 1.3 the refusal comes with the first read
        let watch = stream.alert_watch();
        assert!(watch.get().is_none());
        let error = stream.read_u8().await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(start), "{message}");
        let alert = error.get_ref().unwrap().downcast_ref::<HandshakeError>();
        assert!(alert.unwrap().remedy().starts_with(remedy), "{message}");
        assert!(!message.contains('\n'), "{message}");

        // Whatever becomes of the stream and of its error, who watches knows.
        drop((stream, error));
        let alert = watch.get().expect("an alert");
        assert_eq!(alert.to_string(), message);
        assert_eq!(alert.peer(), countersign::Side::Server);
        assert_eq!(alert.own_certificate(), Some(&client.certificate()));
    }

    // A client that rejects our server's certificate.
    for version in VERSIONS {
        let acceptor = Acceptor::builder()
            .credentials(
                stranger
                    .leaf()
                    .common_name("us")
                    .dns(SERVER)
                    .issue()
                    .credentials(),
            )
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let (error, _) = refused_by_raw_client(&acceptor, raw_client(&ca, version, None)).await;
        let message = error.to_string();
        assert_eq!(error.reason(), "alert_received");
        assert_eq!(
            message,
            "the client refused our certificate \"CN=us\": unknown_ca (issuer \"CN=Stranger\" is not in \
             the client's trust store, or an intermediate is missing); have that CA added there, or \
             append the intermediates to our certificate's file",
            "{version:?}"
        );
    }
}

/// A client that does not believe the acceptor: what both made of it.
async fn refused_by_raw_client(
    acceptor: &Acceptor<DnsName>,
    config: rustls::ClientConfig,
) -> (AcceptError, std::io::Error) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let client = connector.connect(SERVER.try_into().unwrap(), far);
    let (server, client) = tokio::join!(acceptor.accept(near), client);
    (server.unwrap_err(), client.map(drop).unwrap_err())
}

/// Each alert has a cause and a remedy, on either side.
#[tokio::test(start_paused = true)]
async fn every_alert_has_a_cause_and_a_remedy() {
    let ca = TestCa::new("Root");
    let connector = connector(&ca, "client.example").build().unwrap();
    for number in 0..=255 {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let serve = async {
            let mut hello = [0; 5];
            far.read_exact(&mut hello).await.unwrap();
            far.write_all(&[21, 3, 3, 0, 2, 2, number]).await.unwrap();
            far.shutdown().await.unwrap();
            let _ = far.read_to_end(&mut Vec::new()).await;
        };
        let (client, ()) = tokio::join!(connector.connect(SERVER, near), serve);
        let error = client.map(drop).unwrap_err();
        // close_notify and user_canceled close a connection and reject no peer.
        if error.reason() != "alert_received" {
            assert!(matches!(number, 0 | 90), "{number}: {error}");
            continue;
        }
        let message = error.to_string();
        assert!(message.starts_with("the server refused "), "{message}");
        let (cause, remedy) = (countersign::Diagnostic::cause(&error), error.remedy());
        assert!(cause.ends_with(')') && !remedy.is_empty(), "{message}");
    }
}

/// Without tokio a read gives rustls' own error; the connector puts words to it.
#[test]
fn the_blocking_client_gets_the_alert_too() {
    use std::io::Read as _;

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, deny_all).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_nonblocking(true).unwrap();
            let tcp = tokio::net::TcpStream::from_std(tcp).unwrap();
            acceptor.accept(tcp).await.map(drop).unwrap_err().reason()
        })
    });
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut handshake = connector.start(SERVER).unwrap();
    handshake.complete(&mut tcp).unwrap();
    let (connection, _) = handshake.admit(None).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, tcp);
    let error = stream.read(&mut [0; 1]).unwrap_err();
    let error = connector.name_alert(error);
    let message = error.to_string();
    assert!(
        message.contains(": access_denied (its policy: "),
        "{message}"
    );
    let named = error.downcast::<HandshakeError>().unwrap();
    assert_eq!(named.alert(), Some(AlertDescription::AccessDenied));
    assert_eq!(server.join().unwrap(), "denied");

    let other = connector.name_alert(std::io::ErrorKind::TimedOut.into());
    assert_eq!(other.kind(), std::io::ErrorKind::TimedOut);
}

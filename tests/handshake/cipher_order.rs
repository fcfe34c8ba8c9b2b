//! Which cipher suite a connection gets, of those that both sides have.

use std::sync::Arc;

use countersign::CipherOrder;
use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::trust::PostQuantum;
use countersign::{Acceptor, Connector, policy};
use rustls::crypto::CryptoProvider;
use rustls::server::Acceptor as HelloReader;
use rustls::{CipherSuite, RootCertStore};
use support::raw_server::RawServer;
use support::{SERVER, VERSIONS, Version, acceptor, connector, handshake};
use tokio::io::AsyncReadExt as _;

use CipherOrder::{Aes128First, Aes256First, ByClient};

const fn aes128(version: Version) -> CipherSuite {
    match version {
        Version::Tls13 => CipherSuite::TLS13_AES_128_GCM_SHA256,
        Version::Tls12 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    }
}

const fn aes256(version: Version) -> CipherSuite {
    match version {
        Version::Tls13 => CipherSuite::TLS13_AES_256_GCM_SHA384,
        Version::Tls12 => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    }
}

fn rustls_provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// What an acceptor agrees on with a plain rustls client that prefers its suites in this order.
async fn negotiated(
    ca: &TestCa,
    builder: Builder<ServerSide, DnsName>,
    version: Version,
    prefers: &[CipherSuite],
) -> CipherSuite {
    let acceptor = builder.allow_tls12().build().unwrap();
    let issued = ca.leaf().dns("client.example").issue();
    let config = Arc::new(client(ca, &issued, version, prefers));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(config);
    let client = connector.connect(SERVER.try_into().unwrap(), far);
    let (server, client) = tokio::join!(acceptor.accept(near), client);
    client.unwrap();
    server.unwrap().peer().connection().cipher_suite().unwrap()
}

fn client(
    ca: &TestCa,
    issued: &Issued,
    version: Version,
    prefers: &[CipherSuite],
) -> rustls::ClientConfig {
    let mut provider = rustls_provider();
    let all = std::mem::take(&mut provider.cipher_suites);
    provider.cipher_suites = prefers
        .iter()
        .map(|wanted| *all.iter().find(|it| it.suite() == *wanted).unwrap())
        .collect();
    let versions = match version {
        Version::Tls13 => [&rustls::version::TLS13],
        Version::Tls12 => [&rustls::version::TLS12],
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(issued.chain().to_vec(), issued.key_der())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_chooses_aes_128_whatever_its_client_prefers() {
    let ca = TestCa::new("Root");
    for version in VERSIONS {
        let (short, long) = (aes128(version), aes256(version));
        for prefers in [&[long, short][..], &[short, long]] {
            let builder = acceptor(&ca, policy::allow_any());
            let suite = negotiated(&ca, builder, version, prefers).await;
            assert_eq!(suite, short);
        }
        let builder = acceptor(&ca, policy::allow_any());
        let only = negotiated(&ca, builder, version, &[long]).await;
        assert_eq!(only, long, "a client with one suite gets that");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_preference_is_kept_by_one_option() {
    let ca = TestCa::new("Root");
    for version in VERSIONS {
        let (short, long) = (aes128(version), aes256(version));
        for (order, prefers, expected) in [
            (ByClient, [long, short], long),
            (ByClient, [short, long], short),
            (Aes256First, [short, long], long),
            (Aes128First, [long, short], short),
        ] {
            let builder = acceptor(&ca, policy::allow_any()).cipher_order(order);
            let suite = negotiated(&ca, builder, version, &prefers).await;
            assert_eq!(suite, expected, "{order:?} {prefers:?}");
        }
    }
}

/// The option is not needed where the other door is used.
#[tokio::test(start_paused = true)]
async fn rustls_own_setting_still_takes_effect() {
    let ca = TestCa::new("Root");
    let prefers = [aes256(Version::Tls13), aes128(Version::Tls13)];
    let builder = acceptor(&ca, policy::allow_any())
        .customize_rustls(|config| config.ignore_client_order = false);
    let suite = negotiated(&ca, builder, Version::Tls13, &prefers).await;
    assert_eq!(suite, aes256(Version::Tls13));
}

/// A provider of the application keeps its order, and a client's.
#[tokio::test(start_paused = true)]
async fn a_given_provider_keeps_its_order() {
    let ca = TestCa::new("Root");
    let (short, long) = (aes128(Version::Tls13), aes256(Version::Tls13));
    for (order, expected) in [
        (None, long),
        (Some(Aes128First), short),
        (Some(ByClient), long),
    ] {
        let given = || acceptor(&ca, policy::allow_any()).crypto_provider(rustls_provider());
        let builder = order.map_or_else(given, |order| given().cipher_order(order));
        let suite = negotiated(&ca, builder, Version::Tls13, &[long, short]).await;
        assert_eq!(suite, expected, "{order:?}");
    }
    let hello = offered(connector(&ca, "client.example").crypto_provider(rustls_provider())).await;
    assert_eq!(hello[0], long, "rustls' own order");
}

/// The suites in a connector's ClientHello.
async fn offered(builder: Builder<ClientSide, DnsName>) -> Vec<CipherSuite> {
    let connector: Connector<DnsName> = builder.build().unwrap();
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let attempt = tokio::spawn(async move { connector.connect(SERVER, near).await.map(drop) });
    let mut reader = HelloReader::default();
    let accepted = loop {
        let mut buffer = [0; 4096];
        let count = far.read(&mut buffer).await.unwrap();
        reader.read_tls(&mut &buffer[..count]).unwrap();
        if let Some(accepted) = reader.accept().unwrap() {
            break accepted;
        }
    };
    attempt.abort();
    let hello = accepted.client_hello();
    let is_suite = |suite: &&CipherSuite| **suite != CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV;
    hello
        .cipher_suites()
        .iter()
        .filter(is_suite)
        .copied()
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_connector_offers_its_order() {
    let ca = TestCa::new("Root");
    let builder = || connector(&ca, "client.example").allow_tls12();
    let (short, long) = (aes128(Version::Tls13), aes256(Version::Tls13));
    let default = offered(builder()).await;
    assert_eq!(default[..2], [short, long]);
    let first_of_12 = default.iter().find(|suite| !is_tls13(**suite));
    assert_eq!(first_of_12, Some(&aes128(Version::Tls12)));
    for (order, expected) in [(Aes128First, short), (ByClient, short), (Aes256First, long)] {
        let mut suites = offered(builder().cipher_order(order)).await;
        assert_eq!(suites[0], expected, "{order:?}");
        // None is added, and none is left out.
        suites.sort_by_key(|suite| default.iter().position(|known| known == suite));
        assert_eq!(suites, default);
    }
}

fn is_tls13(suite: CipherSuite) -> bool {
    format!("{suite:?}").starts_with("TLS13_")
}

/// A server that insists on 256 bits gets its way.
#[tokio::test(start_paused = true)]
async fn a_server_that_prefers_256_bits_gets_them() {
    let ca = TestCa::new("Root");
    let mut server = RawServer::new(&ca, &ca.leaf().dns(SERVER).issue());
    server.config.ignore_client_order = true;
    let connector = connector(&ca, "client.example").build().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (_, stream) = tokio::join!(server.greet(near), connector.connect(SERVER, far));
    let info = stream.unwrap().peer().connection().clone();
    assert_eq!(info.cipher_suite(), Some(aes256(Version::Tls13)));
}

#[tokio::test(start_paused = true)]
async fn with_post_quantum_256_bits_come_first() {
    let ca = TestCa::new("Root");
    for (rule, expected) in [
        (PostQuantum::Preferred, aes128(Version::Tls13)),
        (PostQuantum::KeyExchange, aes256(Version::Tls13)),
    ] {
        let acceptor: Acceptor<DnsName> = acceptor(&ca, policy::allow_any())
            .post_quantum(rule)
            .build()
            .unwrap();
        let ordinary = connector(&ca, "client.example").build().unwrap();
        let (server, _client) = handshake(&acceptor, &ordinary).await;
        let info = server.unwrap().peer().connection().clone();
        assert_eq!(info.cipher_suite(), Some(expected), "{rule:?}");
        let strict = connector(&ca, "client.example").post_quantum(rule);
        assert_eq!(offered(strict).await[0], expected, "{rule:?}");
    }
}

/// A session goes on with its suite, and one of another suite is not resumed.
#[tokio::test(start_paused = true)]
async fn sessions_are_resumed_in_every_order() {
    for order in [Aes128First, Aes256First, ByClient] {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .cipher_order(order)
            .build()
            .unwrap();
        let connector = connector(&ca, "client.example").build().unwrap();
        for resumed in [false, true, true] {
            let (server, client) = handshake(&acceptor, &connector).await;
            let (server, client) = (server.unwrap(), client.unwrap());
            let info = server.peer().connection();
            assert_eq!(info.is_resumed(), resumed, "{order:?}");
            support::exchange_and_close(Ok(server), Ok(client)).await;
        }
    }
}

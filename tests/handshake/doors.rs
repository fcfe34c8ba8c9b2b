//! The lower-level doors, for those without tokio, and what cannot be opened through them.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use countersign::gate::{AdmitError, ServerNameVerification};
use countersign::identity::DnsName;
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::ChainError;
use countersign::{AcceptError, Acceptor, ConnectionInfo, Connector, policy};
use rustls::{ServerConfig, ServerConnection};
use support::raw::{RawClient, pending};
use support::{SERVER, VERSIONS, acceptor, connector, deny_all, handshake, provider, raw_client};

#[test]
fn a_blocking_client_rejects_a_server_by_name_and_policy() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept = || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
        while connection.is_handshaking() && connection.complete_io(&mut tcp).is_ok() {}
    };
    let dial = |connector: &Connector<DnsName>, name: &str| {
        std::thread::scope(|scope| {
            scope.spawn(accept);
            let mut tcp = TcpStream::connect(address).unwrap();
            let mut handshake = connector.start(name).unwrap();
            handshake
                .complete(&mut tcp)
                .map_err(|error| error.reason())?;
            handshake
                .admit(address)
                .map(drop)
                .map_err(|error| error.reason())
        })
    };
    let connector = connector(&ca, "client.example").build().unwrap();
    assert_eq!(dial(&connector, SERVER), Ok(()));
    assert_eq!(dial(&connector, "other.example"), Err("name_mismatch"));
    connector.control().set_policy(deny_all);
    assert_eq!(dial(&connector, SERVER), Err("denied"));
    assert_eq!(
        connector.start("no name").unwrap_err().reason(),
        "invalid_server_name"
    );
}

#[test]
fn a_blocking_client_rejects_a_server_that_requests_no_certificate() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let config = ServerConfig::builder_with_provider(provider(support::Version::Tls13))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(server.chain().to_vec(), server.key_der())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for _ in 0..2 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut connection = ServerConnection::new(config.clone()).unwrap();
                while connection.is_handshaking() && connection.complete_io(&mut tcp).is_ok() {}
                let _ = connection.complete_io(&mut tcp);
            });
            let mut tcp = TcpStream::connect(address).unwrap();
            let mut handshake = connector.start(SERVER).unwrap();
            handshake.complete(&mut tcp).unwrap();
            let error = handshake.admit(address).map(drop).unwrap_err();
            assert_eq!(error.reason(), "not_asked");
        });
    }
}

#[test]
fn an_unfinished_handshake_is_not_authorized() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connection = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
    let error = acceptor.control().admit(&connection, None).unwrap_err();
    assert_eq!(error.reason(), "handshake_incomplete");
    let connector = connector(&ca, "client.example").build().unwrap();
    let error = connector
        .start(SERVER)
        .unwrap()
        .admit(None)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.reason(), "handshake_incomplete");
}

/// A connection of another configuration, without a client certificate, gets nothing.
#[test]
fn the_gate_rejects_an_anonymous_connection() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let config = ServerConfig::builder_with_provider(provider(support::Version::Tls13))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(server.chain().to_vec(), server.key_der())
        .unwrap();
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    let client = raw_client(&ca, support::Version::Tls13, None);
    let mut client =
        rustls::ClientConnection::new(Arc::new(client), SERVER.try_into().unwrap()).unwrap();
    while connection.is_handshaking() || client.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        connection.read_tls(&mut &bytes[..]).unwrap();
        connection.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let error = acceptor.control().admit(&connection, None).unwrap_err();
    assert!(
        matches!(error, AdmitError::Chain(ChainError::NoCertificate)),
        "{error}"
    );
}

/// rustls ends the handshake: an application that forgets the gate has no connection.
#[test]
fn an_exported_configuration_completes_no_handshake_without_a_certificate() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let mut server = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
        let mut client = RawClient::new(&ca, version, None).start();
        let error = loop {
            let bytes = pending(&mut client);
            assert!(!bytes.is_empty(), "{version:?}: no error");
            server.read_tls(&mut bytes.as_slice()).unwrap();
            if let Err(error) = server.process_new_packets() {
                break error;
            }
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        };
        assert_eq!(error, rustls::Error::NoCertificatesPresented, "{version:?}");
        assert!(server.is_handshaking());
        let error = acceptor.control().admit(&server, None).unwrap_err();
        assert_eq!(error.reason(), "handshake_incomplete");
    }
}

/// A transport that sends only what is flushed.
struct Buffered {
    tcp: TcpStream,
    written: Vec<u8>,
}

impl Buffered {
    fn new(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let written = Vec::new();
        Self { tcp, written }
    }
}

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.write_all(&self.written)?;
        self.written.clear();
        self.tcp.flush()
    }
}

#[test]
fn blocking_handshakes_flush_their_transports() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut tcp = Buffered::new(TcpStream::connect(address).unwrap());
            let mut handshake = connector.start(SERVER).unwrap();
            handshake.complete(&mut tcp).unwrap();
            handshake.admit(address).map(drop).unwrap();
        });
        let (tcp, from) = listener.accept().unwrap();
        let mut tcp = Buffered::new(tcp);
        let mut handshake = acceptor.start().unwrap();
        handshake.complete(&mut tcp).unwrap();
        assert!(tcp.written.is_empty());
        let (_, admission) = handshake.admit(from).unwrap();
        assert_eq!(admission.peer().identity().as_str(), "client.example");
    });
}

#[test]
fn a_bare_chain_as_from_quic() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let client = ca.leaf().dns("client.example").issue();
    let info = || {
        ConnectionInfo::default()
            .with_alpn(b"h3")
            .with_server_name(SERVER)
            .with_remote_addr(std::net::SocketAddr::from(([192, 0, 2, 7], 4433)))
    };
    let admission = acceptor
        .control()
        .admit_chain(client.chain(), info())
        .unwrap();
    assert_eq!(admission.peer().identity().as_str(), "client.example");
    assert_eq!(admission.peer().connection(), &info());
    assert_eq!(
        acceptor
            .control()
            .admit_chain(&[], info())
            .unwrap_err()
            .reason(),
        "no_certificate"
    );
    let garbage = [rustls_pki_types::CertificateDer::from(vec![0x30, 1, 0])];
    let error = acceptor
        .control()
        .admit_chain(&garbage, info())
        .unwrap_err();
    assert_eq!(error.reason(), "malformed_certificate");
    assert!(std::error::Error::source(&error).is_some());
    clock.advance(Duration::from_secs(400 * 24 * 60 * 60));
    let error = acceptor
        .control()
        .admit_chain(client.chain(), info())
        .unwrap_err();
    assert_eq!(error.reason(), "expired");
    let certificate = error.certificate().map(|certificate| certificate.der());
    assert_eq!(certificate, client.chain().first(), "as claimed");
}

#[test]
fn a_bare_server_chain_needs_the_server_name() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let gate = |rule| {
        connector(&ca, "client.example")
            .server_names(rule)
            .build()
            .unwrap()
            .control()
            .clone()
    };
    let decide = |rule, info| {
        gate(rule)
            .admit_chain(server.chain(), info)
            .map(drop)
            .map_err(|error| error.reason())
    };
    let named = |name: &str| ConnectionInfo::default().with_server_name(name);
    let nameless = ConnectionInfo::default;
    assert_eq!(
        decide(ServerNameVerification::Verify, named(SERVER)),
        Ok(())
    );
    assert_eq!(
        decide(ServerNameVerification::Verify, named("other.example")),
        Err("name_mismatch")
    );
    assert_eq!(
        decide(ServerNameVerification::Verify, named("a b")),
        Err("unknown_server_name")
    );
    assert_eq!(
        decide(ServerNameVerification::Verify, nameless()),
        Err("unknown_server_name")
    );
    assert_eq!(decide(ServerNameVerification::ByPolicy, nameless()), Ok(()));
}

/// Whatever a customisation does, even to replace the whole configuration.
#[tokio::test(start_paused = true)]
async fn a_customisation_opens_no_hole() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let anonymous = ServerConfig::builder_with_provider(provider(support::Version::Tls13))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(server.chain().to_vec(), server.key_der())
        .unwrap();
    let shared = rustls::server::ServerSessionMemoryCache::new(8);
    let acceptor = acceptor(&ca, policy::allow_any())
        .customize_rustls(move |config| {
            *config = anonymous;
            config.session_storage = shared;
            config.max_early_data_size = 1 << 14;
            config.send_half_rtt_data = true;
            config.enable_secret_extraction = true;
            config.require_ems = false;
            config.alpn_protocols = vec![b"evil".to_vec()];
            config.max_fragment_size = Some(1024);
            config.send_tls13_tickets = 1;
        })
        .build()
        .unwrap();
    let (error, _) =
        support::refused_raw_client(&acceptor, raw_client(&ca, support::Version::Tls13, None))
            .await;
    assert_eq!(error.reason(), "no_certificate");

    let config = acceptor.unauthorized_rustls_config();
    assert!(!format!("{:?}", config.session_storage).contains("NoServer"));
    assert_eq!(config.max_early_data_size, 0);
    assert!(!config.send_half_rtt_data && !config.enable_secret_extraction);
    assert!(config.require_ems && config.alpn_protocols.is_empty() && !config.ticketer.enabled());
    // What is not modelled was taken over.
    assert_eq!(
        (config.max_fragment_size, config.send_tls13_tickets),
        (Some(1024), 1)
    );

    let connector = connector(&ca, "client.example")
        .customize_rustls(|config| {
            config.enable_early_data = true;
            config.enable_secret_extraction = true;
            config.alpn_protocols = vec![b"evil".to_vec()];
            config.client_auth_cert_resolver = Arc::new(NoCertificate);
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(NoCheck));
        })
        .build()
        .unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap().peer().identity().as_str(), "client.example");
    client.unwrap();
    // The customised verifier would have accepted this server.
    let stranger = TestCa::new("Stranger");
    let stranger = Acceptor::builder()
        .credentials(stranger.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, client) = handshake(&stranger, &connector).await;
    assert_eq!(client.unwrap_err().reason(), "unknown_issuer");
    assert!(matches!(server.unwrap_err(), AcceptError::Handshake(_)));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct NoCheck;

impl rustls::client::danger::ServerCertVerifier for NoCheck {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

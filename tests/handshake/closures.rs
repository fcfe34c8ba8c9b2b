//! The builder's steps for closures, and peers of connections that the application drives.

use std::time::Duration;

use countersign::builder::{ClientSide, ServerSide};
use countersign::gate::AdmitError;
use countersign::identity::{DnsName, IdentityError, IdentityErrorKind};
use countersign::pki::GeneralName;
use countersign::testing::{self, TestCa};
use countersign::trust::RootConstraints;
use countersign::{Acceptor, Decision, policy};
use rustls_pki_types::UnixTime;
use support::{SERVER, Version, acceptor, connector, handshake, raw_client};

/// The rule or the reason.
async fn outcome<I: Send + Sync + 'static>(
    acceptor: &Acceptor<I>,
    ca: &TestCa,
    client: &str,
) -> String {
    let connector = connector(ca, client).build().unwrap();
    match testing::handshake(acceptor, &connector, SERVER).await.0 {
        Ok(stream) => stream.rule().to_owned(),
        Err(error) => error.reason().to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn closures_identify_and_decide() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify_fn(
            |certificate| match certificate.subject_alternative_names() {
                Ok([GeneralName::Dns(name)]) if name.starts_with(b"client") => Ok(name.len()),
                _ => Err(IdentityError::new(IdentityErrorKind::Missing, "no client")),
            },
        )
        .authorize_fn(|peer| match peer.identity() {
            14 => Decision::allow("fourteen"),
            _ => Decision::deny("another length"),
        })
        .build()
        .unwrap();
    for (client, expected) in [
        ("client.example", "fourteen"),
        ("client-2.example", "denied"),
        ("another.example", "identity_missing"),
    ] {
        assert_eq!(outcome(&acceptor, &ca, client).await, expected);
    }

    let asked = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize_async_fn(
            async |peer| match peer.identity().as_str() {
                "client.example" => Decision::allow("directory"),
                "slow.example" => std::future::pending().await,
                _ => Decision::deny("not in the directory"),
            },
            Duration::from_secs(2),
        )
        .build()
        .unwrap();
    for (client, expected) in [
        ("client.example", "directory"),
        ("another.example", "denied"),
        ("slow.example", "policy_timed_out"),
    ] {
        assert_eq!(outcome(&asked, &ca, client).await, expected);
    }
}

/// `admit` answers no policy that has to be awaited, `admit_async` each, and neither an unfinished handshake.
#[tokio::test(start_paused = true)]
async fn connections_of_the_application_are_admitted() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize_async_fn(
            async |peer| match peer.connection().server_name() {
                Some(SERVER) => Decision::allow("directory"),
                _ => Decision::deny("another server"),
            },
            Duration::from_secs(2),
        )
        .build()
        .unwrap();
    let client = ca.leaf().dns("client.example").issue();
    let config = raw_client(&ca, Version::Tls13, Some(support::thief(&client, &client)));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio_rustls::TlsAcceptor::from(acceptor.unauthorized_rustls_config());
    let client = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let (server, _client) = tokio::join!(
        server.accept(near),
        client.connect(SERVER.try_into().unwrap(), far)
    );
    let server = server.unwrap();
    let (control, connection) = (acceptor.control(), server.get_ref().1);
    let admitted = control.admit_async(connection, None).await.unwrap();
    assert_eq!(admitted.peer().identity().as_str(), "client.example");
    let error = control.admit(connection, None).unwrap_err();
    assert_eq!(error.reason(), "policy_is_async");

    let unfinished = rustls::ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
    let error = control.admit_async(&unfinished, None).await.unwrap_err();
    assert!(matches!(error, AdmitError::HandshakeIncomplete), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_builder_holds_roots_to_their_certificates() {
    let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400));
    let expired = TestCa::builder("Root")
        .validity(at(19_000), at(19_100))
        .root();
    let client = connector(&expired, "client.example").build().unwrap();
    for (choice, expected) in [
        (RootConstraints::Ignore, None),
        (RootConstraints::Enforce, Some("expired")),
    ] {
        let acceptor = acceptor(&expired, policy::allow_any())
            .root_constraints(choice)
            .build()
            .unwrap();
        let (server, _client) = handshake(&acceptor, &client).await;
        assert_eq!(server.err().map(|error| error.reason()), expected);
    }
}

/// Neither a builder nor what it builds prints a private key.
#[test]
fn debug_has_no_private_key() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let needs_trust = || Acceptor::builder().credentials(issued.credentials());
    let needs_policy = || {
        needs_trust()
            .trust(ca.trust())
            .identify(DnsName::extractor())
    };
    let builder = || needs_policy().authorize(policy::allow_any());
    let acceptor = builder().build().unwrap();
    let connector = connector(&ca, "client.example");
    let printed = [
        (format!("{:?}", needs_trust()), "sources: Sources(0)"),
        (
            format!("{:?}", ServerSide::default()),
            "Server { named: [], .. }",
        ),
        (
            format!("{:?}", ClientSide::default()),
            "Client { server_names: Verify, .. }",
        ),
        (
            format!("{:?}", needs_policy()),
            "NeedsPolicy { credentials: Credentials {",
        ),
        (
            format!("{:?}", builder().allow_tls12()),
            "allow_tls12: true",
        ),
        (format!("{connector:?}"), "allow_tls12: false"),
        (
            format!("{:?}", acceptor.control()),
            "Control { generation: ",
        ),
        (format!("{acceptor:?}"), "Acceptor { endpoint: Endpoint {"),
    ];
    let key = issued.key_der();
    let secret = &key.secret_der()[36..68]; // of the private scalar of P-256 in PKCS#8
    let decimal = format!("{secret:?}");
    let hex: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
    let pem = issued.key_pem();
    let base64 = pem.lines().nth(1).unwrap();
    for (text, part) in printed {
        assert!(text.contains(part), "{part:?}: {text}");
        for secret in [&decimal[1..40], &hex[..16], base64] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

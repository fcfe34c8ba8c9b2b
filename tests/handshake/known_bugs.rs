//! Bugs that other systems published and that no other test is about: see `manual/known_bugs.md`.

use std::sync::Arc;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, policy};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{AlertDescription, Error, SignatureAlgorithm, SignatureScheme};
use support::raw::{Met, RawClient, serve};
use support::{
    SERVER, VERSIONS, Version, acceptor, connector, provider, raw_client, refused_raw_client,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A key whose signatures are two zeros (r and s).
#[derive(Debug)]
struct Zeros(Arc<dyn SigningKey>);

#[derive(Debug)]
struct Zero(SignatureScheme);

impl SigningKey for Zeros {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(Zero(signer.scheme())))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for Zero {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![0x30, 6, 2, 1, 0, 2, 1, 0])
    }

    fn scheme(&self) -> SignatureScheme {
        self.0
    }
}

/// CVE-2022-21449, in the handshake: a CertificateVerify without a signature.
#[tokio::test(start_paused = true)]
async fn a_signature_of_zeros_proves_no_key() {
    let ca = TestCa::new("Root");
    let victim = ca.leaf().dns("victim.example").issue();
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let provider = provider(Version::Tls13);
        let key = provider.key_provider.load_private_key(victim.key_der());
        let key = CertifiedKey::new(victim.chain().to_vec(), Arc::new(Zeros(key.unwrap())));
        let resolver = Arc::new(SingleCertAndKey::from(key));
        let config = raw_client(&ca, version, Some(resolver));
        let (error, alert) = refused_raw_client(&acceptor, config).await;
        assert_eq!(error.reason(), "key_not_proven", "{version:?}: {error}");
        let expected = Error::AlertReceived(AlertDescription::DecryptError);
        assert_eq!(alert, expected, "{version:?}");
    }
}

/// What both sides see if the ClientHello comes in records of this length.
async fn in_records(length: usize, acceptor: &Acceptor<DnsName>, client: &RawClient) -> Met {
    let (near, mut ours) = duplex(64 * 1024);
    let (mut theirs, far) = duplex(64 * 1024);
    let wire = async {
        let mut hello = vec![0; 16 * 1024];
        let count = theirs.read(&mut hello).await.unwrap();
        let (version, message) = (&hello[..3], &hello[5..count]);
        let records = message.chunks(length).flat_map(|part| {
            let size = u16::try_from(part.len()).unwrap().to_be_bytes();
            [version, &size, part].concat()
        });
        ours.write_all(&records.collect::<Vec<_>>()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
    };
    let (server, seen, ()) = tokio::join!(serve(acceptor, near), client.drive(far), wire);
    (server, seen)
}

/// RUSTSEC-2024-0399: such a ClientHello made a server panic. CVE-2026-32305: it made a proxy choose the
/// configuration without client certificates.
#[tokio::test(start_paused = true)]
async fn a_client_hello_in_many_records_meets_the_same_gate() {
    let ca = TestCa::new("Root");
    let client = ca.leaf().dns("client.example").issue();
    let acceptor = acceptor(&ca, policy::allow_any())
        .credentials_for(
            "api.example",
            ca.leaf().dns("api.example").issue().credentials(),
        )
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        for length in [1, 5, 100] {
            let known = RawClient::new(&ca, version, Some(&client));
            let (server, seen) = in_records(length, &acceptor, &known).await;
            assert_eq!((server.unwrap(), seen.end), (false, Ok(())), "{length}");
            let anonymous = RawClient::new(&ca, version, None);
            let (server, seen) = in_records(length, &acceptor, &anonymous).await;
            assert_eq!(server.unwrap_err().reason(), "no_certificate", "{length}");
            assert!(seen.end.is_err());
        }
    }
}

/// RUSTSEC-2024-0336: a close_notify within the handshake made a loop without end. The clock is stopped while a
/// task runs, so that a timeout shows that it waits.
#[tokio::test(start_paused = true)]
async fn a_close_notify_within_the_handshake_makes_no_loop() {
    const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for (leaves, reason) in [(true, "closed"), (false, "timed_out")] {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(&CLOSE_NOTIFY).await.unwrap();
        if leaves {
            far.shutdown().await.unwrap();
        }
        let refused = timeout(PATIENCE, acceptor.accept(near)).await.unwrap();
        assert_eq!(refused.map(drop).unwrap_err().reason(), reason);
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(&CLOSE_NOTIFY).await.unwrap();
        if leaves {
            far.shutdown().await.unwrap();
        }
        let refused = timeout(PATIENCE, connector.connect(SERVER, near)).await;
        assert_eq!(refused.unwrap().map(drop).unwrap_err().reason(), reason);
    }
}

async fn open(
    ca: &TestCa,
    client: &Issued,
    io: DuplexStream,
) -> tokio_rustls::client::TlsStream<DuplexStream> {
    let resolver = support::thief(client, client);
    let config = raw_client(ca, Version::Tls13, Some(resolver));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = SERVER.try_into().unwrap();
    connector.connect(name, io).await.unwrap()
}

/// CVE-2026-32283, CVE-2026-56862: each KeyUpdate costs the server a derivation of keys and an answer.
#[tokio::test(start_paused = true)]
async fn key_updates_without_data_end_the_connection() {
    let ca = TestCa::new("Root");
    let client = ca.leaf().dns("client.example").issue();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    for (updates, ends) in [(20, false), (200, true)] {
        let (near, far) = duplex(64 * 1024);
        let (server, mut client) = tokio::join!(acceptor.accept(near), open(&ca, &client, far));
        let mut server = server.unwrap();
        let talk = async {
            for _ in 0..updates {
                client.get_mut().1.refresh_traffic_keys().unwrap();
            }
            client.write_all(b"c").await.unwrap();
            client.flush().await.unwrap();
        };
        let read = timeout(PATIENCE, server.read_u8());
        let (read, ()) = tokio::join!(read, talk);
        let read = read.unwrap();
        assert_eq!(read.is_err(), ends, "{updates}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().contains("KeyUpdate"), "{error}");
        }
    }
}

//! Clients with a certificate that no authority has signed.

use std::sync::Arc;

use countersign::Acceptor;
use countersign::identity::DnsName;
use countersign::testing::{Issued, KeyType, TestCa};
use countersign_benches::case::{Kind, Side};
use countersign_benches::clock::Timed;
use countersign_benches::comparison::Implementation;
use countersign_benches::fixture::{Counter, Fixture, SERVER_NAME, Verification};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, duplex};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) struct Strangers {
    runtime: Runtime,
    ours: Acceptor<DnsName>,
    raw: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Strangers {
    pub(crate) fn new(fixture: &Fixture<'_>) -> Self {
        let mut client = fixture.raw_client(Side::Server, Kind::Known, Verification::Full);
        let leaf = TestCa::new("Elsewhere").leaf().dns("client.example");
        client.client_auth_cert_resolver = resolver(
            fixture,
            &leaf.client_only().key(KeyType::P256).self_signed(),
        );
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            ours: fixture.acceptor(&Counter::default()),
            raw: fixture
                .raw_server(Side::Server, Kind::Known, Verification::Full)
                .into(),
            client: client.into(),
        }
    }

    /// A client connects, and is refused with an alert.
    pub(crate) fn refuse(&self, implementation: Implementation) {
        let (near, far) = duplex(64 * 1024);
        let server = Timed::new(Side::Server, async {
            match implementation {
                Implementation::Ours => self.ours.accept(near).await.is_err(),
                _ => {
                    let acceptor = TlsAcceptor::from(self.raw.clone());
                    acceptor.accept(near).await.is_err()
                }
            }
        });
        let client = async {
            let name = SERVER_NAME.try_into().expect("a name");
            let connector = TlsConnector::from(self.client.clone());
            let mut stream = connector.connect(name, far).await.expect("connected");
            stream.read_u8().await.expect_err("refused")
        };
        let ((_, refused), error) = self
            .runtime
            .block_on(async { tokio::join!(server, client) });
        assert!(refused);
        let error = error.downcast::<rustls::Error>().expect("an alert");
        assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
    }
}

fn resolver(fixture: &Fixture<'_>, issued: &Issued) -> Arc<SingleCertAndKey> {
    let key = fixture
        .provider
        .key_provider
        .load_private_key(issued.key_der())
        .expect("a key");
    let certified = CertifiedKey::new(issued.chain().to_vec(), key);
    Arc::new(SingleCertAndKey::from(certified))
}

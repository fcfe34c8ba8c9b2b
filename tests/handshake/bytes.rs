//! How much a peer may send before it is admitted, to the byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{Issued, KeyType, TestCa};
use countersign::{Acceptor, Connector, Listener, Resumption, TlsStream, Update, policy};
use support::{SERVER, VERSIONS, Version, acceptor, connector, provider};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// A transport that counts what is read from it.
pub(crate) struct Counted {
    io: DuplexStream,
    read: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) fn new(io: DuplexStream) -> (Self, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Self {
            io,
            read: Arc::clone(&read),
        };
        (counted, read)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.io).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        self.read.fetch_add(count, Ordering::SeqCst);
        poll
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

type Counting = TlsStream<Counted, DnsName>;

/// Two peers whose handshakes have always the same length: an RSA signature is as long as its key.
struct World {
    ca: TestCa,
    server: Issued,
    client: Issued,
    version: Version,
}

impl World {
    fn new(version: Version) -> Self {
        let ca = TestCa::new("Root");
        let issue = |name: &str| ca.leaf().dns(name).key(KeyType::Rsa2048).issue();
        Self {
            server: issue(SERVER),
            client: issue("client.example"),
            ca,
            version,
        }
    }

    /// `None`: the default.
    fn acceptor(&self, limit: Option<usize>) -> Acceptor<DnsName> {
        let mut builder = acceptor(&self.ca, policy::allow_any())
            .allow_tls12()
            .resumption(Resumption::Off);
        if let Some(limit) = limit {
            builder = builder.max_handshake_bytes(limit);
        }
        let acceptor = builder.build().unwrap();
        let own = Update::new().credentials(self.server.credentials());
        acceptor.control().update(own).unwrap();
        acceptor
    }

    fn connector(&self, limit: Option<usize>) -> Connector<DnsName> {
        let mut builder = connector(&self.ca, "unused.example")
            .allow_tls12()
            .crypto_provider(provider(self.version))
            .resumption(Resumption::Off);
        if let Some(limit) = limit {
            builder = builder.max_handshake_bytes(limit);
        }
        let connector = builder.build().unwrap();
        let own = Update::new().credentials(self.client.credentials());
        connector.control().update(own).unwrap();
        connector
    }
}

/// One handshake: what each side made of it, and how many bytes it had read by then.
async fn meet(
    acceptor: &Acceptor<DnsName>,
    connector: &Connector<DnsName>,
) -> (
    (Result<Counting, countersign::AcceptError>, usize),
    (Result<Counting, countersign::ConnectError>, usize),
) {
    let counted = |io| {
        let read = Arc::new(AtomicUsize::new(0));
        (
            Counted {
                io,
                read: read.clone(),
            },
            read,
        )
    };
    let (near, far) = duplex(64 * 1024);
    let ((near, of_server), (far, of_client)) = (counted(near), counted(far));
    tokio::join!(
        async {
            let result = acceptor.accept(near).await;
            (result, of_server.load(Ordering::SeqCst))
        },
        async {
            let result = connector.connect(SERVER, far).await;
            (result, of_client.load(Ordering::SeqCst))
        }
    )
}

/// Sends more than the limit, which is over once the peer is admitted.
async fn send(from: &mut Counting, to: &mut Counting, count: usize) {
    let (sent, received) = tokio::join!(
        async {
            from.write_all(&vec![7; count]).await?;
            from.flush().await
        },
        async {
            let mut all = vec![0; count];
            to.read_exact(&mut all).await.map(|_| all)
        }
    );
    sent.unwrap();
    assert_eq!(received.unwrap(), vec![7; count]);
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_admits_at_the_limit_and_rejects_one_byte_above() {
    for version in VERSIONS {
        let world = World::new(version);
        let connector = world.connector(None);
        let ((server, whole), _) = meet(&world.acceptor(None), &connector).await;
        assert!(server.is_ok() && whole > 1_000, "{version:?}: {whole}");

        let acceptor = world.acceptor(Some(whole));
        let ((server, read), (client, _)) = meet(&acceptor, &connector).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(read, whole, "every handshake is as long");
        send(&mut client, &mut server, 3 * whole).await;

        let ((server, _), _) = meet(&world.acceptor(Some(whole - 1)), &connector).await;
        let error = server.err().unwrap();
        assert_eq!(error.reason(), "too_much_received", "{version:?}");
        let says = format!(
            "the peer sent more than {} bytes before it was admitted; if its chain is that long, raise max_handshake_bytes()",
            whole - 1
        );
        assert_eq!(error.to_string(), says);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_admits_at_the_limit_and_rejects_one_byte_above() {
    for version in VERSIONS {
        let world = World::new(version);
        let acceptor = world.acceptor(None);
        let (_, (client, whole)) = meet(&acceptor, &world.connector(None)).await;
        assert!(client.is_ok() && whole > 1_000, "{version:?}: {whole}");

        let ((server, _), (client, read)) = meet(&acceptor, &world.connector(Some(whole))).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(read, whole, "every handshake is as long");
        send(&mut server, &mut client, 3 * whole).await;

        let connector = world.connector(Some(whole - 1));
        let (_, (client, _)) = meet(&acceptor, &connector).await;
        let error = client.err().unwrap();
        assert_eq!(error.reason(), "too_much_received", "{version:?}");
    }
}

/// The first bytes of a handshake message that is longer than what comes: the reader waits
/// for the rest.
fn unfinished(message: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 3, 0x40, 0, message, 0, 0x3f, 0xfc];
    bytes.resize(length, 0);
    bytes
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

#[tokio::test(start_paused = true)]
async fn a_peer_with_a_long_message_is_rejected_once_it_is_too_long() {
    const LIMIT: usize = 4_000;

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_handshake_bytes(LIMIT)
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example")
        .max_handshake_bytes(LIMIT)
        .build()
        .unwrap();
    for (sent, reason) in [(LIMIT, "timed_out"), (LIMIT + 1, "too_much_received")] {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(&unfinished(CLIENT_HELLO, sent))
            .await
            .unwrap();
        let refused = acceptor.accept(near).await.unwrap_err();
        assert_eq!(refused.reason(), reason);

        let (near, mut far) = duplex(64 * 1024);
        far.write_all(&unfinished(SERVER_HELLO, sent))
            .await
            .unwrap();
        let refused = connector.connect(SERVER, near).await.unwrap_err();
        assert_eq!(refused.reason(), reason);
    }
}

/// A listener reports it once, and continues.
#[tokio::test]
async fn a_listener_reports_it() {
    let world = World::new(Version::Tls13);
    let reported = Arc::new(std::sync::Mutex::new(Vec::new()));
    let reporting = reported.clone();
    let mut listener = Listener::builder(world.acceptor(Some(8_000)))
        .on_refused(move |_, error| reporting.lock().unwrap().push(error.reason()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let mut hostile = TcpStream::connect(address).await.unwrap();
    let message = unfinished(CLIENT_HELLO, 8_001);
    hostile.write_all(&message).await.unwrap();
    let closed = timeout(PATIENCE, hostile.read_to_end(&mut Vec::new())).await;
    closed.expect("in time").expect("closed, and not reset");
    drop(hostile);
    let connector = world.connector(None);
    let client = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        connector.connect(SERVER, tcp).await
    };
    let (client, server) = tokio::join!(client, listener.accept());
    assert!(client.is_ok() && server.is_some());
    assert_eq!(*reported.lock().unwrap(), ["too_much_received"]);
}

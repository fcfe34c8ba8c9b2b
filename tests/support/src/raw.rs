//! A plain rustls client, for what our connector would not do: it keeps its sessions whatever
//! happens, and offers them whatever became of the last one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{AcceptError, Acceptor};
use rustls::client::{
    ClientConnection, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, SignatureScheme};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::{SERVER, Version, provider, raw_client};

pub struct RawClient {
    pub config: ClientConfig,
    pub sessions: Arc<Hoard>,
    certificate: Arc<ClientCertificate>,
}

/// What a client saw of one connection.
#[derive(Debug)]
pub struct Seen {
    /// Whether the handshake was full or resumed, as far as it got.
    pub kind: Option<HandshakeKind>,
    /// Whether the client offered a session.
    pub offered: bool,
    /// It got its byte; or the error that it got instead, in the handshake or at its first read.
    pub end: Result<(), rustls::Error>,
}

/// Both ends of one connection: whether the server saw a resumption, and what the client saw.
pub type Met = (Result<bool, AcceptError>, Seen);

impl RawClient {
    /// A client with this certificate, or with none.
    pub fn new(ca: &TestCa, version: Version, certificate: Option<&Issued>) -> Self {
        let certificate = Arc::new(ClientCertificate::of(certificate));
        let mut config = raw_client(ca, version, Some(certificate.clone()));
        let sessions = Arc::new(Hoard::default());
        config.resumption = Resumption::store(sessions.clone());
        Self {
            config,
            certificate,
            sessions,
        }
    }

    /// Shows another certificate from now on, and keeps its sessions.
    pub fn show(&self, certificate: &Issued) {
        let other = ClientCertificate::of(Some(certificate));
        *self.certificate.0.lock().unwrap() = other.0.into_inner().unwrap();
    }

    /// Calls the acceptor, which sends one byte to a client that it admits.
    pub async fn call(&self, acceptor: &Acceptor<DnsName>) -> Met {
        self.meet(|io| serve(acceptor, io)).await
    }

    /// Calls a server that sends one byte.
    pub async fn meet<F: Future>(
        &self,
        server: impl FnOnce(DuplexStream) -> F,
    ) -> (F::Output, Seen) {
        let (near, far) = duplex(64 * 1024);
        tokio::join!(server(near), self.drive(far))
    }

    /// Handshakes, and reads one byte.
    pub async fn drive(&self, mut io: DuplexStream) -> Seen {
        let before = self.sessions.offered();
        let mut connection = self.start();
        let offered = self.sessions.offered() > before;
        let end = talk(&mut connection, &mut io).await;
        Seen {
            kind: connection.handshake_kind(),
            offered,
            end,
        }
    }

    pub fn start(&self) -> ClientConnection {
        let config = Arc::new(self.config.clone());
        ClientConnection::new(config, SERVER.try_into().unwrap()).unwrap()
    }
}

/// Accepts, and sends one byte.
pub async fn serve(acceptor: &Acceptor<DnsName>, io: DuplexStream) -> Result<bool, AcceptError> {
    let mut stream = acceptor.accept(io).await?;
    stream.write_all(b"s").await.unwrap();
    stream.shutdown().await.unwrap();
    Ok(stream.peer().connection().is_resumed())
}

/// Handshakes and reads one byte.
pub async fn talk(
    connection: &mut ClientConnection,
    io: &mut DuplexStream,
) -> Result<(), rustls::Error> {
    let mut buffer = [0; 4096];
    loop {
        // A server that refused does not listen, and its alert waits to be read.
        let _ = io.write_all(&pending(connection)).await;
        let count = io.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "the server left without a word");
        let mut input = &buffer[..count];
        while !input.is_empty() {
            connection.read_tls(&mut input).unwrap();
            if connection.process_new_packets()?.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
    }
}

/// What a client has to send.
pub fn pending(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What a client shows. rustls offers a session only for the resolver that it was begun with, so a
/// certificate is changed in here.
#[derive(Debug)]
struct ClientCertificate(Mutex<Option<Arc<CertifiedKey>>>);

impl ClientCertificate {
    fn of(issued: Option<&Issued>) -> Self {
        let key = issued.map(|issued| {
            let provider = provider(Version::Tls13);
            let key = provider.key_provider.load_private_key(issued.key_der());
            Arc::new(CertifiedKey::new(issued.chain().to_vec(), key.unwrap()))
        });
        Self(Mutex::new(key))
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().clone()
    }

    fn has_certs(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }
}

/// Keeps sessions while `keeps` is set, and returns them while `offers` is: each
/// TLS 1.3 session once, the TLS 1.2 session again and again.
#[derive(Default)]
pub struct Hoard {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<VecDeque<Tls13ClientSessionValue>>,
    keeps: AtomicBool,
    offers: AtomicBool,
    offered: AtomicUsize,
    forges_early_data: AtomicBool,
}

impl Hoard {
    pub fn collect(&self) {
        self.keeps.store(true, SeqCst);
        self.offers.store(false, SeqCst);
    }

    pub fn spend(&self) {
        self.keeps.store(false, SeqCst);
        self.offers.store(true, SeqCst);
    }

    pub fn collect_and_spend(&self) {
        self.keeps.store(true, SeqCst);
        self.offers.store(true, SeqCst);
    }

    pub fn forget(&self) {
        *self.tls12.lock().unwrap() = None;
        self.tls13.lock().unwrap().clear();
    }

    /// Pretends that its TLS 1.3 sessions allow early data.
    pub fn forge_early_data(&self) {
        self.forges_early_data.store(true, SeqCst);
    }

    /// How many attempts to resume there are sessions for.
    pub fn lasts_for(&self) -> usize {
        if self.tls12.lock().unwrap().is_some() {
            return usize::MAX;
        }
        self.tls13.lock().unwrap().len()
    }

    /// How many sessions were offered.
    pub fn offered(&self) -> usize {
        self.offered.load(SeqCst)
    }

    /// rustls' own words about the TLS 1.3 sessions.
    pub fn debug(&self) -> String {
        format!(
            "{:?} {:?}",
            self.tls12.lock().unwrap(),
            self.tls13.lock().unwrap()
        )
    }

    fn offer<T>(&self, session: impl FnOnce() -> Option<T>) -> Option<T> {
        let session = self.offers.load(SeqCst).then(session).flatten();
        self.offered
            .fetch_add(usize::from(session.is_some()), SeqCst);
        session
    }
}

impl ClientSessionStore for Hoard {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        if self.keeps.load(SeqCst) {
            *self.tls12.lock().unwrap() = Some(session);
        }
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.offer(|| self.tls12.lock().unwrap().clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, session: Tls13ClientSessionValue) {
        if self.keeps.load(SeqCst) {
            self.tls13.lock().unwrap().push_back(session);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut session = self.offer(|| self.tls13.lock().unwrap().pop_front())?;
        if self.forges_early_data.load(SeqCst) {
            session._private_set_max_early_data_size(1024); // rustls has it for such tests
        }
        Some(session)
    }
}

impl fmt::Debug for Hoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hoard")
    }
}

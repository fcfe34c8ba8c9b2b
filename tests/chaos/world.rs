//! The server: one acceptor behind HTTP/1.1, HTTP/2, gRPC and QUIC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::integration::quinn;
use countersign::integration::tonic::RequestExt as _;
use countersign::policy::DenyList;
use countersign::reload::{Handle, Reload, Silence, Source};
use countersign::testing::{Issued, TestCa};
use countersign::trust::Crls;
use countersign::{
    Acceptor, Credentials, Listener, ListenerHandle, Peer, TrustStore, Update, policy,
};
use http_body_util::Full;
use hyper::body::Bytes;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;

use crate::model::{Authority, Model, Rules, Shown};
use crate::sink::Sink;

pub(crate) const NAME: &str = "localhost";
pub(crate) const QUIC: &str = "chaos/1";
pub(crate) const DAY: u64 = 24 * 3600;
/// How old the value of the stream may become.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(3);
/// How long a handshake may take.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The system's clock, displaced, or without a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn set(&self, offset: Option<i64>) {
        self.0.store(offset.unwrap_or(i64::MIN), Ordering::SeqCst);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let offset = self.0.load(Ordering::SeqCst);
        let seconds = UnixTime::now().as_secs().saturating_add_signed(offset);
        (offset != i64::MIN).then(|| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The authorities.
pub(crate) struct Authorities {
    pub(crate) a: TestCa,
    pub(crate) b: TestCa,
    pub(crate) stranger: TestCa,
    pub(crate) servers: TestCa,
}

impl Authorities {
    fn new() -> Self {
        let (from, to) = around(3650 * DAY);
        let root = |name| TestCa::builder(name).validity(from, to).root();
        Self {
            a: root("Clients A"),
            b: root("Clients B"),
            stranger: root("Strangers"),
            servers: root("Servers"),
        }
    }

    pub(crate) fn of(&self, authority: Authority) -> &TestCa {
        match authority {
            Authority::A => &self.a,
            Authority::B => &self.b,
            Authority::Stranger => &self.stranger,
        }
    }

    /// A certificate that is valid for so long before and after now.
    pub(crate) fn client(
        &self,
        name: &str,
        authority: Authority,
        valid: u64,
    ) -> (Issued, Arc<Shown>) {
        let (from, to) = around(valid);
        let issued = self
            .of(authority)
            .leaf()
            .dns(name)
            .validity(from, to)
            .issue();
        let shown = Shown {
            name: name.into(),
            authority,
            serial: issued.serial().to_vec(),
            not_before: from.as_secs(),
            not_after: to.as_secs(),
        };
        (issued, Arc::new(shown))
    }

    pub(crate) fn server(&self) -> Issued {
        let (from, to) = around(3650 * DAY);
        self.servers.leaf().dns(NAME).validity(from, to).issue()
    }

    /// The stream's value, by its number.
    fn trust(&self, tag: u8) -> Result<TrustStore, String> {
        match tag {
            0 => Ok(self.a.trust().and(self.b.trust())),
            1 => Ok(self.a.trust()),
            2 => Ok(self.b.trust()),
            3 => Ok(TrustStore::empty()),
            other => Err(format!("there is no trust with the number {other}")),
        }
    }
}

fn around(seconds: u64) -> (UnixTime, UnixTime) {
    let now = UnixTime::now().as_secs();
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    (at(now - seconds), at(now + seconds))
}

pub(crate) struct World {
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) acceptor: Acceptor<DnsName>,
    pub(crate) model: Arc<Model>,
    pub(crate) sink: Sink,
    pub(crate) clock: Clock,
    pub(crate) denied: DenyList<DnsName>,
    pub(crate) reload: Handle,
    /// The values of the source of trust.
    pub(crate) trust: mpsc::UnboundedSender<Result<u8, String>>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) quic: SocketAddr,
    handles: Vec<ListenerHandle<DnsName>>,
    tasks: Vec<JoinHandle<()>>,
}

/// The CRLs of both authorities.
pub(crate) fn crls(authorities: &Authorities, number: u64, revoked: &[Vec<u8>]) -> Crls {
    let (this, next) = around(20 * DAY);
    let list = |ca: &TestCa| {
        let list = ca.crl().number(number).this_update(this).next_update(next);
        let list = revoked
            .iter()
            .fold(list, |list, serial| list.revoke(serial));
        Crls::from_bytes(list.build().to_vec()).unwrap()
    };
    list(&authorities.a).and(list(&authorities.b))
}

pub(crate) fn write_credentials(folder: &Path, chain: &str, key: &str) {
    for (name, text) in [("tls.crt", chain), ("tls.key", key)] {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    }
}

impl World {
    pub(crate) async fn start(names: impl IntoIterator<Item = String>) -> Self {
        let authorities = Arc::new(Authorities::new());
        let now = UnixTime::now().as_secs();
        let model = Model::new(Rules {
            trusted: [Authority::A, Authority::B].into(),
            revoked: [].into(),
            denied: [].into(),
            allowed: names.into_iter().collect(),
            is_async: false,
            clock: Some(0),
            sink: crate::model::SinkMode::Records,
            suspended: false,
            crls: (now - 20 * DAY, now + 20 * DAY),
        });
        let (sink, clock, denied) = (Sink::new(&model), Clock::default(), DenyList::new());
        let folder = tempfile::tempdir().unwrap();
        let own = authorities.server();
        write_credentials(folder.path(), &own.chain_pem(), &own.key_pem());
        let acceptor = Acceptor::builder()
            .credentials(own.credentials())
            .trust(authorities.trust(0).unwrap())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .revocation(crls(&authorities, 1, &[]))
            .deny_list(&denied)
            .audit(sink.clone())
            .audit_refusals_per_second(None)
            .clock(clock.clone())
            .handshake_timeout(HANDSHAKE)
            .drain_time(Duration::from_secs(2))
            .alpn(["h2", "http/1.1"])
            .build()
            .unwrap();

        let (trust, values) = mpsc::unbounded_channel();
        trust.send(Ok(0)).unwrap();
        let of_tag = Arc::clone(&authorities);
        let values = UnboundedReceiverStream::new(values);
        let source = Source::stream_distinct("control plane", values)
            .silence(Silence::FailClosed { max_age: MAX_AGE })
            .try_map(move |tag| of_tag.trust(tag));
        let files = Source::<Credentials>::pem_files(
            folder.path().join("tls.crt"),
            folder.path().join("tls.key"),
        );
        let reload = Reload::of(&acceptor)
            .trust(source)
            .credentials(files)
            .every(Duration::from_secs(3600))
            .start()
            .await
            .unwrap();

        let bind = async |address| {
            let listener = Listener::builder(acceptor.clone()).early_drop(None);
            listener.bind(address).await.unwrap()
        };
        let (http, grpc) = (bind("127.0.0.1:0").await, bind("127.0.0.3:0").await);
        let quic = quinn::Listener::builder(acceptor.clone())
            .alpn([QUIC])
            .early_drop(None);
        let quic = quic.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self {
            http: http.local_addr().unwrap(),
            grpc: grpc.local_addr().unwrap(),
            quic: quic.local_addr().unwrap(),
            handles: vec![http.handle(), grpc.handle(), quic.handle()],
            tasks: vec![
                tokio::spawn(Server::new().serve(http, tower::service_fn(answer))),
                tokio::spawn(serve_grpc(grpc)),
                tokio::spawn(serve_quic(quic)),
            ],
            authorities,
            acceptor,
            model,
            sink,
            clock,
            denied,
            reload,
            trust,
            folder,
        }
    }

    /// Waits until nothing is left of the clients, which have stopped: no connection, no handshake, no event to come.
    pub(crate) async fn calm(&self) {
        let control = self.acceptor.control();
        let start = Instant::now();
        loop {
            let (stats, listed) = (control.stats(), control.connections().len());
            let incomplete = self.model.incomplete();
            if (stats.open, stats.in_flight, listed) == (0, 0, 0) && incomplete.is_empty() {
                return;
            }
            if start.elapsed() > PATIENCE {
                let text = format!("not calm: {listed} listed, {stats:?}, {incomplete:?}");
                return self.model.violation(text);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A new generation has no sessions and no verified chains.
    pub(crate) fn empty_caches(&self) {
        let trust = self.authorities.trust(0).unwrap();
        let update = Update::new().trust(trust);
        self.acceptor.control().update(update).unwrap();
    }

    /// Shuts down, and returns the model: nothing else is left.
    pub(crate) async fn stop(self) -> Arc<Model> {
        for handle in &self.handles {
            handle.shutdown(Duration::from_secs(5)).await;
        }
        for task in self.tasks {
            task.await.unwrap();
        }
        let open = self.acceptor.control().connections();
        if !open.is_empty() {
            self.model.violation(format!("still open: {open:?}"));
        }
        let stats = self.acceptor.control().stats();
        if stats.attempts() != self.sink.outcomes() || stats.in_flight != 0 {
            let outcomes = self.sink.outcomes();
            self.model
                .violation(format!("{outcomes} outcomes are recorded: {stats:?}"));
        }
        if stats.audit_dropped != self.sink.unrecorded() {
            let unrecorded = self.sink.unrecorded();
            self.model
                .violation(format!("{unrecorded} events were not recorded: {stats:?}"));
        }
        let (closed, cut) = (self.model.how_often("closed"), self.model.how_often("cut"));
        if (stats.admitted, stats.cut) != (closed, cut) {
            let text = format!("{closed} events of closing, {cut} of cuts: {stats:?}");
            self.model.violation(text);
        }
        self.model
    }
}

/// The name of the client, for all paths.
async fn answer(
    request: http::Request<RequestBody>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let peer = request.extensions().get::<Peer<DnsName>>();
    let name = peer.map_or_else(String::new, |peer| peer.identity().to_string());
    Ok(http::Response::new(Full::new(name.into())))
}

pub(crate) const METHOD: &str = "/chaos.Names/Get";
pub(crate) type Codec = tonic_prost::ProstCodec<String, String>;

#[derive(Clone)]
struct Names;

impl tonic::server::NamedService for Names {
    const NAME: &'static str = "chaos.Names";
}

type Answering =
    std::pin::Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Body>> for Names {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let name = tower::service_fn(|request: tonic::Request<String>| async move {
                let peer = request.peer::<DnsName>()?;
                Ok::<_, tonic::Status>(tonic::Response::new(peer.identity().to_string()))
            });
            Ok(tonic::server::Grpc::new(Codec::default())
                .unary(name, request)
                .await)
        })
    }
}

async fn serve_grpc(listener: Listener<tokio::net::TcpStream, DnsName>) {
    let server = tonic::transport::Server::builder().add_service(Names);
    server.serve_with_incoming(listener).await.unwrap();
}

async fn serve_quic(mut listener: quinn::Listener<DnsName>) {
    while let Some(connection) = listener.accept().await {
        tokio::spawn(async move {
            let _closed = answer_streams(connection).await;
        });
    }
    listener.wait_idle().await;
}

async fn answer_streams(connection: quinn::Connection<DnsName>) -> std::io::Result<Infallible> {
    loop {
        let (mut send, receive) = connection.accept_bi().await?;
        let mut question = Vec::new();
        receive.take(64).read_to_end(&mut question).await?;
        let name = connection.peer().identity().to_string();
        send.write_all(name.as_bytes()).await?;
        send.finish()?;
    }
}

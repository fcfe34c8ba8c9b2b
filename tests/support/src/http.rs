//! Servers and clients over loopback, and a look at what went wrong.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::identity::DnsName;
use countersign::integration::hyper::{HttpsError, RequestBody, Server};
use countersign::testing::TestCa;
use countersign::{
    Acceptor, Connector, Decision, HandshakeError, Listener, ListenerHandle, Peer, PeerAlert,
    Policy, policy,
};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use rustls::AlertDescription;
use tokio::task::JoinHandle;

/// Longer than anything here takes, so that a test which hangs fails instead.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Every version of HTTP, by its ALPN name.
pub const ALPN: [&str; 2] = ["http/1.1", "h2"];

pub fn name(name: &str) -> DnsName {
    name.parse().unwrap()
}

/// An acceptor for `localhost`, for both versions of HTTP.
pub fn acceptor(
    ca: &TestCa,
    policy: impl Policy<DnsName> + 'static,
) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy)
        .alpn(["h2", "http/1.1"])
}

/// A connector of this name, for this version of HTTP; it talks to `localhost` only.
pub fn connector(ca: &TestCa, own: &str, alpn: &str) -> Builder<ClientSide, DnsName> {
    Connector::builder()
        .credentials(ca.leaf().dns(own).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact([name("localhost")]))
        .alpn([alpn])
}

/// Nobody is welcome.
pub fn deny_all(_: &Peer<DnsName>) -> Decision {
    Decision::deny("closed for today")
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub handle: ListenerHandle<DnsName>,
    pub task: JoinHandle<()>,
}

impl Running {
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

/// Serves on loopback with our hyper server.
pub async fn serve<S, B>(acceptor: &Acceptor<DnsName>, service: S) -> Running
where
    S: tower_service::Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0")
        .await
        .unwrap();
    Running {
        address: listener.local_addr().unwrap(),
        handle: listener.handle(),
        task: tokio::spawn(Server::new().serve(listener, service)),
    }
}

/// Says who asks, and whether the connection resumed a session.
#[derive(Clone, Default)]
pub struct WhoAmI {
    asked: Arc<AtomicUsize>,
}

impl WhoAmI {
    /// How often it was asked.
    pub fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl tower_service::Service<Request<RequestBody>> for WhoAmI {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let said = match request.extensions().get::<Peer<DnsName>>() {
            None => "nobody".into(),
            Some(peer) => format!(
                "{} resumed={} {:?}",
                peer.identity(),
                peer.connection().is_resumed(),
                request.version()
            ),
        };
        std::future::ready(Ok(Response::new(said.into())))
    }
}

/// A request without a body.
pub fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

/// The text of a response.
pub async fn text<B>(response: Response<B>) -> String
where
    B: hyper::body::Body<Data: Send, Error: std::fmt::Debug>,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// All causes of an error, those inside of an `io::Error` included.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut all = Vec::new();
    for cause in successors(Some(error), |&error| error.source()) {
        all.push(cause);
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(inner) = inner {
            all.extend(causes(inner));
        }
    }
    all
}

/// The first cause of this type.
pub fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    causes(error)
        .into_iter()
        .find_map(|cause| cause.downcast_ref::<E>())
}

/// The alert by which the other side refused.
pub fn alert_in(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    let named = cause::<HandshakeError>(error).and_then(HandshakeError::alert);
    let named = named.or_else(|| cause::<PeerAlert>(error).map(PeerAlert::alert));
    named.or_else(|| match cause::<rustls::Error>(error) {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    })
}

/// Why our own side made no connection.
pub fn refused_in(error: &(dyn Error + 'static)) -> Option<&'static str> {
    cause::<HttpsError>(error).map(HttpsError::reason)
}

/// Whether the other side refused by `access_denied`. (h2 keeps only the text of what went wrong below
/// it.)
pub fn is_access_denied(error: &(dyn Error + 'static)) -> bool {
    let said = format!("{error:?}");
    alert_in(error) == Some(AlertDescription::AccessDenied)
        || (said.contains("the server refused our certificate")
            && said.contains(": access_denied ("))
        || said.contains("received fatal alert: AccessDenied")
}

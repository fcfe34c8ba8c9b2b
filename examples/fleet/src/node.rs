//! One server of the fleet.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign::audit::{Json, Queue};
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::policy::{self, DenyList};
use countersign::reload::{Handle, Reload, Silence, Source};
use countersign::{
    Acceptor, Connector, Credentials, Decision, Listener, ListenerHandle, Peer, TrustStore,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::BoxError;
use crate::broker::Broker;
use crate::otlp::Otlp;
use crate::parts::{self, CRLS, DENY, RULES, verified};

/// A node's own certificate, the roots of its peers, and its broker.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerOptions {
    /// Our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The private key of our certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The roots of clients and of the broker (PEM)
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// nats://HOST:PORT, tls://HOST:PORT for NATS over mutual TLS, or redis://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub broker: String,
    /// The SPIFFE ID of the broker, for tls://
    #[arg(long, value_name = "ID", value_parser = parts::identity)]
    pub broker_id: Option<SpiffeId>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub common: BrokerOptions,
    /// The name of this node, in the audit trail
    #[arg(long, default_value = "node")]
    pub name: String,
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where the status is served, in the clear
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub status: SocketAddr,
    /// Admit no peer when a value of the broker is this old. Default: the last good value stays in force
    #[arg(long, value_name = "SECONDS")]
    pub max_age: Option<u64>,
    /// Send the audit trail to http://ADDR/v1/logs (OTLP)
    #[arg(long, value_name = "ADDR")]
    pub collector: Option<SocketAddr>,
}

impl BrokerOptions {
    fn credentials(&self) -> Result<Credentials, BoxError> {
        Ok(Credentials::from_pem_files(&self.cert, &self.key)?)
    }

    fn roots(&self) -> Result<TrustStore, BoxError> {
        Ok(TrustStore::from_pem_file(&self.trust)?)
    }

    /// The broker, over mutual TLS if its address says so.
    pub fn broker(&self) -> Result<Broker, BoxError> {
        let broker = Broker::new(self.broker.clone());
        match (&self.broker_id, self.broker.starts_with("tls://")) {
            (Some(id), true) => {
                let connector = Connector::builder()
                    .credentials(self.credentials()?)
                    .trust(self.roots()?)
                    .identify(SpiffeId::extractor())
                    .authorize(policy::exact([id.clone()]))
                    .server_names(ServerNameVerification::ByPolicy)
                    .build()?;
                Ok(broker.with_tls(connector.into_authorizing_rustls_config()))
            }
            (None, false) => Ok(broker),
            _ => Err("--broker tls://… and --broker-id belong together".into()),
        }
    }
}

/// A node that listens.
pub struct Node {
    pub address: SocketAddr,
    pub status_address: SocketAddr,
    name: String,
    acceptor: Acceptor<SpiffeId>,
    listener: Listener<TcpStream, SpiffeId>,
    status: TcpListener,
    reload: Handle,
}

impl Node {
    /// Reads the deny list, the rules and the CRLs, and listens. A node that cannot read them does not start.
    pub async fn start(args: &Args) -> Result<Self, BoxError> {
        let denied = DenyList::new();
        // Until the rules arrive.
        let closed = |_: &Peer<SpiffeId>| Decision::deny("the rules have not arrived");
        let builder = || -> Result<_, BoxError> {
            Ok(Acceptor::builder()
                .credentials(args.common.credentials()?)
                .trust(args.common.roots()?)
                .identify(SpiffeId::extractor())
                .authorize(closed)
                .alpn(["h2", "http/1.1"]))
        };
        let probe = builder()?.build()?;
        let mut acceptor = builder()?.deny_list(&denied).named(args.name.clone());
        if let Some(collector) = args.collector {
            let otlp = Json::new(Otlp::new(collector, &args.name));
            acceptor = acceptor.audit(Queue::builder(otlp).start());
        }
        let acceptor = acceptor.build()?;

        let broker = args.common.broker()?;
        let silence = match args.max_age {
            Some(seconds) => Silence::FailClosed {
                max_age: Duration::from_secs(seconds),
            },
            None => Silence::Keep,
        };
        let deny = verified(broker.clone().follow(DENY), parts::deny_list);
        let rules = verified(broker.clone().follow(RULES), parts::rules);
        let crls = verified(broker.follow(CRLS), move |bytes| parts::crls(bytes, &probe));
        let reload = Reload::of(&acceptor)
            .deny_list(
                &denied,
                Source::stream_distinct("deny list", deny)
                    .silence(silence)
                    .map(|verified| verified.value),
            )
            .policy(
                Source::stream_distinct("rules", rules)
                    .silence(silence)
                    .try_map(|verified| policy::spiffe_patterns(verified.value)),
            )
            .revocation(
                Source::stream_distinct("CRLs", crls)
                    .silence(silence)
                    .map(|verified| verified.value),
            )
            .start()
            .await?;

        let listener = Listener::bind(acceptor.clone(), args.listen).await?;
        let status = TcpListener::bind(args.status).await?;
        Ok(Self {
            address: listener.local_addr().ok_or("no address")?,
            status_address: status.local_addr()?,
            name: args.name.clone(),
            acceptor,
            listener,
            status,
            reload,
        })
    }

    /// Serves each client with its identity, until the listener is shut down.
    pub async fn serve(self) {
        let status = serve_status(self.status, self.name, self.acceptor, self.reload);
        let service = tower::service_fn(|request: Request<RequestBody>| async move {
            let peer = request.extensions().get::<Peer<SpiffeId>>();
            let text = peer.map_or_else(String::new, |peer| format!("hello {}\n", peer.identity()));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
        });
        tokio::select! {
            () = Server::new().serve(self.listener, service) => {}
            () = status => {}
        }
    }

    pub fn handle(&self) -> ListenerHandle<SpiffeId> {
        self.listener.handle()
    }
}

/// `GET /`: the status, with 503 while no peer is admitted.
async fn serve_status(
    tcp: TcpListener,
    name: String,
    acceptor: Acceptor<SpiffeId>,
    reload: Handle,
) {
    loop {
        let Ok((connection, _)) = tcp.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (name, acceptor, reload) = (name.clone(), acceptor.clone(), reload.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            let status = status_of(&name, &acceptor, &reload);
            let mut response = Response::new(Full::new(Bytes::from(status.to_string())));
            if !status["suspended"].is_null() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new());
        let serving = server.serve_connection(TokioIo::new(connection), service);
        tokio::spawn(async move { drop(serving.await) });
    }
}

fn status_of(name: &str, acceptor: &Acceptor<SpiffeId>, reload: &Handle) -> Value {
    let status = reload.status();
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    let streams = status.streams.iter().map(|stream| {
        json!({
            "name": &*stream.name,
            "age_ms": millis(stream.age),
            "error": stream.error.as_ref().map(ToString::to_string),
            "error_age_ms": millis(stream.error_age),
        })
    });
    json!({
        "name": name,
        "generation": status.generation,
        "applied": status.applied,
        "suspended": status.suspended.as_deref(),
        "streams": streams.collect::<Vec<_>>(),
        "connections": acceptor.control().connections().len(),
        "audit_dropped": acceptor.control().stats().audit_dropped,
    })
}

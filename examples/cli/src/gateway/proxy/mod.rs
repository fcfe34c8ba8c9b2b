//! The reverse proxy, whose clients are identified by their certificates.

mod audit;
mod body;
pub mod config;
mod egress;
mod forwarder;
mod headers;
mod limits;
mod model;
mod upstream;
mod usage;

pub use audit::Audit;
pub use body::ResponseBody;
pub use config::Config;
pub use egress::Egress;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::integration::hyper::Server;
use countersign::reload::{Handle, Reload, ReloadError};
use countersign::{Acceptor, Certificate, Incoming, Listener, ListenerHandle};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use self::config::Limits;
use self::forwarder::Forwarder;
use self::upstream::Upstream;
use crate::options::{AllowList, Identity, ProxyOptions};
use crate::terminal::Failure;

pub type BoxError = Box<dyn Error + Send + Sync>;

/// A gateway that listens.
pub struct Gateway {
    pub acceptor: Acceptor<Identity>,
    pub address: SocketAddr,
    listener: Listener<TcpStream, Identity>,
    server: Server,
    forwarder: Arc<Forwarder>,
    /// They apply changed files until they are dropped.
    reloads: Vec<Handle>,
    drain: Duration,
}

impl Gateway {
    /// Reads all files, and listens.
    pub async fn bind(config: &Config, audit: Audit) -> Result<Self, Failure> {
        Self::bind_behind(config, audit, &ProxyOptions::default()).await
    }

    /// The same, behind proxies.
    pub async fn bind_behind(
        config: &Config,
        audit: Audit,
        proxies: &ProxyOptions,
    ) -> Result<Self, Failure> {
        let tls = &config.tls;
        let kind = tls.identity;
        let sources = tls
            .sources()
            .map_err(|failure| failure.at(format_args!("tls")))?;
        let clients = AllowList::parse_option("tls.allow", kind, &tls.allow)?;
        let identity_proxies = proxies.identity_proxies()?;
        let builder = Acceptor::builder()
            .credentials_from(sources.credentials)?
            .trust_from(sources.trust)?
            .identify(move |certificate: &Certificate| kind.extract(certificate))
            .authorize(identity_proxies.or(kind, clients)?)
            .alpn(["h2", "http/1.1"]);
        let acceptor = match sources.revocation {
            Some(revocation) => builder.revocation_from(revocation)?,
            None => builder,
        }
        .build()?;
        let mut upstreams = BTreeMap::new();
        let mut reloads = vec![keep(Reload::of(&acceptor), &config.limits).await?];
        for (name, settings) in &config.upstreams {
            let upstream = Upstream::new(settings, config.forward.headers()?, &config.limits)
                .await
                .map_err(|failure| failure.at(format_args!("upstreams.{name}")))?;
            reloads.extend(upstream.reload().cloned());
            upstreams.insert(name.clone(), upstream);
        }
        let proxied = identity_proxies.layer(kind, &acceptor)?;
        let forwarder = Forwarder::new(config, upstreams, proxied, audit.clone())?;

        let tcp = TcpListener::bind(config.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = tcp.local_addr()?;
        let listener = proxies
            .proxy_protocol(Listener::builder(acceptor.clone()))?
            .on_refused(move |remote, error| {
                let (reason, error) = (error.reason(), error.to_string());
                audit.write(&json!({
                    "event": "refused", "remote": remote, "reason": reason, "error": error
                }));
            })
            .listen(NoDelay(tcp));
        let streams = config.limits.max_streams;
        let server = Server::new()
            .header_read_timeout(config.limits.head)
            .progress_timeout(config.limits.stall)
            .http2(|http2| {
                http2.max_concurrent_streams(streams);
            });
        Ok(Self {
            acceptor,
            address,
            listener,
            server,
            forwarder: Arc::new(forwarder),
            reloads,
            drain: config.limits.drain,
        })
    }

    /// Checks the files at once.
    ///
    /// # Errors
    /// The first set that cannot be applied; the previous one stays in force.
    pub async fn reload(reloads: &[Handle]) -> Result<(), ReloadError> {
        for reload in reloads {
            reload.reload_now().await?;
        }
        Ok(())
    }

    pub fn reloads(&self) -> Vec<Handle> {
        self.reloads.clone()
    }

    pub fn handle(&self) -> ListenerHandle<Identity> {
        self.listener.handle()
    }

    /// Serves until `stop` resolves; then it signals the clients, and finishes requests in flight.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        const TIDY_EVERY: Duration = Duration::from_secs(60);

        let handle = self.handle();
        let drain = self.drain;
        let limits = Arc::clone(&self.forwarder);
        let service = forwarder::service(self.forwarder);
        let serving = self.server.serve(self.listener, service);
        let stopping = async {
            stop.await;
            handle.shutdown(drain).await;
        };
        let tidying = async {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                limits.tidy();
            }
        };
        let both = async { tokio::join!(serving, stopping) };
        tokio::select! {
            _ = both => {}
            () = tidying => {}
        }
        drop(self.reloads);
    }
}

/// Applies changes of one side's certificate and roots.
async fn keep(reload: Reload<Identity>, limits: &Limits) -> Result<Handle, ReloadError> {
    reload.every(limits.reload).start().await
}

/// Sends small frames at once: an event must not wait for the next event.
struct NoDelay(TcpListener);

impl Incoming for NoDelay {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (tcp, remote) = Incoming::accept(&mut self.0).await?;
        tcp.set_nodelay(true)?;
        Ok((tcp, remote))
    }
}

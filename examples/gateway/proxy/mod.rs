//! The gateway itself: a reverse proxy whose clients are known by their certificates.

mod audit;
mod body;
mod config;
mod headers;
mod limits;
mod passing;
mod upstream;

pub(crate) use audit::Audit;
pub(crate) use config::Config;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::integration::hyper::Server;
use countersign::reload::{Handle, Reload, Source};
use countersign::trust::TrustError;
use countersign::{
    Acceptor, Certificate, Credentials, Incoming, Listener, ListenerHandle, TrustStore,
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use self::config::Limits;
use self::passing::Passing;
use self::upstream::Upstream;
use crate::shared::{AllowList, Identity};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A gateway that listens.
pub(crate) struct Gateway {
    #[allow(dead_code, reason = "tests change its policy")]
    pub(crate) acceptor: Acceptor<Identity>,
    pub(crate) address: SocketAddr,
    listener: Listener<TcpStream, Identity>,
    server: Server,
    passing: Arc<Passing>,
    /// Keep certificates and roots at what their files say, until they are dropped.
    reloads: Vec<Handle>,
    drain: Duration,
}

impl Gateway {
    /// Reads all files, and listens.
    pub(crate) async fn bind(config: &Config, audit: Audit) -> Result<Self, BoxError> {
        let tls = &config.tls;
        let kind = tls.identity;
        let acceptor = Acceptor::builder()
            .credentials(credentials_of(tls)?)
            .trust(trust_of(tls)?)
            .identify(move |certificate: &Certificate| kind.extract(certificate))
            .authorize(AllowList::parse_option("tls.allow", kind, &tls.allow)?)
            .alpn(["h2", "http/1.1"])
            .build()?;
        let mut upstreams = BTreeMap::new();
        let mut reloads = vec![keep(Reload::of(&acceptor), tls, &config.limits).await?];
        for (name, settings) in &config.upstreams {
            let upstream = Upstream::new(settings, &config.limits)
                .await
                .map_err(|error| format!("upstreams.{name}: {error}"))?;
            reloads.extend(upstream.reload().cloned());
            upstreams.insert(name.clone(), upstream);
        }
        let passing = Passing::new(config, upstreams, audit.clone())?;

        let tcp = TcpListener::bind(config.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = tcp.local_addr()?;
        let listener = Listener::builder(acceptor.clone())
            .on_refused(move |remote, error| {
                let (reason, error) = (error.reason(), error.to_string());
                audit.write(json!({
                    "event": "refused", "remote": remote, "reason": reason, "error": error
                }));
            })
            .listen(NoDelay(tcp));
        let streams = config.limits.max_streams;
        let server = Server::new()
            .header_read_timeout(config.limits.head)
            .http2(|http2| {
                http2.max_concurrent_streams(streams);
            });
        Ok(Self {
            acceptor,
            address,
            listener,
            server,
            passing: Arc::new(passing),
            reloads,
            drain: config.limits.drain,
        })
    }

    /// Looks at the files at once.
    ///
    /// # Errors
    /// The first that could not be taken; what was in force stays.
    pub(crate) async fn reload(reloads: &[Handle]) -> Result<(), BoxError> {
        for reload in reloads {
            reload.reload_now().await?;
        }
        Ok(())
    }

    pub(crate) fn reloads(&self) -> Vec<Handle> {
        self.reloads.clone()
    }

    pub(crate) fn handle(&self) -> ListenerHandle<Identity> {
        self.listener.handle()
    }

    /// Serves until `stop` ends; then tells the clients, and lets requests under way finish.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) {
        const TIDY_EVERY: Duration = Duration::from_secs(60);

        let handle = self.handle();
        let drain = self.drain;
        let limits = Arc::clone(&self.passing);
        let service = passing::service(self.passing);
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

/// Keeps one side's certificate and roots at what their files say.
async fn keep(
    reload: Reload<Identity>,
    tls: &config::Tls,
    limits: &Limits,
) -> Result<Handle, BoxError> {
    let trusting = tls.clone();
    let reload = reload
        .every(limits.reload)
        .credentials(Source::pem_files(&tls.cert, &tls.key))
        .trust(Source::files(tls.trust.clone(), move || {
            trust_of(&trusting)
        }));
    Ok(reload.start().await?)
}

fn credentials_of(tls: &config::Tls) -> Result<Credentials, BoxError> {
    Ok(Credentials::from_pem_files(&tls.cert, &tls.key)?)
}

fn trust_of(tls: &config::Tls) -> Result<TrustStore, TrustError> {
    let mut store = TrustStore::empty();
    for file in &tls.trust {
        store = store.and(TrustStore::from_pem_file(file)?);
    }
    Ok(store)
}

/// Sends small frames at once: an event must not wait for the next one.
struct NoDelay(TcpListener);

impl Incoming for NoDelay {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (tcp, remote) = Incoming::accept(&mut self.0).await?;
        tcp.set_nodelay(true)?;
        Ok((tcp, remote))
    }
}

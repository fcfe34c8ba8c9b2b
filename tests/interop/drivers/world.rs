//! Certificates, connectors, and requests while credentials are replaced.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::{Action, Memory};
use countersign::builder::{Builder, ClientSide};
use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{
    Acceptor, Connector, Credentials, Decision, Listener, Peer, TlsStream, Update, policy,
};
use futures_util::future::join_all;
use support::interop::{Files, Pki};
use support::raw_server::RawServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here takes, so that a test which hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) pki: Pki,
    /// What our connectors recorded.
    pub(crate) trail: Memory,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            pki: Pki::new(),
            trail: Memory::new(),
        }
    }

    /// The server's certificate, for `localhost`.
    pub(crate) fn server(&self) -> Files {
        let issued = self.pki.ca.leaf().common_name("server").dns("localhost");
        self.pki.files("server", &issued.issue())
    }

    /// A certificate of `alice`.
    pub(crate) fn alice(&self) -> Issued {
        let leaf = self.pki.ca.leaf().common_name("alice");
        leaf.dns("alice.example").issue()
    }

    pub(crate) fn builder(&self) -> Builder<ClientSide, DnsName> {
        Connector::builder()
            .credentials(self.alice().credentials())
            .trust(self.pki.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::exact(["localhost".parse().unwrap()]))
            .audit(self.trail.clone())
    }

    /// Is `alice`, and connects to `localhost`.
    pub(crate) fn connector(&self) -> Connector<DnsName> {
        self.builder().build().unwrap()
    }

    /// The same, without any server that it would connect to.
    pub(crate) fn denying(&self) -> Connector<DnsName> {
        let connector = self.connector();
        connector.control().set_policy(deny_all);
        connector
    }

    /// Trusts another authority.
    pub(crate) fn distrusting(&self) -> Connector<DnsName> {
        let connector = self.connector();
        let trust = Update::new().trust(TestCa::new("Other").trust());
        connector.control().update(trust).unwrap();
        connector
    }

    /// A certificate that no server here trusts.
    pub(crate) fn impostor(&self) -> Connector<DnsName> {
        let leaf = TestCa::new("Other").leaf().common_name("alice");
        let connector = self.connector();
        let credentials = leaf.dns("alice.example").issue().credentials();
        renew(&connector, credentials);
        connector
    }

    /// The reason of the only attempt since the last time.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        let mut reasons = self.reasons();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons.remove(0)
    }

    /// The reasons of the attempts since the last time; `None` for an admitted server.
    pub(crate) fn reasons(&self) -> Vec<Option<&'static str>> {
        let events = self.trail.take();
        let attempts = events.iter().filter(|event| {
            matches!(
                event.action,
                Action::Admitted
                    | Action::ChainRefused
                    | Action::Denied
                    | Action::HandshakeFailed
                    | Action::NotIdentified
            )
        });
        attempts.map(|event| event.reason).collect()
    }

    /// Our own listener, for `alice` alone, with a protocol.
    pub(crate) async fn serve<F>(
        &self,
        serve: impl Fn(TlsStream<TcpStream, DnsName>) -> F + Send + 'static,
    ) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let server = self.pki.ca.leaf().common_name("server").dns("localhost");
        let acceptor = Acceptor::builder()
            .credentials(server.issue().credentials())
            .trust(self.pki.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::exact(["alice.example".parse().unwrap()]))
            .build()
            .unwrap();
        let mut listener = Listener::bind(acceptor.clone(), "127.0.0.1:0")
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Some(stream) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Server { acceptor, port }
    }

    /// A server of our certificate that asks for none, and closes each connection. Its port.
    pub(crate) async fn serve_without_asking(&self) -> u16 {
        let server = self.pki.ca.leaf().common_name("server").dns("localhost");
        let server = RawServer::for_everybody(&server.issue());
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(server.config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _ = tls.accept(tcp).await; // the client ends the handshake
            }
        });
        port
    }
}

pub(crate) struct Server {
    pub(crate) acceptor: Acceptor<DnsName>,
    pub(crate) port: u16,
}

pub(crate) fn deny_all(_: &Peer<DnsName>) -> Decision {
    Decision::deny("closed for today")
}

/// New credentials are in force when this returns.
pub(crate) fn renew(connector: &Connector<DnsName>, credentials: Credentials) {
    let update = Update::new().credentials(credentials);
    connector.control().update(update).unwrap();
}

/// Sends requests by four workers, while the credentials are replaced five times, and a new client takes over
/// each time. No request may fail: `ask` returns its error. How many there were.
pub(crate) async fn rotate_under_traffic<C, E: Debug>(
    world: &World,
    connector: &Connector<DnsName>,
    connect: impl AsyncFn() -> C,
    ask: impl AsyncFn(&C) -> Result<(), E>,
) -> usize {
    const ROTATIONS: usize = 5;
    /// Of each client.
    const AT_LEAST: usize = 12;

    let current = RefCell::new(Rc::new(connect().await));
    let (answered, stop) = (Cell::new(0), Cell::new(false));
    let worker = async || {
        while !stop.get() {
            let client = Rc::clone(&current.borrow());
            ask(&client).await.expect("no request is lost");
            answered.set(answered.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let some_answers = async || {
        let enough = answered.get() + AT_LEAST;
        while answered.get() < enough {
            tokio::task::yield_now().await;
        }
    };
    let rotating = async {
        some_answers().await;
        for _ in 0..ROTATIONS {
            renew(connector, world.alice().credentials());
            let next = Rc::new(connect().await);
            current.replace(next); // the old one is dropped after its requests
            some_answers().await;
        }
        stop.set(true);
    };
    let workers = join_all((0..4).map(|_| worker()));
    let all = async { tokio::join!(workers, rotating) };
    timeout(PATIENCE, all).await.expect("it does not hang");
    answered.get()
}

/// All texts of an error and its causes.
pub(crate) fn said(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

/// The configuration for a driver that takes one.
pub(crate) fn exported(connector: &Connector<DnsName>) -> Arc<rustls::ClientConfig> {
    Arc::new(connector.clone().into_authorizing_rustls_config())
}

//! Our listener, its authorities, and what it recorded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::{Action, AuditEvent, Memory};
use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::integration::quinn::{Connection, Listener, ListenerBuilder};
use countersign::policy::DenyList;
use countersign::testing::{Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, ListenerHandle, policy};
use support::SERVER;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

pub(crate) const ALPN: &str = "test/1";
/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) ca: TestCa,
    pub(crate) folder: TempDir,
    pub(crate) acceptor: Acceptor<DnsName>,
    pub(crate) trail: Memory,
    pub(crate) denied: DenyList<DnsName>,
    pub(crate) address: SocketAddr,
    pub(crate) handle: ListenerHandle<DnsName>,
    /// How each connection ended on the server, as its task saw it.
    ends: mpsc::UnboundedReceiver<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder, |listener| listener)
    }

    pub(crate) fn with(
        acceptor: impl FnOnce(Builder<ServerSide, DnsName>) -> Builder<ServerSide, DnsName>,
        listener: impl FnOnce(ListenerBuilder<DnsName>) -> ListenerBuilder<DnsName>,
    ) -> Self {
        Self::of_ca(TestCa::new("Root"), acceptor, listener)
    }

    /// With this authority.
    pub(crate) fn of(ca: TestCa) -> Self {
        Self::of_ca(ca, |builder| builder, |listener| listener)
    }

    fn of_ca(
        ca: TestCa,
        acceptor: impl FnOnce(Builder<ServerSide, DnsName>) -> Builder<ServerSide, DnsName>,
        listener: impl FnOnce(ListenerBuilder<DnsName>) -> ListenerBuilder<DnsName>,
    ) -> Self {
        let (trail, denied) = (Memory::new(), DenyList::new());
        let builder = support::acceptor(&ca, policy::allow_any())
            .deny_list(&denied)
            .audit(trail.clone());
        let acceptor = acceptor(builder).build().unwrap();
        let builder = listener(Listener::builder(acceptor.clone()).alpn([ALPN]));
        let listener = builder.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
        let (sender, ends) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, sender));
        Self {
            folder: tempfile::tempdir().unwrap(),
            ca,
            acceptor,
            trail,
            denied,
            address,
            handle,
            ends,
        }
    }

    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.ca.leaf().dns(name).issue()
    }

    /// Has all certificates of this authority but these in force.
    pub(crate) fn revoke(&self, revoked: &[&Issued]) {
        let mut crl = self.ca.crl();
        for issued in revoked {
            crl = crl.revoke(issued.serial());
        }
        let crls = Crls::from_bytes(crl.build().to_vec()).unwrap();
        self.acceptor
            .control()
            .update(countersign::Update::new().revocation(crls))
            .unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The events of attempts since the last call, once there are that many.
    pub(crate) async fn events(&self, count: usize) -> Vec<Arc<AuditEvent>> {
        let mut found = Vec::new();
        let wait = async {
            while found.len() < count {
                found.extend(self.trail.take());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{count} events were expected: {found:#?}");
        }
        found
    }

    /// The only event, whose action and reason are these.
    pub(crate) async fn only(&self, action: Action, reason: Option<&str>) -> Arc<AuditEvent> {
        let events = self.events(1).await;
        assert_eq!(events.len(), 1, "{events:#?}");
        assert_eq!((events[0].action, events[0].reason), (action, reason));
        Arc::clone(&events[0])
    }

    /// How a connection has ended on the server, if one has.
    pub(crate) fn ends_now(&mut self) -> Option<String> {
        self.ends.try_recv().ok()
    }

    /// How the next connection ended on the server.
    pub(crate) async fn end(&mut self) -> String {
        let end = tokio::time::timeout(PATIENCE, self.ends.recv()).await;
        end.expect("a connection ends").expect("the server runs")
    }
}

async fn serve(mut listener: Listener<DnsName>, ends: mpsc::UnboundedSender<String>) {
    while let Some(connection) = listener.accept().await {
        let ends = ends.clone();
        tokio::spawn(async move {
            let end = answer_all(connection).await.unwrap_err();
            let _ = ends.send(end.to_string());
        });
    }
    listener.wait_idle().await;
}

/// Answers each stream until the connection is closed.
async fn answer_all(connection: Connection<DnsName>) -> std::io::Result<std::convert::Infallible> {
    loop {
        let (mut send, receive) = connection.accept_bi().await?;
        let mut question = String::new();
        receive.take(1024).read_to_string(&mut question).await?;
        let (peer, info) = (connection.peer(), connection.peer().connection());
        let answer = format!(
            "{question} {}, resumed: {}",
            peer.identity(),
            info.is_resumed()
        );
        send.write_all(answer.as_bytes()).await?;
        send.finish()?;
    }
}

/// The connector of this client.
pub(crate) fn connector(
    ca: &TestCa,
    client: &Issued,
    trail: &Memory,
) -> countersign::Connector<DnsName> {
    countersign::Connector::builder()
        .credentials(client.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap()
}

pub(crate) const NAME: &str = SERVER;

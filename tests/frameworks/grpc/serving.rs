//! The service under both servers, and clients of it.

use std::net::SocketAddr;

use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::integration::tonic::Channel;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, ListenerHandle, policy};
use hyper::Method;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tower::Layer as _;

use countersign_frameworks::invoices::{CREATE, Invoices, InvoicesClient, WATCH};
use support::http::{connector, name};

/// Whose server of HTTP/2 serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Tonic,
    Ours,
}

pub(crate) const BOTH: [By; 2] = [By::Tonic, By::Ours];

pub(crate) struct Grpc {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ListenerHandle<DnsName>,
    pub(crate) task: JoinHandle<()>,
}

impl Grpc {
    /// Serves on loopback: alice may create, every admitted client may watch.
    pub(crate) async fn serve(by: By, acceptor: &Acceptor<DnsName>) -> Self {
        let rules = RequestRules::<DnsName>::new()
            .allow(
                "create",
                policy::exact([name("alice.example")]),
                [Method::POST],
                CREATE,
            )
            .unwrap()
            .allow("watch", policy::allow_any(), [Method::POST], WATCH)
            .unwrap();
        let rules = AuthorizeRequest::new(rules);
        let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0")
            .await
            .unwrap();
        let service = Invoices::<DnsName>::new();
        Self {
            address: listener.local_addr().unwrap(),
            handle: listener.handle(),
            task: match by {
                By::Tonic => {
                    let mut server = tonic::transport::Server::builder().layer(rules);
                    let server = server.add_service(service).serve_with_incoming(listener);
                    tokio::spawn(async { server.await.unwrap() })
                }
                By::Ours => {
                    let service = rules.layer(Routes::new(service));
                    tokio::spawn(Server::new().serve(listener, service))
                }
            },
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("https://localhost:{}", self.address.port())).unwrap()
    }

    pub(crate) fn client(&self, connector: &Connector<DnsName>) -> InvoicesClient {
        InvoicesClient::new(Channel::new(connector.clone(), self.endpoint()))
    }
}

/// A connector of this name that speaks HTTP/2.
pub(crate) fn h2(ca: &TestCa, own: &str) -> Connector<DnsName> {
    connector(ca, own, "h2").build().unwrap()
}

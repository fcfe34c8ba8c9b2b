//! tonic over mutual TLS: methods get the peer, and rules authorize each call by its path.
//!
//! `invoices` is what tonic-prost-build generates, written by hand.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin tonic_api
//! ```

use std::error::Error;
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::tonic::Channel;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, policy};
use countersign_frameworks::invoices::{CREATE, Invoices, InvoicesClient, WATCH};
use http::Method;
use tonic::transport::{Endpoint, Server};

const SERVER: &str = "spiffe://example.org/ns/orders";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");

    // Any workload of the trust domain may connect.
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::trust_domain("example.org".parse()?))
        .alpn(["h2"])
        .build()?;
    // A call that no rule allows gets PERMISSION_DENIED.
    let billing = policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?;
    let rules = RequestRules::<SpiffeId>::new()
        .allow("create", billing, [Method::POST], CREATE)?
        .allow("watch", policy::allow_any(), [Method::POST], WATCH)?;

    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    let server = Server::builder()
        .layer(AuthorizeRequest::new(rules))
        .add_service(Invoices::<SpiffeId>::new());
    let serving = tokio::spawn(server.serve_with_incoming(listener));

    for name in ["billing", "support"] {
        let id = format!("spiffe://example.org/ns/{name}/worker");
        let connector = Connector::builder()
            .credentials(ca.leaf().spiffe(&id).issue().credentials())
            .trust(ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::exact([SERVER.parse()?]))
            .server_names(ServerNameVerification::ByPolicy)
            .alpn(["h2"])
            .build()?;
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
        let mut client = InvoicesClient::new(Channel::new(connector, endpoint));
        match client.create("ACME").await {
            Ok(invoice) => println!("{name} creates invoice {}", invoice.number),
            Err(status) => println!("{name} creates no invoice: {:?}", status.code()),
        }
        let mut invoices = client.watch(2, Duration::from_millis(10)).await?;
        while let Some(invoice) = invoices.message().await? {
            println!("{name} watches invoice {}", invoice.number);
        }
    }
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await??;
    Ok(())
}

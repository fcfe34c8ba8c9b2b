//! Mutual TLS in one file: a server with a policy, and three clients.
//!
//! ```text
//! cargo run --example quickstart
//! ```

use std::error::Error;
use std::net::SocketAddr;

use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Connector, Decision, Peer, Policy, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ORDERS: &str = "spiffe://example.org/ns/orders";

/// The policy of the service "orders".
struct Orders;

impl Policy<SpiffeId> for Orders {
    fn authorize(&self, peer: &Peer<SpiffeId>) -> Decision {
        if peer.identity().path().starts_with("/ns/billing/") {
            Decision::allow("billing")
        } else {
            Decision::deny("only billing may call orders")
        }
    }
}

/// Accepts one connection, and greets the client by its identity.
async fn serve(listener: &TcpListener, acceptor: &Acceptor<SpiffeId>) -> std::io::Result<()> {
    let (tcp, _) = listener.accept().await?;
    match acceptor.accept(tcp).await {
        // The client has proved its identity, and the policy has allowed it.
        Ok(mut stream) => {
            let greeting = format!("hello {}", stream.peer().identity());
            stream.write_all(greeting.as_bytes()).await?;
            stream.shutdown().await?;
        }
        Err(error) => println!("server: {}: {error}", error.reason()),
    }
    Ok(())
}

/// Connects with this certificate, and reads the greeting.
async fn call(server: SocketAddr, ca: &TestCa, own: Issued) -> Result<String, Box<dyn Error>> {
    let connector = Connector::builder()
        .credentials(own.credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::exact([ORDERS.parse()?]))
        // The policy checks the SPIFFE ID, so the certificate needs no host name.
        .server_names(ServerNameVerification::ByPolicy)
        .build()?;
    let tcp = TcpStream::connect(server).await?;
    let mut stream = connector.connect("localhost", tcp).await?;
    // In TLS 1.3 the server rejects a client after the handshake: the first read fails.
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await?;
    Ok(greeting)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(ORDERS).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(Orders)
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;

    let other_ca = TestCa::new("Other CA");
    for (issuer, name) in [(&ca, "billing"), (&ca, "shipping"), (&other_ca, "billing")] {
        let id = format!("spiffe://example.org/ns/{name}/worker");
        let own = issuer.leaf().common_name(name).spiffe(&id).issue();
        // A server accepts in a loop, on a task for each connection; `Listener` does that.
        let (served, called) = tokio::join!(serve(&listener, &acceptor), call(server, &ca, own));
        served?;
        match called {
            Ok(greeting) => println!("client {name}: {greeting}"),
            Err(error) => println!("client {name}: {error}"),
        }
    }
    Ok(())
}

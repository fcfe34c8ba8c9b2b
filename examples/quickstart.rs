//! Mutual TLS in one file: a server that knows its clients and says who may come in.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Certificates are made in memory; the connections are real ones, over 127.0.0.1.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::testing::{Issued, TestCa};
use countersign::{AcceptError, Acceptor, Connector, Decision, Peer, Policy, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Who may call the service "orders": the decision is yours, in plain Rust.
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

/// The server's side of one connection; returns its line for the log.
async fn serve(
    acceptor: &Acceptor<SpiffeId>,
    listener: &TcpListener,
) -> Result<String, Box<dyn Error>> {
    let (tcp, _) = listener.accept().await?;
    let mut stream = acceptor.accept(tcp).await?;
    // Nobody gets here whose key is not proven and whom the policy does not allow.
    let client = stream.peer().identity().to_string();
    stream
        .write_all(format!("hello {client}").as_bytes())
        .await?;
    stream.shutdown().await?;
    Ok(format!("let in {client} by the rule \"{}\"", stream.rule()))
}

/// The client's side of one connection; returns the server's greeting.
async fn call(
    connector: &Connector<SpiffeId>,
    server: SocketAddr,
) -> Result<String, Box<dyn Error>> {
    let tcp = TcpStream::connect(server).await?;
    let mut stream = connector.connect("localhost", tcp).await?;
    // A TLS 1.3 server judges its client last, so that a refusal comes with the first read.
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await?;
    Ok(greeting)
}

/// A client, and what must become of it.
struct Visit {
    story: &'static str,
    certificate: Issued,
    moral: &'static str,
    /// The server's reason for refusing.
    refused: Option<&'static str>,
    /// How that begins which the client gets to see.
    client_sees: &'static str,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let strange_ca = TestCa::new("Strange CA");

    // Four decisions: who we are, whom we trust, how a certificate names its holder, who may in.
    let orders = "spiffe://example.org/ns/orders";
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(orders).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(Orders)
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;

    println!("{INTRODUCTION}");
    let mut as_expected = true;
    for visit in visits(&ca, &strange_ca) {
        // The client makes the same four decisions: it talks to "orders" and to nobody else.
        let connector = Connector::builder()
            .credentials(visit.certificate.credentials())
            .trust(ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::exact([orders.parse()?]))
            .server_names(ServerNameVerification::ByPolicy)
            .build()?;
        let address = listener.local_addr()?;
        let visit_made =
            async { tokio::join!(serve(&acceptor, &listener), call(&connector, address)) };
        let (served, called) = timeout(Duration::from_secs(30), visit_made).await?;

        let refused = served.as_ref().err().map(|error| {
            let refusal = error.downcast_ref::<AcceptError>();
            refusal.map_or("not a refusal", AcceptError::reason)
        });
        let server_logs = match served {
            Ok(line) => line,
            Err(error) => format!("refused ({}): {error}", refused.unwrap_or_default()),
        };
        let client_sees = called.unwrap_or_else(|error| error.to_string());
        println!("\n{}", visit.story);
        println!("   the server logs:  {server_logs}");
        println!("   the client sees:  {client_sees}");
        if refused == visit.refused && client_sees.contains(visit.client_sees) {
            println!("   => {}", visit.moral);
        } else {
            println!("   => THIS IS NOT WHAT SHOULD HAPPEN; please report it.");
            as_expected = false;
        }
    }
    if !as_expected {
        return Ok(ExitCode::FAILURE);
    }
    println!("\n{NEXT}");
    Ok(ExitCode::SUCCESS)
}

const INTRODUCTION: &str = "\
In mutual TLS, both sides show a certificate and prove that they own its key. This program is
both sides: a service called \"orders\", and three clients that want to call it.

The service trusts certificates from \"Example CA\", reads a SPIFFE ID from each, and then asks its
policy, a few lines of Rust in examples/quickstart.rs: only billing may call orders.";

const NEXT: &str = "\
All three went as they should. The examples \"server\" and \"client\" do the same over HTTP, with
certificates from your own files; `cargo run --example server -- --help` tells how.";

fn visits(ca: &TestCa, strange_ca: &TestCa) -> [Visit; 3] {
    [
        Visit {
            story: "1. A billing worker calls, with a certificate from \"Example CA\".",
            certificate: worker("billing", ca),
            moral: "LET IN: the certificate is trusted, and the policy allows its holder.",
            refused: None,
            client_sees: "hello spiffe://example.org/ns/billing/sa/worker",
        },
        Visit {
            story: "2. A shipping worker calls, with a certificate from \"Example CA\" too.",
            certificate: worker("shipping", ca),
            moral: "NOT LET IN: the certificate is trusted, but the policy denies its holder.",
            refused: Some("denied"),
            client_sees: "access_denied (its policy: ",
        },
        Visit {
            story: "3. An impostor calls itself the billing worker, with a certificate from \"Strange CA\".",
            certificate: worker("billing", strange_ca),
            moral: "NOT LET IN: nobody whom the server trusts vouches for that name. \
                    The policy is not even asked.",
            refused: Some("unknown_issuer"),
            client_sees: "unknown_ca (issuer \"CN=Strange CA\" is not in the server's trust store",
        },
    ]
}

fn worker(department: &str, ca: &TestCa) -> Issued {
    ca.leaf()
        .common_name(&format!("{department} worker"))
        .spiffe(&format!("spiffe://example.org/ns/{department}/sa/worker"))
        .issue()
}

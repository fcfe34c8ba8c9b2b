//! Both sides in one program, over 127.0.0.1, with certificates made in memory.

use std::error::Error;
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::Server;
use countersign::integration::tonic::Channel;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Listener, Peer, Update, policy};
use http::Method;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::Layer as _;

use countersign_frameworks::invoices::{CREATE, Invoice, Invoices, InvoicesClient, WATCH};

const ORDERS: &str = "spiffe://example.org/ns/orders";

fn id_of(name: &str) -> String {
    format!("spiffe://example.org/ns/{name}/worker")
}

fn connector(ca: &TestCa, name: &str) -> Result<Connector<SpiffeId>, Box<dyn Error>> {
    Ok(Connector::builder()
        .credentials(ca.leaf().spiffe(&id_of(name)).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::exact([ORDERS.parse()?]))
        .server_names(ServerNameVerification::ByPolicy)
        .alpn(["h2"])
        .build()?)
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(ORDERS).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::trust_domain("example.org".parse()?))
        .alpn(["h2"])
        .build()?;
    let billing = policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?;
    let rules = RequestRules::<SpiffeId>::new()
        .allow("create", billing, [Method::POST], CREATE)?
        .allow("watch", policy::allow_any(), [Method::POST], WATCH)?;
    let service = AuthorizeRequest::new(rules)
        .on_denied(|denied| println!("   server:  denied: {}", denied.why))
        .layer(Routes::new(Invoices::<SpiffeId>::new()));
    let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0").await?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    // countersign's HTTP server, which signals clients to drain; `grpc server` uses tonic's.
    let serving = tokio::spawn(Server::new().serve(listener, service));
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;

    println!("billing calls Create");
    let billing_connector = connector(&ca, "billing")?;
    let channel = Channel::new(billing_connector.clone(), endpoint.clone());
    let mut billing = InvoicesClient::new(channel);
    print(billing.create("ACME").await);

    println!("support calls Create");
    let channel = Channel::new(connector(&ca, "support")?, endpoint.clone());
    let mut support = InvoicesClient::new(channel);
    print(support.create("ACME").await);

    println!("support calls Watch");
    let mut watched = support.watch(2, Duration::from_millis(10)).await?;
    while let Some(invoice) = watched.message().await? {
        print(Ok(invoice));
    }

    println!("billing gets a new certificate while a call is open, and calls Create again");
    let mut under_way = billing.watch(2, Duration::from_millis(100)).await?;
    // With another name, which shows which certificate a call used.
    let renewed = ca.leaf().spiffe("spiffe://example.org/ns/billing/worker-2");
    let renewed = renewed.issue();
    billing_connector
        .control()
        .update(Update::new().credentials(renewed.credentials()))?;
    print(billing.create("ACME").await);
    while let Some(invoice) = under_way.message().await? {
        print(Ok(invoice));
    }

    println!("support is denied while its call is open");
    let mut watched = support.watch(1000, Duration::from_millis(10)).await?;
    print(
        watched
            .message()
            .await?
            .ok_or_else(|| Status::unknown("the call closed early")),
    );
    acceptor
        .control()
        .set_policy(|peer: &Peer<SpiffeId>| match peer.identity().path() {
            "/ns/support/worker" => Decision::deny("support is suspended"),
            _ => Decision::allow("not support"),
        });
    let cut = loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err("the call was completed".into()),
            Err(status) => break status,
        }
    };
    println!("   client:  disconnected ({:?})", cut.code());
    match support.watch(1, Duration::ZERO).await {
        Ok(_) => return Err("support was admitted again".into()),
        Err(_) => println!("   client:  not admitted again"),
    }

    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(())
}

fn print(outcome: Result<Invoice, Status>) {
    match outcome {
        Ok(invoice) => println!(
            "   client:  invoice {} for {}, made by {}",
            invoice.number, invoice.customer, invoice.made_by
        ),
        Err(status) if status.code() == Code::PermissionDenied => {
            println!("   client:  PERMISSION_DENIED");
        }
        Err(status) => println!("   client:  {status}"),
    }
}

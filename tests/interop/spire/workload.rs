//! The Workload API, against an agent in this process.

use std::time::{Duration, Instant};

use countersign::identity::SpiffeId;
use countersign::integration::spiffe::{Workload, WorkloadError};
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, ConnectError, Connector, Diagnostic, TlsStream, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::agent::{Agent, Says};
use crate::messages::{X509Response, X509Svid, der};

pub(crate) const ORDERS: &str = "spiffe://one.example/orders";
pub(crate) const BILLING: &str = "spiffe://one.example/billing";

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("cs").tempdir().unwrap()
}

pub(crate) async fn acceptor(agent: &Agent) -> Acceptor<SpiffeId> {
    let workload = Workload::at(agent.address()).connect().await.unwrap();
    Acceptor::builder()
        .spiffe(workload)
        .authorize(policy::allow_any())
        .build()
        .unwrap()
}

pub(crate) async fn connector(agent: &Agent) -> Connector<SpiffeId> {
    let workload = Workload::at(agent.address()).connect().await.unwrap();
    Connector::builder()
        .spiffe(workload)
        .authorize(policy::allow_any())
        .build()
        .unwrap()
}

type Stream = TlsStream<DuplexStream, SpiffeId>;

/// Both sides' streams, or the reasons why there are none.
pub(crate) async fn meet(
    acceptor: &Acceptor<SpiffeId>,
    connector: &Connector<SpiffeId>,
) -> (Result<Stream, &'static str>, Result<Stream, &'static str>) {
    let (server, client) = testing::handshake(acceptor, connector, "orders.internal").await;
    (
        server.map_err(|error| error.reason()),
        client.map_err(|error: ConnectError| error.reason()),
    )
}

/// Whether the two still talk.
async fn talk(server: &mut Stream, client: &mut Stream) -> std::io::Result<()> {
    client.write_all(b"?").await?;
    client.flush().await?;
    server.read_u8().await?;
    server.write_all(b"!").await?;
    server.flush().await?;
    client.read_u8().await.map(drop)
}

async fn met(acceptor: &Acceptor<SpiffeId>, connector: &Connector<SpiffeId>) -> (Stream, Stream) {
    let (server, client) = meet(acceptor, connector).await;
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn one_line_gives_both_sides_what_the_agent_has() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let (acceptor, connector) = (acceptor(&orders).await, connector(&billing).await);
    let (mut server, mut client) = met(&acceptor, &connector).await;
    assert_eq!(server.peer().identity().as_str(), BILLING);
    assert_eq!(client.peer().identity().as_str(), ORDERS);
    talk(&mut server, &mut client).await.unwrap();

    // A new authority and new SVIDs; the acceptor's open connection stays while both are trusted.
    let next = TestCa::new("Next");
    let rotated = |id: &str| {
        let mut svid = X509Svid::issue(id, &next);
        svid.bundle.extend(der(&ca));
        X509Response::of(svid)
    };
    orders.give(rotated(ORDERS));
    billing.give(rotated(BILLING));
    until("both have rotated", || {
        let generation = acceptor.control().generation();
        generation > 2 && connector.control().generation() > 2
    })
    .await;
    let (server, client) = met(&acceptor, &connector).await;
    let issuer = |stream: &Stream| stream.peer().certificate().issuer().to_string();
    assert_eq!(
        (issuer(&server), issuer(&client)),
        ("CN=Next".into(), "CN=Next".into())
    );
}

#[tokio::test]
async fn a_trust_domain_vouches_only_for_itself() {
    let folder = folder();
    let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
    let other = "spiffe://two.example/billing";
    let own = X509Response::issue(ORDERS, &one);
    let orders = Agent::giving(folder.path().join("a"), own.clone());
    let acceptor = acceptor(&orders).await;
    let foreign = X509Response::issue(other, &two).federated("one.example", &one);
    let foreign = Agent::giving(folder.path().join("b"), foreign);
    let connector_of_two = connector(&foreign).await;
    let (server, _) = meet(&acceptor, &connector_of_two).await;
    assert_eq!(server.unwrap_err(), "unknown_trust_domain");

    orders.give(own.clone().federated("two.example", &two));
    until("federated", || acceptor.control().generation() > 2).await;
    let (server, _client) = met(&acceptor, &connector_of_two).await;
    assert_eq!(server.peer().identity().as_str(), other);

    // Two's authority issues an SVID of one.
    let forged = X509Response::issue(BILLING, &two).federated("one.example", &one);
    let mut forged = forged;
    forged.federated_bundles.clear();
    let forger = Agent::giving(folder.path().join("c"), {
        let mut response = forged;
        response.svids[0].bundle = der(&one);
        response
    });
    let connector_of_forger = connector(&forger).await;
    let (server, _) = meet(&acceptor, &connector_of_forger).await;
    assert_eq!(server.unwrap_err(), "unknown_issuer");

    // The federation ends: so does the open connection.
    orders.give(own);
    until("closed", || acceptor.control().connections().is_empty()).await;
}

#[tokio::test]
async fn one_of_several_identities_by_hint_or_id() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let response = X509Response {
        svids: vec![
            X509Svid::issue(ORDERS, &ca).hint("external"),
            X509Svid::issue(BILLING, &ca).hint("internal"),
            X509Svid::issue("spiffe://one.example/other", &ca).hint("internal"),
        ],
        ..X509Response::default()
    };
    let agent = Agent::giving(folder.path().join("a"), response.clone());
    let at = || Workload::at(agent.address()).wait(Duration::from_millis(500));
    let id = |workload: Result<Workload, WorkloadError>| workload.map(|w| w.id().to_string());
    assert_eq!(id(at().connect().await).unwrap(), ORDERS);
    let internal = at().hint("internal").connect().await;
    assert_eq!(
        id(internal.clone()).unwrap(),
        BILLING,
        "the first of two with one hint"
    );
    let by_id = at().id(BILLING.parse().unwrap()).connect().await;
    assert_eq!(id(by_id).unwrap(), BILLING);
    let missing = at().hint("elsewhere").connect().await.unwrap_err();
    assert_eq!(missing.reason(), "identity_not_given");

    // It is not replaced by another one when it goes.
    let acceptor = Acceptor::builder()
        .spiffe(internal.unwrap())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = connector(&agent).await;
    drop(met(&acceptor, &connector).await);
    agent.give(X509Response::of(response.svids[0].clone()));
    let start = Instant::now();
    while meet(&acceptor, &connector).await.0.err() != Some("suspended") {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn the_crls_of_the_agent_are_honoured() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let victim = ca.leaf().spiffe(BILLING).issue();
    let own = X509Response::issue(ORDERS, &ca);
    let orders = Agent::giving(folder.path().join("a"), own.clone());
    let svid = X509Svid::of(BILLING, &victim, &ca);
    let billing = Agent::giving(folder.path().join("b"), X509Response::of(svid));
    let (acceptor, connector) = (acceptor(&orders).await, connector(&billing).await);
    let (mut server, _client) = met(&acceptor, &connector).await;

    let mut revoking = own.clone();
    revoking.crl = vec![ca.crl().revoke(victim.serial()).build().to_vec()];
    orders.give(revoking);
    assert!(
        server.read_u8().await.is_err(),
        "the open connection is cut"
    );
    let (server, _) = meet(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err(), "revoked");

    orders.give(own);
    until("no CRL", || acceptor.control().generation() > 3).await;
    drop(met(&acceptor, &connector).await);
}

#[tokio::test]
async fn permission_denied_withdraws_the_identity() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let given = X509Response::issue(BILLING, &ca);
    let billing = Agent::giving(folder.path().join("b"), given.clone());
    let (acceptor, connector) = (acceptor(&orders).await, connector(&billing).await);
    let (mut server, mut client) = met(&acceptor, &connector).await;
    talk(&mut server, &mut client).await.unwrap();

    let denied = Instant::now();
    billing.deny();
    // The server's side ends too. Until it has, the client's side waits for its close.
    let server_end = async move { server.read_u8().await };
    let (client_end, server_end) = tokio::join!(client.read_u8(), server_end);
    let took = denied.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let error = client_end.unwrap_err();
    assert!(error.to_string().contains("no identity issued"), "{error}");
    assert!(server_end.is_err());
    // No server gets our certificate.
    let seen = acceptor.control().stats().attempts();
    let (_, client) = meet(&acceptor, &connector).await;
    assert_eq!(client.unwrap_err(), "suspended");
    assert_eq!(acceptor.control().connections().len(), 0);
    assert!(acceptor.control().stats().attempts() >= seen);

    // The same on the accepting side.
    let other = Agent::giving(folder.path().join("c"), given.clone());
    let connector_of_other = crate::workload::connector(&other).await;
    let (mut server, mut client) = met(&acceptor, &connector_of_other).await;
    talk(&mut server, &mut client).await.unwrap();
    orders.deny();
    assert!(server.read_u8().await.is_err());
    let (server, _) = meet(&acceptor, &connector_of_other).await;
    assert_eq!(server.unwrap_err(), "suspended");

    billing.give(given);
    orders.give(X509Response::issue(ORDERS, &ca));
    let start = Instant::now();
    while meet(&acceptor, &connector).await.1.is_err() {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

/// The identity is withdrawn before there is an acceptor.
#[tokio::test]
async fn what_is_withdrawn_early_is_not_used() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let workload = Workload::at(orders.address()).connect().await.unwrap();
    orders.deny();
    // The stream ends, and the client calls again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let acceptor = Acceptor::builder()
        .spiffe(workload)
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = connector(&billing).await;
    let start = Instant::now();
    while meet(&acceptor, &connector).await.0.err() != Some("suspended") {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    orders.give(X509Response::issue(ORDERS, &ca));
    let start = Instant::now();
    while meet(&acceptor, &connector).await.1.is_err() {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn jwt_svids_are_fetched_and_validated() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let response = X509Response {
        svids: vec![
            X509Svid::issue(ORDERS, &ca),
            X509Svid::issue(BILLING, &ca).hint("internal"),
        ],
        ..X509Response::default()
    };
    let agent = Agent::giving(folder.path().join("a"), response);
    let workload = Workload::at(agent.address()).connect().await.unwrap();
    let all = workload
        .fetch_jwt(&["https://a.example"], None)
        .await
        .unwrap();
    let ids: Vec<_> = all.iter().map(|svid| svid.id().as_str()).collect();
    assert_eq!(ids, [ORDERS, BILLING]);
    assert_eq!(all[1].hint(), "internal");
    assert!(
        !format!("{:?}", all[0]).contains("a.example"),
        "a token is a secret"
    );
    let id = BILLING.parse().unwrap();
    let one = workload
        .fetch_jwt(&["https://a.example"], Some(&id))
        .await
        .unwrap();
    assert_eq!(one.len(), 1);

    let valid = workload
        .validate_jwt("https://a.example", one[0].token())
        .await
        .unwrap();
    assert_eq!(valid.id, id);
    let other = workload
        .validate_jwt("https://b.example", one[0].token())
        .await;
    assert_eq!(other.unwrap_err().reason(), "agent_refused");
    let none = workload.fetch_jwt(&[], None).await.unwrap_err();
    assert_eq!(none.reason(), "malformed_svid");
}

/// Each is an error with its reason, and after a good response it changes nothing.
#[tokio::test]
async fn whatever_an_agent_sends_is_checked_as_a_whole() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let good = X509Response::issue(ORDERS, &ca);
    let bad = |change: &dyn Fn(&mut X509Response)| {
        let mut response = good.clone();
        change(&mut response);
        response
    };
    let cases = [
        ("no identity", bad(&|r| r.svids.clear())),
        (
            "a chain that is cut",
            bad(&|r| r.svids[0].x509_svid.truncate(100)),
        ),
        ("no chain", bad(&|r| r.svids[0].x509_svid.clear())),
        ("no key", bad(&|r| r.svids[0].x509_svid_key.clear())),
        (
            "another key",
            bad(&|r| r.svids[0].x509_svid_key = X509Svid::issue(ORDERS, &ca).x509_svid_key),
        ),
        (
            "another ID",
            bad(&|r| r.svids[0].spiffe_id = BILLING.into()),
        ),
        ("no ID", bad(&|r| r.svids[0].spiffe_id = "orders".into())),
        (
            "a bundle that is cut",
            bad(&|r| r.svids[0].bundle.truncate(100)),
        ),
        (
            "a CRL that is none",
            bad(&|r| r.crl = vec![b"revoked".to_vec()]),
        ),
        (
            "a domain that is none",
            bad(&|r| drop(r.federated_bundles.insert("spiffe://Two".into(), der(&ca)))),
        ),
        (
            "two bundles of one domain",
            bad(&|r| {
                let other = der(&TestCa::new("Other"));
                r.federated_bundles
                    .insert("spiffe://one.example".into(), other);
            }),
        ),
        (
            "a huge message",
            bad(&|r| r.crl = vec![vec![0x30; 5 << 20]]),
        ),
    ];
    let agent = Agent::giving(folder.path().join("a"), good.clone());
    let acceptor = acceptor(&agent).await;
    let connector = connector(&agent).await;
    let handle = countersign::reload::Reload::of(&acceptor)
        .start()
        .await
        .unwrap();
    for (what, response) in cases {
        let fresh = Agent::giving(folder.path().join("f"), response.clone());
        let at = Workload::at(fresh.address()).wait(Duration::from_millis(200));
        let error = at.connect().await.expect_err(what);
        let expected: &[&str] = match what {
            "no identity" => &["identity_not_given"],
            "a huge message" => &["agent_refused"],
            _ => &["malformed_svid"],
        };
        assert!(expected.contains(&error.reason()), "{what}: {error}");
        if what == "no identity" {
            continue; // it withdraws
        }
        let refused = handle.status().refused;
        agent.give(response);
        until(what, || handle.status().refused > refused).await;
        drop(met(&acceptor, &connector).await);
        agent.give(good.clone());
        until(what, || handle.status().streams[0].error.is_none()).await;
    }
}

#[tokio::test]
async fn without_an_agent_it_says_so() {
    let folder = folder();
    let at = |path: &str| {
        let address = format!("unix:{}", folder.path().join(path).display());
        Workload::at(address)
            .wait(Duration::from_millis(300))
            .connect()
    };
    let error = at("missing").await.unwrap_err();
    assert_eq!(error.reason(), "agent_unreachable", "{error}");
    let agent = Agent::start(folder.path().join("a"), Says::Deny);
    let error = at("a").await.unwrap_err();
    assert_eq!(error.reason(), "no_identity_issued", "{error}");
    assert!(
        error
            .to_string()
            .ends_with("create a registration entry whose selectors match this process"),
        "{error}"
    );
    drop(agent);
    let error = Workload::at("localhost:80").connect().await.unwrap_err();
    assert_eq!(Diagnostic::reason(&error), "bad_workload_address");
}

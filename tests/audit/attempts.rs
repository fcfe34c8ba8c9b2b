//! Twenty thousand attempts of every kind, beside each other: each has exactly one outcome in the
//! audit trail, none is lost and none recorded twice, and the counts and the metrics agree.
//!
//! One test, because a process has one recorder of metrics.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use countersign::audit::{Action, Memory};
use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::TestCa;
use countersign::{Acceptor, Decision, Listener, Peer};
use metrics_exporter_prometheus::PrometheusBuilder;
use support::acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clients::{Clients, Plan};
use crate::figures;
use support::schema;
use support::sent::{Sender, from_socket, sent};

const ATTEMPTS: usize = 20_000;
/// How many clients are at work beside each other, the stalling ones not counted.
const ABREAST: usize = 64;
const NAME: &str = "of many";

/// What the caller got of each attempt, by the client's address.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<HashMap<SocketAddr, Vec<&'static str>>>>);

impl Reported {
    fn report(&self, client: SocketAddr, what: &'static str) {
        let mut reported = self.0.lock().unwrap();
        reported.entry(client).or_default().push(what);
    }
}

/// No two attempts come from the same.
fn address(number: usize) -> SocketAddr {
    let [_, high, middle, low] = u32::try_from(number).unwrap().to_be_bytes();
    ([10, high, middle, low], 4000).into()
}

fn number_of(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(v4) => (u32::from_be_bytes(v4.ip().octets()) & 0x00ff_ffff) as usize,
        SocketAddr::V6(_) => panic!("{address}"),
    }
}

fn server(ca: &TestCa, trail: &Memory, denied: &DenyList<DnsName>) -> Acceptor<DnsName> {
    let policy = |peer: &Peer<DnsName>| match peer.identity().as_str() {
        "denied.example" => Decision::deny("not today"),
        _ => Decision::allow("all others"),
    };
    acceptor(ca, policy)
        .named(NAME)
        .deny_list(denied)
        .handshake_timeout(Duration::from_secs(2))
        .audit_refusals_per_second(None)
        .audit(trail.clone())
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_twenty_thousand_attempts_has_one_outcome() {
    support::in_own_process!(each_of_twenty_thousand_attempts_has_one_outcome);
    let prometheus = PrometheusBuilder::new().install_recorder().unwrap();
    let ca = TestCa::new("Root");
    let (trail, denied, reported) = (Memory::new(), DenyList::new(), Reported::default());
    denied.insert(DenyEntry::Identity("listed.example".parse().unwrap()));
    let acceptor = server(&ca, &trail, &denied);
    let (sender, incoming) = sent();
    let refused = reported.clone();
    let mut listener = Listener::builder(acceptor.clone())
        .max_handshakes(ATTEMPTS)
        .admit(|client: SocketAddr| Plan::of(number_of(client)) != Plan::Shed)
        .on_refused(move |client, error| refused.report(client.unwrap(), error.reason()))
        .listen(incoming);
    let handle = listener.handle();
    let admitted = reported.clone();
    let accepting = tokio::spawn(async move {
        while let Some(mut stream) = listener.accept().await {
            let client = stream.peer().connection().remote_addr();
            admitted.report(client.unwrap(), "admitted");
            let _ = stream.flush().await; // tickets, unless the client has left
        }
    });

    attack(&ca, &acceptor, &sender, &reported).await;
    handle.shutdown(Duration::from_secs(60)).await;
    accepting.await.unwrap();

    let reported = std::mem::take(&mut *reported.0.lock().unwrap());
    let events = trail.take();
    let outcomes: Vec<_> = events.iter().filter(|e| e.action.ends_attempt()).collect();

    // One each, and the one that the caller got.
    assert_eq!(reported.len(), ATTEMPTS);
    assert_eq!(outcomes.len(), ATTEMPTS);
    let mut plans: BTreeMap<Plan, BTreeMap<&str, usize>> = BTreeMap::new();
    let (mut connections, mut ids) = (HashMap::new(), HashMap::new());
    for event in &outcomes {
        let client = event.info.remote_addr().unwrap();
        let what = event.reason.unwrap_or(event.action.as_str());
        assert_eq!(reported[&client], [what], "{client}: {event}");
        let plan = Plan::of(number_of(client));
        *plans.entry(plan).or_default().entry(what).or_default() += 1;
        connections.insert(event.connection.unwrap(), client);
        ids.insert(event.id, client);
    }
    assert_eq!(connections.len(), ATTEMPTS);
    assert_eq!(ids.len(), ATTEMPTS);
    println!("{plans:#?}");
    for plan in Plan::ALL {
        let reason = plan.reason();
        let count = plans[&plan].get(reason).copied().unwrap_or(0);
        assert!(
            count > 100,
            "{plan:?}: {count} {reason} of {:?}",
            plans[&plan]
        );
    }

    // All admitted clients have left, and that was recorded once as well.
    let admitted = outcomes.iter().filter(|e| e.action == Action::Admitted);
    let mut admitted: Vec<_> = admitted.map(|e| e.connection.unwrap()).collect();
    let ended = events.iter().filter(|e| e.action == Action::Closed);
    let mut ended: Vec<_> = ended.map(|e| e.connection.unwrap()).collect();
    admitted.sort_unstable();
    ended.sort_unstable();
    assert_eq!(admitted, ended);
    assert_eq!(
        events.len(),
        outcomes.len() + ended.len(),
        "nothing else happened"
    );

    figures::agree(
        &acceptor.control().stats(),
        &prometheus.render(),
        &events,
        NAME,
    );
    let schema = schema::of_events();
    for event in &events {
        schema::assert_valid(&schema, event);
    }
}

/// All attempts, `ABREAST` at a time.
async fn attack(ca: &TestCa, acceptor: &Acceptor<DnsName>, sender: &Sender, reported: &Reported) {
    let clients = Arc::new(Clients::new(ca));
    let places = Arc::new(Semaphore::new(ABREAST));
    let mut all = JoinSet::new();
    for number in 0..ATTEMPTS {
        let plan = Plan::of(number);
        if plan == Plan::Abandoned {
            abandon(acceptor, address(number), reported);
            continue;
        }
        let place = match plan {
            Plan::Stalls => None,
            _ => Some(places.clone().acquire_owned().await.unwrap()),
        };
        let io = from_socket(sender, Some(address(number)));
        let clients = clients.clone();
        all.spawn(async move {
            clients.go(plan, io).await;
            drop(place);
        });
    }
    all.join_all().await;
}

/// Begins to accept, and thinks better of it.
fn abandon(acceptor: &Acceptor<DnsName>, client: SocketAddr, reported: &Reported) {
    let (near, _far) = tokio::io::duplex(1024);
    let mut accepting = Box::pin(acceptor.accept_from(near, client));
    let polled = accepting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(accepting);
    reported.report(client, "abandoned");
}

//! Refusals of strangers are recorded at a rate, and counted to the last one.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::audit::{Action, AuditEvent, FanOut, Filter, Json, Memory, RotatingFile};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, ConnectionInfo, Decision, Listener, Peer, policy};
use tokio::task::JoinSet;

use crate::clients::{Clients, Plan};
use support::acceptor;
use support::schema;
use support::sent::{from_socket, sent};

type Counts = HashMap<(Action, &'static str), u64>;

/// Everything but what the server gives up, and what takes two seconds.
fn plan(number: usize) -> Plan {
    match Plan::of(number) {
        Plan::Abandoned | Plan::Stalls => Plan::Garbage,
        plan => plan,
    }
}

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

/// What was recorded singly, and what the summaries stand for.
fn tally(events: &[Arc<AuditEvent>]) -> (Counts, Counts) {
    let (mut singly, mut summed) = (Counts::new(), Counts::new());
    for event in events {
        let reason = event.reason.unwrap_or_default();
        if event.action.ends_attempt() {
            *singly.entry((event.action, reason)).or_default() += 1;
        }
        if let Some(suppressed) = event.suppressed {
            assert_eq!(event.action, Action::RefusalsSuppressed);
            *summed.entry((suppressed.action, reason)).or_default() += suppressed.count;
        }
    }
    (singly, summed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_and_what_is_summed_up_are_all_attempts() {
    const ATTEMPTS: usize = 1500;
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let policy = |peer: &Peer<DnsName>| match peer.identity().as_str() {
        "denied.example" | "listed.example" => Decision::deny("not today"),
        _ => Decision::allow("all others"),
    };
    let acceptor = acceptor(&ca, policy)
        .audit(trail.clone())
        .audit_refusals_per_second(1)
        .build()
        .unwrap();
    let reported = Arc::new(Mutex::new(BTreeMap::<&str, u64>::new()));
    let refused = Arc::clone(&reported);
    let (sender, incoming) = sent();
    let mut listener = Listener::builder(acceptor.clone())
        .max_handshakes(ATTEMPTS)
        .admit(|client: SocketAddr| plan(number_of(client)) != Plan::Shed)
        .on_refused(move |_, error| {
            *refused.lock().unwrap().entry(error.reason()).or_default() += 1;
        })
        .listen(incoming);
    let handle = listener.handle();
    let accepting = tokio::spawn(async move { while listener.accept().await.is_some() {} });
    let clients = Arc::new(Clients::new(&ca));
    let mut all = JoinSet::new();
    for number in 0..ATTEMPTS {
        let io = from_socket(&sender, Some(address(number)));
        let clients = Arc::clone(&clients);
        all.spawn(async move { clients.go(plan(number), io).await });
        if all.len() >= 64 {
            all.join_next().await.unwrap().unwrap();
        }
    }
    all.join_all().await;
    handle.shutdown(Duration::from_secs(60)).await;
    accepting.await.unwrap();
    let stats = acceptor.control().stats();

    let events = trail.take();
    let (singly, summed) = tally(&events);
    let total = |counts: &Counts| counts.values().sum::<u64>();
    assert_eq!(stats.attempts(), ATTEMPTS as u64);
    assert_eq!(total(&singly) + total(&summed), ATTEMPTS as u64);
    assert_eq!(total(&summed), stats.audit_suppressed);
    assert!(stats.audit_suppressed > 300, "{summed:?}");
    // Reason by reason, what was reported to the application.
    let mut both = BTreeMap::<&str, u64>::new();
    for ((action, reason), count) in singly.iter().chain(&summed) {
        if *action != Action::Admitted {
            *both.entry(reason).or_default() += count;
        }
    }
    assert_eq!(both, *reported.lock().unwrap());
    // What comes after the proof of a key is recorded singly, each.
    assert_eq!(singly[&(Action::Admitted, "")], stats.admitted);
    assert!(stats.admitted > 100 && stats.denied > 100, "{stats:?}");
    for (action, count) in [
        (Action::Denied, stats.denied),
        (Action::NotIdentified, stats.not_identified),
    ] {
        let of = singly.iter().filter(|((of, _), _)| *of == action);
        assert_eq!(of.map(|(_, count)| count).sum::<u64>(), count, "{action:?}");
        assert!(summed.keys().all(|(of, _)| *of != action));
    }
    let schema = schema::of_events();
    for event in &events {
        schema::assert_valid(&schema, event);
    }
}

/// Strangers and one known client, at a gate.
fn attack(ca: &TestCa, acceptor: &Acceptor<DnsName>, strangers: usize) {
    let known = ca.leaf().dns("client.example").issue();
    let other = TestCa::new("Other").leaf().dns("client.example").issue();
    let ask = |chain: &[_]| {
        acceptor
            .control()
            .admit_chain(chain, ConnectionInfo::default())
    };
    ask(known.chain()).unwrap();
    for _ in 0..strangers {
        assert_eq!(ask(other.chain()).unwrap_err().reason(), "unknown_issuer");
    }
}

#[test]
fn a_flood_of_refusals_leaves_the_admission_in_a_rotated_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let of_name = files.filter(|file| file.to_str().unwrap().contains(name));
        of_name
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect::<String>()
    };
    let open = |name: &str| {
        let file = RotatingFile::open(folder.path().join(name)).unwrap();
        Json::new(file.max_bytes(400 * 1024).keep(1))
    };
    let ca = TestCa::new("Root");
    let build = |name: &str| acceptor(&ca, policy::allow_any()).audit(open(name));
    let admitted = "\"action\":\"admitted\"";

    attack(&ca, &build("limited").build().unwrap(), 2_000);
    let limited = text("limited");
    assert_eq!(limited.matches(admitted).count(), 1);
    let recorded = limited
        .matches("\"action\":\"chain_refused\",\"outcome\"")
        .count();
    let summed: u64 = limited
        .lines()
        .filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["countersign"]["suppressed"]["count"].as_u64()
        })
        .sum();
    assert_eq!(recorded as u64 + summed, 2_000);
    assert!((200..1_000).contains(&recorded), "{recorded}");

    // Where all are recorded, it is pushed out.
    let all = build("all")
        .audit_refusals_per_second(None)
        .build()
        .unwrap();
    attack(&ca, &all, 2_000);
    assert_eq!(text("all").matches(admitted).count(), 0);

    // In a file of its own, it stays.
    let sink = FanOut::new()
        .and(Filter::new(open("known"), |event: &AuditEvent| {
            !event.is_unauthenticated()
        }))
        .and(Filter::new(open("strange"), AuditEvent::is_unauthenticated));
    let apart = acceptor(&ca, policy::allow_any()).audit(sink);
    attack(
        &ca,
        &apart.audit_refusals_per_second(None).build().unwrap(),
        2_000,
    );
    assert_eq!(text("known").matches(admitted).count(), 1);
    assert_eq!(text("strange").matches(admitted).count(), 0);
}

/// The thread brings it: no event follows, and the acceptor lives.
#[test]
fn a_summary_is_recorded_without_further_events() {
    let ca = TestCa::new("Root");
    let (heard, hear) = std::sync::mpsc::channel();
    let heard = Mutex::new(heard);
    let sink = move |event: &AuditEvent| {
        if let Some(suppressed) = event.suppressed {
            heard.lock().unwrap().send(suppressed).unwrap();
        }
    };
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(sink)
        .audit_refusals_per_second(0)
        .build()
        .unwrap();
    attack(&ca, &acceptor, 5);
    let summary = hear.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((summary.action, summary.count), (Action::ChainRefused, 5));
    drop(acceptor);
    assert!(hear.recv().is_err(), "it is reported once");
}

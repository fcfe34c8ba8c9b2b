//! Every duration and every count of the public API at its extremes: 0 and the largest. None panics, waits
//! indefinitely or admits a peer that must be rejected.

use std::io::Write as _;
use std::time::Duration;

use countersign::audit::{Memory, Queue, RotatingFile};
use countersign::builder::Builder;
use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::reload::{Reload, Source};
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::{Crls, Limits, Revocation};
use countersign::{Acceptor, Connector, Decision, Listener, Peer, Update, WhenFull, policy};
use support::{SERVER, acceptor, connector, handshake};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A duration and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extreme(Duration, usize);

const ZERO: Extreme = Extreme(Duration::ZERO, 0);
const MOST: Extreme = Extreme(Duration::MAX, usize::MAX);

/// What a builder has, and what comes of a handshake where it is 0 and where it is the most: the
/// reason of the refusal, or why the connection drains within two seconds.
const KNOBS: &[(&str, Outcome, Outcome)] = &[
    ("handshake_timeout", Refused("timed_out"), Open),
    ("max_handshake_bytes", Refused("too_much_received"), Open),
    ("drain_time", Open, Open),
    ("max_connection_age", Drains("max_age"), Open),
    ("verification_cache", Open, Open),
    ("chain_length", Refused("chain_too_long"), Open),
    ("rsa_bits", Open, Open), // its keys are of elliptic curves
    ("grace", Open, Open),
    ("async policy's timeout", Refused("policy_timed_out"), Open),
    ("cached: life and capacity", Open, Open),
    ("cached: denials", Open, Open),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Drains(&'static str),
    Refused(&'static str),
}

use Outcome::{Drains, Open, Refused};

fn turned<S>(
    ca: &TestCa,
    builder: Builder<S, DnsName>,
    knob: &str,
    Extreme(time, count): Extreme,
) -> Builder<S, DnsName> {
    match knob {
        "handshake_timeout" => builder.handshake_timeout(time),
        "max_handshake_bytes" => builder.max_handshake_bytes(count),
        "drain_time" => builder.drain_time(time),
        "max_connection_age" => builder.max_connection_age(time),
        "verification_cache" => builder.verification_cache(count),
        "chain_length" => builder.limits(Limits::default().chain_length(count)),
        "rsa_bits" => builder.limits(Limits::default().rsa_bits(count)),
        "grace" => {
            let crls = Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap();
            builder.revocation(Revocation::new(crls).grace(time))
        }
        _ => builder, // of a policy
    }
}

/// The policies that have something to turn; set when the acceptor is built.
fn policy_of(knob: &str, Extreme(time, count): Extreme) -> impl Fn(&Acceptor<DnsName>) {
    async fn slowly(_: Peer<DnsName>) -> Decision {
        sleep(Duration::from_millis(100)).await;
        Decision::allow("after a while")
    }
    move |acceptor| match knob {
        "async policy's timeout" => acceptor.control().set_async_policy(slowly, time),
        "cached: life and capacity" => {
            let cached = policy::cached(slowly, time, count);
            acceptor
                .control()
                .set_async_policy(cached, Duration::from_secs(5));
        }
        "cached: denials" => {
            let cached = policy::cached(slowly, Duration::MAX, 1).denials_for(time);
            acceptor
                .control()
                .set_async_policy(cached, Duration::from_secs(5));
        }
        _ => {}
    }
}

async fn outcome_of(knob: &'static str, extreme: Extreme) -> Outcome {
    let ca = TestCa::new("Root");
    let acceptor = turned(&ca, acceptor(&ca, policy::allow_any()), knob, extreme);
    let acceptor = acceptor.build().unwrap();
    policy_of(knob, extreme)(&acceptor);
    let connector = connector(&ca, "client.example").build().unwrap();
    // Twice: the second may be remembered, and resumes.
    for _ in 0..2 {
        let (server, client) = handshake(&acceptor, &connector).await;
        let server = match server {
            Ok(server) => server,
            Err(error) => return Refused(error.reason()),
        };
        let draining = timeout(Duration::from_secs(2), server.draining());
        if let Ok(why) = draining.await {
            return Drains(why.reason());
        }
        support::exchange_and_close(Ok(server), client).await;
    }
    Open
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_takes_every_duration_and_count() {
    for (knob, at_zero, at_most) in KNOBS {
        assert_eq!(outcome_of(knob, ZERO).await, *at_zero, "{knob} of 0");
        assert_eq!(outcome_of(knob, MOST).await, *at_most, "{knob} of the most");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_takes_every_duration_and_count() {
    for (knob, _, at_most) in KNOBS {
        for extreme in [ZERO, MOST] {
            let ca = TestCa::new("Root");
            let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
            let builder = connector(&ca, "client.example");
            let connector: Connector<DnsName> =
                turned(&ca, builder, knob, extreme).build().unwrap();
            let (_server, client) = handshake(&acceptor, &connector).await;
            let case = format!("{knob}, {extreme:?}");
            match client {
                Err(error) => assert_eq!(extreme, ZERO, "{case}: {error}"),
                Ok(client) => {
                    assert_eq!(*at_most, Open);
                    // What drains is the connection that has other credentials than are in force.
                    let own = ca.leaf().dns("client.example").issue();
                    let update = Update::new().credentials(own.credentials());
                    connector.control().update(update).unwrap();
                    assert!(client.draining().why().is_some(), "{case}");
                    sleep(Duration::from_secs(40)).await;
                    let is_kept = *knob == "drain_time" && extreme == MOST;
                    assert_eq!(
                        connector.control().connections().len(),
                        usize::from(is_kept),
                        "{case}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_listener_takes_every_duration_and_count() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for when_full in [WhenFull::Wait, WhenFull::Shed] {
        for Extreme(time, count) in [ZERO, MOST] {
            let mut listener = Listener::builder(acceptor.clone())
                .max_handshakes(count)
                .max_handshakes_per_address(count)
                .when_full(when_full)
                .bind("127.0.0.1:0")
                .await
                .unwrap();
            let address = listener.local_addr().unwrap();
            let tcp = TcpStream::connect(address).await.unwrap();
            let (client, server) = tokio::join!(connector.connect(SERVER, tcp), listener.accept());
            let (_client, server) = (client.unwrap(), server.unwrap());
            let (handle, draining) = (listener.handle(), server.draining());
            let shutdown = tokio::spawn(async move { handle.shutdown(time).await });
            let patience = Duration::from_secs(30);
            let why = timeout(patience, draining).await.unwrap();
            assert_eq!(why.reason(), "shut_down");
            assert!(time.is_zero() || !shutdown.is_finished(), "it has time");
            drop(server);
            timeout(patience, shutdown).await.unwrap().unwrap();
            assert!(listener.accept().await.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_every_interval() {
    let ca = TestCa::new("Root");
    for Extreme(every, _) in [ZERO, MOST] {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let reload = Reload::of(&acceptor).trust(Source::fixed(ca.trust()));
        let handle = reload.every(every).start().await.unwrap();
        assert_eq!(handle.status().generation, 2, "{every:?}");
        let applied = handle.reload_now().await.unwrap();
        assert_eq!(applied.changed, [], "{every:?}");
    }
}

#[test]
fn the_audit_trail_takes_every_duration_and_count() {
    let ca = TestCa::new("Root");
    let client = ca.leaf().dns("client.example").issue();
    for Extreme(time, count) in [ZERO, MOST] {
        let memory = Memory::new();
        let queue = Queue::builder(memory.clone()).capacity(count).start();
        let acceptor = acceptor(&ca, policy::allow_any())
            .audit(queue.clone())
            .build()
            .unwrap();
        let info = countersign::ConnectionInfo::default();
        let admitted = acceptor.control().admit_chain(client.chain(), info);
        assert!(admitted.is_ok(), "{admitted:?}");
        let _ = queue.flush_within(time);
        assert!(queue.flush_within(Duration::from_secs(30)));
        assert_eq!(memory.events().len(), 1, "there is room for one, at least");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for bytes in [0, u64::MAX] {
            let file = RotatingFile::open(&path).unwrap();
            let mut file = file.max_bytes(bytes).keep(count);
            for _ in 0..3 {
                file.write_all(b"line\n").unwrap();
            }
        }
        let files = folder.path().read_dir().unwrap().count();
        assert_eq!(files, if count == 0 { 1 } else { 3 }, "keep({count})");
    }
}

#[test]
fn a_clock_of_tests_stops_at_the_end_of_time() {
    let clock = FixedClock::now();
    clock.advance(Duration::ZERO);
    clock.advance(Duration::MAX);
    assert_eq!(clock.time().as_secs(), u64::MAX);
    clock.advance(Duration::from_secs(1));
    assert_eq!(clock.time().as_secs(), u64::MAX);
    // A gate with such a clock rejects the peer and does not panic.
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock)
        .build()
        .unwrap();
    let client = ca.leaf().dns("client.example").issue();
    let info = countersign::ConnectionInfo::default();
    let refused = acceptor.control().admit_chain(client.chain(), info);
    assert_eq!(refused.unwrap_err().reason(), "expired");
}

//! Each kind of policy decides, and no byte passes before its decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy::{self, AsyncPolicy};
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Decision, Peer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use support::{Recording, SERVER, Version, acceptor, connector, handshake, provider, raw_client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

fn is_even(peer: &Peer<DnsName>) -> bool {
    let label = peer.identity().labels().next().unwrap();
    label.trim_start_matches("client-").parse::<u32>().unwrap() % 2 == 0
}

fn sync_policy(peer: &Peer<DnsName>) -> Decision {
    if is_even(peer) {
        Decision::allow("even")
    } else {
        Decision::deny("odd")
    }
}

/// Waits, and counts its decisions when they are made.
struct Slow {
    decided: Arc<AtomicUsize>,
}

impl AsyncPolicy<DnsName> for Slow {
    async fn authorize(&self, peer: Peer<DnsName>) -> Decision {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.decided.fetch_add(1, Ordering::SeqCst);
        sync_policy(&peer)
    }
}

fn acceptor_with(
    ca: &TestCa,
    policy: impl AsyncPolicy<DnsName> + 'static,
    timeout: Duration,
) -> Acceptor<DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize_async(policy, timeout)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn sync_async_panicking_and_silent_policies() {
    let ca = TestCa::new("Root");
    let second = Duration::from_secs(1);
    let sync = acceptor(&ca, sync_policy).build().unwrap();
    let asynchronous = acceptor_with(
        &ca,
        Slow {
            decided: Arc::default(),
        },
        second,
    );
    let too_slow = acceptor_with(
        &ca,
        Slow {
            decided: Arc::default(),
        },
        Duration::from_millis(49),
    );
    let panics = acceptor(&ca, |_: &Peer<DnsName>| -> Decision { panic!("bug") })
        .build()
        .unwrap();
    let panics_when_called = acceptor_with(
        &ca,
        |_: Peer<DnsName>| -> std::future::Ready<Decision> { panic!("bug") },
        second,
    );
    let panics_when_polled = acceptor_with(
        &ca,
        |_: Peer<DnsName>| async {
            tokio::task::yield_now().await;
            if true {
                panic!("bug")
            }
            Decision::allow("never")
        },
        second,
    );
    let silent = acceptor_with(
        &ca,
        |_: Peer<DnsName>| std::future::pending::<Decision>(),
        second,
    );

    for (acceptor, name, expected) in [
        (&sync, "client-2.example", Ok("even")),
        (&sync, "client-3.example", Err("denied")),
        (&asynchronous, "client-2.example", Ok("even")),
        (&asynchronous, "client-3.example", Err("denied")),
        (&too_slow, "client-2.example", Err("policy_timed_out")),
        (&panics, "client-2.example", Err("policy_panicked")),
        (
            &panics_when_called,
            "client-2.example",
            Err("policy_panicked"),
        ),
        (
            &panics_when_polled,
            "client-2.example",
            Err("policy_panicked"),
        ),
        (&silent, "client-2.example", Err("policy_timed_out")),
    ] {
        let connector = connector(&ca, name).build().unwrap();
        let (server, _client) = handshake(acceptor, &connector).await;
        let result = match &server {
            Ok(stream) => Ok(stream.rule()),
            Err(error) => Err(error.reason()),
        };
        assert_eq!(result, expected, "{name}");
    }
}

/// The handshake's timeout bounds a policy whose own is longer.
#[tokio::test(start_paused = true)]
async fn the_handshake_timeout_includes_the_policy() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize_async(
            |_: Peer<DnsName>| std::future::pending::<Decision>(),
            Duration::MAX,
        )
        .handshake_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let connector = connector(&ca, "client-2.example").build().unwrap();
    let begin = tokio::time::Instant::now();
    let (server, _client) = handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err().reason(), "timed_out");
    assert!(begin.elapsed() >= Duration::from_secs(3));
}

/// A synchronous call of the gate cannot wait for an async policy, so it rejects the peer.
#[tokio::test(start_paused = true)]
async fn a_synchronous_call_does_not_skip_an_async_policy() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor_with(
        &ca,
        Slow {
            decided: Arc::default(),
        },
        Duration::from_secs(1),
    );
    let client = ca.leaf().dns("client-2.example").issue();
    let info = countersign::ConnectionInfo::default;
    let error = acceptor
        .control()
        .admit_chain(client.chain(), info())
        .unwrap_err();
    assert_eq!(error.reason(), "policy_is_async");
    let admission = acceptor
        .control()
        .admit_chain_async(client.chain(), info())
        .await
        .unwrap();
    assert_eq!(admission.rule(), "even");
}

/// A client that sends application data in the same flight as its Finished.
async fn eager_client(ca: &TestCa, client: &Issued, mut io: DuplexStream, message: &[u8]) {
    let key = provider(Version::Tls13)
        .key_provider
        .load_private_key(client.key_der())
        .unwrap();
    let key = CertifiedKey::new(client.chain().to_vec(), key);
    let config = raw_client(
        ca,
        Version::Tls13,
        Some(Arc::new(SingleCertAndKey::from(key))),
    );
    let mut tls =
        rustls::ClientConnection::new(Arc::new(config), SERVER.try_into().unwrap()).unwrap();
    // rustls holds it back until it has keys, and then sends it right behind the Finished.
    std::io::Write::write_all(&mut tls.writer(), message).unwrap();
    loop {
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight).unwrap();
        }
        if io.write_all(&flight).await.is_err() {
            return;
        }
        if !tls.is_handshaking() {
            break;
        }
        let mut buffer = [0; 16 * 1024];
        let count = io.read(&mut buffer).await.unwrap();
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    // Everything is sent; wait for the server to finish with us.
    let mut rest = Vec::new();
    let _ = io.read_to_end(&mut rest).await;
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_delivered_before_the_decision() {
    const CLIENTS: usize = 500;

    let ca = TestCa::new("Root");
    let decided = Arc::new(AtomicUsize::new(0));
    let acceptor = acceptor_with(
        &ca,
        Slow {
            decided: decided.clone(),
        },
        Duration::from_secs(5),
    );
    let delivered = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = format!("client-{number}.example");
        let issued = ca.leaf().dns(&name).issue();
        let (ca, acceptor) = (ca.clone(), acceptor.clone());
        let (decided, delivered) = (decided.clone(), delivered.clone());
        tasks.spawn(async move {
            let serve = async {
                let decided_before = decided.load(Ordering::SeqCst);
                let accepted = acceptor.accept(near).await;
                assert!(decided.load(Ordering::SeqCst) > decided_before || accepted.is_err());
                let Ok(mut stream) = accepted else {
                    return false;
                };
                let mut message = [0; 5];
                stream.read_exact(&mut message).await.unwrap();
                assert_eq!(&message, b"early");
                delivered.fetch_add(1, Ordering::SeqCst);
                true
            };
            let (served, ()) = tokio::join!(serve, eager_client(&ca, &issued, far, b"early"));
            assert_eq!(served, number % 2 == 0, "{name}");
        });
    }
    // Let every handshake finish and every early byte arrive, while all policies still think.
    tokio::time::sleep(Duration::from_millis(49)).await;
    assert_eq!(decided.load(Ordering::SeqCst), 0);
    assert_eq!(delivered.load(Ordering::SeqCst), 0);
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(decided.load(Ordering::SeqCst), CLIENTS);
    assert_eq!(delivered.load(Ordering::SeqCst), CLIENTS / 2);
}

#[tokio::test(start_paused = true)]
async fn a_policy_runs_once_and_can_be_replaced() {
    let ca = TestCa::new("Root");
    let first = Recording::new(sync_policy);
    let acceptor = acceptor(&ca, first.clone()).build().unwrap();
    let clone = acceptor.clone();
    let connector = connector(&ca, "client-2.example").build().unwrap();
    handshake(&acceptor, &connector).await.0.unwrap();
    assert_eq!(first.count(), 1);
    acceptor.control().set_policy(support::deny_all);
    let (server, _client) = handshake(&clone, &connector).await;
    assert_eq!(
        server.unwrap_err().reason(),
        "denied",
        "clones share the policy"
    );
    assert_eq!(first.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_exact_set() {
    let ca = TestCa::new("Root");
    let allowed: Vec<DnsName> = vec!["a.example".parse().unwrap(), "b.example".parse().unwrap()];
    let acceptor = acceptor(&ca, policy::exact(allowed).named("partners"))
        .build()
        .unwrap();
    for (name, expected) in [
        ("a.example", Ok("partners")),
        ("B.Example", Ok("partners")), // the same name
        ("c.example", Err("denied")),
        ("a.example.evil.example", Err("denied")),
        ("xa.example", Err("denied")),
    ] {
        let connector = connector(&ca, name).build().unwrap();
        let (server, _client) = handshake(&acceptor, &connector).await;
        let result = match &server {
            Ok(stream) => Ok(stream.rule()),
            Err(error) => Err(error.reason()),
        };
        assert_eq!(result, expected, "{name}");
    }
}

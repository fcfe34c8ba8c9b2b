//! Signers that are slow, fail or panic: what they cost their own handshakes, and nothing else.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::audit::{Action, Memory};
use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::pki::{RemoteSigner, SigningError, SigningRequest};
use countersign::testing::{Issued, TestCa, handshake};
use countersign::{
    AcceptError, Acceptor, ConnectError, Connector, Credentials, HandshakeError, policy,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls::{AlertDescription, SignatureScheme};
use support::{SERVER, VERSIONS, Version, connector, provider};
use tokio::task::JoinSet;

const SLOW: &str = "slow.example";

/// A key in memory behind an answer.
struct Signer {
    spki: Vec<u8>,
    key: Arc<dyn SigningKey>,
    places: usize,
    before: Box<dyn Fn() -> Result<(), SigningError> + Send + Sync>,
    at_once: Arc<AtMost>,
}

/// How many signatures were made at the same time, and in all.
#[derive(Default)]
struct AtMost {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl RemoteSigner for Signer {
    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &[SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError> {
        let at_once = &self.at_once;
        let now = at_once.now.fetch_add(1, Ordering::SeqCst) + 1;
        at_once.most.fetch_max(now, Ordering::SeqCst);
        at_once.all.fetch_add(1, Ordering::SeqCst);
        let before = (self.before)();
        at_once.now.fetch_sub(1, Ordering::SeqCst);
        before?;
        let is_driven_by_us = tokio::runtime::Handle::try_current().is_ok();
        assert_eq!(request.time_left().is_some(), is_driven_by_us);
        let signer = self.key.choose_scheme(&[request.scheme()]).unwrap();
        signer.sign(request.message()).map_err(SigningError::new)
    }

    fn max_concurrent(&self) -> usize {
        self.places
    }
}

fn signer(
    issued: &Issued,
    places: usize,
    before: impl Fn() -> Result<(), SigningError> + Send + Sync + 'static,
) -> (Credentials, Arc<AtMost>) {
    let at_once = Arc::new(AtMost::default());
    let signer = Signer {
        spki: issued.certificate().spki().to_vec(),
        key: any_supported_type(&issued.key_der()).unwrap(),
        places,
        before: Box::new(before),
        at_once: at_once.clone(),
    };
    let credentials = Credentials::from_remote_signer(issued.chain().to_vec(), signer);
    (credentials.unwrap(), at_once)
}

fn sleeping(issued: &Issued, time: Duration) -> (Credentials, Arc<AtMost>) {
    signer(issued, 16, move || {
        std::thread::sleep(time);
        Ok(())
    })
}

fn acceptor(ca: &TestCa, credentials: Credentials) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(credentials)
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
}

/// How long the slowest but 1 in 100 of this many handshakes takes, eight at a time.
async fn p99(
    acceptor: &Acceptor<DnsName>,
    connector: &Connector<DnsName>,
    count: usize,
) -> Duration {
    let mut running = JoinSet::new();
    let mut times = Vec::new();
    for number in 0..count {
        let (acceptor, connector) = (acceptor.clone(), connector.clone());
        running.spawn(async move {
            let start = Instant::now();
            let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
            accepted.unwrap();
            connected.unwrap();
            start.elapsed()
        });
        while running.len() >= 8 || (number + 1 == count && !running.is_empty()) {
            times.push(running.join_next().await.unwrap().unwrap());
        }
    }
    times.sort();
    times[count * 99 / 100 - 1]
}

/// One thread, so that a signature in place would stop everything for its 200 ms.
#[tokio::test]
async fn a_slow_key_delays_its_own_handshakes_only() {
    let ca = TestCa::new("Root");
    let slow = ca.leaf().dns(SLOW).issue();
    let (slow, at_once) = sleeping(&slow, Duration::from_millis(200));
    let fast = ca.leaf().dns(SERVER).issue().credentials();
    // Both keys in one acceptor, and a client with a slow key, too.
    let acceptor = acceptor(&ca, fast)
        .credentials_for(SLOW, slow.clone())
        .resumption(countersign::Resumption::Off)
        .build()
        .unwrap();
    let fast = connector(&ca, "client.example").build().unwrap();
    let slow = Connector::builder()
        .credentials(slow)
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let alone = p99(&acceptor, &fast, 1000).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for number in 0..16 {
        let (acceptor, stop) = (acceptor.clone(), stop.clone());
        let (connector, name) = match number % 2 {
            0 => (fast.clone(), SLOW),
            _ => (slow.clone(), SERVER),
        };
        load.spawn(async move {
            let mut done = 0_u32;
            while !stop.load(Ordering::SeqCst) || done == 0 {
                let start = Instant::now();
                let (accepted, connected) = handshake(&acceptor, &connector, name).await;
                accepted.unwrap();
                connected.unwrap();
                assert!(start.elapsed() >= Duration::from_millis(200));
                done += 1;
            }
            done
        });
    }
    while at_once.now.load(Ordering::SeqCst) < 16 {
        tokio::task::yield_now().await;
    }
    let beside = p99(&acceptor, &fast, 1000).await;
    stop.store(true, Ordering::SeqCst);
    let slow: u32 = load.join_all().await.iter().sum();
    println!(
        "p99 of 1,000 handshakes: {alone:?} alone, {beside:?} beside {slow} with a key that takes 200 ms"
    );
    // Signatures in place would add 200 ms for each of the sixteen: over three seconds.
    let bound = alone * 3 + Duration::from_millis(500);
    assert!(beside < bound, "{beside:?} and not within {bound:?}");
}

#[tokio::test]
async fn both_versions_a_retry_and_resumption_work_with_a_slow_key() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let (slow, at_once) = sleeping(&issued, Duration::from_millis(1));
    let count = || at_once.all.load(Ordering::SeqCst);
    for version in VERSIONS {
        let server = acceptor(&ca, slow.clone()).allow_tls12().build().unwrap();
        let client = Connector::builder()
            .credentials(slow.clone())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let before = count();
        for is_resumed in [false, true] {
            let (accepted, connected) = handshake(&server, &client, SERVER).await;
            let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
            assert_eq!(accepted.peer().connection().is_resumed(), is_resumed);
            // The client gets its tickets.
            support::exchange_and_close(Ok(accepted), Ok(connected)).await;
            assert_eq!(count() - before, 2, "signed once on each side");
        }
    }

    // The server has another group than the client guesses, and asks again.
    let mut only_p384 = rustls::crypto::aws_lc_rs::default_provider();
    only_p384
        .kx_groups
        .retain(|group| group.name() == rustls::NamedGroup::secp384r1);
    let server = acceptor(&ca, slow).crypto_provider(only_p384).build();
    let client = connector(&ca, "client.example").build().unwrap();
    let (accepted, connected) = handshake(&server.unwrap(), &client, SERVER).await;
    let accepted = accepted.unwrap();
    connected.unwrap();
    let group = accepted.peer().connection().key_exchange_group();
    assert_eq!(group, Some(rustls::NamedGroup::secp384r1));
}

#[tokio::test]
async fn a_key_that_fails_is_our_own_failure() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let (failing, _) = signer(&issued, 1, || {
        Err(SigningError::new("the service answered 503"))
    });
    let (panicking, _) = signer(&issued, 1, || panic!("a bug of the signer"));
    for (credentials, cause) in [
        (
            failing,
            "our own key did not sign: the service answered 503",
        ),
        (panicking, "our own key did not sign: the signer panicked"),
    ] {
        for version in [Version::Tls13, Version::Tls12] {
            let events = Memory::new();
            let server = acceptor(&ca, credentials.clone())
                .allow_tls12()
                .audit(events.clone())
                .build()
                .unwrap();
            let client = connector(&ca, "client.example")
                .allow_tls12()
                .crypto_provider(provider(version))
                .build()
                .unwrap();
            let (accepted, connected) = handshake(&server, &client, SERVER).await;
            let error = accepted.err().unwrap();
            assert_eq!(error.reason(), "signing_failed");
            assert!(error.to_string().starts_with(cause), "{error}");
            let ConnectError::Handshake(HandshakeError::Alert(alert)) = connected.err().unwrap()
            else {
                panic!("no alert");
            };
            assert_eq!(alert.alert(), AlertDescription::InternalError);
            let event = events.take().pop().unwrap();
            assert_eq!(event.action, Action::HandshakeFailed);
            assert_eq!(event.reason, Some("signing_failed"));
            let alert = Some(countersign::audit::Alert::Sent("internal_error".into()));
            assert_eq!(event.alert, alert);

            // A client with such a key.
            let server = support::acceptor(&ca, policy::allow_any())
                .allow_tls12()
                .build()
                .unwrap();
            let events = Memory::new();
            let client = Connector::builder()
                .credentials(credentials.clone())
                .trust(ca.trust())
                .identify(DnsName::extractor())
                .authorize(policy::allow_any())
                .allow_tls12()
                .crypto_provider(provider(version))
                .audit(events.clone())
                .build()
                .unwrap();
            let (accepted, connected) = handshake(&server, &client, SERVER).await;
            assert_eq!(connected.err().unwrap().reason(), "signing_failed");
            assert_eq!(events.take().pop().unwrap().reason, Some("signing_failed"));
            let seen = accepted.err().unwrap().reason();
            let expected = match version {
                Version::Tls12 => "alert_received",
                Version::Tls13 => "closed",
            };
            assert_eq!(seen, expected);
        }
    }
}

#[tokio::test]
async fn the_deadline_holds_and_an_abandoned_signature_blocks_nothing_else() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let is_stuck = Arc::new(AtomicBool::new(true));
    let stuck = is_stuck.clone();
    let (credentials, at_once) = signer(&issued, 1, move || {
        while stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    });
    let events = Memory::new();
    let server = acceptor(&ca, credentials)
        .credentials_for(
            "fast.example",
            ca.leaf().dns("fast.example").issue().credentials(),
        )
        .handshake_timeout(Duration::from_millis(500))
        .audit(events.clone())
        .build()
        .unwrap();
    let client = connector(&ca, "client.example").build().unwrap();
    let start = Instant::now();
    let first = handshake(&server, &client, SERVER);
    let second = async {
        while at_once.now.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::join!(
            handshake(&server, &client, SERVER),
            handshake(&server, &client, "fast.example"),
        )
    };
    let (first, (second, third)) = tokio::join!(first, second);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let queued = |accepted: Result<_, AcceptError>| match accepted.err() {
        Some(AcceptError::Handshake(HandshakeError::SigningTimedOut { queued, .. })) => queued,
        other => panic!("{other:?}"),
    };
    assert!(!queued(first.0), "its own signature");
    assert!(queued(second.0), "the one place is taken");
    third.0.unwrap();
    third.1.unwrap();
    let late: Vec<_> = events
        .take()
        .iter()
        .filter(|event| event.action == Action::TimedOut)
        .map(|event| (event.reason, event.info.server_name().map(str::to_owned)))
        .collect();
    assert_eq!(late.len(), 2, "{late:?}");
    assert!(
        late.iter()
            .all(|(reason, _)| *reason == Some("signing_timed_out"))
    );

    // The place is free again once the signer returns.
    is_stuck.store(false, Ordering::SeqCst);
    let (accepted, connected) = handshake(&server, &client, SERVER).await;
    accepted.unwrap();
    connected.unwrap();
}

#[tokio::test]
async fn no_more_signatures_are_made_at_once_than_the_signer_allows() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let (credentials, at_once) = signer(&issued, 3, || {
        std::thread::sleep(Duration::from_millis(10));
        Ok(())
    });
    let server = acceptor(&ca, credentials)
        .resumption(countersign::Resumption::Off)
        .build()
        .unwrap();
    let client = connector(&ca, "client.example").build().unwrap();
    let mut running = JoinSet::new();
    for _ in 0..30 {
        let (server, client) = (server.clone(), client.clone());
        running.spawn(async move {
            let (accepted, connected) = handshake(&server, &client, SERVER).await;
            accepted.unwrap();
            connected.unwrap();
        });
    }
    running.join_all().await;
    assert_eq!(at_once.all.load(Ordering::SeqCst), 30);
    assert_eq!(at_once.most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_blocking_connection_signs_in_place() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns(SERVER).issue();
    let (working, at_once) = sleeping(&issued, Duration::from_millis(1));
    let (failing, _) = signer(&issued, 1, || {
        Err(SigningError::new("the service answered 503"))
    });
    let client = connector(&ca, "client.example").build().unwrap();
    for (credentials, expected) in [(working, None), (failing, Some("signing_failed"))] {
        let server = acceptor(&ca, credentials).build().unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let serving = std::thread::spawn(move || {
            let mut handshake = server.start().unwrap();
            let completed = handshake.complete(&mut near);
            completed.err().map(|error| error.reason())
        });
        let mut handshake = client.start(SERVER).unwrap();
        let completed = handshake.complete(&mut far);
        assert_eq!(serving.join().unwrap(), expected);
        assert_eq!(completed.is_ok(), expected.is_none());
    }
    assert_eq!(at_once.all.load(Ordering::SeqCst), 1);
}

#[test]
fn a_signer_of_another_key_is_refused() {
    let ca = TestCa::new("Root");
    let (one, other) = (ca.leaf().issue(), ca.leaf().issue());
    let signer = Signer {
        spki: other.certificate().spki().to_vec(),
        key: any_supported_type(&other.key_der()).unwrap(),
        places: 1,
        before: Box::new(|| Ok(())),
        at_once: Arc::default(),
    };
    let error = Credentials::from_remote_signer(one.chain().to_vec(), signer).unwrap_err();
    assert_eq!(error.reason(), "key_mismatch");
    let rsa = ca
        .leaf()
        .key(countersign::testing::KeyType::Rsa2048)
        .issue();
    let signer = Signer {
        spki: rsa.certificate().spki().to_vec(),
        key: any_supported_type(&rsa.key_der()).unwrap(),
        places: 1,
        before: Box::new(|| Ok(())),
        at_once: Arc::default(),
    };
    let error = Credentials::from_remote_signer(rsa.chain().to_vec(), signer).unwrap_err();
    assert_eq!(error.reason(), "unusable_key");
}

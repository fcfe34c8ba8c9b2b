//! Streams as sources: awaited, applied whole, kept or failed closed when they are silent.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::reload::{Backoff, Reload, ReloadError, Silence, Source, Status, retry};
use countersign::testing::{self, FixedClock, TestCa};
use countersign::{Acceptor, ConnectionInfo, Connector, Control, Credentials, TrustStore};
use futures_core::Stream;
use rustls_pki_types::UnixTime;
use support::SERVER;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};

type Item<T> = Result<T, String>;

/// The items that a test sends.
struct Items<T> {
    receiver: mpsc::UnboundedReceiver<Item<T>>,
    dropped: Arc<AtomicBool>,
}

impl<T> Stream for Items<T> {
    type Item = Item<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        self.receiver.poll_recv(cx)
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

fn items<T>() -> (mpsc::UnboundedSender<Item<T>>, Items<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let dropped = Arc::default();
    (sender, Items { receiver, dropped })
}

fn acceptor(ca: &TestCa) -> Acceptor<DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap()
}

/// What becomes of a peer with a certificate of this authority.
fn decision(control: &Control<DnsName>, ca: &TestCa) -> &'static str {
    let issued = ca.leaf().dns("a.example").issue();
    let admitted = control.admit_chain(issued.chain(), ConnectionInfo::default());
    admitted.map_or_else(|error| error.reason(), |_| "admitted")
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn reason_of(status: &Status) -> Option<&'static str> {
    Some(status.last_error.as_ref()?.error.reason())
}

#[tokio::test]
async fn the_first_value_is_awaited() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let acceptor = acceptor(&ca);
    let (sender, stream) = items::<TrustStore>();
    let starting = Reload::of(&acceptor)
        .trust(Source::stream("control plane", stream))
        .start();
    let trust = other.trust();
    tokio::spawn(async move {
        sender.send(Err("not yet".into())).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        sender.send(Ok(trust)).unwrap();
        std::future::pending::<()>().await;
    });
    let handle = starting.await.unwrap();
    assert_eq!(decision(acceptor.control(), &other), "admitted");
    assert_eq!(decision(acceptor.control(), &ca), "unknown_issuer");
    let status = handle.status();
    assert_eq!((status.applied, status.streams.len()), (1, 1));
    assert_eq!(&*status.streams[0].name, "control plane");
    assert!(status.streams[0].error.is_none());
}

/// Files may be half-written, so they must be stable for a while. The value of a stream is whole.
#[tokio::test(start_paused = true)]
async fn a_value_does_not_wait_for_files_that_have_not_changed() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let acceptor = acceptor(&ca);
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("policy.txt");
    std::fs::write(&rules, "a.example").unwrap();
    let (sender, stream) = items::<TrustStore>();
    sender.send(Ok(ca.trust())).unwrap();
    let handle = Reload::of(&acceptor)
        .trust(Source::stream("control plane", stream))
        .policy(Source::text_file(&rules).try_map(|text| policy::dns_patterns(text.lines())))
        .every(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    let mut generations = handle.generations();
    let start = tokio::time::Instant::now();
    sender.send(Ok(other.trust())).unwrap();
    generations.changed().await.unwrap();
    assert_eq!(decision(acceptor.control(), &other), "admitted");
    assert_eq!(start.elapsed(), Duration::ZERO);

    std::fs::write(&rules, "b.example").unwrap();
    handle.reload_now().await.unwrap();
    assert_eq!(decision(acceptor.control(), &other), "denied");
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_first_value_that_does_not_come_is_an_error() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let start = |stream: Items<TrustStore>| {
        let source = Source::stream("control plane", stream);
        let source = source.first_value_within(Duration::from_millis(100));
        Reload::of(&acceptor).trust(source).start()
    };
    let (sender, stream) = items();
    let error = start(stream).await.unwrap_err();
    assert_eq!(error.reason(), "no_first_value");
    assert!(error.to_string().contains("control plane"), "{error}");
    drop(sender);

    let (sender, stream) = items();
    sender.send(Err("the bundle is on fire".into())).unwrap();
    let error = start(stream).await.unwrap_err();
    assert_eq!(error.reason(), "load_failed");
    assert!(
        error
            .to_string()
            .contains("control plane: the bundle is on fire"),
        "{error}"
    );

    let (sender, stream) = items();
    drop(sender);
    let error = start(stream).await.unwrap_err();
    assert_eq!(error.reason(), "stream_closed");
    assert_eq!(decision(acceptor.control(), &ca), "admitted");
}

#[tokio::test]
async fn a_builder_takes_a_stream_that_has_a_value() {
    let ca = TestCa::new("Root");
    let (sender, receiver) = watch::channel(ca.trust());
    let source = Source::watch("control plane", receiver);
    let builder = || {
        let credentials = ca.leaf().dns(SERVER).issue().credentials();
        Acceptor::builder().credentials(credentials)
    };
    let error = builder().trust_from(source.clone()).unwrap_err();
    assert_eq!(error.reason(), "no_first_value");
    assert!(
        error
            .to_string()
            .ends_with("await Source::ready() before the builder takes it")
    );

    let acceptor = builder()
        .trust_from(source.ready().await.unwrap())
        .unwrap()
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let _handle = Reload::of(&acceptor).start().await.unwrap();
    let other = TestCa::new("Other");
    sender.send_replace(other.trust());
    until("applied", || {
        decision(acceptor.control(), &other) == "admitted"
    })
    .await;
}

/// Of each part, and at once: the interval is an hour.
#[tokio::test]
async fn every_part_follows_a_stream() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let denied = DenyList::new();
    let issue = |ca: &TestCa| ca.leaf().dns(SERVER).issue().credentials();
    let acceptor = Acceptor::builder()
        .credentials(issue(&ca))
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .deny_list(&denied)
        .build()
        .unwrap();
    let control = acceptor.control();
    let (own, own_receiver) = watch::channel(issue(&ca));
    let (trust, trust_receiver) = watch::channel(ca.trust());
    let (crls, crl_receiver) = watch::channel(ca.crl().number(1).pem());
    let (allowed, allowed_receiver) = watch::channel("*.example".to_owned());
    let (deny, deny_receiver) = watch::channel("gone.example".to_owned());
    let handle = Reload::of(&acceptor)
        .every(Duration::from_secs(3600))
        .credentials(Source::<Credentials>::watch("own", own_receiver))
        .trust(Source::<TrustStore>::watch("trust", trust_receiver))
        .revocation(
            Source::watch("crls", crl_receiver).try_map(countersign::trust::Crls::from_bytes),
        )
        .policy(
            Source::watch("policy", allowed_receiver)
                .try_map(|text: String| policy::dns_patterns([text])),
        )
        .deny_list(
            &denied,
            Source::watch("deny", deny_receiver).try_map(|text: String| {
                text.parse()
                    .map(|name: DnsName| vec![DenyEntry::Identity(name)])
            }),
        )
        .start()
        .await
        .unwrap();
    assert_eq!(decision(control, &ca), "admitted");
    assert_eq!(handle.status().streams.len(), 5);

    deny.send_replace("a.example".into());
    until("deny list", || decision(control, &ca) == "deny_listed").await;
    deny.send_replace("gone.example".into());
    until("deny list", || decision(control, &ca) == "admitted").await;
    allowed.send_replace("*.elsewhere".into());
    until("policy", || decision(control, &ca) == "denied").await;
    allowed.send_replace("*.example".into());
    let victim = ca.leaf().dns("a.example").issue();
    crls.send_replace(ca.crl().number(2).revoke(victim.serial()).pem());
    until("CRLs", || {
        let admitted = control.admit_chain(victim.chain(), ConnectionInfo::default());
        admitted.is_err_and(|error| error.reason() == "revoked")
    })
    .await;
    let renewed = issue(&ca);
    own.send_replace(renewed.clone());
    until("credentials", || {
        let own = handle.status().certificates;
        own[0].certificate.sha256() == renewed.certificate().sha256()
    })
    .await;
    trust.send_replace(other.trust());
    until("trust", || decision(control, &ca) == "unknown_issuer").await;
    assert_eq!(handle.status().refused, 0);
}

/// Trust and policy of set n admit the peer n of the authority n. A mixture would admit another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_one_stream_are_never_mixed() {
    let cas = [TestCa::new("One"), TestCa::new("Two")];
    let name = |number: usize| format!("n{number}.example");
    let peers = [0, 1].map(|ca| [0, 1].map(|number| cas[ca].leaf().dns(&name(number)).issue()));
    let acceptor = acceptor(&cas[0]);
    let (sender, receiver) = watch::channel(0_usize);
    let sets = Source::watch("sets", receiver);
    let stores = cas.clone().map(|ca| ca.trust());
    let handle = Reload::of(&acceptor)
        .trust(sets.clone().map(move |number| stores[number].clone()))
        .policy(sets.try_map(move |number| policy::dns_patterns([name(number)])))
        .start()
        .await
        .unwrap();
    let is_admitted = |ca: usize, number: usize| {
        let chain = peers[ca][number].chain();
        let admitted = acceptor
            .control()
            .admit_chain(chain, ConnectionInfo::default());
        admitted.is_ok()
    };
    let mut seen = HashSet::new();
    for round in 0..400 {
        sender.send_replace(round % 2);
        for (ca, number) in [(0, 1), (1, 0)] {
            assert!(!is_admitted(ca, number), "a mixture in round {round}");
        }
        for number in [0, 1] {
            if is_admitted(number, number) {
                seen.insert(number);
            }
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    assert_eq!(seen.len(), 2);
    until("the last", || is_admitted(1, 1)).await;
    assert_eq!(handle.status().refused, 0);
}

#[tokio::test]
async fn a_bad_value_changes_nothing_and_shows() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let acceptor = acceptor(&ca);
    let (sender, stream) = items();
    sender.send(Ok(ca.trust())).unwrap();
    let source = Source::stream("control plane", stream).try_map(|store: TrustStore| {
        match store.anchors().len() {
            2 => Err("two roots are one too many"),
            _ => Ok(store),
        }
    });
    let handle = Reload::of(&acceptor).trust(source).start().await.unwrap();
    let applied = handle.status().applied;
    for (item, reason) in [
        (Err("no answer".to_owned()), "load_failed"),
        (Ok(ca.trust().and(other.trust())), "load_failed"),
        (Ok(TrustStore::empty()), "empty_trust"),
    ] {
        let (is_error, refused) = (item.is_err(), handle.status().refused);
        sender.send(item).unwrap();
        until("refused", || handle.status().refused > refused).await;
        let status = handle.status();
        assert_eq!(reason_of(&status), Some(reason));
        assert_eq!(decision(acceptor.control(), &ca), "admitted");
        assert_eq!(status.applied, applied);
        let stream = &status.streams[0];
        assert!(stream.age.is_some(), "{stream:?}");
        assert_eq!(stream.error.is_some(), is_error, "{stream:?}");
        let text = status.last_error.unwrap().error.to_string();
        assert!(
            reason == "empty_trust" || text.contains("control plane"),
            "{text}"
        );
    }
    sender.send(Ok(other.trust())).unwrap();
    until("applied", || {
        decision(acceptor.control(), &other) == "admitted"
    })
    .await;
    until("recovered", || handle.status().last_error.is_none()).await;
}

#[tokio::test]
async fn an_outage_keeps_the_last_value_and_is_reported_once() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let store = ca.trust();
    let mut attempt = 0;
    let connect = move || {
        attempt += 1;
        let (sender, stream) = items();
        let first = (attempt == 1).then(|| store.clone());
        async move {
            // The sender is dropped: the connection ends after its only item.
            match first {
                Some(store) => drop(sender.send(Ok(store))),
                None => return Err("connection refused".to_owned()),
            }
            Ok(stream)
        }
    };
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
    let handle = Reload::of(&acceptor)
        .trust(Source::stream("control plane", retry(backoff, connect)))
        .start()
        .await
        .unwrap();
    until("reported", || handle.status().refused > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let status = handle.status();
    assert_eq!((status.refused, status.applied), (1, 1));
    assert_eq!(reason_of(&status), Some("load_failed"));
    let error = status.streams[0].error.as_ref().unwrap().to_string();
    assert!(
        error.starts_with("control plane: connection refused"),
        "{error}"
    );
    assert_eq!(decision(acceptor.control(), &ca), "admitted");
}

#[tokio::test]
async fn a_stream_that_ends_is_reported_and_its_value_stays() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let (sender, receiver) = watch::channel(ca.trust());
    let handle = Reload::of(&acceptor)
        .trust(Source::watch("control plane", receiver))
        .start()
        .await
        .unwrap();
    drop(sender);
    until("closed", || handle.status().streams[0].is_closed).await;
    until("reported", || handle.status().refused == 1).await;
    let status = handle.status();
    assert_eq!(reason_of(&status), Some("stream_closed"));
    assert!(status.suspended.is_none());
    assert_eq!(decision(acceptor.control(), &ca), "admitted");
}

/// New handshakes are refused on both sides, what is open is closed, and a new value ends it.
#[tokio::test]
async fn a_silent_stream_can_fail_closed() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("a.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (sender, stream) = items();
    sender.send(Ok(ca.trust())).unwrap();
    let max_age = Duration::from_millis(500);
    let source = Source::stream("control plane", stream).silence(Silence::FailClosed { max_age });
    let handle = Reload::of(&acceptor).trust(source).start().await.unwrap();
    let (server, client) = testing::handshake(&acceptor, &connector, SERVER).await;
    let (mut server, _client) = (server.unwrap(), client.unwrap());

    let error = server.read_u8().await.unwrap_err();
    let why: &CloseReason = error.get_ref().unwrap().downcast_ref().unwrap();
    assert_eq!(why.reason(), "suspended");
    until("suspended", || handle.status().suspended.is_some()).await;
    let status = handle.status();
    assert_eq!(reason_of(&status), Some("stream_silent"));
    assert!(status.streams[0].age.unwrap() >= max_age);
    assert_eq!(decision(acceptor.control(), &ca), "suspended");
    let (server, _) = testing::handshake(&acceptor, &connector, SERVER).await;
    let error = server.unwrap_err();
    assert_eq!(error.reason(), "suspended");
    assert!(
        error
            .to_string()
            .contains("no new value has arrived for 500ms"),
        "{error}"
    );

    sender.send(Ok(ca.trust())).unwrap();
    until("resumed", || {
        decision(acceptor.control(), &ca) == "admitted"
    })
    .await;
    until("status", || handle.status().suspended.is_none()).await;
    let (server, _) = testing::handshake(&acceptor, &connector, SERVER).await;
    assert!(server.is_ok() || handle.status().suspended.is_some());
}

/// The age is looked at when it is due, however rarely the files are read.
#[tokio::test]
async fn silence_is_noticed_at_its_time_and_not_at_the_next_interval() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let (sender, stream) = items();
    sender.send(Ok(ca.trust())).unwrap();
    let max_age = Duration::from_millis(300);
    let source = Source::stream("control plane", stream).silence(Silence::FailClosed { max_age });
    let reload = Reload::of(&acceptor).trust(source);
    let handle = reload
        .every(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    for _ in 0..3 {
        until("suspended", || handle.status().suspended.is_some()).await;
        assert_eq!(decision(acceptor.control(), &ca), "suspended");
        sender.send(Ok(ca.trust())).unwrap();
        until("resumed", || handle.status().suspended.is_none()).await;
    }
}

/// A value becomes too old while the worker is busy with a request.
#[tokio::test]
async fn silence_during_a_reload_is_noticed_after_it() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let (sender, stream) = items();
    sender.send(Ok(ca.trust())).unwrap();
    let max_age = Duration::from_millis(300);
    let slow = Source::files(Vec::<std::path::PathBuf>::new(), move || {
        std::thread::sleep(Duration::from_millis(600));
        Ok::<_, String>(policy::allow_any())
    });
    let source = Source::stream("control plane", stream).silence(Silence::FailClosed { max_age });
    let reload = Reload::of(&acceptor).trust(source).policy(slow);
    let handle = reload
        .every(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    sender.send(Ok(ca.trust())).unwrap();
    let _ = handle.reload_now().await;
    until("suspended", || handle.status().suspended.is_some()).await;
}

/// A value that cannot be applied does not end the suspension.
#[tokio::test]
async fn only_a_good_value_ends_a_suspension() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let (sender, stream) = items();
    sender.send(Ok(ca.trust())).unwrap();
    let max_age = Duration::from_millis(100);
    let source = Source::stream("control plane", stream).silence(Silence::FailClosed { max_age });
    let handle = Reload::of(&acceptor).trust(source).start().await.unwrap();
    until("suspended", || handle.status().suspended.is_some()).await;
    let refused = handle.status().refused;
    sender.send(Ok(TrustStore::empty())).unwrap();
    until("refused", || handle.status().refused > refused).await;
    assert_eq!(decision(acceptor.control(), &ca), "suspended");
}

/// Values arrive faster than they are applied: the last one counts, and no other is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_updates_leave_nothing_behind() {
    #[derive(Clone)]
    struct Value(#[allow(dead_code, reason = "counted")] Arc<()>);

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let token = Arc::new(());
    let (sender, stream) = items();
    let dropped = Arc::clone(&stream.dropped);
    sender.send(Ok(Value(Arc::clone(&token)))).unwrap();
    let store = ca.trust();
    let source = Source::stream("fast", stream).map(move |_: Value| store.clone());
    let handle = Reload::of(&acceptor).trust(source).start().await.unwrap();
    for number in 1..=10_000_u32 {
        let item = match number % 10 {
            9 => Err(format!("error {number}")),
            _ => Ok(Value(Arc::clone(&token))),
        };
        sender.send(item).unwrap();
        if number % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    sender.send(Ok(Value(Arc::clone(&token)))).unwrap();
    until("the last is applied", || {
        handle.status().last_error.is_none()
    })
    .await;
    // The test's own, and the latest value.
    until("the others are dropped", || Arc::strong_count(&token) <= 3).await;
    assert!(handle.status().applied > 1);
    assert_eq!(decision(acceptor.control(), &ca), "admitted");

    drop((handle, acceptor));
    until("the stream is dropped", || dropped.load(Ordering::SeqCst)).await;
    until("the last value is dropped", || {
        Arc::strong_count(&token) == 1
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_panics_has_ended() {
    struct Panics(bool, TrustStore);

    impl Stream for Panics {
        type Item = Item<TrustStore>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            if std::mem::take(&mut self.0) {
                return Poll::Ready(Some(Ok(self.1.clone())));
            }
            std::panic::resume_unwind(Box::new("planned"))
        }
    }

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca);
    let source = Source::stream("panics", Panics(true, ca.trust()));
    let started: Result<_, ReloadError> = Reload::of(&acceptor).trust(source).start().await;
    let handle = started.unwrap();
    until("closed", || handle.status().streams[0].is_closed).await;
    let error = handle.status().streams[0]
        .error
        .as_ref()
        .unwrap()
        .to_string();
    assert!(error.starts_with("panics: the stream panicked"), "{error}");
    assert_eq!(decision(acceptor.control(), &ca), "admitted");
}

/// The clock is set back: a renewed certificate is not valid yet. The last one stays, and the new one is in
/// force when its time has come, without another value of the stream.
#[tokio::test]
async fn a_clock_that_goes_back_keeps_the_last_value() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let at = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let start = clock.time().as_secs();
    let issue = |from: u64| {
        let leaf = ca.leaf().dns(SERVER).validity(at(from), at(start + 86_400));
        leaf.issue().credentials()
    };
    let (own, receiver) = watch::channel(issue(start - 86_400));
    let acceptor = Acceptor::builder()
        .credentials(issue(start - 86_400))
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let handle = Reload::of(&acceptor)
        .every(Duration::from_millis(20))
        .credentials(Source::watch("issuer", receiver))
        .start()
        .await
        .unwrap();
    let in_force = || handle.status().certificates[0].certificate.sha256();
    let before = in_force();

    clock.set(at(start - 3_600));
    let renewed = issue(start - 60);
    own.send_replace(renewed.clone());
    until("refused", || {
        reason_of(&handle.status()) == Some("own_certificate_not_yet_valid")
    })
    .await;
    assert_eq!(in_force(), before);
    assert_eq!(handle.status().refused, 1);
    clock.set(at(start));
    until("applied", || in_force() == renewed.certificate().sha256()).await;
    until("recovered", || handle.status().last_error.is_none()).await;
}

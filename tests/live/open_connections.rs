//! Rules that change while connections are open: who is asked, who is not, and who is cut.

mod limits;
mod listed;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{CrlBuilder, FixedClock, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Certificate, Connector, Decision, Peer, Update, policy};
use rustls_pki_types::UnixTime;
use support::{SERVER, acceptor, connector, handshake};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

/// The reason for which our side cut a stream.
fn cut_for(error: &std::io::Error) -> &'static str {
    let ended = error.get_ref().unwrap().downcast_ref::<CloseReason>();
    ended.unwrap().reason()
}

fn identity(name: &str) -> DenyEntry<DnsName> {
    DenyEntry::Identity(name.parse().unwrap())
}

/// An acceptor with a deny list, whose policy answers after this time, unless it is down.
struct Asking {
    acceptor: Acceptor<DnsName>,
    list: DenyList<DnsName>,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Asking {
    fn new(ca: &TestCa, thinks: Duration) -> Self {
        let list = DenyList::new();
        let acceptor = acceptor(ca, policy::allow_any())
            .deny_list(&list)
            .build()
            .unwrap();
        let asking = Self {
            acceptor,
            list,
            asked: Arc::default(),
            down: Arc::default(),
        };
        asking.set_policy(thinks);
        asking
    }

    fn set_policy(&self, thinks: Duration) {
        let (asked, down) = (self.asked.clone(), self.down.clone());
        let policy = move |_: Peer<DnsName>| {
            let (asked, down) = (asked.clone(), down.clone());
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                sleep(thinks).await;
                if down.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                Decision::allow("asked")
            }
        };
        self.acceptor
            .control()
            .set_async_policy(policy, Duration::from_secs(5));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Other changes are checked separately, so that a policy whose backend is down closes no
/// connection that it has once allowed. A new one has to say so again.
#[tokio::test(start_paused = true)]
async fn only_a_new_async_policy_reauthorizes_open_connections() {
    let ca = TestCa::new("Root");
    let asking = Asking::new(&ca, Duration::ZERO);
    let mut open = Vec::new();
    for name in ["one.example", "two.example", "three.example"] {
        let connector = connector(&ca, name).build().unwrap();
        let (server, client) = handshake(&asking.acceptor, &connector).await;
        open.push((server.unwrap(), client.unwrap()));
    }
    asking.down.store(true, Ordering::SeqCst);
    asking.list.insert(identity("stranger.example"));
    asking.acceptor.control().update(Update::new()).unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        (
            asking.asked(),
            asking.acceptor.control().connections().len()
        ),
        (3, 3)
    );

    asking.list.insert(identity("two.example"));
    let cut = open[1].0.read_u8().await.unwrap_err();
    assert_eq!(cut_for(&cut), "deny_listed");
    assert_eq!(
        (
            asking.asked(),
            asking.acceptor.control().connections().len()
        ),
        (3, 2)
    );

    asking.set_policy(Duration::ZERO);
    let cut = open[0].0.read_u8().await.unwrap_err();
    assert_eq!(cut_for(&cut), "policy_timed_out");
    let cut = open[2].0.read_u8().await.unwrap_err();
    assert_eq!(cut_for(&cut), "policy_timed_out");
    assert_eq!(asking.asked(), 5);
}

/// Whoever can cause changes, by being put on a deny list, say, must not keep others out.
#[tokio::test(start_paused = true)]
async fn changes_delay_no_new_connection() {
    let ca = TestCa::new("Root");
    let asking = Asking::new(&ca, Duration::from_millis(50));
    let list = asking.list.clone();
    let changing = tokio::spawn(async move {
        for number in 0.. {
            list.insert(identity(&format!("x{number}.example")));
            sleep(Duration::from_millis(40)).await;
        }
    });
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&asking.acceptor, &connector).await;
    assert!(server.is_ok() && client.is_ok());
    assert_eq!(asking.asked(), 1);

    // One change among them is about the newcomer.
    let list = asking.list.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(20)).await;
        list.insert(identity("client.example"));
    });
    let (server, _client) = handshake(&asking.acceptor, &connector).await;
    assert_eq!(server.unwrap_err().reason(), "deny_listed");
    changing.abort();
}

/// The policy that is replaced while it is asked about open connections has no word any more.
#[tokio::test(start_paused = true)]
async fn a_replaced_policy_that_never_decides_cuts_no_connection() {
    let ca = TestCa::new("Root");
    let asking = Asking::new(&ca, Duration::ZERO);
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&asking.acceptor, &connector).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    asking.down.store(true, Ordering::SeqCst);
    asking.set_policy(Duration::ZERO);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(asking.asked(), 2, "it is being asked");
    asking.acceptor.control().set_policy(policy::allow_any());
    sleep(Duration::from_secs(60)).await;
    server.write_all(b"s").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
}

/// The task that runs the policy belongs to a runtime. If that is gone, there is no decision, and no
/// connection without one.
#[test]
fn a_connection_whose_policy_cannot_run_is_cut() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let of_first = first.block_on(handshake(&acceptor, &connector));
    let (server, _client) = second.block_on(handshake(&acceptor, &connector));
    let mut server = server.unwrap();
    drop(of_first);
    drop(first);
    second.block_on(async {
        let allow = async |_: Peer<DnsName>| Decision::allow("any peer");
        acceptor
            .control()
            .set_async_policy(allow, Duration::from_secs(1));
        let read = timeout(Duration::from_secs(30), server.read_u8()).await;
        assert_eq!(cut_for(&read.unwrap().unwrap_err()), "policy_not_asked");
        // Here there is a place to ask from.
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, _client) = (server.unwrap(), client.unwrap());
        let deny = async |_: Peer<DnsName>| Decision::deny("no peer");
        acceptor
            .control()
            .set_async_policy(deny, Duration::from_secs(1));
        let read = timeout(Duration::from_secs(30), server.read_u8()).await;
        assert_eq!(cut_for(&read.unwrap().unwrap_err()), "denied");
    });
}

/// Nor is there a decision if the runtime goes while the policy is being asked.
#[test]
fn a_connection_whose_policy_stops_without_an_answer_is_cut() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (first, second) = (runtime(), runtime());
    // The task of the first connection runs the policy.
    let of_first = first.block_on(handshake(&acceptor, &connector));
    let (server, _client) = second.block_on(handshake(&acceptor, &connector));
    let mut server = server.unwrap();
    drop(of_first);
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let never = move |_: Peer<DnsName>| {
        asked.send(()).unwrap();
        std::future::pending::<Decision>()
    };
    let long = Duration::from_secs(3600);
    acceptor.control().set_async_policy(never, long);
    second.block_on(is_asked.recv()).unwrap();
    drop(first);
    second.block_on(async {
        let read = timeout(Duration::from_secs(30), server.read_u8()).await;
        assert_eq!(cut_for(&read.unwrap().unwrap_err()), "policy_not_asked");
    });
}

/// The very first connection of an acceptor is reached, too, in whichever moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_reaches_the_first_connection() {
    let ca = TestCa::new("Root");
    let connector = connector(&ca, "client.example").build().unwrap();
    for _ in 0..200 {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let changing = {
            let acceptor = acceptor.clone();
            std::thread::spawn(move || {
                let start = std::time::Instant::now();
                while acceptor.control().connections().is_empty()
                    && start.elapsed() < Duration::from_secs(10)
                {}
                let deny = async |_: Peer<DnsName>| Decision::deny("no peer");
                acceptor
                    .control()
                    .set_async_policy(deny, Duration::from_secs(10));
            })
        };
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        tokio::task::spawn_blocking(move || changing.join().unwrap())
            .await
            .unwrap();
        // The client closes when it gets the alert, or the server would wait for a second.
        tokio::spawn(async move { client.read_u8().await });
        let read = timeout(Duration::from_secs(30), server.read_u8()).await;
        assert_eq!(cut_for(&read.unwrap().unwrap_err()), "denied");
    }
}

/// A peer whose root was exchanged is verified anew, and then, too, age alone is no reason to cut
/// it, and hides none.
#[tokio::test(start_paused = true)]
async fn a_stale_list_hides_no_revocation() {
    for (leafs_list_is_stale, is_revoked) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let (old, new) = (TestCa::new("Old"), TestCa::new("New"));
        let middle = old.intermediate("Middle");
        let crossed = middle.cross_signed_by(&new).certificate_der().clone();
        let crossed = Certificate::from_der(&crossed).unwrap();
        let clock = FixedClock::now();
        let after = |seconds| {
            let time = clock.time().as_secs() + seconds;
            UnixTime::since_unix_epoch(Duration::from_secs(time))
        };
        let (soon, late) = (after(3600), after(60 * 86400));
        let lists = |lists: Vec<CrlBuilder>| {
            let lists = lists.into_iter();
            Crls::new(lists.map(|list| Crl::from_der(&list.build()).unwrap())).unwrap()
        };
        let of_middle = || {
            let due = if leafs_list_is_stale { soon } else { late };
            middle.crl().next_update(due)
        };
        let acceptor = acceptor(&old, policy::allow_any())
            .clock(clock.clone())
            .revocation(lists(vec![old.crl().next_update(late), of_middle()]))
            .build()
            .unwrap();
        let connector = Connector::builder()
            .credentials(middle.leaf().dns("client.example").issue().credentials())
            .trust(old.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        clock.advance(Duration::from_secs(7200));
        let of_new = new.crl().next_update(late);
        let of_new = match is_revoked {
            true => of_new.revoke(crossed.serial().as_bytes()),
            false => of_new,
        };
        let update = Update::new()
            .trust(new.trust().with_intermediate(crossed.clone()))
            .revocation(lists(vec![of_new, of_middle()]));
        acceptor.control().update(update).unwrap();
        if is_revoked {
            let read = timeout(Duration::from_secs(5), server.read_u8()).await;
            assert_eq!(cut_for(&read.unwrap().unwrap_err()), "revoked");
        } else {
            client.write_all(b"c").await.unwrap();
            client.flush().await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'c');
        }
    }
}

struct NoWaker;

impl Wake for NoWaker {
    fn wake(self: Arc<Self>) {}
}

/// A request that waited for the end of its connection leaves nothing behind when it is done.
#[tokio::test]
async fn notices_without_a_waiter_hold_nothing() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, _client) = handshake(&acceptor, &connector).await;
    let server = server.unwrap();
    let waits = Arc::new(NoWaker);
    let waker = Waker::from(waits.clone());
    let none = Arc::strong_count(&waits);
    let poll = |draining: &mut countersign::DrainSignal| {
        let polled = pin!(draining).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    };
    let mut one = server.draining();
    poll(&mut one);
    poll(&mut one);
    let held = Arc::strong_count(&waits);
    for _ in 0..100 {
        poll(&mut server.draining());
        poll(&mut one.clone());
    }
    assert_eq!(Arc::strong_count(&waits), held);
    drop(one);
    assert_eq!(Arc::strong_count(&waits), none);
}

/// A server that drops a cut stream without further calls, as frameworks do, has sent the alert.
#[tokio::test]
async fn a_stream_that_is_dropped_after_a_cut_has_sent_the_reason() {
    let ca = TestCa::new("Root");
    let list = DenyList::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .deny_list(&list)
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let open = async || {
        let (server, client) = handshake(&acceptor, &connector).await;
        (server.unwrap(), client.unwrap())
    };
    let (server, mut client) = open().await;
    drop(server);
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");

    let (server, mut client) = open().await;
    acceptor.control().close_where(|_| true);
    drop(server);
    let mut rest = Vec::new();
    assert_eq!(
        client.read_to_end(&mut rest).await.unwrap(),
        0,
        "close_notify"
    );

    let (server, mut client) = open().await;
    list.insert(identity("client.example"));
    drop(server);
    let error = client.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("access_denied"), "{error}");
}

#[tokio::test]
async fn all_connections_of_an_identity_are_closed() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let mut open = Vec::new();
    for name in ["one.example", "two.example", "one.example"] {
        let connector = connector(&ca, name).build().unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        open.push((server.unwrap(), client.unwrap()));
    }
    let one: DnsName = "one.example".parse().unwrap();
    assert_eq!(
        acceptor
            .control()
            .close_where(|peer| *peer.identity() == one),
        2
    );
    assert_eq!(acceptor.control().connections().len(), 1);
    for ended in [0, 2] {
        let cut = open[ended].0.read_u8().await.unwrap_err();
        assert_eq!(cut_for(&cut), "ended_by_application");
    }
    let (server, client) = &mut open[1];
    server.write_all(b"s").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
    // A new one is as welcome as before.
    let connector = connector(&ca, "one.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    assert!(server.is_ok() && client.is_ok(), "{SERVER} admits it");
}

//! Every piece of the application fails or panics in every phase of a change: what is in force
//! afterwards is the old set or the new one, as a whole, and the report says which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::Duration;

use countersign::live::CloseReason;
use tokio::io::{AsyncRead, ReadBuf};

use crate::service::{InForce, Service, YES};

/// What comes of it.
enum Outcome {
    /// The reload is refused for this reason, and nothing has changed.
    Old(&'static str),
    /// The new set is in force, and the connection to b.example was cut for this reason.
    New(&'static str),
}

use Outcome::{New, Old};

/// What panics, whether the credentials change, too, and what comes of it.
const CASES: &[(&[&str], bool, Outcome)] = &[
    (&[], true, New("denied")),
    // While it is prepared.
    (&["load trust"], true, Old("panicked")),
    (&["load CRLs"], true, Old("panicked")),
    (&["fail CRLs"], true, Old("load_failed")),
    (&["parse policy"], true, Old("panicked")),
    (&["parse deny list"], true, Old("panicked")),
    (&["fail policy"], true, Old("load_failed")),
    (&["fail policy", "print error"], true, Old("load_failed")),
    (&["fail policy", "drop error"], true, Old("load_failed")),
    (&["fail policy", "drop policy 2"], true, Old("panicked")),
    (&["fail policy", "drop c.example"], true, Old("load_failed")),
    (&["hash c.example"], true, Old("panicked")),
    (&["clock"], true, Old("no_clock")),
    (&["clock: none"], true, Old("no_clock")),
    (&["clock: none"], false, Old("no_clock")), // when CRLs are compared
    (&["clock", "drop policy 2"], true, Old("no_clock")),
    (&["touch", "drop policy 2"], true, New("denied")),
    // While open connections are authorized by it.
    (&["hash b.example"], true, New("authorization_panicked")),
    (&["policy 2 b.example"], true, New("policy_panicked")),
    (&["sink"], true, New("denied")),
    (&["sink: error"], true, New("denied")),
    (&["wake reader"], true, New("denied")),
    (&["wake watcher"], true, New("denied")),
    (
        &["wake reader", "wake watcher", "sink"],
        false,
        New("denied"),
    ),
    // When the old set is dropped, and when the change is recorded.
    (&["drop policy 1"], true, New("denied")),
    (&["drop gone.example"], true, New("denied")),
    (
        &["drop policy 1", "drop gone.example"],
        false,
        New("denied"),
    ),
    (&["wake generations"], true, New("denied")),
];

#[tokio::test(start_paused = true)]
async fn whatever_panics_a_reload_is_in_force_as_a_whole_or_not_at_all() {
    for (faults, with_credentials, outcome) in CASES {
        let case = format!("{faults:?}, with credentials: {with_credentials}");
        let service = Service::new().await;
        assert_eq!(service.in_force(), InForce::Old, "{case}");
        let mut open = service.open().await;
        wait_with_wakers(&service, &mut open[0].0);
        let mut generations = service.handle.generations();
        let changed = async {
            let mut changed = pin!(generations.changed());
            let waker = service.waker("wake generations");
            let _ = changed.as_mut().poll(&mut Context::from_waker(&waker));
            service.write_new(*with_credentials);
            service.faults.arm(faults);
            let applied = service.handle.reload_now().await;
            applied.map_err(|error| error.reason())
        };
        let applied = changed.await;
        let count = |status: countersign::reload::Status| (status.applied, status.refused);
        match outcome {
            Old(reason) => {
                assert_eq!(applied.unwrap_err(), *reason, "{case}");
                assert_eq!(count(service.handle.status()), (1, 1), "{case}");
                assert_eq!(service.acceptor.control().generation(), 2, "{case}");
                assert_eq!(service.in_force(), InForce::Old, "{case}");
                assert_eq!(service.acceptor.control().connections().len(), 4, "{case}");
                // The reload lives on.
                service.handle.reload_now().await.expect(&case);
                assert_eq!(why(&open[0].0), "denied", "{case}");
            }
            New(reason) => {
                applied.expect(&case);
                assert_eq!(count(service.handle.status()), (2, 0), "{case}");
                assert_eq!(why(&open[0].0), *reason, "{case}");
            }
        }
        assert_eq!(service.faults.left(), [""; 0], "{case}: did not happen");
        assert_eq!(service.in_force(), InForce::New, "{case}");
        // Each open connection was authorized, also those after the one where something panicked.
        assert_eq!(why(&open[2].0), "deny_listed", "{case}");
        assert_eq!(why(&open[3].0), "unknown_issuer", "{case}");
        let left = service.acceptor.control().connections();
        let left: Vec<_> = left.iter().map(|open| open.id()).collect();
        assert_eq!(left, [open[1].0.id()], "{case}");
    }
}

/// A call of the application that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Update,
    SetPolicy,
    SetAsyncPolicy,
    ReplaceDenyList,
}

use Call::{ReplaceDenyList, SetAsyncPolicy, SetPolicy, Update};

/// What the call returns, and which open connections it cuts for which reason.
type Effect = (
    Result<(), &'static str>,
    &'static [(&'static str, &'static str)],
);

const PANICS: Effect = (Err("it panics"), &[]);

/// What fails in which call, and its effect.
const CALLS: &[(Call, &[&str], Effect)] = &[
    (Update, &[], (Ok(()), &[("d", "unknown_issuer")])),
    (Update, &["public key"], PANICS),
    (Update, &["clock"], (Err("no_clock"), &[])),
    (Update, &["clock: none"], (Err("no_clock"), &[])),
    (
        Update,
        &["hash a.example"],
        (
            Ok(()),
            &[("a", "authorization_panicked"), ("d", "unknown_issuer")],
        ),
    ),
    (
        Update,
        &["policy 1 b.example", "sink", "wake reader", "wake watcher"],
        (Ok(()), &[("b", "policy_panicked"), ("d", "unknown_issuer")]),
    ),
    (SetPolicy, &[], (Ok(()), &[("b", "denied")])),
    (SetPolicy, &["clock"], (Ok(()), &[("b", "denied")])),
    (SetPolicy, &["clock: none"], (Ok(()), &[("b", "denied")])),
    (SetPolicy, &["drop policy 1"], (Ok(()), &[("b", "denied")])),
    (SetPolicy, &["sink"], (Ok(()), &[("b", "denied")])),
    (SetPolicy, &["sink: error"], (Ok(()), &[("b", "denied")])),
    (
        SetPolicy,
        &["wake reader", "wake watcher"],
        (Ok(()), &[("b", "denied")]),
    ),
    (
        SetPolicy,
        &["policy 2 a.example"],
        (Ok(()), &[("a", "policy_panicked"), ("b", "denied")]),
    ),
    (
        SetPolicy,
        &["hash b.example"],
        (Ok(()), &[("b", "authorization_panicked")]),
    ),
    (SetAsyncPolicy, &[], (Ok(()), &[("b", "denied")])),
    (
        SetAsyncPolicy,
        &["drop policy 1"],
        (Ok(()), &[("b", "denied")]),
    ),
    (
        SetAsyncPolicy,
        &["call b.example"],
        (Ok(()), &[("b", "policy_panicked")]),
    ),
    (
        SetAsyncPolicy,
        &["poll a.example", "policy 2 c.example"],
        (
            Ok(()),
            &[
                ("a", "policy_panicked"),
                ("b", "denied"),
                ("c", "policy_panicked"),
            ],
        ),
    ),
    (
        SetAsyncPolicy,
        &["hang a.example"],
        (Ok(()), &[("a", "policy_timed_out"), ("b", "denied")]),
    ),
    (ReplaceDenyList, &[], (Ok(()), &[("c", "deny_listed")])),
    (ReplaceDenyList, &["iterate"], PANICS),
    (ReplaceDenyList, &["hash c.example"], PANICS),
    (
        ReplaceDenyList,
        &["drop gone.example"],
        (Ok(()), &[("c", "deny_listed")]),
    ),
    (
        ReplaceDenyList,
        &["eq c.example"],
        (Ok(()), &[("c", "authorization_panicked")]),
    ),
    (
        ReplaceDenyList,
        &["hash b.example", "sink"],
        (
            Ok(()),
            &[("b", "authorization_panicked"), ("c", "deny_listed")],
        ),
    ),
];

#[tokio::test(start_paused = true)]
async fn whatever_panics_a_call_changes_everything_or_nothing() {
    for (call, faults, (result, cut)) in CALLS {
        let case = format!("{call:?} with {faults:?}");
        let service = Service::new().await;
        let mut open = service.open().await;
        wait_with_wakers(&service, &mut open[0].0);
        let control = service.acceptor.control().clone();
        let (update, policy) = (service.update(), service.policy());
        service.faults.arm(faults);
        let called = catch_unwind(AssertUnwindSafe(|| {
            match call {
                Update => return control.update(update).map(drop),
                SetPolicy => control.set_policy(policy),
                SetAsyncPolicy => control.set_async_policy(service.async_policy(), TIMEOUT),
                ReplaceDenyList => service.denied.replace(service.entries()),
            }
            Ok(())
        }));
        let called = called.map_or(Err("it panics"), |done| done.map_err(|e| e.reason()));
        assert_eq!(called, *result, "{case}");
        tokio::time::sleep(2 * TIMEOUT).await; // for answers
        assert_eq!(service.faults.left(), [""; 0], "{case}: did not happen");

        // New peers are decided about by the old rules, or by the new ones.
        let is_new = called.is_ok();
        let [mut b, mut c, mut d, mut e] = [YES, YES, YES, "unknown_issuer"];
        match call {
            Update if is_new => (d, e) = ("unknown_issuer", YES),
            SetPolicy | SetAsyncPolicy if is_new => b = "denied",
            ReplaceDenyList if is_new => c = "deny_listed",
            _ => {}
        }
        assert_eq!(service.decisions().await, [b, YES, c, d, e], "{case}");
        let generation = if *call == Update && is_new { 3 } else { 2 };
        assert_eq!(control.generation(), generation, "{case}");

        // So are those that were open; a piece that fails cuts only the connection that it was called for.
        for ((stream, _), name) in open.iter().zip(["b", "a", "c", "d"]) {
            let expected = cut.iter().find(|(cut, _)| *cut == name);
            let expected = expected.map_or("it is open", |(_, reason)| *reason);
            assert_eq!(why(stream), expected, "{case}: {name}");
        }
        let left = control.connections();
        assert_eq!(left.len(), 4 - cut.len(), "{case}");
        assert!(
            left.iter().all(|open| open.generation() == generation),
            "{case}"
        );
        let stats = control.stats();
        assert_eq!((stats.cut, stats.open), (cut.len() as u64, 4), "{case}");
        assert_eq!(stats.attempts(), 4 + 5, "{case}");
    }
}

/// An identity becomes text once, at admission; without the text the peer is admitted all the same.
#[tokio::test(start_paused = true)]
async fn an_identity_that_cannot_be_printed_is_admitted_and_cut_without_a_name() {
    let service = Service::new().await;
    service.faults.arm(&["print b.example"]);
    let open = service.open().await;
    assert_eq!(service.faults.left(), [""; 0]);
    service.faults.arm(&["print b.example"]);
    service.acceptor.control().set_policy(service.policy());
    assert_eq!(why(&open[0].0), "denied");
    assert_eq!(
        service.faults.left(),
        ["print b.example"],
        "it is not printed again"
    );
}

/// How long an asynchronous policy may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Reads, and waits for the end, with wakers that may panic.
fn wait_with_wakers(service: &Service, stream: &mut (impl AsyncRead + Unpin + Watched)) {
    let mut buffer = [0; 8];
    let mut buffer = ReadBuf::new(&mut buffer);
    let waker = service.waker("wake reader");
    let poll = Pin::new(&mut *stream).poll_read(&mut Context::from_waker(&waker), &mut buffer);
    assert!(poll.is_pending());
    let waker = service.waker("wake watcher");
    let mut draining = stream.draining_of();
    let poll = Pin::new(&mut draining).poll(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    std::mem::forget(draining); // it waits on
}

/// A stream whose end can be waited for.
trait Watched {
    fn draining_of(&self) -> countersign::DrainSignal;
}

impl<IO: AsyncRead + tokio::io::AsyncWrite + Unpin, I> Watched for countersign::TlsStream<IO, I> {
    fn draining_of(&self) -> countersign::DrainSignal {
        self.draining()
    }
}

/// Why a stream was cut.
fn why(stream: &impl Watched) -> &'static str {
    let ended: Option<CloseReason> = stream.draining_of().why();
    ended.map_or("it is open", |ended| ended.reason())
}

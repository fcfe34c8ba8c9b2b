//! Every piece of the application fails or panics in every phase of a change: what is in force
//! afterwards is the old set or the new one, as a whole, and the report says which.

use std::pin::{Pin, pin};
use std::task::Context;

use countersign::live::CloseReason;
use tokio::io::{AsyncRead, ReadBuf};

use crate::service::{InForce, Service};

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
    (&["parse policy"], true, Old("panicked")),
    (&["parse deny list"], true, Old("panicked")),
    (&["fail policy"], true, Old("load_failed")),
    (&["fail policy", "print error"], true, Old("load_failed")),
    (&["fail policy", "drop error"], true, Old("load_failed")),
    (&["fail policy", "drop policy 2"], true, Old("panicked")),
    (&["fail policy", "drop c.example"], true, Old("load_failed")),
    (&["hash c.example"], true, Old("panicked")),
    (&["clock"], true, Old("no_clock")),
    (&["clock", "drop policy 2"], true, Old("no_clock")),
    (&["touch", "drop policy 2"], true, New("denied")),
    // While open connections are authorized by it.
    (&["clock"], false, New("denied")),
    (&["hash b.example"], true, New("authorization_panicked")),
    (&["policy 2 b.example"], true, New("policy_panicked")),
    (&["sink"], true, New("denied")),
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

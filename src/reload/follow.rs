//! Sources of a builder that are followed without a call of the application.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::handle::Request;
use super::{Part, Reload, Source};
use crate::endpoint::{Sources, WeakControl};
use crate::{Control, Update};

/// Keeps a source for a reload.
pub(crate) fn keep<T: 'static>(
    sources: &mut Sources,
    part: Part,
    source: Source<T>,
    set: fn(Update, T) -> Update,
) {
    let source = source.map(move |value| -> Box<dyn FnOnce(Update) -> Update> {
        Box::new(move |update| set(update, value))
    });
    sources.keep::<super::builder::UpdateSource>((part, source));
}

/// The worker of an endpoint whose sources are followed without a reload. It stops when the endpoint is dropped, or
/// when a reload of the application takes over.
pub(super) struct Follower(Mutex<Following>);

enum Following {
    Starting,
    /// It runs until the sender is dropped.
    Running(#[expect(dead_code, reason = "held")] mpsc::Sender<Request>),
    /// A reload of the application follows the sources.
    TakenOver,
}

impl Follower {
    /// What is to be kept among the sources.
    fn new() -> Self {
        Self(Mutex::new(Following::Starting))
    }

    fn set(&self, next: Following) {
        let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*following, Following::TakenOver) {
            *following = next;
        }
    }

    fn is_taken_over(&self) -> bool {
        let following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*following, Following::TakenOver)
    }
}

/// Prepares sources to be followed by [`start`].
pub(crate) fn keep_follower(sources: &mut Sources) {
    sources.keep::<Arc<Follower>>(Arc::new(Follower::new()));
}

/// Follows the sources for as long as the endpoint exists.
pub(crate) fn start<I: Send + Sync + 'static>(runtime: &Handle, control: &Control<I>) {
    if let Some(follower) = of(control.sources()) {
        runtime.spawn(run(control.downgrade(), follower));
    }
}

/// Whether the sources are followed without a reload, or were until one took over.
pub(super) fn is_followed(sources: &Sources) -> bool {
    of(sources).is_some()
}

/// Stops following: a reload of the application takes over.
pub(super) fn take_over(sources: &Sources) {
    if let Some(follower) = of(sources) {
        follower.set(Following::TakenOver);
    }
}

fn of(sources: &Sources) -> Option<Arc<Follower>> {
    sources
        .iter()
        .find_map(|source| source.downcast_ref::<Arc<Follower>>().cloned())
}

async fn run<I: Send + Sync + 'static>(control: WeakControl<I>, follower: Arc<Follower>) {
    const PAUSE: Duration = Duration::from_secs(1);

    while let Some(control) = control.upgrade() {
        if follower.is_taken_over() {
            return;
        }
        let reload = Reload::new(control).with_sources_of_builder();
        match reload.start_worker().await {
            Ok((requests, _)) => {
                follower.set(Following::Running(requests));
                return;
            }
            Err(error) => tracing::warn!(%error, "the sources are not followed yet"),
        }
        sleep(PAUSE).await;
    }
}

#[cfg(all(feature = "spiffe", feature = "testing"))]
#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::endpoint::Change;
    use crate::identity::DnsName;
    use crate::testing::TestCa;
    use crate::{Acceptor, ConnectionInfo, TrustStore, policy};

    const LONG: Duration = Duration::from_secs(30);

    struct World {
        ca: TestCa,
        sender: watch::Sender<TrustStore>,
        acceptor: Acceptor<DnsName>,
    }

    /// An acceptor whose trust is followed without a reload.
    fn followed() -> World {
        let ca = TestCa::new("Root");
        let (sender, receiver) = watch::channel(ca.trust());
        let source = Source::watch("trust", receiver);
        let own = ca.leaf().dns("server.example").issue().credentials();
        let mut next = Acceptor::builder().credentials(own).trust(ca.trust());
        keep(&mut next.sources, Part::Trust, source, |update, trust| {
            update.trust(trust)
        });
        keep_follower(&mut next.sources);
        let runtime = Handle::current();
        let acceptor = next
            .identify(DnsName::extractor())
            .followed(move |control| start(&runtime, control))
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        World {
            ca,
            sender,
            acceptor,
        }
    }

    fn suspended() -> Change<DnsName> {
        Change {
            suspended: Some(Some("no value".into())),
            ..Change::default()
        }
    }

    impl World {
        fn decision(&self, ca: &TestCa) -> &'static str {
            let peer = ca.leaf().dns("a.example").issue();
            let control = self.acceptor.control();
            let admitted = control.admit_chain(peer.chain(), ConnectionInfo::default());
            admitted.map_or_else(|error| error.reason(), |_| "admitted")
        }

        async fn until_admitted(&self, ca: &TestCa) {
            let start = Instant::now();
            while self.decision(ca) != "admitted" {
                assert!(start.elapsed() < LONG, "{}", self.decision(ca));
                sleep(Duration::from_millis(2)).await;
            }
        }
    }

    #[tokio::test]
    async fn the_sources_are_followed_until_a_reload_takes_over() {
        let world = followed();
        let follower = of(world.acceptor.control().sources()).unwrap();
        let other = TestCa::new("Other");
        world.sender.send(other.trust()).unwrap();
        world.until_admitted(&other).await;
        assert!(is_followed(world.acceptor.control().sources()));
        assert!(!follower.is_taken_over());

        let reload = Reload::of(&world.acceptor).start();
        let handle = timeout(LONG, reload).await.unwrap().unwrap();
        assert!(follower.is_taken_over());
        follower.set(Following::Starting);
        assert!(follower.is_taken_over(), "for good");
        world.sender.send(world.ca.trust()).unwrap();
        world.until_admitted(&world.ca).await;
        // With its handle the reload ends, and nothing follows the sources: there is no receiver left.
        drop(handle);
        drop(world.acceptor);
        timeout(LONG, world.sender.closed()).await.unwrap();
    }

    /// What the worker before it has suspended is admitted again by the next value.
    #[tokio::test]
    async fn a_reload_that_takes_over_ends_a_suspension() {
        let world = followed();
        let control = world.acceptor.control();
        control.change(suspended()).unwrap();
        assert_eq!(world.decision(&world.ca), "suspended");
        let reload = Reload::of(&world.acceptor).start();
        let handle = timeout(LONG, reload).await.unwrap().unwrap();
        world.until_admitted(&world.ca).await;
        assert_eq!(handle.status().suspended, None);
    }

    /// What another reload has suspended is not this one's to end.
    #[tokio::test]
    async fn a_reload_that_takes_over_from_none_ends_no_suspension() {
        let ca = TestCa::new("Root");
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .unwrap();
        acceptor.control().change(suspended()).unwrap();
        let (sender, receiver) = watch::channel(ca.trust());
        let reload = Reload::of(&acceptor).trust(Source::watch("trust", receiver));
        let started = timeout(LONG, reload.start()).await.unwrap();
        let handle = started.unwrap();
        assert_eq!(handle.status().applied, 1);
        let world = World {
            ca,
            sender,
            acceptor,
        };
        assert_eq!(world.decision(&world.ca), "suspended");
    }
}

//! Deadlines, with the runtime's clock paused.

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::time::Duration;

    use rustls::time_provider::TimeProvider;
    use rustls_pki_types::UnixTime;
    use tokio::time::{Instant, sleep};

    use super::super::*;
    use crate::audit::Recorder;
    use crate::side::Side;
    use crate::testing::{TestCa, peer_of};
    use crate::{ConnectionInfo, Peer};

    /// Follows the runtime's clock, and counts how often it is read: once for each time that the task wakes.
    #[derive(Debug)]
    struct Clock {
        started: Instant,
        at_start: u64,
        ahead: AtomicI64,
        reads: AtomicUsize,
    }

    impl Clock {
        fn time(&self) -> UnixTime {
            let passed = self.at_start + self.started.elapsed().as_secs();
            let ahead = self.ahead.load(Ordering::SeqCst);
            UnixTime::since_unix_epoch(Duration::from_secs(passed.saturating_add_signed(ahead)))
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }
    }

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Some(self.time())
        }
    }

    struct World {
        live: Arc<Live<()>>,
        clock: Arc<Clock>,
        ca: TestCa,
        recorder: Arc<Recorder>,
        next: AtomicUsize,
    }

    impl World {
        fn new(drain: u64, max_age: Option<u64>) -> Self {
            let clock = Arc::new(Clock {
                started: Instant::now(),
                at_start: UnixTime::now().as_secs(),
                ahead: AtomicI64::new(0),
                reads: AtomicUsize::new(0),
            });
            let lifetimes = Lifetimes {
                drain: Duration::from_secs(drain),
                max_age: max_age.map(Duration::from_secs),
            };
            let sink = |_: &crate::audit::AuditEvent| ();
            Self {
                live: Arc::new(Live::new(
                    ConnectionLimits::default(),
                    lifetimes,
                    clock.clone(),
                )),
                clock,
                ca: TestCa::new("Root"),
                recorder: Arc::new(Recorder::new(
                    Box::new(sink),
                    Side::Server,
                    None,
                    None,
                    None,
                )),
                next: AtomicUsize::new(1),
            }
        }

        /// A peer whose certificate expires in so many seconds.
        fn peer(&self, seconds: u64) -> Peer<()> {
            let now = self.clock.time().as_secs();
            let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let leaf = self.ca.leaf().validity(at(now - 1000), at(now + seconds));
            peer_of((), &self.ca, &leaf.issue(), ConnectionInfo::default())
        }

        fn open(&self, peer: &Peer<()>) -> Registration<()> {
            let (since, opened) = (self.clock.time(), self.live.clock());
            self.live.note_time(since, opened);
            self.live.start_timers();
            let opening = Opening {
                id: self.next.fetch_add(1, Ordering::SeqCst) as u64,
                peer: peer.clone(),
                identity: None,
                since,
                opened,
                generation: 1,
                listener: None,
            };
            let connection = Arc::new(Connection::new(opening, self.recorder.clone()));
            assert!(self.live.registry().open_if(&connection, || true));
            self.live.edit(|_| ());
            Registration::new(self.live.clone(), connection, None)
        }
    }

    /// The reason for which it drains or was cut.
    fn why(open: &Registration<()>) -> Option<&'static str> {
        open.connection()
            .lease()
            .why_draining()
            .map(CloseReason::reason)
    }

    fn is_cut(open: &Registration<()>) -> bool {
        open.connection().lease().is_cut()
    }

    async fn seconds(seconds: f64) {
        sleep(Duration::from_secs_f64(seconds)).await;
    }

    const HOUR: u64 = 3600;

    #[tokio::test(start_paused = true)]
    async fn idle_connections_cause_no_work() {
        for count in [1, 10_000] {
            let world = World::new(30, Some(HOUR));
            let peer = world.peer(HOUR);
            let open: Vec<_> = (0..count).map(|_| world.open(&peer)).collect();
            seconds(1.0).await;
            let before = world.clock.reads();
            seconds(60.0).await;
            // Only the clock is compared with the expected time.
            assert_eq!(world.clock.reads() - before, 12, "{count}");
            assert!(open.iter().all(|it| why(it).is_none()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_met() {
        let world = World::new(10, Some(100));
        let brief = world.open(&world.peer(41));
        let long = world.open(&world.peer(HOUR));
        // notAfter is the last second of the validity.
        seconds(41.5).await;
        assert_eq!((why(&brief), why(&long)), (None, None));
        seconds(1.0).await;
        assert_eq!((why(&brief), is_cut(&brief)), (Some("expired"), false));
        // The time to drain and the age are up to a tenth shorter.
        seconds(8.0).await;
        assert!(!is_cut(&brief));
        seconds(2.1).await;
        assert!(is_cut(&brief));
        seconds(90.0 - 52.7).await;
        assert_eq!(why(&long), None);
        seconds(10.2).await;
        assert_eq!((why(&long), is_cut(&long)), (Some("max_age"), false));
        seconds(10.0).await;
        assert!(is_cut(&long));
    }

    /// The task sleeps when the earlier deadline comes.
    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_is_met() {
        let world = World::new(30, None);
        let first = world.open(&world.peer(HOUR));
        seconds(0.1).await;
        let brief = world.open(&world.peer(1));
        seconds(2.1).await;
        assert_eq!((why(&first), why(&brief)), (None, Some("expired")));

        let reason = CloseReason::ShutDown;
        let time = Duration::from_millis(500);
        world
            .live
            .drain_within(first.connection(), reason.clone(), time);
        seconds(0.4).await;
        assert_eq!((why(&first), is_cut(&first)), (Some("shut_down"), false));
        // A later limit changes nothing.
        world
            .live
            .drain_within(first.connection(), reason, Duration::from_secs(60));
        seconds(0.2).await;
        assert!(is_cut(&first));
        assert!(!is_cut(&brief));
    }

    /// An update of trust can find another path.
    #[tokio::test(start_paused = true)]
    async fn the_path_in_force_counts() {
        let world = World::new(30, None);
        let open = [10, HOUR, HOUR].map(|expires| world.open(&world.peer(expires)));
        for (open, expires) in open.iter().zip([HOUR, 2, HOUR]) {
            let connection = open.connection();
            let other = connection.reauthorized(world.peer(expires), 2);
            assert_eq!(other.is_none(), connection.id() == 3);
            if let Some(peer) = other {
                drop(world.live.edit(|open| open.set_peer(connection, peer, 2)));
            }
        }
        seconds(3.1).await;
        assert_eq!(open.each_ref().map(why), [None, Some("expired"), None]);
        seconds(20.0).await;
        assert_eq!(open.each_ref().map(why), [None, Some("expired"), None]);
    }

    /// An older change can find its path before a newer one, and set it after it.
    #[tokio::test(start_paused = true)]
    async fn the_path_of_an_older_change_does_not_count() {
        let world = World::new(30, None);
        let open = world.open(&world.peer(HOUR));
        let connection = open.connection();
        let [older, newer] = [(2, 1), (3, HOUR + 60)].map(|(generation, expires)| {
            let other = connection.reauthorized(world.peer(expires), generation);
            (other.expect("it expires at another time"), generation)
        });
        for (peer, generation) in [newer, older] {
            drop(
                world
                    .live
                    .edit(|open| open.set_peer(connection, peer, generation)),
            );
        }
        seconds(5.0).await;
        assert_eq!(why(&open), None);
        assert!(connection.reauthorized(world.peer(1), 2).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_counts() {
        for has_handshakes in [false, true] {
            let world = World::new(30, None);
            let open = world.open(&world.peer(HOUR));
            seconds(0.1).await;
            let hour = HOUR.cast_signed();
            world.clock.ahead.store(-hour, Ordering::SeqCst);
            seconds(12.0).await;
            assert_eq!(why(&open), None);
            world.clock.ahead.store(hour, Ordering::SeqCst);
            if has_handshakes {
                world.live.note_time(world.clock.time(), world.live.clock());
                seconds(0.1).await;
            } else {
                seconds(5.1).await;
            }
            assert_eq!(why(&open), Some("expired"), "{has_handshakes}");
        }
    }

    /// Neither too early nor all at once.
    #[tokio::test(start_paused = true)]
    async fn deadlines_are_spread_over_a_tenth_of_the_time() {
        const COUNT: usize = 100;

        let world = World::new(1000, Some(2000));
        let peer = world.peer(HOUR);
        let open: Vec<_> = (0..COUNT).map(|_| world.open(&peer)).collect();
        seconds(1799.0).await;
        assert!(open.iter().all(|it| why(it).is_none()));
        // By tenths of the spread, no more than twice as many as their share.
        for tenth in 1..=10 {
            seconds(20.0).await;
            let draining = open.iter().filter(|it| why(it).is_some()).count();
            let share = tenth * COUNT / 10;
            assert!(
                draining.abs_diff(share) <= COUNT / 10,
                "{tenth}: {draining}"
            );
        }
        seconds(2.0).await;
        assert!(open.iter().all(|it| why(it) == Some("max_age")));
    }

    /// Calls in progress end a second before the cut, or a quarter of a short time.
    #[cfg(feature = "hyper")]
    #[tokio::test(start_paused = true)]
    async fn calls_end_before_the_cut() {
        let world = World::new(30, None);
        for (time, margin) in [(100.0, Some(1.0)), (2.0, None)] {
            let open = world.open(&world.peer(HOUR));
            let connection = open.connection();
            assert_eq!(connection.lease().calls_end(), None);
            let now = world.live.clock();
            let time = Duration::from_secs_f64(time);
            world
                .live
                .drain_within(connection, CloseReason::ShutDown, time);
            let left = connection.drained().unwrap() - now;
            let margin = margin.map_or(left / 4, Duration::from_secs_f64);
            let end = Instant::now() + left - margin;
            assert_eq!(connection.lease().calls_end(), Some(end.into_std()));
        }
    }

    /// A transport without a task that waits is stopped by the cut, also by one that came first.
    #[cfg(feature = "quinn")]
    #[tokio::test(start_paused = true)]
    async fn a_cut_stops_the_transport_once() {
        let world = World::new(30, None);
        let stops = Arc::new(AtomicUsize::new(0));
        let counting = || {
            let stops = Arc::clone(&stops);
            Box::new(move |why: &CloseReason| {
                assert_eq!(why.reason(), "ended_by_application");
                stops.fetch_add(1, Ordering::SeqCst);
            })
        };
        let open = world.open(&world.peer(HOUR));
        let lease = open.connection().lease();
        lease.stop_when_cut(counting());
        world.live.drain(open.connection(), CloseReason::ShutDown);
        assert_eq!(stops.load(Ordering::SeqCst), 0, "it drains");
        open.connection().cut(CloseReason::ByApplication);
        open.connection().cut(CloseReason::ByApplication);
        assert_eq!(stops.load(Ordering::SeqCst), 1);
        lease.stop_when_cut(counting());
        assert_eq!(stops.load(Ordering::SeqCst), 2, "it was cut before");

        let open = world.open(&world.peer(HOUR));
        let lease = open.connection().lease();
        lease.stop_when_cut(counting());
        lease.forget_stop();
        open.connection().cut(CloseReason::ByApplication);
        assert_eq!(stops.load(Ordering::SeqCst), 2, "it exists no more");
    }

    #[tokio::test(start_paused = true)]
    async fn openings_are_counted_and_only_open_connections_match() {
        let world = World::new(30, None);
        let open = [HOUR; 3].map(|expires| world.open(&world.peer(expires)));
        assert_eq!(world.live.opened(), 3);
        let id = open[1].connection().id();
        assert!(world.live.has_open(|it| it.id() == id));
        open[1].connection().cut(CloseReason::ByApplication);
        assert!(!world.live.has_open(|it| it.id() == id));
        assert!(world.live.has_open(|_| true));
        drop(open);
        assert_eq!(world.live.opened(), 3);
        assert!(!world.live.has_open(|_| true));
    }

    /// More than one pass of the task.
    #[tokio::test(start_paused = true)]
    async fn many_deadlines_at_once_are_met() {
        let world = World::new(10, None);
        let peer = world.peer(20);
        let open: Vec<_> = (0..1000).map(|_| world.open(&peer)).collect();
        seconds(22.1).await;
        assert!(open.iter().all(|it| why(it) == Some("expired")));
        seconds(10.1).await;
        assert!(open.iter().all(is_cut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_leaves_no_deadline_and_the_last_one_no_task() {
        let world = World::new(30, Some(100));
        let peer = world.peer(HOUR);
        let mut open: Vec<_> = (0..100).map(|_| world.open(&peer)).collect();
        for open in &open[..50] {
            world.live.drain(open.connection(), CloseReason::ShutDown);
        }
        open[50].connection().cut(CloseReason::ByApplication);
        assert_eq!(world.live.lock().deadlines(), 150); // an age and an expiry, or the end of draining
        drop(open.split_off(1));
        assert_eq!(world.live.lock().deadlines(), 1);
        drop(open);
        assert_eq!(world.live.lock().deadlines(), 0);
        seconds(6.0).await;
        let before = world.clock.reads();
        seconds(60.0).await;
        assert_eq!(world.clock.reads(), before);
        // It starts again.
        let open = world.open(&world.peer(1));
        seconds(2.1).await;
        assert_eq!(why(&open), Some("expired"));
    }
}

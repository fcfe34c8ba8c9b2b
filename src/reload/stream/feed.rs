//! The latest value of a stream, and who follows it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::next::Next;
use super::{FIRST_VALUE, Silence, StreamError};
use crate::pki::contained::caught;
use crate::pki::time::at_most_far;
use crate::reload::error::withdraws;
use crate::reload::source::LoadError;

/// A value of any type.
type Value = Arc<dyn Any + Send + Sync>;

/// The latest value of one stream, for all who follow it.
pub(in crate::reload) struct Feed {
    pub(in crate::reload) name: Arc<str>,
    id: u64,
    state: Mutex<State>,
    /// The workers to wake at each change.
    followers: Mutex<Vec<Weak<Notify>>>,
    /// Runs the stream; taken by the first who awaits a value.
    pump: Mutex<Option<Pump>>,
    task: Mutex<Option<AbortHandle>>,
}

/// Runs the stream for a feed.
type Pump = Box<dyn FnOnce(Weak<Feed>) -> AbortHandle + Send>;

#[derive(Clone, Default)]
struct State {
    value: Option<Value>,
    /// Counted for each other value.
    version: u64,
    /// When the last good value arrived, the same or another.
    since: Option<Instant>,
    error: Option<LoadError>,
    error_since: Option<Instant>,
    /// Counted for each other error, and for the end.
    reports: u64,
    withdrawn: bool,
    closed: Option<Closed>,
}

#[derive(Clone, Copy)]
struct Closed {
    panicked: bool,
}

/// What the feed reports besides its value.
pub(in crate::reload) struct Report {
    pub(in crate::reload) age: Option<Duration>,
    pub(in crate::reload) error: Option<StreamError>,
    pub(in crate::reload) error_age: Option<Duration>,
    pub(in crate::reload) is_withdrawn: bool,
    pub(in crate::reload) is_closed: bool,
    /// Changes with the error.
    pub(in crate::reload) number: u64,
}

impl Feed {
    /// `is_same` compares a value with the one before: the same value is not applied again.
    pub(in crate::reload) fn new<N: Next>(
        name: Arc<str>,
        next: N,
        is_same: fn(&N::Value, &N::Value) -> bool,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);

        let pump = move |feed: Weak<Self>| {
            let task = Handle::current().spawn(run(feed, next, is_same));
            task.abort_handle()
        };
        Arc::new(Self {
            name,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            followers: Mutex::default(),
            pump: Mutex::new(Some(Box::new(pump))),
            task: Mutex::default(),
        })
    }

    pub(in crate::reload) const fn id(&self) -> u64 {
        self.id
    }

    /// Starts the stream, unless it runs.
    pub(in crate::reload) fn start(self: &Arc<Self>) {
        let pump = locked(&self.pump).take();
        if let Some(pump) = pump {
            *locked(&self.task) = Some(pump(Arc::downgrade(self)));
        }
    }

    /// Wakes this worker at each change.
    pub(in crate::reload) fn notify(&self, worker: &Arc<Notify>) {
        let mut followers = locked(&self.followers);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(worker));
    }

    /// Waits for a value, which may be withdrawn if `or_withdrawn`.
    async fn first(
        self: &Arc<Self>,
        within: Duration,
        or_withdrawn: bool,
    ) -> Result<(), StreamError> {
        let bell = Arc::new(Notify::new());
        self.notify(&bell);
        self.start();
        let deadline = Instant::now() + at_most_far(within);
        loop {
            let state = self.state();
            if state.value.is_some() && (or_withdrawn || !state.withdrawn) {
                return Ok(());
            }
            let error = self.error_of(&state);
            if state.closed.is_some()
                && let Some(error) = error
            {
                return Err(error);
            }
            if timeout_at(deadline, bell.notified()).await.is_err() {
                return Err(error.unwrap_or_else(|| StreamError::NoValue {
                    name: Arc::clone(&self.name),
                    waited: within,
                }));
            }
        }
    }

    pub(in crate::reload) fn report(&self) -> Report {
        let state = self.state();
        Report {
            age: state.since.map(|since| since.elapsed()),
            error: self.error_of(&state),
            error_age: state.error_since.map(|since| since.elapsed()),
            is_withdrawn: state.withdrawn,
            is_closed: state.closed.is_some(),
            number: state.reports,
        }
    }

    fn error_of(&self, state: &State) -> Option<StreamError> {
        let name = || Arc::clone(&self.name);
        match (&state.error, state.closed) {
            (Some(error), _) => Some(StreamError::Item {
                name: name(),
                error: Arc::clone(error),
            }),
            (None, Some(Closed { panicked })) => Some(StreamError::Closed {
                name: name(),
                panicked,
            }),
            (None, None) => None,
        }
    }

    fn state(&self) -> State {
        locked(&self.state).clone()
    }

    fn put<T: Send + Sync + 'static>(
        &self,
        item: Result<T, LoadError>,
        is_same: fn(&T, &T) -> bool,
    ) {
        let now = Some(Instant::now());
        let before = locked(&self.state).clone();
        let mut next = before.clone();
        match item {
            Ok(value) => {
                let known = before.value.as_ref().and_then(|value| value.downcast_ref());
                // A comparison of the application that panics counts as a difference.
                if !known.is_some_and(|known| caught(|| is_same(known, &value)).unwrap_or(false)) {
                    next.value = Some(Arc::new(value));
                    next.version += 1;
                }
                next.since = now;
                next.withdrawn = false;
                next.error = None;
                next.error_since = None;
            }
            Err(error) => {
                next.withdrawn = before.withdrawn || withdraws(&error);
                // A stream that fails again and again for the same cause is reported once.
                let text = |error: &LoadError| caught(|| error.to_string());
                if before.error.as_ref().map(text) != Some(text(&error)) {
                    next.reports += 1;
                    next.error_since = now;
                }
                next.error = Some(error);
            }
        }
        *locked(&self.state) = next;
        self.wake();
        // Values and errors are the application's.
        caught(|| drop(before));
    }

    fn close(&self, panicked: bool) {
        {
            let mut state = locked(&self.state);
            state.closed = Some(Closed { panicked });
            state.reports += 1;
            if state.error.is_none() {
                state.error_since = Some(Instant::now());
            }
        }
        self.wake();
    }

    fn wake(&self) {
        let followers: Vec<_> = locked(&self.followers)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        followers.iter().for_each(|bell| bell.notify_one());
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(task) = locked(&self.task).take() {
            task.abort();
        }
    }
}

async fn run<N: Next>(feed: Weak<Feed>, mut next: N, is_same: fn(&N::Value, &N::Value) -> bool) {
    /// Reports the end, however the task ends.
    struct Ends(Weak<Feed>);

    impl Drop for Ends {
        fn drop(&mut self) {
            if let Some(feed) = self.0.upgrade() {
                feed.close(std::thread::panicking());
            }
        }
    }

    let _ends = Ends(Weak::clone(&feed));
    while let Some(item) = next.next().await {
        let Some(feed) = feed.upgrade() else { return };
        feed.put(item, is_same);
    }
}

/// The values of all feeds at one moment.
#[derive(Clone, Default)]
pub(in crate::reload) struct Values(HashMap<u64, (u64, Option<Value>)>);

impl Values {
    /// Takes the values of these feeds.
    pub(in crate::reload) fn of<'f>(feeds: impl IntoIterator<Item = &'f Followed>) -> Self {
        let mut values = HashMap::new();
        for followed in feeds {
            let feed = &followed.feed;
            values.entry(feed.id).or_insert_with(|| {
                let state = feed.state();
                (state.version, state.value)
            });
        }
        Self(values)
    }

    pub(in crate::reload) fn get<T: 'static>(&self, feed: u64) -> Option<&T> {
        self.0.get(&feed)?.1.as_deref()?.downcast_ref()
    }

    /// The version of a feed's value: another number for another value.
    pub(in crate::reload) fn version(&self, followed: &Followed) -> u64 {
        self.0
            .get(&followed.feed.id)
            .map_or(0, |(version, _)| *version)
    }
}

/// A feed, with the choices of one source.
#[derive(Clone)]
pub(in crate::reload) struct Followed {
    pub(in crate::reload) feed: Arc<Feed>,
    pub(in crate::reload) silence: Silence,
    pub(in crate::reload) first_within: Duration,
}

impl Followed {
    pub(in crate::reload) const fn new(feed: Arc<Feed>) -> Self {
        Self {
            feed,
            silence: Silence::Keep,
            first_within: FIRST_VALUE,
        }
    }

    /// Waits for the first value, or for one after it was withdrawn.
    pub(in crate::reload) async fn first(&self) -> Result<(), StreamError> {
        self.feed.first(self.first_within, false).await
    }

    /// Waits for the first value. One that was withdrawn counts: the worker suspends
    /// the endpoint at once.
    pub(in crate::reload) async fn any(&self) -> Result<(), StreamError> {
        self.feed.first(self.first_within, true).await
    }

    /// Why no peer may be admitted, if the source has failed.
    pub(in crate::reload) fn failed_closed(&self) -> Option<StreamError> {
        let report = self.feed.report();
        if report.is_withdrawn {
            return report.error;
        }
        let Silence::FailClosed { max_age } = self.silence else {
            return None;
        };
        let is_old = report.age.is_none_or(|age| age >= max_age);
        is_old.then(|| StreamError::Silent {
            name: Arc::clone(&self.feed.name),
            max_age,
        })
    }

    /// When the value becomes too old.
    pub(in crate::reload) fn too_old_at(&self) -> Option<Instant> {
        let Silence::FailClosed { max_age } = self.silence else {
            return None;
        };
        let since = self.feed.state().since?;
        Some(since + at_most_far(max_age))
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.feed.name)
            .field("silence", &self.silence)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Diagnostic;
    use crate::reload::Part;
    use crate::reload::error::{Diagnosed, ReloadError};
    use crate::reload::streams::Streams;

    struct Never;

    impl Next for Never {
        type Value = u32;

        async fn next(&mut self) -> Option<Result<u32, LoadError>> {
            std::future::pending().await
        }
    }

    fn error(withdraws: bool) -> LoadError {
        let error: Box<dyn Diagnostic + Send + Sync> = Box::new(ReloadError::Stopped);
        Arc::new(Diagnosed { error, withdraws })
    }

    /// Unlike an outage, after which the value stays in force.
    #[test]
    fn an_error_that_withdraws_the_value_counts_until_the_next_value() {
        let feed = Feed::new("api".into(), Never, u32::eq);
        let followed = Followed::new(Arc::clone(&feed));
        let put = |item| {
            feed.put(item, u32::eq);
            let report = feed.report();
            assert_eq!(report.is_withdrawn, followed.failed_closed().is_some());
            report.is_withdrawn
        };
        assert!(!put(Ok(1)));
        assert!(!put(Err(error(false))));
        assert!(put(Err(error(true))));
        assert!(put(Err(error(false))), "an outage gives nothing back");
        assert!(!put(Ok(1)), "also if it is the same");
        assert!(put(Err(error(true))));
    }

    #[tokio::test]
    async fn streams_have_recovered_once_the_last_error_is_over() {
        let feeds = ["first", "second"].map(|name| Feed::new(name.into(), Never, u32::eq));
        feeds.iter().for_each(|feed| feed.put(Ok(1), u32::eq));
        let all = feeds
            .iter()
            .map(|feed| (Part::Trust, Followed::new(Arc::clone(feed))));
        let mut streams = Streams::start(all.collect()).await.unwrap();
        assert!(!streams.has_recovered());
        for feed in &feeds {
            feed.put(Err(error(false)), u32::eq);
            assert!(!streams.has_recovered());
        }
        feeds[0].put(Ok(1), u32::eq);
        assert!(!streams.has_recovered(), "one is left");
        feeds[1].put(Ok(1), u32::eq);
        assert!(streams.has_recovered());
        assert!(!streams.has_recovered(), "once only");
    }
}

//! The streams of one reload, as its worker sees them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::stream::{Feed, Followed};
use super::{Part, ReloadError};

pub(super) struct Streams {
    all: Vec<(Part, Followed)>,
    /// By feed: the report that was recorded.
    reported: HashMap<u64, u64>,
    /// Whether the last item of a stream is an error.
    is_failing: bool,
    /// Rings when a stream has changed.
    bell: Arc<Notify>,
    /// When it is heard again.
    rests_until: Instant,
    /// When the ages of the values were looked at.
    looked_at: Instant,
    /// Why no peer is admitted.
    pub(super) suspended: Option<Arc<str>>,
}

impl Streams {
    /// Starts the streams, and awaits the first value of each.
    pub(super) async fn start(all: Vec<(Part, Followed)>) -> Result<Self, ReloadError> {
        let bell = Arc::new(Notify::new());
        for (_, followed) in &all {
            followed.feed.notify(&bell);
            followed.feed.start();
        }
        for (part, followed) in &all {
            let first = followed.any().await;
            first.map_err(|error| ReloadError::Load {
                part: part.clone(),
                error: Arc::new(error),
            })?;
        }
        Ok(Self {
            all,
            reported: HashMap::new(),
            is_failing: false,
            bell,
            rests_until: Instant::now(),
            looked_at: Instant::now(),
            suspended: None,
        })
    }

    /// Each feed once.
    pub(super) fn feeds(&self) -> Vec<Arc<Feed>> {
        let mut feeds: Vec<Arc<Feed>> = Vec::new();
        for (_, followed) in &self.all {
            if feeds.iter().all(|feed| feed.id() != followed.feed.id()) {
                feeds.push(Arc::clone(&followed.feed));
            }
        }
        feeds
    }

    /// Waits for a future, or until a stream has changed: then `None`.
    pub(super) async fn or<T>(&self, other: impl Future<Output = T>) -> Option<T> {
        let mut other = pin!(other);
        let mut bell = pin!(async {
            sleep_until(self.rests_until).await;
            self.bell.notified().await;
        });
        poll_fn(|cx| match other.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => bell.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Ignores the bell for as long as the work for it took. It is then heard if it rang.
    pub(super) fn rest(&mut self, took: Duration) {
        let rest = took.clamp(Duration::from_millis(1), Duration::from_secs(1));
        self.rests_until = Instant::now() + rest;
    }

    /// Whether a stream failed, and none does now.
    pub(super) fn has_recovered(&mut self) -> bool {
        let mut reports = self.all.iter().map(|(_, stream)| stream.feed.report());
        let is_failing = reports.any(|report| report.error.is_some());
        std::mem::replace(&mut self.is_failing, is_failing) && !is_failing
    }

    /// When the first value becomes too old, or became so since the last look at the ages.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self
            .all
            .iter()
            .filter_map(|(_, stream)| stream.too_old_at());
        due.filter(|at| *at > self.looked_at).min()
    }

    /// The errors that were not returned before.
    pub(super) fn errors(&mut self) -> Vec<ReloadError> {
        let mut errors = Vec::new();
        for (part, followed) in &self.all {
            let report = followed.feed.report();
            let reported = self.reported.insert(followed.feed.id(), report.number);
            if reported.unwrap_or(0) == report.number {
                continue;
            }
            errors.extend(report.error.map(|error| ReloadError::Load {
                part: part.clone(),
                error: Arc::new(error),
            }));
        }
        errors
    }

    /// The first stream because of which no peer may be admitted. This is the look at the ages.
    pub(super) fn failed_closed(&mut self) -> Option<ReloadError> {
        self.looked_at = Instant::now();
        self.all.iter().find_map(|(part, followed)| {
            Some(ReloadError::Load {
                part: part.clone(),
                error: Arc::new(followed.failed_closed()?),
            })
        })
    }
}

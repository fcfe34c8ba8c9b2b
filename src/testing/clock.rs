use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until told otherwise.
///
/// Clones share the time, so a test keeps one and gives another to what it tests.
///
/// ```
/// use countersign::testing::FixedClock;
/// use std::time::Duration;
///
/// let clock = FixedClock::now();
/// let before = clock.time();
/// clock.clone().advance(Duration::from_secs(60));
/// assert_eq!(clock.time().as_secs(), before.as_secs() + 60);
/// ```
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicU64>);

impl FixedClock {
    /// A clock that shows `time`.
    pub fn at(time: UnixTime) -> Self {
        Self(Arc::new(AtomicU64::new(time.as_secs())))
    }

    /// A clock that shows the time at which it was made.
    pub fn now() -> Self {
        Self::at(UnixTime::now())
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, time: UnixTime) {
        self.0.store(time.as_secs(), Ordering::SeqCst);
    }

    /// Moves the time forward by whole seconds: a [`UnixTime`] knows no smaller unit. It stops at the
    /// end of time.
    pub fn advance(&self, by: Duration) {
        let advanced = |time: u64| Some(time.saturating_add(by.as_secs()));
        // It always gives a time, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, advanced);
    }

    /// The time shown.
    pub fn time(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }
}

impl TimeProvider for FixedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn stands_still_until_told() {
        let clock = FixedClock::at(secs(100));
        let provider: Arc<dyn TimeProvider> = Arc::new(clock.clone());
        assert_eq!(provider.current_time(), Some(secs(100)));
        clock.advance(Duration::from_millis(5_999));
        assert_eq!(provider.current_time(), Some(secs(105)));
        clock.set(secs(7));
        assert_eq!(provider.current_time(), Some(secs(7)));
        assert_eq!(clock.time(), secs(7));
    }

    #[test]
    fn now_reads_the_system_clock() {
        let before = UnixTime::now();
        let clock = FixedClock::now();
        let shown = clock.time();
        assert!(before <= shown && shown <= UnixTime::now());
    }
}

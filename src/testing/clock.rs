use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock with a fixed time that a test sets.
///
/// Clones share the time: a test keeps one clone and passes another to the code under test.
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
    /// A clock with this time.
    pub fn at(time: UnixTime) -> Self {
        Self(Arc::new(AtomicU64::new(time.as_secs())))
    }

    /// A clock with the current time of the system.
    pub fn now() -> Self {
        Self::at(UnixTime::now())
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, time: UnixTime) {
        self.0.store(time.as_secs(), Ordering::SeqCst);
    }

    /// Advances the time by whole seconds, the unit of [`UnixTime`]. It stops at the maximum.
    pub fn advance(&self, by: Duration) {
        let advanced = |time: u64| Some(time.saturating_add(by.as_secs()));
        // The closure always returns a time, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, advanced);
    }

    /// The time of the clock.
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
    fn the_time_is_fixed_until_it_is_set() {
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

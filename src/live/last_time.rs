//! The time for open connections while the clock returns none.
//!
//! New peers are rejected without a time. Closing all open connections because the clock fails once
//! would be an outage, and keeping them without a time would mean that no certificate ever expires. So
//! the time continues from the last known one, by the runtime's own clock, for a limited period.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;

/// How long the clock may return no time before open connections drain.
const WITHOUT_CLOCK: Duration = Duration::from_secs(60);

/// The last known time, for all connections of one endpoint.
#[derive(Debug, Default)]
pub(super) struct LastTime(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// With the moment by the timers' clock.
    last: Option<(UnixTime, Duration)>,
    /// Since when, by the timers' clock, there has been no time.
    missing_since: Option<Duration>,
}

/// The time, as far as it is known.
pub(super) struct Now {
    /// From the clock, or the last known time plus the time that has passed since.
    pub(super) time: Option<UnixTime>,
    /// How long the clock has returned no time, if that is too long.
    pub(super) missing_too_long: Option<Duration>,
    /// The clock is ahead of the last known time plus the time that has passed since.
    pub(super) has_jumped: bool,
}

impl LastTime {
    /// Notes that the clock returned `now` at the moment `clock` of the timers' clock.
    pub(super) fn passes(&self, now: Option<UnixTime>, clock: Duration) -> Now {
        let mut state = self.state();
        let expected = state.last.map(|(last, at)| {
            let gone_by = clock.saturating_sub(at).as_secs();
            let seconds = last.as_secs().saturating_add(gone_by);
            UnixTime::since_unix_epoch(Duration::from_secs(seconds))
        });
        if let Some(now) = now {
            state.last = Some((now, clock));
            state.missing_since = None;
            return Now {
                time: Some(now),
                missing_too_long: None,
                // Both are in whole seconds.
                has_jumped: expected
                    .is_some_and(|it| now.as_secs() > it.as_secs().saturating_add(1)),
            };
        }
        let since = *state.missing_since.get_or_insert(clock);
        let missing = clock.saturating_sub(since);
        Now {
            time: expected,
            missing_too_long: (missing >= WITHOUT_CLOCK).then_some(missing),
            has_jumped: false,
        }
    }

    /// When this second begins, by the timers' clock; less than a second late, and never early. A second that
    /// has begun is the moment of the last known time. `None`: no time was known yet.
    pub(super) fn moment_of(&self, second: u64) -> Option<Duration> {
        let (last, at) = self.state().last?;
        let left = Duration::from_secs(second.saturating_sub(last.as_secs()));
        Some(at.saturating_add(left))
    }

    /// Whether the clock returned no time when it was last read.
    pub(super) fn is_missing(&self) -> bool {
        self.state().missing_since.is_some()
    }

    pub(super) fn last(&self) -> Option<UnixTime> {
        self.state().last.map(|(last, _)| last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_without_a_clock_and_for_a_minute_only() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let secs = Duration::from_secs;
        let time = LastTime::default();
        let missing = |now: &Now| now.missing_too_long.map(|missing| missing.as_secs());
        assert!(time.passes(None, secs(0)).time.is_none(), "none was known");
        assert_eq!(time.passes(Some(at(1000)), secs(10)).time, Some(at(1000)));
        assert_eq!(time.last(), Some(at(1000)));
        let now = time.passes(None, secs(11));
        assert_eq!((now.time, missing(&now)), (Some(at(1001)), None));
        let now = time.passes(None, secs(70));
        assert_eq!((now.time, missing(&now)), (Some(at(1060)), None));
        // A clock that works again resets the limit.
        assert_eq!(missing(&time.passes(Some(at(1061)), secs(71))), None);
        assert_eq!(missing(&time.passes(None, secs(72))), None);
        let now = time.passes(None, secs(132));
        assert_eq!((now.time, missing(&now)), (Some(at(1122)), Some(60)));
        let now = time.passes(Some(at(u64::MAX)), secs(133));
        assert_eq!(now.time, Some(at(u64::MAX)));
        assert_eq!(time.passes(None, Duration::MAX).time, Some(at(u64::MAX)));
    }

    #[test]
    fn a_clock_that_is_set_forward_has_jumped() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let time = LastTime::default();
        let jumps = |now, clock| {
            let now = time.passes(Some(at(now)), Duration::from_millis(clock));
            now.has_jumped
        };
        assert!(time.moment_of(1000).is_none());
        assert!(!jumps(1000, 500), "no time was known");
        assert!(!jumps(1001, 900), "a second can begin at any moment");
        assert!(!jumps(1031, 30_900));
        assert!(jumps(1034, 31_900));
        assert!(!jumps(900, 32_900), "it was set back");
        let moment = |second| time.moment_of(second).map(|it| it.as_millis());
        assert_eq!(moment(910), Some(42_900));
        assert_eq!(moment(800), Some(32_900));
        assert_eq!(
            time.moment_of(u64::MAX).map(|it| it.as_secs()),
            Some(u64::MAX - 868)
        );
    }
}

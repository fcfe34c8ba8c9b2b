//! The rate limit of each identity.

use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::config::Rate;
use crate::options::Identity;

pub(super) struct RateLimits {
    /// Only identities of allowed certificates have an entry.
    limiter: Option<DefaultKeyedRateLimiter<Identity>>,
    clock: DefaultClock,
}

impl RateLimits {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        let quota = |rate: Rate| Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        Self {
            limiter: rate.map(|rate| DefaultKeyedRateLimiter::keyed(quota(rate))),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The seconds to wait, at least one.
    pub(super) fn check(&self, identity: &Identity) -> Result<(), u64> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter.check_key(identity).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            wait.saturating_add(Duration::from_nanos(999_999_999))
                .as_secs()
                .max(1)
        })
    }

    /// Removes the entries of idle identities.
    pub(super) fn tidy(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

//! Limits the records of unauthenticated refusals.
//!
//! Until a peer has proven its key, a refusal costs it nothing. If each refusal were recorded, an
//! unauthenticated peer could fill disks, and push the records of admitted peers out of a rotated file.
//! Refusals before the proof of a key therefore have a rate per outcome and reason. Refusals above the
//! rate are counted, and one summary reports their number. Reasons are codes of this crate, so that a peer
//! cannot invent new ones: the state is a few numbers per reason. Events after the proof of a key
//! (admissions, denials, changes of open connections) are always recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Action;

/// The interval of summaries.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The size of a burst, as seconds of the rate.
const BURST: u32 = 10;

/// Counts refusals by outcome and reason. Times are measured from a start that the caller chooses, and
/// are monotonic.
#[derive(Debug)]
pub(super) struct Sampling {
    /// `None` records every refusal.
    per_second: Option<u32>,
    reasons: Mutex<Vec<Reason>>,
    /// Refusals were left out, and no summary has reported them yet.
    is_pending: AtomicBool,
}

#[derive(Debug)]
struct Reason {
    action: Action,
    reason: Option<&'static str>,
    /// The time at which the rate is met again without further refusals (generic cell rate algorithm).
    met_at: Duration,
    left_out: u64,
    /// The time of the first refusal that no summary has reported yet.
    since: Duration,
}

/// Refusals that were not recorded individually.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) action: Action,
    pub(super) reason: Option<&'static str>,
    pub(super) count: u64,
    /// The time that they took.
    pub(super) during: Duration,
}

impl Sampling {
    pub(super) const fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            reasons: Mutex::new(Vec::new()),
            is_pending: AtomicBool::new(false),
        }
    }

    /// Whether to record a refusal individually. If not, it is counted.
    pub(super) fn records(
        &self,
        action: Action,
        reason: Option<&'static str>,
        now: Duration,
    ) -> bool {
        let Some(per_second) = self.per_second else {
            return true;
        };
        let mut reasons = self.reasons();
        let of = |it: &Reason| it.action == action && it.reason == reason;
        let known = reasons.iter().position(of).unwrap_or_else(|| {
            reasons.push(Reason {
                action,
                reason,
                met_at: Duration::ZERO,
                left_out: 0,
                since: Duration::ZERO,
            });
            reasons.len() - 1
        });
        let counted = &mut reasons[known];
        if counted.takes(per_second, now) {
            return true;
        }
        if counted.left_out == 0 {
            counted.since = now;
        }
        counted.left_out = counted.left_out.saturating_add(1);
        self.is_pending.store(true, Ordering::SeqCst);
        false
    }

    /// Whether a summary is due, now or later.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::SeqCst)
    }

    /// Takes the refusals that were left out for [`INTERVAL`] or longer; with `all`, all of them. The
    /// caller records them, or [puts them back](Self::put_back).
    pub(super) fn take(&self, now: Duration, all: bool) -> Vec<LeftOut> {
        let mut reasons = self.reasons();
        let mut taken = Vec::new();
        for it in reasons.iter_mut().filter(|it| it.left_out > 0) {
            let during = now.saturating_sub(it.since);
            if all || during >= INTERVAL {
                taken.push(LeftOut {
                    action: it.action,
                    reason: it.reason,
                    count: std::mem::take(&mut it.left_out),
                    during,
                });
            }
        }
        let is_pending = reasons.iter().any(|it| it.left_out > 0);
        self.is_pending.store(is_pending, Ordering::SeqCst);
        taken
    }

    /// Returns refusals whose summary could not be recorded. The next summary reports them.
    pub(super) fn put_back(&self, left_out: &LeftOut, now: Duration) {
        let mut reasons = self.reasons();
        let of = |it: &&mut Reason| it.action == left_out.action && it.reason == left_out.reason;
        if let Some(it) = reasons.iter_mut().find(of) {
            // A new interval begins, so that a failing sink is not called for each event.
            it.since = now;
            it.left_out = it.left_out.saturating_add(left_out.count);
            self.is_pending.store(true, Ordering::SeqCst);
        }
    }

    fn reasons(&self) -> MutexGuard<'_, Vec<Reason>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reason {
    fn takes(&mut self, per_second: u32, now: Duration) -> bool {
        let Some(every) = Duration::from_secs(1).checked_div(per_second) else {
            return false; // 0 per second
        };
        let ahead = self.met_at.saturating_sub(now);
        // One more is recorded if it is at most a burst ahead of the rate.
        if ahead + every > Duration::from_secs(u64::from(BURST)) {
            return false;
        }
        self.met_at = self.met_at.max(now) + every;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: Option<&str> = Some("unknown_issuer");

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The number of recorded refusals among `of`.
    fn recorded(sampling: &Sampling, of: usize, now: Duration) -> usize {
        let records = |_: &usize| sampling.records(Action::ChainRefused, REASON, now);
        (0..of).filter(records).count()
    }

    #[test]
    fn a_burst_and_the_rate_are_recorded_and_other_refusals_are_counted() {
        let sampling = Sampling::new(Some(20));
        assert_eq!(
            recorded(&sampling, 1000, at(0)),
            200,
            "ten seconds of the rate"
        );
        assert!(sampling.is_pending());
        assert_eq!(
            recorded(&sampling, 100, at(1000)),
            20,
            "one second of the rate"
        );
        let left_out = LeftOut {
            action: Action::ChainRefused,
            reason: REASON,
            count: 880,
            during: at(1000),
        };
        assert_eq!(sampling.take(at(1000), false), [left_out]);
        assert!(!sampling.is_pending());
        assert_eq!(sampling.take(at(1000), true), [], "it is reported once");
        // After a pause there may be one burst again.
        assert_eq!(recorded(&sampling, 1000, at(3_600_000)), 200);
    }

    #[test]
    fn each_reason_and_outcome_has_its_own_rate() {
        let sampling = Sampling::new(Some(1));
        assert_eq!(recorded(&sampling, 50, at(0)), 10);
        assert!(sampling.records(Action::ChainRefused, Some("expired"), at(0)));
        assert!(sampling.records(Action::HandshakeFailed, REASON, at(0)));
        assert!(sampling.records(Action::Abandoned, None, at(0)));
        assert!(!sampling.records(Action::ChainRefused, REASON, at(0)));
    }

    #[test]
    fn none_records_all_refusals_and_zero_counts_all() {
        assert_eq!(recorded(&Sampling::new(None), 5000, at(0)), 5000);
        assert_eq!(recorded(&Sampling::new(Some(u32::MAX)), 5000, at(0)), 5000);
        let none = Sampling::new(Some(0));
        assert_eq!(recorded(&none, 5000, at(0)), 0);
        assert_eq!(none.take(at(0), true)[0].count, 5000);
    }

    #[test]
    fn a_summary_waits_for_its_interval_unless_all_are_requested() {
        let sampling = Sampling::new(Some(0));
        assert!(!sampling.records(Action::TimedOut, REASON, at(500)));
        assert_eq!(sampling.take(at(1499), false), []);
        assert!(sampling.is_pending(), "the summary is due later");
        let all = sampling.take(at(1499), true);
        assert_eq!((all[0].count, all[0].during), (1, at(999)));
        // A summary that could not be recorded is part of the next one.
        sampling.put_back(&all[0], at(1500));
        assert!(!sampling.records(Action::TimedOut, REASON, at(1600)));
        assert_eq!(sampling.take(at(2500), false)[0].count, 2);
    }
}

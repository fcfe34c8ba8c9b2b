//! Counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Action;
use crate::side::Side;

/// The counters and the current state of an acceptor or a connector, from
/// [`Control::stats`](crate::Control::stats).
///
/// The outcomes (`admitted` to `abandoned`) are those of [`Action`] and count each attempt once. The
/// values are read one after the other while peers connect, so sums may differ by attempts in between.
///
/// ```
/// use countersign::Acceptor;
///
/// fn health<I: Send + Sync + 'static>(acceptor: &Acceptor<I>) -> String {
///     let stats = acceptor.control().stats();
///     let refused = stats.attempts() - stats.admitted;
///     format!("{} open, {} admitted, {refused} refused", stats.open, stats.admitted)
/// }
/// ```
#[doc(alias = "counters")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Attempts in progress.
    pub in_flight: u64,
    /// Peers that were admitted.
    pub admitted: u64,
    /// Admitted peers that resumed a session.
    pub resumed: u64,
    /// Peers that the policy or the deny list denied.
    pub denied: u64,
    /// Peers whose certificates do not identify them unambiguously.
    pub not_identified: u64,
    /// Peers whose chains were refused.
    pub chain_refused: u64,
    /// Handshakes that failed for another reason.
    pub handshake_failed: u64,
    /// Attempts that did not finish in time.
    pub timed_out: u64,
    /// Connections that a listener closed during their handshakes.
    pub shed: u64,
    /// Attempts that the application dropped.
    pub abandoned: u64,
    /// Open connections: streams that are not dropped yet.
    pub open: u64,
    /// Open connections that were cut.
    pub cut: u64,
    /// Denied requests over admitted connections.
    pub requests_denied: u64,
    /// Chains whose signatures were verified.
    pub chains_verified: u64,
    /// Chains whose verification was cached.
    pub chains_remembered: u64,
    /// The generation of trust in force.
    pub generation: u64,
    /// Audit events that could not be recorded.
    pub audit_dropped: u64,
    /// Refusals that were counted and not recorded individually, because there were more of their reason
    /// than the builder's `audit_refusals_per_second`.
    pub audit_suppressed: u64,
    /// The remaining validity of our certificate that expires first; zero if it has expired. `None` if
    /// the clock has no time.
    pub own_certificate_left: Option<Duration>,
    /// The age of the oldest CRL in force, from its thisUpdate. `None` without CRLs, or if the clock has
    /// no time.
    pub crl_age: Option<Duration>,
}

impl Stats {
    /// The number of attempts that have an outcome.
    pub const fn attempts(&self) -> u64 {
        self.admitted
            + self.denied
            + self.not_identified
            + self.chain_refused
            + self.handshake_failed
            + self.timed_out
            + self.shed
            + self.abandoned
    }
}

/// The counters behind [`Stats`].
pub(crate) struct Counters {
    by_action: [AtomicU64; Action::COUNT],
    in_flight: AtomicU64,
    resumed: AtomicU64,
    open: AtomicU64,
    chains_verified: AtomicU64,
    chains_remembered: AtomicU64,
    dropped: AtomicU64,
    suppressed: AtomicU64,
    #[cfg(feature = "metrics")]
    meter: super::metrics::Meter,
}

impl Counters {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(super) fn new(side: Side, name: Option<Arc<str>>) -> Self {
        Self {
            by_action: [const { AtomicU64::new(0) }; Action::COUNT],
            in_flight: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            open: AtomicU64::new(0),
            chains_verified: AtomicU64::new(0),
            chains_remembered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            meter: super::metrics::Meter::new(side, name),
        }
    }

    #[cfg(feature = "metrics")]
    pub(crate) const fn meter(&self) -> &super::metrics::Meter {
        &self.meter
    }

    /// Records the time that a policy took to decide.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, clippy::unused_self)
    )]
    pub(crate) fn policy(&self, took: Duration) {
        #[cfg(feature = "metrics")]
        self.meter.policy(took);
    }

    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.began();
    }

    /// Counts the outcome of an attempt.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(super) fn is_over(&self, action: Action, duration: Duration, resumed: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if action == Action::Admitted && resumed {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(feature = "metrics")]
        self.meter.is_over(action, duration, resumed);
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(super) fn happened(&self, action: Action, reason: Option<&'static str>) {
        self.by_action[action.index()].fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.happened(action, reason);
    }

    pub(super) fn not_recorded(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        super::metrics::dropped(1);
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_variables))]
    pub(super) fn suppressed(&self, reason: Option<&'static str>) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.suppressed(reason);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts a chain that was verified, or whose verification was cached.
    pub(crate) fn chain(&self, remembered: bool) {
        let count = if remembered {
            &self.chains_remembered
        } else {
            &self.chains_verified
        };
        count.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.chain(remembered);
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.opened();
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.closed();
    }

    /// The counted values. Other fields have their defaults.
    pub(crate) fn read(&self) -> Stats {
        let of = |action: Action| self.by_action[action.index()].load(Ordering::Relaxed);
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            in_flight: load(&self.in_flight),
            admitted: of(Action::Admitted),
            resumed: load(&self.resumed),
            denied: of(Action::Denied),
            not_identified: of(Action::NotIdentified),
            chain_refused: of(Action::ChainRefused),
            handshake_failed: of(Action::HandshakeFailed),
            timed_out: of(Action::TimedOut),
            shed: of(Action::Shed),
            abandoned: of(Action::Abandoned),
            open: load(&self.open),
            cut: of(Action::Cut),
            requests_denied: of(Action::RequestDenied),
            chains_verified: load(&self.chains_verified),
            chains_remembered: load(&self.chains_remembered),
            audit_suppressed: load(&self.suppressed),
            ..Stats::default()
        }
    }
}

//! How often what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Action, Side};

/// What an acceptor or a connector has done so far, and how things stand; from `Acceptor::stats`
/// and `Connector::stats`.
///
/// The outcomes (`admitted` to `abandoned`) are told apart as in [`Action`] and count each attempt
/// once. The figures are read one after the other while others connect, so that sums may be off by
/// those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Attempts that are under way.
    pub in_flight: u64,
    /// Peers that were admitted.
    pub admitted: u64,
    /// Of these, those that resumed a session.
    pub resumed: u64,
    /// Peers that the policy or the deny list refused.
    pub denied: u64,
    /// Peers whose certificates do not say, in one way only, who they are.
    pub not_identified: u64,
    /// Peers whose chains were refused.
    pub chain_refused: u64,
    /// Handshakes that failed otherwise.
    pub handshake_failed: u64,
    /// Attempts that took too long.
    pub timed_out: u64,
    /// Connections that a listener closed before their handshakes were over.
    pub shed: u64,
    /// Attempts that were given up.
    pub abandoned: u64,
    /// Connections that are open: streams that live.
    pub open: u64,
    /// Open connections that were cut.
    pub cut: u64,
    /// Requests that were denied over admitted connections.
    pub requests_denied: u64,
    /// Chains that were verified, signature by signature.
    pub chains_verified: u64,
    /// Chains whose verification was remembered.
    pub chains_remembered: u64,
    /// The generation of trust in force.
    pub generation: u64,
    /// Audit events that could not be recorded.
    pub audit_dropped: u64,
    /// Refusals that were counted and not recorded singly, because there were more of their reason than
    /// the builder's `audit_refusals_per_second`.
    pub audit_suppressed: u64,
    /// How long the first of our own certificates to expire is still valid: zero when it has
    /// expired. `None` when the clock gives no time.
    pub own_certificate_left: Option<Duration>,
    /// How long ago the oldest CRL in force was made (thisUpdate). `None` without CRLs, or when the
    /// clock gives no time.
    pub crl_age: Option<Duration>,
}

impl Stats {
    /// How many attempts have had their outcome.
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
pub(crate) struct Counts {
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

impl Counts {
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

    /// How long a policy took to decide.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, clippy::unused_self)
    )]
    pub(crate) fn policy(&self, took: Duration) {
        #[cfg(feature = "metrics")]
        self.meter.policy(took);
    }

    pub(super) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meter.began();
    }

    /// An attempt has its outcome.
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

    /// A chain was verified, or its verification remembered.
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

    /// What is counted here; the rest is at its default.
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

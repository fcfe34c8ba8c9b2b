//! Figures for the `metrics` facade (feature `metrics`).
//!
//! They are given to whatever recorder the program has installed, for example that of
//! `metrics-exporter-prometheus`; without one they cost a few nanoseconds. Install it **before** acceptors
//! and connectors are built, or it misses what is told once (generation, certificates, CRLs), and counts
//! from the middle. Call [`describe`] once after installing it, so that it knows their units and what
//! they mean.
//!
//! Every figure but the last has the labels `side` (`server` or `client`) and `name`: what the
//! builder's `named` was given, or empty. Two acceptors of one name share their figures: give each its
//! own. [`ALL`] lists them. No label's value comes from a peer: reasons and outcomes are codes of this
//! crate.
//!
//! Certificates and CRLs are given by the *times* that stand in them, so that the figures stay
//! right though nothing happens: `(countersign_own_certificate_not_after_seconds - time()) / 86400`
//! is days to expiry, `time() - countersign_crl_this_update_seconds` a CRL's age.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, Unit, counter, gauge, histogram};
use rustls_pki_types::UnixTime;

use super::{Action, Outcome, Side};

/// A figure: its name, its kind, its labels beside `side` and `name`, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The labels that it has beside `side` and `name`.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// How a figure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It spreads over buckets or quantiles; in seconds.
    Histogram,
}

const HANDSHAKES: &str = "countersign_handshakes_total";
const HANDSHAKE_DURATION: &str = "countersign_handshake_duration_seconds";
const IN_FLIGHT: &str = "countersign_handshakes_in_flight";
const RESUMPTIONS: &str = "countersign_resumptions_total";
const CONNECTIONS: &str = "countersign_connections";
const CUT: &str = "countersign_connections_cut_total";
const REQUESTS_DENIED: &str = "countersign_requests_denied_total";
const CHAINS: &str = "countersign_chains_total";
const POLICY_DURATION: &str = "countersign_policy_duration_seconds";
const RELOADS: &str = "countersign_reloads_total";
const GENERATION: &str = "countersign_generation";
const NOT_AFTER: &str = "countersign_own_certificate_not_after_seconds";
const THIS_UPDATE: &str = "countersign_crl_this_update_seconds";
const SUPPRESSED: &str = "countersign_audit_suppressed_total";
const DROPPED: &str = "countersign_audit_dropped_total";

/// All figures.
pub const ALL: &[Metric] = &[
    Metric {
        name: HANDSHAKES,
        kind: Kind::Counter,
        labels: &["outcome", "reason"],
        help: "attempts to connect that have their outcome",
    },
    Metric {
        name: HANDSHAKE_DURATION,
        kind: Kind::Histogram,
        labels: &["outcome"],
        help: "from the start of an attempt to its outcome, the policy's decision included",
    },
    Metric {
        name: IN_FLIGHT,
        kind: Kind::Gauge,
        labels: &[],
        help: "attempts that are under way",
    },
    Metric {
        name: RESUMPTIONS,
        kind: Kind::Counter,
        labels: &[],
        help: "admitted peers that resumed a session",
    },
    Metric {
        name: CONNECTIONS,
        kind: Kind::Gauge,
        labels: &[],
        help: "connections that are open",
    },
    Metric {
        name: CUT,
        kind: Kind::Counter,
        labels: &["reason"],
        help: "open connections that were cut",
    },
    Metric {
        name: REQUESTS_DENIED,
        kind: Kind::Counter,
        labels: &[],
        help: "requests that were denied over admitted connections",
    },
    Metric {
        name: CHAINS,
        kind: Kind::Counter,
        labels: &["result"],
        help: "peers' chains that were accepted, by whether they were verified or remembered",
    },
    Metric {
        name: POLICY_DURATION,
        kind: Kind::Histogram,
        labels: &[],
        help: "how long the policy took to decide about an attempt",
    },
    Metric {
        name: RELOADS,
        kind: Kind::Counter,
        labels: &["outcome", "reason"],
        help: "reloads that were applied or refused",
    },
    Metric {
        name: GENERATION,
        kind: Kind::Gauge,
        labels: &[],
        help: "the generation of trust in force",
    },
    Metric {
        name: NOT_AFTER,
        kind: Kind::Gauge,
        labels: &[],
        help: "when the first of our own certificates expires, in seconds since 1970",
    },
    Metric {
        name: THIS_UPDATE,
        kind: Kind::Gauge,
        labels: &[],
        help: "when the oldest CRL in force was made, in seconds since 1970",
    },
    Metric {
        name: SUPPRESSED,
        kind: Kind::Counter,
        labels: &["reason"],
        help: "refusals of peers without a proven key that the audit trail has counted and not recorded singly",
    },
    Metric {
        name: DROPPED,
        kind: Kind::Counter,
        labels: &[],
        help: "audit events that could not be recorded, of all acceptors and connectors",
    },
];

/// Tells the recorder of the program what the figures mean.
pub fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => {
                metrics::describe_counter!(metric.name, Unit::Count, metric.help);
            }
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help);
            }
        }
    }
}

/// Gives one acceptor's or connector's figures to the recorder.
pub(crate) struct Meter {
    labels: [Label; 2],
}

impl Meter {
    pub(super) fn new(side: Side, name: Option<Arc<str>>) -> Self {
        // There from the start, so that the first loss is a rise, and no figure that was not there.
        counter!(DROPPED).increment(0);
        Self {
            labels: [
                Label::new("side", side.as_str()),
                Label::new("name", name.unwrap_or_default()),
            ],
        }
    }

    fn with<const N: usize>(&self, more: [(&'static str, &'static str); N]) -> Vec<Label> {
        let more = more.map(|(key, value)| Label::new(key, value));
        self.labels.iter().cloned().chain(more).collect()
    }

    pub(super) fn began(&self) {
        gauge!(IN_FLIGHT, self.with([])).increment(1.0);
    }

    pub(super) fn is_over(&self, action: Action, duration: Duration, resumed: bool) {
        gauge!(IN_FLIGHT, self.with([])).decrement(1.0);
        let labels = self.with([("outcome", action.as_str())]);
        histogram!(HANDSHAKE_DURATION, labels).record(duration.as_secs_f64());
        if action == Action::Admitted && resumed {
            counter!(RESUMPTIONS, self.with([])).increment(1);
        }
    }

    pub(super) fn happened(&self, action: Action, reason: Option<&'static str>) {
        let reason = ("reason", reason.unwrap_or_default());
        match action {
            action if action.ends_attempt() => {
                let labels = self.with([("outcome", action.as_str()), reason]);
                counter!(HANDSHAKES, labels).increment(1);
            }
            Action::Cut => counter!(CUT, self.with([reason])).increment(1),
            Action::RequestDenied => counter!(REQUESTS_DENIED, self.with([])).increment(1),
            Action::ReloadApplied | Action::ReloadRefused => {
                let outcome = action.outcome().map_or("", Outcome::as_str);
                counter!(RELOADS, self.with([("outcome", outcome), reason])).increment(1);
            }
            _ => {}
        }
    }

    pub(super) fn suppressed(&self, reason: Option<&'static str>) {
        let reason = ("reason", reason.unwrap_or_default());
        counter!(SUPPRESSED, self.with([reason])).increment(1);
    }

    pub(super) fn chain(&self, remembered: bool) {
        let result = if remembered { "remembered" } else { "verified" };
        counter!(CHAINS, self.with([("result", result)])).increment(1);
    }

    #[cfg(feature = "tokio")]
    pub(super) fn opened(&self) {
        gauge!(CONNECTIONS, self.with([])).increment(1.0);
    }

    #[cfg(feature = "tokio")]
    pub(super) fn closed(&self) {
        gauge!(CONNECTIONS, self.with([])).decrement(1.0);
    }

    pub(crate) fn policy(&self, took: Duration) {
        histogram!(POLICY_DURATION, self.with([])).record(took.as_secs_f64());
    }

    /// What is in force now.
    pub(crate) fn in_force(
        &self,
        generation: u64,
        own_not_after: Option<UnixTime>,
        crl_this_update: Option<UnixTime>,
    ) {
        // Exact until the year 285 million.
        let seconds = |time: UnixTime| time.as_secs() as f64;
        gauge!(GENERATION, self.with([])).set(generation as f64);
        if let Some(not_after) = own_not_after {
            gauge!(NOT_AFTER, self.with([])).set(seconds(not_after));
        }
        if let Some(this_update) = crl_this_update {
            gauge!(THIS_UPDATE, self.with([])).set(seconds(this_update));
        }
    }
}

/// Events could not be recorded. A queue does not know whose they were.
pub(super) fn dropped(events: u64) {
    counter!(DROPPED).increment(events);
}

//! Metrics for the `metrics` facade (feature `metrics`).
//!
//! They go to the recorder that the program has installed, for example that of
//! `metrics-exporter-prometheus`. Without a recorder they cost a few nanoseconds. Install the recorder
//! **before** building acceptors and connectors: later, it misses values that are set once (generation,
//! certificates, CRLs), and its counters do not start at zero. Call [`describe`] once after installing the
//! recorder, so that it knows units and meanings.
//!
//! Every metric except the last has the labels `side` (`server` or `client`) and `name`, which is the
//! builder's `named` or empty. Two acceptors with the same name share their metrics, so give each its own
//! name. [`ALL`] lists the metrics. No label value comes from a peer: reasons and outcomes are codes of
//! this crate.
//!
//! Certificates and CRLs are reported by the *times* in them, so that the values stay correct without
//! events: `(countersign_own_certificate_not_after_seconds - time()) / 86400` is the number of days to
//! expiry, `time() - countersign_crl_this_update_seconds` is the age of a CRL.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, Unit, counter, gauge, histogram};
use rustls_pki_types::UnixTime;

use super::{Action, Outcome};
use crate::side::Side;

/// The description of a metric: name, kind, labels beside `side` and `name`, and meaning.
///
/// ```
/// use countersign::audit::metrics::{ALL, Kind};
///
/// for metric in ALL.iter().filter(|metric| metric.kind == Kind::Counter) {
///     println!("{}: {}", metric.name, metric.help);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The labels beside `side` and `name`.
    pub labels: &'static [&'static str],
    /// The meaning.
    pub help: &'static str,
}

/// The kind of a metric.
///
/// ```
/// use countersign::audit::metrics::{ALL, Kind};
///
/// assert!(ALL.iter().any(|metric| metric.kind == Kind::Histogram));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It only increases.
    Counter,
    /// It increases and decreases.
    Gauge,
    /// It has buckets or quantiles, in seconds.
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

/// All metrics.
#[doc(alias = "prometheus")]
#[doc(alias = "opentelemetry")]
pub const ALL: &[Metric] = &[
    Metric {
        name: HANDSHAKES,
        kind: Kind::Counter,
        labels: &["outcome", "reason"],
        help: "attempts to connect, by their outcome",
    },
    Metric {
        name: HANDSHAKE_DURATION,
        kind: Kind::Histogram,
        labels: &["outcome"],
        help: "time from the start of an attempt to its outcome, including the decision of the policy",
    },
    Metric {
        name: IN_FLIGHT,
        kind: Kind::Gauge,
        labels: &[],
        help: "attempts in progress",
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
        help: "open connections",
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
        help: "denied requests over admitted connections",
    },
    Metric {
        name: CHAINS,
        kind: Kind::Counter,
        labels: &["result"],
        help: "accepted chains of peers, verified or remembered",
    },
    Metric {
        name: POLICY_DURATION,
        kind: Kind::Histogram,
        labels: &[],
        help: "time of the policy to decide about an attempt",
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
        help: "expiry of our certificate that expires first, in seconds since 1970",
    },
    Metric {
        name: THIS_UPDATE,
        kind: Kind::Gauge,
        labels: &[],
        help: "thisUpdate of the oldest CRL in force, in seconds since 1970",
    },
    Metric {
        name: SUPPRESSED,
        kind: Kind::Counter,
        labels: &["reason"],
        help: "refusals of peers without a proven key that the audit trail counted and did not record individually",
    },
    Metric {
        name: DROPPED,
        kind: Kind::Counter,
        labels: &[],
        help: "audit events that could not be recorded, of all acceptors and connectors",
    },
];

/// Describes the metrics to the recorder of the program.
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

/// The metrics of one acceptor or connector.
pub(crate) struct Meter {
    labels: [Label; 2],
}

impl Meter {
    pub(super) fn new(side: Side, name: Option<Arc<str>>) -> Self {
        // The counter exists from the start, so that the first loss is an increase and not a new series.
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

    /// Sets the current state.
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

/// Counts events that could not be recorded. A queue does not know their acceptor or connector.
pub(super) fn dropped(events: u64) {
    counter!(DROPPED).increment(events);
}

//! What a run must have had, so that a run in which nothing happened fails.

use std::time::Duration;

use crate::model::Model;

/// By the names that the model counts.
const INGREDIENTS: &[&str] = &[
    // The changes.
    "change: policy",
    "change: async policy",
    "changes under an async policy",
    "change: deny",
    "change: no longer deny",
    "change: CRLs",
    "change: trust",
    "change: outage",
    "change: outage is over",
    "bad trust",
    "rotations of the server",
    "bad reloads",
    "bad updates",
    "clock without a time",
    "clock ahead",
    "clock behind",
    "expiry of open connections looked at",
    "sink Fails",
    "sink Panics",
    // The clients.
    "http/1.1: admitted",
    "h2: admitted",
    "grpc: admitted",
    "quic: admitted",
    "raw: admitted",
    "served",
    "not served",
    "resumed",
    "alerts seen",
    "abandoned by clients",
    "rotations of clients",
    // Peers that are none.
    "garbage: tls",
    "datagrams of garbage",
    "anonymous: no_certificate",
    "stranger: unknown_issuer",
    "stall: closed",
    "stall: timed_out",
    // Why clients are refused.
    "denied: denied",
    "denied: deny_listed",
    "denied: suspended",
    "denied: not_audited",
    "denied: no_clock",
    "chain_refused: unknown_issuer",
    "chain_refused: revoked",
    "chain_refused: expired",
    "chain_refused: not_yet_valid",
    "chain_refused: crl_expired",
    // What happens to open connections.
    "closed: closed",
    "draining: expired",
    "cut: denied",
    "cut: deny_listed",
    "cut: revoked",
    "cut: unknown_issuer",
    "cut: suspended",
    "cut: ended_by_application",
    // What the reload records.
    "reload_applied",
    "reload_refused",
    "reload_recovered",
];

/// How often a run of this duration must have had each of them. The first run, which is short, need not.
pub(crate) fn minimum(duration: Duration) -> u64 {
    match duration.as_secs() {
        0..10 => 0,
        seconds => 1 + seconds / 60,
    }
}

/// What the run has had less often.
pub(crate) fn missing(model: &Model, minimum: u64) -> Vec<&'static str> {
    let mut ingredients = INGREDIENTS.to_vec();
    ingredients.retain(|it| model.how_often(it) < minimum);
    ingredients
}

//! Counts and metrics, held against the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign::audit::{Action, AuditEvent, Stats};

type Counts = BTreeMap<(String, String), u64>;

/// The stats and what a scrape of the metrics shows say what the events say.
pub(crate) fn agree(stats: &Stats, scraped: &str, events: &[Arc<AuditEvent>], name: &str) {
    let mut counted = Counts::new();
    let outcomes = events.iter().filter(|event| event.action.ends_attempt());
    for event in outcomes.clone() {
        let reason = event.reason.unwrap_or_default().to_owned();
        let key = (event.action.as_str().to_owned(), reason);
        *counted.entry(key).or_default() += 1;
    }
    let of = |action: Action| {
        let with_action = events.iter().filter(|event| event.action == action);
        with_action.count() as u64
    };
    assert_eq!(stats.admitted, of(Action::Admitted));
    assert_eq!(stats.denied, of(Action::Denied));
    assert_eq!(stats.not_identified, of(Action::NotIdentified));
    assert_eq!(stats.chain_refused, of(Action::ChainRefused));
    assert_eq!(stats.handshake_failed, of(Action::HandshakeFailed));
    assert_eq!(stats.timed_out, of(Action::TimedOut));
    assert_eq!(stats.shed, of(Action::Shed));
    assert_eq!(stats.abandoned, of(Action::Abandoned));
    assert_eq!(stats.attempts(), outcomes.clone().count() as u64);
    let resumed =
        outcomes.filter(|event| event.action == Action::Admitted && event.info.is_resumed());
    let resumed = resumed.count() as u64;
    assert_eq!(stats.resumed, resumed);
    assert!(resumed > 100, "{resumed} were resumed");
    assert_eq!([stats.in_flight, stats.open, stats.audit_dropped], [0; 3]);
    // A known chain is verified once.
    assert!(
        stats.chains_remembered > 10 * stats.chains_verified,
        "{stats:?}"
    );

    let samples: Vec<Sample<'_>> = scraped.lines().filter_map(Sample::read).collect();
    let value = |metric: &str| -> f64 {
        let of_metric = samples.iter().filter(|sample| sample.metric == metric);
        of_metric.map(|sample| sample.value).sum()
    };
    let mut metered = Counts::new();
    for sample in &samples {
        if sample.metric == "countersign_handshakes_total" {
            assert_eq!(sample.labels["side"], "server");
            assert_eq!(sample.labels["name"], name);
            let key = ["outcome", "reason"].map(|label| sample.labels[label].to_owned());
            let [outcome, reason] = key;
            metered.insert((outcome, reason), sample.value as u64);
        }
    }
    assert_eq!(metered, counted);
    let durations = "countersign_handshake_duration_seconds_count";
    assert_eq!(value(durations) as u64, stats.attempts());
    assert_eq!(value("countersign_resumptions_total") as u64, resumed);
    let chains = stats.chains_verified + stats.chains_remembered;
    assert_eq!(value("countersign_chains_total") as u64, chains);
    let policies = value("countersign_policy_duration_seconds_count") as u64;
    assert!(policies >= stats.admitted, "{policies} decisions");
    assert_eq!(value("countersign_handshakes_in_flight"), 0.0);
    assert_eq!(value("countersign_connections"), 0.0);
    assert_eq!(value("countersign_generation"), 1.0);
}

/// A line of Prometheus' text format.
struct Sample<'a> {
    metric: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (metric, labels) = match series.split_once('{') {
            Some((metric, labels)) => (metric, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        // None of ours has a comma or a quote in it.
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let (key, quoted) = label.split_once('=').unwrap();
            (key, quoted.trim_matches('"'))
        });
        Some(Self {
            metric,
            labels: labels.collect(),
            value: value.parse().ok()?,
        })
    }
}

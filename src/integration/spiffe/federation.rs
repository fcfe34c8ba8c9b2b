//! The bundle endpoint of a federated trust domain (SPIFFE Federation, section 5).

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use super::WorkloadError;
use crate::identity::TrustDomain;
use crate::reload::{Diagnosed, Source};
use crate::trust::Hints;
use crate::{Diagnostic, TrustStore};

/// How often a bundle without a hint is fetched.
const REFRESH: Duration = Duration::from_secs(300);

/// Limits of the hint.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(86_400);

/// The bundle of a federated trust domain, from its bundle endpoint.
///
/// `fetch` gets the JSON with the application's own HTTP client. It is called at the start, and again after
/// the `spiffe_refresh_hint` of the bundle (default: 5 minutes; limits: 1 s and 1 day). After an error it is
/// called again after 1 s to 1 minute. A bundle with a lower `spiffe_sequence` than that in force is an error.
///
/// ```
/// use countersign::identity::TrustDomain;
/// use countersign::integration::spiffe::{Workload, bundle_endpoint};
/// use countersign::reload::Source;
/// use countersign::trust::TrustBundles;
///
/// # async fn get(_: &str) -> Result<Vec<u8>, std::io::Error> { Ok(Vec::new()) }
/// fn trust(workload: &Workload, partner: TrustDomain) -> Source<TrustBundles> {
///     let bundle = bundle_endpoint(partner.clone(), || get("https://partner.example/bundle"));
///     workload
///         .trust()
///         .and(bundle)
///         .try_map(move |(ours, bundle)| ours.with(partner.clone(), bundle))
/// }
/// ```
///
/// # Security
/// `fetch` must authenticate the endpoint, and bound the size of its answer. With the profile `https_web`, it
/// verifies the server by the public authorities; with `https_spiffe`, by the SPIFFE ID of the endpoint and the
/// bundle that is in force.
pub fn bundle_endpoint<F, R, E>(trust_domain: TrustDomain, fetch: F) -> Source<TrustStore>
where
    F: FnMut() -> R + Send + 'static,
    R: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let name = format!("bundle endpoint of {trust_domain}");
    let bundles = Bundles {
        trust_domain,
        fetch,
        state: State::Idle,
        sequence: None,
        failures: 0,
    };
    Source::stream_of(name, bundles, |_, _| false)
}

struct Bundles<F, R> {
    trust_domain: TrustDomain,
    fetch: F,
    state: State<R>,
    /// Of the bundle in force.
    sequence: Option<u64>,
    failures: u32,
}

enum State<R> {
    Idle,
    Fetching(Pin<Box<R>>),
    Waiting(Pin<Box<Sleep>>),
}

/// Nothing in it is pinned in place.
impl<F, R> Unpin for Bundles<F, R> {}

impl<F, R, E> Stream for Bundles<F, R>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Vec<u8>, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Item = Result<TrustStore, Diagnosed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Idle => this.state = State::Fetching(Box::pin((this.fetch)())),
                State::Fetching(fetching) => {
                    let fetched = ready!(fetching.as_mut().poll(cx));
                    let fetched = fetched.map_err(|error| this.not_fetched(&error.into()));
                    let read = fetched.and_then(|json| this.read(&json));
                    let wait = match &read {
                        Ok((_, wait)) => *wait,
                        Err(_) => this.after_failure(),
                    };
                    this.state = State::Waiting(Box::pin(sleep(wait)));
                    let item = read.map(|(store, _)| store);
                    return Poll::Ready(Some(item.map_err(WorkloadError::of_source)));
                }
                State::Waiting(waiting) => {
                    ready!(waiting.as_mut().poll(cx));
                    this.state = State::Idle;
                }
            }
        }
    }
}

impl<F, R> Bundles<F, R> {
    fn read(&mut self, json: &[u8]) -> Result<(TrustStore, Duration), WorkloadError> {
        let store = TrustStore::from_spiffe_bundle(json);
        let store = store.map_err(|error| self.not_fetched(&Diagnostic::cause(&error)))?;
        let hints = Hints::of(json);
        if let (Some(sequence), Some(in_force)) = (hints.sequence, self.sequence)
            && sequence < in_force
        {
            return Err(WorkloadError::BundleRolledBack {
                trust_domain: self.trust_domain.clone(),
                sequence,
                in_force,
            });
        }
        self.sequence = hints.sequence.or(self.sequence);
        self.failures = 0;
        let refresh = hints.refresh.map_or(REFRESH, Duration::from_secs);
        Ok((store, refresh.clamp(SHORTEST, LONGEST)))
    }

    fn not_fetched(&self, problem: &impl ToString) -> WorkloadError {
        WorkloadError::NotFetched {
            trust_domain: self.trust_domain.clone(),
            problem: problem.to_string(),
        }
    }

    fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        SHORTEST
            .saturating_mul(doubled)
            .min(Duration::from_secs(60))
    }
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use tokio::time::Instant;

    use super::*;
    use crate::testing::TestCa;

    fn bundle(ca: &TestCa, sequence: u64, refresh: u64) -> Vec<u8> {
        let x5c = STANDARD.encode(ca.certificate_der());
        let keys = serde_json::json!([{"use": "x509-svid", "x5c": [x5c]}]);
        let hints = (sequence, refresh);
        serde_json::json!({"keys": keys, "spiffe_sequence": hints.0, "spiffe_refresh_hint": hints.1})
            .to_string()
            .into_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_fetched_by_its_hint_and_never_goes_back() {
        let (one, two) = (TestCa::new("One"), TestCa::new("Two"));
        let answers = [
            Ok(bundle(&one, 7, 60)),
            Err("no route"),
            Err("no route"),
            Ok(bundle(&two, 6, 60)),
            Ok(bundle(&two, 8, 10_000_000)),
            Ok(bundle(&two, 8, 0)),
        ];
        let asked = Arc::new(AtomicUsize::new(0));
        let fetch = move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(answers[number].clone())
        };
        let mut bundles = Bundles {
            trust_domain: "partner.example".parse().expect("a domain"),
            fetch,
            state: State::Idle,
            sequence: None,
            failures: 0,
        };
        let start = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let item = poll_fn(|cx| Pin::new(&mut bundles).poll_next(cx)).await;
            let item = item.expect("it does not end");
            let item = item.map(|store| store.anchors().len());
            let item = item.map_err(|error| error.reason());
            seen.push((start.elapsed().as_secs(), item));
        }
        let (failed, back) = (Err("bundle_not_fetched"), Err("bundle_rolled_back"));
        let (third, last) = (60 + 1 + 2, 60 + 1 + 2 + 4);
        assert_eq!(
            seen,
            [
                (0, Ok(1)),
                (60, failed),
                (61, failed),
                (third, back),
                (last, Ok(1)),
                (last + 86_400, Ok(1)),
            ]
        );
    }
}

//! The state of a reload, and its records.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::sync::watch;

use super::stream::Feed;
use super::{Part, ReloadError};
use crate::Certificate;
use crate::audit::{Action, Recorder};
use crate::pki::contained::caught;

/// The state of a reload: what it has done so far, and what is in force.
///
/// Times are those of the clock of the acceptor or connector.
///
/// ```
/// use countersign::reload::Status;
///
/// /// For a readiness probe: the newest files are in force, and no certificate of ours expires today.
/// fn is_healthy(status: &Status) -> bool {
///     let day = std::time::Duration::from_secs(24 * 3600);
///     status.last_error.is_none() && status.certificates.iter().all(|own| own.left > day)
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The generation of trust that is in force. Each open connection has the one by which it was
    /// authorized last. See [`Control::generation`](crate::Control::generation).
    pub generation: u64,
    /// When something was applied last.
    pub last_success: UnixTime,
    /// Why the newest set is not in force. `None` after a later one was applied, or when the files are
    /// again those that are in force.
    pub last_error: Option<Refusal>,
    /// How often something was loaded or pushed.
    pub attempts: u64,
    /// How often something was applied.
    pub applied: u64,
    /// How often something was denied. Files that stay as they are count once.
    pub refused: u64,
    /// Our own certificates as of the last check. The one for all names is the first.
    pub certificates: Vec<OwnCertificate>,
    /// The streams among the sources.
    pub streams: Vec<StreamStatus>,
    /// Why no peer is admitted at the moment, if a stream has failed closed
    /// ([`Silence::FailClosed`](super::Silence::FailClosed)) or our identity was withdrawn.
    pub suspended: Option<Arc<str>>,
}

/// The state of a stream that is a source.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::reload::Status;
///
/// /// The streams without a good value for an hour.
/// fn stale(status: &Status) -> Vec<&str> {
///     let hour = Duration::from_secs(3600);
///     let stale = status.streams.iter().filter(|stream| stream.age.is_none_or(|age| age > hour));
///     stale.map(|stream| &*stream.name).collect()
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamStatus {
    /// The name that was given to the source.
    pub name: Arc<str>,
    /// How long ago the last good value arrived, changed or not; `None` before the first.
    pub age: Option<Duration>,
    /// Why there is no newer value: the last item of the stream is an error, or the stream has ended.
    pub error: Option<Arc<dyn Error + Send + Sync>>,
    /// For how long this has been the error.
    pub error_age: Option<Duration>,
    /// Whether the stream has ended.
    pub is_closed: bool,
}

/// Why a set is not in force.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::reload::{Refusal, Status};
///
/// fn show(status: &Status) {
///     if let Some(Refusal { error, at, .. }) = &status.last_error {
///         println!("since {}: {} ({})", at.as_secs(), error.reason(), error.remedy());
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The cause and the remedy.
    pub error: ReloadError,
    /// When it was denied.
    pub at: UnixTime,
}

/// One of our own certificates.
///
/// ```
/// use countersign::reload::{OwnCertificate, Status};
///
/// fn next_to_expire(status: &Status) -> Option<&OwnCertificate> {
///     status.certificates.iter().min_by_key(|own| own.left)
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnCertificate {
    /// The name (SNI) for which it is presented; `None` for all other names.
    pub name: Option<String>,
    /// The certificate.
    pub certificate: Certificate,
    /// For how long it is still valid; zero when it has expired.
    pub left: Duration,
}

/// What a reload has applied.
///
/// ```
/// use countersign::reload::{Applied, Part};
///
/// fn log(applied: &Applied) {
///     let parts: Vec<String> = applied.changed.iter().map(Part::to_string).collect();
///     println!("generation {}: {}", applied.generation, parts.join(", "));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The generation of trust that is in force now.
    pub generation: u64,
    /// The parts that were replaced; empty when nothing had changed.
    pub changed: Vec<Part>,
}

/// One of our own certificates, with its name (SNI).
pub(super) type NamedCertificate = (Option<String>, Certificate);

/// What the state reads from the target each time, because the application can change it as well.
pub(super) trait Context: Send + Sync {
    fn generation(&self) -> u64;

    fn now(&self) -> UnixTime;

    /// Where changes are recorded.
    fn recorder(&self) -> &Recorder;
}

/// The state of one reload. Its changes are recorded as events.
pub(super) struct ReloadState {
    context: Arc<dyn Context>,
    figures: Mutex<Figures>,
    generations: watch::Sender<u64>,
    feeds: Vec<Arc<Feed>>,
}

struct Figures {
    last_success: UnixTime,
    last_error: Option<Refusal>,
    attempts: u64,
    applied: u64,
    refused: u64,
    certificates: Vec<NamedCertificate>,
    suspended: Option<Arc<str>>,
}

impl ReloadState {
    pub(super) fn new(context: Arc<dyn Context>, feeds: Vec<Arc<Feed>>) -> Self {
        Self {
            figures: Mutex::new(Figures {
                last_success: context.now(),
                last_error: None,
                attempts: 0,
                applied: 0,
                refused: 0,
                certificates: Vec::new(),
                suspended: None,
            }),
            feeds,
            generations: watch::Sender::new(context.generation()),
            context,
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.context.now()
    }

    pub(super) fn recorder(&self) -> &Recorder {
        self.context.recorder()
    }

    pub(super) fn generations(&self) -> watch::Receiver<u64> {
        self.generations.subscribe()
    }

    pub(super) fn count_attempt(&self) {
        self.figures().attempts += 1;
    }

    pub(super) fn set_certificates(&self, certificates: Vec<NamedCertificate>) {
        self.figures().certificates = certificates;
    }

    pub(super) fn set_suspended(&self, why: Option<Arc<str>>) {
        self.figures().suspended = why;
    }

    pub(super) fn record_applied(&self, changed: Vec<Part>) -> Applied {
        let (generation, now) = (self.context.generation(), self.context.now());
        {
            let mut figures = self.figures();
            figures.applied += 1;
            figures.last_success = now;
        }
        let refusal = self.set_last_error(None);
        // The change is in force, even if the recorder of metrics or a waker panics.
        caught(|| {
            self.context
                .recorder()
                .emit(Action::ReloadApplied, None, |event| {
                    event.generation = generation;
                    event.reloaded = changed.iter().map(Part::to_string).collect();
                });
        });
        self.record_recovered_from(refusal);
        caught(|| self.generations.send_replace(generation));
        Applied {
            generation,
            changed,
        }
    }

    pub(super) fn unchanged(&self) -> Applied {
        Applied {
            generation: self.context.generation(),
            changed: Vec::new(),
        }
    }

    /// The set that was denied is gone: the sources are again what is in force.
    pub(super) fn record_recovered(&self) {
        let refusal = self.set_last_error(None);
        self.record_recovered_from(refusal);
    }

    /// An alert about the refusal can be resolved.
    fn record_recovered_from(&self, refusal: Option<Refusal>) {
        let Some(refusal) = refusal else { return };
        let reason = Some(refusal.error.reason());
        let now = self.context.now().as_secs();
        let seconds = now.saturating_sub(refusal.at.as_secs());
        caught(|| {
            self.context
                .recorder()
                .emit(Action::ReloadRecovered, reason, |event| {
                    event.generation = self.context.generation();
                    event.detail = Some(format!(
                        "what was refused {seconds} seconds ago was repaired"
                    ));
                });
        });
        caught(|| drop(refusal));
    }

    pub(super) fn record_refused(&self, error: &ReloadError) {
        let reason = Some(error.reason());
        // An error of a loader is code of the application, and so is its `Display`.
        let detail = caught(|| error.to_string());
        caught(|| {
            self.context
                .recorder()
                .emit(Action::ReloadRefused, reason, |event| {
                    event.generation = self.context.generation();
                    event.detail =
                        detail.or_else(|| Some("the error panics when it is printed".into()));
                });
        });
        let at = self.context.now();
        self.figures().refused += 1;
        let before = self.set_last_error(Some(Refusal {
            error: error.clone(),
            at,
        }));
        caught(|| drop(before));
    }

    /// The previous one is dropped without the lock: an error of a loader is code of the application.
    fn set_last_error(&self, refusal: Option<Refusal>) -> Option<Refusal> {
        std::mem::replace(&mut self.figures().last_error, refusal)
    }

    pub(super) fn status(&self) -> Status {
        let (generation, now) = (self.context.generation(), self.context.now());
        let streams = self
            .feeds
            .iter()
            .map(|feed| StreamStatus::of(feed))
            .collect();
        let figures = self.figures();
        let own = figures.certificates.iter();
        Status {
            generation,
            last_success: figures.last_success,
            last_error: figures.last_error.clone(),
            attempts: figures.attempts,
            applied: figures.applied,
            refused: figures.refused,
            certificates: own
                .map(|(name, certificate)| OwnCertificate {
                    name: name.clone(),
                    left: time_left(certificate, now),
                    certificate: certificate.clone(),
                })
                .collect(),
            streams,
            suspended: figures.suspended.clone(),
        }
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamStatus {
    fn of(feed: &Feed) -> Self {
        let report = feed.report();
        Self {
            name: Arc::clone(&feed.name),
            age: report.age,
            error: report.error.map(|error| Arc::new(error) as _),
            error_age: report.error_age,
            is_closed: report.is_closed,
        }
    }
}

pub(super) fn time_left(certificate: &Certificate, now: UnixTime) -> Duration {
    let end = certificate.not_after().as_secs();
    Duration::from_secs(end.saturating_sub(now.as_secs()))
}

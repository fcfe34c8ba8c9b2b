//! How reloading goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::sync::watch;

use super::{Part, ReloadError};
use crate::Certificate;
use crate::audit::{Action, Log};
use crate::pki::contained::caught;

/// What a reload has done so far, and how things stand.
///
/// Times are by the clock of the acceptor or connector.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The generation of trust that is in force, as each open connection tells the one by which it
    /// was judged. See [`Gate::generation`](crate::Gate::generation).
    pub generation: u64,
    /// When something was applied last.
    pub last_success: UnixTime,
    /// Why what was to be taken last is not in force. `None` once something was applied after it,
    /// or when the files are back to what is.
    pub last_error: Option<Refusal>,
    /// How often something was loaded or pushed.
    pub attempts: u64,
    /// How often something was applied.
    pub applied: u64,
    /// How often something was refused. Files that stay as they are count once.
    pub refused: u64,
    /// Our own certificates as of the last look, that for all names first.
    pub certificates: Vec<OwnCertificate>,
}

/// Why a set is not in force.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// What is wrong with it.
    pub error: ReloadError,
    /// When it was refused.
    pub at: UnixTime,
}

/// One of our own certificates.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnCertificate {
    /// The name (SNI) for which it is shown; `None` for that of all others.
    pub name: Option<String>,
    /// The certificate.
    pub certificate: Certificate,
    /// How long it is still valid; zero when it has expired.
    pub left: Duration,
}

/// What a reload has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The generation of trust that is in force now.
    pub generation: u64,
    /// What was replaced; empty when nothing had changed.
    pub changed: Vec<Part>,
}

/// A certificate with the name that it is for.
pub(super) type Own = (Option<String>, Certificate);

/// What is asked of the target itself, since it changes by other hands, too.
pub(super) trait Live: Send + Sync {
    fn generation(&self) -> u64;

    fn now(&self) -> UnixTime;

    /// Where it is told of.
    fn log(&self) -> &Log;
}

/// The books of one reload.
pub(super) struct ReloadState {
    live: Arc<dyn Live>,
    entries: Mutex<Entries>,
    generations: watch::Sender<u64>,
}

struct Entries {
    last_success: UnixTime,
    last_error: Option<Refusal>,
    attempts: u64,
    applied: u64,
    refused: u64,
    certificates: Vec<Own>,
}

impl ReloadState {
    pub(super) fn new(live: Arc<dyn Live>) -> Self {
        Self {
            entries: Mutex::new(Entries {
                last_success: live.now(),
                last_error: None,
                attempts: 0,
                applied: 0,
                refused: 0,
                certificates: Vec::new(),
            }),
            generations: watch::Sender::new(live.generation()),
            live,
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.live.now()
    }

    pub(super) fn log(&self) -> &Log {
        self.live.log()
    }

    pub(super) fn generations(&self) -> watch::Receiver<u64> {
        self.generations.subscribe()
    }

    pub(super) fn attempted(&self) {
        self.entries().attempts += 1;
    }

    pub(super) fn own(&self, certificates: Vec<Own>) {
        self.entries().certificates = certificates;
    }

    pub(super) fn applied(&self, changed: Vec<Part>) -> Applied {
        let (generation, now) = (self.live.generation(), self.live.now());
        {
            let mut entries = self.entries();
            entries.applied += 1;
            entries.last_success = now;
        }
        self.set_last_error(None);
        // It is in force, whatever the recorder of metrics or a waker does.
        caught(|| {
            self.live.log().tell(Action::ReloadApplied, None, |event| {
                event.generation = generation;
                event.reloaded = changed.iter().map(Part::to_string).collect();
            });
        });
        caught(|| self.generations.send_replace(generation));
        Applied {
            generation,
            changed,
        }
    }

    pub(super) fn unchanged(&self) -> Applied {
        Applied {
            generation: self.live.generation(),
            changed: Vec::new(),
        }
    }

    /// What was refused is gone.
    pub(super) fn recovered(&self) {
        self.set_last_error(None);
        tracing::info!("the files are back to what is in force");
    }

    pub(super) fn refused(&self, error: &ReloadError) {
        let reason = Some(error.reason());
        // Errors of loaders are the application's, and so is how they print.
        let detail = caught(|| error.to_string());
        caught(|| {
            self.live
                .log()
                .tell(Action::ReloadRefused, reason, |event| {
                    event.generation = self.live.generation();
                    event.detail =
                        detail.or_else(|| Some("the error panics when it prints".into()));
                });
        });
        let at = self.live.now();
        self.entries().refused += 1;
        self.set_last_error(Some(Refusal {
            error: error.clone(),
            at,
        }));
    }

    /// The one before is dropped without the lock: an error of a loader is the application's.
    fn set_last_error(&self, refusal: Option<Refusal>) {
        let before = std::mem::replace(&mut self.entries().last_error, refusal);
        caught(|| drop(before));
    }

    pub(super) fn status(&self) -> Status {
        let (generation, now) = (self.live.generation(), self.live.now());
        let entries = self.entries();
        let own = entries.certificates.iter();
        Status {
            generation,
            last_success: entries.last_success,
            last_error: entries.last_error.clone(),
            attempts: entries.attempts,
            applied: entries.applied,
            refused: entries.refused,
            certificates: own
                .map(|(name, certificate)| OwnCertificate {
                    name: name.clone(),
                    left: time_left(certificate, now),
                    certificate: certificate.clone(),
                })
                .collect(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn time_left(certificate: &Certificate, now: UnixTime) -> Duration {
    let end = certificate.not_after().as_secs();
    Duration::from_secs(end.saturating_sub(now.as_secs()))
}

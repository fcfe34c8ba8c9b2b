//! The task that reads the files, waits until they are stable, and applies them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use super::expiry::Expiry;
use super::handle::Request;
use super::set::{ApplyResult, Set};
use super::snapshot::{Content, Snapshot};
use super::status::ReloadState;
use super::streams::Streams;
use super::{Applied, Part, ReloadError};
use crate::Update;
use crate::pki::contained::caught;

/// How often files may change in a row before the attempt is given up.
const MAX_ROUNDS: usize = 10;

/// With an interval of zero the files would be read without a pause; a longer one than the other limit
/// could overflow the runtime's clock.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
const MAX_INTERVAL: Duration = Duration::from_secs(86_400 * 365);

/// How long bad files may be half-written before they are reported.
const REPORT_DELAY: Duration = Duration::from_secs(2);

pub(super) struct Worker<I> {
    set: Arc<Set<I>>,
    every: Duration,
    state: Arc<ReloadState>,
    /// The content that was applied, by source; empty at first.
    applied: Vec<Content>,
    streams: Streams,
    failure: Option<Failure>,
    expiry: Expiry,
}

/// A set that could not be applied.
struct Failure {
    found: Found,
    is_reported: bool,
    /// When the same set is tried again.
    retry_at: Instant,
}

/// The content of a set that could not be applied.
#[derive(PartialEq, Eq)]
enum Found {
    Contents(Vec<Content>),
    /// Other content at each read.
    Changing,
}

/// The way to a worker, which stops when it is dropped, and the state that it reports.
pub(super) type Started = (mpsc::Sender<Request>, Arc<ReloadState>);

type Attempt = Result<Vec<Part>, (Found, ReloadError)>;

impl<I: Send + Sync + 'static> Worker<I> {
    /// Loads everything and starts the task.
    pub(super) async fn start(set: Set<I>, every: Duration) -> Result<Started, ReloadError> {
        let set = Arc::new(set);
        let mut streams = Streams::start(set.streams()).await?;
        streams.suspended = set.inherited_suspension();
        let state = Arc::new(ReloadState::new(set.clone(), streams.feeds()));
        state.set_suspended(streams.suspended.clone());
        let mut worker = Self {
            set,
            every: every.clamp(MIN_INTERVAL, MAX_INTERVAL),
            state: Arc::clone(&state),
            applied: Vec::new(),
            streams,
            failure: None,
            expiry: Expiry::default(),
        };
        worker.reload_now().await?;
        worker.check_streams().await;
        let (requests, received) = mpsc::channel(16);
        #[cfg(feature = "notify")]
        if let Some(events) = worker.set.events() {
            events.connect(requests.downgrade());
        }
        tokio::spawn(worker.run(received));
        Ok((requests, state))
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut next = Instant::now() + self.every;
        loop {
            let unreported = self.failure.as_ref().filter(|failure| !failure.is_reported);
            let due = unreported.map_or(next, |failure| failure.retry_at.min(next));
            let due = self.streams.due().map_or(due, |too_old| too_old.min(due));
            if Instant::now() >= due {
                let _ = contained(self.poll()).await;
                let _ = contained(self.check_streams()).await;
                next = Instant::now() + self.every;
                continue;
            }
            // The caller may have dropped the future that receives the answer.
            match timeout_at(due, self.streams.or(requests.recv())).await {
                Err(_due) => {}
                Ok(None) => {
                    let start = Instant::now();
                    let _ = contained(self.poll()).await;
                    let _ = contained(self.check_streams()).await;
                    // However fast a stream is, it gets at most half of the time.
                    self.streams.rest(start.elapsed());
                }
                Ok(Some(None)) => break,
                Ok(Some(Some(Request::Reload(answer)))) => {
                    answer
                        .send(contained(self.reload_now()).await.and_then(|done| done))
                        .ok();
                }
                Ok(Some(Some(Request::Update(update, answer)))) => {
                    answer
                        .send(contained(self.push(*update)).await.and_then(|done| done))
                        .ok();
                }
                #[cfg(feature = "notify")]
                Ok(Some(Some(Request::Check))) => {
                    if let Some(events) = self.set.events() {
                        events.rearm();
                    }
                    let _ = contained(self.poll()).await;
                }
            }
        }
        tracing::info!("the reload stopped: its last handle was dropped");
    }

    /// Reads the files, and applies them if they have changed.
    async fn poll(&mut self) {
        let Ok(snapshot) = self.blocking(Set::snapshot).await else {
            return; // the runtime shuts down
        };
        if self.is_known_to_fail(&snapshot) {
            self.check_certificates().await;
            return;
        }
        let start = Instant::now();
        let in_files = snapshot.has_other_files(&self.applied);
        match self.attempt(snapshot).await {
            Ok(changed) => drop(self.succeeded(changed).await),
            Err((found, error)) => {
                self.check_certificates().await;
                self.failed(found, &error, start.elapsed(), in_files);
            }
        }
    }

    fn is_known_to_fail(&self, now: &Snapshot) -> bool {
        self.failure.as_ref().is_some_and(|failure| {
            matches!(&failure.found, Found::Contents(contents) if *contents == now.contents)
                && Instant::now() < failure.retry_at
        })
    }

    /// A set of files that fails may be half-written, so it is reported when the same set fails again.
    /// The value of a stream is reported at once.
    fn failed(&mut self, found: Found, error: &ReloadError, took: Duration, in_files: bool) {
        let before = self.failure.take();
        let before = before.filter(|failure| failure.found == found);
        let (is_reported, wait) = match before {
            None if in_files => {
                tracing::debug!(reason = error.reason(), %error, "the reload will be tried again");
                (false, self.every.min(REPORT_DELAY))
            }
            before => {
                if before.is_none_or(|failure| !failure.is_reported) {
                    self.state.record_refused(error);
                }
                // The set can become valid with time. The factor leaves nine tenths of the time for
                // other work, however long an attempt takes.
                (true, self.every.max(took * 10))
            }
        };
        self.failure = Some(Failure {
            found,
            is_reported,
            retry_at: Instant::now() + wait,
        });
    }

    /// Applies what has changed, or reports why not.
    async fn reload_now(&mut self) -> Result<Applied, ReloadError> {
        let mut snapshot = self.blocking(Set::snapshot).await?;
        for round in 1.. {
            let (found, error) = match self.attempt(snapshot).await {
                Ok(changed) => return Ok(self.succeeded(changed).await),
                Err(failed) => failed,
            };
            sleep(self.settle_time()).await;
            snapshot = self.blocking(Set::snapshot).await?;
            // As long as the files change, they may be half-written.
            let contents = &snapshot.contents;
            let is_stable = matches!(&found, Found::Contents(before) if before == contents);
            if is_stable || round == MAX_ROUNDS {
                self.state.record_refused(&error);
                self.failure = Some(Failure {
                    found,
                    is_reported: true,
                    retry_at: Instant::now() + self.every,
                });
                return Err(error);
            }
        }
        Err(ReloadError::Stopped) // unreachable: the last round returns
    }

    async fn push(&mut self, update: Update) -> Result<Applied, ReloadError> {
        self.state.count_attempt();
        let pushed = self.blocking(move |set| set.push(update)).await;
        match pushed.and_then(|pushed| pushed) {
            Ok(changed) => Ok(self.succeeded(changed).await),
            Err(error) => {
                self.state.record_refused(&error);
                Err(error)
            }
        }
    }

    /// Waits until the files are stable, and applies them if they are not the applied ones.
    async fn attempt(&mut self, mut before: Snapshot) -> Attempt {
        let stopped = |error| (Found::Changing, error);
        for _ in 0..MAX_ROUNDS {
            if before.contents == self.applied {
                return Ok(Vec::new());
            }
            let mut now = before;
            if now.has_other_files(&self.applied) {
                sleep(self.settle_time()).await;
                let later = self.blocking(Set::snapshot).await.map_err(stopped)?;
                if !later.has_same_files(&now) {
                    before = later;
                    continue;
                }
                now = later;
            }
            let applied = self.applied.clone();
            let (now, result) = self
                .blocking(move |set| {
                    let result = set.load_and_apply(&now, &applied);
                    (now, result)
                })
                .await
                .map_err(stopped)?;
            match result {
                ApplyResult::Touched(after) => before = after,
                ApplyResult::Finished(result) => {
                    self.state.count_attempt();
                    let parts = result.map_err(|e| (Found::Contents(now.contents.clone()), e))?;
                    self.applied = now.contents;
                    return Ok(parts);
                }
            }
        }
        Err((
            Found::Changing,
            ReloadError::KeepsChanging {
                reads: MAX_ROUNDS + 1,
            },
        ))
    }

    /// What the sources contain, or the application pushed, is in force.
    async fn succeeded(&mut self, changed: Vec<Part>) -> Applied {
        self.check_certificates().await; // before the change is recorded
        let failure = self.failure.take();
        if changed.is_empty() {
            if failure.is_some_and(|failure| failure.is_reported) {
                self.state.record_recovered();
            }
            self.state.unchanged()
        } else {
            self.state.record_applied(changed)
        }
    }

    /// Reports the errors of streams, and admits no peer while one has failed closed.
    async fn check_streams(&mut self) {
        for error in self.streams.errors() {
            self.state.record_refused(&error);
        }
        let has_recovered = self.streams.has_recovered();
        if has_recovered && self.failure.is_none() {
            self.state.record_recovered();
        }
        let failed = self.streams.failed_closed();
        let suspended = self.streams.suspended.is_some();
        // A value that is not in force does not end it.
        if failed.is_none() && (!suspended || self.failure.is_some()) {
            return;
        }
        let why = failed.as_ref().map(|error| Arc::from(error.to_string()));
        if why == self.streams.suspended {
            return;
        }
        let next: Option<Arc<str>> = why.clone();
        let changed = self.blocking(move |set| set.suspend(next)).await;
        if let Err(error) = changed.and_then(|changed| changed) {
            tracing::error!(%error, "peers are not suspended");
            return;
        }
        match failed {
            Some(error) if !suspended => self.state.record_refused(&error),
            Some(_) => {}
            None => self.state.record_recovered(),
        }
        self.streams.suspended.clone_from(&why);
        self.state.set_suspended(why);
    }

    /// How long files must be stable.
    fn settle_time(&self) -> Duration {
        (self.every / 4).min(Duration::from_millis(200))
    }

    /// Reads our own certificates, which the application may have replaced, and reports their expiry.
    async fn check_certificates(&mut self) {
        if let Ok(own) = self.blocking(Set::certificates).await {
            let (expiry, state) = (&mut self.expiry, &self.state);
            // A sink may panic, which changes nothing here.
            caught(|| expiry.check(state.recorder(), &own, state.now()));
            self.state.set_certificates(own);
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Set<I>) -> T + Send + 'static,
    ) -> Result<T, ReloadError> {
        let set = Arc::clone(&self.set);
        let done = spawn_blocking(move || work(&set)).await;
        done.map_err(|error| match error.is_panic() {
            true => ReloadError::Panicked { part: None },
            false => ReloadError::Stopped,
        })
    }
}

/// Runs a step of the worker, and contains a panic of the application's code in it, such as the
/// destructor of a loader's error, or a subscriber of `tracing`. A change depends on neither of them.
async fn contained<T>(step: impl Future<Output = T>) -> Result<T, ReloadError> {
    let mut step = Box::pin(step);
    let done = poll_fn(|cx| match caught(|| step.as_mut().poll(cx)) {
        Some(Poll::Pending) => Poll::Pending,
        Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
        None => Poll::Ready(None),
    });
    let done = done.await.ok_or(ReloadError::Panicked { part: None });
    caught(|| drop(step));
    done
}

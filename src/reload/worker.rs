//! The task that looks, waits until files stand still, and has them taken.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use super::expiry::Expiry;
use super::files::FileSnapshot;
use super::handle::{Handle, Request};
use super::set::{ApplyResult, Set};
use super::status::ReloadState;
use super::{Applied, Part, ReloadError};
use crate::Update;
use crate::pki::contained::caught;

/// How often files that change may change before they are left alone for a while.
const ROUNDS: usize = 10;

/// Zero would be to read the files without a pause, and the clock ends somewhere, too.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400 * 365);

/// How long bad files are given to become good ones before they are reported.
const DOUBT: Duration = Duration::from_secs(2);

pub(super) struct Worker<I> {
    set: Arc<Set<I>>,
    every: Duration,
    book: Arc<ReloadState>,
    /// What the files said when they were applied, by source; empty at first.
    applied: Vec<[u8; 32]>,
    failed: Option<Failed>,
    expiry: Expiry,
}

/// A set that could not be taken.
struct Failed {
    seen: Seen,
    reported: bool,
    /// When the same set is tried again.
    again: Instant,
}

/// What was seen when a set could not be taken.
#[derive(PartialEq, Eq)]
enum Seen {
    Contents(Vec<[u8; 32]>),
    /// Something else in each look.
    Changing,
}

type Attempt = Result<Vec<Part>, (Seen, ReloadError)>;

impl<I: Send + Sync + 'static> Worker<I> {
    /// Loads everything and starts the task.
    pub(super) async fn start(set: Set<I>, every: Duration) -> Result<Handle, ReloadError> {
        let set = Arc::new(set);
        let book = Arc::new(ReloadState::new(set.clone()));
        let mut worker = Self {
            set,
            every: every.clamp(SHORTEST, LONGEST),
            book: Arc::clone(&book),
            applied: Vec::new(),
            failed: None,
            expiry: Expiry::default(),
        };
        worker.reload_now().await?;
        let (requests, received) = mpsc::channel(16);
        #[cfg(feature = "notify")]
        if let Some(events) = worker.set.events() {
            events.tell_to(requests.downgrade());
        }
        tokio::spawn(worker.run(received));
        Ok(Handle::new(requests, book))
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut next = Instant::now() + self.every;
        loop {
            let in_doubt = self.failed.as_ref().filter(|failed| !failed.reported);
            let due = in_doubt.map_or(next, |failed| failed.again.min(next));
            if Instant::now() >= due {
                let _ = survived(self.poll()).await;
                next = Instant::now() + self.every;
                continue;
            }
            // Nobody may be waiting for an answer any more, which is all right.
            match timeout_at(due, requests.recv()).await {
                Err(_due) => {}
                Ok(None) => break,
                Ok(Some(Request::Reload(answer))) => {
                    answer
                        .send(survived(self.reload_now()).await.and_then(|done| done))
                        .ok();
                }
                Ok(Some(Request::Update(update, answer))) => {
                    answer
                        .send(survived(self.push(*update)).await.and_then(|done| done))
                        .ok();
                }
                #[cfg(feature = "notify")]
                Ok(Some(Request::Look)) => {
                    if let Some(events) = self.set.events() {
                        events.listen();
                    }
                    let _ = survived(self.poll()).await;
                }
            }
        }
        tracing::info!("reload ended: nobody holds its handle any more");
    }

    /// Looks whether anything has changed, and takes it if it has.
    async fn poll(&mut self) {
        let Ok(seen) = self.blocking(Set::look).await else {
            return; // the runtime is about to end
        };
        if self.is_known_to_fail(&seen) {
            self.look_at_own().await;
            return;
        }
        let start = Instant::now();
        match self.attempt(seen).await {
            Ok(changed) => drop(self.settled(changed).await),
            Err((seen, error)) => {
                self.look_at_own().await;
                self.note(seen, &error, start.elapsed());
            }
        }
    }

    fn is_known_to_fail(&self, now: &FileSnapshot) -> bool {
        self.failed.as_ref().is_some_and(|failed| {
            matches!(&failed.seen, Seen::Contents(contents) if *contents == now.contents)
                && Instant::now() < failed.again
        })
    }

    /// A set that fails is half-written perhaps, and reported when it fails in the same way again.
    fn note(&mut self, seen: Seen, error: &ReloadError, took: Duration) {
        let before = self.failed.take().filter(|failed| failed.seen == seen);
        let (reported, wait) = match before {
            None => {
                tracing::debug!(reason = error.reason(), %error, "reload to be tried again");
                (false, self.every.min(DOUBT))
            }
            Some(failed) => {
                if !failed.reported {
                    self.book.refused(error);
                }
                // It may become good by the passing of time; whatever it costs to find out, nine
                // tenths of the time are left for other work.
                (true, self.every.max(took * 10))
            }
        };
        self.failed = Some(Failed {
            seen,
            reported,
            again: Instant::now() + wait,
        });
    }

    /// Takes what has changed, or reports why it cannot.
    async fn reload_now(&mut self) -> Result<Applied, ReloadError> {
        let mut seen = self.blocking(Set::look).await?;
        for round in 1.. {
            let (failed, error) = match self.attempt(seen).await {
                Ok(changed) => return Ok(self.settled(changed).await),
                Err(failed) => failed,
            };
            sleep(self.settle()).await;
            seen = self.blocking(Set::look).await?;
            // As long as it changes, it may be half-written.
            let contents = &seen.contents;
            let stays = matches!(&failed, Seen::Contents(before) if before == contents);
            if stays || round == ROUNDS {
                self.book.refused(&error);
                self.failed = Some(Failed {
                    seen: failed,
                    reported: true,
                    again: Instant::now() + self.every,
                });
                return Err(error);
            }
        }
        Err(ReloadError::Stopped) // never: the rounds have an end
    }

    async fn push(&mut self, update: Update) -> Result<Applied, ReloadError> {
        self.book.attempted();
        let pushed = self.blocking(move |set| set.push(update)).await;
        match pushed.and_then(|pushed| pushed) {
            Ok(changed) => Ok(self.settled(changed).await),
            Err(error) => {
                self.book.refused(&error);
                Err(error)
            }
        }
    }

    /// Waits until the files stand still, and has them taken if they are not what was applied.
    async fn attempt(&mut self, mut seen: FileSnapshot) -> Attempt {
        let stopped = |error| (Seen::Changing, error);
        for _ in 0..ROUNDS {
            if seen.contents == self.applied {
                return Ok(Vec::new());
            }
            sleep(self.settle()).await;
            let now = self.blocking(Set::look).await.map_err(stopped)?;
            if !now.is_still(&seen) {
                seen = now;
                continue;
            }
            let applied = self.applied.clone();
            let (now, taken) = self
                .blocking(move |set| {
                    let taken = set.take(&now, &applied);
                    (now, taken)
                })
                .await
                .map_err(stopped)?;
            match taken {
                ApplyResult::Touched(look) => seen = look,
                ApplyResult::Judged(result) => {
                    self.book.attempted();
                    let parts = result.map_err(|e| (Seen::Contents(now.contents.clone()), e))?;
                    self.applied = now.contents;
                    return Ok(parts);
                }
            }
        }
        Err((
            Seen::Changing,
            ReloadError::KeepsChanging { reads: ROUNDS + 1 },
        ))
    }

    /// Everything is as the sources, or the application, want it.
    async fn settled(&mut self, changed: Vec<Part>) -> Applied {
        self.look_at_own().await; // before it is told
        let was_reported = self.failed.take().is_some_and(|failed| failed.reported);
        if changed.is_empty() {
            if was_reported {
                self.book.recovered();
            }
            self.book.unchanged()
        } else {
            self.book.applied(changed)
        }
    }

    /// How long files must stand still.
    fn settle(&self) -> Duration {
        (self.every / 4).min(Duration::from_millis(200))
    }

    /// Keeps the books on our own certificates, which others may have replaced as well.
    async fn look_at_own(&mut self) {
        if let Ok(own) = self.blocking(Set::certificates).await {
            let (expiry, book) = (&mut self.expiry, &self.book);
            // What it tells of may panic, and that changes nothing.
            caught(|| expiry.look(book.log(), &own, book.now()));
            self.book.own(own);
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

/// Runs a step of the worker, which goes on when code of the application panics in it: the
/// destructor of a loader's error, or a subscriber of `tracing`. What a change had to do was done
/// without either.
async fn survived<T>(step: impl Future<Output = T>) -> Result<T, ReloadError> {
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

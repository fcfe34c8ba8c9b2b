//! The handle of a running reload.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::status::ReloadState;
use super::{Applied, ReloadError, Status};
use crate::Update;

/// A running reload, made by [`Reload::start`](super::Reload::start).
///
/// The reload stops when the last clone is dropped. A change in progress is finished first, and what
/// was applied stays in force.
///
/// ```
/// use countersign::reload::Handle;
///
/// # #[cfg(unix)]
/// async fn reload_on_sighup(handle: Handle) -> std::io::Result<()> {
///     use tokio::signal::unix::{SignalKind, signal};
///
///     let mut hangups = signal(SignalKind::hangup())?;
///     while hangups.recv().await.is_some() {
///         match handle.reload_now().await {
///             Ok(applied) => println!("{} parts changed", applied.changed.len()),
///             Err(error) => eprintln!("nothing changed: {error}"),
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
#[doc(alias = "SIGHUP")]
#[must_use = "the reload stops when the last handle is dropped"]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    state: Arc<ReloadState>,
    /// The endpoint, which lives as long as a handle.
    _target: Arc<dyn Any + Send + Sync>,
}

/// A request to the worker.
pub(super) enum Request {
    Reload(Answer),
    Update(Box<Update>, Answer),
    /// A file may have changed.
    #[cfg(feature = "notify")]
    Check,
}

pub(super) type Answer = oneshot::Sender<Result<Applied, ReloadError>>;

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        state: Arc<ReloadState>,
        target: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            requests,
            state,
            _target: target,
        }
    }

    /// Reads the files now, as on SIGHUP, and applies what has changed.
    ///
    /// The files must be stable for the same time as at each interval.
    ///
    /// # Errors
    /// [`ReloadError`]: why nothing has changed. It is recorded each time.
    ///
    /// # Cancel safety
    /// Cancel safe. A request that was sent is completed also when its future is dropped.
    pub async fn reload_now(&self) -> Result<Applied, ReloadError> {
        self.request(Request::Reload).await
    }

    /// Applies an update that the application made, for credentials that do not come from files.
    ///
    /// Unlike the `update` of an acceptor or a connector, it is counted, recorded, and serialized with
    /// the changes of this reload. It stays in force until the source of the same part, if there is one,
    /// changes.
    ///
    /// # Errors
    /// [`ReloadError::Unfit`]: why nothing has changed. It is recorded.
    ///
    /// # Cancel safety
    /// Cancel safe. An update that was sent is applied also when its future is dropped.
    pub async fn update(&self, update: Update) -> Result<Applied, ReloadError> {
        self.request(|answer| Request::Update(Box::new(update), answer))
            .await
    }

    /// The state of the reload.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// Notifies of each change that this reload applies, with the generation of trust that is then in
    /// force. The generation does not change where only the policy or the deny list did.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.state.generations()
    }

    async fn request(
        &self,
        request: impl FnOnce(Answer) -> Request,
    ) -> Result<Applied, ReloadError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(request(answer)).await;
        sent.map_err(|_| ReloadError::Stopped)?;
        answered.await.unwrap_or(Err(ReloadError::Stopped))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

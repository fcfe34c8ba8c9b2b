//! The application's hand on a reload.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::status::ReloadState;
use super::{Applied, ReloadError, Status};
use crate::Update;

/// A reload that goes on; made by [`Reload::start`](super::Reload::start).
///
/// It ends when the last clone is dropped: what is under way then is finished. What was applied
/// stays in force.
#[derive(Clone)]
#[must_use = "the reload ends when the last handle is dropped"]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    book: Arc<ReloadState>,
}

/// What the worker is asked for.
pub(super) enum Request {
    Reload(Answer),
    Update(Box<Update>, Answer),
    /// A file may have changed.
    #[cfg(feature = "notify")]
    Look,
}

pub(super) type Answer = oneshot::Sender<Result<Applied, ReloadError>>;

impl Handle {
    pub(super) const fn new(requests: mpsc::Sender<Request>, book: Arc<ReloadState>) -> Self {
        Self { requests, book }
    }

    /// Looks at the files now, as on SIGHUP, and applies what has changed, with the same care: it
    /// takes the moment for which files must stand still.
    ///
    /// What is not waited for to its end is done nevertheless.
    ///
    /// # Errors
    /// [`ReloadError`]: why nothing has changed. It is reported, too, each time.
    pub async fn reload_now(&self) -> Result<Applied, ReloadError> {
        self.ask(Request::Reload).await
    }

    /// Takes an update that the application has made, for credentials that come from elsewhere
    /// than files. Better than the acceptor's or connector's own `update`, it is counted, told of
    /// and never between the looks and the loading of a reload.
    ///
    /// It holds until the source of the same part, if there is one, changes.
    ///
    /// # Errors
    /// [`ReloadError::Unfit`]: why nothing has changed. It is reported, too.
    pub async fn update(&self, update: Update) -> Result<Applied, ReloadError> {
        self.ask(|answer| Request::Update(Box::new(update), answer))
            .await
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        self.book.status()
    }

    /// Tells of everything that this reload applies, with the generation of trust that is in
    /// force then. It is the same as before where only policy or deny list have changed.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.book.generations()
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Applied, ReloadError> {
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

//! The notice that a connection is to come to its end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::live::{CloseReason, Lease};

/// Ends when a connection is to come to its end, and tells why; made by
/// [`TlsStream::draining`](crate::TlsStream::draining).
///
/// Finish what is under way then: the connection is cut soon after, by default after 30 s. One that
/// is cut without notice ends it, too.
#[must_use = "a future does nothing until it is awaited"]
pub struct DrainSignal {
    lease: Arc<Lease>,
    /// Its number among those who wait.
    watcher: Option<u64>,
}

impl DrainSignal {
    pub(super) const fn new(lease: Arc<Lease>) -> Self {
        Self {
            lease,
            watcher: None,
        }
    }

    /// Whether the connection was cut, so that nothing of the peer's may be done any more.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_cut(&self) -> bool {
        self.lease.is_cut()
    }

    /// Why the connection is to come to its end, or came to it; `None` as long as it is not, and
    /// when the peer or the application closed it.
    pub fn why(&self) -> Option<CloseReason> {
        self.lease.why_draining().cloned()
    }
}

impl Future for DrainSignal {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        match this.lease.wake_when_draining(&mut this.watcher, cx.waker()) {
            Some(why) => Poll::Ready(why),
            None => Poll::Pending,
        }
    }
}

impl Clone for DrainSignal {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.lease))
    }
}

impl Drop for DrainSignal {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher {
            self.lease.forget_watcher(watcher);
        }
    }
}

impl fmt::Debug for DrainSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainSignal").field(&self.lease).finish()
    }
}

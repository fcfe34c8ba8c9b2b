//! The signal that a connection must close soon.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::live::{CloseReason, Lease};

/// Completes with the reason when a connection drains or is cut; made by
/// [`TlsStream::draining`](crate::TlsStream::draining).
///
/// Finish the work in progress then: a draining connection is cut later, by default after 30 s.
///
/// ```
/// use countersign::TlsStream;
/// use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
///
/// /// Echoes until the peer closes the connection, or until it drains.
/// async fn echo<IO, I>(mut stream: TlsStream<IO, I>) -> std::io::Result<()>
/// where
///     IO: AsyncRead + AsyncWrite + Unpin,
/// {
///     let mut draining = stream.draining();
///     let mut bytes = [0; 1024];
///     loop {
///         let read = tokio::select! {
///             why = &mut draining => {
///                 println!("closing: {}", why.reason());
///                 0
///             }
///             read = stream.read(&mut bytes) => read?,
///         };
///         if read == 0 {
///             return stream.shutdown().await;
///         }
///         stream.write_all(&bytes[..read]).await?;
///     }
/// }
/// ```
///
/// # Cancel safety
/// It can be polled again after it lost a `select!`, and dropped at any time: the signal stays.
#[must_use = "a future does nothing until it is awaited"]
pub struct DrainSignal {
    lease: Arc<Lease>,
    /// Its number among the waiting tasks.
    watcher: Option<usize>,
    /// The waker under this number.
    waker: Option<Waker>,
}

impl DrainSignal {
    pub(crate) const fn new(lease: Arc<Lease>) -> Self {
        Self {
            lease,
            watcher: None,
            waker: None,
        }
    }

    /// Whether the connection was cut, so that no request of the peer may be processed any more.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_cut(&self) -> bool {
        self.lease.is_cut()
    }

    /// Whether the connection neither drains nor was cut.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_open(&self) -> bool {
        self.lease.is_open()
    }

    /// When calls in progress end, so that their ends arrive before the cut. `None` unless the connection
    /// drains.
    #[cfg(feature = "hyper")]
    pub(crate) fn calls_end(&self) -> Option<std::time::Instant> {
        self.lease.calls_end()
    }

    /// Why the connection drains or was cut. `None` while it is open without either, and when the peer
    /// or the application closed it.
    pub fn why(&self) -> Option<CloseReason> {
        self.lease.why_draining().cloned()
    }
}

impl Future for DrainSignal {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        // A registered waker is woken after the lease has ceased to be open.
        if let Some(waker) = &this.waker
            && waker.will_wake(cx.waker())
            && this.lease.is_open()
        {
            return Poll::Pending;
        }
        match this.lease.wake_when_draining(&mut this.watcher, cx.waker()) {
            Some(why) => Poll::Ready(why),
            None => {
                this.waker = Some(cx.waker().clone());
                Poll::Pending
            }
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

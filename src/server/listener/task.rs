//! The accept loop.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::per_address::Place;
use super::{Incoming, ListenerBuilder, OnRefused, WhenFull};
use crate::TlsStream;
use crate::server::{AcceptError, Acceptor, Shed};

/// The running loop; dropped, it ends with all its handshakes.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    pub(super) fn start<S: Incoming, I: Send + Sync + 'static>(
        options: ListenerBuilder<I>,
        incoming: S,
        admitted: mpsc::Sender<TlsStream<S::Io, I>>,
        stopped: watch::Receiver<bool>,
        id: u64,
    ) -> Self {
        let accepting = Accepting {
            places: Arc::new(Semaphore::new(options.max_handshakes)),
            options,
            admitted,
            handshakes: JoinSet::new(),
            id,
        };
        Self(tokio::spawn(accepting.run(incoming, stopped)))
    }
}

struct Accepting<IO, I> {
    options: ListenerBuilder<I>,
    places: Arc<Semaphore>,
    admitted: mpsc::Sender<TlsStream<IO, I>>,
    handshakes: JoinSet<()>,
    id: u64,
}

impl<IO, I> Accepting<IO, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    I: Send + Sync + 'static,
{
    async fn run<S: Incoming<Io = IO>>(mut self, incoming: S, mut stopped: watch::Receiver<bool>) {
        {
            let mut stop = pin!(stopped.wait_for(|stop| *stop));
            let mut accept = pin!(self.accept_all(incoming));
            poll_fn(|cx| match stop.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => accept.as_mut().poll(cx),
            })
            .await;
        }
        // The socket is closed. What has begun is finished; `stopped` tells that it is not yet.
        while self.handshakes.join_next().await.is_some() {}
    }

    async fn accept_all<S: Incoming<Io = IO>>(&mut self, mut incoming: S) {
        let mut pause = Pause::default();
        loop {
            // Before accepting: whoever is to wait waits in the system's queue.
            let place = match self.options.when_full {
                WhenFull::Wait => Arc::clone(&self.places).acquire_owned().await.ok(),
                WhenFull::Shed => None,
            };
            while self.handshakes.try_join_next().is_some() {}
            match incoming.accept().await {
                Ok((io, remote_addr)) => {
                    pause = Pause::default();
                    self.begin(io, remote_addr, place);
                }
                Err(error) => pause.after(&error).await,
            }
        }
    }

    /// Begins a handshake, unless a cheap look says no.
    fn begin(
        &mut self,
        io: IO,
        remote_addr: Option<SocketAddr>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let options = &self.options;
        let shed = |shed: Shed| {
            let error = AcceptError::Shed(shed);
            tracing::warn!(remote = ?remote_addr, reason = error.reason(), %error, "client shed");
            tell(options.on_refused.as_ref(), remote_addr, &error);
        };
        let admitted = match (&options.admit, remote_addr) {
            // A panic admits nobody, and must not end the loop.
            (Some(admit), Some(address)) => {
                catch_unwind(AssertUnwindSafe(|| admit(address))).unwrap_or(false)
            }
            _ => true,
        };
        if !admitted {
            return shed(Shed::AddressNotAdmitted);
        }
        let Some(place) = place.or_else(|| Arc::clone(&self.places).try_acquire_owned().ok())
        else {
            return shed(Shed::TooManyHandshakes);
        };
        let of_address = match (&options.per_address, remote_addr) {
            (Some(per_address), Some(address)) => match per_address.take(address.ip()) {
                Some(place) => Some(place),
                None => return shed(Shed::TooManyOfAddress),
            },
            _ => None,
        };
        let handshake = Handshake {
            acceptor: options.acceptor.clone(),
            admitted: self.admitted.clone(),
            _place: place,
            of_address,
            listener: self.id,
            on_refused: options.on_refused.clone(),
        };
        self.handshakes.spawn(handshake.run(io, remote_addr));
    }
}

struct Handshake<IO, I> {
    acceptor: Acceptor<I>,
    admitted: mpsc::Sender<TlsStream<IO, I>>,
    _place: OwnedSemaphorePermit,
    of_address: Option<Place>,
    listener: u64,
    on_refused: Option<OnRefused>,
}

impl<IO, I> Handshake<IO, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    I: Send + Sync + 'static,
{
    async fn run(mut self, io: IO, remote_addr: Option<SocketAddr>) {
        match self.acceptor.accept_from(io, remote_addr).await {
            Ok(stream) => {
                stream.belongs_to(self.listener);
                drop(self.of_address.take());
                // It fails only when nobody listens any more.
                let _ = self.admitted.send(stream).await;
            }
            Err(error) => tell(self.on_refused.as_ref(), remote_addr, &error),
        }
    }
}

/// Runs the application's code; a panic in it is its own affair.
fn tell(on_refused: Option<&OnRefused>, remote_addr: Option<SocketAddr>, error: &AcceptError) {
    if let Some(tell) = on_refused {
        let _ = catch_unwind(AssertUnwindSafe(|| tell(remote_addr, error)));
    }
}

/// How long to wait after an error of the system, longer each time.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl Pause {
    async fn after(&mut self, error: &io::Error) {
        const LONGEST: Duration = Duration::from_secs(1);

        // The peer has gone already: that is no reason to let others wait.
        let only_this_one = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        );
        if only_this_one {
            return;
        }
        tracing::error!(%error, wait = ?self.0, "no connection can be accepted; trying again");
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

//! The transport, watched during the handshake, and its progress after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::held_tickets::HeldTickets;
use crate::tls::{TooMuchReceived, probe};

/// Passes all bytes through. During the handshake it records them in the probe, and limits how many the
/// peer may send.
#[derive(Debug)]
pub(crate) struct Wire<IO> {
    io: IO,
    /// How many bytes the peer may still send before it is admitted; `None` once it is.
    left: Option<usize>,
    /// How many bytes the transport has accepted.
    accepted: u64,
    tickets: HeldTickets,
}

impl<IO> Wire<IO> {
    /// Admits at most this many bytes of the peer until [`stop_watching`](Self::stop_watching).
    pub(crate) const fn watching(io: IO, bytes: usize) -> Self {
        Self {
            io,
            left: Some(bytes),
            accepted: 0,
            tickets: HeldTickets::new(),
        }
    }

    pub(crate) const fn stop_watching(&mut self) {
        self.left = None;
    }

    pub(crate) const fn get_ref(&self) -> &IO {
        &self.io
    }

    /// How many bytes the transport has accepted. A flush that waits makes progress when it grows.
    #[cfg(feature = "hyper")]
    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Counts the bytes that the transport has accepted, and records them during the handshake.
    fn sent(&mut self, poll: &Poll<io::Result<usize>>, slices: &[io::IoSlice<'_>]) {
        let &Poll::Ready(Ok(mut count)) = poll else {
            return;
        };
        self.accepted += count as u64;
        if self.left.is_none() {
            return;
        }
        for bytes in slices {
            let taken = bytes.get(..count).unwrap_or(bytes);
            probe::record_sent(taken);
            count -= taken.len();
        }
    }
}

impl<IO: AsyncWrite + Unpin> Wire<IO> {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.left.is_some() && probe::sends_tickets() {
            return Poll::Ready(Ok(self.tickets.hold(slices)));
        }
        let poll = match self.tickets.records.is_empty() {
            true => match slices {
                [bytes] => Pin::new(&mut self.io).poll_write(cx, bytes),
                _ => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
            },
            false => self.tickets.poll_send_with(&mut self.io, cx, slices),
        };
        self.sent(&poll, slices);
        poll
    }

    /// Sends what is held back, for a reader that has to wait. It may wake the reader for that.
    ///
    /// # Errors
    /// The transport has failed.
    pub(super) fn poll_send_tickets(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tickets.poll_send_by_reader(&mut self.io, cx)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Some(left) = &mut this.left {
            let received = buffer.filled().get(before..).unwrap_or_default();
            probe::record_received(received);
            match left.checked_sub(received.len()) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Err(io::Error::other(TooMuchReceived))),
            }
        }
        poll
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // tokio-rustls flushes at the end of the handshake.
        if this.left.is_none() {
            ready!(this.tickets.poll_send(&mut this.io, cx))?;
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.tickets.poll_send(&mut this.io, cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    /// A transport that accepts a few bytes at a time, after it was asked twice, and has nothing to read.
    struct Narrow {
        at_once: usize,
        is_vectored: bool,
        is_ready: bool,
        accepted: Vec<u8>,
        /// How many bytes were accepted before each flush.
        flushed: Vec<usize>,
    }

    impl AsyncRead for Narrow {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = bytes.len().min(self.at_once);
            self.accepted.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes = match self.is_vectored {
                true => slices.iter().flat_map(|it| it.to_vec()).collect(),
                false => slices.first().map(|it| it.to_vec()).unwrap_or_default(),
            };
            self.poll_write(cx, &bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let count = self.accepted.len();
            self.flushed.push(count);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn holding(at_once: usize, is_vectored: bool) -> Wire<Narrow> {
        let io = Narrow {
            at_once,
            is_vectored,
            is_ready: false,
            accepted: Vec::new(),
            flushed: Vec::new(),
        };
        let mut wire = Wire::watching(io, 100);
        wire.stop_watching();
        wire.tickets.records = b"tickets".to_vec();
        wire
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls until it is done, and returns after how many polls.
    fn done<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> (T, usize) {
        let cx = &mut Context::from_waker(Waker::noop());
        for polls in 1..100 {
            if let Poll::Ready(done) = poll(cx) {
                return (done.expect("it works"), polls);
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn tickets_precede_what_is_written_whatever_the_transport_accepts() {
        for at_once in 1..20 {
            for is_vectored in [false, true] {
                let mut wire = holding(at_once, is_vectored);
                let mut rest = &b"response"[..];
                while !rest.is_empty() {
                    let slices = [io::IoSlice::new(&rest[..1]), io::IoSlice::new(&rest[1..])];
                    let write = |cx: &mut Context<'_>| match is_vectored {
                        true => Pin::new(&mut wire).poll_write_vectored(cx, &slices),
                        false => Pin::new(&mut wire).poll_write(cx, rest),
                    };
                    let (count, polls) = done(write);
                    assert!(count > 0, "a writer takes that for the end");
                    if is_vectored && at_once >= 15 {
                        assert_eq!((count, polls), (8, 2), "in one write");
                    }
                    rest = &rest[count..];
                }
                assert_eq!(wire.io.accepted, b"ticketsresponse", "{at_once}");
                assert!(wire.tickets.records.is_empty());
            }
        }
    }

    #[test]
    fn a_flush_or_a_shutdown_sends_them() {
        for at_once in 1..10 {
            let mut wire = holding(at_once, true);
            done(|cx| Pin::new(&mut wire).poll_flush(cx));
            assert_eq!(wire.io.accepted, b"tickets");
            assert_eq!(wire.io.flushed, [7]);
            let mut wire = holding(at_once, true);
            done(|cx| Pin::new(&mut wire).poll_shutdown(cx));
            assert_eq!(wire.io.accepted, b"tickets");
        }
    }

    #[test]
    fn a_flush_during_the_handshake_holds_them_back() {
        let mut wire = holding(10, true);
        wire.left = Some(100);
        done(|cx| Pin::new(&mut wire).poll_flush(cx));
        assert!(wire.io.accepted.is_empty());
    }

    #[test]
    fn a_reader_sends_them_when_it_is_polled_again_and_is_woken_for_that() {
        for at_once in 1..10 {
            let mut wire = holding(at_once, true);
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            let cx = &mut Context::from_waker(&waker);
            assert!(wire.poll_send_tickets(cx).is_pending());
            assert!(wire.io.accepted.is_empty());
            let mut polls = 0;
            while wire.poll_send_tickets(cx).is_pending() {
                polls += 1;
            }
            assert_eq!(wakes.0.load(Ordering::Relaxed), 1 + polls, "each time");
            assert_eq!(wire.io.accepted, b"tickets");
            assert_eq!(wire.io.flushed, [7]);
            // There is nothing more to do.
            assert!(wire.poll_send_tickets(cx).is_ready());
            assert_eq!(wakes.0.load(Ordering::Relaxed), 1 + polls);
        }
    }

    #[test]
    fn a_reader_does_not_take_the_place_of_a_writer_that_waits() {
        let mut wire = holding(3, true);
        let cx = &mut Context::from_waker(Waker::noop());
        let writing = Pin::new(&mut wire).poll_write(cx, b"response");
        assert!(writing.is_pending());
        for _ in 0..4 {
            assert!(wire.poll_send_tickets(cx).is_ready());
        }
        assert!(wire.io.accepted.is_empty(), "the transport was not asked");
        done(|cx| Pin::new(&mut wire).poll_write(cx, b"response"));
        assert!(wire.io.accepted.starts_with(b"ticketsr"));
    }
}

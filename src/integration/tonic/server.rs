//! [`Listener`] for tonic's server.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tonic::transport::server::Connected;

use crate::{Listener, Peer, TlsStream};

/// For tonic's `serve_with_incoming`: yields connections of admitted peers, and ends after
/// [`shutdown`](crate::ListenerHandle::shutdown).
impl<IO, I: Send + Sync + 'static> Stream for Listener<IO, I> {
    type Item = Result<TlsStream<IO, I>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(|accepted| {
            accepted.map(|mut stream| {
                stream.serves_http2();
                Ok(stream)
            })
        })
    }
}

/// tonic puts the [`Peer`] into the extensions of each request.
impl<IO, I: Send + Sync + 'static> Connected for TlsStream<IO, I> {
    type ConnectInfo = Peer<I>;

    fn connect_info(&self) -> Peer<I> {
        self.peer().clone()
    }
}

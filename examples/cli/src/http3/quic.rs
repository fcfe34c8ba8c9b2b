//! The traits of h3 for a connection of countersign, and its streams.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use countersign::integration::quinn::{Connection, ConnectionError, RecvStream, SendStream};
use h3::error::Code;
use h3::quic::{
    self, BidiStream, ConnectionErrorIncoming, OpenStreams, StreamErrorIncoming, StreamId, WriteBuf,
};
use quinn::VarInt;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// The most that is read at once.
const CHUNK: usize = 16 * 1024;

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>> + Send>>;
type Both = (SendStream, RecvStream);

/// A QUIC connection for h3.
pub struct Quic<I> {
    accept_recv: Calls<I, RecvStream>,
    accept_bidi: Calls<I, Both>,
    opener: Opener<I>,
}

/// Opens streams.
pub struct Opener<I> {
    open_send: Calls<I, SendStream>,
    open_bidi: Calls<I, Both>,
}

/// Calls of one method of a connection, of which one at a time waits.
struct Calls<I, T> {
    connection: Connection<I>,
    call: fn(Connection<I>) -> Waiting<T>,
    waiting: Option<Waiting<T>>,
}

/// The sending half of a stream.
pub struct Sending<B> {
    stream: SendStream,
    writing: Option<WriteBuf<B>>,
}

/// The receiving half of a stream.
pub struct Receiving(RecvStream);

/// A stream in both directions.
pub struct Bidi<B> {
    send: Sending<B>,
    receive: Receiving,
}

impl<I: Send + Sync + 'static> Quic<I> {
    /// Takes a connection.
    pub fn new(connection: Connection<I>) -> Self {
        let calls = &connection;
        Self {
            accept_recv: Calls::new(calls, |it| Box::pin(async move { it.accept_uni().await })),
            accept_bidi: Calls::new(calls, |it| Box::pin(async move { it.accept_bi().await })),
            opener: Opener::new(connection),
        }
    }
}

impl<I: Send + Sync + 'static> Opener<I> {
    fn new(connection: Connection<I>) -> Self {
        let calls = &connection;
        Self {
            open_send: Calls::new(calls, |it| Box::pin(async move { it.open_uni().await })),
            open_bidi: Calls::new(calls, |it| Box::pin(async move { it.open_bi().await })),
        }
    }
}

impl<I: Send + Sync + 'static> Clone for Opener<I> {
    fn clone(&self) -> Self {
        Self::new(self.open_bidi.connection.clone())
    }
}

impl<I, T> Calls<I, T> {
    fn new(connection: &Connection<I>, call: fn(Connection<I>) -> Waiting<T>) -> Self {
        Self {
            connection: connection.clone(),
            call,
            waiting: None,
        }
    }

    /// The result of the call that waits, or of a new one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ConnectionError>> {
        let start = || (self.call)(self.connection.clone());
        let result = ready!(self.waiting.get_or_insert_with(start).as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}

impl<I: Send + Sync + 'static, B: Buf> quic::Connection<B> for Quic<I> {
    type RecvStream = Receiving;
    type OpenStreams = Opener<I>;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receiving, ConnectionErrorIncoming>> {
        let accepted = self.accept_recv.poll(cx);
        accepted.map(|accepted| accepted.map(Receiving).map_err(closed))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bidi<B>, ConnectionErrorIncoming>> {
        let accepted = self.accept_bidi.poll(cx);
        accepted.map(|accepted| accepted.map(Bidi::new).map_err(closed))
    }

    fn opener(&self) -> Opener<I> {
        self.opener.clone()
    }
}

impl<I: Send + Sync + 'static, B: Buf> OpenStreams<B> for Quic<I> {
    type BidiStream = Bidi<B>;
    type SendStream = Sending<B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bidi<B>, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sending<B>, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        OpenStreams::<B>::close(&mut self.opener, code, reason);
    }
}

impl<I: Send + Sync + 'static, B: Buf> OpenStreams<B> for Opener<I> {
    type BidiStream = Bidi<B>;
    type SendStream = Sending<B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bidi<B>, StreamErrorIncoming>> {
        let opened = self.open_bidi.poll(cx);
        opened.map(|opened| opened.map(Bidi::new).map_err(of_connection))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sending<B>, StreamErrorIncoming>> {
        let opened = self.open_send.poll(cx);
        opened.map(|opened| opened.map(Sending::new).map_err(of_connection))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.open_bidi
            .connection
            .close(varint(code.value()), reason);
    }
}

impl<B> Sending<B> {
    const fn new(stream: SendStream) -> Self {
        Self {
            stream,
            writing: None,
        }
    }
}

impl<B: Buf> quic::SendStream<B> for Sending<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.writing.as_mut().filter(|data| data.has_remaining()) {
            let poll = Pin::new(&mut self.stream).poll_write(cx, data.chunk());
            let written = ready!(poll).map_err(of_stream)?;
            data.advance(written);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let connection_error = ConnectionErrorIncoming::InternalError(
                "data is sent before the last was written".to_owned(),
            );
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(self.stream.finish().map_err(of_stream))
    }

    fn reset(&mut self, code: u64) {
        // A stream that is closed needs no reset.
        let _ = self.stream.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let mut space = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer)).map_err(of_stream)?;
        let data = buffer.filled();
        Poll::Ready(Ok((!data.is_empty()).then(|| Bytes::copy_from_slice(data))))
    }

    fn stop_sending(&mut self, code: u64) {
        // A stream that has ended needs no stop.
        let _ = self.0.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.0.id())
    }
}

impl<B> Bidi<B> {
    fn new((send, receive): Both) -> Self {
        Self {
            send: Sending::new(send),
            receive: Receiving(receive),
        }
    }
}

impl<B: Buf> quic::SendStream<B> for Bidi<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B> quic::RecvStream for Bidi<B> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl<B: Buf> BidiStream<B> for Bidi<B> {
    type SendStream = Sending<B>;
    type RecvStream = Receiving;

    fn split(self) -> (Sending<B>, Receiving) {
        (self.send, self.receive)
    }
}

fn closed(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::Lost(quinn::ConnectionError::ApplicationClosed(close)) => {
            ConnectionErrorIncoming::ApplicationClose {
                error_code: close.error_code.into_inner(),
            }
        }
        ConnectionError::Lost(quinn::ConnectionError::TimedOut) => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn of_connection(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming {
        connection_error: closed(error),
    }
}

fn of_stream(error: io::Error) -> StreamErrorIncoming {
    let inner = error.get_ref();
    let reset = inner.and_then(|error| match error.downcast_ref() {
        Some(quinn::ReadError::Reset(code)) => Some(*code),
        _ => None,
    });
    let stopped = inner.and_then(|error| match error.downcast_ref() {
        Some(quinn::WriteError::Stopped(code)) => Some(*code),
        _ => None,
    });
    match reset.or(stopped) {
        Some(code) => StreamErrorIncoming::StreamTerminated {
            error_code: code.into_inner(),
        },
        None => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: ConnectionErrorIncoming::Undefined(Arc::new(error)),
        },
    }
}

/// h3's codes and numbers are those of QUIC, which are below 2^62.
fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

fn stream_id(id: u64) -> StreamId {
    StreamId::try_from(id).expect("the number of a stream is below 2^62")
}

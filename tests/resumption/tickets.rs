//! When a server of TLS 1.3 sends its tickets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::testing::TestCa;
use countersign::{Resumption, policy};
use support::{SERVER, acceptor, connector};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// Counts the writes.
struct Counted<IO> {
    io: IO,
    writes: Arc<AtomicUsize>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What a server does with an admitted connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    Nothing,
    Write,
    WriteAfterReading,
    Read,
    Flush,
    ShutDown,
}

/// How often the server writes after the handshake, and whether the client's next connection is resumed.
async fn served(does: Does, choice: Resumption) -> (usize, bool) {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .resumption(choice)
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let writes = Arc::default();
    let near = Counted {
        io: near,
        writes: Arc::clone(&writes),
    };
    let (server, client) = tokio::join!(
        acceptor.accept_from(near, None),
        connector.connect_to(SERVER, far, None)
    );
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let before = writes.load(Ordering::Relaxed);
    let serving = async {
        let mut byte = [0];
        match does {
            Does::Nothing => std::future::pending().await,
            Does::Write => server.write_all(b"x").await.unwrap(),
            Does::WriteAfterReading => {
                // As hyper does, which looks for the end of a connection before it writes a response.
                let mut reading = Box::pin(server.read(&mut byte));
                std::future::poll_fn(|cx| {
                    assert!(reading.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(reading);
                server.write_all(b"x").await.unwrap();
            }
            Does::Read => drop(server.read(&mut byte).await),
            Does::Flush => server.flush().await.unwrap(),
            Does::ShutDown => server.shutdown().await.unwrap(),
        }
        std::future::pending::<()>().await
    };
    let calling = async {
        let mut bytes = [0; 10];
        // It is there to read the ticket, and sends nothing.
        let reading = timeout(Duration::from_secs(1), client.read(&mut bytes));
        let is_written = matches!(does, Does::Write | Does::WriteAfterReading);
        let read = reading.await.map(|read| read.unwrap_or_default());
        assert_eq!(read == Ok(1), is_written, "{does:?}");
    };
    tokio::select! {
        () = serving => {}
        () = calling => {}
    }
    let after = writes.load(Ordering::Relaxed);
    let (next, _client) = support::handshake(&acceptor, &connector).await;
    (
        after - before,
        next.unwrap().peer().connection().is_resumed(),
    )
}

#[tokio::test(start_paused = true)]
async fn they_leave_with_the_first_data() {
    for choice in [Resumption::Stateful, Resumption::Stateless] {
        for does in [Does::Write, Does::WriteAfterReading] {
            assert_eq!(served(does, choice).await, (1, true), "{does:?} {choice:?}");
        }
        assert_eq!(served(Does::Write, Resumption::Off).await, (1, false));
    }
}

#[tokio::test(start_paused = true)]
async fn they_leave_without_data_when_the_server_waits_flushes_or_closes() {
    for choice in [Resumption::Stateful, Resumption::Stateless] {
        for does in [Does::Read, Does::Flush] {
            assert_eq!(served(does, choice).await, (1, true), "{does:?} {choice:?}");
            assert_eq!(served(does, Resumption::Off).await, (0, false));
        }
        assert!(served(Does::ShutDown, choice).await.1, "{choice:?}");
        assert_eq!(served(Does::Nothing, choice).await, (0, false));
    }
}

//! A `Listener`, which sends clients away before any TLS work.

use std::io;
use std::net::SocketAddr;

use countersign::identity::CommonName;
use countersign::{AcceptError, Acceptor, Incoming, Listener, ListenerBuilder};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

use support::interop::Served;

/// How many are admitted.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    pub(crate) options: fn(ListenerBuilder<CommonName>) -> ListenerBuilder<CommonName>,
    /// Whether another client has a handshake that is stalled.
    pub(crate) is_crowded: bool,
}

/// Answers admitted clients with `hello NAME`, and reports the others.
pub(crate) async fn serve(
    door: Door,
    acceptor: Acceptor<CommonName>,
    listener: TcpListener,
    outcomes: UnboundedSender<Result<Served, AcceptError>>,
) {
    let refusals = outcomes.clone();
    let mut listener = (door.options)(Listener::builder(acceptor))
        .on_refused(move |_, error| match error {
            AcceptError::Shed(shed) => drop(refusals.send(Err(AcceptError::Shed(*shed)))),
            // That is no outcome, and so the test ends in time.
            other => eprintln!("not shed: {other}"),
        })
        .listen(WhenItSpeaks(listener));
    while let Some(mut stream) = listener.accept().await {
        let served = Served {
            identity: stream.peer().identity().to_string(),
            version: stream.peer().connection().version(),
            resumed: stream.peer().connection().is_resumed(),
        };
        let body = format!("hello {}", served.identity);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let mut head = BufReader::new(&mut stream).lines();
        let mut next = async || head.next_line().await.expect("a request");
        while next().await.is_some_and(|line| !line.is_empty()) {}
        stream.write_all(answer.as_bytes()).await.expect("it reads");
        // Some leave at once when they have it.
        let _ = stream.shutdown().await;
        let _ = outcomes.send(Ok(served));
    }
}

/// Begins a handshake, as far as the first byte.
pub(crate) async fn stall(port: u16) -> TcpStream {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await;
    let mut tcp = tcp.expect("it listens");
    tcp.write_all(&[22]).await.expect("it listens");
    tcp
}

/// Hands a client over when its first words are there. A connection that is closed then is reset;
/// one that is closed before ends. Which of both a client sees is chance otherwise.
struct WhenItSpeaks(TcpListener);

impl Incoming for WhenItSpeaks {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (tcp, address) = self.0.accept().await?;
        tcp.peek(&mut [0]).await?;
        Ok((tcp, Some(address)))
    }
}

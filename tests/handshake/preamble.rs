//! The application's own preamble: it may replace address and transport, and fails with its own reason.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::audit::{Action, Memory, Stage};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Listener, Preamble, PreambleError, RawConnection, policy};
use support::sent::{Sender, Sent, from, sent};
use support::{SERVER, acceptor, connector};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::time::{sleep, timeout};

/// `STARTTLS` and a line end, or a panic on request; the transport is wrapped.
struct StartTls;

/// What TLS runs on after the exchange.
struct Upgraded(DuplexStream);

impl Preamble<DuplexStream> for StartTls {
    type Io = Upgraded;

    async fn run(
        &self,
        mut raw: RawConnection<DuplexStream>,
    ) -> Result<RawConnection<Upgraded>, PreambleError> {
        raw.io_mut().write_all(b"220 ready\r\n").await?;
        let mut line = [0; 10];
        raw.io_mut().read_exact(&mut line).await?;
        match &line {
            b"STARTTLS\r\n" => {}
            b"PANIC!!!\r\n" => panic!("a preamble with a bug"),
            _ => {
                return Err(
                    PreambleError::new("no_starttls", "the client does not ask for TLS")
                        .with_remedy("have it send STARTTLS"),
                );
            }
        }
        raw.io_mut().write_all(b"220 go\r\n").await?;
        let client = "203.0.113.5:99".parse().unwrap();
        Ok(raw.map(Upgraded).forwarded_for(Some(client)))
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct Serving {
    listener: Listener<Upgraded, DnsName>,
    sender: Sender,
    audit: Memory,
    ca: TestCa,
}

fn serve() -> Serving {
    let ca = TestCa::new("Root");
    let (sender, incoming): (Sender, Sent) = sent();
    let audit = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any()).audit(audit.clone());
    let listener = Listener::builder(acceptor.build().unwrap())
        .max_handshakes_per_address(1)
        .preamble(StartTls)
        .listen(incoming);
    Serving {
        listener,
        sender,
        audit,
        ca,
    }
}

async fn ask(io: &mut DuplexStream, command: &[u8]) {
    let mut greeting = [0; 11];
    io.read_exact(&mut greeting).await.unwrap();
    io.write_all(command).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tls_begins_after_the_preamble_which_replaces_address_and_transport() {
    let mut serving = serve();
    let mut io = from(&serving.sender, [192, 0, 2, 1]);
    ask(&mut io, b"STARTTLS\r\n").await;
    let mut answer = [0; 8];
    io.read_exact(&mut answer).await.unwrap();
    let connector = connector(&serving.ca, "client.example").build().unwrap();
    let connecting = connector.connect(SERVER, io);
    let (client, server) = tokio::join!(connecting, serving.listener.accept());
    client.unwrap();
    let server = server.unwrap();
    let client: SocketAddr = "203.0.113.5:99".parse().unwrap();
    let proxy: SocketAddr = "192.0.2.1:1234".parse().unwrap();
    let connection = server.peer().connection();
    assert_eq!(connection.remote_addr(), Some(client));
    assert_eq!(connection.proxy_addr(), Some(proxy));
    let _: &Upgraded = server.get_ref();
}

#[tokio::test(start_paused = true)]
async fn a_preamble_fails_with_its_own_reason_and_one_event() {
    let serving = serve();
    for (command, reason, action) in [
        (&b"EHLO all\r\n"[..], "no_starttls", Action::HandshakeFailed),
        (b"PANIC!!!\r\n", "abandoned", Action::Abandoned),
        (b"", "preamble_timed_out", Action::TimedOut),
    ] {
        let before = serving.audit.events().len();
        let mut io = from(&serving.sender, [192, 0, 2, 1]);
        ask(&mut io, command).await;
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(60), io.read_to_end(&mut rest)).await;
        closed.unwrap().unwrap();
        let events = serving.audit.events();
        assert_eq!(events.len(), before + 1);
        let event = &events[before];
        assert_eq!((event.reason, event.action), (Some(reason), action));
        assert_eq!(event.stage, Some(Stage::Transport));
    }
    let io = from(&serving.sender, [192, 0, 2, 1]);
    drop(io);
    sleep(Duration::from_millis(10)).await;
    let events = serving.audit.events();
    let last = events.last().unwrap();
    assert!(matches!(last.reason, Some("preamble_closed")), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_by_address_counts_the_address_of_the_preamble() {
    let serving = serve();
    let mut first = from(&serving.sender, [192, 0, 2, 1]);
    ask(&mut first, b"STARTTLS\r\n").await;
    let mut second = from(&serving.sender, [192, 0, 2, 2]);
    ask(&mut second, b"STARTTLS\r\n").await;
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).await.unwrap();
    let events = serving.audit.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason, Some("too_many_handshakes_of_address"));
    let client = "203.0.113.5:99".parse().unwrap();
    assert_eq!(events[0].info.remote_addr(), Some(client));
}

/// CVE-2021-23214 and others: what a third party adds in plaintext is never read as data of the client.
#[tokio::test(start_paused = true)]
async fn plaintext_behind_the_preamble_is_not_data() {
    let mut serving = serve();
    let mut io = from(&serving.sender, [192, 0, 2, 1]);
    ask(&mut io, b"STARTTLS\r\nDROP TABLE orders;\r\n").await;
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(60), io.read_to_end(&mut rest)).await;
    closed.unwrap().unwrap();
    let events = serving.audit.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].action, Action::HandshakeFailed);
    assert_eq!(events[0].reason, Some("tls"));
    let admitted = timeout(Duration::from_secs(60), serving.listener.accept()).await;
    assert!(admitted.is_err(), "no stream comes of it");
}

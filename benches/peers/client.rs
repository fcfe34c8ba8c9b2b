//! One connection of the load: raw rustls over TCP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::fixture::SERVER_NAME;

pub type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// The longest time for one connection, request or transfer of a part.
pub const PATIENCE: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The longest response.
const MAX_RESPONSE: usize = 64 * 1024;

/// Connects from one of many loopback addresses, so that the ports of one suffice.
pub async fn connect(config: &Arc<ClientConfig>, server: SocketAddr) -> io::Result<Stream> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let last = 2 + NEXT.fetch_add(1, Ordering::Relaxed) % 200;
    let own = Ipv4Addr::new(127, 0, 0, last as u8);
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    let tcp = socket.connect(server).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
}

/// Sends a request, and reads the whole response. Returns its status.
pub async fn get(stream: &mut Stream, response: &mut Vec<u8>) -> io::Result<u16> {
    request(stream, GET, response).await
}

async fn request(stream: &mut Stream, text: &[u8], response: &mut Vec<u8>) -> io::Result<u16> {
    stream.write_all(text).await?;
    stream.flush().await?;
    response.clear();
    loop {
        if let Some(status) = status_if_whole(response) {
            return Ok(status);
        }
        if response.len() > MAX_RESPONSE {
            return Err(io::Error::other("the response is too long"));
        }
        if stream.read_buf(response).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The status of a response, once it is whole.
fn status_if_whole(response: &[u8]) -> Option<u16> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = (str::from_utf8(&response[..end]).ok()?, &response[end + 4..]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let field = |name: &str| {
        lines.clone().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let is_whole = match field("content-length") {
        Some(length) => body.len() >= length.parse().ok()?,
        None => field("transfer-encoding").is_some() && body.ends_with(b"0\r\n\r\n"),
    };
    is_whole.then_some(status)
}

/// What a connection with one request was.
pub struct Visit {
    pub resumed: bool,
    pub exchange: String,
    pub suite: String,
}

/// Connects, sends one request that closes the connection, reads the response and the end of the
/// connection. Fails unless the status is 200.
pub async fn visit(config: &Arc<ClientConfig>, server: SocketAddr) -> io::Result<Visit> {
    let visiting = async {
        let mut stream = connect(config, server).await?;
        let mut response = Vec::with_capacity(512);
        let status = request(&mut stream, GET_AND_CLOSE, &mut response).await?;
        if status != 200 {
            return Err(io::Error::other(format!("HTTP status {status}")));
        }
        // Some servers close without close_notify; the response was whole.
        while stream.read_buf(&mut response).await.unwrap_or(0) > 0 {}
        let (_, session) = stream.get_ref();
        let group = session.negotiated_key_exchange_group();
        let suite = session.negotiated_cipher_suite();
        Ok(Visit {
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            exchange: group.map_or_else(String::new, |group| format!("{:?}", group.name())),
            suite: suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        })
    };
    within(visiting).await
}

/// Bounds the time of an operation.
pub async fn within<T>(operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, operation)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

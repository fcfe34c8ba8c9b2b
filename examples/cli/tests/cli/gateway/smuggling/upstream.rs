//! A server that keeps every byte, and reads it as strictly as can be.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::gateway::support::PATIENCE;

/// The headers that state who sends a request. The gateway sets these, once each.
const OURS: [&str; 4] = [
    "client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-team",
];

/// The headers that a request may have besides: those of the cases, and of the gateway's own framing.
const OTHERS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "client-cert-chain",
    "x-case",
    "accept",
    "te-twin",
    "cookie",
];

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
}

/// The bytes of one connection that no request has used yet.
#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    whole: Vec<Received>,
    is_closed: bool,
}

/// One whole request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// Method and target.
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<Connection>>>::default();
        let kept = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = tcp.accept().await.unwrap();
                let mut connections = kept.lock().unwrap();
                connections.push(Connection::default());
                let number = connections.len() - 1;
                tokio::spawn(serve(stream, number, Arc::clone(&kept)));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// The whole requests since the last call. What follows them is of none: it must be the start of a request
    /// whose body the client has not finished, on a connection that the gateway closes.
    pub(super) async fn take(&self, case: &str) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            {
                let mut connections = self.connections.lock().unwrap();
                let is_quiet =
                    |connection: &Connection| connection.bytes.is_empty() || connection.is_closed;
                if connections.iter().all(is_quiet) {
                    let mut received = Vec::new();
                    for connection in connections.iter_mut() {
                        received.append(&mut connection.whole);
                        let rest = std::mem::take(&mut connection.bytes);
                        assert!(
                            head_of(&rest).is_some() || rest.is_empty(),
                            "{case}: {:?}",
                            String::from_utf8_lossy(&rest)
                        );
                    }
                    return received;
                }
            }
            assert!(
                Instant::now() < deadline,
                "{case}: an incomplete request stays open"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(mut stream: TcpStream, number: usize, kept: Arc<Mutex<Vec<Connection>>>) {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let answers = {
            let mut connections = kept.lock().unwrap();
            let connection = &mut connections[number];
            if read == 0 {
                connection.is_closed = true;
                return;
            }
            connection.bytes.extend_from_slice(&buffer[..read]);
            let mut answers = 0;
            while let Some((request, length)) = first_request(&connection.bytes) {
                connection.bytes.drain(..length);
                connection.whole.push(request);
                answers += 1;
            }
            answers
        };
        for _ in 0..answers {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    }
}

/// Bytes as Latin-1, which has a character for each of them.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The head at the start of these bytes, and its length.
fn head_of(bytes: &[u8]) -> Option<(Received, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = text(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let line = lines.next()?;
    let line = line.strip_suffix(" HTTP/1.1").expect("HTTP/1.1");
    assert_eq!(line.matches(' ').count(), 1, "{line}");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        let has_control = |text: &str| text.chars().any(|it| it.is_ascii_control());
        assert!(!has_control(name) && !has_control(value), "{line:?}");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let request = Received {
        line: line.to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    Some((request, end + 4))
}

/// The whole request at the start of these bytes, and its length.
fn first_request(bytes: &[u8]) -> Option<(Received, usize)> {
    let (mut request, mut at) = head_of(bytes)?;
    match (
        request.all("content-length").as_slice(),
        request.all("transfer-encoding").as_slice(),
    ) {
        ([], []) => {}
        ([length], []) => {
            let length: usize = length.parse().expect("a length");
            request.body = bytes.get(at..at.checked_add(length)?)?.to_vec();
            at += length;
        }
        ([], ["chunked"]) => loop {
            let rest = bytes.get(at..)?;
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let size = std::str::from_utf8(&rest[..end]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size without extensions");
            let chunk = rest.get(end + 2..(end + 2).checked_add(size)?)?;
            assert_eq!(
                rest.get(end + 2 + size..end + 4 + size)?,
                b"\r\n",
                "no trailers"
            );
            request.body.extend_from_slice(chunk);
            at += end + 4 + size;
            if size == 0 {
                break;
            }
        },
        both => panic!("two framings: {both:?}"),
    }
    Some((request, at))
}

impl Received {
    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|header| header.0 == name);
        named.map(|header| &*header.1).collect()
    }

    /// What is wrong if it is not what the gateway authorized: headers of a client that only the gateway may set,
    /// headers of no case, and the other client's path.
    pub(super) fn problem(&self) -> Option<String> {
        let is_once = |name: &&str| self.all(name).len() != 1;
        let is_odd = |(name, value): &(String, String)| {
            let is_known = OURS.contains(&&**name) || OTHERS.contains(&&**name);
            !is_known || value.contains("forged")
        };
        let path = self.line.split(['?', '#']).next().unwrap_or_default();
        let problem = if OURS.iter().chain(&["host"]).any(is_once) {
            "a header of the gateway is not there once"
        } else if self.headers.iter().any(is_odd) {
            "a header is of none of the cases, or forged"
        } else if self.all("x-team") != ["orders"]
            || self.all("x-forwarded-for") != ["127.0.0.1"]
            || !self.all("host")[0].starts_with("127.0.0.1:")
            || !self.all("x-forwarded-client-cert")[0].ends_with(";DNS=alice.example")
        {
            "a header of the gateway has another value"
        } else if path.to_ascii_lowercase().contains("admin") {
            "the path is for another client"
        } else {
            return None;
        };
        Some(format!("{problem}: {self:?}"))
    }
}

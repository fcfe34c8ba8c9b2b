//! HTTP/2 connections get GOAWAY, and finish their requests. The tests read frames, because an HTTP client
//! hides them.

use countersign::TlsStream;
use countersign::identity::CommonName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::interop::{Pki, name};
use crate::programs::PATIENCE;
use crate::running::{Server, with};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of RFC 9113, section 4.1.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What a GOAWAY says.
#[derive(Debug, PartialEq, Eq)]
struct GoAway {
    last_stream: u32,
    error: u32,
}

/// A client's side of an HTTP/2 connection.
struct Client(TlsStream<TcpStream, CommonName>);

impl Client {
    /// Connects, and says that the server may send so many bytes of each answer's body.
    async fn connect(pki: &Pki, server: &Server, window: u32) -> Self {
        let alice = pki.ca.leaf().common_name("alice").issue();
        let connector = countersign::Connector::builder()
            .credentials(alice.credentials())
            .trust(pki.ca.trust())
            .identify(CommonName::extractor())
            .authorize(countersign::policy::exact([name("server")]))
            .alpn(["h2"])
            .build()
            .unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", server.port))
            .await
            .unwrap();
        let mut stream = connector.connect("localhost", tcp).await.unwrap();
        assert_eq!(stream.peer().connection().alpn(), Some(&b"h2"[..]));
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(preface).await.unwrap();
        let mut client = Self(stream);
        let mut settings = vec![0, 4]; // SETTINGS_INITIAL_WINDOW_SIZE
        settings.extend(window.to_be_bytes());
        client.send(SETTINGS, 0, 0, &settings).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Asks for `/`.
    async fn get(&mut self, stream: u32) {
        // :method GET, :scheme https, :path /, and :authority as a literal (RFC 7541).
        let mut headers = vec![0x82, 0x87, 0x84, 0x01, 9];
        headers.extend(b"localhost");
        let flags = END_STREAM | END_HEADERS;
        self.send(HEADERS, flags, stream, &headers).await;
    }

    /// The next frame; `None` at a clean end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            if self.0.read(&mut head[..1]).await.unwrap() == 0 {
                return None;
            }
            self.0.read_exact(&mut head[1..]).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.unwrap();
            Some(Frame {
                kind: head[3],
                flags: head[4],
                stream: number(&head[5..]),
                payload,
            })
        };
        timeout(PATIENCE, read).await.expect("a frame in time")
    }

    /// The next frame that is about an answer or the end; the others are answered as they must be.
    async fn next_of_note(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => self.send(PING, ACK, 0, &frame.payload).await,
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame, which must be GOAWAY.
    async fn next_goaway(&mut self) -> GoAway {
        let frame = self.next_of_note().await.expect("GOAWAY before the end");
        assert_eq!((frame.kind, frame.stream), (GOAWAY, 0), "{frame:?}");
        GoAway {
            last_stream: number(&frame.payload[..4]),
            error: number(&frame.payload[4..8]),
        }
    }

    /// The head of a good answer.
    async fn next_head(&mut self, stream: u32) {
        let frame = self.next_of_note().await.expect("an answer");
        assert_eq!((frame.kind, frame.stream), (HEADERS, stream), "{frame:?}");
        // `:status 200` in one byte, behind a change of the table's size if there is one.
        assert!(frame.payload.contains(&0x88), "{frame:?}");
    }

    /// The next piece of a body, and whether it is the last.
    async fn next_data(&mut self, stream: u32) -> (Vec<u8>, bool) {
        let frame = self.next_of_note().await.expect("more of the body");
        assert_ne!(frame.kind, RST_STREAM, "the server broke off");
        assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
        (frame.payload, frame.flags & END_STREAM != 0)
    }
}

/// A 31-bit number of four bytes.
fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap()) & 0x7fff_ffff
}

/// The first GOAWAY announces the end, with the highest number, so that no request in transit is lost. The
/// second one has the number of the last request.
const NO_MORE: GoAway = GoAway {
    last_stream: 0x7fff_ffff,
    error: 0,
};

async fn start(pki: &Pki) -> Server {
    let options = ["--identity", "cn", "--allow", "alice"].map(Into::into);
    let files = pki.files("server", &pki.server());
    Server::start(
        &files,
        options.into_iter().chain(with("--trust", &pki.ca_file)),
    )
    .await
}

#[tokio::test]
async fn a_request_in_flight_finishes_after_goaway() {
    let pki = Pki::new();
    let server = start(&pki).await;
    // One byte of the body, and then the server has to wait.
    let mut client = Client::connect(&pki, &server, 1).await;
    client.get(1).await;
    client.next_head(1).await;
    let (mut body, last) = client.next_data(1).await;
    assert_eq!((body.as_slice(), last), (&b"{"[..], false));

    server.signal("TERM").await;
    assert_eq!(client.next_goaway().await, NO_MORE);
    let last = client.next_goaway().await;
    assert_eq!((last.last_stream, last.error), (1, 0));

    client
        .send(WINDOW_UPDATE, 0, 1, &0xffff_u32.to_be_bytes())
        .await;
    loop {
        let (piece, last) = client.next_data(1).await;
        body.extend(piece);
        if last {
            break;
        }
    }
    let about: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(about["identity"], "alice");
    assert!(client.next_of_note().await.is_none(), "then it is closed");
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn an_idle_connection_closes_after_goaway() {
    let pki = Pki::new();
    let server = start(&pki).await;
    let mut client = Client::connect(&pki, &server, 0xffff).await;
    for stream in [1, 3] {
        client.get(stream).await;
        client.next_head(stream).await;
        while !client.next_data(stream).await.1 {}
    }
    server.signal("TERM").await;
    assert_eq!(client.next_goaway().await, NO_MORE);
    let last = client.next_goaway().await;
    assert_eq!((last.last_stream, last.error), (3, 0));
    assert!(client.next_of_note().await.is_none(), "then it is closed");
    assert_eq!(server.ended().await.code, Some(0));
}

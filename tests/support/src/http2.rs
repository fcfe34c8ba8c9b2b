//! Frames of HTTP/2 by hand (RFC 9113 section 4.1), with HPACK that compresses nothing, and floods of them.

/// The preface, and SETTINGS without a change.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const ENHANCE_YOUR_CALM: u32 = 11;

/// More rounds than any server should take.
const FLOOD: u32 = 100_000;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A block of literal fields without indexing (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A length without Huffman's code (RFC 7541 section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// One frame that was sent.
pub struct Sent {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The whole frames in these bytes.
pub fn frames(mut bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(Sent {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    frames
}

/// The error codes of the GOAWAY frames in what a server sent.
pub fn goaways(sent: &[u8]) -> Vec<u32> {
    let frames = frames(sent).into_iter();
    let goaways = frames.filter(|frame| frame.kind == GOAWAY);
    goaways
        .map(|frame| u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()))
        .collect()
}

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

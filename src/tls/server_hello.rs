//! The parameters in a ServerHello. It is not encrypted, and when a handshake fails after it, nothing else
//! is known of the parameters.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

/// The parameters that a server has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello {
    pub(crate) version: ProtocolVersion,
    pub(crate) cipher_suite: CipherSuite,
    /// With TLS 1.3. With TLS 1.2 it is in another message.
    pub(crate) group: Option<NamedGroup>,
}

/// The random of a HelloRetryRequest (RFC 8446 section 4.1.3): SHA-256 of its name.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

/// Reads the ServerHello from what a server sends, in pieces of any size.
///
/// It is the first message of a server, or the second after a HelloRetryRequest. Any other message stops
/// the search, because a peer can choose what follows on the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerHelloReader {
    bytes: Vec<u8>,
    is_done: bool,
    found: Option<ServerHello>,
}

impl ServerHelloReader {
    /// More than a HelloRetryRequest and a ServerHello take, with a hybrid key share.
    const LIMIT: usize = 4096;

    /// The choices so far: those of the HelloRetryRequest until the ServerHello is there.
    pub(super) const fn found(&self) -> Option<ServerHello> {
        self.found
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.is_done {
            return;
        }
        let room = Self::LIMIT.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let wants_more = self.read().is_none() && self.bytes.len() < Self::LIMIT;
        if !wants_more {
            self.is_done = true;
            self.bytes = Vec::new();
        }
    }

    /// Reads from the start of the stream; `None` if more bytes are needed.
    fn read(&mut self) -> Option<()> {
        let mut rest = self.bytes.as_slice();
        loop {
            let [kind, _, _, length @ ..] = *take(&mut rest, 5)?.first_chunk::<5>()?;
            let length = usize::from(u16::from_be_bytes(length));
            let received = rest.get(..length).unwrap_or(rest);
            let goes_on = match kind {
                CHANGE_CIPHER_SPEC => true, // RFC 8446 appendix D.4
                HANDSHAKE => {
                    let Some(message) = server_hello(received, length)? else {
                        return Some(());
                    };
                    self.found = ServerHello::read(message).or(self.found);
                    message.get(2..34) == Some(&RETRY)
                }
                _ => false,
            };
            if !goes_on {
                return Some(());
            }
            take(&mut rest, length)?;
        }
    }
}

/// The body of the ServerHello that a record of this length begins with; `Some(None)` if it begins with
/// anything else, or if the message continues in another record.
fn server_hello(received: &[u8], length: usize) -> Option<Option<&[u8]>> {
    const HEADER: usize = 4;

    let Some(&kind) = received.first() else {
        return (length == 0).then_some(None);
    };
    if kind != SERVER_HELLO {
        return Some(None);
    }
    let Some((header, body)) = received.split_first_chunk::<HEADER>() else {
        return (length < HEADER).then_some(None);
    };
    let size = u32::from_be_bytes([0, header[1], header[2], header[3]]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > length - HEADER {
        return Some(None);
    }
    body.get(..size).map(Some)
}

impl ServerHello {
    /// Reads it from the message's body (RFC 8446 section 4.1.3); `None` if it is malformed.
    fn read(body: &[u8]) -> Option<Self> {
        const SUPPORTED_VERSIONS: u16 = 43;
        const KEY_SHARE: u16 = 51;

        let mut rest = body;
        let mut version = number(&mut rest)?;
        take(&mut rest, 32)?; // random
        let session_id = usize::from(*take(&mut rest, 1)?.first()?);
        take(&mut rest, session_id)?;
        let cipher_suite = number(&mut rest)?;
        take(&mut rest, 1)?; // compression
        let mut group = None;
        // TLS 1.2 may have no extensions.
        if !rest.is_empty() {
            let length = number(&mut rest)?;
            let mut extensions = take(&mut rest, length.into())?;
            while !extensions.is_empty() {
                let kind = number(&mut extensions)?;
                let length = number(&mut extensions)?;
                let mut value = take(&mut extensions, length.into())?;
                match kind {
                    SUPPORTED_VERSIONS => version = number(&mut value)?,
                    KEY_SHARE => group = Some(number(&mut value)?.into()),
                    _ => {}
                }
            }
        }
        Some(Self {
            version: version.into(),
            cipher_suite: cipher_suite.into(),
            group,
        })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    let octets = take(bytes, 2)?;
    Some(u16::from_be_bytes(octets.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u16).to_be_bytes();
        [&[kind, 3, 3][..], &length, content].concat()
    }

    fn hello(random: [u8; 32], suite: u8, extensions: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend(random);
        body.extend([4, 1, 2, 3, 4]); // session id
        body.extend([0x13, suite, 0]);
        if let Some(extensions) = extensions {
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        [&[SERVER_HELLO, 0, 0, body.len() as u8][..], &body].concat()
    }

    fn tls13(random: [u8; 32], suite: u8) -> Vec<u8> {
        let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 5, 0x11, 0xec, 0, 1, 9];
        record(HANDSHAKE, &hello(random, suite, Some(&extensions)))
    }

    fn read(pieces: &[&[u8]]) -> Option<ServerHello> {
        let mut reader = ServerHelloReader::default();
        pieces.iter().for_each(|piece| reader.feed(piece));
        reader.found()
    }

    const CHOICES: ServerHello = ServerHello {
        version: ProtocolVersion::TLSv1_3,
        cipher_suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
        group: Some(NamedGroup::X25519MLKEM768),
    };

    #[test]
    fn the_choices_are_read() {
        assert_eq!(read(&[&tls13([7; 32], 2)]), Some(CHOICES));
        let old = hello([7; 32], 2, None);
        // TLS 1.2: another message in the same record.
        let old = record(HANDSHAKE, &[&old[..], &[11, 0, 0, 3, 0, 0, 0]].concat());
        let old = read(&[&old]).expect("a ServerHello");
        assert_eq!((old.version, old.group), (ProtocolVersion::TLSv1_2, None));
    }

    #[test]
    fn the_choices_are_read_from_pieces_of_any_size() {
        let stream = [
            tls13(RETRY, 1),
            record(CHANGE_CIPHER_SPEC, &[1]),
            tls13([7; 32], 2),
            tls13([7; 32], 3), // after the ServerHello: nothing is read
        ]
        .concat();
        for size in 1..stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(read(&pieces), Some(CHOICES), "{size}");
        }
        let retry = read(&[&tls13(RETRY, 1)]).expect("a HelloRetryRequest");
        let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
        assert_eq!(retry.cipher_suite, suite);
    }

    #[test]
    fn nothing_is_read_from_a_part_of_it() {
        let good = tls13([7; 32], 2);
        for end in 0..good.len() {
            assert_eq!(read(&[&good[..end]]), None, "{end}");
        }
    }

    #[test]
    fn nothing_is_read_after_anything_else() {
        let good = tls13([7; 32], 2);
        for other in [
            record(23, &[0; 40]),
            record(21, &[2, 40]),
            record(HANDSHAKE, &[1, 0, 0, 1, 0]),
            record(HANDSHAKE, &[]),
            record(HANDSHAKE, &[SERVER_HELLO]),
            record(HANDSHAKE, &[SERVER_HELLO, 1, 0, 0, 0]), // in two records
            vec![0],
            vec![CHANGE_CIPHER_SPEC; ServerHelloReader::LIMIT],
        ] {
            assert_eq!(read(&[&other, &good]), None, "{other:?}");
        }
        for (at, octet) in [(0, 23), (5, 1), (43, 0xff)] {
            let mut bad = good.clone();
            bad[at] = octet;
            assert_eq!(read(&[&bad]), None, "octet {at}");
        }
    }
}

//! What a ServerHello says: it crosses in the clear, and is all that is known of the parameters when a
//! handshake fails after it.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

/// The parameters that a server has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello {
    pub(crate) version: ProtocolVersion,
    pub(crate) cipher_suite: CipherSuite,
    /// Of TLS 1.3: before, it stands in another message.
    pub(crate) group: Option<NamedGroup>,
}

impl ServerHello {
    /// Reads it from the record that it begins (RFC 8446 sections 4.1.3 and 5.1); `None` for anything
    /// else. A HelloRetryRequest has the same form, and the ServerHello comes after it.
    pub(crate) fn read(record: &[u8]) -> Option<Self> {
        const HANDSHAKE: u8 = 22;
        const SERVER_HELLO: u8 = 2;
        const SUPPORTED_VERSIONS: u16 = 43;
        const KEY_SHARE: u16 = 51;

        let mut rest = record;
        if take(&mut rest, 1)? != [HANDSHAKE] {
            return None;
        }
        take(&mut rest, 4)?; // version and length of the record
        if take(&mut rest, 1)? != [SERVER_HELLO] {
            return None;
        }
        take(&mut rest, 3)?; // length of the message
        let mut version = number(&mut rest)?;
        take(&mut rest, 32)?; // random
        let session_id = usize::from(*take(&mut rest, 1)?.first()?);
        take(&mut rest, session_id)?;
        let cipher_suite = number(&mut rest)?;
        take(&mut rest, 1)?; // compression
        let mut group = None;
        // TLS 1.2 may have no extensions.
        if let Some(length) = number(&mut rest) {
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

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([4, 1, 2, 3, 4]); // session id
        body.extend([0x13, 0x02, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![2, 0, 0, body.len() as u8];
        message.extend(body);
        let mut record = vec![22, 3, 3, 0, message.len() as u8];
        record.extend(message);
        record
    }

    #[test]
    fn the_choices_are_read() {
        let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 5, 0x11, 0xec, 0, 1, 9];
        assert_eq!(
            ServerHello::read(&hello(&extensions)),
            Some(ServerHello {
                version: ProtocolVersion::TLSv1_3,
                cipher_suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
                group: Some(NamedGroup::X25519MLKEM768),
            })
        );
        let old = ServerHello::read(&hello(&[])).expect("a ServerHello");
        assert_eq!((old.version, old.group), (ProtocolVersion::TLSv1_2, None));
    }

    #[test]
    fn nothing_is_read_from_anything_else() {
        let good = hello(&[0, 43, 0, 2, 3, 4]);
        for end in 0..good.len() {
            // Cut off, it says nothing; without its extensions' length it is one of TLS 1.2.
            let read = ServerHello::read(&good[..end]);
            assert!(read.is_none_or(|read| read.version == ProtocolVersion::TLSv1_2));
        }
        for (at, octet) in [(0, 23), (5, 1), (43, 0xff)] {
            let mut bad = good.clone();
            bad[at] = octet;
            assert_eq!(ServerHello::read(&bad), None, "octet {at}");
        }
    }
}

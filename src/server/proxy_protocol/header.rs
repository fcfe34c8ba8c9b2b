//! A header of either version.

use std::net::SocketAddr;

use super::{HeaderError, v1, v2};

/// What a PROXY header states about its connection.
///
/// ```
/// use countersign::proxy_protocol::{Header, Parsed};
///
/// let received = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n\x16\x03\x01";
/// let Parsed::Complete { header, length } = Header::parse(received)? else {
///     panic!("it is complete");
/// };
/// assert_eq!(header.source(), Some("192.0.2.7:4711".parse()?));
/// assert_eq!(&received[length..], b"\x16\x03\x01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Header {
    /// The connection is the proxy's own, such as a health check (command LOCAL).
    Local,
    /// The proxy forwards a client that has no address, or whose address it does not know (UNKNOWN,
    /// UNSPEC, Unix sockets).
    Unknown,
    /// The proxy forwards a client over TCP.
    Tcp {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// The result of reading the first bytes of a connection.
///
/// ```
/// use countersign::proxy_protocol::{Header, Parsed};
///
/// // Read two more bytes, and no more: they are the header's in any case.
/// let parsed = Header::parse(b"PROXY UNKNOWN");
/// assert_eq!(parsed, Ok(Parsed::Incomplete { missing: 2 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is complete.
    Complete {
        /// What it states.
        header: Header,
        /// Its length in bytes. What follows is the client's.
        length: usize,
    },
    /// The bytes begin a header.
    Incomplete {
        /// How many bytes are missing at least. A reader that reads no more than these never reads a
        /// byte after the header.
        missing: usize,
    },
}

impl Header {
    /// The maximum length of a header, in bytes: 4,096. A header of version 1 has at most 107.
    pub const MAX: usize = 4096;

    /// Reads a header of either version from the first bytes of a connection.
    ///
    /// Type-length-values of version 2 are checked for their lengths and skipped, except the checksum
    /// (CRC-32C), which is verified.
    ///
    /// # Errors
    /// [`HeaderError`]: the bytes begin no header (a TLS record, HTTP); an address with a leading zero or
    /// of the wrong family; a port such as `+80`; two spaces; a line feed without a carriage return; a
    /// family or command that the specification does not define; datagrams; a length that does not fit; a
    /// wrong checksum; a source address that no client can have (unspecified, multicast).
    ///
    /// # Security
    /// Only a peer whose address is known to be a proxy's may be believed. Any client can write such a
    /// header.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
        let begins =
            |signature: &[u8]| bytes.iter().zip(signature).all(|(one, other)| one == other);
        if bytes.is_empty() {
            let missing = v1::SHORTEST.min(v2::HEAD);
            Ok(Parsed::Incomplete { missing })
        } else if begins(v2::SIGNATURE) {
            v2::parse(bytes)
        } else if begins(v1::SIGNATURE) {
            v1::parse(bytes)
        } else {
            Err(HeaderError::Missing)
        }
    }

    /// The client's address, if the header has one.
    pub const fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { source, .. } => Some(*source),
            Self::Local | Self::Unknown => None,
        }
    }

    /// Two addresses of a connection over TCP.
    pub(super) fn tcp(source: SocketAddr, destination: SocketAddr) -> Result<Self, HeaderError> {
        let ip = source.ip().to_canonical();
        let is_broadcast = matches!(ip, std::net::IpAddr::V4(ip) if ip.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
            let problem = "its source address is one that no client can have";
            return Err(HeaderError::Malformed(problem));
        }
        Ok(Self::Tcp {
            source,
            destination,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_no_header() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET / HTTP/1.1\r\n",
            b"proxy ",
            b"\r\n\r\n\0\r\nX",
            b"PROXX",
            b"\0",
        ] {
            assert_eq!(Header::parse(bytes), Err(HeaderError::Missing), "{bytes:?}");
        }
    }

    /// A reader that follows `missing` reads the header and nothing after it.
    #[test]
    fn no_byte_after_the_header_is_asked_for() {
        let mut v2 = [v2::SIGNATURE, &[0x21, 0x11, 0, 12 + 5]].concat();
        v2.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb]);
        v2.extend([4, 0, 2, 0, 0]);
        let headers: [&[u8]; 6] = [
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ::1 ::2 whatever\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n",
            b"PROXY TCP6 fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 2001:db8::1 65535 65535\r\n",
            &v2,
        ];
        for whole in headers {
            let mut read = 0;
            loop {
                match Header::parse(&whole[..read]) {
                    Ok(Parsed::Complete { length, .. }) => {
                        assert_eq!((length, read), (whole.len(), whole.len()));
                        break;
                    }
                    Ok(Parsed::Incomplete { missing }) => {
                        assert!(missing > 0);
                        read += missing;
                        assert!(read <= whole.len(), "{whole:?}: {read}");
                    }
                    Err(error) => panic!("{whole:?}: {error}"),
                }
            }
            // Every other split is a prefix too.
            for end in 0..whole.len() {
                let parsed = Header::parse(&whole[..end]);
                assert!(
                    matches!(parsed, Ok(Parsed::Incomplete { missing }) if missing <= whole.len() - end),
                    "{end}: {parsed:?}"
                );
            }
        }
    }
}

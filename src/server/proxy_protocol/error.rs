//! Why a PROXY header is refused.

use std::borrow::Cow;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;

/// Why a PROXY header is refused.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::proxy_protocol::{Header, HeaderError};
///
/// // A TLS record in the place of a header.
/// let error = Header::parse(&[0x16, 0x03, 0x01]).unwrap_err();
/// assert_eq!(error, HeaderError::Missing);
/// assert_eq!(error.reason(), "proxy_header_missing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first bytes are not those of a header.
    Missing,
    /// The header is malformed.
    Malformed(&'static str),
    /// The header is longer than [`Header::MAX`](super::Header::MAX), or than 107 bytes in version 1.
    TooLong,
    /// The checksum of the header (CRC-32C) is wrong.
    BadChecksum,
    /// The proxy closed the connection within the header.
    Closed,
    /// The header was not complete within the handshake timeout.
    TimedOut,
    /// The connection failed within the header.
    Io,
}

impl HeaderError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "proxy_header_missing",
            Self::Malformed(_) => "proxy_header_malformed",
            Self::TooLong => "proxy_header_too_long",
            Self::BadChecksum => "proxy_header_bad_checksum",
            Self::Closed => "proxy_header_closed",
            Self::TimedOut => "proxy_header_timed_out",
            Self::Io => "proxy_header_io",
        }
    }
}

impl Diagnostic for HeaderError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => "the connection of a trusted proxy does not begin with a PROXY header",
            Self::Malformed(problem) => {
                return format!("the PROXY header is malformed: {problem}").into();
            }
            Self::TooLong => "the PROXY header is too long",
            Self::BadChecksum => "the checksum of the PROXY header is wrong",
            Self::Closed => "the proxy closed the connection within the PROXY header",
            Self::TimedOut => "the PROXY header was not complete within the handshake timeout",
            Self::Io => "the connection failed within the PROXY header",
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => {
                "turn the header on in the proxy (HAProxy: send-proxy-v2, nginx: proxy_protocol on), or take its address out of proxy_protocol()"
            }
            Self::Malformed(_) => {
                "see what sends it, and which version of the PROXY protocol it has"
            }
            Self::TooLong => "have the proxy send fewer or shorter TLVs",
            Self::BadChecksum => "see what changes the bytes between the proxy and this server",
            Self::Closed => "if it is a health check, have it send the header too (HAProxy: check-send-proxy)",
            Self::TimedOut => "see why the proxy is slow, or raise handshake_timeout()",
            Self::Io => "check the network, and try again",
        }
        .into()
    }
}

display_diagnostic!(HeaderError);

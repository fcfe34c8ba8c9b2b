//! Headers that a proxy must not forward.

use http::HeaderName;
use http::header::{self, HeaderMap};

/// Removes the headers of one connection (RFC 9110 section 7.6.1), in either direction.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let options: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .collect();
    for name in options {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

/// Removes the headers that the gateway's own request to the upstream sets.
pub(super) fn strip_addressing(headers: &mut HeaderMap) {
    for name in [header::HOST, header::EXPECT, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
}

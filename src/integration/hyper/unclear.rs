//! Requests whose head another server could read differently: as for another host, or with another body.
//!
//! hyper reads these without an error. A server that rejects them cannot disagree with a proxy before it, or
//! with a server behind it, about the host that a request is for or about where it ends.

use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{Request, Version};

/// What is unclear about a request.
pub(super) fn unclear<B>(request: &Request<B>) -> Option<&'static str> {
    let is_http1 = request.version() < Version::HTTP_2;
    let (mut host, mut has_coding) = (None, false);
    // In one pass: a lookup hashes the name, which takes longer than to compare it with the few headers of a request.
    for (name, value) in request.headers() {
        if *name == HOST {
            if host.replace(value.as_bytes()).is_some() {
                return Some("two Host headers");
            }
        } else if is_http1 && *name == TRANSFER_ENCODING {
            // RFC 9112 section 6.1: no other coding than chunked, and that once, frames a body here.
            let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            if !is_chunked || has_coding {
                return Some("a transfer coding other than chunked");
            }
            has_coding = true;
        }
    }
    let authority = request.uri().authority().map(|it| it.as_str().as_bytes());
    // RFC 9112 section 3.2 and RFC 9113 section 8.3.1.
    match host {
        None if request.version() == Version::HTTP_11 => Some("no Host header"),
        None => authority
            .is_some_and(|authority| !is_host(authority))
            .then_some("an invalid authority"),
        Some(host) if !is_host(host) => Some("an invalid Host header"),
        Some(host) => authority
            .is_some_and(|authority| !authority.eq_ignore_ascii_case(host))
            .then_some("a Host header that differs from the authority"),
    }
}

/// A host with or without a port (RFC 3986 section 3.2), without userinfo and without the delimiters that no host
/// has.
fn is_host(text: &[u8]) -> bool {
    let (is_valid, port) = if let Some(address) = text.strip_prefix(b"[") {
        let end = address.iter().position(|byte| *byte == b']');
        let Some((address, port)) = end.and_then(|end| address.split_at_checked(end)) else {
            return false;
        };
        let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.%".contains(byte);
        let is_valid = !address.is_empty() && address.iter().all(is_of_address);
        (is_valid, port.get(1..).unwrap_or_default())
    } else {
        let end = text.iter().position(|byte| !IS_OF_NAME[usize::from(*byte)]);
        let (name, port) = text.split_at(end.unwrap_or(text.len()));
        (!name.is_empty(), port)
    };
    let is_port = match port.split_first() {
        None => true,
        Some((colon, digits)) => *colon == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    is_valid && is_port
}

/// The bytes of a host's name: a table, because every request has one.
static IS_OF_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in [
            "a",
            "A.example",
            "a:8443",
            "127.0.0.1",
            "[::1]",
            "[::1]:8443",
            "a_b",
            "a:",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":443", "a b", "a,b", "a@b", "a/b", "a:b", "a:1:2", "[", "[]", "[::1", "[::1]a",
            "::1", "a?b", "a#b", "a\\b", "ü",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        for byte in 0..=u8::MAX {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            assert_eq!(is_host(&[b'a', byte, b'a']), is_plain, "{byte}");
        }
    }

    #[test]
    fn a_request_has_one_host_and_one_framing() {
        let of = |version, uri: &str, headers: &[(&'static str, &str)]| {
            let mut request = Request::builder().version(version).uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            unclear(&request.body(()).expect("a request"))
        };
        let (http10, http11, http2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, uri, headers) in [
            (http10, "/", &[][..]),
            (http11, "/", &[("host", "a")]),
            (
                http11,
                "/",
                &[("host", "a"), ("transfer-encoding", "Chunked")],
            ),
            (http11, "http://a/", &[("host", "A")]),
            (http2, "https://a/", &[]),
            (http2, "https://a/", &[("host", "a")]),
            (http2, "/", &[]),
            (http2, "/", &[("host", "a")]),
        ] {
            assert_eq!(
                of(version, uri, headers),
                None,
                "{version:?} {uri} {headers:?}"
            );
        }
        for (version, uri, headers, why) in [
            (http11, "/", &[][..], "no Host"),
            (http11, "/", &[("host", "a"), ("host", "a")], "two Host"),
            (http10, "/", &[("host", "a"), ("host", "b")], "two Host"),
            (http11, "/", &[("host", "a@b")], "an invalid Host"),
            (http11, "http://b/", &[("host", "a")], "differs"),
            (
                http11,
                "/",
                &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
                "coding",
            ),
            (
                http11,
                "/",
                &[
                    ("host", "a"),
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                "coding",
            ),
            (http2, "https://a/", &[("host", "b")], "differs"),
            (
                http2,
                "https://a/",
                &[("host", "a"), ("host", "a")],
                "two Host",
            ),
            (http2, "https://b@a/", &[], "an invalid authority"),
        ] {
            let found = of(version, uri, headers);
            assert!(
                found.is_some_and(|it| it.contains(why)),
                "{version:?} {uri} {headers:?}: {found:?}"
            );
        }
    }
}

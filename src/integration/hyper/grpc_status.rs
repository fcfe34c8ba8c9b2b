//! The details of a gRPC status: `google.rpc.Status` with one `google.rpc.ErrorInfo`.
//!
//! Two small messages, written here so that a server of HTTP needs no library of protobuf.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderValue};

/// The domain of our reasons.
pub(crate) const DOMAIN: &str = "countersign";
/// gRPC's status codes.
pub(crate) const UNAVAILABLE: u8 = 14;

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// The details that name this reason, with entries of metadata.
pub(crate) fn details(code: u8, message: &str, reason: &str, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut info = Vec::new();
    field(&mut info, 1, reason.as_bytes());
    field(&mut info, 2, DOMAIN.as_bytes());
    for (key, value) in metadata {
        let mut entry = Vec::new();
        field(&mut entry, 1, key.as_bytes());
        field(&mut entry, 2, value.as_bytes());
        field(&mut info, 3, &entry);
    }
    let mut any = Vec::new();
    field(&mut any, 1, ERROR_INFO.as_bytes());
    field(&mut any, 2, &info);
    let mut status = vec![1 << 3, code]; // field 1, a varint
    field(&mut status, 2, message.as_bytes());
    field(&mut status, 3, &any);
    status
}

/// Appends a length-delimited field.
fn field(message: &mut Vec<u8>, number: u8, content: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;

    message.push(number << 3 | LENGTH_DELIMITED);
    let mut length = content.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend(content);
}

/// The trailers of a call that ends with `UNAVAILABLE` for this reason.
pub(super) fn unavailable(reason: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers.insert("grpc-status", HeaderValue::from(u16::from(UNAVAILABLE)));
    trailers.insert("grpc-message", HeaderValue::from_static(reason));
    let details = STANDARD_NO_PAD.encode(details(UNAVAILABLE, reason, reason, &[]));
    if let Ok(details) = HeaderValue::try_from(details) {
        trailers.insert("grpc-status-details-bin", details);
    }
    trailers
}

/// The reason in the details of a status, which any server may have written.
#[cfg(feature = "tonic")]
pub(crate) fn reason_in(details: &[u8]) -> Option<&str> {
    fields(details)
        .filter(|&(number, _)| number == 3)
        .filter_map(|(_, any)| {
            let is_info = first(any, 1) == Some(ERROR_INFO.as_bytes());
            is_info.then(|| first(any, 2)).flatten()
        })
        .filter(|info| first(info, 2) == Some(DOMAIN.as_bytes()))
        .find_map(|info| std::str::from_utf8(first(info, 1)?).ok())
}

#[cfg(feature = "tonic")]
fn first(message: &[u8], wanted: u64) -> Option<&[u8]> {
    fields(message).find_map(|(number, content)| (number == wanted).then_some(content))
}

/// The length-delimited fields of a message, until something else than protobuf follows.
#[cfg(feature = "tonic")]
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut message)?;
            let fixed = match key & 7 {
                0 => {
                    varint(&mut message)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (content, rest) = message.split_at_checked(fixed)?;
            message = rest;
            if key & 7 == 2 {
                return Some((key >> 3, content));
            }
        }
    })
}

#[cfg(feature = "tonic")]
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(all(test, feature = "tonic"))]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_back() {
        let long = "x".repeat(300);
        for (message, metadata) in [("", &[][..]), (&*long, &[("alert", "access_denied")])] {
            let details = details(7, message, "alert_received", metadata);
            assert_eq!(reason_in(&details), Some("alert_received"));
            // Of a server that cuts it short: no reason, and no panic.
            for end in 0..details.len() {
                assert_eq!(reason_in(&details[..end]), None);
            }
        }
    }

    #[test]
    fn only_our_reasons_are_read() {
        let ours = details(14, "", "max_age", &[]);
        assert_eq!(reason_in(&ours), Some("max_age"));
        let text = String::from_utf8(ours).unwrap();
        let theirs = text.replace(DOMAIN, "countersigm");
        assert_eq!(reason_in(theirs.as_bytes()), None);
        let other = text.replace("ErrorInfo", "ErrorInfa");
        assert_eq!(reason_in(other.as_bytes()), None);
        for bytes in [
            &[0xff; 40][..],
            &[0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            b"\x1b",
        ] {
            assert_eq!(reason_in(bytes), None);
        }
    }
}

//! Certificates as PEM in URL encoding: Envoy, nginx and AWS.

use super::ders::{Der, MOST, Unreadable, certificate};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Certificates in PEM (RFC 7468), with nothing between, before or after them.
pub(super) fn certificates(encoded: &[u8]) -> Result<Vec<Der>, Unreadable> {
    let malformed = Unreadable::Malformed("it is not PEM with certificates and nothing else");
    let text = decoded(encoded)?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let mut lines = text.split(|byte| *byte == b'\n').map(without_return);
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        if line != BEGIN {
            return Err(malformed);
        }
        if all.len() == MOST {
            return Err(Unreadable::TooLarge);
        }
        let mut base64 = Vec::new();
        loop {
            match lines.next() {
                Some(END) => break,
                Some(line) if !line.is_empty() => base64.extend(line),
                _ => return Err(malformed),
            }
        }
        all.push(certificate(&base64)?);
    }
    Ok(all)
}

/// A line may end with a carriage return and a line feed.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Decodes percent-encoding, once. `+` is itself, and not a space.
///
/// The proxies encode at most what has a meaning in a URL. An encoded letter is none of theirs.
fn decoded(encoded: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let malformed = Unreadable::Malformed("its URL encoding is not that of a proxy");
    let mut text = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    loop {
        match rest {
            [] => return Ok(text),
            [b'%', high, low, after @ ..] => {
                let byte = digit(*high).zip(digit(*low));
                let byte = byte.map(|(high, low)| high << 4 | low).ok_or(malformed)?;
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'%' | 0) {
                    return Err(malformed);
                }
                text.push(byte);
                rest = after;
            }
            [byte, after @ ..] if byte.is_ascii_alphanumeric() || b"-+/=".contains(byte) => {
                text.push(*byte);
                rest = after;
            }
            _ => return Err(malformed),
        }
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

//! Certificates in base64: RFC 9440 and HAProxy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::der::{Reader, SEQUENCE, single};

/// The DER of one certificate.
pub(super) type Der = Vec<u8>;

/// The most certificates of a chain: the gate's default limit.
pub(super) const MOST: usize = 10;

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    TooLarge,
    Malformed(&'static str),
    /// A part contradicts the certificate.
    Differs(&'static str),
}

/// Canonical base64 with padding, and bytes that are one SEQUENCE.
pub(super) fn certificate(text: &[u8]) -> Result<Der, Unreadable> {
    let der = base64(text)?;
    match single(&der, SEQUENCE) {
        Ok(_) => Ok(der),
        Err(_) => Err(Unreadable::Malformed("it is not one certificate")),
    }
}

pub(super) fn base64(text: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if text.is_empty() {
        return Err(Unreadable::Malformed("it is empty"));
    }
    // The engine rejects missing padding, bits after the end, and every other character.
    STANDARD
        .decode(text)
        .map_err(|_| Unreadable::Malformed("it is not canonical base64"))
}

/// A Byte Sequence (RFC 8941 section 3.3.5) without parameters.
pub(super) fn byte_sequence(value: &[u8]) -> Result<Der, Unreadable> {
    let inner = value
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b":"));
    let inner = inner.ok_or(Unreadable::Malformed(
        "it is not one byte sequence, :base64:",
    ))?;
    certificate(inner)
}

/// A List of Byte Sequences (RFC 8941 section 3.1).
pub(super) fn byte_sequences(value: &[u8]) -> Result<Vec<Der>, Unreadable> {
    let mut all = Vec::new();
    for member in value.split(|byte| *byte == b',') {
        if all.len() == MOST {
            return Err(Unreadable::TooLarge);
        }
        all.push(byte_sequence(trim(member))?);
    }
    Ok(all)
}

/// Without the optional whitespace of HTTP.
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

/// HAProxy's `ssl_c_chain_der`: certificates one after the other, in base64. With some versions of its TLS
/// library, the first is the leaf.
pub(super) fn concatenated(text: &[u8], leaf: &[u8]) -> Result<Vec<Der>, Unreadable> {
    if text.is_empty() {
        return Ok(Vec::new()); // HAProxy's header for a client that sent the leaf alone
    }
    let bytes = base64(text)?;
    let mut reader = Reader::new(&bytes);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let certificate = reader.expect(SEQUENCE);
        let certificate = certificate
            .map_err(|_| Unreadable::Malformed("it is not a sequence of certificates"))?;
        if all.len() == MOST {
            return Err(Unreadable::TooLarge);
        }
        all.push(certificate.whole.to_vec());
    }
    if all.first().is_some_and(|first| first == leaf) {
        all.remove(0);
    }
    Ok(all)
}

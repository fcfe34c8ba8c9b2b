//! The readers of the first bytes of a connection: what they read does not depend on how the bytes arrive,
//! and rustls reads the same ServerHello.
//!
//! The first byte is the size of the pieces, which grows with each.
#![no_main]

use countersign::fuzzing::{leaf_of_session, server_hello, transcript};
use libfuzzer_sys::fuzz_target;
use rustls::internal::msgs::base::Payload;
use rustls::internal::msgs::codec::Codec as _;
use rustls::internal::msgs::message::{Message, PlainMessage};
use rustls::internal::msgs::persist::ServerSessionValue;
use rustls::{CipherSuite, ContentType, NamedGroup, ProtocolVersion};

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else {
        return;
    };
    let mut pieces = Vec::new();
    let (mut rest, mut size) = (bytes, usize::from(size));
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(size + 1));
        pieces.push(piece);
        rest = after;
        size = size.wrapping_mul(3) % 300;
    }
    let hello = server_hello([bytes]);
    assert_eq!(server_hello(pieces.iter().copied()), hello);
    if bytes.len() < 600 {
        assert_eq!(server_hello(bytes.chunks(1)), hello);
    }
    if let Some(theirs) = by_rustls(bytes) {
        let (version, suite, group) = hello.expect("rustls reads a ServerHello");
        // rustls does not publish the fields of its messages.
        let has = |text: String| assert!(theirs.contains(&text), "{text}: {theirs}");
        has(format!("{:?}", ProtocolVersion::from(version)));
        has(format!("cipher_suite: {:?}", CipherSuite::from(suite)));
        if let Some(group) = group {
            has(format!("group: {:?}", NamedGroup::from(group)));
        }
    }

    let messages = transcript([bytes]);
    assert_eq!(transcript(pieces), messages);
    assert_eq!(messages, by_message(bytes));

    if let Some(leaf) = leaf_of_session(bytes) {
        assert!(leaf.is_empty() || bytes.windows(leaf.len()).any(|window| window == leaf));
    }
    if let Ok(session) = ServerSessionValue::read_bytes(bytes) {
        let text = format!("{session:?}");
        let has_leaf = text.contains("client_cert_chain: Some(")
            && !text.contains("client_cert_chain: Some(CertificateChain([]))");
        assert_eq!(leaf_of_session(bytes).is_some(), has_leaf, "{text}");
    }
});

/// The ServerHello that is the first record, if rustls reads one.
fn by_rustls(bytes: &[u8]) -> Option<String> {
    let [22, _, _, high, low, rest @ ..] = bytes else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // Our reader stops at 4,096 bytes.
    let record = rest.get(..length).filter(|record| record.len() < 4000)?;
    let message = Message::try_from(PlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: Payload::Owned(record.to_vec()),
    });
    let text = format!("{:?}", message.ok()?.payload);
    text.contains("HandshakeMessagePayload(ServerHello(")
        .then_some(text)
}

/// The messages of a transcript, read as a whole.
fn by_message(mut bytes: &[u8]) -> (bool, Option<u8>) {
    let (mut asked, mut last) = (false, None);
    while let [kind, a, b, c, rest @ ..] = bytes {
        asked |= *kind == 13;
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(after) = rest.get(length..) else {
            return (asked, None);
        };
        last = Some(*kind);
        bytes = after;
    }
    (asked, last.filter(|_| bytes.is_empty()))
}

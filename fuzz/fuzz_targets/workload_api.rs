//! What a SPIFFE agent sends: X.509-SVIDs, JWT-SVIDs and validated claims in protobuf.
//!
//! The first byte chooses the message and which identity is wanted.
#![no_main]

mod shared;

use countersign::identity::{IdentityExtractor as _, SpiffeId};
use countersign::integration::spiffe::fuzzing::{jwt, validated, x509};
use libfuzzer_sys::fuzz_target;
use shared::text::refused;

fuzz_target!(|input: &[u8]| {
    let Some((kind, message)) = input.split_first() else {
        return;
    };
    match kind % 5 {
        0 => svid(message, None, None),
        1 => svid(message, None, Some("internal".into())),
        2 => svid(
            message,
            "spiffe://example.org/ns/billing".parse().ok(),
            None,
        ),
        3 => {
            let Some(tokens) = jwt(message) else { return };
            let length =
                |(id, token, hint): &(String, String, String)| id.len() + token.len() + hint.len();
            assert!(tokens.iter().map(length).sum::<usize>() <= message.len());
            assert_eq!(jwt(&later_version(message)), Some(tokens));
        }
        _ => {
            let Some((id, claims)) = validated(message) else {
                return;
            };
            // Claims are written as JSON, and read back as they are.
            let json = serde_json::to_string(&claims).expect("JSON");
            let again = serde_json::from_str(&json);
            let again: serde_json::Map<_, _> =
                again.expect("no deeper than a reader of JSON allows");
            assert_eq!(again.len(), claims.len());
            assert_eq!(validated(&later_version(message)), Some((id, claims)));
        }
    }
});

fn svid(message: &[u8], id: Option<SpiffeId>, hint: Option<String>) {
    let Some(read) = x509(message, id.clone(), hint.clone()) else {
        return;
    };
    match read {
        Err(error) => refused(&error),
        Ok((read, credentials, bundles, _)) => {
            if let Some(id) = &id {
                assert_eq!(read, *id);
            }
            let named = SpiffeId::extractor().extract(credentials.certificate());
            assert_eq!(named.as_ref(), Ok(&read));
            for domain in bundles.trust_domains() {
                let store = bundles.get(domain).expect("it is listed");
                assert!(!store.is_empty());
            }
            let again = x509(&later_version(message), id, hint);
            let (again, ..) = again.expect("protobuf").expect("the same");
            assert_eq!(read, again);
        }
    }
}

/// The message with a field that this version does not know, which changes nothing.
fn later_version(message: &[u8]) -> Vec<u8> {
    const FIELD_15_IS_7: [u8; 2] = [15 << 3, 7];
    [message, &FIELD_15_IS_7].concat()
}

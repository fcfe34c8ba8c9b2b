//! PROXY headers: changed in any way, cut at any place, or followed by anything.

use countersign::proxy_protocol::{Header, Parsed};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        block,
    ]
    .concat()
}

fn headers() -> Vec<Vec<u8>> {
    let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x21, 0x11, &v4),
        v2(
            0x21,
            0x11,
            &[&v4[..], &[1, 0, 2, b'h', b'2', 4, 0, 0]].concat(),
        ),
        v2(0x21, 0x21, &[7; 36]),
        v2(0x21, 0x31, &[b'/'; 216]),
    ]
}

/// A reader that follows `missing` gets the header that the whole input has, and not one byte more.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let whole = Header::parse(bytes);
    let mut read = 0;
    loop {
        match Header::parse(&bytes[..read]) {
            Ok(Parsed::Incomplete { missing }) => {
                prop_assert!(missing > 0 && read + missing <= Header::MAX);
                if read + missing > bytes.len() {
                    let is_complete = matches!(whole, Ok(Parsed::Complete { .. }));
                    prop_assert!(!is_complete, "{whole:?}");
                    return Ok(());
                }
                read += missing;
            }
            Ok(complete @ Parsed::Complete { length, .. }) => {
                prop_assert_eq!(length, read);
                prop_assert_eq!(whole, Ok(complete));
                return Ok(());
            }
            Err(error) => {
                prop_assert!(whole.is_err(), "{error} {whole:?}");
                return Ok(());
            }
        }
    }
}

#[test]
fn a_changed_header_is_read_exactly_or_not_at_all() {
    let headers = headers();
    let strategy = (
        0..headers.len(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..5_u8,
        prop::collection::vec(any::<u8>(), 0..40),
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let result = runner.run(&strategy, |(which, at, byte, how, more)| {
        let mut bytes = headers[which].clone();
        let place = at.index(bytes.len());
        match how {
            0 => bytes[place] = byte,
            1 => bytes.insert(place, byte),
            2 => drop(bytes.remove(place)),
            3 => bytes.truncate(place),
            _ => {}
        }
        bytes.extend(more);
        check(&bytes)
    });
    result.unwrap();
}

#[test]
fn any_bytes_are_read_exactly_or_not_at_all() {
    let starts = [&b""[..], b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n"];
    let strategy = (0..starts.len(), prop::collection::vec(any::<u8>(), 0..300));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let result = runner.run(&strategy, |(start, rest)| {
        check(&[starts[start], &rest].concat())
    });
    result.unwrap();
}

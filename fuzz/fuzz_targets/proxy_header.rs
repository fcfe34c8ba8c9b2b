//! PROXY headers: no input panics, and a reader that follows `missing` reads no byte after the header.
#![no_main]

use countersign::proxy_protocol::{Header, Parsed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = Header::parse(bytes);
    let mut read = 0;
    loop {
        match Header::parse(&bytes[..read]) {
            Ok(Parsed::Incomplete { missing }) => {
                assert!(missing > 0 && read + missing <= Header::MAX);
                if read + missing > bytes.len() {
                    // What is there is not a whole header either.
                    assert!(!matches!(whole, Ok(Parsed::Complete { .. })));
                    break;
                }
                read += missing;
            }
            Ok(Parsed::Complete { header, length }) => {
                assert_eq!(length, read);
                // What follows the header changes nothing.
                assert_eq!(whole, Ok(Parsed::Complete { header, length }));
                if let Some(source) = header.source() {
                    assert!(!source.ip().is_unspecified() && !source.ip().is_multicast());
                }
                break;
            }
            Err(_) => {
                assert!(whole.is_err());
                break;
            }
        }
    }
});

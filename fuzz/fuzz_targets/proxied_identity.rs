//! The headers in which proxies forward certificates: no input panics, each error is one line, and a chain
//! that is read is bounded and within the header.
//!
//! The first byte chooses the format; lines are the values of its headers.
#![no_main]

use countersign::Certificate;
use countersign::integration::http::IdentityHeader;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, values)) = bytes.split_first() else {
        return;
    };
    let (header, names) = match first % 6 {
        0 => (
            IdentityHeader::ClientCert,
            &["client-cert", "client-cert-chain"][..],
        ),
        1 => (IdentityHeader::Xfcc, &["x-forwarded-client-cert"][..]),
        2 => (IdentityHeader::AwsAlb, &["x-amzn-mtls-clientcert"][..]),
        3 => (
            IdentityHeader::AwsAlb,
            &[
                "x-amzn-mtls-clientcert-leaf",
                "x-amzn-mtls-clientcert-serial-number",
            ][..],
        ),
        4 => (IdentityHeader::NGINX, &["x-ssl-client-cert"][..]),
        _ => (
            IdentityHeader::HAPROXY,
            &["x-ssl-client-cert", "x-ssl-client-chain"][..],
        ),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in names.iter().zip(values.split(|byte| *byte == b'\n')) {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return;
        };
        headers.append(*name, value);
    }
    match header.read(&headers) {
        Ok(chain) => {
            assert!((1..=10).contains(&chain.len()));
            let length: usize = chain.iter().map(|der| der.len()).sum();
            assert!(length <= values.len());
            for der in &chain {
                let _ = Certificate::from_der(der);
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
});

//! The extractors of subject alternative names, with any bytes as the extension's value.
#![no_main]

mod shared;

use std::sync::LazyLock;

use countersign::Certificate;
use countersign::identity::{
    DnsName, Email, FromCertificate, IdentityExtractor as _, IpAddress, Multiple, SpiffeId, Upn,
    Uri,
};
use countersign::testing::TestCa;
use libfuzzer_sys::fuzz_target;

static CA: LazyLock<TestCa> = LazyLock::new(|| TestCa::new("Root"));

fuzz_target!(|value: &[u8]| {
    let issued = CA.leaf().san_der(value.to_vec()).signature(vec![0]).issue();
    let Ok(certificate) = Certificate::from_der(issued.leaf_der()) else {
        panic!("a subjectAltName must not make the whole certificate unreadable");
    };
    shared::check(&SpiffeId::extractor(), &certificate);
    shared::check(&DnsName::extractor(), &certificate);
    shared::check(&Uri::extractor(), &certificate);
    shared::check(&Email::extractor(), &certificate);
    shared::check(&IpAddress::extractor(), &certificate);
    shared::check(&Upn::extractor(), &certificate);

    all_agrees(
        DnsName::all(),
        DnsName::extractor().extract(&certificate),
        &certificate,
    );
    all_agrees(
        Uri::all(),
        Uri::extractor().extract(&certificate),
        &certificate,
    );
    // Every SPIFFE ID is a URI.
    if let Ok(id) = SpiffeId::extractor().extract(&certificate) {
        let uri = Uri::extractor()
            .extract(&certificate)
            .expect("a SPIFFE ID is a URI");
        assert_eq!(uri.as_str(), id.as_str());
    }
});

/// A single value equals all values. Without a single value, there are none or several.
fn all_agrees<I: FromCertificate + PartialEq + std::fmt::Debug>(
    all: Multiple<I>,
    single: Result<I, countersign::identity::IdentityError>,
    certificate: &Certificate,
) {
    match (all.extract(certificate), single) {
        (Ok(all), Ok(single)) => assert_eq!(all, [single]),
        (Ok(all), Err(error)) => {
            assert!(all.len() > 1);
            assert_eq!(error.reason(), "ambiguous");
        }
        (Err(_), single) => assert!(single.is_err()),
    }
}
